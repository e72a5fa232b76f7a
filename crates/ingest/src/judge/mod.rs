//! Decides what a verified webhook body is: an event, or something for quarantine. Pure; called by the router and when a
//! kept request is judged again.
//!
//! - `{"type": …, "timestamp"?: …, "data": …}` with a usable type is that event, stored as the body stands. It counts
//!   whatever sender forgot to say it is JSON (`curl` and browsers then claim a form or plain text).
//! - An event that a provider's scheme has named is that event; its data must be sound JSON.
//! - A structured CloudEvent is that event; its tenant is the source's.
//! - Every other sound body becomes `<source name>.received` with the body as content.
//! - A body that should be JSON and is not, or is nested too deeply for anybody to read, goes to quarantine.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName};
use serde_json::value::RawValue;
use trunkline_model::cloudevents::{self, Defaults};
use trunkline_model::event::Envelope;
use trunkline_model::{Data, Event, EventType, InboundId, Tenant, Timestamp};

use crate::schemes::{Content, Named};

#[cfg(test)]
mod tests;

/// The deepest nesting of JSON that is let through; readers of JSON trees commonly stop at 128.
pub const MAX_DEPTH: usize = 120;

const JSON: &str = "application/json";
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What every event of one source has in common.
#[derive(Debug, Clone)]
pub struct Origin {
    tenant: Tenant,
    source: Arc<str>,
    received: EventType,
    subject: Option<String>,
}

impl Origin {
    /// Events of the source `name` come from `/in/<name>` and belong to `tenant`.
    ///
    /// `None` when the name cannot be the first segment of an event type.
    pub fn new(tenant: Tenant, name: &str, subject: Option<String>) -> Option<Self> {
        let received = EventType::parse(&format!("{name}.received")).ok()?;
        Some(Self { tenant, source: format!("/in/{name}").into(), received, subject })
    }

    /// Who owns the events.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }
}

/// What became of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "made once per call and taken apart at once; a box would cost more"
)]
pub enum Judgement {
    /// It is this event.
    Event(Event),
    /// Nobody can make sense of it as it stands.
    Quarantine {
        /// Why, with line and column where there are any. Never quotes the body.
        reason: String,
    },
}

/// A call to be judged.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The request's id; the event shares its digits, so that one record can stand for both.
    pub id: &'a InboundId,
    /// The headers as received.
    pub headers: &'a HeaderMap,
    /// The body as received.
    pub body: &'a Bytes,
    /// When the call arrived.
    pub now: Timestamp,
}

/// Judges one verified call.
pub fn judge(origin: &Origin, arrival: &Arrival<'_>) -> Judgement {
    let content_type = arrival.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or(""));
    match decide(origin, arrival, content_type) {
        Ok(event) => Judgement::Event(event),
        Err(reason) => Judgement::Quarantine { reason },
    }
}

/// Judges one verified call that its scheme has named.
pub fn judge_named(origin: &Origin, arrival: &Arrival<'_>, named: Named) -> Judgement {
    let json = match named.content {
        Content::Body => arrival.body.clone(),
        Content::Made(json) | Content::Instead(json) => json,
    };
    if let Err(reason) = sound_json(&json) {
        return Judgement::Quarantine { reason };
    }
    let event_type = named.event_type.unwrap_or_else(|| origin.received.clone());
    let mut event = blank(origin, arrival, event_type, named.time.unwrap_or(arrival.now));
    event.data = Data::Json(json);
    event.datacontenttype = Some(JSON.to_owned());
    Judgement::Event(event)
}

fn decide(origin: &Origin, arrival: &Arrival<'_>, content_type: Option<&str>) -> Result<Event, String> {
    let body = arrival.body;
    if content_type.is_some_and(|text| essence(text).eq_ignore_ascii_case(cloudevents::STRUCTURED)) {
        return cloud_event(origin, arrival);
    }
    let claims_json = cloudevents::is_json(content_type);
    if body.is_empty() && content_type.is_none() {
        return Ok(received(origin, arrival));
    }
    if claims_json || content_type.is_some_and(is_careless) && body.first() == Some(&b'{') {
        match json(origin, arrival) {
            Ok(event) => return Ok(event),
            Err(reason) if claims_json => return Err(reason),
            Err(_) => {}
        }
    }
    let mut event = received(origin, arrival);
    event.datacontenttype = content_type.filter(|text| is_header_text(text)).map(str::to_owned);
    event.data = Data::Binary(body.clone());
    if event.datacontenttype.is_none() {
        event.datacontenttype = Some("application/octet-stream".to_owned());
    }
    Ok(event)
}

/// The part of a media type before its parameters.
fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or("").trim()
}

/// Media types that are sent when nobody chose one.
fn is_careless(content_type: &str) -> bool {
    let essence = essence(content_type);
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        || essence.eq_ignore_ascii_case("text/plain")
}

fn is_header_text(text: &str) -> bool {
    !text.is_empty() && text.len() <= 256 && !text.chars().any(char::is_control)
}

/// An event of the source without content yet, sharing its digits with the request.
fn blank(origin: &Origin, arrival: &Arrival<'_>, event_type: EventType, time: Timestamp) -> Event {
    let id = arrival.id.to_event().expect("invariant: request ids begin with their prefix");
    Event {
        correlationid: id.clone().into_shared(),
        id,
        source: Arc::clone(&origin.source),
        event_type,
        subject: origin.subject.clone(),
        time,
        datacontenttype: None,
        dataschema: None,
        data: Data::None,
        tenant: origin.tenant.clone(),
        causationid: None,
        partitionkey: None,
        traceparent: traceparent(arrival.headers),
        extensions: std::collections::BTreeMap::new(),
    }
}

fn received(origin: &Origin, arrival: &Arrival<'_>) -> Event {
    blank(origin, arrival, origin.received.clone(), arrival.now)
}

fn json(origin: &Origin, arrival: &Arrival<'_>) -> Result<Event, String> {
    let body = arrival.body;
    let text = shallow_text(body)?;
    let envelope = serde_json::from_str::<Envelope<'_>>(text).ok();
    let named = envelope.and_then(|envelope| Some((EventType::parse(&envelope.event_type).ok()?, envelope)));
    let mut event = if let Some((event_type, envelope)) = named {
        let time = envelope.timestamp.and_then(event_time).unwrap_or(arrival.now);
        let mut event = blank(origin, arrival, event_type, time);
        event.data = Data::Envelope(body.clone());
        event
    } else {
        whole_json(text)?;
        let mut event = received(origin, arrival);
        event.data = Data::Json(body.clone());
        event
    };
    event.datacontenttype = Some(JSON.to_owned());
    Ok(event)
}

/// A body as text that is not nested too deeply.
fn shallow_text(body: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(body)
        .map_err(|error| format!("body is not JSON: not UTF-8 after {} bytes", error.valid_up_to()))?;
    if is_nested_deeper_than(body, MAX_DEPTH) {
        return Err(format!("body is nested more than {MAX_DEPTH} levels deep"));
    }
    Ok(text)
}

fn whole_json(text: &str) -> Result<(), String> {
    serde_json::from_str::<&RawValue>(text)
        .map(drop)
        .map_err(|error| format!("body is not JSON: line {}, column {}", error.line(), error.column()))
}

fn sound_json(body: &[u8]) -> Result<(), String> {
    whole_json(shallow_text(body)?)
}

/// The time in a member `timestamp`, if it is a plain RFC 3339 string.
fn event_time(raw: &RawValue) -> Option<Timestamp> {
    let text = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    Timestamp::parse_rfc3339(text).ok()
}

fn cloud_event(origin: &Origin, arrival: &Arrival<'_>) -> Result<Event, String> {
    if is_nested_deeper_than(arrival.body, MAX_DEPTH) {
        return Err(format!("body is nested more than {MAX_DEPTH} levels deep"));
    }
    let defaults = Defaults { tenant: &origin.tenant, now: arrival.now };
    cloudevents::parse_structured(arrival.body, &defaults).map_err(|faults| {
        let list: Vec<String> = faults
            .iter()
            .take(8)
            .map(|fault| match &*fault.pointer {
                "" => fault.detail.clone(),
                pointer => format!("{} {}", bounded(pointer), fault.detail),
            })
            .collect();
        format!("not a CloudEvent: {}", list.join("; "))
    })
}

/// At most 64 characters of a name that the caller chose.
fn bounded(text: &str) -> &str {
    text.char_indices().nth(64).map_or(text, |(at, _)| &text[..at])
}

/// Tells whether brackets outside strings nest deeper than `limit`. The text need not be valid JSON.
fn is_nested_deeper_than(json: &[u8], limit: usize) -> bool {
    // Counting all opening brackets is many times faster than telling strings apart, and mostly enough.
    if count_opening_brackets(json) <= limit {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}

/// Sums in bytes over short runs, which the compiler turns into vector instructions.
fn count_opening_brackets(json: &[u8]) -> usize {
    let in_run = |run: &[u8]| run.iter().map(|b| u8::from(matches!(b, b'{' | b'['))).sum::<u8>();
    json.chunks(usize::from(u8::MAX)).map(|run| usize::from(in_run(run))).sum()
}

/// The trace context of the call when it is well-formed (W3C Trace Context, version 00).
fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(&TRACEPARENT)?.to_str().ok()?;
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut parts = text.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let sound = version == "00"
        && hex(trace, 32)
        && hex(parent, 16)
        && hex(flags, 2)
        && parts.next().is_none()
        && [trace, parent].iter().all(|part| part.bytes().any(|b| b != b'0'));
    sound.then(|| text.to_owned())
}
