//! How many packages the program is made of, and whether every declared dependency is used.
//!
//! Each package costs build time and trust on every machine; the budget makes a rise a decision.

use std::path::Path;

use crate::Fault;
use crate::tree::TextFile;

/// The most packages `Cargo.lock` may hold, those of the workspace included.
pub const PACKAGE_BUDGET: usize = 450;

/// Dependencies that no source file names, with the reason each is there.
const UNNAMED: &[(&str, &str, &str)] = &[];

/// Counts the packages of a lock file.
pub fn count_packages(lock: &str) -> usize {
    lock.lines().filter(|line| *line == "[[package]]").count()
}

/// Holds the lock file against the budget.
pub fn check_budget(lock: &TextFile) -> Vec<Fault> {
    let n_packages = count_packages(&lock.text);
    if n_packages <= PACKAGE_BUDGET {
        return Vec::new();
    }
    vec![Fault::new(
        &lock.path,
        0,
        format!("{n_packages} packages, the budget is {PACKAGE_BUDGET}"),
        "drop a dependency or its features; raise PACKAGE_BUDGET only with the reason in the commit",
    )]
}

/// Checks that the sources of a crate name each of its dependencies. `sources` are the crate's own files.
pub fn check_used(manifest: &TextFile, sources: &[&TextFile]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut in_dependencies = false;
    let folder = manifest.path.parent().unwrap_or(Path::new(""));
    let crate_name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for (number, line) in manifest.numbered_lines() {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
            continue;
        }
        let Some(end) = line.find(['.', ' ', '=']).filter(|_| in_dependencies && !line.starts_with('#'))
        else {
            continue;
        };
        let name = &line[..end];
        let identifier = name.replace('-', "_");
        let is_named = sources.iter().any(|file| names(&file.text, &identifier))
            || UNNAMED.iter().any(|(user, used, _)| *user == crate_name && *used == name);
        if !is_named {
            faults.push(Fault::new(
                &manifest.path,
                number,
                format!("no source file of {crate_name} names {name}"),
                "remove the dependency",
            ));
        }
    }
    faults
}

/// Tells whether `text` holds `identifier` as a whole word.
fn names(text: &str, identifier: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(identifier)
        .any(|(at, _)| !text[..at].ends_with(is_word) && !text[at + identifier.len()..].starts_with(is_word))
}
