//! Why a send failed. Made by the kinds, read by `dispatch` for retry decisions and attempt records.
//!
//! Network failures are those of HTTP attempts ([`SendError`]) under the same class names; brokers add `auth`, `refused`
//! and `too_large`. Texts are safe to store and show: what a broker says is cut, made one line and freed of the sink's
//! own credentials before it gets here ([`broker_text`]).

use std::io;
use std::sync::Arc;

use trunkline_connect::SendError;
use trunkline_model::{Secret, mask};

/// The most characters kept of what a broker says.
const MAX_BROKER_TEXT: usize = 300;

/// Whether the same message can be taken later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permanence {
    /// Trying again may help: the broker, its configuration or its load may change.
    Passing,
    /// The message itself, or where the settings send it, can never be taken.
    Permanent,
}

/// Why a message was not taken, or is not known to be taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SinkError {
    /// No connection, or none any more, or no answer in time.
    #[error(transparent)]
    Network(#[from] SendError),
    /// The egress policy asks for TLS and the settings do without. Nothing was sent.
    #[error("the egress policy lets out tls connections only; set tls to true")]
    PlaintextRefused,
    /// Wrong credentials, or credentials that may not do this.
    #[error("credentials were refused: {0}")]
    Auth(String),
    /// The broker said no, or the message cannot be addressed.
    #[error("refused: {detail}")]
    Refused {
        /// Who said no and why.
        detail: String,
        /// Whether that can change.
        permanence: Permanence,
    },
    /// The broker does not take messages of this size.
    #[error("message of {size_bytes} bytes is too large{}", limit_text(*limit_bytes))]
    TooLarge {
        /// Size of the message, with its headers where they count.
        size_bytes: usize,
        /// The limit, where it is known.
        limit_bytes: Option<usize>,
    },
    /// The peer does not speak the protocol as expected.
    #[error("unexpected answer: {0}")]
    Protocol(String),
    /// The attempt broke inside the hub.
    #[error("the attempt failed inside the hub")]
    Internal,
}

fn limit_text(limit_bytes: Option<usize>) -> String {
    limit_bytes.map(|limit| format!(", the limit is {limit} bytes")).unwrap_or_default()
}

impl SinkError {
    /// The stable name of the kind of failure, as it stands in attempt records and metrics: the names of
    /// [`FailureClass`](trunkline_connect::FailureClass), and `auth`, `refused`, `too_large`, `internal`.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Network(error) => error.class().as_str(),
            Self::PlaintextRefused => "blocked",
            Self::Auth(_) => "auth",
            Self::Refused { .. } => "refused",
            Self::TooLarge { .. } => "too_large",
            Self::Protocol(_) => "protocol",
            Self::Internal => "internal",
        }
    }

    /// Whether the same message can never be taken under the same settings, so that trying again is useless.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::TooLarge { .. } => true,
            Self::Refused { permanence, .. } => *permanence == Permanence::Permanent,
            _ => false,
        }
    }

    /// Whether the connection it happened on should not be used again.
    pub(crate) fn ends_connection(&self) -> bool {
        matches!(self, Self::Network(_) | Self::Protocol(_) | Self::Internal)
    }

    pub(crate) fn refused(detail: impl Into<String>) -> Self {
        Self::Refused { detail: detail.into(), permanence: Permanence::Passing }
    }

    pub(crate) fn never(detail: impl Into<String>) -> Self {
        Self::Refused { detail: detail.into(), permanence: Permanence::Permanent }
    }

    pub(crate) fn reset(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Network(SendError::Reset(Arc::new(cause)))
    }

    /// An I/O failure of an open connection.
    pub(crate) fn of_io(error: io::Error) -> Self {
        if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>) {
            return Self::Network(SendError::Tls(Arc::new(error)));
        }
        match error.kind() {
            io::ErrorKind::InvalidData => {
                Self::Protocol("the peer sent more than it was asked for".to_owned())
            }
            _ => Self::reset(error),
        }
    }
}

/// What a broker said, fit to be stored and shown: one line, bounded, `***` in place of the sink's own secrets.
pub(crate) fn broker_text(raw: &str, secrets: &[&Secret]) -> String {
    let mut text = raw.to_owned();
    for secret in secrets.iter().map(|secret| secret.expose()).filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, mask::MASK);
    }
    let mut line: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_BROKER_TEXT).collect();
    line.truncate(line.trim_end().len());
    if line.is_empty() { "no reason given".to_owned() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_permanence() {
        let check = |error: SinkError, class, is_permanent| {
            assert_eq!((error.class(), error.is_permanent()), (class, is_permanent), "{error}");
        };
        check(SendError::ConnectTimeout.into(), "connect_timeout", false);
        check(SendError::Timeout.into(), "timeout", false);
        check(SendError::DnsEmpty.into(), "dns", false);
        check(SinkError::PlaintextRefused, "blocked", false);
        check(SinkError::Auth("no".into()), "auth", false);
        check(SinkError::refused("no stream"), "refused", false);
        check(SinkError::never("wrong type"), "refused", true);
        check(SinkError::TooLarge { size_bytes: 9, limit_bytes: Some(8) }, "too_large", true);
        check(SinkError::Protocol("noise".into()), "protocol", false);
    }

    #[test]
    fn texts_name_sizes_and_limits() {
        let text = |limit_bytes| SinkError::TooLarge { size_bytes: 9, limit_bytes }.to_string();
        assert_eq!(text(Some(8)), "message of 9 bytes is too large, the limit is 8 bytes");
        assert_eq!(text(None), "message of 9 bytes is too large");
    }

    #[test]
    fn broker_texts_are_one_bounded_line_without_secrets() {
        let secret = Secret::new("canary");
        let text = broker_text("no:\r\n canary and canary", &[&secret]);
        assert_eq!(text, "no:   *** and ***");
        assert_eq!(broker_text(&"ä".repeat(1000), &[]).chars().count(), MAX_BROKER_TEXT);
        assert_eq!(broker_text("\r\n", &[&Secret::new("")]), "no reason given");
    }
}
