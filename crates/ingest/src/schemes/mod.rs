//! How a webhook call proves where it comes from: one file per scheme behind the small trait [`Scheme`].
//!
//! The router calls [`Scheme::verify`] on the raw bytes before anything parses them. A scheme prepares its keys once,
//! when the hub starts, and holds no other state: whether a call was seen before is the store's business. Every refusal
//! looks the same to the caller; the reason is for the operator's record only.
//!
//! Adding a scheme: one file here, one arm in [`prepare`].

pub mod hmac;
pub mod none;
pub mod standard_webhooks;
pub mod token;

mod decode;
mod keys;
mod window;

use std::fmt;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName};
use trunkline_config::{SchemeSettings, Secret};
use trunkline_model::Timestamp;

/// The longest dedupe id that is taken from a header, in bytes.
pub const MAX_ID_LEN: usize = 256;

/// One webhook call, as far as a scheme looks at it.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The headers as received.
    pub headers: &'a HeaderMap,
    /// The body as received, byte for byte.
    pub body: &'a [u8],
    /// When the call arrived.
    pub now: Timestamp,
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
}

/// Prepares the scheme of one source; `secrets` are its resolved secrets, all of them live.
pub fn prepare(
    settings: &SchemeSettings,
    secrets: &[Secret],
    tolerance: Duration,
) -> Result<Box<dyn Scheme>, InvalidScheme> {
    Ok(match settings {
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
