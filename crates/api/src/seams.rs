//! What the API asks of the engines, as two small traits; tests stand in for them.
//!
//! The API knows the store's tables; what must happen inside an engine (planning a delivery, verifying a call again)
//! goes through here.

use trunkline_connect::{BoxFuture, SendError, Target};
use trunkline_dispatch::engine::Sample;
use trunkline_model::{
    Coded, DeliveryId, EndpointId, ErrorCode, EventId, EventRecord, InboundId, Tenant, Timestamp,
};
use trunkline_store::tables::inbound::Verdict;

/// An engine refused, with its catalogue code.
#[derive(Debug, thiserror::Error)]
#[error("an engine answered {code}")]
pub struct EngineError {
    /// What the caller is told.
    pub code: ErrorCode,
    /// What lies behind it, for the log.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl EngineError {
    /// Takes an engine's own error.
    pub fn from_coded(error: impl Coded + std::error::Error + Send + Sync + 'static) -> Self {
        Self { code: error.code(), source: Some(Box::new(error)) }
    }
}

impl From<ErrorCode> for EngineError {
    fn from(code: ErrorCode) -> Self {
        Self { code, source: None }
    }
}

impl Coded for EngineError {
    fn code(&self) -> ErrorCode {
        self.code
    }
}

/// A delivery that was planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedDelivery {
    /// The delivery.
    pub id: DeliveryId,
    /// Where it goes.
    pub endpoint_id: EndpointId,
}

/// How the breaker of an endpoint stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circuit {
    /// Attempts are made.
    Closed,
    /// No attempts until this time.
    Open(Timestamp),
    /// A single attempt is to show whether the endpoint is well again.
    HalfOpen,
}

/// What the API asks of dispatch.
pub trait Deliveries: Send + Sync + 'static {
    /// Plans new deliveries of a stored event: to one endpoint, or to all that would get it now.
    fn replay<'a>(
        &'a self,
        event: &'a EventRecord,
        endpoint_id: Option<&'a EndpointId>,
    ) -> BoxFuture<'a, Result<Vec<PlannedDelivery>, EngineError>>;

    /// Sends a test to one endpoint, whatever its patterns say; `sample` is what the receiver sees instead of the usual one.
    fn send_test<'a>(
        &'a self,
        tenant: &'a Tenant,
        endpoint_id: &'a EndpointId,
        sample: Option<Sample>,
    ) -> BoxFuture<'a, Result<DeliveryId, EngineError>>;

    /// Tries a delivery at once, or plans a new one in place of one that has succeeded. Gives the delivery to watch.
    fn retry<'a>(
        &'a self,
        tenant: &'a Tenant,
        delivery_id: &'a DeliveryId,
    ) -> BoxFuture<'a, Result<DeliveryId, EngineError>>;

    /// Gives up a pending delivery; what waits behind it in its line goes on.
    fn skip<'a>(
        &'a self,
        tenant: &'a Tenant,
        delivery_id: &'a DeliveryId,
    ) -> BoxFuture<'a, Result<(), EngineError>>;

    /// Looks a target's name up and judges its addresses as for a tenant, without connecting.
    fn vet<'a>(&'a self, tenant: &'a Tenant, target: &'a Target) -> BoxFuture<'a, Result<(), SendError>>;

    /// How the breaker of an endpoint stands on this hub.
    fn circuit(&self, endpoint_id: &EndpointId) -> Circuit;

    /// Tells dispatch that endpoints were added, changed or removed. When it returns, the change counts for every event
    /// appended afterwards.
    fn endpoints_changed(&self) -> BoxFuture<'_, ()>;
}

/// What became of a call that was judged again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejudged {
    /// The new verdict.
    pub verdict: Verdict,
    /// The event it became.
    pub event_id: Option<EventId>,
    /// Why it is still no event; empty when it is.
    pub reason: String,
}

/// What the API asks of ingest.
pub trait Rejudge: Send + Sync + 'static {
    /// Judges one stored call again, with the source's settings of now.
    fn rejudge<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: &'a InboundId,
    ) -> BoxFuture<'a, Result<Rejudged, EngineError>>;
}
