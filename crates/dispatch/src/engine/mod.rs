//! The engine: plans deliveries from the journal, makes them, records every attempt, and tries again.
//!
//! Parts, per owned shard: a `planner` that reads the journal ahead of the cursor and records results, and a
//! `retrier` that loads stored deliveries when they are due, for ordered endpoints line by line (`order`). Shared by all
//! shards: the `lanes`, one per endpoint, which decide who sends next, and the `sender` that makes one attempt. The
//! supervisor here starts and stops shards as their ownership changes.
//!
//! # States of a delivery
//!
//! ```text
//!            first attempt ends within spill_after (nothing stored before)
//! planned ──────────────┬──────────────────────────────► succeeded        one row, one commit
//! (memory)              ├─ failed, attempts left ──────► pending ─┐       one row, due by the schedule
//!    │                  ├─ failed, none left ──────────► exhausted│
//!    │                  ├─ failed, receiver wants no more ► cancelled
//!    │                  └─ endpoint gone or inactive ──► cancelled│
//!    │                                                            │ due
//!    └─ no outcome in time, lane full or shut: spilled ► pending ─┴─► attempt ─► succeeded | pending | exhausted
//!                                                         └─ endpoint gone or inactive, event expired, receiver
//!                                                            wants no more, skipped by hand, filtered ─► cancelled
//! ```
//!
//! Filters are run when events are planned (`judging`), and what they refuse is no delivery. Where a tenant's filters take
//! too long for that, deliveries are stored as pending and each is judged before its first attempt.
//!
//! Of an ordered endpoint nothing is attempted from memory: planned ──► pending at once, and due when it is the head of
//! its key's line (`order`). A failed head is exhausted by time and not by the number of attempts.
//!
//! An event is settled when each of its deliveries has a row to store. A commit holds the rows of settled events at the
//! front of the window, changes of stored deliveries, and the cursor behind those events, under the shard's fence.
//!
//! # After a crash
//!
//! - Nothing of an event behind the cursor is stored, everything up to it is. The next owner plans the events behind
//!   the cursor again: an attempt that was made but not recorded is made again, with the same `webhook-id` and body.
//! - A stored delivery whose attempt was not recorded is still pending and due: it is made again.
//! - An owner that lost its lease unnoticed cannot commit; what it had sent may be sent a second time.
//! - Each commit also demands that the cursor stands where its planner thinks. After an error that leaves open whether a
//!   commit was applied, the planner begins again from the stored cursor, and the doubtful commit is either in it or
//!   can never be applied: an event never gets two sets of rows.
//!
//! So every event reaches each matching endpoint at least once, or is visibly pending, exhausted or cancelled.
//!
//! # What counts as matching
//!
//! The endpoints at the time of planning, not of the event. A change of an endpoint counts for all events appended
//! after it returned, on this hub through [`Dispatcher::refresh_endpoints`], on others because planners look for
//! changes after each read. An attempt uses the endpoint as it is when the attempt begins.
//!
//! # Endpoints that fail
//!
//! Seconds: the endpoint's lane (`lanes`) slows down, then its breaker opens and its deliveries wait in the store without
//! attempts. Days: `health` keeps a durable clock and switches the endpoint off. Both tell by events (`operational`), in
//! the commit of what they tell.
//!
//! `stats` keeps sums of attempts and deliveries, each part in the commit of what it counts.
//!
//! Deliberately absent: order between the events of an endpoint that does not ask for it (attempts run side by side), and
//! between different keys of one that does.

mod due;
mod expression_pool;
mod flush;
mod health;
mod judging;
mod lanes;
mod operational;
mod order;
mod planner;
mod probe;
mod requests;
mod retrier;
mod sender;
mod stats;
mod supervisor;
mod window;
mod work;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use parking_lot::{Mutex, RwLock};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trunkline_connect::{EgressPolicy, Transport};
use trunkline_journal::Journal;
use trunkline_journal::ownership::Ownership;
use trunkline_model::{Clock, EndpointId, Event, EventType, PerTenant, Shard, Tenant, Timestamp};
use trunkline_sinks::SinkFactory;
use trunkline_store::ReadError;

pub use operational::told_of;
pub use requests::{RequestError, Sample};

pub(crate) use sender::FILTERED;

use self::due::Due;
use self::expression_pool::ExpressionPool;
use self::health::Health;
use self::judging::Allowances;
use self::lanes::{BreakerLimits, LaneLimits, Lanes, Load};
use self::sender::Sender;
use self::stats::Stats;
use crate::endpoint::{DeliveryDefaults, EndpointDirectory, EndpointTable, LocalKinds, Matches, Outlets};
use crate::metrics::DispatchMetrics;

/// The name of the cursor.
pub const CONSUMER: &str = "dispatch";
/// Type of the events that test an endpoint.
pub const TEST_TYPE: &str = "webhook.test";
/// Source of the events that dispatch itself makes: tests, and what it tells of endpoints and deliveries.
pub const OWN_SOURCE: &str = "/trunkline/dispatch";
/// Source of the events that test an endpoint.
pub const TEST_SOURCE: &str = OWN_SOURCE;

/// Whether an event tests one endpoint: its delivery was stored with it, nobody else gets it.
pub(crate) fn is_test(event: &Event) -> bool {
    event.event_type.as_str() == TEST_TYPE && operational::is_own(event)
}

/// The endpoints that want events of a type, save the one that the event tells of.
pub(crate) fn recipients(
    table: &EndpointTable,
    tenant: &Tenant,
    event_type: &EventType,
    told_of: Option<&str>,
) -> Matches {
    let matches = table.matching(tenant, event_type);
    match told_of {
        None => matches,
        Some(id) => matches.iter().filter(|endpoint| endpoint.id.as_str() != id).cloned().collect(),
    }
}

/// The endpoints whose patterns select an event.
fn recipients_of(table: &EndpointTable, event: &Event) -> Matches {
    let told_of = told_of(&event.source, event.subject.as_deref());
    recipients(table, &event.tenant, &event.event_type, told_of)
}

/// Bounds of the engine. The defaults suit; tests choose others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineLimits {
    /// Attempts open at once over all endpoints. Default 1024.
    pub in_flight_total: usize,
    /// First attempts that wait for one endpoint. Default 2048.
    pub lane: usize,
    /// Events of a shard planned and not recorded. Default 1024: few enough that a busy endpoint which takes 4,000 a second
    /// gets them all before `spill_after`, since a spilled delivery costs several times one that is not.
    pub window: usize,
    /// Content bytes of these events, about. Default 64 MiB.
    pub window_bytes: usize,
    /// Events read at once. Default 256.
    pub read_batch: usize,
    /// Results that are committed at once without waiting for more. Default 256.
    pub flush_rows: usize,
    /// How long a result waits for others to share its commit. Default 5 ms.
    pub flush_after: Duration,
    /// How long an event waits for its first attempts before it is stored as pending. Default 250 ms.
    pub spill_after: Duration,
    /// How long stopping waits for open attempts. Default 5 s.
    pub drain: Duration,
    /// Failures in a row after which an endpoint gets no attempts for a while. Default 10: two rounds of the default
    /// in-flight cap, so that one bad moment is not enough.
    pub failures_to_open: u32,
    /// The first such while; each further one is twice as long. Default 5 s, spread by a fifth.
    pub cool_down: Duration,
    /// The longest. Default 5 min.
    pub cool_down_max: Duration,
    /// How often the health of endpoints that fail is written down. Default 5 s.
    pub health_every: Duration,
    /// How often figures of attempts and deliveries are summed up. Default 5 s.
    pub fold_every: Duration,
    /// How long an endpoint may do nothing but fail until it is switched off; `None` for ever. Default 5 days.
    pub disable_after: Option<Duration>,
    /// When an endpoint that was switched off so is tried for the first time; each further wait is twice as long.
    /// Default 1 h.
    pub probe_after: Duration,
    /// The longest such wait. Default a day.
    pub probe_after_max: Duration,
    /// How often is looked for endpoints to try. Default 10 s.
    pub probe_every: Duration,
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self {
            in_flight_total: 1024,
            lane: 2048,
            window: 1024,
            window_bytes: 64 << 20,
            read_batch: 256,
            flush_rows: 256,
            flush_after: Duration::from_millis(5),
            spill_after: Duration::from_millis(250),
            drain: Duration::from_secs(5),
            failures_to_open: 10,
            cool_down: Duration::from_secs(5),
            cool_down_max: Duration::from_mins(5),
            health_every: Duration::from_secs(5),
            fold_every: Duration::from_secs(5),
            disable_after: Some(Duration::from_hours(5 * 24)),
            probe_after: Duration::from_hours(1),
            probe_after_max: Duration::from_hours(24),
            probe_every: Duration::from_secs(10),
        }
    }
}

/// What the engine works with.
pub struct DispatcherOptions {
    /// Where events come from; its clock is the engine's.
    pub journal: Journal,
    /// Which shards this hub works on.
    pub ownership: Ownership,
    /// How requests leave.
    pub transport: PerTenant<Arc<dyn Transport>>,
    /// Which URLs may be sent to; the transport judges addresses by its own.
    pub egress: PerTenant<EgressPolicy>,
    /// Opens brokers and object stores, by the same policy.
    pub sinks: Option<PerTenant<Arc<SinkFactory>>>,
    /// Whether endpoints may lead into the hub itself.
    pub local: LocalKinds,
    /// What endpoints get that set nothing themselves.
    pub defaults: DeliveryDefaults,
    /// Value of the `User-Agent` header.
    pub user_agent: Option<HeaderValue>,
    /// Bounds.
    pub limits: EngineLimits,
    /// Where figures go.
    pub metrics: DispatchMetrics,
}

impl DispatcherOptions {
    /// Options with defaults for everything that has one.
    pub fn new(
        journal: Journal,
        ownership: Ownership,
        transport: impl Into<PerTenant<Arc<dyn Transport>>>,
    ) -> Self {
        Self {
            journal,
            ownership,
            transport: transport.into(),
            egress: PerTenant::default(),
            sinks: None,
            local: LocalKinds::default(),
            defaults: DeliveryDefaults::default(),
            user_agent: None,
            limits: EngineLimits::default(),
            metrics: DispatchMetrics::default(),
        }
    }
}

/// What all parts of the engine share.
struct Shared {
    journal: Journal,
    clock: Arc<dyn Clock>,
    directory: Arc<EndpointDirectory>,
    lanes: Arc<Lanes<Sender>>,
    health: Arc<Health>,
    allowances: Allowances,
    expressions: Arc<ExpressionPool>,
    stats: Stats,
    limits: EngineLimits,
    metrics: DispatchMetrics,
    /// The shards at work here, for pokes.
    shards: RwLock<HashMap<Shard, Arc<Due>>>,
}

impl Shared {
    /// Tells the shard's retrier, if it works here, that something is due.
    fn poke(&self, shard: Shard, endpoint: &EndpointId, at: Timestamp) {
        if let Some(due) = self.shards.read().get(&shard) {
            due.note(endpoint, at);
        }
    }

    /// The same for the head of a line that somebody waits for.
    fn poke_line(&self, shard: Shard, endpoint: &EndpointId, key: &str) {
        if let Some(due) = self.shards.read().get(&shard) {
            due.note_line_first(endpoint, key);
        }
    }
}

/// The wait after a number of failures in a row: 50 ms, doubling up to 10 s.
fn backoff(n_failures: u32) -> Duration {
    let doubled = 50_u64.saturating_mul(1 << n_failures.saturating_sub(1).min(10));
    Duration::from_millis(doubled.min(10_000))
}

/// How the breaker of an endpoint stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circuit {
    /// Attempts are made.
    Closed,
    /// No attempts until this time.
    Open(Timestamp),
    /// A single attempt is to show whether the endpoint is well again.
    HalfOpen,
}

/// Handle to the running engine; cheap to clone.
#[derive(Clone)]
pub struct Dispatcher {
    shared: Arc<Shared>,
    stopping: CancellationToken,
    supervisor: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatcher").finish_non_exhaustive()
    }
}

impl Dispatcher {
    /// Starts the engine on the current runtime. Cancelling `stop` begins the drain; [`Dispatcher::stop`] also waits
    /// for its end. Keep ownership and store alive until then.
    pub fn start(options: DispatcherOptions, stop: CancellationToken) -> Self {
        let DispatcherOptions {
            journal,
            ownership,
            transport,
            egress,
            sinks,
            local,
            defaults,
            user_agent,
            limits,
            metrics,
        } = options;
        let clock = Arc::clone(journal.clock());
        let outlets = Outlets { egress, transport: Some(transport.clone()), sinks, local };
        let directory = Arc::new(EndpointDirectory::new(journal.store().clone(), defaults, outlets));
        let health = Arc::new(Health::default());
        let expressions = Arc::new(ExpressionPool::default());
        let sender = Sender {
            expressions: Arc::clone(&expressions),
            health: Arc::clone(&health),
            directory: Arc::clone(&directory),
            transport,
            clock: Arc::clone(&clock),
            user_agent,
            metrics: metrics.clone(),
        };
        let lane_limits = LaneLimits {
            in_flight_total: limits.in_flight_total.max(1),
            fresh_per_lane: limits.lane,
            breaker: BreakerLimits {
                failures_to_open: limits.failures_to_open,
                cool_down: limits.cool_down,
                cool_down_max: limits.cool_down_max,
            },
        };
        let shared = Arc::new(Shared {
            lanes: Lanes::new(sender, lane_limits, Arc::clone(&clock)),
            health,
            allowances: Allowances::default(),
            expressions,
            stats: Stats::default(),
            journal,
            clock,
            directory,
            limits,
            metrics,
            shards: RwLock::default(),
        });
        let task = supervisor::run(Arc::clone(&shared), ownership.owned(), stop.clone());
        Self { shared, stopping: stop, supervisor: Arc::new(Mutex::new(Some(tokio::spawn(task)))) }
    }

    /// Stops planning, lets open attempts end within the drain limit, records their outcomes, and returns. What is
    /// left over is made again later.
    pub async fn stop(&self) {
        // The lanes first: an attempt that ends now must not be followed by another one.
        self.shared.lanes.close();
        self.shared.expressions.close();
        self.stopping.cancel();
        let task = self.supervisor.lock().take();
        if let Some(task) = task
            && let Err(error) = task.await
            && error.is_panic()
        {
            tracing::error!(error = ?error, "dispatch ended in a panic");
        }
    }

    /// Reads the endpoints anew if any changed. Call it after every change of an endpoint: the change counts for all
    /// events appended after this returns.
    pub async fn refresh_endpoints(&self) -> Result<(), ReadError> {
        self.shared.directory.refresh().await.map(drop)
    }

    /// The endpoints as the engine knows them.
    pub fn endpoints(&self) -> Arc<EndpointTable> {
        self.shared.directory.current()
    }

    /// How the breaker of an endpoint stands on this hub.
    pub fn circuit(&self, endpoint: &EndpointId) -> Circuit {
        match self.shared.lanes.load(endpoint, usize::MAX) {
            Load::Takes => Circuit::Closed,
            Load::Shut { until } => Circuit::Open(until),
            // A lane is never full of that many: its probe is under way.
            Load::Probes | Load::Full { .. } => Circuit::HalfOpen,
        }
    }

    /// Ends everything at once, as a crash would.
    #[cfg(test)]
    pub(crate) async fn crash(self) {
        let task = self.supervisor.lock().take();
        if let Some(task) = task {
            task.abort();
            drop(task.await);
        }
        self.shared.lanes.close();
    }
}

#[cfg(test)]
mod tests;
