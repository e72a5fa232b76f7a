//! The scheme `slack`: Slack's Events API, slash commands and interactivity.
//!
//! - Signed: `v0:{X-Slack-Request-Timestamp}:{raw body}`, HMAC-SHA256 in hex keyed by the app's signing secret, in
//!   `X-Slack-Signature: v0=<hex>`.
//! - Replay: the timestamp, in Unix seconds, within `tolerance_s` of now.
//! - Handshake: `url_verification`, signed like every call, is answered with its challenge; it leaves no event.
//! - Event: `slack.<event.type>`, such as `slack.message`; `slack.command` for a slash command, and `slack.<type>` for
//!   interactivity, such as `slack.block_actions`, both with the form as JSON.
//! - Repeats: `event_id`, `trigger_id` of a command or interaction.
//! - Answer: 200 without a body within 3 s (a body would be shown in the channel); 3 retries.
//!
//! Source: <https://api.slack.com/authentication/verifying-requests-from-slack>, with the vector of the tests, and
//! <https://api.slack.com/events/url_verification>.

use bytes::Bytes;
use http::header::HeaderName;
use trunkline_model::Timestamp;

use super::form;
use super::naming::{event_type, json, seconds, text};
use super::reading::{Content, Named, Reading, Receipt, Reply};
use super::signature::{Encoding, Signature};
use super::window::{Window, digits};
use super::{Call, InvalidScheme, Parts, Refusal, Scheme, Verified, body_id, required};

const SIGNATURE: HeaderName = HeaderName::from_static("x-slack-signature");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-slack-request-timestamp");

/// The longest challenge that is sent back.
const MAX_CHALLENGE_LEN: usize = 1024;

pub(super) struct Slack {
    signature: Signature,
    window: Window,
}

impl Slack {
    pub(super) fn new(parts: &Parts<'_>) -> Result<Self, InvalidScheme> {
        let signature = Signature::new(SIGNATURE, Encoding::Hex, parts.secrets)?;
        Ok(Self { signature: signature.with_prefixes(&[b"v0="]), window: Window::new(parts.tolerance) })
    }
}

impl Scheme for Slack {
    fn verify(&self, call: &Call<'_>) -> Result<Verified, Refusal> {
        let time = required(call.headers, &TIMESTAMP)?;
        let claimed_at = digits(time).map(Timestamp::from_secs).ok_or(Refusal::MalformedHeader(TIMESTAMP))?;
        self.window.check(claimed_at, call.now)?;
        self.signature.verify(call.headers, &[b"v0:", time, b":", call.body])?;
        Ok(Verified { dedupe_key: None, claimed_at: Some(claimed_at) })
    }

    fn credential_header(&self) -> Option<&HeaderName> {
        None
    }

    fn read(&self, call: &Call<'_>) -> Reading {
        if form::is_form(call.headers) {
            return read_form(call.body);
        }
        let body = json(call.body);
        match text(&body, "/type") {
            Some("url_verification") => {
                let challenge = text(&body, "/challenge").filter(|text| text.len() <= MAX_CHALLENGE_LEN);
                Reading::handshake(challenge.map_or_else(Reply::empty, |text| Reply::text(text.to_owned())))
            }
            outer => {
                let name = text(&body, "/event/type").or(outer).unwrap_or("");
                let id = body_id(&body, "/event_id");
                Reading::event(event_type("slack", &[name]), id, seconds(&body, "/event_time"))
            }
        }
    }

    fn receipt(&self) -> Receipt {
        Receipt::Bare
    }
}

fn read_form(body: &[u8]) -> Reading {
    let (data, name) = match form::field(body, "payload") {
        Some(payload) if !json(payload.as_bytes()).is_null() => {
            let name = text(&json(payload.as_bytes()), "/type").map(str::to_owned);
            (Bytes::from(payload.into_owned()), name)
        }
        _ => (form::to_json(body), form::field(body, "command").map(|_| "command".to_owned())),
    };
    Reading::Event(Box::new(Named {
        event_type: event_type("slack", &[name.as_deref().unwrap_or("")]),
        dedupe_key: body_id(&json(&data), "/trigger_id"),
        time: None,
        content: Content::Made(data),
    }))
}

#[cfg(test)]
mod tests {
    use trunkline_config::Provider;

    use super::*;
    use crate::schemes::testing::{Sent, hmac_hex, made, scheme};

    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
    const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

    fn signed(body: &str) -> Sent {
        let signature =
            format!("v0={}", hmac_hex(SECRET.as_bytes(), format!("v0:1700000000:{body}").as_bytes()));
        Sent::post(&[("x-slack-signature", &signature), ("x-slack-request-timestamp", "1700000000")], body)
    }

    #[test]
    fn the_published_vector_verifies() {
        let slack = scheme(Provider::Slack, &[SECRET]);
        let vector = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
        let headers = [("x-slack-signature", vector), ("x-slack-request-timestamp", "1531420618"), FORM];
        let sent = Sent::post(&headers, BODY).at(Timestamp::from_secs(1_531_420_618));
        let trigger = "398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        sent.check_event(&*slack, "slack.command", Some(trigger));
        assert!(made(&sent.named(&*slack)).contains(r#""command":"/webhook-collect""#));
        sent.clone().at(Timestamp::from_secs(1_531_420_919)).check(&*slack, Err(Refusal::Stale));
        sent.at(Timestamp::from_secs(1_531_420_317)).check(&*slack, Err(Refusal::InTheFuture));
    }

    #[test]
    fn a_challenge_is_answered_and_no_event() {
        let slack = scheme(Provider::Slack, &[SECRET]);
        let sent = signed(r#"{"token":"x","challenge":"abc","type":"url_verification"}"#);
        sent.check(&*slack, Ok(()));
        assert_eq!(sent.read(&*slack), Reading::handshake(Reply::text("abc".to_owned())));
        let long = format!(r#"{{"challenge":"{}","type":"url_verification"}}"#, "x".repeat(2000));
        assert_eq!(signed(&long).read(&*slack), Reading::handshake(Reply::empty()));
    }

    #[test]
    fn events_are_named_by_the_inner_type() {
        let slack = scheme(Provider::Slack, &[SECRET]);
        let body = r#"{"type":"event_callback","event_id":"Ev1","event_time":1767600000,"event":{"type":"message"}}"#;
        signed(body).check_event(&*slack, "slack.message", Some("Ev1"));
        let mut action =
            signed("payload=%7B%22type%22%3A%22block_actions%22%2C%22trigger_id%22%3A%22t.1%22%7D");
        action.headers.insert(FORM.0, FORM.1.parse().unwrap());
        action.check_event(&*slack, "slack.block_actions", Some("t.1"));
    }
}
