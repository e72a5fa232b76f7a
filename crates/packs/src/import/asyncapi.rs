//! AsyncAPI 2 and 3: every message with a payload, found through the channels, else among the components.
//!
//! Its type is `x-event-type` of the message, the single value of `type` in the payload, the message's name, or the
//! key it stands under.

use serde_json::Value;

use super::{Describes, Found, TYPE_EXTENSION, VERSION_EXTENSION, follow, make_drafts, text};
use crate::draft::EventTypeDraft;
use crate::fault::DocumentFault;
use crate::pointer::{join, tokens};

/// Reads the messages of an AsyncAPI document.
///
/// # Errors
///
/// Every fault; nothing is imported then.
pub fn from_asyncapi(doc: &Value) -> Result<Vec<EventTypeDraft>, Vec<DocumentFault>> {
    let version = text(doc, "asyncapi").unwrap_or_default();
    if !(version.starts_with("2.") || version.starts_with("3.")) {
        return Err(vec![DocumentFault::new(
            "/asyncapi",
            "is no AsyncAPI 2 or 3 document",
            "import one of these",
        )]);
    }
    let mut places = Vec::new();
    channels(doc, &mut places);
    if places.is_empty() {
        let messages = doc.pointer("/components/messages").and_then(Value::as_object);
        let at = |name: &str| join("/components/messages", name);
        places.extend(messages.into_iter().flatten().map(|(name, message)| (at(name), message)));
    }
    if places.is_empty() {
        return Err(vec![DocumentFault::new("", "the document has no messages", "add them to its channels")]);
    }
    let mut found: Vec<Found<'_>> = Vec::new();
    let mut faults = Vec::new();
    for (pointer, value) in places {
        match message(doc, pointer, value) {
            // A message can hang on several channels.
            Ok(one) if found.iter().any(|other| other.schema_pointer == one.schema_pointer) => {}
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

/// Lists the places of messages in channels: by operation in version 2, by name in version 3.
fn channels<'d>(doc: &'d Value, places: &mut Vec<(String, &'d Value)>) {
    for (name, channel) in doc.get("channels").and_then(Value::as_object).into_iter().flatten() {
        let Ok((at, channel)) = follow(doc, join("/channels", name), channel) else { continue };
        for operation in ["publish", "subscribe"] {
            let Some(message) = channel.get(operation).and_then(|operation| operation.get("message")) else {
                continue;
            };
            let at = join(&join(&at, operation), "message");
            match message.get("oneOf").and_then(Value::as_array) {
                Some(several) => {
                    let at = join(&at, "oneOf");
                    places.extend(several.iter().enumerate().map(|(i, it)| (join(&at, &i.to_string()), it)));
                }
                None => places.push((at, message)),
            }
        }
        let at = join(&at, "messages");
        let messages = channel.get("messages").and_then(Value::as_object);
        places.extend(messages.into_iter().flatten().map(|(name, message)| (join(&at, name), message)));
    }
}

fn message<'d>(doc: &'d Value, pointer: String, value: &'d Value) -> Result<Found<'d>, DocumentFault> {
    let (at, message) = follow(doc, pointer.clone(), value)?;
    let Some(payload) = message.get("payload") else {
        return Err(DocumentFault::new(at, "the message has no payload", "describe its payload"));
    };
    let mut schema_pointer = join(&at, "payload");
    let mut schema = payload;
    let mut format = text(message, "schemaFormat");
    if let (Some(named), Some(inner)) = (text(payload, "schemaFormat"), payload.get("schema")) {
        (schema, format) = (inner, Some(named));
        schema_pointer = join(&schema_pointer, "schema");
    }
    if let Some(format) = format.filter(|format| !is_json_schema(format)) {
        let problem = format!("the schema's format is {format}");
        return Err(DocumentFault::new(at, problem, "import JSON Schemas only"));
    }
    let chosen = text(message, TYPE_EXTENSION);
    let name = chosen.or_else(|| text(message, "name")).or_else(|| text(message, "messageId"));
    let name = name.or_else(|| key(&at, doc));
    Ok(Found {
        pointer,
        name,
        is_name_chosen: chosen.is_some(),
        version: message.get(VERSION_EXTENSION),
        title: text(message, "title"),
        description: text(message, "description").or_else(|| text(message, "summary")),
        is_deprecated: message.get("x-deprecated") == Some(&Value::Bool(true)),
        schema_pointer,
        schema,
        describes: Describes::Body,
        example: message.get("examples").and_then(|examples| examples.get(0)?.get("payload")),
    })
}

fn is_json_schema(format: &str) -> bool {
    let format = format.to_ascii_lowercase();
    ["vnd.aai.asyncapi", "schema+json", "vnd.oai.openapi"].iter().any(|known| format.contains(known))
}

/// The last word of a place that says something: a channel's or message's key, not `message` or an index.
fn key<'d>(pointer: &str, doc: &'d Value) -> Option<&'d str> {
    let tokens = tokens(pointer)?;
    let index = tokens.iter().rposition(|token| matches!(token.as_str(), "channels" | "messages"))?;
    let name = tokens.get(index + 1)?;
    let mut at = String::new();
    tokens[..=index].iter().for_each(|token| crate::pointer::push(&mut at, token));
    let keys = doc.pointer(&at)?.as_object()?;
    keys.keys().find(|key| *key == name).map(String::as_str)
}
