//! The verification schemes a source can have, as one table. A further scheme is a row here and a variant of
//! [`SchemeSettings`] or [`Provider`]; where it has keys of its own, their reader stands beside this file.

use std::time::Duration;

use crate::reader::Section;
use crate::sources::hmac::{self, HmacSettings};
use crate::sources::provider::{self, Provider, ProviderSettings};
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
    /// A provider's own way.
    Provider(ProviderSettings),
}

impl SchemeSettings {
    /// Returns the scheme's name in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::StandardWebhooks => "standard-webhooks",
            Self::Hmac(_) => "hmac",
            Self::Token(_) => "token",
            Self::None => "none",
            Self::Provider(settings) => settings.provider.name(),
        }
    }
}

/// What the reader of sources knows of one scheme.
pub(crate) struct SchemeRow {
    pub(crate) name: &'static str,
    pub(crate) needs_secret: bool,
    /// Every key beyond those all sources have. `secret`, `secrets`, `tolerance_s`, `verify_token` and
    /// `allow_unauthenticated` are read for the scheme.
    pub(crate) keys: &'static [&'static str],
    pub(crate) tolerance: Duration,
    pub(crate) read: fn(&mut Section<'_>) -> SchemeSettings,
}

/// How far a signed time may be off where the source does not say.
pub(crate) const TOLERANCE: Duration = Duration::from_mins(5);

const SECRET: &[&str] = &["secret", "secrets"];
const SECRET_AND_TIME: &[&str] = &["secret", "secrets", "tolerance_s"];
const BRIDGE: &[&str] = &["secret", "secrets", "tolerance_s", "header"];

/// A provider's row, for schemes that have a secret.
const fn of(
    provider: Provider,
    keys: &'static [&'static str],
    read: fn(&mut Section<'_>) -> SchemeSettings,
) -> SchemeRow {
    SchemeRow { name: provider.name(), needs_secret: true, keys, tolerance: TOLERANCE, read }
}

/// All schemes, in the order errors list them.
pub(crate) const SCHEMES: &[SchemeRow] = &[
    SchemeRow {
        name: "standard-webhooks",
        needs_secret: true,
        keys: SECRET_AND_TIME,
        tolerance: TOLERANCE,
        read: |_| SchemeSettings::StandardWebhooks,
    },
    of(Provider::Svix, SECRET_AND_TIME, |s| provider::read(Provider::Svix, s)),
    SchemeRow {
        name: "hmac",
        needs_secret: true,
        keys: hmac::KEYS,
        tolerance: TOLERANCE,
        read: |section| SchemeSettings::Hmac(hmac::read(section)),
    },
    SchemeRow {
        name: "token",
        needs_secret: true,
        keys: token::KEYS,
        tolerance: TOLERANCE,
        read: |section| SchemeSettings::Token(token::read(section)),
    },
    SchemeRow {
        name: "none",
        needs_secret: false,
        keys: &["allow_unauthenticated"],
        tolerance: TOLERANCE,
        read: |_| SchemeSettings::None,
    },
    of(Provider::Shopify, SECRET, |s| provider::read(Provider::Shopify, s)),
    of(Provider::Xero, SECRET, |s| provider::read(Provider::Xero, s)),
    of(Provider::Stripe, SECRET_AND_TIME, |s| provider::read(Provider::Stripe, s)),
    of(Provider::GitHub, SECRET, |s| provider::read(Provider::GitHub, s)),
    of(Provider::Slack, SECRET_AND_TIME, |s| provider::read(Provider::Slack, s)),
    of(Provider::Meta, &["secret", "secrets", "verify_token"], |s| provider::read(Provider::Meta, s)),
    of(Provider::Razorpay, SECRET, |s| provider::read(Provider::Razorpay, s)),
    of(Provider::Graph, SECRET, |s| provider::read(Provider::Graph, s)),
    of(Provider::GoogleChannel, SECRET, |s| provider::read(Provider::GoogleChannel, s)),
    of(Provider::Twilio, &["secret", "secrets", "public_url"], |s| provider::read(Provider::Twilio, s)),
    SchemeRow {
        name: Provider::Sns.name(),
        needs_secret: false,
        keys: &["tolerance_s", "topic_arns"],
        // The time is that of publishing, and Amazon tries again for up to an hour.
        tolerance: Duration::from_hours(1),
        read: |section| provider::read(Provider::Sns, section),
    },
    of(Provider::PagerDuty, SECRET, |s| provider::read(Provider::PagerDuty, s)),
    of(Provider::OpenDental, BRIDGE, |s| provider::read(Provider::OpenDental, s)),
    of(Provider::Dentrix, BRIDGE, |s| provider::read(Provider::Dentrix, s)),
    of(Provider::Eaglesoft, BRIDGE, |s| provider::read(Provider::Eaglesoft, s)),
    of(Provider::Unleashed, SECRET_AND_TIME, |s| provider::read(Provider::Unleashed, s)),
    of(Provider::AmazonSp, &["secret", "secrets", "header"], |s| provider::read(Provider::AmazonSp, s)),
];
