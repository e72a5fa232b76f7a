//! Replay jobs: asked for, counted, watched, paused, ended.

use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::Hub;
use crate::undelivered::{planned, webhook};

#[tokio::test]
async fn a_job_is_made_and_changed() {
    let hub = Hub::start().await;
    let id = webhook(&hub, &["order.*"]).await;
    let since = "2027-01-01T00:00:00Z";
    let body = json!({ "endpoint_id": id, "event_types": ["order.*"], "since": since, "rate_per_s": 5 });
    hub.clock.advance(std::time::Duration::from_secs(1));
    let made = hub.post("/api/v1/replays", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(made.body["states"], json!(["failed", "missed"]));
    assert_eq!((&made.body["state"], &made.body["n_planned"]), (&json!("running"), &json!(0)));
    let path = made.header("location").to_owned();
    assert_eq!(hub.get(&path).await.body, made.body);
    let change = async |verb: &str| hub.post(&format!("{path}/{verb}"), &json!({})).await;
    assert_eq!(change("pause").await.body["state"], "paused");
    assert_eq!(change("pause").await.status, StatusCode::OK);
    assert_eq!(change("resume").await.body["state"], "running");
    let ended = change("cancel").await;
    assert!(ended.body["state"] == "cancelled" && ended.body["finished_at"].is_string());
    let again = change("resume").await;
    assert_eq!((again.status.as_u16(), again.code()), (409, "replay.state_conflict"));
    let listed = hub.get("/api/v1/replays?state=cancelled").await;
    assert_eq!(listed.body["items"], json!([ended.body]));
    assert_eq!(hub.get("/api/v1/replays?state=running").await.body["items"], json!([]));
    for verb in ["", "/pause", "/cancel"] {
        let method = if verb.is_empty() { Method::GET } else { Method::POST };
        let foreign = hub.call(method, &format!("{path}{verb}")).token(hub.stranger()).send().await;
        assert_eq!(foreign.code(), "replay.not_found");
    }
}

#[tokio::test]
async fn a_dry_run_counts_and_makes_nothing() {
    let hub = Hub::start().await;
    for index in 0..3 {
        let emitted = hub.emit(&format!("order-{index}"), "order.paid").await;
        planned(&hub, &emitted.body).await;
    }
    hub.clock.advance(std::time::Duration::from_millis(1));
    webhook(&hub, &["order.*"]).await;
    webhook(&hub, &["**"]).await;
    let body = json!({ "since": "2027-01-01T00:00:00Z", "dry_run": true });
    let found = hub.post("/api/v1/replays", &body).await;
    assert_eq!(found.status, StatusCode::OK, "{}", found.text);
    assert_eq!((&found.body["n_planned"], &found.body["n_scanned"]), (&json!(6), &json!(3)));
    assert_eq!(found.body["is_complete"], true);
    assert_eq!(hub.get("/api/v1/replays").await.body["items"], json!([]));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let hub = Hub::start().await;
    let id = webhook(&hub, &["**"]).await;
    let bad = json!({ "since": "2100-01-01T00:00:00Z", "states": ["pending"], "rate_per_s": 0, "event_types": ["a b"] });
    let refused = hub.post("/api/v1/replays", &bad).await;
    assert_eq!(refused.pointers(), ["/event_types/0", "/rate_per_s", "/since", "/states/0"]);
    let future = json!({ "since": "2027-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z" });
    assert_eq!(hub.post("/api/v1/replays", &future).await.pointers(), ["/until"]);
    let unknown = json!({ "since": "2027-01-01T00:00:00Z", "endpoint_id": "ep_none" });
    assert_eq!(hub.post("/api/v1/replays", &unknown).await.code(), "endpoint.not_found");
    let foreign = json!({ "since": "2027-01-01T00:00:00Z", "endpoint_id": id });
    let foreign = hub.call(Method::POST, "/api/v1/replays").token(hub.stranger()).json(&foreign).send().await;
    assert_eq!(foreign.code(), "endpoint.not_found");
}

#[tokio::test]
async fn a_tenant_has_so_many_running_jobs() {
    let hub = Hub::start().await;
    hub.clock.advance(std::time::Duration::from_secs(1));
    let body = json!({ "since": "2027-01-01T00:00:00Z" });
    let mut paths = Vec::new();
    for _ in 0..20 {
        paths.push(hub.post("/api/v1/replays", &body).await.header("location").to_owned());
    }
    let refused = hub.post("/api/v1/replays", &body).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "replay.too_many"));
    let change = async |verb: &str| hub.post(&format!("{}/{verb}", paths[0]), &json!({})).await;
    assert_eq!(change("pause").await.status, StatusCode::OK);
    assert_eq!(hub.post("/api/v1/replays", &body).await.status, StatusCode::CREATED);
    assert_eq!(change("resume").await.code(), "replay.too_many");
    let foreign = hub.call(Method::POST, "/api/v1/replays").token(hub.stranger()).json(&body).send().await;
    assert_eq!(foreign.status, StatusCode::CREATED, "{}", foreign.text);
}
