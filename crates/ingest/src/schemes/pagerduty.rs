//! The scheme `pagerduty`: webhooks v3 of PagerDuty.
//!
//! - Signed: the raw body, HMAC-SHA256 in hex, in `X-PagerDuty-Signature: v1=<hex>[,v1=<hex>]`; while a secret is being
//!   changed there are several, and one that fits is enough.
//! - Event: `pagerduty.<event_type>`, such as `pagerduty.incident.acknowledged`. Repeats: `event.id`.
//! - Answer: 202 within 5 s; retries for 48 hours.
//!
//! Source: PagerDuty/developer-docs@94224391 `docs/webhooks/*`. PagerDuty publishes no vector; that of the tests is made by
//! the documented rule.

use http::header::HeaderName;
use trunkline_model::Timestamp;

use super::naming::{event_type, json, text};
use super::reading::Reading;
use super::signature::{Encoding, Signature};
use super::{Call, InvalidScheme, Parts, Refusal, Scheme, Verified, body_id};

const SIGNATURE: HeaderName = HeaderName::from_static("x-pagerduty-signature");

pub(super) struct PagerDuty(Signature);

impl PagerDuty {
    pub(super) fn new(parts: &Parts<'_>) -> Result<Self, InvalidScheme> {
        let signature = Signature::new(SIGNATURE, Encoding::Hex, parts.secrets)?;
        Ok(Self(signature.with_prefixes(&[b"v1="])))
    }
}

impl Scheme for PagerDuty {
    fn verify(&self, call: &Call<'_>) -> Result<Verified, Refusal> {
        self.0.verify(call.headers, &[call.body])?;
        Ok(Verified::default())
    }

    fn credential_header(&self) -> Option<&HeaderName> {
        None
    }

    fn read(&self, call: &Call<'_>) -> Reading {
        let body = json(call.body);
        let occurred = text(&body, "/event/occurred_at").and_then(|time| Timestamp::parse_rfc3339(time).ok());
        let name = event_type("pagerduty", &[text(&body, "/event/event_type").unwrap_or("")]);
        Reading::event(name, body_id(&body, "/event/id"), occurred)
    }
}

#[cfg(test)]
mod tests {
    use trunkline_config::Provider;

    use super::*;
    use crate::schemes::testing::{Sent, hmac_hex, scheme};

    #[test]
    fn one_of_several_signatures_is_enough() {
        let pagerduty = scheme(Provider::PagerDuty, &["pd-secret"]);
        let good = "v1=955eb58c065489429d2020f99f23cc443b5cd01b5282ca35be30a95f0a8b2969";
        let check = |value: &str, expect: Result<(), Refusal>| {
            let sent = Sent::post(&[("x-pagerduty-signature", value)], r#"{"event":{"id":"01"}}"#);
            sent.check(&*pagerduty, expect);
        };
        check(good, Ok(()));
        check(&format!("v1={},{good}", "0".repeat(64)), Ok(()));
        check(&format!("v1={}", "0".repeat(64)), Err(Refusal::SignatureMismatch));
        check(&good.replace("v1", "v2"), Err(Refusal::MalformedHeader(SIGNATURE)));
    }

    #[test]
    fn events_are_named_by_the_body() {
        let pagerduty = scheme(Provider::PagerDuty, &["k"]);
        let body = r#"{"event":{"id":"01X","event_type":"incident.acknowledged","occurred_at":"2026-01-05T09:00:00.000Z"}}"#;
        let signature = format!("v1={}", hmac_hex(b"k", body.as_bytes()));
        let sent = Sent::post(&[("x-pagerduty-signature", &signature)], body);
        sent.check_event(&*pagerduty, "pagerduty.incident.acknowledged", Some("01X"));
        assert_eq!(sent.named(&*pagerduty).time.unwrap().to_rfc3339(), "2026-01-05T09:00:00Z");
    }
}
