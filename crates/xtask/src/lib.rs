//! Checks of the repository itself: what rustfmt, clippy and the compiler cannot see.
//!
//! Nobody calls this crate but its own tests, so `cargo test` is enough to hold every rule (a command that somebody has to
//! remember stops being run). Each rule is one file with the table it enforces on top; `STYLE.md` says why the rules
//! are there. A broken rule is a [`Fault`] naming file, line and what to do; all faults are reported together.
//!
//! Deliberately absent: anything that needs the network or builds code.

pub mod dependencies;
pub mod layers;
pub mod manifests;
pub mod rust_files;
pub mod text;
pub mod tree;

use std::fmt;
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The file, from the root of the repository.
    pub file: PathBuf,
    /// The line, from 1; 0 where the whole file is meant.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub fix: String,
}

impl Fault {
    /// Says what is wrong at a place and what to do.
    pub fn new(
        file: impl Into<PathBuf>,
        line: usize,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { file: file.into(), line, problem: problem.into(), fix: fix.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; fix: {}", self.file.display(), self.line.max(1), self.problem, self.fix)
    }
}

/// The root of the repository, two folders above this crate.
pub fn repository_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("invariant: the crate lies in crates/xtask of the repository")
}
