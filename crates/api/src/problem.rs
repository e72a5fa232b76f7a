//! Failed answers as RFC 9457 problem details, made by every handler and layer of this crate.
//!
//! The policy: a [`Problem`] has public text and an internal cause, kept apart. The public part is the code with its
//! fixed title, a detail that quotes nothing internal, and every bad field. The details of 5xx answers are constants.
//! The cause is logged once, by `observe`, together with the request id, and is never sent. Which status a code has is
//! decided here and nowhere else.

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use trunkline_model::{Coded, ErrorCode, FieldError};
use utoipa::ToSchema;

/// Media type of problem details.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Waits that are suggested when the hub or its store cannot take a request, in seconds.
const RETRY_LATER_S: u64 = 5;

/// Why a request failed: what the caller is told, and what only the log gets.
#[derive(Debug)]
pub struct Problem {
    code: ErrorCode,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    retry_after_s: Option<u64>,
    open_hours: Vec<OpenHours>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Problem {
    /// A problem with the code's usual text.
    pub fn new(code: ErrorCode) -> Self {
        let (_, retry_after_s) = facts(code);
        Self {
            code,
            detail: default_detail(code).into(),
            errors: Vec::new(),
            retry_after_s,
            open_hours: Vec::new(),
            cause: None,
        }
    }

    /// A refusal that lists every bad field.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.len() {
            1 => "one field of the request is wrong; see errors".into(),
            n => format!("{n} fields of the request are wrong; see errors").into(),
        };
        Self { detail, errors, ..Self::new(ErrorCode::RequestInvalid) }
    }

    /// The same problem with another public text. Has no effect on 5xx answers: theirs are fixed.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        if !self.status().is_server_error() {
            self.detail = detail.into();
        }
        self
    }

    /// The same problem naming bad fields.
    #[must_use]
    pub fn with_errors(self, errors: Vec<FieldError>) -> Self {
        Self { errors, ..self }
    }

    /// The same problem telling when to try again.
    #[must_use]
    pub fn with_retry_after_s(self, seconds: u64) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// The same problem telling when a clinic is open, from and until.
    #[must_use]
    pub fn with_open_hours(self, spans: Vec<(String, String)>) -> Self {
        let open_hours = spans.into_iter().map(|(from, until)| OpenHours { from, until }).collect();
        Self { open_hours, ..self }
    }

    /// The same problem with what lies behind it, for the log alone.
    #[must_use]
    pub fn caused_by(self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }

    /// The catalogue code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// What went wrong this time, as callers are told.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Every bad field.
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        facts(self.code).0
    }

    /// What lies behind the problem, outermost first, for the log.
    pub fn cause_chain(&self) -> Option<String> {
        let mut link: Option<&dyn Error> = self.cause.as_deref().map(|cause| cause as &dyn Error);
        let mut chain: Vec<String> = Vec::new();
        while let Some(error) = link {
            chain.push(error.to_string());
            link = error.source();
        }
        (!chain.is_empty()).then(|| chain.join(": "))
    }

    /// The answer's body. `request_id` is empty only outside a running request.
    pub(crate) fn to_json(&self, request_id: &str) -> Vec<u8> {
        let body = ProblemBody {
            kind: format!("/errors/{}", self.code),
            title: title(self.code),
            status: self.status().as_u16(),
            detail: &self.detail,
            instance: format!("/requests/{request_id}"),
            code: self.code.as_str(),
            request_id,
            retry_after_s: self.retry_after_s,
            errors: self.errors.iter().map(FieldFault::from).collect(),
            open_hours: &self.open_hours,
        };
        serde_json::to_vec(&body).expect("invariant: problem details serialise")
    }
}

impl<E: Coded + Error + Send + Sync + 'static> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::new(error.code()).caused_by(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.to_json("")).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if matches!(self.code, ErrorCode::AuthMissing) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        } else if matches!(self.code, ErrorCode::AuthInvalid) {
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// Problem details as sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// Where the code is explained.
    #[serde(rename = "type")]
    #[schema(format = "uri-reference")]
    kind: String,
    /// Says in words what the code means; the same for every answer with the code.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What went wrong this time.
    detail: &'a str,
    /// Names this answer, for support.
    #[schema(format = "uri-reference")]
    instance: String,
    /// The stable code that scripts compare.
    #[schema(value_type = ErrorCodeName)]
    code: &'static str,
    /// The request's id, also in the header `x-request-id` and in the hub's log.
    request_id: &'a str,
    /// How long to wait before trying again; also in the header `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64, required = false)]
    retry_after_s: Option<u64>,
    /// Every bad field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<FieldFault>, required = false)]
    errors: Vec<FieldFault>,
    /// When the clinic is open on the day that was asked for; only with `pickup.window_refused`.
    #[serde(skip_serializing_if = "<[OpenHours]>::is_empty")]
    #[schema(value_type = Vec<OpenHours>, required = false)]
    open_hours: &'a [OpenHours],
}

/// A stretch of opening hours, with the offset of the clinic's time zone.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct OpenHours {
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    until: String,
}

/// Every error code, for the schema alone.
pub(crate) struct ErrorCodeName;

impl utoipa::PartialSchema for ErrorCodeName {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .enum_values(Some(ErrorCode::ALL.iter().map(|code| code.as_str())))
            .description(Some("Stable error code; `/errors/{code}` explains each."))
            .into()
    }
}

impl ToSchema for ErrorCodeName {
    fn name() -> Cow<'static, str> {
        "ErrorCode".into()
    }
}

/// One bad field of a request.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct FieldFault {
    /// JSON pointer to the field, empty for the whole body; `header:NAME`, `query:NAME` and `path:NAME` elsewhere.
    pointer: String,
    /// Short stable reason, such as `required` or `too_long`.
    code: String,
    /// What is wrong and what would be right.
    detail: String,
}

impl From<&FieldError> for FieldFault {
    fn from(error: &FieldError) -> Self {
        Self { pointer: error.pointer.clone(), code: error.code.clone(), detail: error.detail.clone() }
    }
}

/// The status of every code, and the wait that is suggested with it.
const fn facts(code: ErrorCode) -> (StatusCode, Option<u64>) {
    use ErrorCode as C;
    match code {
        C::RequestMalformed | C::RequestInvalid => (StatusCode::BAD_REQUEST, None),
        C::RequestTooLarge | C::EventTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, None),
        C::RequestUnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, None),
        C::RequestMethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, None),
        C::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, Some(1)),
        C::RequestRateLimited => (StatusCode::TOO_MANY_REQUESTS, Some(1)),
        C::RequestIdempotencyMismatch | C::EndpointInactive | C::TokenSelfRevocation => {
            (StatusCode::CONFLICT, None)
        }
        C::RequestIdempotencyInProgress => (StatusCode::CONFLICT, Some(1)),
        C::AuthMissing | C::AuthInvalid | C::IngestUnauthorized => (StatusCode::UNAUTHORIZED, None),
        C::AuthForbidden | C::TaskNotAllowed => (StatusCode::FORBIDDEN, None),
        C::RequestRouteNotFound
        | C::SourceNotFound
        | C::EventNotFound
        | C::EventTypeNotFound
        | C::InboundNotFound
        | C::RecordNotFound
        | C::EndpointNotFound
        | C::DeliveryNotFound
        | C::ReplayNotFound
        | C::PollerNotFound
        | C::WorkflowNotFound
        | C::TaskNotFound
        | C::WorkflowDefinitionNotFound
        | C::WorkflowScheduleNotFound
        | C::ClinicNotFound
        | C::DriverNotFound
        | C::PositionNotFound
        | C::LogisticsTaskNotFound
        | C::PickupRecurrenceNotFound
        | C::RouteNotFound
        | C::InvoiceNotFound
        | C::TokenNotFound
        | C::DeadLetterNotFound => (StatusCode::NOT_FOUND, None),
        C::EndpointVersionConflict | C::RecordVersionConflict | C::LogisticsVersionConflict => {
            (StatusCode::PRECONDITION_FAILED, None)
        }
        C::PickupWindowRefused => (StatusCode::UNPROCESSABLE_ENTITY, None),
        C::EventTypeExists
        | C::DeliveryBlocked
        | C::DeliveryNotPending
        | C::ReplayStateConflict
        | C::ReplayTooMany
        | C::PollerTooMany
        | C::EndpointTooMany
        | C::WorkflowStateConflict
        | C::TaskStateConflict
        | C::LogisticsExists
        | C::LogisticsStateConflict
        | C::WorkflowDefinitionExists => (StatusCode::CONFLICT, None),
        C::StoreFull => (StatusCode::SERVICE_UNAVAILABLE, Some(30)),
        C::StoreUnavailable | C::HubDraining | C::HubBusy => {
            (StatusCode::SERVICE_UNAVAILABLE, Some(RETRY_LATER_S))
        }
        C::ServerInternal => (StatusCode::INTERNAL_SERVER_ERROR, None),
    }
}

/// The HTTP status of a code.
pub const fn status_of(code: ErrorCode) -> StatusCode {
    facts(code).0
}

/// The fixed title of a code.
pub const fn title(code: ErrorCode) -> &'static str {
    texts(code).0
}

const fn default_detail(code: ErrorCode) -> &'static str {
    texts(code).1
}

#[allow(clippy::too_many_lines, reason = "one arm for each code, checked to be all of them")]
const fn texts(code: ErrorCode) -> (&'static str, &'static str) {
    use ErrorCode as C;
    match code {
        C::RequestMalformed => ("Malformed request", "the request cannot be read"),
        C::RequestInvalid => ("Invalid request", "fields of the request are wrong; see errors"),
        C::RequestTooLarge => ("Request too large", "the body is larger than the limit"),
        C::RequestUnsupportedMediaType => {
            ("Unsupported media type", "this route does not read bodies of this media type")
        }
        C::RequestRouteNotFound => ("No such route", "there is nothing at this path"),
        C::RequestMethodNotAllowed => {
            ("Method not allowed", "the path exists, but not with this method; see the header allow")
        }
        C::RequestTimeout => ("Request timed out", "the request did not finish in time"),
        C::RequestRateLimited => ("Too many requests", "too many requests; wait before the next one"),
        C::RequestIdempotencyMismatch => {
            ("Idempotency key reused", "this idempotency key was used before with another request")
        }
        C::RequestIdempotencyInProgress => {
            ("Request in progress", "a request with this idempotency key is still running")
        }
        C::AuthMissing => ("No credentials", "send a token in the header authorization: Bearer tlk_…"),
        C::AuthInvalid => ("Invalid credentials", "the token is unknown, revoked or expired"),
        C::AuthForbidden => ("Forbidden", "the role of the token does not allow this"),
        C::IngestUnauthorized => ("Webhook not verified", "the webhook call could not be verified"),
        C::SourceNotFound => ("No such source", "there is no such source, or it is switched off"),
        C::EventNotFound => ("No such event", "there is no event with this id, or it has expired"),
        C::EventTooLarge => ("Event too large", "the event is larger than the limit"),
        C::EventTypeNotFound => {
            ("No such event type", "the catalogue has no such event type of the tenant's own")
        }
        C::EventTypeExists => {
            ("Event type exists", "the catalogue has this version of the event type already")
        }
        C::InboundNotFound => {
            ("No such inbound request", "there is no inbound request with this id, or it has expired")
        }
        C::RecordNotFound => ("No such record", "the collection has no record with this id"),
        C::RecordVersionConflict => {
            ("Record changed meanwhile", "the record is not in the version that `If-Match` names")
        }
        C::EndpointNotFound => ("No such endpoint", "there is no endpoint with this id"),
        C::EndpointInactive => ("Endpoint inactive", "the endpoint is switched off; activate it first"),
        C::EndpointVersionConflict => {
            ("Endpoint changed meanwhile", "the endpoint was changed since it was read; read it again")
        }
        C::DeliveryNotFound => ("No such delivery", "there is no delivery with this id, or it has expired"),
        C::DeliveryBlocked => (
            "Delivery waits in line",
            "an earlier delivery of the same key comes first; retry or skip that one",
        ),
        C::DeliveryNotPending => {
            ("Delivery has ended", "the delivery is not pending; there is nothing to skip")
        }
        C::ReplayNotFound => ("No such replay", "there is no replay job with this id"),
        C::ReplayStateConflict => {
            ("Replay has moved on", "the replay job is not in a state that can be changed so; read it again")
        }
        C::ReplayTooMany => (
            "Too many replays",
            "as many replay jobs run as a tenant may have; wait for one to end, or pause or cancel one",
        ),
        C::EndpointTooMany => (
            "Too many endpoints",
            "the tenant has as many endpoints as it may have; delete one that is not used",
        ),
        C::PollerTooMany => {
            ("Too many pollers", "the tenant has as many pollers as it may have; delete one that is not used")
        }
        C::PollerNotFound => ("No such poller", "there is no poller with this id"),
        C::ClinicNotFound => ("No such clinic", "there is no clinic with this id, or it is switched off"),
        C::PositionNotFound => ("No position", "no position of the driver is known"),
        C::DriverNotFound => ("No such driver", "there is no driver with this id, or they are switched off"),
        C::LogisticsTaskNotFound => {
            ("No such delivery or pickup", "there is no delivery or pickup with this id")
        }
        C::PickupRecurrenceNotFound => {
            ("No such rule of pickups", "there is no rule of pickups with this id")
        }
        C::PickupWindowRefused => {
            ("Pickup window refused", "the clinic is not open during the window; see errors and open_hours")
        }
        C::RouteNotFound => ("No such route", "there is no route with this id"),
        C::InvoiceNotFound => ("No such invoice", "there is no invoice with this id"),
        C::LogisticsExists => ("Id taken", "there is something with this id already"),
        C::LogisticsStateConflict => {
            ("Has moved on", "it does not stand so that this can be done; read it again")
        }
        C::LogisticsVersionConflict => {
            ("Changed meanwhile", "it was changed since it was read; read it again")
        }
        C::WorkflowNotFound => ("No such workflow", "there is no workflow with this id"),
        C::TaskNotFound => ("No such task", "there is no task with this id"),
        C::TaskStateConflict => ("Task has moved on", "the task is over, or somebody else has it"),
        C::TaskNotAllowed => ("Task is not yours", "whoever acts may not decide this task"),
        C::WorkflowStateConflict => {
            ("Workflow has moved on", "the workflow has ended, or does not wait for this; read it again")
        }
        C::WorkflowScheduleNotFound => {
            ("No such schedule", "there is no workflow of this name that is started by time")
        }
        C::WorkflowDefinitionNotFound => (
            "No such workflow definition",
            "there is no such workflow definition, or no version of it that may be started",
        ),
        C::WorkflowDefinitionExists => (
            "Workflow definition exists",
            "this version of the workflow definition is there already with another content",
        ),
        C::TokenNotFound => ("No such token", "there is no token with this id, or it is revoked"),
        C::TokenSelfRevocation => ("Token revokes itself", "a token cannot revoke itself; use another one"),
        C::DeadLetterNotFound => ("No such dead letter", "there is no dead letter with this id"),
        C::StoreFull => ("Store full", "the store is full; nothing was stored"),
        C::StoreUnavailable => {
            ("Store unavailable", "the store cannot be reached or is too busy; try again later")
        }
        C::HubBusy => ("Hub busy", "too many bodies are on their way in; try again"),
        C::HubDraining => ("Hub stopping", "the hub is stopping and takes no new work; try again"),
        C::ServerInternal => ("Internal error", "something failed inside the hub; see its log"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_text_stays_inside() {
        let cause: Box<dyn Error + Send + Sync> = "disk sda1 is on fire".into();
        let problem = Problem::new(ErrorCode::ServerInternal).with_detail("leak").caused_by(cause);
        let body = String::from_utf8(problem.to_json("req_1")).unwrap();
        assert!(!body.contains("leak") && !body.contains("fire"), "{body}");
        assert_eq!(problem.cause_chain().as_deref(), Some("disk sda1 is on fire"));
    }

    #[test]
    fn the_class_fits_the_status() {
        use trunkline_model::ErrorClass;
        for code in ErrorCode::ALL {
            let status = status_of(*code);
            match code.class() {
                ErrorClass::ServerError => assert!(status.is_server_error(), "{code}"),
                ErrorClass::AuthenticationFailed => assert!(matches!(status.as_u16(), 401 | 403), "{code}"),
                _ => assert!(status.is_client_error(), "{code}"),
            }
        }
    }

    #[test]
    fn errors_are_all_listed() {
        let errors = vec![FieldError::new("/a", "required", "is missing"), FieldError::new("/b", "x", "y")];
        let body: serde_json::Value =
            serde_json::from_slice(&Problem::invalid(errors).to_json("req_1")).unwrap();
        assert_eq!(body["code"], "request.invalid");
        assert_eq!(body["type"], "/errors/request.invalid");
        assert_eq!(body["instance"], "/requests/req_1");
        assert_eq!(body["errors"].as_array().map(Vec::len), Some(2));
    }
}
