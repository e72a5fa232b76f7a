//! Connections for the kinds that speak over a stream of their own: opened by `connect`'s dialer, which vets the addresses,
//! with TLS that verifies the certificate against the name in the settings, and a bound on what the peer may send.

mod wire;

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig as TlsConfig;
use rustls::pki_types::ServerName;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use trunkline_connect::{SendError, progress};

pub(crate) use self::wire::{Allowance, Wire};
use crate::SinkError;

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

/// Opens connections through the guard, and TLS over them.
#[derive(Clone)]
pub(crate) struct Dialer {
    guarded: trunkline_connect::Dialer,
    tls: TlsConnector,
}

impl Dialer {
    pub(crate) fn new(guarded: trunkline_connect::Dialer, tls: TlsConfig) -> Self {
        Self { guarded, tls: TlsConnector::from(Arc::new(tls)) }
    }

    /// Opens a connection.
    pub(crate) async fn dial(&self, place: &Place, security: Security) -> Result<Wire, SinkError> {
        if security == Security::Plain && self.guarded.policy().is_https_only() {
            return Err(SinkError::PlaintextRefused);
        }
        let dialed = self.guarded.dial(&place.host, place.port).await?;
        let wire = Wire::plain(dialed.tcp);
        match security {
            Security::Plain | Security::TlsAfterGreeting => Ok(wire),
            Security::Tls => {
                let encrypted = timeout_at(dialed.deadline, self.encrypt(place, wire)).await;
                encrypted.unwrap_or(Err(SendError::ConnectTimeout.into()))
            }
        }
    }

    /// Starts TLS on an open connection.
    pub(crate) async fn encrypt(&self, place: &Place, wire: Wire) -> Result<Wire, SinkError> {
        let name =
            ServerName::try_from(place.host.clone()).map_err(|error| SendError::Tls(Arc::new(error)))?;
        let (stream, allowance) = wire.into_parts();
        let began_at = Instant::now();
        let tls = self.tls.connect(name, stream).await.map_err(|error| SendError::Tls(Arc::new(error)))?;
        progress::secured(began_at.elapsed());
        Ok(Wire::new(tls, allowance))
    }

    /// The permitted addresses of a place, never empty.
    pub(crate) async fn vetted(&self, place: &Place) -> Result<Vec<SocketAddr>, SinkError> {
        Ok(self.guarded.vetted(&place.host, place.port).await?)
    }
}

#[cfg(test)]
mod tests;
