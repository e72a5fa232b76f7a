//! How a webhook call proves where it comes from: one file per scheme behind the small trait [`Scheme`].
//!
//! The router calls [`Scheme::verify`] on the raw bytes before anything parses them. A scheme prepares its keys once,
//! when the hub starts, and holds no other state: whether a call was seen before is the store's business. Every refusal
//! looks the same to the caller; the reason is for the operator's record only.
//!
//! Some providers ask before they send: [`Scheme::challenge`] answers what comes unsigned, [`Reading::Handshake`] what is
//! signed. [`Scheme::read`] looks into a verified body for the provider's own name and id of the event.
//!
//! Adding a scheme: one file here, one line in [`prepare`], one row in the configuration's table of schemes.

pub mod hmac;
pub mod none;
pub mod reading;
pub mod standard_webhooks;
pub mod token;

mod amazon_sp;
mod bridge;
mod decode;
mod dentrix;
pub(crate) mod digest;
mod eaglesoft;
mod form;
mod github;
mod google_channel;
mod graph;
mod keys;
mod meta;
mod naming;
pub(crate) mod one_time;
mod open_dental;
mod pagerduty;
mod razorpay;
mod shopify;
mod signature;
mod slack;
pub mod sns;
mod stripe;
mod twilio;
mod unleashed;
mod window;
mod xero;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{HeaderMap, HeaderName};
use trunkline_config::{Credentials, Provider, ProviderSettings, SchemeSettings, Secret};
use trunkline_model::Timestamp;

pub use self::reading::{Content, Named, Reading, Receipt, Reply};

/// The longest dedupe id that is taken from a header, in bytes.
pub const MAX_ID_LEN: usize = 256;

/// One webhook call, as far as a scheme looks at it.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The method: `GET` for some handshakes, else `POST`.
    pub method: &'a Method,
    /// The path as received.
    pub path: &'a str,
    /// The query as received.
    pub query: Option<&'a str>,
    /// The headers as received.
    pub headers: &'a HeaderMap,
    /// The body as received, byte for byte.
    pub body: &'a [u8],
    /// When the call arrived.
    pub now: Timestamp,
}

impl<'a> Call<'a> {
    /// A `POST` without a path or query worth looking at.
    pub const fn new(headers: &'a HeaderMap, body: &'a [u8], now: Timestamp) -> Self {
        Self { method: &Method::POST, path: "", query: None, headers, body, now }
    }
}

/// What is known about a call that proved its origin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Repeats of the call carry the same key; `None` when the scheme cannot tell repeats from new calls.
    pub dedupe_key: Option<String>,
    /// The time the caller put under its signature.
    pub claimed_at: Option<Timestamp>,
}

/// Why a call is not believed. The names are kept with the refused request and never shown to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A header that the scheme needs is not there.
    MissingHeader(HeaderName),
    /// A header that the scheme needs makes no sense.
    MalformedHeader(HeaderName),
    /// The signed time lies further back than the tolerance.
    Stale,
    /// The signed time lies further ahead than the tolerance.
    InTheFuture,
    /// Signatures are there, but none of a kind that the source has a key for.
    NoUsableSignature,
    /// No signature fits any of the source's keys.
    SignatureMismatch,
    /// The token is not one of the source's.
    TokenMismatch,
    /// The caller's address is not on the source's list.
    AddressRefused,
    /// The body is not what the scheme verifies.
    MalformedBody,
    /// The body is not the one that the URL names.
    BodyMismatch,
    /// The message is of a topic, or names a place, that the source does not trust.
    Untrusted,
    /// The one-time token is good, but was used before.
    TokenSpent,
}

impl Refusal {
    /// The stable name of the reason.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::MissingHeader(_) => "missing_header",
            Self::MalformedHeader(_) => "malformed_header",
            Self::Stale => "stale",
            Self::InTheFuture => "in_the_future",
            Self::NoUsableSignature => "no_usable_signature",
            Self::SignatureMismatch => "signature_mismatch",
            Self::TokenMismatch => "token_mismatch",
            Self::AddressRefused => "address_refused",
            Self::MalformedBody => "malformed_body",
            Self::BodyMismatch => "body_mismatch",
            Self::Untrusted => "untrusted",
            Self::TokenSpent => "token_spent",
        }
    }
}

/// The reason's name, with the header it is about: `missing_header: webhook-id`.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingHeader(name) | Self::MalformedHeader(name) => write!(f, "{}: {name}", self.reason()),
            _ => f.write_str(self.reason()),
        }
    }
}

/// Verifies the calls of one source.
pub trait Scheme: Send + Sync {
    /// Tells whether `call` comes from who holds the source's secret. Never panics, whatever the call holds.
    fn verify(&self, call: &Call<'_>) -> Result<Verified, Refusal>;

    /// The header whose value is itself a credential and must not be kept in readable form.
    fn credential_header(&self) -> Option<&HeaderName>;

    /// Answers a call with which the provider asks, unsigned, whether the URL is meant; `None` for every other call.
    fn challenge(&self, call: &Call<'_>) -> Option<Result<Reply, Refusal>> {
        let _ = call;
        None
    }

    /// Tells whether the provider also asks with `GET`.
    fn takes_get(&self) -> bool {
        false
    }

    /// Reads a call that was verified.
    fn read(&self, call: &Call<'_>) -> Reading {
        let _ = call;
        Reading::Plain
    }

    /// How the provider wants to be answered.
    fn receipt(&self) -> Receipt {
        Receipt::Accepted
    }

    /// A body as it may be kept; `None` when it may not.
    fn kept_body(&self, body: &Bytes) -> Option<Bytes> {
        Some(body.clone())
    }

    /// The certificates by which calls are verified, where they have to be fetched.
    fn certificates(&self) -> Option<&sns::Certificates> {
        None
    }

    /// The URL of a certificate without which `call` cannot be verified, if it is worth fetching.
    fn wanted(&self, call: &Call<'_>) -> Option<String> {
        let _ = call;
        None
    }
}

/// Settings that a scheme cannot use. The message never holds any part of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScheme {
    /// The scheme needs at least one.
    #[error("the scheme needs at least one secret")]
    Missing,
    /// Not base64.
    #[error("the secret is not base64 after its prefix")]
    NotBase64,
    /// Not hexadecimal.
    #[error("the secret is not hexadecimal")]
    NotHex,
    /// Too short or too long.
    #[error("the secret has {n_bytes} bytes, the scheme wants {wanted}")]
    Length {
        /// How many it has.
        n_bytes: usize,
        /// How many it should have.
        wanted: &'static str,
    },
    /// A header name that HTTP does not allow.
    #[error("a header name has characters that header names cannot have")]
    HeaderName,
    /// A signing key where the public half belongs.
    #[error("whsk_ is the sender's private key; a source verifies with the public key, whpk_")]
    PrivateKey,
    /// Another key than that of the secret.
    #[error("the scheme needs it")]
    Setting {
        /// Its name.
        key: &'static str,
    },
}

/// What a provider's scheme is prepared from.
struct Parts<'a> {
    settings: &'a ProviderSettings,
    secrets: &'a [Secret],
    verify_token: Option<&'a Secret>,
    tolerance: Duration,
}

impl Parts<'_> {
    /// The header that the source names, else the scheme's own.
    fn header(&self, own: &'static str) -> Result<HeaderName, InvalidScheme> {
        self.settings.header.as_deref().map_or_else(|| Ok(HeaderName::from_static(own)), header_name)
    }
}

fn boxed<S: Scheme + 'static>(scheme: Result<S, InvalidScheme>) -> Result<Box<dyn Scheme>, InvalidScheme> {
    scheme.map(|scheme| Box::new(scheme) as Box<dyn Scheme>)
}

/// Prepares the scheme of one source with its resolved secrets, all of them live.
pub fn prepare(
    settings: &SchemeSettings,
    credentials: &Credentials,
    tolerance: Duration,
) -> Result<Box<dyn Scheme>, InvalidScheme> {
    let secrets = &*credentials.secrets;
    Ok(match settings {
        SchemeSettings::Provider(settings) => {
            let verify_token = credentials.verify_token.as_ref();
            return prepare_provider(&Parts { settings, secrets, verify_token, tolerance });
        }
        SchemeSettings::StandardWebhooks => {
            Box::new(standard_webhooks::StandardWebhooks::new(secrets, tolerance)?)
        }
        SchemeSettings::Hmac(settings) => Box::new(hmac::Hmac::new(settings, secrets, tolerance)?),
        SchemeSettings::Token(settings) => {
            Box::new(token::Token::new(header_name(&settings.header)?, secrets)?)
        }
        SchemeSettings::None => Box::new(none::Unverified),
    })
}

fn prepare_provider(parts: &Parts<'_>) -> Result<Box<dyn Scheme>, InvalidScheme> {
    match parts.settings.provider {
        Provider::Svix => boxed(standard_webhooks::StandardWebhooks::svix(parts.secrets, parts.tolerance)),
        Provider::Shopify => boxed(shopify::Shopify::new(parts)),
        Provider::Xero => boxed(xero::Xero::new(parts)),
        Provider::Stripe => boxed(stripe::Stripe::new(parts)),
        Provider::GitHub => boxed(github::GitHub::new(parts)),
        Provider::Slack => boxed(slack::Slack::new(parts)),
        Provider::Meta => boxed(meta::Meta::new(parts)),
        Provider::Razorpay => boxed(razorpay::Razorpay::new(parts)),
        Provider::Graph => boxed(graph::Graph::new(parts)),
        Provider::GoogleChannel => boxed(google_channel::GoogleChannel::new(parts)),
        Provider::Twilio => boxed(twilio::Twilio::new(parts)),
        Provider::Sns => boxed(sns::Sns::new(parts)),
        Provider::PagerDuty => boxed(pagerduty::PagerDuty::new(parts)),
        Provider::OpenDental => boxed(open_dental::OpenDental::new(parts)),
        Provider::Dentrix => boxed(dentrix::prepare(parts)),
        Provider::Eaglesoft => boxed(eaglesoft::prepare(parts)),
        Provider::Unleashed => boxed(unleashed::Unleashed::new(parts)),
        Provider::AmazonSp => boxed(amazon_sp::AmazonSp::new(parts)),
    }
}

fn header_name(text: &str) -> Result<HeaderName, InvalidScheme> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| InvalidScheme::HeaderName)
}

/// A header that must be there, with something in it.
fn required<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h [u8], Refusal> {
    match headers.get(name).map(http::HeaderValue::as_bytes) {
        None => Err(Refusal::MissingHeader(name.clone())),
        Some([]) => Err(Refusal::MalformedHeader(name.clone())),
        Some(value) => Ok(value),
    }
}

/// A header as text, if it is there with something in it.
fn header_text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().filter(|text| !text.is_empty())
}

/// A dedupe id that a provider sends in a header of its own. One that is missing or unusable is none: the call is good.
fn optional_id(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    id_text(headers.get(name)?.as_bytes(), name).ok().map(str::to_owned)
}

/// A dedupe id inside the body, if usable.
fn body_id(body: &serde_json::Value, pointer: &str) -> Option<String> {
    let id = body.pointer(pointer)?.as_str()?;
    let is_usable = !id.is_empty() && id.len() <= MAX_ID_LEN && id.bytes().all(|b| b.is_ascii_graphic());
    is_usable.then(|| id.to_owned())
}

/// Takes a dedupe id as text: visible ASCII, 1 to [`MAX_ID_LEN`] bytes.
fn id_text<'h>(value: &'h [u8], name: &HeaderName) -> Result<&'h str, Refusal> {
    let usable = !value.is_empty() && value.len() <= MAX_ID_LEN && value.iter().all(u8::is_ascii_graphic);
    usable
        .then(|| std::str::from_utf8(value).ok())
        .flatten()
        .ok_or_else(|| Refusal::MalformedHeader(name.clone()))
}

/// The repeat key of schemes that sign nothing: `webhook-id`, else `idempotency-key`, if usable.
fn unsigned_id(headers: &HeaderMap) -> Option<String> {
    [HeaderName::from_static("webhook-id"), HeaderName::from_static("idempotency-key")]
        .iter()
        .find_map(|name| id_text(headers.get(name)?.as_bytes(), name).ok())
        .map(str::to_owned)
}
