//! Copies of a SQLite store: backup of a running hub, restore, and a look from outside. Called by the commands `backup`,
//! `restore`, `migrate` and `doctor`.
//!
//! Invariants:
//! - A backup is one read snapshot, taken from a connection of its own while the hub goes on writing; only the log cannot
//!   start over while it runs.
//! - A file appears under its final name only after its copy passed `integrity_check` and was synced; a crash leaves at
//!   most a `.partial` file.
//! - A restore holds the hub's lock, so that no hub can start half-way, and lets go of the old file last.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;

use parking_lot::Mutex;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::{SqliteBackend, connect_read_only, lock, reader};
use crate::error::{Cause, OpenError};
use crate::{Backend, Heads, Store};

/// Pages copied between two reports: 4 MiB.
const STEP_PAGES: i32 = 512;

/// A copy could not be made, verified or put in place.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file to write is there already.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Cause,
    },
    /// A file cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Cause,
    },
    /// The file is a database, but damaged.
    #[error("{} is damaged: {finding}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first finding of the check.
        finding: String,
    },
    /// The file is no store of this program.
    #[error("{} is not a trunkline store", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// The copy was made by a newer program.
    #[error("{} has schema version {found}, this program knows up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Newest version of this program.
        known: i64,
    },
    /// The hub runs on the database that shall be replaced.
    #[error("{} is in use by a running hub", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

/// What a store file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFacts {
    /// Version of its schema.
    pub schema_version: i64,
    /// Events in it.
    pub n_events: i64,
    /// Size of the file.
    pub n_bytes: u64,
}

/// How closely a file is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Structure of every page.
    Quick,
    /// Structure, and every index against its table.
    Full,
}

/// What to do with a store that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Leave it and refuse.
    Keep,
    /// Put it aside as `FILE.replaced`.
    Replace,
}

/// The newest schema version this program knows.
pub fn newest_schema_version() -> i64 {
    crate::migrate::newest()
}

/// Copies the store at `from`, in use or not, to the new file `to`; `report` gets pages done and pages in all.
///
/// # Errors
/// [`BackupError`]; then there is no file `to`.
pub fn copy(from: &Path, to: &Path, report: &mut dyn FnMut(u64, u64)) -> Result<StoreFacts, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists { path: to.to_owned() });
    }
    let source = open_existing(from)?;
    let partial = with_suffix(to, ".partial");
    let copied = copy_pages(&source, from, &partial, report).and_then(|()| {
        let facts = inspect(&partial)?;
        put_in_place(&partial, to)?;
        Ok(facts)
    });
    if copied.is_err() {
        remove_with_log(&partial);
    }
    copied
}

fn copy_pages(
    source: &Connection,
    from: &Path,
    partial: &Path,
    report: &mut dyn FnMut(u64, u64),
) -> Result<(), BackupError> {
    let cannot_read =
        |source: rusqlite::Error| BackupError::Read { path: from.to_owned(), source: source.into() };
    let cannot_write =
        |source: rusqlite::Error| BackupError::Write { path: partial.to_owned(), source: source.into() };
    remove_with_log(partial);
    let mut target = Connection::open(partial).map_err(cannot_write)?;
    // The open read transaction pins the snapshot: writers would otherwise make the copy start over again and again.
    source.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema").map_err(cannot_read)?;
    let backup = Backup::new(source, &mut target).map_err(cannot_write)?;
    loop {
        let step = backup.step(STEP_PAGES).map_err(cannot_write)?;
        let progress = backup.progress();
        let n_total = u64::try_from(progress.pagecount).unwrap_or(0);
        report(n_total.saturating_sub(u64::try_from(progress.remaining).unwrap_or(0)), n_total);
        match step {
            StepResult::Done => break,
            StepResult::More => {}
            // Only the source's writers can be in the way, and those do not block a reader for long.
            _ => std::thread::yield_now(),
        }
    }
    drop(backup);
    source.execute_batch("COMMIT").map_err(cannot_read)?;
    // One file without a log beside it, readable from anywhere; opening it as a store turns the log on again.
    target.pragma_update(None, "journal_mode", "DELETE").map_err(cannot_write)?;
    target.close().map_err(|(_, error)| cannot_write(error))
}

/// Checks a store file fully and tells what it holds.
///
/// # Errors
/// [`BackupError`] when it is damaged, no store, or of a newer program.
pub fn inspect(path: &Path) -> Result<StoreFacts, BackupError> {
    check(path, Depth::Full)?;
    let found = schema_version(path)?.ok_or_else(|| BackupError::NotAStore { path: path.to_owned() })?;
    let known = newest_schema_version();
    if found > known {
        return Err(BackupError::Newer { path: path.to_owned(), found, known });
    }
    let connection = open_existing(path)?;
    let n_events = connection
        .query_row("SELECT coalesce(sum(n_events), 0) FROM tenant_usage", [], |row| row.get(0))
        .map_err(|_| BackupError::NotAStore { path: path.to_owned() })?;
    let n_bytes = std::fs::metadata(path)
        .map_err(|source| BackupError::Read { path: path.to_owned(), source: source.into() })?
        .len();
    Ok(StoreFacts { schema_version: found, n_events, n_bytes })
}

/// Checks the structure of a store file, in use or not.
///
/// # Errors
/// [`BackupError::Damaged`] with the first finding.
pub fn check(path: &Path, depth: Depth) -> Result<(), BackupError> {
    let pragma = match depth {
        Depth::Quick => "PRAGMA quick_check(1)",
        Depth::Full => "PRAGMA integrity_check(1)",
    };
    let connection = open_existing(path)?;
    let finding: rusqlite::Result<String> = connection.query_row(pragma, [], |row| row.get(0));
    let damaged = |finding| BackupError::Damaged { path: path.to_owned(), finding };
    match finding {
        Ok(finding) if finding == "ok" => Ok(()),
        Ok(finding) => Err(damaged(finding.lines().next().unwrap_or("unknown").to_owned())),
        Err(error) => Err(damaged(error.to_string())),
    }
}

/// The schema version of a store file; `None` when there is no file, or no store in it.
///
/// # Errors
/// [`BackupError::Damaged`] when the file is no database.
pub fn schema_version(path: &Path) -> Result<Option<i64>, BackupError> {
    if !path.exists() {
        return Ok(None);
    }
    let connection = open_existing(path)?;
    let damaged =
        |error: rusqlite::Error| BackupError::Damaged { path: path.to_owned(), finding: error.to_string() };
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations'";
    let is_store = connection.query_row(table, [], |_| Ok(())).optional().map_err(damaged)?;
    if is_store.is_none() {
        return Ok(None);
    }
    let version = "SELECT max(version) FROM schema_migrations";
    connection.query_row(version, [], |row| row.get(0)).map_err(damaged)
}

/// Puts a verified copy of the backup `from` in place of the store `to`.
///
/// # Errors
/// [`BackupError`]; then the store is as it was before.
pub fn restore(from: &Path, to: &Path, existing: Existing) -> Result<StoreFacts, BackupError> {
    let cannot_write =
        |source: std::io::Error| BackupError::Write { path: to.to_owned(), source: source.into() };
    if let Some(folder) = to.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(cannot_write)?;
    }
    let _lock = lock(to).map_err(|error| match error {
        OpenError::InUse { path } => BackupError::InUse { path },
        error => BackupError::Write { path: to.to_owned(), source: error.into() },
    })?;
    if to.exists() && existing == Existing::Keep {
        return Err(BackupError::Exists { path: to.to_owned() });
    }
    inspect(from)?;
    let partial = with_suffix(to, ".partial");
    remove_with_log(&partial);
    let placed = copy(from, &partial, &mut |_, _| {}).and_then(|facts| {
        if to.exists() {
            put_aside(to)?;
        }
        put_in_place(&partial, to)?;
        Ok(facts)
    });
    if placed.is_err() {
        remove_with_log(&partial);
    }
    placed
}

/// Whether a hub runs on the store file.
pub fn is_in_use(path: &Path) -> bool {
    with_suffix(path, ".lock").exists() && matches!(lock(path), Err(OpenError::InUse { .. }))
}

/// Keeps the old store under another name. Its log must be gone before a new file takes its place: SQLite would apply it.
fn put_aside(path: &Path) -> Result<(), BackupError> {
    let cannot_write =
        |source: std::io::Error| BackupError::Write { path: path.to_owned(), source: source.into() };
    let aside = with_suffix(path, ".replaced");
    remove_with_log(&aside);
    if let Ok(connection) = Connection::open(path) {
        // A damaged file cannot be tidied up; it is kept as it is.
        let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
    std::fs::hard_link(path, &aside).map_err(cannot_write)?;
    for suffix in ["-wal", "-shm"] {
        let log = with_suffix(path, suffix);
        if log.exists() {
            std::fs::rename(&log, with_suffix(&aside, suffix)).map_err(cannot_write)?;
        }
    }
    Ok(())
}

/// Syncs a finished file, gives it its name and syncs that too.
fn put_in_place(partial: &Path, to: &Path) -> Result<(), BackupError> {
    let place = || {
        File::open(partial)?.sync_all()?;
        std::fs::rename(partial, to)?;
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    place()
        .map_err(|source: std::io::Error| BackupError::Write { path: to.to_owned(), source: source.into() })
}

fn open_existing(path: &Path) -> Result<Connection, BackupError> {
    let fault = |source| BackupError::Read { path: path.to_owned(), source };
    std::fs::metadata(path).map_err(|source| fault(source.into()))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|source| fault(source.into()))?;
    connection.busy_timeout(std::time::Duration::from_secs(10)).map_err(|source| fault(source.into()))?;
    Ok(connection)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Removes a file of ours that may or may not be there.
fn remove_with_log(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = std::fs::remove_file(with_suffix(path, suffix));
    }
}

impl Store {
    /// Opens an existing SQLite store for reading only, whether a hub runs on it or not. Every commit is refused.
    ///
    /// # Errors
    /// [`OpenError`] when the file is missing, damaged, or not of this program's schema.
    pub fn open_read_only(path: &Path) -> Result<Self, OpenError> {
        let connection = std::fs::metadata(path)
            .map_err(Cause::from)
            .and_then(|_| connect_read_only(path).map_err(Cause::from))
            .map_err(|source| OpenError::File { path: path.to_owned(), source })?;
        let head = connection
            .query_row("SELECT seq FROM journal_heads WHERE shard = 0", [], |row| row.get(0))
            .map_err(|source| super::damaged(path, source))?;
        // Nobody is at the other end, so that commits are refused as after `close`.
        let (jobs, _) = mpsc::channel();
        let backend = SqliteBackend {
            jobs,
            n_waiting: Arc::new(AtomicUsize::new(0)),
            queue_limit: 1,
            readers: reader::Readers::new(path.to_owned(), 1),
            threads: Mutex::new(None),
        };
        Ok(Self { backend: Arc::new(Backend::Sqlite(backend)), heads: Arc::new(Heads::new(&[(0, head)])) })
    }
}

#[cfg(test)]
mod tests {
    use trunkline_model::{Event, EventType, Tenant, Timestamp};

    use super::*;
    use crate::{Commit, NewEvent, StoreOptions};

    async fn store_with(path: &Path, n_events: usize) -> Store {
        let store = Store::open(StoreOptions::new(format!("sqlite://{}", path.display()))).await.unwrap();
        append(&store, n_events).await;
        store
    }

    async fn append(store: &Store, n_events: usize) {
        let event_type = EventType::from_stored("a.b");
        let events = (0..n_events).map(|_| {
            let event = Event::new(Tenant::default(), "/t", event_type.clone(), Timestamp::from_secs(1));
            NewEvent::new(event, Timestamp::from_secs(1))
        });
        store.commit(Commit::append(events.collect())).await.unwrap();
    }

    #[tokio::test]
    async fn a_backup_of_a_running_store_is_whole_and_can_be_restored() {
        let dir = tempfile::tempdir().unwrap();
        let (live, backup) = (dir.path().join("live.db"), dir.path().join("backup.db"));
        let store = store_with(&live, 100).await;
        let mut reports = Vec::new();
        let facts = copy(&live, &backup, &mut |done, total| reports.push((done, total))).unwrap();
        assert_eq!(facts.n_events, 100);
        assert!(reports.last().is_some_and(|(done, total)| done == total && *total > 0), "{reports:?}");
        assert!(matches!(copy(&live, &backup, &mut |_, _| {}), Err(BackupError::Exists { .. })));

        append(&store, 20).await;
        assert!(is_in_use(&live));
        assert!(matches!(restore(&backup, &live, Existing::Replace), Err(BackupError::InUse { .. })));
        store.close().await;
        assert!(!is_in_use(&live));
        assert!(matches!(restore(&backup, &live, Existing::Keep), Err(BackupError::Exists { .. })));
        assert_eq!(restore(&backup, &live, Existing::Replace).unwrap().n_events, 100);
        assert_eq!(inspect(&with_suffix(&live, ".replaced")).unwrap().n_events, 120);
        let store = store_with(&live, 5).await;
        assert_eq!(store.watch_head(0).map(|head| *head.borrow()), Some(105));
        store.close().await;
    }

    #[tokio::test]
    async fn a_bad_backup_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (live, bad) = (dir.path().join("live.db"), dir.path().join("bad.db"));
        store_with(&live, 3).await.close().await;
        std::fs::write(&bad, "not a database, though long enough to look at").unwrap();
        assert!(restore(&bad, &live, Existing::Replace).is_err());
        Connection::open(dir.path().join("other.db")).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        let other = restore(&dir.path().join("other.db"), &live, Existing::Replace);
        assert!(matches!(other, Err(BackupError::NotAStore { .. })), "{other:?}");
        assert_eq!(inspect(&live).unwrap().n_events, 3);
        assert!(!with_suffix(&live, ".partial").exists());
    }

    #[tokio::test]
    async fn a_store_opened_for_reading_refuses_commits() {
        let dir = tempfile::tempdir().unwrap();
        let live = dir.path().join("live.db");
        let running = store_with(&live, 2).await;
        let reading = Store::open_read_only(&live).unwrap();
        let usage = crate::tables::usage::usage_list(&reading).await.unwrap();
        assert_eq!(usage.iter().map(|usage| usage.n_events).sum::<i64>(), 2);
        assert!(reading.commit(Commit::default()).await.is_err());
        running.close().await;
        assert!(Store::open_read_only(&dir.path().join("none.db")).is_err());
    }
}
