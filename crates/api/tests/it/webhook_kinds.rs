//! Endpoints that are no URL, and URLs that want a certificate or a token: what is checked, and what is never shown.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use trunkline_store::tables::endpoint::endpoint_get;

use crate::harness::{Answer, Hub, tenant};

const CERTIFICATE: &str = include_str!("../../../connect/src/client/fixtures/client.pem");
const KEY: &str = include_str!("../../../connect/src/client/fixtures/client.key.pem");
const OTHER_KEY: &str = include_str!("../../../connect/src/client/fixtures/other.key.pem");

async fn put(hub: &Hub, path: &str, body: &Value) -> Answer {
    hub.call(Method::PUT, path).token(hub.token("operator")).json(body).send().await
}

async fn stored(hub: &Hub, id: &str) -> Value {
    let row = endpoint_get(&hub.store, &tenant(), id).await.unwrap().unwrap();
    serde_json::from_str(&row.settings).unwrap()
}

#[tokio::test]
async fn a_sink_is_shown_without_its_secrets_and_keeps_them() {
    let hub = Hub::start().await;
    let input = json!({
        "kind": "redis", "events": ["**"],
        "sink": { "host": "cache.example", "username": "hub", "password": "canary", "stream": "events" },
    });
    let made = hub.post("/api/v1/webhooks", &input).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let id = made.body["id"].as_str().unwrap();
    let path = format!("/api/v1/webhooks/{id}");
    let shown = hub.get(&path).await.body;
    assert_eq!((&shown["kind"], shown.get("url")), (&json!("redis"), None));
    let sink = json!({
        "host": "cache.example", "port": 6379, "tls": true, "username": "hub", "password": "***", "database": 0,
        "stream": "events", "max_len": 100_000,
    });
    assert_eq!(shown["sink"], sink);
    assert!(!format!("{}{}", made.text, hub.get("/api/v1/webhooks").await.text).contains("canary"));
    assert_eq!(
        hub.get("/api/v1/webhooks?text=cache.exa").await.body["items"].as_array().map(Vec::len),
        Some(1)
    );

    // What was read may be sent back, changed; the mask stands for the secret.
    let mut changed = shown.clone();
    changed["sink"]["stream"] = json!("others");
    assert_eq!(put(&hub, &path, &changed).await.status, StatusCode::OK);
    let settings = stored(&hub, id).await;
    assert_eq!(
        (&settings["sink"]["password"], &settings["sink"]["stream"]),
        (&json!("canary"), &json!("others"))
    );
    // But not at another place, where it would be told to somebody else, nor for that of another kind.
    let mut elsewhere = changed.clone();
    elsewhere["sink"]["host"] = json!("elsewhere.example");
    let refused = put(&hub, &path, &elsewhere).await;
    assert_eq!(refused.pointers().first().map(String::as_str), Some("/sink/password"), "{}", refused.text);
    changed["kind"] = json!("nats");
    changed["sink"] = json!({ "host": "broker.example", "username": "hub", "password": "***" });
    let refused = put(&hub, &path, &changed).await;
    assert!(refused.pointers().iter().all(|pointer| pointer == "/sink/password"), "{}", refused.text);
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let http = json!({ "url": "https://example.com/", "events": ["**"] });
    let http = put(&hub, &path, &http).await;
    assert_eq!((&http.body["kind"], http.body.get("sink")), (&json!("http"), None));
}

#[tokio::test]
async fn every_fault_of_a_kind_is_named() {
    let hub = Hub::start().await;
    let check = async |body: Value, expect: &[&str]| {
        let answer = hub.post("/api/v1/webhooks", &body).await;
        assert_eq!(answer.pointers(), expect, "{body}");
    };
    check(json!({ "events": ["**"] }), &["/url"]).await;
    check(json!({ "events": ["**"], "kind": "kafka", "url": "https://a.example" }), &["/kind"]).await;
    let url = "https://a.example";
    check(json!({ "events": ["**"], "url": url, "sink": { "host": "a" } }), &["/sink"]).await;
    check(
        json!({ "events": ["**"], "url": url, "kind": "nats", "sink": { "host": "a.example" } }),
        &["/url"],
    )
    .await;
    check(json!({ "events": ["**"], "kind": "nats", "sink": 7 }), &["/sink", "/sink/host"]).await;
    let bad = json!({ "host": "127.0.0.1", "subject": "{nope}", "colour": 1, "tls_first": "yes" });
    let expect = ["/sink/colour", "/sink/subject", "/sink/tls_first"];
    check(json!({ "events": ["**"], "kind": "nats", "sink": bad }), &expect).await;
    for host in ["127.0.0.1", "169.254.169.254", "::1", "localhost"] {
        check(json!({ "events": ["**"], "kind": "nats", "sink": { "host": host } }), &["/sink/host"]).await;
    }
    let tls = json!({ "certificate": CERTIFICATE, "key": KEY });
    let sink = json!({ "host": "a.example" });
    check(json!({ "events": ["**"], "kind": "nats", "sink": sink, "tls": tls }), &["/tls"]).await;
    // The hub's own output is the operator's, unless the configuration opens it.
    check(json!({ "events": ["**"], "kind": "stdout" }), &["/kind"]).await;
}

#[tokio::test]
async fn certificates_are_checked_and_keys_never_shown() {
    let hub = Hub::start().await;
    let with = |certificate: &str, key: &str| {
        let tls = json!({ "certificate": certificate, "key": key });
        json!({ "url": "https://example.com/", "events": ["**"], "tls": tls })
    };
    for (certificate, key, expect) in [
        ("none", KEY, "/tls/certificate"),
        (CERTIFICATE, "none", "/tls/key"),
        (CERTIFICATE, OTHER_KEY, "/tls/key"),
        (CERTIFICATE, "***", "/tls/key"),
    ] {
        assert_eq!(hub.post("/api/v1/webhooks", &with(certificate, key)).await.pointers(), [expect]);
    }
    let made = hub.post("/api/v1/webhooks", &with(CERTIFICATE, KEY)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let id = made.body["id"].as_str().unwrap();
    let expect = json!({ "certificate": CERTIFICATE, "key": "***", "expires_at": "2126-10-29T07:18:50Z" });
    assert_eq!(made.body["tls"], expect);
    let path = format!("/api/v1/webhooks/{id}");
    let shown = hub.get(&path).await;
    assert!(!shown.text.contains("PRIVATE KEY"));
    assert_eq!(put(&hub, &path, &shown.body).await.status, StatusCode::OK);
    assert_eq!(stored(&hub, id).await["tls"]["key"], KEY);
}

#[tokio::test]
async fn client_secrets_are_never_shown() {
    let hub = Hub::start().await;
    let mut body = json!({
        "url": "https://example.com/", "events": ["**"], "headers": { "authorization": "x" },
        "oauth2": { "token_url": "http://10.0.0.1/", "client_id": "hub", "client_secret": "***" },
    });
    let expect = ["/oauth2", "/oauth2/client_secret", "/oauth2/token_url"];
    assert_eq!(hub.post("/api/v1/webhooks", &body).await.pointers(), expect);
    body["headers"] = json!({});
    body["oauth2"] = json!({
        "token_url": "https://login.example/token", "client_id": "hub", "client_secret": "canary", "scope": "a b",
    });
    let made = hub.post("/api/v1/webhooks", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let id = made.body["id"].as_str().unwrap();
    let expect = json!({
        "token_url": "https://login.example/token", "client_id": "hub", "client_secret": "***", "scope": "a b",
        "auth_style": "basic",
    });
    assert_eq!(made.body["oauth2"], expect);
    let path = format!("/api/v1/webhooks/{id}");
    let shown = hub.get(&path).await;
    assert!(!shown.text.contains("canary"));
    assert_eq!(put(&hub, &path, &shown.body).await.status, StatusCode::OK);
    assert_eq!(stored(&hub, id).await["oauth2"]["client_secret"], "canary");
    let mut elsewhere = shown.body.clone();
    elsewhere["oauth2"]["token_url"] = json!("https://elsewhere.example/token");
    assert_eq!(put(&hub, &path, &elsewhere).await.pointers(), ["/oauth2/client_secret"]);
}

#[tokio::test]
async fn whoever_points_an_endpoint_elsewhere_gives_its_secrets_again() {
    let hub = Hub::start().await;
    let oauth2 = |secret: &str| json!({ "token_url": "https://id.example/t", "client_id": "hub", "client_secret": secret });
    let tls = |key: &str| json!({ "certificate": CERTIFICATE, "key": key });
    let endpoint = |url: &str, key: &str, secret: &str| {
        json!({
            "url": url, "events": ["**"], "headers": { "x-api-key": secret, "x-room": "7" }, "oauth2": oauth2(secret), "tls": tls(key),
        })
    };
    let made = hub.post("/api/v1/webhooks", &endpoint("https://clinic.example/a", KEY, "s3cret")).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let path = format!("/api/v1/webhooks/{}", made.body["id"].as_str().unwrap());
    let change =
        async |url: &str, key: &str, secret: &str| put(&hub, &path, &endpoint(url, key, secret)).await;
    for url in [
        "https://thief.example/a",
        "http://clinic.example/a",
        "https://clinic.example:8443/a",
        "https://clinic.example.thief.example/a",
    ] {
        let refused = change(url, "***", "***").await;
        assert_eq!(refused.pointers(), ["/headers/x-api-key", "/oauth2/client_secret", "/tls/key"], "{url}");
        assert_eq!(refused.body["errors"][0]["code"], "secret_required", "{url}");
    }
    assert_eq!(change("https://clinic.example/b?c=d", "***", "***").await.status, StatusCode::OK);
    assert_eq!(change("https://other.example/", KEY, "another").await.status, StatusCode::OK);
    let kept = stored(&hub, made.body["id"].as_str().unwrap()).await.to_string();
    assert!(kept.contains("another") && !kept.contains("s3cret"));
}

#[tokio::test]
async fn names_are_looked_up_when_they_are_saved() {
    let hub = Hub::start().await;
    let to = |url: &str| json!({ "url": url, "events": ["**"] });
    let refused = hub.post("/api/v1/webhooks", &to("https://inside.example/")).await;
    assert_eq!(refused.pointers(), ["/url"]);
    assert_eq!(refused.body["errors"][0]["code"], "blocked");
    let made = hub.post("/api/v1/webhooks", &to("https://nowhere.example/")).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(made.body["warnings"][0]["pointer"], "/url");
    let path = format!("/api/v1/webhooks/{}", made.body["id"].as_str().unwrap());
    let same = put(&hub, &path, &to("https://nowhere.example/")).await;
    assert!(
        same.status == StatusCode::OK && same.body.get("warnings").is_none(),
        "what stays is not looked up"
    );
    let mut token = to("https://nowhere.example/");
    token["oauth2"] =
        json!({ "token_url": "https://inside.example/t", "client_id": "hub", "client_secret": "s" });
    assert_eq!(put(&hub, &path, &token).await.pointers(), ["/oauth2/token_url"]);
}

#[tokio::test]
async fn authorities_are_checked_and_kept() {
    let hub = Hub::start().await;
    let with = |ca: &str| json!({ "url": "https://example.com/", "events": ["**"], "ca": ca });
    assert_eq!(hub.post("/api/v1/webhooks", &with("none")).await.pointers(), ["/ca"]);
    let made = hub.post("/api/v1/webhooks", &with(CERTIFICATE)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(made.body["ca"], CERTIFICATE);
}
