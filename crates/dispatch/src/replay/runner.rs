//! The reconciler: whose turn it is, and one step of a job. See the module above for the story.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trunkline_connect::EgressPolicy;
use trunkline_journal::Journal;
use trunkline_journal::ownership::Ownership;
use trunkline_model::{DeliveryId, Pattern, PerTenant, Shard, Timestamp};
use trunkline_store::tables::delivery::{DeliveryRow, DeliveryState, UNJUDGED};
use trunkline_store::tables::event::EventPlace;
use trunkline_store::tables::replay::{
    ReplayRow, ReplayState, replay_count_all_running, replay_list_turns, replay_step,
};
use trunkline_store::{Commit, CommitError, Fence, ReadError};

use super::HORIZON;
use super::select::{Pick, Picked, Scope, Wanted};
use crate::Dispatcher;
use crate::endpoint::{DeliveryDefaults, EndpointDirectory, EndpointTable, Outlets};

/// The shard whose owner works on jobs.
const SHARD: Shard = 0;

/// What the runner works with.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// Where events, deliveries and jobs are.
    pub journal: Journal,
    /// Says whether this node works on jobs.
    pub ownership: Ownership,
    /// The engine of this node, told of what was made; without it, its sweep finds it before long.
    pub dispatcher: Option<Dispatcher>,
    /// Which URLs may be sent to: the engine's own policy, or the log speaks of endpoints that are in order.
    pub egress: PerTenant<EgressPolicy>,
    /// How often it looks for jobs when there is none.
    pub look_every: Duration,
}

impl ReplayOptions {
    /// Options with the usual pace.
    pub fn new(journal: Journal, ownership: Ownership, dispatcher: Option<Dispatcher>) -> Self {
        let (egress, look_every) = (PerTenant::default(), Duration::from_millis(500));
        Self { journal, ownership, dispatcher, egress, look_every }
    }
}

/// Works on jobs until `stop`. Whatever it is at when it is ended, the next run goes on from the last commit.
pub fn run(options: ReplayOptions, stop: CancellationToken) -> JoinHandle<()> {
    let ReplayOptions { journal, ownership, dispatcher, egress, look_every } = options;
    // Only patterns and the switch are asked for here; what is sent, and where to, is the engine's affair.
    let outlets = Outlets::only(&egress);
    let directory = EndpointDirectory::new(journal.store().clone(), DeliveryDefaults::default(), outlets);
    let runner = Runner { journal, ownership, dispatcher, directory };
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = runner.work(look_every) => {}
        }
    })
}

/// A round or a step failed; the next one tries again.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("jobs, events or endpoints cannot be read")]
    Read(#[from] ReadError),
    #[error("the step was not stored")]
    Commit(#[from] CommitError),
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The job moved, or ended.
    Moved,
    /// It is planned as far ahead as it may be, or somebody else changed it.
    Waiting,
}

struct Runner {
    journal: Journal,
    ownership: Ownership,
    dispatcher: Option<Dispatcher>,
    directory: EndpointDirectory,
}

impl Runner {
    async fn work(self, look_every: Duration) {
        let mut owned = self.ownership.owned();
        let mut n_failures = 0_u32;
        loop {
            // Fails when the lease keeper has ended; then there is nothing to do any more.
            if !owned.borrow().contains_key(&SHARD) {
                self.show_running(0);
            }
            let fence = match owned.wait_for(|owned| owned.contains_key(&SHARD)).await {
                Ok(owned) => owned.get(&SHARD).cloned(),
                Err(_) => return,
            };
            let Some(fence) = fence else { continue };
            match self.round(&fence).await {
                Ok(Step::Moved) => {
                    n_failures = 0;
                    // Jobs live on what the engine leaves.
                    tokio::task::yield_now().await;
                    continue;
                }
                Ok(Step::Waiting) => n_failures = 0,
                Err(error) => {
                    n_failures += 1;
                    if n_failures == 1 || n_failures.is_multiple_of(60) {
                        tracing::warn!(n_failures, error = ?error, "replay round failed");
                    }
                }
            }
            tokio::time::sleep(look_every).await;
        }
    }

    /// One step for each tenant that has a job.
    async fn round(&self, fence: &Fence) -> Result<Step, StepError> {
        let jobs = replay_list_turns(self.journal.store()).await?;
        if jobs.is_empty() {
            self.show_running(0);
            return Ok(Step::Waiting);
        }
        self.show_running(replay_count_all_running(self.journal.store()).await?);
        self.directory.refresh().await?;
        let endpoints = self.directory.current();
        let (mut outcome, mut failed) = (Step::Waiting, None);
        for job in jobs {
            // One job that cannot be worked on stops no other.
            match self.step(&job, fence, &endpoints).await {
                Ok(Step::Moved) => outcome = Step::Moved,
                Ok(Step::Waiting) => {}
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(outcome),
        }
    }

    async fn step(
        &self,
        job: &ReplayRow,
        fence: &Fence,
        endpoints: &Arc<EndpointTable>,
    ) -> Result<Step, StepError> {
        let now = self.journal.now();
        let Some(scope) = scope(job) else {
            return self.end(job, fence, (ReplayState::Failed, "its stored form cannot be read")).await;
        };
        if let Some(id) = &job.endpoint_id {
            match endpoints.get(id).filter(|endpoint| endpoint.tenant == job.tenant) {
                None => return self.end(job, fence, (ReplayState::Failed, "endpoint deleted")).await,
                Some(endpoint) if !endpoint.active => {
                    return self.end(job, fence, (ReplayState::Paused, "endpoint not active")).await;
                }
                Some(_) => {}
            }
        }
        if job.next_due_at > now.plus(HORIZON) {
            return Ok(Step::Waiting);
        }
        let enough = usize::try_from(rate(job) * HORIZON.as_secs()).unwrap_or(usize::MAX);
        let picked = scope.pick(self.journal.store(), endpoints, place(job), enough).await?;
        let (after, deliveries) = advance(job, picked, now);
        self.commit(job, &after, fence, deliveries).await
    }

    fn show_running(&self, n: i64) {
        if let Some(dispatcher) = &self.dispatcher {
            dispatcher.metrics().set_replays_running(n);
        }
    }

    fn tell(&self, deliveries: &[DeliveryRow]) {
        let Some(dispatcher) = &self.dispatcher else { return };
        dispatcher.metrics().count_replayed(deliveries.len());
        for delivery in deliveries {
            let at = delivery.next_attempt_at.unwrap_or(delivery.created_at);
            dispatcher.delivery_added(delivery.shard, &delivery.endpoint_id, at);
        }
    }

    /// Stops a job where it is.
    async fn end(
        &self,
        job: &ReplayRow,
        fence: &Fence,
        (state, reason): (ReplayState, &str),
    ) -> Result<Step, StepError> {
        let now = self.journal.now();
        let after = ReplayRow {
            state,
            reason: Some(reason.to_owned()),
            updated_at: now,
            finished_at: state.is_terminal().then_some(now),
            ..job.clone()
        };
        self.commit(job, &after, fence, vec![]).await
    }

    async fn commit(
        &self,
        before: &ReplayRow,
        after: &ReplayRow,
        fence: &Fence,
        deliveries: Vec<DeliveryRow>,
    ) -> Result<Step, StepError> {
        let commit = Commit {
            fence: Some(fence.clone()),
            statements: vec![replay_step(before, after)],
            ..Commit::deliveries(deliveries)
        };
        let deliveries = Arc::clone(&commit.deliveries);
        match self.journal.commit(commit).await {
            Ok(_) => {
                self.tell(&deliveries);
                Ok(Step::Moved)
            }
            // Paused, cancelled, or moved by another runner: the next look shows it as it is.
            Err(CommitError::Guard { .. }) => Ok(Step::Waiting),
            Err(error) => Err(error.into()),
        }
    }
}

fn rate(job: &ReplayRow) -> u64 {
    job.rate_per_s.clamp(1, super::MAX_RATE).unsigned_abs()
}

/// The event behind which the job goes on.
fn place(job: &ReplayRow) -> Option<EventPlace> {
    (job.place.shard >= 0).then_some(job.place)
}

fn scope(job: &ReplayRow) -> Option<Scope> {
    let texts: Vec<String> = serde_json::from_str(&job.event_types).ok()?;
    let states: BTreeSet<Wanted> = serde_json::from_str(&job.states).ok()?;
    Some(Scope {
        tenant: job.tenant.clone(),
        endpoint_id: job.endpoint_id.clone(),
        event_types: texts.iter().map(|text| Pattern::parse(text).ok()).collect::<Option<_>>()?,
        states,
        since: job.since,
        until: job.until,
    })
}

/// The job after a page, and the deliveries of that page.
fn advance(job: &ReplayRow, picked: Picked, now: Timestamp) -> (ReplayRow, Vec<DeliveryRow>) {
    let n_planned = picked.picks.len() as i64;
    let apart = Duration::from_micros(1_000_000 / rate(job));
    let mut due_at = job.next_due_at.max(now);
    let mut deliveries = Vec::with_capacity(picked.picks.len());
    for pick in picked.picks {
        deliveries.push(delivery(job, pick, now, due_at));
        due_at = due_at.plus(apart);
    }
    let after = ReplayRow {
        state: if picked.is_end { ReplayState::Completed } else { ReplayState::Running },
        place: picked.last.unwrap_or(job.place),
        next_due_at: due_at,
        n_scanned: job.n_scanned + picked.n_scanned,
        n_planned: job.n_planned + n_planned,
        n_skipped: job.n_skipped + picked.n_skipped,
        started_at: job.started_at.or(Some(now)),
        updated_at: now,
        finished_at: picked.is_end.then_some(now),
        ..job.clone()
    };
    (after, deliveries)
}

fn delivery(job: &ReplayRow, pick: Pick, now: Timestamp, due_at: Timestamp) -> DeliveryRow {
    DeliveryRow {
        id: DeliveryId::fresh(),
        tenant: job.tenant.clone(),
        endpoint_id: pick.endpoint_id,
        shard: pick.place.shard,
        seq: pick.place.seq,
        event_id: pick.event_id,
        event_type: pick.event_type,
        state: DeliveryState::Pending,
        reason: pick.is_unjudged.then(|| UNJUDGED.to_owned()),
        created_at: now,
        next_attempt_at: Some(due_at),
        finished_at: None,
        n_attempts: 0,
        latest: None,
        order_key: pick.order_key,
    }
}
