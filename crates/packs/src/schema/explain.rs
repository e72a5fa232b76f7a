//! Says in words why data does not fit a schema, without repeating the data.
//!
//! Events carry personal data, and these texts end up in answers, logs and consoles. So they are made of the schema
//! alone: keyword and limit. The one thing taken from the data is the *path*, and of it only list indices and keys
//! that the schema itself names; other keys are data too (a map by e-mail address) and show as `*`. In an object
//! that takes no further properties, an unexpected key is shown when it is spelt like a field's name, since it is
//! then almost certainly a misspelt one.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value;

use crate::pointer;

/// One place where data does not fit its schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DataFault {
    /// JSON pointer into the data; keys the schema does not name show as `*`.
    pub pointer: String,
    /// The keyword of the schema that is not met, such as `required` or `maxLength`.
    pub keyword: String,
    /// What the schema asks for, lower-case and without a full stop. Never quotes the data.
    pub problem: String,
}

/// Tells whether the schema itself names a key.
pub(crate) type Names<'a> = dyn Fn(&str) -> bool + 'a;

/// Explains one error of `data`. Missing and unexpected properties become a fault each.
pub(crate) fn explain(error: &ValidationError<'_>, data: &Value, names: &Names<'_>) -> Vec<DataFault> {
    let mut explainer = Explainer { data, names, faults: Vec::new() };
    explainer.explain(error, 0);
    explainer.faults
}

/// How many alternatives inside alternatives are looked into for a better explanation.
const MAX_NESTING: usize = 8;

struct Explainer<'a> {
    data: &'a Value,
    names: &'a Names<'a>,
    faults: Vec<DataFault>,
}

impl Explainer<'_> {
    fn explain(&mut self, error: &ValidationError<'_>, depth: usize) {
        let at = self.visible(error.instance_path().as_str());
        let kind = error.kind();
        match kind {
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                self.fault(kind, pointer::join(&at, name), "is missing");
            }
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                for key in unexpected {
                    let shown = if (self.names)(key) || is_field_name(key) { key } else { "*" };
                    self.fault(kind, pointer::join(&at, shown), "is no property that belongs here");
                }
            }
            ValidationErrorKind::PropertyNames { .. } => {
                self.fault(kind, at, "has a property whose name does not fit");
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                match meant(context, error.instance_path().as_str()) {
                    Some(branch) if depth < MAX_NESTING => {
                        for error in branch {
                            self.explain(error, depth + 1);
                        }
                    }
                    _ => self.fault(kind, at, format!("fits none of the {} alternatives", context.len())),
                }
            }
            kind => self.fault(kind, at, constraint(kind)),
        }
    }

    fn fault(&mut self, kind: &ValidationErrorKind, pointer: String, problem: impl Into<String>) {
        let keyword = match kind {
            ValidationErrorKind::FalseSchema => "false",
            kind => kind.keyword(),
        };
        let keyword = keyword.to_owned();
        self.faults.push(DataFault { pointer, keyword, problem: problem.into() });
    }

    /// The path without keys that are data.
    fn visible(&self, path: &str) -> String {
        let mut shown = String::new();
        let mut value = Some(self.data);
        for token in pointer::tokens(path).unwrap_or_default() {
            let is_index = value.is_some_and(Value::is_array);
            pointer::push(&mut shown, if is_index || (self.names)(&token) { &token } else { "*" });
            value = value.and_then(|value| match value {
                Value::Array(items) => token.parse().ok().and_then(|index: usize| items.get(index)),
                value => value.get(&token),
            });
        }
        shown
    }
}

/// Finds the alternative that was meant: the only one that does not fail on the value's own type or name.
fn meant<'e>(
    context: &'e [Vec<ValidationError<'static>>],
    at: &str,
) -> Option<&'e [ValidationError<'static>]> {
    let mut candidates = context.iter().filter(|branch| {
        !branch.iter().any(|error| {
            error.instance_path().as_str() == at
                && matches!(
                    error.kind(),
                    ValidationErrorKind::Type { .. }
                        | ValidationErrorKind::Constant { .. }
                        | ValidationErrorKind::Enum { .. }
                        | ValidationErrorKind::FalseSchema
                )
        })
    });
    let only = candidates.next()?;
    (candidates.next().is_none() && !only.is_empty()).then_some(only.as_slice())
}

/// Words for the errors that say all in one limit.
fn constraint(kind: &ValidationErrorKind) -> String {
    use ValidationErrorKind as Kind;
    match kind {
        Kind::Type { kind } => format!("must be {}", types(kind)),
        Kind::Enum { options } => format!("must be one of {}", listed(options)),
        Kind::Constant { expected_value } => format!("must be {}", written(expected_value)),
        Kind::Format { format } => format!("must have the format {format}"),
        Kind::Pattern { pattern } => format!("must match the pattern {}", cut(pattern)),
        Kind::MinLength { limit } => format!("must have at least {limit} characters"),
        Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::MinItems { limit } => format!("must have at least {limit} items"),
        Kind::MaxItems { limit } => format!("must have at most {limit} items"),
        Kind::AdditionalItems { limit } => format!("must have at most {limit} items"),
        Kind::UnevaluatedItems { .. } => "has items that do not belong here".to_owned(),
        Kind::UniqueItems => "must not hold the same item twice".to_owned(),
        Kind::Contains => "holds too few or too many of the items it must hold".to_owned(),
        Kind::MinProperties { limit } => format!("must have at least {limit} properties"),
        Kind::MaxProperties { limit } => format!("must have at most {limit} properties"),
        Kind::FalseSchema => "must not be given".to_owned(),
        Kind::OneOfMultipleValid { .. } => {
            "fits more than one alternative, but must fit exactly one".to_owned()
        }
        Kind::Not { .. } => "is of a kind that is excluded".to_owned(),
        Kind::ContentEncoding { content_encoding } => format!("must be encoded as {}", cut(content_encoding)),
        Kind::ContentMediaType { content_media_type } => format!("must be {}", cut(content_media_type)),
        // The rest are failures of the machinery, whose texts may hold anything.
        _ => "could not be checked".to_owned(),
    }
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => one.to_string(),
        TypeKind::Multiple(set) => set.iter().map(|one| one.to_string()).collect::<Vec<_>>().join(" or "),
    }
}

/// The first few values of an `enum`.
fn listed(options: &Value) -> String {
    let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
    let shown: Vec<String> = options.iter().take(12).map(written).collect();
    let more = if options.len() > shown.len() { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// A value of the schema in JSON, cut.
fn written(value: &Value) -> String {
    cut(&value.to_string())
}

fn cut(text: &str) -> String {
    let shown: String = text.chars().take(80).collect();
    if shown.len() < text.len() { format!("{shown}…") } else { shown }
}

/// Spelt as fields are: `given_name`, `givenName`; no digits, as in account numbers, and not long.
fn is_field_name(key: &str) -> bool {
    key.len() <= 40
        && key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
}
