//! Events that the engine makes about its own work: they go the way of all events, committed together with the change
//! that they tell of.
//!
//! Two rules keep them from feeding themselves. An event about an endpoint is never planned for that endpoint. A delivery
//! of one of dispatch's own events that is exhausted makes no further one.

use serde_json::json;
use trunkline_model::{Data, Event, EventType, Timestamp};
use trunkline_store::NewEvent;
use trunkline_store::tables::delivery::DeliveryRow;
use trunkline_store::tables::endpoint_health::EndpointHealthRow;

use super::OWN_SOURCE;

/// An endpoint was switched off by the hub.
pub(crate) const ENDPOINT_DISABLED: &str = "endpoint.disabled";
/// An endpoint takes deliveries again.
pub(crate) const ENDPOINT_RECOVERED: &str = "endpoint.recovered";
/// A delivery was given up because all attempts failed.
pub(crate) const DELIVERY_EXHAUSTED: &str = "delivery.exhausted";

/// Whether dispatch itself made an event.
pub(crate) fn is_own(event: &Event) -> bool {
    &*event.source == OWN_SOURCE
}

/// The endpoint that an event from `source` about `subject` tells of, and so must not be sent to.
pub fn told_of<'a>(source: &str, subject: Option<&'a str>) -> Option<&'a str> {
    subject.filter(|_| source == OWN_SOURCE)
}

fn about(health: &EndpointHealthRow, what: &str, now: Timestamp, data: &serde_json::Value) -> Event {
    let event_type = EventType::parse(what).expect("invariant: a constant event type");
    let mut event = Event::new(health.tenant.clone(), OWN_SOURCE, event_type, now);
    event.subject = Some(health.endpoint_id.as_str().to_owned());
    event.data = Data::Json(data.to_string().into());
    event
}

fn follow_up(event: Event, cause: Option<&Event>, now: Timestamp) -> NewEvent {
    let event = match cause {
        Some(cause) => event.caused_by(cause),
        None => event,
    };
    NewEvent::new(event, now)
}

/// Tells that an endpoint was switched off; `health` is how it stands now.
///
/// **Shape**: `{"endpoint_id", "reason", "disabled_at", "failing_since", "n_failures", "last_success_at", "last_error"}`
pub(crate) fn disabled(health: &EndpointHealthRow, cause: Option<&Event>, now: Timestamp) -> NewEvent {
    let data = json!({
        "endpoint_id": health.endpoint_id.as_str(),
        "reason": health.disabled_reason,
        "disabled_at": health.disabled_at,
        "failing_since": health.failing_since,
        "n_failures": health.n_failures,
        "last_success_at": health.last_success_at,
        "last_error": health.last_error,
    });
    follow_up(about(health, ENDPOINT_DISABLED, now, &data), cause, now)
}

/// Tells that an endpoint takes deliveries again; `before` is how it stood, if it was on record.
///
/// **Shape**: `{"endpoint_id", "recovered_at", "failing_since", "n_failures", "last_error"}`
pub(crate) fn recovered(
    health: &EndpointHealthRow,
    before: Option<&EndpointHealthRow>,
    cause: Option<&Event>,
    now: Timestamp,
) -> NewEvent {
    let data = json!({
        "endpoint_id": health.endpoint_id.as_str(),
        "recovered_at": health.last_success_at,
        "failing_since": before.and_then(|before| before.failing_since),
        "n_failures": before.map(|before| before.n_failures),
        "last_error": health.last_error,
    });
    follow_up(about(health, ENDPOINT_RECOVERED, now, &data), cause, now)
}

/// Tells that a delivery was given up; `None` when nobody is to be told.
///
/// **Shape**: `{"endpoint_id", "delivery_id", "event_id", "event_type", "n_attempts", "created_at", "exhausted_at",
/// "status", "error_class", "error"}`
pub(crate) fn exhausted(row: &DeliveryRow, event: &Event, now: Timestamp) -> Option<NewEvent> {
    if is_own(event) {
        return None;
    }
    let latest = row.latest.as_ref();
    let data = json!({
        "endpoint_id": row.endpoint_id.as_str(),
        "delivery_id": row.id.as_str(),
        "event_id": row.event_id.as_str(),
        "event_type": row.event_type.as_str(),
        "n_attempts": row.n_attempts,
        "created_at": row.created_at,
        "exhausted_at": row.finished_at,
        "status": latest.and_then(|latest| latest.status),
        "error_class": latest.and_then(|latest| latest.error_class.as_deref()),
        "error": latest.and_then(|latest| latest.error.as_deref()),
    });
    let event_type = EventType::parse(DELIVERY_EXHAUSTED).expect("invariant: a constant event type");
    let mut made = Event::new(row.tenant.clone(), OWN_SOURCE, event_type, now);
    made.subject = Some(row.endpoint_id.as_str().to_owned());
    made.data = Data::Json(data.to_string().into());
    Some(follow_up(made, Some(event), now))
}
