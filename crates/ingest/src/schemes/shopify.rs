//! The scheme `shopify`: webhooks of a Shopify app, one source for each app and store.
//!
//! - Signed: the raw body, HMAC-SHA256 in base64 keyed by the app's client secret, in `X-Shopify-Hmac-SHA256`. Nothing else
//!   is: topic and id come in headers of their own. For an hour after a rotation both secrets may sign.
//! - Event: `shopify.<topic>`, such as `shopify.orders.create`. Repeats: `X-Shopify-Webhook-Id`.
//! - Answer: 200 within 5 s; 8 retries over 4 hours, after which the subscription is removed.
//!
//! Source: <https://shopify.dev/docs/apps/build/webhooks/verify-deliveries> and `…/delivery-structure`, read in 2026. Shopify
//! publishes no vector; those of the tests are made by the documented rule.

use http::header::HeaderName;

use super::naming::event_type;
use super::reading::{Reading, Receipt};
use super::signature::{Encoding, Signature};
use super::{Call, InvalidScheme, Parts, Refusal, Scheme, Verified, header_text, optional_id};

const SIGNATURE: HeaderName = HeaderName::from_static("x-shopify-hmac-sha256");
const TOPIC: HeaderName = HeaderName::from_static("x-shopify-topic");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("x-shopify-webhook-id");

pub(super) struct Shopify(Signature);

impl Shopify {
    pub(super) fn new(parts: &Parts<'_>) -> Result<Self, InvalidScheme> {
        Signature::new(SIGNATURE, Encoding::Base64, parts.secrets).map(Self)
    }
}

impl Scheme for Shopify {
    fn verify(&self, call: &Call<'_>) -> Result<Verified, Refusal> {
        self.0.verify(call.headers, &[call.body])?;
        Ok(Verified { dedupe_key: optional_id(call.headers, &WEBHOOK_ID), claimed_at: None })
    }

    fn credential_header(&self) -> Option<&HeaderName> {
        None
    }

    fn read(&self, call: &Call<'_>) -> Reading {
        let topic = header_text(call.headers, &TOPIC).unwrap_or("");
        Reading::event(event_type("shopify", &[topic]), None, None)
    }

    fn receipt(&self) -> Receipt {
        Receipt::Ok
    }
}

#[cfg(test)]
mod tests {
    use trunkline_config::Provider;

    use super::*;
    use crate::schemes::testing::{Sent, hmac_base64, scheme};

    const BODY: &str = r##"{"id":820982911946154508,"name":"#9999"}"##;

    #[test]
    fn the_raw_body_is_signed() {
        let shop = scheme(Provider::Shopify, &["hush"]);
        let good = ("x-shopify-hmac-sha256", "YBwnJ9vsibq7srObgXybmGHWuwos+jDEL//7749XS78=");
        let sent =
            Sent::post(&[good, ("x-shopify-topic", "orders/create"), ("x-shopify-webhook-id", "w-1")], BODY);
        sent.check_event(&*shop, "shopify.orders.create", Some("w-1"));
        Sent::post(&[good], format!("{BODY} ")).check(&*shop, Err(Refusal::SignatureMismatch));
        Sent::post(&[], BODY).check(&*shop, Err(Refusal::MissingHeader(SIGNATURE)));
        Sent::post(&[good], BODY).check(&*shop, Ok(()));
        assert_eq!(Sent::post(&[good], BODY).named(&*shop).event_type, None);
        let both = scheme(Provider::Shopify, &["new", "hush"]);
        sent.check(&*both, Ok(()));
        let new = hmac_base64(b"new", BODY.as_bytes());
        Sent::post(&[("x-shopify-hmac-sha256", &new)], BODY).check(&*both, Ok(()));
    }
}
