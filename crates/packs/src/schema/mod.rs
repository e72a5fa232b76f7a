//! JSON Schema for event data: checked, bundled, estimated, compiled once, and asked many times.
//!
//! The order is always the same: [`lint::lint`] finds what is wrong in each document and says where; [`bundle`] makes
//! one self-contained document; [`cost`] bounds what checking may take; [`engine`] compiles. Only then is there a
//! [`CompiledSchema`].

pub(crate) mod bundle;
pub(crate) mod cost;
pub(crate) mod engine;
mod explain;
pub(crate) mod inline;
pub(crate) mod keywords;
pub(crate) mod lint;
pub(crate) mod reference;

use std::collections::HashSet;
use std::fmt;

use cost::Allowed;
use jsonschema::Validator;
use serde_json::Value;

use crate::fault::DocumentFault;
use crate::pointer;

pub use explain::DataFault;
pub use inline::DataSchema;

/// The most faults listed for one piece of data.
const MAX_FAULTS: usize = 100;

/// A schema that data can be checked against.
pub(crate) struct CompiledSchema {
    validator: Validator,
    cost: cost::Cost,
    /// Every property that the schema names, which explanations may therefore show.
    names: HashSet<String>,
}

/// The verdict on data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// What does not fit; empty when all does.
    pub(crate) faults: Vec<DataFault>,
    /// Whether the list is the whole list.
    pub(crate) complete: bool,
}

impl CompiledSchema {
    /// Compiles a self-contained schema that passed [`lint::lint`].
    pub(crate) fn compile(schema: &Value) -> Result<Self, DocumentFault> {
        let cost = cost::estimate(schema)?;
        let validator = engine::compile(schema).map_err(|error| {
            let what = format!("the schema cannot be used: {}", error.masked());
            DocumentFault::new("", what, "simplify it")
        })?;
        Ok(Self { validator, cost, names: property_names(schema) })
    }

    /// Checks data, within bounds of time and memory.
    pub(crate) fn check(&self, data: &Value) -> Verdict {
        let allowed = self.cost.allows(data);
        if allowed == Allowed::Nothing {
            return Verdict::short(
                "",
                "is too large, or nested too deeply, to be checked against this schema",
            );
        }
        if self.validator.is_valid(data) {
            return Verdict { faults: Vec::new(), complete: true };
        }
        if allowed == Allowed::Verdict {
            return Verdict::short("", "does not fit the schema, and is too large to say where");
        }
        let names = |key: &str| self.names.contains(key);
        let mut faults: Vec<DataFault> = self
            .validator
            .iter_errors(data)
            .flat_map(|error| explain::explain(&error, data, &names))
            .collect();
        self.drop_consequences(&mut faults);
        faults.sort();
        faults.dedup();
        let complete = faults.len() <= MAX_FAULTS;
        faults.truncate(MAX_FAULTS);
        Verdict { faults, complete }
    }
}

impl CompiledSchema {
    /// Drops what only follows from other faults. When one property does not fit, JSON Schema holds *every* property
    /// of the subschema that names it for unevaluated; of those, keys that the schema names somewhere are not shown
    /// while the object has other faults. One that is really misplaced shows once the others are mended.
    fn drop_consequences(&self, faults: &mut Vec<DataFault>) {
        let is_unevaluated = |fault: &DataFault| fault.keyword == "unevaluatedProperties";
        let causes: Vec<String> =
            faults.iter().filter(|fault| !is_unevaluated(fault)).map(|fault| fault.pointer.clone()).collect();
        faults.retain(|fault| {
            let Some((object, key)) = fault.pointer.rsplit_once('/').filter(|_| is_unevaluated(fault)) else {
                return true;
            };
            let is_named =
                pointer::tokens(&format!("/{key}")).is_some_and(|key| self.names.contains(&key[0]));
            let is_below = |cause: &String| {
                cause.strip_prefix(object).is_some_and(|rest| rest.starts_with('/') || rest.is_empty())
            };
            !(is_named && causes.iter().any(is_below))
        });
    }
}

impl Verdict {
    fn short(pointer: &str, problem: &str) -> Self {
        let fault = DataFault {
            pointer: pointer.to_owned(),
            keyword: "size".to_owned(),
            problem: problem.to_owned(),
        };
        Self { faults: vec![fault], complete: false }
    }
}

impl fmt::Debug for CompiledSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompiledSchema").finish_non_exhaustive()
    }
}

fn property_names(schema: &Value) -> HashSet<String> {
    let mut names = HashSet::new();
    keywords::walk(schema, "", &mut |_, schema| {
        if let Some(Value::Object(properties)) = schema.get("properties") {
            names.extend(properties.keys().cloned());
        }
        if let Some(Value::Array(required)) = schema.get("required") {
            names.extend(required.iter().filter_map(Value::as_str).map(str::to_owned));
        }
    });
    names
}
