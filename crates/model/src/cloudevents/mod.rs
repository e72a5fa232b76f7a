//! CloudEvents 1.0 in JSON: structured, binary and batch HTTP content modes.
//!
//! Parsing names every fault of an event, not just the first. Attribute rules follow CloudEvents 1.0.2 §3 and its JSON
//! and HTTP bindings. What the hub adds: length limits, no control characters, and `tenant` must be the caller's.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::error::FieldError;
use crate::event::{Data, Event, EventRecord, ExtensionValue};
use crate::event_type::EventType;
use crate::id::EventId;
use crate::tenant::Tenant;
use crate::time::Timestamp;

/// Media type of one structured event.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// Media type of a batch of structured events.
pub const BATCH: &str = "application/cloudevents-batch+json";
/// The longest attribute value in bytes; ids are limited to [`MAX_ID_LEN`].
pub const MAX_ATTRIBUTE_LEN: usize = 1024;
/// The longest event id in bytes.
pub const MAX_ID_LEN: usize = 256;
/// The most extension attributes an event may have.
pub const MAX_EXTENSIONS: usize = 32;

/// What an event gets when its producer leaves it open.
#[derive(Debug, Clone)]
pub struct Defaults<'a> {
    /// The tenant of the caller; an event that names another one is refused.
    pub tenant: &'a Tenant,
    /// The time of events that carry none.
    pub now: Timestamp,
}

/// Every fault of one event.
pub type Faults = Vec<FieldError>;

/// Tells whether a media type means JSON content: none, `application/json`, `text/json` or a `+json` suffix.
pub fn is_json(content_type: Option<&str>) -> bool {
    let Some(content_type) = content_type else { return true };
    let essence = content_type.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/json")
        || essence.eq_ignore_ascii_case("text/json")
        || essence.len() > 5
            && essence.get(essence.len() - 5..).is_some_and(|s| s.eq_ignore_ascii_case("+json"))
}

/// Tells whether a media type means text: `text/…`, XML or a `+xml` suffix.
pub fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence.starts_with("text/") || essence.ends_with("/xml") || essence.ends_with("+xml")
}

/// Parses one structured event.
pub fn parse_structured(body: &[u8], defaults: &Defaults<'_>) -> Result<Event, Faults> {
    let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(body).map_err(|error| {
        vec![FieldError::new("", "malformed", format!("not a JSON object: {}", position(&error)))]
    })?;
    let mut attributes = Attributes::default();
    let (mut data, mut data_base64) = (None, None);
    for (name, raw) in members {
        match &*name {
            "data" => data = Some(raw),
            "data_base64" => data_base64 = Some(raw),
            _ => attributes.take_json(&name, raw),
        }
    }
    let content_type = attributes.known.get("datacontenttype").cloned();
    let data = match (data, data_base64) {
        (Some(_), Some(_)) => {
            attributes.fault("/data_base64", "conflict", "an event has data or data_base64, not both");
            Data::None
        }
        (Some(raw), None) => json_member(raw, content_type.as_deref()),
        (None, Some(raw)) => {
            if let Ok(Ok(bytes)) = serde_json::from_str::<String>(raw.get()).map(|text| BASE64.decode(text)) {
                Data::Binary(bytes.into())
            } else {
                attributes.fault("/data_base64", "invalid", "not a string in standard base64");
                Data::None
            }
        }
        (None, None) => Data::None,
    };
    attributes.into_event(data, defaults)
}

fn json_member(raw: &RawValue, content_type: Option<&str>) -> Data {
    if !is_json(content_type)
        && let Ok(text) = serde_json::from_str::<String>(raw.get())
    {
        return Data::Binary(text.into_bytes().into());
    }
    Data::Json(Bytes::copy_from_slice(raw.get().as_bytes()))
}

/// Parses a batch. The outer result fails when the body is no JSON array; the inner ones stand for each event alone.
pub fn parse_batch(body: &[u8], defaults: &Defaults<'_>) -> Result<Vec<Result<Event, Faults>>, Faults> {
    let items: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| {
        vec![FieldError::new("", "malformed", format!("not a JSON array: {}", position(&error)))]
    })?;
    Ok(items.into_iter().map(|raw| parse_structured(raw.get().as_bytes(), defaults)).collect())
}

/// Parses an event in binary mode: attributes in `ce-…` headers (any case), content in the body.
pub fn parse_binary<'h>(
    headers: impl Iterator<Item = (&'h str, &'h [u8])>,
    body: Bytes,
    defaults: &Defaults<'_>,
) -> Result<Event, Faults> {
    let mut attributes = Attributes { in_headers: true, ..Attributes::default() };
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        if name == "content-type" {
            attributes.take_text("datacontenttype", &String::from_utf8_lossy(value));
        } else if let Some(attribute) = name.strip_prefix("ce-") {
            match percent_decode(value) {
                Some(text) => attributes.take_text(attribute, &text),
                None => {
                    attributes.fault(&format!("header:{name}"), "invalid", "not UTF-8 in percent-encoding");
                }
            }
        }
    }
    let content_type = attributes.known.get("datacontenttype").cloned();
    let data = if body.is_empty() {
        Data::None
    } else if !is_json(content_type.as_deref()) {
        Data::Binary(body)
    } else if let Err(error) = serde_json::from_slice::<&RawValue>(&body) {
        attributes.fault("", "malformed", &format!("the content is not JSON: {}", position(&error)));
        Data::None
    } else {
        Data::Json(body)
    };
    attributes.into_event(data, defaults)
}

/// Where a JSON text is broken, without quoting it.
fn position(error: &serde_json::Error) -> String {
    format!("line {}, column {}", error.line(), error.column())
}

/// Undoes the percent-encoding of a binary-mode header value (HTTP binding §3.1.3.2).
fn percent_decode(value: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&first, tail)) = rest.split_first() {
        let escaped =
            (first == b'%').then(|| tail.get(..2)).flatten().and_then(|digits| hex::decode(digits).ok());
        if let Some(byte) = escaped {
            bytes.extend(byte);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

/// Attributes gathered from either mode, with the faults met so far.
#[derive(Default)]
struct Attributes {
    known: BTreeMap<&'static str, String>,
    extensions: BTreeMap<String, ExtensionValue>,
    faults: Faults,
    in_headers: bool,
}

const KNOWN: [&str; 12] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "dataschema",
    "tenant",
    "correlationid",
    "causationid",
    "partitionkey",
];

impl Attributes {
    fn fault(&mut self, pointer: &str, code: &str, detail: &str) {
        self.faults.push(FieldError::new(pointer, code, detail));
    }

    fn pointer(&self, name: &str) -> String {
        if self.in_headers {
            format!("header:ce-{name}")
        } else {
            format!("/{}", name.replace('~', "~0").replace('/', "~1"))
        }
    }

    fn take_json(&mut self, name: &str, raw: &RawValue) {
        match serde_json::from_str::<serde_json::Value>(raw.get()) {
            Ok(serde_json::Value::Null) => {}
            Ok(serde_json::Value::String(text)) => self.take_text(name, &text),
            Ok(serde_json::Value::Bool(flag)) if !is_known(name) => {
                self.take_extension(name, ExtensionValue::Boolean(flag));
            }
            Ok(serde_json::Value::Number(number)) if !is_known(name) => {
                // JSON Schema counts 5.0 as an integer too.
                let whole = || number.as_f64().filter(|n| n.fract() == 0.0).map(|n| n as i64);
                match number.as_i64().or_else(whole).and_then(|n| i32::try_from(n).ok()) {
                    Some(n) => self.take_extension(name, ExtensionValue::Integer(n)),
                    None => self.fault(&self.pointer(name), "invalid", "a number must be a 32-bit integer"),
                }
            }
            _ => self.fault(&self.pointer(name), "invalid", "must be a string"),
        }
    }

    fn take_text(&mut self, name: &str, text: &str) {
        let limit = if name == "id" { MAX_ID_LEN } else { MAX_ATTRIBUTE_LEN };
        if text.len() > limit {
            return self.fault(&self.pointer(name), "too_long", &format!("longer than {limit} bytes"));
        }
        if text.chars().any(char::is_control) {
            return self.fault(&self.pointer(name), "invalid", "has control characters");
        }
        match known(name) {
            Some(name) => drop(self.known.insert(name, text.to_owned())),
            None => self.take_extension(name, ExtensionValue::String(text.to_owned())),
        }
    }

    fn take_extension(&mut self, name: &str, value: ExtensionValue) {
        // The API adds these to its answers; an event that comes back with them is not refused for it.
        if matches!(name, "seq" | "shard" | "recordedat") {
            return;
        }
        let named_well = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if name == "data" {
            // Reserved by the specification; in binary mode it would stand beside the content.
            self.fault(&self.pointer(name), "invalid", "no attribute may be named data");
        } else if !named_well {
            self.fault(&self.pointer(name), "unknown", "extension names are 1 to 64 of a-z and 0-9");
        } else if self.extensions.len() >= MAX_EXTENSIONS {
            self.fault(&self.pointer(name), "too_many", &format!("more than {MAX_EXTENSIONS} extensions"));
        } else {
            self.extensions.insert(name.to_owned(), value);
        }
    }

    fn required(&mut self, name: &'static str) -> String {
        match self.known.remove(name) {
            Some(text) if !text.is_empty() => text,
            Some(_) => {
                self.fault(&self.pointer(name), "invalid", "must not be empty");
                String::new()
            }
            None if self.faults.iter().any(|fault| fault.pointer == self.pointer(name)) => String::new(),
            None => {
                self.fault(&self.pointer(name), "required", "is missing");
                String::new()
            }
        }
    }

    fn optional(&mut self, name: &'static str) -> Option<String> {
        self.known.remove(name).filter(|text| !text.is_empty())
    }

    fn into_event(mut self, data: Data, defaults: &Defaults<'_>) -> Result<Event, Faults> {
        let version = self.required("specversion");
        if !version.is_empty() && version != "1.0" {
            self.fault(&self.pointer("specversion"), "invalid", "must be 1.0");
        }
        let id = self.required("id");
        let source = self.required("source");
        let type_text = self.required("type");
        let event_type = EventType::parse(&type_text).unwrap_or_else(|error| {
            if !type_text.is_empty() {
                self.fault(&self.pointer("type"), "invalid", &error.to_string());
            }
            EventType::from_stored("")
        });
        let time = match self.known.remove("time").map(|text| Timestamp::parse_rfc3339(&text)) {
            None => defaults.now,
            Some(Ok(time)) => time,
            Some(Err(error)) => {
                self.fault(&self.pointer("time"), "invalid", &error.to_string());
                defaults.now
            }
        };
        if self.optional("tenant").is_some_and(|tenant| tenant != defaults.tenant.as_str()) {
            self.fault(&self.pointer("tenant"), "forbidden", "is not the tenant of the token");
        }
        let traceparent = match self.extensions.remove("traceparent") {
            Some(ExtensionValue::String(text)) => Some(text),
            Some(_) => {
                self.fault(&self.pointer("traceparent"), "invalid", "must be a string");
                None
            }
            None => None,
        };
        let id = EventId::from_text(id);
        let event = Event {
            correlationid: self
                .optional("correlationid")
                .map_or_else(|| id.clone().into_shared(), Into::into),
            id,
            source: source.into(),
            event_type,
            subject: self.optional("subject"),
            time,
            datacontenttype: self.optional("datacontenttype"),
            dataschema: self.optional("dataschema"),
            data,
            tenant: defaults.tenant.clone(),
            causationid: self.optional("causationid"),
            partitionkey: self.optional("partitionkey"),
            traceparent,
            extensions: std::mem::take(&mut self.extensions),
        };
        if self.faults.is_empty() { Ok(event) } else { Err(self.faults) }
    }
}

fn known(name: &str) -> Option<&'static str> {
    KNOWN.into_iter().find(|known| *known == name)
}

fn is_known(name: &str) -> bool {
    known(name).is_some()
}

/// Writes one structured event.
pub fn to_structured(event: &Event) -> Vec<u8> {
    write_event(event, None)
}

/// Writes a structured event with `seq`, `shard` and `recordedat` beside its attributes, as the API answers it.
pub fn to_structured_record(record: &EventRecord) -> Vec<u8> {
    write_event(&record.event, Some(record))
}

fn write_event(event: &Event, record: Option<&EventRecord>) -> Vec<u8> {
    let mut out = ObjectWriter::new(event.data.len_bytes() + 512);
    out.text("specversion", "1.0");
    out.text("id", event.id.as_str());
    out.text("source", &event.source);
    out.text("type", event.event_type.as_str());
    out.text("time", &event.time.to_rfc3339());
    out.text("tenant", event.tenant.as_str());
    out.text("correlationid", &event.correlationid);
    let optional = [
        ("subject", &event.subject),
        ("causationid", &event.causationid),
        ("partitionkey", &event.partitionkey),
        ("traceparent", &event.traceparent),
        ("dataschema", &event.dataschema),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            out.text(name, value);
        }
    }
    for (name, value) in &event.extensions {
        match value {
            ExtensionValue::Boolean(flag) => out.raw(name, if *flag { "true" } else { "false" }),
            ExtensionValue::Integer(n) => out.raw(name, &n.to_string()),
            ExtensionValue::String(text) => out.text(name, text),
        }
    }
    if let Some(record) = record {
        out.raw("seq", &record.seq.to_string());
        out.raw("shard", &record.shard.to_string());
        out.text("recordedat", &record.recorded_at.to_rfc3339());
    }
    let content_type = event.datacontenttype.as_deref();
    if !matches!(event.data, Data::None) {
        out.text("datacontenttype", content_type.unwrap_or("application/json"));
    } else if let Some(content_type) = content_type {
        out.text("datacontenttype", content_type);
    }
    match &event.data {
        Data::None => {}
        Data::Json(_) | Data::Envelope(_) => out.raw("data", event.data.as_json().unwrap_or("null")),
        Data::Binary(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if content_type.is_some_and(is_text) => out.text("data", text),
            _ => out.text("data_base64", &BASE64.encode(bytes)),
        },
    }
    out.finish()
}

/// Writes a flat JSON object into one buffer, raw members included, without building a tree.
#[derive(Debug)]
pub struct ObjectWriter(Vec<u8>);

impl ObjectWriter {
    /// Starts an object; `capacity` is a guess of its length in bytes.
    pub fn new(capacity: usize) -> Self {
        let mut buffer = Vec::with_capacity(capacity);
        buffer.push(b'{');
        Self(buffer)
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.string(name);
        self.0.push(b':');
    }

    fn string(&mut self, text: &str) {
        serde_json::to_writer(&mut self.0, text)
            .expect("invariant: writing a string to memory does not fail");
    }

    /// Adds a string member.
    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.string(value);
    }

    /// Adds a member whose value is JSON text already.
    pub fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        self.0.extend_from_slice(json.as_bytes());
    }

    /// Ends the object.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

#[cfg(test)]
mod tests;
