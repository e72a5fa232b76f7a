//! The catalogue of error codes and the classes that decide what happens next.
//!
//! A code is a promise: scripts compare it, `docs/errors/<code>.md` explains it, and a retired one is never used
//! for something else. Library crates keep error enums of their own and map each variant to a code through
//! [`Coded`].

use serde::{Deserialize, Serialize};

/// What kind of failure an error is; decides retry, severity and escalation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// A credential is missing, wrong or lacks a permission.
    AuthenticationFailed,
    /// Too many calls; try again later.
    RateLimitExceeded,
    /// The caller must change the call.
    InvalidRequest,
    /// The serving side failed; the same call may work later.
    ServerError,
    /// No answer in time.
    Timeout,
    /// The content breaks a rule and needs a person.
    DataValidationFailed,
    /// A sync run did not finish.
    SyncFailed,
}

impl ErrorClass {
    /// Tells whether the same call can succeed later without a change.
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::RateLimitExceeded | Self::ServerError | Self::Timeout | Self::SyncFailed)
    }
}

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident $wire:literal $class:ident;)*) => {
        /// Names every error a caller can get. Wire form `area.reason`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// Every code, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as it stands on the wire and in `docs/errors/`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $wire,)* }
            }

            /// The class of the code.
            pub const fn class(self) -> ErrorClass {
                match self { $(Self::$name => ErrorClass::$class,)* }
            }
        }
    };
}

error_codes! {
    /// The body is no valid JSON, or the request line or headers make no sense.
    RequestMalformed "request.malformed" InvalidRequest;
    /// One or more fields are wrong; `errors` lists them all.
    RequestInvalid "request.invalid" InvalidRequest;
    /// The body is larger than the limit.
    RequestTooLarge "request.too_large" InvalidRequest;
    /// The media type is not one that this route reads.
    RequestUnsupportedMediaType "request.unsupported_media_type" InvalidRequest;
    /// No such route.
    RequestRouteNotFound "request.route_not_found" InvalidRequest;
    /// The route exists, but not with this method.
    RequestMethodNotAllowed "request.method_not_allowed" InvalidRequest;
    /// The request did not arrive or finish in time.
    RequestTimeout "request.timeout" Timeout;
    /// Too many requests.
    RequestRateLimited "request.rate_limited" RateLimitExceeded;
    /// The idempotency key was used before with another request.
    RequestIdempotencyMismatch "request.idempotency_mismatch" InvalidRequest;
    /// A request with the same idempotency key is still running.
    RequestIdempotencyInProgress "request.idempotency_in_progress" RateLimitExceeded;
    /// No bearer token was sent.
    AuthMissing "auth.missing" AuthenticationFailed;
    /// The bearer token is unknown, revoked or expired.
    AuthInvalid "auth.invalid" AuthenticationFailed;
    /// The token's role does not allow this.
    AuthForbidden "auth.forbidden" AuthenticationFailed;
    /// The webhook call could not be verified.
    IngestUnauthorized "ingest.unauthorized" AuthenticationFailed;
    /// No such source, or it is switched off.
    SourceNotFound "source.not_found" InvalidRequest;
    /// No such event in this tenant.
    EventNotFound "event.not_found" InvalidRequest;
    /// The event is larger than the limit.
    EventTooLarge "event.too_large" InvalidRequest;
    /// The catalogue has no such event type, or the type is a pack's and not the tenant's own.
    EventTypeNotFound "event_type.not_found" InvalidRequest;
    /// The catalogue has this version of the event type already.
    EventTypeExists "event_type.exists" InvalidRequest;
    /// No such inbound request in this tenant.
    InboundNotFound "inbound.not_found" InvalidRequest;
    /// No such endpoint in this tenant.
    EndpointNotFound "endpoint.not_found" InvalidRequest;
    /// The endpoint is switched off, so nothing is sent to it.
    EndpointInactive "endpoint.inactive" InvalidRequest;
    /// The endpoint was changed by somebody else since it was read.
    EndpointVersionConflict "endpoint.version_conflict" InvalidRequest;
    /// The tenant has as many endpoints as it may have.
    EndpointTooMany "endpoint.too_many" InvalidRequest;
    /// No such delivery in this tenant.
    DeliveryNotFound "delivery.not_found" InvalidRequest;
    /// The delivery waits behind an earlier one of its key.
    DeliveryBlocked "delivery.blocked" InvalidRequest;
    /// The delivery has ended, so there is nothing to skip.
    DeliveryNotPending "delivery.not_pending" InvalidRequest;
    /// No such replay job in this tenant.
    ReplayNotFound "replay.not_found" InvalidRequest;
    /// The replay job has ended, or is not in the state that the change starts from.
    ReplayStateConflict "replay.state_conflict" InvalidRequest;
    /// The tenant has as many running replay jobs as it may have.
    ReplayTooMany "replay.too_many" InvalidRequest;
    /// The tenant has as many pollers as it may have.
    PollerTooMany "poller.too_many" InvalidRequest;
    /// No such poller in this tenant.
    PollerNotFound "poller.not_found" InvalidRequest;
    /// No such workflow in this tenant.
    WorkflowNotFound "workflow.not_found" InvalidRequest;
    /// The workflow has ended, or does not wait for what was said.
    WorkflowStateConflict "workflow.state_conflict" InvalidRequest;
    /// No such workflow definition in this tenant, or none that may be started.
    WorkflowDefinitionNotFound "workflow_definition.not_found" InvalidRequest;
    /// The version of the definition is there already with another content.
    WorkflowDefinitionExists "workflow_definition.exists" InvalidRequest;
    /// No such record in the tenant.
    RecordNotFound "record.not_found" InvalidRequest;
    /// The record is not in the version that the caller names.
    RecordVersionConflict "record.version_conflict" InvalidRequest;
    /// No such schedule of a workflow in this tenant.
    WorkflowScheduleNotFound "workflow_schedule.not_found" InvalidRequest;
    /// No such task in this tenant.
    TaskNotFound "task.not_found" InvalidRequest;
    /// The task is over, or somebody else has it.
    TaskStateConflict "task.state_conflict" InvalidRequest;
    /// Whoever acts may not decide this task.
    TaskNotAllowed "task.not_allowed" AuthenticationFailed;
    /// No such clinic in this tenant, or it is switched off.
    ClinicNotFound "clinic.not_found" InvalidRequest;
    /// No such driver in this tenant, or they are switched off.
    DriverNotFound "driver.not_found" InvalidRequest;
    /// No position of the driver is stored.
    PositionNotFound "position.not_found" InvalidRequest;
    /// No such delivery or pickup in this tenant.
    LogisticsTaskNotFound "logistics_task.not_found" InvalidRequest;
    /// No such rule of pickups in this tenant.
    PickupRecurrenceNotFound "pickup_recurrence.not_found" InvalidRequest;
    /// A pickup may not be at that time; the answer says when the clinic is open.
    PickupWindowRefused "pickup.window_refused" DataValidationFailed;
    /// No such route in this tenant.
    RouteNotFound "route.not_found" InvalidRequest;
    /// No such invoice in this tenant.
    InvoiceNotFound "invoice.not_found" InvalidRequest;
    /// The id is taken.
    LogisticsExists "logistics.exists" InvalidRequest;
    /// The task, route or invoice does not stand so that this can be done.
    LogisticsStateConflict "logistics.state_conflict" InvalidRequest;
    /// It was changed by somebody else since it was read.
    LogisticsVersionConflict "logistics.version_conflict" InvalidRequest;
    /// No such token in this tenant.
    TokenNotFound "token.not_found" InvalidRequest;
    /// A token cannot revoke itself, so that nobody locks the last door behind them.
    TokenSelfRevocation "token.self_revocation" InvalidRequest;
    /// No such dead letter.
    DeadLetterNotFound "dead_letter.not_found" InvalidRequest;
    /// The disk or the configured ceiling is full; nothing was stored.
    StoreFull "store.full" ServerError;
    /// The store cannot be reached or is too busy; nothing is known to be stored.
    StoreUnavailable "store.unavailable" ServerError;
    /// The hub is stopping and takes no new work.
    HubDraining "hub.draining" ServerError;
    /// Bodies that are on their way in hold all the memory set aside for them.
    HubBusy "hub.busy" ServerError;
    /// Something failed that the caller cannot mend.
    ServerInternal "server.internal" ServerError;
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error that has a place in the catalogue.
pub trait Coded {
    /// The catalogue code.
    fn code(&self) -> ErrorCode;

    /// The class of the code.
    fn class(&self) -> ErrorClass {
        self.code().class()
    }
}

/// One bad field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// JSON pointer to the field, `""` for the whole body; `header:NAME`, `query:NAME` and `path:NAME` elsewhere.
    pub pointer: String,
    /// Short stable reason, such as `required` or `too_long`.
    pub code: String,
    /// What is wrong and what would be right.
    pub detail: String,
}

impl FieldError {
    /// Makes a field error.
    pub fn new(pointer: impl Into<String>, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code: code.into(), detail: detail.into() }
    }
}
