//! The names of a definition's reusable components, gathered before anything refers to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trunkline_packs::document::Content;
use trunkline_packs::suggest::{nearest, quoted};

use super::{At, Reader};
use crate::dsl::authentication::Authentication;
use crate::dsl::duration::Delay;
use crate::dsl::error::ErrorDefinition;
use crate::dsl::retry::RetryPolicy;
use crate::rule::Rule;

/// A kind of reusable component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Component {
    Authentication,
    Error,
    Function,
    Retry,
    Timeout,
    Catalog,
}

/// Reusable components, once they are read.
#[derive(Debug, Default)]
pub(crate) struct Components {
    pub(crate) authentications: BTreeMap<String, Arc<Authentication>>,
    pub(crate) errors: BTreeMap<String, Arc<ErrorDefinition>>,
    pub(crate) retries: BTreeMap<String, Arc<RetryPolicy>>,
    pub(crate) timeouts: BTreeMap<String, Delay>,
}

/// Names under `use`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    pub(crate) secrets: BTreeSet<String>,
    authentications: BTreeSet<String>,
    errors: BTreeSet<String>,
    functions: BTreeSet<String>,
    retries: BTreeSet<String>,
    timeouts: BTreeSet<String>,
    catalogs: BTreeSet<String>,
}

impl Names {
    /// Gathers the names of the whole document. What has the wrong shape is skipped; its reader says so.
    pub(crate) fn gather(root: &At<'_>) -> Self {
        let Some(parts) = root.peek("use") else { return Self::default() };
        let keys = |part: &str| {
            let part = parts.peek(part);
            part.map(|part| part.entries().iter().map(|entry| entry.key.clone()).collect())
                .unwrap_or_default()
        };
        let secrets = match parts.peek("secrets").map(|at| &at.node.content) {
            Some(Content::List(items)) => items
                .iter()
                .filter_map(|item| match &item.content {
                    Content::Text(text) => Some(text.clone()),
                    _ => None,
                })
                .collect(),
            _ => BTreeSet::new(),
        };
        Self {
            secrets,
            authentications: keys("authentications"),
            errors: keys("errors"),
            functions: keys("functions"),
            retries: keys("retries"),
            timeouts: keys("timeouts"),
            catalogs: keys("catalogs"),
        }
    }

    pub(crate) fn of(&self, component: Component) -> &BTreeSet<String> {
        match component {
            Component::Authentication => &self.authentications,
            Component::Error => &self.errors,
            Component::Function => &self.functions,
            Component::Retry => &self.retries,
            Component::Timeout => &self.timeouts,
            Component::Catalog => &self.catalogs,
        }
    }
}

impl Component {
    fn path(self) -> &'static str {
        match self {
            Self::Authentication => "use.authentications",
            Self::Error => "use.errors",
            Self::Function => "use.functions",
            Self::Retry => "use.retries",
            Self::Timeout => "use.timeouts",
            Self::Catalog => "use.catalogs",
        }
    }
}

/// How many names are compared with a mistyped one.
const MAX_COMPARED: usize = 100;

/// Asks for the name that is nearest to a mistyped one, if there is one. Bounded, however many names there are.
pub(crate) fn nearest_of<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    nearest(name, known.take(MAX_COMPARED)).map(|near| format!("did you mean `{near}`?"))
}

impl Reader {
    /// Records a fault unless a component of this name exists.
    pub(crate) fn component_declared(&mut self, component: Component, name: &str, at: &At<'_>) {
        if self.names.of(component).contains(name) {
            return;
        }
        let path = component.path();
        let near = nearest_of(name, self.names.of(component).iter().map(String::as_str));
        let fix = near.unwrap_or_else(|| format!("declare it under `{path}`"));
        self.rule(Rule::References, at, format!("{} is not declared in `{path}`", quoted(name)), fix);
    }
}
