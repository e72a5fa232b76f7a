//! What travels between planner, lanes and retrier: a delivery to attempt, and the report of what came of it.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use trunkline_model::{DeliveryId, EndpointId, EventRecord, Timestamp};
use trunkline_store::tables::delivery::{AttemptOutcome, DeliveryRow, DeliveryState};
use trunkline_store::tables::line;

use super::due::Due;
use crate::endpoint::WebhookFormat;
use crate::retry::{self, RetrySchedule, Tried};
use crate::sign;

/// An event with the bodies made of it so far.
pub(crate) struct Outgoing {
    pub(crate) record: EventRecord,
    bodies: [OnceLock<Bytes>; 2],
}

impl Outgoing {
    pub(crate) fn new(record: EventRecord) -> Self {
        Self { record, bodies: [const { OnceLock::new() }; 2] }
    }

    /// The body in a format, made at its first use.
    pub(crate) fn body(&self, format: WebhookFormat) -> Bytes {
        self.bodies[format as usize].get_or_init(|| sign::body(&self.record.event, format)).clone()
    }
}

/// An event and the endpoints it is owed to.
pub(crate) struct Plan {
    /// Numbers the plans of one run of a planner.
    pub(crate) ticket: u64,
    pub(crate) outgoing: Outgoing,
    pub(crate) planned_at: Timestamp,
    pub(crate) targets: Vec<PlanTarget>,
}

/// One delivery of a plan.
pub(crate) struct PlanTarget {
    pub(crate) id: DeliveryId,
    pub(crate) endpoint_id: EndpointId,
    /// It waits in the line of its event's key and is never attempted from memory.
    pub(crate) in_line: bool,
    progress: AtomicU8,
}

const QUEUED: u8 = 0;
const STARTED: u8 = 1;
const WITHDRAWN: u8 = 2;

impl PlanTarget {
    pub(crate) fn new(endpoint_id: EndpointId, in_line: bool) -> Self {
        Self { id: DeliveryId::fresh(), endpoint_id, in_line, progress: AtomicU8::new(QUEUED) }
    }

    fn step(&self, to: u8) -> bool {
        self.progress.compare_exchange(QUEUED, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Keeps the first attempt from starting; false when it has started already.
    pub(crate) fn withdraw(&self) -> bool {
        self.step(WITHDRAWN)
    }
}

impl Plan {
    /// The row of one of the plan's deliveries before any attempt, due at once.
    pub(crate) fn row(&self, index: usize) -> DeliveryRow {
        let EventRecord { shard, seq, event, .. } = &self.outgoing.record;
        let target = &self.targets[index];
        DeliveryRow {
            id: target.id.clone(),
            tenant: event.tenant.clone(),
            endpoint_id: target.endpoint_id.clone(),
            shard: *shard,
            seq: *seq,
            event_id: event.id.clone(),
            event_type: event.event_type.clone(),
            state: DeliveryState::Pending,
            reason: None,
            created_at: self.planned_at,
            next_attempt_at: Some(self.planned_at),
            finished_at: None,
            n_attempts: 0,
            latest: None,
            order_key: target.in_line.then(|| event.partition_key().to_owned()),
        }
    }
}

/// A delivery to attempt.
pub(crate) enum Work {
    /// The first attempt of a delivery that is not stored yet.
    Fresh { plan: Arc<Plan>, index: usize },
    /// An attempt of a stored, pending delivery.
    Stored(Box<Stored>),
}

/// A stored delivery with its event.
pub(crate) struct Stored {
    pub(crate) row: DeliveryRow,
    pub(crate) outgoing: Outgoing,
    /// When its first attempt began, where that decides about the last.
    pub(crate) first_at: Option<Timestamp>,
    /// What comes next in its line.
    pub(crate) run: Option<Box<Run>>,
}

/// How long after its load a run goes on: what the store says of it meanwhile is not looked at.
const RUN_FOR: Duration = Duration::from_secs(1);

/// Deliveries that stand behind one in its line, in order, each to be attempted once the one before it has ended.
///
/// They are held; dropping the run lets go of them.
pub(crate) struct Run {
    due: Arc<Due>,
    loaded_at: Instant,
    rest: VecDeque<Stored>,
}

impl Run {
    /// `rest` is held and in the order of its line.
    pub(crate) fn new(due: Arc<Due>, rest: VecDeque<Stored>) -> Self {
        Self { due, loaded_at: Instant::now(), rest }
    }

    /// The next delivery, with what is behind it; `None` when there is none or the run is too old.
    pub(crate) fn next(mut self: Box<Self>) -> Option<Stored> {
        if self.loaded_at.elapsed() > RUN_FOR {
            return None;
        }
        let next = self.rest.pop_front()?;
        let run = (!self.rest.is_empty()).then_some(self);
        Some(Stored { run, ..next })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        for Stored { row, .. } in self.rest.drain(..) {
            self.due.release(row.endpoint_id, row.id);
        }
    }
}

impl Work {
    pub(crate) fn endpoint_id(&self) -> &EndpointId {
        match self {
            Self::Fresh { plan, index } => &plan.targets[*index].endpoint_id,
            Self::Stored(stored) => &stored.row.endpoint_id,
        }
    }

    pub(crate) fn outgoing(&self) -> &Outgoing {
        match self {
            Self::Fresh { plan, .. } => &plan.outgoing,
            Self::Stored(stored) => &stored.outgoing,
        }
    }

    /// Claims the attempt; false when the planner has withdrawn it.
    fn begin(&self) -> bool {
        match self {
            Self::Fresh { plan, index } => plan.targets[*index].step(STARTED),
            Self::Stored(_) => true,
        }
    }

    fn is_withdrawn(&self) -> bool {
        match self {
            Self::Fresh { plan, index } => plan.targets[*index].progress.load(Ordering::Acquire) == WITHDRAWN,
            Self::Stored(_) => false,
        }
    }

    /// Whether the endpoint's filter has not been asked yet.
    pub(crate) fn is_unjudged(&self) -> bool {
        match self {
            Self::Fresh { .. } => false,
            Self::Stored(stored) => line::is_unjudged(stored.row.reason.as_deref()),
        }
    }

    pub(crate) fn is_stored(&self) -> bool {
        matches!(self, Self::Stored(_))
    }
}

/// Work with the way back to the planner of its shard.
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) reports: mpsc::UnboundedSender<Report>,
}

impl Job {
    /// Claims the attempt; false when it was withdrawn or nobody waits for the report any more.
    pub(crate) fn begin(&self) -> bool {
        !self.reports.is_closed() && self.work.begin()
    }

    pub(crate) fn is_void(&self) -> bool {
        self.reports.is_closed() || self.work.is_withdrawn()
    }

    pub(crate) fn report(self, finding: Finding) {
        // A planner that is gone forgets its deliveries; they are planned or loaded again.
        drop(self.reports.send(Report { work: self.work, finding }));
    }
}

/// What came of a job.
pub(crate) struct Report {
    pub(crate) work: Work,
    pub(crate) finding: Finding,
}

/// What came of an attempt.
pub(crate) enum Finding {
    /// A request was made, or could not be made.
    Attempted(Box<Attempted>),
    /// The endpoint is not there or not active, or its filter refuses the event; holds the reason.
    Cancelled(Cow<'static, str>),
    /// Nothing could be found out; to be tried again soon.
    Postponed,
    /// The endpoint's breaker has opened; to be tried again then.
    Held(Timestamp),
}

/// One attempt with what decides about the next.
pub(crate) struct Attempted {
    pub(crate) outcome: AttemptOutcome,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) schedule: RetrySchedule,
    /// Why the delivery is not to be tried again if this attempt failed.
    pub(crate) give_up: Option<&'static str>,
}

/// Why a delivery is exhausted that held up its key.
pub(crate) const BLOCKED_TOO_LONG: &str = "blocked too long";

/// Takes an attempt into its delivery: the row as it shall be afterwards. `first_at` is when the delivery's first attempt
/// began, if that was another one.
pub(crate) fn after_attempt(
    mut row: DeliveryRow,
    attempted: Attempted,
    first_at: Option<Timestamp>,
) -> DeliveryRow {
    let Attempted { outcome, retry_after, schedule, give_up } = attempted;
    let ended_at = outcome.started_at.plus(Duration::from_micros(outcome.duration_us.unsigned_abs()));
    row.n_attempts += 1;
    row.reason = None;
    row.next_attempt_at = None;
    row.state = if outcome.error_class.is_none() {
        DeliveryState::Succeeded
    } else if let Some(reason) = give_up {
        row.reason = Some(reason.to_owned());
        DeliveryState::Cancelled
    } else {
        let n_attempts = u32::try_from(row.n_attempts).unwrap_or(u32::MAX);
        let tried = Tried { n_attempts, first_at: first_at.unwrap_or(outcome.started_at), ended_at };
        row.next_attempt_at = schedule.next_at(tried, retry::roll(row.id.as_str(), n_attempts), retry_after);
        if row.next_attempt_at.is_some() { DeliveryState::Pending } else { DeliveryState::Exhausted }
    };
    if row.state == DeliveryState::Exhausted && schedule.is_lasting() {
        row.reason = Some(BLOCKED_TOO_LONG.to_owned());
    }
    row.finished_at = row.state.is_terminal().then_some(ended_at);
    row.latest = Some(outcome);
    row
}

/// The row of a delivery given up without an attempt.
pub(crate) fn cancelled(mut row: DeliveryRow, reason: &str, now: Timestamp) -> DeliveryRow {
    row.state = DeliveryState::Cancelled;
    row.reason = Some(reason.to_owned());
    row.next_attempt_at = None;
    row.finished_at = Some(now);
    row
}

/// The row of a delivery that waits for its endpoint's breaker.
pub(crate) fn held(row: DeliveryRow, until: Timestamp) -> DeliveryRow {
    DeliveryRow { next_attempt_at: Some(until), reason: Some(circuit_open(until)), ..row }
}

/// Why a delivery waits for an endpoint's breaker.
pub(crate) fn circuit_open(until: Timestamp) -> String {
    format!("circuit open until {until}")
}
