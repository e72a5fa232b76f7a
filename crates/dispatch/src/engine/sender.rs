//! One attempt: the endpoint as it is now, headers and signature, the call, the verdict. Run by the lanes.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderValue, Method, StatusCode, header};
use tokio::time::Instant;
use trunkline_connect::progress::observed;
use trunkline_connect::{OutboundRequest, Target, TokenSource, Transport};
use trunkline_model::{AttemptId, Clock, Event, PerTenant};
use trunkline_sinks::SinkMessage;
use trunkline_store::tables::delivery::AttemptOutcome;

use super::expression_pool::{Busy, ExpressionPool, Patience};
use super::health::{ASKED, GONE, Health};
use super::lanes::{Attempt, Effect, Watch};
use super::work::{Attempted, Finding, Job, Work};
use crate::endpoint::{Endpoint, EndpointDirectory, Way};
use crate::metrics::DispatchMetrics;
use crate::outcome::{Ask, MAX_BODY_HEAD, Standing, TRANSFORM_FAILED, Verdict};
use crate::request::{Composed, compose};
use crate::sign;

/// Why deliveries of a removed endpoint are given up.
pub(crate) const ENDPOINT_DELETED: &str = "endpoint deleted";
/// Why deliveries of an inactive endpoint are given up.
pub(crate) const ENDPOINT_DISABLED: &str = "endpoint disabled";

/// Why a delivery is given up whose receiver wants no more of it.
pub(crate) const ABORTED: &str = "aborted by receiver";

/// Why a delivery is given up whose body cannot be made.
pub(crate) const UNTRANSFORMED: &str = "transform failed";

/// Why a delivery is given up that its receiver can never take.
pub(crate) const NEVER_TAKEN: &str = "rejected by receiver";

/// Why there is no delivery that the endpoint's filter refuses, when it was planned before the filter could be asked.
pub(crate) const FILTERED: &str = "filtered";

/// What attempts need.
pub(crate) struct Sender {
    pub(crate) expressions: Arc<ExpressionPool>,
    pub(crate) health: Arc<Health>,
    pub(crate) directory: Arc<EndpointDirectory>,
    pub(crate) transport: PerTenant<Arc<dyn Transport>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) user_agent: Option<HeaderValue>,
    pub(crate) metrics: DispatchMetrics,
}

impl Attempt for Sender {
    async fn run(&self, job: Job, watch: Watch) -> Effect {
        let (finding, effect) = self.find_out(&job.work, watch).await;
        job.report(finding);
        effect
    }

    fn in_flight(&self, n: usize) {
        self.metrics.set_in_flight(n);
    }

    fn breakers_open(&self, n: usize) {
        self.metrics.set_breakers_open(n);
    }
}

impl Sender {
    async fn find_out(&self, work: &Work, watch: Watch) -> (Finding, Effect) {
        let endpoint = match find_endpoint(&self.directory, work.endpoint_id()).await {
            Ok(endpoint) => endpoint,
            Err(Some(reason)) => return (Finding::Cancelled(reason.into()), Effect::Nothing),
            Err(None) => return (Finding::Postponed, Effect::Nothing),
        };
        let preparing = AssertUnwindSafe(self.prepare(&endpoint, work)).catch_unwind();
        let body = match preparing.await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(Unready::Unwanted(reason))) => return (Finding::Cancelled(reason), Effect::Nothing),
            // Whoever has so much to do is better asked less often.
            Ok(Err(Unready::Busy)) => return (Finding::Postponed, Effect::Overloaded),
            Ok(Err(Unready::Failed(verdict))) => Err(*verdict),
            Err(_) => Err(Verdict::internal()),
        };
        let started_at = self.clock.now();
        let started = Instant::now();
        let verdict = match body {
            Err(verdict) => verdict,
            Ok(body) => {
                let event = &work.outgoing().record.event;
                let attempt = AssertUnwindSafe(self.attempt(&endpoint, event, body)).catch_unwind();
                attempt.await.unwrap_or_else(|_| Verdict::internal())
            }
        };
        let took = started.elapsed();
        self.metrics.count_attempt(verdict.error_class.unwrap_or("succeeded"), took.as_secs_f64());
        let (effect, give_up) = self.consider(&verdict, &endpoint, work, watch);
        let attempted = Attempted {
            retry_after: verdict.retry_after,
            schedule: endpoint.policy.retry_for(&work.outgoing().record.event.event_type).clone(),
            outcome: outcome(verdict, started_at, took),
            give_up,
        };
        (Finding::Attempted(Box::new(attempted)), effect)
    }

    /// Notes what an attempt says about the endpoint; tells what it means for the lane, and why the delivery is to be
    /// given up if it failed.
    fn consider(
        &self,
        verdict: &Verdict,
        endpoint: &Endpoint,
        work: &Work,
        watch: Watch,
    ) -> (Effect, Option<&'static str>) {
        let event = &work.outgoing().record.event;
        let standing = verdict.standing();
        let effect = match standing {
            Standing::Delivered => Effect::Took,
            Standing::Internal | Standing::Rejected => Effect::Nothing,
            Standing::Overloaded => Effect::Overloaded,
            Standing::Failed | Standing::Gone => Effect::Failed,
        };
        match effect {
            Effect::Took if watch == Watch::None => {}
            Effect::Took => self.health.succeeded(endpoint, event, self.clock.now(), watch == Watch::Probe),
            Effect::Nothing => {}
            Effect::Failed | Effect::Overloaded => {
                let error = verdict.error.as_deref().unwrap_or_default();
                self.health.failed(endpoint, event, self.clock.now(), error);
            }
        }
        let disable = match (verdict.ask, standing) {
            (Some(Ask::Disable), _) => Some(ASKED),
            (_, Standing::Gone) => Some(GONE),
            _ => None,
        };
        if let Some(reason) = disable {
            self.health.disable(endpoint, event, reason);
        }
        let give_up = match (verdict.ask, verdict.error_class) {
            (Some(Ask::Abort), _) => Some(ABORTED),
            (_, Some(TRANSFORM_FAILED)) => Some(UNTRANSFORMED),
            _ if standing == Standing::Rejected => Some(NEVER_TAKEN),
            _ => None,
        };
        (effect, disable.or(give_up))
    }

    /// Makes the body, asking the filter first where that has not been done.
    async fn prepare(&self, endpoint: &Arc<Endpoint>, work: &Work) -> Result<Bytes, Unready> {
        let body = work.outgoing().body(endpoint.format);
        if work.is_unjudged() {
            match self.expressions.wants(endpoint, body.clone(), Patience::Little).await? {
                Ok(true) => {}
                Ok(false) => return Err(Unready::Unwanted(FILTERED.into())),
                Err(fault) => return Err(Unready::Unwanted(fault.to_string().into())),
            }
        }
        let made = self.expressions.transformed(endpoint, body).await?;
        made.map_err(|fault| Unready::Failed(Box::new(Verdict::untransformed(&fault))))
    }

    /// Sends an event that is stored nowhere, past the lanes: to find out how the endpoint does.
    pub(crate) async fn probe(&self, endpoint: &Arc<Endpoint>, event: &Event) -> Verdict {
        let probing = async {
            let body = self.expressions.transformed(endpoint, sign::body(event, endpoint.format)).await;
            match body {
                Ok(Ok(body)) => self.attempt(endpoint, event, body).await,
                Ok(Err(fault)) => Verdict::untransformed(&fault),
                Err(Busy) => Verdict::internal(),
            }
        };
        AssertUnwindSafe(probing).catch_unwind().await.unwrap_or_else(|_| Verdict::internal())
    }

    /// Makes the request and sends it the endpoint's way.
    async fn attempt(&self, endpoint: &Endpoint, event: &Event, body: Bytes) -> Verdict {
        let access = match &endpoint.access {
            Ok(access) => access,
            Err(fault) => return Verdict::unusable(*fault),
        };
        let user_agent = self.user_agent.as_ref();
        let composed = compose(endpoint, access, (event, body), self.clock.now(), user_agent);
        let timeout = endpoint.policy.timeout;
        match &access.way {
            Way::Http(way) => {
                let shared = self.transport.of(&endpoint.tenant);
                let transport = way.own.as_ref().unwrap_or(shared);
                let request = post(way.target.clone(), composed, timeout);
                let Some(tokens) = &way.tokens else {
                    return Verdict::of_call(observed(transport.send(request)).await, self.clock.now());
                };
                self.attempt_with_token((tokens, &**shared), &**transport, request).await
            }
            Way::Sink(Some(sink)) => {
                let message = message(event, composed, timeout);
                Verdict::of_sink(observed(sink.send(message)).await)
            }
            Way::Sink(None) => Verdict::internal(),
        }
    }

    /// Calls with a token, which is fetched by a transport of its own. A token that the endpoint refuses may have been withdrawn: another one is fetched, once.
    async fn attempt_with_token(
        &self,
        (tokens, to_tokens): (&TokenSource, &dyn Transport),
        transport: &dyn Transport,
        request: OutboundRequest,
    ) -> Verdict {
        let deadline = Instant::now() + request.timeout;
        let mut is_second = false;
        loop {
            let token = match tokens.token(to_tokens, deadline).await {
                Ok(token) => token,
                Err(fault) => return Verdict::without_token(&fault),
            };
            let mut request = request.clone();
            request.headers.insert(header::AUTHORIZATION, token.header().clone());
            request.timeout = deadline.saturating_duration_since(Instant::now());
            let called = observed(transport.send(request)).await;
            let is_refused =
                called.0.as_ref().is_ok_and(|response| response.status == StatusCode::UNAUTHORIZED);
            if is_refused {
                tokens.refused(&token).await;
            }
            if !is_refused || is_second {
                return Verdict::of_call(called, self.clock.now());
            }
            is_second = true;
        }
    }
}

/// Why there is no body to send.
enum Unready {
    /// The endpoint's filter does not want the event; holds why the delivery is given up.
    Unwanted(Cow<'static, str>),
    /// The tenant's expressions take too long; to be tried again.
    Busy,
    /// The attempt ends here.
    Failed(Box<Verdict>),
}

impl From<Busy> for Unready {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

fn post(target: Target, Composed { headers, body }: Composed, timeout: Duration) -> OutboundRequest {
    OutboundRequest {
        method: Method::POST,
        target,
        headers,
        body,
        timeout,
        response_limit_bytes: MAX_BODY_HEAD,
    }
}

fn message(event: &Event, composed: Composed, timeout: Duration) -> SinkMessage {
    let Composed { mut headers, body } = composed;
    let content_type = headers.remove(header::CONTENT_TYPE);
    headers.remove(header::USER_AGENT);
    SinkMessage {
        id: sign::webhook_id(event).into_owned(),
        event_type: sign::presented(event).event_type.clone(),
        tenant: event.tenant.clone(),
        subject: event.subject.clone(),
        time: event.time,
        content_type: content_type.unwrap_or_else(|| HeaderValue::from_static("application/json")),
        body,
        headers,
        timeout,
    }
}

fn outcome(verdict: Verdict, started_at: trunkline_model::Timestamp, took: Duration) -> AttemptOutcome {
    AttemptOutcome {
        id: AttemptId::fresh(),
        started_at,
        duration_us: micros(took),
        status: verdict.status.map(i64::from),
        error_class: verdict.error_class.map(str::to_owned),
        error: verdict.error,
        response_head: verdict.response_head,
        first_byte_us: verdict.timing.first_byte.map(micros),
        connection: verdict.timing.connection.map(|connection| connection.to_json()),
    }
}

fn micros(took: Duration) -> i64 {
    i64::try_from(took.as_micros()).unwrap_or(i64::MAX)
}

/// Finds an active endpoint. Before it is called gone or inactive, the directory looks again: another node may have
/// just made it. `Err(None)` when that look fails.
pub(crate) async fn find_endpoint(
    directory: &EndpointDirectory,
    id: &trunkline_model::EndpointId,
) -> Result<Arc<Endpoint>, Option<&'static str>> {
    let active = |endpoint: &&Arc<Endpoint>| endpoint.active;
    if let Some(endpoint) = directory.current().get(id).filter(active) {
        return Ok(Arc::clone(endpoint));
    }
    directory.refresh().await.map_err(|_| None)?;
    match directory.current().get(id) {
        None => Err(Some(ENDPOINT_DELETED)),
        Some(endpoint) if !endpoint.active => Err(Some(ENDPOINT_DISABLED)),
        Some(endpoint) => Ok(Arc::clone(endpoint)),
    }
}
