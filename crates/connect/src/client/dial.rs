//! Opens connections: resolve, vet, connect to a vetted address, TLS. Called by hyper-util's pool when it has no idle
//! connection. The only place of the workspace that opens an outbound socket for HTTP.
//!
//! The name is looked up once, and the socket is opened to the very address that was judged. TLS still verifies
//! the certificate against the host of the URL.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig as TlsConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

use super::cause;
use crate::resolve::Gate;
use crate::target::{bare_host, is_https, port_of};
use crate::{BoxFuture, SendError};

/// Addresses tried for one connection. Each gets an equal share of the connect timeout.
const MAX_ADDRESSES: usize = 4;

/// The connector behind the pool.
#[derive(Clone)]
pub(super) struct Dialer(Arc<DialerState>);

struct DialerState {
    gate: Arc<Gate>,
    tls: TlsConnector,
    connect_timeout: Duration,
}

impl Dialer {
    pub(super) fn new(gate: Arc<Gate>, tls: TlsConfig, connect_timeout: Duration) -> Self {
        Self(Arc::new(DialerState { gate, tls: TlsConnector::from(Arc::new(tls)), connect_timeout }))
    }
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<Wire>;
    type Error = SendError;
    type Future = BoxFuture<'static, Result<TokioIo<Wire>, SendError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let state = Arc::clone(&self.0);
        Box::pin(async move { state.dial(&uri).await.map(TokioIo::new) })
    }
}

impl DialerState {
    async fn dial(&self, uri: &Uri) -> Result<Wire, SendError> {
        let host = bare_host(uri);
        let mut addresses = self.gate.vetted(host, port_of(uri)).await?;
        addresses.truncate(MAX_ADDRESSES);
        let connected = async {
            let (tcp, address) = self.connect_first(&addresses).await?;
            let stream = if is_https(uri) { self.handshake(host, tcp).await? } else { Stream::Plain(tcp) };
            Ok(Wire { stream, peer: Peer::new(address) })
        };
        timeout(self.connect_timeout, connected).await.unwrap_or(Err(SendError::ConnectTimeout))
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

    async fn handshake(&self, host: &str, tcp: TcpStream) -> Result<Stream, SendError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| SendError::Tls(Arc::new(error)))?;
        let tls = self.tls.connect(name, tcp).await.map_err(|error| SendError::Tls(cause(error)))?;
        Ok(Stream::Tls(Box::new(tls)))
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

/// Rides along with a connection into each of its responses.
#[derive(Clone)]
pub(super) struct Peer {
    address: SocketAddr,
    used: Arc<AtomicBool>,
}

impl Peer {
    fn new(address: SocketAddr) -> Self {
        Self { address, used: Arc::new(AtomicBool::new(false)) }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Marks the connection as used; true if it was before.
    pub(super) fn mark_used(&self) -> bool {
        self.used.load(Ordering::Relaxed) || self.used.swap(true, Ordering::Relaxed)
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// An open connection, plain or TLS.
pub(super) struct Wire {
    stream: Stream,
    peer: Peer,
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(self.peer.clone());
        match &self.stream {
            Stream::Tls(tls) if tls.get_ref().1.alpn_protocol() == Some(b"h2") => connected.negotiated_h2(),
            _ => connected,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Stream::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(tcp) => tcp.is_write_vectored(),
            Stream::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
