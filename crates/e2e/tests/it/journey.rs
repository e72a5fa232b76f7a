//! The whole chain of an event: the call it came in by, what followed from it, each delivery and each attempt, in order and
//! with times; the same after a crash.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use http::Method;
use serde_json::{Value, json};

use crate::hub::{Hub, SOURCE_SECRET, Site, client};
use crate::load::send_to;
use crate::receiver::{Manners, Receiver};
use crate::stores::on_each_store;

on_each_store![a_journey_tells_cause_and_effect, journeys_that_producers_name];

/// Each booking has a room found for it, as an event that follows.
const WORKFLOW: &str = r"
document: {dsl: '1.0.3', namespace: clinic, name: rooms, version: '1.0.0'}
schedule: {on: {one: {with: {type: visit.booked}}}}
do:
- found:
    emit: {event: {with: {source: /rooms, type: room.found, data: {room: 3}}}}
";

/// A node's children of a kind.
fn children<'a>(node: &'a Value, kind: &str) -> Vec<&'a Value> {
    node["children"].as_array().unwrap().iter().filter(|child| child["kind"] == kind).collect()
}

/// Checks that nothing begins before its cause, and that the times add up.
fn check_times(node: &Value, from: f64, until: f64) {
    let (offset, took) =
        (node["offset_ms"].as_f64().unwrap(), node["duration_ms"].as_f64().unwrap_or_default());
    assert!(offset >= from && offset + took <= until + 0.001, "{node}: not within {from} and {until}");
    for child in node["children"].as_array().unwrap() {
        check_times(child, offset, until);
    }
}

async fn journey(hub: &Hub, id: &str) -> Value {
    hub.get(&format!("/api/v1/events/{id}/journey")).await
}

async fn a_journey_tells_cause_and_effect(site: Site) {
    let (hub, receiver) = (site.start(), Receiver::start().await);
    let yaml = [("content-type", "application/yaml")];
    hub.call_text(Method::POST, "/api/v1/workflow-definitions", WORKFLOW, &yaml).await.expect(201);
    receiver.answer({
        let is_second = AtomicBool::new(false);
        // The first attempt of all is refused.
        move |_| if is_second.swap(true, Ordering::SeqCst) { StatusCode::OK } else { StatusCode::BAD_GATEWAY }
    });
    let body =
        json!({ "url": receiver.url, "events": ["visit.*", "room.*"], "backoff_ms": [20], "in_flight": 1 });
    let made = hub.post("/api/v1/webhooks", body, 201).await;
    receiver.expect_secret(made["secret"].as_str().unwrap());
    let call = r#"{"type":"visit.booked","data":{"patient":7}}"#;
    let (status, request) =
        send_to(&client(), &format!("{}/in/load", hub.url()), SOURCE_SECRET, "booking", call.into())
            .await
            .unwrap();
    assert_eq!(status, 202);
    receiver.wait_for(2).await;
    hub.wait_for("/api/v1/deliveries?state=succeeded", |page| page["items"].as_array().unwrap().len() == 2)
        .await;
    hub.wait_for("/api/v1/workflows?status=completed", |page| page["items"].as_array().unwrap().len() == 1)
        .await;

    let found = journey(&hub, &request).await;
    let nodes = found["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 1, "one cause of all: {found}");
    let call = &nodes[0];
    assert_eq!(
        (&call["kind"], &call["id"], &call["state"]),
        (&json!("request"), &json!(request), &json!("accepted"))
    );
    let [booked] = children(call, "event")[..] else { panic!("one event: {found}") };
    assert_eq!(found["correlation_id"], booked["id"]);
    assert!(booked["summary"].as_str().unwrap().starts_with("visit.booked from "), "{booked}");
    let [rooms] = children(booked, "workflow")[..] else { panic!("a workflow was started: {found}") };
    let status = (rooms["state"].as_str().unwrap(), rooms["summary"].as_str().unwrap());
    assert_eq!(status, ("completed", "clinic/rooms 1.0.0"));
    let [room] = children(rooms, "event")[..] else { panic!("an event followed: {found}") };
    assert!(room["summary"].as_str().unwrap().starts_with("room.found from /rooms"), "{room}");
    let mut statuses = Vec::new();
    for event in [booked, room] {
        let [delivery] = children(event, "delivery")[..] else { panic!("one delivery each: {found}") };
        assert_eq!(delivery["state"], "succeeded");
        let attempts = children(delivery, "attempt");
        statuses.extend(attempts.iter().map(|attempt| attempt["state"].as_str().unwrap().to_owned()));
        assert_eq!(attempts.last().unwrap()["state"], "succeeded");
    }
    statuses.sort();
    assert_eq!(statuses, ["failed", "succeeded", "succeeded"]);
    check_times(call, 0.0, found["duration_ms"].as_f64().unwrap());
    for event in [booked, room] {
        assert_eq!(journey(&hub, event["id"].as_str().unwrap()).await, found, "from each of its events");
    }
    let stored = hub.get(&format!("/api/v1/events/{}", room["id"].as_str().unwrap())).await;
    assert_eq!((&stored["causationid"], &stored["correlationid"]), (&rooms["id"], &booked["id"]));
    hub.kill();
    let hub = site.start();
    assert_eq!(journey(&hub, &request).await, found, "what happened stays as it was");
    for id in ["evt_nowhere", "inb_nowhere"] {
        let missing = hub.call(Method::GET, &format!("/api/v1/events/{id}/journey"), None).await;
        assert_eq!(missing.status, 404, "{id}");
    }
}

async fn journeys_that_producers_name(site: Site) {
    let (hub, receiver) = (site.start(), Receiver::start_with(Manners::Good).await);
    let made = hub.post("/api/v1/webhooks", json!({ "url": receiver.url, "events": ["order.*"] }), 201).await;
    receiver.expect_secret(made["secret"].as_str().unwrap());
    // Across sources and subjects, which on PostgreSQL means across shards; the effect is stored before its cause.
    let event = |id: &str, cause: Option<&str>| {
        json!({
            "specversion": "1.0", "id": id, "source": format!("/{id}"), "subject": id, "type": "order.changed",
            "correlationid": "order-7", "causationid": cause,
        })
    };
    for (id, cause) in
        [("shipped", Some("paid")), ("paid", Some("placed")), ("placed", None), ("alone", Some("never-seen"))]
    {
        hub.post("/api/v1/events", event(id, cause), 202).await;
    }
    receiver.wait_for(4).await;
    hub.wait_for("/api/v1/deliveries?state=succeeded", |page| page["items"].as_array().unwrap().len() == 4)
        .await;
    let found = journey(&hub, "shipped").await;
    assert_eq!(found["correlation_id"], "order-7");
    let mut tops: Vec<&str> =
        found["nodes"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap()).collect();
    tops.sort_unstable();
    assert_eq!(tops, ["alone", "placed"], "a cause that is not there leaves its effect at the top");
    let placed = found["nodes"].as_array().unwrap().iter().find(|node| node["id"] == "placed").unwrap();
    let paid = children(placed, "event")[0];
    assert_eq!((&paid["id"], &children(paid, "event")[0]["id"]), (&json!("paid"), &json!("shipped")));
}
