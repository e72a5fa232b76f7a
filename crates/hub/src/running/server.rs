//! The listener: accepts connections and serves HTTP/1.1 and HTTP/2 on them until the drain.
//!
//! Webhook calls and the API are told apart by the path alone, so that a call to `/in/…` passes no router and no layer of the
//! API: the accept path is what the hub is measured by.
//!
//! The protocol is found by looking at the first bytes without taking them: an HTTP/2 client with prior knowledge begins
//! with `PRI`. Limits: so many connections at once, more wait in the system's queue; a connection that says nothing, or does not finish a request head, is closed after
//! [`HEAD_TIMEOUT`]; heads are bounded in bytes and number of headers; bodies are bounded and timed by the routers.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tower::Service as _;
use trunkline_ingest::Ingest;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;
/// How long a request head may take, and how long a connection may be idle between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);
/// The largest request head; also how much of a body is read at once.
const HEAD_LIMIT_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 128;
/// Requests of one HTTP/2 connection at a time.
const MAX_STREAMS: u32 = 256;
const H2_PING_INTERVAL: Duration = Duration::from_secs(20);
/// The wait after a failed accept: usually too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const H2_PREFACE: &[u8] = b"PRI";

/// A port that is taken but does not answer yet.
pub(super) struct Bound {
    socket: TcpSocket,
    addr: SocketAddr,
}

/// Who answers.
#[derive(Clone)]
pub(super) struct Routers {
    /// `/in/…`.
    pub(super) ingest: Ingest,
    /// Everything else.
    pub(super) api: Router,
}

/// A listener at work.
pub(super) struct Server {
    addr: SocketAddr,
    /// Ends accepting, and connections after their request.
    drain: CancellationToken,
    /// Gives the connections that are still open when accepting ends.
    accepting: JoinHandle<JoinSet<()>>,
}

/// Takes a port; nobody can connect yet.
pub(super) fn bind(addr: SocketAddr) -> io::Result<Bound> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for old connections to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    let addr = socket.local_addr()?;
    Ok(Bound { socket, addr })
}

impl Bound {
    /// Begins to listen and to serve.
    pub(super) fn serve(self, routers: Routers, max_connections: usize) -> io::Result<Server> {
        let listener = self.socket.listen(BACKLOG)?;
        let drain = CancellationToken::new();
        let acceptor = Acceptor { listener, routers, drain: drain.clone(), max_connections };
        Ok(Server { addr: self.addr, drain, accepting: tokio::spawn(acceptor.run()) })
    }
}

impl Server {
    /// Where it listens.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops accepting, lets requests under way finish for at most `limit`, then cuts what is left.
    pub(super) async fn shutdown(self, limit: Duration) {
        self.drain.cancel();
        let Ok(mut connections) = self.accepting.await else {
            tracing::error!("the listener ended badly");
            return;
        };
        let all_ended = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(limit, all_ended).await.is_err() {
            tracing::warn!(n_connections = connections.len(), "drain time is over, connections are cut");
            connections.shutdown().await;
        }
    }
}

struct Acceptor {
    listener: TcpListener,
    routers: Routers,
    drain: CancellationToken,
    max_connections: usize,
}

impl Acceptor {
    async fn run(self) -> JoinSet<()> {
        let mut connections = JoinSet::new();
        let mut was_full = false;
        loop {
            let is_full = connections.len() >= self.max_connections;
            if is_full && !was_full {
                tracing::warn!(n_connections = connections.len(), "all connections are taken, others wait");
            }
            was_full = is_full;
            let accepted = tokio::select! {
                () = self.drain.cancelled() => return connections,
                Some(_) = connections.join_next() => continue,
                accepted = self.listener.accept(), if !is_full => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let connection =
                        Connection { routers: self.routers.clone(), peer, drain: self.drain.clone() };
                    connections.spawn(connection.run(stream));
                }
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

struct Connection {
    routers: Routers,
    peer: SocketAddr,
    drain: CancellationToken,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        // Small answers must not wait for the peer's acknowledgement.
        let _ = stream.set_nodelay(true);
        let mut first = [0; H2_PREFACE.len()];
        let peeked = tokio::select! {
            // Nothing was asked yet, so that nothing is lost.
            () = self.drain.cancelled() => return,
            peeked = tokio::time::timeout(HEAD_TIMEOUT, stream.peek(&mut first)) => peeked,
        };
        let is_http2 = match peeked {
            Ok(Ok(0) | Err(_)) | Err(_) => return,
            Ok(Ok(_)) => first == H2_PREFACE,
        };
        let ended = if is_http2 { self.serve_http2(stream).await } else { self.serve_http1(stream).await };
        if let Err(error) = ended {
            // Peers that go away or talk nonsense are everyday; nobody has to act.
            tracing::debug!(%error, "connection ended");
        }
    }

    async fn serve_http1(self, stream: TcpStream) -> hyper::Result<()> {
        let (drain, routers, peer) = (self.drain, self.routers, self.peer);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_LIMIT_BYTES)
            .max_headers(MAX_HEADERS)
            .pipeline_flush(true)
            .serve_connection(TokioIo::new(stream), service_fn(move |request| routers.answer(request, peer)))
            // A connection that becomes a live one is no longer counted or drained here: its edge does that.
            .with_upgrades();
        tokio::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = drain.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }

    async fn serve_http2(self, stream: TcpStream) -> hyper::Result<()> {
        let (drain, routers, peer) = (self.drain, self.routers, self.peer);
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_header_list_size(HEAD_LIMIT_BYTES as u32)
            .max_concurrent_streams(MAX_STREAMS)
            .keep_alive_interval(H2_PING_INTERVAL)
            .serve_connection(TokioIo::new(stream), service_fn(move |request| routers.answer(request, peer)));
        tokio::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = drain.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

impl Routers {
    fn answer(&self, mut request: Request<Incoming>, peer: SocketAddr) -> Answer {
        request.extensions_mut().insert(ConnectInfo(peer));
        let request = request.map(Body::new);
        if request.uri().path().starts_with("/in/") {
            let ingest = self.ingest.clone();
            return Box::pin(async move { Ok(ingest.answer(request).await) });
        }
        Box::pin(self.api.clone().call(request))
    }
}
