//! Secrets prepared for signing.
//!
//! Standard Webhooks has two kinds: `whsec_` and the base64 of 24 to 64 bytes (HMAC-SHA256, version `v1`), and `whsk_`
//! and the base64 of an ed25519 private key (version `v1a`), which is either its seed of 32 bytes or seed and public key
//! together, 64 bytes. The receiver of the latter knows only `whpk_` and the base64 of the public key. The formats of
//! other senders use the text of a secret as the key, whatever it looks like.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use trunkline_model::{Secret, Timestamp};

use super::SignatureFormat;

pub(crate) const SYMMETRIC_PREFIX: &str = "whsec_";
pub(crate) const PRIVATE_PREFIX: &str = "whsk_";
const PUBLIC_PREFIX: &str = "whpk_";
/// Fewest and most characters of a secret whose text is the key.
pub const TEXT_SECRET_CHARS: std::ops::RangeInclusive<usize> = 8..=256;

/// A version of Standard Webhooks' signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignatureVersion {
    /// HMAC-SHA256: both sides know the secret.
    V1,
    /// ed25519: the receiver knows only the public key.
    V1a,
}

impl SignatureVersion {
    /// Every version.
    pub const ALL: [Self; 2] = [Self::V1, Self::V1a];

    /// The name in JSON and in signatures.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1a => "v1a",
        }
    }

    /// The version with a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == name)
    }

    /// The version that a secret signs.
    pub fn of_secret(secret: &Secret) -> Self {
        if secret.expose().starts_with(PRIVATE_PREFIX) { Self::V1a } else { Self::V1 }
    }
}

/// A text that is no signing secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// Neither `whsec_` nor `whsk_`, or what follows is not what it should be.
    #[error(
        "a signing secret is whsec_ followed by the base64 of 24 to 64 bytes, or whsk_ followed by the base64 of an \
         ed25519 private key: 32 bytes, or 64 with its public key"
    )]
    Standard,
    /// Not fit for a format that uses the text as the key.
    #[error("a secret of this signature format is 8 to 256 visible ASCII characters, and no whsk_ key")]
    Text,
}

/// Checks that a text can be the secret of a format.
pub fn check_secret_text(secret: &Secret, format: SignatureFormat) -> Result<(), InvalidSecret> {
    SigningKey::of_format(secret, None, format).map(drop)
}

/// A secret prepared for signing.
#[derive(Clone)]
pub struct SigningKey {
    kind: Kind,
    expires_at: Option<Timestamp>,
}

#[derive(Clone)]
pub(super) enum Kind {
    Hmac(hmac::Key),
    Ed25519(Arc<Ed25519KeyPair>),
}

impl SigningKey {
    /// Prepares a secret of Standard Webhooks, of either kind.
    pub fn new(secret: &Secret, expires_at: Option<Timestamp>) -> Result<Self, InvalidSecret> {
        let text = secret.expose();
        let kind = if let Some(encoded) = text.strip_prefix(PRIVATE_PREFIX) {
            Kind::Ed25519(Arc::new(key_pair(encoded)?))
        } else {
            let encoded = text.strip_prefix(SYMMETRIC_PREFIX).ok_or(InvalidSecret::Standard)?;
            let bytes = BASE64.decode(encoded).map_err(|_| InvalidSecret::Standard)?;
            if !(24..=64).contains(&bytes.len()) {
                return Err(InvalidSecret::Standard);
            }
            Kind::Hmac(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
        };
        Ok(Self { kind, expires_at })
    }

    /// Prepares a secret for a format.
    pub fn of_format(
        secret: &Secret,
        expires_at: Option<Timestamp>,
        format: SignatureFormat,
    ) -> Result<Self, InvalidSecret> {
        if !format.keys_by_text() {
            return Self::new(secret, expires_at);
        }
        let text = secret.expose();
        let is_fit = TEXT_SECRET_CHARS.contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic())
            && !text.starts_with(PRIVATE_PREFIX);
        if !is_fit {
            return Err(InvalidSecret::Text);
        }
        Ok(Self { kind: Kind::Hmac(hmac::Key::new(format.digest(), text.as_bytes())), expires_at })
    }

    /// Whether deliveries are still signed with it.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| now < at)
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The key of a symmetric secret.
    pub(super) fn hmac(&self) -> Option<&hmac::Key> {
        match &self.kind {
            Kind::Hmac(key) => Some(key),
            Kind::Ed25519(_) => None,
        }
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

fn key_pair(encoded: &str) -> Result<Ed25519KeyPair, InvalidSecret> {
    let bytes = BASE64.decode(encoded).map_err(|_| InvalidSecret::Standard)?;
    let pair = match bytes.split_at_checked(32) {
        Some((seed, [])) => Ed25519KeyPair::from_seed_unchecked(seed),
        Some((seed, public)) => Ed25519KeyPair::from_seed_and_public_key(seed, public),
        None => return Err(InvalidSecret::Standard),
    };
    pair.map_err(|_| InvalidSecret::Standard)
}

/// The public key of a `whsk_` secret as receivers are given it: `whpk_…`.
pub(crate) fn public_key(secret: &Secret) -> Option<String> {
    let pair = key_pair(secret.expose().strip_prefix(PRIVATE_PREFIX)?).ok()?;
    Some(format!("{PUBLIC_PREFIX}{}", BASE64.encode(pair.public_key())))
}
