//! `trunkline bench`: hands the command line over to the benchmark crate, which prints its own report.

use std::time::Duration;

use anyhow::Context as _;
use trunkline_bench::roles::{Role, serve};
use trunkline_bench::{Bench, Plan};

use super::{on_runtime, several_threads};
use crate::cli::{BenchArgs, BenchName, RoleName};
use crate::exit::Exit;
use crate::running::worker_threads;

/// Measures, or is one of the yardsticks.
///
/// # Errors
/// Whatever kept the benchmark from being run.
pub fn run(args: BenchArgs) -> anyhow::Result<Exit> {
    let runtime = several_threads(worker_threads(args.threads))?;
    if let (Some(role), Some(addr)) = (args.role, args.role_listen) {
        let role = match role {
            RoleName::BareServer => Role::BareServer,
            RoleName::Sink => Role::Sink,
        };
        return on_runtime(runtime, async move {
            serve(role, addr).await?;
            Ok(Exit::Done)
        });
    }
    let plan = plan(args)?;
    on_runtime(runtime, async move {
        trunkline_bench::run(&plan).await?;
        Ok(Exit::Done)
    })
}

fn plan(args: BenchArgs) -> anyhow::Result<Plan> {
    Ok(Plan {
        bench: match args.name {
            BenchName::All => Bench::All,
            BenchName::Append => Bench::Append,
            BenchName::Accept => Bench::Accept,
            BenchName::Outbound => Bench::Outbound,
            BenchName::Deliver => Bench::Deliver,
            BenchName::Paced => Bench::Paced,
            BenchName::Fair => Bench::Fair,
            BenchName::Drain => Bench::Drain,
            BenchName::Pure => Bench::Pure,
            BenchName::Parked => Bench::Parked,
            BenchName::Bullmq => Bench::Bullmq,
            BenchName::Workflows => Bench::Workflows,
        },
        duration: Duration::from_secs(args.duration),
        rounds: usize::try_from(args.rounds)?,
        connections: usize::try_from(args.connections)?,
        threads: args.threads,
        history: args.history,
        pending: usize::try_from(args.pending)?,
        parked: usize::try_from(args.parked)?,
        bullmq: args.bullmq,
        restate: args.restate,
        folder: args.folder.unwrap_or_else(std::env::temp_dir),
        program: std::env::current_exe().context("this program cannot be found")?,
        store_url: args.store_url,
    })
}
