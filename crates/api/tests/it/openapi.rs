//! The document: what is served is what is kept, it is whole, and it names every code.

use std::collections::BTreeSet;
use std::path::Path;

use http::Method;
use serde_json::Value;
use trunkline_api::openapi_json;
use trunkline_model::ErrorCode;

use crate::harness::Hub;

/// `UPDATE_SNAPSHOTS=1` rewrites the kept document.
#[tokio::test]
async fn the_kept_document_is_the_served_one() {
    let hub = Hub::start().await;
    let served = hub.call(Method::GET, "/openapi.json").send().await.text;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &served).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == served, "docs/openapi.json is stale; run the test with UPDATE_SNAPSHOTS=1");
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn the_document_is_whole() {
    let document: Value = serde_json::from_slice(&openapi_json()).unwrap();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some_and(|schema| !schema.is_null()), "{reference} is missing");
    }
    let codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(document["components"]["schemas"]["ErrorCode"]["enum"], serde_json::json!(codes));

    let mut ids = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()));
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {path}");
            let is_guarded = operation["security"].as_array().is_some_and(|rules| !rules.is_empty());
            assert_eq!(is_guarded, path.starts_with("/api/v1"), "{method} {path}");
            assert_eq!(path.contains('{'), operation["parameters"][0]["in"] == "path", "{method} {path}");
        }
    }
}
