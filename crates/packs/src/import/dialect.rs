//! Translates schemas of older dialects, OpenAPI 3.0 and AsyncAPI to JSON Schema 2020-12.
//!
//! Words that 2020-12 does not know are dropped when they only describe (`xml`, `discriminator`) and translated when
//! they check (`nullable`, lists in `items`, `dependencies`, true and false in `exclusiveMinimum`).

use serde_json::{Map, Value, json};

use crate::schema::keywords::{self, FORMATS};

/// Returns a schema without its own definitions: the bundler copies those that are used.
pub(super) fn without_definitions(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Value::Object(map) = &mut schema {
        map.remove("$defs");
        map.remove("definitions");
    }
    schema
}

/// Translates a bundled schema in place.
pub(super) fn translate(schema: &mut Value) {
    let definitions = schema.as_object_mut().and_then(|map| map.remove("$defs"));
    one(schema);
    if let Some(Value::Object(mut definitions)) = definitions {
        definitions.values_mut().for_each(one);
        if let Value::Object(map) = schema {
            map.insert("$defs".to_owned(), Value::Object(definitions));
        }
    }
}

fn one(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    // Everything that was referred to is among the top's definitions by now.
    map.remove("$defs");
    map.remove("definitions");
    lists_of_items(map);
    dependencies(map);
    exclusive(map, "exclusiveMinimum", "minimum");
    exclusive(map, "exclusiveMaximum", "maximum");
    if let Some(example) = map.remove("example") {
        map.entry("examples").or_insert_with(|| json!([example]));
    }
    // OpenAPI writes examples by name here and there.
    map.retain(|name, value| name != "examples" || value.is_array());
    map.retain(|name, value| {
        name != "format" || value.as_str().is_some_and(|format| FORMATS.contains(&format))
    });
    let is_nullable = map.remove("nullable") == Some(Value::Bool(true));
    map.retain(|name, _| {
        let is_kept = |keyword: &keywords::Keyword| {
            keyword.instead.is_none() || matches!(keyword.name, "$dynamicRef" | "$recursiveRef")
        };
        name.starts_with("x-") || name != "$schema" && keywords::find(name).is_some_and(is_kept)
    });
    keywords::for_each_child_mut(map, &mut one);
    if is_nullable {
        nullable(schema);
    }
}

/// `items: [a, b], additionalItems: c` is `prefixItems: [a, b], items: c`.
fn lists_of_items(map: &mut Map<String, Value>) {
    let rest = map.remove("additionalItems");
    if map.get("items").is_some_and(Value::is_array) {
        if let Some(items) = map.remove("items") {
            map.insert("prefixItems".to_owned(), items);
        }
        if let Some(rest) = rest {
            map.insert("items".to_owned(), rest);
        }
    }
}

fn dependencies(map: &mut Map<String, Value>) {
    let Some(Value::Object(dependencies)) = map.remove("dependencies") else { return };
    let (names, schemas): (Map<_, _>, Map<_, _>) =
        dependencies.into_iter().partition(|(_, value)| value.is_array());
    if !names.is_empty() {
        map.entry("dependentRequired").or_insert(Value::Object(names));
    }
    if !schemas.is_empty() {
        map.entry("dependentSchemas").or_insert(Value::Object(schemas));
    }
}

fn exclusive(map: &mut Map<String, Value>, exclusive: &str, inclusive: &str) {
    let Some(Value::Bool(flag)) = map.get(exclusive) else { return };
    let flag = *flag;
    map.remove(exclusive);
    if flag && let Some(limit) = map.remove(inclusive) {
        map.insert(exclusive.to_owned(), limit);
    }
}

fn nullable(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    if let Some(Value::Array(options)) = map.get_mut("enum")
        && !options.contains(&Value::Null)
    {
        options.push(Value::Null);
    }
    match map.get_mut("type") {
        Some(Value::String(name)) => {
            let both = json!([name, "null"]);
            map.insert("type".to_owned(), both);
        }
        Some(Value::Array(names)) if !names.iter().any(|name| name == "null") => names.push(json!("null")),
        Some(_) => {}
        None => {
            let inner = std::mem::take(schema);
            *schema = json!({ "anyOf": [inner, { "type": "null" }] });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_words_are_translated() {
        let check = |mut schema: Value, expect: Value| {
            translate(&mut schema);
            assert_eq!(schema, expect);
        };
        check(
            json!({"type": "string", "nullable": true, "enum": ["a"], "example": "a", "xml": {}}),
            json!({"type": ["string", "null"], "enum": ["a", null], "examples": ["a"]}),
        );
        check(
            json!({"nullable": true, "$ref": "#/$defs/a", "$defs": {"a": {"type": "integer", "format": "int64"}}}),
            json!({"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}], "$defs": {"a": {"type": "integer"}}}),
        );
        check(
            json!({"minimum": 1, "exclusiveMinimum": true, "maximum": 2, "exclusiveMaximum": false}),
            json!({"exclusiveMinimum": 1, "maximum": 2}),
        );
        check(
            json!({"items": [{"nullable": true, "type": "null"}], "additionalItems": false, "$id": "x"}),
            json!({"prefixItems": [{"type": ["null", "null"]}], "items": false}),
        );
        check(
            json!({"dependencies": {"a": ["b"], "c": {"required": ["d"]}}, "x-mine": 1}),
            json!({"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"c": {"required": ["d"]}}, "x-mine": 1}),
        );
        check(json!({"properties": {"id": {"id": "gone"}}}), json!({"properties": {"id": {}}}));
    }
}
