//! The HTTP API: routes, permissions, problem details, paging, idempotency, journeys and the OpenAPI document.
//!
//! Layer L3. The binary builds an [`ApiState`] and mounts [`router`] beside ingest's. Handlers read and commit through
//! the journal and the store's tables; what must happen inside an engine goes through the two traits of [`seams`],
//! which the binary implements.
//!
//! One table of operations (`routes`) makes the router, the guards and the OpenAPI document, so that no route can be
//! served without its authentication and its description. A request passes, from the outside: `cors`, `observe` (id, time limit,
//! log, figures, problem bodies), the body limit, routing, `guard` (token, permission, query, draining, idempotency), the
//! handler.
//!
//! Deliberately absent: SQL (`store`), verification of webhooks (`ingest`), HTTP calls (`connect`), live sockets.

pub mod auth;
pub mod catalogue;
mod cors;
mod error_pages;
mod guard;
mod idempotency;
mod input;
pub mod journey;
mod live;
pub mod metrics;
mod observe;
mod openapi;
mod page;
pub mod problem;
mod routes;
pub mod seams;
mod search;
mod state;
mod tail;

use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::{Extension, Router};
use tower::util::option_layer;
use trunkline_model::ErrorCode;

use crate::problem::Problem;
use crate::routes::service::Document;

pub use cors::CorsOrigins;
pub use live::PositionSender;
pub use metrics::ApiMetrics;
pub use page::read_place;
pub use state::{ApiLimits, ApiParts, ApiState, Sending};

/// Makes the router of the whole API. It answers unknown paths too, so it must be the only one with a fallback; `others` are
/// routes of other edges that shall have the same log, figures and problem bodies.
pub fn router(state: ApiState, others: Router) -> Router {
    let document = Document(openapi_json().into());
    let mut router: Router<ApiState> = others.with_state(());
    for operation in routes::operations() {
        let (path, handler) = operation.into_route(&state);
        router = router.route(path, handler);
    }
    router
        .fallback(|| async { Problem::new(ErrorCode::RequestRouteNotFound) })
        .method_not_allowed_fallback(|| async { Problem::new(ErrorCode::RequestMethodNotAllowed) })
        .layer(Extension(document))
        .layer(DefaultBodyLimit::max(state.limits.body_bytes))
        .layer(from_fn_with_state(state.clone(), observe::observe))
        .layer(option_layer(state.cors.layer()))
        .with_state(state)
}

/// The OpenAPI 3.1 document of the API, as served and as kept in `docs/openapi.json`.
pub fn openapi_json() -> Vec<u8> {
    let document = openapi::document(&routes::operations());
    let mut text = serde_json::to_vec_pretty(&document).expect("invariant: the document serialises");
    text.push(b'\n');
    text
}
