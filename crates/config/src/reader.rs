//! Takes a table of the tree apart, key by key, and remembers every fault on the way. The section
//! readers in [`crate::settings`] and [`crate::sources`] use it; they always get a value back (the
//! default after a fault), so that one pass finds everything that is wrong.
//!
//! A section must be closed with [`Section::finish`]: keys nobody asked for are faults.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::env::Env;
use crate::error::{ConfigError, ConfigWarning, Origin, Problem};
use crate::suggest;
use crate::syntax::quoted;
use crate::tree::{self, Node, Table, Value};

/// What all sections share: the surroundings of the load and the findings so far.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    pub(crate) env: Env,
    /// Directory of the configuration file; empty when there is none, which means the working directory.
    pub(crate) base_dir: PathBuf,
    pub(crate) errors: Vec<ConfigError>,
    pub(crate) warnings: Vec<ConfigWarning>,
    /// Every key some reader asked for, as `section.key`; the documentation is tested against it.
    pub(crate) known: BTreeSet<String>,
}

/// Inclusive range of a number, with its unit for errors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) min: u64,
    pub(crate) max: u64,
    pub(crate) unit: &'static str,
}

/// Makes a range.
pub(crate) const fn bounds(min: u64, max: u64, unit: &'static str) -> Bounds {
    Bounds { min, max, unit }
}

/// A value and where it stood.
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// One table being read.
pub(crate) struct Section<'a> {
    /// Dotted path with indices, such as `sources[1]`; empty for the root.
    path: String,
    /// The path without indices, the same for all tables of a kind.
    family: &'static str,
    table: Table,
    origin: Origin,
    seen: Vec<&'static str>,
    pub(crate) scope: &'a mut Scope,
}

impl<'a> Section<'a> {
    pub(crate) fn new(
        path: String,
        family: &'static str,
        node: Located<Table>,
        scope: &'a mut Scope,
    ) -> Self {
        Self { path, family, table: node.value, origin: node.origin, seen: Vec::new(), scope }
    }

    /// Returns where the table itself stands.
    pub(crate) fn origin(&self) -> Origin {
        self.origin.clone()
    }

    /// Records a fault of a key at a place.
    pub(crate) fn fault(&mut self, key: &str, origin: Origin, problem: Problem) {
        let key = self.dotted(key);
        self.scope.errors.push(ConfigError { origin, key, problem: problem.problem, fix: problem.fix });
    }

    /// Records a warning about a key at a place.
    pub(crate) fn warn(&mut self, key: &str, origin: Origin, problem: Problem) {
        let key = self.dotted(key);
        let finding = ConfigError { origin, key, problem: problem.problem, fix: problem.fix };
        self.scope.warnings.push(ConfigWarning(finding));
    }

    fn dotted(&self, key: &str) -> String {
        match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{key}", self.path),
        }
    }

    /// Takes a key's value out of the table, whatever its type.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Node> {
        self.seen.push(key);
        if !self.family.is_empty() {
            self.scope.known.insert(format!("{}.{key}", self.family));
        }
        self.table.remove(key)
    }

    /// Returns where a key stands that was not taken yet, else where the table does.
    pub(crate) fn place(&self, key: &str) -> Origin {
        self.table.get(key).map_or_else(|| self.origin(), |node| node.origin.clone())
    }

    /// Tells whether a key, not taken yet, is not there.
    pub(crate) fn is_absent(&self, key: &str) -> bool {
        self.table.get(key).is_none()
    }

    /// Tells whether faults of the key or its elements are recorded.
    pub(crate) fn has_faults_below(&self, key: &str) -> bool {
        let key = self.dotted(key);
        self.scope.errors.iter().any(|error| error.key.starts_with(&key))
    }

    fn wrong_type(&mut self, key: &str, node: &Node, expected: &str, fix: &str) {
        let problem = match &node.value {
            // From a variable everything is a string, so that naming the type would explain nothing.
            Value::Text(_) => format!("must be {expected}"),
            other => format!("must be {expected}, found {}", other.kind()),
        };
        self.fault(key, node.origin.clone(), Problem::new(problem, fix));
    }

    /// Reads a string.
    pub(crate) fn string(&mut self, key: &'static str) -> Option<Located<String>> {
        let node = self.take(key)?;
        self.node_string(key, node)
    }

    fn node_string(&mut self, key: &str, node: Node) -> Option<Located<String>> {
        match node.value {
            Value::String(value) | Value::Text(value) => Some(Located { value, origin: node.origin }),
            _ => {
                self.wrong_type(key, &node, "a string", "write the value in quotes");
                None
            }
        }
    }

    /// Reads a string through a grammar.
    pub(crate) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        let text = self.string(key)?;
        parse(&text.value).map_err(|problem| self.fault(key, text.origin, problem)).ok()
    }

    /// Reads one of a closed set of words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
        default: T,
    ) -> T {
        let pick = |text: &str| match choices.iter().find(|(name, _)| *name == text) {
            Some((_, value)) => Ok(*value),
            None => Err(unknown_word(text, choices.iter().map(|(name, _)| *name))),
        };
        self.parsed(key, pick).unwrap_or(default)
    }

    /// Reads `true` or `false`.
    pub(crate) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let Some(node) = self.take(key) else { return default };
        match &node.value {
            Value::Boolean(flag) => return *flag,
            Value::Text(text) if text == "true" || text == "1" => return true,
            Value::Text(text) if text == "false" || text == "0" => return false,
            _ => {}
        }
        self.wrong_type(key, &node, "true or false", "write true or false, without quotes");
        default
    }

    /// Reads a whole number, if the key is there.
    pub(crate) fn number_opt(&mut self, key: &'static str, range: Bounds) -> Option<u64> {
        let node = self.take(key)?;
        self.node_number(key, &node, range)
    }

    /// Reads a whole number.
    pub(crate) fn number(&mut self, key: &'static str, range: Bounds, default: u64) -> u64 {
        self.number_opt(key, range).unwrap_or(default)
    }

    /// Reads a duration given in seconds.
    pub(crate) fn seconds(&mut self, key: &'static str, min: u64, max: u64, default: Duration) -> Duration {
        Duration::from_secs(self.number(key, bounds(min, max, "seconds"), default.as_secs()))
    }

    fn node_number(&mut self, key: &str, node: &Node, range: Bounds) -> Option<u64> {
        let Bounds { min, max, unit } = range;
        let n = match &node.value {
            Value::Integer(n) => Some(*n),
            Value::Text(text) => text.trim().replace('_', "").parse().ok(),
            _ => None,
        };
        let Some(n) = n else {
            self.wrong_type(key, node, "a whole number", &format!("write a bare number of {unit}"));
            return None;
        };
        let in_range = u64::try_from(n).ok().filter(|n| (min..=max).contains(n));
        if in_range.is_none() {
            let problem = format!("must be between {min} and {max}, found {n}");
            let fix = format!("set a number of {unit} in that range, or remove the key for the default");
            self.fault(key, node.origin.clone(), Problem::new(problem, fix));
        }
        in_range
    }

    /// Reads a fraction between 0 and 1.
    pub(crate) fn fraction(&mut self, key: &'static str, default: f64) -> f64 {
        let Some(node) = self.take(key) else { return default };
        let n = match &node.value {
            Value::Float(n) => Some(*n),
            Value::Integer(n) => Some(*n as f64),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        match n {
            Some(n) if (0.0..=1.0).contains(&n) => return n,
            Some(n) => {
                let problem = Problem::new(
                    format!("must be between 0.0 and 1.0, found {n}"),
                    "set a fraction, such as 0.2 for 20 %",
                );
                self.fault(key, node.origin, problem);
            }
            None => self.wrong_type(key, &node, "a number", "write a bare number, such as 0.2"),
        }
        default
    }

    /// Reads a list of strings through a grammar; faulty elements are reported and left out.
    pub(crate) fn list<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<Vec<T>> {
        let nodes = self.nodes(key)?;
        let mut values = Vec::with_capacity(nodes.len());
        for (i, node) in nodes.into_iter().enumerate() {
            let key = format!("{key}[{i}]");
            let Some(text) = self.node_string(&key, node) else { continue };
            match parse(&text.value) {
                Ok(value) => values.push(value),
                Err(problem) => self.fault(&key, text.origin, problem),
            }
        }
        Some(values)
    }

    /// Reads a list of whole numbers; faulty elements are reported and left out.
    pub(crate) fn numbers(&mut self, key: &'static str, range: Bounds) -> Option<Vec<u64>> {
        let nodes = self.nodes(key)?;
        let read = |(i, node): (usize, Node)| self.node_number(&format!("{key}[{i}]"), &node, range);
        Some(nodes.into_iter().enumerate().filter_map(read).collect())
    }

    /// Takes an array; from a variable also as a comma list.
    pub(crate) fn nodes(&mut self, key: &'static str) -> Option<Vec<Node>> {
        let node = self.take(key)?;
        match node.value {
            Value::Array(nodes) => Some(nodes),
            Value::Text(text) if text.trim_start().starts_with('[') => {
                match tree::parse_array(text.trim(), &node.origin) {
                    Ok(nodes) => Some(nodes),
                    Err(problem) => {
                        self.fault(key, node.origin, problem);
                        None
                    }
                }
            }
            Value::Text(text) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                let node = |part: &str| Node { value: Value::Text(part.into()), origin: node.origin.clone() };
                Some(parts.map(node).collect())
            }
            _ => {
                self.wrong_type(key, &node, "an array", "write the values as [\"a\", \"b\"]");
                None
            }
        }
    }

    /// Takes a subtable; an absent one reads as empty.
    pub(crate) fn table(&mut self, key: &'static str) -> Located<Table> {
        let empty = |origin| Located { value: Table::default(), origin };
        match self.take(key) {
            None => empty(Origin::Default),
            Some(Node { value: Value::Table(value), origin }) => Located { value, origin },
            Some(node) => {
                self.wrong_type(key, &node, "a table", &format!("write [{key}] on a line of its own"));
                empty(node.origin)
            }
        }
    }

    /// Takes an array of tables.
    pub(crate) fn tables(&mut self, key: &'static str) -> Vec<Located<Table>> {
        let fix = format!("write [[{key}]] on a line of its own for each");
        let nodes = match self.take(key) {
            None => return Vec::new(),
            Some(Node { value: Value::Array(nodes), .. }) => nodes,
            Some(node) => {
                self.wrong_type(key, &node, "an array of tables", &fix);
                return Vec::new();
            }
        };
        let mut tables = Vec::with_capacity(nodes.len());
        for (i, node) in nodes.into_iter().enumerate() {
            match node.value {
                Value::Table(value) => tables.push(Located { value, origin: node.origin }),
                _ => self.wrong_type(&format!("{key}[{i}]"), &node, "a table", &fix),
            }
        }
        tables
    }

    /// Closes the section: every key left over is a fault. `explain` may know more about one than that
    /// nobody asked for it.
    pub(crate) fn finish(mut self, explain: impl Fn(&str) -> Option<Problem>) {
        let left: Vec<_> = std::mem::take(&mut self.table).into_entries().collect();
        for (key, node) in left {
            let problem = explain(&key).unwrap_or_else(|| self.unknown_key(&key));
            self.fault(&printable(&key), node.origin, problem);
        }
    }

    fn unknown_key(&self, key: &str) -> Problem {
        let fix = match suggest::nearest(key, self.seen.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? Otherwise remove it"),
            None => format!("remove it, or use one of {}", self.seen.join(", ")),
        };
        let kind = if self.path.is_empty() { "unknown section" } else { "unknown key" };
        Problem::new(kind, fix)
    }
}

/// Says that a word is not of a closed set, with the nearest and all members.
pub(crate) fn unknown_word<'w>(text: &str, words: impl Iterator<Item = &'w str>) -> Problem {
    let words: Vec<&str> = words.collect();
    let all = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    let fix = match suggest::nearest(text, words) {
        Some(near) => format!("did you mean \"{near}\"? Known are {all}"),
        None => format!("use one of {all}"),
    };
    Problem::new(format!("unknown value {}", quoted(text)), fix)
}

/// A key as it may be printed: cut, and without control characters.
fn printable(key: &str) -> String {
    if key.len() <= 64 && !key.chars().any(char::is_control) { key.to_owned() } else { quoted(key) }
}
