//! NATS on a real server with JetStream.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::{Value, json};
use trunkline_sinks::SinkError;

use crate::rig::{message, open, send, unique};
use crate::servers::{NatsAdmin, Server};

fn value(subject: &str) -> Value {
    let mut value = Server::Nats.value(None);
    value["subject"] = subject.into();
    value
}

#[tokio::test]
async fn a_stream_stores_the_event_once() {
    if !Server::Nats.is_there() {
        return;
    }
    let (mut admin, stream) = (NatsAdmin::connect().await, unique("TL_SINKS"));
    admin.make_stream(&stream).await;
    let mut value = value(&format!("{stream}.{{tenant}}.{{type}}"));
    value["stream"] = json!(stream);
    let sink = open("nats", &value);
    assert_eq!(send(&sink, "evt_1").await.unwrap().text, format!("stream {stream} seq 1"));
    assert_eq!(send(&sink, "evt_1").await.unwrap().text, format!("stream {stream} seq 1, a repeat"));
    assert_eq!(send(&sink, "evt_2").await.unwrap().text, format!("stream {stream} seq 2"));
    let stored = admin.call(&format!("STREAM.MSG.GET.{stream}"), &json!({"seq": 1})).await;
    let stored = &stored["message"];
    assert_eq!(stored["subject"], format!("{stream}.default.order.paid"));
    let text =
        |name: &str| String::from_utf8(BASE64.decode(stored[name].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(text("data").as_bytes(), message("evt_1").body);
    let expect = format!(
        "NATS/1.0\r\nNats-Msg-Id: evt_1\r\nNats-Expected-Stream: {stream}\r\ncontent-type: application/json\r\n\
         webhook-signature: v1,c2lnbmVk\r\n\r\n"
    );
    assert_eq!(text("hdrs"), expect);
    admin.drop_stream(&stream).await;
}

#[tokio::test]
async fn many_events_are_acknowledged_one_by_one() {
    if !Server::Nats.is_there() {
        return;
    }
    let (mut admin, stream) = (NatsAdmin::connect().await, unique("TL_SINKS"));
    admin.make_stream(&stream).await;
    let sink = open("nats", &value(&format!("{stream}.{{type}}")));
    let ids: Vec<String> = (0..500).map(|n| format!("evt_{n}")).collect();
    let receipts = futures_util::future::join_all(ids.iter().map(|id| send(&sink, id))).await;
    let mut texts: Vec<String> = receipts.into_iter().map(|receipt| receipt.unwrap().text).collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), 500);
    admin.drop_stream(&stream).await;
}

#[tokio::test]
async fn no_stream_and_another_stream_are_refused() {
    if !Server::Nats.is_there() {
        return;
    }
    let (mut admin, stream) = (NatsAdmin::connect().await, unique("TL_SINKS"));
    let subject = format!("{stream}.{{type}}");
    let sink = open("nats", &value(&subject));
    let error = send(&sink, "evt_1").await.unwrap_err();
    assert_eq!((error.class(), error.is_permanent()), ("refused", false), "{error}");
    assert!(error.to_string().contains("no responders"), "{error}");
    admin.make_stream(&stream).await;
    send(&sink, "evt_1").await.unwrap();
    let mut value = value(&subject);
    value["stream"] = json!("TL_OTHER");
    let error = send(&open("nats", &value), "evt_2").await.unwrap_err();
    assert_eq!(error.class(), "refused", "{error}");
    assert!(error.to_string().contains("10060"), "{error}");
    admin.drop_stream(&stream).await;
}

#[tokio::test]
async fn messages_beyond_the_limits_are_too_large() {
    if !Server::Nats.is_there() {
        return;
    }
    let (mut admin, stream) = (NatsAdmin::connect().await, unique("TL_SINKS"));
    admin.make_stream(&stream).await;
    let sink = open("nats", &value(&format!("{stream}.{{type}}")));
    // Beyond the stream's limit, beyond the server's.
    for n_bytes in [5000, 64 << 20] {
        let mut large = message("evt_1");
        large.body = Bytes::from(vec![b'x'; n_bytes]);
        let error = sink.send(large).await.unwrap_err();
        assert!(matches!(error, SinkError::TooLarge { .. }), "{error}");
    }
    send(&sink, "evt_2").await.unwrap();
    admin.drop_stream(&stream).await;
}

#[tokio::test]
async fn core_mode_reaches_subscribers_of_the_moment() {
    if !Server::Nats.is_there() {
        return;
    }
    let (mut admin, subject) = (NatsAdmin::connect().await, unique("tl_core"));
    let mut value = value(&format!("{subject}.{{type}}"));
    value["mode"] = json!("core");
    let sink = open("nats", &value);
    assert_eq!(send(&sink, "evt_0").await.unwrap().text, format!("taken, subject {subject}.order.paid"));
    admin.subscribe(&format!("{subject}.>")).await;
    send(&sink, "evt_1").await.unwrap();
    let (line, content) = admin.headed_message().await;
    assert!(line.starts_with(&format!("HMSG {subject}.order.paid 7 ")), "{line}");
    let (head, body) = content.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Nats-Msg-Id: evt_1"), "{head}");
    assert_eq!(body.as_bytes(), message("evt_1").body);
}
