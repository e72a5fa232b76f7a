//! Errors as workflows define, raise and catch them (RFC 9457 problem details), and the standard error types under all
//! the URIs they have had (rule 31).

use std::borrow::Cow;

use serde_json::Value;

use crate::expression::{Stage, Template, Uri};
use crate::read::{At, Extra, Fields, Reader};
use crate::rule::Rule;

/// An error to be raised.
#[derive(Debug, Clone)]
pub struct ErrorDefinition {
    /// What kind of error it is.
    pub kind: Uri,
    /// The HTTP status that fits it.
    pub status: u16,
    /// The component it comes from; the raising task where absent.
    pub instance: Option<Template>,
    /// What the kind means.
    pub title: Option<Template>,
    /// What happened here.
    pub detail: Option<Template>,
}

/// Which errors a handler takes: those equal in every field that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorFilter {
    /// The type, standard ones under any of their URIs.
    pub kind: Option<String>,
    /// The status.
    pub status: Option<i64>,
    /// The JSON pointer of the component.
    pub instance: Option<String>,
    /// The title.
    pub title: Option<String>,
    /// The detail.
    pub detail: Option<String>,
}

/// The errors of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StandardError {
    /// The definition or the installation is wrong.
    Configuration,
    /// Data does not fit its schema.
    Validation,
    /// An expression failed.
    Expression,
    /// The called side does not know who asks.
    Authentication,
    /// The called side knows, and refuses.
    Authorization,
    /// It took too long.
    Timeout,
    /// The called side could not be reached, or failed.
    Communication,
    /// Anything else that went wrong while running.
    Runtime,
}

/// Where error types of the specification live today.
const CURRENT: &str = "https://open-workflow-specification.org/spec/1.0.0/errors/";
/// Where else they have lived; the same words follow.
const FORMER: [&str; 4] = [
    CURRENT,
    "https://serverlessworkflow.io/spec/1.0.0/errors/",
    "https://open-workflow-specification.org/dsl/errors/types/",
    "https://serverlessworkflow.io/dsl/errors/types/",
];

impl StandardError {
    const ALL: [Self; 8] = [
        Self::Configuration,
        Self::Validation,
        Self::Expression,
        Self::Authentication,
        Self::Authorization,
        Self::Timeout,
        Self::Communication,
        Self::Runtime,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Validation => "validation",
            Self::Expression => "expression",
            Self::Authentication => "authentication",
            Self::Authorization => "authorization",
            Self::Timeout => "timeout",
            Self::Communication => "communication",
            Self::Runtime => "runtime",
        }
    }

    /// The type it is raised with.
    pub fn uri(self) -> String {
        format!("{CURRENT}{}", self.word())
    }

    /// What the kind is called, for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Configuration => "Configuration Error",
            Self::Validation => "Validation Error",
            Self::Expression => "Expression Error",
            Self::Authentication => "Authentication Error",
            Self::Authorization => "Authorization Error",
            Self::Timeout => "Timeout",
            Self::Communication => "Communication Error",
            Self::Runtime => "Runtime Error",
        }
    }

    /// The status it is raised with.
    pub fn status(self) -> u16 {
        match self {
            Self::Configuration | Self::Validation | Self::Expression => 400,
            Self::Authentication => 401,
            Self::Authorization => 403,
            Self::Timeout => 408,
            Self::Communication | Self::Runtime => 500,
        }
    }

    /// The standard error with this word at the end of its type.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.word() == word)
    }

    /// The standard error a type stands for.
    pub fn of_uri(uri: &str) -> Option<Self> {
        let word = FORMER.iter().find_map(|base| uri.strip_prefix(base))?;
        Self::of_word(word)
    }
}

/// Gives standard error types their present URI; leaves others alone.
pub fn canonical_type(uri: &str) -> Cow<'_, str> {
    StandardError::of_uri(uri).map_or(Cow::Borrowed(uri), |known| Cow::Owned(known.uri()))
}

impl ErrorFilter {
    /// Tells whether an error, as an object, is one of those meant.
    pub fn takes(&self, error: &Value) -> bool {
        let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
        let same = |wanted: &Option<String>, key: &str| wanted.as_deref().is_none_or(|it| it == text(key));
        let kind =
            self.kind.as_deref().is_none_or(|kind| canonical_type(kind) == canonical_type(text("type")));
        let status = error.get("status").and_then(Value::as_i64);
        kind && self.status.is_none_or(|wanted| Some(wanted) == status)
            && same(&self.instance, "instance")
            && same(&self.title, "title")
            && same(&self.detail, "detail")
    }
}

impl Reader {
    /// Reads an error to be raised.
    pub(crate) fn error_definition(&mut self, at: &At<'_>, stage: Stage) -> Option<ErrorDefinition> {
        let mut fields = Fields::open(at, "an error", self)?;
        let kind = fields.required("type", self).and_then(|at| self.uri(&at, stage));
        let status = fields.required("status", self).and_then(|at| self.integer_within(&at, 100..=599));
        let instance = fields.optional("instance").map(|at| self.json_pointer(&at, stage));
        let title = fields.optional("title").map(|at| self.text_value(&at, stage));
        let detail = fields.optional("detail").map(|at| self.text_value(&at, stage));
        fields.close(Extra::Closed, self);
        Some(ErrorDefinition { kind: kind?, status: status? as u16, instance, title, detail })
    }

    fn json_pointer(&mut self, at: &At<'_>, stage: Stage) -> Template {
        let template = self.text_value(at, stage);
        if let Some(Value::String(text)) = template.as_literal() {
            let escapes_end = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
            if !(text.is_empty() || text.starts_with('/')) || !escapes_end {
                self.shape(at, "is no JSON pointer", "begin it with a slash, or leave it out");
            }
        }
        template
    }

    /// Reads which errors a handler takes.
    pub(crate) fn error_filter(&mut self, at: &At<'_>) -> Option<ErrorFilter> {
        let mut fields = Fields::open(at, "an error filter", self)?;
        if at.entries().is_empty() {
            self.shape(at, "the filter is empty", "name a type or a status, or remove the filter");
        }
        let kind = self.optional_text(&mut fields, "type");
        let status = fields.optional("status").and_then(|at| self.integer(&at));
        let [instance, title, detail] =
            ["instance", "title", "detail"].map(|key| self.optional_text(&mut fields, key));
        fields.close(Extra::Open, self);
        for (key, text) in [("type", &kind), ("instance", &instance), ("title", &title), ("detail", &detail)]
        {
            if let (Some(text), Some(at)) = (text, at.peek(key))
                && crate::expression::unwrap(text).is_some()
            {
                self.rule(Rule::Values, &at, "error filters take no expressions", "put it into `catch.when`");
            }
        }
        Some(ErrorFilter { kind, status, instance, title, detail })
    }
}
