//! `POST /in/{source}`: from the raw call to its answer.
//!
//! ```text
//! source? ─► body ─► address, signature ─► rate ─► judge ─► ONE commit ─► 202 {"id"}
//!   404     413 408         401             429      │        │ 503        (a repeat: 202 with the first id)
//!                            └► refused.rs           └ never refuses: quarantine
//! ```
//!
//! The rate limit counts verified calls only: otherwise a stranger could use up the budget of the real sender, and
//! verifying costs a tenth of what reading the request did. Crash story: before the commit is durable nothing was
//! promised; after it everything is on disk. The sender's retry of a call whose answer was lost is a repeat.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use ipnet::IpNet;
use trunkline_config::ServerSettings;
use trunkline_model::{Clock, Event, InboundId, Timestamp};
use trunkline_store::tables::inbound::{InboundRow, Verdict, inbound_insert};
use trunkline_store::{Commit, CommitError, Committed, NewEvent, Seen, Store};

use crate::body::BodyBudget;
use crate::client_address::client_address;
use crate::judge::{Arrival, Judgement, judge};
use crate::problem::Problem;
use crate::refused::{self, RefusedLog};
use crate::schemes::{Call, Refusal};
use crate::source::{Source, SourceStats, count};
use crate::{body, request_head};

/// At most one log line per this many microseconds while the store refuses everything.
const LOG_EVERY_US: i64 = 5_000_000;

/// The limits that all sources share.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// The largest body.
    pub body_limit_bytes: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// The memory that bodies of calls not verified yet may hold together.
    pub body_memory_bytes: usize,
    /// Networks whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl From<&ServerSettings> for IngestOptions {
    fn from(settings: &ServerSettings) -> Self {
        Self {
            body_limit_bytes: settings.body_limit_bytes,
            body_timeout: settings.request_timeout,
            body_memory_bytes: settings.body_memory_bytes,
            trusted_proxies: settings.trusted_proxies.clone(),
        }
    }
}

/// Takes webhook calls in. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    options: IngestOptions,
    bodies: BodyBudget,
    sources: HashMap<String, Source>,
    refused: RefusedLog,
    is_draining: AtomicBool,
    n_unknown_source: AtomicU64,
    logged_at_us: AtomicI64,
}

/// The figures of all sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestStats {
    /// One entry per enabled source, by name.
    pub sources: Vec<SourceStats>,
    /// Calls to sources that do not exist.
    pub unknown_source: u64,
}

impl Ingest {
    /// Begins to take calls for `sources`. Must be called on a tokio runtime: refused calls are recorded by a task of it.
    pub fn start(options: IngestOptions, sources: Vec<Source>, store: Store, clock: Arc<dyn Clock>) -> Self {
        let refused = RefusedLog::start(store.clone());
        let sources = sources.into_iter().map(|source| (source.name.clone(), source)).collect();
        let shared = Shared {
            store,
            clock,
            bodies: BodyBudget::new(options.body_memory_bytes),
            options,
            sources,
            refused,
            is_draining: AtomicBool::new(false),
            n_unknown_source: AtomicU64::new(0),
            logged_at_us: AtomicI64::new(i64::MIN),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The routes. Callers' addresses come from `ConnectInfo<SocketAddr>`; without it every allow-list refuses.
    pub fn router(&self) -> Router {
        let ingest = self.clone();
        Router::new().route("/in/{source}", any(move |request| async move { ingest.answer(request).await }))
    }

    /// Answers one call to `/in/{source}`: what the routes do, for a server that has told the path apart already.
    pub async fn answer(&self, request: Request) -> Response {
        if request.method() != Method::POST {
            return Problem::MethodNotAllowed.into_response();
        }
        match self.shared.accept(request).await {
            Ok(id) => accepted(&id),
            Err(problem) => problem.into_response(),
        }
    }

    /// Answers every further call `503`, so that the senders come back later. Calls under way are finished.
    pub fn start_drain(&self) {
        self.shared.is_draining.store(true, Ordering::Relaxed);
    }

    /// Returns when every refused call so far has been recorded or dropped.
    pub async fn flush(&self) {
        self.shared.refused.flush().await;
    }

    /// Reads the counters.
    pub fn stats(&self) -> IngestStats {
        let mut sources: Vec<SourceStats> = self.shared.sources.values().map(Source::stats).collect();
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        IngestStats { sources, unknown_source: self.shared.n_unknown_source.load(Ordering::Relaxed) }
    }
}

impl std::fmt::Debug for Ingest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ingest({} sources)", self.shared.sources.len())
    }
}

/// The answer to an accepted call; ids need no escaping.
fn accepted(id: &str) -> Response {
    let mut text = String::with_capacity(id.len() + 9);
    text.push_str("{\"id\":\"");
    text.push_str(id);
    text.push_str("\"}");
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A verified call on its way into the store.
struct VerifiedCall {
    parts: Parts,
    body: Bytes,
    now: Timestamp,
    dedupe_key: Option<String>,
}

impl Shared {
    pub(crate) fn source(&self, name: &str) -> Option<&Source> {
        self.sources.get(name)
    }

    async fn accept(&self, request: Request) -> Result<String, Problem> {
        if self.is_draining.load(Ordering::Relaxed) {
            return Err(Problem::Draining);
        }
        let (parts, body) = request.into_parts();
        let name = parts.uri.path().strip_prefix("/in/").unwrap_or("");
        let Some(source) = self.sources.get(name) else {
            count(&self.n_unknown_source);
            return Err(Problem::UnknownSource);
        };
        let IngestOptions { body_limit_bytes, body_timeout, .. } = self.options;
        let (body, share) = body::read(body, body_limit_bytes, body_timeout, &self.bodies)
            .await
            .inspect_err(|_| count(&source.counters.unreadable))
            .map_err(Problem::Body)?;

        let now = self.clock.now();
        let address = source.needs_address().then(|| self.address(&parts)).flatten();
        let call = Call { headers: &parts.headers, body: &body, now };
        let dedupe_key = match source.verify(&call, address) {
            Ok(verified) => verified.dedupe_key,
            Err(refusal) => {
                self.note_refused(source, &parts, &body, &refusal);
                return Err(Problem::NotVerified);
            }
        };
        drop(share);
        source.admit().map_err(|retry_after_s| {
            count(&source.counters.rate_limited);
            Problem::RateLimited { retry_after_s }
        })?;
        self.store_verified(source, VerifiedCall { parts, body, now, dedupe_key }).await
    }

    /// Judges and stores; gives the id to answer with.
    async fn store_verified(&self, source: &Source, call: VerifiedCall) -> Result<String, Problem> {
        let id = InboundId::fresh();
        let arrival = Arrival { id: &id, headers: &call.parts.headers, body: &call.body, now: call.now };
        let judgement = judge(&source.origin, &arrival);
        let counter = match judgement {
            Judgement::Event(_) => &source.counters.accepted,
            Judgement::Quarantine { .. } => &source.counters.quarantined,
        };
        let commit = self.plan(source, &id, call, judgement);
        match self.store.commit(commit).await {
            Ok(Committed::Applied(_)) => {
                count(counter);
                Ok(id.into_string())
            }
            Ok(Committed::Repeat { inbound_id }) => {
                count(&source.counters.repeated);
                Ok(inbound_id)
            }
            Err(error) => {
                count(&source.counters.failed);
                self.log_failure(source, &error);
                Err(Problem::from(&error))
            }
        }
    }

    /// Everything that must become durable before the answer.
    fn plan(&self, source: &Source, id: &InboundId, call: VerifiedCall, judgement: Judgement) -> Commit {
        let VerifiedCall { parts, body, now, dedupe_key } = call;
        let seen = dedupe_key.map(|key| Seen {
            source: source.name.clone(),
            key,
            inbound_id: id.as_str().to_owned(),
            seen_at: now,
        });
        let hidden = source.scheme.credential_header();
        let row = |verdict, reason, event: Option<&Event>| InboundRow {
            id: id.clone(),
            tenant: source.origin.tenant().clone(),
            source: source.name.clone(),
            received_at: now,
            verdict,
            reason,
            head: request_head::render(&parts, hidden, self.address(&parts)),
            body: Some(body.clone()),
            event_id: event.map(|event| event.id.as_str().to_owned()),
        };
        match judgement {
            Judgement::Quarantine { reason } => {
                let statements = vec![inbound_insert(&row(Verdict::Quarantined, reason, None))];
                Commit { seen, statements, ..Commit::default() }
            }
            // The event is one record with the call.
            Judgement::Event(event) if event.id.to_inbound().as_ref() == Some(id) => {
                let request_head = Some(request_head::render(&parts, hidden, None));
                let events = vec![NewEvent { event, recorded_at: now, request_head }];
                Commit { seen, events, ..Commit::default() }
            }
            // The event has an id of its own, so that the call needs a row to be found by.
            Judgement::Event(mut event) => {
                let statements = vec![inbound_insert(&row(Verdict::Accepted, String::new(), Some(&event)))];
                event.causationid.get_or_insert_with(|| id.as_str().to_owned());
                Commit { seen, statements, events: vec![NewEvent::new(event, now)], ..Commit::default() }
            }
        }
    }

    /// The caller's address behind trusted proxies.
    fn address(&self, parts: &Parts) -> Option<IpAddr> {
        let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
        Some(client_address(peer.ip(), &parts.headers, &self.options.trusted_proxies))
    }

    /// Hands a refused call over to be recorded, if there is room.
    fn note_refused(&self, source: &Source, parts: &Parts, body: &Bytes, refusal: &Refusal) {
        count(&source.counters.refused);
        let is_handed_over = source.may_record()
            && self.refused.offer(InboundRow {
                id: InboundId::fresh(),
                tenant: source.origin.tenant().clone(),
                source: source.name.clone(),
                received_at: self.clock.now(),
                verdict: Verdict::Rejected,
                reason: refusal.to_string(),
                head: request_head::render(parts, source.scheme.credential_header(), self.address(parts)),
                // A copy, so that a row that waits does not hold the connection's whole read buffer.
                body: (body.len() <= refused::MAX_BODY_LEN).then(|| Bytes::copy_from_slice(body)),
                event_id: None,
            });
        if !is_handed_over {
            count(&source.counters.refused_unrecorded);
        }
    }

    /// Logs that a call could not be stored, a few times a minute at most.
    fn log_failure(&self, source: &Source, error: &CommitError) {
        let now = self.clock.now().as_micros();
        let last = self.logged_at_us.load(Ordering::Relaxed);
        if now.saturating_sub(last) < LOG_EVERY_US {
            return;
        }
        if self.logged_at_us.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::error!(source = source.name, %error, cause, "webhook call not stored");
        }
    }
}
