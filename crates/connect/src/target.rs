//! A vetted URL in the form the client sends to. Built once when an endpoint is loaded, cloned per request; the hot
//! path never parses a URL.

use std::fmt;
use std::sync::Arc;

use http::uri::Scheme;
use http::{HeaderValue, Uri};
use url::Url;

use crate::egress::{EgressPolicy, UrlRefused};

/// A URL that passed [`EgressPolicy::check_url`]. Cheap to clone.
///
/// `Debug` and [`Target::origin`] leave out path and query, which often hold tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Target(Arc<Parts>);

#[derive(Clone, PartialEq, Eq)]
struct Parts {
    uri: Uri,
    /// The path and query alone, and the header `host`, as HTTP/1 wants them.
    path: Uri,
    host_header: HeaderValue,
    wants_trailers: bool,
}

impl Target {
    /// The longest URL accepted, in bytes.
    pub const MAX_BYTES: usize = 8 * 1024;

    /// Parses and vets a URL.
    ///
    /// # Errors
    /// [`UrlRefused`] says what is wrong with it.
    pub fn parse(text: &str, policy: &EgressPolicy) -> Result<Self, UrlRefused> {
        if text.len() > Self::MAX_BYTES {
            return Err(UrlRefused::TooLong { limit: Self::MAX_BYTES });
        }
        let url = Url::parse(text).map_err(|_| UrlRefused::Malformed)?;
        Self::from_url(&url, policy)
    }

    /// Vets a parsed URL.
    ///
    /// # Errors
    /// [`UrlRefused`] says what is wrong with it.
    pub fn from_url(url: &Url, policy: &EgressPolicy) -> Result<Self, UrlRefused> {
        policy.check_url(url)?;
        if url.as_str().len() > Self::MAX_BYTES {
            return Err(UrlRefused::TooLong { limit: Self::MAX_BYTES });
        }
        let uri = Uri::try_from(url.as_str()).map_err(|_| UrlRefused::Malformed)?;
        if uri.host().is_none_or(str::is_empty) {
            return Err(UrlRefused::NoHost);
        }
        let path = uri.path_and_query().cloned().map(Uri::from).unwrap_or_default();
        let host_header = host_header(&uri).ok_or(UrlRefused::Malformed)?;
        Ok(Self(Arc::new(Parts { uri, path, host_header, wants_trailers: false })))
    }

    /// The same place, spoken to over HTTP/2 with trailers, as gRPC wants it: without TLS from the first byte on (RFC 9113
    /// §3.3, prior knowledge), and with the header `te: trailers`. With TLS the other end may still choose HTTP/1.1.
    #[must_use]
    pub fn with_trailers(self) -> Self {
        Self(Arc::new(Parts { wants_trailers: true, ..Arc::unwrap_or_clone(self.0) }))
    }

    pub(crate) fn wants_trailers(&self) -> bool {
        self.0.wants_trailers
    }

    /// The URL as the client sends it.
    pub fn uri(&self) -> &Uri {
        &self.0.uri
    }

    /// The host name or address, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        bare_host(&self.0.uri)
    }

    /// The port, the scheme's own when the URL names none.
    pub fn port(&self) -> u16 {
        port_of(&self.0.uri)
    }

    /// Scheme, host and port: what may stand in logs.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.0.uri.scheme_str().unwrap_or_default(), self.authority())
    }

    pub(crate) fn path(&self) -> &Uri {
        &self.0.path
    }

    pub(crate) fn host_header(&self) -> &HeaderValue {
        &self.0.host_header
    }

    fn authority(&self) -> &str {
        self.0.uri.authority().map_or("", |authority| authority.as_str())
    }
}

/// Host and port as they stand in the header `host`: a scheme's own port is left out.
fn host_header(uri: &Uri) -> Option<HeaderValue> {
    let own_port = if is_https(uri) { 443 } else { 80 };
    let host = uri.host()?;
    match uri.port_u16().filter(|port| *port != own_port) {
        Some(port) => HeaderValue::try_from(format!("{host}:{port}")).ok(),
        None => HeaderValue::from_str(host).ok(),
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.origin()).finish()
    }
}

pub(crate) fn is_https(uri: &Uri) -> bool {
    uri.scheme() == Some(&Scheme::HTTPS)
}

pub(crate) fn bare_host(uri: &Uri) -> &str {
    let host = uri.host().unwrap_or_default();
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

pub(crate) fn port_of(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if is_https(uri) { 443 } else { 80 })
}
