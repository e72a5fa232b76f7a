//! `trunkline event …`: emit events, look at them, follow what became of them. All through the hub's API.

pub mod emit;
pub mod journey;
pub mod replay;
pub mod show;
pub mod tail;

use serde_json::Value;

use crate::terminal::{Cell, Tone, cell};

/// A text member of a JSON object; empty when it is absent.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// An event on one line: time, type, id, subject or source.
pub(crate) fn line(event: &Value) -> String {
    let about = match text(event, "subject") {
        "" => text(event, "source"),
        subject => subject,
    };
    let parts: [Cell; 4] = [
        cell(text(event, "time"), Tone::Dim),
        cell(text(event, "type"), Tone::Strong),
        cell(text(event, "id"), Tone::Name),
        cell(about, Tone::Plain),
    ];
    parts.map(|part| part.to_string()).join("  ")
}
