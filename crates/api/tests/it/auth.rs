//! Who may do what: every operation of the document against every role, without a token and from another tenant.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use trunkline_api::auth::Role;
use trunkline_api::auth::token::{SeedError, hash, seed_admin};
use trunkline_api::openapi_json;
use trunkline_model::{Clock as _, EndpointId, InboundId, Secret, Timestamp};
use trunkline_store::Commit;
use trunkline_store::tables::dead_letter::{DeadLetterRow, dead_letter_insert};
use trunkline_store::tables::inbound::{InboundRow, Verdict, inbound_insert};
use trunkline_store::tables::token::token_find;

use crate::harness::{Hub, tenant};
use crate::journey::delivery_of;

struct Operation {
    method: Method,
    path: String,
    /// Method and path as in the document.
    name: String,
    permission: String,
    portal: bool,
    statuses: Vec<u16>,
}

/// Every operation under `/api/v1`, its id filled in.
fn operations() -> Vec<Operation> {
    let document: Value = serde_json::from_slice(&openapi_json()).unwrap();
    let mut all = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if path.starts_with("/api/v1") {
                all.push(Operation {
                    method: Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(),
                    path: path.replace("{id}", "nowhere").replace("{document_id}", "nowhere"),
                    name: format!("{} {path}", method.to_uppercase()),
                    portal: operation["x-portal"] == true,
                    permission: operation["x-permission"].as_str().unwrap().to_owned(),
                    statuses: operation["responses"]
                        .as_object()
                        .unwrap()
                        .keys()
                        .map(|status| status.parse().unwrap())
                        .collect(),
                });
            }
        }
    }
    assert!(all.len() > 20);
    all
}

/// The rule, written down a second time.
fn roles_with(permission: &str) -> &'static [&'static str] {
    match permission {
        "tokens:manage" => &["admin"],
        "events:write" => &["admin", "operator", "emitter"],
        "events:read" | "catalogue:read" => &["admin", "operator", "emitter", "viewer"],
        "endpoints:write"
        | "portal_tokens:manage"
        | "deliveries:write"
        | "inbound:write"
        | "dead_letters:write"
        | "catalogue:write"
        | "workflows:write"
        | "logistics:write"
        | "tasks:write" => &["admin", "operator"],
        "workflows:read" | "tasks:read" | "endpoints:read" | "deliveries:read" | "inbound:read"
        | "dead_letters:read" | "logistics:read" | "status:read" => &["admin", "operator", "viewer"],
        "tracking:write" => &["admin", "operator", "member"],
        "tracking:read" => &["admin", "operator", "viewer", "member"],
        "live:join" => &["admin", "operator", "emitter", "viewer", "member"],
        other => panic!("no rule for {other}"),
    }
}

#[tokio::test]
async fn nobody_gets_in_without_a_token() {
    let hub = Hub::start().await;
    for operation in operations() {
        let what = format!("{} {}", operation.method, operation.path);
        let bare = hub.call(operation.method.clone(), &operation.path).send().await;
        assert_eq!((bare.status, bare.code()), (StatusCode::UNAUTHORIZED, "auth.missing"), "{what}");
        assert_eq!(bare.header("www-authenticate"), "Bearer", "{what}");
        let wrong = hub.call(operation.method.clone(), &operation.path).token(&format!("tlk_{:043}", 0));
        let wrong = wrong.send().await;
        assert_eq!((wrong.status, wrong.code()), (StatusCode::UNAUTHORIZED, "auth.invalid"), "{what}");
        let basic = hub.call(operation.method, &operation.path).header("authorization", "Basic eDp5");
        assert_eq!(basic.send().await.code(), "auth.invalid", "{what}");
    }
}

#[tokio::test]
async fn each_role_may_do_what_the_table_says() {
    let hub = Hub::start().await;
    let portal = crate::portal::mint(&hub, json!({})).await.body["token"].as_str().unwrap().to_owned();
    for operation in operations() {
        assert_eq!(operation.portal, crate::portal::is_open(&operation.name), "{}", operation.name);
        for role in Role::ALL.into_iter().chain([Role::Portal]) {
            let is_portal = role == Role::Portal;
            let token = if is_portal { &portal } else { hub.token(role.as_str()) };
            let call = hub.call(operation.method.clone(), &operation.path).token(token);
            let call = if operation.method == Method::GET { call } else { call.json(&json!({})) };
            let answer = call.send().await;
            let what = format!("{} {} as {}", operation.method, operation.path, role.as_str());
            let is_allowed = match role {
                Role::Portal => crate::portal::is_open(&operation.name),
                _ => roles_with(&operation.permission).contains(&role.as_str()),
            };
            assert_eq!(answer.status != StatusCode::FORBIDDEN, is_allowed, "{what}");
            assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{what}");
            assert!(operation.statuses.contains(&answer.status.as_u16()), "{what}: {}", answer.status);
        }
    }
}

/// One of everything in the tenant of the tests.
async fn populate(hub: &Hub) -> Vec<String> {
    hub.emit("order-1", "order.created").await;
    let webhook = json!({ "url": "https://example.com/hook", "events": ["**"] });
    let webhook = hub.post("/api/v1/webhooks", &webhook).await.body["id"].as_str().unwrap().to_owned();
    let token = hub.post("/api/v1/tokens", &json!({ "name": "t", "role": "viewer" })).await;
    let inbound = InboundRow {
        id: InboundId::fresh(),
        tenant: tenant(),
        source: "clinic".to_owned(),
        received_at: hub.clock.now(),
        verdict: Verdict::Quarantined,
        reason: "not JSON".to_owned(),
        head: String::new(),
        body: None,
        event_id: None,
    };
    let letter = DeadLetterRow {
        id: "ddl_0198a0b1c2d37e4f8a9b0c1d2e3f4a5b".to_owned(),
        consumer: "dispatch".to_owned(),
        shard: 0,
        seq: 1,
        tenant: tenant(),
        event_id: "order-1".to_owned(),
        error: "broken".to_owned(),
        n_attempts: 3,
        failed_at: hub.clock.now(),
    };
    let mut delivery_row = delivery_of(hub, "order-1").await;
    delivery_row.endpoint_id = EndpointId::from_text(webhook.clone());
    let statements = vec![inbound_insert(&inbound), dead_letter_insert(&letter)];
    let deliveries = Commit::deliveries(vec![delivery_row.clone()]);
    hub.store.commit(Commit { statements, ..deliveries }).await.unwrap();
    vec![
        "/api/v1/events/order-1".to_owned(),
        "/api/v1/events/order-1/journey".to_owned(),
        format!("/api/v1/events/{}/journey", inbound.id),
        format!("/api/v1/webhooks/{webhook}"),
        format!("/api/v1/webhooks/{webhook}/deliveries"),
        format!("/api/v1/deliveries/{}", delivery_row.id),
        format!("/api/v1/deliveries/{}/request", delivery_row.id),
        format!("/api/v1/inbound/{}", inbound.id),
        format!("/api/v1/dead-letters/{}", letter.id),
        format!("/api/v1/tokens/{}", token.body["id"].as_str().unwrap()),
    ]
}

#[tokio::test]
async fn another_tenant_sees_nothing_and_changes_nothing() {
    let hub = Hub::start().await;
    let paths = populate(&hub).await;
    for path in &paths {
        for method in [Method::GET, Method::DELETE, Method::PUT] {
            let answer = hub.call(method.clone(), path).token(hub.stranger());
            let body = json!({ "url": "https://example.com/x", "events": ["**"] });
            let answer = if method == Method::PUT { answer.json(&body) } else { answer }.send().await;
            let status = answer.status.as_u16();
            assert!(matches!(status, 404 | 405), "{method} {path} gave {status}");
        }
    }
    for suffix in ["replay", "retry", "rejudge", "test", "regenerate-secret"] {
        for path in &paths {
            let answer =
                hub.call(Method::POST, &format!("{path}/{suffix}")).token(hub.stranger()).send().await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}/{suffix}");
        }
    }
    for list in ["events", "webhooks", "deliveries", "inbound", "dead-letters"] {
        let path = format!("/api/v1/{list}");
        let theirs = hub.call(Method::GET, &path).token(hub.stranger()).send().await;
        assert_eq!(theirs.body["items"], json!([]), "{list}");
        let ours = hub.get(&path).await;
        assert_eq!(ours.body["items"].as_array().map(Vec::len), Some(1), "{list}");
    }
    for path in &paths[..7] {
        assert_eq!(hub.get(path).await.status, StatusCode::OK, "{path}");
    }
    let asked = hub.engines.asked.lock().unwrap().clone();
    assert!(asked.iter().all(|what| what == "endpoints changed"), "{asked:?}");
}

#[tokio::test]
async fn a_token_works_until_it_is_revoked_or_expires() {
    let hub = Hub::start().await;
    let body = json!({ "name": "lab", "role": "viewer", "expires_in_s": 60 });
    let made = hub.post("/api/v1/tokens", &body).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let (id, token) = (made.body["id"].as_str().unwrap(), made.body["token"].as_str().unwrap());
    assert_eq!((token.len(), &token[..4]), (47, "tlk_"));
    let read = || async { hub.call(Method::GET, "/api/v1/webhooks").token(token).send().await.status };
    assert_eq!(read().await, StatusCode::OK);
    assert!(!hub.get("/api/v1/tokens").await.text.contains(token));
    assert!(token_find(&hub.store, &hash(token)).await.unwrap().is_some());

    let path = format!("/api/v1/tokens/{id}");
    let revoke = || async { hub.call(Method::DELETE, &path).token(hub.token("admin")).send().await.status };
    assert_eq!(revoke().await, StatusCode::NO_CONTENT);
    assert_eq!(read().await, StatusCode::UNAUTHORIZED);
    assert_eq!(revoke().await, StatusCode::NOT_FOUND);
    let own = token_find(&hub.store, &hash(hub.token("admin"))).await.unwrap().unwrap().id;
    let path = format!("/api/v1/tokens/{own}");
    let own = hub.call(Method::DELETE, &path).token(hub.token("admin")).send().await;
    assert_eq!((own.status.as_u16(), own.code()), (409, "token.self_revocation"));

    let second = hub.post("/api/v1/tokens", &body).await;
    let second = second.body["token"].as_str().unwrap().to_owned();
    let read = || async { hub.call(Method::GET, "/api/v1/webhooks").token(&second).send().await.status };
    assert_eq!(read().await, StatusCode::OK);
    hub.clock.advance(std::time::Duration::from_secs(61));
    assert_eq!(read().await, StatusCode::UNAUTHORIZED, "expiry counts in spite of the cache");
}

#[tokio::test]
async fn the_first_admin_is_seeded_once() {
    let hub = Hub::start().await;
    let now = Timestamp::from_secs(1_800_000_000);
    assert!(seed_admin(&hub.store, None, now).await.unwrap().is_none(), "there are admins already");

    let given = Secret::new("a-token-from-the-environment");
    let works = |text: &'static str| {
        let call = hub.call(Method::GET, "/api/v1/tokens").token(text);
        async move { call.send().await.status == StatusCode::OK }
    };
    assert!(seed_admin(&hub.store, Some(&given), now).await.unwrap().is_none());
    assert!(seed_admin(&hub.store, Some(&given), now).await.unwrap().is_none());
    assert!(works("a-token-from-the-environment").await);
    let changed = Secret::new("another-token-from-the-environment");
    seed_admin(&hub.store, Some(&changed), now).await.unwrap();
    assert!(works("another-token-from-the-environment").await);
    assert!(token_find(&hub.store, &hash(given.expose())).await.unwrap().is_none(), "replaced");

    let weak = seed_admin(&hub.store, Some(&Secret::new("short")), now).await;
    assert!(matches!(weak, Err(SeedError::Unfit)));
    let viewer = Secret::new(hub.token("viewer"));
    assert!(matches!(seed_admin(&hub.store, Some(&viewer), now).await, Err(SeedError::Unusable)));
}

#[tokio::test]
async fn an_empty_store_gets_an_admin() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("hub.db").display());
    let store = trunkline_store::Store::open(trunkline_store::StoreOptions::new(url)).await.unwrap();
    let now = Timestamp::from_secs(1_800_000_000);
    let made = seed_admin(&store, None, now).await.unwrap().unwrap();
    let row = token_find(&store, &hash(made.expose())).await.unwrap().unwrap();
    assert_eq!((row.role.as_str(), row.tenant.as_str()), ("admin", "default"));
    assert!(seed_admin(&store, None, now).await.unwrap().is_none());
}

#[tokio::test]
async fn each_token_has_its_own_rate() {
    let hub = Hub::start_with(|limits| limits.requests_per_s = std::num::NonZeroU32::new(1)).await;
    let list = async |token: &str| hub.call(Method::GET, "/api/v1/events").token(token).send().await;
    let admin = hub.token("admin");
    let mut statuses = Vec::new();
    // Two at once are allowed; a slow machine may get some more through.
    for _ in 0..50 {
        let answer = list(admin).await;
        statuses.push(answer.status.as_u16());
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(answer.body["code"], "request.rate_limited");
            let seconds: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=2).contains(&seconds), "{seconds}");
            break;
        }
    }
    assert_eq!(statuses[..2], [200, 200]);
    assert_eq!(statuses.last(), Some(&429));
    assert_eq!(list(hub.token("viewer")).await.status, StatusCode::OK, "another token goes on");
}
