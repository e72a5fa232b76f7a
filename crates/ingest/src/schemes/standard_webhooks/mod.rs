//! The schemes `standard-webhooks` and `svix`: HMAC-SHA256 (`v1`) and ed25519 (`v1a`) over `{id}.{timestamp}.{body}`.
//!
//! Source: Standard Webhooks specification 1.0.0, sections on signatures and verification. Where the reference
//! libraries differ, this reads bytes: the body need not be UTF-8, and id and timestamp are signed exactly as they stand
//! in their headers. An id with a full stop is refused, as the specification asks, because `a.1` + `2` would sign the
//! same bytes as `a` + `1.2`.
//!
//! Svix signs the same way under its own header names (`svix-id` and so on), and its libraries take the standard ones too.
//! Event: as the body says, `{type, data}`. Repeats: by the id. Answer: 202; Svix gives 15 s and retries for about 28 hours
//! (<https://docs.svix.com/receiving/verifying-payloads/how-manual>, <https://docs.svix.com/retries>).

use std::time::Duration;

use http::header::HeaderName;
use ring::hmac::HMAC_SHA256;
use ring::signature::{ED25519, UnparsedPublicKey};
use trunkline_config::Secret;
use trunkline_model::Timestamp;

use super::decode::{self, Candidate};
use super::keys::MacKeys;
use super::window::{Window, digits};
use super::{Call, InvalidScheme, Refusal, Scheme, Verified, id_text, required};

#[cfg(test)]
mod tests;

/// The most signatures of one call that are looked at: old and new key in both versions, and room to spare.
const MAX_SIGNATURES: usize = 16;

const ED25519_KEY_LEN: usize = 32;

/// Verifies calls signed as Standard Webhooks.
pub struct StandardWebhooks {
    /// The header names that count; the first whose id is there is taken.
    names: &'static [Names],
    mac_keys: MacKeys,
    public_keys: Box<[UnparsedPublicKey<Vec<u8>>]>,
    window: Window,
}

/// Where one sender puts id, time and signatures.
struct Names {
    id: HeaderName,
    timestamp: HeaderName,
    signature: HeaderName,
}

const STANDARD: Names = Names {
    id: HeaderName::from_static("webhook-id"),
    timestamp: HeaderName::from_static("webhook-timestamp"),
    signature: HeaderName::from_static("webhook-signature"),
};
const SVIX: Names = Names {
    id: HeaderName::from_static("svix-id"),
    timestamp: HeaderName::from_static("svix-timestamp"),
    signature: HeaderName::from_static("svix-signature"),
};
static STANDARD_ONLY: [Names; 1] = [STANDARD];
static SVIX_FIRST: [Names; 2] = [SVIX, STANDARD];

enum KeyMaterial {
    Mac(Vec<u8>),
    Public(Vec<u8>),
}

impl StandardWebhooks {
    /// Takes `whsec_…` and bare base64 (24 to 64 bytes) for `v1`, `whpk_…` (32 bytes) for `v1a`; all are live.
    pub fn new(secrets: &[Secret], tolerance: Duration) -> Result<Self, InvalidScheme> {
        Self::with_names(&STANDARD_ONLY, secrets, tolerance)
    }

    /// The same under Svix's header names.
    pub fn svix(secrets: &[Secret], tolerance: Duration) -> Result<Self, InvalidScheme> {
        Self::with_names(&SVIX_FIRST, secrets, tolerance)
    }

    fn with_names(
        names: &'static [Names],
        secrets: &[Secret],
        tolerance: Duration,
    ) -> Result<Self, InvalidScheme> {
        let (mut macs, mut public_keys) = (Vec::new(), Vec::new());
        for secret in secrets {
            match parse_key(secret.expose())? {
                KeyMaterial::Mac(bytes) => macs.push(bytes),
                KeyMaterial::Public(bytes) => public_keys.push(UnparsedPublicKey::new(&ED25519, bytes)),
            }
        }
        if macs.is_empty() && public_keys.is_empty() {
            return Err(InvalidScheme::Missing);
        }
        Ok(Self {
            names,
            mac_keys: MacKeys::new(HMAC_SHA256, macs.iter().map(Vec::as_slice)),
            public_keys: public_keys.into(),
            window: Window::new(tolerance),
        })
    }

    fn is_signed(&self, signed: &[&[u8]; 5], list: &[u8]) -> Result<(), Refusal> {
        let entries = list.split(|b| *b == b' ').filter(|entry| !entry.is_empty()).take(MAX_SIGNATURES);
        let of_version = |version: &'static [u8]| {
            entries
                .clone()
                .filter_map(move |entry| entry.strip_prefix(version))
                .filter_map(Candidate::from_base64)
        };
        let feed = |context: &mut ring::hmac::Context| signed.iter().for_each(|part| context.update(part));
        if self.mac_keys.verify(feed, || of_version(b"v1,")) {
            return Ok(());
        }
        let mut asymmetric = of_version(b"v1a,").peekable();
        let is_asymmetric = !self.public_keys.is_empty() && asymmetric.peek().is_some();
        if is_asymmetric {
            let message = signed.concat();
            let fits = |candidate: Candidate| {
                self.public_keys.iter().any(|key| key.verify(&message, candidate.as_bytes()).is_ok())
            };
            if asymmetric.any(fits) {
                return Ok(());
            }
        }
        let is_usable = is_asymmetric || !self.mac_keys.is_empty() && of_version(b"v1,").next().is_some();
        Err(if is_usable { Refusal::SignatureMismatch } else { Refusal::NoUsableSignature })
    }
}

impl Scheme for StandardWebhooks {
    fn verify(&self, call: &Call<'_>) -> Result<Verified, Refusal> {
        let names = self.names.iter().find(|names| call.headers.contains_key(&names.id));
        let names = names.unwrap_or(&self.names[0]);
        let id = id_text(required(call.headers, &names.id)?, &names.id)?;
        let timestamp = required(call.headers, &names.timestamp)?;
        let signatures = required(call.headers, &names.signature)?;
        if id.contains('.') {
            return Err(Refusal::MalformedHeader(names.id.clone()));
        }
        let claimed_at = digits(timestamp)
            .map(Timestamp::from_secs)
            .ok_or_else(|| Refusal::MalformedHeader(names.timestamp.clone()))?;
        self.window.check(claimed_at, call.now)?;
        self.is_signed(&[id.as_bytes(), b".", timestamp, b".", call.body], signatures)?;
        Ok(Verified { dedupe_key: Some(id.to_owned()), claimed_at: Some(claimed_at) })
    }

    fn credential_header(&self) -> Option<&HeaderName> {
        None
    }
}

fn parse_key(text: &str) -> Result<KeyMaterial, InvalidScheme> {
    let text = text.trim();
    if text.is_empty() {
        return Err(InvalidScheme::Missing);
    }
    if text.starts_with("whsk_") {
        return Err(InvalidScheme::PrivateKey);
    }
    let public = text.strip_prefix("whpk_");
    let encoded = public.unwrap_or_else(|| text.strip_prefix("whsec_").unwrap_or(text));
    let bytes = decode::base64_secret(encoded).ok_or(InvalidScheme::NotBase64)?;
    let n_bytes = bytes.len();
    match public {
        Some(_) if n_bytes == ED25519_KEY_LEN => Ok(KeyMaterial::Public(bytes)),
        Some(_) => Err(InvalidScheme::Length { n_bytes, wanted: "32" }),
        None if (24..=64).contains(&n_bytes) => Ok(KeyMaterial::Mac(bytes)),
        None => Err(InvalidScheme::Length { n_bytes, wanted: "24 to 64" }),
    }
}
