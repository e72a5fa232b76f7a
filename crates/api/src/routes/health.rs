//! `/api/v1/webhooks/{id}/health`: whether an endpoint takes what it is sent, since when not, and what to do about it.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use trunkline_model::{ErrorCode, Tenant, Timestamp};
use trunkline_store::tables::delivery::delivery_count_pending;
use trunkline_store::tables::delivery_history::undelivered_since;
use trunkline_store::tables::endpoint::endpoint_get;
use trunkline_store::tables::endpoint_health::{EndpointHealthRow, endpoint_health_get};
use utoipa::ToSchema;

use super::answers::json;
use crate::auth::portal::Access;
use crate::auth::{Permit, grants};
use crate::input::Id;
use crate::openapi::{Answer, Operation};
use crate::problem::Problem;
use crate::seams::Circuit;
use crate::state::ApiState;

/// Pending deliveries are counted up to here.
const MAX_PENDING: i64 = 1000;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/api/v1/webhooks/{id}/health", "getWebhookHealth", get)
            .about("webhooks", "Shows how an endpoint is doing")
            .details(
                "`circuit` is that of the hub that answers, everything else is the same on every hub. What is known of \
                 failures is written down every few seconds.",
            )
            .permit::<grants::DeliveriesRead>()
            .portal(Access::EndpointInPath)
            .id_of("ep_")
            .answer(Answer::json::<WebhookHealth>(200, "How it is doing."))
            .problems(&[ErrorCode::EndpointNotFound]),
    ]
}

/// How an endpoint is doing.
#[derive(Debug, Serialize, ToSchema)]
struct WebhookHealth {
    state: HealthState,
    /// Since when every attempt has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    failing_since: Option<String>,
    /// The success that ended the latest run of failures.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    last_success_at: Option<String>,
    /// Failed attempts since `failing_since`.
    #[schema(minimum = 0)]
    n_failures: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    last_error: Option<String>,
    /// When the hub switched the endpoint off.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    disabled_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    disabled_reason: Option<String>,
    circuit: CircuitState,
    /// Until when the circuit is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    circuit_until: Option<String>,
    /// Deliveries that wait; counted up to 1000.
    #[schema(minimum = 0, maximum = 1000)]
    n_pending: i64,
    /// Whether there are more than that.
    has_more_pending: bool,
    /// Where to look at what was missed, while the endpoint fails or is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = MissedEvents)]
    missed: Option<MissedEvents>,
}

/// Where to look at what was missed, and how to have it sent again.
#[derive(Debug, Serialize, ToSchema)]
struct MissedEvents {
    /// `GET` lists it.
    list: String,
    /// `POST` makes a job that sends it again, with `body`, once the endpoint is well.
    replay: &'static str,
    body: MissedReplay,
}

/// The body of a replay of what was missed.
#[derive(Debug, Serialize, ToSchema)]
struct MissedReplay {
    endpoint_id: String,
    #[schema(format = DateTime)]
    since: String,
}

/// How an endpoint is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum HealthState {
    /// It takes what it is sent, as far as is known.
    Healthy,
    /// Every attempt fails.
    Failing,
    /// The hub switched it off.
    Disabled,
    /// Somebody switched it off.
    Inactive,
}

/// How the circuit of an endpoint stands on this hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum CircuitState {
    /// Attempts are made.
    Closed,
    /// No attempts for a while.
    Open,
    /// A single attempt is to show whether the endpoint is well again.
    HalfOpen,
}

async fn get(
    permit: Permit<grants::DeliveriesRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let row = endpoint_get(state.store(), &permit.tenant, &id).await?;
    let row = row.ok_or_else(|| Problem::new(ErrorCode::EndpointNotFound))?;
    let health = endpoint_health_get(state.store(), &permit.tenant, &id).await?;
    let n_pending = delivery_count_pending(state.store(), &id, MAX_PENDING + 1).await?;
    let (circuit, circuit_until) = match state.deliveries.circuit(&row.id) {
        Circuit::Closed => (CircuitState::Closed, None),
        Circuit::Open(until) => (CircuitState::Open, Some(until.to_rfc3339())),
        Circuit::HalfOpen => (CircuitState::HalfOpen, None),
    };
    let known = health.as_ref();
    let failing_since = known.and_then(|known| known.failing_since);
    // Switched on again, and nothing attempted since: what the hub did before is history.
    let disabled_at = known.and_then(|known| known.disabled_at).filter(|_| !row.active);
    let standing = match (row.active, disabled_at, failing_since) {
        (false, Some(_), _) => HealthState::Disabled,
        (false, None, _) => HealthState::Inactive,
        (true, _, Some(_)) => HealthState::Failing,
        (true, _, None) => HealthState::Healthy,
    };
    let troubled_since = match failing_since.or(disabled_at) {
        Some(at) => Some(missed_since(&state, &permit.tenant, &id, at).await?),
        None => None,
    };
    let text = |of: fn(&EndpointHealthRow) -> Option<&String>| known.and_then(of).cloned();
    let shown = WebhookHealth {
        state: standing,
        failing_since: failing_since.map(Timestamp::to_rfc3339),
        last_success_at: known.and_then(|known| known.last_success_at).map(Timestamp::to_rfc3339),
        n_failures: known.map_or(0, |known| known.n_failures),
        last_error: text(|known| known.last_error.as_ref()),
        disabled_at: disabled_at.map(Timestamp::to_rfc3339),
        disabled_reason: text(|known| known.disabled_reason.as_ref()).filter(|_| disabled_at.is_some()),
        circuit,
        circuit_until,
        n_pending: n_pending.min(MAX_PENDING),
        has_more_pending: n_pending > MAX_PENDING,
        missed: troubled_since.map(|since| missed(&id, since)),
    };
    Ok(json(StatusCode::OK, &shown))
}

/// Since when events were stored that an endpoint has missed which is in trouble since `at`. The first of them are older than
/// the trouble: the one whose attempt failed, and whatever waited then.
///
/// # Errors
/// Those of the store.
pub(super) async fn missed_since(
    state: &ApiState,
    tenant: &Tenant,
    endpoint_id: &str,
    at: Timestamp,
) -> Result<Timestamp, Problem> {
    let earliest = undelivered_since(state.store(), tenant, endpoint_id, at).await?;
    Ok(earliest.map_or(at, |earliest| earliest.min(at)))
}

fn missed(id: &str, since: Timestamp) -> MissedEvents {
    let since = since.to_rfc3339();
    MissedEvents {
        list: format!("/api/v1/webhooks/{id}/undelivered?since={since}"),
        replay: "/api/v1/replays",
        body: MissedReplay { endpoint_id: id.to_owned(), since },
    }
}
