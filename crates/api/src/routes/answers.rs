//! How good answers are written.

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::idempotency::Unsecret;

/// A JSON answer. Nothing here may be kept by a cache in between: answers depend on the token.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    json_bytes(status, serde_json::to_vec(body).expect("invariant: answers serialise"))
}

/// An answer whose JSON is written already.
pub(super) fn json_bytes(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `204 No Content`.
pub(super) fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A JSON answer with a secret in it; `unsecret` is the same one without, to be kept under an idempotency key.
pub(super) fn secret_json(status: StatusCode, body: &impl Serialize, unsecret: &impl Serialize) -> Response {
    let mut response = json(status, body);
    let kept = serde_json::to_vec(unsecret).expect("invariant: answers serialise");
    response.extensions_mut().insert(Unsecret(kept.into()));
    response
}

/// Adds where the new resource is.
pub(super) fn located(mut response: Response, path: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(path) {
        response.headers_mut().insert(LOCATION, value);
    }
    response
}

/// Adds the version of the resource.
pub(super) fn tagged(mut response: Response, version: i64) -> Response {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(ETAG, value);
    }
    response
}
