//! What the language has and this engine does not do yet: said when a definition is stored, and again, as an error of
//! configuration, by an instance that is started all the same. Nothing is left out in silence.

use crate::dsl::error::StandardError;
use crate::dsl::tasks::call::Call;
use crate::dsl::tasks::call::asyncapi::Exchange;
use crate::dsl::tasks::{Body, Task};
use crate::engine::input::Failure;
use crate::engine::machine::outside::fixed_url;
use crate::program::Program;
use crate::rule::Rule;

/// One thing that a definition asks for and does not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// JSON pointer to where it stands.
    pub reference: String,
    /// The rule of the profile it belongs to.
    pub rule: Rule,
    /// What it is, in words.
    pub what: &'static str,
}

/// Lists everything in a program that the engine does not do.
pub fn unsupported(program: &Program) -> Vec<Unsupported> {
    let mut found = Vec::new();
    let mut add = |reference: &str, rule: Rule, what: &'static str| {
        found.push(Unsupported { reference: reference.to_owned(), rule, what });
    };
    if program.external_schemas().any(|schema| fixed_url(schema).is_none()) {
        add("", Rule::Schemas, "a schema that lies elsewhere has one place for ever");
    }
    for task in program.tasks() {
        of_task(task, &mut add);
    }
    found
}

fn of_task(task: &Task, add: &mut impl FnMut(&str, Rule, &'static str)) {
    if let Body::Call(Call::AsyncApi(call)) = &task.body
        && let Exchange::Subscribe(_) = call.exchange
    {
        add(&task.reference, Rule::References, "messages of brokers are published and not taken");
    }
}

/// The error that an instance of such a program begins and ends with.
pub(crate) fn refusal(program: &Program) -> Option<Failure> {
    let found = unsupported(program);
    let first = found.first()?;
    let detail = format!("{} ({})", first.what, first.rule);
    let mut failure = Failure::standard(StandardError::Configuration, detail);
    failure.instance = Some(first.reference.clone());
    Some(failure)
}
