//! Takes the Standard Webhooks envelope off a body's schema: `{type, timestamp, data}` describes the call, `data` the
//! event.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::schema::keywords;

/// What an envelope holds.
pub(super) struct Envelope {
    /// The event type, when the schema allows a single one.
    pub(super) event_type: Option<String>,
    /// The schema of the data, self-contained.
    pub(super) data: Value,
}

/// Looks into a bundled schema; `None` when it describes no envelope.
pub(super) fn unwrap(schema: &Value) -> Option<Envelope> {
    let mut properties = Properties { root: schema, found: BTreeMap::new(), seen: BTreeSet::new() };
    properties.gather(schema);
    let (type_schema, data) = (properties.found.get("type")?, properties.found.get("data")?);
    let empty = Map::new();
    let definitions = schema.get("$defs").and_then(Value::as_object).unwrap_or(&empty);
    Some(Envelope {
        event_type: only_value(schema, type_schema),
        data: with_used_definitions(data, definitions),
    })
}

/// The properties an object schema has of its own, by reference and through `allOf`.
struct Properties<'s> {
    root: &'s Value,
    found: BTreeMap<&'s str, &'s Value>,
    /// Definitions that were looked into.
    seen: BTreeSet<&'s str>,
}

impl<'s> Properties<'s> {
    fn gather(&mut self, schema: &'s Value) {
        if let Some(name) = definition(schema)
            && self.seen.insert(name)
            && let Some(target) = target(self.root, schema)
        {
            self.gather(target);
        }
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.gather(part);
        }
        if let Some(Value::Object(own)) = schema.get("properties") {
            self.found.extend(own.iter().map(|(name, schema)| (name.as_str(), schema)));
        }
    }
}

/// The definition a schema refers to.
fn target<'s>(root: &'s Value, schema: &Value) -> Option<&'s Value> {
    root.get("$defs")?.get(definition(schema)?)
}

/// The name of the definition a schema refers to; the bundler writes no other references.
fn definition(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

/// The one text that a schema allows.
fn only_value(root: &Value, schema: &Value) -> Option<String> {
    let schema = target(root, schema).unwrap_or(schema);
    let constant = schema.get("const").and_then(Value::as_str);
    let option = match schema.get("enum").and_then(Value::as_array).map(Vec::as_slice) {
        Some([only]) => only.as_str(),
        _ => None,
    };
    constant.or(option).map(str::to_owned)
}

fn with_used_definitions(data: &Value, definitions: &Map<String, Value>) -> Value {
    let mut used = BTreeSet::new();
    let mut waiting = vec![data];
    while let Some(next) = waiting.pop() {
        keywords::walk(next, "", &mut |_, schema| {
            if let Some(name) = definition(schema)
                && let Some(found) = definitions.get(name)
                && used.insert(name.to_owned())
            {
                waiting.push(found);
            }
        });
    }
    let mut data = data.clone();
    if let Value::Object(map) = &mut data
        && !used.is_empty()
    {
        let kept = definitions.iter().filter(|(name, _)| used.contains(*name));
        map.insert("$defs".to_owned(), kept.map(|(name, schema)| (name.clone(), schema.clone())).collect());
    }
    data
}
