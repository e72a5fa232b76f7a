//! The keywords of JSON Schema 2020-12 and where schemas stand inside schemas.
//!
//! One table for everything that walks a schema: the checks, the bundler, the cost estimate and the translation of
//! older dialects. Older keywords are in it too, marked, so that imports can be walked before they are translated.

use serde_json::{Map, Value};

use crate::pointer;

/// Where a keyword keeps subschemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// None: its value is plain.
    Nothing,
    /// One schema.
    One,
    /// A list of schemas; older dialects also have one schema in the place of a list.
    List,
    /// Schemas by name. Values that are no schemas (lists of names in `dependencies`) are passed over.
    Named,
}

/// A keyword.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keyword {
    pub(crate) name: &'static str,
    pub(crate) holds: Holds,
    /// Set when the catalogue does not take the keyword: what to write instead.
    pub(crate) instead: Option<&'static str>,
}

const fn plain(name: &'static str) -> Keyword {
    Keyword { name, holds: Holds::Nothing, instead: None }
}

const fn holding(name: &'static str, holds: Holds) -> Keyword {
    Keyword { name, holds, instead: None }
}

const fn refused(name: &'static str, holds: Holds, instead: &'static str) -> Keyword {
    Keyword { name, holds, instead: Some(instead) }
}

const REFERENCE: &str = "use $ref with a JSON pointer";
const IDENTITY: &str = "remove it; the file or the event type identifies the schema";

/// Every keyword, current ones first.
pub(crate) const KEYWORDS: &[Keyword] = &[
    plain("$ref"),
    plain("$schema"),
    plain("$comment"),
    plain("title"),
    plain("description"),
    plain("default"),
    plain("deprecated"),
    plain("readOnly"),
    plain("writeOnly"),
    plain("examples"),
    plain("type"),
    plain("enum"),
    plain("const"),
    plain("multipleOf"),
    plain("maximum"),
    plain("exclusiveMaximum"),
    plain("minimum"),
    plain("exclusiveMinimum"),
    plain("maxLength"),
    plain("minLength"),
    plain("pattern"),
    plain("format"),
    plain("contentEncoding"),
    plain("contentMediaType"),
    plain("maxItems"),
    plain("minItems"),
    plain("uniqueItems"),
    plain("maxContains"),
    plain("minContains"),
    plain("maxProperties"),
    plain("minProperties"),
    plain("required"),
    plain("dependentRequired"),
    holding("$defs", Holds::Named),
    holding("properties", Holds::Named),
    holding("patternProperties", Holds::Named),
    holding("dependentSchemas", Holds::Named),
    holding("additionalProperties", Holds::One),
    holding("unevaluatedProperties", Holds::One),
    holding("propertyNames", Holds::One),
    holding("prefixItems", Holds::List),
    holding("items", Holds::One),
    holding("unevaluatedItems", Holds::One),
    holding("contains", Holds::One),
    holding("contentSchema", Holds::One),
    holding("allOf", Holds::List),
    holding("anyOf", Holds::List),
    holding("oneOf", Holds::List),
    holding("not", Holds::One),
    holding("if", Holds::One),
    holding("then", Holds::One),
    holding("else", Holds::One),
    refused("$id", Holds::Nothing, IDENTITY),
    refused("id", Holds::Nothing, IDENTITY),
    refused("$anchor", Holds::Nothing, REFERENCE),
    refused("$dynamicAnchor", Holds::Nothing, REFERENCE),
    refused("$dynamicRef", Holds::Nothing, REFERENCE),
    refused("$recursiveAnchor", Holds::Nothing, REFERENCE),
    refused("$recursiveRef", Holds::Nothing, REFERENCE),
    refused("$vocabulary", Holds::Nothing, "remove it"),
    refused("definitions", Holds::Named, "call it $defs"),
    refused("dependencies", Holds::Named, "use dependentRequired or dependentSchemas"),
    refused("additionalItems", Holds::One, "use prefixItems with items"),
    refused("nullable", Holds::Nothing, "add \"null\" to type"),
    refused("example", Holds::Nothing, "use examples with a list"),
];

/// Every format that is checked.
pub(crate) const FORMATS: &[&str] = &[
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "idn-email",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];

/// Finds a keyword by name.
pub(crate) fn find(name: &str) -> Option<&'static Keyword> {
    KEYWORDS.iter().find(|keyword| keyword.name == name)
}

/// Tells whether a value can be a schema.
pub(crate) fn is_schema(value: &Value) -> bool {
    value.is_object() || value.is_boolean()
}

/// Where a subschema stands in its parent.
#[derive(Debug)]
pub(crate) struct Child<'v> {
    pub(crate) keyword: &'static str,
    /// The name or index below the keyword, where it holds several.
    pub(crate) token: Option<String>,
    pub(crate) schema: &'v Value,
}

impl Child<'_> {
    /// The pointer to the child, given the parent's.
    pub(crate) fn pointer(&self, parent: &str) -> String {
        let mut joined = pointer::join(parent, self.keyword);
        if let Some(token) = &self.token {
            pointer::push(&mut joined, token);
        }
        joined
    }
}

/// Lists the schemas that stand directly in a schema.
pub(crate) fn children(schema: &Map<String, Value>) -> Vec<Child<'_>> {
    let mut found = Vec::new();
    for (name, value) in schema {
        let Some(keyword) = find(name) else { continue };
        let mut add = |token: Option<String>, schema| {
            if is_schema(schema) {
                found.push(Child { keyword: keyword.name, token, schema });
            }
        };
        match (keyword.holds, value) {
            (Holds::Named, Value::Object(map)) => {
                map.iter().for_each(|(name, schema)| add(Some(name.clone()), schema));
            }
            (Holds::One | Holds::List, Value::Array(items)) => {
                items.iter().enumerate().for_each(|(index, schema)| add(Some(index.to_string()), schema));
            }
            (Holds::One | Holds::List, schema) => add(None, schema),
            (Holds::Nothing | Holds::Named, _) => {}
        }
    }
    found
}

/// Calls `change` on every schema that stands directly in a schema.
pub(crate) fn for_each_child_mut(schema: &mut Map<String, Value>, change: &mut dyn FnMut(&mut Value)) {
    for (name, value) in schema.iter_mut() {
        let Some(keyword) = find(name) else { continue };
        match (keyword.holds, value) {
            (Holds::Named, Value::Object(map)) => {
                map.values_mut().filter(|v| is_schema(v)).for_each(&mut *change);
            }
            (Holds::One | Holds::List, Value::Array(items)) => {
                items.iter_mut().filter(|v| is_schema(v)).for_each(&mut *change);
            }
            (Holds::One | Holds::List, schema) if is_schema(schema) => change(schema),
            _ => {}
        }
    }
}

/// Calls `visit` with every schema of a document and the pointer to it, parents first.
pub(crate) fn walk<'v>(schema: &'v Value, pointer: &str, visit: &mut dyn FnMut(&str, &'v Value)) {
    visit(pointer, schema);
    if let Value::Object(map) = schema {
        for child in children(map) {
            let below = child.pointer(pointer);
            walk(child.schema, &below, visit);
        }
    }
}
