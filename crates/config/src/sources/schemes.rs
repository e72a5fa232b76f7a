//! The verification schemes a source can have, as one table. A further scheme is a row here, a variant of
//! [`SchemeSettings`] and, where it has keys of its own, a file beside this one with their reader.

use crate::reader::Section;
use crate::sources::hmac::{self, HmacSettings};
use crate::sources::token::{self, TokenSettings};

/// Says how a source's requests are verified, with the scheme's own keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemeSettings {
    /// `standard-webhooks`: Standard Webhooks v1 (shared secret) and v1a (public key).
    StandardWebhooks,
    /// `hmac`: a MAC over a template, placed in a header.
    Hmac(HmacSettings),
    /// `token`: a shared secret in a header, without any signature.
    Token(TokenSettings),
    /// `none`: no verification.
    None,
}

impl SchemeSettings {
    /// Returns the scheme's name in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::StandardWebhooks => "standard-webhooks",
            Self::Hmac(_) => "hmac",
            Self::Token(_) => "token",
            Self::None => "none",
        }
    }
}

/// What the reader of sources knows of one scheme.
pub(crate) struct SchemeRow {
    pub(crate) name: &'static str,
    pub(crate) needs_secret: bool,
    /// Every key beyond those all sources have. `secret`, `secrets`, `tolerance_s` and
    /// `allow_unauthenticated` are shared by several schemes and read for them.
    pub(crate) keys: &'static [&'static str],
    pub(crate) read: fn(&mut Section<'_>) -> SchemeSettings,
}

/// All schemes, in the order errors list them.
pub(crate) const SCHEMES: &[SchemeRow] = &[
    SchemeRow {
        name: "standard-webhooks",
        needs_secret: true,
        keys: &["secret", "secrets", "tolerance_s"],
        read: |_| SchemeSettings::StandardWebhooks,
    },
    SchemeRow {
        name: "hmac",
        needs_secret: true,
        keys: hmac::KEYS,
        read: |section| SchemeSettings::Hmac(hmac::read(section)),
    },
    SchemeRow {
        name: "token",
        needs_secret: true,
        keys: token::KEYS,
        read: |section| SchemeSettings::Token(token::read(section)),
    },
    SchemeRow {
        name: "none",
        needs_secret: false,
        keys: &["allow_unauthenticated"],
        read: |_| SchemeSettings::None,
    },
];
