//! What a scheme makes of a call beyond believing it: the event it is, the answer a handshake wants, the form of the
//! answer that the provider expects. Made by the schemes, used by the router and by the judge.

use bytes::Bytes;
use http::StatusCode;
use trunkline_model::{EventType, Timestamp};

/// What a verified call is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Nothing that only this scheme would know.
    Plain,
    /// An event of the provider.
    Event(Box<Named>),
    /// No event: the provider wants an answer.
    Handshake {
        /// The answer.
        reply: Reply,
        /// A URL that must have been fetched before the answer is given. The scheme has pinned its host.
        visit: Option<String>,
    },
}

/// An event as its provider names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// Its type; `None` when the call does not say or says nothing usable, which makes it `<source>.received`.
    pub event_type: Option<EventType>,
    /// By what repeats are recognised, where it stands in the body.
    pub dedupe_key: Option<String>,
    /// When it happened.
    pub time: Option<Timestamp>,
    /// Its data.
    pub content: Content,
}

/// Where the data of an event comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Content {
    /// The body, which must be JSON whatever it is labelled as.
    #[default]
    Body,
    /// This JSON, made from the call; the body is kept beside the event.
    Made(Bytes),
    /// This JSON, which is all there is to keep: the body is empty, or holds a credential.
    Instead(Bytes),
}

impl Reading {
    /// An event whose data is the body.
    pub(super) fn event(
        event_type: Option<EventType>,
        dedupe_key: Option<String>,
        time: Option<Timestamp>,
    ) -> Self {
        Self::Event(Box::new(Named { event_type, dedupe_key, time, content: Content::Body }))
    }

    /// A handshake that is answered at once.
    pub(super) fn handshake(reply: Reply) -> Self {
        Self::Handshake { reply, visit: None }
    }
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its text, sent as `text/plain`; empty for none.
    pub text: String,
}

impl Reply {
    /// `200` without a body.
    pub(super) fn empty() -> Self {
        Self::text(String::new())
    }

    /// `200` with a text.
    pub(super) fn text(text: String) -> Self {
        Self { status: StatusCode::OK, text }
    }
}

/// How a stored call is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// `202` with the call's id.
    Accepted,
    /// `200` with the call's id.
    Ok,
    /// `200`, and no answer ever has a body, a refusal included.
    Bare,
    /// `200` with an empty TwiML document.
    TwiMl,
}
