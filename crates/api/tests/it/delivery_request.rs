//! The request of a delivery's latest attempt.

use std::time::Duration;

use http::Method;
use serde_json::json;
use trunkline_model::{Clock as _, EndpointId};
use trunkline_store::Commit;

use crate::harness::Hub;
use crate::journey::delivery_of;

#[tokio::test]
async fn a_request_is_shown_without_secrets() {
    let hub = Hub::start().await;
    let input = json!({
        "url": "https://example.com/hook?room=7", "events": ["**"], "transform": "{kind: .type}",
        "headers": { "authorization": "Bearer canary", "x-room": "7" },
    });
    let webhook = hub.post("/api/v1/webhooks", &input).await.body["id"].as_str().unwrap().to_owned();
    hub.emit("order-1", "order.created").await;
    let mut row = delivery_of(&hub, "order-1").await;
    row.endpoint_id = EndpointId::from_text(webhook.clone());
    let latest = row.latest.as_mut().unwrap();
    latest.started_at = hub.clock.now();
    hub.store.commit(Commit::deliveries(vec![row.clone()])).await.unwrap();
    let path = format!("/api/v1/deliveries/{}/request", row.id);

    let shown = hub.get(&path).await;
    let body = r#"{"kind":"order.created"}"#;
    let expect = json!({
        "kind": "http",
        "method": "POST",
        "url": "https://example.com/hook?room=7",
        "headers": {
            "authorization": "***",
            "content-length": body.len().to_string(),
            "content-type": "application/json",
            "host": "example.com",
            "webhook-id": "order-1",
            "webhook-signature": "v1,<base64>",
            "webhook-timestamp": hub.clock.now().as_secs().to_string(),
            "x-room": "7",
        },
        "body": body,
        "as_sent": true,
    });
    assert_eq!(shown.body, expect);

    // A change after the attempt, or moments before it, may not have been what was used.
    let changed = json!({ "url": "https://example.com/new", "events": ["**"], "transform": "[]" });
    let place = format!("/api/v1/webhooks/{webhook}");
    let changed = hub.call(Method::PUT, &place).token(hub.token("operator")).json(&changed).send().await;
    assert_eq!(changed.status, 200);
    let after = hub.get(&path).await;
    assert_eq!((&after.body["as_sent"], after.body.get("body")), (&json!(false), None));
    let fault = after.body["fault"].as_str().unwrap();
    assert!(fault.starts_with("transform failed: "), "{fault}");

    let mended = json!({ "url": "https://example.com/new", "events": ["**"] });
    hub.call(Method::PUT, &place).token(hub.token("operator")).json(&mended).send().await;
    for (wait_s, as_sent) in [(4, false), (1, true)] {
        hub.clock.advance(Duration::from_secs(wait_s));
        let mut later = delivery_of(&hub, "order-1").await;
        later.endpoint_id = EndpointId::from_text(webhook.clone());
        later.latest.as_mut().unwrap().started_at = hub.clock.now();
        hub.store.commit(Commit::deliveries(vec![later.clone()])).await.unwrap();
        let shown = hub.get(&format!("/api/v1/deliveries/{}/request", later.id)).await;
        assert_eq!(shown.body["as_sent"], as_sent, "{wait_s}");
    }
    let gone = hub.call(Method::DELETE, &place).token(hub.token("operator")).send().await;
    assert_eq!(gone.status, 204);
    assert_eq!(hub.get(&path).await.code(), "endpoint.not_found");
    assert_eq!(hub.get("/api/v1/deliveries/dlv_none/request").await.code(), "delivery.not_found");
}
