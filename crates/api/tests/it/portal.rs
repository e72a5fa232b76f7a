//! Tokens for the receiving side: what is open to them, and every door beside it.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use trunkline_model::{Clock as _, EndpointId, EventId};
use trunkline_store::Commit;
use trunkline_store::tables::endpoint::endpoint_get;

use crate::analytics::{count, endpoint};
use crate::harness::{Answer, Hub, tenant};
use crate::journey::delivery;

/// What is open, written down a second time.
const OPEN: [&str; 24] = [
    "GET /api/v1/asyncapi.json",
    "GET /api/v1/deliveries",
    "GET /api/v1/deliveries/{id}",
    "GET /api/v1/event-types",
    "GET /api/v1/event-types/{type}",
    "GET /api/v1/replays",
    "GET /api/v1/replays/{id}",
    "GET /api/v1/webhooks",
    "GET /api/v1/webhooks/analytics",
    "GET /api/v1/webhooks/{id}",
    "GET /api/v1/webhooks/{id}/analytics",
    "GET /api/v1/webhooks/{id}/deliveries",
    "GET /api/v1/webhooks/{id}/health",
    "GET /api/v1/webhooks/{id}/undelivered",
    "POST /api/v1/deliveries/{id}/retry",
    "POST /api/v1/replays",
    "POST /api/v1/replays/{id}/cancel",
    "POST /api/v1/replays/{id}/pause",
    "POST /api/v1/replays/{id}/resume",
    "POST /api/v1/webhooks",
    "POST /api/v1/webhooks/batch",
    "POST /api/v1/webhooks/{id}/recover",
    "POST /api/v1/webhooks/{id}/regenerate-secret",
    "POST /api/v1/webhooks/{id}/test",
];
const OPEN_PUT: &str = "PUT /api/v1/webhooks/{id}";

pub(crate) fn is_open(operation: &str) -> bool {
    OPEN.contains(&operation) || operation == OPEN_PUT
}

/// Makes a portal token as operator.
pub(crate) async fn mint(hub: &Hub, input: Value) -> Answer {
    let mut body = json!({ "name": "customer 7" });
    body.as_object_mut().unwrap().extend(input.as_object().unwrap().clone());
    hub.call(Method::POST, "/api/v1/portal-tokens").token(hub.token("operator")).json(&body).send().await
}

struct Portal<'a> {
    hub: &'a Hub,
    token: String,
}

impl<'a> Portal<'a> {
    async fn new(hub: &'a Hub, input: Value) -> Self {
        let made = mint(hub, input).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        Self { hub, token: made.body["token"].as_str().unwrap().to_owned() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.hub.call(Method::GET, path).token(&self.token).send().await
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.hub.call(method, path).token(&self.token).json(body).send().await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, body).await
    }
}

fn ids(answer: &Answer, name: &str) -> Vec<String> {
    let items = answer.body["items"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
    items.iter().map(|item| item[name].as_str().unwrap_or_default().to_owned()).collect()
}

/// An endpoint of its own, a foreign one, and a delivery to each.
async fn two(hub: &Hub) -> ([String; 2], [String; 2]) {
    let endpoints = [endpoint(hub).await, endpoint(hub).await];
    let mut deliveries = Vec::new();
    for (seq, id) in (1..).zip(&endpoints) {
        let event = format!("order-{seq}");
        hub.emit(&event, "order.created").await;
        let mut row = delivery(&EventId::from_text(event), seq);
        row.endpoint_id = EndpointId::from_text(id.as_str());
        deliveries.push(row);
    }
    hub.store.commit(Commit::deliveries(deliveries.clone())).await.unwrap();
    (endpoints, [0, 1].map(|index: usize| deliveries[index].id.as_str().to_owned()))
}

#[tokio::test]
async fn a_token_sees_its_endpoints_and_nothing_beside() {
    let hub = Hub::start().await;
    let ([own, foreign], [own_delivery, foreign_delivery]) = two(&hub).await;
    for id in [&own, &foreign] {
        count(&hub, id, "order.created", hub.clock.now(), 4).await;
    }
    let portal = Portal::new(&hub, json!({ "endpoint_ids": [own] })).await;
    assert_eq!(ids(&portal.get("/api/v1/webhooks").await, "id"), [own.as_str()]);
    assert_eq!(ids(&portal.get("/api/v1/webhooks?text=example").await, "id"), [own.as_str()]);
    assert_eq!(ids(&portal.get("/api/v1/deliveries").await, "id"), [own_delivery.as_str()]);
    let figures = portal.get("/api/v1/webhooks/analytics?group_by=endpoint").await.body;
    assert_eq!(
        (&figures["totals"]["n_attempts"], figures["groups"].as_array().unwrap().len()),
        (&json!(6), 1)
    );
    for path in ["", "/deliveries", "/health", "/analytics", "/undelivered"] {
        let mine = portal.get(&format!("/api/v1/webhooks/{own}{path}")).await;
        assert_eq!(mine.status, StatusCode::OK, "{path}");
        let theirs = portal.get(&format!("/api/v1/webhooks/{foreign}{path}")).await;
        assert_eq!((theirs.status, theirs.code()), (StatusCode::NOT_FOUND, "endpoint.not_found"), "{path}");
    }
    for path in [
        format!("deliveries?endpoint_id={foreign}"),
        format!("webhooks/analytics?endpoint_id={foreign}"),
        format!("deliveries/{foreign_delivery}"),
    ] {
        assert_eq!(portal.get(&format!("/api/v1/{path}")).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let by_event = portal.get("/api/v1/deliveries?event_id=order-2").await;
    assert_eq!(ids(&by_event, "id"), [""; 0]);
    let others = portal.get(&format!("/api/v1/webhooks/{own}/undelivered?include=no_match")).await;
    assert_eq!(others.code(), "auth.forbidden");
    assert_eq!(portal.get(&format!("/api/v1/deliveries/{own_delivery}")).await.status, StatusCode::OK);

    let both = Portal::new(&hub, json!({ "endpoint_ids": [own, foreign] })).await;
    assert_eq!(both.get("/api/v1/deliveries").await.pointers(), ["query:endpoint_id"]);
    let named = both.get(&format!("/api/v1/deliveries?endpoint_id={foreign}")).await;
    assert_eq!(ids(&named, "id"), [foreign_delivery.as_str()]);
    let all = Portal::new(&hub, json!({})).await;
    assert_eq!(ids(&all.get("/api/v1/deliveries").await, "id").len(), 2);
    assert_eq!(ids(&all.get("/api/v1/webhooks").await, "id").len(), 2);
}

#[tokio::test]
async fn a_token_changes_its_endpoints_and_nothing_beside() {
    let hub = Hub::start().await;
    let ([own, foreign], [own_delivery, foreign_delivery]) = two(&hub).await;
    let portal = Portal::new(&hub, json!({ "endpoint_ids": [own] })).await;
    let body = json!({ "url": "https://example.com/new", "events": ["order.*"] });
    for (method, path) in [(Method::PUT, ""), (Method::POST, "/test"), (Method::POST, "/regenerate-secret")] {
        let body = if method == Method::PUT { body.clone() } else { json!({}) };
        let theirs = portal.send(method.clone(), &format!("/api/v1/webhooks/{foreign}{path}"), &body).await;
        assert_eq!(theirs.status, StatusCode::NOT_FOUND, "{path}");
        let mine = portal.send(method, &format!("/api/v1/webhooks/{own}{path}"), &body).await;
        assert!(mine.status.is_success(), "{path}: {}", mine.text);
    }
    let many = json!({ "action": "disable", "ids": [own, foreign] });
    let done = portal.post("/api/v1/webhooks/batch", &many).await.body;
    assert_eq!(done["results"][0]["status"], "done");
    assert_eq!(
        done["results"][1],
        json!({ "id": foreign, "status": "failed", "code": "endpoint.not_found" })
    );
    assert_eq!(hub.get(&format!("/api/v1/webhooks/{foreign}")).await.body["active"], true);
    portal.post("/api/v1/webhooks/batch", &json!({ "action": "enable", "ids": [own] })).await;
    let delete = json!({ "action": "delete", "ids": [own] });
    assert_eq!(portal.post("/api/v1/webhooks/batch", &delete).await.code(), "auth.forbidden");
    assert_eq!(portal.post("/api/v1/webhooks", &body).await.code(), "auth.forbidden", "it is for one");
    let retry =
        async |id: &str| portal.post(&format!("/api/v1/deliveries/{id}/retry"), &json!({})).await.status;
    assert_eq!(retry(&foreign_delivery).await, StatusCode::NOT_FOUND);
    assert_eq!(retry(&own_delivery).await, StatusCode::ACCEPTED);
    let asked = hub.engines.asked.lock().unwrap().clone();
    assert!(
        asked.iter().all(|what| !what.contains(&foreign) && !what.contains(&foreign_delivery)),
        "{asked:?}"
    );

    let since = "2020-01-01T00:00:00Z";
    let mut jobs = Vec::new();
    for scope in [json!({ "endpoint_id": own }), json!({ "endpoint_id": foreign }), json!({})] {
        let mut input = json!({ "since": since });
        input.as_object_mut().unwrap().extend(scope.as_object().unwrap().clone());
        let mine = portal.post("/api/v1/replays", &input).await.status;
        let expect = match jobs.len() {
            0 => StatusCode::CREATED,
            1 => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        };
        assert_eq!(mine, expect);
        input["dry_run"] = json!(true);
        assert_eq!(portal.post("/api/v1/replays", &input).await.status.is_success(), jobs.is_empty());
        input["dry_run"] = json!(false);
        jobs.push(hub.post("/api/v1/replays", &input).await.body["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids(&portal.get("/api/v1/replays").await, "endpoint_id"), [own.as_str(), own.as_str()]);
    for (index, job) in jobs.iter().enumerate() {
        let status = portal.get(&format!("/api/v1/replays/{job}")).await.status;
        assert_eq!(status == StatusCode::OK, index == 0);
        for action in ["pause", "resume", "cancel"] {
            let status = portal.post(&format!("/api/v1/replays/{job}/{action}"), &json!({})).await.status;
            assert_eq!(status == StatusCode::OK, index == 0, "{action}");
        }
    }
}

#[tokio::test]
async fn limits_are_the_operators() {
    let hub = Hub::start().await;
    let made = json!({
        "url": "https://example.com/hook", "events": ["**"], "in_flight": 2, "rate_limit": 5.0, "max_attempts": 3,
    });
    let id = hub.post("/api/v1/webhooks", &made).await.body["id"].as_str().unwrap().to_owned();
    let portal = Portal::new(&hub, json!({})).await;
    let path = format!("/api/v1/webhooks/{id}");
    let raised = json!({
        "url": "https://example.com/hook", "events": ["**"], "in_flight": 50, "rate_limit": 900, "timeout_ms": 60000,
        "max_attempts": 3, "backoff_ms": [1000], "retry_by_type": [{ "events": "**", "max_attempts": 9 }],
    });
    let refused = portal.send(Method::PUT, &path, &raised).await;
    let expect = ["/backoff_ms", "/in_flight", "/rate_limit", "/retry_by_type", "/timeout_ms"];
    assert_eq!(refused.pointers(), expect);
    let refused = portal.post("/api/v1/webhooks", &raised).await;
    assert_eq!(refused.pointers().len(), 6);
    let broker = json!({ "kind": "stdout", "sink": { "prefix": "x" }, "events": ["**"] });
    let refused = portal.post("/api/v1/webhooks", &broker).await;
    assert!(["/kind", "/sink"].iter().all(|name| refused.pointers().iter().any(|known| known == name)));

    let mut read = portal.get(&path).await.body;
    read["url"] = json!("https://example.com/other");
    assert_eq!(portal.send(Method::PUT, &path, &read).await.status, StatusCode::OK, "what is sent back");
    let bare = json!({ "url": "https://example.com/third", "events": ["**"] });
    let kept = portal.send(Method::PUT, &path, &bare).await.body;
    assert_eq!(
        (&kept["in_flight"], &kept["rate_limit"], &kept["max_attempts"]),
        (&json!(2), &json!(5.0), &json!(3))
    );
    let own = portal.post("/api/v1/webhooks", &bare).await;
    assert_eq!(own.status, StatusCode::CREATED, "{}", own.text);
    let long = portal.post(&format!("{path}/regenerate-secret"), &json!({ "overlap_s": 86_401 })).await;
    assert_eq!(long.pointers(), ["/overlap_s"]);
}

/// What the receiving side gets to see, who the hub says that it is, and where that is sent, is not the receiving side's.
#[tokio::test]
async fn what_the_operator_has_set_stays() {
    let hub = Hub::start().await;
    let made = json!({
        "url": "https://example.com/hook", "events": ["**"], "channels": ["lab"], "filter": ".data.total > 1",
        "transform": "del(.data.price)", "headers": { "x-api-key": "s3cret" }, "metadata": { "customer": "7" },
    });
    let id = hub.post("/api/v1/webhooks", &made).await.body["id"].as_str().unwrap().to_owned();
    let portal = Portal::new(&hub, json!({ "endpoint_ids": [id] })).await;
    let path = format!("/api/v1/webhooks/{id}");
    let put = async |body: &Value| portal.send(Method::PUT, &path, body).await;

    let bare = json!({ "url": "https://example.com/other", "events": ["order.*"] });
    let kept = put(&bare).await;
    assert_eq!(kept.status, StatusCode::OK, "{}", kept.text);
    for name in ["channels", "filter", "transform", "metadata"] {
        assert_eq!(kept.body[name], made[name], "{name}");
    }
    let stored = async || {
        let row = endpoint_get(&hub.store, &tenant(), &id).await.unwrap().unwrap();
        (row.url, row.settings.contains("s3cret"))
    };
    assert_eq!(stored().await, ("https://example.com/other".to_owned(), true));

    let mut read = portal.get(&path).await.body;
    assert_eq!(read["headers"]["x-api-key"], "***");
    assert_eq!(put(&read).await.status, StatusCode::OK, "what is sent back");
    for url in ["https://thief.example/", "http://example.com/other", "https://example.com:444/"] {
        read["url"] = json!(url);
        let refused = put(&read).await;
        assert_eq!(
            (refused.pointers(), refused.code()),
            (vec!["/url".to_owned()], "request.invalid"),
            "{url}"
        );
    }
    for (name, value) in [
        ("channels", json!([])),
        ("filter", json!("true")),
        ("transform", json!(".")),
        ("headers", json!({ "x-api-key": "mine" })),
        ("metadata", json!({ "customer": "8" })),
        ("oauth2", json!({ "token_url": "https://thief.example/", "client_id": "a", "client_secret": "b" })),
        ("format", json!("cloudevents")),
    ] {
        let mut body = bare.clone();
        body[name] = value;
        let refused = put(&body).await;
        assert_eq!(refused.pointers(), [format!("/{name}")], "{}", refused.text);
        assert_eq!(refused.body["errors"][0]["code"], "forbidden");
    }
    let other_body = json!({ "url": "https://example.com/other?format=cloudevents", "events": ["**"] });
    assert_eq!(put(&other_body).await.pointers(), ["/format"]);
    assert_eq!(stored().await, ("https://example.com/other".to_owned(), true));

    for list in ["deliveries", &format!("webhooks/{id}/deliveries")] {
        let searched = portal.get(&format!("/api/v1/{list}?data=/price=9")).await;
        assert_eq!(searched.pointers(), ["query:data"], "{list}");
    }
    // An endpoint without credentials may be pointed anywhere.
    let free = endpoint(&hub).await;
    let portal = Portal::new(&hub, json!({ "endpoint_ids": [free] })).await;
    let elsewhere = json!({ "url": "https://elsewhere.example/", "events": ["**"], "format": "cloudevents" });
    let moved = portal.send(Method::PUT, &format!("/api/v1/webhooks/{free}"), &elsewhere).await;
    assert_eq!(moved.status, StatusCode::OK, "{}", moved.text);
}

#[tokio::test]
async fn tokens_are_minted_listed_and_end() {
    let hub = Hub::start().await;
    let id = endpoint(&hub).await;
    for (input, pointer) in [
        (json!({ "expires_in_s": 59 }), "/expires_in_s"),
        (json!({ "expires_in_s": 86_401 }), "/expires_in_s"),
        (json!({ "endpoint_ids": [] }), "/endpoint_ids"),
        (json!({ "role": "admin" }), "/role"),
    ] {
        assert_eq!(mint(&hub, input).await.pointers(), [pointer]);
    }
    assert_eq!(mint(&hub, json!({ "endpoint_ids": ["ep_nowhere"] })).await.code(), "endpoint.not_found");
    let standing = hub.post("/api/v1/tokens", &json!({ "name": "x", "role": "portal" })).await;
    assert_eq!(standing.pointers(), ["/role"]);

    let made = mint(&hub, json!({ "endpoint_ids": [id, id], "read_only": true, "expires_in_s": 60 })).await;
    let (token, handle) =
        (made.body["token"].as_str().unwrap(), made.body["id"].as_str().unwrap().to_owned());
    assert!(token.starts_with("tlp_") && handle.starts_with("ptk_"));
    assert_eq!(made.body["endpoint_ids"], json!([id]));
    let listed = hub.get("/api/v1/portal-tokens").await;
    assert_eq!(ids(&listed, "id"), [handle.as_str()]);
    assert!(!listed.text.contains(token) && !hub.get("/api/v1/tokens").await.text.contains("ptk_"));

    let portal = Portal { hub: &hub, token: token.to_owned() };
    assert_eq!(portal.get("/api/v1/webhooks").await.status, StatusCode::OK);
    for path in [format!("webhooks/{id}/test"), "webhooks/batch".into(), "replays".into()] {
        let refused = portal.post(&format!("/api/v1/{path}"), &json!({})).await;
        assert_eq!(refused.code(), "auth.forbidden", "{path}");
    }
    hub.clock.advance(std::time::Duration::from_secs(61));
    assert_eq!(portal.get("/api/v1/webhooks").await.status, StatusCode::UNAUTHORIZED);

    let made = mint(&hub, json!({})).await.body;
    let (token, handle) =
        (made["token"].as_str().unwrap().to_owned(), made["id"].as_str().unwrap().to_owned());
    let portal = Portal { hub: &hub, token };
    assert_eq!(portal.get("/api/v1/webhooks").await.status, StatusCode::OK);
    let end =
        async |path: String, role| hub.call(Method::DELETE, &path).token(hub.token(role)).send().await.status;
    let admin = hub.get("/api/v1/tokens").await.body["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(end(format!("/api/v1/portal-tokens/{admin}"), "operator").await, StatusCode::NOT_FOUND);
    assert_eq!(end(format!("/api/v1/portal-tokens/{handle}"), "viewer").await, StatusCode::FORBIDDEN);
    assert_eq!(end(format!("/api/v1/portal-tokens/{handle}"), "operator").await, StatusCode::NO_CONTENT);
    assert_eq!(portal.get("/api/v1/webhooks").await.status, StatusCode::UNAUTHORIZED);
    let foreign = hub.call(Method::GET, "/api/v1/portal-tokens").token(hub.stranger()).send().await;
    assert_eq!(foreign.body["items"], json!([]));
}

#[tokio::test]
async fn kept_answers_are_not_for_others() {
    let hub = Hub::start().await;
    let body = json!({ "url": "https://example.com/hook", "events": ["**"] });
    let send = async |token: &str| {
        let call = hub.call(Method::POST, "/api/v1/webhooks").token(token);
        call.header("idempotency-key", "same").json(&body).send().await
    };
    let first = send(hub.token("operator")).await;
    let portal = Portal::new(&hub, json!({})).await;
    let second = send(&portal.token).await;
    assert_eq!(second.header("idempotency-replayed"), "");
    assert_ne!(first.body["id"], second.body["id"]);
    assert_eq!(send(&portal.token).await.header("idempotency-replayed"), "true");
}
