//! Signing secrets of an endpoint: `whsec_` and the base64 of 24 to 64 random bytes, several live at once while one
//! replaces another.
//!
//! The texts are kept in [`Secret`]s; only [`EndpointSecrets::to_json`] writes them out, for the store.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use trunkline_model::{Secret, Timestamp};

const PREFIX: &str = "whsec_";
/// The most secrets an endpoint keeps; the oldest go first.
pub const MAX_SECRETS: usize = 10;

/// A text that is no signing secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signing secret is whsec_ followed by the base64 of 24 to 64 bytes")]
pub struct InvalidSecret;

/// Makes a new signing secret from 32 random bytes.
///
/// # Panics
/// When the operating system gives no random bytes.
pub fn generate_secret() -> Secret {
    let mut bytes = [0_u8; 32];
    SystemRandom::new().fill(&mut bytes).expect("invariant: the system has random bytes");
    Secret::new(format!("{PREFIX}{}", BASE64.encode(bytes)))
}

/// The key bytes of a secret's text.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, InvalidSecret> {
    let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSecret)?;
    let bytes = BASE64.decode(encoded).map_err(|_| InvalidSecret)?;
    if (24..=64).contains(&bytes.len()) { Ok(bytes) } else { Err(InvalidSecret) }
}

/// One signing secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSecret {
    /// `whsec_…`
    #[serde(serialize_with = "expose", deserialize_with = "wrap")]
    pub secret: Secret,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when deliveries are signed with it; absent for the one in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

fn expose<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

fn wrap<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

/// The signing secrets of an endpoint, the newest first. The newest never expires.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointSecrets(Vec<EndpointSecret>);

impl EndpointSecrets {
    /// The secrets of a new endpoint.
    pub fn new(secret: Secret, now: Timestamp) -> Self {
        Self(vec![EndpointSecret { secret, created_at: now, expires_at: None }])
    }

    /// Puts a new secret in force; the ones before sign along for `overlap`, then no more.
    #[must_use]
    pub fn rotated(&self, secret: Secret, now: Timestamp, overlap: Duration) -> Self {
        let end = now.plus(overlap);
        let mut all = Self::new(secret, now).0;
        all.extend(self.0.iter().cloned().filter_map(|mut old| {
            let expires_at = old.expires_at.map_or(end, |at| at.min(end));
            old.expires_at = Some(expires_at);
            (expires_at > now).then_some(old)
        }));
        all.truncate(MAX_SECRETS);
        Self(all)
    }

    /// The secret in force.
    pub fn newest(&self) -> Option<&Secret> {
        self.0.first().map(|entry| &entry.secret)
    }

    /// Every secret, the newest first.
    pub fn as_slice(&self) -> &[EndpointSecret] {
        &self.0
    }

    /// The secrets as they are stored. Never log what this returns.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("invariant: plain secrets serialise")
    }

    /// Reads the stored form.
    pub fn from_json(text: &str) -> Result<Self, InvalidSecret> {
        serde_json::from_str(text).map_err(|_| InvalidSecret)
    }

    /// Prepares the keys, the newest first.
    pub fn signing_keys(&self) -> Result<Vec<SigningKey>, InvalidSecret> {
        self.0.iter().map(|entry| SigningKey::new(&entry.secret, entry.expires_at)).collect()
    }
}

/// A secret prepared for signing.
#[derive(Clone)]
pub struct SigningKey {
    pub(crate) key: hmac::Key,
    pub(crate) expires_at: Option<Timestamp>,
}

impl SigningKey {
    /// Prepares a secret.
    pub fn new(secret: &Secret, expires_at: Option<Timestamp>) -> Result<Self, InvalidSecret> {
        let bytes = decode(secret.expose())?;
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, &bytes), expires_at })
    }

    /// Whether deliveries are still signed with it.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| now < at)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}
