//! What goes through a sink: the message, the receipt, and the border trait that `dispatch` calls.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use trunkline_connect::BoxFuture;
use trunkline_model::{EventType, Tenant, Timestamp};

use crate::SinkError;

/// A way out for events. Opened by [`SinkFactory`](crate::SinkFactory); test doubles implement it too.
pub trait Sink: Send + Sync {
    /// Sends one message and waits until the other side has taken responsibility for it. Dropping the future abandons
    /// the send; the message may have been taken all the same.
    ///
    /// # Errors
    /// [`SinkError`]; after `timeout`, `reset` and `protocol` the message may have been taken.
    fn send(&self, message: SinkMessage) -> BoxFuture<'_, Result<SinkReceipt, SinkError>>;
}

/// One event on its way out, and what may be spent on it.
#[derive(Clone)]
pub struct SinkMessage {
    /// The event's id as receivers see it (`webhook-id`): the key by which they drop repeats. 1 to 256 visible ASCII
    /// characters.
    pub id: String,
    /// The event's type.
    pub event_type: EventType,
    /// Who owns the event.
    pub tenant: Tenant,
    /// What the event is about.
    pub subject: Option<String>,
    /// When it happened.
    pub time: Timestamp,
    /// The media type of `body`.
    pub content_type: HeaderValue,
    /// The whole body.
    pub body: Bytes,
    /// More headers, for kinds that have such a thing: NATS, AMQP, Redis (fields `header:NAME`). S3 and stdout leave
    /// them out.
    pub headers: HeaderMap,
    /// From the call of `send` to the answer.
    pub timeout: Duration,
}

impl fmt::Debug for SinkMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkMessage")
            .field("id", &self.id)
            .field("event_type", &self.event_type)
            .field("tenant", &self.tenant)
            .field("body_bytes", &self.body.len())
            .field("n_headers", &self.headers.len())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl SinkMessage {
    /// The media type as text.
    pub(crate) fn content_type_text(&self) -> &str {
        self.content_type.to_str().unwrap_or("application/octet-stream")
    }

    /// The headers whose values are text, in lower case names.
    pub(crate) fn text_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    }
}

/// What the other side gave in return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkReceipt {
    /// Where the message is, for the attempt record: `stream ORDERS seq 7`, `ORDERS 1700000000000-0`, `etag "…"`.
    pub text: String,
}

impl SinkReceipt {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }
}
