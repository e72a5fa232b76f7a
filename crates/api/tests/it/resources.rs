//! Inbound requests, deliveries, dead letters and the status.

use http::{Method, StatusCode};
use serde_json::json;
use trunkline_model::{Clock as _, ErrorCode, EventId, InboundId};
use trunkline_store::tables::dead_letter::{DeadLetterRow, dead_letter_insert};
use trunkline_store::tables::delivery::{DeliveryRow, DeliveryState};
use trunkline_store::tables::inbound::{InboundRow, Verdict, inbound_insert};
use trunkline_store::{Commit, Dialect};

use crate::harness::{Hub, tenant};
use crate::journey::delivery;

fn call(hub: &Hub, source: &str, verdict: Verdict) -> InboundRow {
    InboundRow {
        id: InboundId::fresh(),
        tenant: tenant(),
        source: source.to_owned(),
        received_at: hub.clock.now(),
        verdict,
        reason: "why".to_owned(),
        head: String::new(),
        body: None,
        event_id: None,
    }
}

#[tokio::test]
async fn calls_are_judged_again_page_by_page() {
    let hub = Hub::start().await;
    let rows: Vec<InboundRow> = (0..5)
        .map(|_| call(&hub, "shop", Verdict::Rejected))
        .chain([call(&hub, "shop", Verdict::Quarantined), call(&hub, "lab", Verdict::Rejected)])
        .collect();
    let statements = rows.iter().map(inbound_insert).collect();
    hub.store.commit(Commit::statements(statements)).await.unwrap();
    let listed = hub.get("/api/v1/inbound?source=shop&verdict=rejected").await;
    assert_eq!(listed.body["items"].as_array().map(Vec::len), Some(5));
    assert_eq!(hub.get("/api/v1/inbound?verdict=lost").await.pointers(), ["query:verdict"]);

    let mut input = json!({ "source": "shop", "verdict": "rejected", "limit": 3 });
    let first = hub.post("/api/v1/inbound/rejudge", &input).await;
    assert_eq!((first.status, first.body["items"].as_array().map(Vec::len)), (StatusCode::OK, Some(3)));
    input["page_token"] = first.body["next_page_token"].clone();
    let second = hub.post("/api/v1/inbound/rejudge", &input).await;
    assert_eq!(second.body["items"].as_array().map(Vec::len), Some(2));
    assert!(second.body["next_page_token"].is_null());
    let asked = hub.engines.asked.lock().unwrap().clone();
    let expect: Vec<String> = rows[..5].iter().rev().map(|row| format!("rejudge {}", row.id)).collect();
    assert_eq!(asked, expect, "newest first, each once");

    let one = hub.post(&format!("/api/v1/inbound/{}/rejudge", rows[5].id), &json!({})).await;
    assert_eq!((one.status, &one.body["verdict"]), (StatusCode::OK, &json!("accepted")));
    let none = format!("/api/v1/inbound/{}/rejudge", InboundId::fresh());
    assert_eq!(hub.post(&none, &json!({})).await.code(), "inbound.not_found");
    assert_eq!(hub.post("/api/v1/inbound/rejudge", &json!({})).await.pointers(), ["/source"]);
}

#[tokio::test]
async fn deliveries_are_listed_and_retried() {
    let hub = Hub::start().await;
    let row = delivery(&EventId::from_text("e1"), 1);
    let rows = vec![row.clone(), delivery(&EventId::from_text("e2"), 2)];
    hub.store.commit(Commit::deliveries(rows)).await.unwrap();
    for query in ["event_id=e1", &format!("endpoint_id={}", row.endpoint_id)] {
        let listed = hub.get(&format!("/api/v1/deliveries?state=pending&{query}")).await;
        assert_eq!(listed.body["items"].as_array().map(Vec::len), Some(1), "{query}");
        assert_eq!(listed.body["items"][0]["latest_attempt"]["error_class"], "status");
    }
    assert_eq!(hub.get("/api/v1/deliveries?state=lost").await.pointers(), ["query:state"]);
    assert_eq!(hub.get("/api/v1/webhooks/ep_none/deliveries").await.code(), "endpoint.not_found");
    let retried = hub.post(&format!("/api/v1/deliveries/{}/retry", row.id), &json!({})).await;
    assert_eq!(
        (retried.status, &retried.body["delivery_id"]),
        (StatusCode::ACCEPTED, &json!(row.id.as_str()))
    );
    assert_eq!(hub.post("/api/v1/deliveries/dlv_none/retry", &json!({})).await.code(), "delivery.not_found");
    let path = format!("/api/v1/deliveries/{}/skip", row.id);
    assert_eq!(hub.post(&path, &json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(hub.engines.asked.lock().unwrap().last(), Some(&format!("skip {}", row.id)));
    *hub.engines.refuses.lock().unwrap() = Some(ErrorCode::DeliveryNotPending);
    let ended = hub.post(&path, &json!({})).await;
    assert_eq!((ended.status, ended.code()), (StatusCode::CONFLICT, "delivery.not_pending"));
    assert_eq!(hub.post("/api/v1/deliveries/dlv_none/skip", &json!({})).await.code(), "delivery.not_found");
}

#[tokio::test]
async fn deliveries_in_line_say_what_comes_first() {
    let hub = Hub::start().await;
    let endpoint = delivery(&EventId::from_text("e0"), 1).endpoint_id;
    let row = |key: &str, seq: i64| DeliveryRow {
        endpoint_id: endpoint.clone(),
        order_key: Some(key.to_owned()),
        ..delivery(&EventId::from_text(format!("e{seq}")), seq)
    };
    let mut done = row("a", 1);
    done.state = DeliveryState::Cancelled;
    let rows = vec![done.clone(), row("a", 2), row("a", 3), row("b", 4), row("a", 5)];
    hub.store.commit(Commit::deliveries(rows.clone())).await.unwrap();
    let head = json!(rows[1].id.as_str());
    let listed = hub.get("/api/v1/deliveries").await;
    let blocked: Vec<_> =
        listed.body["items"].as_array().unwrap().iter().rev().map(|item| &item["blocked_by"]).collect();
    assert_eq!(blocked, [&json!(null), &json!(null), &head, &json!(null), &head]);
    let shown = hub.get(&format!("/api/v1/deliveries/{}", rows[2].id)).await;
    assert_eq!((&shown.body["order_key"], &shown.body["blocked_by"]), (&json!("a"), &head));
    *hub.engines.refuses.lock().unwrap() = Some(ErrorCode::DeliveryBlocked);
    let refused = hub.post(&format!("/api/v1/deliveries/{}/retry", rows[2].id), &json!({})).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "delivery.blocked"));
    assert!(refused.body["detail"].as_str().unwrap().contains(rows[1].id.as_str()), "{}", refused.text);
}

#[tokio::test]
async fn dead_letters_are_listed_and_removed() {
    let hub = Hub::start().await;
    let letter = DeadLetterRow {
        id: "ddl_1".to_owned(),
        consumer: "dispatch".to_owned(),
        shard: 0,
        seq: 7,
        tenant: tenant(),
        event_id: "e".to_owned(),
        error: "broken".to_owned(),
        n_attempts: 3,
        failed_at: hub.clock.now(),
    };
    hub.store.commit(Commit::statements(vec![dead_letter_insert(&letter)])).await.unwrap();
    assert_eq!(hub.get("/api/v1/dead-letters").await.body["items"][0]["seq"], json!(7));
    let delete = || hub.call(Method::DELETE, "/api/v1/dead-letters/ddl_1").token(hub.token("operator"));
    assert_eq!(delete().send().await.status, StatusCode::NO_CONTENT);
    assert_eq!(delete().send().await.code(), "dead_letter.not_found");
}

#[tokio::test]
async fn the_status_tells_what_the_tenant_holds() {
    let hub = Hub::start().await;
    hub.emit("a", "a.b").await;
    let status = hub.get("/api/v1/status").await.body;
    let store = match hub.store.dialect() {
        Dialect::Sqlite => "sqlite",
        Dialect::Postgres => "postgres",
    };
    assert_eq!((&status["node_id"], &status["store"]), (&json!("node-1"), &json!(store)));
    let n_shards = json!(hub.store.n_shards());
    assert_eq!((&status["usage"]["n_events"], &status["n_shards"]), (&json!(1), &n_shards));
}
