//! The answers to calls that are believed: receipts in the form that the provider expects, and replies to handshakes.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};

use crate::schemes::{Receipt, Reply};

/// TwiML that says nothing.
const NO_REPLY: &str = r#"<?xml version="1.0" encoding="UTF-8"?><Response/>"#;

/// The answer to a stored call; ids need no escaping.
pub(crate) fn receipt(receipt: Receipt, id: &str) -> Response {
    match receipt {
        Receipt::Accepted => with_id(StatusCode::ACCEPTED, id),
        Receipt::Ok => with_id(StatusCode::OK, id),
        Receipt::Bare => bare(StatusCode::OK),
        Receipt::TwiMl => {
            let mut response = Response::new(Body::from(NO_REPLY));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
            response
        }
    }
}

fn with_id(status: StatusCode, id: &str) -> Response {
    let mut text = String::with_capacity(id.len() + 9);
    text.push_str("{\"id\":\"");
    text.push_str(id);
    text.push_str("\"}");
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A status and nothing else.
pub(crate) fn bare(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// The answer to a handshake. It may hold what the caller has sent, so that nobody may take it for a page.
pub(crate) fn reply(reply: Reply) -> Response {
    if reply.text.is_empty() {
        return bare(reply.status);
    }
    let mut response = Response::new(Body::from(reply.text));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
