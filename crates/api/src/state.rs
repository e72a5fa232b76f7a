//! What every handler works with. Made once by the binary; cheap to clone.

use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use trunkline_connect::EgressPolicy;
use trunkline_dispatch::endpoint::LocalKinds;
use trunkline_journal::Journal;
use trunkline_logistics::ledger::Ledger;
use trunkline_logistics::tracking::EtaChain;
use trunkline_model::{PerTenant, Timestamp};
use trunkline_store::Store;

use crate::auth::TokenCache;
use crate::catalogue::EventCatalogue;
use crate::cors::CorsOrigins;
use crate::metrics::ApiMetrics;
use crate::routes::stream::StreamSlots;
use crate::seams::{Deliveries, Rejudge};

/// Bounds of one request.
#[derive(Debug, Clone, Copy)]
pub struct ApiLimits {
    /// Largest body in bytes. Default 1 MiB.
    pub body_bytes: usize,
    /// Largest event in bytes, content and attributes together. Default 1 MiB.
    pub event_bytes: usize,
    /// How long a request may take. Default 30 s.
    pub request_timeout: Duration,
    /// Endpoints of one tenant. Default 10 000.
    pub endpoints: i64,
    /// Endpoints of one tenant beyond which a portal token makes none. Default 100.
    pub endpoints_by_portal: i64,
    /// Requests of one token a second, twice as many at once. Default no limit.
    pub requests_per_s: Option<NonZeroU32>,
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            event_bytes: 1024 * 1024,
            request_timeout: Duration::from_secs(30),
            endpoints: 10_000,
            endpoints_by_portal: 100,
            requests_per_s: None,
        }
    }
}

/// What the API must know of how dispatch sends.
#[derive(Debug, Clone, Default)]
pub struct Sending {
    /// Value of the `User-Agent` header.
    pub user_agent: Option<HeaderValue>,
    /// Whether endpoints may lead into the hub itself.
    pub local: LocalKinds,
}

/// What the API is built from.
pub struct ApiParts {
    /// The journal, with store and clock.
    pub journal: Journal,
    /// The name of this node.
    pub node_id: String,
    /// Dispatch.
    pub deliveries: Arc<dyn Deliveries>,
    /// Ingest.
    pub rejudge: Arc<dyn Rejudge>,
    /// The workflow engine.
    pub workflows: trunkline_flow::engine::Engine,
    /// Whoever keeps the books.
    pub ledger: Arc<dyn Ledger>,
    /// Whoever knows how long ways take.
    pub eta: Arc<EtaChain>,
    /// The event catalogue.
    pub catalogue: EventCatalogue,
    /// Where endpoints may point.
    pub egress: PerTenant<EgressPolicy>,
    /// How dispatch sends.
    pub sending: Sending,
    /// What `/metrics` shows.
    pub registry: Arc<Registry>,
    /// The API's own figures, registered in `registry`.
    pub metrics: ApiMetrics,
    /// Cancelled when the hub begins to stop: then writes are refused and `/readyz` fails.
    pub draining: CancellationToken,
    /// Whose scripts may read answers in browsers.
    pub cors: CorsOrigins,
    /// Bounds of one request.
    pub limits: ApiLimits,
}

/// State of the API.
#[derive(Clone)]
pub struct ApiState(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) parts: ApiParts,
    pub(crate) tokens: TokenCache,
    pub(crate) streams: StreamSlots,
}

impl ApiState {
    /// Puts the parts together.
    pub fn new(parts: ApiParts) -> Self {
        let tokens = TokenCache::new(parts.limits.requests_per_s);
        Self(Arc::new(Shared { parts, tokens, streams: StreamSlots::default() }))
    }

    /// Forgets verified tokens, after one was changed on this node by other means than the API.
    pub fn forget_tokens(&self) {
        self.0.tokens.clear();
    }

    pub(crate) fn tokens(&self) -> &TokenCache {
        &self.0.tokens
    }

    pub(crate) fn streams(&self) -> &StreamSlots {
        &self.0.streams
    }

    pub(crate) fn store(&self) -> &Store {
        self.journal.store()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.journal.now()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }
}

impl Deref for ApiState {
    type Target = ApiParts;

    fn deref(&self) -> &ApiParts {
        &self.0.parts
    }
}

impl std::fmt::Debug for ApiState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApiState({})", self.node_id)
    }
}
