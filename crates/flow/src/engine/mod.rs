//! The durable engine: runs instances of compiled workflows so that what they do survives a crash at any line.
//!
//! ```text
//!                          ┌ machine: step(state, input) ─► state', changes     pure, in memory
//! input ─► shard: Worker ──┤
//!                          └ live: record + rows + events ─► one fenced Commit  durable
//!                                                             └─► effects: calls outside, at least once under one key
//! ```
//!
//! An instance is its records: each is an input with the time it was taken at, and folding them from the last snapshot
//! gives the state. Nothing is written for tasks that only make data; one record for each thing that happens.
//!
//! Invariants:
//! - The machine asks nobody: the same records give the same state, on every machine.
//! - State, follow-up events, timers and subscriptions move in the commit of the record they come from, and a record
//!   with a number is written once: a second owner, or a second run of one owner, is undone by the store.
//! - A call is made only after the record that asks for it is durable. After a crash it is made again under the same key
//!   if its end is not recorded; a call that may not be repeated ends in an error instead.
//! - Whatever comes from outside (events, decisions, cancelling, ends of children) lies in the inbox before anybody is
//!   told that it was taken, and leaves it with its record.
//! - An instance that waits for time, events or people is in no memory. Its timers and subscriptions are rows.
//!
//! After `kill -9` the next owner of the shard reads what was at work, makes the calls whose end is not recorded, and
//! goes on. An instance whose work is cut off three times in a row without a record in between is held, with an incident.

mod duties;
pub mod effects;
mod endings;
mod fork;
mod functions;
mod history;
pub mod input;
mod lanes;
mod lifecycle;
mod live;
mod look_back;
pub mod machine;
mod matching;
pub mod metrics;
mod migrate;
pub mod people;
mod perform;
pub mod programs;
mod retention;
pub(crate) mod schedule;
mod schedules;
pub(crate) mod secrets;
mod service;
mod shard;
mod short;
mod start;
pub mod state;
mod supervisor;
pub mod support;
mod tasks;
mod timeline;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trunkline_journal::Journal;
use trunkline_journal::consumer::{self, RunOptions};
use trunkline_journal::ownership::Ownership;
use trunkline_model::event::shard_of;
use trunkline_model::{SecretSource, Shard, Timestamp, WorkflowId};
use trunkline_store::tables::{consumer as cursors, event};
use trunkline_store::{Commit, CommitError, ReadError};

pub use self::fork::{ForkError, ForkFrom};
pub use self::history::HistoryError;
pub use self::matching::CONSUMER;
pub use self::migrate::{MAX_MOVED, MigrateError, Moved};
pub use self::schedules::ScheduleError;
pub use self::secrets::MIN_SECRET_BYTES;
pub use self::service::{Decision, SendError, StoreDefinitionError, Stored};
pub use self::start::{NewInstance, StartError, resolve};
pub use self::tasks::ActedOn;
pub use self::timeline::{TimelineEntry, TimelineTask};

use self::effects::Effects;
use self::endings::Endings;
use self::live::Live;
use self::matching::{Matcher, Triggers};
use self::metrics::FlowMetrics;
use self::programs::Programs;
use self::shard::Poke;
use crate::catalog::Outlets;

/// Bounds of the engine.
#[derive(Debug, Clone, Copy)]
pub struct EngineLimits {
    /// Calls outside open at once over all instances. Default 1024.
    pub calls: usize,
    /// Timers that a shard keeps in memory, of those that fire within a minute. Default 10,000.
    pub timers: usize,
    /// How long stopping waits for steps and calls under way. Default 5 s.
    pub drain: Duration,
    /// How long instances are kept that have ended. Default 90 days.
    pub keep_ended: Duration,
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self {
            calls: 1024,
            timers: 10_000,
            drain: Duration::from_secs(5),
            keep_ended: Duration::from_hours(24 * 90),
        }
    }
}

/// What the engine works with.
pub struct EngineOptions {
    /// Where events come from and go to; its clock is the engine's.
    pub journal: Journal,
    /// Which shards this hub works on.
    pub ownership: Ownership,
    /// How calls leave.
    pub effects: Arc<dyn Effects>,
    /// Other parts of the hub that functions of the catalogue reach.
    pub outlets: Outlets,
    /// Where the values of secrets come from.
    pub secrets: Arc<dyn SecretSource>,
    /// Bounds.
    pub limits: EngineLimits,
    /// Where figures go.
    pub metrics: FlowMetrics,
}

/// The two sides of a commit, where tests cut work off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitPoint {
    Before,
    After,
}

/// Who waits for a message to have been taken.
type Waiters = HashMap<(WorkflowId, String), Vec<oneshot::Sender<()>>>;

/// What all parts of the engine share.
pub(crate) struct Shared {
    journal: Journal,
    programs: Programs,
    effects: Arc<dyn Effects>,
    outlets: Outlets,
    secrets: Arc<dyn SecretSource>,
    calls: Semaphore,
    limits: EngineLimits,
    metrics: FlowMetrics,
    triggers: Triggers,
    /// Wakes the keeper of schedules.
    clockwork: Notify,
    /// Wakes the keeper of lanes.
    gatework: Notify,
    /// Makes retention look at once.
    retention: Notify,
    /// The shards at work here.
    pokes: RwLock<HashMap<Shard, Arc<Poke>>>,
    waiters: Mutex<Waiters>,
    endings: Endings,
    /// Whether the journal is being read: an event from now on is seen.
    reads: watch::Sender<bool>,
    #[cfg(test)]
    cut: tests::Cut,
}

impl Shared {
    fn now(&self) -> Timestamp {
        self.journal.now()
    }

    /// Tells a shard, if it works here, that rows wait.
    fn poke(&self, shard: Shard) {
        if let Some(poke) = self.pokes.read().get(&shard) {
            poke.poke();
        }
    }

    /// After a step is durable: figures, and whoever got a message.
    fn after(&self, live: &Live) {
        self.metrics.count_record();
        #[cfg(test)]
        self.cut.witness(live);
        if live.row.phase.is_terminal() {
            self.metrics.count_end(live.row.phase.as_str());
            if schedule::is_scheduled(&live.row) {
                self.clockwork.notify_one();
            }
            self.endings.tell(&live.row.id);
        }
        if live.has_stirred {
            self.gatework.notify_one();
        }
        for id in &live.told {
            self.poke(shard_of(id.as_str(), self.journal.n_shards()));
        }
    }

    /// Tells whoever waits for a message that it was taken.
    fn answer(&self, id: &WorkflowId, key: &str) {
        let waiters = self.waiters.lock().remove(&(id.clone(), key.to_owned()));
        for waiter in waiters.into_iter().flatten() {
            // Somebody who stopped waiting needs no answer.
            let _: Result<(), ()> = waiter.send(());
        }
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_async, reason = "tests wait here")]
    async fn pass(&self, _: CommitPoint) {}

    #[cfg(test)]
    async fn pass(&self, point: CommitPoint) {
        self.cut.pass(point).await;
    }
}

/// The wait after a number of failures in a row: 50 ms, doubling up to 10 s.
fn backoff(n_failures: u32) -> Duration {
    let doubled = 50_u64.saturating_mul(1 << n_failures.saturating_sub(1).min(10));
    Duration::from_millis(doubled.min(10_000))
}

/// Handle to the running engine; cheap to clone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    stopping: CancellationToken,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts the engine on the current runtime. Cancelling `stop` begins the drain; [`Engine::stop`] also waits for its
    /// end. Keep ownership and store alive until then.
    pub fn start(options: EngineOptions, stop: CancellationToken) -> Self {
        let EngineOptions { journal, ownership, effects, outlets, secrets, limits, metrics } = options;
        let shared = Arc::new(Shared {
            programs: Programs::new(journal.store().clone()),
            journal,
            effects,
            outlets,
            secrets,
            calls: Semaphore::new(limits.calls.max(1)),
            limits,
            metrics,
            triggers: Triggers::default(),
            clockwork: Notify::new(),
            gatework: Notify::new(),
            retention: Notify::new(),
            pokes: RwLock::default(),
            waiters: Mutex::default(),
            endings: Endings::default(),
            reads: watch::Sender::new(false),
            #[cfg(test)]
            cut: tests::Cut::default(),
        });
        let workers = tokio::spawn(supervisor::run(Arc::clone(&shared), ownership.owned(), stop.clone()));
        let keeper = tokio::spawn(schedule::run(Arc::clone(&shared), ownership.owned(), stop.clone()));
        let gates = tokio::spawn(lanes::run(Arc::clone(&shared), ownership.owned(), stop.clone()));
        let keep = shared.limits.keep_ended;
        let sweeper = retention::run(Arc::clone(&shared), ownership.owned(), keep, stop.clone());
        let sweeper = tokio::spawn(sweeper);
        let reader = tokio::spawn(read(Arc::clone(&shared), ownership, stop.clone()));
        let tasks = Arc::new(Mutex::new(vec![workers, keeper, gates, sweeper, reader]));
        Self { shared, stopping: stop, tasks }
    }

    /// Stops taking anything up, lets what is under way end within the drain limit, and returns. What is left over is
    /// taken up later.
    pub async fn stop(&self) {
        self.stopping.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            if let Err(error) = task.await
                && error.is_panic()
            {
                tracing::error!(error = ?error, "workflows ended in a panic");
            }
        }
    }

    /// Makes every shard here look at its rows and at the clock.
    pub fn poke(&self) {
        for poke in self.shared.pokes.read().values() {
            poke.poke();
        }
        self.shared.clockwork.notify_one();
        self.shared.gatework.notify_one();
    }
}

/// Reads the journal once the definitions that events start are known: an event that came too early for them would be
/// missed for ever.
async fn read(shared: Arc<Shared>, ownership: Ownership, stop: CancellationToken) {
    let mut n_failures = 0_u32;
    let begin = async || {
        shared.triggers.refresh(&shared).await?;
        begin_at_the_end(&shared.journal).await
    };
    while let Err(error) = begin().await {
        n_failures += 1;
        if n_failures.is_power_of_two() {
            tracing::warn!(n_failures, error = ?error, "workflow definitions not read yet");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(backoff(n_failures)) => {}
        }
    }
    shared.reads.send_replace(true);
    let journal = shared.journal.clone();
    let matcher =
        Arc::new(Matcher { shared, touched: Mutex::default(), has_gathered: AtomicBool::default() });
    let reading = consumer::run(journal, &ownership, matcher, RunOptions::default(), stop);
    drop(reading.await);
}

/// Why the journal cannot be read yet.
#[derive(Debug, thiserror::Error)]
enum BeginError {
    #[error("workflow definitions cannot be read")]
    Program(#[from] programs::ProgramError),
    #[error("the journal's heads cannot be read")]
    Read(#[from] ReadError),
    #[error("the cursors cannot be made")]
    Commit(#[from] CommitError),
}

/// Makes the cursors that are not there yet, at the end of the journal: no workflow waited for what came before.
async fn begin_at_the_end(journal: &Journal) -> Result<(), BeginError> {
    let heads = event::head_list(journal.store()).await?;
    let cursor = |(shard, seq): &(Shard, i64)| cursors::cursor_create_at(CONSUMER, *shard, *seq);
    journal.commit(Commit::statements(heads.iter().map(cursor).collect())).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
