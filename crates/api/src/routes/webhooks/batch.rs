//! One action on many endpoints, each in a commit of its own: one that fails leaves the others alone.

use std::collections::HashSet;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use trunkline_model::{ErrorCode, Tenant};
use trunkline_store::Statement;
use trunkline_store::tables::endpoint::{EndpointRow, endpoint_update};
use utoipa::ToSchema;

use super::fields::BATCH;
use super::{deletion, find, next_version, store};
use crate::auth::{Permit, grants, portal};
use crate::input::{Input, JsonBody};
use crate::problem::Problem;
use crate::routes::answers::json;
use crate::state::ApiState;

/// What came of a batch, in the order of its ids; an id that was named twice is there once.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookBatchResult {
    results: Vec<WebhookBatchItem>,
}

/// What came of one endpoint of a batch.
#[derive(Serialize, ToSchema)]
struct WebhookBatchItem {
    id: String,
    /// `done`, `unchanged` (it was so before) or `failed`.
    status: &'static str,
    /// Why it failed: a code as in problems.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    code: Option<&'static str>,
}

pub(super) async fn batch(
    permit: Permit<grants::EndpointsWrite>,
    State(state): State<ApiState>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(BATCH, body.required()?);
    input.finish()?;
    let action = input.text("action").unwrap_or_default();
    if permit.portal.is_some() && action == "delete" {
        return Err(portal::refused("delete endpoints"));
    }
    let mut seen = HashSet::new();
    let mut results = Vec::new();
    for id in input.texts("ids").unwrap_or_default() {
        if !seen.insert(id.clone()) {
            continue;
        }
        let done = match portal::check(permit.portal.as_ref(), &id) {
            Ok(()) => act(&state, &permit.tenant, &action, &id).await,
            Err(problem) => Err(problem),
        };
        let (status, code) = match done {
            Ok(status) => (status, None),
            Err(problem) => ("failed", Some(failure(&problem))),
        };
        results.push(WebhookBatchItem { id, status, code });
    }
    if results.iter().any(|item| item.status == "done") {
        state.deliveries.endpoints_changed().await;
    }
    Ok(json(StatusCode::OK, &WebhookBatchResult { results }))
}

/// The code of a failure that concerns one endpoint alone. The store's own troubles are logged like those of any call.
fn failure(problem: &Problem) -> &'static str {
    if problem.status().is_server_error() {
        tracing::warn!(code = %problem.code(), cause = problem.cause_chain(), "one of a batch of endpoints failed");
    }
    problem.code().as_str()
}

async fn act(state: &ApiState, tenant: &Tenant, action: &str, id: &str) -> Result<&'static str, Problem> {
    if id.chars().any(char::is_control) {
        return Err(Problem::new(ErrorCode::EndpointNotFound));
    }
    let before = find(state, tenant, id).await?;
    let active = action == "enable";
    let statements: Vec<Statement> = match action {
        "delete" => deletion(state, before),
        _ if before.active == active => return Ok("unchanged"),
        _ => vec![endpoint_update(&EndpointRow { active, ..next_version(state, before) })],
    };
    store(state, statements).await?;
    Ok("done")
}
