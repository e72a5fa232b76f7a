//! The HTTP client: hyper-util's pooled client over our own dialer, with every limit set. Used through `Transport`.
//!
//! A pooled HTTP/1 connection is returned only after its answer was read to the end; an answer that is abandoned
//! (limit, timeout, caller gone) closes its connection. An HTTP/2 connection outlives an abandoned request, so pings
//! find out when it is dead, or one silent peer would time out every later request.
//!
//! hyper-util's `retry_canceled_requests` stays on: it fires only when a *reused* connection turns out closed and hyper
//! hands the request back untouched, so the peer has seen nothing of it and a second connection cannot duplicate even
//! a POST. A request of which any byte may have left is never sent again; that failure is the caller's to judge.
//!
//! Cost per request on a warm connection: one timer, one boxed future of hyper-util's, one more through `Transport`; no
//! lookup, no URL parsing, no copy of the body, no copy of a response body that came in one piece.

mod dial;
mod fault;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig as TlsConfig, RootCertStore};
use tokio::time::Instant;

use self::dial::{Dialer, Peer};
use crate::body::{self, BodyHead};
use crate::egress::{EgressPolicy, UrlRefused};
use crate::resolve::{Gate, Resolver, SystemResolver};
use crate::target::{Target, is_https};
use crate::transport::{OutboundRequest, OutboundResponse, Timings, Transport};
use crate::{BoxFuture, SendError};

/// Settings of a client. All have sensible defaults.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// For the lookup of a name. Default 5 s.
    pub resolve_timeout: Duration,
    /// For TCP and TLS together, over all addresses of a host. Default 5 s.
    pub connect_timeout: Duration,
    /// Idle connections kept per scheme, host and port. Default 256.
    pub max_idle_per_host: usize,
    /// How long an idle connection is kept. Default 30 s, below the usual 60 s of servers, so that we close first.
    pub idle_timeout: Duration,
    /// The largest response head. Default 64 KiB, at least 8 KiB.
    pub max_head_bytes: u32,
    /// The most response headers over HTTP/1. Default 128.
    pub max_headers: usize,
    /// Certificates of authorities trusted besides the public ones, in DER.
    pub extra_roots: Vec<CertificateDer<'static>>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            resolve_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            max_idle_per_host: 256,
            idle_timeout: Duration::from_secs(30),
            max_head_bytes: 64 * 1024,
            max_headers: 128,
            extra_roots: Vec::new(),
        }
    }
}

/// Why a client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// An extra root certificate cannot be used.
    #[error("extra root certificate {index} is not usable")]
    ExtraRoot {
        /// Its position in the list.
        index: usize,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The TLS settings are refused by the TLS library.
    #[error("tls settings are not usable")]
    Tls(#[source] rustls::Error),
}

/// Smallest head buffer hyper accepts.
const MIN_HEAD_BYTES: u32 = 8 * 1024;
const H2_PING_INTERVAL: Duration = Duration::from_secs(10);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Headers that only the client may set: a caller's value could contradict the message or its destination.
const CLIENT_HEADERS: [HeaderName; 6] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, TE, UPGRADE];

/// A pooled HTTP/1 and HTTP/2 client that reaches permitted addresses only. Cheap to clone; clones share the pool.
#[derive(Clone)]
pub struct HttpClient {
    inner: Client<Dialer, Full<Bytes>>,
    gate: Arc<Gate>,
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpClient").field("policy", &self.gate.policy).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// A client that asks the operating system for addresses.
    ///
    /// # Errors
    /// [`ClientError`] when an extra root certificate is not usable.
    pub fn new(config: &ClientConfig, policy: EgressPolicy) -> Result<Self, ClientError> {
        Self::with_resolver(config, policy, Arc::new(SystemResolver::new()))
    }

    /// A client with its own resolver.
    ///
    /// # Errors
    /// [`ClientError`] when an extra root certificate is not usable.
    pub fn with_resolver(
        config: &ClientConfig,
        policy: EgressPolicy,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, ClientError> {
        let gate = Arc::new(Gate { policy, resolver, timeout: config.resolve_timeout });
        let dialer = Dialer::new(Arc::clone(&gate), tls_config(&config.extra_roots)?, config.connect_timeout);
        let head_bytes = config.max_head_bytes.max(MIN_HEAD_BYTES);
        let inner = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(config.max_idle_per_host)
            .pool_idle_timeout(config.idle_timeout)
            .retry_canceled_requests(true)
            .http1_max_buf_size(head_bytes as usize)
            .http1_max_headers(config.max_headers)
            .http2_max_header_list_size(head_bytes)
            .http2_keep_alive_interval(H2_PING_INTERVAL)
            .http2_keep_alive_timeout(H2_PING_TIMEOUT)
            .build(dialer);
        Ok(Self { inner, gate })
    }

    /// The policy this client keeps.
    pub fn policy(&self) -> &EgressPolicy {
        &self.gate.policy
    }

    /// Resolves a target and judges its addresses without connecting: what a save can find out early.
    ///
    /// # Errors
    /// The failure a send would meet.
    pub async fn vet(&self, target: &Target) -> Result<(), SendError> {
        self.check_scheme(target)?;
        self.gate.vetted(target.host(), target.port()).await.map(drop)
    }

    /// Sends a request, reads the answer within the request's limits.
    ///
    /// # Errors
    /// [`SendError`]; an answer with any status is not an error.
    pub async fn send(&self, request: OutboundRequest) -> Result<OutboundResponse, SendError> {
        self.check_scheme(&request.target)?;
        let timeout = request.timeout;
        let mut answered = None;
        let exchange = self.exchange(request, &mut answered);
        match tokio::time::timeout(timeout, exchange).await {
            Ok(result) => result,
            Err(_) => Err(answered.map_or(SendError::Timeout, |status| SendError::BodyTimeout { status })),
        }
    }

    async fn exchange(
        &self,
        request: OutboundRequest,
        answered: &mut Option<StatusCode>,
    ) -> Result<OutboundResponse, SendError> {
        let started = Instant::now();
        let limit = request.response_limit_bytes;
        let sent = self.inner.request(into_http(request));
        let response = sent.await.map_err(fault::before_head)?;
        let head_after = started.elapsed();
        let (peer, reused) = connection_of(&response);
        let (head, incoming) = response.into_parts();
        *answered = Some(head.status);
        let BodyHead { bytes, truncated } =
            body::read_head(incoming, limit).await.map_err(|error| fault::in_body(error, head.status))?;
        Ok(OutboundResponse {
            status: head.status,
            version: head.version,
            headers: head.headers,
            body_head: bytes,
            truncated,
            timings: Timings { head: head_after, total: started.elapsed() },
            peer,
            reused,
        })
    }

    /// A target may have been vetted by a laxer policy than this client's.
    fn check_scheme(&self, target: &Target) -> Result<(), SendError> {
        if self.gate.policy.is_https_only() && !is_https(target.uri()) {
            return Err(SendError::Refused(UrlRefused::HttpsRequired));
        }
        Ok(())
    }
}

impl Transport for HttpClient {
    fn send(&self, request: OutboundRequest) -> BoxFuture<'_, Result<OutboundResponse, SendError>> {
        Box::pin(Self::send(self, request))
    }
}

fn into_http(request: OutboundRequest) -> Request<Full<Bytes>> {
    let mut message = Request::new(Full::new(request.body));
    *message.method_mut() = request.method;
    *message.uri_mut() = request.target.into_uri();
    *message.headers_mut() = without_client_headers(request.headers);
    message
}

fn without_client_headers(mut headers: HeaderMap) -> HeaderMap {
    for name in &CLIENT_HEADERS {
        headers.remove(name);
    }
    headers
}

fn connection_of(response: &Response<Incoming>) -> (Option<std::net::SocketAddr>, bool) {
    match response.extensions().get::<Peer>() {
        Some(peer) => (Some(peer.address()), peer.mark_used()),
        None => (None, false),
    }
}

fn tls_config(extra_roots: &[CertificateDer<'static>]) -> Result<TlsConfig, ClientError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for (index, root) in extra_roots.iter().enumerate() {
        roots.add(root.clone()).map_err(|source| ClientError::ExtraRoot { index, source })?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = TlsConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ClientError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Wraps an I/O error as a cause.
fn cause(error: io::Error) -> crate::Cause {
    Arc::new(error)
}

#[cfg(test)]
mod tests;
