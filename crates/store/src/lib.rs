//! The store: everything durable, on SQLite or PostgreSQL, behind one [`Store`].
//!
//! Layer L1. Called by every engine and the API. A write is a value ([`Commit`]) applied atomically and durable when
//! [`Store::commit`] returns; commits that wait at the same time share one transaction (group commit). Reads never go
//! through the writer. All SQL lives in this crate: [`tables`] has one file per resource, named resource-first.
//!
//! Deliberately absent: business rules, HTTP, knowledge of engines.

pub mod commit;
pub mod error;
mod migrate;
pub mod postgres;
pub mod sqlite;
pub mod tables;
mod value;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use trunkline_model::{Seq, Shard};

pub use commit::{Appended, Commit, Committed, CursorMove, Expect, Fence, NewEvent, Seen, Statement};
pub use error::{CommitError, OpenError, ReadError};
pub use value::{Row, Value};

/// How to open a store.
#[derive(Clone)]
pub struct StoreOptions {
    /// `sqlite://PATH` or `postgres://…`.
    pub url: String,
    /// Ceiling of the SQLite file in bytes; commits beyond it fail with [`CommitError::Full`].
    pub max_bytes: Option<u64>,
    /// Read connections on SQLite, pooled connections on PostgreSQL.
    pub n_connections: usize,
    /// How many commits may wait for the writer.
    pub queue_limit: usize,
    /// Run pending migrations. Off: an old schema is an error of [`OpenError::Migration`].
    pub migrate: bool,
}

impl std::fmt::Debug for StoreOptions {
    // The URL may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = self.url.split(':').next().unwrap_or_default();
        f.debug_struct("StoreOptions").field("scheme", &scheme).finish_non_exhaustive()
    }
}

impl StoreOptions {
    /// Options with the usual limits.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), max_bytes: None, n_connections: 4, queue_limit: 16_384, migrate: true }
    }
}

/// A figure that changes with the schema: names the template databases of the tests.
#[doc(hidden)]
pub fn schema_fingerprint() -> u64 {
    migrate::fingerprint()
}

/// Which database holds the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// One embedded file, one shard.
    Sqlite,
    /// A server, 64 shards.
    Postgres,
}

/// Handle to the durable state; cheap to clone.
#[derive(Clone)]
pub struct Store {
    backend: Arc<Backend>,
    heads: Arc<Heads>,
}

enum Backend {
    Sqlite(sqlite::SqliteBackend),
    Postgres(postgres::PostgresBackend),
}

/// The newest known seq of each shard, for those who wait for events.
#[derive(Debug)]
pub(crate) struct Heads(HashMap<Shard, watch::Sender<Seq>>);

impl Heads {
    pub(crate) fn new(heads: &[(Shard, Seq)]) -> Self {
        Self(heads.iter().map(|(shard, seq)| (*shard, watch::Sender::new(*seq))).collect())
    }

    /// Tells waiters that `shard` has grown to `seq`; an older figure changes nothing.
    pub(crate) fn advance(&self, shard: Shard, seq: Seq) {
        if let Some(head) = self.0.get(&shard) {
            head.send_if_modified(|known| {
                let grew = *known < seq;
                *known = (*known).max(seq);
                grew
            });
        }
    }
}

impl Store {
    /// Opens the store that `options.url` names, running migrations as asked.
    ///
    /// Must be called on a tokio runtime: answers to commits are handed out by a task of it.
    pub async fn open(options: StoreOptions) -> Result<Self, OpenError> {
        if options.url.starts_with("sqlite:") {
            let (backend, heads) = sqlite::SqliteBackend::open(options).await?;
            Ok(Self { backend: Arc::new(Backend::Sqlite(backend)), heads })
        } else if options.url.starts_with("postgres:") || options.url.starts_with("postgresql:") {
            let (backend, heads) = postgres::PostgresBackend::open(options).await?;
            Ok(Self { backend: Arc::new(Backend::Postgres(backend)), heads })
        } else {
            Err(OpenError::Url)
        }
    }

    /// Applies a commit. When this returns `Ok`, everything in it is on disk.
    pub async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        for statement in &commit.statements {
            tracing::trace!(target: "trunkline_store::sql", sql = &*statement.sql);
        }
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.commit(commit).await,
            Backend::Postgres(postgres) => postgres.commit(commit).await,
        }
    }

    /// Runs a query beside the writer and gives its rows.
    ///
    /// Parameters are `$1 … $n`, numbered in the order in which they first appear in the text.
    pub async fn query(
        &self,
        sql: impl Into<Cow<'static, str>>,
        params: Vec<Value>,
    ) -> Result<Vec<Row>, ReadError> {
        self.query_as(sql, params, Ok).await
    }

    /// The same, making something of each row off the runtime where the database is embedded.
    pub(crate) async fn query_as<T: Send + 'static>(
        &self,
        sql: impl Into<Cow<'static, str>>,
        params: Vec<Value>,
        make: fn(Row) -> Result<T, ReadError>,
    ) -> Result<Vec<T>, ReadError> {
        let sql = sql.into();
        tracing::trace!(target: "trunkline_store::sql", sql = &*sql);
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.query(sql, params, make).await,
            Backend::Postgres(postgres) => {
                postgres.query(&sql, params).await?.into_iter().map(make).collect()
            }
        }
    }

    /// Which database this is.
    pub fn dialect(&self) -> Dialect {
        match &*self.backend {
            Backend::Sqlite(_) => Dialect::Sqlite,
            Backend::Postgres(_) => Dialect::Postgres,
        }
    }

    /// How many shards the journal has; fixed when the store was created.
    pub fn n_shards(&self) -> Shard {
        self.heads.0.len() as Shard
    }

    /// Follows the newest seq of a shard. The value is a hint for waking up; reads decide what is there.
    pub fn watch_head(&self, shard: Shard) -> Option<watch::Receiver<Seq>> {
        self.heads.0.get(&shard).map(watch::Sender::subscribe)
    }

    /// Takes every commit that waits, refuses new ones and releases the database. Safe to call twice.
    pub async fn close(&self) {
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.close().await,
            Backend::Postgres(postgres) => postgres.close().await,
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({:?})", self.dialect())
    }
}
