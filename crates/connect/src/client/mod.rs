//! The HTTP client: hyper's connections in a pool of our own (`pool`) over our own dialer, with every limit set. Used through
//! `Transport`.
//!
//! A pooled HTTP/1 connection is returned only after its answer was read to the end; an answer that is abandoned
//! (limit, timeout, caller gone) closes its connection. An HTTP/2 connection outlives an abandoned request, so pings
//! find out when it is dead, or one silent peer would time out every later request.
//!
//! A request goes to another connection only when a *reused* one turns out closed and hyper hands the request back
//! untouched, so the peer has seen nothing of it and a second connection cannot duplicate even a POST. A request of which
//! any byte may have left is never sent again; that failure is the caller's to judge.
//!
//! Cost per request on a warm connection: one timer, one boxed future through `Transport`; over HTTP/1 no other task; no
//! lookup, no URL parsing, no copy of the body, no copy of a response body that came in one piece.

mod connector;
mod fault;
mod pool;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::Full;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

use self::connector::Connector;
use self::pool::{Message, Origin, Pool};
use crate::body::{self, BodyHead};
use crate::dial::Dialer;
use crate::egress::{EgressPolicy, UrlRefused};
use crate::resolve::{Resolver, SystemResolver};
use crate::target::{Target, is_https};
use crate::tls::{OwnTls, client_tls};
use crate::transport::{OutboundRequest, OutboundResponse, Timings, Transport};
use crate::{BoxFuture, SendError, progress};

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

/// Headers that only the client may set: a caller's value could contradict the message or its destination.
const CLIENT_HEADERS: [HeaderName; 6] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, TE, UPGRADE];

/// A pooled HTTP/1 and HTTP/2 client that reaches permitted addresses only. Cheap to clone; clones share the pool.
#[derive(Clone)]
pub struct HttpClient {
    pool: Pool,
    dialer: Dialer,
    others: Arc<Others>,
}

/// The clients with TLS of their own, as long as somebody holds them.
struct Others {
    config: ClientConfig,
    by_tls: Mutex<HashMap<[u8; 32], Weak<HttpClient>>>,
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpClient").field("policy", self.policy()).finish_non_exhaustive()
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
        let dialer = Dialer::new(policy, resolver, config.resolve_timeout, config.connect_timeout);
        Self::over(dialer, config.clone())
    }

    fn over(dialer: Dialer, config: ClientConfig) -> Result<Self, ClientError> {
        Self::build(dialer, Arc::new(Others { config, by_tls: Mutex::default() }), &OwnTls::default())
    }

    /// A client with the same settings and resolver that keeps another policy. It shares no connection with this one, nor
    /// do the clients with TLS of their own that come of them: what one policy has opened is not for the other.
    ///
    /// # Errors
    /// As when the client itself was made.
    pub fn with_policy(&self, policy: EgressPolicy) -> Result<Self, ClientError> {
        Self::over(self.dialer.with_policy(policy), self.others.config.clone())
    }

    fn build(dialer: Dialer, others: Arc<Others>, own: &OwnTls) -> Result<Self, ClientError> {
        let config = &others.config;
        let mut roots = config.extra_roots.clone();
        roots.extend(own.authorities.iter().flat_map(|own| own.certificates().to_vec()));
        let mut tls = client_tls(&roots, own.identity.as_ref())?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let pool = Pool::new(Connector::new(dialer.clone(), tls), config);
        Ok(Self { pool, dialer, others })
    }

    /// A client with the same settings and policy, and with connections and TLS of its own. There is one for all that ask
    /// for the same, as long as somebody holds it.
    ///
    /// # Errors
    /// As when the client itself was made.
    pub fn with_tls(&self, own: &OwnTls) -> Result<Arc<Self>, ClientError> {
        let fingerprint = own.fingerprint();
        let mut by_tls = self.others.by_tls.lock();
        if let Some(client) = by_tls.get(&fingerprint).and_then(Weak::upgrade) {
            return Ok(client);
        }
        by_tls.retain(|_, client| client.strong_count() > 0);
        let client = Arc::new(Self::build(self.dialer.clone(), Arc::clone(&self.others), own)?);
        by_tls.insert(fingerprint, Arc::downgrade(&client));
        Ok(client)
    }

    /// The policy this client keeps.
    pub fn policy(&self) -> &EgressPolicy {
        self.dialer.policy()
    }

    /// Resolves a target and judges its addresses without connecting: what a save can find out early.
    ///
    /// # Errors
    /// The failure a send would meet.
    pub async fn vet(&self, target: &Target) -> Result<(), SendError> {
        self.check_scheme(target)?;
        self.dialer.vetted(target.host(), target.port()).await.map(drop)
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
        let OutboundRequest { method, target, headers, body, response_limit_bytes, .. } = request;
        let origin = Origin::of(&target).ok_or(UrlRefused::NoHost)?;
        let mut message = into_http(method, headers, body);
        loop {
            let mut connection = self.pool.connection(&origin, &target).await?;
            let response = match connection.send(message, &target).await {
                Ok(response) => response,
                Err(mut refused) => match refused.take_message() {
                    Some(untouched) if connection.is_reused => {
                        message = untouched;
                        continue;
                    }
                    _ => return Err(fault::before_head(refused.into_error())),
                },
            };
            let head_after = started.elapsed();
            progress::answered(head_after);
            let (head, incoming) = response.into_parts();
            *answered = Some(head.status);
            let read = connection.drive(body::read_head(incoming, response_limit_bytes)).await;
            let BodyHead { bytes, truncated, trailers } =
                read.map_err(|error| fault::in_body(error, head.status))?;
            let total = started.elapsed();
            let (peer, is_reused) = (connection.peer, connection.is_reused);
            if !truncated {
                self.pool.put_back(origin, connection).await;
            }
            return Ok(OutboundResponse {
                status: head.status,
                version: head.version,
                headers: head.headers,
                body_head: bytes,
                truncated,
                trailers,
                timings: Timings { head: head_after, total },
                peer: Some(peer.address),
                opened: (!is_reused).then_some(peer.opening),
            });
        }
    }

    /// A target may have been vetted by a laxer policy than this client's.
    fn check_scheme(&self, target: &Target) -> Result<(), SendError> {
        if self.policy().is_https_only() && !is_https(target.uri()) {
            return Err(SendError::Refused(UrlRefused::HttpsRequired));
        }
        Ok(())
    }
}

impl Transport for HttpClient {
    fn send(&self, request: OutboundRequest) -> BoxFuture<'_, Result<OutboundResponse, SendError>> {
        Box::pin(Self::send(self, request))
    }

    fn with_tls(&self, own: &OwnTls) -> Option<Arc<dyn Transport>> {
        let client = Self::with_tls(self, own).ok()?;
        Some(client)
    }

    fn vet<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(Self::vet(self, target))
    }
}

fn into_http(method: Method, headers: HeaderMap, body: Bytes) -> Message {
    let mut message = Request::new(Full::new(body));
    *message.method_mut() = method;
    *message.headers_mut() = without_client_headers(headers);
    message
}

fn without_client_headers(mut headers: HeaderMap) -> HeaderMap {
    for name in &CLIENT_HEADERS {
        headers.remove(name);
    }
    headers
}

#[cfg(test)]
mod tests;
