//! `call: name`: a function of the workflow (`use.functions`), of a catalog (`name:version@catalog`), or behind a URL.
//! The catalog `default` is this program's own: its actions, and the tasks of people.

use serde_json::{Map, Value};
use trunkline_packs::suggest::quoted;

use super::{Call, human};
use crate::catalog;
use crate::expression::{Stage, Template, UriTemplate};
use crate::read::{At, Component, Reader, nearest_of};
use crate::rule::Rule;

/// A call of a function.
#[derive(Debug, Clone)]
pub struct FunctionCall {
    /// The function.
    pub function: Function,
    /// Its arguments by name; they become the function's input.
    pub arguments: Template,
}

/// A function.
#[derive(Debug, Clone)]
pub enum Function {
    /// The workflow's own, by its name under `use.functions`; the program knows its task.
    Own(String),
    /// Of a catalog.
    Cataloged {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// The catalog; `default` is this program's own.
        catalog: String,
    },
    /// Behind a URL.
    External(UriTemplate),
}

/// The name of this program's own catalog.
pub const DEFAULT_CATALOG: &str = "default";

impl FunctionCall {
    /// The name of the function of this program's own catalog that is called.
    pub fn of_default(&self) -> Option<&str> {
        match &self.function {
            Function::Cataloged { name, catalog, .. } if catalog == DEFAULT_CATALOG => Some(name),
            _ => None,
        }
    }
}

impl Reader {
    pub(super) fn function_call(&mut self, name: &str, at: &At<'_>, with: Option<&At<'_>>) -> Option<Call> {
        let function = self.function(name, at);
        if let Some(Function::Cataloged { name, version, catalog }) = &function
            && catalog == DEFAULT_CATALOG
            && let Some(kind) = human::Kind::of(name)
        {
            if version != "1" {
                let problem = format!("{} has no version {}", quoted(name), quoted(version));
                self.rule(Rule::HumanTasks, at, problem, "call version 1");
            }
            return self.human(kind, at, with).map(|task| Call::Human(Box::new(task)));
        }
        if let Some(Function::Cataloged { name, version, catalog }) = &function
            && catalog == DEFAULT_CATALOG
        {
            self.default_function(name, version, at, with);
        }
        let arguments = with.map(|with| self.object_template(with, Stage::Body));
        Some(Call::Function(Box::new(FunctionCall {
            function: function?,
            arguments: arguments.unwrap_or_else(|| Template::Map(Vec::new()).folded()),
        })))
    }

    /// Holds a call of a function of the default catalogue against what the function takes.
    fn default_function(&mut self, name: &str, version: &str, at: &At<'_>, with: Option<&At<'_>>) {
        if version != catalog::VERSION || catalog::find(name).is_none() {
            let (problem, fix) = catalog::unknown(name, version);
            return self.rule(Rule::References, at, problem, fix);
        }
        let draft = with.map_or_else(|| Value::Object(Map::new()), |with| with.node.to_json());
        let place = with.unwrap_or(at);
        for (pointer, problem) in catalog::faults_of_draft(name, &draft) {
            let position = with.map_or(at.position, |with| with.node.position_of(&pointer));
            let at = At { node: place.node, pointer: format!("{}{pointer}", place.pointer), position };
            let fix = format!("see what `{name}:{version}@default` takes");
            self.rule(Rule::Values, &at, format!("{} {problem}", shown(&pointer)), fix);
        }
    }

    fn function(&mut self, name: &str, at: &At<'_>) -> Option<Function> {
        if self.names.of(Component::Function).contains(name) {
            return Some(Function::Own(name.to_owned()));
        }
        if name.contains("://") {
            // To the schema any text can name a function.
            let uri = self.by_rule(Rule::References, |reader| reader.uri_template(name, at));
            return uri.map(Function::External);
        }
        let Some((versioned, catalog)) = name.rsplit_once('@') else {
            let near = nearest_of(name, self.names.of(Component::Function).iter().map(String::as_str));
            let declare = || "declare it under `use.functions`, or call `name:version@default`".to_owned();
            let fix = near.unwrap_or_else(declare);
            self.rule(Rule::References, at, format!("no function is called {}", quoted(name)), fix);
            return None;
        };
        let plain = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        };
        let parts = versioned.split_once(':').filter(|(name, version)| plain(name) && plain(version));
        let Some((function, version)) = parts else {
            let problem = format!("{} is no function of a catalog", quoted(name));
            self.rule(Rule::References, at, problem, "write it like `email:1@default`");
            return None;
        };
        if catalog != DEFAULT_CATALOG {
            self.component_declared(Component::Catalog, catalog, at);
        }
        Some(Function::Cataloged {
            name: function.to_owned(),
            version: version.to_owned(),
            catalog: catalog.to_owned(),
        })
    }
}

/// An argument for a fault.
fn shown(pointer: &str) -> &str {
    if pointer.is_empty() { "what is given" } else { pointer.trim_start_matches('/') }
}
