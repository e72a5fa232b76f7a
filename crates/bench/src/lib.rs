//! Benchmarks that compare the hub with the least a program on this machine would have to do.
//!
//! Called by `trunkline bench`. Every figure is measured beside its yardstick in the same run, in turns, and printed as a
//! ratio of medians: a shared machine's speed drifts, a ratio drifts less. Server, sink and load generator are processes of
//! their own, so that CPU time can be told apart.
//!
//! - [`append`]: journal appends a second with many writers, beside the disk's own rate of syncs.
//! - [`accept`]: signed webhooks accepted a second, beside an axum server that only answers 202.
//! - [`outbound`]: deliveries a second, beside a bare client loop to the same sink.
//!
//! Deliberately absent: assertions. A benchmark informs; it never fails a build.

pub mod accept;
pub mod append;
pub mod load;
pub mod outbound;
pub mod process;
pub mod report;
pub mod roles;

use std::path::PathBuf;
use std::time::Duration;

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bench {
    /// Everything below, one after the other.
    All,
    /// Journal appends.
    Append,
    /// Accepting webhooks.
    Accept,
    /// Delivering.
    Outbound,
}

/// How to measure.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What to measure.
    pub bench: Bench,
    /// How long each measurement runs.
    pub duration: Duration,
    /// How often each measurement is repeated; medians are printed.
    pub rounds: usize,
    /// Connections of the load generator, writers of the append benchmark.
    pub connections: usize,
    /// Runtime threads of the servers; 0 means automatic.
    pub threads: usize,
    /// Events to store before `accept` is measured a second time; 0 leaves that out.
    pub history: u64,
    /// Where the temporary databases go: the disk to be measured.
    pub folder: PathBuf,
    /// The program under test: this one.
    pub program: PathBuf,
    /// Store URL of the hub under test; `None` means SQLite in `folder`.
    pub store_url: Option<String>,
}

/// Runs the plan and prints its report to standard output.
pub async fn run(plan: &Plan) -> anyhow::Result<()> {
    report::machine(plan)?;
    if matches!(plan.bench, Bench::All | Bench::Append) {
        append::run(plan).await?;
    }
    if matches!(plan.bench, Bench::All | Bench::Accept) {
        accept::run(plan).await?;
    }
    if matches!(plan.bench, Bench::All | Bench::Outbound) {
        outbound::run(plan).await?;
    }
    Ok(())
}
