//! SQLite behind the store: one writer thread with group commit, read connections beside it, a checkpoint thread.
//!
//! ```text
//! tasks ──jobs──► writer thread ──COMMIT (fsync)──► acks, one message a batch ──► hand-out task ──► tasks
//!                      │ wal size                                   readers: own connections, blocking pool
//!                      └────────► checkpoint thread (passive)
//! ```
//!
//! Invariants: only the writer thread writes rows; a job is answered after the COMMIT that contains it has been
//! synced (`synchronous=FULL`); the file is locked against a second hub. After `kill -9` SQLite recovers the WAL at the
//! next open; nothing else has to be mended.

pub mod backup;
mod checkpoint;
mod reader;
mod writer;

use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode as SqliteCode, OpenFlags, OptionalExtension as _};
use tokio::sync::oneshot;

use crate::error::{CommitError, OpenError, ReadError};
use crate::migrate::{CREATE_HISTORY, MIGRATIONS, newest};
use crate::{Commit, Committed, Dialect, Heads, Row, StoreOptions, Value};

/// Page size of new files: a fifth faster and a seventh smaller than SQLite's default for events of about 1 KiB.
const PAGE_SIZE: i64 = 8192;

/// The SQLite store.
pub(crate) struct SqliteBackend {
    jobs: mpsc::Sender<writer::Job>,
    n_waiting: Arc<AtomicUsize>,
    queue_limit: usize,
    readers: reader::Readers,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    writer: JoinHandle<()>,
    checkpoint: JoinHandle<()>,
    /// Held while the hub runs; the system frees it when the process ends, however it ends.
    lock: File,
}

impl SqliteBackend {
    pub(crate) async fn open(options: StoreOptions) -> Result<(Self, Arc<Heads>), OpenError> {
        let acks = writer::AckHandOut::spawn();
        tokio::task::spawn_blocking(move || Self::open_blocking(&options, acks))
            .await
            .expect("invariant: opening a database does not panic")
    }

    fn open_blocking(
        options: &StoreOptions,
        acks: writer::AckHandOut,
    ) -> Result<(Self, Arc<Heads>), OpenError> {
        let path = path_of(&options.url);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|source| OpenError::File { path: path.clone(), source: source.into() })?;
        }
        let lock = lock(&path)?;
        let mut connection = connect(&path, options.max_bytes)?;
        migrate(&mut connection, options.migrate, &path)?;
        let head = connection
            .query_row("SELECT seq FROM journal_heads WHERE shard = 0", [], |row| row.get(0))
            .map_err(|source| damaged(&path, source))?;
        let heads = Arc::new(Heads::new(&[(0, head)]));
        let n_waiting = Arc::new(AtomicUsize::new(0));
        let (jobs, job_queue) = mpsc::channel();
        let (wal, checkpoint) = checkpoint::spawn(path.clone());
        let writer = writer::Writer {
            connection,
            jobs: job_queue,
            acks,
            heads: Arc::clone(&heads),
            head,
            n_waiting: Arc::clone(&n_waiting),
            wal,
            n_failures: 0,
        };
        let writer = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::File { path: path.clone(), source: source.into() })?;
        let backend = Self {
            jobs,
            n_waiting,
            queue_limit: options.queue_limit,
            readers: reader::Readers::new(path, options.n_connections),
            threads: Mutex::new(Some(Threads { writer, checkpoint, lock })),
        };
        Ok((backend, heads))
    }

    pub(crate) async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        if self.n_waiting.fetch_add(1, Ordering::Relaxed) >= self.queue_limit {
            self.n_waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(CommitError::Busy);
        }
        let (reply, answer) = oneshot::channel();
        if self.jobs.send(writer::Job::Commit(Box::new((commit, reply)))).is_err() {
            self.n_waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(CommitError::Closed);
        }
        answer.await.unwrap_or(Err(CommitError::Closed))
    }

    pub(crate) async fn query<T: Send + 'static>(
        &self,
        sql: Cow<'static, str>,
        params: Vec<Value>,
        make: fn(Row) -> Result<T, ReadError>,
    ) -> Result<Vec<T>, ReadError> {
        self.readers.query(sql, params, make).await
    }

    pub(crate) async fn close(&self) {
        let Some(threads) = self.threads.lock().take() else { return };
        let stopped = self.jobs.send(writer::Job::Stop).is_ok();
        let joined = tokio::task::spawn_blocking(move || {
            // The writer drops its end of the checkpoint channel, which ends the checkpoint thread.
            let writer = threads.writer.join();
            let checkpoint = threads.checkpoint.join();
            drop(threads.lock);
            writer.is_ok() && checkpoint.is_ok()
        });
        if !matches!(joined.await, Ok(true)) || !stopped {
            tracing::error!("the store's threads did not stop cleanly");
        }
    }
}

/// The file that a `sqlite:` URL names.
pub fn path_of(url: &str) -> PathBuf {
    let rest = url.trim_start_matches("sqlite:");
    PathBuf::from(rest.strip_prefix("//").unwrap_or(rest))
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|source| OpenError::File { path: path.to_owned(), source: source.into() })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(std::fs::TryLockError::Error(source)) => {
            Err(OpenError::File { path: path.to_owned(), source: source.into() })
        }
    }
}

fn damaged(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(SqliteCode::NotADatabase | SqliteCode::DatabaseCorrupt) => {
            OpenError::Corrupt { path, source: source.into() }
        }
        _ => OpenError::File { path, source: source.into() },
    }
}

/// Opens the file for writing, with the settings that durability and speed rest on.
fn connect(path: &Path, max_bytes: Option<u64>) -> Result<Connection, OpenError> {
    let fault = |source| damaged(path, source);
    let connection = Connection::open(path).map_err(fault)?;
    connection.set_prepared_statement_cache_capacity(256);
    connection.pragma_update(None, "page_size", PAGE_SIZE).map_err(fault)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(fault)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(fault)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(fault)?;
    connection.pragma_update(None, "cache_size", -16_000).map_err(fault)?;
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(fault)?;
    connection.busy_timeout(std::time::Duration::from_secs(10)).map_err(fault)?;
    if let Some(max_bytes) = max_bytes {
        let page_size: i64 =
            connection.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(fault)?;
        let n_pages = (max_bytes / page_size.unsigned_abs()).max(1);
        connection
            .query_row(&format!("PRAGMA max_page_count = {n_pages}"), [], |row| row.get::<_, i64>(0))
            .map_err(fault)?;
    }
    Ok(connection)
}

/// Opens a connection that only reads.
fn connect_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(256);
    connection.pragma_update(None, "cache_size", -4_000)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, apply: bool, path: &Path) -> Result<(), OpenError> {
    let fault = |source| damaged(path, source);
    connection.execute(CREATE_HISTORY, []).map_err(fault)?;
    let found: i64 = connection
        .query_row("SELECT max(version) FROM schema_migrations", [], |row| row.get::<_, Option<i64>>(0))
        .optional()
        .map_err(fault)?
        .flatten()
        .unwrap_or(0);
    if found > newest() {
        return Err(OpenError::Newer { found, known: newest() });
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        let version = migration.version;
        let failed = |source: rusqlite::Error| OpenError::Migration { version, source: source.into() };
        if !apply {
            return Err(OpenError::Migration { version, source: "pending; run `trunkline migrate`".into() });
        }
        let transaction = connection.transaction().map_err(failed)?;
        transaction.execute_batch(&migration.sql(Dialect::Sqlite)).map_err(failed)?;
        transaction
            .execute(
                "INSERT INTO schema_migrations VALUES (?1, ?2, unixepoch() * 1000000)",
                (version, migration.name),
            )
            .map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    connection
        .execute("INSERT INTO journal_heads (shard, seq) VALUES (0, 0) ON CONFLICT DO NOTHING", [])
        .map_err(fault)?;
    Ok(())
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::{ToSqlOutput, ValueRef};
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Blob(value) => ValueRef::Blob(value),
        }))
    }
}
