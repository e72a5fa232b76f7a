//! What every Rust file looks like: a header, a bounded length, a name that says something, tests that run.

use std::path::Path;

use crate::Fault;
use crate::tree::TextFile;

/// The most lines of code in a file; blank lines and comments do not count.
pub const MAX_CODE_LINES: usize = 800;
/// The same for files of tests.
pub const MAX_TEST_LINES: usize = 1000;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] =
    &["util", "utils", "helper", "helpers", "manager", "managers", "common", "misc", "shared", "stuff"];

/// Test attributes that hide a test, with what to do instead. Split so that this file does not name them whole.
const BANNED_ATTRIBUTES: &[(&str, &str)] = &[
    (concat!("#[", "ignore"), "make the test run everywhere, or remove it"),
    (concat!("#[", "should_panic"), "call the function and look at what it returns"),
];

/// Checks one Rust file.
pub fn check(file: &TextFile) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !file.text.starts_with("//!") {
        faults.push(Fault::new(
            &file.path,
            1,
            "the file has no header",
            "open with `//!`: what it is, who calls it, its invariants",
        ));
    }
    let limit = if is_test(&file.path) { MAX_TEST_LINES } else { MAX_CODE_LINES };
    let n_lines = code_lines(&file.text);
    if n_lines > limit {
        faults.push(Fault::new(
            &file.path,
            0,
            format!("{n_lines} lines of code, at most {limit}"),
            "split it where it has a second reason to change",
        ));
    }
    if let Some(name) = empty_name(&file.path) {
        faults.push(Fault::new(
            &file.path,
            0,
            format!("the name {name} says nothing"),
            "name the module after what it does",
        ));
    }
    for (number, line) in file.numbered_lines() {
        for (attribute, fix) in BANNED_ATTRIBUTES {
            if line.trim_start().starts_with(attribute) {
                faults.push(Fault::new(&file.path, number, format!("{attribute}] hides a test"), *fix));
            }
        }
        if let Some(name) = inline_module(line).filter(|name| EMPTY_NAMES.contains(name)) {
            faults.push(Fault::new(
                &file.path,
                number,
                format!("the module name {name} says nothing"),
                "name the module after what it does",
            ));
        }
    }
    faults
}

/// Tells whether the file holds nothing but tests.
fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests")
        || path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests"))
}

/// Counts lines that hold code.
pub fn code_lines(text: &str) -> usize {
    text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

fn empty_name(path: &Path) -> Option<String> {
    path.with_extension("")
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .find(|part| EMPTY_NAMES.contains(&part.as_str()))
}

/// The name of a module opened or declared on this line.
fn inline_module(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("mod ")?;
    let is_declaration = before.trim().is_empty() || before.trim().starts_with("pub");
    is_declaration.then(|| after.trim_end_matches([' ', ';', '{']))
}
