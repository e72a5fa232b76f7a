//! The writer thread: applies waiting commits in one transaction, then answers all of them.
//!
//! Group commit: while one transaction is being synced, the next batch gathers in the queue. Every transaction costs a
//! sync and a rewrite of the pages at the right edge of each index, so under load the writer lingers for at most a
//! millisecond while more commits keep coming; a lone caller never waits.
//!
//! A batch is applied without savepoints first, since these make SQLite copy every page it touches. When a commit is
//! refused, the transaction is undone and applied again with a savepoint around each, so that the refused one is undone
//! alone. An error of the disk or the file undoes the whole transaction and every commit in it is answered with that error.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use rusqlite::{CachedStatement, Connection, ErrorCode as SqliteCode};
use tokio::sync::{mpsc as async_mpsc, oneshot};
use trunkline_model::{Seq, Tenant};

use super::checkpoint::Wal;
use super::reader::numbered_in_order;
use crate::commit::placed;
use crate::error::CommitError;
use crate::tables::delivery::DeliveryRow;
use crate::tables::{consumer, delivery, event, inbound, lease, usage};
use crate::value::BorrowedValue;
use crate::{Appended, Commit, Committed, Expect, Heads, NewEvent, Seen, Statement};

type Answer = Result<Committed, CommitError>;
type Reply = oneshot::Sender<Answer>;

/// The most commits of one transaction.
const BATCH_COMMITS: usize = 1_024;
/// A transaction takes no further commit once its events hold this many bytes.
const BATCH_BYTES: usize = 8 << 20;
/// A batch of this many commits shows that many callers are at work: it pays to wait for more of them.
const LINGER_FROM: usize = 8;
/// A batch of this many commits is worth a sync without further waiting.
const LINGER_UNTIL: usize = 64;
/// One step of that wait, and the most steps; a step in which nobody comes is the last.
const LINGER: Duration = Duration::from_micros(100);
const LINGER_STEPS: usize = 8;

/// A commit that waits, with where to answer. Boxed, because it is large and moved several times.
pub(crate) type Pending = Box<(Commit, Reply)>;

/// What the writer is asked to do.
pub(crate) enum Job {
    /// Apply a commit and answer.
    Commit(Pending),
    /// Finish what waits and end.
    Stop,
}

/// Hands answers to waiting tasks from inside the runtime.
///
/// The writer wakes the runtime once a batch; waking a task from a foreign thread costs a system call each. The commits
/// go back with the answers, because memory is freed cheapest where it was allocated.
pub(crate) struct AckHandOut(async_mpsc::UnboundedSender<Vec<(Pending, Answer)>>);

impl AckHandOut {
    pub(crate) fn spawn() -> Self {
        let (sender, mut batches) = async_mpsc::unbounded_channel::<Vec<(Pending, Answer)>>();
        tokio::spawn(async move {
            while let Some(batch) = batches.recv().await {
                for (pending, answer) in batch {
                    let (commit, reply) = *pending;
                    // A task that stopped waiting needs no answer.
                    drop(reply.send(answer));
                    drop(commit);
                }
            }
        });
        Self(sender)
    }
}

/// State of the writer thread.
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) jobs: mpsc::Receiver<Job>,
    pub(crate) acks: AckHandOut,
    pub(crate) heads: Arc<Heads>,
    pub(crate) head: Seq,
    pub(crate) n_waiting: Arc<AtomicUsize>,
    pub(crate) wal: Wal,
    /// Transactions that failed since the last one that did not.
    pub(crate) n_failures: u32,
}

impl Writer {
    pub(crate) fn run(mut self) {
        let n_frames = Arc::new(AtomicI64::new(0));
        let hook_frames = Arc::clone(&n_frames);
        let hooked = self.connection.wal_hook(Some(move |_: &'_ mut rusqlite::hooks::Wal, pages| {
            hook_frames.store(i64::from(pages), Ordering::Relaxed);
            Ok(())
        }));
        if let Err(error) = hooked {
            tracing::error!(error = %error, "the write-ahead log cannot be watched");
        }
        loop {
            let Gathered { batch, is_last } = gather(&self.jobs);
            if !batch.is_empty() {
                self.apply(batch);
                self.wal.after_commit(&self.connection, n_frames.load(Ordering::Relaxed));
            }
            if is_last {
                break;
            }
        }
        if let Err(error) = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::warn!(error = %error, "final checkpoint failed; the log is recovered at the next start");
        }
    }

    fn apply(&mut self, batch: Vec<Pending>) {
        let n_commits = batch.len();
        let answers: Vec<Answer> = match transaction(&self.connection, self.head, &batch) {
            Ok((results, head)) => {
                self.head = head;
                self.heads.advance(0, head);
                self.n_failures = 0;
                results
            }
            Err(error) => {
                self.n_failures += 1;
                // A full disk fails every transaction until there is room; the log must not fill what is left.
                if self.n_failures.is_power_of_two() {
                    let n_failures = self.n_failures;
                    tracing::error!(error = %error, n_commits, n_failures, "transaction failed and was undone");
                }
                (0..n_commits).map(|_| Err(whole_failure(&error))).collect()
            }
        };
        self.n_waiting.fetch_sub(n_commits, Ordering::Relaxed);
        // The receiver is gone only when the runtime is: nobody waits any more.
        drop(self.acks.0.send(batch.into_iter().zip(answers).collect()));
    }
}

/// What one transaction shall apply.
struct Gathered {
    batch: Vec<Pending>,
    /// Whether the writer shall end afterwards.
    is_last: bool,
}

/// Waits for the first commit; takes whatever else is there, and what comes while it pays to linger.
#[allow(clippy::disallowed_methods, reason = "the writer's own thread, no runtime's")]
fn gather(jobs: &mpsc::Receiver<Job>) -> Gathered {
    let mut batch = Vec::new();
    let (mut n_bytes, mut n_steps, mut n_at_step) = (0, 0, 0);
    let mut next = jobs.recv().ok();
    loop {
        match next {
            Some(Job::Commit(pending)) => {
                n_bytes += pending.0.events.iter().map(|new| new.event.data.len_bytes()).sum::<usize>();
                batch.push(pending);
            }
            Some(Job::Stop) | None => return Gathered { batch, is_last: true },
        }
        if batch.len() >= BATCH_COMMITS || n_bytes >= BATCH_BYTES {
            return Gathered { batch, is_last: false };
        }
        next = loop {
            match jobs.try_recv() {
                Ok(job) => break Some(job),
                Err(mpsc::TryRecvError::Disconnected) => break None,
                Err(mpsc::TryRecvError::Empty) => {}
            }
            let is_worth_it = (LINGER_FROM..LINGER_UNTIL).contains(&batch.len());
            if !is_worth_it || n_steps == LINGER_STEPS || batch.len() == n_at_step {
                return Gathered { batch, is_last: false };
            }
            (n_steps, n_at_step) = (n_steps + 1, batch.len());
            // Not a wait on the queue: there every sender would have to wake this thread with a system call.
            std::thread::sleep(LINGER);
        };
    }
}

/// The error that every commit of an undone transaction gets.
fn whole_failure(error: &rusqlite::Error) -> CommitError {
    match error.sqlite_error_code() {
        Some(SqliteCode::DiskFull) => CommitError::Full,
        _ => CommitError::Unavailable(error.to_string().into()),
    }
}

/// Tells whether an error spoils the whole transaction rather than one commit.
fn spoils_everything(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            SqliteCode::DiskFull
                | SqliteCode::SystemIoFailure
                | SqliteCode::OutOfMemory
                | SqliteCode::DatabaseCorrupt
                | SqliteCode::ReadOnly
                | SqliteCode::DatabaseBusy
        )
    )
}

/// Applies commits in one transaction; gives the result of each and the journal's new head.
fn transaction(
    connection: &Connection,
    head: Seq,
    commits: &[Pending],
) -> rusqlite::Result<(Vec<Answer>, Seq)> {
    match in_transaction(connection, || apply_all(connection, head, commits, apply_bare)) {
        Ok(done) => Ok(done),
        Err(Failure::Sql(error)) if spoils_everything(&error) => Err(error),
        // One of them is to blame: find out which.
        Err(Failure::Sql(_) | Failure::Refused(_)) => {
            in_transaction(connection, || apply_all(connection, head, commits, apply_in_savepoint))
        }
    }
}

/// Runs `work` between BEGIN and COMMIT; undoes it when it or the COMMIT fails.
fn in_transaction<T, E: From<rusqlite::Error>>(
    connection: &Connection,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let outcome = work().and_then(|done| {
        connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(done)
    });
    if outcome.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    outcome
}

/// What a transaction has gathered so far.
#[derive(Clone)]
struct Batch {
    head: Seq,
    usage: HashMap<Tenant, (i64, i64)>,
}

impl Batch {
    /// Writes what is kept once a transaction rather than once an event.
    fn finish(&self, connection: &Connection, old_head: Seq) -> rusqlite::Result<()> {
        if self.head != old_head {
            connection
                .prepare_cached("UPDATE journal_heads SET seq = ?1 WHERE shard = 0")?
                .execute([self.head])?;
        }
        for (tenant, (n_events, n_bytes)) in &self.usage {
            connection.prepare_cached(usage::ADD)?.execute((tenant.as_str(), 0, n_events, n_bytes))?;
        }
        Ok(())
    }
}

fn apply_all<E: From<rusqlite::Error>>(
    connection: &Connection,
    head: Seq,
    commits: &[Pending],
    apply: fn(&mut Hot<'_>, &mut Batch, &Commit) -> Result<Answer, E>,
) -> Result<(Vec<Answer>, Seq), E> {
    let mut batch = Batch { head, usage: HashMap::new() };
    let mut hot = Hot {
        insert_event: connection.prepare_cached(event::INSERT)?,
        insert_delivery: connection.prepare_cached(delivery::INSERT)?,
        claim: connection.prepare_cached(inbound::CLAIM)?,
        connection,
    };
    let results: Result<Vec<Answer>, E> =
        commits.iter().map(|pending| apply(&mut hot, &mut batch, &pending.0)).collect();
    let results = results?;
    batch.finish(connection, head)?;
    Ok((results, batch.head))
}

/// Statements that every batch needs, looked up once.
struct Hot<'c> {
    connection: &'c Connection,
    insert_event: CachedStatement<'c>,
    insert_delivery: CachedStatement<'c>,
    claim: CachedStatement<'c>,
}

/// Why one commit was not applied.
enum Failure {
    Refused(CommitError),
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// Applies one commit; a failure spoils the transaction.
fn apply_bare(hot: &mut Hot<'_>, batch: &mut Batch, commit: &Commit) -> Result<Answer, Failure> {
    apply_one(hot, batch, commit).map(Ok)
}

/// Applies one commit; when it is refused, it is undone alone.
fn apply_in_savepoint(hot: &mut Hot<'_>, batch: &mut Batch, commit: &Commit) -> rusqlite::Result<Answer> {
    let before = batch.clone();
    hot.connection.prepare_cached("SAVEPOINT one")?.execute([])?;
    let answer = match apply_one(hot, batch, commit) {
        Ok(committed) => Ok(committed),
        // An error of the second kind has undone the transaction already.
        Err(Failure::Sql(error)) if spoils_everything(&error) || hot.connection.is_autocommit() => {
            return Err(error);
        }
        Err(Failure::Refused(error)) => Err(error),
        Err(Failure::Sql(error)) => Err(CommitError::Constraint(error.into())),
    };
    if answer.is_err() {
        hot.connection.prepare_cached("ROLLBACK TO one")?.execute([])?;
        *batch = before;
    }
    hot.connection.prepare_cached("RELEASE one")?.execute([])?;
    Ok(answer)
}

fn apply_one(hot: &mut Hot<'_>, batch: &mut Batch, commit: &Commit) -> Result<Committed, Failure> {
    if let Some(fence) = &commit.fence {
        let mut check = hot.connection.prepare_cached(lease::CHECK_FENCE)?;
        if !check.exists((fence.shard, &fence.owner, fence.epoch))? {
            return Err(Failure::Refused(CommitError::Fenced { shard: fence.shard }));
        }
    }
    if let Some(seen) = &commit.seen
        && let Some(inbound_id) = claim_dedupe_key(hot, seen)?
    {
        return Ok(Committed::Repeat { inbound_id });
    }
    for (index, statement) in commit.statements.iter().enumerate() {
        run_statement(hot.connection, index, statement)?;
    }
    for row in commit.deliveries.iter() {
        insert_delivery(hot, batch, row)?;
    }
    let mut places = Vec::with_capacity(commit.events.len());
    for new in &commit.events {
        places.push(append(hot, batch, new)?);
    }
    for row in placed(&commit.own_deliveries, &places) {
        insert_delivery(hot, batch, &row)?;
    }
    for cursor in &commit.cursors {
        hot.connection.prepare_cached(consumer::MOVE_CURSOR)?.execute((
            &cursor.consumer,
            cursor.shard,
            cursor.seq,
        ))?;
    }
    Ok(Committed::Applied(places))
}

fn insert_delivery(hot: &mut Hot<'_>, batch: &mut Batch, row: &DeliveryRow) -> rusqlite::Result<()> {
    for (index, value) in delivery::columns(row).iter().enumerate() {
        hot.insert_delivery.raw_bind_parameter(index + 1, value)?;
    }
    hot.insert_delivery.raw_execute()?;
    batch.usage.entry(row.tenant.clone()).or_default().1 += delivery::stored_bytes(row);
    Ok(())
}

/// Claims the key; when it was claimed before, gives the id of the call that did.
fn claim_dedupe_key(hot: &mut Hot<'_>, seen: &Seen) -> rusqlite::Result<Option<String>> {
    let claimed = hot.claim.execute((&seen.source, &seen.key, &seen.inbound_id, seen.seen_at.as_micros()))?;
    if claimed == 1 {
        return Ok(None);
    }
    let mut first = hot.connection.prepare_cached(inbound::FIRST_WITH_KEY)?;
    first.query_row((&seen.source, &seen.key), |row| row.get(0)).map(Some)
}

fn run_statement(connection: &Connection, index: usize, statement: &Statement) -> Result<(), Failure> {
    let mut prepared = connection.prepare_cached(&statement.sql)?;
    debug_assert!(numbered_in_order(&prepared), "parameters out of order in: {}", statement.sql);
    let touched = prepared.execute(rusqlite::params_from_iter(&statement.params))? as u64;
    match statement.expect {
        Expect::Rows(expected) if touched != expected => {
            Err(Failure::Refused(CommitError::Guard { statement: index, expected, touched }))
        }
        _ => Ok(()),
    }
}

fn append(hot: &mut Hot<'_>, batch: &mut Batch, new: &NewEvent) -> Result<Appended, Failure> {
    let seq = batch.head + 1;
    let extensions = event::extensions_json(&new.event);
    let columns = event::columns(new, 0, seq, extensions.as_deref());
    for (index, value) in columns.iter().enumerate() {
        hot.insert_event.raw_bind_parameter(index + 1, value)?;
    }
    if hot.insert_event.raw_execute()? == 0 {
        let mut find = hot.connection.prepare_cached(event::FIND_PLACE)?;
        let key = (new.event.id.as_str(), new.event.tenant.as_str(), &*new.event.source);
        let seq = find.query_row(key, |row| row.get(1))?;
        return Ok(Appended { shard: 0, seq, is_duplicate: true });
    }
    batch.head = seq;
    let used = batch.usage.entry(new.event.tenant.clone()).or_default();
    used.0 += 1;
    used.1 += event::stored_bytes(new);
    Ok(Appended { shard: 0, seq, is_duplicate: false })
}

impl rusqlite::ToSql for BorrowedValue<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::{ToSqlOutput, ValueRef};
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Blob(value) => ValueRef::Blob(value),
            Self::Null => ValueRef::Null,
        }))
    }
}
