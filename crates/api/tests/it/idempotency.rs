//! A POST sent twice under one key is done once.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use trunkline_model::Clock as _;
use trunkline_store::Commit;
use trunkline_store::tables::idempotency::{idempotency_claim, idempotency_get};

use crate::harness::{Answer, Hub, tenant};

async fn post(hub: &Hub, path: &str, key: &str, body: &Value) -> Answer {
    hub.call(Method::POST, path)
        .token(hub.token("admin"))
        .header("idempotency-key", key)
        .json(body)
        .send()
        .await
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_without_the_secret() {
    let hub = Hub::start().await;
    let input = json!({ "url": "https://example.com/", "events": ["**"] });
    let first = post(&hub, "/api/v1/webhooks", "k1", &input).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (StatusCode::CREATED, ""));
    let again = post(&hub, "/api/v1/webhooks", "k1", &input).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (StatusCode::CREATED, "true"));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("etag"), "\"1\"");
    assert_eq!(again.body["id"], first.body["id"]);
    assert!(first.body["secret"].is_string() && again.body.get("secret").is_none());
    assert_eq!(hub.get("/api/v1/webhooks").await.body["items"].as_array().map(Vec::len), Some(1));

    let kept = idempotency_get(&hub.store, &tenant(), "k1").await.unwrap().unwrap().answer.unwrap();
    assert!(!String::from_utf8(kept.body.to_vec()).unwrap().contains("whsec_"), "no secret is kept");
    let token = post(&hub, "/api/v1/tokens", "k2", &json!({ "name": "a", "role": "viewer" })).await;
    let kept = idempotency_get(&hub.store, &tenant(), "k2").await.unwrap().unwrap().answer.unwrap();
    assert!(token.body["token"].is_string());
    assert!(!String::from_utf8(kept.body.to_vec()).unwrap().contains("tlk_"));
}

#[tokio::test]
async fn a_key_belongs_to_one_request() {
    let hub = Hub::start().await;
    let input = json!({ "url": "https://example.com/", "events": ["**"] });
    post(&hub, "/api/v1/webhooks", "k", &input).await;
    let changed = json!({ "url": "https://example.org/", "events": ["**"] });
    let other = post(&hub, "/api/v1/webhooks", "k", &changed).await;
    assert_eq!((other.status.as_u16(), other.code()), (409, "request.idempotency_mismatch"));
    let elsewhere = post(&hub, "/api/v1/tokens", "k", &input).await;
    assert_eq!(elsewhere.code(), "request.idempotency_mismatch");
    // Another tenant's keys are its own.
    let stranger = hub
        .call(Method::POST, "/api/v1/webhooks")
        .token(hub.stranger())
        .header("idempotency-key", "k")
        .json(&input)
        .send()
        .await;
    assert_eq!((stranger.status, stranger.header("idempotency-replayed")), (StatusCode::CREATED, ""));
    // The role counts before the key does.
    let viewer = hub
        .call(Method::POST, "/api/v1/webhooks")
        .token(hub.token("viewer"))
        .header("idempotency-key", "k")
        .json(&input)
        .send()
        .await;
    assert_eq!(viewer.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_failed_request_frees_its_key() {
    let hub = Hub::start().await;
    assert_eq!(post(&hub, "/api/v1/webhooks", "k", &json!({})).await.status, StatusCode::BAD_REQUEST);
    let mended = json!({ "url": "https://example.com/", "events": ["a"] });
    assert_eq!(post(&hub, "/api/v1/webhooks", "k", &mended).await.status, StatusCode::CREATED);
    for key in ["", "with space", &"x".repeat(256)] {
        let answer = post(&hub, "/api/v1/webhooks", key, &json!({})).await;
        assert_eq!(answer.pointers(), ["header:idempotency-key"], "{key:?}");
    }
}

#[tokio::test]
async fn an_abandoned_key_is_taken_over_in_the_end() {
    let hub = Hub::start().await;
    // The fingerprint of a first request is learnt from one that fails.
    let input = json!({ "name": "a", "role": "viewer" });
    post(&hub, "/api/v1/tokens", "probe", &input).await;
    let probe = idempotency_get(&hub.store, &tenant(), "probe").await.unwrap().unwrap();
    let claim = idempotency_claim(&tenant(), "k", &probe.fingerprint, hub.clock.now());
    hub.store.commit(Commit::statements(vec![claim])).await.unwrap();

    let running = post(&hub, "/api/v1/tokens", "k", &input).await;
    assert_eq!((running.status.as_u16(), running.code()), (409, "request.idempotency_in_progress"));
    assert_eq!(running.header("retry-after"), "1");
    hub.clock.advance(Duration::from_mins(3));
    let taken = post(&hub, "/api/v1/tokens", "k", &input).await;
    assert_eq!((taken.status, taken.header("idempotency-replayed")), (StatusCode::CREATED, ""));
    assert_eq!(post(&hub, "/api/v1/tokens", "k", &input).await.header("idempotency-replayed"), "true");
}

#[tokio::test]
async fn requests_at_the_same_time_are_done_once() {
    let hub = Hub::start().await;
    let input = json!({ "url": "https://example.com/", "events": ["**"] });
    let answers = tokio::join!(
        post(&hub, "/api/v1/webhooks", "k", &input),
        post(&hub, "/api/v1/webhooks", "k", &input),
        post(&hub, "/api/v1/webhooks", "k", &input),
    );
    for answer in [answers.0, answers.1, answers.2] {
        assert!(matches!(answer.status.as_u16(), 201 | 409), "{}", answer.text);
    }
    assert_eq!(hub.get("/api/v1/webhooks").await.body["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_late_repeat_brings_nothing_back() {
    let hub = Hub::start().await;
    let input = json!({ "name": "reader", "events": ["**"] });
    let first = post(&hub, "/api/v1/pollers", "k", &input).await;
    let path = format!("/api/v1/pollers/{}", first.body["id"].as_str().unwrap());
    let gone = hub.call(Method::DELETE, &path).token(hub.token("admin")).send().await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let again = post(&hub, "/api/v1/pollers", "k", &input).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (StatusCode::CREATED, "true"));
    assert_eq!(again.body["id"], first.body["id"]);
    assert_eq!(hub.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(hub.get("/api/v1/pollers").await.body["items"], json!([]));
}
