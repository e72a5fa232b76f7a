//! The scheme `google-channel`: push notification channels of Google Calendar, Drive and others.
//!
//! - Nothing is signed: each message repeats the channel's token in `X-Goog-Channel-Token`, which must be one of the source's
//!   secrets. The token is never kept.
//! - Handshake: the first message of a channel has the state `sync`; it is acknowledged and leaves no event.
//! - Event: `google-channel.<state>`, such as `google-channel.exists`, with the `X-Goog-…` headers as data; the body is empty,
//!   what changed has to be fetched.
//! - Repeats: by channel and message number.
//! - Answer: 202; channels end by themselves and do not renew.
//!
//! Source: <https://developers.google.com/workspace/calendar/api/guides/push>, read in 2026.

use http::header::HeaderName;
use serde_json::{Map, Value};

use super::digest::key_of;
use super::naming::event_type;
use super::reading::{Content, Named, Reading, Reply};
use super::token::Token;
use super::{Call, InvalidScheme, Parts, Refusal, Scheme, Verified, header_text};

const TOKEN: HeaderName = HeaderName::from_static("x-goog-channel-token");
const CHANNEL: HeaderName = HeaderName::from_static("x-goog-channel-id");
const NUMBER: HeaderName = HeaderName::from_static("x-goog-message-number");
const STATE: HeaderName = HeaderName::from_static("x-goog-resource-state");

/// The headers that become the data, by its member.
static MEMBERS: [(&str, HeaderName); 7] = [
    ("channel_id", CHANNEL),
    ("channel_expiration", HeaderName::from_static("x-goog-channel-expiration")),
    ("resource_id", HeaderName::from_static("x-goog-resource-id")),
    ("resource_uri", HeaderName::from_static("x-goog-resource-uri")),
    ("resource_state", STATE),
    ("message_number", NUMBER),
    ("changed", HeaderName::from_static("x-goog-changed")),
];

pub(super) struct GoogleChannel(Token);

impl GoogleChannel {
    pub(super) fn new(parts: &Parts<'_>) -> Result<Self, InvalidScheme> {
        Token::new(TOKEN, parts.secrets).map(Self)
    }
}

impl Scheme for GoogleChannel {
    fn verify(&self, call: &Call<'_>) -> Result<Verified, Refusal> {
        self.0.verify(call)?;
        let number = header_text(call.headers, &CHANNEL).zip(header_text(call.headers, &NUMBER));
        let dedupe_key = number.map(|(channel, number)| key_of(&[channel.as_bytes(), number.as_bytes()]));
        Ok(Verified { dedupe_key, claimed_at: None })
    }

    fn credential_header(&self) -> Option<&HeaderName> {
        self.0.credential_header()
    }

    fn read(&self, call: &Call<'_>) -> Reading {
        let state = header_text(call.headers, &STATE).unwrap_or("");
        if state == "sync" {
            return Reading::handshake(Reply::empty());
        }
        let members = MEMBERS.iter().filter_map(|(member, header)| {
            Some(((*member).to_owned(), Value::from(header_text(call.headers, header)?)))
        });
        let data = Value::Object(members.collect::<Map<_, _>>()).to_string().into();
        let content = if call.body.is_empty() { Content::Instead(data) } else { Content::Made(data) };
        let event_type = event_type("google-channel", &[state]);
        Reading::Event(Box::new(Named { event_type, content, ..Named::default() }))
    }
}

#[cfg(test)]
mod tests {
    use trunkline_config::Provider;

    use super::*;
    use crate::schemes::testing::{Sent, made, scheme};

    fn sent(state: &str, token: &str) -> Sent {
        let headers = [
            ("x-goog-channel-id", "c-1"),
            ("x-goog-channel-token", token),
            ("x-goog-message-number", "10"),
            ("x-goog-resource-id", "r"),
            ("x-goog-resource-state", state),
        ];
        Sent::post(&headers, "")
    }

    #[test]
    fn the_token_is_checked_and_the_headers_are_the_data() {
        let google = scheme(Provider::GoogleChannel, &["old", "new"]);
        let key = key_of(&[b"c-1", b"10"]);
        sent("exists", "new").check_event(&*google, "google-channel.exists", Some(&key));
        sent("exists", "guess").check(&*google, Err(Refusal::TokenMismatch));
        Sent::post(&[], "").check(&*google, Err(Refusal::MissingHeader(TOKEN)));
        let named = sent("exists", "new").named(&*google);
        let expect =
            r#"{"channel_id":"c-1","message_number":"10","resource_id":"r","resource_state":"exists"}"#;
        assert_eq!(made(&named), expect);
        assert_eq!(google.credential_header(), Some(&TOKEN));
    }

    #[test]
    fn a_sync_is_no_event() {
        let google = scheme(Provider::GoogleChannel, &["old"]);
        assert_eq!(sent("sync", "old").read(&*google), Reading::handshake(Reply::empty()));
    }
}
