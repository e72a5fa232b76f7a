//! A place in the document, and mappings taken apart key by key.

use trunkline_packs::document::{Content, Entry, Node};
use trunkline_packs::suggest::{instead, quoted};
use trunkline_packs::{Position, pointer};

use super::Reader;
use crate::fault::{Fault, FaultKind};
use crate::rule::Rule;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct At<'a> {
    pub(crate) node: &'a Node,
    pub(crate) pointer: String,
    /// Where to point: the key of an entry, else the value.
    pub(crate) position: Position,
}

impl<'a> At<'a> {
    pub(crate) fn root(node: &'a Node) -> Self {
        Self { node, pointer: String::new(), position: node.position }
    }

    /// The value of an entry.
    pub(crate) fn entry(&self, entry: &'a Entry) -> Self {
        Self {
            node: &entry.value,
            pointer: pointer::join(&self.pointer, &entry.key),
            position: entry.key_position,
        }
    }

    /// An item of a list.
    pub(crate) fn item(&self, index: usize, node: &'a Node) -> Self {
        Self { node, pointer: pointer::join(&self.pointer, &index.to_string()), position: node.position }
    }

    pub(crate) fn fault(&self, kind: FaultKind, problem: impl Into<String>, fix: impl Into<String>) -> Fault {
        Fault {
            position: self.position,
            pointer: self.pointer.clone(),
            kind,
            problem: problem.into(),
            fix: fix.into(),
        }
    }

    /// The entries of a mapping; empty for anything else.
    pub(crate) fn entries(&self) -> &'a [Entry] {
        match &self.node.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Tells whether this is a mapping with such a key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries().iter().any(|entry| entry.key == key)
    }

    /// The value of a key, for a look ahead.
    pub(crate) fn peek(&self, key: &str) -> Option<At<'a>> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| self.entry(entry))
    }
}

/// What becomes of keys nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extra {
    /// The schema refuses them.
    Closed,
    /// The schema takes them and means nothing by them; the profile refuses them.
    Open,
}

/// A mapping being read.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    pub(crate) at: At<'a>,
    what: &'static str,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Opens a mapping; records a fault for anything else.
    pub(crate) fn open(at: &At<'a>, what: &'static str, reader: &mut Reader) -> Option<Self> {
        if !matches!(at.node.content, Content::Map(_)) {
            reader.shape(
                at,
                format!("{what} is a mapping, found {}", at.node.kind()),
                "write `key: value` pairs",
            );
            return None;
        }
        Some(Self { at: at.clone(), what, known: Vec::new() })
    }

    /// The value of a key that may be missing.
    pub(crate) fn optional(&mut self, key: &'static str) -> Option<At<'a>> {
        self.known.push(key);
        self.at.peek(key)
    }

    /// The value of a key; records a fault when it is missing.
    pub(crate) fn required(&mut self, key: &'static str, reader: &mut Reader) -> Option<At<'a>> {
        let found = self.optional(key);
        if found.is_none() {
            reader.shape(&self.at, format!("`{key}` is missing in {}", self.what), format!("add `{key}`"));
        }
        found
    }

    /// Finds which one of several keys is there; records a fault unless it is exactly one.
    pub(crate) fn one_of(&mut self, keys: &[&'static str], reader: &mut Reader) -> Option<&'static str> {
        self.known.extend(keys);
        let present: Vec<&'static str> = keys.iter().copied().filter(|key| self.at.has(key)).collect();
        match present[..] {
            [one] => Some(one),
            [] => {
                let problem = format!("{} needs one of {}", self.what, keys.join(", "));
                reader.shape(&self.at, problem, "add one of them");
                None
            }
            _ => {
                let problem = format!("{} has {} at once", self.what, present.join(" and "));
                reader.shape(&self.at, problem, "keep one of them");
                None
            }
        }
    }

    /// Records a fault for every key that no reader asked for.
    pub(crate) fn close(self, extra: Extra, reader: &mut Reader) {
        for entry in self.at.entries() {
            if reader.is_full() {
                return;
            }
            if self.known.contains(&entry.key.as_str()) {
                continue;
            }
            let kind = match extra {
                Extra::Closed => FaultKind::Shape,
                Extra::Open => FaultKind::Rule(Rule::UnknownKeys),
            };
            let problem = format!("{} knows no {}", self.what, quoted(&entry.key));
            let fix = instead(&entry.key, self.known.iter().copied());
            reader.fault(kind, &self.at.entry(entry), problem, fix);
        }
    }
}
