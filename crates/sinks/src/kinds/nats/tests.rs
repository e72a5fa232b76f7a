//! The NATS client against scripted servers: what real ones say only when they are set up for it.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use trunkline_connect::{EgressPolicy, Resolver, client_tls};

use super::*;
use crate::kept::Link as _;

const AUTHORITY: &[u8] = include_bytes!("../../../../connect/src/client/fixtures/authority.der");
const LEAF: &[u8] = include_bytes!("../../../../connect/src/client/fixtures/hooks.test.der");
const LEAF_KEY: &[u8] = include_bytes!("../../../../connect/src/client/fixtures/hooks.test.key.der");

const INFO: &str = "INFO {\"max_payload\":1024,\"headers\":true}\r\n";

/// A server that greets with `greeting`, answers the login with `welcome` and each frame as `answer` says, given the
/// line of the frame.
async fn server(greeting: &'static str, welcome: &'static str, answer: fn(&str) -> String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, greeting, welcome, answer));
        }
    });
    port
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    greeting: &str,
    welcome: &str,
    answer: fn(&str) -> String,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(greeting.as_bytes()).await.ok()?;
    let mut line = String::new();
    while stream.read_line(&mut line).await.ok()? > 0 {
        let reply = match line.split(' ').next()? {
            "PING\r\n" => welcome.to_owned(),
            "HPUB" => answer(&line),
            _ => String::new(),
        };
        stream.write_all(reply.as_bytes()).await.ok()?;
        line.clear();
    }
    Some(())
}

/// Every name is this machine.
struct Here;

impl Resolver for Here {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, std::io::Result<Vec<IpAddr>>> {
        Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) })
    }
}

async fn open(port: u16, login: &Login) -> Result<Client, SinkError> {
    open_at("127.0.0.1", port, login, false).await
}

async fn open_at(host: &str, port: u16, login: &Login, tls: bool) -> Result<Client, SinkError> {
    let egress = EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let limit = Duration::from_secs(5);
    let guarded = trunkline_connect::Dialer::new(egress, Arc::new(Here), limit, limit);
    let dialer = Dialer::new(guarded, client_tls(&[CertificateDer::from(AUTHORITY)], None).unwrap());
    let place = Place { host: host.to_owned(), port };
    Client::open(Handshake {
        dialer: &dialer,
        place: &place,
        tls,
        tls_first: false,
        login,
        wants_replies: true,
    })
    .await
}

fn reply_subject(line: &str) -> &str {
    line.split(' ').nth(2).unwrap()
}

fn ack(line: &str, json: &str) -> String {
    format!("MSG {} 1 {}\r\n{json}\r\n", reply_subject(line), json.len())
}

async fn request(client: &Client, body: &'static [u8]) -> Result<Reply, SinkError> {
    client.request("a.b", b"NATS/1.0\r\n\r\n", Bytes::from_static(body)).await
}

#[tokio::test]
async fn answers_find_their_requests() {
    let port = server(INFO, "PONG\r\n", |line| ack(line, reply_subject(line))).await;
    let client = open(port, &Login::None).await.unwrap();
    let requests = (0..20).map(|_| request(&client, b"x"));
    let replies = futures_util::future::join_all(requests).await;
    let mut subjects: Vec<_> = replies.into_iter().map(|reply| format!("{:?}", reply.unwrap())).collect();
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), 20);
}

#[tokio::test]
async fn nobody_listening_is_told_apart() {
    let answer = |line: &str| format!("HMSG {} 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", reply_subject(line));
    let client = open(server(INFO, "PONG\r\n", answer).await, &Login::None).await.unwrap();
    assert_eq!(request(&client, b"x").await.unwrap(), Reply::NoResponders);
    assert!(client.is_usable());
}

#[tokio::test]
async fn a_denied_subject_fails_its_sends_and_keeps_the_connection() {
    let answer = |_: &str| "-ERR 'Permissions Violation for Publish to \"a.b\"'\r\n".to_owned();
    let client = open(server(INFO, "PONG\r\n", answer).await, &Login::None).await.unwrap();
    for _ in 0..2 {
        assert_eq!(request(&client, b"x").await.unwrap_err().class(), "auth");
        let published = client.publish("a.b", b"NATS/1.0\r\n\r\n", Bytes::new()).await;
        assert_eq!(published.unwrap_err().class(), "auth");
    }
    assert!(client.is_usable());
}

#[tokio::test]
async fn wrong_credentials_are_auth_and_are_not_repeated() {
    let welcome = "-ERR 'Authorization Violation for canary'\r\n";
    let port = server(INFO, welcome, |_| String::new()).await;
    let login = Login::Token(Secret::new("canary"));
    let error = open(port, &login).await.map(drop).unwrap_err();
    assert_eq!(error.class(), "auth");
    assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
}

#[tokio::test]
async fn a_message_beyond_the_servers_limit_is_not_sent() {
    let client = open(server(INFO, "PONG\r\n", |_| String::new()).await, &Login::None).await.unwrap();
    let error = request(&client, &[0; 1024]).await.unwrap_err();
    assert!(matches!(error, SinkError::TooLarge { limit_bytes: Some(1024), .. }), "{error}");
}

#[tokio::test]
async fn noise_ends_the_connection_and_every_wait() {
    let client =
        open(server(INFO, "PONG\r\n", |_| "noise\r\n".to_owned()).await, &Login::None).await.unwrap();
    let sends = futures_util::future::join_all((0..3).map(|_| request(&client, b"x"))).await;
    for sent in sends {
        assert_eq!(sent.unwrap_err().class(), "protocol");
    }
    assert!(!client.is_usable());
    assert_eq!(request(&client, b"x").await.unwrap_err().class(), "protocol");
}

#[tokio::test]
async fn a_server_about_to_stop_gets_no_more_messages() {
    let answer = |line: &str| format!("INFO {{\"headers\":true,\"ldm\":true}}\r\n{}", ack(line, "{}"));
    let client = open(server(INFO, "PONG\r\n", answer).await, &Login::None).await.unwrap();
    assert!(client.is_usable());
    request(&client, b"x").await.unwrap();
    assert!(!client.is_usable());
}

#[tokio::test]
async fn greetings_that_do_not_fit_are_refused() {
    let check = async |greeting, class: &str| {
        let port = server(greeting, "PONG\r\n", |_| String::new()).await;
        let error = open(port, &Login::None).await.map(drop).unwrap_err();
        assert_eq!(error.class(), class, "{greeting}: {error}");
    };
    check("INFO {\"headers\":true,\"tls_required\":true}\r\n", "refused").await;
    check("INFO {\"headers\":false}\r\n", "refused").await;
    check("PING\r\n", "protocol").await;
    check("220 mail.example.org ESMTP\r\n", "protocol").await;
}

/// A server that greets in plain text with `greeting` and goes on in TLS.
async fn upgrading_server(greeting: &'static str) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(LEAF)], PrivatePkcs8KeyDer::from(LEAF_KEY).into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(greeting.as_bytes()).await.ok();
            if let Ok(tls) = acceptor.accept(stream).await {
                serve(tls, "", "PONG\r\n", |line| ack(line, "{}")).await;
            }
        }
    });
    port
}

#[tokio::test]
async fn tls_starts_after_the_greeting_and_verifies_the_name() {
    let greeting = "INFO {\"headers\":true,\"tls_required\":true}\r\n";
    let port = upgrading_server(greeting).await;
    let client = open_at("hooks.test", port, &Login::None, true).await.unwrap();
    request(&client, b"x").await.unwrap();
    drop(client);
    let check = async |host, port, class: &str| {
        let error = open_at(host, port, &Login::None, true).await.map(drop).unwrap_err();
        assert_eq!(error.class(), class, "{host}: {error}");
    };
    check("other.test", port, "tls").await;
    let early = "INFO {\"headers\":true,\"tls_required\":true}\r\nINFO {}\r\n";
    check("hooks.test", upgrading_server(early).await, "protocol").await;
    check("hooks.test", server(INFO, "PONG\r\n", |_| String::new()).await, "refused").await;
}

#[test]
fn acknowledgements_become_receipts_or_reasons() {
    let sink = NatsSettings {
        place: Place { host: "n".to_owned(), port: 1 },
        tls: false,
        tls_first: false,
        mode: Mode::JetStream,
        subject: Template::parse("a").unwrap(),
        stream: None,
        login: Login::Token(Secret::new("canary")),
    };
    let check = |json: &str, expect: Result<&str, &str>| {
        let judged = sink.judge_ack(json.as_bytes(), 9);
        let judged = judged.as_ref().map(|receipt| receipt.text.as_str()).map_err(|error| {
            assert!(!error.to_string().contains("canary"), "{error}");
            error.class()
        });
        assert_eq!(judged, expect, "{json}");
    };
    check(r#"{"stream":"S","seq":7}"#, Ok("stream S seq 7"));
    check(r#"{"stream":"S","seq":7,"duplicate":true}"#, Ok("stream S seq 7, a repeat"));
    check(r#"{"error":{"code":400,"err_code":10060,"description":"canary"}}"#, Err("refused"));
    check(r#"{"error":{"code":400,"err_code":10054,"description":"x"}}"#, Err("too_large"));
    check(r#"{"stream":"S"}"#, Err("protocol"));
    check("hello", Err("protocol"));
}
