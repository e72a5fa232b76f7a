//! The scheme `github`: webhooks of GitHub repositories, organisations and apps.
//!
//! - Signed: the raw body, HMAC-SHA256 in hex, in `X-Hub-Signature-256: sha256=<hex>`. The SHA-1 header beside it is ignored.
//! - Event: `github.<event>` or `github.<event>.<action>`, such as `github.push` and `github.issues.opened`; `github.ping`
//!   when a webhook is made. A body in form encoding holds the JSON in its field `payload`.
//! - Repeats: `X-GitHub-Delivery`, the same when a delivery is sent again.
//! - Answer: 202 within 10 s; GitHub does not retry by itself.
//!
//! Source: github/docs `content/webhooks/using-webhooks/validating-webhook-deliveries.md`, with the vector of the tests.

use bytes::Bytes;
use http::header::HeaderName;

use super::form;
use super::naming::{event_type, json, text};
use super::reading::{Content, Named, Reading};
use super::signature::{Encoding, Signature};
use super::{Call, InvalidScheme, Parts, Refusal, Scheme, Verified, header_text, optional_id};

const SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");
const EVENT: HeaderName = HeaderName::from_static("x-github-event");
const DELIVERY: HeaderName = HeaderName::from_static("x-github-delivery");

pub(super) struct GitHub(Signature);

impl GitHub {
    pub(super) fn new(parts: &Parts<'_>) -> Result<Self, InvalidScheme> {
        let signature = Signature::new(SIGNATURE, Encoding::Hex, parts.secrets)?;
        Ok(Self(signature.with_prefixes(&[b"sha256="])))
    }
}

impl Scheme for GitHub {
    fn verify(&self, call: &Call<'_>) -> Result<Verified, Refusal> {
        self.0.verify(call.headers, &[call.body])?;
        Ok(Verified { dedupe_key: optional_id(call.headers, &DELIVERY), claimed_at: None })
    }

    fn credential_header(&self) -> Option<&HeaderName> {
        None
    }

    fn read(&self, call: &Call<'_>) -> Reading {
        let payload = form::is_form(call.headers).then(|| form::field(call.body, "payload")).flatten();
        let (body, content) = match payload {
            Some(payload) => {
                let body = json(payload.as_bytes());
                let content = if body.is_null() {
                    Content::Body
                } else {
                    Content::Made(Bytes::from(payload.into_owned()))
                };
                (body, content)
            }
            None => (json(call.body), Content::Body),
        };
        let event = header_text(call.headers, &EVENT).unwrap_or("");
        let action = text(&body, "/action").filter(|_| !event.is_empty()).unwrap_or("");
        let event_type = event_type("github", &[event, action]);
        Reading::Event(Box::new(Named { event_type, content, ..Named::default() }))
    }
}

#[cfg(test)]
mod tests {
    use trunkline_config::Provider;

    use super::*;
    use crate::schemes::testing::{Sent, made, scheme};

    const SECRET: &str = "It's a Secret to Everybody";
    const VECTOR: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    #[test]
    fn the_published_vector_verifies() {
        let github = scheme(Provider::GitHub, &[SECRET]);
        let sent =
            Sent::post(&[("x-hub-signature-256", VECTOR), ("x-github-delivery", "d-1")], "Hello, World!");
        assert_eq!(sent.verify(&*github).unwrap().dedupe_key.as_deref(), Some("d-1"));
        let check = |value: &str, body: &str, expect: Refusal| {
            Sent::post(&[("x-hub-signature-256", value)], body).check(&*github, Err(expect));
        };
        check(VECTOR, "Hello, World", Refusal::SignatureMismatch);
        check(&VECTOR[7..], "Hello, World!", Refusal::MalformedHeader(SIGNATURE));
        check(&VECTOR.replace("sha256", "sha1"), "Hello, World!", Refusal::MalformedHeader(SIGNATURE));
    }

    #[test]
    fn events_are_named_by_header_and_action() {
        let github = scheme(Provider::GitHub, &[SECRET]);
        let check = |event: &str, body: &str, expect: Option<&str>| {
            let named = Sent::post(&[("x-github-event", event)], body).named(&*github);
            assert_eq!(named.event_type.as_ref().map(trunkline_model::EventType::as_str), expect);
        };
        check("push", r#"{"ref":"refs/heads/main"}"#, Some("github.push"));
        check("issues", r#"{"action":"opened"}"#, Some("github.issues.opened"));
        check("ping", r#"{"zen":"x"}"#, Some("github.ping"));
        check("", r#"{"action":"opened"}"#, None);
        let form = ("content-type", "application/x-www-form-urlencoded");
        let sent =
            Sent::post(&[("x-github-event", "issues"), form], "payload=%7B%22action%22%3A%22closed%22%7D");
        let named = sent.named(&*github);
        assert_eq!(named.event_type.as_ref().unwrap().as_str(), "github.issues.closed");
        assert_eq!(made(&named), r#"{"action":"closed"}"#);
        let broken = Sent::post(&[("x-github-event", "issues"), form], "payload=%7B").named(&*github);
        assert_eq!(broken.content, Content::Body);
    }
}
