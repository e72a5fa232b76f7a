//! Runs expressions and templates. Pure: values of variables and the time come from the caller.

use serde_json::{Map, Value};
use trunkline_jq::{Input, Limits, RunError};

use super::{Expression, Template, TemplateOr, UriTemplate, Variable};

/// What expressions can see.
pub trait Scope {
    /// The value of a variable. Asked only for variables that the expression mentions.
    fn value(&self, variable: &Variable) -> Value;

    /// What `now` gives: seconds since 1970. The same for all expressions of an activation.
    fn now(&self) -> f64;

    /// What one evaluation may use.
    fn limits(&self) -> Limits {
        Limits::default()
    }
}

/// Why an expression gave no value. Raised as the standard error `expression`, status 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// The expression gave several results.
    #[error("the expression gave several results; wrap it in `[ ]` to make a list")]
    SeveralResults,
    /// The expression failed.
    #[error("the expression failed")]
    Failed(#[source] RunError),
    /// A placeholder of a URI template stands for an array or an object.
    #[error("`{{{0}}}` of the URI stands for an array or an object")]
    UriVariable(String),
    /// A URI is computed and is no text.
    #[error("the computed URI is no text")]
    NoUri,
}

impl Expression {
    /// Evaluates the expression on `input`. No result is null; several are an error (rule 16).
    pub fn evaluate(&self, input: &Value, scope: &dyn Scope) -> Result<Value, EvaluationError> {
        let values: Vec<Value> = self.variables().iter().map(|variable| scope.value(variable)).collect();
        let input = Input::value(input).with_variables(&values).with_now(scope.now());
        match self.filter.run_one(input, &scope.limits()) {
            Ok(value) => Ok(value),
            Err(RunError::NoOutput) => Ok(Value::Null),
            Err(RunError::SeveralOutputs) => Err(EvaluationError::SeveralResults),
            Err(error) => Err(EvaluationError::Failed(error)),
        }
    }

    /// Evaluates a condition: anything but `false` and `null` holds, as in jq.
    pub fn holds(&self, input: &Value, scope: &dyn Scope) -> Result<bool, EvaluationError> {
        Ok(!matches!(self.evaluate(input, scope)?, Value::Null | Value::Bool(false)))
    }
}

impl Template {
    /// Evaluates every expression inside, all on the same `input`.
    pub fn evaluate(&self, input: &Value, scope: &dyn Scope) -> Result<Value, EvaluationError> {
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Expression(expression) => expression.evaluate(input, scope)?,
            Self::List(items) => {
                let items = items.iter().map(|item| item.evaluate(input, scope));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Self::Map(entries) => {
                let mut map = Map::new();
                for (key, value) in entries {
                    map.insert(key.clone(), value.evaluate(input, scope)?);
                }
                Value::Object(map)
            }
        })
    }
}

impl TemplateOr<UriTemplate> {
    /// Gives the URI.
    pub fn evaluate(&self, input: &Value, scope: &dyn Scope) -> Result<String, EvaluationError> {
        match self {
            Self::Literal(template) => template.expand(input),
            Self::Expression(expression) => match expression.evaluate(input, scope)? {
                Value::String(uri) => Ok(uri),
                _ => Err(EvaluationError::NoUri),
            },
        }
    }
}

impl Expression {
    /// Runs an expression that takes no variables, while a definition is being checked.
    pub(crate) fn filter_once(&self, input: &Value) -> Result<(), RunError> {
        self.filter.is_true(input, &Limits::filter()).map(drop)
    }
}
