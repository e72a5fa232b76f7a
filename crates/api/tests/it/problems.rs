//! Failed answers have one shape, and the hub's own pages work.

use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::Hub;

#[tokio::test]
async fn every_refusal_is_a_problem() {
    let hub = Hub::start().await;
    let cases = [
        (Method::GET, "/nowhere", 404, "request.route_not_found"),
        (Method::GET, "/api/v1/nowhere", 404, "request.route_not_found"),
        (Method::PATCH, "/api/v1/events", 405, "request.method_not_allowed"),
        (Method::DELETE, "/healthz", 405, "request.method_not_allowed"),
        (Method::GET, "/api/v1/events", 401, "auth.missing"),
        (Method::GET, "/errors/no.such_code", 404, "request.route_not_found"),
    ];
    for (method, path, status, code) in cases {
        let answer = hub.call(method.clone(), path).send().await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{method} {path}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let id = answer.header("x-request-id");
        assert!(id.starts_with("req_"));
        assert_eq!(answer.body["request_id"], id);
        assert_eq!(answer.body["instance"], format!("/requests/{id}"));
        assert_eq!(answer.body["type"], format!("/errors/{code}"));
        assert_eq!(answer.body["status"], status);
        let page = hub.call(Method::GET, &format!("/errors/{code}")).send().await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text.starts_with(&format!("# `{code}`")));
        if status == 405 {
            assert!(!answer.header("allow").is_empty(), "{method} {path}");
        }
    }
    let posts = hub.call(Method::PUT, "/api/v1/events").send().await;
    let mut allowed: Vec<&str> = posts.header("allow").split(',').map(str::trim).collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    let bad_id = hub.get("/api/v1/events/%ff").await;
    assert_eq!((bad_id.status.as_u16(), bad_id.pointers()), (400, vec!["path:id".to_owned()]));
    assert_eq!(hub.get("/api/v1/events/a%00b").await.pointers(), ["path:id"]);
    assert_eq!(hub.get("/api/v1/status?verbose=1").await.pointers(), ["query:verbose"]);
}

#[tokio::test]
async fn a_harmless_request_id_is_kept() {
    let hub = Hub::start().await;
    let kept = hub.call(Method::GET, "/healthz").header("x-request-id", "trace-7.a").send().await;
    assert_eq!(kept.header("x-request-id"), "trace-7.a");
    for id in ["", "a b", "<x>", &"x".repeat(129)] {
        let answer = hub.call(Method::GET, "/healthz").header("x-request-id", id).send().await;
        assert!(answer.header("x-request-id").starts_with("req_"), "{id}");
    }
}

#[tokio::test]
async fn a_stopping_hub_takes_no_writes() {
    let hub = Hub::start().await;
    assert_eq!(hub.get("/readyz").await.status, StatusCode::OK);
    hub.draining.cancel();
    let ready = hub.get("/readyz").await;
    assert_eq!((ready.status.as_u16(), ready.code()), (503, "hub.draining"));
    assert_eq!(ready.header("retry-after"), "5");
    assert_eq!(hub.emit("a", "a.b").await.code(), "hub.draining");
    assert_eq!(hub.get("/healthz").await.status, StatusCode::OK);
    assert_eq!(hub.get("/api/v1/events").await.status, StatusCode::OK);
    assert_eq!(hub.get("/api/v1/status").await.body["draining"], json!(true));
    let stranger = hub.call(Method::POST, "/api/v1/events").send().await;
    assert_eq!(stranger.code(), "auth.missing", "strangers learn nothing");
}

#[tokio::test]
async fn a_closed_store_is_a_problem_without_details() {
    let hub = Hub::start().await;
    assert_eq!(hub.get("/api/v1/events").await.status, StatusCode::OK);
    hub.store.close().await;
    let answer = hub.emit("a", "a.b").await;
    assert_eq!(answer.status.as_u16(), 503, "{}", answer.text);
}

#[tokio::test]
async fn figures_are_shown_by_route() {
    let hub = Hub::start().await;
    hub.get("/api/v1/events/some-id").await;
    hub.get("/no/such/place").await;
    let metrics = hub.call(Method::GET, "/metrics").send().await;
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    let line = r#"trunkline_api_requests_total{route="/api/v1/events/{id}",method="GET",status="404"} 1"#;
    assert!(metrics.text.contains(line), "{}", metrics.text);
    assert!(metrics.text.contains(r#"route="unmatched""#) && !metrics.text.contains("some-id"));
}
