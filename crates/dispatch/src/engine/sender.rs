//! One attempt: the endpoint as it is now, headers and signature, the call, the verdict. Run by the lanes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{HeaderValue, Method, header};
use tokio::time::Instant;
use trunkline_connect::{OutboundRequest, Transport};
use trunkline_model::{AttemptId, Clock};
use trunkline_store::tables::delivery::AttemptOutcome;

use super::health::{ASKED, GONE, Health};
use super::lanes::{Attempt, Effect, Watch};
use super::work::{Attempted, Finding, Job, Work};
use crate::endpoint::{Endpoint, EndpointDirectory};
use crate::metrics::DispatchMetrics;
use crate::outcome::{Ask, MAX_BODY_HEAD, Standing, TRANSFORM_FAILED, Verdict};
use crate::sign;

/// Why deliveries of a removed endpoint are given up.
pub(crate) const ENDPOINT_DELETED: &str = "endpoint deleted";
/// Why deliveries of an inactive endpoint are given up.
pub(crate) const ENDPOINT_DISABLED: &str = "endpoint disabled";

/// Why a delivery is given up whose receiver wants no more of it.
pub(crate) const ABORTED: &str = "aborted by receiver";

/// Why a delivery is given up whose body cannot be made.
pub(crate) const UNTRANSFORMED: &str = "transform failed";

/// What attempts need.
pub(crate) struct Sender {
    pub(crate) health: Arc<Health>,
    pub(crate) directory: Arc<EndpointDirectory>,
    pub(crate) transport: Arc<dyn Transport>,
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
}

impl Sender {
    async fn find_out(&self, work: &Work, watch: Watch) -> (Finding, Effect) {
        let endpoint = match find_endpoint(&self.directory, work.endpoint_id()).await {
            Ok(endpoint) => endpoint,
            Err(Some(reason)) => return (Finding::Cancelled(reason), Effect::Nothing),
            Err(None) => return (Finding::Postponed, Effect::Nothing),
        };
        let started_at = self.clock.now();
        let started = Instant::now();
        let verdict = match self.request(&endpoint, work) {
            Err(verdict) => verdict,
            Ok(request) => match AssertUnwindSafe(self.transport.send(request)).catch_unwind().await {
                Ok(result) => Verdict::of_call(result, self.clock.now()),
                Err(_) => Verdict::internal(),
            },
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
            Standing::Internal => Effect::Nothing,
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
            _ => None,
        };
        (effect, disable.or(give_up))
    }

    fn request(&self, endpoint: &Endpoint, work: &Work) -> Result<OutboundRequest, Verdict> {
        let access = endpoint.access.as_ref().map_err(|fault| Verdict::unusable(*fault))?;
        let outgoing = work.outgoing();
        let body = endpoint.expressions.transformed(outgoing.body(endpoint.format));
        let body = body.map_err(|fault| Verdict::untransformed(&fault))?;
        let event = &outgoing.record.event;
        let id = sign::webhook_id(event);
        let message = sign::Message {
            id: &id,
            event_type: event.event_type.as_str(),
            body: &body,
            now: self.clock.now(),
        };
        let mut headers = access.headers.clone();
        headers.insert(header::CONTENT_TYPE, sign::content_type(endpoint.format));
        sign::sign(&mut headers, &message, endpoint.signature_format, &access.keys);
        if let Some(agent) = &self.user_agent {
            headers.insert(header::USER_AGENT, agent.clone());
        }
        Ok(OutboundRequest {
            method: Method::POST,
            target: access.target.clone(),
            headers,
            body,
            timeout: endpoint.policy.timeout,
            response_limit_bytes: MAX_BODY_HEAD,
        })
    }
}

fn outcome(verdict: Verdict, started_at: trunkline_model::Timestamp, took: Duration) -> AttemptOutcome {
    AttemptOutcome {
        id: AttemptId::fresh(),
        started_at,
        duration_us: i64::try_from(took.as_micros()).unwrap_or(i64::MAX),
        status: verdict.status.map(i64::from),
        error_class: verdict.error_class.map(str::to_owned),
        error: verdict.error,
        response_head: verdict.response_head,
    }
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
