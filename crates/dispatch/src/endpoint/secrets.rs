//! Signing secrets of an endpoint, several live at once while one replaces another, of two kinds: symmetric ones (`v1`,
//! and those of the other signature formats) and ed25519 private keys (`v1a`). A new secret replaces those of its kind.
//!
//! The texts are kept in [`Secret`]s; only [`EndpointSecrets::to_json`] writes them out, for the store.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use trunkline_model::{Secret, Timestamp};

use super::EndpointSettings;
use crate::sign::{
    InvalidSecret, PRIVATE_PREFIX, SYMMETRIC_PREFIX, SignatureVersion, SigningKey, check_secret_text,
    public_key,
};

/// The most replaced secrets an endpoint keeps; the oldest go first.
pub const MAX_REPLACED: usize = 10;

/// Makes a new symmetric signing secret from 32 random bytes.
///
/// # Panics
/// When the operating system gives no random bytes.
pub fn generate_secret() -> Secret {
    generate(SignatureVersion::V1)
}

fn generate(version: SignatureVersion) -> Secret {
    let mut bytes = [0_u8; 32];
    SystemRandom::new().fill(&mut bytes).expect("invariant: the system has random bytes");
    let prefix = match version {
        SignatureVersion::V1 => SYMMETRIC_PREFIX,
        SignatureVersion::V1a => PRIVATE_PREFIX,
    };
    Secret::new(format!("{prefix}{}", BASE64.encode(bytes)))
}

/// One signing secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSecret {
    /// `whsec_…`, `whsk_…`, or the text that another sender used.
    #[serde(serialize_with = "expose", deserialize_with = "wrap")]
    pub secret: Secret,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when deliveries are signed with it; absent for the one in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl EndpointSecret {
    fn version(&self) -> SignatureVersion {
        SignatureVersion::of_secret(&self.secret)
    }
}

pub(super) fn expose<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

pub(super) fn wrap<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

/// The signing secrets of an endpoint, the newest first. The newest of each kind never expires.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointSecrets(Vec<EndpointSecret>);

impl EndpointSecrets {
    /// The secrets of a new endpoint that brings its own or gets one.
    pub fn new(secret: Secret, now: Timestamp) -> Self {
        Self(vec![EndpointSecret { secret, created_at: now, expires_at: None }])
    }

    /// Puts a new secret in force; the ones of its kind before sign along for `overlap`, then no more.
    #[must_use]
    pub fn rotated(&self, secret: Secret, now: Timestamp, overlap: Duration) -> Self {
        let (version, end) = (SignatureVersion::of_secret(&secret), now.plus(overlap));
        let mut all = Self::new(secret, now).0;
        all.extend(self.0.iter().cloned().filter_map(|mut old| {
            if old.version() == version {
                old.expires_at = Some(old.expires_at.map_or(end, |at| at.min(end)));
            }
            old.expires_at.is_none_or(|at| at > now).then_some(old)
        }));
        let mut n_replaced = 0;
        all.retain(|entry| {
            n_replaced += usize::from(entry.expires_at.is_some());
            entry.expires_at.is_none() || n_replaced <= MAX_REPLACED
        });
        Self(all)
    }

    /// Puts a fresh secret of a version in force, as [`rotated`](Self::rotated) does, and gives it too.
    #[must_use]
    pub fn renewed(&self, version: SignatureVersion, now: Timestamp, overlap: Duration) -> (Self, Secret) {
        let secret = generate(version);
        (self.rotated(secret.clone(), now, overlap), secret)
    }

    /// Adds what the settings need and is not there: a secret of each version that the endpoint signs. Gives the
    /// symmetric one when that was made, since the receiver must be told.
    #[must_use]
    pub fn completed(&self, settings: &EndpointSettings, now: Timestamp) -> (Self, Option<Secret>) {
        let (mut all, mut made) = (self.clone(), None);
        for &version in settings.versions() {
            let is_there = all
                .in_force(version)
                .is_some_and(|secret| check_secret_text(secret, settings.signature_format).is_ok());
            if !is_there {
                let (more, secret) = all.renewed(version, now, Duration::ZERO);
                all = more;
                made = made.or((version == SignatureVersion::V1).then_some(secret));
            }
        }
        (all, made)
    }

    /// The secret of a version that is in force.
    pub fn in_force(&self, version: SignatureVersion) -> Option<&Secret> {
        self.0
            .iter()
            .find(|entry| entry.version() == version && entry.expires_at.is_none())
            .map(|entry| &entry.secret)
    }

    /// What receivers check `v1a` signatures with: `whpk_…`, of the key in force.
    pub fn public_key(&self) -> Option<String> {
        self.in_force(SignatureVersion::V1a).and_then(public_key)
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
        serde_json::from_str(text).map_err(|_| InvalidSecret::Standard)
    }

    /// Prepares the keys of the versions that the endpoint signs, the newest first.
    ///
    /// # Errors
    /// When the secret in force does not fit the endpoint's signature format; replaced ones that do not are left out.
    pub fn signing_keys(&self, settings: &EndpointSettings) -> Result<Vec<SigningKey>, InvalidSecret> {
        let mut keys = Vec::with_capacity(self.0.len());
        for entry in self.0.iter().filter(|entry| settings.versions().contains(&entry.version())) {
            match SigningKey::of_format(&entry.secret, entry.expires_at, settings.signature_format) {
                Ok(key) => keys.push(key),
                Err(error) if entry.expires_at.is_none() => return Err(error),
                Err(_) => {}
            }
        }
        Ok(keys)
    }
}
