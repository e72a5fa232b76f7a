//! The catalogue as an AsyncAPI 3.0 document: what a receiver of webhooks gets, for its generators and documentation.
//!
//! One channel per event type, one message per version of it, with the body as it is posted (`{type, timestamp, data}`)
//! and the headers of Standard Webhooks. Each schema of data is a component of its own and keeps its definitions; its
//! references are made to begin at the top of the document. Payloads are declared in AsyncAPI's default schema format,
//! so that tools which do not know JSON Schema 2020-12 can read them; keywords they do not know they ignore.

use serde_json::{Map, Value, json};
use url::Url;

use crate::catalogue::Catalogue;
use crate::draft::CataloguedType;
use crate::import::VERSION_EXTENSION;
use crate::schema::keywords;

/// When the example messages were sent.
const EXAMPLE_TIME: &str = "2026-01-15T09:30:00Z";

/// Describes the catalogue. `server_url` is where the hub itself can be reached; anything but an absolute URL with a
/// host leaves the servers out.
pub fn asyncapi(catalogue: &Catalogue, title: &str, version: &str, server_url: &str) -> Value {
    let (mut channels, mut operations) = (Map::new(), Map::new());
    let (mut messages, mut schemas) = (Map::new(), Map::new());
    schemas.insert(HEADERS.to_owned(), headers());
    for (event_type, versions) in catalogue.by_type() {
        let name = event_type.as_str();
        let mut in_channel = Map::new();
        let mut references = Vec::new();
        for one in versions {
            let key = format!("{name}.v{}", one.declared().version);
            schemas.insert(key.clone(), rebased(&one.declared().schema, &key));
            messages.insert(key.clone(), message(one, &key));
            in_channel.insert(key.clone(), json!({ "$ref": format!("#/components/messages/{key}") }));
            references.push(json!({ "$ref": format!("#/channels/{name}/messages/{key}") }));
        }
        channels.insert(
            name.to_owned(),
            json!({
                "address": null,
                "description": "Posted to every endpoint whose patterns select the type.",
                "messages": in_channel,
            }),
        );
        operations.insert(
            format!("send.{name}"),
            json!({
                "action": "send",
                "channel": { "$ref": format!("#/channels/{name}") },
                "messages": references,
            }),
        );
    }
    let mut document = json!({
        "asyncapi": "3.0.0",
        "info": { "title": title, "version": version },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages, "schemas": schemas },
    });
    if let Some(server) = server(server_url) {
        document["servers"] = json!({ "hub": server });
    }
    document
}

/// The component that holds the headers' schema. No event type's key ends like it.
const HEADERS: &str = "standard-webhooks-headers";

fn server(url: &str) -> Option<Value> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?;
    let host = url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
    let mut server = json!({ "host": host, "protocol": url.scheme() });
    if url.path() != "/" {
        server["pathname"] = json!(url.path());
    }
    Some(server)
}

fn message(one: &CataloguedType, key: &str) -> Value {
    let declared = one.declared();
    let name = declared.event_type.as_str();
    let mut message = json!({
        "name": name,
        "title": declared.title,
        "contentType": "application/json",
        "headers": { "$ref": format!("#/components/schemas/{HEADERS}") },
        "payload": {
            "type": "object",
            "required": ["type", "timestamp", "data"],
            "properties": {
                "type": { "const": name },
                "timestamp": { "type": "string", "format": "date-time", "description": "When it happened." },
                "data": { "$ref": format!("#/components/schemas/{key}") },
            },
        },
        VERSION_EXTENSION: declared.version,
    });
    if !declared.description.is_empty() {
        message["description"] = json!(declared.description);
    }
    if let Some(example) = &declared.example {
        message["examples"] = json!([{
            "name": "example",
            "payload": { "type": name, "timestamp": EXAMPLE_TIME, "data": example },
        }]);
    }
    if let Some(deprecation) = &declared.deprecation {
        message["x-deprecated"] = json!(true);
        message["payload"]["deprecated"] = json!(true);
        if let Some(successor) = &deprecation.replaced_by {
            message["x-replaced-by"] = json!(successor.as_str());
        }
    }
    message
}

fn headers() -> Value {
    json!({
        "type": "object",
        "required": ["webhook-id", "webhook-timestamp", "webhook-signature"],
        "properties": {
            "webhook-id": {
                "type": "string",
                "description": "Id of the event, the same on every attempt: repeat calls can be told by it.",
            },
            "webhook-timestamp": {
                "type": "string",
                "pattern": "^[0-9]+$",
                "description": "When the attempt was made, in seconds since 1970.",
            },
            "webhook-signature": {
                "type": "string",
                "description": "One or more signatures, separated by spaces, each `v1,` and the base64 of \
                                HMAC-SHA256 over id, timestamp and body, joined by dots.",
            },
        },
    })
}

/// Makes the references of a self-contained schema begin at the component it becomes.
fn rebased(schema: &Value, key: &str) -> Value {
    let mut schema = schema.clone();
    rebase(&mut schema, &format!("#/components/schemas/{key}"));
    schema
}

fn rebase(schema: &mut Value, base: &str) {
    let Value::Object(map) = schema else { return };
    // Names a dialect that the rest of the document is not in.
    map.remove("$schema");
    if let Some(Value::String(reference)) = map.get_mut("$ref")
        && let Some(pointer) = reference.strip_prefix('#')
    {
        *reference = format!("{base}{pointer}");
    }
    keywords::for_each_child_mut(map, &mut |child| rebase(child, base));
}
