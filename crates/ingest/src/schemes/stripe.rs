//! The scheme `stripe`: webhooks of Stripe.
//!
//! - Signed: `{t}.{raw body}`, HMAC-SHA256 in hex keyed by the whole text of the secret (`whsec_…`, not decoded), in
//!   `Stripe-Signature: t=<unix seconds>,v1=<hex>`. There may be several `v1`; one that fits is enough, `v0` never counts.
//! - Replay: `t` within `tolerance_s` of now, either way; Stripe's own libraries look at the past only.
//! - Event: `stripe.<type>`, such as `stripe.payment_intent.succeeded`. Repeats: the event's `id`.
//! - Answer: 202, soon; Stripe retries for three days in live mode.
//!
//! Source: PyPI stripe 16.1.0 `stripe/_webhook.py`. Stripe publishes no vector; `tests/interop` signs with its library.

use http::header::HeaderName;
use ring::hmac::HMAC_SHA256;
use trunkline_model::Timestamp;

use super::decode::Candidate;
use super::keys::MacKeys;
use super::naming::{event_type, json, seconds, text};
use super::reading::Reading;
use super::signature::text_keys;
use super::window::{Window, digits};
use super::{Call, InvalidScheme, Parts, Refusal, Scheme, Verified, body_id, required};

const SIGNATURE: HeaderName = HeaderName::from_static("stripe-signature");

/// The most entries of the header that are looked at.
const MAX_ENTRIES: usize = 16;

pub(super) struct Stripe {
    keys: MacKeys,
    window: Window,
}

impl Stripe {
    pub(super) fn new(parts: &Parts<'_>) -> Result<Self, InvalidScheme> {
        Ok(Self { keys: text_keys(HMAC_SHA256, parts.secrets)?, window: Window::new(parts.tolerance) })
    }
}

impl Scheme for Stripe {
    fn verify(&self, call: &Call<'_>) -> Result<Verified, Refusal> {
        let header = required(call.headers, &SIGNATURE)?;
        let entries = || header.split(|b| *b == b',').take(MAX_ENTRIES).map(<[u8]>::trim_ascii);
        let malformed = || Refusal::MalformedHeader(SIGNATURE);
        let time = entries().find_map(|entry| entry.strip_prefix(b"t=")).ok_or_else(malformed)?;
        let claimed_at = digits(time).map(Timestamp::from_secs).ok_or_else(malformed)?;
        self.window.check(claimed_at, call.now)?;
        let candidates =
            || entries().filter_map(|entry| entry.strip_prefix(b"v1=")).filter_map(Candidate::from_hex);
        let signed = [time, b".", call.body];
        if self.keys.verify(|context| signed.iter().for_each(|part| context.update(part)), candidates) {
            return Ok(Verified { dedupe_key: None, claimed_at: Some(claimed_at) });
        }
        let is_usable = candidates().next().is_some();
        Err(if is_usable { Refusal::SignatureMismatch } else { Refusal::NoUsableSignature })
    }

    fn credential_header(&self) -> Option<&HeaderName> {
        None
    }

    fn read(&self, call: &Call<'_>) -> Reading {
        let body = json(call.body);
        let name = event_type("stripe", &[text(&body, "/type").unwrap_or("")]);
        Reading::event(name, body_id(&body, "/id"), seconds(&body, "/created"))
    }
}

#[cfg(test)]
mod tests {
    use trunkline_config::Provider;

    use super::*;
    use crate::schemes::testing::{Sent, hmac_hex, scheme};

    const AT: Timestamp = Timestamp::from_secs(1_492_774_577);
    const GOOD: &str = "t=1492774577,v1=7656fc2882a7ca0a651666b36bf2f2f22ee204f54f608f227498a2419f2890b2";

    fn sent(header: &str) -> Sent {
        Sent::post(&[("stripe-signature", header)], r#"{"id":"evt_1"}"#).at(AT)
    }

    #[test]
    fn time_and_body_are_signed() {
        let stripe = scheme(Provider::Stripe, &["other", "whsec_test"]);
        assert_eq!(sent(GOOD).verify(&*stripe).unwrap().claimed_at, Some(AT));
        sent(&format!("{GOOD},v1=00")).check(&*stripe, Ok(()));
        sent(&GOOD.replace("v1=", "v1=00,v0=ff,v1=")).check(&*stripe, Ok(()));
        sent(&GOOD.replace("v1=", "v0=")).check(&*stripe, Err(Refusal::NoUsableSignature));
        sent(&GOOD.replace("t=1492774577", "t=1492774578")).check(&*stripe, Err(Refusal::SignatureMismatch));
        sent(&GOOD[13..]).check(&*stripe, Err(Refusal::MalformedHeader(SIGNATURE)));
        sent("t=,v1=00").check(&*stripe, Err(Refusal::MalformedHeader(SIGNATURE)));
        sent(GOOD).at(Timestamp::from_secs(1_492_774_877)).check(&*stripe, Ok(()));
        sent(GOOD).at(Timestamp::from_secs(1_492_774_878)).check(&*stripe, Err(Refusal::Stale));
        sent(GOOD).at(Timestamp::from_secs(1_492_774_276)).check(&*stripe, Err(Refusal::InTheFuture));
    }

    #[test]
    fn events_are_named_by_type() {
        let stripe = scheme(Provider::Stripe, &["whsec_test"]);
        let body =
            r#"{"id":"evt_1","type":"payment_intent.succeeded","created":1767600000,"data":{"object":{}}}"#;
        let signature = hmac_hex(b"whsec_test", format!("1492774577.{body}").as_bytes());
        let sent = Sent::post(&[("stripe-signature", &format!("t=1492774577,v1={signature}"))], body).at(AT);
        sent.check_event(&*stripe, "stripe.payment_intent.succeeded", Some("evt_1"));
        assert_eq!(sent.named(&*stripe).time, Some(Timestamp::from_secs(1_767_600_000)));
    }
}
