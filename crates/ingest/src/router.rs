//! `POST /in/{source}`: from the raw call to its answer. `GET`, where a provider asks that way, is answered at once.
//!
//! ```text
//! source? ─► body ─► address ─► handshake? ─► signature ─► rate ─► handshake? ─► judge ─► ONE commit ─► 202 {"id"}
//!   404     413 408    401       200, no event   401         429      200, no event │        │ 503        (a repeat: 202 with
//!                                                 └► refused.rs                     └ never refuses:       the first id)
//!                                                                                     quarantine
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
use axum::extract::{ConnectInfo, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode};
use ipnet::IpNet;
use trunkline_config::ServerSettings;
use trunkline_model::{Clock, Event, InboundId, Timestamp};
use trunkline_store::tables::inbound::{InboundRow, Verdict, inbound_insert, seen_claim};
use trunkline_store::{Commit, CommitError, Committed, NewEvent, Seen, Statement, Store};

use crate::body::BodyBudget;
use crate::client_address::client_address;
use crate::judge::{Arrival, Judgement, judge, judge_named};
use crate::outbound::Outbound;
use crate::problem::Problem;
use crate::refused::{self, RefusedLog};
use crate::schemes::{Call, Content, Reading, Receipt, Refusal};
use crate::source::{Source, SourceStats, count};
use crate::{answer, body, request_head};

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
    outbound: Option<Outbound>,
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
    /// Without a way out, sources whose calls are verified by fetched certificates answer 503.
    pub fn start(
        options: IngestOptions,
        sources: Vec<Source>,
        store: Store,
        clock: Arc<dyn Clock>,
        outbound: Option<Outbound>,
    ) -> Self {
        let refused = RefusedLog::start(store.clone());
        let sources = sources.into_iter().map(|source| (source.name.clone(), source)).collect();
        let shared = Shared {
            store,
            clock,
            bodies: BodyBudget::new(options.body_memory_bytes),
            options,
            outbound,
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
        let answer = match *request.method() {
            Method::POST => self.shared.accept(request).await,
            Method::GET => self.shared.greet(request),
            _ => Err(Problem::MethodNotAllowed),
        };
        answer.unwrap_or_else(IntoResponse::into_response)
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

/// A verified call on its way into the store.
struct VerifiedCall {
    id: InboundId,
    parts: Parts,
    body: Bytes,
    now: Timestamp,
    dedupe_key: Option<String>,
    one_time: Option<String>,
    judgement: Judgement,
    /// Whether the event's data was made from the body, which has to be kept beside it.
    is_made: bool,
}

/// A call as schemes look at it.
fn call_of<'a>(parts: &'a Parts, body: &'a [u8], now: Timestamp) -> Call<'a> {
    let uri = &parts.uri;
    Call { method: &parts.method, path: uri.path(), query: uri.query(), headers: &parts.headers, body, now }
}

/// The body of a refused call as it is kept: a copy, so that a row that waits does not hold the connection's whole read
/// buffer.
fn kept(source: &Source, body: &Bytes) -> Option<Bytes> {
    let body = (body.len() <= refused::MAX_BODY_LEN).then(|| source.scheme.kept_body(body)).flatten()?;
    Some(Bytes::copy_from_slice(&body))
}

impl Shared {
    pub(crate) fn source(&self, name: &str) -> Option<&Source> {
        self.sources.get(name)
    }

    /// Finds the source of a call.
    fn source_of(&self, path: &str) -> Result<&Source, Problem> {
        if self.is_draining.load(Ordering::Relaxed) {
            return Err(Problem::Draining);
        }
        let source = self.sources.get(path.strip_prefix("/in/").unwrap_or(""));
        source.ok_or_else(|| {
            count(&self.n_unknown_source);
            Problem::UnknownSource
        })
    }

    /// Answers a handshake by `GET`, for the schemes that have one.
    fn greet(&self, request: Request) -> Result<Response, Problem> {
        let (parts, _) = request.into_parts();
        let source = self.source_of(parts.uri.path())?;
        if !source.scheme.takes_get() {
            return Err(Problem::MethodNotAllowed);
        }
        let call = call_of(&parts, &[], self.clock.now());
        let address = source.needs_address().then(|| self.address(&parts)).flatten();
        let answer = source.check_address(address).and_then(|()| {
            let missing = || Err(Refusal::TokenMismatch);
            source.scheme.challenge(&call).unwrap_or_else(missing)
        });
        match answer {
            Ok(reply) => {
                count(&source.counters.handshakes);
                Ok(answer::reply(reply))
            }
            Err(refusal) => {
                self.note_refused(source, &parts, &Bytes::new(), &refusal);
                Err(Problem::NotMeant)
            }
        }
    }

    async fn accept(&self, request: Request) -> Result<Response, Problem> {
        let (parts, body) = request.into_parts();
        let source = self.source_of(parts.uri.path())?;
        let IngestOptions { body_limit_bytes, body_timeout, .. } = self.options;
        let (body, share) = body::read(body, body_limit_bytes, body_timeout, &self.bodies)
            .await
            .inspect_err(|_| count(&source.counters.unreadable))
            .map_err(Problem::Body)?;

        let now = self.clock.now();
        let address = source.needs_address().then(|| self.address(&parts)).flatten();
        let call = call_of(&parts, &body, now);
        let challenged =
            source.check_address(address).and_then(|()| source.scheme.challenge(&call).transpose());
        match challenged {
            Ok(None) => {}
            Ok(Some(reply)) => {
                count(&source.counters.handshakes);
                return Ok(answer::reply(reply));
            }
            Err(refusal) => return self.refuse(source, &parts, &body, &refusal),
        }
        self.prepare(source, &call).await.inspect_err(|_| count(&source.counters.failed))?;
        let proof = match source.verify(&call, address) {
            Ok(proof) => proof,
            Err(refusal) => return self.refuse(source, &parts, &body, &refusal),
        };
        drop(share);
        source.admit().map_err(|retry_after_s| {
            count(&source.counters.rate_limited);
            Problem::RateLimited { retry_after_s }
        })?;
        let id = InboundId::fresh();
        let arrival = Arrival { id: &id, headers: &parts.headers, body: &body, now };
        let mut dedupe_key = proof.dedupe_key;
        let (judgement, is_made) = match source.scheme.read(&call) {
            Reading::Plain => (judge(&source.origin, &arrival), false),
            Reading::Event(named) => {
                let is_made = matches!(named.content, Content::Made(_));
                dedupe_key = dedupe_key.or_else(|| named.dedupe_key.clone());
                (judge_named(&source.origin, &arrival, *named), is_made)
            }
            Reading::Handshake { reply, visit } => {
                if let Some(url) = visit {
                    self.visit(source, &url).await.inspect_err(|_| count(&source.counters.failed))?;
                }
                count(&source.counters.handshakes);
                return Ok(answer::reply(reply));
            }
        };
        let one_time = proof.one_time;
        let dedupe_key = dedupe_key.or_else(|| Some(Source::key_of_spent(one_time.as_deref()?, &body)));
        let call = VerifiedCall { id, parts, body, now, dedupe_key, one_time, judgement, is_made };
        self.store_verified(source, call).await
    }

    /// Fetches what a call cannot be verified without.
    async fn prepare(&self, source: &Source, call: &Call<'_>) -> Result<(), Problem> {
        if source.scheme.certificates().is_none() {
            return Ok(());
        }
        self.outbound.as_ref().ok_or(Problem::NotFetched)?.fetch_certificate(source, call).await
    }

    /// Completes a handshake.
    async fn visit(&self, source: &Source, url: &str) -> Result<(), Problem> {
        self.outbound.as_ref().ok_or(Problem::NotFetched)?.visit(source, url).await
    }

    /// Records a call that is not believed, and answers it.
    fn refuse(
        &self,
        source: &Source,
        parts: &Parts,
        body: &Bytes,
        refusal: &Refusal,
    ) -> Result<Response, Problem> {
        self.note_refused(source, parts, body, refusal);
        match source.scheme.receipt() {
            Receipt::Bare => Ok(answer::bare(StatusCode::UNAUTHORIZED)),
            _ => Err(Problem::NotVerified),
        }
    }

    /// Stores; gives the answer with the id.
    async fn store_verified(&self, source: &Source, call: VerifiedCall) -> Result<Response, Problem> {
        let counter = match call.judgement {
            Judgement::Event(_) => &source.counters.accepted,
            Judgement::Quarantine { .. } => &source.counters.quarantined,
        };
        let id = call.id.clone();
        // Only such a call can still be refused.
        let one_time = call.one_time.is_some().then(|| (call.parts.clone(), call.body.clone()));
        let receipt = source.scheme.receipt();
        match self.store.commit(self.plan(source, call)).await {
            Ok(Committed::Applied(_)) => {
                count(counter);
                Ok(answer::receipt(receipt, id.as_str()))
            }
            Ok(Committed::Repeat { inbound_id }) => {
                count(&source.counters.repeated);
                Ok(answer::receipt(receipt, &inbound_id))
            }
            Err(error) => match (error, one_time) {
                (CommitError::Guard { .. }, Some((parts, body))) => {
                    self.refuse(source, &parts, &body, &Refusal::TokenSpent)
                }
                (error, _) => {
                    count(&source.counters.failed);
                    self.log_failure(source, &error);
                    Err(Problem::from(&error))
                }
            },
        }
    }

    /// Everything that must become durable before the answer.
    fn plan(&self, source: &Source, call: VerifiedCall) -> Commit {
        let VerifiedCall { id, parts, body, now, dedupe_key, one_time, judgement, is_made } = call;
        let seen = dedupe_key.map(|key| Seen {
            source: source.name.clone(),
            key,
            inbound_id: id.as_str().to_owned(),
            seen_at: now,
        });
        let mut statements: Vec<Statement> =
            one_time.iter().map(|token| seen_claim(&source.name, token, &id, now)).collect();
        let hidden = source.scheme.credential_header();
        let row = |verdict, reason, event: Option<&Event>| InboundRow {
            id: id.clone(),
            tenant: source.origin.tenant().clone(),
            source: source.name.clone(),
            received_at: now,
            verdict,
            reason,
            head: request_head::render(&parts, hidden, self.address(&parts)),
            body: source.scheme.kept_body(&body),
            event_id: event.map(|event| event.id.as_str().to_owned()),
        };
        match judgement {
            Judgement::Quarantine { reason } => {
                statements.push(inbound_insert(&row(Verdict::Quarantined, reason, None)));
                Commit { seen, statements, ..Commit::default() }
            }
            // The event is one record with the call.
            Judgement::Event(event) if !is_made && event.id.to_inbound().as_ref() == Some(&id) => {
                let request_head = Some(request_head::render(&parts, hidden, None));
                let events = vec![NewEvent { event, recorded_at: now, request_head }];
                Commit { seen, statements, events, ..Commit::default() }
            }
            // The event has an id or data of its own, so that the call needs a row to be found by.
            Judgement::Event(mut event) => {
                statements.push(inbound_insert(&row(Verdict::Accepted, String::new(), Some(&event))));
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
                body: kept(source, body),
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
