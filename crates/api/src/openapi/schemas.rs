//! Schemas of what is not a struct here: CloudEvents, which are written and read by `model`.

use serde_json::{Value, json};
use trunkline_model::cloudevents::{BATCH, MAX_ATTRIBUTE_LEN, MAX_ID_LEN, STRUCTURED};
use trunkline_model::event_type;

use super::{Components, Described};

/// Form of an event type, for people's tools; `model` decides.
pub(crate) const EVENT_TYPE: &str = "^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*$";
/// Form of an event type pattern.
pub(crate) const PATTERN: &str = "^(\\*\\*|\\*|[A-Za-z0-9_-]+)(\\.(\\*\\*|\\*|[A-Za-z0-9_-]+))*$";
const LINE: &str = "^[^\\x00-\\x1f\\x7f-\\x9f]*$";

/// Standard base64 with its padding and no stray bits.
const BASE64: &str = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)?$";

/// Null counts as absent.
fn attribute(about: &str) -> Value {
    json!({ "type": ["string", "null"], "maxLength": MAX_ATTRIBUTE_LEN, "pattern": LINE, "description": about })
}

fn required_attribute(about: &str, max: usize) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": max, "pattern": LINE, "description": about })
}

fn attributes() -> Value {
    json!({
        "specversion": { "type": "string", "const": "1.0" },
        "id": required_attribute("Unique together with `source`. Length in bytes.", MAX_ID_LEN),
        "source": required_attribute("Where the event comes from, a URI reference.", MAX_ATTRIBUTE_LEN),
        "type": {
            "type": "string", "minLength": 1, "maxLength": event_type::MAX_LEN, "pattern": EVENT_TYPE,
            "description": "What kind of fact this is, such as `appointment.created`.",
        },
        "subject": attribute("What the fact is about, inside the source."),
        "time": { "type": ["string", "null"], "format": "date-time", "description": "When it happened." },
        "datacontenttype": attribute("Media type of the content; absent means JSON."),
        "dataschema": attribute("URI of the schema that the content follows."),
        "correlationid": attribute("The journey that the event belongs to; its own id when it starts one."),
        "causationid": attribute("The id of the event or request that caused this one."),
        "partitionkey": attribute("Events with one key keep their order; absent means the subject, else the source."),
        "traceparent": attribute("W3C trace context."),
        "data": { "description": "The content as JSON." },
        "data_base64": {
            "type": "string", "pattern": BASE64,
            "description": "The content in base64 when it is neither JSON nor text.",
        },
    })
}

/// An event as it is answered.
pub(crate) struct CloudEvent;

impl Described for CloudEvent {
    fn reference(components: &mut Components) -> Value {
        components.add("CloudEvent", |_| {
            let mut properties = attributes();
            for property in properties.as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
                if property["type"].is_array() {
                    property["type"] = "string".into();
                }
            }
            properties["tenant"] = json!({ "type": "string", "description": "Who owns the event." });
            properties["seq"] = json!({ "type": "integer", "minimum": 1, "description": "Place in the shard." });
            properties["shard"] = json!({ "type": "integer", "minimum": 0 });
            properties["recordedat"] =
                json!({ "type": "string", "format": "date-time", "description": "When the hub stored it." });
            json!({
                "type": "object",
                "description": "CloudEvents 1.0 attributes with the place in the journal. Other members are extensions.",
                "required": ["specversion", "id", "source", "type", "time", "tenant", "correlationid", "seq", "shard",
                    "recordedat"],
                "properties": properties,
            })
        })
    }
}

/// An event as it is sent in.
pub(crate) struct NewCloudEvent;

impl Described for NewCloudEvent {
    fn reference(components: &mut Components) -> Value {
        components.add("NewCloudEvent", |_| {
            json!({
                "type": "object",
                "description": "A structured CloudEvent 1.0. `tenant`, if present, must be the token's. At most 32 \
                    extensions; their values are strings without control characters, booleans or 32-bit integers.",
                "required": ["specversion", "id", "source", "type"],
                "properties": attributes(),
                "not": { "required": ["data", "data_base64"] },
                "propertyNames": { "pattern": "^([a-z0-9]{1,64}|data_base64)$" },
                "additionalProperties": {
                    "anyOf": [
                        { "type": "string", "maxLength": MAX_ATTRIBUTE_LEN, "pattern": LINE },
                        { "type": "boolean" },
                        { "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX },
                        { "type": "null" },
                    ]
                },
            })
        })
    }
}

/// The bodies that `POST /api/v1/events` reads.
pub(crate) fn event_bodies(components: &mut Components) -> Value {
    let event = NewCloudEvent::reference(components);
    json!({
        STRUCTURED: { "schema": event },
        BATCH: { "schema": { "type": "array", "maxItems": crate::routes::events::MAX_BATCH, "items": event } },
        "application/json": { "schema": event },
    })
}
