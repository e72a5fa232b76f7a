//! Events for tests, made in one line.

use trunkline_model::{Data, Event, EventType, Tenant, Timestamp};
use trunkline_store::NewEvent;

/// The tenant of test events.
pub fn tenant() -> Tenant {
    Tenant::from_stored("clinic-1")
}

/// An event about `subject`, which is also its partition key.
pub fn event(event_type: &str, subject: &str) -> Event {
    let event_type = EventType::parse(event_type).expect("invariant: tests name valid event types");
    let mut event = Event::new(tenant(), "test", event_type, Timestamp::from_secs(1_700_000_000));
    event.subject = Some(subject.to_owned());
    event.data = Data::Json(format!("{{\"subject\":\"{subject}\"}}").into_bytes().into());
    event
}

/// The same, ready to be appended; stored at second 1,700,000,000 of the epoch plus `micros`.
pub fn new_event(event_type: &str, subject: &str, micros: i64) -> NewEvent {
    NewEvent::new(event(event_type, subject), Timestamp::from_micros(1_700_000_000_000_000 + micros))
}
