//! Brokers that go away and come back: no restart of the hub, no reconnecting in the background, one connection per sink.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use trunkline_sinks::{Sink, SinkFactory, SinkLimits};
use trunkline_testkit::Proxy;

use crate::rig::{LONG, context, factory, loopback, message, send, settings, unique};
use crate::servers::Server;

const SERVERS: [Server; 3] = [Server::Redis, Server::RabbitMq, Server::Nats];

/// Settings under which a send through the proxy succeeds and leaves nothing behind.
fn value(server: Server, proxy: &Proxy) -> Value {
    let mut value = server.value(Some(proxy.port));
    value["host"] = json!("127.0.0.1");
    match server {
        Server::Redis => value["stream"] = json!(unique("tl_sinks")),
        Server::RabbitMq => {
            value["routing_key"] = json!(unique("tl_nowhere"));
            value["mandatory"] = json!(false);
        }
        Server::Nats => value["mode"] = json!("core"),
    }
    value
}

async fn tidy(value: &Value) {
    if let Some(stream) = value["stream"].as_str() {
        redis::AsyncCommands::del::<_, ()>(&mut crate::servers::redis().await, stream).await.unwrap();
    }
}

/// Sends until one send succeeds; the pauses between attempts to connect are short.
async fn send_until_taken(sink: &Arc<dyn Sink>) {
    let sending = async {
        while send(sink, "evt_2").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, sending).await.expect("the sink did not heal");
}

#[tokio::test]
async fn concurrent_sends_share_one_connection() {
    for server in SERVERS.into_iter().filter(|server| server.is_there()) {
        let proxy = Proxy::start(server.host_and_port()).await;
        let value = value(server, &proxy);
        let sink = factory().open(&settings(server.kind(), &value));
        for sent in futures_util::future::join_all((0..50).map(|_| send(&sink, "evt_1"))).await {
            sent.unwrap();
        }
        assert_eq!(proxy.count(), 1, "{server:?}");
        drop(sink);
        proxy.wait_for_open(0).await;
        tidy(&value).await;
    }
}

#[tokio::test]
async fn a_cut_connection_is_replaced() {
    for server in SERVERS.into_iter().filter(|server| server.is_there()) {
        let proxy = Proxy::start(server.host_and_port()).await;
        let value = value(server, &proxy);
        let sink = factory().open(&settings(server.kind(), &value));
        for round in 1..=3 {
            send_until_taken(&sink).await;
            assert_eq!(proxy.count(), round, "{server:?}");
            proxy.cut();
            proxy.wait_for_open(0).await;
        }
        tidy(&value).await;
    }
}

#[tokio::test]
async fn a_broker_that_comes_back_is_used_again() {
    for server in SERVERS.into_iter().filter(|server| server.is_there()) {
        let mut proxy = Proxy::start(server.host_and_port()).await;
        let value = value(server, &proxy);
        let sink = factory().open(&settings(server.kind(), &value));
        send(&sink, "evt_1").await.unwrap();
        proxy.shut().await;
        proxy.wait_for_open(0).await;
        let refused = async {
            while send(&sink, "evt_1").await.unwrap_err().class() != "connect_refused" {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, refused).await.expect("the outage was not noticed");
        proxy.reopen().await;
        send_until_taken(&sink).await;
        assert_eq!(proxy.count(), 2, "{server:?}");
        tidy(&value).await;
    }
}

#[tokio::test]
async fn a_connection_that_went_silent_is_given_up_after_one_timeout() {
    for server in SERVERS.into_iter().filter(|server| server.is_there()) {
        let proxy = Proxy::start(server.host_and_port()).await;
        let value = value(server, &proxy);
        let sink = factory().open(&settings(server.kind(), &value));
        send(&sink, "evt_1").await.unwrap();
        proxy.freeze();
        let mut lost = message("evt_2");
        lost.timeout = Duration::from_millis(200);
        assert_eq!(sink.send(lost).await.unwrap_err().class(), "timeout", "{server:?}");
        send(&sink, "evt_3").await.unwrap();
        assert_eq!(proxy.count(), 2, "{server:?}");
        tokio::time::timeout(LONG, proxy.wait_for_open(1)).await.expect("the lost connection stays open");
        tidy(&value).await;
    }
}

#[tokio::test]
async fn idle_connections_are_closed() {
    for server in SERVERS.into_iter().filter(|server| server.is_there()) {
        let proxy = Proxy::start(server.host_and_port()).await;
        let value = value(server, &proxy);
        let mut context = context(loopback(), &[]);
        context.limits = SinkLimits { idle_timeout: Duration::from_millis(50), ..context.limits };
        let sink = SinkFactory::new(context).unwrap().open(&settings(server.kind(), &value));
        send(&sink, "evt_1").await.unwrap();
        tokio::time::timeout(LONG, proxy.wait_for_open(0)).await.expect("the connection stays open");
        send(&sink, "evt_2").await.unwrap();
        assert_eq!(proxy.count(), 2, "{server:?}");
        tidy(&value).await;
    }
}
