//! Events that clients send, such as an acknowledgement, and positions of drivers. Events are stored as any other event, and acknowledged when they
//! are on disk.
//!
//! Who may emit events anyway sends whatever they may emit. Everybody else sends the types that a rule opens to their role, about
//! themselves: users, clinics and drivers that the data names must be their own, and the source is their token.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;
use trunkline_model::cloudevents::{Defaults, parse_structured};
use trunkline_model::{Coded as _, ErrorCode, Event, EventId, FieldError};
use trunkline_store::NewEvent;

use super::frames::{FrameId, Sent, invalid};
use super::session::Session;
use crate::Shared;
use crate::door::Refusal;
use crate::ending::Ending;
use crate::principal::Principal;
use crate::rules::named;

/// What somebody may say who speaks for themselves alone.
const OWN_ATTRIBUTES: [&str; 6] = ["specversion", "id", "type", "subject", "time", "data"];

impl Session<'_> {
    pub(super) async fn publish(&mut self, id: Option<FrameId>, raw: &RawValue) -> Result<(), Ending> {
        match store(self.live, &self.principal, raw).await {
            Ok((event_id, place)) => {
                self.live.metrics.published.inc();
                let (seq, shard) = (place.seq, place.shard);
                let frame = Sent::Published { id: id.as_ref(), event_id: &event_id, seq, shard }.to_message();
                self.send(frame).await
            }
            Err(refusal) => self.refuse(id.as_ref(), &refusal).await,
        }
    }

    /// Takes positions of a driver the way that they come over HTTP, too.
    pub(super) async fn take_positions(
        &mut self,
        id: Option<FrameId>,
        driver_id: &str,
        positions: Value,
    ) -> Result<(), Ending> {
        match self.live.door.take_positions(&self.principal, driver_id, positions).await {
            Ok(taken) => {
                let frame = Sent::PositionsTaken { id: id.as_ref(), items: &taken["items"] }.to_message();
                self.send(frame).await
            }
            Err(refusal) => self.refuse(id.as_ref(), &refusal).await,
        }
    }
}

async fn store(
    live: &Shared,
    principal: &Principal,
    raw: &RawValue,
) -> Result<(String, trunkline_store::Appended), Refusal> {
    let event = read(live, principal, raw)?;
    may_send(live, principal, &event)?;
    let event = live.door.judge(event).await?;
    let event_id = event.id.as_str().to_owned();
    let appended = live.journal.append(vec![NewEvent::new(event, live.journal.now())]).await;
    match appended.map(|places| places.first().copied()) {
        Ok(Some(place)) => Ok((event_id, place)),
        Ok(None) => Err(Refusal::new(ErrorCode::ServerInternal, "the event could not be stored")),
        Err(error) => {
            tracing::debug!(error = ?error, "an event of a live connection cannot be stored");
            Err(Refusal::new(error.code(), "the event could not be stored; send it again under the same id"))
        }
    }
}

/// Reads the event, with what a client leaves out put in.
fn read(live: &Shared, principal: &Principal, raw: &RawValue) -> Result<Event, Refusal> {
    let members = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(raw.get());
    let mut members = members.map_err(|_| {
        invalid(vec![FieldError::new("/event", "invalid", "must be an object such as {\"type\": …}")])
    })?;
    if !principal.may_send_all() {
        let strange = members.keys().filter(|name| !OWN_ATTRIBUTES.contains(&&***name));
        let detail = format!("may not be set; only {} may", OWN_ATTRIBUTES.join(", "));
        let faults: Vec<_> = strange
            .map(|name| FieldError::new(format!("/event/{name}"), "forbidden", detail.clone()))
            .collect();
        if !faults.is_empty() {
            return Err(invalid(faults));
        }
    }
    let quoted = |text: &str| RawValue::from_string(serde_json::Value::from(text).to_string());
    let given = [
        ("specversion", quoted("1.0")),
        ("id", quoted(EventId::fresh().as_str())),
        ("source", quoted(&format!("/live/{}", principal.token_id.as_str()))),
    ];
    for (name, value) in &given {
        if let Ok(value) = value {
            members.entry((*name).into()).or_insert(value);
        }
    }
    let whole = serde_json::to_vec(&members).map_err(|_| invalid(vec![]))?;
    let defaults = Defaults { tenant: &principal.tenant, now: live.journal.now() };
    parse_structured(&whole, &defaults).map_err(|faults| {
        let inside = |fault: FieldError| {
            FieldError::new(format!("/event{}", fault.pointer), fault.code.as_str(), fault.detail)
        };
        invalid(faults.into_iter().map(inside).collect())
    })
}

fn may_send(live: &Shared, principal: &Principal, event: &Event) -> Result<(), Refusal> {
    if !live.rules.may_publish(&event.event_type, principal) {
        let detail = format!("the role {} may not send events of this type", principal.role);
        return Err(Refusal::new(ErrorCode::AuthForbidden, detail));
    }
    if principal.may_send_all() {
        return Ok(());
    }
    let named = event.data.as_json().map(named).unwrap_or_default();
    if named.is_odd || !named.rooms.iter().all(|room| principal.owns(room)) {
        let detail = "the data names a user, a clinic or a driver that is not the token's own";
        return Err(Refusal::new(ErrorCode::AuthForbidden, detail));
    }
    Ok(())
}
