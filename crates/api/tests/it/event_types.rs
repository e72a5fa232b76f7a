//! The event catalogue, and emitted events held against it.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use trunkline_model::EventType;
use trunkline_packs::{Catalogue, EventTypeDraft};

use crate::harness::{Answer, Hub};

fn paid() -> Value {
    json!({
        "type": "invoice.paid",
        "title": "An invoice was paid",
        "schema": {
            "type": "object",
            "required": ["amount"],
            "properties": { "amount": { "type": "integer", "minimum": 1 }, "note": { "type": "string" } }
        },
        "example": { "amount": 5 }
    })
}

async fn put(hub: &Hub, path: &str, body: &Value) -> Answer {
    hub.call(Method::PUT, path).token(hub.token("admin")).json(body).send().await
}

async fn emit(hub: &Hub, id: &str, event_type: &str, data: &Value) -> Answer {
    let event = json!({ "specversion": "1.0", "id": id, "source": "/t", "type": event_type, "data": data });
    hub.post("/api/v1/events", &event).await
}

#[tokio::test]
async fn a_tenant_keeps_event_types_of_its_own() {
    let hub = Hub::start().await;
    let created = hub.post("/api/v1/event-types", &paid()).await;
    assert_eq!(
        (created.status, created.header("location")),
        (StatusCode::CREATED, "/api/v1/event-types/invoice.paid")
    );
    assert_eq!(hub.post("/api/v1/event-types", &paid()).await.code(), "event_type.exists");
    let mut second = paid();
    second["version"] = json!(2);
    assert_eq!(hub.post("/api/v1/event-types", &second).await.status, StatusCode::CREATED);
    let path = "/api/v1/event-types/invoice.paid";
    assert_eq!(hub.get(path).await.body["version"], 2);
    assert_eq!(hub.get(&format!("{path}?version=1")).await.body["title"], "An invoice was paid");

    let mut content = paid();
    content.as_object_mut().unwrap().remove("type");
    content["deprecated"] = json!(true);
    content["replaced_by"] = json!("invoice.settled");
    assert_eq!(put(&hub, path, &content).await.body["replaced_by"], "invoice.settled");
    let listed = hub.get("/api/v1/event-types?deprecated=true&limit=1").await.body;
    assert_eq!(
        (&listed["items"][0]["version"], listed["items"].as_array().map(Vec::len)),
        (&json!(2), Some(1))
    );
    let stranger = hub.call(Method::GET, path).token(hub.stranger()).send().await;
    assert_eq!(stranger.code(), "event_type.not_found");

    for left in [1, 0] {
        let deleted = hub.call(Method::DELETE, path).token(hub.token("admin")).send().await;
        assert_eq!(deleted.status, StatusCode::NO_CONTENT);
        assert_eq!(hub.get(path).await.status.is_success(), left > 0);
    }
}

#[tokio::test]
async fn a_bad_schema_is_refused_with_every_place() {
    let hub = Hub::start().await;
    let mut bad = paid();
    bad["schema"]["properties"]["amount"]["type"] = json!("intege");
    bad["schema"]["properties"]["note"]["$ref"] = json!("https://example.com/s.json");
    let refused = hub.post("/api/v1/event-types", &bad).await;
    let pointers = refused.pointers();
    assert_eq!(refused.code(), "request.invalid");
    assert!(pointers.iter().any(|pointer| pointer.starts_with("/schema/properties/amount")), "{pointers:?}");
    assert!(pointers.iter().any(|pointer| pointer.starts_with("/schema/properties/note")), "{pointers:?}");
    let mut misfit = paid();
    misfit["example"]["amount"] = json!(0);
    assert_eq!(hub.post("/api/v1/event-types", &misfit).await.pointers(), ["/example/amount"]);
}

#[tokio::test]
async fn what_does_not_fit_is_marked_or_refused_as_the_tenant_wishes() {
    let hub = Hub::start().await;
    hub.post("/api/v1/event-types", &paid()).await;
    let misfit = json!({ "amount": "secret-value" });

    let warned = emit(&hub, "a", "invoice.paid", &misfit).await;
    assert_eq!(
        (warned.status, &warned.body["warnings"][0]["pointer"]),
        (StatusCode::ACCEPTED, &json!("/data/amount"))
    );
    let stored = hub.get("/api/v1/events/a").await.body;
    let note = stored["schemafault"].as_str().unwrap();
    assert!(note.contains("/amount") && !note.contains("secret-value"), "{note}");
    assert!(emit(&hub, "b", "invoice.paid", &json!({ "amount": 1 })).await.body.get("warnings").is_none());

    put(&hub, "/api/v1/settings", &json!({ "schema_check": "enforce" })).await;
    let refused = emit(&hub, "c", "invoice.paid", &misfit).await;
    assert_eq!(
        (refused.status, refused.pointers()),
        (StatusCode::BAD_REQUEST, vec!["/data/amount".to_owned()])
    );
    assert!(!refused.text.contains("secret-value"));
    assert_eq!(emit(&hub, "d", "unknown.type", &misfit).await.status, StatusCode::ACCEPTED);
    let batch = json!([
        { "specversion": "1.0", "id": "e", "source": "/t", "type": "invoice.paid", "data": {} },
        { "specversion": "1.0", "id": "f", "source": "/t", "type": "invoice.paid", "data": { "amount": 2 } },
    ]);
    let bytes = serde_json::to_vec(&batch).unwrap();
    let call = hub.call(Method::POST, "/api/v1/events").token(hub.token("emitter"));
    let items = call.bytes("application/cloudevents-batch+json", &bytes).send().await.body;
    assert_eq!(
        (&items["items"][0]["status"], &items["items"][1]["status"]),
        (&json!("rejected"), &json!("accepted"))
    );

    put(&hub, "/api/v1/settings", &json!({ "schema_check": "strict" })).await;
    assert_eq!(emit(&hub, "g", "unknown.type", &misfit).await.pointers(), ["/type"]);
    put(&hub, "/api/v1/settings", &json!({ "schema_check": "off" })).await;
    assert!(emit(&hub, "h", "invoice.paid", &misfit).await.body.get("warnings").is_none());
    assert_eq!(hub.get("/api/v1/settings").await.body, json!({ "schema_check": "off" }));
}

#[tokio::test]
async fn packs_give_types_to_every_tenant() {
    let hub = Hub::start().await;
    let draft = EventTypeDraft {
        event_type: EventType::parse("visit.made").unwrap(),
        version: 1,
        title: "Visit".to_owned(),
        description: String::new(),
        schema: json!({ "type": "object" }),
        example: None,
        deprecation: None,
    };
    let types = [std::sync::Arc::new(draft.check().unwrap())];
    hub.catalogue.set_packs(Catalogue::of(types).unwrap());
    assert_eq!(hub.get("/api/v1/event-types/visit.made").await.status, StatusCode::OK);
    let removed =
        hub.call(Method::DELETE, "/api/v1/event-types/visit.made").token(hub.token("admin")).send().await;
    assert_eq!(removed.code(), "event_type.not_found");
    let document = hub.get("/api/v1/asyncapi.json").await.body;
    assert_eq!(document["asyncapi"], "3.0.0");
    assert!(document["channels"].as_object().is_some_and(|channels| !channels.is_empty()));
}

#[tokio::test]
async fn documents_are_imported_whole_or_not_at_all() {
    let hub = Hub::start().await;
    let openapi = json!({
        "openapi": "3.1.0",
        "info": { "title": "Shop", "version": "1" },
        "webhooks": { "order.made": { "post": { "requestBody": { "content": { "application/json": {
            "schema": { "$ref": "#/components/schemas/Order" } } } } } } },
        "components": { "schemas": { "Order": {
            "type": "object", "required": ["id"], "properties": { "id": { "type": "string" } } } } }
    });
    let dry = json!({ "format": "openapi", "document": openapi, "dry_run": true });
    let answer = hub.post("/api/v1/event-types/import", &dry).await;
    assert_eq!((answer.status, &answer.body["stored"]), (StatusCode::OK, &json!(false)), "{}", answer.text);
    assert_eq!(hub.get("/api/v1/event-types/order.made").await.code(), "event_type.not_found");
    let real = json!({ "format": "openapi", "document": openapi });
    assert_eq!(hub.post("/api/v1/event-types/import", &real).await.body["items"][0]["type"], "order.made");
    assert_eq!(hub.get("/api/v1/event-types/order.made").await.status, StatusCode::OK);
    let broken = json!({ "format": "asyncapi", "document": { "asyncapi": "9" } });
    assert_eq!(hub.post("/api/v1/event-types/import", &broken).await.code(), "request.invalid");
}
