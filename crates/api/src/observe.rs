//! The outermost layer of the API: request id, time limit, last-resort answers, the access log and the figures.
//!
//! Every failed answer leaves here as problem details with the request's id in it; what the problem hides is logged here
//! and nowhere else. The log line holds the route's template, never a query, a body or a header.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use trunkline_model::{ErrorCode, LogSpacing, RequestId};

use crate::problem::{MEDIA_TYPE, Problem};
use crate::state::ApiState;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A store that is not there fails every call.
static OUTAGES: LogSpacing = LogSpacing::new();

/// Wraps every request of the API.
pub(crate) async fn observe(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());

    let mut response = answer(&state, request, next).await;
    name_problem(&mut response, &id, &method, &route);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID.clone(), value);
    }
    let (took, status) = (started.elapsed(), response.status().as_u16());
    state.metrics.observe(&route, method_name(&method), status, took);
    tracing::debug!(
        request.id = id,
        %method,
        route,
        status,
        duration_ms = duration_ms(took),
        "api request answered"
    );
    response
}

async fn answer(state: &ApiState, request: Request, next: Next) -> Response {
    let run = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(state.limits.request_timeout, run).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            let cause = "a handler panicked; the panic itself is in the log";
            Problem::new(ErrorCode::ServerInternal).caused_by(cause).into_response()
        }
        Err(_) => Problem::new(ErrorCode::RequestTimeout).into_response(),
    }
}

/// The caller's own id when it is harmless, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|text| {
        (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    });
    given.map_or_else(|| RequestId::fresh().into_string(), str::to_owned)
}

/// Writes the request's id into a failed answer and logs what lies behind it.
fn name_problem(response: &mut Response, id: &str, method: &Method, route: &str) {
    if !response.status().is_client_error() && !response.status().is_server_error() {
        return;
    }
    if response.extensions().get::<Arc<Problem>>().is_none() {
        let allow = response.headers().get(http::header::ALLOW).cloned();
        *response = Problem::new(code_for(response.status())).into_response();
        if let Some(allow) = allow {
            response.headers_mut().insert(http::header::ALLOW, allow);
        }
    }
    let Some(problem) = response.extensions().get::<Arc<Problem>>().cloned() else { return };
    *response.body_mut() = Body::from(problem.to_json(id));
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    let cause = problem.cause_chain();
    match (problem.code(), cause) {
        (code @ ErrorCode::ServerInternal, cause) => {
            let cause = cause.unwrap_or_default();
            tracing::error!(request.id = id, %method, route, %code, cause, "api request failed");
        }
        (code, Some(cause)) if problem.status().is_server_error() => {
            if let Some(n_requests) = OUTAGES.note(Instant::now()) {
                tracing::warn!(request.id = id, %method, route, %code, cause, n_requests, "api requests could not be served");
            }
        }
        (code, cause) => {
            let cause = cause.unwrap_or_default();
            tracing::debug!(request.id = id, %method, route, %code, cause, "api request refused");
        }
    }
}

/// The code for an answer that the HTTP library or another edge made by itself.
fn code_for(status: StatusCode) -> ErrorCode {
    match status {
        StatusCode::UNAUTHORIZED => ErrorCode::AuthInvalid,
        StatusCode::FORBIDDEN => ErrorCode::AuthForbidden,
        StatusCode::TOO_MANY_REQUESTS => ErrorCode::RequestRateLimited,
        StatusCode::SERVICE_UNAVAILABLE => ErrorCode::HubBusy,
        StatusCode::NOT_FOUND => ErrorCode::RequestRouteNotFound,
        StatusCode::METHOD_NOT_ALLOWED => ErrorCode::RequestMethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::RequestTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ErrorCode::RequestUnsupportedMediaType,
        status if status.is_client_error() => ErrorCode::RequestMalformed,
        _ => ErrorCode::ServerInternal,
    }
}

/// Extension methods are made up by callers; they share one name in the figures.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "OTHER",
    }
}

fn duration_ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}
