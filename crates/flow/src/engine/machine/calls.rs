//! What reaches outside: calls over HTTP, functions, other workflows, people.

use serde_json::Value;

use super::outside::{self, Ready, fixed_url, plain};
use super::{Machine, Todo, hex_digest};
use crate::catalog::{self, Prepared};
use crate::dsl::error::StandardError;
use crate::dsl::points::EffectMode;
use crate::dsl::tasks::call::Call;
use crate::dsl::tasks::call::function::Function;
use crate::dsl::tasks::run::{Process, Run};
use crate::dsl::tasks::{Body, Task};
use crate::engine::effects::Outside;
use crate::engine::input::{Failure, Outcome};
use crate::engine::state::{Action, ChildStart, Effect, ROOT, Work};
use crate::expression::Template;
use crate::rule::Rule;

impl<'a> Machine<'a> {
    pub(super) fn enter_call(
        &mut self,
        frame: u32,
        task: &Task,
        call: &'a Call,
        input: &Value,
    ) -> Result<(), Failure> {
        match call {
            Call::Http(_)
            | Call::OpenApi(_)
            | Call::AsyncApi(_)
            | Call::A2a(_)
            | Call::Mcp(_)
            | Call::Grpc(_) => {
                let action = self.outside(frame, task)?;
                self.start_effect(frame, task, action, input)
            }
            Call::Function(call) => {
                if let Some(name) = call.of_default() {
                    return self.call_default(frame, task, (name, &call.arguments), input);
                }
                let arguments = self.eval(frame, |view| call.arguments.evaluate(input, view))?;
                let name = match &call.function {
                    Function::Own(name) => name,
                    Function::Cataloged { .. } | Function::External(_) => {
                        self.enter_elsewhere(frame, arguments);
                        return Ok(());
                    }
                };
                let Some(function) = self.program.workflow().functions.get(name) else {
                    return Err(Self::unsupported(Rule::References, "the function is not there"));
                };
                self.todo.push_back(Todo::Enter {
                    parent: frame,
                    place: 0,
                    task: *function,
                    input: arguments,
                });
                Ok(())
            }
            Call::Human(human) => self.ask(frame, task, human, input),
        }
    }

    /// Calls a function of the default catalogue.
    fn call_default(
        &mut self,
        frame: u32,
        task: &Task,
        (name, arguments): (&str, &Template),
        input: &Value,
    ) -> Result<(), Failure> {
        if outside::is_late(self.program, task) {
            let mode = catalog::find(name).map_or(EffectMode::AtLeastOnce, catalog::Function::mode);
            return self.start_effect_as(frame, task, Action::Late { at: self.at }, input, mode);
        }
        let arguments = self.eval(frame, |view| arguments.evaluate(input, view))?;
        // What is kept by the function has the names of secrets inside.
        let (prepared, mode) = catalog::prepare(name, self.labelled(arguments))?;
        let action = match prepared {
            Prepared::Event(attributes) => {
                let event = self.emit_made(frame, task, attributes)?;
                self.todo.push_back(Todo::Finish { frame, output: event, next: None });
                return Ok(());
            }
            Prepared::Http(call) => Action::Http(call),
            Prepared::Task(call) => Action::Function(call),
        };
        self.start_effect_as(frame, task, action, input, mode)
    }

    /// Calls a function whose document has to be fetched.
    fn enter_elsewhere(&mut self, frame: u32, arguments: Value) {
        let action = Action::Elsewhere { input: self.labelled(arguments) };
        self.start_child(frame, action);
    }

    fn start_child(&mut self, frame: u32, action: Action) {
        let effect = self.add_effect(frame, |key| Effect { frame, key, action, repeatable: true });
        let key = self.state.effects[&effect].key.clone();
        self.frame(frame).work = Work::Child { effect: Some(effect), key, id: None };
    }

    /// What a task asks of the outside: as it will be done, or the promise to put it together then.
    fn outside(&self, frame: u32, task: &Task) -> Result<Action, Failure> {
        if !outside::is_late(self.program, task) {
            let ready = outside::prepare(self.program, self.state, frame, self.at, None)?;
            if let Ready::Call(prepared) = ready
                && let Outside::Http(call) = prepared.call
            {
                return Ok(Action::Http(call));
            }
        }
        Ok(Action::Late { at: self.at })
    }

    fn start_effect(
        &mut self,
        frame: u32,
        task: &Task,
        action: Action,
        input: &Value,
    ) -> Result<(), Failure> {
        self.start_effect_as(frame, task, action, input, EffectMode::AtLeastOnce)
    }

    /// Asks for a call; the task may say otherwise how often it may be made.
    fn start_effect_as(
        &mut self,
        frame: u32,
        task: &Task,
        action: Action,
        input: &Value,
        mode: EffectMode,
    ) -> Result<(), Failure> {
        let wish = task.points.idempotency.as_ref();
        let repeatable = wish.map_or(mode, |it| it.mode) == EffectMode::AtLeastOnce;
        let own_key =
            wish.and_then(|it| it.key.as_ref()).map(|key| self.text_of(frame, key, input)).transpose()?;
        let key = own_key.unwrap_or_else(|| self.key_of(frame));
        if !repeatable && !self.state.spent.insert(key.clone()) {
            let detail = "the call was made in an attempt before, and it may not be made twice";
            return Err(Failure::standard(StandardError::Runtime, detail));
        }
        let effect = self.add_effect(frame, |_| Effect { frame, key, action, repeatable });
        self.frame(frame).work = Work::Effect { effect };
        Ok(())
    }

    pub(super) fn text_of(&self, frame: u32, template: &Template, input: &Value) -> Result<String, Failure> {
        self.eval(frame, |view| template.evaluate(input, view)).map(|value| plain(&value))
    }

    pub(super) fn enter_run(
        &mut self,
        frame: u32,
        task: &Task,
        run: &Run,
        input: Value,
    ) -> Result<(), Failure> {
        let Process::Workflow(child) = &run.process else {
            return self.start_effect(frame, task, Action::Late { at: self.at }, &input);
        };
        let start = ChildStart {
            namespace: child.namespace.clone(),
            name: child.name.clone(),
            version: child.version.clone(),
            input: self.labelled(match &child.input {
                None => input,
                Some(template) => self.eval(frame, |view| template.evaluate(&input, view))?,
            }),
            wait: run.wait,
        };
        self.start_child(frame, Action::Start(start));
        Ok(())
    }

    pub(super) fn effect_done(&mut self, id: u32, result: &Result<Value, Failure>) {
        let Some(Effect { frame, action, .. }) = self.state.effects.remove(&id) else { return };
        if let Action::LookBack(_) = action {
            return self.looked_back(frame, result.as_ref().unwrap_or(&Value::Null));
        }
        let value = match result {
            Ok(value) => value.clone(),
            Err(failure) => {
                if let Work::Child { effect, .. } = &mut self.frame(frame).work {
                    *effect = None;
                }
                return self.raise(frame, failure.clone());
            }
        };
        if let Action::Fetch { url } = action {
            return self.fetched(url, value);
        }
        let waits = matches!(action, Action::Start(ChildStart { wait: true, .. }) | Action::Elsewhere { .. });
        if let Work::Child { effect, id, .. } = &mut self.frame(frame).work {
            *effect = None;
            if waits {
                *id = value.get("id").and_then(Value::as_str).map(trunkline_model::WorkflowId::from_text);
                return;
            }
            let output = self.frame(frame).input.clone();
            self.todo.push_back(Todo::Finish { frame, output, next: None });
            return;
        }
        let output = if self.is_left_alone(frame) { self.frame(frame).input.clone() } else { value };
        self.todo.push_back(Todo::Finish { frame, output, next: None });
    }

    /// Whether a frame runs a process whose end nobody waits for.
    fn is_left_alone(&mut self, frame: u32) -> bool {
        match self.frame(frame).task.map(|task| &self.program.task(task).body) {
            Some(Body::Run(run)) => !run.wait,
            _ => false,
        }
    }

    /// Asks for the documents that the program refers to and that are not here. Tells whether any are missing.
    pub(super) fn fetch_documents(&mut self) -> bool {
        let missing: Vec<String> = self.program.external_schemas().filter_map(fixed_url).collect();
        for url in missing {
            let is_known = self.state.documents.contains_key(&url)
                || self
                    .state
                    .effects
                    .values()
                    .any(|it| matches!(&it.action, Action::Fetch { url: known } if *known == url));
            if !is_known {
                let key = hex_digest(format!("{}{url}", self.state.id).as_bytes())[..40].to_owned();
                let id = self.state.take_id();
                let effect = Effect { frame: ROOT, key, action: Action::Fetch { url }, repeatable: true };
                self.state.effects.insert(id, effect);
            }
        }
        self.is_fetching()
    }

    fn is_fetching(&self) -> bool {
        self.state.effects.values().any(|it| matches!(it.action, Action::Fetch { .. }))
    }

    /// A document has come; the last one lets the instance begin.
    fn fetched(&mut self, url: String, document: Value) {
        self.state.documents.insert(url, document);
        if !self.is_fetching() {
            self.begin_tasks();
        }
    }

    pub(super) fn child_ended(&mut self, wanted: &str, outcome: &Outcome) {
        let of_child = |frame: &crate::engine::state::Frame| matches!(&frame.work, Work::Child { key, .. } if key == wanted);
        let Some(frame) = self.state.frames.iter().find(|(_, it)| of_child(it)).map(|(id, _)| *id) else {
            return;
        };
        if let Work::Child { id, .. } = &mut self.frame(frame).work {
            // It has ended: nobody has to be told when this frame falls.
            *id = None;
        }
        match outcome {
            Outcome::Completed(output) => {
                self.todo.push_back(Todo::Finish { frame, output: output.clone(), next: None });
            }
            Outcome::Failed(failure) => {
                self.raise(frame, Failure { instance: None, ..failure.clone() });
            }
            Outcome::Cancelled(_) => {
                let detail = "the workflow that was run has been cancelled";
                self.raise(frame, Failure::standard(StandardError::Runtime, detail));
            }
        }
    }
}
