//! Switching an endpoint on again together with a replay of what it missed.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use trunkline_store::tables::endpoint::{EndpointRow, endpoint_update};
use trunkline_store::tables::endpoint_health::endpoint_health_get;
use trunkline_store::tables::replay::replay_insert;
use utoipa::ToSchema;

use super::fields::RECOVER;
use super::shown::Webhook;
use super::{commit, find, next_version};
use crate::auth::{Permit, grants};
use crate::input::{Id, Input, JsonBody};
use crate::problem::Problem;
use crate::routes::answers::{json as answer, located};
use crate::routes::health::missed_since;
use crate::routes::replays::{self, ReplayJob};
use crate::state::ApiState;

/// An endpoint that is on again, and the job that sends what it missed.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookRecovery {
    webhook: Webhook,
    replay: ReplayJob,
}

pub(super) async fn recover(
    permit: Permit<grants::EndpointsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(RECOVER, body.0.unwrap_or_else(|| json!({})));
    let now = state.now();
    let row = find(&state, &permit.tenant, &id).await?;
    let health = endpoint_health_get(state.store(), &permit.tenant, &id).await?;
    let known = health.and_then(|health| health.failing_since.or(health.disabled_at));
    let since = match (input.time("since"), known) {
        (None, Some(at)) => Some(missed_since(&state, &permit.tenant, &id, at).await?),
        (asked, _) => asked,
    };
    if since.is_none() {
        input.fault("since", "required", "is missing; no failure of the endpoint is on record");
    }
    if since.is_some_and(|since| since >= now) {
        input.fault("since", "out_of_range", "must not be in the future");
    }
    input.finish()?;
    replays::check_number(&state, &permit.tenant).await?;
    let job = replays::recovery(&row, since.unwrap_or_default(), input.integer("rate_per_s"), now);
    // Fails when the endpoint was changed since: then nothing is made.
    let row = EndpointRow { active: true, ..next_version(&state, row) };
    commit(&state, vec![endpoint_update(&row), replay_insert(&job)]).await?;
    let path = format!("/api/v1/replays/{}", job.id);
    let recovery = WebhookRecovery { webhook: Webhook::try_from(&row)?, replay: ReplayJob::from(job) };
    Ok(located(answer(StatusCode::CREATED, &recovery), &path))
}
