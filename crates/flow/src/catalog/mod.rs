//! The default catalogue: functions that every workflow can call as `name:1@default`. One file for each.
//!
//! ```text
//! arguments ── checked by JSON Schema, when the definition is stored and again when they are computed
//!      └─► prepare ─┬ an event         emitted in the commit of the step: exactly once
//!                   ├ an HTTP request  made as `call: http` makes it: at least once under one key
//!                   └ a task           done by the engine, by way of the store or of another part of the hub
//! ```
//!
//! Adding a function touches its file and `FUNCTIONS`. Tasks of people, `approval` and `step`, are called the same way
//! and read by the language itself.

mod document_route;
mod email;
mod event;
mod http;
mod noop;
mod record_update;
mod sms;
mod webhook;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trunkline_model::outlets::{Notifier, WebhookSender};
use trunkline_model::{Tenant, Timestamp, WorkflowId};
use trunkline_packs::DataSchema;
use trunkline_packs::suggest::{instead, quoted};
use trunkline_store::{Statement, Store};

use crate::dsl::error::StandardError;
use crate::dsl::points::EffectMode;
use crate::engine::input::Failure;
use crate::engine::state::HttpCall;

/// Every function of the catalogue.
const FUNCTIONS: [&dyn Function; 8] = [
    &document_route::DocumentRoute,
    &email::Email,
    &event::Event,
    &http::Http,
    &noop::Noop,
    &record_update::RecordUpdate,
    &sms::Sms,
    &webhook::Webhook,
];

/// The version of all functions there are.
pub const VERSION: &str = "1";

/// A function of the catalogue.
pub trait Function: Send + Sync + 'static {
    /// What it is called by, before `:1@default`.
    fn name(&self) -> &'static str;

    /// What it does, in a line.
    fn about(&self) -> &'static str;

    /// The JSON Schema of its arguments, as text.
    fn schema(&self) -> &'static str;

    /// How often it is done when a crash leaves its end unknown, unless the task says otherwise.
    fn mode(&self) -> EffectMode;

    /// Whether what it is given stays in the hub: in the journal, or in what it writes to the store. Such a function gets the
    /// names of secrets, because no value is stored; any other gets the values, and what it gives back is rid of them.
    fn keeps(&self) -> bool;

    /// Makes of arguments that fit the schema what is to be done.
    ///
    /// # Errors
    /// What the schema cannot say about the arguments.
    fn prepare(&self, arguments: Map<String, Value>) -> Result<Prepared, Failure>;

    /// Does what [`Prepared::Task`] asks for; never called for functions that prepare something else.
    fn perform<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Result<Performed, Failure>>;
}

/// What a call comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Prepared {
    /// An event with these attributes, in the commit of the step.
    Event(Map<String, Value>),
    /// An HTTP request.
    Http(HttpCall),
    /// Something that the function does itself.
    Task(FunctionCall),
}

/// A call of a function, as it lies in the state of an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FunctionCall {
    /// The function's name.
    pub function: String,
    /// Its arguments, which fit its schema.
    pub arguments: Map<String, Value>,
}

impl FunctionCall {
    fn new(function: &dyn Function, arguments: Map<String, Value>) -> Self {
        Self { function: function.name().to_owned(), arguments }
    }
}

/// Other parts of the hub that functions reach. What is missing is an error of configuration when it is asked for.
#[derive(Clone, Default)]
pub struct Outlets {
    /// Sends messages to people.
    pub notifier: Option<Arc<dyn Notifier>>,
    /// Sends webhooks to endpoints.
    pub webhooks: Option<Arc<dyn WebhookSender>>,
}

impl std::fmt::Debug for Outlets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (notifier, webhooks) = (self.notifier.is_some(), self.webhooks.is_some());
        f.debug_struct("Outlets").field("notifier", &notifier).field("webhooks", &webhooks).finish()
    }
}

/// What a function works with.
#[derive(Debug, Clone, Copy)]
pub struct Work<'a> {
    /// Whose instance calls it.
    pub tenant: &'a Tenant,
    /// The instance.
    pub instance: &'a WorkflowId,
    /// The journey it belongs to.
    pub correlation_id: &'a str,
    /// The same for every attempt at this call.
    pub key: &'a str,
    /// Its arguments.
    pub arguments: &'a Map<String, Value>,
    /// The time.
    pub now: Timestamp,
    /// Where rows are read.
    pub store: &'a Store,
    /// Other parts of the hub.
    pub outlets: &'a Outlets,
}

impl Work<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.arguments.get(name).and_then(Value::as_str)
    }
}

/// What a function did.
#[derive(Debug)]
pub struct Performed {
    /// Its output.
    pub value: Value,
    /// What becomes true in the commit that records its end. Where one of them finds the world changed, the commit is
    /// undone and the function is asked again.
    pub statements: Vec<Statement>,
}

impl Performed {
    pub(crate) fn new(value: Value) -> Self {
        Self { value, statements: Vec::new() }
    }
}

static SCHEMAS: LazyLock<HashMap<&'static str, DataSchema>> = LazyLock::new(|| {
    let compiled = |function: &&dyn Function| {
        let schema =
            serde_json::from_str(function.schema()).expect("invariant: schemas of functions are JSON");
        let schema = DataSchema::compile(&schema).expect("invariant: schemas of functions compile");
        (function.name(), schema)
    };
    FUNCTIONS.iter().map(compiled).collect()
});

/// Lists the functions, by name.
pub fn functions() -> impl Iterator<Item = &'static dyn Function> {
    FUNCTIONS.into_iter()
}

/// Finds a function by its name.
pub fn find(name: &str) -> Option<&'static dyn Function> {
    FUNCTIONS.into_iter().find(|function| function.name() == name)
}

/// What is wrong with a name that is none, and what to do.
pub(crate) fn unknown(name: &str, version: &str) -> (String, String) {
    const PEOPLE: [&str; 2] = ["approval", "step"];
    let mut names: Vec<&str> = FUNCTIONS.iter().map(|it| it.name()).chain(PEOPLE).collect();
    names.sort_unstable();
    if names.contains(&name) {
        let problem = format!("{} has no version {}", quoted(name), quoted(version));
        return (problem, format!("call version {VERSION}"));
    }
    let known = names.join(", ");
    let near = instead(name, names.iter().copied());
    (format!("the default catalogue has no function {}", quoted(name)), format!("{near}; there are {known}"))
}

/// What does not fit a function's schema: pointer and words. What stands for an expression fits anything.
pub(crate) fn faults_of_draft(name: &str, draft: &Value) -> Vec<(String, String)> {
    let Some(schema) = SCHEMAS.get(name) else { return Vec::new() };
    let is_expression = |pointer: &str| {
        let text = draft.pointer(pointer).and_then(Value::as_str);
        text.is_some_and(|text| crate::expression::unwrap(text).is_some())
    };
    let faults = schema.check(draft).into_iter().filter(|fault| !is_expression(&fault.pointer));
    faults.map(|fault| (fault.pointer, fault.problem)).collect()
}

/// Checks computed arguments and makes of them what is to be done.
///
/// # Errors
/// Arguments that do not fit; a name that is none, which definitions on the way in are refused for.
pub fn prepare(name: &str, arguments: Value) -> Result<(Prepared, EffectMode), Failure> {
    let (Some(function), Some(schema)) = (find(name), SCHEMAS.get(name)) else {
        let (problem, _) = unknown(name, VERSION);
        return Err(Failure::standard(StandardError::Configuration, problem));
    };
    let faults = schema.check(&arguments);
    if !faults.is_empty() {
        let texts: Vec<String> = faults.iter().take(5).map(ToString::to_string).collect();
        let detail = format!("arguments of {name}: {}", texts.join("; "));
        return Err(Failure::standard(StandardError::Validation, detail));
    }
    let Value::Object(arguments) = arguments else {
        return Err(Failure::standard(StandardError::Validation, "arguments are an object"));
    };
    function.prepare(arguments).map(|prepared| (prepared, function.mode()))
}

pub(crate) use self::record_update::merge_patch;

/// Does what a call asks for.
///
/// # Errors
/// What the function failed of.
pub async fn perform(name: &str, work: Work<'_>) -> Result<Performed, Failure> {
    match find(name) {
        Some(function) => function.perform(work).await,
        None => Err(Failure::standard(StandardError::Configuration, unknown(name, VERSION).0)),
    }
}

/// The end of functions that prepare no task.
fn nothing_to_do<'a>() -> BoxFuture<'a, Result<Performed, Failure>> {
    Box::pin(async { Ok(Performed::new(Value::Null)) })
}

/// The store did not answer: the call failed, and its handler may try again.
fn unread(error: &trunkline_store::ReadError) -> Failure {
    Failure::standard(StandardError::Communication, error.to_string())
}

#[cfg(test)]
mod tests;
