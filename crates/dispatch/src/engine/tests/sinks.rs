//! Endpoints that are no URL: a broker that is down, comes back, or will never take a message; what is refused.

use std::net::ToSocketAddrs as _;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use trunkline_testkit::Proxy;

use super::*;
use crate::endpoint::{EndpointKind, SinkFields};

struct Broker {
    kind: EndpointKind,
    name: &'static str,
    port: u16,
}

const REDIS: Broker = Broker { kind: EndpointKind::Redis, name: "REDIS", port: 6379 };
const RABBITMQ: Broker = Broker { kind: EndpointKind::Amqp, name: "RABBITMQ", port: 5672 };
const NATS: Broker = Broker { kind: EndpointKind::Nats, name: "NATS", port: 4222 };

impl Broker {
    /// Whether it answers on this machine; says that the test is skipped when it does not.
    fn is_there(&self) -> bool {
        let address = ("127.0.0.1", self.port).to_socket_addrs().unwrap().next().unwrap();
        if std::net::TcpStream::connect_timeout(&address, Duration::from_secs(3)).is_ok() {
            return true;
        }
        let required = std::env::var(format!("TRUNKLINE_TEST_REQUIRE_{}", self.name));
        assert_ne!(required.as_deref(), Ok("1"), "no {} at {address}", self.name);
        println!("SKIPPED: no {} at {address}", self.name);
        false
    }

    fn settings(&self, port: u16, stream: &str) -> EndpointSettings {
        let mut sink = json!({ "host": "127.0.0.1", "port": port, "tls": false });
        match self.kind {
            EndpointKind::Redis => sink["stream"] = json!(stream),
            EndpointKind::Amqp => {
                sink["username"] = json!("guest");
                sink["password"] = json!("guest");
                sink["routing_key"] = json!(stream);
                sink["mandatory"] = json!(false);
            }
            _ => sink["mode"] = json!("core"),
        }
        EndpointSettings { kind: self.kind, sink: fields(sink), ..fast() }
    }
}

fn fields(value: Value) -> SinkFields {
    serde_json::from_value(value).unwrap()
}

/// Asks Redis one command without arguments of more than one word; gives the first line of its answer.
async fn redis(command: &str) -> String {
    let stream = tokio::net::TcpSocket::new_v4().unwrap().connect(([127, 0, 0, 1], REDIS.port).into());
    let mut stream = BufReader::new(stream.await.unwrap());
    stream.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    line.trim().to_owned()
}

async fn a_broker_that_comes_back(broker: &Broker) {
    let home = TestStore::sqlite().await;
    let rig = Rig::new(&home).await;
    let mut proxy = Proxy::start(("127.0.0.1".to_owned(), broker.port)).await;
    let stream = format!("tl_dispatch_{}", EndpointId::fresh());
    let settings = broker.settings(proxy.port, &stream);
    let patient_schedule =
        EndpointSettings { max_attempts: Some(20), backoff_ms: Some(vec![50]), ..settings };
    let id = rig.endpoint("/sink", &["**"], patient_schedule).await;
    let limits = EngineLimits { cool_down: Duration::from_millis(20), ..patient() };
    let engine = rig.start(EngineLimits { cool_down_max: Duration::from_millis(100), ..limits });

    rig.emit("order.paid", 2).await;
    let rows = rig.settled(2).await;
    assert!(rows.iter().all(|row| row.state == DeliveryState::Succeeded && row.endpoint_id == id));
    let latest = rows[0].latest.as_ref().unwrap();
    assert_eq!((latest.status, latest.first_byte_us, &latest.connection), (None, None, &None));
    assert!(!latest.response_head.as_deref().unwrap_or_default().is_empty(), "the receipt is kept");

    proxy.shut().await;
    rig.emit("order.paid", 3).await;
    rig.until("the deliveries wait", async || {
        let rows = rig.deliveries().await;
        rows.iter().filter(|row| row.state == DeliveryState::Pending && row.n_attempts > 0).count() == 3
    })
    .await;
    let waiting = rig.deliveries().await;
    let waiting = waiting.iter().find(|row| row.state == DeliveryState::Pending).unwrap();
    let class = waiting.latest.as_ref().and_then(|latest| latest.error_class.as_deref());
    assert!(matches!(class, Some("reset" | "connect_refused")), "{class:?}");

    proxy.reopen().await;
    let rows = rig.settled(5).await;
    assert!(rows.iter().all(|row| row.state == DeliveryState::Succeeded));
    if broker.kind == EndpointKind::Redis {
        assert_eq!(redis(&format!("XLEN {stream}")).await, ":5");
        redis(&format!("DEL {stream}")).await;
    }
    // Whoever deletes an endpoint closes its connection.
    let delete = endpoint::endpoint_delete(&rig::tenant(), &id);
    rig.store.commit(Commit::statements(vec![delete])).await.unwrap();
    engine.refresh_endpoints().await.unwrap();
    proxy.wait_for_open(0).await;
    engine.stop().await;
}

#[tokio::test]
async fn a_stream_that_comes_back_gets_what_it_missed() {
    if REDIS.is_there() {
        a_broker_that_comes_back(&REDIS).await;
    }
}

#[tokio::test]
async fn an_exchange_that_comes_back_gets_what_it_missed() {
    if RABBITMQ.is_there() {
        a_broker_that_comes_back(&RABBITMQ).await;
    }
}

#[tokio::test]
async fn a_subject_that_comes_back_gets_what_it_missed() {
    if NATS.is_there() {
        a_broker_that_comes_back(&NATS).await;
    }
}

#[tokio::test]
async fn what_can_never_be_taken_is_given_up_and_harms_nothing() {
    if !REDIS.is_there() {
        return;
    }
    let home = TestStore::sqlite().await;
    let rig = Rig::new(&home).await;
    let stream = format!("tl_dispatch_{}", EndpointId::fresh());
    redis(&format!("SET {stream} text")).await;
    rig.endpoint("/sink", &["**"], REDIS.settings(REDIS.port, &stream)).await;
    let engine = rig.start(patient());
    rig.emit("order.paid", 1).await;
    let row = rig.settled(1).await.remove(0);
    assert_eq!((row.state, row.reason.as_deref()), (DeliveryState::Cancelled, Some("rejected by receiver")));
    assert_eq!(row.latest.unwrap().error_class.as_deref(), Some("rejected"));
    redis(&format!("DEL {stream}")).await;
    engine.stop().await;
}

#[tokio::test]
async fn an_object_store_is_called_like_every_url() {
    let home = TestStore::sqlite().await;
    let rig = Rig::new(&home).await;
    let sink = json!({
        "endpoint": "http://127.0.0.1:9", "bucket": "events", "access_key_id": "id", "secret_access_key": "canary",
        "key": "{type}/{id}.json",
    });
    let settings = EndpointSettings { kind: EndpointKind::S3, sink: fields(sink), ..fast() };
    assert!(!format!("{settings:?}").contains("canary"));
    rig.endpoint("/sink", &["**"], settings).await;
    let engine = rig.start(patient());
    let id = rig.emit("order.paid", 1).await.remove(0);
    let row = rig.settled(1).await.remove(0);
    let receipt = row.latest.unwrap().response_head.unwrap();
    assert!(row.state == DeliveryState::Succeeded && receipt.contains(&id), "{receipt}");
    let seen = rig.net.seen().remove(0);
    assert!(seen.path.ends_with(&format!("/events/order.paid/{id}.json")), "{}", seen.path);
    engine.stop().await;
}

#[tokio::test]
async fn the_hubs_own_output_is_for_the_operator() {
    let home = TestStore::sqlite().await;
    let rig = Rig::new(&home).await;
    let settings = EndpointSettings { kind: EndpointKind::Stdout, max_attempts: Some(1), ..fast() };
    rig.endpoint("/sink", &["**"], settings).await;
    let engine = rig.start(patient());
    rig.emit("order.paid", 1).await;
    let row = rig.settled(1).await.remove(0);
    let latest = row.latest.unwrap();
    assert_eq!(
        (row.state, latest.error_class.as_deref()),
        (DeliveryState::Exhausted, Some("endpoint_unusable"))
    );
    assert!(latest.error.unwrap().contains("local_sinks"));
    engine.stop().await;
}
