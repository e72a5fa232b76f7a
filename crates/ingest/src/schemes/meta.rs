//! The scheme `meta`: WhatsApp Cloud API and the other products of Meta that send webhooks.
//!
//! - Signed: the raw body, HMAC-SHA256 in hex keyed by the App Secret, in `X-Hub-Signature-256: sha256=<hex>`. Meta escapes
//!   what is not ASCII before it signs, so that only the raw bytes verify.
//! - Handshake: `GET ?hub.mode=subscribe&hub.verify_token=…&hub.challenge=…` is answered with the challenge when the token is
//!   `verify_token`, with 403 otherwise.
//! - Event: `meta.<object>.<field>`, such as `meta.whatsapp_business_account.messages`, when all changes are of one field,
//!   else `meta.<object>`. One call may hold many messages.
//! - Repeats: by the ids of all messages and statuses of the call, if every change has any.
//! - Answer: 200 at once; retries for up to seven days.
//!
//! Source: <https://developers.facebook.com/docs/graph-api/webhooks/getting-started> and Meta's OpenAPI for WhatsApp v23.0,
//! read in 2026. Meta publishes no vector; that of the tests is made by the documented rule.

use http::header::HeaderName;
use ring::hmac::Tag;
use serde_json::Value;

use super::digest::Digest;
use super::form;
use super::keys::Blind;
use super::naming::{event_type, json, text};
use super::reading::{Reading, Receipt, Reply};
use super::signature::{Encoding, Signature};
use super::{Call, InvalidScheme, Parts, Refusal, Scheme, Verified};

const SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");

/// The longest challenge that is sent back.
const MAX_CHALLENGE_LEN: usize = 256;

pub(super) struct Meta {
    signature: Signature,
    blind: Blind,
    verify_token: Tag,
}

impl Meta {
    pub(super) fn new(parts: &Parts<'_>) -> Result<Self, InvalidScheme> {
        let signature = Signature::new(SIGNATURE, Encoding::Hex, parts.secrets)?;
        let token = parts.verify_token.filter(|token| !token.expose().is_empty());
        let token = token.ok_or(InvalidScheme::Setting { key: "verify_token" })?;
        let blind = Blind::fresh();
        let verify_token = blind.seal(token.expose().as_bytes());
        Ok(Self { signature: signature.with_prefixes(&[b"sha256="]), blind, verify_token })
    }

    fn greet(&self, query: &[u8]) -> Result<Reply, Refusal> {
        let token = form::field(query, "hub.verify_token").unwrap_or_default();
        let is_subscribe = form::field(query, "hub.mode").is_some_and(|mode| mode == "subscribe");
        let challenge = form::field(query, "hub.challenge").unwrap_or_default();
        // What is sent back must be nothing that a browser could take for a page.
        let is_plain = !challenge.is_empty()
            && challenge.len() <= MAX_CHALLENGE_LEN
            && challenge.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if !self.blind.opens(token.as_bytes(), &self.verify_token) || !is_subscribe || !is_plain {
            return Err(Refusal::TokenMismatch);
        }
        Ok(Reply::text(challenge.into_owned()))
    }
}

impl Scheme for Meta {
    fn verify(&self, call: &Call<'_>) -> Result<Verified, Refusal> {
        self.signature.verify(call.headers, &[call.body])?;
        Ok(Verified::default())
    }

    fn credential_header(&self) -> Option<&HeaderName> {
        None
    }

    fn challenge(&self, call: &Call<'_>) -> Option<Result<Reply, Refusal>> {
        (call.method == http::Method::GET).then(|| self.greet(call.query.unwrap_or("").as_bytes()))
    }

    fn takes_get(&self) -> bool {
        true
    }

    fn read(&self, call: &Call<'_>) -> Reading {
        let body = json(call.body);
        let object = text(&body, "/object").unwrap_or("");
        let changes: Vec<&Value> = list(&body, "entry").flat_map(|entry| list(entry, "changes")).collect();
        let first = changes.first().and_then(|change| text(change, "/field"));
        let is_one_kind = changes.iter().all(|change| text(change, "/field") == first);
        let field = first.filter(|_| is_one_kind && !object.is_empty()).unwrap_or("");
        Reading::event(event_type("meta", &[object, field]), key(&changes), None)
    }

    fn receipt(&self) -> Receipt {
        Receipt::Ok
    }
}

fn list<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn key(changes: &[&Value]) -> Option<String> {
    let mut digest = Digest::new();
    for change in changes {
        let value = change.get("value")?;
        let mut n_ids = 0;
        for item in list(value, "messages").chain(list(value, "statuses")) {
            digest.part(text(item, "/id")?.as_bytes());
            digest.part(text(item, "/status").unwrap_or("").as_bytes());
            n_ids += 1;
        }
        if n_ids == 0 {
            return None;
        }
    }
    (!changes.is_empty()).then(|| digest.into_key())
}

#[cfg(test)]
mod tests {
    use trunkline_config::Provider;

    use super::*;
    use crate::schemes::testing::{Sent, scheme};

    #[test]
    fn the_raw_body_is_signed() {
        let meta = scheme(Provider::Meta, &["app-secret"]);
        let vector = "sha256=d3e4f9da0ce6c71ab3dba55929b8eeeee2455349e534924ead19f98d143e904f";
        let sent = |body: &str| Sent::post(&[("x-hub-signature-256", vector)], body);
        sent(r#"{"object":"whatsapp_business_account","entry":[]}"#).check(&*meta, Ok(()));
        sent(r#"{"object":"whatsapp_business_account","entry":[1]}"#)
            .check(&*meta, Err(Refusal::SignatureMismatch));
    }

    #[test]
    fn the_challenge_is_answered_for_the_token_only() {
        let meta = scheme(Provider::Meta, &["app-secret"]);
        let check = |query: &'static str, expect: Option<&str>| {
            let answer = meta.challenge(&Sent::get(query).call()).unwrap();
            assert_eq!(answer.ok().map(|reply| reply.text).as_deref(), expect, "{query}");
        };
        check("hub.mode=subscribe&hub.verify_token=verify-me&hub.challenge=1158201444", Some("1158201444"));
        check("hub.challenge=7&hub.verify_token=verify%2Dme&hub.mode=subscribe", Some("7"));
        check("hub.mode=subscribe&hub.verify_token=guess&hub.challenge=1", None);
        check("hub.mode=unsubscribe&hub.verify_token=verify-me&hub.challenge=1", None);
        check("hub.mode=subscribe&hub.verify_token=verify-me&hub.challenge=%3Cscript%3E", None);
        check("hub.mode=subscribe&hub.verify_token=verify-me", None);
        check("", None);
        assert!(meta.challenge(&Sent::post(&[], "").call()).is_none());
    }

    #[test]
    fn changes_are_named_and_repeats_known_by_their_ids() {
        let meta = scheme(Provider::Meta, &["app-secret"]);
        let named = |body: &str| Sent::post(&[], body).named(&*meta);
        let message = |id: &str, more: &str| {
            format!(
                r#"{{"object":"whatsapp_business_account","entry":[{{"changes":[{{"field":"messages","value":{{"messages":[{{"id":"{id}"}}]}}}}{more}]}}]}}"#
            )
        };
        let first = named(&message("wamid.A", ""));
        assert_eq!(first.event_type.as_ref().unwrap().as_str(), "meta.whatsapp_business_account.messages");
        assert_eq!(first.dedupe_key, named(&message("wamid.A", "")).dedupe_key);
        assert_ne!(first.dedupe_key, named(&message("wamid.B", "")).dedupe_key);
        let mixed = named(&message("wamid.A", r#",{"field":"account_update","value":{}}"#));
        assert_eq!(mixed.event_type.unwrap().as_str(), "meta.whatsapp_business_account");
        assert_eq!(mixed.dedupe_key, None);
    }
}
