//! Receivers that misbehave cost one attempt each: it ends in time with a class that says what happened, and leaves
//! nothing behind in the hub's memory.

use http::Method;
use serde_json::{Value, json};
use trunkline_testkit::{HostileReceiver, Misconduct};

use crate::hub::{Hub, Site};

/// The limit of every attempt here, in milliseconds.
const TIMEOUT_MS: u64 = 1_000;
/// What one attempt may take beyond its limit on a machine that is busy with other tests.
const SLACK_MS: f64 = 20_000.0;

/// What must be recorded of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// Failed with this class (or one of these), and with the status of the head when one had come.
    Fails(&'static str, Option<i64>),
    Succeeds,
}

use Expect::{Fails, Succeeds};

/// Every misconduct, the scheme it is called under, and what is recorded.
fn table(elsewhere: &str) -> Vec<(Misconduct, &'static str, Expect)> {
    use Misconduct as M;
    vec![
        // Before or after the client knows that it is connected.
        (M::ResetAtOnce, "http", Fails("connect|reset", None)),
        (M::ResetBeforeHead, "http", Fails("reset", None)),
        (M::CloseBeforeHead, "http", Fails("reset", None)),
        (M::ResetInBody, "http", Fails("body_reset", Some(200))),
        (M::Silence, "http", Fails("timeout", None)),
        (M::HangAfterHead, "http", Fails("body_timeout", Some(200))),
        (M::SlowHead, "http", Fails("timeout", None)),
        (M::SlowBody, "http", Fails("body_timeout", Some(200))),
        // The status says that it was taken; what follows is cut off.
        (M::EndlessBody(200), "http", Succeeds),
        (M::EndlessBody(500), "http", Fails("http_5xx", Some(500))),
        (M::EndlessHeader, "http", Fails("protocol", None)),
        (M::ManyHeaders, "http", Fails("protocol", None)),
        (M::InterimStorm, "http", Fails("timeout", None)),
        (M::Garbage, "http", Fails("protocol", None)),
        (M::LengthTooLong, "http", Fails("body_reset", Some(200))),
        (M::LengthTooShort, "http", Succeeds),
        (M::TwoLengths, "http", Fails("protocol", None)),
        (M::BrokenChunks, "http", Fails("protocol", Some(200))),
        (M::Redirect(elsewhere.to_owned()), "http", Fails("redirect", Some(307))),
        (M::Redirect("http://169.254.169.254/latest".to_owned()), "http", Fails("redirect", Some(307))),
        (M::UntrustedTls, "https", Fails("tls", None)),
        // Plain text where TLS was asked for, and TLS that never answers.
        (M::Garbage, "https", Fails("tls", None)),
        (M::Silence, "https", Fails("timeout", None)),
        (M::Answer(404, String::new()), "http", Fails("http_4xx", Some(404))),
        (M::Answer(503, String::new()), "http", Fails("http_5xx", Some(503))),
        (M::Answer(999, String::new()), "http", Fails("http_other", Some(999))),
    ]
}

/// An endpoint that is tried once for each event of a type.
async fn endpoint(hub: &Hub, url: &str, pattern: &str) -> String {
    let body = json!({ "url": url, "events": [pattern], "max_attempts": 1, "timeout_ms": TIMEOUT_MS });
    hub.post("/api/v1/webhooks", body, 201).await["id"].as_str().unwrap().to_owned()
}

/// The endpoint's deliveries when `n` of them have come to an end.
async fn finished(hub: &Hub, endpoint: &str, n: usize) -> Vec<Value> {
    let path = format!("/api/v1/webhooks/{endpoint}/deliveries?limit=100");
    let is_over = |item: &Value| item["state"] != "pending";
    let is_done =
        |page: &Value| page["items"].as_array().unwrap().iter().filter(|item| is_over(item)).count() == n;
    hub.wait_for(&path, is_done).await["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_misconduct_has_its_class() {
    let (site, elsewhere) =
        (Site::sqlite(), HostileReceiver::start(Misconduct::Answer(200, String::new())).await);
    let hub = site.start();
    let mut cases = Vec::new();
    for (misconduct, scheme, expect) in table(&elsewhere.url("http")) {
        let receiver = HostileReceiver::start(misconduct.clone()).await;
        let id = endpoint(&hub, &receiver.url(scheme), "fault.met").await;
        cases.push((misconduct, scheme, expect, receiver, id));
    }
    hub.emit("fault.met", json!({})).await;
    for (misconduct, scheme, expect, _receiver, id) in &cases {
        let delivery = &finished(&hub, id, 1).await[0];
        let attempt = &delivery["latest_attempt"];
        let (class, status) = (attempt["error_class"].as_str(), attempt["status"].as_i64());
        let (state, is_as_expected) = match (expect, class) {
            (Fails(classes, head), Some(class)) => {
                ("exhausted", classes.split('|').any(|one| one == class) && *head == status)
            }
            (Succeeds, None) => ("succeeded", status == Some(200)),
            _ => ("", false),
        };
        assert!(is_as_expected, "{misconduct:?} over {scheme}: expected {expect:?}, found {attempt}");
        assert_eq!(delivery["state"], state, "{misconduct:?} over {scheme}");
        assert_eq!(delivery["n_attempts"], 1, "{misconduct:?}");
        let took = attempt["duration_ms"].as_f64().unwrap();
        assert!(took < TIMEOUT_MS as f64 + SLACK_MS, "{misconduct:?} took {took} ms");
        let head = attempt["response_head"].as_str().unwrap_or_default();
        assert!(head.len() <= 16 << 10, "{misconduct:?}: {} bytes are kept", head.len());
    }
    assert_eq!(elsewhere.n_requests(), 0, "nobody follows a redirect");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_flat_under_floods() {
    const N_ENDPOINTS: usize = 10;
    // Below the failures that open a breaker.
    const N_EVENTS: usize = 8;
    const MOST_BYTES: u64 = 32 << 20;
    let site = Site::sqlite();
    let hub = site.start();
    let floods = [
        Misconduct::EndlessBody(200),
        Misconduct::EndlessBody(500),
        Misconduct::EndlessHeader,
        Misconduct::ManyHeaders,
        Misconduct::InterimStorm,
        Misconduct::SlowBody,
    ];
    let mut endpoints = Vec::new();
    let mut receivers = Vec::new();
    for flood in &floods {
        let receiver = HostileReceiver::start(flood.clone()).await;
        for _ in 0..N_ENDPOINTS {
            endpoints.push(endpoint(&hub, &receiver.url("http"), "flood.met").await);
        }
        receivers.push(receiver);
    }
    // The first round fills pools and caches.
    hub.emit("flood.met", json!({})).await;
    for id in &endpoints {
        finished(&hub, id, 1).await;
    }
    let before = hub.resident_bytes();
    for _ in 1..N_EVENTS {
        hub.emit("flood.met", json!({})).await;
    }
    for id in &endpoints {
        finished(&hub, id, N_EVENTS).await;
    }
    let after = hub.resident_bytes();
    let n_attempts = (N_EVENTS - 1) * endpoints.len();
    println!("{n_attempts} floods: resident {} KiB before, {} KiB after", before >> 10, after >> 10);
    assert!(after < before + MOST_BYTES, "{before} bytes before, {after} after {n_attempts} floods");
    let answer = hub.call(Method::GET, "/readyz", None).await;
    assert_eq!(answer.status, 200);
}
