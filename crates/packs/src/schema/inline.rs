//! A JSON Schema that stands inside a document, such as the schema of a workflow's input: held to the same rules as
//! the catalogue's, and used the same way.

use serde_json::Value;

use super::cost::schema_pointers;
use super::reference::Reference;
use super::{CompiledSchema, DataFault, lint};
use crate::fault::DocumentFault;

/// A compiled JSON Schema 2020-12. Every `$ref` leads into the schema itself; nothing is ever fetched.
#[derive(Debug)]
pub struct DataSchema(CompiledSchema);

impl DataSchema {
    /// Checks and compiles a schema.
    ///
    /// # Errors
    ///
    /// Every fault of the schema; pointers begin at the schema.
    pub fn compile(schema: &Value) -> Result<Self, Vec<DocumentFault>> {
        let faults = faults_of(schema);
        if !faults.is_empty() {
            return Err(faults);
        }
        CompiledSchema::compile(schema).map(Self).map_err(|fault| vec![fault])
    }

    /// Lists where data does not fit, within bounds of time and memory; empty when all does. Never quotes the data.
    pub fn check(&self, data: &Value) -> Vec<DataFault> {
        self.0.check(data).faults
    }
}

/// Lists the faults of a schema whose references lead into itself only.
pub(crate) fn faults_of(schema: &Value) -> Vec<DocumentFault> {
    let targets = schema_pointers(schema);
    let resolves = |reference: &Reference| {
        if !reference.path.is_empty() {
            return Err("references lead into this schema only, as #/$defs/name".to_owned());
        }
        if targets.contains(&reference.pointer) { Ok(()) } else { Err("leads to no schema".to_owned()) }
    };
    lint::lint(schema, &resolves)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_judges_data() {
        let schema = DataSchema::compile(&json!({"type": "object", "required": ["id"]})).unwrap();
        assert_eq!(schema.check(&json!({"id": 1})), []);
        assert_eq!(schema.check(&json!({}))[0].pointer, "/id");
    }

    #[test]
    fn a_schema_is_held_to_the_rules_of_the_catalogue() {
        let faults = DataSchema::compile(&json!({"tpye": "object", "$ref": "other.json"})).unwrap_err();
        let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/tpye", "/$ref"]);
    }
}
