//! The connector behind the pool: a connection to a vetted address, and TLS over it where the URL asks for it.
//! Called when the pool has no idle connection. TLS verifies the certificate against the host of the URL.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use rustls::ClientConfig as TlsConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::dial::{Dialed, Dialer, cause};
use crate::target::{bare_host, is_https, port_of};
use crate::{Opening, SendError, progress};

/// The connector behind the pool.
pub(super) struct Connector {
    dialer: Dialer,
    tls: TlsConnector,
}

impl Connector {
    pub(super) fn new(dialer: Dialer, tls: TlsConfig) -> Self {
        Self { dialer, tls: TlsConnector::from(Arc::new(tls)) }
    }

    pub(super) async fn connect(&self, uri: &Uri) -> Result<Wire, SendError> {
        let host = bare_host(uri);
        let Dialed { tcp, peer, dns, connect, deadline } = self.dialer.dial(host, port_of(uri)).await?;
        let connected_at = Instant::now();
        let mut opening = Opening { dns, connect: Some(connect), tls: None };
        let stream = if is_https(uri) {
            let handshake = timeout_at(deadline, self.handshake(host, tcp));
            let stream = handshake.await.unwrap_or(Err(SendError::ConnectTimeout))?;
            let took = connected_at.elapsed();
            progress::secured(took);
            opening.tls = Some(took);
            stream
        } else {
            Stream::Plain(tcp)
        };
        Ok(Wire { stream, peer: Peer { address: peer, opening } })
    }

    async fn handshake(&self, host: &str, tcp: TcpStream) -> Result<Stream, SendError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| SendError::Tls(Arc::new(error)))?;
        let tls = self.tls.connect(name, tcp).await.map_err(|error| SendError::Tls(cause(error)))?;
        Ok(Stream::Tls(Box::new(tls)))
    }
}

/// Who is at the other end of a connection, and how it was opened.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) opening: Opening,
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

impl Wire {
    pub(super) fn peer(&self) -> Peer {
        self.peer
    }

    /// Whether both ends have agreed on HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        match &self.stream {
            Stream::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
            Stream::Plain(_) => false,
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
