//! Tokens for the receiving side: short-lived, for some endpoints of one tenant, and for nothing beside.

use http::Method;
use serde_json::{Value, json};
use trunkline_model::Timestamp;

use crate::cli::token_of;
use crate::hub::{Hub, Site};
use crate::receiver::Receiver;
use crate::stores::on_each_store;

on_each_store![
    a_token_is_for_some_endpoints_of_one_tenant,
    pages_are_named_by_the_operator,
    a_token_ends_by_itself
];

/// An endpoint of a tenant that gets everything, with its receiver, and a delivery to it.
struct Party {
    id: String,
    delivery: String,
    receiver: Receiver,
}

async fn party(hub: &Hub, token: &str) -> Party {
    let receiver = Receiver::start().await;
    let body = json!({ "url": receiver.url, "events": ["visit.*"] });
    let made = hub.call_as(token, Method::POST, "/api/v1/webhooks", Some(body)).await.expect(201);
    receiver.expect_secret(made["secret"].as_str().unwrap());
    let id = made["id"].as_str().unwrap().to_owned();
    let test =
        hub.call_as(token, Method::POST, &format!("/api/v1/webhooks/{id}/test"), None).await.expect(202);
    receiver.wait_for(1).await;
    Party { id, delivery: test["delivery_id"].as_str().unwrap().to_owned(), receiver }
}

/// Calls with a portal token.
struct Portal<'a> {
    hub: &'a Hub,
    token: String,
}

impl Portal<'_> {
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let answer = self.hub.call_as(&self.token, method, &format!("/api/v1/{path}"), body).await;
        (answer.status, answer.json())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call(Method::GET, path, None).await
    }

    async fn ids(&self, path: &str) -> Vec<String> {
        let (status, page) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {page}");
        page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    }
}

async fn mint(hub: &Hub, body: Value) -> Value {
    hub.post("/api/v1/portal-tokens", body, 201).await
}

async fn a_token_is_for_some_endpoints_of_one_tenant(site: Site) {
    let (admin, stranger) = (crate::hub::ADMIN_TOKEN, token_of(&site, "stranger", "operator").await);
    let hub = site.start();
    let (own, sibling) = (party(&hub, admin).await, party(&hub, admin).await);
    let foreign = party(&hub, &stranger).await;
    let event = hub.emit("visit.begun", json!({})).await;
    own.receiver.wait_for(2).await;
    sibling.receiver.wait_for(2).await;
    let of_foreign = json!({ "name": "x", "endpoint_ids": [foreign.id] });
    assert_eq!(hub.call(Method::POST, "/api/v1/portal-tokens", Some(of_foreign)).await.status, 404);
    let minted =
        mint(&hub, json!({ "name": "customer 7", "endpoint_ids": [own.id], "expires_in_s": 900 })).await;
    let portal = Portal { hub: &hub, token: minted["token"].as_str().unwrap().to_owned() };

    check_own(&portal, &own).await;
    // In this tenant, and in the other one.
    for other in [&sibling, &foreign] {
        check_absent(&portal, other).await;
    }
    assert_eq!(hub.get(&format!("/api/v1/webhooks/{}", sibling.id)).await["active"], true);
    check_closed(&portal, &own, &event).await;

    let handle = format!("/api/v1/portal-tokens/{}", minted["id"].as_str().unwrap());
    assert_eq!(hub.call_as(&stranger, Method::DELETE, &handle, None).await.status, 404);
    assert_eq!(portal.get("webhooks").await.0, 200);
    assert_eq!(hub.call(Method::DELETE, &handle, None).await.status, 204);
    assert_eq!(portal.get("webhooks").await.0, 401, "at once on the hub that is asked");
}

/// What the token is for.
async fn check_own(portal: &Portal<'_>, own: &Party) {
    let endpoint = format!("webhooks/{}", own.id);
    assert_eq!(portal.ids("webhooks").await, [own.id.as_str()]);
    // What was delivered at once is recorded a moment after it came.
    let are_recorded = |page: &Value| page["items"].as_array().is_some_and(|items| items.len() == 2);
    portal.hub.wait_for_as(&portal.token, "/api/v1/deliveries", are_recorded).await;
    assert!(portal.ids("deliveries").await.contains(&own.delivery));
    for path in ["", "/deliveries", "/health", "/analytics", "/undelivered"] {
        assert_eq!(portal.get(&format!("{endpoint}{path}")).await.0, 200, "{path}");
    }
    let overlap = json!({ "overlap_s": 60 });
    let (status, renewed) =
        portal.call(Method::POST, &format!("{endpoint}/regenerate-secret"), Some(overlap)).await;
    assert_eq!(status, 200, "{renewed}");
    own.receiver.expect_secret(renewed["secret"].as_str().unwrap());
    let (status, test) = portal.call(Method::POST, &format!("{endpoint}/test"), None).await;
    assert_eq!(status, 202, "{test}");
    own.receiver.wait_for(3).await;
    let moved = Receiver::start().await;
    moved.expect_secret(renewed["secret"].as_str().unwrap());
    let body = json!({ "url": moved.url, "events": ["visit.*"] });
    assert_eq!(portal.call(Method::PUT, &endpoint, Some(body)).await.0, 200);
    let retry = format!("deliveries/{}/retry", own.delivery);
    assert_eq!(portal.call(Method::POST, &retry, None).await.0, 202);
    moved.wait_for(1).await;
    let job = json!({ "endpoint_id": own.id, "since": "2026-01-01T00:00:00Z", "states": ["missed"] });
    assert_eq!(portal.call(Method::POST, "replays", Some(job)).await.0, 201);
}

/// What belongs to others is not there.
async fn check_absent(portal: &Portal<'_>, other: &Party) {
    let endpoint = format!("webhooks/{}", other.id);
    let calls = [
        (Method::GET, endpoint.clone()),
        (Method::PUT, endpoint.clone()),
        (Method::GET, format!("{endpoint}/deliveries")),
        (Method::GET, format!("{endpoint}/undelivered")),
        (Method::GET, format!("{endpoint}/health")),
        (Method::GET, format!("{endpoint}/analytics")),
        (Method::POST, format!("{endpoint}/test")),
        (Method::POST, format!("{endpoint}/regenerate-secret")),
        (Method::GET, format!("deliveries?endpoint_id={}", other.id)),
        (Method::GET, format!("deliveries/{}", other.delivery)),
        (Method::POST, format!("deliveries/{}/retry", other.delivery)),
    ];
    for (method, path) in calls {
        let body = json!({ "url": other.receiver.url, "events": ["visit.*"] });
        let (status, answer) =
            portal.call(method.clone(), &path, (method == Method::PUT).then_some(body)).await;
        assert_eq!(status, 404, "{method} {path}: {answer}");
    }
    let off = json!({ "action": "disable", "ids": [other.id] });
    let (_, done) = portal.call(Method::POST, "webhooks/batch", Some(off)).await;
    assert_eq!(done["results"][0]["status"], "failed");
    let job = json!({ "endpoint_id": other.id, "since": "2026-01-01T00:00:00Z" });
    assert_eq!(portal.call(Method::POST, "replays", Some(job)).await.0, 404);
}

/// Everything else is closed: events and their content most of all.
async fn check_closed(portal: &Portal<'_>, own: &Party, event: &str) {
    for path in [
        "events".to_owned(),
        format!("events/{event}"),
        format!("events/{event}/journey"),
        "events/stream?events=**".to_owned(),
        "pollers".to_owned(),
        "inbound".to_owned(),
        "tokens".to_owned(),
        "portal-tokens".to_owned(),
        "undelivered".to_owned(),
        "dead-letters".to_owned(),
        "workflows".to_owned(),
        format!("deliveries/{}/request", own.delivery),
    ] {
        let (status, answer) = portal.get(&path).await;
        assert_eq!((status, &answer["code"]), (403, &json!("auth.forbidden")), "{path}");
    }
    for (method, path) in
        [(Method::DELETE, format!("webhooks/{}", own.id)), (Method::POST, "events".to_owned())]
    {
        assert_eq!(portal.call(method, &path, None).await.0, 403, "{path}");
    }
}

/// Only the page that the operator names may read an answer, and browsers ask before they call.
async fn pages_are_named_by_the_operator(site: Site) {
    let hub = site.start_with(&[("TRUNKLINE_SERVER__CORS_ORIGINS", "https://portal.example")]);
    let token = mint(&hub, json!({ "name": "page" })).await["token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    for (origin, allowed) in
        [("https://portal.example", "https://portal.example"), ("https://thief.example", "")]
    {
        let asked = [
            ("origin", origin),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "authorization"),
        ];
        let before = hub.call_with(Method::OPTIONS, "/api/v1/webhooks", None, &asked).await;
        assert_eq!(before.header("access-control-allow-origin"), allowed);
        let called = [("origin", origin), ("authorization", bearer.as_str())];
        let read = hub.call_with(Method::GET, "/api/v1/webhooks", None, &called).await;
        assert_eq!((read.status, read.header("access-control-allow-origin")), (200, allowed));
    }
}

async fn a_token_ends_by_itself(site: Site) {
    let hub = site.start();
    let own = party(&hub, crate::hub::ADMIN_TOKEN).await;
    for (body, pointer) in [
        (json!({ "name": "x", "expires_in_s": 59 }), "/expires_in_s"),
        (json!({ "name": "x", "expires_in_s": 86_401 }), "/expires_in_s"),
    ] {
        let refused = hub.call(Method::POST, "/api/v1/portal-tokens", Some(body)).await.expect(400);
        assert_eq!(refused["errors"][0]["pointer"], pointer);
    }
    let minted = mint(&hub, json!({ "name": "x", "read_only": true, "expires_in_s": 60 })).await;
    let expires_at = Timestamp::parse_rfc3339(minted["expires_at"].as_str().unwrap()).unwrap();
    let portal = Portal { hub: &hub, token: minted["token"].as_str().unwrap().to_owned() };
    let now = || trunkline_model::Clock::now(&trunkline_model::SystemClock);
    assert_eq!(
        portal.call(Method::POST, &format!("webhooks/{}/test", own.id), None).await.0,
        403,
        "it may only look"
    );
    loop {
        let asked_at = now();
        match portal.get("webhooks").await.0 {
            200 => assert!(asked_at < expires_at, "it works too long"),
            401 => break,
            status => panic!("status {status}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert!(now() >= expires_at, "it ended too early");
}
