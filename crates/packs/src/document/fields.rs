//! Takes a mapping apart, key by key, and gathers every fault on the way. The readers of manifests, event types,
//! samples and tests use it; a mapping must be closed with [`Fields::close`], which refuses keys nobody asked for.

use std::path::{Path, PathBuf};

use super::{Content, Entry, Node, SyntaxFault};
use crate::fault::{DocumentFault, PackFault, Position};
use crate::suggest::{instead, quoted};

/// Gathers the faults of one file.
#[derive(Debug)]
pub struct FaultSink {
    file: PathBuf,
    faults: Vec<PackFault>,
}

impl FaultSink {
    /// Begins without faults.
    pub fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), faults: Vec::new() }
    }

    /// Records a fault at a place in the file.
    pub fn at(&mut self, position: Position, problem: impl Into<String>, fix: impl Into<String>) {
        self.faults.push(PackFault::new(&self.file, Some(position), problem, fix));
    }

    /// Records faults of the text.
    pub fn syntax(&mut self, faults: Vec<SyntaxFault>) {
        for fault in faults {
            self.at(fault.position, fault.problem, fault.fix);
        }
    }

    /// Records a fault of a document that stands at `node` of this file.
    pub fn document(&mut self, node: &Node, fault: DocumentFault) {
        let problem = if fault.pointer.is_empty() {
            fault.problem
        } else {
            format!("{}: {}", fault.pointer, fault.problem)
        };
        self.at(node.position_of(&fault.pointer), problem, fault.fix);
    }

    /// The faults, as they came.
    pub fn into_faults(self) -> Vec<PackFault> {
        self.faults
    }
}

/// A mapping being read.
pub struct Fields<'a> {
    /// What the mapping is, for faults: `a manifest`.
    what: &'static str,
    position: Position,
    entries: &'a [Entry],
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Opens a mapping; records a fault for anything else.
    pub fn open(node: &'a Node, what: &'static str, sink: &mut FaultSink) -> Option<Self> {
        let Content::Map(entries) = &node.content else {
            sink.at(
                node.position,
                format!("{what} is a mapping, found {}", node.kind()),
                "write `key: value` pairs",
            );
            return None;
        };
        Some(Self { what, position: node.position, entries, known: Vec::new() })
    }

    /// Returns the value of a key that may be missing.
    pub fn optional(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.push(key);
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// Returns the value of a key; records a fault when it is missing.
    pub fn required(&mut self, key: &'static str, sink: &mut FaultSink) -> Option<&'a Node> {
        let found = self.optional(key);
        if found.is_none() {
            sink.at(self.position, format!("`{key}` is missing in {}", self.what), format!("add `{key}`"));
        }
        found
    }

    /// Returns the text of a required key.
    pub fn text(&mut self, key: &'static str, max_chars: usize, sink: &mut FaultSink) -> Option<&'a str> {
        let node = self.required(key, sink)?;
        text(node, key, max_chars, sink)
    }

    /// Where the mapping begins.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Records a fault for every key that no reader asked for.
    pub fn close(self, sink: &mut FaultSink) {
        for entry in self.entries {
            if !self.known.contains(&entry.key.as_str()) {
                sink.at(
                    entry.key_position,
                    format!("{} knows no {}", self.what, quoted(&entry.key)),
                    instead(&entry.key, self.known.iter().copied()),
                );
            }
        }
    }
}

/// Reads a text that says something.
pub fn text<'a>(node: &'a Node, key: &str, max_chars: usize, sink: &mut FaultSink) -> Option<&'a str> {
    let Content::Text(text) = &node.content else {
        sink.at(node.position, format!("`{key}` must be text, found {}", node.kind()), "write it in quotes");
        return None;
    };
    if text.trim().is_empty() {
        sink.at(node.position, format!("`{key}` is empty"), "say something");
        return None;
    }
    if text.chars().count() > max_chars {
        sink.at(node.position, format!("`{key}` is longer than {max_chars} characters"), "shorten it");
        return None;
    }
    Some(text)
}

/// Reads true or false; absent is false.
pub(crate) fn flag(node: Option<&Node>, key: &str, sink: &mut FaultSink) -> bool {
    match node.map(|node| (node, &node.content)) {
        None => false,
        Some((_, Content::Bool(value))) => *value,
        Some((node, _)) => {
            sink.at(
                node.position,
                format!("`{key}` must be true or false, found {}", node.kind()),
                "write true or false",
            );
            false
        }
    }
}
