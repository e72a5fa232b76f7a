//! What expressions see: the variables of the specification, and those of loops and handlers around a task.

use serde_json::{Value, json};
use trunkline_model::Timestamp;

use super::outside;
use crate::dsl::tasks::Body;
use crate::engine::secrets::{self, Known};
use crate::engine::state::{ROOT, State, TryStage, Work};
use crate::expression::{Scope, Variable};
use crate::program::Program;

/// The view from a frame.
#[derive(Clone, Copy)]
pub(crate) struct View<'v> {
    pub(crate) program: &'v Program,
    pub(crate) state: &'v State,
    pub(crate) frame: u32,
    pub(crate) at: Timestamp,
    /// Variables that no frame holds yet.
    pub(crate) locals: &'v [(&'v str, &'v Value)],
    /// `$output`, where there is one.
    pub(crate) output: Option<&'v Value>,
    /// Values of secrets, while a call is put together; stand-ins otherwise.
    pub(crate) known: Option<&'v Known>,
}

impl Scope for View<'_> {
    fn value(&self, variable: &Variable) -> Value {
        let value = self.kept(variable);
        match (self.known, variable) {
            (Some(known), Variable::Secrets | Variable::Secret) => known.values(),
            (Some(known), _) => known.revealed(value),
            (None, _) => value,
        }
    }

    fn now(&self) -> f64 {
        self.at.as_micros() as f64 / 1e6
    }
}

impl View<'_> {
    /// The value of a variable as it is kept.
    fn kept(&self, variable: &Variable) -> Value {
        let frame = self.state.frames.get(&self.frame);
        match variable {
            Variable::Context => self.context().clone(),
            Variable::Input => frame.map(|frame| frame.input.clone()).unwrap_or_default(),
            Variable::Output => self.output.cloned().unwrap_or_default(),
            Variable::Task => self.task(),
            Variable::Workflow => json!({
                "id": self.state.id.as_str(),
                "definition": self.program.definition(),
                "input": self.state.input,
                "startedAt": moment(self.state.started_at),
            }),
            Variable::Runtime => {
                json!({"name": "trunkline", "version": env!("CARGO_PKG_VERSION"), "metadata": {}})
            }
            Variable::Local(name) => self.local(name),
            Variable::Secrets | Variable::Secret => {
                secrets::stand_ins(&self.program.workflow().secrets, self.state.seal.as_deref())
            }
            Variable::Authorization => self.authorization(),
        }
    }

    /// The scheme that the call of this task is made with; its parameter is nobody's to see.
    fn authorization(&self) -> Value {
        let task = self.state.frames.get(&self.frame).and_then(|frame| frame.task);
        let task = task.and_then(|task| self.program.get(task));
        match task.and_then(|task| outside::authentication(&task.body)) {
            None => Value::Null,
            Some(policy) => json!({"scheme": policy.scheme(), "parameter": "[secret]"}),
        }
    }

    fn context(&self) -> &Value {
        let mut at = self.frame;
        while let Some(frame) = self.state.frames.get(&at) {
            if let Some(context) = &frame.context {
                return context;
            }
            if at == ROOT {
                break;
            }
            at = frame.parent;
        }
        &self.state.context
    }

    fn task(&self) -> Value {
        let extended = self.extended();
        let Some(frame) = self.state.frames.get(&extended.unwrap_or(self.frame)) else { return Value::Null };
        let Some(task) = frame.task.and_then(|task| self.program.get(task)) else { return Value::Null };
        let mut told = json!({
            "name": &*task.name,
            "reference": &*task.reference,
            "definition": self.program.definition_of(task),
            "input": frame.raw_input,
            "output": self.output,
            "startedAt": moment(frame.started_at),
        });
        // What extensions ask of a task is also what it is defined as: `$task.call`, `$task.with`.
        if let (Some(told), Some(definition), Some(_)) =
            (told.as_object_mut(), self.program.definition_of(task).as_object(), extended)
        {
            for (key, value) in definition {
                told.entry(key.as_str()).or_insert_with(|| value.clone());
            }
            if told["output"].is_null() {
                told["output"] = frame.extended.as_ref().and_then(|it| it.output.clone()).unwrap_or_default();
            }
        }
        told
    }

    /// The task around which an extension is at work here.
    fn extended(&self) -> Option<u32> {
        if self.program.workflow().extensions.is_empty() {
            return None;
        }
        let mut at = self.frame;
        while let Some(frame) = self.state.frames.get(&at) {
            if matches!(frame.work, Work::Extending) {
                return Some(at);
            }
            if at == ROOT {
                break;
            }
            at = frame.parent;
        }
        None
    }

    /// A variable of the nearest loop or handler that has one of this name.
    fn local(&self, name: &str) -> Value {
        if let Some((_, value)) = self.locals.iter().find(|(known, _)| *known == name) {
            return (*value).clone();
        }
        let mut at = self.frame;
        while let Some(frame) = self.state.frames.get(&at) {
            let body = frame.task.and_then(|task| self.program.get(task)).map(|task| &task.body);
            if let Some(value) = body.and_then(|body| held(body, &frame.work, name)) {
                return value;
            }
            if at == ROOT {
                break;
            }
            at = frame.parent;
        }
        Value::Null
    }
}

/// What a frame gives a variable.
fn held(body: &Body, work: &Work, name: &str) -> Option<Value> {
    match (body, work) {
        (Body::For(body), Work::Loop { items, index }) => match () {
            () if *body.each == *name => items.get(*index).cloned(),
            () if *body.at == *name => Some(json!(index)),
            () => None,
        },
        (Body::Listen(listen), Work::Listen(listening)) => {
            let foreach = listen.foreach.as_ref()?;
            match () {
                () if *foreach.item == *name => listening.taken.get(listening.n_handled).cloned(),
                () if *foreach.at == *name => Some(json!(listening.n_handled)),
                () => None,
            }
        }
        (Body::Try(body), Work::Try { stage: TryStage::Catching, error, .. })
            if *body.catch.variable == *name =>
        {
            error.clone()
        }
        _ => None,
    }
}

/// A point in time as the specification describes it.
fn moment(at: Timestamp) -> Value {
    let millis = at.as_micros().div_euclid(1000);
    json!({"iso8601": at.to_rfc3339(), "epoch": {"seconds": at.as_secs(), "milliseconds": millis}})
}
