//! What is sent: the body of an event, its `webhook-id`, and the Standard Webhooks v1 signature.
//!
//! Called by the engine for each attempt. Id and body depend on the event alone, so every attempt of every delivery of
//! an event carries the same ones; only `webhook-timestamp` and with it the signature are the attempt's.
//!
//! **Shape** of the standard body: `{"type": "…", "timestamp": "…", "data": …}`, `timestamp` being the event's time.
//! JSON content is copied as it was received, without parsing it. No content is `null`. Content of a text type
//! (`text/…`, XML) is a JSON string; any other content is
//! `{"data_base64": "…", "datacontenttype": "image/png"}`, the latter when the event names one.
//!
//! **Source**: Standard Webhooks 1.0.0 (`spec/standard-webhooks.md`), CloudEvents 1.0.2 JSON format.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use ring::{digest, hmac};
use trunkline_model::cloudevents::{self, ObjectWriter};
use trunkline_model::{Data, Event, Timestamp};

use crate::endpoint::{SigningKey, WebhookFormat};

/// The longest event id that is sent as it is.
const MAX_PLAIN_ID: usize = 128;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

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
    let mut text = String::from("evt_");
    for byte in &context.finish().as_ref()[..16] {
        write!(text, "{byte:02x}").expect("invariant: writing to a string does not fail");
    }
    Cow::Owned(text)
}

/// The body of an event in a format. The same event gives the same bytes.
pub fn body(event: &Event, format: WebhookFormat) -> Bytes {
    match format {
        WebhookFormat::Standard => standard_body(event).into(),
        WebhookFormat::CloudEvents => cloudevents::to_structured(event).into(),
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

/// One v1 signature: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
pub fn signature(key: &SigningKey, id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&key.key);
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        context.update(part);
    }
    let mut text = String::with_capacity(48);
    text.push_str("v1,");
    BASE64.encode_string(context.sign(), &mut text);
    text
}

/// The headers of one attempt: id, timestamp, a signature of every live key, media type.
pub fn headers(
    id: &str,
    body: &[u8],
    format: WebhookFormat,
    keys: &[SigningKey],
    now: Timestamp,
) -> HeaderMap {
    let timestamp = now.as_secs().to_string();
    let mut signatures = String::new();
    for key in keys.iter().filter(|key| key.is_live(now)) {
        if !signatures.is_empty() {
            signatures.push(' ');
        }
        signatures.push_str(&signature(key, id, &timestamp, body));
    }
    let value =
        |text: &str| HeaderValue::from_str(text).expect("invariant: ids, digits and base64 are header text");
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::CONTENT_TYPE, content_type(format));
    headers.insert(WEBHOOK_ID, value(id));
    headers.insert(WEBHOOK_TIMESTAMP, value(&timestamp));
    headers.insert(WEBHOOK_SIGNATURE, value(&signatures));
    headers
}

#[cfg(test)]
mod tests {
    use trunkline_model::{EventId, EventType, Secret, Tenant};

    use super::*;

    fn event(content_type: Option<&str>, data: Data) -> Event {
        let event_type = EventType::parse("order.paid").unwrap();
        let mut event =
            Event::new(Tenant::default(), "shop", event_type, Timestamp::from_secs(1_700_000_000));
        event.datacontenttype = content_type.map(str::to_owned);
        event.data = data;
        event
    }

    fn check_vector(secret: &str, id: &str, timestamp: &str, body: &str, expect: &str) {
        let key = SigningKey::new(&Secret::new(secret), None).unwrap();
        assert_eq!(signature(&key, id, timestamp, body.as_bytes()), expect);
    }

    #[test]
    fn published_vectors() {
        check_vector(
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            "1649367553",
            r#"{"email":"test@example.com","username":"test_user"}"#,
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        );
        check_vector(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            r#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        );
    }

    fn check_body(content_type: Option<&str>, data: Data, expect: &str) {
        let body = body(&event(content_type, data), WebhookFormat::Standard);
        let start = r#"{"type":"order.paid","timestamp":"2023-11-14T22:13:20Z","data":"#;
        assert_eq!(std::str::from_utf8(&body).unwrap(), format!("{start}{expect}}}"));
    }

    #[test]
    fn standard_bodies() {
        let bytes = Bytes::from_static;
        check_body(None, Data::None, "null");
        check_body(None, Data::Json(bytes(b"{\"b\" : 1.00}")), "{\"b\" : 1.00}");
        let envelope = br#"{"type":"x","data":[1, 2],"more":true}"#;
        check_body(None, Data::Envelope(bytes(envelope)), "[1, 2]");
        check_body(Some("text/plain"), Data::Binary(bytes(b"say \"hi\"")), r#""say \"hi\"""#);
        check_body(
            Some("text/plain"),
            Data::Binary(bytes(b"\xff")),
            r#"{"data_base64":"/w==","datacontenttype":"text/plain"}"#,
        );
        check_body(None, Data::Binary(bytes(b"ab")), r#"{"data_base64":"YWI="}"#);
    }

    #[test]
    fn ids_are_safe_and_stable() {
        let mut event = event(None, Data::None);
        assert_eq!(webhook_id(&event), event.id.as_str());
        for odd in ["a.b", "a b", "ä", "line\nbreak", &"x".repeat(129), ""] {
            event.id = EventId::from_text(odd);
            let id = webhook_id(&event).into_owned();
            assert_eq!((id.len(), id.starts_with("evt_")), (36, true), "{odd:?}");
            assert_eq!(id, webhook_id(&event));
            let other = Event { source: "else".into(), ..event.clone() };
            assert_ne!(id, webhook_id(&other));
        }
    }

    #[test]
    fn signs_with_every_live_key() {
        let key = |fill: u8, end| {
            let secret = Secret::new(format!("whsec_{}", BASE64.encode([fill; 32])));
            SigningKey::new(&secret, end).unwrap()
        };
        let now = Timestamp::from_secs(1000);
        let keys = [key(1, None), key(2, Some(Timestamp::from_secs(1001))), key(3, Some(now))];
        let headers = headers("evt_1", b"{}", WebhookFormat::CloudEvents, &keys, now);
        let expect = format!(
            "{} {}",
            signature(&keys[0], "evt_1", "1000", b"{}"),
            signature(&keys[1], "evt_1", "1000", b"{}")
        );
        assert_eq!(headers["webhook-signature"], expect);
        assert_eq!(headers["webhook-timestamp"], "1000");
        assert_eq!(headers["content-type"], "application/cloudevents+json");
    }
}
