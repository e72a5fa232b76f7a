//! What engines ask of each other, as small traits: engines never call each other, the hub passes one to the other.
//!
//! An implementation must be idempotent under the key of what it is asked for where it can be: a caller that crashes asks
//! again.

use std::future::Future;
use std::pin::Pin;

use serde_json::Value;

use crate::{DeliveryId, EndpointId, EventType, Tenant};

/// A boxed future, as these traits give.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How a message reaches a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageChannel {
    /// As an e-mail.
    Email,
    /// As a text message.
    Sms,
}

impl MessageChannel {
    /// What it is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "e-mail",
            Self::Sms => "text messages",
        }
    }
}

/// A message to people.
#[derive(Clone)]
pub struct Message {
    /// On whose behalf.
    pub tenant: Tenant,
    /// How.
    pub channel: MessageChannel,
    /// The same for every attempt at this message.
    pub key: String,
    /// Addresses, as the channel wants them.
    pub to: Vec<String>,
    /// A line above it, where the channel has one.
    pub subject: Option<String>,
    /// The text.
    pub body: String,
}

/// Shows neither addresses nor texts: they are personal.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (channel, n_to) = (self.channel, self.to.len());
        f.debug_struct("Message").field("channel", &channel).field("n_to", &n_to).finish_non_exhaustive()
    }
}

/// A message that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMessage {
    /// What whoever sent it calls it.
    pub id: String,
}

/// Why a message was not sent. Texts are for workflows, which keep them: no addresses, no secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// No provider is set up for the channel.
    #[error("{0}")]
    NotConfigured(String),
    /// The message itself is refused; the same again will be refused again.
    #[error("{0}")]
    Refused(String),
    /// It may go through another time.
    #[error("{0}")]
    Failed(String),
}

/// Sends messages to people.
pub trait Notifier: Send + Sync + 'static {
    /// Sends one message.
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<SentMessage, NotSent>>;
}

/// An event that one endpoint is to get, whatever it subscribes to.
#[derive(Debug, Clone)]
pub struct OwedWebhook {
    /// Whose it is.
    pub tenant: Tenant,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// The id of the event: asked again with the same one there is one event, and one delivery of it.
    pub event_id: String,
    /// Its type.
    pub event_type: EventType,
    /// What it is about.
    pub subject: Option<String>,
    /// What it says.
    pub data: Value,
    /// The journey it belongs to.
    pub correlation_id: String,
    /// What causes it.
    pub causation_id: String,
}

/// Why a webhook is not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookNotSent {
    /// There is none of this id.
    #[error("there is no such endpoint")]
    NoEndpoint,
    /// It is switched off.
    #[error("the endpoint is not active")]
    Inactive,
    /// It may go through another time.
    #[error("{0}")]
    Failed(String),
}

/// Sends webhooks to endpoints.
pub trait WebhookSender: Send + Sync + 'static {
    /// Stores the event with a delivery of it, due at once; durable on return.
    fn send<'a>(&'a self, owed: &'a OwedWebhook) -> BoxFuture<'a, Result<DeliveryId, WebhookNotSent>>;
}
