//! The border between engines and the network: a request with its limits in, a bounded answer or a classified
//! failure out. Implemented by `HttpClient`; tests of the engines implement it with scripted or faulty networks.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Version};

use crate::{BoxFuture, OwnTls, SendError, Target};

/// Sends outbound requests.
pub trait Transport: Send + Sync {
    /// Sends one request and reads its answer within the request's limits. Dropping the future abandons the call.
    fn send(&self, request: OutboundRequest) -> BoxFuture<'_, Result<OutboundResponse, SendError>>;

    /// The same way out over connections of its own, with TLS of its own; `None` where there is no such thing. Its
    /// connections are closed when nobody holds it any more.
    fn with_tls(&self, own: &OwnTls) -> Option<Arc<dyn Transport>> {
        let _ = own;
        None
    }

    /// Finds out whether a target's name is known and leads where calls may go, without connecting. Whoever cannot tell
    /// says yes.
    fn vet<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), SendError>> {
        let _ = target;
        Box::pin(std::future::ready(Ok(())))
    }
}

/// One outbound request and what may be spent on it.
#[derive(Clone)]
pub struct OutboundRequest {
    /// The method.
    pub method: Method,
    /// Where to.
    pub target: Target,
    /// Headers. `host` and the ones that frame the message belong to the client and are dropped if present.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// From the call of `send` to the last byte of the answer.
    pub timeout: Duration,
    /// How much of the response body is kept; the connection is dropped instead of reading more.
    pub response_limit_bytes: usize,
}

impl fmt::Debug for OutboundRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundRequest")
            .field("method", &self.method)
            .field("target", &self.target)
            .field("n_headers", &self.headers.len())
            .field("body_bytes", &self.body.len())
            .field("timeout", &self.timeout)
            .field("response_limit_bytes", &self.response_limit_bytes)
            .finish()
    }
}

/// A complete answer, or as much of it as the limit lets in.
#[derive(Clone)]
pub struct OutboundResponse {
    /// The status, redirects included: they are not followed.
    pub status: StatusCode,
    /// The protocol version of the answer.
    pub version: Version,
    /// The response headers as received.
    pub headers: HeaderMap,
    /// The first bytes of the body, at most the request's limit.
    pub body_head: Bytes,
    /// Whether the body went on beyond `body_head`.
    pub truncated: bool,
    /// What came behind the body; empty where it was not read to the end.
    pub trailers: HeaderMap,
    /// How long it took.
    pub timings: Timings,
    /// The address that answered, when the transport knows it.
    pub peer: Option<SocketAddr>,
    /// How the connection was opened; `None` when it was there before this request.
    pub opened: Option<Opening>,
}

impl fmt::Debug for OutboundResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundResponse")
            .field("status", &self.status)
            .field("version", &self.version)
            .field("n_headers", &self.headers.len())
            .field("body_head_bytes", &self.body_head.len())
            .field("truncated", &self.truncated)
            .field("n_trailers", &self.trailers.len())
            .field("timings", &self.timings)
            .field("peer", &self.peer)
            .field("opened", &self.opened)
            .finish()
    }
}

/// Durations since the call of `send`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// Until the response head.
    pub head: Duration,
    /// Until the end of the answer.
    pub total: Duration,
}

/// What opening a connection took, phase by phase. They follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Opening {
    /// Looking up the name; zero for an address.
    pub dns: Duration,
    /// TCP, addresses that did not answer included; `None` when it was not opened.
    pub connect: Option<Duration>,
    /// The TLS handshake; `None` without TLS, and when it did not come to its end.
    pub tls: Option<Duration>,
}
