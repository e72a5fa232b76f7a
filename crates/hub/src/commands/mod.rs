//! One file per command. [`run`] is the closed list: it loads nothing and decides nothing except which runtime a command
//! gets.

pub mod backup;
pub mod bench;
pub mod check;
pub mod completions;
pub mod demo;
pub mod doctor;
pub mod event;
pub mod init;
pub mod migrate;
pub mod pack;
pub mod restore;
pub mod serve;
pub mod token;
pub mod webhook_listen;

use std::future::Future;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};
use trunkline_config::Env;

use crate::cli::{Command, EventCommand, TokenCommand, WebhookCommand};
use crate::exit::Exit;
use crate::terminal::Terminal;

/// How long blocking work may hold up the end of the process.
const RUNTIME_END: Duration = Duration::from_millis(500);

/// Runs a command to its end.
///
/// # Errors
/// Whatever made it fail; a [`Fault`](crate::exit::Fault) in it says with which exit code.
pub fn run(command: Command, env: Env, terminal: &Terminal) -> anyhow::Result<Exit> {
    match command {
        Command::Serve(args) => serve::run(args, env, terminal),
        Command::Demo(args) => on_runtime(several_threads(2)?, demo::run(&args, terminal)),
        Command::Init(args) => init::run(&args, terminal),
        Command::Check(args) => check::run(&args, &env, terminal),
        Command::Migrate(args) => on_runtime(one_thread()?, migrate::run(&args, &env, terminal)),
        Command::Event(command) => on_runtime(one_thread()?, run_event(command, terminal)),
        Command::Pack(command) => pack::run(&command, &env, terminal),
        Command::Webhook(WebhookCommand::Listen(args)) => {
            on_runtime(one_thread()?, webhook_listen::run(&args, terminal))
        }
        Command::Token(command) => on_runtime(one_thread()?, run_token(command, &env, terminal)),
        Command::Backup(args) => backup::run(&args, &env, terminal),
        Command::Restore(args) => restore::run(&args, &env, terminal),
        Command::Doctor(args) => on_runtime(one_thread()?, doctor::run(&args, &env, terminal)),
        Command::Bench(args) => bench::run(args),
        Command::Completions(args) => Ok(completions::run(&args, terminal)),
    }
}

async fn run_event(command: EventCommand, terminal: &Terminal) -> anyhow::Result<Exit> {
    match command {
        EventCommand::Emit(args) => event::emit::run(&args, terminal).await,
        EventCommand::Tail(args) => event::tail::run(&args, terminal).await,
        EventCommand::Show(args) => event::show::run(&args, terminal).await,
        EventCommand::Journey(args) => event::journey::run(&args, terminal).await,
        EventCommand::Replay(args) => event::replay::run(&args, terminal).await,
    }
}

async fn run_token(command: TokenCommand, env: &Env, terminal: &Terminal) -> anyhow::Result<Exit> {
    match command {
        TokenCommand::Create(args) => token::create(&args, env, terminal).await,
        TokenCommand::Revoke(args) => token::revoke(&args, env, terminal).await,
        TokenCommand::List(args) => token::list(&args, env, terminal).await,
    }
}

fn one_thread() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("the runtime cannot start")
}

/// A runtime for commands that serve.
pub(crate) fn several_threads(n_threads: usize) -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(n_threads).enable_all().build().context("the runtime cannot start")
}

/// Runs a command's work and lets go of what it left running.
pub(crate) fn on_runtime(
    runtime: Runtime,
    work: impl Future<Output = anyhow::Result<Exit>>,
) -> anyhow::Result<Exit> {
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(RUNTIME_END);
    result
}
