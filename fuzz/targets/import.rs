//! OpenAPI, AsyncAPI and JSON Schema documents: none makes the import panic, each fault says something, and what is
//! imported can be checked, catalogued and validated against.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use trunkline_packs::import::{from_asyncapi, from_json_schema, from_openapi, read_document};
use trunkline_packs::{Catalogue, DocumentFault, EventTypeDraft};

fuzz_target!(|text: &str| {
    let document = match read_document(text) {
        Ok(document) => document,
        Err(faults) => return check_faults(&faults),
    };
    let schema = from_json_schema(&document, None).map(|draft| vec![draft]);
    for imported in [from_openapi(&document), from_asyncapi(&document), schema] {
        match imported {
            Ok(drafts) => drafts.into_iter().for_each(|draft| catalogue(draft, &document)),
            Err(faults) => check_faults(&faults),
        }
    }
});

fn check_faults(faults: &[DocumentFault]) {
    assert!(!faults.is_empty());
    assert!(faults.iter().all(|fault| !fault.problem.is_empty() && !fault.fix.is_empty()));
}

fn catalogue(draft: EventTypeDraft, document: &Value) {
    let event_type = draft.event_type.clone();
    match draft.check() {
        Err(faults) => check_faults(&faults),
        Ok(checked) => {
            let catalogue = Catalogue::of([Arc::new(checked)]).expect("one type is no duplicate");
            for data in [document, &json!({}), &json!("text"), &json!([1.5, null])] {
                let _ = catalogue.validate(&event_type, None, data);
            }
        }
    }
}
