//! The answers to calls that are not accepted: RFC 9457 problems made of constants only.
//!
//! Nothing in them depends on the call, so that they cost nothing under attack and tell nothing: the one for a call that
//! was not verified is the same bytes whatever was wrong with it.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use trunkline_model::{Coded as _, ErrorCode};
use trunkline_store::CommitError;

use crate::body::BodyError;

/// Why a call gets no `202`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    UnknownSource,
    MethodNotAllowed,
    Body(BodyError),
    NotVerified,
    /// A handshake whose token is wrong.
    NotMeant,
    /// What the call is verified or answered with could not be fetched.
    NotFetched,
    RateLimited {
        retry_after_s: u64,
    },
    StoreFull,
    StoreUnavailable,
    Draining,
    Internal,
}

impl From<&CommitError> for Problem {
    fn from(error: &CommitError) -> Self {
        match error.code() {
            ErrorCode::StoreFull => Self::StoreFull,
            ErrorCode::StoreUnavailable => Self::StoreUnavailable,
            ErrorCode::HubDraining => Self::Draining,
            _ => Self::Internal,
        }
    }
}

impl Problem {
    fn code(self) -> ErrorCode {
        match self {
            Self::UnknownSource => ErrorCode::SourceNotFound,
            Self::MethodNotAllowed => ErrorCode::RequestMethodNotAllowed,
            Self::Body(BodyError::TooLarge) => ErrorCode::RequestTooLarge,
            Self::Body(BodyError::TimedOut) => ErrorCode::RequestTimeout,
            Self::Body(BodyError::Broken) => ErrorCode::RequestMalformed,
            Self::Body(BodyError::NoRoom) | Self::NotFetched => ErrorCode::HubBusy,
            Self::NotVerified => ErrorCode::IngestUnauthorized,
            Self::NotMeant => ErrorCode::AuthForbidden,
            Self::RateLimited { .. } => ErrorCode::RequestRateLimited,
            Self::StoreFull => ErrorCode::StoreFull,
            Self::StoreUnavailable => ErrorCode::StoreUnavailable,
            Self::Draining => ErrorCode::HubDraining,
            Self::Internal => ErrorCode::ServerInternal,
        }
    }

    /// Status, title and detail.
    fn texts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::UnknownSource => (StatusCode::NOT_FOUND, "Source not found", "there is no such source"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", "webhook calls are made with POST")
            }
            Self::Body(BodyError::TooLarge) => {
                (StatusCode::PAYLOAD_TOO_LARGE, "Body too large", "the body is larger than the hub accepts")
            }
            Self::Body(BodyError::TimedOut) => {
                (StatusCode::REQUEST_TIMEOUT, "Request timeout", "the body did not arrive in time")
            }
            Self::Body(BodyError::Broken) => {
                (StatusCode::BAD_REQUEST, "Malformed request", "the body could not be read to its end")
            }
            Self::Body(BodyError::NoRoom) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Hub busy",
                "too many bodies are on their way in; send the call again later",
            ),
            Self::NotVerified => (StatusCode::UNAUTHORIZED, "Unauthorized", "the call could not be verified"),
            Self::NotMeant => {
                (StatusCode::FORBIDDEN, "Forbidden", "the handshake is not meant for this source")
            }
            Self::NotFetched => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Hub busy",
                "what the provider wants to be fetched could not be; send the call again later",
            ),
            Self::RateLimited { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "Too many requests", "the source's rate limit is reached")
            }
            Self::StoreFull => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Store full",
                "nothing was stored; send the call again later",
            ),
            Self::StoreUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Store unavailable",
                "the call may not have been stored; send it again later",
            ),
            Self::Draining => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Hub draining",
                "the hub is stopping; send the call again later",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal error",
                "the call was not stored; the hub's log says why",
            ),
        }
    }

    fn retry_after_s(self) -> Option<u64> {
        match self {
            Self::RateLimited { retry_after_s } => Some(retry_after_s),
            Self::StoreFull => Some(30),
            Self::StoreUnavailable | Self::Draining | Self::Body(BodyError::NoRoom) | Self::NotFetched => {
                Some(2)
            }
            _ => None,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let code = self.code();
        let (status, title, detail) = self.texts();
        let retry_after_s = self.retry_after_s();
        let retry = retry_after_s.map_or_else(String::new, |secs| format!(r#","retry_after_s":{secs}"#));
        let body = format!(
            r#"{{"type":"/errors/{code}","title":"{title}","status":{},"detail":"{detail}","code":"{code}"{retry}}}"#,
            status.as_u16(),
        );
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(secs) = retry_after_s {
            headers.insert(RETRY_AFTER, secs.into());
        }
        match self {
            Self::MethodNotAllowed => drop(headers.insert(ALLOW, HeaderValue::from_static("POST"))),
            Self::NotVerified => {
                drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Webhook")));
            }
            Self::Body(BodyError::TimedOut) => {
                drop(headers.insert(CONNECTION, HeaderValue::from_static("close")));
            }
            _ => {}
        }
        response
    }
}
