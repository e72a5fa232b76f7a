//! The client against raw servers on loopback that misbehave in every way a receiver can.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderValue, Method, Response, Version};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::progress::{Progress, observed};
use crate::tls::Authorities;
use crate::{ClientIdentity, FailureClass};

mod http2;
mod policies;

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(20);

fn open_policy() -> EgressPolicy {
    EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()])
}

fn client() -> HttpClient {
    HttpClient::new(&ClientConfig::default(), open_policy()).unwrap()
}

fn post(url: &str) -> OutboundRequest {
    OutboundRequest {
        method: Method::POST,
        target: Target::parse(url, &open_policy()).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{\"type\":\"appointment.created\"}"),
        timeout: LONG,
        response_limit_bytes: 1024,
    }
}

fn within(timeout: Duration, request: OutboundRequest) -> OutboundRequest {
    OutboundRequest { timeout, ..request }
}

/// A server whose connections are handled by `serve`; counts them.
struct Server {
    address: SocketAddr,
    n_connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start<F>(serve: fn(TcpStream) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let n_connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&n_connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream));
            }
        });
        Self { address, n_connections }
    }

    fn url(&self) -> String {
        format!("http://{}/hook?token=canary", self.address)
    }

    fn count(&self) -> usize {
        self.n_connections.load(Ordering::SeqCst)
    }
}

/// Reads one request, head and body; `None` at the end of the connection.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut seen = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&seen).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |text| text.parse::<usize>().unwrap()) {
                return Some(text);
            }
        }
        if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

async fn answer(mut stream: TcpStream, text: &str) {
    while read_request(&mut stream).await.is_some() {
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn answer_and_close(mut stream: TcpStream, text: &str) {
    read_request(&mut stream).await;
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Sends `start`, then `more` until the client goes away.
async fn flood(mut stream: TcpStream, start: &str, more: &str) {
    read_request(&mut stream).await;
    let _ = stream.write_all(start.as_bytes()).await;
    let block = more.repeat(64);
    while stream.write_all(block.as_bytes()).await.is_ok() {}
}

/// Lets every other task of the single-threaded test runtime run until it waits.
async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn keep_alive_reuses_one_connection() {
    let server =
        Server::start(|stream| answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")).await;
    let client = client();
    for is_first in [true, false, false] {
        let response = client.send(post(&server.url())).await.unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(response.version, Version::HTTP_11);
        assert_eq!((&response.body_head[..], response.truncated), (&b"ok"[..], false));
        assert_eq!((response.opened.is_some(), response.peer), (is_first, Some(server.address)));
        assert!(response.timings.head <= response.timings.total);
        if let Some(opening) = response.opened {
            assert_eq!(opening.tls, None);
            assert!(opening.dns + opening.connect.unwrap() <= response.timings.head);
        }
        settle().await;
    }
    assert_eq!(server.count(), 1);
}

/// What is known of a call that fails, phase by phase.
#[tokio::test]
async fn a_failed_call_tells_how_far_it_came() {
    let reached = async |url: String, timeout: Duration| {
        let request = OutboundRequest { timeout, ..post(&url) };
        let (result, reached) = observed(client().send(request)).await;
        (result.unwrap_err().class(), reached)
    };
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (class, refused) = reached(format!("http://{closed}/"), LONG).await;
    assert_eq!((class, refused.peer), (FailureClass::ConnectRefused, None));
    assert_eq!(refused.opening.map(|opening| opening.connect), Some(None));

    let silent = Server::start(|mut stream| async move {
        read_request(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let (class, timed_out) = reached(silent.url(), SHORT).await;
    assert_eq!((class, timed_out.peer), (FailureClass::Timeout, Some(silent.address)));
    assert!(timed_out.opening.unwrap().connect.is_some() && timed_out.head.is_none());

    let no_tls = Server::start(|mut stream| async move {
        let _ = stream.write_all(b"this is no tls\r\n").await;
        let _ = stream.shutdown().await;
    })
    .await;
    let (class, plain) = reached(no_tls.url().replace("http:", "https:"), LONG).await;
    assert_eq!((class, plain.peer), (FailureClass::Tls, Some(no_tls.address)));
    assert_eq!(plain.opening.map(|opening| (opening.connect.is_some(), opening.tls)), Some((true, None)));

    let cut =
        Server::start(|stream| answer_and_close(stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"));
    let (class, reset) = reached(cut.await.url(), LONG).await;
    assert_eq!(class, FailureClass::BodyReset);
    assert!(reset.head.is_some());
    let ((), outside) = observed(std::future::ready(())).await;
    assert_eq!(outside, Progress::default());
}

#[tokio::test]
async fn a_connection_closed_while_idle_costs_nothing() {
    let server =
        Server::start(|stream| answer_and_close(stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"))
            .await;
    let client = client();
    for _ in 0..3 {
        assert_eq!(client.send(post(&server.url())).await.unwrap().status, 200);
        settle().await;
    }
}

#[tokio::test]
async fn the_request_arrives_as_given() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, mut requests) = mpsc::channel(1);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        seen.send(read_request(&mut stream).await.unwrap()).await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    });
    let mut request = post(&format!("http://{address}/a%20b?c=d"));
    for (name, value) in
        [("webhook-id", "msg_1"), ("host", "evil.test"), ("content-length", "3"), ("te", "trailers")]
    {
        request.headers.insert(name, HeaderValue::from_static(value));
    }
    request.headers.insert("transfer-encoding", HeaderValue::from_static("chunked"));
    assert_eq!(client().send(request).await.unwrap().status, 204);
    let text = requests.recv().await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.lines().collect();
    lines[1..].sort_unstable();
    let host = format!("host: {address}");
    assert_eq!(lines, ["POST /a%20b?c=d HTTP/1.1", "content-length: 30", &host, "webhook-id: msg_1"]);
    assert_eq!(body, "{\"type\":\"appointment.created\"}");
}

#[tokio::test]
async fn redirects_are_answers() {
    let server = Server::start(|stream| {
        answer(stream, "HTTP/1.1 307 Go\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n")
    })
    .await;
    let response = client().send(post(&server.url())).await.unwrap();
    assert_eq!((response.status.as_u16(), server.count()), (307, 1));
}

#[tokio::test]
async fn an_endless_body_is_cut_and_its_connection_dropped() {
    let (done, mut dropped) = mpsc::channel::<()>(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        flood(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "4\r\nabcd\r\n").await;
        done.send(()).await.unwrap();
    });
    let response = client().send(post(&format!("http://{address}/"))).await.unwrap();
    assert_eq!((response.body_head.len(), response.truncated), (1024, true));
    dropped.recv().await.unwrap();
}

async fn check_failure(server: &Server, timeout: Duration, expect: FailureClass) {
    let error = client().send(within(timeout, post(&server.url()))).await.unwrap_err();
    assert_eq!(error.class(), expect, "{error:?}");
    let text = format!("{error} {error:?}");
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test]
async fn silence_times_out_and_closes_the_connection() {
    let (done, mut dropped) = mpsc::channel::<()>(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while read_request(&mut stream).await.is_some() {}
        done.send(()).await.unwrap();
    });
    let error = client().send(within(SHORT, post(&url))).await.unwrap_err();
    assert_eq!(error.class(), FailureClass::Timeout);
    dropped.recv().await.unwrap();
}

#[tokio::test]
async fn a_stalled_body_is_a_body_timeout() {
    let server =
        Server::start(|stream| answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")).await;
    let error = client().send(within(SHORT, post(&server.url()))).await.unwrap_err();
    assert_eq!((error.class(), error.status()), (FailureClass::BodyTimeout, Some(StatusCode::OK)));
}

#[tokio::test]
async fn slow_heads_and_bodies_time_out() {
    async fn drip(mut stream: TcpStream, start: &str, drop: &str) {
        read_request(&mut stream).await;
        let _ = stream.write_all(start.as_bytes()).await;
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        while stream.write_all(drop.as_bytes()).await.is_ok() {
            ticks.tick().await;
        }
    }
    let server = Server::start(|stream| drip(stream, "HTTP/1.1 200 OK\r\nx: ", "a")).await;
    check_failure(&server, SHORT, FailureClass::Timeout).await;
    let server = Server::start(|stream| {
        drip(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "1\r\na\r\n")
    })
    .await;
    check_failure(&server, SHORT, FailureClass::BodyTimeout).await;
}

#[tokio::test]
async fn interim_answers_without_end_time_out() {
    let server =
        Server::start(|stream| flood(stream, "", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")).await;
    check_failure(&server, SHORT, FailureClass::Timeout).await;
    let server = Server::start(|stream| {
        answer(stream, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 202 Ok\r\ncontent-length: 0\r\n\r\n")
    })
    .await;
    assert_eq!(client().send(post(&server.url())).await.unwrap().status, 202);
}

#[tokio::test]
async fn heads_are_bounded() {
    let server =
        Server::start(|stream| flood(stream, "HTTP/1.1 200 OK\r\n", "x-filler: aaaaaaaaaaaaaaaa\r\n")).await;
    check_failure(&server, LONG, FailureClass::Protocol).await;
    let server =
        Server::start(|stream| flood(stream, "HTTP/1.1 200 OK\r\nx: ", "aaaaaaaaaaaaaaaaaaaaaaaaa")).await;
    check_failure(&server, LONG, FailureClass::Protocol).await;
}

#[tokio::test]
async fn broken_answers_are_classified() {
    let server = Server::start(|stream| answer(stream, "SSH-2.0-OpenSSH_9.2\r\n\r\n")).await;
    check_failure(&server, LONG, FailureClass::Protocol).await;
    let server = Server::start(|stream| {
        answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab")
    })
    .await;
    check_failure(&server, LONG, FailureClass::Protocol).await;
    let server =
        Server::start(|stream| answer(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"))
            .await;
    check_failure(&server, LONG, FailureClass::Protocol).await;
    let server =
        Server::start(|stream| answer_and_close(stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"))
            .await;
    check_failure(&server, LONG, FailureClass::BodyReset).await;
    let server = Server::start(|stream| answer_and_close(stream, "")).await;
    check_failure(&server, LONG, FailureClass::Reset).await;
    let server = Server::start(|stream| async move {
        let mut stream = stream;
        read_request(&mut stream).await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    check_failure(&server, LONG, FailureClass::Reset).await;
}

#[tokio::test]
async fn a_surplus_after_the_answer_never_becomes_the_next_one() {
    let server = Server::start(|stream| {
        answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 418 Smuggled\r\ncontent-length: 0\r\n\r\n")
    })
    .await;
    let client = client();
    for _ in 0..3 {
        assert_eq!(client.send(post(&server.url())).await.unwrap().status, 200);
        settle().await;
    }
}

#[tokio::test]
async fn refused_connections_are_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = client().send(post(&url)).await.unwrap_err();
    assert_eq!(error.class(), FailureClass::ConnectRefused);
    assert_eq!(error.to_string(), "connection refused");
}

/// Gives out one list of answers per lookup.
struct Script(Mutex<VecDeque<Vec<IpAddr>>>);

impl Script {
    fn new<const N: usize>(answers: [&[&str]; N]) -> Arc<Self> {
        let parse = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        Arc::new(Self(Mutex::new(answers.iter().map(|list| parse(list)).collect())))
    }

    fn left(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Resolver for Script {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let next = self.0.lock().unwrap().pop_front();
        Box::pin(async move { next.ok_or_else(|| io::Error::other("no such name")) })
    }
}

#[tokio::test]
async fn a_rebinding_name_reaches_only_the_vetted_address() {
    let policy = EgressPolicy::new(vec!["127.0.0.1/32".parse().unwrap()]);
    let server =
        Server::start(|stream| answer_and_close(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok"))
            .await;
    let names =
        Script::new([&["127.0.0.1"], &["127.0.0.2", "127.0.0.1"], &["127.0.0.2"], &["169.254.169.254"]]);
    let client = HttpClient::with_resolver(&ClientConfig::default(), policy, names.clone()).unwrap();
    let request = post(&format!("http://rebind.test:{}/", server.address.port()));
    for _ in 0..2 {
        let response = client.send(request.clone()).await.unwrap();
        assert_eq!(response.peer, Some(server.address));
        settle().await;
    }
    let texts = ["egress rule loopback", "egress rule metadata"];
    for text in texts {
        let error = client.send(request.clone()).await.unwrap_err();
        assert_eq!(error.class(), FailureClass::Blocked);
        assert!(error.to_string().contains(text), "{error}");
    }
    assert_eq!((server.count(), names.left()), (2, 0));
    let error = client.send(request).await.unwrap_err();
    assert_eq!(
        (error.class(), error.to_string().as_str()),
        (FailureClass::Dns, "host name could not be resolved")
    );
}

#[tokio::test]
async fn a_warm_connection_needs_no_lookup() {
    let server = Server::start(|stream| answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let names = Script::new([&["127.0.0.1"]]);
    let client = HttpClient::with_resolver(&ClientConfig::default(), open_policy(), names).unwrap();
    let request = post(&format!("http://warm.test:{}/", server.address.port()));
    for _ in 0..3 {
        assert_eq!(client.send(request.clone()).await.unwrap().status, 200);
        settle().await;
    }
}

#[tokio::test]
async fn a_dead_first_address_does_not_hide_the_second() {
    let server = Server::start(|stream| answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    // Nothing listens on the server's port at the first address.
    let names = Script::new([&["127.0.0.9", "127.0.0.1"]]);
    let client = HttpClient::with_resolver(&ClientConfig::default(), open_policy(), names).unwrap();
    let response = client.send(post(&format!("http://two.test:{}/", server.address.port()))).await.unwrap();
    assert_eq!(response.peer, Some(server.address));
}

#[tokio::test]
async fn the_default_policy_blocks_loopback_and_vet_says_so_early() {
    let names = Script::new([&["127.0.0.1"], &["::1"]]);
    let client = HttpClient::with_resolver(&ClientConfig::default(), EgressPolicy::default(), names).unwrap();
    let request = post("http://inner.test/");
    assert_eq!(client.vet(&request.target).await.unwrap_err().class(), FailureClass::Blocked);
    assert_eq!(client.send(request).await.unwrap_err().class(), FailureClass::Blocked);
    // A target vetted under a laxer policy is judged again when dialling.
    assert_eq!(client.send(post("http://127.0.0.1:9/")).await.unwrap_err().class(), FailureClass::Blocked);
    let strict = HttpClient::new(&ClientConfig::default(), open_policy().with_https_only()).unwrap();
    let error = strict.send(post("http://127.0.0.1:9/")).await.unwrap_err();
    assert_eq!(error.to_string(), "url scheme must be https");
}

#[tokio::test]
async fn tls_to_a_plain_port_is_a_tls_failure() {
    let server = Server::start(|stream| async move {
        let mut stream = stream;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read_u8().await;
    })
    .await;
    let error = client().send(post(&format!("https://{}/", server.address))).await.unwrap_err();
    assert_eq!(error.class(), FailureClass::Tls, "{error:?}");
}

#[tokio::test]
async fn a_silent_tls_handshake_is_a_connect_timeout() {
    let server = Server::start(|mut stream| async move {
        let mut sink = Vec::new();
        let _ = stream.read_to_end(&mut sink).await;
    })
    .await;
    let config = ClientConfig { connect_timeout: SHORT, ..ClientConfig::default() };
    let client = HttpClient::new(&config, open_policy()).unwrap();
    let error = client.send(post(&format!("https://{}/", server.address))).await.unwrap_err();
    assert_eq!(error.class(), FailureClass::ConnectTimeout);
}

// A P-256 authority and a certificate for `hooks.test` signed by it, made with openssl for these tests only, valid for
// 100 years. The authority's key was not kept.
const AUTHORITY: &[u8] = include_bytes!("fixtures/authority.der");
const LEAF: &[u8] = include_bytes!("fixtures/hooks.test.der");
const LEAF_KEY: &[u8] = include_bytes!("fixtures/hooks.test.key.der");

/// TLS as `hooks.test`, offering the given protocols.
fn tls_acceptor(alpn: &[&str]) -> tokio_rustls::TlsAcceptor {
    let chain = vec![CertificateDer::from(LEAF)];
    acceptor_with(chain, PrivatePkcs8KeyDer::from(LEAF_KEY).into(), alpn)
}

fn acceptor_with(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    alpn: &[&str],
) -> tokio_rustls::TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

/// A TLS server for `hooks.test` that answers with hyper, offering the given protocols.
async fn tls_server(alpn: &[&str]) -> SocketAddr {
    let acceptor = tls_acceptor(alpn);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(tls) = acceptor.accept(stream).await else { continue };
            let service = hyper::service::service_fn(|request: Request<Incoming>| async move {
                let host = request.uri().authority().map(ToString::to_string);
                let host = host.unwrap_or_else(|| format!("{:?}", request.headers()[HOST]));
                body::read_limited(request.into_body(), 1024).await.unwrap();
                Ok::<_, io::Error>(Response::new(Full::new(Bytes::from(host))))
            });
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            tokio::spawn(
                async move { server.serve_connection(TokioIo::new(tls), service).await.map_err(drop) },
            );
        }
    });
    address
}

fn tls_client(roots: &[&'static [u8]], address: &str) -> HttpClient {
    let extra_roots = roots.iter().map(|der| CertificateDer::from(*der)).collect();
    let config = ClientConfig { extra_roots, ..ClientConfig::default() };
    HttpClient::with_resolver(&config, open_policy(), Script::new([&[address], &[address]])).unwrap()
}

#[tokio::test]
async fn tls_speaks_http2_and_http1_by_name() {
    for (alpn, version) in [(&["h2", "http/1.1"][..], Version::HTTP_2), (&["http/1.1"], Version::HTTP_11)] {
        let port = tls_server(alpn).await.port();
        let client = tls_client(&[AUTHORITY], "127.0.0.1");
        for is_first in [true, false] {
            let response = client.send(post(&format!("https://hooks.test:{port}/"))).await.unwrap();
            assert_eq!((response.status.as_u16(), response.version), (200, version));
            assert!(String::from_utf8_lossy(&response.body_head).contains(&format!("hooks.test:{port}")));
            assert_eq!(response.opened.is_some_and(|opening| opening.tls.is_some()), is_first);
            settle().await;
        }
    }
}

#[tokio::test]
async fn tls_refuses_wrong_names_and_unknown_authorities() {
    let port = tls_server(&["h2"]).await.port();
    let cases = [("hooks.test", &[][..]), ("other.test", &[AUTHORITY])];
    for (host, roots) in cases {
        let client = tls_client(roots, "127.0.0.1");
        let error = client.send(post(&format!("https://{host}:{port}/"))).await.unwrap_err();
        assert_eq!(error.class(), FailureClass::Tls, "{host}");
    }
    let config =
        ClientConfig { extra_roots: vec![CertificateDer::from(&b"junk"[..])], ..ClientConfig::default() };
    let error = HttpClient::new(&config, open_policy()).unwrap_err();
    assert_eq!(error.to_string(), "extra root certificate 0 is not usable");
}

#[test]
fn debug_output_holds_no_secrets() {
    let mut request = post("http://127.0.0.1/canary?canary");
    request.headers.insert("authorization", HeaderValue::from_static("canary"));
    request.body = Bytes::from_static(b"canary");
    let response = OutboundResponse {
        status: StatusCode::OK,
        version: Version::HTTP_11,
        headers: request.headers.clone(),
        body_head: request.body.clone(),
        truncated: false,
        trailers: HeaderMap::new(),
        timings: Timings::default(),
        peer: None,
        opened: None,
    };
    let text = format!("{request:?} {response:?}");
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test]
async fn an_expired_certificate_is_a_tls_failure() {
    let chain = CertificateDer::pem_slice_iter(include_bytes!("fixtures/expired.pem")).map(Result::unwrap);
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("fixtures/expired.key.pem")).unwrap();
    let acceptor = acceptor_with(chain.collect(), key, &["http/1.1"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server =
        tokio::spawn(async move { acceptor.accept(listener.accept().await.unwrap().0).await.is_ok() });
    let extra_roots = vec![CertificateDer::from_pem_slice(SECOND.as_bytes()).unwrap()];
    let config = ClientConfig { extra_roots, ..ClientConfig::default() };
    let names = Script::new([&["127.0.0.1"]]);
    let client = HttpClient::with_resolver(&config, open_policy(), names).unwrap();
    let error = client.send(post(&format!("https://hooks.test:{port}/"))).await.unwrap_err();
    assert_eq!(error.class(), FailureClass::Tls);
    assert!(format!("{error:?}").contains("Expired"), "{error:?}");
    assert!(!server.await.unwrap());
}

const CLIENT: &str = include_str!("fixtures/client.pem");
const CLIENT_KEY: &str = include_str!("fixtures/client.key.pem");
/// The authority of the client's certificate and of an expired one, made like the first.
const SECOND: &str = include_str!("fixtures/second.pem");

/// A TLS server for `hooks.test` that talks only to clients of the second authority; counts its connections.
async fn guarded_server() -> (SocketAddr, Arc<AtomicUsize>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(SECOND.as_bytes()).unwrap()).unwrap();
    let clients =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![CertificateDer::from(LEAF)], PrivatePkcs8KeyDer::from(LEAF_KEY).into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let n_open = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&n_open);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, counter) = (acceptor.clone(), Arc::clone(&counter));
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(stream).await else { return };
                counter.fetch_add(1, Ordering::SeqCst);
                let mut block = [0; 4096];
                while tls.read(&mut block).await.is_ok_and(|n_bytes| n_bytes > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    if tls.write_all(answer).await.is_err() || tls.flush().await.is_err() {
                        break;
                    }
                }
                counter.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (address, n_open)
}

fn own(identity: &ClientIdentity) -> OwnTls {
    OwnTls { identity: Some(identity.clone()), authorities: None }
}

#[tokio::test]
async fn an_authority_can_be_trusted_for_one_server_alone() {
    let (address, _) = guarded_server().await;
    let request = post(&format!("https://hooks.test:{}/", address.port()));
    let names = Script::new([&["127.0.0.1"], &["127.0.0.1"]]);
    let plain = HttpClient::with_resolver(&ClientConfig::default(), open_policy(), names).unwrap();
    assert_eq!(plain.send(request.clone()).await.unwrap_err().class(), FailureClass::Tls);
    let authorities = Authorities::from_pem(include_str!("fixtures/authority.pem"));
    assert_eq!(authorities.as_ref().map(|known| known.certificates().len()), Some(1));
    let identity = ClientIdentity::from_pem(CLIENT, CLIENT_KEY).ok();
    let trusting = plain.with_tls(&OwnTls { identity, authorities }).unwrap();
    assert_eq!(trusting.send(request).await.unwrap().status, 200);
    assert!(Authorities::from_pem("none").is_none());
}

#[tokio::test]
async fn an_identity_is_shown_by_a_client_of_its_own() {
    let (address, n_open) = guarded_server().await;
    let request = post(&format!("https://hooks.test:{}/", address.port()));
    let config =
        ClientConfig { extra_roots: vec![CertificateDer::from(AUTHORITY)], ..ClientConfig::default() };
    let names = Script::new([&["127.0.0.1"], &["127.0.0.1"], &["127.0.0.1"]]);
    let plain = HttpClient::with_resolver(&config, open_policy(), names).unwrap();
    let error = plain.send(request.clone()).await.unwrap_err();
    assert_eq!(error.class(), FailureClass::Tls, "{error:?}");

    let identity = ClientIdentity::from_pem(CLIENT, CLIENT_KEY).unwrap();
    let first = plain.with_tls(&own(&identity)).unwrap();
    let second = plain.with_tls(&own(&ClientIdentity::from_pem(CLIENT, CLIENT_KEY).unwrap())).unwrap();
    assert!(Arc::ptr_eq(&first, &second), "equal identities share a client");
    for client in [&first, &second] {
        assert_eq!(client.send(request.clone()).await.unwrap().status, 200);
        settle().await;
    }
    assert_eq!(n_open.load(Ordering::SeqCst), 1, "and its connection");
    assert_eq!(plain.others.by_tls.lock().len(), 1);
    drop((first, second));
    // Whoever lets the last one go closes its connections.
    tokio::time::timeout(LONG, async {
        while n_open.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let anew = plain.with_tls(&own(&identity)).unwrap();
    assert_eq!(plain.others.by_tls.lock().len(), 1);
    assert_eq!(anew.send(request).await.unwrap().status, 200);
}

#[tokio::test]
async fn idle_connections_are_closed_in_time() {
    let (closed, mut n_closed) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let closed = closed.clone();
            tokio::spawn(async move {
                answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                closed.send(()).unwrap();
            });
        }
    });
    let config = ClientConfig { idle_timeout: Duration::from_millis(30), ..ClientConfig::default() };
    let client = HttpClient::new(&config, open_policy()).unwrap();
    for _ in 0..2 {
        assert!(client.send(post(&url)).await.unwrap().opened.is_some());
        // The server sees the end although nobody asks the client for anything.
        n_closed.recv().await.unwrap();
    }
}

#[tokio::test]
async fn no_more_connections_are_kept_than_asked_for() {
    let server = Server::start(|stream| answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let config = ClientConfig { max_idle_per_host: 1, ..ClientConfig::default() };
    let client = HttpClient::new(&config, open_policy()).unwrap();
    for n_opened in [2, 1] {
        let url = server.url();
        let (first, second) = tokio::join!(client.send(post(&url)), client.send(post(&url)));
        let opened =
            [first.unwrap(), second.unwrap()].iter().filter(|answer| answer.opened.is_some()).count();
        assert_eq!(opened, n_opened);
    }
    assert_eq!(server.count(), 3);
}
