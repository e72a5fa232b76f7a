//! The frames: what clients send, read without trust, and what they are sent.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use trunkline_model::{ErrorCode, FieldError, Room, Seq, Shard};

use crate::door::Refusal;
use crate::event::{LiveEvent, RoomMask};
use crate::fanout::{Gap, Place};

/// The longest id of a frame, in bytes of JSON.
const MAX_ID_LEN: usize = 128;
/// Marks texts of this wire.
const WIRE: &str = "plain";

/// A frame of a client, as it came.
#[derive(Debug, Deserialize)]
struct Raw<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    ticket: Option<String>,
    #[serde(default)]
    rooms: Option<Vec<String>>,
    #[serde(borrow, default)]
    after: Option<&'a RawValue>,
    #[serde(borrow, default)]
    event: Option<&'a RawValue>,
    #[serde(default)]
    driver_id: Option<String>,
    #[serde(default)]
    positions: Option<Value>,
}

/// A number or a text by which a client knows the answer to a frame.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(super) struct FrameId(Value);

/// What a client wants.
pub(super) enum Wish<'a> {
    Token(String),
    Ticket(String),
    Subscribe(Vec<(Room, Option<Place>)>),
    Unsubscribe(Vec<Room>),
    Publish(&'a RawValue),
    Positions { driver_id: String, positions: Value },
    Ping,
}

/// A frame of a client.
pub(super) struct Frame<'a> {
    pub(super) id: Option<FrameId>,
    pub(super) wish: Wish<'a>,
}

/// A frame that cannot be read, with its id if that much could be.
pub(super) struct Unreadable {
    pub(super) id: Option<FrameId>,
    pub(super) refusal: Refusal,
}

impl From<Refusal> for Unreadable {
    fn from(refusal: Refusal) -> Self {
        Self { id: None, refusal }
    }
}

/// Reads a frame.
pub(super) fn parse(text: &str, n_shards: Shard) -> Result<Frame<'_>, Unreadable> {
    let raw: Raw<'_> = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let detail =
            format!("not a frame such as {{\"type\": \"ping\"}}: wrong at line {line}, column {column}");
        Refusal::new(ErrorCode::RequestMalformed, detail)
    })?;
    let id = match raw.id.map(read_id) {
        None => None,
        Some(Some(id)) => Some(id),
        Some(None) => {
            let fault = FieldError::new("/id", "invalid", "must be a whole number or a short string");
            return Err(invalid(vec![fault]).into());
        }
    };
    match read_wish(raw, n_shards) {
        Ok(wish) => Ok(Frame { id, wish }),
        Err(faults) => Err(Unreadable { id, refusal: invalid(faults) }),
    }
}

fn read_id(raw: &RawValue) -> Option<FrameId> {
    let value: Value = Some(raw.get()).filter(|text| text.len() <= MAX_ID_LEN)?.parse().ok()?;
    (value.is_string() || value.is_i64() || value.is_u64()).then_some(FrameId(value))
}

/// A refusal that names every bad field.
pub(super) fn invalid(errors: Vec<FieldError>) -> Refusal {
    let detail =
        errors.first().map_or_else(String::new, |fault| format!("{}: {}", fault.pointer, fault.detail));
    Refusal { code: ErrorCode::RequestInvalid, detail, errors }
}

fn read_wish(raw: Raw<'_>, n_shards: Shard) -> Result<Wish<'_>, Vec<FieldError>> {
    let required = |pointer: &str, what: &str| vec![FieldError::new(pointer, "required", what)];
    match &*raw.kind {
        "auth" => match (raw.token, raw.ticket) {
            (Some(token), None) => Ok(Wish::Token(token)),
            (None, Some(ticket)) => Ok(Wish::Ticket(ticket)),
            _ => Err(required("/token", "an auth frame has a token or a ticket")),
        },
        "subscribe" => {
            let mut faults = Vec::new();
            let rooms = read_rooms(raw.rooms, &mut faults);
            let after = raw.after.and_then(|after| serde_json::from_str::<Value>(after.get()).ok());
            let wanted = read_after(rooms, &after.unwrap_or_default(), n_shards, &mut faults);
            if faults.is_empty() { Ok(Wish::Subscribe(wanted)) } else { Err(faults) }
        }
        "unsubscribe" => {
            let mut faults = Vec::new();
            let rooms = read_rooms(raw.rooms, &mut faults);
            if faults.is_empty() { Ok(Wish::Unsubscribe(rooms)) } else { Err(faults) }
        }
        "publish" => {
            raw.event.map(Wish::Publish).ok_or_else(|| required("/event", "what shall be published"))
        }
        "positions" => match (raw.driver_id, raw.positions) {
            (Some(driver_id), Some(positions)) => Ok(Wish::Positions { driver_id, positions }),
            (None, _) => Err(required("/driver_id", "whose positions they are")),
            (_, None) => Err(required("/positions", "where the driver is")),
        },
        "ping" => Ok(Wish::Ping),
        _ => {
            let detail = "must be auth, subscribe, unsubscribe, publish, positions or ping";
            Err(vec![FieldError::new("/type", "unknown", detail)])
        }
    }
}

/// Each room once.
fn read_rooms(names: Option<Vec<String>>, faults: &mut Vec<FieldError>) -> Vec<Room> {
    let names = names.unwrap_or_default();
    if names.is_empty() {
        faults.push(FieldError::new("/rooms", "required", "must name at least one room"));
    }
    let mut rooms = Vec::new();
    for (index, name) in names.iter().enumerate() {
        match Room::parse(name) {
            Ok(room) if rooms.contains(&room) => {}
            Ok(room) => rooms.push(room),
            Err(error) => {
                faults.push(FieldError::new(format!("/rooms/{index}"), "invalid", error.to_string()));
            }
        }
    }
    rooms
}

/// `after` is a place for all rooms, or an object with a place for some of them.
fn read_after(
    rooms: Vec<Room>,
    after: &Value,
    n_shards: Shard,
    faults: &mut Vec<FieldError>,
) -> Vec<(Room, Option<Place>)> {
    if after.is_null() {
        return rooms.into_iter().map(|room| (room, None)).collect();
    }
    let mut fault = |pointer: String| {
        let what = if n_shards == 1 { "a seq, or an object" } else { "an object" };
        let detail = format!("a place is {what} of shards and seqs such as {{\"0\": 118}}");
        faults.push(FieldError::new(pointer, "invalid", detail));
    };
    let by_room = after.as_object().filter(|members| members.keys().any(|name| name.contains(':')));
    let Some(by_room) = by_room else {
        let place = Place::read(after, n_shards);
        if place.is_none() {
            fault("/after".to_owned());
        }
        return rooms.into_iter().map(|room| (room, place.clone())).collect();
    };
    let places = rooms.into_iter().map(|room| {
        let place = by_room.get(room.as_str()).map(|value| Place::read(value, n_shards));
        if place == Some(None) {
            fault(format!("/after/{}", room.as_str().replace('~', "~0").replace('/', "~1")));
        }
        (room, place.flatten())
    });
    places.collect()
}

/// What clients are sent, but for events.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Sent<'a> {
    Authenticated {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a FrameId>,
        tenant: &'a str,
        role: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at: Option<String>,
        heartbeat_s: u64,
    },
    Subscribed {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a FrameId>,
        rooms: &'a [Room],
        at: &'a Place,
    },
    Unsubscribed {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a FrameId>,
        rooms: &'a [Room],
    },
    ResumeGap {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a FrameId>,
        reason: &'a str,
        rooms: &'a [Room],
    },
    Published {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a FrameId>,
        event_id: &'a str,
        seq: Seq,
        shard: Shard,
    },
    PositionsTaken {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a FrameId>,
        items: &'a Value,
    },
    Heartbeat {
        at: &'a Place,
    },
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a FrameId>,
    },
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a FrameId>,
        code: &'a str,
        detail: &'a str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        rooms: Vec<&'a Room>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        errors: Vec<Fault<'a>>,
    },
}

/// One bad field, as the API shows it.
#[derive(Debug, Serialize)]
pub(super) struct Fault<'a> {
    pointer: &'a str,
    code: &'a str,
    detail: &'a str,
}

impl<'a> Sent<'a> {
    /// A refusal as a frame.
    pub(super) fn refusal(id: Option<&'a FrameId>, refusal: &'a Refusal) -> Self {
        let fault = |fault: &'a FieldError| Fault {
            pointer: &fault.pointer,
            code: &fault.code,
            detail: &fault.detail,
        };
        let errors = refusal.errors.iter().map(fault).collect();
        Self::Error { id, code: refusal.code.as_str(), detail: &refusal.detail, rooms: vec![], errors }
    }

    /// The frame as a message.
    ///
    /// # Panics
    /// Never: these types serialise.
    pub(super) fn to_message(&self) -> Message {
        Message::text(serde_json::to_string(self).expect("invariant: frames serialise"))
    }
}

/// The word for a gap.
pub(super) const fn gap_reason(gap: Gap) -> &'static str {
    match gap {
        Gap::TooOld => "too_old",
        Gap::Expired => "expired",
        Gap::Unknown => "unknown",
    }
}

/// An event for some of its rooms: written once for all connections that get it so.
pub(super) fn event_message(event: &LiveEvent, mask: RoomMask) -> Message {
    let text: Utf8Bytes = event.text(WIRE, mask, |event| {
        let rooms: Vec<&Room> = event.rooms_in(mask).collect();
        let name = |room: &&Room| serde_json::to_string(room).unwrap_or_default();
        let mut text = String::with_capacity(event.json().len() + 128);
        text.push_str("{\"type\":\"event\",\"seq\":");
        text.push_str(&event.seq().to_string());
        text.push_str(",\"shard\":");
        text.push_str(&event.shard().to_string());
        text.push_str(",\"room\":");
        text.push_str(&rooms.first().map(name).unwrap_or_default());
        if rooms.len() > 1 {
            text.push_str(",\"rooms\":[");
            text.push_str(&rooms.iter().map(name).collect::<Vec<_>>().join(","));
            text.push(']');
        }
        text.push_str(",\"event\":");
        text.push_str(event.json());
        text.push('}');
        text
    });
    Message::Text(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn faults(text: &str) -> Vec<String> {
        match parse(text, 64) {
            Ok(_) => vec![],
            Err(error) if error.refusal.errors.is_empty() => vec![error.refusal.code.as_str().to_owned()],
            Err(error) => error.refusal.errors.into_iter().map(|fault| fault.pointer).collect(),
        }
    }

    #[test]
    fn every_fault_of_a_frame_is_named() {
        let check = |text: &str, expected: &[&str]| assert_eq!(faults(text), expected, "{text}");
        check(r#"{"type":"ping","id":1}"#, &[]);
        check(r#"{"type":"subscribe","rooms":["a:1","a:1"],"after":{"a:1":{"3":7}}}"#, &[]);
        check(r#"{"type":"subscribe","rooms":["a:1"],"after":{"63":7}}"#, &[]);
        check(r#"{"type":"subscribe","rooms":["a:1"],"after":{}}"#, &[]);
        check(r#"{"type":"subscribe","rooms":["a:1"],"after":7}"#, &["/after"]);
        check(r#"{"type":"subscribe","rooms":["a:/"],"after":{"a:/":{"64":7}}}"#, &["/after/a:~1"]);
        check(r#"{"type":"subscribe","rooms":["a","b:","c:1"]}"#, &["/rooms/0", "/rooms/1"]);
        check(r#"{"type":"subscribe"}"#, &["/rooms"]);
        check(r#"{"type":"publish"}"#, &["/event"]);
        check(r#"{"type":"auth"}"#, &["/token"]);
        check(r#"{"type":"auth","token":"a","ticket":"b"}"#, &["/token"]);
        check(r#"{"type":"nothing"}"#, &["/type"]);
        check(r#"{"type":"ping","id":{}}"#, &["/id"]);
        check(r#"{"type":"ping","id":1.5}"#, &["/id"]);
        for malformed in
            ["", "{", "[]", "7", r#"{"type":7}"#, r#"{"rooms":[]}"#, r#"{"type":"auth","token":7}"#]
        {
            check(malformed, &["request.malformed"]);
        }
        check(&"[".repeat(50_000), &["request.malformed"]);
        let deep = format!("{{\"type\":\"publish\",\"event\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
        drop(parse(&deep, 1));
    }

    proptest! {
        #[test]
        fn frames_of_any_kind_are_harmless(
            kind in "auth|subscribe|unsubscribe|publish|ping|\\PC{0,8}",
            key in "id|token|ticket|rooms|after|event|\\PC{0,4}",
            value in "\\PC{0,30}|\\[\"\\PC{0,9}\"\\]|\\{\"\\PC{0,9}\":[0-9e.-]{1,30}\\}|[0-9e.-]{1,30}",
        ) {
            drop(parse(&format!("{{\"type\":{kind:?},{key:?}:{value}}}"), 1));
            drop(parse(&value, 64));
        }
    }
}
