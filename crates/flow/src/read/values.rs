//! Readers of single values: text, numbers, choices, lists, expressions.

use std::ops::RangeInclusive;
use std::sync::Arc;

use serde_json::Value;
use trunkline_packs::document::Content;
use trunkline_packs::suggest::{instead, quoted};

use super::{At, Fields, Reader};
use crate::expression::{Expression, Stage, Template, TemplateOr, Variable, scan, unwrap};
use crate::rule::Rule;

impl Reader {
    /// Reads text.
    pub(crate) fn text<'a>(&mut self, at: &At<'a>) -> Option<&'a str> {
        let Content::Text(text) = &at.node.content else {
            let fix = "write it in quotes";
            self.shape(at, format!("must be text, found {}", at.node.kind()), fix);
            return None;
        };
        Some(text)
    }

    /// Reads text that may be missing.
    pub(crate) fn optional_text(&mut self, fields: &mut Fields<'_>, key: &'static str) -> Option<String> {
        fields.optional(key).and_then(|at| self.text(&at)).map(str::to_owned)
    }

    /// Reads text that must be there.
    pub(crate) fn required_text(&mut self, fields: &mut Fields<'_>, key: &'static str) -> Option<String> {
        fields.required(key, self).and_then(|at| self.text(&at)).map(str::to_owned)
    }

    /// Reads true or false.
    pub(crate) fn flag(&mut self, at: &At<'_>) -> Option<bool> {
        let Content::Bool(value) = at.node.content else {
            let problem = format!("must be true or false, found {}", at.node.kind());
            self.shape(at, problem, "write true or false");
            return None;
        };
        Some(value)
    }

    /// Reads a whole number, which may be written with a fraction of zero.
    pub(crate) fn integer(&mut self, at: &At<'_>) -> Option<i64> {
        let Content::Number(number) = &at.node.content else {
            self.shape(at, format!("must be a whole number, found {}", at.node.kind()), "write a number");
            return None;
        };
        let float = number.as_f64().unwrap_or(f64::NAN);
        if !number.is_i64() && !number.is_u64() && float.fract() != 0.0 {
            self.shape(at, "must be a whole number", "remove the fraction");
            return None;
        }
        let whole = number.as_i64().or_else(|| (float.abs() < 9e15).then_some(float as i64));
        if whole.is_none() {
            self.rule(Rule::Values, at, "the number is too large", "write a smaller one");
        }
        whole
    }

    /// Reads a whole number within bounds of the profile.
    pub(crate) fn integer_within(&mut self, at: &At<'_>, bounds: RangeInclusive<i64>) -> Option<i64> {
        let value = self.integer(at)?;
        if bounds.contains(&value) {
            return Some(value);
        }
        let problem = format!("must be from {} to {}", bounds.start(), bounds.end());
        self.rule(Rule::Values, at, problem, "write a number between");
        None
    }

    /// Reads one of some words.
    pub(crate) fn choice<T: Copy>(&mut self, at: &At<'_>, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.text(at)?;
        let found = choices.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words = choices.iter().map(|(word, _)| *word);
            self.shape(at, format!("{} is none of the words known here", quoted(text)), instead(text, words));
        }
        found.map(|(_, value)| *value)
    }

    /// Reads a mapping without a look inside.
    pub(crate) fn object(&mut self, at: &At<'_>) -> Option<Value> {
        if !matches!(at.node.content, Content::Map(_)) {
            self.shape(
                at,
                format!("must be a mapping, found {}", at.node.kind()),
                "write `key: value` pairs",
            );
            return None;
        }
        Some(at.node.to_json())
    }

    /// Opens a list.
    pub(crate) fn list<'a>(&mut self, at: &At<'a>) -> Option<Vec<At<'a>>> {
        let Content::List(items) = &at.node.content else {
            self.shape(at, format!("must be a list, found {}", at.node.kind()), "write a list");
            return None;
        };
        Some(items.iter().enumerate().map(|(index, item)| at.item(index, item)).collect())
    }

    /// Reads a list of texts.
    pub(crate) fn texts(&mut self, at: &At<'_>) -> Vec<String> {
        let items = self.list(at).unwrap_or_default();
        items.iter().filter_map(|item| self.text(item)).map(str::to_owned).collect()
    }

    /// Reads a list of texts that may be expressions.
    pub(crate) fn text_templates(&mut self, at: &At<'_>, stage: Stage) -> Vec<Template> {
        let items = self.list(at).unwrap_or_default();
        items
            .iter()
            .filter(|item| self.text(item).is_some())
            .collect::<Vec<_>>()
            .into_iter()
            .map(|item| self.template(item, stage))
            .collect()
    }

    /// Reads a mapping of names to texts that may be expressions.
    pub(crate) fn text_map(&mut self, at: &At<'_>, stage: Stage) -> Template {
        if self.object(at).is_some() {
            for entry in at.entries() {
                self.text(&at.entry(entry));
            }
        }
        self.template(at, stage)
    }

    /// Reads a mapping of names to texts, or an expression that gives one.
    pub(crate) fn text_map_or_expression(&mut self, at: &At<'_>, stage: Stage) -> Option<Template> {
        match &at.node.content {
            Content::Map(_) => Some(self.text_map(at, stage)),
            Content::Text(text) if unwrap(text).is_some() => Some(self.template(at, stage)),
            _ => {
                self.shape(at, "must be a mapping or an expression", "write `key: value` pairs, or `${ … }`");
                None
            }
        }
    }

    /// Reads a field that is an expression by its type; `${ }` around it may be left out.
    pub(crate) fn expression(&mut self, at: &At<'_>, stage: Stage) -> Option<Expression> {
        let text = self.text(at)?;
        self.compile(unwrap(text).unwrap_or(text), at, stage)
    }

    /// Reads an expression that may be missing.
    pub(crate) fn optional_expression(
        &mut self,
        fields: &mut Fields<'_>,
        key: &'static str,
        stage: Stage,
    ) -> Option<Expression> {
        fields.optional(key).and_then(|at| self.expression(&at, stage))
    }

    /// Reads a field that transforms data: an expression, or a mapping with expressions inside.
    pub(crate) fn transformation(&mut self, at: &At<'_>, stage: Stage) -> Option<Template> {
        match &at.node.content {
            Content::Text(_) => self.expression(at, stage).map(Template::Expression),
            Content::Map(_) => Some(self.template(at, stage)),
            _ => {
                let problem = format!("must be an expression or a mapping, found {}", at.node.kind());
                self.shape(at, problem, "write an expression");
                None
            }
        }
    }

    /// Reads any value, with expressions inside.
    pub(crate) fn template(&mut self, at: &At<'_>, stage: Stage) -> Template {
        let template = match &at.node.content {
            Content::Text(text) => return self.text_template(text, at, stage),
            Content::List(items) => Template::List(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| self.template(&at.item(index, item), stage))
                    .collect(),
            ),
            Content::Map(entries) => Template::Map(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), self.template(&at.entry(entry), stage)))
                    .collect(),
            ),
            Content::Null | Content::Bool(_) | Content::Number(_) => Template::Literal(at.node.to_json()),
        };
        template.folded()
    }

    fn text_template(&mut self, text: &str, at: &At<'_>, stage: Stage) -> Template {
        let literal = Template::Literal(Value::String(text.to_owned()));
        if let Some(inner) = unwrap(text) {
            return self.compile(inner, at, stage).map_or(literal, Template::Expression);
        }
        if text.contains("${") {
            self.warn(
                Rule::ExpressionFields,
                at,
                "the text holds `${` and is not an expression, so it stays as written",
                "make the whole text one expression: `${ \"… \\(.name) …\" }`",
            );
        }
        literal
    }

    /// Reads a mapping with expressions inside.
    pub(crate) fn object_template(&mut self, at: &At<'_>, stage: Stage) -> Template {
        self.object(at);
        self.template(at, stage)
    }

    /// Reads text that may be an expression, with `parse` for what is none.
    pub(crate) fn text_or_expression<T>(
        &mut self,
        at: &At<'_>,
        stage: Stage,
        parse: impl FnOnce(&mut Self, &str) -> Option<T>,
    ) -> Option<TemplateOr<T>> {
        let text = self.text(at)?;
        match unwrap(text) {
            Some(inner) => self.compile(inner, at, stage).map(TemplateOr::Expression),
            None => parse(self, text).map(TemplateOr::Literal),
        }
    }

    /// Reads the name of a variable of a loop or handler; `default` when there is none.
    pub(crate) fn variable(&mut self, at: Option<At<'_>>, default: &str) -> Arc<str> {
        let Some(at) = at else { return default.into() };
        let Some(name) = self.text(&at) else { return default.into() };
        if scan::is_name(name) {
            if Variable::is_reserved(name) {
                let problem = format!("`${name}` means something else already");
                self.rule(Rule::Variables, &at, problem, "choose another name");
            }
            return name.into();
        }
        self.rule(
            Rule::Variables,
            &at,
            format!("{} cannot be the name of a variable", quoted(name)),
            "use letters, digits and `_`, without `$`",
        );
        default.into()
    }
}
