//! What can go wrong at the store, by operation: opening, migrating, committing, reading.

use std::path::PathBuf;

use trunkline_model::{Coded, ErrorCode};

/// The cause below a store error: whichever driver reported it.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL names no database that the hub knows.
    #[error("store url must begin with sqlite:// or postgres://")]
    Url,
    /// The folder or file cannot be made or read.
    #[error("cannot open the database file {}; check that the folder exists and is writable", path.display())]
    File {
        /// The database file.
        path: PathBuf,
        /// What the driver said.
        #[source]
        source: Cause,
    },
    /// Another process has the SQLite file.
    #[error("the database file {} is in use by another trunkline process; stop it first, or use PostgreSQL for several hubs", path.display())]
    InUse {
        /// The database file.
        path: PathBuf,
    },
    /// The file is no database, or is damaged.
    #[error("the database file {} is damaged or is no SQLite database; restore a backup with `trunkline restore`, or move the file away to begin empty", path.display())]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// What the driver said.
        #[source]
        source: Cause,
    },
    /// The server cannot be reached or refused us.
    #[error("cannot connect to PostgreSQL; check the store url, the credentials and that the server runs")]
    Connect(#[source] Cause),
    /// The schema is newer than this program.
    #[error(
        "the database has schema version {found}, this program knows up to {known}; run the newer trunkline, or restore a backup made before the upgrade"
    )]
    Newer {
        /// Version in the database.
        found: i64,
        /// Newest version of this program.
        known: i64,
    },
    /// A migration failed; it was undone.
    #[error("schema migration {version} failed and was undone; the database is as it was before")]
    Migration {
        /// The migration's number.
        version: i64,
        /// What the driver said.
        #[source]
        source: Cause,
    },
}

/// A commit was not applied. Nothing of it is visible, unless noted.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A statement did not touch the number of rows it had to.
    #[error("statement {statement} touched {touched} rows instead of {expected}")]
    Guard {
        /// Index of the statement in the commit.
        statement: usize,
        /// How many rows it had to touch.
        expected: u64,
        /// How many it touched.
        touched: u64,
    },
    /// The shard belongs to another owner or epoch by now.
    #[error("the lease of shard {shard} was lost")]
    Fenced {
        /// The shard.
        shard: i64,
    },
    /// A constraint such as a unique key does not hold.
    #[error("a constraint of the schema refused the write")]
    Constraint(#[source] Cause),
    /// No room on the disk, or the configured ceiling is reached.
    #[error("the store is full")]
    Full,
    /// Too many commits wait already.
    #[error("the store is too busy")]
    Busy,
    /// The database failed or went away; it is not known whether the commit was applied.
    #[error("the store is unavailable")]
    Unavailable(#[source] Cause),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

impl CommitError {
    /// Tells whether the same commit can succeed later without a change.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Full | Self::Busy | Self::Unavailable(_))
    }
}

impl Coded for CommitError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Full => ErrorCode::StoreFull,
            Self::Busy | Self::Unavailable(_) | Self::Fenced { .. } => ErrorCode::StoreUnavailable,
            Self::Closed => ErrorCode::HubDraining,
            Self::Guard { .. } | Self::Constraint(_) => ErrorCode::ServerInternal,
        }
    }
}

/// A read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database failed or went away.
    #[error("the store is unavailable")]
    Unavailable(#[source] Cause),
    /// A column is not what the code expects.
    #[error("column {column} is not {expected}")]
    Column {
        /// Number of the column, from 1.
        column: usize,
        /// What it should be.
        expected: &'static str,
    },
    /// A stored text does not parse.
    #[error("stored {what} does not parse")]
    Stored {
        /// What the text should be.
        what: &'static str,
        /// What the parser said.
        #[source]
        source: Cause,
    },
}

impl Coded for ReadError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Unavailable(_) => ErrorCode::StoreUnavailable,
            Self::Column { .. } | Self::Stored { .. } => ErrorCode::ServerInternal,
        }
    }
}
