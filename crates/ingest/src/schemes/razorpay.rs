//! The scheme `razorpay`: webhooks of Razorpay.
//!
//! - Signed: the raw body, HMAC-SHA256 in hex, in `X-Razorpay-Signature`. No time is. What was sent before a secret was
//!   changed is retried under the old one: keep both for a day.
//! - Event: `razorpay.<event>`, such as `razorpay.payment.captured`. Repeats: `x-razorpay-event-id`.
//! - Answer: 202 within 5 s; retries for 24 hours, then the webhook is switched off.
//!
//! Source: razorpay/markdown-docs@ab3bda5f `webhooks/validate-test.md`; vector of razorpay/razorpay-node@9737ef17
//! `test/utils/razorpay-utils.spec.js`.

use http::header::HeaderName;

use super::naming::{event_type, json, seconds, text};
use super::reading::Reading;
use super::signature::{Encoding, Signature};
use super::{Call, InvalidScheme, Parts, Refusal, Scheme, Verified, optional_id};

const SIGNATURE: HeaderName = HeaderName::from_static("x-razorpay-signature");
const EVENT_ID: HeaderName = HeaderName::from_static("x-razorpay-event-id");

pub(super) struct Razorpay(Signature);

impl Razorpay {
    pub(super) fn new(parts: &Parts<'_>) -> Result<Self, InvalidScheme> {
        Signature::new(SIGNATURE, Encoding::Hex, parts.secrets).map(Self)
    }
}

impl Scheme for Razorpay {
    fn verify(&self, call: &Call<'_>) -> Result<Verified, Refusal> {
        self.0.verify(call.headers, &[call.body])?;
        Ok(Verified { dedupe_key: optional_id(call.headers, &EVENT_ID), claimed_at: None })
    }

    fn credential_header(&self) -> Option<&HeaderName> {
        None
    }

    fn read(&self, call: &Call<'_>) -> Reading {
        let body = json(call.body);
        let name = event_type("razorpay", &[text(&body, "/event").unwrap_or("")]);
        Reading::event(name, None, seconds(&body, "/created_at"))
    }
}

#[cfg(test)]
mod tests {
    use trunkline_config::Provider;

    use super::*;
    use crate::schemes::testing::{Sent, hmac_hex, scheme};

    #[test]
    fn the_published_vector_verifies() {
        let razorpay = scheme(Provider::Razorpay, &["new", "123456"]);
        let vector = "2fe04e22977002e6c7cb553adab8b460cb9e2a4970d5953cb27a8472752e3bbc";
        let body = r#"{"a":1,"b":2,"c":{"d":3}}"#;
        Sent::post(&[("x-razorpay-signature", vector)], body).check(&*razorpay, Ok(()));
        let other = r#"{"a":1,"b":2,"c":{"d":4}}"#;
        Sent::post(&[("x-razorpay-signature", vector)], other)
            .check(&*razorpay, Err(Refusal::SignatureMismatch));
    }

    #[test]
    fn events_are_named_by_the_body() {
        let razorpay = scheme(Provider::Razorpay, &["123456"]);
        let body = r#"{"entity":"event","event":"payment.captured","created_at":1767600000}"#;
        let signature = hmac_hex(b"123456", body.as_bytes());
        let headers = [("x-razorpay-signature", &*signature), ("x-razorpay-event-id", "e-1")];
        Sent::post(&headers, body).check_event(&*razorpay, "razorpay.payment.captured", Some("e-1"));
    }
}
