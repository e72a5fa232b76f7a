//! The scheme `graph`: change notifications of Microsoft Graph.
//!
//! - Nothing is signed: each notification repeats the `clientState` that the subscription was made with. All of a call's
//!   must be one of the source's secrets. The state is a credential: it is masked before the body is kept.
//! - Handshake: `POST ?validationToken=…` is answered with the token as plain text within 10 s. It comes unsigned, when a
//!   subscription is made; answering it tells nothing and stores nothing.
//! - Event: `graph.<changeType>`, such as `graph.updated`, when all of a call are of one kind, else `graph.notifications`;
//!   `graph.lifecycle.<event>` for lifecycle notifications. They say what changed, not how.
//! - Repeats: by subscription, resource, change and etag of all notifications, if each has an etag: without one, two changes
//!   look the same.
//! - Answer: 202 within 3 s; retries for up to 4 hours, and slow endpoints are dropped.
//!
//! Source: microsoftgraph/microsoft-graph-docs-contrib `concepts/change-notifications-delivery-webhooks.md` and
//! `includes/change-notifications-delivery-notificationurl-validation.md`.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::HeaderName;
use ring::hmac::Tag;
use serde_json::Value;
use serde_json::value::RawValue;
use trunkline_model::mask::MASK;

use super::digest::Digest;
use super::form;
use super::keys::Blind;
use super::naming::{event_type, json, snake, text};
use super::reading::{Content, Named, Reading, Reply};
use super::{Call, InvalidScheme, Parts, Refusal, Scheme, Verified};

/// The longest validation token that is sent back.
const MAX_TOKEN_LEN: usize = 2048;
/// The most notifications of one call.
const MAX_NOTIFICATIONS: usize = 1000;
/// The largest body that is looked at before anybody is known.
const MAX_BODY_LEN: usize = 4 * 1024 * 1024;

pub(super) struct Graph {
    blind: Blind,
    states: Box<[Tag]>,
}

impl Graph {
    pub(super) fn new(parts: &Parts<'_>) -> Result<Self, InvalidScheme> {
        if parts.secrets.is_empty() || parts.secrets.iter().any(|secret| secret.expose().is_empty()) {
            return Err(InvalidScheme::Missing);
        }
        let blind = Blind::fresh();
        let states = parts.secrets.iter().map(|secret| blind.seal(secret.expose().as_bytes())).collect();
        Ok(Self { blind, states })
    }

    fn knows(&self, state: &str) -> bool {
        self.states.iter().fold(false, |known, seal| known | self.blind.opens(state.as_bytes(), seal))
    }
}

/// The only look that is taken at a body before its sender is known.
#[derive(serde::Deserialize)]
struct Unproven<'b> {
    #[serde(borrow)]
    value: Vec<State<'b>>,
}

/// A notification's state as it is written, so that it can be masked where it stands.
#[derive(serde::Deserialize)]
struct State<'b> {
    #[serde(rename = "clientState", borrow)]
    client_state: &'b RawValue,
}

impl<'b> Unproven<'b> {
    fn read(body: &'b [u8]) -> Option<Self> {
        if body.len() > MAX_BODY_LEN {
            return None;
        }
        let unproven: Self = serde_json::from_slice(body).ok()?;
        (1..=MAX_NOTIFICATIONS).contains(&unproven.value.len()).then_some(unproven)
    }
}

/// The body with every state masked and everything else as it came; `None` when it is not of Graph's form.
fn masked(body: &[u8]) -> Option<Bytes> {
    let unproven = Unproven::read(body)?;
    let (mut all, mut done) = (Vec::with_capacity(body.len()), 0);
    for item in &unproven.value {
        let state = item.client_state.get();
        let at = (state.as_ptr() as usize).checked_sub(body.as_ptr() as usize)?;
        all.extend_from_slice(body.get(done..at)?);
        all.extend_from_slice(format!("\"{MASK}\"").as_bytes());
        done = at + state.len();
    }
    all.extend_from_slice(body.get(done..)?);
    Some(all.into())
}

impl Scheme for Graph {
    fn verify(&self, call: &Call<'_>) -> Result<Verified, Refusal> {
        let unproven = Unproven::read(call.body).ok_or(Refusal::MalformedBody)?;
        let mut is_known = true;
        for item in &unproven.value {
            let state: Cow<'_, str> =
                serde_json::from_str(item.client_state.get()).map_err(|_| Refusal::MalformedBody)?;
            is_known &= self.knows(&state);
        }
        if is_known { Ok(Verified::default()) } else { Err(Refusal::TokenMismatch) }
    }

    fn credential_header(&self) -> Option<&HeaderName> {
        None
    }

    fn challenge(&self, call: &Call<'_>) -> Option<Result<Reply, Refusal>> {
        let token = form::field(call.query?.as_bytes(), "validationToken")?;
        if token.is_empty() || token.len() > MAX_TOKEN_LEN {
            return Some(Err(Refusal::MalformedBody));
        }
        Some(Ok(Reply::text(token.into_owned())))
    }

    fn read(&self, call: &Call<'_>) -> Reading {
        let body = json(call.body);
        let items = body.get("value").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut kinds = items.iter().map(kind);
        let event_type = match kinds.next() {
            Some(Some(first)) if kinds.all(|kind| kind.as_ref() == Some(&first)) => {
                event_type("graph", &[&first])
            }
            _ => event_type("graph", &["notifications"]),
        };
        let dedupe_key = key(items);
        let content = masked(call.body).map_or(Content::Body, Content::Instead);
        Reading::Event(Box::new(Named { event_type, dedupe_key, time: None, content }))
    }

    fn kept_body(&self, body: &Bytes) -> Option<Bytes> {
        masked(body)
    }
}

fn kind(item: &Value) -> Option<String> {
    match text(item, "/lifecycleEvent") {
        Some(event) => Some(format!("lifecycle.{}", snake(event))),
        None => text(item, "/changeType").map(snake),
    }
}

fn key(items: &[Value]) -> Option<String> {
    let mut digest = Digest::new();
    for item in items {
        let etag = text(item, "/resourceData/@odata.etag")?;
        let members =
            ["/subscriptionId", "/resource", "/changeType"].map(|member| text(item, member).unwrap_or(""));
        members.into_iter().chain([etag]).for_each(|part| digest.part(part.as_bytes()));
    }
    (!items.is_empty()).then(|| digest.into_key())
}

#[cfg(test)]
mod tests {
    use trunkline_config::Provider;

    use super::*;
    use crate::schemes::testing::{Sent, made, scheme};

    fn item(state: &str, change: &str, etag: &str) -> String {
        format!(
            r#"{{"subscriptionId":"s","clientState":"{state}","changeType":"{change}","resource":"users/u/events/e","resourceData":{{"@odata.etag":"{etag}"}}}}"#
        )
    }

    fn sent(items: &[String]) -> Sent {
        Sent::post(&[], format!(r#"{{"value":[{}]}}"#, items.join(",")))
    }

    #[test]
    fn every_notification_must_bring_a_known_state() {
        let graph = scheme(Provider::Graph, &["old-state", "new-state"]);
        let item = |state: &str| item(state, "updated", "1");
        sent(&[item("old-state"), item("new-state")]).check(&*graph, Ok(()));
        sent(&[item("old-state"), item("guess")]).check(&*graph, Err(Refusal::TokenMismatch));
        sent(&[]).check(&*graph, Err(Refusal::MalformedBody));
        for body in [
            "",
            "{}",
            "[]",
            r#"{"value":[{}]}"#,
            r#"{"value":[{"clientState":7}]}"#,
            r#"{"value":"old-state"}"#,
        ] {
            Sent::post(&[], body).check(&*graph, Err(Refusal::MalformedBody));
        }
    }

    #[test]
    fn the_state_is_not_kept() {
        let graph = scheme(Provider::Graph, &["old-state"]);
        let call = sent(&[item("old-state", "updated", "1")]);
        let named = call.named(&*graph);
        let expect = String::from_utf8(call.body.clone()).unwrap().replace("old-state", "***");
        assert_eq!(made(&named), expect);
        let kept = graph.kept_body(&Bytes::from(call.body)).unwrap();
        assert_eq!(kept, made(&named));
        let spaced = Bytes::from_static(
            b" { \"n\": 1.50, \"value\" : [ {\"clientState\" : \"o\\u006cd\" } , {\"clientState\":7}] }",
        );
        let expect =
            " { \"n\": 1.50, \"value\" : [ {\"clientState\" : \"***\" } , {\"clientState\":\"***\"}] }";
        assert_eq!(graph.kept_body(&spaced).unwrap(), expect);
        assert_eq!(graph.kept_body(&Bytes::from_static(b"old-state")), None);
    }

    #[test]
    fn notifications_are_named_and_repeats_known_by_etag() {
        let graph = scheme(Provider::Graph, &["s"]);
        let named = |items: &[String]| sent(items).named(&*graph);
        let one = named(&[item("s", "updated", "1")]);
        assert_eq!(one.event_type.as_ref().unwrap().as_str(), "graph.updated");
        assert_eq!(one.dedupe_key, named(&[item("s", "updated", "1")]).dedupe_key);
        assert_ne!(one.dedupe_key, named(&[item("s", "updated", "2")]).dedupe_key);
        let mixed = named(&[item("s", "updated", "1"), item("s", "deleted", "")]);
        assert_eq!((mixed.event_type.unwrap().as_str(), mixed.dedupe_key), ("graph.notifications", None));
        let lifecycle =
            named(&[r#"{"clientState":"s","lifecycleEvent":"reauthorizationRequired"}"#.to_owned()]);
        assert_eq!(lifecycle.event_type.unwrap().as_str(), "graph.lifecycle.reauthorization_required");
    }

    #[test]
    fn the_validation_token_is_sent_back_decoded() {
        let graph = scheme(Provider::Graph, &["s"]);
        let check = |query: &'static str, expect: Option<Option<&str>>| {
            let answer = graph.challenge(&Sent::post(&[], "").query(query).call());
            let text = answer.map(|answer| answer.ok().map(|reply| reply.text));
            assert_eq!(text.as_ref().map(Option::as_deref), expect, "{query}");
        };
        check(
            "validationToken=Validation%3a+Testing+client+%3Cb%3E",
            Some(Some("Validation: Testing client <b>")),
        );
        check("validationToken=", Some(None));
        check("a=b", None);
        assert!(graph.challenge(&Sent::post(&[], "").call()).is_none());
    }
}
