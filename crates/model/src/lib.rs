//! The words every other crate speaks: events, ids, patterns, time and error codes.
//!
//! Layer L0. This crate does no I/O, knows no tokio, no HTTP library and no SQL. It must stay small:
//! types that belong to one engine live with that engine.

pub mod clock;
pub mod cloudevents;
pub mod error;
pub mod event;
pub mod event_type;
pub mod id;
pub mod log_spacing;
pub mod mask;
pub mod outlets;
pub mod room;
pub mod secret;
pub mod tenant;
pub mod time;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{Coded, ErrorClass, ErrorCode, FieldError};
pub use event::{Data, Event, EventRecord, Seq, Shard};
pub use event_type::{EventType, Pattern};
pub use id::{
    AttemptId, ClinicId, DeliveryId, DriverId, EndpointId, EventId, InboundId, InvoiceId, LogisticsTaskId,
    PersonTaskId, PollerId, PortalTokenId, RecurrenceId, ReplayId, RequestId, RouteId, TokenId, WorkflowId,
};
pub use log_spacing::LogSpacing;
pub use room::{InvalidRoom, Room};
pub use secret::{NoSecrets, Secret, SecretSource, SecretUnavailable};
pub use tenant::{PerTenant, Tenant};
pub use time::Timestamp;
