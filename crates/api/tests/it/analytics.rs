//! Figures over time, and the health of endpoints.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use trunkline_api::seams::Circuit;
use trunkline_model::{Clock as _, EndpointId, EventType, Timestamp};
use trunkline_store::Commit;
use trunkline_store::tables::delivery_stats::{StatsDelta, stats_delta_list};
use trunkline_store::tables::endpoint_health::{EndpointHealthRow, endpoint_health_put};

use crate::harness::{Hub, tenant};

pub(crate) async fn endpoint(hub: &Hub) -> String {
    let webhook = json!({ "url": "https://example.com/hook", "events": ["**"] });
    hub.post("/api/v1/webhooks", &webhook).await.body["id"].as_str().unwrap().to_owned()
}

/// Stores `n` successes and half as many time-outs of an endpoint and a type.
pub(crate) async fn count(hub: &Hub, endpoint: &str, event_type: &str, at: Timestamp, n: i64) {
    let mut delta = StatsDelta::default();
    let counts =
        delta.entry(&tenant(), &EndpointId::from_text(endpoint), &EventType::from_stored(event_type), at);
    counts.n_successes = n;
    counts.failures[3] = n / 2;
    counts.ended = [n, 1, 0];
    for _ in 0..n {
        counts.note_latency(20_000);
    }
    hub.store.commit(Commit::statements(vec![delta.to_statement("one")])).await.unwrap();
    let fold = stats_delta_list(&hub.store, 9).await.unwrap();
    hub.store.commit(Commit::statements(fold.into_statements(hub.clock.now()))).await.unwrap();
}

fn ago(hub: &Hub, hours: u64) -> Timestamp {
    hub.clock.now().minus(Duration::from_hours(hours))
}

#[tokio::test]
async fn figures_are_summed_by_time_endpoint_and_type() {
    let hub = Hub::start().await;
    let [a, b] = [endpoint(&hub).await, endpoint(&hub).await];
    count(&hub, &a, "order.paid", ago(&hub, 1), 10).await;
    count(&hub, &a, "order.made", ago(&hub, 2), 2).await;
    count(&hub, &b, "order.paid", ago(&hub, 30), 4).await;

    let day = hub.get("/api/v1/webhooks/analytics?group_by=type").await.body;
    assert_eq!((&day["interval"], &day["has_more_groups"]), (&json!("5m"), &json!(false)));
    let totals = &day["totals"];
    assert_eq!((&totals["n_attempts"], &totals["n_successes"]), (&json!(18), &json!(12)));
    assert_eq!((&totals["failures"]["timeout"], &totals["n_failures"]), (&json!(6), &json!(6)));
    assert_eq!(totals["deliveries"], json!({ "succeeded": 12, "exhausted": 2, "cancelled": 0 }));
    assert!((totals["success_rate"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-9);
    let p50 = totals["latency_ms"]["p50"].as_f64().unwrap();
    assert!((16.0..=25.0).contains(&p50), "{p50}");
    assert_eq!(day["series"].as_array().unwrap().len(), 2);
    let types: Vec<&Value> =
        day["groups"].as_array().unwrap().iter().map(|group| &group["event_type"]).collect();
    assert_eq!(types, ["order.paid", "order.made"]);

    let week = format!("since={}", ago(&hub, 24 * 7));
    let by = hub.get(&format!("/api/v1/webhooks/analytics?{week}&interval=1h&group_by=endpoint")).await.body;
    let groups = by["groups"].as_array().unwrap();
    let shown: Vec<_> = groups.iter().map(|group| (&group["endpoint_id"], &group["n_attempts"])).collect();
    assert_eq!(shown, [(&json!(a), &json!(18)), (&json!(b), &json!(6))]);
    for query in [format!("{week}&endpoint_id={b}"), format!("{week}&endpoint_id={b}&event_type=order.paid")]
    {
        let one = hub.get(&format!("/api/v1/webhooks/analytics?{query}")).await.body;
        assert_eq!((&one["totals"]["n_attempts"], &one["interval"]), (&json!(6), &json!("1h")));
    }
    let same = hub.get(&format!("/api/v1/webhooks/{b}/analytics?{week}&interval=1d")).await.body;
    assert_eq!((&same["totals"]["n_attempts"], &same["groups"]), (&json!(6), &json!([])));

    let nothing = hub.get("/api/v1/webhooks/analytics?event_type=no.such").await.body;
    assert_eq!((&nothing["totals"]["n_attempts"], &nothing["series"]), (&json!(0), &json!([])));
    assert!(nothing["totals"].get("success_rate").is_none() && nothing["totals"].get("latency_ms").is_none());
    let theirs = hub.call(http::Method::GET, "/api/v1/webhooks/analytics").token(hub.stranger()).send().await;
    assert_eq!(theirs.body["totals"]["n_attempts"], json!(0));
    let gone = hub.get("/api/v1/webhooks/ep_nowhere/analytics").await;
    assert_eq!(gone.code(), "endpoint.not_found");
}

#[tokio::test]
async fn too_much_is_refused_with_the_reason() {
    let hub = Hub::start().await;
    let check = async |query: String, pointer: &str| {
        let answer = hub.get(&format!("/api/v1/webhooks/analytics?{query}")).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "request.invalid"), "{query}");
        assert_eq!(answer.pointers(), [pointer], "{query}");
    };
    let back = |hours| ago(&hub, hours);
    check(format!("since={}&until={}", back(1), back(2)), "query:since").await;
    check(format!("since={}&interval=5m", back(72)), "query:interval").await;
    check(format!("since={}&interval=1h", back(24 * 60)), "query:interval").await;
    check(format!("since={}&interval=1h", back(24 * 200)), "query:interval").await;
    check(format!("since={}", back(24 * 1000)), "query:since").await;
    check("interval=2h".to_owned(), "query:interval").await;
    check("group_by=tenant".to_owned(), "query:group_by").await;
    let long = hub.get(&format!("/api/v1/webhooks/analytics?since={}", back(24 * 700))).await;
    assert_eq!((long.status, &long.body["interval"]), (StatusCode::OK, &json!("1d")));
}

#[tokio::test]
async fn health_says_what_is_wrong_and_what_was_missed() {
    let hub = Hub::start().await;
    let id = endpoint(&hub).await;
    let path = format!("/api/v1/webhooks/{id}/health");
    let well = hub.get(&path).await.body;
    assert_eq!(
        well,
        json!({ "state": "healthy", "n_failures": 0, "circuit": "closed", "n_pending": 0, "has_more_pending": false })
    );
    let since = ago(&hub, 2);
    let mut row = EndpointHealthRow {
        endpoint_id: EndpointId::from_text(id.as_str()),
        tenant: tenant(),
        failing_since: Some(since),
        last_success_at: Some(ago(&hub, 3)),
        n_failures: 7,
        last_error: Some("no answer".into()),
        disabled_at: None,
        disabled_reason: None,
        disabled_version: None,
        probe_at: None,
        n_probes: 0,
        updated_at: since,
    };
    let put =
        |row: &EndpointHealthRow, based_on| Commit::statements(vec![endpoint_health_put(row, based_on)]);
    hub.store.commit(put(&row, None)).await.unwrap();
    let until = hub.clock.now().plus(Duration::from_secs(20));
    *hub.engines.circuit.lock().unwrap() = Circuit::Open(until);
    let mut late = crate::journey::delivery(&trunkline_model::EventId::from_text("late"), 1);
    late.endpoint_id = EndpointId::from_text(id.as_str());
    late.state = trunkline_store::tables::delivery::DeliveryState::Pending;
    hub.store.commit(Commit::deliveries(vec![late])).await.unwrap();
    let bad = hub.get(&path).await.body;
    assert_eq!(
        (&bad["state"], &bad["circuit"], &bad["n_pending"]),
        (&json!("failing"), &json!("open"), &json!(1))
    );
    assert_eq!(
        (&bad["circuit_until"], &bad["last_error"]),
        (&json!(until.to_rfc3339()), &json!("no answer"))
    );
    assert_eq!(hub.get(bad["missed"]["list"].as_str().unwrap()).await.status, StatusCode::OK);
    let mut replay = bad["missed"]["body"].clone();
    replay["dry_run"] = json!(true);
    assert_eq!(hub.post(bad["missed"]["replay"].as_str().unwrap(), &replay).await.status, StatusCode::OK);

    (row.disabled_at, row.disabled_reason) = (Some(ago(&hub, 1)), Some("gone".into()));
    row.updated_at = hub.clock.now();
    hub.store.commit(put(&row, Some(since))).await.unwrap();
    hub.post("/api/v1/webhooks/batch", &json!({ "action": "disable", "ids": [id] })).await;
    let off = hub.get(&path).await.body;
    assert_eq!((&off["state"], &off["disabled_reason"]), (&json!("disabled"), &json!("gone")));
    hub.post("/api/v1/webhooks/batch", &json!({ "action": "enable", "ids": [id] })).await;
    assert!(hub.get(&path).await.body.get("disabled_at").is_none());
    assert_eq!(hub.get("/api/v1/webhooks/ep_nowhere/health").await.code(), "endpoint.not_found");
}
