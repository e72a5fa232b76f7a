//! Values with expressions inside: what `set`, `with`, `body` and their like hold.

use serde_json::{Map, Value};

use super::{Expression, UriTemplate};

/// A value that may hold expressions.
#[derive(Debug, Clone, PartialEq)]
pub enum Template {
    /// A value without an expression inside.
    Literal(Value),
    /// An expression in the place of a value.
    Expression(Expression),
    /// A list with at least one expression somewhere inside.
    List(Vec<Template>),
    /// A mapping likewise; keys are never expressions.
    Map(Vec<(String, Template)>),
}

/// A value of a certain kind, or an expression that is to give one.
#[derive(Debug, Clone, PartialEq)]
pub enum TemplateOr<T> {
    /// The value.
    Literal(T),
    /// The expression.
    Expression(Expression),
}

impl Template {
    /// Turns what holds no expression into a literal.
    pub(crate) fn folded(self) -> Self {
        match self {
            Self::List(items) => {
                if items.iter().all(|item| matches!(item, Self::Literal(_))) {
                    Self::Literal(Value::Array(items.into_iter().filter_map(Self::into_literal).collect()))
                } else {
                    Self::List(items)
                }
            }
            Self::Map(entries) => {
                if entries.iter().all(|(_, value)| matches!(value, Self::Literal(_))) {
                    let pairs = entries.into_iter();
                    let pairs = pairs.filter_map(|(key, value)| Some((key, value.into_literal()?)));
                    Self::Literal(Value::Object(pairs.collect::<Map<_, _>>()))
                } else {
                    Self::Map(entries)
                }
            }
            other => other,
        }
    }

    fn into_literal(self) -> Option<Value> {
        match self {
            Self::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// The value, if it holds no expression.
    pub fn as_literal(&self) -> Option<&Value> {
        match self {
            Self::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// Calls `visit` with every expression inside, in the order of the text.
    pub fn each_expression<'a>(&'a self, visit: &mut impl FnMut(&'a Expression)) {
        match self {
            Self::Literal(_) => {}
            Self::Expression(expression) => visit(expression),
            Self::List(items) => items.iter().for_each(|item| item.each_expression(visit)),
            Self::Map(entries) => entries.iter().for_each(|(_, value)| value.each_expression(visit)),
        }
    }
}

/// A URI: with placeholders, or computed.
pub type Uri = TemplateOr<UriTemplate>;
