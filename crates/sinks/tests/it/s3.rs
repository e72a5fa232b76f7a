//! Object stores, against the stand-in.

use std::sync::Arc;

use serde_json::{Value, json};
use trunkline_model::{ManualClock, Timestamp};
use trunkline_sinks::SinkFactory;

use crate::object_store::{ObjectStore, REGION, SECRET, error};
use crate::rig::{Peer, all_text, context, factory, loopback, message, open, send, settings};

fn value(store: &ObjectStore) -> Value {
    json!({
        "endpoint": store.url(), "region": REGION, "bucket": "archive", "access_key_id": "key",
        "secret_access_key": SECRET,
    })
}

#[tokio::test]
async fn an_event_becomes_one_signed_object() {
    let store = ObjectStore::start().await;
    let sink = open("s3", &value(&store));
    let key = "default/2026-01-31/order.paid/evt_1.json";
    for _ in 0..2 {
        assert_eq!(send(&sink, "evt_1").await.unwrap().text, format!("{key} etag \"e7a6\""));
    }
    let objects = store.objects.lock();
    assert_eq!(objects.stored.len(), 1);
    let (content_type, body) = &objects.stored[&format!("/archive/{key}")];
    assert_eq!((content_type.as_str(), body), ("application/json", &message("evt_1").body.to_vec()));
}

#[tokio::test]
async fn keys_that_need_encoding_are_signed_as_they_are_sent() {
    let store = ObjectStore::start().await;
    for key in ["a b/{id}", "ä+&=/{id}.json", "{subject}/{hour}/{id}%2F"] {
        let mut value = value(&store);
        value["key"] = json!(key);
        send(&open("s3", &value), "evt_1").await.unwrap();
    }
    let paths: Vec<String> = store.objects.lock().stored.keys().cloned().collect();
    let expect =
        ["/archive/%C3%A4%2B%26%3D/evt_1.json", "/archive/a%20b/evt_1", "/archive/order_7/12/evt_1%252F"];
    assert_eq!(paths, expect);
}

#[tokio::test]
async fn requests_are_signed_with_the_hubs_clock() {
    let store = ObjectStore::start().await;
    let mut context = context(loopback(), &[]);
    context.clock = Arc::new(ManualClock::starting_at(Timestamp::from_secs(1_700_000_000)));
    let sink = SinkFactory::new(context).unwrap().open(&settings("s3", &value(&store)));
    send(&sink, "evt_1").await.unwrap();
    assert_eq!(store.objects.lock().signed_at.as_deref(), Some("20231114T221320Z"));
}

#[tokio::test]
async fn temporary_credentials_and_plain_requests_are_signed_too() {
    let store = ObjectStore::start().await;
    let mut value = value(&store);
    value["session_token"] = json!("token+/=");
    value["checksum"] = json!(false);
    send(&open("s3", &value), "evt_1").await.unwrap();
}

#[tokio::test]
async fn an_object_that_is_there_already_counts_as_delivered() {
    let store = ObjectStore::start().await;
    let mut value = value(&store);
    value["only_new"] = json!(true);
    let sink = open("s3", &value);
    send(&sink, "evt_1").await.unwrap();
    let receipt = send(&sink, "evt_1").await.unwrap();
    assert!(receipt.text.ends_with("was there already"), "{}", receipt.text);
}

#[tokio::test]
async fn a_wrong_key_is_auth_and_shows_nothing() {
    let store = ObjectStore::start().await;
    let mut value = value(&store);
    value["secret_access_key"] = json!("canary-wrong");
    value["session_token"] = json!("canary-token");
    let failure = send(&open("s3", &value), "evt_1").await.unwrap_err();
    assert_eq!(failure.class(), "auth");
    assert!(failure.to_string().contains("SignatureDoesNotMatch"), "{failure}");
    let text = all_text(&failure);
    assert!(!text.contains("canary") && !text.contains("X-Amz"), "{text}");
    assert!(store.objects.lock().stored.is_empty());
}

#[tokio::test]
async fn answers_have_classes() {
    let store = ObjectStore::start().await;
    let sink = open("s3", &value(&store));
    let check = async |answer: String, class: &str, is_permanent: bool| {
        store.objects.lock().next_answer = Some(answer.clone());
        let failure = send(&sink, "evt_1").await.unwrap_err();
        assert_eq!((failure.class(), failure.is_permanent()), (class, is_permanent), "{answer}: {failure}");
    };
    check(error("404 Not Found", "NoSuchBucket", ""), "refused", false).await;
    check(error("503 Slow Down", "SlowDown", ""), "refused", false).await;
    check(error("400 Bad Request", "EntityTooLarge", ""), "too_large", true).await;
    check(error("400 Bad Request", "KeyTooLongError", ""), "refused", true).await;
    check("HTTP/1.1 413 Large\r\ncontent-length: 0\r\n\r\n".into(), "too_large", true).await;
    check("HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n".into(), "auth", false).await;
    check("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".into(), "refused", false).await;
    check(error("412 Precondition Failed", "PreconditionFailed", ""), "refused", false).await;
    send(&sink, "evt_1").await.unwrap();
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (store, elsewhere) = (ObjectStore::start().await, Peer::start(|_| async {}).await);
    let location = format!("http://127.0.0.1:{}/archive/x", elsewhere.port);
    store.objects.lock().next_answer =
        Some(format!("HTTP/1.1 307 Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"));
    let failure = send(&open("s3", &value(&store)), "evt_1").await.unwrap_err();
    assert_eq!((failure.class(), failure.is_permanent()), ("refused", false), "{failure}");
    assert_eq!(elsewhere.count(), 0);
}

#[tokio::test]
async fn the_bucket_can_stand_in_the_host() {
    let store = ObjectStore::start().await;
    let names = [("archive.store.test", "127.0.0.1")];
    let mut value = value(&store);
    value["endpoint"] = json!(format!("http://store.test:{}", store.peer.port));
    value["path_style"] = json!(false);
    let named = SinkFactory::new(context(loopback(), &names)).unwrap();
    send(&named.open(&settings("s3", &value)), "evt_1").await.unwrap();
    assert!(store.objects.lock().stored.contains_key("/default/2026-01-31/order.paid/evt_1.json"));
    let failure = send(&factory().open(&settings("s3", &value)), "evt_1").await.unwrap_err();
    assert_eq!(failure.class(), "dns");
}
