//! Why a connection ends, and how the client is told.

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The client has closed it.
    Left,
    /// The network has, or the client has died.
    Lost,
    /// The client has not answered for two heartbeats.
    Silent,
    /// The hub stops.
    GoingAway,
    /// The client broke the rules of WebSocket.
    Protocol,
    /// A frame held bytes.
    Binary,
    /// A frame was too large.
    TooBig,
    /// The store cannot be read.
    Unavailable,
    /// Too many frames made no sense.
    BadFrames,
    /// The token or ticket is unknown, or there was none.
    Unauthorized,
    /// The token has expired.
    Expired,
    /// The token was revoked.
    Revoked,
    /// The client did not say in time who it is.
    AuthTimeout,
    /// The client took its events more slowly than they came.
    Slow,
    /// The tenant has as many connections as it may have.
    TooMany,
}

impl Ending {
    /// Every ending, for the documentation's test.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 15] = [
        Self::Left,
        Self::Lost,
        Self::Silent,
        Self::GoingAway,
        Self::Protocol,
        Self::Binary,
        Self::TooBig,
        Self::Unavailable,
        Self::BadFrames,
        Self::Unauthorized,
        Self::Expired,
        Self::Revoked,
        Self::AuthTimeout,
        Self::Slow,
        Self::TooMany,
    ];

    /// The close code and its reason, unless there is nobody to tell.
    pub(crate) const fn close(self) -> Option<(u16, &'static str)> {
        Some(match self {
            Self::Left | Self::Lost => return None,
            Self::Silent => (4408, "no answer to heartbeats"),
            Self::GoingAway => (1001, "the hub is stopping; connect again and resume"),
            Self::Protocol => (1002, "protocol error"),
            Self::Binary => (1003, "frames are JSON text"),
            Self::TooBig => (1009, "the frame is too large"),
            Self::Unavailable => (1011, "the store is unavailable; connect again and resume"),
            Self::BadFrames => (4400, "too many frames made no sense"),
            Self::Unauthorized => (4401, "token or ticket missing, unknown, expired or used"),
            Self::Expired => (4401, "the token has expired"),
            Self::Revoked => (4401, "the token was revoked"),
            Self::AuthTimeout => (4408, "no auth frame in time"),
            Self::Slow => (4409, "slow consumer; connect again and resume"),
            Self::TooMany => (4429, "too many connections"),
        })
    }

    /// The word in the figures.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Lost => "lost",
            Self::Silent => "silent",
            Self::GoingAway => "going_away",
            Self::Protocol => "protocol",
            Self::Binary => "binary",
            Self::TooBig => "too_big",
            Self::Unavailable => "unavailable",
            Self::BadFrames => "bad_frames",
            Self::Unauthorized => "unauthorized",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::AuthTimeout => "auth_timeout",
            Self::Slow => "slow",
            Self::TooMany => "too_many",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_lists_every_close_code_with_its_reason() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/live.md");
        let page = std::fs::read_to_string(page).unwrap();
        for (code, reason) in Ending::ALL.into_iter().filter_map(Ending::close) {
            // RFC 6455 §5.5: a control frame holds 125 bytes, two of them the code.
            assert!(reason.len() <= 123);
            assert!(page.contains(&format!("| {code} | {reason} |")), "{code} {reason}");
        }
    }
}
