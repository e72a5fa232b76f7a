//! URL vetting: what can be said about a URL before its name is resolved. Called by `Target` on save and before
//! sending. Names are not resolved here; the dialer judges what they resolve to.

use std::net::IpAddr;

use url::{Host, Url};

use super::{Blocked, EgressPolicy, LOCALHOST};

/// Why a URL cannot be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    /// Not an absolute URL.
    #[error("not a valid absolute url")]
    Malformed,
    /// Longer than [`Target::MAX_BYTES`](crate::Target::MAX_BYTES).
    #[error("url is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// Neither `http` nor `https`.
    #[error("url scheme must be http or https")]
    Scheme,
    /// `http` where the policy asks for `https`.
    #[error("url scheme must be https")]
    HttpsRequired,
    /// Holds a user name or password.
    #[error("url must not contain a user name or password")]
    Userinfo,
    /// Holds a fragment.
    #[error("url must not contain a fragment")]
    Fragment,
    /// Has no host.
    #[error("url has no host")]
    NoHost,
    /// Port 0.
    #[error("url port must not be 0")]
    PortZero,
    /// Names an address that is blocked.
    #[error(transparent)]
    Blocked(#[from] Blocked),
}

impl EgressPolicy {
    /// Judges a URL without resolving its name: scheme, parts that must not be there, and the address if the host is
    /// one. `url` has already turned decimal, octal, hexadecimal and shortened IPv4 forms into plain ones.
    ///
    /// # Errors
    /// The first reason found.
    pub fn check_url(&self, url: &Url) -> Result<(), UrlRefused> {
        match url.scheme() {
            "http" if self.is_https_only() => return Err(UrlRefused::HttpsRequired),
            "http" | "https" => {}
            _ => return Err(UrlRefused::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlRefused::Userinfo);
        }
        if url.fragment().is_some() {
            return Err(UrlRefused::Fragment);
        }
        if url.port() == Some(0) {
            return Err(UrlRefused::PortZero);
        }
        match url.host().ok_or(UrlRefused::NoHost)? {
            Host::Ipv4(address) => Ok(self.check(IpAddr::V4(address))?),
            Host::Ipv6(address) => Ok(self.check(IpAddr::V6(address))?),
            Host::Domain(name) if is_localhost(name) => self.check_localhost(),
            Host::Domain(_) => Ok(()),
        }
    }

    fn check_localhost(&self) -> Result<(), UrlRefused> {
        let [v4, v6] = LOCALHOST.map(|address| self.check(address));
        match (v4, v6) {
            (Err(blocked), Err(_)) => Err(UrlRefused::Blocked(blocked)),
            _ => Ok(()),
        }
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}
