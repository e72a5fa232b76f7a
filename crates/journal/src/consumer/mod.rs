//! The loop around a consumer: one task per owned shard, batches in, one commit out.
//!
//! A consumer is a function from a batch of events to a [`Commit`]. The loop adds the fence and the cursor, so that state
//! changes, follow-up events and cursor become true together. When a batch fails, its events are tried one by one; an
//! event that keeps failing is put aside as a dead letter with its error, and the shard goes on. Nothing is dropped and
//! nothing blocks a shard for good.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trunkline_model::{EventRecord, LogSpacing, Seq, Shard};
use trunkline_store::tables::{consumer as cursors, dead_letter};
use trunkline_store::{Commit, CommitError, CursorMove, Fence, ReadError};

use crate::Journal;
use crate::ownership::Ownership;

/// A store that is not there keeps every consumer waiting, on every shard.
static WAITS: LogSpacing = LogSpacing::new();

/// Why a consumer cannot handle an event.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct HandleError {
    /// What is wrong, for people; kept with the dead letter. Holds no secrets and no personal data.
    pub reason: String,
    /// Whether trying again can help.
    pub is_transient: bool,
}

/// Reads the journal under a name of its own.
///
/// `handle` must be a pure decision apart from idempotent outside effects: after a crash it is called again with the same
/// events.
pub trait Consumer: Send + Sync + 'static {
    /// Names the cursor. Never change it: a new name begins at the start of the journal.
    fn name(&self) -> &'static str;

    /// Whether no event that is in the journal by now can concern this consumer: they are then passed over unread. What
    /// it says must come from the store: whatever was stored before an event must count for it.
    fn is_idle(&self) -> BoxFuture<'_, Result<bool, ReadError>> {
        Box::pin(std::future::ready(Ok(false)))
    }

    /// Decides what a batch of events of one shard, oldest first, changes.
    fn handle<'a>(&'a self, batch: &'a [EventRecord]) -> BoxFuture<'a, Result<Commit, HandleError>>;

    /// Hears that a commit of its own has become true, to wake who waits for it. May be called too often, and is not
    /// called for a commit whose fate is unknown.
    fn committed(&self) {}
}

/// How a consumer is run.
#[derive(Debug, Clone, Copy)]
pub struct RunOptions {
    /// The most events of a batch.
    pub batch: i64,
    /// How often an event is tried before it is put aside.
    pub max_attempts: u32,
    /// The wait before the second try; it doubles with each further one, up to a minute.
    pub backoff: Duration,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self { batch: 256, max_attempts: 5, backoff: Duration::from_millis(200) }
    }
}

/// How long an idle consumer waits before it passes over more: each time costs a commit.
const IDLE_PAUSE: Duration = Duration::from_millis(250);

/// Runs a consumer on every shard this node owns, until `stop`.
pub fn run(
    journal: Journal,
    ownership: &Ownership,
    consumer: Arc<dyn Consumer>,
    options: RunOptions,
    stop: CancellationToken,
) -> JoinHandle<()> {
    let mut owned = ownership.owned();
    tokio::spawn(async move {
        let mut running: BTreeMap<Shard, (Fence, CancellationToken, JoinHandle<()>)> = BTreeMap::new();
        loop {
            let now_owned = Arc::clone(&owned.borrow_and_update());
            let lost: Vec<Shard> =
                running.iter().filter(|(s, (f, ..))| now_owned.get(s) != Some(f)).map(|(s, _)| *s).collect();
            for shard in lost {
                if let Some((_, stop_one, task)) = running.remove(&shard) {
                    stop_one.cancel();
                    // The fence keeps a task that is still ending from doing harm.
                    drop(task);
                }
            }
            for (shard, fence) in now_owned.iter().filter(|_| !stop.is_cancelled()) {
                running.entry(*shard).or_insert_with(|| {
                    let stop_one = stop.child_token();
                    let reader = Reader {
                        journal: journal.clone(),
                        consumer: Arc::clone(&consumer),
                        fence: fence.clone(),
                        options,
                    };
                    (fence.clone(), stop_one.clone(), tokio::spawn(reader.run(stop_one)))
                });
            }
            tokio::select! {
                () = stop.cancelled() => break,
                changed = owned.changed() => if changed.is_err() { break },
            }
        }
        for (_, (_, stop_one, task)) in running {
            stop_one.cancel();
            if task.await.is_err() {
                tracing::error!(consumer = consumer.name(), "consumer task ended badly");
            }
        }
    })
}

/// Why the reader of a shard cannot go on for now.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("the journal cannot be read")]
    Read(#[from] ReadError),
    #[error("the commit was not applied")]
    Commit(#[from] CommitError),
}

/// One consumer on one shard.
struct Reader {
    journal: Journal,
    consumer: Arc<dyn Consumer>,
    fence: Fence,
    options: RunOptions,
}

impl Reader {
    async fn run(self, stop: CancellationToken) {
        let mut n_failures = 0_u32;
        let mut cursor = None;
        while !stop.is_cancelled() {
            let step = tokio::select! {
                () = stop.cancelled() => break,
                step = self.step(&mut cursor) => step,
            };
            match step {
                Ok(()) => n_failures = 0,
                Err(StepError::Commit(CommitError::Fenced { shard })) => {
                    tracing::info!(consumer = self.consumer.name(), shard, "shard has another owner now");
                    break;
                }
                Err(error) => {
                    cursor = None;
                    n_failures += 1;
                    if let Some(n_waits) = WAITS.note(std::time::Instant::now()) {
                        tracing::warn!(consumer = self.consumer.name(), shard = self.fence.shard, n_failures, n_waits,
                            error = ?error, "consumer waits for the store");
                    }
                    let wait = backoff(self.options.backoff, n_failures);
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// Handles the next batch, waiting for one if there is none.
    async fn step(&self, known_cursor: &mut Option<Seq>) -> Result<(), StepError> {
        let shard = self.fence.shard;
        let mut head = self.journal.watch(shard);
        let after = match *known_cursor {
            Some(seq) => seq,
            None => cursors::cursor_get(self.journal.store(), self.consumer.name(), shard).await?,
        };
        *known_cursor = Some(after);
        // Marks the head as seen before the read, so that an event between read and wait wakes us.
        let seen = *head.borrow_and_update();
        // The head before the question: what was stored before an event is in the answer by the time the head shows it.
        if seen > after && self.consumer.is_idle().await? {
            self.commit(Commit::default(), seen).await?;
            *known_cursor = Some(seen);
            tokio::time::sleep(IDLE_PAUSE).await;
            return Ok(());
        }
        let batch = self.journal.read(shard, after, self.options.batch).await?;
        let Some(last) = batch.last() else {
            // The sender lives as long as the store; a timeout covers hints lost on the way.
            let _ = tokio::time::timeout(Duration::from_secs(5), head.changed()).await;
            return Ok(());
        };
        let last = last.seq;
        match self.consumer.handle(&batch).await {
            Ok(commit) => self.commit(commit, last).await?,
            Err(_) => {
                for record in &batch {
                    self.handle_alone(record).await?;
                }
            }
        }
        *known_cursor = Some(last);
        Ok(())
    }

    async fn commit(&self, mut commit: Commit, seq: Seq) -> Result<(), StepError> {
        commit.fence = Some(self.fence.clone());
        commit.cursors.push(CursorMove {
            consumer: self.consumer.name().to_owned(),
            shard: self.fence.shard,
            seq,
        });
        self.journal.commit(commit).await?;
        self.consumer.committed();
        Ok(())
    }

    /// Handles one event of a failed batch: tries, then puts it aside.
    async fn handle_alone(&self, record: &EventRecord) -> Result<(), StepError> {
        let mut n_attempts = 0;
        let error = loop {
            n_attempts += 1;
            match self.consumer.handle(std::slice::from_ref(record)).await {
                Ok(commit) => match self.commit(commit, record.seq).await {
                    Err(StepError::Commit(
                        error @ (CommitError::Guard { .. } | CommitError::Constraint(_)),
                    )) => {
                        break error.to_string();
                    }
                    other => return other,
                },
                Err(error) if !error.is_transient || n_attempts >= self.options.max_attempts => {
                    break error.reason;
                }
                Err(_) => tokio::time::sleep(backoff(self.options.backoff, n_attempts)).await,
            }
        };
        tracing::warn!(consumer = self.consumer.name(), event.id = %record.event.id, n_attempts,
            "event put aside as a dead letter");
        let letter = dead_letter::DeadLetterRow {
            id: format!("ddl_{}", uuid::Uuid::now_v7().simple()),
            consumer: self.consumer.name().to_owned(),
            shard: record.shard,
            seq: record.seq,
            tenant: record.event.tenant.clone(),
            event_id: record.event.id.as_str().to_owned(),
            error,
            n_attempts: i64::from(n_attempts),
            failed_at: self.journal.now(),
        };
        self.commit(Commit::statements(vec![dead_letter::dead_letter_insert(&letter)]), record.seq).await
    }
}

/// The wait before try `n + 1`: doubles each time, at most a minute.
fn backoff(first: Duration, n_failures: u32) -> Duration {
    first.saturating_mul(1 << n_failures.saturating_sub(1).min(16)).min(Duration::from_mins(1))
}

#[cfg(test)]
mod tests;
