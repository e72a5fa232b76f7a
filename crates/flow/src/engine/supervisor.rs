//! Starts and stops the shards as their ownership changes, and looks for what other hubs wrote.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use trunkline_journal::ownership::Owned;
use trunkline_model::{LogSpacing, Shard};
use trunkline_store::tables::workflow::{gathered, inbox, instance, schedule, ticket};
use trunkline_store::{Dialect, Fence, ReadError};

use super::shard::{End, Poke, Worker};
use super::{Shared, backoff};

/// How often definitions are compared with the store.
const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// How often rows that wait are looked for where only this hub writes.
const SWEEP_ALONE: Duration = Duration::from_secs(30);
/// The same where other hubs write too.
const SWEEP_SHARED: Duration = Duration::from_millis(250);

/// A store that is not there ends the work on every shard.
static RESTARTS: LogSpacing = LogSpacing::new();

struct Running {
    fence: Fence,
    lost: CancellationToken,
    task: AbortOnDropHandle<()>,
}

/// Runs the engine until `stop`, then drains it.
pub(crate) async fn run(shared: Arc<Shared>, mut owned: watch::Receiver<Owned>, stop: CancellationToken) {
    let upkeep = AbortOnDropHandle::new(tokio::spawn(keep_fresh(Arc::clone(&shared))));
    let mut running: BTreeMap<Shard, Running> = BTreeMap::new();
    loop {
        let now_owned = Arc::clone(&owned.borrow_and_update());
        let is_lost = |shard: &Shard, at: &Running| now_owned.get(shard) != Some(&at.fence);
        let lost: Vec<Shard> =
            running.iter().filter(|(shard, at)| is_lost(shard, at)).map(|(shard, _)| *shard).collect();
        for shard in lost {
            if let Some(at) = running.remove(&shard) {
                at.lost.cancel();
                drop(at.task.await);
            }
        }
        for (shard, fence) in now_owned.iter() {
            running.entry(*shard).or_insert_with(|| start_shard(&shared, fence, &stop));
        }
        tokio::select! {
            () = stop.cancelled() => break,
            changed = owned.changed() => {
                if changed.is_err() {
                    // Nobody keeps leases any more: the fences hold as long as nobody else takes over.
                    stop.cancelled().await;
                    break;
                }
            }
        }
    }
    for (_, at) in running {
        drop(at.task.await);
    }
    drop(upkeep);
}

fn start_shard(shared: &Arc<Shared>, fence: &Fence, stop: &CancellationToken) -> Running {
    let lost = CancellationToken::new();
    let task = tokio::spawn(run_shard(Arc::clone(shared), fence.clone(), stop.clone(), lost.clone()));
    Running { fence: fence.clone(), lost, task: AbortOnDropHandle::new(task) }
}

/// Works on a shard until it is lost or the engine stops; begins again after errors of the store.
async fn run_shard(shared: Arc<Shared>, fence: Fence, stop: CancellationToken, lost: CancellationToken) {
    let mut n_failures = 0_u32;
    let mut began = Instant::now();
    loop {
        let poke = Arc::new(Poke::default());
        shared.pokes.write().insert(fence.shard, Arc::clone(&poke));
        let worker = Worker::new(Arc::clone(&shared), fence.clone(), poke);
        let end = tokio::select! {
            () = lost.cancelled() => break,
            end = worker.run(stop.clone()) => end,
        };
        let error = match end {
            End::Stopped | End::Lost => break,
            End::Uncertain(error) => error,
        };
        // A shard that worked for a while starts the waits anew.
        n_failures = if began.elapsed() > Duration::from_mins(1) { 1 } else { n_failures + 1 };
        if let Some(n_restarts) = RESTARTS.note(std::time::Instant::now()) {
            tracing::warn!(shard = fence.shard, n_failures, n_restarts, error = ?error, "workflows of a shard begin again");
        }
        tokio::select! {
            () = lost.cancelled() => break,
            () = stop.cancelled() => break,
            () = tokio::time::sleep(backoff(n_failures)) => {}
        }
        began = Instant::now();
    }
    shared.pokes.write().remove(&fence.shard);
}

/// Compares definitions with the store, and looks for rows that this hub did not write.
async fn keep_fresh(shared: Arc<Shared>) {
    let is_shared = shared.journal.store().dialect() == Dialect::Postgres;
    let every = if is_shared { SWEEP_SHARED } else { SWEEP_ALONE };
    let mut refresh_at = Instant::now();
    let mut n_failures = 0_u32;
    loop {
        tokio::time::sleep(every.min(REFRESH_EVERY)).await;
        let mut result = Ok(());
        if refresh_at <= Instant::now() {
            refresh_at = Instant::now() + REFRESH_EVERY;
            result = shared.triggers.refresh(&shared).await.map_err(|error| error.to_string());
        }
        if is_shared || n_failures > 0 {
            result = result.and(sweep(&shared).await.map_err(|error| error.to_string()));
        }
        match result {
            Ok(()) => n_failures = 0,
            Err(error) => {
                n_failures += 1;
                if n_failures.is_power_of_two() {
                    tracing::warn!(n_failures, error, "workflow definitions or messages not read");
                }
            }
        }
    }
}

async fn sweep(shared: &Shared) -> Result<(), ReadError> {
    let store = shared.journal.store();
    for shard in inbox::message_list_shards(store).await? {
        shared.poke(shard);
    }
    for shard in instance::instance_list_pending_shards(store).await? {
        shared.poke(shard);
    }
    let has_due = !schedule::schedule_list_due(store, shared.now(), None, 1).await?.is_empty();
    if has_due || !gathered::gathered_list_new_shards(store).await?.is_empty() {
        shared.clockwork.notify_one();
    }
    if !ticket::lane_list_stirred(store, (0, ""), 1).await?.is_empty() {
        shared.gatework.notify_one();
    }
    Ok(())
}
