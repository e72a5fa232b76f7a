//! How a command ends: the closed set of exit codes, and faults that know theirs and say what to do.

use std::fmt;
use std::process::ExitCode;

/// How the process ends. Scripts rely on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: failed.
    Failed,
    /// 2: wrong usage or a faulty configuration.
    Usage,
    /// 3: a check did not hold, or the command refused to act.
    Refused,
    /// 4: the hub cannot be reached, or does not accept the token.
    Unreachable,
    /// 130: a second signal ended the process at once.
    Interrupted,
}

impl Exit {
    /// The number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Unreachable => 4,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// What went wrong, in words for the person at the terminal, with the exit code it leads to.
///
/// Travels inside an [`anyhow::Error`], as its root or as context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// How the process ends.
    pub exit: Exit,
    /// What went wrong.
    pub message: String,
    /// What to do about it; may be empty.
    pub fix: String,
}

impl Fault {
    /// A fault with its remedy.
    pub fn new(exit: Exit, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { exit, message: message.into(), fix: fix.into() }
    }

    /// The exit code and the remedy that an error carries, if any part of it says so.
    pub fn of(error: &anyhow::Error) -> (Exit, Option<&str>) {
        match error.downcast_ref::<Self>() {
            Some(fault) => (fault.exit, Some(fault.fix.as_str()).filter(|fix| !fix.is_empty())),
            None => (Exit::Failed, None),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_fault_is_found_as_root_and_as_context() {
        let fault = || Fault::new(Exit::Refused, "the hub runs", "stop it first");
        let root = anyhow::Error::from(fault()).context("backup failed");
        let context = Err::<(), _>(std::io::Error::other("disk")).context(fault()).unwrap_err();
        for error in [root, context] {
            assert_eq!(Fault::of(&error), (Exit::Refused, Some("stop it first")));
        }
        assert_eq!(Fault::of(&anyhow::anyhow!("plain")), (Exit::Failed, None));
    }
}
