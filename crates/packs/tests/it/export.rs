//! The catalogue as AsyncAPI: complete, consistent in itself, and readable by our own import.

use std::path::Path;

use serde_json::{Value, json};
use trunkline_packs::import::from_asyncapi;

use crate::fixture::AnyWorkflow;
use trunkline_packs::{Catalogue, Pack, asyncapi};

fn veterinary() -> Catalogue {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs/veterinary");
    Catalogue::of(Pack::load_judged(&dir, std::sync::Arc::new(AnyWorkflow)).unwrap().types().cloned())
        .unwrap()
}

fn document() -> Value {
    asyncapi(&veterinary(), "Practice", "1.0.0", "https://hub.example.com:8443/base")
}

/// Calls `visit` with every `$ref` of the document that is one.
fn references(value: &Value, visit: &mut dyn FnMut(&str)) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                visit(reference);
            }
            map.values().for_each(|value| references(value, visit));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, visit)),
        _ => {}
    }
}

#[test]
fn every_type_has_a_channel_an_operation_and_a_message() {
    let document = document();
    assert_eq!(document["asyncapi"], "3.0.0");
    assert_eq!(document["info"], json!({"title": "Practice", "version": "1.0.0"}));
    assert_eq!(
        document["servers"]["hub"],
        json!({
            "host": "hub.example.com:8443", "pathname": "/base", "protocol": "https"
        })
    );
    let n = veterinary().iter().count();
    for section in ["/channels", "/operations", "/components/messages"] {
        assert_eq!(document.pointer(section).unwrap().as_object().unwrap().len(), n, "{section}");
    }
    assert_eq!(
        document["channels"]["invoice.paid"]["messages"]["invoice.paid.v1"]["$ref"],
        "#/components/messages/invoice.paid.v1"
    );
    assert_eq!(
        document["operations"]["send.invoice.paid"],
        json!({
            "action": "send",
            "channel": {"$ref": "#/channels/invoice.paid"},
            "messages": [{"$ref": "#/channels/invoice.paid/messages/invoice.paid.v1"}]
        })
    );
    let message = &document["components"]["messages"]["invoice.paid.v1"];
    assert_eq!(message["payload"]["properties"]["type"], json!({"const": "invoice.paid"}));
    let headers = &document["components"]["schemas"]["standard-webhooks-headers"];
    assert_eq!(headers["required"], json!(["webhook-id", "webhook-timestamp", "webhook-signature"]));
    assert!(asyncapi(&Catalogue::default(), "t", "1", "nonsense").get("servers").is_none());
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let mut n = 0;
    references(&document, &mut |reference| {
        n += 1;
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    });
    assert!(n > 400, "{n}");
}

#[test]
fn keys_are_made_of_allowed_characters() {
    let document = document();
    for section in ["/channels", "/operations", "/components/messages", "/components/schemas"] {
        for key in document.pointer(section).unwrap().as_object().unwrap().keys() {
            assert!(key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)), "{key}");
        }
    }
}

#[test]
fn examples_fit_the_exported_payloads() {
    let document = document();
    for (key, message) in document["components"]["messages"].as_object().unwrap() {
        let mut schema = message["payload"].clone();
        schema["components"] = document["components"].clone();
        let validator = jsonschema::options().offline().build(&schema).unwrap();
        assert!(validator.is_valid(&message["examples"][0]["payload"]), "{key}");
    }
}

#[test]
fn an_export_can_be_imported() {
    let catalogue = veterinary();
    let drafts = from_asyncapi(&document()).unwrap();
    assert_eq!(drafts.len(), catalogue.iter().count());
    for draft in drafts {
        let original = catalogue.get(&draft.event_type, Some(draft.version)).unwrap().declared().clone();
        assert_eq!((&draft.title, &draft.description), (&original.title, &original.description));
        assert_eq!(draft.example, original.example);
        let imported = draft.check().unwrap();
        let again = Catalogue::of([std::sync::Arc::new(imported)]).unwrap();
        let mut data = original.example.unwrap();
        assert!(again.validate(&original.event_type, None, &data).is_valid());
        data["unheard_of"] = json!(1);
        assert!(!again.validate(&original.event_type, None, &data).is_valid());
    }
}

#[test]
fn it_fits_the_schema_of_asyncapi_where_that_is_at_hand() {
    let folder = concat!("../../../sha", "red/data/specs/asyncapi");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("3.0.0.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("SKIPPED: no JSON Schema of AsyncAPI at {}", path.display());
        return;
    };
    let schema: Value = serde_json::from_str(&text).unwrap();
    let validator = jsonschema::options().offline().build(&schema).unwrap();
    let faults: Vec<String> = validator
        .iter_errors(&document())
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
