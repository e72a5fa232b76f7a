//! What the language has and this engine does not do yet: said when a definition is stored, and again, as an error of
//! configuration, by an instance that is started all the same. Nothing is left out in silence.

use crate::dsl::error::StandardError;
use crate::dsl::tasks::call::Call;
use crate::dsl::tasks::call::asyncapi::Exchange;
use crate::dsl::tasks::call::mcp::Transport;
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
    let found = match &task.body {
        Body::Call(Call::Http(_) | Call::OpenApi(_) | Call::A2a(_) | Call::Function(_) | Call::Human(_)) => {
            None
        }
        Body::Call(Call::AsyncApi(call)) => match call.exchange {
            Exchange::Publish { .. } => None,
            Exchange::Subscribe(_) => {
                Some((Rule::References, "messages of brokers are published and not taken"))
            }
        },
        Body::Call(Call::Mcp(call)) => match call.transport {
            Transport::Http { .. } => None,
            Transport::Stdio { .. } => Some((Rule::Processes, "MCP servers are called over HTTP")),
        },
        Body::Call(_) => Some((Rule::References, "calls of this kind are not made")),
        _ => None,
    };
    if let Some((rule, what)) = found {
        add(&task.reference, rule, what);
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
