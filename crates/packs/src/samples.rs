//! Sample events: `samples/*.json`. Tests start from them, and people read and send them.

use std::path::PathBuf;

use serde_json::Value;
use trunkline_model::EventType;

use crate::document::{Content, FaultSink, Fields, Node, text};
use crate::suggest::quoted;

/// An event as a sample or test holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleEvent {
    /// The type.
    pub event_type: EventType,
    /// Which version of the type; absent means the highest.
    pub version: Option<u32>,
    /// What the event is about.
    pub subject: Option<String>,
    /// The data.
    pub data: Value,
}

/// A sample event and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The file's name without `.json`.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// The event.
    pub event: SampleEvent,
}

/// Reads an event; `None` when a fault left it incomplete.
pub(crate) fn read_event(node: &Node, sink: &mut FaultSink) -> Option<SampleEvent> {
    let mut fields = Fields::open(node, "an event", sink)?;
    let event_type = fields.required("type", sink).and_then(|node| read_type(node, "type", sink));
    let version = fields.optional("version").map(|node| read_version(node, sink));
    let subject = fields.optional("subject").map(|node| text(node, "subject", 255, sink));
    let data = fields.required("data", sink);
    fields.close(sink);
    let version = match version {
        None => None,
        Some(read) => Some(read?),
    };
    let subject = match subject {
        None => None,
        Some(read) => Some(read?.to_owned()),
    };
    Some(SampleEvent { event_type: event_type?, version, subject, data: data?.to_json() })
}

/// Reads an event type.
pub(crate) fn read_type(node: &Node, key: &str, sink: &mut FaultSink) -> Option<EventType> {
    let written = text(node, key, 255, sink)?;
    match EventType::parse(written) {
        Ok(event_type) => Some(event_type),
        Err(error) => {
            sink.at(node.position, format!("`{key}` is {}", quoted(written)), error.to_string());
            None
        }
    }
}

/// Reads a version of an event type.
pub(crate) fn read_version(node: &Node, sink: &mut FaultSink) -> Option<u32> {
    let number = match &node.content {
        Content::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
        _ => None,
    };
    let version = number.filter(|number| *number >= 1);
    if version.is_none() {
        sink.at(
            node.position,
            "`version` must be a whole number from 1",
            "count the versions of a type 1, 2, 3",
        );
    }
    version
}
