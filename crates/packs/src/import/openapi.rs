//! OpenAPI 3.1 `webhooks` and 3.0 `x-webhooks`.
//!
//! A webhook is a path item: the body of its operation is the event. Its type is `x-event-type` of the operation or
//! the webhook, the single value of `type` in the body, or the webhook's name.

use serde_json::Value;

use super::{Describes, Found, TYPE_EXTENSION, VERSION_EXTENSION, follow, make_drafts, text};
use crate::draft::EventTypeDraft;
use crate::fault::DocumentFault;
use crate::pointer::join;

const METHODS: &[&str] = &["post", "put", "patch", "get", "delete", "options", "head", "trace"];

/// Reads the webhooks of an OpenAPI 3 document.
///
/// # Errors
///
/// Every fault; nothing is imported then.
pub fn from_openapi(doc: &Value) -> Result<Vec<EventTypeDraft>, Vec<DocumentFault>> {
    if !text(doc, "openapi").is_some_and(|version| version.starts_with("3.")) {
        return Err(vec![DocumentFault::new(
            "/openapi",
            "is no OpenAPI 3 document",
            "import OpenAPI 3.0 or 3.1",
        )]);
    }
    let section = ["webhooks", "x-webhooks"].into_iter().find(|name| doc.get(name).is_some());
    let Some((section, Value::Object(webhooks))) = section.and_then(|name| Some((name, doc.get(name)?)))
    else {
        return Err(vec![DocumentFault::new(
            "",
            "the document has no webhooks",
            "add them under `webhooks` (OpenAPI 3.1) or `x-webhooks` (3.0)",
        )]);
    };
    let mut found = Vec::new();
    let mut faults = Vec::new();
    for (name, item) in webhooks {
        match webhook(doc, name, join(&join("", section), name), item) {
            Ok(one) => found.push(one),
            Err(fault) => faults.push(fault),
        }
    }
    match make_drafts(doc, &found) {
        Ok(drafts) if faults.is_empty() => Ok(drafts),
        Ok(_) => Err(faults),
        Err(more) => {
            faults.extend(more);
            Err(faults)
        }
    }
}

fn webhook<'d>(
    doc: &'d Value,
    name: &'d str,
    pointer: String,
    item: &'d Value,
) -> Result<Found<'d>, DocumentFault> {
    let (item_pointer, item) = follow(doc, pointer.clone(), item)?;
    let operation = METHODS.iter().find_map(|method| Some((join(&item_pointer, method), item.get(method)?)));
    let Some((operation_pointer, operation)) = operation else {
        return Err(DocumentFault::new(pointer, "the webhook has no operation", "describe its POST"));
    };
    let Some(body) = operation.get("requestBody") else {
        return Err(DocumentFault::new(
            operation_pointer,
            "the operation has no requestBody",
            "describe its body",
        ));
    };
    let (body_pointer, body) = follow(doc, join(&operation_pointer, "requestBody"), body)?;
    let Some((media_name, media)) = json_media(body) else {
        return Err(DocumentFault::new(body_pointer, "the body is no JSON", "describe application/json"));
    };
    let media_pointer = join(&join(&body_pointer, "content"), media_name);
    let Some(schema) = media.get("schema") else {
        return Err(DocumentFault::new(media_pointer, "the body has no schema", "add one"));
    };
    let declared = |key: &str| operation.get(key).or_else(|| item.get(key));
    let chosen = declared(TYPE_EXTENSION).and_then(Value::as_str);
    Ok(Found {
        pointer,
        name: chosen.or(Some(name)),
        is_name_chosen: chosen.is_some(),
        version: declared(VERSION_EXTENSION),
        title: text(operation, "summary").or_else(|| text(schema, "title")),
        description: text(operation, "description").or_else(|| text(schema, "description")),
        is_deprecated: operation.get("deprecated") == Some(&Value::Bool(true)),
        schema_pointer: join(&media_pointer, "schema"),
        schema,
        describes: Describes::Body,
        example: example(doc, media, schema),
    })
}

/// Chooses the JSON form of a body.
fn json_media(body: &Value) -> Option<(&str, &Value)> {
    let content = body.get("content")?.as_object()?;
    let essence = |name: &str| name.split(';').next().unwrap_or(name).trim().to_ascii_lowercase();
    let exact = content.iter().find(|(name, _)| essence(name) == "application/json");
    let near = || {
        content.iter().find(|(name, _)| {
            let essence = essence(name);
            essence.ends_with("+json") || matches!(essence.as_str(), "*/*" | "application/*")
        })
    };
    exact.or_else(near).map(|(name, media)| (name.as_str(), media))
}

fn example<'d>(doc: &'d Value, media: &'d Value, schema: &'d Value) -> Option<&'d Value> {
    let first_named = || {
        let named = media.get("examples")?.as_object()?.values().next()?;
        follow(doc, String::new(), named).ok()?.1.get("value")
    };
    let schema = follow(doc, String::new(), schema).map_or(schema, |(_, schema)| schema);
    media
        .get("example")
        .or_else(first_named)
        .or_else(|| schema.get("example"))
        .or_else(|| schema.get("examples").and_then(Value::as_array).and_then(|examples| examples.first()))
}
