//! Trying an endpoint, and bringing one back that failed.

use http::StatusCode;
use serde_json::{Value, json};
use trunkline_model::{Clock as _, EndpointId};
use trunkline_store::Commit;
use trunkline_store::tables::endpoint::{EndpointRow, endpoint_insert};
use trunkline_store::tables::endpoint_health::{EndpointHealthRow, endpoint_health_put};

use crate::harness::{Answer, Hub, tenant};

async fn made(hub: &Hub, more: Value) -> String {
    let mut body = json!({ "url": "https://example.com/hook", "events": ["order.*"] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = hub.post("/api/v1/webhooks", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    made.body["id"].as_str().unwrap().to_owned()
}

async fn known_type(hub: &Hub) {
    let declared = json!({
        "type": "order.paid", "title": "Paid", "schema": { "type": "object" }, "example": { "total": 7 },
    });
    assert_eq!(hub.post("/api/v1/event-types", &declared).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_test_is_what_the_caller_wants_it_to_be() {
    let hub = Hub::start().await;
    known_type(&hub).await;
    let id = made(&hub, json!({})).await;
    let path = format!("/api/v1/webhooks/{id}/test");
    for (body, expect) in [
        (json!({}), String::new()),
        (json!({ "event_type": "order.paid" }), r#" as order.paid {"total":7}"#.to_owned()),
        (json!({ "event_type": "x.y", "data": [1] }), " as x.y [1]".to_owned()),
        (json!({ "data": { "a": 1 } }), r#" as webhook.test {"a":1}"#.to_owned()),
    ] {
        assert_eq!(hub.post(&path, &body).await.status, StatusCode::ACCEPTED, "{body}");
        assert_eq!(hub.engines.asked.lock().unwrap().last(), Some(&format!("test {id}{expect}")));
    }
    for (body, pointer) in [
        (json!({ "event_type": "x.y" }), "/event_type"),
        (json!({ "event_type": "no type" }), "/event_type"),
        (json!({ "data": "x".repeat(20_000) }), "/data"),
        (json!({ "colour": 1 }), "/colour"),
    ] {
        assert_eq!(hub.post(&path, &body).await.pointers(), [pointer]);
    }
}

#[tokio::test]
async fn a_preview_shows_what_would_be_sent_and_sends_nothing() {
    let hub = Hub::start().await;
    known_type(&hub).await;
    let selective = json!({
        "channels": ["lab"], "filter": ".data.total > 5", "transform": "{sum: .data.total}", "headers": { "x-api-key": "s3cret" },
    });
    let id = made(&hub, selective).await;
    let preview = async |body: Value| hub.post(&format!("/api/v1/webhooks/{id}/preview"), &body).await;
    let shown = async |body: Value| {
        let shown: Answer = preview(body).await;
        assert_eq!(shown.status, StatusCode::OK, "{}", shown.text);
        assert!(!shown.text.contains("s3cret"));
        shown.body
    };
    let lab = json!(["lab"]);
    let sent = shown(json!({ "event_type": "order.paid", "channels": lab })).await;
    assert_eq!((&sent["would_send"], &sent["request"]["body"]), (&json!(true), &json!(r#"{"sum":7}"#)));
    for (body, reason) in [
        (json!({ "event_type": "visit.booked", "data": {}, "channels": lab }), "no_match"),
        (json!({ "event_type": "order.paid" }), "channels"),
        (json!({ "event_type": "order.paid", "data": { "total": 1 }, "channels": lab }), "filtered"),
        (json!({ "event_type": "order.paid", "filter": ".data.total.x", "channels": lab }), "filter_failed"),
        (json!({ "event_type": "order.paid", "transform": "1", "channels": lab }), "transform_failed"),
    ] {
        let held = shown(body.clone()).await;
        assert_eq!((&held["would_send"], &held["reason"]), (&json!(false), &json!(reason)), "{body}");
    }
    hub.emit("stored", "order.paid").await;
    assert_eq!(shown(json!({ "event_id": "stored" })).await["reason"], "channels");
    assert_eq!(preview(json!({ "event_id": "nowhere" })).await.code(), "event.not_found");
    assert_eq!(preview(json!({})).await.pointers(), ["/event_id"]);
    assert_eq!(preview(json!({ "event_type": "order.paid", "filter": "{" })).await.pointers(), ["/filter"]);
    let both = json!({ "event_id": "stored", "data": 1 });
    assert_eq!(preview(both).await.pointers(), ["/event_id"]);
    assert!(hub.engines.asked.lock().unwrap().iter().all(|what| !what.starts_with("test")));
}

#[tokio::test]
async fn recovering_switches_on_and_sends_what_was_missed() {
    let hub = Hub::start().await;
    let id = made(&hub, json!({ "active": false })).await;
    let path = format!("/api/v1/webhooks/{id}/recover");
    assert_eq!(hub.post(&path, &json!({})).await.pointers(), ["/since"], "nothing is known of a failure");
    let since = hub.clock.now();
    hub.clock.advance(std::time::Duration::from_mins(1));
    let health = EndpointHealthRow {
        endpoint_id: EndpointId::from_text(id.as_str()),
        tenant: tenant(),
        failing_since: Some(since),
        last_success_at: None,
        n_failures: 9,
        last_error: None,
        disabled_at: Some(hub.clock.now()),
        disabled_reason: Some("failing for too long".into()),
        disabled_version: Some(1),
        probe_at: None,
        n_probes: 0,
        updated_at: since,
    };
    hub.store.commit(Commit::statements(vec![endpoint_health_put(&health, None)])).await.unwrap();
    let future = json!({ "since": hub.clock.now().plus(std::time::Duration::from_secs(9)).to_rfc3339() });
    assert_eq!(hub.post(&path, &future).await.pointers(), ["/since"]);
    let recovered = hub.post(&path, &json!({ "rate_per_s": 5 })).await;
    assert_eq!(recovered.status, StatusCode::CREATED, "{}", recovered.text);
    assert_eq!(recovered.body["webhook"]["active"], true);
    let job = &recovered.body["replay"];
    assert_eq!(
        (&job["endpoint_id"], &job["rate_per_s"], &job["state"]),
        (&json!(id), &json!(5), &json!("running"))
    );
    assert_eq!((&job["since"], &job["states"]), (&json!(since.to_rfc3339()), &json!(["failed", "missed"])));
    let location = recovered.header("location").to_owned();
    assert_eq!(hub.get(&location).await.body["id"], job["id"]);
    assert_eq!(hub.get(&format!("/api/v1/webhooks/{id}")).await.body["active"], true);
}

#[tokio::test]
async fn a_tenant_has_so_many_endpoints_and_no_more() {
    let hub = Hub::start().await;
    let portal = crate::portal::mint(&hub, json!({})).await.body["token"].as_str().unwrap().to_owned();
    let body = json!({ "url": "https://example.com/hook", "events": ["**"] });
    let create = async |token: &str| {
        hub.call(http::Method::POST, "/api/v1/webhooks").token(token).json(&body).send().await
    };
    for _ in 0..3 {
        assert_eq!(create(&portal).await.status, StatusCode::CREATED);
    }
    let refused = create(&portal).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "endpoint.too_many"));
    let row = |n: u32| EndpointRow {
        id: EndpointId::from_text(format!("ep_{n}")),
        tenant: tenant(),
        url: "https://example.com/".into(),
        description: String::new(),
        events: "[]".into(),
        active: true,
        secrets: "[]".into(),
        settings: "{}".into(),
        version: 1,
        created_at: hub.clock.now(),
        updated_at: hub.clock.now(),
    };
    let many = (3..199).map(|n| endpoint_insert(&row(n))).collect();
    hub.store.commit(Commit::statements(many)).await.unwrap();
    assert_eq!(create(hub.token("operator")).await.status, StatusCode::CREATED);
    assert_eq!(create(hub.token("operator")).await.code(), "endpoint.too_many");
    assert_eq!(create(hub.stranger()).await.status, StatusCode::CREATED);
}
