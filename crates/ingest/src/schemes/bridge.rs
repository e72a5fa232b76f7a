//! What the schemes `dentrix` and `eaglesoft` share, and `open-dental` for those who put a bridge before it: practice systems
//! that send no webhooks themselves, and the bridges that do it for them.
//!
//! A bridge proves itself in one of two ways, under the same secret:
//! - its own: HMAC-SHA256 of the raw body, hex or base64, with or without `sha256=` before it, in the scheme's header;
//! - NexHealth's: headers `signature` and `timestamp`, HMAC-SHA256 of `{timestamp}.{base64 of the raw body}`. NexHealth does
//!   not say how the digest is written, so that hex and base64 are taken; its timestamp is held against `tolerance_s`.
//!
//! The two cannot be mistaken for one another: what NexHealth signs begins with a time and is no JSON object.
//!
//! Event: `<scheme>.<type>`, from the first of `type`, `event`, `event_type`, `eventType`, `event_name` in the body. Repeats:
//! by `event_id` or `eventId` in the body, `id` beside a `data` or `payload`, else `webhook-id` or `idempotency-key`, else,
//! with NexHealth, by time and body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::HeaderName;
use serde_json::Value;

use super::digest::key_of;
use super::naming::{event_type, json, text};
use super::reading::Reading;
use super::signature::{Encoding, Signature};
use super::window::{Window, any_time};
use super::{Call, InvalidScheme, Parts, Refusal, Scheme, Verified, body_id, required, unsigned_id};

const NEXHEALTH_SIGNATURE: HeaderName = HeaderName::from_static("signature");
const NEXHEALTH_TIMESTAMP: HeaderName = HeaderName::from_static("timestamp");

pub(super) struct Bridge {
    scheme: &'static str,
    header: HeaderName,
    own: Signature,
    nexhealth: Signature,
    window: Window,
}

impl Bridge {
    /// For the scheme of that name, with its own header unless the source names another.
    pub(super) fn new(parts: &Parts<'_>, own_header: &'static str) -> Result<Self, InvalidScheme> {
        const PREFIXES: &[&[u8]] = &[b"sha256=", b""];
        let header = parts.header(own_header)?;
        let signature = |header| Signature::new(header, Encoding::Either, parts.secrets);
        Ok(Self {
            scheme: parts.settings.provider.name(),
            own: signature(header.clone())?.with_prefixes(PREFIXES),
            header,
            nexhealth: signature(NEXHEALTH_SIGNATURE)?,
            window: Window::new(parts.tolerance),
        })
    }

    fn verify_nexhealth(&self, call: &Call<'_>) -> Result<Verified, Refusal> {
        let time = required(call.headers, &NEXHEALTH_TIMESTAMP)?;
        let claimed_at = any_time(time).ok_or(Refusal::MalformedHeader(NEXHEALTH_TIMESTAMP))?;
        self.window.check(claimed_at, call.now)?;
        let body = STANDARD.encode(call.body);
        self.nexhealth.verify(call.headers, &[time, b".", body.as_bytes()])?;
        let dedupe_key = named_id(call).or_else(|| Some(key_of(&[time, call.body])));
        Ok(Verified { dedupe_key, claimed_at: Some(claimed_at) })
    }
}

/// The id that a verified call has, in its body or beside it.
fn named_id(call: &Call<'_>) -> Option<String> {
    let body = json(call.body);
    let is_envelope = ["data", "payload"].iter().any(|name| body.get(name).is_some_and(Value::is_object));
    let own = if is_envelope { body_id(&body, "/id") } else { None };
    body_id(&body, "/event_id")
        .or_else(|| body_id(&body, "/eventId"))
        .or(own)
        .or_else(|| unsigned_id(call.headers))
}

impl Scheme for Bridge {
    fn verify(&self, call: &Call<'_>) -> Result<Verified, Refusal> {
        if !call.headers.contains_key(&self.header) && call.headers.contains_key(&NEXHEALTH_SIGNATURE) {
            return self.verify_nexhealth(call);
        }
        self.own.verify(call.headers, &[call.body])?;
        Ok(Verified { dedupe_key: named_id(call), claimed_at: None })
    }

    fn credential_header(&self) -> Option<&HeaderName> {
        None
    }

    fn read(&self, call: &Call<'_>) -> Reading {
        let body = json(call.body);
        let places = ["/type", "/event", "/event_type", "/eventType", "/event_name"];
        let name = places.iter().find_map(|place| text(&body, place)).unwrap_or("");
        Reading::event(event_type(self.scheme, &[name]), None, None)
    }
}

#[cfg(test)]
mod tests {
    use trunkline_config::Provider;
    use trunkline_model::Timestamp;

    use super::*;
    use crate::schemes::testing::{Sent, hmac_base64, hmac_hex, scheme, with_header};

    const BODY: &str = r#"{"id":"e-1","event":"appointment.created","data":{"id":17}}"#;

    #[test]
    fn a_bridge_signs_the_raw_body() {
        for (provider, header) in
            [(Provider::Dentrix, "x-dentrix-signature"), (Provider::Eaglesoft, "x-eaglesoft-signature")]
        {
            let practice = scheme(provider, &["old", "new"]);
            let (hex, base64) = (hmac_hex(b"new", BODY.as_bytes()), hmac_base64(b"new", BODY.as_bytes()));
            for value in [&hex, &format!("sha256={hex}"), &base64, &hex.to_uppercase()] {
                let name = format!("{}.appointment.created", provider.name());
                Sent::post(&[(header, value)], BODY).check_event(&*practice, &name, Some("e-1"));
            }
            let header_name = HeaderName::from_static(header);
            Sent::post(&[(header, &hex)], "{}").check(&*practice, Err(Refusal::SignatureMismatch));
            Sent::post(&[], BODY).check(&*practice, Err(Refusal::MissingHeader(header_name)));
        }
        let named = scheme(with_header(Provider::Dentrix, "x-own"), &["k"]);
        Sent::post(&[("x-own", &hmac_hex(b"k", b"{}"))], "{}").check(&*named, Ok(()));
    }

    #[test]
    fn nexhealth_signs_time_and_encoded_body() {
        let practice = scheme(Provider::Dentrix, &["nh-secret"]);
        let vector = "66324e66bcde05b08047f418fd61b974c7af85ca91f6d20417e2a5b8d3ad2ab5";
        let body = r#"{"event_name":"x"}"#;
        let time = Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
        let sent = |time: &str| Sent::post(&[("signature", vector), ("timestamp", time)], body);
        let good = sent("2026-01-01T00:00:00Z").at(time);
        good.check_event(&*practice, "dentrix.x", Some(&key_of(&[b"2026-01-01T00:00:00Z", body.as_bytes()])));
        good.check(&*practice, Ok(()));
        good.at(Timestamp::from_secs(time.as_secs() + 301)).check(&*practice, Err(Refusal::Stale));
        sent("2026-01-01T00:00:01Z").at(time).check(&*practice, Err(Refusal::SignatureMismatch));
        sent("soon").at(time).check(&*practice, Err(Refusal::MalformedHeader(NEXHEALTH_TIMESTAMP)));
    }

    #[test]
    fn ids_of_records_are_no_ids_of_events() {
        let practice = scheme(Provider::Dentrix, &["k"]);
        let check = |body: &str, expect: Option<&str>| {
            let sent = Sent::post(&[("x-dentrix-signature", &hmac_hex(b"k", body.as_bytes()))], body);
            assert_eq!(sent.verify(&*practice).unwrap().dedupe_key.as_deref(), expect, "{body}");
        };
        check(r#"{"id":"17","type":"patient.updated"}"#, None);
        check(r#"{"id":"17","event_id":"e-2"}"#, Some("e-2"));
        check(r#"{"id":17,"data":{}}"#, None);
        check("no json", None);
    }
}
