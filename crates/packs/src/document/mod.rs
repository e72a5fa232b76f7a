//! A YAML or JSON text as a tree in which every value remembers where it stands.
//!
//! One parser reads both, since JSON is a part of YAML; JSON files are held to JSON's own grammar first. Pack files
//! are small and written by people, so what matters here is a good fault at the right line, and that no file can
//! cost more than its size suggests: nesting, number of values and text are bounded *after* aliases are expanded.
//! Readers of other documents that people write, such as workflows, use it too.

mod build;
mod fields;
mod scalar;

use serde_json::{Map, Number, Value};

pub use build::{SyntaxFault, parse_json, parse_yaml};
pub(crate) use fields::flag;
pub use fields::{FaultSink, Fields, text};

use crate::fault::Position;
use crate::pointer;

/// The deepest nesting of a file.
pub const MAX_DEPTH: usize = 64;
/// The most values in a file, counted after aliases are expanded.
pub const MAX_VALUES: usize = 100_000;
/// The most bytes of text in all values of a file, counted likewise.
pub const MAX_TEXT_BYTES: usize = 4 << 20;

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub position: Position,
    /// What it is.
    pub content: Content,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A number, always finite.
    Number(Number),
    /// Text.
    Text(String),
    /// Values in order.
    List(Vec<Node>),
    /// Keys, each once, with their values, in order.
    Map(Vec<Entry>),
}

/// A key of a mapping with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_position: Position,
    /// The value.
    pub value: Node,
}

impl Node {
    /// Names the kind of the value for faults.
    pub fn kind(&self) -> &'static str {
        match self.content {
            Content::Null => "nothing",
            Content::Bool(_) => "true or false",
            Content::Number(_) => "a number",
            Content::Text(_) => "text",
            Content::List(_) => "a list",
            Content::Map(_) => "a mapping",
        }
    }

    /// Returns the value without the places.
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number(number) => Value::Number(number.clone()),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Content::Map(entries) => {
                let pairs = entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json()));
                Value::Object(pairs.collect::<Map<_, _>>())
            }
        }
    }

    /// Returns where a pointer leads, or how far it can be followed: the place to show for a fault there.
    pub fn position_of(&self, pointer: &str) -> Position {
        let mut node = self;
        let mut position = self.position;
        for token in pointer::tokens(pointer).unwrap_or_default() {
            let next = match &node.content {
                Content::Map(entries) => entries
                    .iter()
                    .find(|entry| entry.key == token)
                    .map(|entry| (entry.key_position, &entry.value)),
                Content::List(items) => token
                    .parse()
                    .ok()
                    .and_then(|index: usize| items.get(index))
                    .map(|item| (item.position, item)),
                _ => None,
            };
            let Some((at, value)) = next else { break };
            (position, node) = (at, value);
        }
        position
    }
}
