//! Imports of documents as others write them: small ones for every rule, a real one where it is at hand.

use std::path::Path;

use serde_json::{Value, json};
use trunkline_model::EventType;
use trunkline_packs::import::{from_asyncapi, from_json_schema, from_openapi, read_document};
use trunkline_packs::{DocumentFault, EventTypeDraft};

/// The drafts, each held to everything a catalogue asks.
fn good(drafts: Result<Vec<EventTypeDraft>, Vec<DocumentFault>>) -> Vec<EventTypeDraft> {
    let drafts = drafts.unwrap();
    for draft in &drafts {
        if let Err(faults) = draft.clone().check() {
            panic!("{}: {faults:?}", draft.event_type);
        }
    }
    drafts
}

fn names(drafts: &[EventTypeDraft]) -> Vec<&str> {
    drafts.iter().map(|draft| draft.event_type.as_str()).collect()
}

fn faults(drafts: Result<Vec<EventTypeDraft>, Vec<DocumentFault>>) -> Vec<String> {
    drafts.unwrap_err().iter().map(|fault| format!("{}: {}", fault.pointer, fault.problem)).collect()
}

fn pets() -> Value {
    json!({
        "openapi": "3.1.0",
        "webhooks": {
            "pet/adopted": {
                "post": {
                    "summary": "A pet was adopted",
                    "description": "Sent once.",
                    "deprecated": true,
                    "requestBody": {"content": {"application/json": {
                        "schema": {"$ref": "#/components/schemas/Pet"},
                        "examples": {"one": {"value": {"name": "Rex", "parents": [{"name": "Max"}]}}}
                    }}}
                }
            },
            "order": {
                "$ref": "#/components/pathItems/order"
            }
        },
        "components": {
            "pathItems": {"order": {"post": {"requestBody": {"$ref": "#/components/requestBodies/order"}}}},
            "requestBodies": {"order": {"content": {"application/json; charset=utf-8": {
                "schema": {"$ref": "#/components/schemas/OrderPaid"},
                "example": {"type": "order.paid", "timestamp": "2026-01-01T00:00:00Z", "data": {"cents": 5}}
            }}}},
            "schemas": {
                "Pet": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"type": "string"},
                        "parents": {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}}
                    }
                },
                "Event": {"type": "object", "properties": {
                    "type": {"type": "string"}, "timestamp": {"type": "string", "format": "date-time"}
                }},
                "OrderPaid": {"allOf": [
                    {"$ref": "#/components/schemas/Event"},
                    {"properties": {"type": {"const": "order.paid"}, "data": {"$ref": "#/components/schemas/Order"}}}
                ]},
                "Order": {"properties": {"cents": {"type": "integer", "format": "int64"}}, "required": ["cents"]}
            }
        }
    })
}

#[test]
fn openapi_webhooks_become_types() {
    let drafts = good(from_openapi(&pets()));
    assert_eq!(names(&drafts), ["order.paid", "pet.adopted"]);
    let [order, pet] = &drafts[..] else { panic!() };
    assert_eq!(pet.title, "A pet was adopted");
    assert_eq!(pet.description, "Sent once.");
    assert!(pet.deprecation.is_some());
    assert_eq!(pet.example, Some(json!({"name": "Rex", "parents": [{"name": "Max"}]})));
    assert_eq!(pet.schema["$ref"], "#/$defs/Pet");
    assert_eq!(pet.schema["$defs"]["Pet"]["properties"]["parents"]["items"]["$ref"], "#/$defs/Pet");
    // The envelope is taken off: the event's data is what stands in `data`.
    assert_eq!(order.example, Some(json!({"cents": 5})));
    assert_eq!(order.schema["$ref"], "#/$defs/Order");
    assert_eq!(
        order.schema["$defs"],
        json!({"Order": {"properties": {"cents": {"type": "integer"}}, "required": ["cents"]}})
    );
}

#[test]
fn openapi_3_0_is_translated() {
    let doc = json!({
        "openapi": "3.0.3",
        "x-webhooks": {"stock.low": {"post": {
            "x-event-type": "stock.ran_low",
            "x-event-version": 2,
            "requestBody": {"content": {"application/vnd.shop+json": {"schema": {
                "type": "object",
                "properties": {
                    "sku": {"type": "string", "nullable": true, "example": "A-1"},
                    "left": {"type": "number", "format": "double", "minimum": 0, "exclusiveMinimum": true}
                },
                "discriminator": {"propertyName": "sku"},
                "example": {"sku": null, "left": 1}
            }}}}
        }}}
    });
    let drafts = good(from_openapi(&doc));
    assert_eq!((drafts[0].event_type.as_str(), drafts[0].version), ("stock.ran_low", 2));
    assert_eq!(
        drafts[0].schema["properties"],
        json!({
            "sku": {"type": ["string", "null"], "examples": ["A-1"]},
            "left": {"type": "number", "exclusiveMinimum": 0}
        })
    );
    assert_eq!(drafts[0].example, Some(json!({"sku": null, "left": 1})));
}

#[test]
fn openapi_faults_come_all_at_once() {
    assert_eq!(faults(from_openapi(&json!({"swagger": "2.0"}))), ["/openapi: is no OpenAPI 3 document"]);
    assert_eq!(faults(from_openapi(&json!({"openapi": "3.1.0"}))), [": the document has no webhooks"]);
    let body = |schema: Value| json!({"post": {"requestBody": {"content": {"application/json": {"schema": schema}}}}});
    let doc = json!({
        "openapi": "3.1.0",
        "webhooks": {
            "a": {},
            "b": {"post": {}},
            "c": {"post": {"requestBody": {"content": {"text/xml": {}}}}},
            "d": body(json!({"$ref": "https://example.com/schema.json"})),
            "e": body(json!({"$ref": "#/components/schemas/Gone"})),
            "users/{id}": body(json!({"type": "object"})),
            "g": {"$ref": "#/webhooks/g"}
        }
    });
    assert_eq!(
        faults(from_openapi(&doc)),
        [
            "/webhooks/a: the webhook has no operation",
            "/webhooks/b/post: the operation has no requestBody",
            "/webhooks/c/post/requestBody: the body is no JSON",
            "/webhooks/g: more than 8 references in a row",
            "/webhooks/d/post/requestBody/content/application~1json/schema: `https://example.com/schema.json`: \
         references lead to this document or to a file of this pack, never elsewhere",
            "/webhooks/e/post/requestBody/content/application~1json/schema: `#/components/schemas/Gone` leads to no schema",
            "/webhooks/users~1{id}: `users/{id}` is no event type: it holds `{`, `}`",
        ]
    );
}

#[test]
fn two_webhooks_of_one_type_must_agree() {
    let body = |schema: Value| json!({"post": {"requestBody": {"content": {"application/json": {"schema": schema}}}}});
    let doc = |second: Value| {
        json!({
            "openapi": "3.1.0",
            "webhooks": {"a/b": body(json!({"type": "object"})), "a:b": body(second)}
        })
    };
    assert_eq!(names(&good(from_openapi(&doc(json!({"type": "object"}))))), ["a.b"]);
    assert_eq!(
        faults(from_openapi(&doc(json!({"type": "array"})))),
        ["/webhooks/a:b: another message is a.b too, with another schema"]
    );
}

#[test]
fn asyncapi_2_messages_become_types() {
    let doc = json!({
        "asyncapi": "2.6.0",
        "channels": {
            "user/signedup": {"subscribe": {"message": {"payload": {"type": "object"}}}},
            "orders": {"publish": {"message": {"oneOf": [
                {"$ref": "#/components/messages/OrderMade"},
                {"messageId": "order.lost", "payload": {"items": [{"type": "string"}], "additionalItems": false}}
            ]}}}
        },
        "components": {
            "messages": {"OrderMade": {
                "name": "order.made",
                "title": "Order made",
                "summary": "An order was made.",
                "payload": {"$ref": "#/components/schemas/order"},
                "examples": [{"payload": {"id": 1}}]
            }},
            "schemas": {"order": {"properties": {"id": {"type": "integer"}}, "required": ["id"]}}
        }
    });
    let drafts = good(from_asyncapi(&doc));
    assert_eq!(names(&drafts), ["order.made", "order.lost", "user.signedup"]);
    assert_eq!(drafts[0].title, "Order made");
    assert_eq!(drafts[0].description, "An order was made.");
    assert_eq!(drafts[0].example, Some(json!({"id": 1})));
    assert_eq!(drafts[1].schema, json!({"prefixItems": [{"type": "string"}], "items": false}));
}

#[test]
fn asyncapi_3_messages_become_types() {
    let doc = json!({
        "asyncapi": "3.0.0",
        "channels": {"pets": {"address": "pets", "messages": {
            "born": {"$ref": "#/components/messages/born"},
            "died": {"x-event-type": "pet.died", "payload": {
                "schemaFormat": "application/schema+json;version=draft-07", "schema": {"type": "string"}
            }}
        }}},
        "components": {"messages": {"born": {"name": "pet.born", "payload": {"type": "integer"}}}}
    });
    let drafts = good(from_asyncapi(&doc));
    assert_eq!(names(&drafts), ["pet.born", "pet.died"]);
    assert_eq!(drafts[1].schema, json!({"type": "string"}));
    let loose = json!({"asyncapi": "3.0.0", "components": {"messages": {"a.b": {"payload": {}}}}});
    assert_eq!(names(&good(from_asyncapi(&loose))), ["a.b"]);
}

#[test]
fn asyncapi_faults_come_all_at_once() {
    assert_eq!(
        faults(from_asyncapi(&json!({"asyncapi": "1.2.0"}))),
        ["/asyncapi: is no AsyncAPI 2 or 3 document"]
    );
    assert_eq!(faults(from_asyncapi(&json!({"asyncapi": "3.0.0"}))), [": the document has no messages"]);
    let doc = json!({"asyncapi": "3.0.0", "channels": {"c": {"messages": {
        "a": {},
        "b": {"payload": {"schemaFormat": "application/vnd.apache.avro;version=1.9.0", "schema": {}}},
        "c": {"$ref": "other.yaml#/c"}
    }}}});
    assert_eq!(
        faults(from_asyncapi(&doc)),
        [
            "/channels/c/messages/a: the message has no payload",
            "/channels/c/messages/b: the schema's format is application/vnd.apache.avro;version=1.9.0",
            "/channels/c/messages/c: `other.yaml#/c` leads to nothing in the document",
        ]
    );
}

#[test]
fn a_json_schema_becomes_a_type() {
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "https://example.com/schemas/parcel.sent.schema.json",
        "title": "Parcel sent",
        "description": "A parcel left the house.",
        "type": "object",
        "properties": {"to": {"$ref": "#/definitions/place"}, "parts": {"type": "array", "items": {"$ref": "#"}}},
        "definitions": {"place": {"type": "string"}, "unused": {}},
        "examples": [{"to": "x", "parts": []}]
    });
    let draft = from_json_schema(&schema, None).unwrap();
    draft.clone().check().unwrap();
    assert_eq!(draft.event_type.as_str(), "parcel.sent");
    assert_eq!(
        (draft.title.as_str(), draft.description.as_str()),
        ("Parcel sent", "A parcel left the house.")
    );
    assert_eq!(draft.schema["properties"]["to"]["$ref"], "#/$defs/place");
    assert_eq!(draft.schema["$defs"]["place"], json!({"type": "string"}));
    assert!(draft.schema["$defs"].get("unused").is_none());
    let named = from_json_schema(&schema, Some(&EventType::parse("mine.own").unwrap())).unwrap();
    assert_eq!(named.event_type.as_str(), "mine.own");
    assert!(from_json_schema(&json!({"type": "string"}), None).is_err());
    assert!(from_json_schema(&json!([]), None).is_err());
    // The schema of data is no call's body: `type` and `data` are ordinary properties here.
    let alike =
        json!({"x-event-type": "a.b", "properties": {"type": {"const": "x"}, "data": {"type": "null"}}});
    assert_eq!(from_json_schema(&alike, None).unwrap().schema["properties"]["data"], json!({"type": "null"}));
}

#[test]
fn a_document_cannot_blow_an_import_up() {
    // Each schema refers to all others: copied once each, not once per path.
    let schemas: serde_json::Map<String, Value> = (0..100)
        .map(|n| {
            let all: Vec<Value> =
                (0..100).map(|m| json!({"$ref": format!("#/components/schemas/s{m}")})).collect();
            (format!("s{n}"), json!({"properties": {"a": {"anyOf": all}}}))
        })
        .collect();
    let mut doc = json!({"openapi": "3.1.0", "components": {"schemas": schemas}});
    let webhook = |n: usize| {
        let schema = json!({"$ref": format!("#/components/schemas/s{n}")});
        json!({"post": {"requestBody": {"content": {"application/json": {"schema": schema}}}}})
    };
    doc["webhooks"] = (0..100).map(|n| (format!("w{n}"), webhook(n))).collect();
    let found = faults(from_openapi(&doc));
    assert!(found.iter().all(|fault| fault.contains("more than 4000 subschemas")), "{:?}", found.first());
    let many: serde_json::Map<String, Value> = (0..501).map(|n| (format!("w{n}"), webhook(0))).collect();
    let doc = json!({"openapi": "3.1.0", "webhooks": many, "components": {"schemas": {"s0": {}}}});
    assert_eq!(faults(from_openapi(&doc)), [": more than 500 event types"]);
}

#[test]
fn documents_are_read_as_json_or_yaml() {
    assert_eq!(read_document("\n {\"a\": [1]}"), Ok(json!({"a": [1]})));
    assert_eq!(read_document("a: [1]\nb: no\n"), Ok(json!({"a": [1], "b": "no"})));
    assert_eq!(faults_of_text("{\"a\": }"), ["no valid JSON: expected value at line 1 column 7"]);
    assert_eq!(faults_of_text("a: 1\na: 2\n"), ["2:1: the key `a` is given twice, first on line 1"]);
}

fn faults_of_text(text: &str) -> Vec<String> {
    read_document(text).unwrap_err().into_iter().map(|fault| fault.problem).collect()
}

#[test]
fn a_vendors_document_is_imported_where_it_is_at_hand() {
    let folder = concat!("../../../sha", "red/data/specs/xero");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("xero-webhooks.yaml");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("SKIPPED: no document at {}", path.display());
        return;
    };
    let drafts = from_openapi(&read_document(&text).unwrap()).unwrap();
    assert_eq!(drafts.len(), 4);
    // Some of the vendor's examples do not fit the vendor's schemas.
    for draft in drafts {
        EventTypeDraft { example: None, ..draft }.check().unwrap();
    }
}
