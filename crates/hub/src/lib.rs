//! The hub: command line, wiring, and the only crate that knows all others.
//!
//! Layer L4. [`main`] parses the command line and calls [`commands::run`]; tests and the demo start a hub in their own process
//! with [`start`]. Errors of other crates become words for people here ([`exit::Fault`]); nothing else uses `anyhow`, and
//! nothing but [`terminal`] prints.
//!
//! Deliberately absent: business rules. What the hub does is in the engines; this says which parts there are, in which
//! order they start and stop, and how a person talks to them.

pub mod cli;
mod client;
pub mod commands;
mod configuration;
pub mod exit;
mod logging;
mod running;
pub mod terminal;

pub use running::{RunningHub, start, worker_threads};

/// Runs the program: parses the command line, runs the command, says what went wrong, ends with its exit code.
pub fn main() -> std::process::ExitCode {
    let cli = <cli::Cli as clap::Parser>::parse();
    let terminal = terminal::Terminal::process();
    let exit = match commands::run(cli.command, trunkline_config::Env::from_process(), &terminal) {
        Ok(exit) => exit,
        Err(error) => terminal.failure(&error),
    };
    exit.into()
}
