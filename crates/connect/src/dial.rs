//! Opens connections: look the name up, vet its addresses, connect to a vetted one. The only place of the workspace that
//! opens an outbound socket. Called by the HTTP client's pool and, for brokers, by `sinks`.
//!
//! The name is looked up once, and the socket is opened to the very address that was judged. What is spoken over it, TLS
//! among it, is the caller's; [`Dialed::deadline`] says how long that may take.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::egress::EgressPolicy;
use crate::resolve::{Gate, Resolver};
use crate::{Cause, SendError, progress};

/// Addresses tried for one connection. Each gets an equal share of the connect timeout.
const MAX_ADDRESSES: usize = 4;

/// The only source of connections. Cheap to clone.
#[derive(Clone)]
pub struct Dialer {
    gate: Arc<Gate>,
    connect_timeout: Duration,
}

/// An open connection to a vetted address.
#[derive(Debug)]
pub struct Dialed {
    /// The connection.
    pub tcp: TcpStream,
    /// What it was opened to.
    pub peer: SocketAddr,
    /// How long the lookup took.
    pub dns: Duration,
    /// How long TCP took.
    pub connect: Duration,
    /// By when TLS must be established too, if it is.
    pub deadline: Instant,
}

impl Dialer {
    /// A dialer; `resolve_timeout` is for the lookup, `connect_timeout` for TCP and TLS over all addresses.
    pub fn new(
        policy: EgressPolicy,
        resolver: Arc<dyn Resolver>,
        resolve_timeout: Duration,
        connect_timeout: Duration,
    ) -> Self {
        Self { gate: Arc::new(Gate { policy, resolver, timeout: resolve_timeout }), connect_timeout }
    }

    /// A dialer that keeps another policy and is the same otherwise.
    #[must_use]
    pub fn with_policy(&self, policy: EgressPolicy) -> Self {
        let (resolver, timeout) = (Arc::clone(&self.gate.resolver), self.gate.timeout);
        Self { gate: Arc::new(Gate { policy, resolver, timeout }), connect_timeout: self.connect_timeout }
    }

    /// The policy it keeps.
    pub fn policy(&self) -> &EgressPolicy {
        &self.gate.policy
    }

    /// The permitted addresses of a host (a name, or an address without brackets), never empty. Connects to none.
    ///
    /// # Errors
    /// The failure that [`dial`](Self::dial) would meet.
    pub async fn vetted(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, SendError> {
        self.gate.vetted(host, port).await
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// Nothing was sent; the class tells the phase.
    pub async fn dial(&self, host: &str, port: u16) -> Result<Dialed, SendError> {
        let began_at = Instant::now();
        let mut addresses = self.vetted(host, port).await?;
        addresses.truncate(MAX_ADDRESSES);
        let vetted_at = Instant::now();
        let dns = vetted_at.duration_since(began_at);
        progress::name_found(dns);
        let (tcp, peer) = self.connect_first(&addresses).await?;
        let connect = vetted_at.elapsed();
        progress::connected(peer, connect);
        Ok(Dialed { tcp, peer, dns, connect, deadline: vetted_at + self.connect_timeout })
    }

    async fn connect_first(&self, addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), SendError> {
        let share = self.connect_timeout / addresses.len().max(1) as u32;
        let mut failure = SendError::DnsEmpty;
        for address in addresses {
            match timeout(share, connect(*address)).await {
                Ok(Ok(tcp)) => return Ok((tcp, *address)),
                Ok(Err(error)) => failure = connect_failure(error),
                Err(_) => failure = SendError::ConnectTimeout,
            }
        }
        Err(failure)
    }
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").field("policy", self.policy()).finish_non_exhaustive()
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the one place that connects, to an address the policy let through"
)]
async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

fn connect_failure(error: io::Error) -> SendError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => SendError::ConnectRefused(cause(error)),
        io::ErrorKind::TimedOut => SendError::ConnectTimeout,
        _ => SendError::Connect(cause(error)),
    }
}

/// Wraps an I/O error as a cause.
pub(crate) fn cause(error: io::Error) -> Cause {
    Arc::new(error)
}
