//! The help of every command, as `docs/cli.md` shows it. The file is rewritten and the test fails when it was stale.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Command, CommandFactory as _};
use trunkline_hub::cli::Cli;

const BEGIN: &str = "<!-- help: begin -->\n";
const END: &str = "<!-- help: end -->\n";

fn describe(command: &mut Command, path: &str, out: &mut String) {
    command.set_bin_name(path);
    let help = command.render_long_help().to_string();
    let level = "#".repeat(path.split(' ').count() + 2);
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(out, "{level} {path}\n\n```text\n{}\n```\n\n", lines.join("\n").trim());
    for child in
        command.get_subcommands_mut().filter(|child| child.get_name() != "help" && !child.is_hide_set())
    {
        let path = format!("{path} {}", child.get_name());
        describe(child, &path, out);
    }
}

#[test]
fn docs_show_the_help_of_every_command() {
    let mut help = String::from("\n");
    let mut command = Cli::command().term_width(100);
    command.build();
    describe(&mut command, "trunkline", &mut help);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("docs/cli.md has its begin mark");
    let (_, after) = rest.split_once(END).expect("docs/cli.md has its end mark");
    let fresh = format!("{before}{BEGIN}{help}{END}{after}");
    if fresh != page {
        std::fs::write(&path, fresh).unwrap();
        panic!("docs/cli.md was stale and has been rewritten; look at it and run the test again");
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}
