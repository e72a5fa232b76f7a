//! The body of an event and its `webhook-id`.
//!
//! **Shape** of the standard body: `{"type": "…", "timestamp": "…", "data": …}`, `timestamp` being the event's time.
//! JSON content is copied as it was received, without parsing it. No content is `null`. Content of a text type
//! (`text/…`, XML) is a JSON string; any other content is
//! `{"data_base64": "…", "datacontenttype": "image/png"}`, the latter when the event names one.
//!
//! **Source**: Standard Webhooks 1.0.0 (`spec/standard-webhooks.md`), CloudEvents 1.0.2 JSON format.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::HeaderValue;
use ring::digest;
use trunkline_model::cloudevents::{self, ObjectWriter};
use trunkline_model::event::ExtensionValue;
use trunkline_model::{Data, Event, EventType};

use super::hex;
use crate::endpoint::WebhookFormat;
use crate::engine::is_test;

/// The longest event id that is sent as it is.
const MAX_PLAIN_ID: usize = 128;

/// The `webhook-id` of an event: its own id, or a digest where that has characters the signature scheme forbids.
pub fn webhook_id(event: &Event) -> Cow<'_, str> {
    let id = event.id.as_str();
    let is_plain = !id.is_empty()
        && id.len() <= MAX_PLAIN_ID
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if is_plain {
        return Cow::Borrowed(id);
    }
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [event.tenant.as_str(), &event.source, id] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let digest = context.finish();
    Cow::Owned(format!("evt_{}", hex(digest.as_ref().get(..16).unwrap_or_default())))
}

/// The extension attribute of a test that names the type which its receiver sees.
pub(crate) const SHOWN_TYPE: &str = "showntype";

/// An event as its receiver sees it: a test can stand for an event of another type.
pub(crate) fn presented(event: &Event) -> Cow<'_, Event> {
    let shown = match event.extensions.get(SHOWN_TYPE) {
        Some(ExtensionValue::String(shown)) if is_test(event) => EventType::parse(shown).ok(),
        _ => None,
    };
    let Some(event_type) = shown else { return Cow::Borrowed(event) };
    let mut presented = Event { event_type, ..event.clone() };
    presented.extensions.remove(SHOWN_TYPE);
    Cow::Owned(presented)
}

/// The body of an event in a format. The same event gives the same bytes.
pub fn body(event: &Event, format: WebhookFormat) -> Bytes {
    let event = presented(event);
    match format {
        WebhookFormat::Standard => standard_body(&event).into(),
        WebhookFormat::CloudEvents => cloudevents::to_structured(&event).into(),
    }
}

/// The media type of a format's bodies.
pub fn content_type(format: WebhookFormat) -> HeaderValue {
    HeaderValue::from_static(match format {
        WebhookFormat::Standard => "application/json",
        WebhookFormat::CloudEvents => cloudevents::STRUCTURED,
    })
}

fn standard_body(event: &Event) -> Vec<u8> {
    let mut out = ObjectWriter::new(event.data.len_bytes() + 128);
    out.text("type", event.event_type.as_str());
    out.text("timestamp", &event.time.to_rfc3339());
    let content_type = event.datacontenttype.as_deref();
    match &event.data {
        Data::None => out.raw("data", "null"),
        Data::Json(_) | Data::Envelope(_) => out.raw("data", event.data.as_json().unwrap_or("null")),
        Data::Binary(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if content_type.is_some_and(cloudevents::is_text) => out.text("data", text),
            _ => out.raw("data", &wrapped_bytes(bytes, content_type)),
        },
    }
    out.finish()
}

fn wrapped_bytes(bytes: &[u8], content_type: Option<&str>) -> String {
    let mut inner = ObjectWriter::new(bytes.len() * 4 / 3 + 64);
    inner.text("data_base64", &BASE64.encode(bytes));
    if let Some(content_type) = content_type {
        inner.text("datacontenttype", content_type);
    }
    String::from_utf8(inner.finish()).expect("invariant: the writer makes UTF-8")
}
