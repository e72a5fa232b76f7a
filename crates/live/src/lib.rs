//! Live updates: events as they are stored, to whom they concern, over connections that stay open.
//!
//! Layer L3. The binary starts [`Live`] beside the API and mounts its router. Two halves:
//! - the core knows rooms and people and no wire: [`Principal`] says who may join which room, [`Rules`] which rooms an event
//!   goes to, `fanout` reads the journal once for everybody and puts each event into bounded queues;
//! - `plain` speaks JSON frames over WebSocket on `/live`. Another protocol is another module beside it.
//!
//! ```text
//!  journal ──► reader ──► ring ──► rooms ──► queue of a connection ──► socket
//!     ▲           one per process              │ full: the connection ends, nobody waits
//!     └── published events ◄───────────────────┘
//! ```
//!
//! Invariants: a connection sees each event of a room that it has joined once and in the order of its shard, from the place where it
//! joined, until it is told that it has ended. Nobody joins a room of another tenant. While nobody is connected nothing is read.
//! Nothing here is durable: after a crash clients come back and name the place up to which they have seen everything.
//!
//! Deliberately absent: who a token belongs to and whether an event may be stored ([`Door`], which the binary joins to the API).

mod door;
mod ending;
mod event;
mod fanout;
mod metrics;
mod plain;
mod principal;
mod revocation;
mod rules;
mod slots;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trunkline_journal::Journal;

pub use door::{Credential, Door, Refusal};
pub use metrics::LiveMetrics;
pub use principal::{Principal, Reach};
pub use rules::{PublishRule, RoomRule, Rules, TemplateFault};

use crate::fanout::Fanout;
use crate::slots::Slots;

/// Bounds of live connections.
#[derive(Debug, Clone, Copy)]
pub struct LiveLimits {
    /// Connections of this hub. Default 10 000.
    pub connections: usize,
    /// Connections of one tenant on this hub. Default 5 000.
    pub connections_per_tenant: usize,
    /// Rooms that one connection may have joined. Default 100.
    pub rooms: usize,
    /// Largest frame that a client may send, in bytes. Default 64 KiB.
    pub frame_bytes: usize,
    /// Frames that a client may send a second, twice as many at once; more are read later. Default 50.
    pub frames_per_s: u32,
    /// How long a client may take to say who it is. Default 10 s.
    pub auth_timeout: Duration,
    /// How often a connection is tried and told how far it has come. Default 25 s.
    pub heartbeat: Duration,
    /// Events that may wait for one connection. Default 1 024.
    pub queue_events: usize,
    /// Bytes that may wait for one connection. Default 1 MiB.
    pub queue_bytes: usize,
    /// Events, of all tenants, that are read again for a client that comes back. Default 10 000.
    pub resume_events: i64,
}

impl Default for LiveLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_tenant: 5_000,
            rooms: 100,
            frame_bytes: 64 * 1024,
            frames_per_s: 50,
            auth_timeout: Duration::from_secs(10),
            heartbeat: Duration::from_secs(25),
            queue_events: 1024,
            queue_bytes: 1024 * 1024,
            resume_events: 10_000,
        }
    }
}

/// What live updates are started from.
pub struct LiveOptions {
    /// The journal, with store and clock.
    pub journal: Journal,
    /// Who somebody is, and what may be stored.
    pub door: Arc<dyn Door>,
    /// Which rooms events go to, and who may send what.
    pub rules: Rules,
    /// Bounds.
    pub limits: LiveLimits,
    /// Figures.
    pub metrics: LiveMetrics,
}

/// Live updates at work; cheap to clone.
#[derive(Clone)]
pub struct Live(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) journal: Journal,
    pub(crate) door: Arc<dyn Door>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) limits: LiveLimits,
    pub(crate) metrics: LiveMetrics,
    pub(crate) fanout: Arc<Fanout>,
    pub(crate) slots: Slots,
    /// Ends connections.
    pub(crate) draining: CancellationToken,
    pub(crate) connections: TaskTracker,
    /// Ends what works behind them.
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Live {
    /// Starts the reader and the look-out for revoked tokens; both sleep while nobody is connected.
    pub fn start(options: LiveOptions) -> Self {
        let LiveOptions { journal, door, rules, limits, metrics } = options;
        let (rules, stop, tasks) = (Arc::new(rules), CancellationToken::new(), TaskTracker::new());
        let fanout =
            Arc::new(Fanout::new(journal.clone(), Arc::clone(&rules), limits.resume_events, metrics.clone()));
        tasks.spawn(fanout::read(Arc::clone(&fanout), stop.clone()));
        tasks.spawn(revocation::watch(Arc::clone(&fanout), stop.clone()));
        Self(Arc::new(Shared {
            journal,
            door,
            rules,
            limits,
            metrics,
            fanout,
            slots: Slots::new(limits),
            draining: CancellationToken::new(),
            connections: TaskTracker::new(),
            stop,
            tasks,
        }))
    }

    /// The route `/live`.
    pub fn router(&self) -> axum::Router {
        plain::router(Arc::clone(&self.0))
    }

    /// Tells every connection that the hub goes away, waits for them at most `limit`, then ends what works behind them.
    pub async fn stop(&self, limit: Duration) {
        let live = &self.0;
        live.draining.cancel();
        live.connections.close();
        if tokio::time::timeout(limit, live.connections.wait()).await.is_err() {
            tracing::warn!(n_connections = live.connections.len(), "live connections are cut");
        }
        live.stop.cancel();
        live.tasks.close();
        live.tasks.wait().await;
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Live")
    }
}
