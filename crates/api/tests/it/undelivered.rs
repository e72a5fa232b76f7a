//! What an endpoint has not got, and where one event stands with every endpoint.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use trunkline_model::{DeliveryId, EndpointId, EventId, EventType};
use trunkline_store::tables::delivery::DeliveryState as S;
use trunkline_store::tables::delivery::{DeliveryRow, DeliveryState};
use trunkline_store::{Commit, CursorMove};

use crate::harness::{Hub, tenant};

pub(crate) async fn webhook(hub: &Hub, events: &[&str]) -> String {
    let made =
        hub.post("/api/v1/webhooks", &json!({ "url": "https://example.com/", "events": events })).await;
    made.body["id"].as_str().unwrap().to_owned()
}

/// Says that dispatch has come to the event.
pub(crate) async fn planned(hub: &Hub, emitted: &Value) {
    let cursor = CursorMove {
        consumer: "dispatch".into(),
        shard: emitted["shard"].as_i64().unwrap(),
        seq: emitted["seq"].as_i64().unwrap(),
    };
    hub.store.commit(Commit { cursors: vec![cursor], ..Commit::default() }).await.unwrap();
}

async fn deliver(hub: &Hub, emitted: &Value, endpoint_id: &str, state: DeliveryState) {
    let row = DeliveryRow {
        id: DeliveryId::fresh(),
        tenant: tenant(),
        endpoint_id: EndpointId::from_text(endpoint_id),
        shard: emitted["shard"].as_i64().unwrap(),
        seq: emitted["seq"].as_i64().unwrap(),
        event_id: EventId::from_text(emitted["id"].as_str().unwrap()),
        event_type: EventType::from_stored("order.paid"),
        state,
        reason: (state == DeliveryState::Cancelled).then(|| "skipped".to_owned()),
        created_at: trunkline_model::Clock::now(&*hub.clock),
        next_attempt_at: (state == DeliveryState::Pending).then(|| trunkline_model::Clock::now(&*hub.clock)),
        finished_at: None,
        n_attempts: 1,
        latest: None,
        order_key: None,
    };
    hub.store.commit(Commit::deliveries(vec![row])).await.unwrap();
}

fn standings(items: &Value) -> Vec<(String, String, String)> {
    let text = |item: &Value, name: &str| item[name].as_str().unwrap_or_default().to_owned();
    let items = items.as_array().unwrap().iter();
    items.map(|item| (text(item, "event_id"), text(item, "state"), text(item, "reason"))).collect()
}

#[tokio::test]
async fn every_event_has_a_state_and_a_reason() {
    let hub = Hub::start().await;
    let early = hub.emit("early", "order.paid").await.body;
    hub.clock.advance(std::time::Duration::from_millis(1));
    let id = webhook(&hub, &["order.*"]).await;
    let mut all = vec![early];
    for name in ["done", "waits", "gave-up", "stopped", "again", "left-out"] {
        all.push(hub.emit(name, "order.paid").await.body);
    }
    all.push(hub.emit("foreign", "visit.booked").await.body);
    for emitted in &all {
        planned(&hub, emitted).await;
    }
    hub.emit("new", "order.paid").await;
    for (index, states) in [
        (1, &[S::Succeeded][..]),
        (2, &[S::Pending]),
        (3, &[S::Exhausted]),
        (4, &[S::Cancelled]),
        (5, &[S::Exhausted, S::Succeeded]),
    ] {
        for state in states {
            deliver(&hub, &all[index], &id, *state).await;
        }
    }
    let path = format!("/api/v1/webhooks/{id}/undelivered");
    let list = async |query: &str| standings(&hub.get(&format!("{path}?{query}")).await.body["items"]);
    let expect = |rows: &[(&str, &str, &str)]| {
        rows.iter().map(|(a, b, c)| ((*a).into(), (*b).into(), (*c).into())).collect::<Vec<_>>()
    };
    let missing = [
        ("early", "skipped", "created_later"),
        ("waits", "pending", ""),
        ("gave-up", "failed", "exhausted"),
        ("stopped", "failed", "skipped"),
        ("left-out", "skipped", "filtered"),
        ("new", "skipped", "not_planned_yet"),
    ];
    assert_eq!(list("").await, expect(&missing));
    assert_eq!(list("state=failed").await, expect(&missing[2..4]));
    let done = [("done", "succeeded", ""), ("again", "succeeded", "")];
    assert_eq!(list("state=succeeded").await, expect(&done));
    let foreign = list("include=no_match&event_type=visit.*").await;
    assert_eq!(foreign, expect(&[("foreign", "skipped", "no_match")]));
    assert_eq!(list("event_type=visit.*").await, []);

    let whole = hub.get("/api/v1/undelivered").await.body["items"].clone();
    let shown: Vec<_> = whole
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["event_id"].as_str().unwrap(), item["matched_nothing"].as_bool().unwrap()))
        .collect();
    let nobodys =
        [("early", true), ("waits", false), ("gave-up", false), ("stopped", false), ("foreign", true)];
    assert_eq!(shown, nobodys);
    assert_eq!(whole[2]["endpoints"][0]["endpoint_id"], json!(id));
    assert_eq!(
        (&whole[2]["n_undelivered"], &whole[2]["endpoints"][0]["reason"]),
        (&json!(1), &json!("exhausted"))
    );
    let of = async |query: &str| {
        let page = hub.get(&format!("/api/v1/undelivered?{query}")).await.body;
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["event_id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("state=no_match").await, ["early", "foreign"]);
    assert_eq!(of("state=failed").await, ["gave-up", "stopped"]);
    assert_eq!(of("state=skipped").await, ["early", "left-out", "new"]);
    assert_eq!(of("event_type=visit.**").await, ["foreign"]);
    // The endpoint has not been changed since: its settings are those of then.
    assert_eq!(hub.get(&format!("{path}?state=skipped")).await.body["items"][1]["judged_by"], "then");

    // Pages neither skip nor repeat.
    let (mut walked, mut query) = (Vec::new(), "limit=1".to_owned());
    loop {
        let page = hub.get(&format!("{path}?{query}")).await;
        walked.extend(standings(&page.body["items"]));
        let Some(token) = page.body["next_page_token"].as_str() else { break };
        query = format!("limit=1&page_token={token}");
    }
    assert_eq!(walked, expect(&missing));

    let mut body = hub.get(&format!("/api/v1/webhooks/{id}")).await.body;
    body["active"] = false.into();
    hub.call(Method::PUT, &format!("/api/v1/webhooks/{id}"))
        .token(hub.token("admin"))
        .json(&body)
        .send()
        .await;
    let other = webhook(&hub, &["visit.*"]).await;
    let view = hub.get("/api/v1/events/left-out/endpoints").await;
    let items = view.body["items"].as_array().unwrap();
    let shown: Vec<_> = items.iter().map(|item| (&item["endpoint_id"], &item["reason"])).collect();
    assert_eq!(shown, [(&json!(other), &json!("no_match")), (&json!(id), &json!("disabled"))]);
    assert_eq!((&items[0]["judged_by"], &items[1]["judged_by"]), (&json!("now"), &json!("now")));
    let view = hub.get("/api/v1/events/again/endpoints?limit=2").await;
    assert_eq!(view.body["items"][1]["state"], "succeeded");

    let foreign = hub.call(Method::GET, &path).token(hub.stranger()).send().await;
    assert_eq!((foreign.status, foreign.code()), (StatusCode::NOT_FOUND, "endpoint.not_found"));
    let foreign = hub.call(Method::GET, "/api/v1/events/again/endpoints").token(hub.stranger()).send().await;
    assert_eq!(foreign.code(), "event.not_found");
}
