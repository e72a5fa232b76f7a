//! Endpoints: create, read, replace, delete, secrets.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, Hub};

async fn put(hub: &Hub, path: &str, if_match: Option<&str>, body: &Value) -> Answer {
    let call = hub.call(Method::PUT, path).token(hub.token("operator")).json(body);
    let call = if let Some(tag) = if_match { call.header("if-match", tag) } else { call };
    call.send().await
}

#[tokio::test]
async fn an_endpoint_lives() {
    let hub = Hub::start().await;
    let input = json!({
        "url": "https://example.com/hook", "events": ["appointment.*", "**"], "description": "lab\nline",
        "format": "cloudevents", "timeout_ms": 500, "max_attempts": 3, "backoff_ms": [10, 20], "in_flight": 2,
    });
    let made = hub.post("/api/v1/webhooks", &input).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let id = made.body["id"].as_str().unwrap();
    let path = format!("/api/v1/webhooks/{id}");
    assert_eq!((made.header("location"), made.header("etag")), (path.as_str(), "\"1\""));
    let secret = made.body["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_"));

    let read = hub.get(&path).await;
    assert_eq!(read.header("etag"), "\"1\"");
    for (name, value) in input.as_object().unwrap() {
        assert_eq!(&read.body[name], value);
    }
    assert!(read.body["active"] == true && read.body.get("secret").is_none());
    assert!(!hub.get("/api/v1/webhooks").await.text.contains("whsec_"));

    // What was read may be sent back, changed.
    let mut changed = read.body.clone();
    changed["active"] = false.into();
    let answer = put(&hub, &path, Some("\"1\""), &changed).await;
    assert_eq!((answer.status, answer.header("etag")), (StatusCode::OK, "\"2\""));
    let stale = put(&hub, &path, Some("\"1\""), &changed).await;
    assert_eq!((stale.status.as_u16(), stale.code()), (412, "endpoint.version_conflict"));
    assert_eq!(put(&hub, &path, Some("W/\"2\""), &changed).await.status.as_u16(), 412);
    assert_eq!(put(&hub, &path, Some("2"), &changed).await.pointers(), ["header:if-match"]);
    assert_eq!(put(&hub, &path, Some("\"7\", \"2\""), &changed).await.header("etag"), "\"3\"");
    assert_eq!(put(&hub, &path, Some("*"), &changed).await.header("etag"), "\"4\"");
    assert_eq!(hub.get("/api/v1/webhooks?active=true").await.body["items"], json!([]));
    assert_eq!(hub.get("/api/v1/webhooks?text=hook").await.body["items"].as_array().map(Vec::len), Some(1));

    let test = hub.call(Method::POST, &format!("{path}/test")).token(hub.token("operator")).send().await;
    assert_eq!((test.status.as_u16(), test.code()), (409, "endpoint.inactive"));

    let fresh = hub.post(&format!("{path}/regenerate-secret"), &json!({ "overlap_s": 0 })).await;
    assert_eq!(fresh.status, StatusCode::OK);
    assert!(fresh.body["secret"].as_str().unwrap() != secret);

    let delete = || hub.call(Method::DELETE, &path).token(hub.token("operator"));
    assert_eq!(delete().header("if-match", "\"1\"").send().await.status.as_u16(), 412);
    assert_eq!(delete().send().await.status, StatusCode::NO_CONTENT);
    assert_eq!(delete().send().await.code(), "endpoint.not_found");
    assert_eq!(hub.get(&path).await.code(), "endpoint.not_found");
}

#[tokio::test]
async fn every_bad_field_is_named_and_the_egress_rule_too() {
    let hub = Hub::start().await;
    let bad = json!({
        "url": "http://169.254.169.254/latest", "events": ["a b", "x.*", 5], "active": "yes", "format": "xml",
        "timeout_ms": 1, "max_attempts": 1.5, "backoff_ms": [0], "in_flight": 0, "evnts": [],
        "description": "x".repeat(1001),
    });
    let answer = hub.post("/api/v1/webhooks", &bad).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (400, "request.invalid"));
    assert_eq!(
        answer.pointers(),
        [
            "/active",
            "/backoff_ms/0",
            "/description",
            "/events/0",
            "/events/2",
            "/evnts",
            "/format",
            "/in_flight",
            "/max_attempts",
            "/timeout_ms",
            "/url",
        ]
    );
    let errors = answer.body["errors"].as_array().unwrap();
    let url = errors.iter().find(|error| error["pointer"] == "/url").unwrap();
    assert_eq!(url["code"], "blocked");
    assert!(url["detail"].as_str().unwrap().contains("metadata"), "{url}");
    for url in
        ["ftp://example.com", "https://u:p@example.com/", "/hook", "https://localhost/", "http://[::1]/"]
    {
        let answer = hub.post("/api/v1/webhooks", &json!({ "url": url, "events": ["**"] })).await;
        assert_eq!(answer.pointers(), ["/url"], "{url}");
    }
    assert_eq!(hub.post("/api/v1/webhooks", &json!({})).await.pointers(), ["/events", "/url"]);
    assert_eq!(hub.post("/api/v1/webhooks", &json!("x")).await.pointers(), [""]);
    let bare = hub.call(Method::POST, "/api/v1/webhooks").token(hub.token("operator")).send().await;
    assert_eq!((bare.status.as_u16(), bare.code()), (400, "request.malformed"));
}

#[tokio::test]
async fn a_test_asks_dispatch() {
    let hub = Hub::start().await;
    let made = hub.post("/api/v1/webhooks", &json!({ "url": "https://example.com/", "events": ["a"] })).await;
    let id = made.body["id"].as_str().unwrap();
    let test = hub.post(&format!("/api/v1/webhooks/{id}/test"), &json!({})).await;
    assert_eq!(test.status, StatusCode::ACCEPTED);
    assert!(test.body["delivery_id"].as_str().unwrap().starts_with("dlv_"));
    assert_eq!(hub.engines.asked.lock().unwrap().as_slice(), ["endpoints changed", &format!("test {id}")]);
}
