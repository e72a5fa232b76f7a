//! Looking back and acting on many: the history of deliveries, the test sender, batches, and replays.

use http::Method;
use serde_json::{Value, json};
use trunkline_testkit::{HostileReceiver, Misconduct};

use super::{items, texts};
use crate::hub::{Hub, Site};
use crate::receiver::Receiver;
use crate::stores::on_each_store;

on_each_store![
    every_delivery_can_be_found_and_explained,
    many_are_switched_and_sent_again_at_once,
    a_delivery_is_tried_again_by_hand,
    analytics_count_what_happened_by_endpoint_and_type
];

async fn endpoint(hub: &Hub, url: &str, pattern: &str) -> Value {
    let body = json!({ "url": url, "events": [pattern], "max_attempts": 1, "in_flight": 50 });
    hub.post("/api/v1/webhooks", body, 201).await
}

async fn every_delivery_can_be_found_and_explained(site: Site) {
    let (well, failing) =
        (Receiver::start().await, HostileReceiver::start(Misconduct::Answer(503, String::new())).await);
    let hub = site.start();
    let fine = endpoint(&hub, &well.url, "visit.*").await;
    well.expect_secret(fine["secret"].as_str().unwrap());
    let broken = endpoint(&hub, &failing.url("http"), "visit.ended").await;
    let begun = hub.emit("visit.begun", json!({ "room": 3 })).await;
    let ended = hub.emit("visit.ended", json!({ "room": 3 })).await;
    let count = async |query: &str| items(&hub.get(&format!("/api/v1/deliveries?{query}")).await).len();
    hub.wait_for("/api/v1/deliveries?state=exhausted", |page| items(page).len() == 1).await;
    hub.wait_for("/api/v1/deliveries?state=succeeded", |page| items(page).len() == 2).await;
    assert_eq!(count("state=pending").await, 0);
    assert_eq!(count("event_type=visit.ended").await, 2);
    assert_eq!(count(&format!("event_id={begun}")).await, 1);
    assert_eq!(count(&format!("endpoint_id={}&state=succeeded", fine["id"].as_str().unwrap())).await, 2);
    for query in ["state=lost", "limit=101", "colour=red"] {
        assert_eq!(
            hub.call(Method::GET, &format!("/api/v1/deliveries?{query}"), None).await.status,
            400,
            "{query}"
        );
    }
    let list = hub.get(&format!("/api/v1/webhooks/{}/deliveries", broken["id"].as_str().unwrap())).await;
    let delivery = hub.get(&format!("/api/v1/deliveries/{}", items(&list)[0]["id"].as_str().unwrap())).await;
    let attempt = &delivery["attempts"][0];
    assert_eq!((&attempt["status"], &attempt["error_class"]), (&json!(503), &json!("http_5xx")));
    assert!(attempt["response_head"].as_str().unwrap().starts_with("HTTP/1.1 503"));
    let journey = hub.call(Method::GET, &format!("/api/v1/events/{ended}/journey"), None).await;
    journey.expect(200);
    let text = String::from_utf8_lossy(&journey.body).into_owned();
    assert!(text.contains(fine["id"].as_str().unwrap()) && text.contains(broken["id"].as_str().unwrap()));
}

async fn many_are_switched_and_sent_again_at_once(site: Site) {
    const N_EVENTS: usize = 30;
    let (well, failing) =
        (Receiver::start().await, HostileReceiver::start(Misconduct::Answer(500, String::new())).await);
    let hub = site.start();
    // Behind one breaker-free endpoint each event fails once.
    let made = endpoint(&hub, &failing.url("http"), "visit.*").await;
    let spare = endpoint(&hub, &failing.url("http"), "nothing.*").await;
    let ids = json!([made["id"], spare["id"]]);
    let batch = async |action: &str| {
        let answer = hub.post("/api/v1/webhooks/batch", json!({ "action": action, "ids": ids }), 200).await;
        texts(&answer["results"], "status").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(batch("disable").await, ["done", "done"]);
    for n in 0..N_EVENTS {
        hub.emit("visit.ended", json!({ "n": n })).await;
    }
    let path = format!("/api/v1/webhooks/{}", made["id"].as_str().unwrap());
    let missed =
        |page: &Value| items(page).iter().filter(|item| item["reason"] == "disabled").count() == N_EVENTS;
    hub.wait_for(&format!("{path}/undelivered?limit=100"), missed).await;
    assert_eq!(failing.n_requests(), 0, "an endpoint that is off gets nothing");
    assert_eq!(batch("enable").await, ["done", "done"]);
    assert_eq!(batch("enable").await, ["unchanged", "unchanged"]);

    // The receiver is mended, by moving to one that works; what was missed is sent.
    let body = json!({ "url": well.url, "events": ["visit.*"] });
    hub.call(Method::PUT, &path, Some(body)).await.expect(200);
    well.expect_secret(made["secret"].as_str().unwrap());
    let job = json!({ "endpoint_id": made["id"], "since": made["created_at"], "rate_per_s": 1000 });
    let mut dry = job.clone();
    dry["dry_run"] = json!(true);
    assert_eq!(hub.post("/api/v1/replays", dry, 200).await["n_planned"], N_EVENTS);
    let started = hub.post("/api/v1/replays", job, 201).await;
    let replay = format!("/api/v1/replays/{}", started["id"].as_str().unwrap());
    let done = hub.wait_for(&replay, |job| job["state"] == "completed").await;
    assert_eq!(done["n_planned"], N_EVENTS);
    well.wait_for(N_EVENTS).await;
    assert_eq!(
        items(&hub.wait_for(&format!("{path}/undelivered"), |page| items(page).is_empty()).await).len(),
        0
    );

    assert_eq!(batch("delete").await, ["done", "done"]);
    assert_eq!(items(&hub.get("/api/v1/webhooks").await).len(), 0);
}

async fn a_delivery_is_tried_again_by_hand(site: Site) {
    let well = Receiver::start().await;
    let hub = site.start();
    let gone = HostileReceiver::start(Misconduct::CloseBeforeHead).await;
    let made = endpoint(&hub, &gone.url("http"), "visit.*").await;
    let event = hub.emit("visit.ended", json!({})).await;
    let list = format!("/api/v1/deliveries?event_id={event}");
    let page =
        hub.wait_for(&list, |page| items(page).first().is_some_and(|one| one["state"] == "exhausted")).await;
    let path = format!("/api/v1/deliveries/{}", items(&page)[0]["id"].as_str().unwrap());
    let endpoint_path = format!("/api/v1/webhooks/{}", made["id"].as_str().unwrap());
    let body = json!({ "url": well.url, "events": ["visit.*"] });
    hub.call(Method::PUT, &endpoint_path, Some(body)).await.expect(200);
    well.expect_secret(made["secret"].as_str().unwrap());
    let again = hub.call(Method::POST, &format!("{path}/retry"), None).await.expect(202);
    assert!(path.ends_with(again["delivery_id"].as_str().unwrap()), "the same delivery goes on");
    let delivery = hub.wait_for(&path, |delivery| delivery["state"] == "succeeded").await;
    assert_eq!(delivery["n_attempts"], 2);
    // In place of one that has succeeded there is a new one, under the same webhook-id.
    let anew = hub.call(Method::POST, &format!("{path}/retry"), None).await.expect(202);
    let path = format!("/api/v1/deliveries/{}", anew["delivery_id"].as_str().unwrap());
    hub.wait_for(&path, |delivery| delivery["state"] == "succeeded").await;
    let received = well.received();
    assert_eq!((received.len(), received.values().next().unwrap().count), (1, 2));
}

async fn analytics_count_what_happened_by_endpoint_and_type(site: Site) {
    let (well, failing) =
        (Receiver::start().await, HostileReceiver::start(Misconduct::Answer(503, String::new())).await);
    let hub = site.start();
    let fine = endpoint(&hub, &well.url, "visit.*").await;
    well.expect_secret(fine["secret"].as_str().unwrap());
    let broken = endpoint(&hub, &failing.url("http"), "visit.ended").await;
    for n in 0..3 {
        hub.emit("visit.begun", json!({ "n": n })).await;
        hub.emit("visit.ended", json!({ "n": n })).await;
    }
    let all_in = |found: &Value| found["totals"]["n_attempts"] == 9;
    let by_endpoint = hub.wait_for("/api/v1/webhooks/analytics?group_by=endpoint", all_in).await;
    let totals = &by_endpoint["totals"];
    assert_eq!(totals["deliveries"], json!({ "succeeded": 6, "exhausted": 3, "cancelled": 0 }));
    assert_eq!((&totals["n_successes"], &totals["failures"]["http_5xx"]), (&json!(6), &json!(3)));
    assert!((totals["success_rate"].as_f64().unwrap() - 6.0 / 9.0).abs() < 1e-9);
    assert!(totals["latency_ms"]["p50"].as_f64().unwrap() <= totals["latency_ms"]["p99"].as_f64().unwrap());
    let rates: Vec<(&str, f64)> = by_endpoint["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| (group["endpoint_id"].as_str().unwrap(), group["success_rate"].as_f64().unwrap()))
        .collect();
    assert_eq!(rates, [(fine["id"].as_str().unwrap(), 1.0), (broken["id"].as_str().unwrap(), 0.0)]);
    let by_type = hub.get("/api/v1/webhooks/analytics?group_by=type").await;
    assert_eq!(texts(&by_type["groups"], "event_type"), ["visit.ended", "visit.begun"]);
    let path = format!("/api/v1/webhooks/{}", broken["id"].as_str().unwrap());
    assert_eq!(hub.get(&format!("{path}/analytics")).await["totals"]["n_failures"], 3);
    let health = hub.wait_for(&format!("{path}/health"), |health| health["n_failures"] == 3).await;
    assert!(health["last_error"].as_str().unwrap().contains("503"), "{health}");
}
