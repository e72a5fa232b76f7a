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

use super::lanes::Attempt;
use super::work::{Attempted, Finding, Job, Work};
use crate::endpoint::{Endpoint, EndpointDirectory, EndpointFault};
use crate::metrics::DispatchMetrics;
use crate::outcome::{MAX_BODY_HEAD, Verdict};
use crate::sign;

/// Why deliveries of a removed endpoint are given up.
pub(crate) const ENDPOINT_DELETED: &str = "endpoint deleted";
/// Why deliveries of an inactive endpoint are given up.
pub(crate) const ENDPOINT_DISABLED: &str = "endpoint disabled";

/// What attempts need.
pub(crate) struct Sender {
    pub(crate) directory: Arc<EndpointDirectory>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) user_agent: Option<HeaderValue>,
    pub(crate) metrics: DispatchMetrics,
}

impl Attempt for Sender {
    async fn run(&self, job: Job) -> bool {
        let finding = self.find_out(&job.work).await;
        let failed = matches!(&finding, Finding::Attempted(made) if made.outcome.error_class.is_some());
        job.report(finding);
        !failed
    }

    fn in_flight(&self, n: usize) {
        self.metrics.set_in_flight(n);
    }
}

impl Sender {
    async fn find_out(&self, work: &Work) -> Finding {
        let endpoint = match find_endpoint(&self.directory, work.endpoint_id()).await {
            Ok(endpoint) => endpoint,
            Err(Some(reason)) => return Finding::Cancelled(reason),
            Err(None) => return Finding::Postponed,
        };
        let started_at = self.clock.now();
        let started = Instant::now();
        let verdict = match self.request(&endpoint, work) {
            Err(fault) => Verdict::unusable(fault),
            Ok(request) => match AssertUnwindSafe(self.transport.send(request)).catch_unwind().await {
                Ok(result) => Verdict::of_call(result, self.clock.now()),
                Err(_) => Verdict::internal(),
            },
        };
        let took = started.elapsed();
        self.metrics.count_attempt(verdict.error_class.unwrap_or("succeeded"), took.as_secs_f64());
        Finding::Attempted(Box::new(Attempted {
            retry_after: verdict.retry_after,
            schedule: endpoint.policy.retry.clone(),
            outcome: outcome(verdict, started_at, took),
        }))
    }

    fn request(&self, endpoint: &Endpoint, work: &Work) -> Result<OutboundRequest, EndpointFault> {
        let access = endpoint.access.as_ref().map_err(|fault| *fault)?;
        let outgoing = work.outgoing();
        let body = outgoing.body(endpoint.format);
        let id = sign::webhook_id(&outgoing.record.event);
        let mut headers = sign::headers(&id, &body, endpoint.format, &access.keys, self.clock.now());
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
