//! The journey as it is answered, from rows as the engines write them.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use trunkline_model::{
    AttemptId, Clock as _, Data, DeliveryId, EndpointId, Event, EventId, EventType, InboundId, Timestamp,
};
use trunkline_store::tables::delivery::{
    AttemptOutcome, DeliveryRow, DeliveryState, delivery_record_attempt,
};
use trunkline_store::tables::delivery_history::event_places;
use trunkline_store::tables::inbound::{InboundRow, Verdict, inbound_accept, inbound_insert};
use trunkline_store::{Commit, NewEvent};

use crate::harness::{Hub, tenant};

fn outcome(status: i64) -> AttemptOutcome {
    AttemptOutcome {
        id: AttemptId::fresh(),
        started_at: Timestamp::from_secs(1_800_000_001),
        duration_us: 1500,
        status: Some(status),
        error_class: (status >= 300).then(|| "status".to_owned()),
        error: None,
        response_head: Some("HTTP/1.1 200 OK\r\n".to_owned()),
        first_byte_us: Some(1250),
        connection: (status >= 300)
            .then(|| r#"{"dns_us":100,"connect_us":200,"tls_us":600,"peer":"192.0.2.1:443"}"#.to_owned()),
    }
}

/// A delivery of an event in shard 0 that has failed once.
pub(crate) fn delivery(event_id: &EventId, seq: i64) -> DeliveryRow {
    DeliveryRow {
        id: DeliveryId::fresh(),
        tenant: tenant(),
        endpoint_id: EndpointId::fresh(),
        shard: 0,
        seq,
        event_id: event_id.clone(),
        event_type: EventType::from_stored("order.created"),
        state: DeliveryState::Pending,
        reason: None,
        created_at: Timestamp::from_secs(1_800_000_001),
        next_attempt_at: Some(Timestamp::from_secs(1_800_000_006)),
        finished_at: None,
        n_attempts: 1,
        latest: Some(outcome(500)),
        order_key: None,
    }
}

/// A delivery of an event that the hub has taken, at the event's place.
pub(crate) async fn delivery_of(hub: &Hub, event_id: &str) -> DeliveryRow {
    let (shard, seq) = event_places(&hub.store, &tenant(), event_id).await.unwrap()[0];
    DeliveryRow { shard, ..delivery(&EventId::from_text(event_id), seq) }
}

fn kinds(node: &Value) -> Vec<String> {
    let mut all = vec![format!("{} {}", node["kind"].as_str().unwrap(), node["state"].as_str().unwrap())];
    all.extend(node["children"].as_array().unwrap().iter().flat_map(kinds));
    all
}

#[tokio::test]
async fn a_webhook_is_followed_to_its_attempts() {
    let hub = Hub::start().await;
    let id = InboundId::fresh();
    let event_type = EventType::parse("order.created").unwrap();
    let mut event = Event::new(tenant(), "/in/shop", event_type, hub.clock.now());
    event.id = id.to_event().unwrap();
    event.correlationid = event.id.clone().into_shared();
    event.data = Data::Envelope(Bytes::from_static(br#"{"type":"order.created","data":{"n":1}}"#));
    let mut follow_up =
        Event::new(tenant(), "/flow", EventType::parse("order.checked").unwrap(), hub.clock.now())
            .caused_by(&event);
    follow_up.id = EventId::fresh();
    let request_head = Some("webhook-id: 1\r\n".to_owned());
    let first = NewEvent { event: event.clone(), recorded_at: hub.clock.now(), request_head };
    hub.clock.advance(Duration::from_millis(20));
    let events = vec![first, NewEvent::new(follow_up, hub.clock.now())];
    let stored = hub.store.commit(Commit::append(events)).await.unwrap();
    let mut row = delivery(&event.id, stored.appended()[0].seq);
    row.shard = stored.appended()[0].shard;
    hub.store.commit(Commit::deliveries(vec![row.clone()])).await.unwrap();
    row.n_attempts = 2;
    row.state = DeliveryState::Succeeded;
    row.finished_at = Some(Timestamp::from_secs(1_800_000_007));
    row.latest = Some(outcome(200));
    hub.store.commit(Commit::statements(delivery_record_attempt(&row))).await.unwrap();

    let by_event = hub.get(&format!("/api/v1/events/{}/journey", event.id)).await;
    let by_request = hub.get(&format!("/api/v1/events/{id}/journey")).await;
    assert_eq!(by_event.status, StatusCode::OK, "{}", by_event.text);
    assert_eq!(by_event.body, by_request.body);
    let nodes = by_event.body["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 1);
    assert_eq!(
        kinds(&nodes[0]),
        [
            "request accepted",
            "event stored",
            "event stored",
            "delivery succeeded",
            "attempt failed",
            "attempt succeeded",
        ]
    );
    assert_eq!(nodes[0]["id"], id.as_str());

    let shown = hub.get(&format!("/api/v1/deliveries/{}", row.id)).await;
    assert_eq!(shown.body["attempts"].as_array().map(Vec::len), Some(2));
    assert_eq!(shown.body["latest_attempt"]["status"], json!(200));
    let opened = json!({
        "dns_ms": 0.1, "connect_ms": 0.2, "tls_ms": 0.6, "first_byte_ms": 1.25, "total_ms": 1.5, "reused": false,
        "peer": "192.0.2.1:443",
    });
    assert_eq!(shown.body["attempts"][0]["timings"], opened);
    let warm = json!({ "first_byte_ms": 1.25, "total_ms": 1.5, "reused": true });
    assert_eq!(shown.body["attempts"][1]["timings"], warm);
    let call = hub.get(&format!("/api/v1/inbound/{id}")).await;
    assert_eq!(
        (&call.body["verdict"], &call.body["event_id"]),
        (&json!("accepted"), &json!(event.id.as_str()))
    );
    assert_eq!(call.body["body"], r#"{"type":"order.created","data":{"n":1}}"#);
}

#[tokio::test]
async fn a_call_is_followed_through_quarantine() {
    let hub = Hub::start().await;
    let row = InboundRow {
        id: InboundId::fresh(),
        tenant: tenant(),
        source: "shop".to_owned(),
        received_at: hub.clock.now(),
        verdict: Verdict::Quarantined,
        reason: "body is not JSON".to_owned(),
        head: "content-type: application/json\r\n".to_owned(),
        body: Some(Bytes::from_static(b"\xff\x00")),
        event_id: None,
    };
    hub.store.commit(Commit::statements(vec![inbound_insert(&row)])).await.unwrap();
    let path = format!("/api/v1/events/{}/journey", row.id);
    let before = hub.get(&path).await;
    assert_eq!(kinds(&before.body["nodes"][0]), ["request quarantined"]);
    let shown = hub.get(&format!("/api/v1/inbound/{}", row.id)).await;
    assert_eq!((&shown.body["body_base64"], shown.body.get("body")), (&json!("/wA="), None));

    hub.clock.advance(Duration::from_mins(1));
    let event_type = EventType::parse("shop.received").unwrap();
    let mut event = Event::new(tenant(), "/in/shop", event_type, hub.clock.now());
    event.id = row.id.to_event().unwrap();
    event.correlationid = event.id.clone().into_shared();
    event.causationid = Some(row.id.as_str().to_owned());
    let commit = Commit {
        statements: vec![inbound_accept(&tenant(), &row.id, event.id.as_str())],
        events: vec![NewEvent::new(event.clone(), hub.clock.now())],
        ..Commit::default()
    };
    hub.store.commit(commit).await.unwrap();
    let after = hub.get(&path).await;
    assert_eq!(kinds(&after.body["nodes"][0]), ["request accepted", "event stored"]);
    assert_eq!(after.body["duration_ms"], json!(60_000.0));
    assert_eq!(hub.get(&format!("/api/v1/events/{}/journey", event.id)).await.body, after.body);
    assert_eq!(hub.get("/api/v1/events/inb_none/journey").await.code(), "inbound.not_found");
}
