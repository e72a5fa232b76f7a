//! Searching histories for what no index knows: each call looks at a bounded number of rows and says where to go on.
//!
//! `data` names a member of the content by JSON Pointer and the scalar that it must hold: `/patient/id=42`. A call looks at
//! up to [`MAX_ROWS`] rows, or for [`MAX_TIME`], so a page can be short, even empty, and still name a next one.

use std::time::{Duration, Instant};

use serde_json::Value;
use trunkline_model::Data;

use crate::input::{Field, Input, Kind, Text};

/// Rows that one call looks at.
pub(crate) const MAX_ROWS: usize = 5_000;
/// How long one call looks for.
const MAX_TIME: Duration = Duration::from_secs(2);
/// Rows read at once.
pub(crate) const CHUNK: i64 = 100;

static CONDITION: Kind = Kind::Text(Text {
    min: 3,
    max: 1024,
    pattern: "^/([^=~\\x00-\\x1f\\x7f-\\x9f]|~[01])*=[^\\x00-\\x1f\\x7f-\\x9f]*$",
    accepts: |text| Condition::parse(text).is_some(),
    rule: "must be a JSON Pointer and a value with = between, such as /patient/id=42",
});

/// The parameter `data` of a list.
pub(crate) const DATA: Field = Field::optional(
    "data",
    Kind::List { item: &CONDITION, min: 1, max: 10 },
    "Only where the event's content has this value at this place: a JSON Pointer, `=`, and a number, `true`, `false`, `null` \
     or text (in quotes where it would be taken for one of these: `/code=\"42\"`). Repeated: all of them.",
);

/// One place in the content and the scalar that it must hold.
#[derive(Debug, Clone, PartialEq)]
struct Condition {
    pointer: String,
    /// What the value is when it is read as JSON.
    json: Option<Value>,
    text: String,
}

impl Condition {
    fn parse(text: &str) -> Option<Self> {
        let is_pointer = text.starts_with('/') && !text.chars().any(char::is_control);
        let (pointer, text) = text.split_once('=')?;
        let is_escaped = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        let json =
            serde_json::from_str(text).ok().filter(|value: &Value| !value.is_object() && !value.is_array());
        (is_pointer && is_escaped).then(|| Self { pointer: pointer.to_owned(), json, text: text.to_owned() })
    }

    fn holds(&self, content: &Value) -> bool {
        match (content.pointer(&self.pointer), &self.json) {
            (Some(Value::Number(found)), Some(Value::Number(wanted))) => {
                found == wanted || found.as_f64().is_some() && found.as_f64() == wanted.as_f64()
            }
            (Some(Value::String(found)), Some(Value::String(wanted))) => found == wanted,
            (Some(Value::String(found)), None) => *found == self.text,
            (Some(found), Some(wanted)) => found == wanted,
            _ => false,
        }
    }
}

/// What the content of an event must hold.
#[derive(Debug, Default)]
pub(crate) struct Conditions(Vec<Condition>);

impl Conditions {
    /// Reads the parameter `data`.
    pub(crate) fn read(query: &Input) -> Self {
        let texts = query.texts("data").unwrap_or_default();
        Self(texts.iter().filter_map(|text| Condition::parse(text)).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all of them hold. Content that is no JSON holds nothing.
    pub(crate) fn hold(&self, data: &Data) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let content = data.as_json().and_then(|text| serde_json::from_str::<Value>(text).ok());
        content.is_some_and(|content| self.0.iter().all(|condition| condition.holds(&content)))
    }
}

/// What is left of a call's share of work.
pub(crate) struct Budget {
    n_rows: usize,
    until: Instant,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self { n_rows: MAX_ROWS, until: Instant::now() + MAX_TIME }
    }

    /// Takes one row; false when nothing is left for a further one.
    pub(crate) fn take(&mut self) -> bool {
        self.n_rows = self.n_rows.saturating_sub(1);
        self.n_rows > 0 && Instant::now() < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_for_scalars() {
        let content = serde_json::json!({
            "patient": { "id": 42, "name": "Rex", "code": "42", "dead": false, "owner": null },
            "items": [{ "sku": "a=b" }], "a/b": 1, "": "empty",
        });
        let check = |text: &str, expect: bool| {
            let condition = Condition::parse(text).unwrap();
            assert_eq!(condition.holds(&content), expect, "{text}");
        };
        check("/patient/id=42", true);
        check("/patient/id=42.0", true);
        check("/patient/id=43", false);
        check("/patient/id=\"42\"", false);
        check("/patient/code=\"42\"", true);
        check("/patient/code=42", false);
        check("/patient/name=Rex", true);
        check("/patient/name=\"Rex\"", true);
        check("/patient/dead=false", true);
        check("/patient/owner=null", true);
        check("/patient/none=null", false);
        check("/items/0/sku=a=b", true);
        check("/a~1b=1", true);
        check("/=empty", true);
        check("/patient={}", false);
        for text in ["patient=1", "/patient", "/a~2=1", "=1", ""] {
            assert_eq!(Condition::parse(text), None, "{text}");
        }
    }
}
