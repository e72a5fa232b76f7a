//! Event types from documents others have written: OpenAPI webhooks, AsyncAPI messages, single JSON Schemas.
//!
//! An import makes drafts; [`EventTypeDraft::check`](crate::EventTypeDraft::check) then judges them like any other.
//! What a draft's schema refers to in the document is copied into it, older dialects are translated, and a body in the
//! Standard Webhooks envelope (`{type, timestamp, data}`) gives the type of its `type` and the schema of its `data`,
//! since that is what the hub makes of such a body. References out of the document are refused: nothing is fetched.

mod asyncapi;
mod dialect;
mod envelope;
mod json_schema;
mod naming;
mod openapi;

use serde_json::Value;

use crate::document::parse_yaml;
use crate::draft::{Deprecation, EventTypeDraft, MAX_DESCRIPTION, MAX_TITLE};
use crate::fault::DocumentFault;
use crate::schema::bundle::{Bundle, Home};
use crate::schema::cost::measure;
use crate::suggest::quoted;

pub use asyncapi::from_asyncapi;
pub use json_schema::from_json_schema;
pub use openapi::from_openapi;

/// The most event types in one document.
const MAX_TYPES: usize = 500;
/// The most values in all schemas of an import together, so that a small document cannot make a large catalogue.
const MAX_VALUES: u64 = 500_000;
/// The most references followed from one to the next.
const MAX_HOPS: usize = 8;

/// Says the event type's name where a document's own names are not dotted types.
const TYPE_EXTENSION: &str = "x-event-type";
/// Says the event type's version.
pub(crate) const VERSION_EXTENSION: &str = "x-event-version";

/// Reads a document that is JSON or YAML, within bounds: JSON nested up to 128 levels, YAML as strictly as a pack's files.
///
/// # Errors
///
/// Every fault of the text, its problem beginning with the line and column.
pub fn read_document(text: &str) -> Result<Value, Vec<DocumentFault>> {
    if text.trim_start_matches('\u{feff}').trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| {
            vec![DocumentFault::new("", format!("no valid JSON: {error}"), "mend the syntax")]
        });
    }
    let node = parse_yaml(text).map_err(|faults| {
        let faults = faults.into_iter();
        faults
            .map(|fault| DocumentFault::new("", format!("{}: {}", fault.position, fault.problem), fault.fix))
            .collect::<Vec<_>>()
    })?;
    Ok(node.to_json())
}

/// What a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Describes {
    /// The body of a call, perhaps an envelope.
    Body,
    /// The event's data itself.
    Data,
}

/// An event type found in a document.
struct Found<'d> {
    /// Where, for faults.
    pointer: String,
    /// What the document calls it.
    name: Option<&'d str>,
    /// Whether the name was chosen for the hub, so that it goes before what an envelope says.
    is_name_chosen: bool,
    version: Option<&'d Value>,
    title: Option<&'d str>,
    description: Option<&'d str>,
    is_deprecated: bool,
    schema_pointer: String,
    schema: &'d Value,
    describes: Describes,
    example: Option<&'d Value>,
}

/// Makes drafts of everything found, or gathers all faults.
fn make_drafts(doc: &Value, found: &[Found<'_>]) -> Result<Vec<EventTypeDraft>, Vec<DocumentFault>> {
    let mut drafts: Vec<EventTypeDraft> = Vec::new();
    let mut faults = Vec::new();
    let mut n_values = 0;
    if found.len() > MAX_TYPES {
        return Err(vec![DocumentFault::new(
            "",
            format!("more than {MAX_TYPES} event types"),
            "split the document",
        )]);
    }
    for one in found {
        match make_draft(doc, one) {
            Err(found) => faults.extend(found),
            Ok(draft) => {
                n_values += measure(&draft.schema).0;
                let same = drafts
                    .iter()
                    .find(|other| other.event_type == draft.event_type && other.version == draft.version);
                match same {
                    None => drafts.push(draft),
                    Some(other) if other.schema == draft.schema => {}
                    Some(_) => faults.push(DocumentFault::new(
                        &one.pointer,
                        format!("another message is {} too, with another schema", draft.event_type),
                        format!("tell them apart with `{TYPE_EXTENSION}` or `{VERSION_EXTENSION}`"),
                    )),
                }
            }
        }
        if n_values > MAX_VALUES {
            faults.push(DocumentFault::new(
                "",
                "the schemas are too large together",
                "import a part of the document",
            ));
            break;
        }
    }
    if faults.is_empty() { Ok(drafts) } else { Err(faults) }
}

fn make_draft(doc: &Value, found: &Found<'_>) -> Result<EventTypeDraft, Vec<DocumentFault>> {
    let find = |name: &str| name.is_empty().then_some(doc);
    let own = dialect::without_definitions(found.schema);
    let bundle = Bundle {
        document: "",
        pointer: &found.schema_pointer,
        schema: &own,
        home: Home::IsCopied,
        find: &find,
    };
    let mut schema = bundle.make()?;
    dialect::translate(&mut schema);
    let mut inner_name = None;
    let mut example = found.example;
    if found.describes == Describes::Body
        && let Some(envelope) = envelope::unwrap(&schema)
    {
        schema = envelope.data;
        inner_name = envelope.event_type;
        example = example.map(|example| example.get("data").unwrap_or(example));
    }
    let inner_name = inner_name.as_deref().filter(|_| !found.is_name_chosen);
    let name = inner_name.or(found.name).unwrap_or_default();
    let event_type = naming::normalise(name).map_err(|problem| {
        let problem = format!("{} is no event type: {problem}", quoted(name));
        vec![DocumentFault::new(
            &found.pointer,
            problem,
            format!("add `{TYPE_EXTENSION}` with a name such as order.created"),
        )]
    })?;
    let version = match found.version {
        None => 1,
        Some(version) => {
            version.as_u64().and_then(|it| u32::try_from(it).ok()).filter(|it| *it > 0).ok_or_else(|| {
                let problem = format!("`{VERSION_EXTENSION}` must be a whole number from 1");
                vec![DocumentFault::new(&found.pointer, problem, "count versions from 1")]
            })?
        }
    };
    let title = found.title.filter(|title| !title.trim().is_empty()).unwrap_or(event_type.as_str());
    Ok(EventTypeDraft {
        title: cut(title, MAX_TITLE),
        description: cut(found.description.unwrap_or_default(), MAX_DESCRIPTION),
        event_type,
        version,
        schema,
        example: example.cloned(),
        deprecation: found.is_deprecated.then(Deprecation::default),
    })
}

fn cut(text: &str, max_chars: usize) -> String {
    text.chars().take(max_chars).collect()
}

/// Follows local references from one place of the document to the next. Returns where it ends.
fn follow<'d>(
    doc: &'d Value,
    pointer: String,
    value: &'d Value,
) -> Result<(String, &'d Value), DocumentFault> {
    let (mut pointer, mut value) = (pointer, value);
    for _ in 0..MAX_HOPS {
        let Some(text) = value.get("$ref").and_then(Value::as_str) else { return Ok((pointer, value)) };
        let target =
            crate::schema::reference::Reference::parse(text).ok().filter(|target| target.path.is_empty());
        let found =
            target.and_then(|target| doc.pointer(&target.pointer).map(|value| (target.pointer, value)));
        let Some(next) = found else {
            return Err(DocumentFault::new(
                pointer,
                format!("{} leads to nothing in the document", quoted(text)),
                "put what it leads to into the document",
            ));
        };
        (pointer, value) = next;
    }
    Err(DocumentFault::new(pointer, format!("more than {MAX_HOPS} references in a row"), "shorten the chain"))
}

fn text<'d>(value: &'d Value, key: &str) -> Option<&'d str> {
    value.get(key).and_then(Value::as_str)
}
