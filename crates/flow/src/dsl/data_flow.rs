//! How data moves through a task: `input`, `output`, `export`, and the schemas that hold it to a shape.

use std::sync::Arc;

use serde_json::Value;
use trunkline_packs::suggest::quoted;
use trunkline_packs::{DataFault, DataSchema};

use super::resource::ExternalResource;
use crate::expression::{Stage, Template};
use crate::read::{At, Extra, Fields, Reader};
use crate::rule::Rule;

/// What data must look like.
#[derive(Debug, Clone)]
pub enum Schema {
    /// A JSON Schema within the definition, compiled.
    Inline(Arc<DataSchema>),
    /// A schema to be fetched.
    External(Box<ExternalResource>),
}

/// A step of the data flow: a transformation, and a schema. Input is validated before the transformation, output and
/// export after it.
#[derive(Debug, Clone, Default)]
pub struct DataFlow {
    /// `from` or `as`; data passes unchanged without it.
    pub transform: Option<Template>,
    /// What the data is held to.
    pub schema: Option<Schema>,
}

/// Which of the three steps it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Input,
    Output,
    Export,
}

impl Reader {
    /// Reads a step of the data flow that may be missing.
    pub(crate) fn data_flow(&mut self, fields: &mut Fields<'_>, step: Step, stage: Stage) -> DataFlow {
        let (key, what, transform) = match step {
            Step::Input => ("input", "an input", "from"),
            Step::Output => ("output", "an output", "as"),
            Step::Export => ("export", "an export", "as"),
        };
        let Some(at) = fields.optional(key) else { return DataFlow::default() };
        let Some(mut fields) = Fields::open(&at, what, self) else { return DataFlow::default() };
        let transform = fields.optional(transform).and_then(|at| self.transformation(&at, stage));
        let schema = fields.optional("schema").and_then(|at| self.schema(&at, stage));
        fields.close(Extra::Closed, self);
        DataFlow { transform, schema }
    }

    fn schema(&mut self, at: &At<'_>, stage: Stage) -> Option<Schema> {
        let mut fields = Fields::open(at, "a schema", self)?;
        if let Some(at) = fields.optional("format") {
            let format = self.text(&at).unwrap_or("json");
            if format != "json" && !format.starts_with("json:") {
                let problem = format!("schemas of the format {} are not supported", quoted(format));
                self.rule(Rule::Schemas, &at, problem, "write a JSON Schema, format `json`");
            }
        }
        let schema = match fields.one_of(&["document", "resource"], self) {
            Some("document") => at.peek("document").and_then(|at| self.inline_schema(&at)),
            Some(_) => at
                .peek("resource")
                .and_then(|at| self.external_resource(&at, stage))
                .map(|resource| Schema::External(Box::new(resource))),
            None => None,
        };
        fields.close(Extra::Closed, self);
        schema
    }

    fn inline_schema(&mut self, at: &At<'_>) -> Option<Schema> {
        let schema = at.node.to_json();
        if !self.admits_patterns_of(&schema, at) {
            return None;
        }
        match DataSchema::compile(&schema) {
            Ok(schema) => Some(Schema::Inline(Arc::new(schema))),
            Err(faults) => {
                for fault in faults {
                    let mut at = at.clone();
                    if !fault.pointer.is_empty() {
                        at.position = at.node.position_of(&fault.pointer);
                        at.pointer.push_str(&fault.pointer);
                    }
                    self.rule(Rule::Schemas, &at, fault.problem, fault.fix);
                }
                None
            }
        }
    }
}

impl Schema {
    /// Lists where `data` does not fit an inline schema; external ones are the caller's to fetch.
    pub fn check(&self, data: &Value) -> Vec<DataFault> {
        match self {
            Self::Inline(schema) => schema.check(data),
            Self::External(_) => Vec::new(),
        }
    }
}
