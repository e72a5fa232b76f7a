//! Tests of the workflow language from outside: official documents, the official schema, the rules of the profile.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

mod agreement;
mod corpus;
mod faults;
mod packs;
mod rules;

use std::path::PathBuf;

use trunkline_flow::{Compiled, Fault, Format, Refusal, compile};

/// The folder of the specification's documents, or `None` with a message where the standards' data are not beside the
/// repository.
fn specification() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let folder = beside.join("shared").join("data/open-workflow");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: the documents of the Open Workflow Specification are not at {}", folder.display());
    None
}

fn yaml(text: &str) -> Result<Compiled, Refusal> {
    compile(text, Format::Yaml)
}

/// A definition with some tasks, given as YAML at the indentation of the text.
fn with_tasks(tasks: &str) -> String {
    format!(
        "document: {{dsl: '1.0.3', namespace: test, name: test, version: '0.1.0'}}\ndo:\n{}",
        indented(tasks)
    )
}

/// The lines of a text, each two spaces further in.
fn indented(text: &str) -> String {
    let lines = text.trim_matches('\n').lines();
    lines.flat_map(|line| ["  ", line, "\n"]).collect()
}

/// Faults as `pointer: problem`.
fn lines(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(|fault| format!("{}: {}", fault.pointer, fault.problem)).collect()
}
