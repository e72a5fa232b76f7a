//! Reads a positioned document into the model: gathers every fault, and keeps what is known at a place, such as the
//! variables of enclosing loops and the names of reusable components.

mod cursor;
mod names;
mod values;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use trunkline_jq::{Filter, Options};
use trunkline_packs::document::{Content, Node};
use trunkline_packs::suggest::quoted;

pub(crate) use cursor::{At, Extra, Fields};
pub(crate) use names::{Component, Components, Names, nearest_of};

use crate::dsl::tasks::Task;
use crate::expression::{Expression, Stage, Variable, scan};
use crate::fault::{Fault, FaultKind};
use crate::program::TaskId;
use crate::rule::Rule;

/// The most tasks of a definition.
pub const MAX_TASKS: usize = 2_000;
/// The most different expressions of a definition.
pub const MAX_EXPRESSIONS: usize = 4_000;
/// The most regular expressions in the schemas and event filters of a definition.
const MAX_PATTERNS: usize = 256;
/// The most faults, and the most warnings, that are told. Each holds a pointer, and a hostile text has many.
pub const MAX_FAULTS: usize = 1_000;
/// The longest key of a mapping, in bytes. Every pointer below a key repeats it.
pub const MAX_KEY_BYTES: usize = 256;

/// What has been read so far.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) faults: Vec<Fault>,
    pub(crate) warnings: Vec<Fault>,
    /// Names of reusable components; read before anything that uses them.
    pub(crate) names: Names,
    /// Reusable components that were read already.
    pub(crate) components: Components,
    /// Every task, parents before children.
    pub(crate) tasks: Vec<Task>,
    /// The task whose parts are being read.
    pub(crate) parent: Option<TaskId>,
    /// Variables of enclosing loops and handlers, innermost last.
    locals: Vec<Arc<str>>,
    filters: HashMap<(String, Vec<Variable>), Option<Filter>>,
    /// Regular expressions in schemas and filters so far.
    n_patterns: usize,
}

impl Reader {
    /// Records that the document has the wrong shape.
    pub(crate) fn shape(&mut self, at: &At<'_>, problem: impl Into<String>, fix: impl Into<String>) {
        self.fault(FaultKind::Shape, at, problem, fix);
    }

    /// Records that a rule of the profile is broken.
    pub(crate) fn rule(
        &mut self,
        rule: Rule,
        at: &At<'_>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.fault(FaultKind::Rule(rule), at, problem, fix);
    }

    /// Records something that is allowed and probably not meant.
    pub(crate) fn warn(
        &mut self,
        rule: Rule,
        at: &At<'_>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        if self.warnings.len() < MAX_FAULTS {
            self.warnings.push(at.fault(FaultKind::Rule(rule), problem, fix));
        }
    }

    /// Tells whether no further fault is told, so that looking for more is in vain.
    pub(crate) fn is_full(&self) -> bool {
        self.faults.len() >= MAX_FAULTS
    }

    pub(crate) fn fault(
        &mut self,
        kind: FaultKind,
        at: &At<'_>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        if !self.is_full() {
            self.faults.push(at.fault(kind, problem, fix));
        }
    }

    /// Refuses keys too long for what is made of them; nothing else of such a document is read.
    pub(crate) fn refuse_long_keys(&mut self, root: &Node) {
        let mut next = vec![root];
        while let Some(node) = next.pop() {
            match &node.content {
                Content::List(items) => next.extend(items),
                Content::Map(entries) => {
                    next.extend(entries.iter().map(|entry| &entry.value));
                    for entry in entries.iter().filter(|entry| entry.key.len() > MAX_KEY_BYTES) {
                        let at = At { position: entry.key_position, ..At::root(root) };
                        let problem = format!("a key is longer than {MAX_KEY_BYTES} bytes");
                        self.rule(Rule::Size, &at, problem, "choose a shorter one");
                    }
                }
                _ => {}
            }
        }
    }

    /// Counts the regular expressions of a schema; records a fault when there are too many of them altogether.
    pub(crate) fn admits_patterns_of(&mut self, schema: &Value, at: &At<'_>) -> bool {
        fn count(value: &Value) -> usize {
            match value {
                Value::Array(items) => items.iter().map(count).sum(),
                Value::Object(map) => map
                    .iter()
                    .map(|(key, value)| {
                        let own = match (key.as_str(), value) {
                            ("pattern", _) => 1,
                            ("patternProperties", Value::Object(map)) => map.len(),
                            _ => 0,
                        };
                        own + count(value)
                    })
                    .sum(),
                _ => 0,
            }
        }
        self.admits_patterns(count(schema), at)
    }

    /// Counts regular expressions; records a fault when there are too many of them altogether.
    pub(crate) fn admits_patterns(&mut self, n: usize, at: &At<'_>) -> bool {
        self.n_patterns = self.n_patterns.saturating_add(n);
        if n > 0 && self.n_patterns > MAX_PATTERNS {
            let problem = format!("more than {MAX_PATTERNS} regular expressions in schemas and filters");
            self.rule(Rule::Size, at, problem, "use fewer of them");
            return false;
        }
        true
    }

    /// Reads a part whose shape the official schema leaves open: what is wrong with it breaks `rule`.
    pub(crate) fn by_rule<T>(&mut self, rule: Rule, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.faults.len();
        let result = read(self);
        for fault in &mut self.faults[before..] {
            if fault.kind == FaultKind::Shape {
                fault.kind = FaultKind::Rule(rule);
            }
        }
        result
    }

    /// Reads what lies within a loop or handler, where more variables exist.
    pub(crate) fn with_locals<T>(
        &mut self,
        names: impl IntoIterator<Item = Arc<str>>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let before = self.locals.len();
        self.locals.extend(names);
        let result = read(self);
        self.locals.truncate(before);
        result
    }

    /// Reads what is part of no task and lies within no loop, wherever it stands in the text.
    pub(crate) fn alone<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let (locals, parent) = (std::mem::take(&mut self.locals), self.parent.take());
        let result = read(self);
        (self.locals, self.parent) = (locals, parent);
        result
    }

    /// Compiles an expression for a place. `text` is without `${ }`.
    pub(crate) fn compile(&mut self, text: &str, at: &At<'_>, stage: Stage) -> Option<Expression> {
        if self.is_full() {
            return None;
        }
        let mentioned = scan::variables(text);
        let mut variables: Vec<Variable> = stage.variables().to_vec();
        variables.extend(self.locals.iter().cloned().map(Variable::Local));
        variables.retain(|variable| mentioned.contains(variable.name()));
        variables.sort();
        variables.dedup();
        self.secrets(text, at, &variables);
        if scan::gives_several(text) {
            let fix = "wrap the expression in `[ ]` to make a list";
            self.warn(Rule::OneOutput, at, "the expression can give several results, which is an error", fix);
        }
        let key = (text.to_owned(), variables);
        if let Some(known) = self.filters.get(&key) {
            // A fault was recorded where it was seen first, and belongs to this place as well.
            let filter = known.clone();
            return match filter {
                Some(filter) => Some(Expression::new(filter, key.1)),
                None => self.compile_anew(&key.0, &key.1, at, stage).map(|it| Expression::new(it, key.1)),
            };
        }
        if self.filters.len() == MAX_EXPRESSIONS {
            self.rule(
                Rule::Size,
                at,
                format!("more than {MAX_EXPRESSIONS} different expressions"),
                "split the workflow",
            );
        }
        if self.filters.len() >= MAX_EXPRESSIONS {
            return None;
        }
        let filter = self.compile_anew(&key.0, &key.1, at, stage);
        self.filters.insert(key.clone(), filter.clone());
        filter.map(|filter| Expression::new(filter, key.1))
    }

    fn compile_anew(
        &mut self,
        text: &str,
        variables: &[Variable],
        at: &At<'_>,
        stage: Stage,
    ) -> Option<Filter> {
        let names: Vec<String> = variables.iter().map(|variable| format!("${}", variable.name())).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let options = Options { variables: &names, now: scan::mentions_now(text) };
        match Filter::compile_with(text, &options) {
            Ok(filter) => Some(filter),
            Err(error) => {
                let fix = match Variable::foreign(error.message(), stage) {
                    Some(known) => format!("`${known}` exists elsewhere, but not in {}", stage.place()),
                    None => "mend the jq expression".to_owned(),
                };
                let problem = format!("the expression does not compile: {error}");
                self.rule(Rule::Variables, at, problem, fix);
                None
            }
        }
    }

    /// Holds the secrets an expression names against those that are declared.
    fn secrets(&mut self, text: &str, at: &At<'_>, variables: &[Variable]) {
        if !variables.iter().any(|it| matches!(it, Variable::Secrets | Variable::Secret)) {
            return;
        }
        for secret in scan::secrets(text) {
            match secret {
                Some(name) => self.secret_declared(&name, at),
                None => self.warn(
                    Rule::Secrets,
                    at,
                    "the expression takes all secrets at once",
                    "name the one that is needed, as `$secrets.name`",
                ),
            }
        }
    }

    /// Records a fault unless the secret is declared.
    pub(crate) fn secret_declared(&mut self, name: &str, at: &At<'_>) {
        if !self.names.secrets.contains(name) {
            self.rule(
                Rule::Secrets,
                at,
                format!("the secret {} is not declared", quoted(name)),
                "add its name to `use.secrets`",
            );
        }
    }

    /// Takes the next id for a task.
    pub(crate) fn next_id(&self) -> TaskId {
        TaskId(self.tasks.len() as u32)
    }
}
