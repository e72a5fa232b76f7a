//! The scheme `xero`: webhooks of a Xero app.
//!
//! - Signed: the raw body, HMAC-SHA256 in base64 keyed by the webhook signing key, in `x-xero-signature`.
//! - Handshake, "intent to receive": Xero posts bodies without events, some of them signed wrongly, and wants 200 and 401
//!   accordingly, without a body and without cookies. Such a call leaves no event.
//! - Event: `xero.<category>.<type>`, such as `xero.invoice.update`, when all of a call's events are of one kind, else
//!   `xero.events`. The data holds no resource, only where it is.
//! - Repeats: by tenant, resource, time and type of each event and the call's sequence numbers; `entropy` differs.
//! - Answer: 200 without a body within 5 s; retries for 24 hours, then the webhook is switched off.
//!
//! Source: <https://developer.xero.com/documentation/webhooks/configuring-your-server> and `XeroAPI/Xero-OpenAPI`
//! `xero-webhooks.yaml`, read in 2026. Xero publishes no vector; those of the tests are made by the documented rule.

use http::header::HeaderName;
use serde_json::Value;

use super::digest::Digest;
use super::naming::{event_type, json, text};
use super::reading::{Reading, Receipt, Reply};
use super::signature::{Encoding, Signature};
use super::{Call, InvalidScheme, Parts, Refusal, Scheme, Verified};

const SIGNATURE: HeaderName = HeaderName::from_static("x-xero-signature");

pub(super) struct Xero(Signature);

impl Xero {
    pub(super) fn new(parts: &Parts<'_>) -> Result<Self, InvalidScheme> {
        Signature::new(SIGNATURE, Encoding::Base64, parts.secrets).map(Self)
    }
}

impl Scheme for Xero {
    fn verify(&self, call: &Call<'_>) -> Result<Verified, Refusal> {
        self.0.verify(call.headers, &[call.body])?;
        Ok(Verified::default())
    }

    fn credential_header(&self) -> Option<&HeaderName> {
        None
    }

    fn read(&self, call: &Call<'_>) -> Reading {
        let body = json(call.body);
        let Some(events) = body.get("events").and_then(Value::as_array) else {
            return Reading::event(None, None, None);
        };
        let Some(first) = events.first() else { return Reading::handshake(Reply::empty()) };
        let kind = |event| (text(event, "/eventCategory"), text(event, "/eventType"));
        let name = match kind(first) {
            (Some(category), Some(what)) if events.iter().all(|event| kind(event) == kind(first)) => {
                event_type("xero", &[category, what])
            }
            _ => event_type("xero", &["events"]),
        };
        Reading::event(name, Some(key(&body, events)), None)
    }

    fn receipt(&self) -> Receipt {
        Receipt::Bare
    }
}

fn key(body: &Value, events: &[Value]) -> String {
    let mut digest = Digest::new();
    for event in events {
        for member in ["tenantId", "resourceId", "eventDateUtc", "eventType", "eventCategory"] {
            digest.part(event.get(member).and_then(Value::as_str).unwrap_or("").as_bytes());
        }
    }
    for member in ["firstEventSequence", "lastEventSequence"] {
        digest.part(body.get(member).map(Value::to_string).unwrap_or_default().as_bytes());
    }
    digest.into_key()
}

#[cfg(test)]
mod tests {
    use trunkline_config::Provider;

    use super::*;
    use crate::schemes::testing::{Sent, hmac_base64, scheme};

    fn signed(body: &str) -> Sent {
        Sent::post(&[("x-xero-signature", &hmac_base64(b"xero-signing-key", body.as_bytes()))], body)
    }

    fn event(category: &str, entropy: &str) -> String {
        format!(
            r#"{{"events":[{{"resourceId":"r","tenantId":"t","eventCategory":"INVOICE","eventType":"UPDATE","eventDateUtc":"2026-01-05T09:00:00.123"}},{{"resourceId":"r2","tenantId":"t","eventCategory":"{category}","eventType":"UPDATE","eventDateUtc":"2026-01-05T09:00:00.123"}}],"firstEventSequence":7,"lastEventSequence":8,"entropy":"{entropy}"}}"#
        )
    }

    #[test]
    fn an_intent_to_receive_is_answered_and_no_event() {
        let xero = scheme(Provider::Xero, &["xero-signing-key"]);
        let body = r#"{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"S0m3r4Nd0mt3xt"}"#;
        let good = ("x-xero-signature", "LUQJVcwk7NmBGgDWR0x6jncR+5uAQB8ZKndNjInh0QM=");
        let sent = Sent::post(&[good], body);
        sent.check(&*xero, Ok(()));
        assert_eq!(sent.read(&*xero), Reading::handshake(Reply::empty()));
        let bad = Sent::post(&[("x-xero-signature", "LUQJVcwk7NmBGgDWR0x6jncR+5uAQB8ZKndNjInh0QN=")], body);
        assert!(bad.verify(&*xero).is_err());
    }

    #[test]
    fn events_of_one_kind_are_named_and_repeats_known() {
        let xero = scheme(Provider::Xero, &["xero-signing-key"]);
        let named = |sent: &Sent| sent.named(&*xero);
        let first = named(&signed(&event("INVOICE", "a")));
        assert_eq!(first.event_type.as_ref().unwrap().as_str(), "xero.invoice.update");
        assert_eq!(first.dedupe_key, named(&signed(&event("INVOICE", "b"))).dedupe_key);
        let mixed = named(&signed(&event("CONTACT", "a")));
        assert_eq!(mixed.event_type.unwrap().as_str(), "xero.events");
        assert_ne!(mixed.dedupe_key, first.dedupe_key);
        assert_eq!(named(&signed("[]")).event_type, None);
    }
}
