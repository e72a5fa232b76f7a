//! Holds data to schemas: those of the definition, and those that lie elsewhere and came with the first records.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use serde_json::Value;
use trunkline_packs::DataSchema;

use super::hex_digest;
use super::outside::fixed_url;
use crate::dsl::data_flow::Schema;
use crate::dsl::error::StandardError;
use crate::engine::input::Failure;

/// How many compiled schemas are kept.
const KEPT: usize = 256;

type Compiled = Option<Arc<DataSchema>>;

/// Schemas by the digest of their text: the same text always compiles to the same, so keeping it changes nothing.
static COMPILED: LazyLock<Mutex<HashMap<String, Compiled>>> = LazyLock::new(Mutex::default);

/// Holds data to a schema.
pub(super) fn check(
    schema: &Schema,
    documents: &BTreeMap<String, Value>,
    data: &Value,
) -> Result<(), Failure> {
    let faults = match schema {
        Schema::Inline(_) => schema.check(data),
        Schema::External(resource) => {
            let document = fixed_url(resource).and_then(|url| documents.get(&url));
            let wrong = |what: &str| Failure::standard(StandardError::Configuration, what);
            let document = document.ok_or_else(|| wrong("the schema was not fetched"))?;
            let compiled = compiled(document);
            compiled
                .ok_or_else(|| wrong("what was fetched as a schema is none that can be used"))?
                .check(data)
        }
    };
    if faults.is_empty() {
        return Ok(());
    }
    let texts: Vec<String> = faults.iter().take(5).map(ToString::to_string).collect();
    Err(Failure::standard(StandardError::Validation, texts.join("; ")))
}

fn compiled(document: &Value) -> Compiled {
    let digest = hex_digest(document.to_string().as_bytes());
    if let Some(known) = COMPILED.lock().get(&digest) {
        return known.clone();
    }
    let made = DataSchema::compile(document).ok().map(Arc::new);
    let mut known = COMPILED.lock();
    if known.len() >= KEPT {
        known.clear();
    }
    known.insert(digest, made.clone());
    made
}
