//! A single JSON Schema of an event's data.

use serde_json::Value;
use trunkline_model::EventType;

use super::{Describes, Found, TYPE_EXTENSION, VERSION_EXTENSION, make_drafts, text};
use crate::draft::EventTypeDraft;
use crate::fault::DocumentFault;
use crate::schema::keywords::is_schema;

/// Reads one JSON Schema as an event type. The type is the caller's, else `x-event-type`, else the last part of `$id`,
/// else the title.
///
/// # Errors
///
/// Every fault.
pub fn from_json_schema(
    schema: &Value,
    event_type: Option<&EventType>,
) -> Result<EventTypeDraft, Vec<DocumentFault>> {
    if !is_schema(schema) {
        return Err(vec![DocumentFault::new("", "is no JSON Schema", "import an object")]);
    }
    let chosen = event_type.map(EventType::as_str).or_else(|| text(schema, TYPE_EXTENSION));
    let identity = || text(schema, "$id").or_else(|| text(schema, "id")).and_then(last_part);
    let name = chosen.or_else(identity).or_else(|| text(schema, "title"));
    let found = Found {
        pointer: String::new(),
        name,
        is_name_chosen: chosen.is_some(),
        version: schema.get(VERSION_EXTENSION),
        title: text(schema, "title"),
        description: text(schema, "description"),
        is_deprecated: schema.get("deprecated") == Some(&Value::Bool(true)),
        schema_pointer: String::new(),
        schema,
        describes: Describes::Data,
        example: schema.get("examples").and_then(|examples| examples.get(0)),
    };
    let mut drafts = make_drafts(schema, std::slice::from_ref(&found))?;
    Ok(drafts.remove(0))
}

/// The name in an identifier: `https://example.com/schemas/order.paid.schema.json` says `order.paid`.
fn last_part(id: &str) -> Option<&str> {
    let path = id.split(['#', '?']).next()?.trim_end_matches('/');
    let last = path.rsplit(['/', ':']).next()?;
    let last = last.strip_suffix(".json").unwrap_or(last);
    Some(last.strip_suffix(".schema").unwrap_or(last)).filter(|last| !last.is_empty())
}
