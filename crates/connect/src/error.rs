//! Why an outbound call failed. Made by the client and by test transports, read by `dispatch` for retry decisions
//! and attempt records.
//!
//! Texts are safe to store and show: no header values, bodies, paths or queries. Causes are kept as sources.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use http::StatusCode;

use crate::egress::{Blocked, UrlRefused};

/// The error beneath a [`SendError`], shared so that failures can be cloned.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// Why a call failed. An answer with any status is not a failure.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SendError {
    /// Every address of the host is blocked. Nothing was sent.
    #[error(transparent)]
    Blocked(#[from] Blocked),
    /// The policy of the client refuses the URL. Nothing was sent.
    #[error(transparent)]
    Refused(#[from] UrlRefused),
    /// The host name could not be resolved. Nothing was sent.
    #[error("host name could not be resolved")]
    Dns(#[source] Cause),
    /// The host name exists but has no address. Nothing was sent.
    #[error("host name has no address")]
    DnsEmpty,
    /// The resolver did not answer in time. Nothing was sent.
    #[error("host name was not resolved in time")]
    DnsTimeout,
    /// The host refused the connection. Nothing was sent.
    #[error("connection refused")]
    ConnectRefused(#[source] Cause),
    /// No connection, or no TLS session, within the connect timeout. Nothing was sent.
    #[error("connection was not established in time")]
    ConnectTimeout,
    /// No connection for another reason. Nothing was sent.
    #[error("connection could not be established")]
    Connect(#[source] Cause),
    /// The TLS handshake failed, or the session broke.
    #[error("tls session failed")]
    Tls(#[source] Cause),
    /// No response head within the request's timeout. The request may have been received.
    #[error("no response within the timeout")]
    Timeout,
    /// The connection ended before the response head. The request may have been received.
    #[error("connection closed before the response")]
    Reset(#[source] Cause),
    /// The answer is not valid HTTP, or its head exceeds a limit.
    #[error("response is not valid http or its head is too large")]
    Protocol(#[source] Cause),
    /// The head came, the rest of the body did not arrive within the request's timeout.
    #[error("response body was not complete within the timeout (status {})", status.as_u16())]
    BodyTimeout {
        /// The status of the head.
        status: StatusCode,
    },
    /// The head came, the connection ended before the body did.
    #[error("connection closed before the end of the response body (status {})", status.as_u16())]
    BodyReset {
        /// The status of the head.
        status: StatusCode,
        /// What the connection reported.
        source: Cause,
    },
    /// The head came, the framing of the body is broken.
    #[error("response body is not valid http (status {})", status.as_u16())]
    BodyProtocol {
        /// The status of the head.
        status: StatusCode,
        /// What the parser reported.
        source: Cause,
    },
}

/// The kinds of failure. The names are stable: they stand in attempt records and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// The egress policy does not let the call out.
    Blocked,
    /// The host name has no answer.
    Dns,
    /// The host refused the connection.
    ConnectRefused,
    /// No connection in time.
    ConnectTimeout,
    /// No connection for another reason.
    Connect,
    /// TLS failed.
    Tls,
    /// No response head in time.
    Timeout,
    /// The connection ended before the response head.
    Reset,
    /// The answer is not valid HTTP.
    Protocol,
    /// No complete body in time.
    BodyTimeout,
    /// The connection ended inside the body.
    BodyReset,
}

impl FailureClass {
    /// Every class.
    pub const ALL: [Self; 11] = [
        Self::Blocked,
        Self::Dns,
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Reset,
        Self::Protocol,
        Self::BodyTimeout,
        Self::BodyReset,
    ];

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Dns => "dns",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
            Self::BodyTimeout => "body_timeout",
            Self::BodyReset => "body_reset",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl SendError {
    /// The kind of failure.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Blocked(_) | Self::Refused(_) => FailureClass::Blocked,
            Self::Dns(_) | Self::DnsEmpty | Self::DnsTimeout => FailureClass::Dns,
            Self::ConnectRefused(_) => FailureClass::ConnectRefused,
            Self::ConnectTimeout => FailureClass::ConnectTimeout,
            Self::Connect(_) => FailureClass::Connect,
            Self::Tls(_) => FailureClass::Tls,
            Self::Timeout => FailureClass::Timeout,
            Self::Reset(_) => FailureClass::Reset,
            Self::Protocol(_) | Self::BodyProtocol { .. } => FailureClass::Protocol,
            Self::BodyTimeout { .. } => FailureClass::BodyTimeout,
            Self::BodyReset { .. } => FailureClass::BodyReset,
        }
    }

    /// The status of the response head, if one came before the failure.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::BodyTimeout { status }
            | Self::BodyReset { status, .. }
            | Self::BodyProtocol { status, .. } => Some(*status),
            _ => None,
        }
    }
}
