//! Benchmarks that compare the hub with the least a program on this machine would have to do.
//!
//! Called by `trunkline bench`. Every figure is measured beside its yardstick in the same run, in turns, and printed as a
//! ratio of medians: a shared machine's speed drifts, a ratio drifts less. Server, sink and load generator are processes of
//! their own, so that CPU time can be told apart.
//!
//! - [`append`]: journal appends a second with many writers, beside the disk's own rate of syncs.
//! - [`accept`]: signed webhooks accepted a second, beside an axum server that only answers 202.
//! - [`outbound`]: deliveries a second of stored events, beside a bare client loop to the same sink.
//! - [`deliver`]: events posted to the hub and delivered to 1, 10 and 100 endpoints, beside the same loop.
//! - [`paced`]: how long an event takes from its sender to the endpoint when the hub is not busy.
//! - [`fair`]: what an endpoint that never answers costs the others.
//! - [`drain`]: how quickly pending deliveries are made up for after an outage.
//! - [`bullmq`]: deliveries a second, beside a BullMQ worker that does the same.
//! - [`pure`]: tasks of workflows that only make data a second, in the interpreter alone.
//! - [`parked`]: starting a hub with many workflows that wait.
//! - [`workflows`]: durable steps of workflows a second, beside a Restate server that runs the same ones.
//!
//! Deliberately absent: assertions. A benchmark informs; it never fails a build.

pub mod accept;
pub mod append;
mod backlog;
pub mod bullmq;
pub mod deliver;
pub mod drain;
pub mod fair;
mod flow;
mod hub;
pub mod load;
pub mod outbound;
pub mod paced;
pub mod parked;
mod peer;
pub mod process;
pub mod pure;
pub mod report;
pub mod roles;
mod sink;
mod wire;
pub mod workflows;

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
    /// Delivering stored events.
    Outbound,
    /// Accepting and delivering at the same time.
    Deliver,
    /// The same at a steady, low rate.
    Paced,
    /// Delivering beside an endpoint that never answers.
    Fair,
    /// Making up for an outage.
    Drain,
    /// Interpreting workflows.
    Pure,
    /// Starting with workflows that wait.
    Parked,
    /// Delivering, beside BullMQ.
    Bullmq,
    /// Running workflows, beside Restate.
    Workflows,
}

impl Bench {
    /// Every single benchmark, in the order in which they run. Those that need other programs come last.
    pub const EACH: [Self; 11] = [
        Self::Append,
        Self::Accept,
        Self::Outbound,
        Self::Deliver,
        Self::Paced,
        Self::Fair,
        Self::Drain,
        Self::Pure,
        Self::Parked,
        Self::Bullmq,
        Self::Workflows,
    ];
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
    /// Pending deliveries of `drain`.
    pub pending: usize,
    /// Workflows of `parked`.
    pub parked: usize,
    /// The folder with BullMQ's `run.sh`.
    pub bullmq: PathBuf,
    /// The folder with Restate's `run.sh`.
    pub restate: PathBuf,
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
    for bench in Bench::EACH {
        if plan.bench == bench || plan.bench == Bench::All {
            run_one(bench, plan).await?;
        }
    }
    Ok(())
}

async fn run_one(bench: Bench, plan: &Plan) -> anyhow::Result<()> {
    match bench {
        Bench::All => Ok(()),
        Bench::Append => append::run(plan).await,
        Bench::Accept => accept::run(plan).await,
        Bench::Outbound => outbound::run(plan).await,
        Bench::Deliver => deliver::run(plan).await,
        Bench::Paced => paced::run(plan).await,
        Bench::Fair => fair::run(plan).await,
        Bench::Drain => drain::run(plan).await,
        Bench::Pure => pure::run(plan).await,
        Bench::Parked => parked::run(plan).await,
        Bench::Bullmq => bullmq::run(plan).await,
        Bench::Workflows => workflows::run(plan).await,
    }
}
