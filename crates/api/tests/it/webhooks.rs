//! Endpoints: create, read, replace, delete, secrets.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use trunkline_store::tables::endpoint::endpoint_get;

use crate::harness::{Answer, Hub, tenant};

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
        "channels": ["lab", "room:7"], "headers": { "x-room": "7" }, "metadata": { "owner": "Ms Ä" }, "rate_limit": 2.5,
        "retry_by_type": [{ "events": "appointment.*", "max_attempts": 9 }], "filter": ".subject != null",
        "transform": "{text: .type}", "signature_format": "standard", "signing": ["v1"],
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

#[tokio::test]
async fn both_kinds_of_signatures_have_keys_of_their_own() {
    let hub = Hub::start().await;
    let input = json!({ "url": "https://example.com/", "events": ["**"], "signing": ["v1", "v1a"] });
    let made = hub.post("/api/v1/webhooks", &input).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let path = format!("/api/v1/webhooks/{}", made.body["id"].as_str().unwrap());
    let public = made.body["public_key"].as_str().unwrap();
    assert!(public.starts_with("whpk_") && made.body["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(hub.get(&path).await.body["public_key"], public);

    let renew = format!("{path}/regenerate-secret");
    let private = hub.post(&renew, &json!({ "version": "v1a" })).await;
    assert_ne!(private.body["public_key"], public);
    assert!(private.body.get("secret").is_none() && !private.text.contains("whsk_"));
    let both = hub.post(&renew, &json!({})).await;
    assert_ne!(both.body["public_key"], private.body["public_key"]);
    assert_ne!(both.body["secret"], made.body["secret"]);

    let only_v1 = json!({ "url": "https://example.com/", "events": ["**"] });
    let answer = put(&hub, &path, None, &only_v1).await;
    assert!(
        answer.body.get("public_key").is_none() && answer.body.get("secret").is_none(),
        "{}",
        answer.text
    );
    assert_eq!(hub.post(&renew, &json!({ "version": "v1a" })).await.pointers(), ["/version"]);
}

#[tokio::test]
async fn a_receiver_keeps_the_secret_it_has() {
    let hub = Hub::start().await;
    let post = async |secret: &str, more: Value| {
        let mut body = json!({ "url": "https://example.com/", "events": ["**"], "secret": secret });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        hub.post("/api/v1/webhooks", &body).await
    };
    let made = post("secret-of-theirs", json!({ "signature_format": "convoy" })).await;
    assert_eq!((made.status, made.body.get("secret")), (StatusCode::CREATED, None));
    let path = format!("/api/v1/webhooks/{}", made.body["id"].as_str().unwrap());

    // Moving on to Standard Webhooks needs a secret of that form: the answer has it.
    let moved = put(&hub, &path, None, &json!({ "url": "https://example.com/", "events": ["**"] })).await;
    assert!(moved.body["secret"].as_str().unwrap().starts_with("whsec_"), "{}", moved.text);
    let again = put(&hub, &path, None, &json!({ "url": "https://example.com/", "events": ["**"] })).await;
    assert!(again.body.get("secret").is_none());
    let renew = format!("{path}/regenerate-secret");
    let brought = hub.post(&renew, &json!({ "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD" })).await;
    assert_eq!((brought.status, brought.body.get("secret")), (StatusCode::OK, None));
    assert_eq!(hub.post(&renew, &json!({ "secret": "secret-of-theirs" })).await.pointers(), ["/secret"]);

    assert_eq!(post("secret-of-theirs", json!({})).await.pointers(), ["/secret"]);
    let private = format!("whsk_{}=", "A".repeat(43));
    assert_eq!(post(&private, json!({})).await.body["signing"], json!(["v1a"]));
    assert_eq!(post(&private, json!({ "signing": ["v1"] })).await.pointers(), ["/secret"]);
    assert_eq!(
        post(&private, json!({ "signature_format": "stripe" })).await.pointers(),
        ["/secret", "/signing"]
    );
}

#[tokio::test]
async fn credentials_in_headers_are_masked_and_kept() {
    let hub = Hub::start().await;
    let input = json!({
        "url": "https://example.com/", "events": ["**"], "headers": { "Authorization": "Bearer open-sesame", "x-room": "7" },
    });
    let made = hub.post("/api/v1/webhooks", &input).await;
    assert_eq!(made.body["headers"], json!({ "authorization": "***", "x-room": "7" }), "{}", made.text);
    let path = format!("/api/v1/webhooks/{}", made.body["id"].as_str().unwrap());
    let read = hub.get(&path).await;
    assert!(!read.text.contains("sesame"));
    assert_eq!(put(&hub, &path, Some("\"1\""), &read.body).await.status, StatusCode::OK);
    let stored =
        endpoint_get(&hub.store, &tenant(), &path["/api/v1/webhooks/".len()..]).await.unwrap().unwrap();
    assert!(stored.settings.contains("Bearer open-sesame"));

    let alone = json!({ "url": "https://example.com/", "events": ["**"], "headers": { "x-api-key": "***" } });
    assert_eq!(put(&hub, &path, None, &alone).await.pointers(), ["/headers/x-api-key"]);
    assert_eq!(hub.post("/api/v1/webhooks", &alone).await.pointers(), ["/headers/x-api-key"]);
}

#[tokio::test]
async fn every_fault_of_the_finer_settings_is_named() {
    let hub = Hub::start().await;
    let bad = json!({
        "url": "https://example.com/", "events": ["**"], "channels": ["a b"], "rate_limit": "fast",
        "headers": { "Host": "x", "x-a": 5, "webhook-id": "x" }, "metadata": [],
        "retry_by_type": [{ "max_attempts": 0, "colour": 1 }], "signature_format": "mine", "signing": ["v2"],
        "filter": ".data |\n  nope(1)", "transform": "{",
    });
    let answer = hub.post("/api/v1/webhooks", &bad).await;
    let expect = [
        "/channels/0",
        "/filter",
        "/headers/x-a",
        "/metadata",
        "/rate_limit",
        "/retry_by_type/0/colour",
        "/retry_by_type/0/events",
        "/retry_by_type/0/max_attempts",
        "/signature_format",
        "/signing/0",
        "/transform",
    ];
    assert_eq!(answer.pointers(), expect, "{}", answer.text);
    let errors = answer.body["errors"].as_array().unwrap();
    let filter = errors.iter().find(|error| error["pointer"] == "/filter").unwrap();
    assert!(filter["detail"].as_str().unwrap().starts_with("line 2, column 3: "), "{filter}");
    let reserved = json!({
        "url": "https://example.com/", "events": ["**"], "headers": { "Host": "x", "webhook-id": "x", "x-b": "\n" },
    });
    let answer = hub.post("/api/v1/webhooks", &reserved).await;
    assert_eq!(answer.pointers(), ["/headers/host", "/headers/webhook-id", "/headers/x-b"]);
}

#[tokio::test]
async fn endpoints_are_listed_by_what_they_want() {
    let hub = Hub::start().await;
    for (n, events) in
        [json!(["order.*"]), json!(["visit.*", "order.paid"]), json!(["visit.*"]), json!(["**"])]
            .into_iter()
            .enumerate()
    {
        let mut body =
            json!({ "url": format!("https://example.com/{n}"), "events": events, "active": n != 3 });
        body["metadata"] = json!({ "Customer": format!("No 0{n}%") });
        body["headers"] = json!({ "x-api-key": "hidden-value" });
        assert_eq!(hub.post("/api/v1/webhooks", &body).await.status, StatusCode::CREATED);
    }
    let list = async |query: &str| {
        let answer = hub.get(&format!("/api/v1/webhooks?{query}")).await;
        let items = answer.body["items"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
        let last = |item: &Value| item["url"].as_str().unwrap().chars().last().unwrap();
        let found: String = items.iter().map(last).collect();
        (found, answer.body["next_page_token"].as_str().map(str::to_owned))
    };
    assert_eq!(list("event_type=order.paid").await, ("310".into(), None));
    assert_eq!(list("event_type=order.paid&active=true").await, ("10".into(), None));
    assert_eq!(list("event_type=other&text=example.com/3").await, ("3".into(), None));
    assert_eq!(list("text=EXAMPLE.com/2").await, ("2".into(), None));
    assert_eq!(list("text=customer").await, ("3210".into(), None));
    assert_eq!(list("text=02%25").await, ("2".into(), None), "no character is special");
    assert_eq!(list("text=%25ront").await, (String::new(), None));
    assert_eq!(list("text=hidden-value").await, (String::new(), None), "headers may hold credentials");
    let (first, token) = list("event_type=order.paid&limit=2").await;
    let rest = list(&format!("event_type=order.paid&limit=2&page_token={}", token.unwrap())).await;
    assert_eq!((first.as_str(), rest), ("31", ("0".into(), None)));
    assert_eq!(hub.get("/api/v1/webhooks?event_type=a..b").await.pointers(), ["query:event_type"]);
}

#[tokio::test]
async fn a_batch_goes_on_past_what_fails() {
    let hub = Hub::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let body = json!({ "url": "https://example.com/", "events": ["**"] });
        ids.push(hub.post("/api/v1/webhooks", &body).await.body["id"].as_str().unwrap().to_owned());
    }
    let stranger = hub
        .call(Method::POST, "/api/v1/webhooks")
        .token(hub.stranger())
        .json(&json!({ "url": "https://example.com/", "events": ["**"] }));
    let foreign = stranger.send().await.body["id"].as_str().unwrap().to_owned();
    hub.engines.asked.lock().unwrap().clear();
    let batch = async |action: &str, ids: &[&str]| {
        hub.post("/api/v1/webhooks/batch", &json!({ "action": action, "ids": ids })).await
    };
    let outcome = |answer: &Answer| -> Vec<String> {
        let results = answer.body["results"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
        let code = |item: &Value| item["code"].as_str().unwrap_or_default().to_owned();
        results.iter().map(|item| format!("{} {}", item["status"].as_str().unwrap(), code(item))).collect()
    };
    let off = batch("disable", &[&ids[0], "ep_none", &foreign, &ids[1], &ids[0]]).await;
    let gone = "failed endpoint.not_found";
    assert_eq!(outcome(&off), ["done ", gone, gone, "done "]);
    assert_eq!(hub.engines.asked.lock().unwrap().as_slice(), ["endpoints changed"]);
    let on = batch("enable", &[&ids[0], &ids[2]]).await;
    assert_eq!(outcome(&on), ["done ", "unchanged "]);
    assert_eq!(hub.get(&format!("/api/v1/webhooks/{}", ids[0])).await.body["version"], 3);
    assert_eq!(outcome(&batch("delete", &[&ids[2], &ids[2]]).await), ["done "]);
    assert_eq!(hub.get("/api/v1/webhooks").await.body["items"].as_array().unwrap().len(), 2);

    let many: Vec<&str> = vec!["ep_x"; 101];
    assert_eq!(batch("delete", &many).await.pointers(), ["/ids"]);
    assert_eq!(batch("remove", &[]).await.pointers(), ["/action", "/ids"]);
    let viewer = hub.call(Method::POST, "/api/v1/webhooks/batch").token(hub.token("viewer"));
    assert_eq!(viewer.json(&json!({ "action": "delete", "ids": ["x"] })).send().await.status.as_u16(), 403);
}
