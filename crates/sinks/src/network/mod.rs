//! Opens connections for the kinds that speak over a stream of their own: resolve, vet, connect to a vetted address, TLS.
//!
//! The name is looked up once, and the socket is opened to the very address that was judged; TLS verifies the certificate
//! against the name in the settings. It follows the rules of `connect`'s HTTP dialer: blocked answers are left out, and a
//! host without any permitted address is refused with the rule that blocked its first one.

mod wire;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use trunkline_connect::{EgressPolicy, Resolver, SendError};

pub(crate) use self::wire::{Allowance, Wire};
use crate::SinkError;

/// Addresses tried for one connection. Each gets an equal share of the connect timeout.
const MAX_ADDRESSES: usize = 4;

/// Where a broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// A host name or an address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Security {
    /// Not at all.
    Plain,
    /// By TLS from the first byte.
    Tls,
    /// By TLS that the protocol starts after a greeting; the caller calls [`Dialer::encrypt`] before it sends anything.
    TlsAfterGreeting,
}

impl Security {
    pub(crate) fn of(tls: bool) -> Self {
        if tls { Self::Tls } else { Self::Plain }
    }
}

/// The only source of connections.
pub(crate) struct Dialer {
    pub(crate) egress: EgressPolicy,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) resolve_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) tls: TlsConnector,
}

impl Dialer {
    /// Opens a connection.
    pub(crate) async fn dial(&self, place: &Place, security: Security) -> Result<Wire, SinkError> {
        if security == Security::Plain && self.egress.is_https_only() {
            return Err(SinkError::PlaintextRefused);
        }
        let mut addresses = self.vetted(place).await?;
        addresses.truncate(MAX_ADDRESSES);
        let connected = async {
            let wire = Wire::plain(self.connect_first(&addresses).await?);
            match security {
                Security::Plain | Security::TlsAfterGreeting => Ok(wire),
                Security::Tls => self.encrypt(place, wire).await,
            }
        };
        timeout(self.connect_timeout, connected).await.unwrap_or(Err(SendError::ConnectTimeout.into()))
    }

    /// Starts TLS on an open connection.
    pub(crate) async fn encrypt(&self, place: &Place, wire: Wire) -> Result<Wire, SinkError> {
        let name =
            ServerName::try_from(place.host.clone()).map_err(|error| SendError::Tls(Arc::new(error)))?;
        let (stream, allowance) = wire.into_parts();
        let tls = self.tls.connect(name, stream).await.map_err(|error| SendError::Tls(Arc::new(error)))?;
        Ok(Wire::new(tls, allowance))
    }

    /// The permitted addresses of a place, never empty.
    pub(crate) async fn vetted(&self, place: &Place) -> Result<Vec<SocketAddr>, SinkError> {
        let answers = match place.host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.lookup(&place.host).await?,
        };
        let mut refusal = None;
        let mut vetted = Vec::with_capacity(answers.len());
        for address in answers {
            match self.egress.check(address) {
                Ok(()) => vetted.push(SocketAddr::new(address.to_canonical(), place.port)),
                Err(blocked) => refusal = refusal.or(Some(blocked)),
            }
        }
        if vetted.is_empty() {
            return Err(refusal.map_or(SendError::DnsEmpty, SendError::Blocked).into());
        }
        Ok(vetted)
    }

    async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, SendError> {
        match timeout(self.resolve_timeout, self.resolver.resolve(host)).await {
            Ok(Ok(answers)) => Ok(answers),
            Ok(Err(error)) => Err(SendError::Dns(Arc::new(error))),
            Err(_) => Err(SendError::DnsTimeout),
        }
    }

    async fn connect_first(&self, addresses: &[SocketAddr]) -> Result<TcpStream, SendError> {
        let share = self.connect_timeout / addresses.len().max(1) as u32;
        let mut failure = SendError::DnsEmpty;
        for address in addresses {
            match timeout(share, connect(*address)).await {
                Ok(Ok(tcp)) => return Ok(tcp),
                Ok(Err(error)) => failure = connect_failure(error),
                Err(_) => failure = SendError::ConnectTimeout,
            }
        }
        Err(failure)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the one place of this crate that connects, to an address the policy let through"
)]
async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

fn connect_failure(error: io::Error) -> SendError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => SendError::ConnectRefused(Arc::new(error)),
        io::ErrorKind::TimedOut => SendError::ConnectTimeout,
        _ => SendError::Connect(Arc::new(error)),
    }
}

/// TLS settings that trust the public authorities and `extra_roots`.
pub(crate) fn tls_connector(extra_roots: &[CertificateDer<'static>]) -> Result<TlsConnector, rustls::Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in extra_roots {
        roots.add(root.clone())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests;
