//! The configuration as a tree of values that remember where they stood. Built from TOML text here,
//! overlaid by [`crate::env`] and the overrides, then taken apart key by key by [`crate::reader`].
//!
//! Text that is not TOML yields one fault per syntax error and no tree.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{ConfigError, Origin, Problem};

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// A value of the tree.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// From a variable or flag: a string whose type the reader decides.
    Text(String),
    String(String),
    /// Numbers beyond the type's range are held at its end; no setting allows either.
    Integer(i128),
    Float(f64),
    Boolean(bool),
    Datetime,
    Array(Vec<Node>),
    Table(Table),
}

impl Value {
    /// Names the type with its article, for errors.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Boolean(_) => "a boolean",
            Self::Datetime => "a date",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

/// A table of the tree, by key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table(BTreeMap<String, Node>);

impl Table {
    pub(crate) fn insert(&mut self, key: String, node: Node) {
        self.0.insert(key, node);
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.0.get(key)
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<Node> {
        self.0.remove(key)
    }

    pub(crate) fn into_entries(self) -> impl Iterator<Item = (String, Node)> {
        self.0.into_iter()
    }

    /// Returns the table under `name` for overlaying, created when absent. A value there that is no
    /// table stays in the tree, for its reader to refuse, and what is overlaid is dropped.
    pub(crate) fn section(&mut self, name: &str, origin: &Origin) -> Overlay<'_> {
        let node = self
            .0
            .entry(name.to_owned())
            .or_insert_with(|| Node { value: Value::Table(Self::default()), origin: origin.clone() });
        match &mut node.value {
            Value::Table(table) => Overlay(Some(table)),
            _ => Overlay(None),
        }
    }
}

/// A section that may be written to, or the lack of one.
pub(crate) struct Overlay<'a>(Option<&'a mut Table>);

impl Overlay<'_> {
    pub(crate) fn insert(self, key: String, node: Node) {
        if let Some(table) = self.0 {
            table.insert(key, node);
        }
    }
}

/// Parses the text of the file at `path`, or returns every syntax error.
pub(crate) fn parse_document(text: &str, path: &Arc<Path>) -> Result<Table, Vec<ConfigError>> {
    let lines = Lines::new(text, path);
    let (table, faults) = DeTable::parse_recoverable(text);
    if faults.is_empty() {
        return Ok(convert_table(table.get_ref(), &|offset| lines.origin(offset)));
    }
    Err(faults
        .iter()
        .map(|fault| ConfigError {
            origin: lines.origin(fault.span().map_or(0, |span| span.start)),
            key: String::new(),
            problem: format!("is not valid TOML: {}", fault.message().replace('\n', ", ")),
            fix: "mend the syntax of this line (strings need quotes, every key one `=`)".to_owned(),
        })
        .collect())
}

/// Parses a TOML array given in a variable or flag; every element gets the origin of the whole.
pub(crate) fn parse_array(text: &str, origin: &Origin) -> Result<Vec<Node>, Problem> {
    let fault = || Problem::new("is not a valid TOML array", "write `a,b` or `[\"a\", \"b\"]`");
    let value = DeValue::parse(text).map_err(|_| fault())?;
    match convert(value.get_ref(), &|_| origin.clone()) {
        Value::Array(nodes) => Ok(nodes),
        _ => Err(fault()),
    }
}

type Locate<'a> = &'a dyn Fn(usize) -> Origin;

fn convert_table(table: &DeTable<'_>, locate: Locate<'_>) -> Table {
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let key: &Spanned<std::borrow::Cow<'_, str>> = key;
        let node = Node { value: convert(value.get_ref(), locate), origin: locate(key.span().start) };
        (key.get_ref().to_string(), node)
    };
    Table(table.iter().map(entry).collect())
}

fn convert(value: &DeValue<'_>, locate: Locate<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(n) => {
            let beyond = if n.as_str().starts_with('-') { i128::MIN } else { i128::MAX };
            Value::Integer(i128::from_str_radix(n.as_str(), n.radix()).unwrap_or(beyond))
        }
        DeValue::Float(n) => Value::Float(n.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(values) => Value::Array(
            values
                .iter()
                .map(|v| Node { value: convert(v.get_ref(), locate), origin: locate(v.span().start) })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(convert_table(table, locate)),
    }
}

/// Turns byte offsets into lines and columns.
struct Lines<'a> {
    text: &'a str,
    path: &'a Arc<Path>,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str, path: &'a Arc<Path>) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, path, starts }
    }

    fn origin(&self, offset: usize) -> Origin {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        Origin::File { path: Arc::clone(self.path), line: line as u32, column: column as u32 }
    }
}
