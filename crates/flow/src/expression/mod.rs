//! Runtime expressions: jq, compiled once for the place where they stand, with only the variables they mention.
//!
//! Whether a text is an expression depends on the field. Fields that the specification types as expressions (`if`,
//! `when`, `in`, `from`, `as` …) always are, with or without `${ }`. Everywhere else a text is one when the whole of
//! it is `${ }`; the rest is data and is never evaluated, and data never turns into expressions (rules 14, 15, 17).

mod evaluate;
pub(crate) mod scan;
mod template;
mod uri;
mod variable;

pub use evaluate::{EvaluationError, Scope};
pub use template::{Template, TemplateOr, Uri};
pub use uri::UriTemplate;
pub use variable::{Stage, Variable};

use std::collections::BTreeSet;
use std::fmt;

use trunkline_jq::Filter;

/// A compiled expression.
#[derive(Clone)]
pub struct Expression {
    filter: Filter,
    variables: Vec<Variable>,
}

impl Expression {
    pub(crate) fn new(filter: Filter, variables: Vec<Variable>) -> Self {
        Self { filter, variables }
    }

    /// The jq text, without `${ }`.
    pub fn text(&self) -> &str {
        self.filter.text()
    }

    /// The variables the text mentions, in the order their values are wanted.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// The names of the secrets it takes, or `None` when it may take any.
    pub fn secrets(&self) -> Option<BTreeSet<String>> {
        if !self.variables.iter().any(|it| matches!(it, Variable::Secrets | Variable::Secret)) {
            return Some(BTreeSet::new());
        }
        scan::secrets(self.text()).into_iter().collect()
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.text())
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text() && self.variables == other.variables
    }
}

/// Takes `${ }` off a text that is wholly one expression; `None` for any other text.
pub(crate) fn unwrap(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("${")?.strip_suffix('}')?;
    // The schema asks for at least one character between the braces.
    (!inner.is_empty()).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_text_is_an_expression() {
        let check = |text: &str, expect: Option<&str>| assert_eq!(unwrap(text), expect, "{text}");
        check("${ .a }", Some(" .a "));
        check("  ${.a}\n", Some(".a"));
        check("${\n .a\n | .b\n}", Some("\n .a\n | .b\n"));
        check("${}", None);
        check("$ { .a }", None);
        check("a ${ .a }", None);
        check("${ .a } b", None);
        check(".a", None);
    }
}
