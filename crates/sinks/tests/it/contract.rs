//! What holds for every kind that uses the network, against peers that misbehave in every way.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use trunkline_connect::EgressPolicy;
use trunkline_sinks::{KINDS, Reach, SinkFactory, SinkLimits};

use crate::rig::{LONG, Peer, all_text, context, factory, loopback, message, send, settings};

/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(300);

/// Settings of a kind for a place, with a canary for every secret.
fn value(kind: &str, host: &str, port: u16) -> Value {
    match kind {
        "redis" => json!({"host": host, "port": port, "tls": false, "password": "canary"}),
        "amqp" => json!({"host": host, "port": port, "tls": false, "username": "u", "password": "canary"}),
        "nats" => json!({"host": host, "port": port, "tls": false, "token": "canary"}),
        "s3" => json!({
            "endpoint": format!("http://{host}:{port}"), "bucket": "b", "access_key_id": "k",
            "secret_access_key": "canary", "session_token": "canary",
        }),
        other => panic!("the contract does not know the kind {other}"),
    }
}

fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().filter(|kind| kind.reach == Reach::Network).map(|kind| kind.name)
}

/// The class of what a send to `host` meets; sees to it that no text shows a secret.
async fn class_of(factory: &SinkFactory, kind: &str, host: &str, port: u16) -> &'static str {
    let sink = factory.open(&settings(kind, &value(kind, host, port)));
    let mut message = message("evt_1");
    message.timeout = SHORT;
    let error = sink.send(message).await.unwrap_err();
    let text = all_text(&error);
    assert!(!text.contains("canary"), "{kind}: {text}");
    error.class()
}

async fn check_peer(peer: &Peer, expect: &[&str]) {
    for kind in kinds() {
        let class = class_of(&factory(), kind, "127.0.0.1", peer.port).await;
        assert!(expect.contains(&class), "{kind}: {class}");
    }
    assert!(peer.count() > 0);
}

#[tokio::test]
async fn blocked_addresses_are_not_connected_to() {
    let peer = Peer::start(|_| async {}).await;
    let names = [("inner.test", "127.0.0.1"), ("metadata.test", "169.254.169.254")];
    let factory = SinkFactory::new(context(EgressPolicy::default(), &names)).unwrap();
    for kind in kinds() {
        for host in ["127.0.0.1", "inner.test", "metadata.test", "10.1.2.3", "0x7f.1", "2130706433"] {
            assert_eq!(class_of(&factory, kind, host, peer.port).await, "blocked", "{kind} {host}");
            let vetted = factory.vet(&settings(kind, &value(kind, host, peer.port))).await;
            let text = vetted.unwrap_err().to_string();
            assert!(text.contains("egress rule"), "{kind} {host}: {text}");
        }
    }
    assert_eq!(peer.count(), 0);
}

#[tokio::test]
async fn unknown_names_and_closed_ports_have_their_classes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for kind in kinds() {
        assert_eq!(class_of(&factory(), kind, "gone.test", port).await, "dns", "{kind}");
        assert_eq!(class_of(&factory(), kind, "127.0.0.1", port).await, "connect_refused", "{kind}");
    }
}

#[tokio::test]
async fn plaintext_is_blocked_where_the_policy_asks_for_tls() {
    let peer = Peer::start(|_| async {}).await;
    let factory = SinkFactory::new(context(loopback().with_https_only(), &[])).unwrap();
    for kind in kinds() {
        assert_eq!(class_of(&factory, kind, "127.0.0.1", peer.port).await, "blocked", "{kind}");
    }
    assert_eq!(peer.count(), 0);
}

#[tokio::test]
async fn a_silent_peer_costs_the_timeout_and_no_more() {
    let peer = Peer::start(|mut stream| async move {
        let mut sink = Vec::new();
        stream.read_to_end(&mut sink).await.ok();
    })
    .await;
    check_peer(&peer, &["connect_timeout", "timeout"]).await;
}

#[tokio::test]
async fn a_silent_peer_is_hung_up_on() {
    let (hung_up, mut count) = tokio::sync::mpsc::unbounded_channel();
    let peer = Peer::start(move |mut stream| {
        let hung_up = hung_up.clone();
        async move {
            let mut sink = Vec::new();
            stream.read_to_end(&mut sink).await.ok();
            hung_up.send(()).unwrap();
        }
    })
    .await;
    let mut context = context(loopback(), &[]);
    let [resolve_timeout, connect_timeout, handshake_timeout] = [SHORT; 3];
    context.limits = SinkLimits { resolve_timeout, connect_timeout, handshake_timeout, ..context.limits };
    let factory = SinkFactory::new(context).unwrap();
    for kind in kinds() {
        class_of(&factory, kind, "127.0.0.1", peer.port).await;
        tokio::time::timeout(LONG, count.recv()).await.expect(kind);
    }
}

#[tokio::test]
async fn a_closing_peer_is_a_reset() {
    let peer = Peer::start(|stream| async { drop(stream) }).await;
    check_peer(&peer, &["reset"]).await;
}

async fn talk(mut stream: TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.ok();
    let mut sink = Vec::new();
    stream.read_to_end(&mut sink).await.ok();
}

#[tokio::test]
async fn another_protocol_is_told_apart() {
    let peer = Peer::start(|stream| talk(stream, "220 mail.example.org ESMTP ready\r\n")).await;
    // To HTTP, bytes before the request are a reset.
    check_peer(&peer, &["protocol", "reset"]).await;
    for kind in ["redis", "amqp", "nats"] {
        assert_eq!(class_of(&factory(), kind, "127.0.0.1", peer.port).await, "protocol", "{kind}");
    }
}

#[tokio::test]
async fn a_flood_ends_with_the_connection() {
    for (start, more) in
        [("", "x"), ("*1000000000\r\n", ":1\r\n"), ("$2000000000\r\n", "y"), ("", "PING\r\n")]
    {
        let peer = Peer::start(move |mut stream| async move {
            stream.write_all(start.as_bytes()).await.ok();
            let block = more.repeat(4096);
            while stream.write_all(block.as_bytes()).await.is_ok() {}
        })
        .await;
        check_peer(&peer, &["protocol", "reset", "connect_timeout"]).await;
    }
}

/// Answers with everything it was sent, as an error of the kind.
async fn echo(mut stream: TcpStream) {
    stream.write_all(b"INFO {\"headers\":true}\r\n").await.ok();
    answer_with_echo(stream).await;
}

async fn answer_with_echo(mut stream: TcpStream) {
    let mut block = vec![0; 16 * 1024];
    while let Ok(n_bytes @ 1..) = stream.read(&mut block).await {
        let said = String::from_utf8_lossy(&block[..n_bytes]).replace("\r\n", " ");
        let body = format!("<Error><Code>canary</Code><Message>{said} canary</Message></Error>");
        let http = format!("HTTP/1.1 403 canary\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let answer =
            if said.starts_with("PUT") { http } else { format!("-ERR '{said} canary'\r\n").repeat(8) };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn secrets_that_a_peer_echoes_are_not_shown() {
    let plain = Peer::start(answer_with_echo).await;
    check_peer(&plain, &["auth", "refused", "protocol", "reset", "connect_timeout"]).await;
    let greeting = Peer::start(echo).await;
    check_peer(&greeting, &["auth", "refused", "protocol", "reset", "connect_timeout"]).await;
}

#[tokio::test]
async fn a_plain_peer_fails_the_tls_handshake() {
    let peer = Peer::start(|stream| talk(stream, "220 mail.example.org ESMTP ready\r\n")).await;
    for kind in ["redis", "amqp", "s3"] {
        let mut value = value(kind, "127.0.0.1", peer.port);
        match kind {
            "s3" => value["endpoint"] = format!("https://127.0.0.1:{}", peer.port).into(),
            _ => value["tls"] = true.into(),
        }
        let sink = factory().open(&settings(kind, &value));
        assert_eq!(send(&sink, "evt_1").await.unwrap_err().class(), "tls", "{kind}");
    }
}

#[tokio::test]
async fn unusable_ids_are_refused_for_good() {
    let peer = Peer::start(|_| async {}).await;
    for kind in kinds() {
        let sink = factory().open(&settings(kind, &value(kind, "127.0.0.1", peer.port)));
        for id in ["", "a b", "a\r\nb", "ä", &"x".repeat(257)] {
            let error = send(&sink, id).await.unwrap_err();
            assert_eq!((error.class(), error.is_permanent()), ("refused", true), "{kind} {id:?}");
        }
    }
    assert_eq!(peer.count(), 0);
}

#[tokio::test]
async fn equal_settings_share_a_sink_while_somebody_holds_it() {
    let factory = factory();
    let open = |port| factory.open(&settings("redis", &value("redis", "127.0.0.1", port)));
    let (one, same, other) = (open(1), open(1), open(2));
    assert!(std::sync::Arc::ptr_eq(&one, &same) && !std::sync::Arc::ptr_eq(&one, &other));
    let weak = std::sync::Arc::downgrade(&one);
    drop((one, same));
    assert!(weak.upgrade().is_none());
}
