//! AMQP on a real RabbitMQ.

use std::io;
use std::sync::Arc;

use lapin::options::{BasicGetOptions, ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ExchangeKind};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::rig::{all_text, message, open, send, unique};
use crate::servers::{self, Server};

fn value(exchange: &str, routing_key: &str) -> Value {
    let mut value = Server::RabbitMq.value(None);
    value["exchange"] = if exchange.is_empty() { Value::Null } else { exchange.into() };
    value["routing_key"] = routing_key.into();
    value
}

/// A queue that goes with its connection.
async fn queue() -> (Connection, Channel, String) {
    let (connection, channel) = servers::rabbitmq().await;
    let name = unique("tl_sinks");
    let options =
        QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.as_str().into(), options, FieldTable::default()).await.unwrap();
    (connection, channel, name)
}

#[tokio::test]
async fn an_event_arrives_with_its_properties() {
    if !Server::RabbitMq.is_there() {
        return;
    }
    let (_connection, channel, queue) = queue().await;
    let sink = open("amqp", &value("", &queue));
    let receipt = send(&sink, "evt_1").await.unwrap();
    assert_eq!(receipt.text, format!("confirmed, default exchange {queue}"));
    let got =
        channel.basic_get(queue.as_str().into(), BasicGetOptions { no_ack: true }).await.unwrap().unwrap();
    assert_eq!(got.data, message("evt_1").body);
    let properties = &got.properties;
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), "evt_1");
    assert_eq!(properties.kind().as_ref().unwrap().as_str(), "order.paid");
    assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "application/json");
    assert_eq!(*properties.timestamp(), Some(1_769_860_800));
    assert_eq!(*properties.delivery_mode(), Some(2));
    let headers = properties.headers().as_ref().unwrap().inner();
    let header = |name: &str| match &headers[name] {
        AMQPValue::LongString(text) => text.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!([header("tenant"), header("subject")], ["default", "order/7"]);
    assert_eq!(header("webhook-signature"), "v1,c2lnbmVk");
}

#[tokio::test]
async fn unroutable_is_an_error_and_costs_nobody_else() {
    if !Server::RabbitMq.is_there() {
        return;
    }
    let nowhere = unique("tl_nowhere");
    let mut value = value("", &nowhere);
    let sink = open("amqp", &value);
    let sends = futures_util::future::join_all((0..20).map(|_| send(&sink, "evt_1"))).await;
    for sent in sends {
        let error = sent.unwrap_err();
        assert_eq!((error.class(), error.is_permanent()), ("refused", false), "{error}");
        assert!(error.to_string().contains("312 NO_ROUTE"), "{error}");
    }
    value["mandatory"] = json!(false);
    send(&open("amqp", &value), "evt_1").await.unwrap();
}

#[tokio::test]
async fn confirms_find_their_messages() {
    if !Server::RabbitMq.is_there() {
        return;
    }
    let (_connection, channel, queue) = queue().await;
    // Every other event has a queue.
    let sink = open("amqp", &value("", "{id}"));
    let ids: Vec<String> =
        (0..200).map(|n| if n % 2 == 0 { queue.clone() } else { format!("{queue}_{n}") }).collect();
    let sends = futures_util::future::join_all(ids.iter().map(|id| send(&sink, id))).await;
    for (n, sent) in sends.iter().enumerate() {
        assert_eq!(sent.is_ok(), n % 2 == 0, "{n}: {sent:?}");
    }
    let mut n_messages = 0;
    while channel.basic_get(queue.as_str().into(), BasicGetOptions { no_ack: true }).await.unwrap().is_some()
    {
        n_messages += 1;
    }
    assert_eq!(n_messages, 100);
}

#[tokio::test]
async fn a_missing_exchange_is_refused_until_it_is_there() {
    if !Server::RabbitMq.is_there() {
        return;
    }
    let (_connection, channel, queue) = queue().await;
    let exchange = unique("tl_exchange");
    let sink = open("amqp", &value(&exchange, "{type}"));
    for _ in 0..3 {
        let error = send(&sink, "evt_1").await.unwrap_err();
        assert_eq!(error.class(), "refused", "{error}");
        assert!(error.to_string().contains("404"), "{error}");
    }
    let options = ExchangeDeclareOptions { auto_delete: true, ..ExchangeDeclareOptions::default() };
    let table = FieldTable::default();
    channel
        .exchange_declare(exchange.as_str().into(), ExchangeKind::Topic, options, table.clone())
        .await
        .unwrap();
    let options = lapin::options::QueueBindOptions::default();
    channel
        .queue_bind(queue.as_str().into(), exchange.as_str().into(), "order.*".into(), options, table)
        .await
        .unwrap();
    let receipt = send(&sink, "evt_1").await.unwrap();
    assert_eq!(receipt.text, format!("confirmed, {exchange} order.paid"));
}

/// Collects what is logged in this process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn returned_messages_do_not_reach_the_log() {
    if !Server::RabbitMq.is_there() {
        return;
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let sink = open("amqp", &value("", &unique("tl_nowhere")));
    let mut message = message("evt_1");
    message.body = bytes::Bytes::from_static(b"body-canary");
    assert_eq!(sink.send(message).await.unwrap_err().class(), "refused");
    tracing::info!("the log works");
    let text = String::from_utf8_lossy(&log.0.lock()).into_owned();
    assert!(text.contains("the log works"), "{text}");
    let bytes = format!("{:?}", b"body-canary");
    assert!(!text.contains("body-canary") && !text.contains(bytes.trim_matches(['[', ']'])), "{text}");
}

#[tokio::test]
async fn wrong_credentials_are_auth() {
    if !Server::RabbitMq.is_there() {
        return;
    }
    for (field, text) in [("password", "canary"), ("username", "canary"), ("vhost", "nowhere")] {
        let mut value = value("", "q");
        value[field] = json!(text);
        let error = send(&open("amqp", &value), "evt_1").await.unwrap_err();
        assert_eq!(error.class(), "auth", "{field}: {error}");
        assert!(field != "password" || !all_text(&error).contains("canary"), "{error:?}");
    }
}
