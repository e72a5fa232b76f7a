//! Replay jobs that are paused, outlive the hub, and go on where they were.

use http::Method;
use serde_json::{Value, json};
use trunkline_store::{Store, StoreOptions, params};

use crate::hub::{Hub, Site};
use crate::receiver::Receiver;
use crate::stores::on_each_store;

on_each_store![a_paused_job_outlives_the_hub_and_goes_on];

/// More than a job plans ahead at its pace.
const N_EVENTS: usize = 600;
const RATE: usize = 25;

/// Emits events that an endpoint misses because it is off.
async fn miss(hub: &Hub) {
    for batch in 0..N_EVENTS / 100 {
        let event = |n: usize| {
            json!({
                "specversion": "1.0", "id": format!("missed-{batch}-{n}"), "source": format!("/e2e/{}", n % 8),
                "type": "visit.begun", "data": { "n": n },
            })
        };
        let events: Vec<Value> = (0..100).map(event).collect();
        let batch = [("content-type", "application/cloudevents-batch+json")];
        let answer =
            hub.call_with(Method::POST, "/api/v1/events", Some(json!(events)), &batch).await.expect(200);
        assert!(
            answer["items"].as_array().unwrap().iter().all(|item| item["status"] == "accepted"),
            "{answer}"
        );
    }
}

/// Waits until dispatch has passed over all of them: what it has not come to yet it would send by itself.
async fn pass_over(hub: &Hub, endpoint: &Value) {
    let path = format!("/api/v1/webhooks/{}/undelivered?limit=100", endpoint["id"].as_str().unwrap());
    let (mut n_passed, mut token) = (0, String::new());
    while n_passed < N_EVENTS {
        let is_passed = |item: &Value| item["reason"] == "disabled";
        let all_passed = |page: &Value| page["items"].as_array().unwrap().iter().all(is_passed);
        let page = hub.wait_for(&format!("{path}{token}"), all_passed).await;
        n_passed += page["items"].as_array().unwrap().len();
        token =
            page["next_page_token"].as_str().map(|token| format!("&page_token={token}")).unwrap_or_default();
    }
    assert_eq!(n_passed, N_EVENTS);
}

async fn a_paused_job_outlives_the_hub_and_goes_on(site: Site) {
    let receiver = Receiver::start().await;
    let mut hub = site.start();
    let body = json!({ "url": receiver.url, "events": ["visit.*"], "in_flight": 50, "active": false });
    let made = hub.post("/api/v1/webhooks", body, 201).await;
    receiver.expect_secret(made["secret"].as_str().unwrap());
    miss(&hub).await;
    pass_over(&hub, &made).await;
    let on = json!({ "action": "enable", "ids": [made["id"]] });
    hub.post("/api/v1/webhooks/batch", on, 200).await;
    let job = json!({
        "endpoint_id": made["id"], "since": made["created_at"], "states": ["missed"], "rate_per_s": RATE,
    });
    let started = hub.post("/api/v1/replays", job.clone(), 201).await;
    let path = format!("/api/v1/replays/{}", started["id"].as_str().unwrap());
    hub.wait_for(&path, |job| job["n_planned"].as_u64() > Some(0)).await;
    receiver.wait_for(1).await;

    let paused = hub.call(Method::POST, &format!("{path}/pause"), None).await.expect(200);
    assert_eq!(paused["state"], "paused");
    let n_planned = hub.get(&path).await["n_planned"].as_u64().unwrap() as usize;
    assert!((1..N_EVENTS).contains(&n_planned), "{n_planned} of {N_EVENTS} are planned ahead");
    hub.kill();
    hub = site.start();
    // What was planned before the pause is sent, and nothing beside; the hub is at work meanwhile.
    receiver.wait_for(n_planned).await;
    hub.wait_for("/api/v1/deliveries?state=pending", |page| page["items"] == json!([])).await;
    hub.emit("visit.ended", json!({})).await;
    receiver.wait_for(n_planned + 1).await;
    let still = hub.get(&path).await;
    assert_eq!((&still["state"], &still["n_planned"]), (&json!("paused"), &json!(n_planned)));
    assert_eq!(receiver.received().len(), n_planned + 1);
    let again = hub.call(Method::POST, &format!("{path}/pause"), None).await.expect(200);
    assert_eq!(again["state"], "paused");

    let resumed = hub.call(Method::POST, &format!("{path}/resume"), None).await.expect(200);
    assert_eq!(resumed["state"], "running");
    hub.wait_for(&path, |job| job["n_planned"].as_u64() > Some(n_planned as u64)).await;
    hub.kill();
    hub = site.start();
    let done = hub.wait_for(&path, |job| job["state"] == "completed").await;
    assert_eq!(done["n_planned"], N_EVENTS);
    receiver.wait_for(N_EVENTS + 1).await;
    hub.wait_for("/api/v1/deliveries?state=pending", |page| page["items"] == json!([])).await;

    // One that is cancelled plans nothing more, and cannot be taken up again.
    let mut all = job;
    all["states"] = json!(["succeeded"]);
    let started = hub.post("/api/v1/replays", all, 201).await;
    let other = format!("/api/v1/replays/{}", started["id"].as_str().unwrap());
    assert_eq!(
        hub.call(Method::POST, &format!("{other}/cancel"), None).await.expect(200)["state"],
        "cancelled"
    );
    for act in ["resume", "pause"] {
        let refused = hub.call(Method::POST, &format!("{other}/{act}"), None).await.expect(409);
        assert_eq!(refused["code"], "replay.state_conflict");
    }
    let n_of_cancelled = hub.get(&other).await["n_planned"].as_u64().unwrap();
    hub.wait_for("/api/v1/deliveries?state=pending", |page| page["items"] == json!([])).await;
    assert_eq!(hub.terminate().0, Some(0));

    let store = Store::open(StoreOptions::new(site.store_url())).await.unwrap();
    let counts = "SELECT count(*), count(DISTINCT event_id) FROM deliveries WHERE endpoint_id = $1";
    let mut rows = store.query(counts, params![made["id"].as_str().unwrap()]).await.unwrap();
    let (n_rows, n_events) = (rows[0].int().unwrap() as u64, rows[0].int().unwrap() as u64);
    assert_eq!(n_events, N_EVENTS as u64 + 1);
    assert_eq!(n_rows, n_events + n_of_cancelled, "no pair was made twice");
    store.close().await;
}
