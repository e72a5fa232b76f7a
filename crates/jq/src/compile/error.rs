//! Compile errors: what is wrong, where, in words for the person who wrote the expression.

use jaq_core::compile::Undefined;
use jaq_core::load;
use jaq_core::load::lex::{self, Token};
use jaq_core::load::parse;

/// At most this many characters of the text are quoted in a message.
const MAX_QUOTED_CHARS: usize = 32;

/// Filters of jq that read more than their input.
pub(super) const WITHHELD: &[&str] = &[
    "builtins",
    "debug",
    "env",
    "get_jq_origin",
    "get_prog_origin",
    "get_search_list",
    "halt",
    "halt_error",
    "input",
    "input_filename",
    "input_line_number",
    "inputs",
    "localtime",
    "modulemeta",
    "stderr",
    "strflocaltime",
];

/// A text that is no filter, or none that can be run safely.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct CompileError {
    line: usize,
    column: usize,
    message: String,
}

impl CompileError {
    /// The line, counted from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The character in the line, counted from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// An error that concerns the whole text.
    pub(super) fn at_start(message: impl Into<String>) -> Self {
        Self { line: 1, column: 1, message: message.into() }
    }

    /// An error at `part`, which is a part of `text`; anything else is taken for the start.
    pub(super) fn at(text: &str, part: &str, message: impl Into<String>) -> Self {
        let offset = part.as_ptr().addr().checked_sub(text.as_ptr().addr());
        let before = offset.and_then(|offset| text.get(..offset)).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.into(),
        }
    }

    fn place(&self) -> (usize, usize) {
        (self.line, self.column)
    }
}

/// The first in the text.
fn first(errors: impl Iterator<Item = CompileError>) -> CompileError {
    errors
        .min_by_key(CompileError::place)
        .unwrap_or_else(|| CompileError::at_start("the filter is not valid"))
}

pub(super) fn from_lexer(text: &str, errors: &[lex::Error<&str>]) -> CompileError {
    first(errors.iter().map(|(expected, found)| match expected {
        lex::Expect::Token => CompileError::at(text, found, format!("unexpected {}", quoted(found, 1))),
        expected => CompileError::at(text, found, format!("expected {}", expected.as_str())),
    }))
}

pub(super) fn from_parser(text: &str, errors: &[parse::TError<'_, &str>]) -> CompileError {
    let end = &text[text.len()..];
    first(errors.iter().map(|(expected, found)| {
        let found = found.map_or(end, Token::as_str);
        CompileError::at(text, found, unexpected(expected, found))
    }))
}

pub(super) fn from_names(
    text: &str,
    errors: &load::Errors<&str, (), Vec<(&str, Undefined)>>,
) -> CompileError {
    let errors = errors.iter().flat_map(|(_, errors)| errors);
    first(errors.map(|(name, kind)| CompileError::at(text, name, undefined(name, kind))))
}

fn undefined(name: &str, kind: &Undefined) -> String {
    match kind {
        Undefined::Filter(_) if WITHHELD.contains(&name) => {
            format!("`{name}` is not available: a filter reads nothing but its input")
        }
        Undefined::Filter(_) if name == "now" => {
            "`now` is not available: the time is not offered here".to_owned()
        }
        Undefined::Filter(arity) => format!("`{name}/{arity}` is not defined"),
        other => format!("{} `{name}` is not defined", other.as_str()),
    }
}

fn unexpected(expected: &parse::Expect<&str>, found: &str) -> String {
    let quote = quoted(found, if found.starts_with(['(', '[', '{', '"']) { 1 } else { MAX_QUOTED_CHARS });
    match expected {
        parse::Expect::Nothing => format!("unexpected {quote}"),
        parse::Expect::Just(word) => format!("expected `{word}`, found {quote}"),
        expected => format!("expected {}, found {quote}", expected.as_str()),
    }
}

/// The first characters of `text`, or that it is the end.
fn quoted(text: &str, max_chars: usize) -> String {
    if text.is_empty() {
        return "the end".to_owned();
    }
    let shown: String = text.chars().take(max_chars).collect();
    format!("`{shown}`")
}
