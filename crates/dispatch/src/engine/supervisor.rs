//! Starts and stops the shards of the engine as their ownership changes, and keeps what they share fresh: the endpoint
//! table, and the due times of rows that were written elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use trunkline_journal::ownership::Owned;
use trunkline_model::{EndpointId, LogSpacing, Shard};
use trunkline_store::tables::{consumer, delivery};
use trunkline_store::{Commit, Dialect, Fence, ReadError};

use super::due::Due;
use super::health::Keeper;
use super::planner::{End, Place, PlanError, Planner};
use super::retrier::Retrier;
use super::{CONSUMER, Shared, backoff, probe, stats};

/// How often the endpoint table is compared with the store.
const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// How often due deliveries are looked for where only this hub writes.
const SWEEP_ALONE: Duration = Duration::from_secs(30);
/// The same where other hubs write too.
const SWEEP_SHARED: Duration = Duration::from_secs(1);

/// How long stopping may take to write down how endpoints do.
const LAST_NOTES: Duration = Duration::from_secs(1);

/// A store that is not there ends the work on every shard.
static RESTARTS: LogSpacing = LogSpacing::new();

struct Running {
    fence: Fence,
    lost: CancellationToken,
    task: AbortOnDropHandle<()>,
}

/// Runs the engine until `stop`, then drains it.
pub(crate) async fn run(shared: Arc<Shared>, mut owned: watch::Receiver<Owned>, stop: CancellationToken) {
    // Planning with an empty table would lose deliveries: nothing starts before the endpoints are known.
    tokio::select! {
        () = stop.cancelled() => return,
        () = load_endpoints(&shared) => {}
    }
    let health = AbortOnDropHandle::new(tokio::spawn(Keeper::new(Arc::clone(&shared)).run()));
    let stats = AbortOnDropHandle::new(tokio::spawn(stats::keep(Arc::clone(&shared))));
    let probes = AbortOnDropHandle::new(tokio::spawn(probe::keep(Arc::clone(&shared))));
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
    shared.lanes.close();
    for (_, at) in running {
        drop(at.task.await);
    }
    drop((upkeep, health, stats, probes));
    // What the last attempts said; the drain limit does not cover it.
    let keeper = Keeper::new(Arc::clone(&shared));
    let last = async { tokio::join!(keeper.write(false), stats::fold(&shared)) };
    drop(tokio::time::timeout(LAST_NOTES, last).await);
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
        let end = tokio::select! {
            () = lost.cancelled() => break,
            end = work_on_shard(&shared, &fence, &stop) => end,
        };
        let error = match end {
            End::Stopped => break,
            End::Lost => {
                tracing::info!(shard = fence.shard, epoch = fence.epoch, "shard lost, planning ended");
                break;
            }
            End::Uncertain(error) => error,
        };
        // A shard that worked for a while starts the waits anew.
        n_failures = if began.elapsed() > Duration::from_mins(1) { 1 } else { n_failures + 1 };
        if let Some(n_restarts) = RESTARTS.note(std::time::Instant::now()) {
            tracing::warn!(shard = fence.shard, n_failures, n_restarts, error = ?error, "dispatch of a shard begins again");
        }
        tokio::select! {
            () = lost.cancelled() => break,
            () = stop.cancelled() => break,
            () = tokio::time::sleep(backoff(n_failures)) => {}
        }
        began = Instant::now();
    }
    shared.shards.write().remove(&fence.shard);
    shared.metrics.forget_shard(fence.shard);
}

/// One run of a shard's planner and retrier, from the stored cursor.
async fn work_on_shard(shared: &Arc<Shared>, fence: &Fence, stop: &CancellationToken) -> End {
    let (shard, due) = (fence.shard, Arc::new(Due::default()));
    shared.shards.write().insert(shard, Arc::clone(&due));
    let cursor = match take_over(shared, fence, &due).await {
        Ok(cursor) => cursor,
        Err(error) => return error.into(),
    };
    let place =
        Place { shared: Arc::clone(shared), shard, fence: fence.clone(), due: Arc::clone(&due), cursor };
    let planner = Planner::new(place);
    let reports = planner.reports();
    let retrier = Retrier { shared: Arc::clone(shared), shard, fence: fence.clone(), due, reports };
    let stop_retrier = CancellationToken::new();
    let (end, ()) =
        tokio::join!(planner.run(stop.clone(), stop_retrier.clone()), retrier.run(stop_retrier.clone()));
    end
}

/// Reads where the shard stands, making its cursor first.
async fn take_over(shared: &Shared, fence: &Fence, due: &Due) -> Result<i64, PlanError> {
    let store = shared.journal.store();
    let statements = vec![consumer::cursor_create(CONSUMER, fence.shard)];
    store.commit(Commit { fence: Some(fence.clone()), statements, ..Commit::default() }).await?;
    let cursor = consumer::cursor_get(store, CONSUMER, fence.shard).await?;
    for (endpoint, at) in delivery::delivery_list_due_endpoints(store, fence.shard).await? {
        due.note(&endpoint, at);
    }
    Ok(cursor)
}

/// Reads the endpoints, and which of them fail.
async fn load_endpoints(shared: &Arc<Shared>) {
    let mut n_failures = 0_u32;
    let keeper = Keeper::new(Arc::clone(shared));
    let load = async || {
        shared.directory.refresh().await?;
        keeper.watch_failing().await
    };
    while let Err(error) = load().await {
        n_failures += 1;
        if n_failures.is_power_of_two() {
            tracing::warn!(n_failures, error = ?error, "endpoints not read yet");
        }
        tokio::time::sleep(backoff(n_failures)).await;
    }
}

/// Compares the endpoint table with the store, and looks for due rows that this hub did not write.
///
/// The look costs as much as there are pending rows; it makes pauses that keep it below a twentieth of the time.
async fn keep_fresh(shared: Arc<Shared>) {
    let is_shared = shared.journal.store().dialect() == Dialect::Postgres;
    let every = if is_shared { SWEEP_SHARED } else { SWEEP_ALONE };
    let mut sweep_at = Instant::now() + every;
    let mut n_failures = 0_u32;
    let mut ordered = shared.directory.current().ordered();
    loop {
        tokio::time::sleep(REFRESH_EVERY).await;
        let mut result = shared.directory.refresh().await.map(drop);
        let now_ordered = shared.directory.current().ordered();
        look_at_changed(&shared, &ordered, &now_ordered);
        ordered = now_ordered;
        if sweep_at <= Instant::now() {
            let began = Instant::now();
            result = result.and(sweep(&shared).await);
            sweep_at = Instant::now() + every.max(began.elapsed() * 20).min(SWEEP_ALONE);
        }
        match result {
            Ok(()) => n_failures = 0,
            Err(error) => {
                n_failures += 1;
                if n_failures.is_power_of_two() {
                    tracing::warn!(n_failures, error = ?error, "endpoints or due deliveries not read");
                }
            }
        }
    }
}

/// Looks at endpoints whose setting of order has changed: deliveries may wait in lines that are no more.
fn look_at_changed(shared: &Shared, before: &BTreeSet<EndpointId>, after: &BTreeSet<EndpointId>) {
    let now = shared.clock.now();
    for endpoint in before.symmetric_difference(after) {
        for due in shared.shards.read().values() {
            due.note(endpoint, now);
        }
    }
}

async fn sweep(shared: &Shared) -> Result<(), ReadError> {
    for (shard, endpoint, at) in delivery::delivery_list_due_places(shared.journal.store()).await? {
        shared.poke(shard, &endpoint, at);
    }
    Ok(())
}
