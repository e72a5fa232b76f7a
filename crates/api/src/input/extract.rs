//! The extractors that handlers ask for. Their refusals are problems like all others.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use trunkline_model::{ErrorCode, FieldError};

use super::Input;
use crate::problem::Problem;

/// The query parameters, checked by the operation's guard.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(pub(crate) Input);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// The id in the path. A text that no id can be is refused before the store sees it.
#[derive(Debug)]
pub(crate) struct Id(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refused = |detail: &str| Problem::invalid(vec![FieldError::new("path:id", "invalid", detail)]);
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| refused("must be UTF-8 in percent-encoding"))?;
        if id.chars().count() > 256 || id.chars().any(char::is_control) {
            return Err(refused("must be at most 256 characters without control characters"));
        }
        Ok(Self(id))
    }
}

/// A JSON body; `None` when there is none at all.
#[derive(Debug)]
pub(crate) struct JsonBody(pub(crate) Option<Value>);

impl JsonBody {
    /// The body, or a refusal when there is none.
    pub(crate) fn required(self) -> Result<Value, Problem> {
        self.0.ok_or_else(|| {
            Problem::new(ErrorCode::RequestMalformed)
                .with_detail("the request has no body")
                .with_errors(vec![FieldError::new("", "required", "a JSON object is expected")])
        })
    }
}

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let body = read_bytes(request, state).await?;
        if body.is_empty() {
            return Ok(Self(None));
        }
        if !is_json {
            return Err(Problem::new(ErrorCode::RequestUnsupportedMediaType)
                .with_detail("send the body as content-type: application/json"));
        }
        parse_json(&body).map(|value| Self(Some(value)))
    }
}

/// Reads a body that must be JSON.
pub(crate) fn parse_json(body: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let detail = format!("not JSON: line {}, column {}", error.line(), error.column());
        Problem::new(ErrorCode::RequestMalformed)
            .with_detail("the body is not valid JSON")
            .with_errors(vec![FieldError::new("", "malformed", detail)])
    })
}

/// Reads the whole body, within the route's limit.
pub(crate) async fn read_bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection: BytesRejection| {
        if rejection.into_response().status() == StatusCode::PAYLOAD_TOO_LARGE {
            Problem::new(ErrorCode::RequestTooLarge)
        } else {
            Problem::new(ErrorCode::RequestMalformed).with_detail("the body did not arrive whole")
        }
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|text| trunkline_model::cloudevents::is_json(Some(text)))
}
