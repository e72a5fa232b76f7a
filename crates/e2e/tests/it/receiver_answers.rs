//! What receivers answer has the effect that is promised: 410, `Retry-After`, a long outage; and one endpoint that is dead
//! costs the others nothing.

use std::time::Duration;

use serde_json::{Value, json};
use trunkline_model::Timestamp;
use trunkline_testkit::{HostileReceiver, Misconduct};

use crate::hub::{Hub, Site};
use crate::receiver::Receiver;
use crate::stores::on_each_store;

on_each_store![
    gone_switches_the_endpoint_off,
    retry_after_lengthens_the_wait_in_both_its_forms,
    a_long_outage_opens_the_breaker_of_that_endpoint_alone,
    a_dead_endpoint_costs_the_others_nothing
];

/// Lines of an HTTP answer's head.
fn answers(status: u16, lines: &str) -> Misconduct {
    Misconduct::Answer(status, lines.to_owned())
}

async fn endpoint(hub: &Hub, url: &str, event_type: &str, settings: Value) -> Value {
    let mut body = json!({ "url": url, "events": [event_type] });
    body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    hub.post("/api/v1/webhooks", body, 201).await
}

fn id(endpoint: &Value) -> &str {
    endpoint["id"].as_str().unwrap()
}

/// The endpoint's one delivery, when it is as wanted.
async fn delivery(hub: &Hub, endpoint: &Value, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/api/v1/webhooks/{}/deliveries", id(endpoint));
    hub.wait_for(&path, |page| is_wanted(&page["items"][0])).await["items"][0].clone()
}

fn time(value: &Value) -> Timestamp {
    Timestamp::parse_rfc3339(value.as_str().unwrap()).unwrap()
}

async fn gone_switches_the_endpoint_off(site: Site) {
    let receiver = HostileReceiver::start(answers(410, "")).await;
    let hub = site.start();
    let made = endpoint(&hub, &receiver.url("http"), "visit.ended", json!({})).await;
    hub.emit("visit.ended", json!({})).await;
    let found = delivery(&hub, &made, |found| found["state"] == "cancelled").await;
    assert_eq!((&found["reason"], &found["latest_attempt"]["status"]), (&json!("gone"), &json!(410)));
    let path = format!("/api/v1/webhooks/{}", id(&made));
    hub.wait_for(&path, |endpoint| endpoint["active"] == false).await;
    hub.emit("visit.ended", json!({})).await;
    hub.wait_for("/api/v1/events?type=endpoint.disabled", |page| {
        page["items"][0]["data"]["reason"] == "gone"
    })
    .await;
    assert_eq!(receiver.n_requests(), 1, "nothing more is sent");
}

async fn retry_after_lengthens_the_wait_in_both_its_forms(site: Site) {
    let quick = json!({ "backoff_ms": [100] });
    let hub = site.start();
    let in_two_minutes = jiff::Timestamp::from_second(
        trunkline_model::Clock::now(&trunkline_model::SystemClock).as_secs() + 120,
    );
    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&in_two_minutes.unwrap())
        .unwrap();
    let cases = [
        (429, "retry-after: 60\r\n".to_owned(), 60..=60),
        (503, format!("retry-after: {date}\r\n"), 100..=120),
        // More than an hour is too much to ask for, and what is no time is not heard.
        (503, "retry-after: 86400\r\n".to_owned(), 3600..=3600),
        (503, "retry-after: soon\r\n".to_owned(), 0..=1),
        (500, "retry-after: 60\r\n".to_owned(), 0..=1),
    ];
    for (n, (status, lines, expect)) in cases.into_iter().enumerate() {
        let receiver = HostileReceiver::start(answers(status, &lines)).await;
        let event_type = format!("wait.{n}");
        let made = endpoint(&hub, &receiver.url("http"), &event_type, quick.clone()).await;
        hub.emit(&event_type, json!({})).await;
        let found = delivery(&hub, &made, |found| found["n_attempts"].as_i64() >= Some(1)).await;
        let attempt = &found["latest_attempt"];
        assert_eq!(attempt["status"], status);
        let ended = time(&attempt["started_at"])
            .plus(Duration::from_secs_f64(attempt["duration_ms"].as_f64().unwrap() / 1000.0));
        let wait = time(&found["next_attempt_at"]).since(ended).as_secs_f64().round() as u64;
        assert!(expect.contains(&wait), "{status} {lines:?}: {wait} s");
    }
}

async fn a_long_outage_opens_the_breaker_of_that_endpoint_alone(site: Site) {
    const N_EVENTS: usize = 60;
    let failing = HostileReceiver::start(answers(500, "")).await;
    let hub = site.start();
    let settings = json!({ "max_attempts": 20, "backoff_ms": [100] });
    let down = endpoint(&hub, &failing.url("http"), "load.sent", settings).await;
    let well = Receiver::start().await;
    let (_, secret) = hub.create_endpoint(&well.url).await;
    well.expect_secret(&secret);
    for n in 0..N_EVENTS {
        hub.emit("load.sent", json!({ "n": n })).await;
    }
    well.wait_for(N_EVENTS).await;
    let path = format!("/api/v1/webhooks/{}/deliveries?state=pending&limit=100", id(&down));
    let is_shut =
        |item: &Value| item["reason"].as_str().is_some_and(|reason| reason.starts_with("circuit open"));
    // An outage uses up no attempts: all of them stay pending.
    let all_wait = |page: &Value| {
        let items = page["items"].as_array().unwrap();
        items.len() == N_EVENTS && items.iter().any(is_shut)
    };
    hub.wait_for(&path, all_wait).await;
    // Ten failures open it; a probe every five seconds or more cannot come near one attempt for each event.
    assert!(failing.n_requests() < N_EVENTS / 2, "{} attempts went out", failing.n_requests());
}

async fn a_dead_endpoint_costs_the_others_nothing(site: Site) {
    const N_LIVE: usize = 4;
    const N_EVENTS: usize = 100;
    let dead = HostileReceiver::start(Misconduct::Silence).await;
    let hub = site.start();
    // Its attempts end after a minute: whatever waits for one of them is seen below.
    let settings = json!({ "timeout_ms": 60_000, "in_flight": 5 });
    let silent = endpoint(&hub, &dead.url("http"), "load.sent", settings).await;
    let mut live = Vec::new();
    for _ in 0..N_LIVE {
        let receiver = Receiver::start().await;
        let (_, secret) = hub.create_endpoint(&receiver.url).await;
        receiver.expect_secret(&secret);
        live.push(receiver);
    }
    for n in 0..N_EVENTS {
        hub.emit("load.sent", json!({ "n": n })).await;
    }
    for receiver in &live {
        receiver.wait_for(N_EVENTS).await;
    }
    let path = format!("/api/v1/webhooks/{}/deliveries?state=pending&limit=100", id(&silent));
    let page = hub.wait_for(&path, |page| page["items"].as_array().unwrap().len() == N_EVENTS).await;
    let is_untouched = |item: &Value| item["n_attempts"] == 0;
    assert!(page["items"].as_array().unwrap().iter().all(is_untouched), "the others waited for the dead one");
    assert!(dead.n_requests() <= 5, "{} attempts at once", dead.n_requests());
}
