//! What is sent: the body of an event, its `webhook-id`, and the signature that the endpoint's receiver checks.
//!
//! Called by the engine for each attempt. Id and body depend on the event alone, so every attempt of every delivery of
//! an event carries the same ones (unless the endpoint transforms it); only the timestamp and with it the signature are
//! the attempt's.
//!
//! The signature is that of Standard Webhooks (`standard`) unless the endpoint asks for the [`SignatureFormat`] of the
//! sender that its receiver was written for: one file each. Whatever the format, `webhook-id` and `webhook-timestamp`
//! are sent too, so that every receiver can recognise a repeat.

mod body;
mod convoy;
mod hook0;
mod key;
mod outpost;
mod standard;
mod stripe;
mod svix;

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;
use serde::{Deserialize, Serialize};
use trunkline_model::Timestamp;

use self::convoy::Encoding;

pub use body::{body, content_type, webhook_id};

pub(crate) use body::{SHOWN_TYPE, presented};
pub use key::{InvalidSecret, SignatureVersion, SigningKey, TEXT_SECRET_CHARS, check_secret_text};
pub use standard::signature;

pub(crate) use key::{PRIVATE_PREFIX, SYMMETRIC_PREFIX, public_key};

/// How calls are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureFormat {
    /// Standard Webhooks: `webhook-signature`.
    #[default]
    Standard,
    /// The same under Svix's names: `svix-id`, `svix-timestamp`, `svix-signature`.
    Svix,
    /// Convoy's advanced form: `x-convoy-signature: t=…,v1=<hex>` over `t,body`.
    Convoy,
    /// Convoy's simple form: `x-convoy-signature: <hex>` over the body.
    ConvoySimple,
    /// The same in base64.
    ConvoySimpleBase64,
    /// Convoy's simple form with SHA-512, hexadecimal.
    ConvoySimpleSha512,
    /// The same in base64.
    ConvoySimpleSha512Base64,
    /// Outpost's default: `x-outpost-signature: v0=<hex>` over the body.
    Outpost,
    /// Hook0's: `x-hook0-signature: t=…,h=…,v0=<hex>,v1=<hex>`.
    Hook0,
    /// Stripe's way: `stripe-signature: t=…,v1=<hex>` over `t.body`.
    Stripe,
}

impl SignatureFormat {
    /// Every format.
    pub const ALL: [Self; 10] = [
        Self::Standard,
        Self::Svix,
        Self::Convoy,
        Self::ConvoySimple,
        Self::ConvoySimpleBase64,
        Self::ConvoySimpleSha512,
        Self::ConvoySimpleSha512Base64,
        Self::Outpost,
        Self::Hook0,
        Self::Stripe,
    ];

    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Svix => "svix",
            Self::Convoy => "convoy",
            Self::ConvoySimple => "convoy_simple",
            Self::ConvoySimpleBase64 => "convoy_simple_base64",
            Self::ConvoySimpleSha512 => "convoy_simple_sha512",
            Self::ConvoySimpleSha512Base64 => "convoy_simple_sha512_base64",
            Self::Outpost => "outpost",
            Self::Hook0 => "hook0",
            Self::Stripe => "stripe",
        }
    }

    /// The format with a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }

    /// The digest of its HMACs.
    pub(crate) fn digest(self) -> hmac::Algorithm {
        match self {
            Self::ConvoySimpleSha512 | Self::ConvoySimpleSha512Base64 => hmac::HMAC_SHA512,
            _ => hmac::HMAC_SHA256,
        }
    }

    /// Whether the key is the secret's text as it stands. Otherwise it is what the text encodes.
    pub const fn keys_by_text(self) -> bool {
        !matches!(self, Self::Standard | Self::Svix)
    }
}

/// One call to sign.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The `webhook-id`.
    pub id: &'a str,
    /// The event's type.
    pub event_type: &'a str,
    /// The body as it is sent.
    pub body: &'a [u8],
    /// When the attempt is made.
    pub now: Timestamp,
}

/// What the formats write from: the message, its timestamp as text, the keys in force.
struct Call<'a> {
    message: Message<'a>,
    timestamp: String,
    keys: &'a [SigningKey],
}

/// Adds id, timestamp and a signature of every live key. Headers of the same names are replaced.
pub fn sign(headers: &mut HeaderMap, message: &Message<'_>, format: SignatureFormat, keys: &[SigningKey]) {
    let call = Call { message: *message, timestamp: message.now.as_secs().to_string(), keys };
    put(headers, HeaderName::from_static("webhook-id"), message.id);
    put(headers, HeaderName::from_static("webhook-timestamp"), &call.timestamp);
    match format {
        SignatureFormat::Standard => standard::write(headers, &call),
        SignatureFormat::Svix => svix::write(headers, &call),
        SignatureFormat::Convoy => convoy::write_advanced(headers, &call),
        SignatureFormat::ConvoySimple | SignatureFormat::ConvoySimpleSha512 => {
            convoy::write_simple(headers, &call, Encoding::Hex);
        }
        SignatureFormat::ConvoySimpleBase64 | SignatureFormat::ConvoySimpleSha512Base64 => {
            convoy::write_simple(headers, &call, Encoding::Base64);
        }
        SignatureFormat::Outpost => outpost::write(headers, &call),
        SignatureFormat::Hook0 => hook0::write(headers, &call),
        SignatureFormat::Stripe => stripe::write(headers, &call),
    }
}

/// The form of a signature header's value, with names in place of what only the key can make:
/// `t=1769860800,v1=<hex>`, `v1,<base64> v1a,<base64>`.
pub fn form(value: &str) -> String {
    let named = |token: &str| {
        let (label, digest) = match token.split_once('=') {
            Some((label, digest)) if label.len() <= MAX_LABEL => (format!("{label}="), digest),
            _ => (String::new(), token),
        };
        let is_hex = !digest.is_empty() && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        let digest = match digest.len() {
            0..MIN_DIGEST => digest,
            _ if is_hex => "<hex>",
            _ => "<base64>",
        };
        format!("{label}{digest}")
    };
    value
        .split(' ')
        .map(|part| part.split(',').map(named).collect::<Vec<_>>().join(","))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The longest name that stands before a `=`, and the shortest digest: a 256-bit one in base64.
const MAX_LABEL: usize = 4;
const MIN_DIGEST: usize = 43;

impl<'a> Call<'a> {
    fn live_keys(&self) -> impl Iterator<Item = &'a SigningKey> {
        let now = self.message.now;
        self.keys.iter().filter(move |key| key.is_live(now))
    }

    /// The hexadecimal HMACs of some bytes, one for each live symmetric key, the newest first.
    fn hex_hmacs(&self, parts: &[&[u8]]) -> Vec<String> {
        self.live_keys().filter_map(SigningKey::hmac).map(|key| hex_hmac(key, parts)).collect()
    }
}

fn hex_hmac(key: &hmac::Key, parts: &[&[u8]]) -> String {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    hex(context.sign().as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("invariant: writing to a string does not fail");
        text
    })
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    let value =
        HeaderValue::from_str(value).expect("invariant: ids, types, digits, hex and base64 are header text");
    headers.insert(name, value);
}

#[cfg(test)]
mod tests;
