//! Reads what callers send, field by field, and names every fault at once: bodies, query parameters, ids in the path,
//! headers.
//!
//! Used by the guard (query parameters of every operation) and by handlers (bodies). Unknown fields and parameters are
//! faults too: a misspelt filter must not silently select everything.

mod extract;
mod kind;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;
use trunkline_model::{FieldError, Timestamp};
use url::form_urlencoded;

use crate::problem::Problem;

pub(crate) use extract::{Id, JsonBody, Query, parse_json, read_bytes};
pub(crate) use kind::{Faults, Field, Kind, Text, object_schema};

/// Values that were read, and the faults met on the way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Input {
    values: BTreeMap<&'static str, Value>,
    faults: Faults,
    /// What stands before a field's name in a pointer: `/` in bodies, `query:` in queries.
    place: &'static str,
}

impl Input {
    /// Reads an object by its fields.
    pub(crate) fn from_json(fields: &'static [Field], body: Value) -> Self {
        let mut input = Self { place: "/", ..Self::default() };
        let Value::Object(members) = body else {
            input.faults.push(FieldError::new("", "wrong_type", "must be an object"));
            return input;
        };
        for (name, value) in members {
            match fields.iter().find(|field| field.name == name) {
                Some(field) => input.take(field, value),
                None => input.unknown(&name, fields),
            }
        }
        input.note_missing(fields);
        input
    }

    /// Reads a query by its parameters.
    pub(crate) fn from_query(fields: &'static [Field], query: Option<&str>) -> Self {
        let mut input = Self { place: "query:", ..Self::default() };
        let mut seen: Vec<&str> = Vec::new();
        // A list's items are parameters of the same name.
        let mut lists: Vec<(&Field, Vec<Value>)> = Vec::new();
        for (name, text) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match fields.iter().find(|field| field.name == name) {
                Some(field) if matches!(field.kind, Kind::List { .. }) => {
                    match lists.iter_mut().find(|(known, _)| known.name == field.name) {
                        Some((_, items)) => items.push(text.into_owned().into()),
                        None => lists.push((field, vec![text.into_owned().into()])),
                    }
                }
                Some(field) if seen.contains(&field.name) => {
                    input.fault(field.name, "duplicate", "is there more than once");
                }
                Some(field) => {
                    seen.push(field.name);
                    input.take(field, field.kind.value_of(&text));
                }
                None => input.unknown(&name, fields),
            }
        }
        for (field, items) in lists {
            input.take(field, Value::Array(items));
        }
        input.note_missing(fields);
        input
    }

    fn take(&mut self, field: &Field, value: Value) {
        let before = self.faults.len();
        field.kind.check(&value, &format!("{}{}", self.place, field.name), &mut self.faults);
        if self.faults.len() == before {
            self.values.insert(field.name, value);
        }
    }

    fn unknown(&mut self, name: &str, fields: &[Field]) {
        // A name may be of any length; what is quoted back is bounded.
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
        let detail = if known.is_empty() {
            "is not known; nothing is read here".to_owned()
        } else {
            format!("is not known; known are {}", known.join(", "))
        };
        let escaped = if self.place == "/" { shown.replace('~', "~0").replace('/', "~1") } else { shown };
        self.faults.push(FieldError::new(format!("{}{escaped}", self.place), "unknown", detail));
    }

    fn note_missing(&mut self, fields: &[Field]) {
        for field in fields.iter().filter(|field| field.required) {
            let pointer = format!("{}{}", self.place, field.name);
            let met = self.values.contains_key(field.name)
                || self.faults.iter().any(|fault| {
                    fault
                        .pointer
                        .strip_prefix(&pointer)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                });
            if !met {
                self.faults.push(FieldError::new(pointer, "required", "is missing"));
            }
        }
    }

    /// Notes a fault of a field that only its meaning shows.
    pub(crate) fn fault(&mut self, name: &str, code: &str, detail: impl Into<String>) {
        self.faults.push(FieldError::new(format!("{}{name}", self.place), code, detail));
    }

    /// Whether a fault of a field, or of the whole, was noted.
    pub(crate) fn has_fault(&self, name: &str) -> bool {
        let pointer = format!("{}{name}", self.place);
        self.faults.iter().any(|fault| fault.pointer.is_empty() || fault.pointer == pointer)
    }

    /// Notes faults found elsewhere.
    pub(crate) fn add_faults(&mut self, faults: Faults) {
        self.faults.extend(faults);
    }

    /// Refuses when anything was wrong, naming all of it.
    pub(crate) fn finish(&mut self) -> Result<(), Problem> {
        let faults = std::mem::take(&mut self.faults);
        if faults.is_empty() { Ok(()) } else { Err(Problem::invalid(faults)) }
    }

    /// A text, a choice or a list's item as it was sent.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.values.get(name).and_then(Value::as_str).map(str::to_owned)
    }

    /// A whole number.
    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        self.values.get(name).and_then(kind::to_integer)
    }

    /// A value that serde reads.
    pub(crate) fn parsed<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        self.values.get(name).and_then(|value| T::deserialize(value).ok())
    }

    /// A flag.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.values.get(name).and_then(Value::as_bool)
    }

    /// A time.
    pub(crate) fn time(&self, name: &str) -> Option<Timestamp> {
        self.values.get(name).and_then(Value::as_str).and_then(|text| Timestamp::parse_rfc3339(text).ok())
    }

    /// Every value but some.
    pub(crate) fn without(&self, names: &[&str]) -> BTreeMap<&'static str, &Value> {
        self.values
            .iter()
            .filter(|(name, _)| !names.contains(name))
            .map(|(name, value)| (*name, value))
            .collect()
    }

    /// A list of texts.
    pub(crate) fn texts(&self, name: &str) -> Option<Vec<String>> {
        let items = self.values.get(name)?.as_array()?;
        Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Any JSON value.
    pub(crate) fn json(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// A list of whole numbers.
    pub(crate) fn integers(&self, name: &str) -> Option<Vec<i64>> {
        let items = self.values.get(name)?.as_array()?;
        Some(items.iter().filter_map(kind::to_integer).collect())
    }
}

#[cfg(test)]
mod tests;
