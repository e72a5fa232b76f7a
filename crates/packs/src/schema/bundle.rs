//! Makes a schema self-contained: what it refers to in other documents is copied into its `$defs`.
//!
//! Used for packs (a schema refers to other files of the pack) and for imports (a schema inside an OpenAPI document
//! refers to the document's components). Recursive definitions are copied once; numbers are bounded.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::keywords;
use super::reference::Reference;
use crate::fault::DocumentFault;
use crate::pointer;
use crate::suggest::quoted;

/// The most definitions copied for one schema.
const MAX_DEFINITIONS: usize = 300;
/// The most schemas copied with them.
const MAX_SCHEMAS: usize = super::lint::MAX_SCHEMAS;

/// Finds a document by the name that a reference's path resolves to.
pub(crate) type Find<'a> = dyn Fn(&str) -> Option<&'a Value> + 'a;

/// What happens to references into the schema's own document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// They stay: the schema is the document, and is kept whole.
    Stays,
    /// Their targets are copied: the schema is a part of the document, or loses what else is in it.
    IsCopied,
}

/// What to bundle.
pub(crate) struct Bundle<'a> {
    /// The document the schema stands in, by name.
    pub(crate) document: &'a str,
    /// Where in that document; for faults.
    pub(crate) pointer: &'a str,
    pub(crate) schema: &'a Value,
    pub(crate) home: Home,
    pub(crate) find: &'a Find<'a>,
}

impl Bundle<'_> {
    /// Copies the schema with everything it refers to. Faults name the reference by the document it stands in.
    pub(crate) fn make(&self) -> Result<Value, Vec<DocumentFault>> {
        let mut maker = Maker {
            bundle: self,
            names: BTreeMap::new(),
            waiting: Vec::new(),
            taken: taken_names(self.schema),
            n_schemas: 0,
            faults: Vec::new(),
        };
        let mut made = self.schema.clone();
        maker.rewrite(&mut made, self.document);
        let mut copied = Map::new();
        while let Some((name, document, value)) = maker.waiting.pop() {
            let mut value = value.clone();
            maker.rewrite(&mut value, &document);
            copied.insert(name, value);
        }
        maker.faults.dedup();
        if !maker.faults.is_empty() {
            return Err(maker.faults);
        }
        Ok(with_definitions(made, copied))
    }
}

/// Adds definitions to a schema.
fn with_definitions(mut schema: Value, copied: Map<String, Value>) -> Value {
    if copied.is_empty() {
        return schema;
    }
    if let Value::Object(map) = &mut schema
        && let Value::Object(defs) = map.entry("$defs").or_insert_with(|| Value::Object(Map::new()))
    {
        defs.extend(copied);
    }
    schema
}

fn taken_names(schema: &Value) -> Vec<String> {
    match schema.get("$defs") {
        Some(Value::Object(defs)) => defs.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

struct Maker<'m, 'a> {
    bundle: &'m Bundle<'a>,
    /// The name under which each referenced place is copied.
    names: BTreeMap<(String, String), String>,
    waiting: Vec<(String, String, &'a Value)>,
    taken: Vec<String>,
    n_schemas: usize,
    faults: Vec<DocumentFault>,
}

impl Maker<'_, '_> {
    /// Points the references of a schema, which stands in `document`, to where their targets are copied.
    fn rewrite(&mut self, schema: &mut Value, document: &str) {
        self.n_schemas += 1;
        let Value::Object(map) = schema else { return };
        if self.n_schemas > MAX_SCHEMAS {
            if self.n_schemas == MAX_SCHEMAS + 1 {
                self.fault(format!("refers to more than {MAX_SCHEMAS} subschemas"), "import a smaller part");
            }
            return;
        }
        // It names the dialect of a whole document; there is one, and all were held to it.
        map.remove("$schema");
        if let Some(Value::String(text)) = map.get_mut("$ref")
            && let Some(target) = self.target(text, document)
        {
            *text = target;
        }
        keywords::for_each_child_mut(map, &mut |child| self.rewrite(child, document));
    }

    fn target(&mut self, text: &str, from: &str) -> Option<String> {
        let reference = match Reference::parse(text) {
            Ok(reference) => reference,
            Err(problem) => {
                self.fault(
                    format!("{}: {problem}", quoted(text)),
                    "lead it to a schema of the same document",
                );
                return None;
            }
        };
        let Some(document) = reference.document(from) else {
            self.fault(format!("{} leads out of the pack", quoted(text)), "lead it to a file of this pack");
            return None;
        };
        if document == self.bundle.document && self.bundle.home == Home::Stays {
            return Some(format!("#{}", escape(&reference.pointer)));
        }
        let place = (document, reference.pointer);
        if let Some(name) = self.names.get(&place) {
            return Some(format!("#/$defs/{name}"));
        }
        let found = (self.bundle.find)(&place.0).and_then(|document| document.pointer(&place.1));
        let Some(value) = found.filter(|value| keywords::is_schema(value)) else {
            self.fault(
                format!("{} leads to no schema", quoted(text)),
                "mend the reference, or add what it leads to",
            );
            return None;
        };
        if self.names.len() >= MAX_DEFINITIONS {
            if self.names.len() == MAX_DEFINITIONS {
                self.fault(
                    format!("refers to more than {MAX_DEFINITIONS} definitions"),
                    "import a smaller part",
                );
            }
            return None;
        }
        let name = self.free_name(&place);
        let target = format!("#/$defs/{name}");
        self.waiting.push((name.clone(), place.0.clone(), value));
        self.names.insert(place, name);
        Some(target)
    }

    /// A name for a copied definition: the last word of its place, made unique.
    fn free_name(&mut self, (document, pointer): &(String, String)) -> String {
        let last = pointer::tokens(pointer).and_then(|mut tokens| tokens.pop());
        let stem = document.rsplit('/').next().unwrap_or(document).trim_end_matches(".json");
        let word = last.as_deref().filter(|last| !last.is_empty()).unwrap_or(stem);
        let clean: String = word
            .chars()
            .take(60)
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' })
            .collect();
        let mut name = clean.clone();
        let mut n = 2;
        while self.taken.contains(&name) {
            name = format!("{clean}_{n}");
            n += 1;
        }
        self.taken.push(name.clone());
        name
    }

    fn fault(&mut self, problem: String, fix: &str) {
        self.faults.push(DocumentFault::new(self.bundle.pointer, problem, fix));
    }
}

/// Escapes what a URI fragment cannot hold.
pub(crate) fn escape(pointer: &str) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const FRAGMENT: &AsciiSet = &CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'#')
        .add(b'%')
        .add(b'<')
        .add(b'>')
        .add(b'[')
        .add(b'\\')
        .add(b']')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}');
    utf8_percent_encode(pointer, FRAGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn other_documents_are_copied_in() {
        let event = json!({
            "properties": {"pet": {"$ref": "defs/pet.json"}, "self": {"$ref": "#/$defs/pet"}},
            "$defs": {"pet": {"type": "null"}},
            "examples": [{"$ref": "untouched"}]
        });
        let pet = json!({"properties": {"owner": {"$ref": "#/$defs/owner"}, "mother": {"$ref": "#"}},
                         "$defs": {"owner": {"type": "string"}}});
        let find = |name: &str| match name {
            "event.json" => Some(&event),
            "defs/pet.json" => Some(&pet),
            _ => None,
        };
        let bundle =
            Bundle { document: "event.json", pointer: "", schema: &event, home: Home::Stays, find: &find };
        let made = bundle.make().unwrap();
        assert_eq!(made["properties"]["pet"]["$ref"], "#/$defs/pet_2");
        assert_eq!(made["properties"]["self"]["$ref"], "#/$defs/pet");
        assert_eq!(made["examples"][0]["$ref"], "untouched");
        let copied = &made["$defs"]["pet_2"];
        assert_eq!(copied["properties"]["mother"]["$ref"], "#/$defs/pet_2");
        assert_eq!(copied["properties"]["owner"]["$ref"], "#/$defs/owner");
        assert_eq!(made["$defs"]["owner"], json!({"type": "string"}));
    }

    #[test]
    fn dangling_references_are_faults() {
        let schema = json!({"$ref": "gone.json", "not": {"$ref": "http://example.com/x"}});
        let bundle =
            Bundle { document: "a.json", pointer: "", schema: &schema, home: Home::Stays, find: &|_| None };
        assert_eq!(bundle.make().unwrap_err().len(), 2);
    }
}
