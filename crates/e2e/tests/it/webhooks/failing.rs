//! An endpoint that does nothing but fail: it is switched off, this is told, and when it is mended it gets what it missed.

use axum::http::StatusCode;
use http::Method;
use serde_json::{Value, json};

use super::{items, texts};
use crate::hub::{Hub, Site};
use crate::receiver::Receiver;
use crate::stores::on_each_store;

on_each_store![it_is_switched_off_told_and_brought_back, what_was_given_up_is_told];

async fn endpoint(hub: &Hub, receiver: &Receiver, body: Value) -> String {
    let mut all = json!({ "url": receiver.url });
    all.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    let made = hub.post("/api/v1/webhooks", all, 201).await;
    receiver.expect_secret(made["secret"].as_str().unwrap());
    made["id"].as_str().unwrap().to_owned()
}

/// The bodies of a type that a receiver has got.
fn told(receiver: &Receiver, event_type: &str) -> Vec<Value> {
    let bodies = receiver.order().into_iter().map(|body| serde_json::from_slice::<Value>(&body).unwrap());
    bodies.filter(|body| body["type"] == event_type).collect()
}

async fn it_is_switched_off_told_and_brought_back(site: Site) {
    let site = site.with("[dispatch]\ndisable_after_s = 1\nbackoff_ms = [100]\nmax_attempts = 100\n");
    let (failing, watcher) = (Receiver::start().await, Receiver::start().await);
    let mut hub = site.start();
    failing.answer(|_| StatusCode::INTERNAL_SERVER_ERROR);
    let id = endpoint(&hub, &failing, json!({ "events": ["visit.*", "endpoint.*"] })).await;
    endpoint(&hub, &watcher, json!({ "events": ["endpoint.*", "delivery.*"] })).await;
    let path = format!("/api/v1/webhooks/{id}");
    let mut missed = vec![hub.emit("visit.begun", json!({ "n": 0 })).await];
    // The clock is in the store: it runs on through a crash.
    hub.wait_for(&format!("{path}/health"), |health| health["failing_since"].is_string()).await;
    let since = hub.get(&format!("{path}/health")).await["failing_since"].clone();
    hub.kill();
    hub = site.start();
    let health = hub.wait_for(&format!("{path}/health"), |health| health["state"] == "disabled").await;
    assert_eq!(health["failing_since"], since);
    assert_eq!(health["disabled_reason"], "failing for too long");
    assert_eq!(hub.get(&path).await["active"], false);

    watcher.wait_for(1).await;
    let off = &told(&watcher, "endpoint.disabled")[0]["data"];
    assert_eq!((&off["endpoint_id"], &off["reason"]), (&json!(id), &json!("failing for too long")));
    assert_eq!(off["failing_since"], since);
    assert!(
        off["last_error"].as_str().unwrap().contains("500") && off["n_failures"].as_u64() > Some(1),
        "{off}"
    );

    for n in 1..5 {
        missed.push(hub.emit("visit.begun", json!({ "n": n })).await);
    }
    let undelivered = format!("{path}/undelivered");
    let all_judged = |page: &Value| {
        let judged = items(page).iter().filter(|item| item["reason"] != "not_planned_yet");
        judged.filter(|item| item["state"] != "pending").count() == missed.len()
    };
    let page = hub.wait_for(&undelivered, all_judged).await;
    assert_eq!(texts(&page["items"], "event_id"), missed, "oldest first");
    assert_eq!(texts(&page["items"], "state"), ["failed", "skipped", "skipped", "skipped", "skipped"]);
    assert_eq!(texts(&page["items"], "reason")[0], "failing for too long");
    assert!(texts(&page["items"], "reason")[1..].iter().all(|reason| *reason == "disabled"), "{page}");
    let everywhere = hub.get("/api/v1/undelivered?state=failed").await;
    assert_eq!(items(&everywhere).len(), 1, "{everywhere}");
    let n_attempts = failing.n_attempts();

    // Mended: in one step it is on again and gets all of it, the event that it began with too.
    failing.answer(|_| StatusCode::OK);
    let recovery = hub.post(&format!("{path}/recover"), json!({ "rate_per_s": 1000 }), 201).await;
    assert_eq!(recovery["webhook"]["active"], true);
    let job = format!("/api/v1/replays/{}", recovery["replay"]["id"].as_str().unwrap());
    let done = hub.wait_for(&job, |job| job["state"] == "completed").await;
    assert_eq!(done["n_planned"], missed.len(), "{done}");
    failing.wait_for(missed.len()).await;
    let mut received: Vec<String> = failing.received().into_keys().collect();
    received.sort();
    missed.sort();
    assert_eq!(received, missed, "under the ids of the first time, and nothing of what is told of itself");
    assert_eq!(failing.n_attempts(), n_attempts + missed.len() as u64);
    hub.wait_for(&undelivered, |page| items(page).is_empty()).await;
    let healthy = hub.wait_for(&format!("{path}/health"), |health| health["state"] == "healthy").await;
    assert_eq!((&healthy["failing_since"], &healthy["n_failures"]), (&Value::Null, &json!(0)));
    let unknown = hub.call(Method::POST, &format!("{path}/recover"), Some(json!({}))).await.expect(400);
    assert_eq!(unknown["errors"][0]["pointer"], "/since", "no failure is on record any more");
}

async fn what_was_given_up_is_told(site: Site) {
    let (failing, watcher) = (Receiver::start().await, Receiver::start().await);
    let hub = site.start();
    failing.answer(|_| StatusCode::SERVICE_UNAVAILABLE);
    let settings = json!({ "events": ["visit.*"], "max_attempts": 2, "backoff_ms": [10] });
    let id = endpoint(&hub, &failing, settings).await;
    endpoint(&hub, &watcher, json!({ "events": ["delivery.exhausted"] })).await;
    let event = hub.emit("visit.begun", json!({})).await;
    watcher.wait_for(1).await;
    let told = &told(&watcher, "delivery.exhausted")[0]["data"];
    for (name, value) in [
        ("endpoint_id", json!(id)),
        ("event_id", json!(event)),
        ("event_type", json!("visit.begun")),
        ("n_attempts", json!(2)),
        ("status", json!(503)),
        ("error_class", json!("http_5xx")),
    ] {
        assert_eq!(told[name], value, "{name}: {told}");
    }
    let delivery = hub.get(&format!("/api/v1/deliveries/{}", told["delivery_id"].as_str().unwrap())).await;
    assert_eq!(delivery["state"], "exhausted");
}
