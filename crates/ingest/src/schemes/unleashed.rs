//! The scheme `unleashed`: webhooks of Unleashed Software.
//!
//! - Signed: `{x-unleashed-timestamp}.{raw body}`, HMAC-SHA256 in base64 keyed by the subscription's signing key, in
//!   `x-unleashed-signature`. Each subscription has a key of its own: list them all as `secrets`.
//! - Replay: the timestamp, in Unix seconds, within `tolerance_s` of now (Unleashed names five minutes).
//! - Event: `unleashed.<eventType>`, such as `unleashed.salesorder.updated`. Repeats: `eventNotificationId`.
//! - Answer: 200; deadline and retries are not documented.
//!
//! Source: <https://apidocs.unleashedsoftware.com/Webhooks>, read in 2026. No vector is published; that of the tests is made
//! by the documented rule.

use http::header::HeaderName;
use trunkline_model::Timestamp;

use super::naming::{event_type, json, text};
use super::reading::{Reading, Receipt};
use super::signature::{Encoding, Signature};
use super::window::{Window, digits};
use super::{Call, InvalidScheme, Parts, Refusal, Scheme, Verified, body_id, required};

const SIGNATURE: HeaderName = HeaderName::from_static("x-unleashed-signature");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-unleashed-timestamp");

pub(super) struct Unleashed {
    signature: Signature,
    window: Window,
}

impl Unleashed {
    pub(super) fn new(parts: &Parts<'_>) -> Result<Self, InvalidScheme> {
        let signature = Signature::new(SIGNATURE, Encoding::Base64, parts.secrets)?;
        Ok(Self { signature, window: Window::new(parts.tolerance) })
    }
}

impl Scheme for Unleashed {
    fn verify(&self, call: &Call<'_>) -> Result<Verified, Refusal> {
        let time = required(call.headers, &TIMESTAMP)?;
        let claimed_at = digits(time).map(Timestamp::from_secs).ok_or(Refusal::MalformedHeader(TIMESTAMP))?;
        self.window.check(claimed_at, call.now)?;
        self.signature.verify(call.headers, &[time, b".", call.body])?;
        Ok(Verified { dedupe_key: None, claimed_at: Some(claimed_at) })
    }

    fn credential_header(&self) -> Option<&HeaderName> {
        None
    }

    fn read(&self, call: &Call<'_>) -> Reading {
        let body = json(call.body);
        let created = text(&body, "/createdOn").and_then(|time| Timestamp::parse_rfc3339(time).ok());
        let name = event_type("unleashed", &[text(&body, "/eventType").unwrap_or("")]);
        Reading::event(name, body_id(&body, "/eventNotificationId"), created)
    }

    fn receipt(&self) -> Receipt {
        Receipt::Ok
    }
}

#[cfg(test)]
mod tests {
    use trunkline_config::Provider;

    use super::*;
    use crate::schemes::testing::{Sent, scheme};

    const AT: i64 = 1_767_225_600;

    fn sent(time: &str) -> Sent {
        let signature = ("x-unleashed-signature", "dzx7Nd6OZT4eO8066LbXmfbeJB+9xVMOSy4Zabc4n+U=");
        let headers = [signature, ("x-unleashed-timestamp", time)];
        Sent::post(&headers, r#"{"eventType":"salesorder.created"}"#).at(Timestamp::from_secs(AT))
    }

    #[test]
    fn time_and_body_are_signed() {
        let unleashed = scheme(Provider::Unleashed, &["un-secret"]);
        sent("1767225600").check_event(&*unleashed, "unleashed.salesorder.created", None);
        sent("1767225601").check(&*unleashed, Err(Refusal::SignatureMismatch));
        sent("1767225600").at(Timestamp::from_secs(AT + 301)).check(&*unleashed, Err(Refusal::Stale));
        sent("soon").check(&*unleashed, Err(Refusal::MalformedHeader(TIMESTAMP)));
        let body = r#"{"eventNotificationId":"n-1","createdOn":"2026-01-05T09:00:00Z"}"#;
        let named = Sent::post(&[], body).named(&*unleashed);
        assert_eq!((named.dedupe_key.as_deref(), named.event_type), (Some("n-1"), None));
    }
}
