//! What a failed transaction means: whether it may be run again, and what its caller is told.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::error::CommitError;

/// How often a transaction is run again before its caller gets the error.
pub(super) const MAX_REPEATS: u32 = 5;

/// Why a transaction was not applied.
#[derive(Debug)]
pub(super) enum Fault {
    /// The commit's own terms do not hold. Nothing was applied.
    Refused(CommitError),
    /// The database refused, or went away before COMMIT was sent. Nothing was applied.
    Undone(Error),
    /// The connection broke with COMMIT under way: nobody knows.
    Unknown(Error),
    /// The server did not answer in time, and the connection was given up: nobody knows.
    Silent,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Undone(error)
    }
}

impl Fault {
    /// A failure in the round that ends with COMMIT.
    pub(super) fn in_last_round(error: Error) -> Self {
        if is_lost(&error) { Self::Unknown(error) } else { Self::Undone(error) }
    }

    /// Whether the same transaction, run again from its beginning, can succeed.
    pub(super) fn may_repeat(&self) -> bool {
        let Self::Undone(error) = self else { return false };
        let collided = error.as_db_error().is_some_and(|db| {
            // Another transaction stored the same event in another shard; the next run sees it.
            *db.code() == SqlState::UNIQUE_VIOLATION && db.constraint() == Some("events_by_id")
        });
        let conflict = error.code().is_some_and(|code| {
            [&SqlState::T_R_SERIALIZATION_FAILURE, &SqlState::T_R_DEADLOCK_DETECTED].contains(&code)
        });
        collided || conflict || self.is_stale_plan() || is_lost(error)
    }

    /// A statement was prepared before a migration changed what it reads.
    pub(super) fn is_stale_plan(&self) -> bool {
        matches!(self, Self::Undone(error) if error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED))
    }

    /// Whether a single commit is to blame rather than the server: then the others of its group can go on without it.
    pub(super) fn blames_commit(&self) -> bool {
        matches!(self, Self::Undone(error) if blames_data(error))
    }

    /// What the caller is told.
    pub(super) fn into_commit_error(self) -> CommitError {
        match self {
            Self::Refused(error) => error,
            Self::Undone(error) if error.code() == Some(&SqlState::DISK_FULL) => CommitError::Full,
            Self::Undone(error) if blames_data(&error) => CommitError::Constraint(error.into()),
            Self::Undone(error) | Self::Unknown(error) => CommitError::Unavailable(error.into()),
            Self::Silent => CommitError::Unavailable("the server did not answer in time".into()),
        }
    }
}

/// The connection is gone or the server is going.
fn is_lost(error: &Error) -> bool {
    match error.code().map(SqlState::code) {
        // Connection trouble, operator intervention, a fail-over that left us on a standby.
        Some(code) => code.starts_with("08") || code.starts_with("57P") || code == "25006",
        None => {
            error.is_closed() || error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
        }
    }
}

/// The values or the statement are at fault: bad data, constraint, syntax, a limit of the program.
fn blames_data(error: &Error) -> bool {
    match error.code().map(SqlState::code) {
        Some(code) => ["21", "22", "23", "42", "44", "54", "P0"].iter().any(|class| code.starts_with(class)),
        // A parameter that cannot be written in the type asked for.
        None => !is_lost(error),
    }
}
