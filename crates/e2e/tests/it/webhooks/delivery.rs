//! Delivery with nothing set: ten seconds, five attempts, waits of 5, 10, 20 and 40 seconds, five at once, signed.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use trunkline_model::Timestamp;
use trunkline_testkit::{HostileReceiver, Misconduct};

use super::items;
use crate::hub::{Hub, Site};
use crate::receiver::Receiver;
use crate::stores::on_each_store;

on_each_store![
    five_attempts_with_doubling_waits,
    five_at_once_for_ten_seconds,
    every_figure_can_be_set_for_all_or_for_one
];

async fn endpoint(hub: &Hub, url: &str) -> Value {
    hub.post("/api/v1/webhooks", json!({ "url": url, "events": ["load.*"] }), 201).await
}

fn time(value: &Value) -> Timestamp {
    Timestamp::parse_rfc3339(value.as_str().unwrap()).unwrap()
}

async fn five_attempts_with_doubling_waits(site: Site) {
    let failing = HostileReceiver::start(Misconduct::Answer(500, String::new())).await;
    let hub = site.start();
    endpoint(&hub, &failing.url("http")).await;
    let event = hub.emit("load.sent", json!({})).await;
    let list = format!("/api/v1/deliveries?event_id={event}");
    let found = hub.wait_for(&list, |page| !items(page).is_empty()).await;
    let path = format!("/api/v1/deliveries/{}", items(&found)[0]["id"].as_str().unwrap());
    for (n, wait_s) in [(1, 5.0), (2, 10.0), (3, 20.0), (4, 40.0)] {
        let delivery = hub.wait_for(&path, |delivery| delivery["n_attempts"] == n).await;
        assert_eq!(
            (&delivery["state"], delivery["attempts"].as_array().unwrap().len()),
            (&json!("pending"), n)
        );
        let latest = &delivery["attempts"][n - 1];
        assert_eq!((&latest["number"], &latest["error_class"]), (&json!(n), &json!("http_5xx")));
        let took = Duration::from_secs_f64(latest["duration_ms"].as_f64().unwrap() / 1000.0);
        let ended = time(&latest["started_at"]).plus(took);
        let wait = time(&delivery["next_attempt_at"]).since(ended).as_secs_f64();
        // Spread by a fifth; the end of an attempt is noted a moment after the answer came.
        assert!((wait_s * 0.8 - 0.1..=wait_s * 1.2 + 1.0).contains(&wait), "wait {n} is {wait} s");
        // Asked for by hand, the next one needs no waiting.
        hub.call(Method::POST, &format!("{path}/retry"), None).await.expect(202);
    }
    let delivery = hub.wait_for(&path, |delivery| delivery["state"] == "exhausted").await;
    assert_eq!((&delivery["n_attempts"], failing.n_requests()), (&json!(5), 5));
    assert!(delivery["next_attempt_at"].is_null() && delivery["finished_at"].is_string());
}

async fn five_at_once_for_ten_seconds(site: Site) {
    const N: usize = 20;
    let (silent, well) = (HostileReceiver::start(Misconduct::Silence).await, Receiver::start().await);
    let hub = site.start();
    let stuck = endpoint(&hub, &silent.url("http")).await;
    let fine = endpoint(&hub, &well.url).await;
    well.expect_secret(fine["secret"].as_str().unwrap());
    for n in 0..N {
        hub.emit("load.sent", json!({ "n": n })).await;
    }
    well.wait_for(N).await;
    assert!(silent.n_requests() <= 5, "{} attempts at once", silent.n_requests());
    let path = format!("/api/v1/webhooks/{}/deliveries?limit=100", stuck["id"].as_str().unwrap());
    let is_tried = |item: &&Value| item["n_attempts"] == 1;
    let page = hub.wait_for(&path, |page| items(page).iter().filter(is_tried).count() == 5).await;
    assert!(silent.n_requests() >= 5);
    for item in items(&page).iter().filter(is_tried) {
        assert_eq!(item["latest_attempt"]["error_class"], "timeout");
        let took = item["latest_attempt"]["duration_ms"].as_f64().unwrap();
        assert!((9_900.0..30_000.0).contains(&took), "a timeout after {took} ms");
    }
}

async fn every_figure_can_be_set_for_all_or_for_one(site: Site) {
    let more =
        "[dispatch]\ntimeout_ms = 300\nmax_attempts = 2\nbackoff_ms = [50]\nin_flight_per_endpoint = 2\n";
    let site = site.with(more);
    let silent = HostileReceiver::start(Misconduct::Silence).await;
    let hub = site.start();
    let by_default = endpoint(&hub, &silent.url("http")).await;
    let body =
        json!({ "url": silent.url("http"), "events": ["load.*"], "max_attempts": 3, "timeout_ms": 100 });
    let own = hub.post("/api/v1/webhooks", body, 201).await;
    hub.emit("load.sent", json!({})).await;
    for (endpoint, n_attempts, at_least) in [(&by_default, 2, 300.0), (&own, 3, 100.0)] {
        let path = format!("/api/v1/webhooks/{}/deliveries", endpoint["id"].as_str().unwrap());
        let page = hub
            .wait_for(&path, |page| items(page).first().is_some_and(|one| one["state"] == "exhausted"))
            .await;
        let delivery = &items(&page)[0];
        assert_eq!(delivery["n_attempts"], n_attempts);
        assert!(delivery["latest_attempt"]["duration_ms"].as_f64().unwrap() >= at_least);
    }
}
