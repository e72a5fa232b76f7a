//! Redis streams on a real server.

use std::collections::HashMap;

use redis::AsyncCommands as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::rig::{Peer, all_text, message, open, send, unique};
use crate::servers::{self, Server};

fn value(stream: &str) -> Value {
    let mut value = Server::Redis.value(None);
    value["stream"] = stream.into();
    value
}

/// Every entry of a stream: its id, then names and values in turn.
async fn entries(stream: &str) -> Vec<(String, Vec<String>)> {
    let mut range = redis::cmd("XRANGE");
    range.arg(stream).arg("-").arg("+").query_async(&mut servers::redis().await).await.unwrap()
}

async fn forget(stream: &str) {
    servers::redis().await.del::<_, ()>(stream).await.unwrap();
}

#[tokio::test]
async fn an_event_becomes_one_entry_with_its_fields() {
    if !Server::Redis.is_there() {
        return;
    }
    let prefix = unique("tl_sinks");
    let sink = open("redis", &value(&format!("{prefix}:{{tenant}}:{{type}}")));
    let receipt = send(&sink, "evt_1").await.unwrap();
    let stream = format!("{prefix}:default:order.paid");
    let entries = entries(&stream).await;
    assert_eq!(receipt.text, format!("{stream} {}", entries[0].0));
    let fields: HashMap<&str, &str> =
        entries[0].1.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
    let message = message("evt_1");
    let expect = [
        ("id", "evt_1"),
        ("type", "order.paid"),
        ("tenant", "default"),
        ("subject", "order/7"),
        ("time", "2026-01-31T12:00:00Z"),
        ("content_type", "application/json"),
        ("data", std::str::from_utf8(&message.body).unwrap()),
        ("header:webhook-signature", "v1,c2lnbmVk"),
    ];
    assert_eq!(fields, HashMap::from(expect));
    forget(&stream).await;
}

#[tokio::test]
async fn streams_are_trimmed_and_sends_share_a_connection() {
    if !Server::Redis.is_there() {
        return;
    }
    let stream = unique("tl_sinks");
    let mut value = value(&stream);
    value["max_len"] = json!(100);
    let sink = open("redis", &value);
    let ids: Vec<String> = (0..1000).map(|n| format!("evt_{n}")).collect();
    let sends = ids.iter().map(|id| send(&sink, id));
    for sent in futures_util::future::join_all(sends).await {
        sent.unwrap();
    }
    let n_entries = entries(&stream).await.len();
    assert!((100..400).contains(&n_entries), "{n_entries} entries");
    forget(&stream).await;
}

#[tokio::test]
async fn a_key_of_another_type_is_refused_for_good() {
    if !Server::Redis.is_there() {
        return;
    }
    let stream = unique("tl_sinks");
    servers::redis().await.set::<_, _, ()>(&stream, "text").await.unwrap();
    let sink = open("redis", &value(&stream));
    let error = send(&sink, "evt_1").await.unwrap_err();
    assert_eq!((error.class(), error.is_permanent()), ("refused", true), "{error}");
    assert!(error.to_string().contains("WRONGTYPE"), "{error}");
    forget(&stream).await;
    send(&sink, "evt_1").await.unwrap();
    forget(&stream).await;
}

#[tokio::test]
async fn credentials_and_permissions_are_auth() {
    if !Server::Redis.is_there() {
        return;
    }
    let (stream, user) = (unique("tl_sinks"), unique("tl_user"));
    let mut admin = servers::redis().await;
    let setuser = |rules: &[&str]| {
        let mut cmd = redis::cmd("ACL");
        cmd.arg("SETUSER").arg(&user).arg(rules);
        cmd
    };
    let rules = ["on", ">right-canary", "~tl_sinks*", "+xadd", "+client", "+select"];
    setuser(&rules).query_async::<()>(&mut admin).await.unwrap();
    let mut value = value(&stream);
    value["username"] = json!(user);
    for (password, may_add, expect) in
        [("wrong-canary", true, "auth"), ("right-canary", true, "sent"), ("right-canary", false, "auth")]
    {
        let rule = if may_add { "+xadd" } else { "-xadd" };
        setuser(&[rule]).query_async::<()>(&mut admin).await.unwrap();
        value["password"] = json!(password);
        let sent = send(&open("redis", &value), "evt_1").await;
        let class = sent.as_ref().map_or_else(trunkline_sinks::SinkError::class, |_| "sent");
        assert_eq!(class, expect, "{sent:?}");
        assert!(!sent.is_err_and(|error| all_text(&error).contains("canary")));
    }
    redis::cmd("ACL").arg("DELUSER").arg(&user).query_async::<()>(&mut admin).await.unwrap();
    forget(&stream).await;
}

#[tokio::test]
async fn redirects_of_a_cluster_are_not_followed() {
    let elsewhere = Peer::start(|_| async {}).await;
    let port = elsewhere.port;
    let node = Peer::start(move |mut stream| async move {
        let mut block = vec![0; 16 * 1024];
        while let Ok(n_bytes @ 1..) = stream.read(&mut block).await {
            let n_commands = String::from_utf8_lossy(&block[..n_bytes]).matches("\r\n$").count().max(1);
            let moved = block[..n_bytes].windows(4).any(|word| word == b"XADD");
            let answer =
                if moved { format!("-MOVED 1 127.0.0.1:{port}\r\n") } else { "+OK\r\n".repeat(n_commands) };
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await;
    let sink = open("redis", &json!({"host": "127.0.0.1", "port": node.port, "tls": false}));
    let error = send(&sink, "evt_1").await.unwrap_err();
    assert_eq!((error.class(), error.is_permanent()), ("refused", false), "{error}");
    assert!(error.to_string().contains("MOVED"), "{error}");
    assert_eq!(elsewhere.count(), 0);
}
