//! Searching the history by what no index knows, and calls from pages of other origins.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use trunkline_model::{EventId, Timestamp};
use trunkline_store::Commit;
use trunkline_store::tables::delivery::DeliveryRow;

use crate::harness::Hub;
use crate::journey::{delivery, delivery_of};

async fn emit(hub: &Hub, id: &str, data: Value) {
    let event =
        json!({ "specversion": "1.0", "id": id, "source": "/tests", "type": "visit.booked", "data": data });
    assert_eq!(hub.post("/api/v1/events", &event).await.status, StatusCode::ACCEPTED);
}

/// The ids of every page's items, and how many pages there were.
async fn walk(hub: &Hub, path: &str, name: &str) -> (Vec<String>, usize) {
    let (mut found, mut token, mut n_pages) = (Vec::new(), String::new(), 0);
    loop {
        let answer = hub.get(&format!("{path}{token}")).await;
        let items = answer.body["items"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
        found.extend(items.iter().map(|item| item[name].as_str().unwrap().to_owned()));
        n_pages += 1;
        match answer.body["next_page_token"].as_str() {
            Some(next) => token = format!("&page_token={next}"),
            None => return (found, n_pages),
        }
    }
}

#[tokio::test]
async fn events_and_deliveries_are_found_by_content() {
    let hub = Hub::start().await;
    let mut rows = Vec::new();
    for n in 0..7_i64 {
        let id = format!("e{n}");
        emit(&hub, &id, json!({ "patient": { "id": n % 3, "code": (n % 3).to_string() }, "paid": n > 3 }))
            .await;
        rows.push(delivery_of(&hub, &id).await);
    }
    hub.store.commit(Commit::deliveries(rows)).await.unwrap();
    for (query, expect) in [
        ("data=/patient/id=1", &["e4", "e1"][..]),
        ("data=/patient/id=1&data=/paid=true", &["e4"]),
        ("data=/patient/code=%221%22", &["e4", "e1"]),
        ("data=/patient/code=1", &[]),
        ("data=/patient/none=1", &[]),
        ("data=/paid=false&limit=1", &["e3", "e2", "e1", "e0"]),
    ] {
        let (found, _) = walk(&hub, &format!("/api/v1/events?{query}"), "id").await;
        assert_eq!(found, expect, "{query}");
        let (mut found, _) = walk(&hub, &format!("/api/v1/deliveries?{query}"), "event_id").await;
        found.sort_by(|a, b| b.cmp(a));
        assert_eq!(found, expect, "{query}");
    }
    for query in ["data=patient=1", "data=/patient", "data=/a~2=1"] {
        for list in ["events", "deliveries"] {
            assert_eq!(
                hub.get(&format!("/api/v1/{list}?{query}")).await.pointers(),
                ["query:data/0"],
                "{query}"
            );
        }
    }
    let twice = hub.get("/api/v1/events?type=a.b&type=a.b").await;
    assert_eq!(twice.pointers(), ["query:type"], "only lists may be repeated");
}

#[tokio::test]
async fn deliveries_are_found_by_time_and_outcome() {
    let hub = Hub::start().await;
    let at = |secs: i64| Timestamp::from_secs(1_700_000_000 + secs);
    let rows: Vec<DeliveryRow> = (0..6_i64)
        .map(|n| {
            let mut row = delivery(&EventId::from_text(format!("e{n}")), n + 1);
            // As a hub's clock would have made the id.
            let millis = at(n).as_micros() / 1000;
            row.id = trunkline_model::DeliveryId::from_text(format!("dlv_{millis:012x}{n:020x}"));
            row.created_at = at(n);
            let latest = row.latest.as_mut().unwrap();
            (latest.status, latest.error_class) = if n % 2 == 0 {
                (Some(503), Some("http_5xx".into()))
            } else {
                (None, Some("timeout".into()))
            };
            row
        })
        .collect();
    hub.store.commit(Commit::deliveries(rows)).await.unwrap();
    for (query, expect) in [
        ("error_class=timeout".to_owned(), &["e5", "e3", "e1"][..]),
        ("status=503&limit=2".to_owned(), &["e4", "e2", "e0"]),
        (format!("since={}&until={}", at(2), at(4)), &["e3", "e2"]),
        (format!("since={}&error_class=timeout", at(4)), &["e5"]),
        ("event_id=e3".to_owned(), &["e3"]),
        ("state=succeeded".to_owned(), &[]),
    ] {
        let (found, _) = walk(&hub, &format!("/api/v1/deliveries?{query}"), "event_id").await;
        assert_eq!(found, expect, "{query}");
    }
}

#[tokio::test]
async fn a_call_looks_at_so_much_and_says_where_to_go_on() {
    let hub = Hub::start().await;
    let rows = (0..5_300_i64).map(|n| delivery(&EventId::from_text(format!("e{n}")), n + 1)).collect();
    hub.store.commit(Commit::deliveries(rows)).await.unwrap();
    let first = hub.get("/api/v1/deliveries?event_id=e7").await.body;
    assert_eq!(first["items"], json!([]));
    assert!(first["next_page_token"].is_string());
    let (found, n_pages) = walk(&hub, "/api/v1/deliveries?event_id=e7", "event_id").await;
    assert!(n_pages >= 2);
    assert_eq!(found, ["e7"]);
}

#[tokio::test]
async fn only_named_origins_may_read_answers() {
    let hub = Hub::start().await;
    let ask = async |method: Method, origin: &str| {
        let call = hub.call(method, "/api/v1/webhooks").header("origin", origin);
        call.header("access-control-request-method", "PUT").send().await
    };
    let known = "https://portal.example";
    let preflight = ask(Method::OPTIONS, known).await;
    assert_eq!(preflight.status, StatusCode::OK);
    assert_eq!(preflight.header("access-control-allow-origin"), known);
    assert!(preflight.header("access-control-allow-methods").contains("PUT"));
    assert!(preflight.header("access-control-allow-headers").contains("authorization"));
    assert_eq!(preflight.header("access-control-allow-credentials"), "");
    let refused = ask(Method::GET, known).await;
    assert_eq!(
        (refused.status, refused.header("access-control-allow-origin")),
        (StatusCode::UNAUTHORIZED, known)
    );
    for foreign in
        ["https://portal.example.evil", "http://portal.example", "https://portal.example:8443", "null", "*"]
    {
        for method in [Method::OPTIONS, Method::GET] {
            let answer = ask(method, foreign).await;
            assert_eq!(answer.header("access-control-allow-origin"), "", "{foreign}");
            assert_eq!(answer.header("vary"), "origin");
        }
    }
}
