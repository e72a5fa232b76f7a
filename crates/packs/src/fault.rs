//! What is wrong with a pack or with a schema document, where, and what to do about it.

use std::fmt;
use std::path::PathBuf;

/// A place in a text file. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One fault that keeps a pack from being loaded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackFault {
    /// The file or folder, as reached from the path the pack was loaded by.
    pub file: PathBuf,
    /// Where in the file; absent when the fault is the file itself.
    pub position: Option<Position>,
    /// What is wrong: lower-case, without a full stop.
    pub problem: String,
    /// What to do about it, likewise.
    pub fix: String,
}

impl PackFault {
    pub(crate) fn new(
        file: impl Into<PathBuf>,
        position: Option<Position>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { file: file.into(), position, problem: problem.into(), fix: fix.into() }
    }
}

impl fmt::Display for PackFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(position) = self.position {
            write!(f, "{position}:")?;
        }
        write!(f, " {}. Fix: {}.", self.problem, self.fix)
    }
}

impl std::error::Error for PackFault {}

/// One fault of a JSON document that came through an API or an import, so that there is no file to name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DocumentFault {
    /// JSON pointer into the document; empty for the document as a whole.
    pub pointer: String,
    /// What is wrong: lower-case, without a full stop.
    pub problem: String,
    /// What to do about it, likewise.
    pub fix: String,
}

impl DocumentFault {
    pub(crate) fn new(
        pointer: impl Into<String>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { pointer: pointer.into(), problem: problem.into(), fix: fix.into() }
    }

    /// Moves the fault below `prefix`, for documents that hold the faulty one.
    pub(crate) fn under(mut self, prefix: &str) -> Self {
        self.pointer.insert_str(0, prefix);
        self
    }
}

impl fmt::Display for DocumentFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        write!(f, "{}. Fix: {}.", self.problem, self.fix)
    }
}

impl std::error::Error for DocumentFault {}
