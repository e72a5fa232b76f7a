//! Emitting and reading events.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, Hub};

async fn emit_as(hub: &Hub, content_type: &str, body: &[u8]) -> Answer {
    hub.call(Method::POST, "/api/v1/events")
        .token(hub.token("emitter"))
        .bytes(content_type, body)
        .send()
        .await
}

fn event(id: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/tests", "type": "order.created", "data": { "n": 1 } })
}

#[tokio::test]
async fn an_event_is_stored_once_in_every_mode() {
    let hub = Hub::start().await;
    let body = serde_json::to_vec(&event("a")).unwrap();
    let first = emit_as(&hub, "application/cloudevents+json; charset=utf-8", &body).await;
    assert_eq!(first.status, StatusCode::ACCEPTED);
    assert_eq!((&first.body["id"], &first.body["seq"]), (&json!("a"), &json!(1)));
    assert!(first.body["shard"].as_i64().is_some_and(|shard| (0..hub.store.n_shards()).contains(&shard)));
    let again = emit_as(&hub, "application/json", &body).await;
    assert_eq!((again.status, &again.body), (StatusCode::OK, &first.body));

    let binary = hub
        .call(Method::POST, "/api/v1/events")
        .token(hub.token("emitter"))
        .header("ce-specversion", "1.0")
        .header("ce-id", "b")
        .header("ce-source", "/tests")
        .header("ce-type", "file.sent")
        .bytes("image/png", b"\x89PNG")
        .send()
        .await;
    assert_eq!((binary.status, &binary.body["seq"]), (StatusCode::ACCEPTED, &json!(2)));

    let read = hub.get("/api/v1/events/a").await;
    assert_eq!(read.body["data"], json!({ "n": 1 }));
    assert_eq!((&read.body["tenant"], &read.body["seq"]), (&json!("acme"), &json!(1)));
    assert_eq!(hub.get("/api/v1/events/b").await.body["data_base64"], json!("iVBORw=="));
    assert_eq!(hub.get("/api/v1/events/c").await.code(), "event.not_found");
    let filtered = hub.get("/api/v1/events?type=file.sent&source=/tests").await;
    assert_eq!(filtered.body["items"].as_array().map(Vec::len), Some(1));
    // What is answered may be sent back.
    let back = hub.post("/api/v1/events", &read.body).await;
    assert_eq!(back.status, StatusCode::OK);
}

#[tokio::test]
async fn every_fault_of_an_event_is_named() {
    let hub = Hub::start().await;
    let bad = json!({ "specversion": "2", "id": 5, "type": "no type", "time": "soon", "tenant": "other", "BAD": 1 });
    let answer = hub.post("/api/v1/events", &bad).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "request.invalid"));
    assert_eq!(answer.pointers(), ["/BAD", "/id", "/source", "/specversion", "/tenant", "/time", "/type"]);
    assert_eq!(emit_as(&hub, "application/cloudevents+json", b"{").await.code(), "request.malformed");
    assert_eq!(emit_as(&hub, "application/cloudevents-batch+json", b"{}").await.code(), "request.malformed");
    for content_type in ["text/plain", "application/cloudevents+avro", "application/x-www-form-urlencoded"] {
        let answer = emit_as(&hub, content_type, b"x").await;
        assert_eq!((answer.status.as_u16(), answer.code()), (415, "request.unsupported_media_type"));
    }
    let deep = format!(
        r#"{{"specversion":"1.0","id":"d","source":"/t","type":"a.b","data":{}1{}}}"#,
        "[".repeat(121),
        "]".repeat(121)
    );
    assert_eq!(emit_as(&hub, "application/json", deep.as_bytes()).await.pointers(), ["/data"]);
}

#[tokio::test]
async fn sizes_are_bounded() {
    let hub = Hub::start().await;
    let mut large = event("large");
    large["data"] = "x".repeat(20 * 1024).into();
    let answer = hub.post("/api/v1/events", &large).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (413, "event.too_large"));
    large["data"] = "x".repeat(70 * 1024).into();
    let answer = hub.post("/api/v1/events", &large).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (413, "request.too_large"));
}

#[tokio::test]
async fn one_bad_event_neither_stops_nor_hides_the_others() {
    let hub = Hub::start().await;
    hub.emit("known", "order.created").await;
    let mut too_large = event("too-large");
    too_large["data"] = "x".repeat(20 * 1024).into();
    let batch = json!([
        event("one"),
        { "specversion": "1.0", "id": "bad" },
        event("known"),
        too_large,
        "nonsense",
        event("one"),
        event("two"),
    ]);
    let body = serde_json::to_vec(&batch).unwrap();
    let answer = emit_as(&hub, "application/cloudevents-batch+json", &body).await;
    assert_eq!(answer.status, StatusCode::OK);
    let items = answer.body["items"].as_array().unwrap();
    let statuses: Vec<&str> = items.iter().map(|item| item["status"].as_str().unwrap()).collect();
    assert_eq!(
        statuses,
        ["accepted", "rejected", "duplicate", "rejected", "rejected", "duplicate", "accepted"]
    );
    assert_eq!(items[1]["errors"].as_array().map(Vec::len), Some(2), "source and type are missing");
    assert_eq!((&items[0]["seq"], &items[2]["seq"], &items[6]["seq"]), (&json!(2), &json!(1), &json!(3)));
    assert_eq!(items[5]["seq"], json!(2));
    assert_eq!(hub.get("/api/v1/events").await.body["items"].as_array().map(Vec::len), Some(3));
    let empty = emit_as(&hub, "application/cloudevents-batch+json", b"[]").await;
    assert_eq!(empty.body, json!({ "items": [] }));
}

#[tokio::test]
async fn replay_asks_dispatch() {
    let hub = Hub::start().await;
    hub.emit("order/1", "order.created").await;
    let path = "/api/v1/events/order%2F1/replay";
    let all = hub.call(Method::POST, path).token(hub.token("operator")).send().await;
    assert_eq!((all.status, all.body["items"].as_array().map(Vec::len)), (StatusCode::ACCEPTED, Some(1)));
    assert_eq!(hub.engines.asked.lock().unwrap().as_slice(), ["replay order/1"]);
    assert_eq!(hub.post(path, &json!({ "endpoint_id": "ep_none" })).await.code(), "endpoint.not_found");
    assert_eq!(hub.post(path, &json!({ "endpoint": "x" })).await.pointers(), ["/endpoint"]);
}

#[tokio::test]
async fn an_atomic_batch_is_stored_whole_or_not_at_all() {
    let hub = Hub::start().await;
    let event = |id: &str, event_type: &str| serde_json::json!({ "specversion": "1.0", "id": id, "source": "/tests", "type": event_type });
    let send = async |batch: &serde_json::Value| {
        let body = serde_json::to_vec(batch).unwrap();
        let call = hub.call(http::Method::POST, "/api/v1/events?atomic=true").token(hub.token("emitter"));
        call.bytes("application/cloudevents-batch+json", &body).send().await
    };
    let refused = send(&serde_json::json!([event("a", "order.paid"), event("b", "no type")])).await;
    assert_eq!(refused.pointers(), ["/1/type"], "{}", refused.text);
    assert_eq!(hub.get("/api/v1/events").await.body["items"], serde_json::json!([]));
    let stored = send(&serde_json::json!([event("a", "order.paid"), event("b", "order.paid")])).await;
    assert_eq!(stored.body["items"][1]["status"], "accepted", "{}", stored.text);
}
