//! What needs no token: health, readiness, metrics, the OpenAPI document and the pages of the error codes.

use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use prometheus_client::encoding::text::encode;
use serde::Serialize;
use serde_json::{Value, json};
use trunkline_model::ErrorCode;
use trunkline_store::tables::event::head_list;
use utoipa::ToSchema;

use super::answers;
use crate::error_pages;
use crate::openapi::{Answer, Components, Described, Operation};
use crate::problem::{ErrorCodeName, Problem};
use crate::state::ApiState;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const MARKDOWN: &str = "text/markdown; charset=utf-8";
/// How long the store may take to answer before the node counts as not ready.
const READY_WITHIN: Duration = Duration::from_secs(2);

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    vec![
        Operation::get("/healthz", "getHealth", health)
            .about("service", "Says that the process runs")
            .answer(Answer::json::<Health>(200, "It runs.")),
        Operation::get("/readyz", "getReadiness", ready)
            .about(
                "service",
                "Says whether the node takes work: the store answers and the hub is not stopping",
            )
            .answer(Answer::json::<Health>(200, "It takes work."))
            .problems(&[C::HubDraining, C::StoreUnavailable]),
        Operation::get("/metrics", "getMetrics", metrics)
            .about("service", "Gives the figures of this node for Prometheus")
            .answer(Answer::text(OPENMETRICS, "The figures.")),
        Operation::get("/openapi.json", "getOpenApi", openapi)
            .about("service", "Gives this document")
            .answer(Answer::json::<AnyObject>(200, "The document.")),
        Operation::get("/errors/{code}", "getErrorPage", error_page)
            .about("service", "Explains an error code")
            .id_schema(json!({ "$ref": "#/components/schemas/ErrorCode" }))
            .answer(Answer::text(MARKDOWN, "Cause, fix and whether to try again."))
            .problems(&[C::RequestRouteNotFound]),
    ]
}

/// The document as it is served.
#[derive(Clone)]
pub(crate) struct Document(pub(crate) Bytes);

/// How a node stands.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    status: &'static str,
}

struct AnyObject;

impl Described for AnyObject {
    fn reference(components: &mut Components) -> Value {
        // The page of an error code names the codes.
        ErrorCodeName::reference(components);
        json!({ "type": "object" })
    }
}

async fn health() -> Response {
    answers::json(StatusCode::OK, &Health { status: "ok" })
}

async fn ready(State(state): State<ApiState>) -> Result<Response, Problem> {
    if state.is_draining() {
        return Err(Problem::new(ErrorCode::HubDraining));
    }
    let asked = tokio::time::timeout(READY_WITHIN, head_list(state.store())).await;
    asked.map_err(|_| Problem::new(ErrorCode::StoreUnavailable).caused_by("no answer in time"))??;
    Ok(answers::json(StatusCode::OK, &Health { status: "ready" }))
}

async fn metrics(State(state): State<ApiState>) -> Result<Response, Problem> {
    let mut text = String::with_capacity(16 * 1024);
    encode(&mut text, &state.registry)
        .map_err(|error| Problem::new(ErrorCode::ServerInternal).caused_by(error))?;
    Ok(([(CONTENT_TYPE, OPENMETRICS)], text).into_response())
}

async fn openapi(Extension(document): Extension<Document>) -> Response {
    ([(CONTENT_TYPE, "application/json")], document.0).into_response()
}

async fn error_page(Path(code): Path<String>) -> Result<Response, Problem> {
    let code = ErrorCode::ALL.iter().find(|known| known.as_str() == code);
    let code = code.ok_or_else(|| {
        Problem::new(ErrorCode::RequestRouteNotFound).with_detail("there is no such error code")
    })?;
    Ok(([(CONTENT_TYPE, MARKDOWN)], error_pages::page(*code)).into_response())
}
