//! Connections by origin, and the exchanges over them. Called by the client only.
//!
//! An HTTP/1 connection belongs to one exchange at a time, and whoever has the exchange drives the connection: there is no
//! task for it and nothing to hand over, which saves two wake-ups a request. While it is idle nobody looks at it; what has
//! happened to it meanwhile, a close or bytes that nobody asked for, shows when it is taken out, and then it is dropped. A
//! connection whose exchange is abandoned or whose answer was not read to the end is never put back.
//!
//! An HTTP/2 connection is shared by all exchanges of its origin and driven by a task. Which protocol is spoken is known only
//! after the TLS handshake, so that exchanges that begin at the same time may open a connection each; one of them is kept.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, TE};
use http::uri::Authority;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::connector::{Connector, Peer, Wire};
use super::{ClientConfig, fault};
use crate::SendError;
use crate::target::{Target, is_https};

/// Smallest head buffer hyper accepts.
const MIN_HEAD_BYTES: u32 = 8 * 1024;
const H2_PING_INTERVAL: Duration = Duration::from_secs(10);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How often in the idle time-out the pool is looked through.
const SWEEPS: u32 = 3;

pub(super) type Message = Request<Full<Bytes>>;
type Sent = Result<Response<Incoming>, TrySendError<Message>>;

/// Connections of one client. Cheap to clone.
#[derive(Clone)]
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    connector: Connector,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    max_idle: usize,
    idle_timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    origins: HashMap<Origin, Idle>,
    /// Whether a task looks for what was idle too long.
    is_swept: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    is_https: bool,
    authority: Authority,
    /// Whether HTTP/2 is spoken unasked.
    is_http2: bool,
}

#[derive(Default)]
struct Idle {
    /// The one used last is at the end.
    http1: Vec<(Instant, Box<Http1>)>,
    http2: Option<(Instant, Http2)>,
}

/// A connection to an origin, with who answers there.
pub(super) struct Connection {
    pub(super) peer: Peer,
    /// Whether it was there before the exchange.
    pub(super) is_reused: bool,
    wire: Protocol,
}

enum Protocol {
    Http1(Box<Http1>),
    Http2(Http2),
}

struct Http1 {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` once the connection has ended.
    driver: Option<http1::Connection<TokioIo<Wire>, Full<Bytes>>>,
    peer: Peer,
}

#[derive(Clone)]
struct Http2 {
    sender: http2::SendRequest<Full<Bytes>>,
    peer: Peer,
}

impl Origin {
    /// `None` for a URL without a host, of which there is no target.
    pub(super) fn of(target: &Target) -> Option<Self> {
        let uri = target.uri();
        let (is_https, authority) = (is_https(uri), uri.authority()?.clone());
        Some(Self { is_https, authority, is_http2: !is_https && target.wants_trailers() })
    }
}

impl Pool {
    pub(super) fn new(connector: Connector, config: &ClientConfig) -> Self {
        let head_bytes = config.max_head_bytes.max(MIN_HEAD_BYTES);
        let mut http1 = http1::Builder::new();
        http1.max_buf_size(head_bytes as usize).max_headers(config.max_headers);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(head_bytes)
            .keep_alive_interval(H2_PING_INTERVAL)
            .keep_alive_timeout(H2_PING_TIMEOUT);
        Self(Arc::new(Shared {
            connector,
            http1,
            http2,
            max_idle: config.max_idle_per_host,
            idle_timeout: config.idle_timeout,
            state: Mutex::default(),
        }))
    }

    /// An open connection to an origin: an idle one, or a new one.
    pub(super) async fn connection(&self, origin: &Origin, target: &Target) -> Result<Connection, SendError> {
        while let Some(mut connection) = self.take(origin) {
            if connection.is_usable().await {
                return Ok(connection);
            }
        }
        let wire = self.0.connector.connect(target.uri()).await?;
        let peer = wire.peer();
        let is_http2 = origin.is_http2 || wire.is_http2();
        let io = TokioIo::new(wire);
        let wire = if is_http2 {
            let (sender, driver) = self.0.http2.handshake(io).await.map_err(fault::before_head)?;
            tokio::spawn(async move {
                // Exchanges under way have been told.
                drop(driver.await);
            });
            let shared = Http2 { sender, peer };
            self.share(origin, &shared);
            Protocol::Http2(shared)
        } else {
            let (sender, driver) = self.0.http1.handshake(io).await.map_err(fault::before_head)?;
            Protocol::Http1(Box::new(Http1 { sender, driver: Some(driver), peer }))
        };
        Ok(Connection { peer, is_reused: false, wire })
    }

    fn take(&self, origin: &Origin) -> Option<Connection> {
        let mut state = self.0.state.lock();
        let idle = state.origins.get_mut(origin)?;
        if let Some((used_at, shared)) = &mut idle.http2 {
            if !shared.sender.is_closed() {
                *used_at = Instant::now();
                let (peer, shared) = (shared.peer, shared.clone());
                return Some(Connection { peer, is_reused: true, wire: Protocol::Http2(shared) });
            }
            idle.http2 = None;
        }
        let (used_at, single) = idle.http1.pop()?;
        if used_at.elapsed() > self.0.idle_timeout {
            // Those below have been idle for longer.
            let old = std::mem::take(&mut idle.http1);
            drop(state);
            drop((single, old));
            return None;
        }
        drop(state);
        Some(Connection { peer: single.peer, is_reused: true, wire: Protocol::Http1(single) })
    }

    /// Keeps a connection whose exchange is over for the next one, if it can have one.
    pub(super) async fn put_back(&self, origin: Origin, mut connection: Connection) {
        let Protocol::Http1(single) = &mut connection.wire else { return };
        if !single.is_usable().await {
            return;
        }
        let Protocol::Http1(single) = connection.wire else { return };
        let mut state = self.0.state.lock();
        let idle = state.origins.entry(origin).or_default();
        let surplus = if idle.http1.len() < self.0.max_idle {
            idle.http1.push((Instant::now(), single));
            None
        } else {
            Some(single)
        };
        self.start_sweeping(&mut state);
        drop(state);
        drop(surplus);
    }

    fn share(&self, origin: &Origin, shared: &Http2) {
        let mut state = self.0.state.lock();
        let idle = state.origins.entry(origin.clone()).or_default();
        if idle.http2.as_ref().is_none_or(|(_, known)| known.sender.is_closed()) {
            idle.http2 = Some((Instant::now(), shared.clone()));
        }
        self.start_sweeping(&mut state);
    }

    fn start_sweeping(&self, state: &mut State) {
        if !state.is_swept {
            state.is_swept = true;
            tokio::spawn(sweep(Arc::downgrade(&self.0), self.0.idle_timeout / SWEEPS));
        }
    }
}

/// Drops what was idle too long; ends when nothing is left, or the client is gone.
async fn sweep(pool: Weak<Shared>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(shared) = pool.upgrade() else { return };
        let is_old = |used_at: &Instant| used_at.elapsed() > shared.idle_timeout;
        let (mut old, mut old_shared) = (Vec::new(), Vec::new());
        let mut state = shared.state.lock();
        state.origins.retain(|_, idle| {
            let n_old = idle.http1.iter().take_while(|(used_at, _)| is_old(used_at)).count();
            old.extend(idle.http1.drain(..n_old));
            old_shared
                .extend(idle.http2.take_if(|(used_at, shared)| is_old(used_at) || shared.sender.is_closed()));
            !idle.http1.is_empty() || idle.http2.is_some()
        });
        state.is_swept = !state.origins.is_empty();
        let is_done = !state.is_swept;
        drop(state);
        // Closing them takes system calls.
        drop((old, old_shared));
        if is_done {
            return;
        }
    }
}

impl Connection {
    async fn is_usable(&mut self) -> bool {
        match &mut self.wire {
            Protocol::Http1(single) => single.is_usable().await,
            Protocol::Http2(shared) => shared.sender.ready().await.is_ok(),
        }
    }

    /// Sends a request, and waits for the head of its answer. A request that comes back with the error has not left.
    pub(super) async fn send(&mut self, mut message: Message, target: &Target) -> Sent {
        match &mut self.wire {
            Protocol::Http1(single) => {
                *message.uri_mut() = target.path().clone();
                message.headers_mut().insert(HOST, target.host_header().clone());
                let sent = single.sender.try_send_request(message);
                single.drive(sent).await
            }
            Protocol::Http2(shared) => {
                *message.uri_mut() = target.uri().clone();
                message.headers_mut().remove(HOST);
                if target.wants_trailers() {
                    message.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
                }
                shared.sender.try_send_request(message).await
            }
        }
    }

    /// Does something that needs the connection to go on, such as reading the body of an answer.
    pub(super) async fn drive<T>(&mut self, work: impl Future<Output = T>) -> T {
        match &mut self.wire {
            Protocol::Http1(single) => single.drive(work).await,
            Protocol::Http2(_) => work.await,
        }
    }
}

impl Http1 {
    async fn drive<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            if let Some(driver) = &mut self.driver
                && Pin::new(driver).poll(cx).is_ready()
            {
                // How it ended is told to the work, if it was under way.
                self.driver = None;
            }
            work.as_mut().poll(cx)
        })
        .await
    }

    /// Looks at what has come in, and tells whether the connection takes a request.
    async fn is_usable(&mut self) -> bool {
        self.drive(poll_fn({
            let mut is_second = false;
            move |_| if std::mem::replace(&mut is_second, true) { Poll::Ready(()) } else { Poll::Pending }
        }))
        .await;
        self.driver.is_some() && self.sender.is_ready()
    }
}
