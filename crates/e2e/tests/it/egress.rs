//! Networks of one tenant alone: what is opened for it is closed to everybody else, on every way out.

use axum::http::{HeaderMap, StatusCode};
use http::Method;
use serde_json::{Value, json};

use crate::cli::token_of;
use crate::hub::{Hub, Site};
use crate::receiver::Receiver;
use crate::stores::on_each_store;

on_each_store![a_network_is_open_for_one_tenant_alone];

const OPEN: &str = "[[tenants]]\nname = \"inside\"\negress_allow = [\"127.0.0.0/8\"]\n\
                    [[tenants]]\nname = \"elsewhere\"\negress_allow = [\"10.0.0.0/8\"]\n";

/// Gives tokens to whoever asks.
async fn token_endpoint() -> String {
    let app = axum::Router::new().fallback(|| async {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/json".parse().unwrap());
        (StatusCode::OK, headers, r#"{"access_token":"t0ken","token_type":"Bearer","expires_in":3600}"#)
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

fn credentials(token_url: &str) -> Value {
    json!({ "token_url": token_url, "client_id": "hub", "client_secret": "s3cret" })
}

/// A workflow that calls a URL, run by a tenant to its end.
async fn run_workflow(hub: &Hub, token: &str, url: &str) -> Value {
    let definition = format!(
        "document: {{dsl: '1.0.3', namespace: net, name: calls, version: '1.0.0'}}\n\
         do:\n- ask:\n    call: http\n    with: {{method: post, endpoint: '{url}', body: {{n: 1}}}}\n"
    );
    let headers = [("content-type", "application/yaml"), ("authorization", &*format!("Bearer {token}"))];
    hub.call_text(Method::POST, "/api/v1/workflow-definitions", &definition, &headers).await.expect(201);
    let start = json!({ "definition": "net/calls", "input": {} });
    hub.call_as(token, Method::POST, "/api/v1/workflows?wait_s=20", Some(start)).await.expect(201)
}

async fn a_network_is_open_for_one_tenant_alone(site: Site) {
    let site = site.with_nothing_open().with(OPEN);
    let inside = token_of(&site, "inside", "operator").await;
    let elsewhere = token_of(&site, "elsewhere", "operator").await;
    let (receiver, token_url) = (Receiver::start().await, token_endpoint().await);
    let hub = site.start();
    let port = receiver.url.rsplit_once(':').unwrap().1.to_owned();
    let by_name = format!("http://localhost:{port}");
    let create = async |token: &str, body: Value| {
        hub.call_as(token, Method::POST, "/api/v1/webhooks", Some(body)).await
    };

    // For others it is closed when an endpoint is saved, however it is written and whatever the kind.
    for token in [crate::hub::ADMIN_TOKEN, &elsewhere] {
        for (body, pointer) in [
            (json!({ "url": receiver.url }), "/url"),
            (json!({ "url": by_name }), "/url"),
            (json!({ "url": format!("http://[::ffff:127.0.0.1]:{port}") }), "/url"),
            (
                json!({ "url": "https://example.com/", "oauth2": credentials(&token_url) }),
                "/oauth2/token_url",
            ),
            (json!({ "kind": "nats", "sink": { "host": "127.0.0.1", "tls": false } }), "/sink/host"),
        ] {
            let mut body = body;
            body["events"] = json!(["visit.*"]);
            let refused = create(token, body).await.expect(400);
            assert_eq!(
                (&refused["errors"][0]["pointer"], &refused["errors"][0]["code"]),
                (&json!(pointer), &json!("blocked")),
                "{refused}"
            );
        }
        let ended = run_workflow(&hub, token, &receiver.url).await;
        assert_eq!(ended["status"], "failed", "{ended}");
        assert!(ended["error"].to_string().contains("configuration"), "{ended}");
    }
    assert_eq!(receiver.n_attempts(), 0, "nothing has left");

    // For the tenant it is open: by address and by name, for the token too, and for its workflows.
    let mut secrets = Vec::new();
    for (url, oauth2) in [(&receiver.url, None), (&by_name, Some(credentials(&token_url)))] {
        let mut body = json!({ "url": url, "events": ["visit.*"], "backoff_ms": [50] });
        body.as_object_mut().unwrap().extend(oauth2.map(|oauth2| ("oauth2".to_owned(), oauth2)));
        let made = create(&inside, body).await.expect(201);
        secrets.push((made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned()));
    }
    let broker =
        json!({ "kind": "nats", "sink": { "host": "127.0.0.1", "tls": false }, "events": ["nothing.*"] });
    create(&inside, broker).await.expect(201);
    for (id, secret) in &secrets {
        receiver.expect_secret(secret);
        let path = format!("/api/v1/webhooks/{id}/test");
        let sent = hub.call_as(&inside, Method::POST, &path, None).await.expect(202);
        wait_for(&hub, &inside, sent["delivery_id"].as_str().unwrap(), "succeeded").await;
    }
    assert_eq!(receiver.received().len(), 2);
    let called = Receiver::start().await;
    called.expect_secret(&secrets[0].1);
    let ended = run_workflow(&hub, &inside, &called.url).await;
    assert_eq!((&ended["status"], called.n_attempts()), (&json!("completed"), 1), "{ended}");

    // What is taken out of the configuration is closed, also to what is stored.
    let (id, _) = &secrets[0];
    hub.kill();
    let site = site.with("");
    let hub = site.start();
    let before = receiver.n_attempts();
    let path = format!("/api/v1/webhooks/{id}/test");
    let sent = hub.call_as(&inside, Method::POST, &path, None).await.expect(202);
    let delivery = wait_for(&hub, &inside, sent["delivery_id"].as_str().unwrap(), "exhausted").await;
    assert_eq!(delivery["attempts"][0]["error_class"], "blocked", "{delivery}");
    assert_eq!(receiver.n_attempts(), before);
}

/// The delivery, when it is in this state.
async fn wait_for(hub: &Hub, token: &str, delivery: &str, state: &str) -> Value {
    let path = format!("/api/v1/deliveries/{delivery}");
    hub.wait_for_as(token, &path, |delivery| delivery["state"] == state).await
}
