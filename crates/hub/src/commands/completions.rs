//! `trunkline completions SHELL`: prints the completion script of a shell.

use clap::CommandFactory as _;

use crate::cli::{Cli, CompletionsArgs};
use crate::exit::Exit;
use crate::terminal::Terminal;

/// Prints the script.
pub fn run(args: &CompletionsArgs, terminal: &Terminal) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "trunkline", &mut script);
    terminal.line(String::from_utf8_lossy(&script).trim_end());
    Exit::Done
}
