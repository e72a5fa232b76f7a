//! Consumers that fetch: every event once the cursor is committed, in order, and nobody else's.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use trunkline_model::{Clock as _, PollerId};
use trunkline_store::Commit;
use trunkline_store::tables::poll::{PollerRow, poller_insert};

use crate::harness::{Hub, tenant};

fn ids(answer: &Value) -> Vec<String> {
    let items = answer["items"].as_array().unwrap().iter();
    items.map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_poller_fetches_commits_and_seeks() {
    let hub = Hub::start().await;
    hub.emit("before", "order.paid").await;
    let input = json!({ "name": "books", "events": ["order.*"] });
    let made = hub.post("/api/v1/pollers", &input).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let path = made.header("location").to_owned();
    let fetch = async |query: &str| hub.get(&format!("{path}/messages?{query}")).await.body;
    assert_eq!(ids(&fetch("").await), [] as [&str; 0]);
    for index in 0..7 {
        hub.emit(&format!("order-{index}"), "order.paid").await;
        hub.emit(&format!("visit-{index}"), "visit.booked").await;
    }
    // One source, so one key: in order. Nothing moves until it is committed.
    let first = fetch("limit=4").await;
    assert_eq!(ids(&first), ["order-0", "order-1", "order-2", "order-3"]);
    assert_eq!(first["has_more"], true);
    assert_eq!(ids(&fetch("limit=4").await), ids(&first));
    let cursor = first["next_cursor"].as_str().unwrap();
    let ahead = fetch(&format!("cursor={cursor}")).await;
    assert_eq!(ids(&ahead), ["order-4", "order-5", "order-6"]);
    assert_eq!(ahead["has_more"], false);
    let committed = hub.post(&format!("{path}/commit"), &json!({ "cursor": cursor })).await;
    assert_eq!(committed.body["cursor"], *cursor);
    assert_eq!(ids(&fetch("").await), ids(&ahead));

    let seek = async |body: Value| hub.post(&format!("{path}/seek"), &body).await;
    assert_eq!(seek(json!({ "to": "start" })).await.status, StatusCode::OK);
    assert_eq!(ids(&fetch("").await).first().map(String::as_str), Some("before"));
    seek(json!({ "to": "end" })).await;
    assert_eq!(ids(&fetch("").await), [] as [&str; 0]);
    hub.clock.advance(std::time::Duration::from_mins(1));
    let since = trunkline_model::Clock::now(&*hub.clock).to_rfc3339();
    hub.emit("late", "order.paid").await;
    seek(json!({ "since": since })).await;
    assert_eq!(ids(&fetch("").await), ["late"]);
    assert_eq!(seek(json!({})).await.pointers(), [""]);
    assert_eq!(seek(json!({ "cursor": "AAAA" })).await.pointers(), ["/cursor"]);

    assert_eq!(hub.get("/api/v1/pollers").await.body["items"].as_array().map(Vec::len), Some(1));
    let foreign = hub.call(Method::GET, &format!("{path}/messages")).token(hub.stranger()).send().await;
    assert_eq!(foreign.code(), "poller.not_found");
    let delete = || hub.call(Method::DELETE, &path).token(hub.token("operator")).send();
    assert_eq!(delete().await.status, StatusCode::NO_CONTENT);
    assert_eq!(delete().await.code(), "poller.not_found");
}

#[tokio::test]
async fn another_tenants_events_are_passed_over() {
    let hub = Hub::start().await;
    let input = json!({ "name": "books", "events": ["**"] });
    let made = hub.post("/api/v1/pollers", &input).await;
    let path = made.header("location").to_owned();
    let event = json!({ "specversion": "1.0", "id": "theirs", "source": "/x", "type": "order.paid" });
    hub.call(Method::POST, "/api/v1/events").token(hub.stranger()).json(&event).send().await;
    hub.emit("ours", "order.paid").await;
    let found = hub.get(&format!("{path}/messages")).await.body;
    assert_eq!(ids(&found), ["ours"]);
    assert_eq!((&found["items"][0]["type"], &found["has_more"]), (&json!("order.paid"), &json!(false)));
}

#[tokio::test]
async fn a_tenant_has_so_many_pollers() {
    let hub = Hub::start().await;
    let now = hub.clock.now();
    let poller = || {
        poller_insert(&PollerRow {
            id: PollerId::fresh(),
            tenant: tenant(),
            name: String::new(),
            events: "[]".to_owned(),
            position: String::new(),
            created_at: now,
            updated_at: now,
        })
    };
    let statements = (0..1000).map(|_| poller()).collect();
    hub.store.commit(Commit::statements(statements)).await.unwrap();
    let refused = hub.post("/api/v1/pollers", &json!({ "name": "one more", "events": ["**"] })).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "poller.too_many"));
}
