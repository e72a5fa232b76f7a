//! The engine: plans deliveries from the journal, makes them, records every attempt, and tries again.
//!
//! Parts, per owned shard: a `planner` that reads the journal ahead of the cursor and records results, and a
//! `retrier` that loads stored deliveries when they are due. Shared by all shards: the `lanes`, one per endpoint,
//! which decide who sends next, and the `sender` that makes one attempt. The supervisor here starts and stops shards
//! as their ownership changes.
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
//!                                                            wants no more ─► cancelled
//! ```
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
//! Deliberately absent: order between the events of one endpoint (attempts run side by side).

mod due;
mod health;
mod lanes;
mod operational;
mod planner;
mod requests;
mod retrier;
mod sender;
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
use trunkline_model::{Clock, EndpointId, Event, Shard, Timestamp};
use trunkline_store::ReadError;

pub use requests::RequestError;

use self::due::Due;
use self::health::Health;
use self::lanes::{BreakerLimits, LaneLimits, Lanes};
use self::sender::Sender;
use crate::endpoint::{DeliveryDefaults, EndpointDirectory, EndpointTable, Matches};
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
fn is_test(event: &Event) -> bool {
    event.event_type.as_str() == TEST_TYPE && operational::is_own(event)
}

/// The endpoints that an event goes to: all that want it, save the one that it tells of.
pub(crate) fn recipients(table: &EndpointTable, event: &Event) -> Matches {
    let matches = table.matching(&event.tenant, &event.event_type);
    if !operational::is_own(event) {
        return matches;
    }
    matches.iter().filter(|endpoint| !operational::is_about(event, &endpoint.id)).cloned().collect()
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
    /// How long an endpoint may do nothing but fail until it is switched off; `None` for ever. Default 5 days.
    pub disable_after: Option<Duration>,
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
            disable_after: Some(Duration::from_hours(5 * 24)),
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
    pub transport: Arc<dyn Transport>,
    /// Which URLs may be sent to; the transport judges addresses by its own.
    pub egress: EgressPolicy,
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
    pub fn new(journal: Journal, ownership: Ownership, transport: Arc<dyn Transport>) -> Self {
        Self {
            journal,
            ownership,
            transport,
            egress: EgressPolicy::default(),
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
}

/// The wait after a number of failures in a row: 50 ms, doubling up to 10 s.
fn backoff(n_failures: u32) -> Duration {
    let doubled = 50_u64.saturating_mul(1 << n_failures.saturating_sub(1).min(10));
    Duration::from_millis(doubled.min(10_000))
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
            defaults,
            user_agent,
            limits,
            metrics,
        } = options;
        let clock = Arc::clone(journal.clock());
        let directory = Arc::new(EndpointDirectory::new(journal.store().clone(), defaults, egress));
        let health = Arc::new(Health::default());
        let sender = Sender {
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
