//! The interpreter: a pure function from a state and what happens to it to the next state and what has to be done.
//!
//! ```text
//! Begun ─► enter(task) ─ if, input, timeout ─► body ──┬─ at once ─────────────► finish ─ output, export ─► next task
//!                                                    └─ frame waits ─ input ──►
//!          any error ─► raise: frames fall, upwards, until a `try` takes it or the instance has failed
//! ```
//!
//! Tasks that need nothing from outside run on until everything waits, in one step and in memory. Work that is to be
//! done lies in a queue and never on the call stack, so a long loop costs no stack. Nothing here asks for the time, for
//! chance or for the store: the time is the record's, chance is a digest of the place and the number of the try.

mod calls;
mod digest;
mod events;
mod extend;
mod frames;
mod gates;
mod handler;
mod migrate;
mod news;
mod notes;
pub(crate) mod outside;
mod people;
mod promises;
mod schemas;
mod scope;
mod undo;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::Value;
use trunkline_model::{Timestamp, WorkflowId};
use trunkline_store::tables::workflow::promise::PromiseChange;

pub(crate) use digest::{derived_id, hex_digest};
pub(crate) use events::{
    accepts, correlation_digest, correlation_of_event, hand_over, holds_alone, takes_alone, text_alone,
    value_alone,
};

pub use migrate::MoveFault;
pub(crate) use migrate::{migrate, move_faults, moves, renamed};
pub(crate) use notes::attempt_of;
pub use notes::{Change, Note};

use self::promises::PromiseEnd;
use self::scope::View;
pub(crate) use self::undo::is_ending;
use super::input::{Failure, Input, Outcome};
use super::people::Asked;
use super::secrets;
use super::state::{Frame, Purpose, ROOT, State, Suspended, Ticket, Timer, TryStage, Wait, Work};
use super::support;
use crate::dsl::data_flow::{DataFlow, Schema};
use crate::dsl::duration::{self, Delay};
use crate::dsl::error::StandardError;
use crate::dsl::flow::Next;
pub use crate::dsl::lifecycle::Noting;
use crate::dsl::lifecycle::{TaskChange, WorkflowChange};
use crate::dsl::points::InitialContext;
use crate::dsl::tasks::{Block, Body, Task};
use crate::expression::{EvaluationError, TemplateOr};
use crate::program::{Program, TaskId};

/// The most tasks that one step does: a loop that waits for nothing ends here.
pub const MAX_STEPS: u32 = 100_000;

/// What a step changed besides the state: what has to become true together with its record.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    /// Timers to set.
    pub timers_set: Vec<(u32, Timer)>,
    /// Timers to take away.
    pub timers_cleared: Vec<(u32, Timer)>,
    /// Subscriptions to make, with the task they belong to.
    pub waits_set: Vec<(u32, Wait, TaskId)>,
    /// Subscriptions to end, likewise.
    pub waits_cleared: Vec<(u32, Wait, TaskId)>,
    /// Tasks of people as they are now, by their frames.
    pub asked: BTreeMap<u32, (TaskId, Asked)>,
    /// Events to append, as CloudEvents.
    pub events: Vec<Value>,
    /// Tickets to ask with.
    pub tickets_set: Vec<(u32, Ticket)>,
    /// Tickets that are not needed any more.
    pub tickets_cleared: Vec<u32>,
    /// How promises about time changed.
    pub promises: Vec<PromiseChange>,
    /// Instances that this one started and does not wait for any more.
    pub children_dropped: Vec<WorkflowId>,
    /// What became of which task, by its frame.
    #[cfg(test)]
    pub(crate) trace: Vec<(u32, TaskId, tests::Became)>,
    /// What the step did, where somebody wants to hear of it.
    pub notes: Vec<Note>,
}

/// Makes the step from one state to the next.
///
/// The same state, input and time give the same state and changes, on every machine and as often as asked.
pub fn step(program: &Program, state: &mut State, input: &Input, at: Timestamp) -> Changes {
    step_noting(program, state, input, at, program.workflow().points.lifecycle)
}

/// The same, and notes what it does. What is noted changes nothing else.
pub(crate) fn step_noting(
    program: &Program,
    state: &mut State,
    input: &Input,
    at: Timestamp,
    noting: Noting,
) -> Changes {
    let (todo, changes) = (VecDeque::new(), Changes::default());
    let mut machine = Machine { program, state, at, todo, changes, n_steps: 0, noting };
    machine.take(input);
    machine.run();
    machine.changes
}

/// What is to be done next.
enum Todo {
    Enter { parent: u32, place: u32, task: TaskId, input: Value },
    Finish { frame: u32, output: Value, next: Option<Next> },
}

struct Machine<'a> {
    program: &'a Program,
    state: &'a mut State,
    at: Timestamp,
    todo: VecDeque<Todo>,
    changes: Changes,
    n_steps: u32,
    noting: Noting,
}

impl<'a> Machine<'a> {
    fn take(&mut self, input: &Input) {
        if self.state.outcome.is_some() {
            return;
        }
        let passes = matches!(
            input,
            Input::Resume | Input::Cancel { .. } | Input::Suspend { .. } | Input::Migrated { .. }
        ) || self.is_of_promise(input);
        if let Some(suspended) = &mut self.state.suspended
            && !passes
        {
            suspended.held.push(input.clone());
            return;
        }
        match input {
            // A migration is made by `migrate`, which knows both programs.
            Input::Started { .. } | Input::Migrated { .. } => {}
            Input::Begun { seal } => self.begin(seal.as_deref()),
            Input::EffectDone { effect, result } => self.effect_done(*effect, result),
            Input::TimerFired { timer } => self.timer_fired(*timer),
            Input::EventMatched { wait, event } => self.event_matched(*wait, event),
            Input::Acted { nonce, key, actor, act } => self.acted(nonce, key, actor, act),
            Input::ChildEnded { key, outcome } => self.child_ended(key, outcome),
            Input::Cancel { .. } if is_ending(self.state) => {}
            Input::Cancel { reason } => self.end(Outcome::Cancelled(reason.clone())),
            Input::Admitted { ticket } => self.admitted(*ticket),
            Input::Refused { ticket } => self.refused(*ticket),
            Input::Suspend { reason } => {
                let suspended = self.state.suspended.get_or_insert_default();
                suspended.reason.clone_from(reason);
                self.note_workflow(WorkflowChange::Suspended, None);
                self.note_tasks(TaskChange::Suspended);
            }
            Input::Resume => self.resume(),
            Input::Forked { state, .. } => {
                if let Ok(state) = serde_json::from_value(state.clone()) {
                    *self.state = state;
                }
            }
        }
    }

    /// Does what is to be done until everything waits.
    fn run(&mut self) {
        while let Some(todo) = self.todo.pop_front() {
            if self.state.outcome.is_some() {
                return;
            }
            match todo {
                Todo::Enter { parent, place, task, input } => {
                    if self.state.frames.contains_key(&parent) {
                        self.enter(parent, place, task, input);
                    }
                }
                Todo::Finish { frame, output, next } => {
                    if self.state.frames.contains_key(&frame) {
                        self.finish(frame, output, next);
                    }
                }
            }
        }
    }

    fn resume(&mut self) {
        let Some(Suspended { held, .. }) = self.state.suspended.take() else { return };
        self.note_workflow(WorkflowChange::Resumed, None);
        self.note_tasks(TaskChange::Resumed);
        for input in held {
            self.take(&input);
            self.run();
        }
    }

    fn begin(&mut self, seal: Option<&str>) {
        if std::mem::replace(&mut self.state.has_begun, true) {
            return;
        }
        if self.state.seal.is_none() {
            self.state.seal = seal.map(str::to_owned);
        }
        self.note_workflow(WorkflowChange::Started, None);
        if !self.state.frames.is_empty() {
            return self.take_over();
        }
        self.new_frame(ROOT, None, 0, self.state.input.clone());
        if let Some(refused) = support::refusal(self.program) {
            return self.end(Outcome::Failed(refused));
        }
        if let Some(sla) = &self.program.workflow().points.sla
            && let Err(failure) = self.promise(ROOT, sla)
        {
            return self.raise(ROOT, failure);
        }
        self.pass_gates(ROOT, None);
    }

    /// Begins, once it is let through every gate.
    fn begin_free(&mut self) {
        if !self.fetch_documents() {
            self.begin_tasks();
        }
    }

    /// Begins with the first task, once every document is there.
    fn begin_tasks(&mut self) {
        let (root, workflow) = (ROOT, self.program.workflow());
        let input = self.state.input.clone();
        let begun = self.flow_in(root, &workflow.input, input).and_then(|input| {
            if workflow.points.initial_context == InitialContext::Input {
                self.state.context = input.clone();
            }
            self.set_timeout(root, workflow.timeout.as_ref())?;
            Ok(input)
        });
        match begun {
            Err(failure) => self.raise(root, failure),
            Ok(input) => self.start_list(root, &workflow.tasks, input),
        }
    }

    /// Begins with what another instance has done: what that one waits for is waited for.
    fn take_over(&mut self) {
        self.changes.timers_set.extend(self.state.timers.iter().map(|(id, timer)| (*id, timer.clone())));
        self.take_over_limits();
        for (id, wait) in &self.state.waits {
            if let Some(task) = self.state.frames.get(&wait.frame).and_then(|frame| frame.task) {
                self.changes.waits_set.push((*id, wait.clone(), task));
            }
        }
        if let Some(input) = self.state.next_input.take() {
            self.take(&input);
        }
    }

    fn new_frame(&mut self, parent: u32, task: Option<TaskId>, place: u32, raw_input: Value) -> u32 {
        let visit = match (task, self.state.frames.get_mut(&parent)) {
            (Some(task), Some(parent)) => {
                let visits = parent.visits.entry(task.0).or_insert(0);
                *visits += 1;
                *visits - 1
            }
            _ => 0,
        };
        let is_branch = matches!(self.state.frames.get(&parent), Some(Frame { work: Work::Fork { .. }, .. }));
        let context = is_branch.then(|| self.context_of(parent).clone());
        let id = self.state.take_id();
        let frame = Frame {
            parent,
            task,
            visit,
            place,
            raw_input,
            input: Value::Null,
            started_at: self.at,
            timeout: None,
            context,
            visits: std::collections::BTreeMap::new(),
            extended: None,
            promise: None,
            undoing: None,
            work: if task.is_none() { Work::Root } else { Work::List },
        };
        self.state.frames.insert(id, frame);
        id
    }

    /// Begins a list of tasks within a frame; an empty one is done at once.
    fn start_list(&mut self, frame: u32, block: &Block, input: Value) {
        match block.first() {
            Some(task) => self.todo.push_back(Todo::Enter { parent: frame, place: 0, task, input }),
            None => self.list_done(frame, input),
        }
    }

    fn enter(&mut self, parent: u32, place: u32, task: TaskId, raw_input: Value) {
        self.n_steps += 1;
        if self.n_steps > MAX_STEPS {
            let detail = format!("more than {MAX_STEPS} tasks without waiting for anything");
            return self.end(Outcome::Failed(Failure::standard(StandardError::Runtime, detail)));
        }
        let task = self.program.task(task);
        if parent == ROOT
            && let Some(place) = self.program.workflow().tasks.tasks.iter().position(|it| *it == task.id)
        {
            self.state.step = place as u32 + 1;
        }
        let frame = self.new_frame(parent, Some(task.id), place, raw_input.clone());
        match self.prepare(frame, task, raw_input) {
            Ok(Some(())) => {
                #[cfg(test)]
                self.changes.trace.push((frame, task.id, tests::Became::Begun));
                self.note_task(frame, TaskChange::Created, None);
                self.note_task(frame, TaskChange::Started, None);
                match self.extend(frame, task) {
                    Ok(true) => {}
                    Ok(false) => self.pass_gates(frame, None),
                    Err(failure) => self.raise(frame, failure),
                }
            }
            Ok(None) => {}
            Err(failure) => {
                self.note_task(frame, TaskChange::Created, None);
                self.raise(frame, failure);
            }
        }
    }

    /// What comes before the body. `None` when the task is skipped.
    fn prepare(&mut self, frame: u32, task: &Task, raw_input: Value) -> Result<Option<()>, Failure> {
        if let Some(condition) = &task.condition
            && !self.eval(frame, |view| condition.holds(&raw_input, view))?
        {
            // A skipped task passes on what it was given, to the next task in order.
            let (parent, place) = self.place_of(frame);
            let context = self.drop_frame(frame).and_then(|frame| frame.context);
            self.follow(parent, place, raw_input, task.skip.next, context);
            return Ok(None);
        }
        self.flow_in(frame, &task.input, raw_input)?;
        self.set_timeout(frame, task.timeout.as_ref())?;
        if let Some(sla) = &task.points.sla {
            self.promise(frame, sla)?;
        }
        Ok(Some(()))
    }

    /// Validates and transforms what a frame was given.
    fn flow_in(&mut self, frame: u32, flow: &DataFlow, raw_input: Value) -> Result<Value, Failure> {
        self.check_schema(flow.schema.as_ref(), &raw_input)?;
        let input = match &flow.transform {
            None => raw_input,
            Some(from) => self.eval(frame, |view| from.evaluate(&raw_input, view))?,
        };
        self.frame(frame).input = input.clone();
        Ok(input)
    }

    fn set_timeout(&mut self, frame: u32, delay: Option<&Delay>) -> Result<(), Failure> {
        if let Some(delay) = delay {
            let after = self.delay(frame, delay)?;
            let timer = self.set_timer(frame, Purpose::Timeout, after);
            self.frame(frame).timeout = Some(timer);
        }
        Ok(())
    }

    fn body(&mut self, frame: u32, task: &'a Task) {
        let input = self.frame(frame).input.clone();
        let done = match &task.body {
            Body::Set(set) => {
                self.eval(frame, |view| set.data.evaluate(&input, view)).map(|output| Some((output, None)))
            }
            Body::Do(list) => {
                self.start_list(frame, &list.tasks, input);
                Ok(None)
            }
            Body::For(body) => self.enter_loop(frame, body, input).map(|()| None),
            Body::Fork(fork) => {
                self.enter_fork(frame, &fork.branches, &input);
                Ok(None)
            }
            Body::Switch(switch) => self.choose(frame, switch, &input).map(|next| Some((input, next))),
            Body::Raise(raise) => self.raised(frame, &raise.error, &input).map(|()| None),
            Body::Wait(wait) => self.enter_wait(frame, &wait.duration, input),
            Body::Try(_) => {
                self.attempt(frame);
                Ok(None)
            }
            Body::Emit(emit) => self.emit(frame, task, &emit.event, &input).map(|event| Some((event, None))),
            Body::Listen(listen) => self.enter_listen(frame, task, listen).map(|()| None),
            Body::Call(call) => self.enter_call(frame, task, call, &input).map(|()| None),
            Body::Run(run) => self.enter_run(frame, task, run, input).map(|()| None),
        };
        match done {
            Ok(Some((output, next))) => self.todo.push_back(Todo::Finish { frame, output, next }),
            Ok(None) => {}
            Err(failure) => self.raise(frame, failure),
        }
    }

    /// Ends a task: transforms and validates its output, exports, and goes on.
    fn finish(&mut self, frame: u32, raw_output: Value, next: Option<Next>) {
        let Some(task) = self.frame(frame).task.map(|task| self.program.task(task)) else { return };
        let output = match self.flow_out(frame, task, raw_output) {
            Ok(output) => output,
            Err(failure) => return self.raise(frame, failure),
        };
        if let Err(failure) = self.remember(frame, task, &output) {
            return self.raise(frame, failure);
        }
        #[cfg(test)]
        self.changes.trace.push((frame, task.id, tests::Became::Completed(output.clone())));
        self.note_task(frame, TaskChange::Completed, None);
        let next = next.unwrap_or(task.then.next);
        if !self.extends_after(frame, &output, next) {
            self.leave(frame, output, next);
        }
    }

    /// Goes on behind a task that is done with everything.
    fn leave(&mut self, frame: u32, output: Value, next: Next) {
        self.settle(frame, PromiseEnd::Done);
        let (parent, place) = self.place_of(frame);
        let context = self.drop_frame(frame).and_then(|frame| frame.context);
        self.follow(parent, place, output, next, context);
    }

    fn flow_out(&mut self, frame: u32, task: &Task, raw_output: Value) -> Result<Value, Failure> {
        let output = match &task.output.transform {
            None => raw_output,
            Some(transform) => self.eval(frame, |view| transform.evaluate(&raw_output, view))?,
        };
        self.check_schema(task.output.schema.as_ref(), &output)?;
        self.export(frame, &task.export, &output)?;
        Ok(output)
    }

    fn export(&mut self, frame: u32, export: &DataFlow, output: &Value) -> Result<(), Failure> {
        let exported = match &export.transform {
            None => None,
            Some(transform) => {
                let view = View { output: Some(output), ..self.view(frame) };
                Some(transform.evaluate(output, &view).map_err(|error| expression_failure(&error))?)
            }
        };
        self.check_schema(
            export.schema.as_ref(),
            exported.as_ref().unwrap_or_else(|| self.context_of(frame)),
        )?;
        if let Some(exported) = exported {
            *self.context_mut(frame) = exported;
        }
        Ok(())
    }

    /// Goes where a task that is done leads to.
    fn follow(&mut self, parent: u32, place: u32, output: Value, next: Next, context: Option<Value>) {
        if let Some(context) = context {
            return self.branch_done(parent, place, output, context);
        }
        match next {
            Next::Task(task) => {
                self.todo.push_back(Todo::Enter { parent, place: 0, task, input: output });
            }
            Next::Exit if self.is_before(parent) => self.replace(parent, output),
            Next::EndOfList | Next::Exit => self.list_done(parent, output),
            Next::End => match self.undo_around(parent) {
                // What undoes a task ends itself and nothing else.
                Some(undo) => self.undone(undo, None),
                None => self.complete(output),
            },
        }
    }

    fn list_done(&mut self, frame: u32, output: Value) {
        let task = self.frame(frame).task.map(|task| self.program.task(task));
        match (&self.frame(frame).work, task.map(|task| &task.body)) {
            (Work::Root, _) => self.complete(output),
            (Work::Extending, _) => self.extension_done(frame),
            (Work::Undo { .. }, _) => self.undone(frame, None),
            (Work::Loop { .. }, Some(Body::For(body))) => {
                if let Work::Loop { index, .. } = &mut self.frame(frame).work {
                    *index += 1;
                }
                if let Err(failure) = self.iterate(frame, body, output) {
                    self.raise(frame, failure);
                }
            }
            (Work::Try { stage, limit, .. }, Some(Body::Try(body))) => {
                let (stage, limit) = (*stage, *limit);
                let next = match stage {
                    TryStage::Catching => body.catch.then.as_ref().map(|then| then.next),
                    TryStage::Trying | TryStage::Delaying => None,
                };
                self.clear_timer(limit);
                self.todo.push_back(Todo::Finish { frame, output, next });
            }
            (Work::Listen(_), Some(Body::Listen(listen))) => self.handled(frame, listen, output),
            _ => self.todo.push_back(Todo::Finish { frame, output, next: None }),
        }
    }

    fn complete(&mut self, output: Value) {
        let flow = &self.program.workflow().output;
        let transformed = match &flow.transform {
            None => Ok(output),
            Some(transform) => self.eval(ROOT, |view| transform.evaluate(&output, view)),
        };
        let checked =
            transformed.and_then(|output| self.check_schema(flow.schema.as_ref(), &output).map(|()| output));
        self.end(match checked {
            Ok(output) => Outcome::Completed(output),
            Err(failure) => Outcome::Failed(failure),
        });
    }

    /// Ends the instance; nothing waits any more.
    fn end(&mut self, outcome: Outcome) {
        let Some(outcome) = self.undo_everything(outcome) else { return };
        let is_done = matches!(outcome, Outcome::Completed(_));
        self.settle(ROOT, if is_done { PromiseEnd::Done } else { PromiseEnd::Dropped });
        self.drop_tree(ROOT);
        self.state.done.clear();
        self.note_end(&outcome);
        self.todo.clear();
        self.state.suspended = None;
        self.state.effects.retain(|_, effect| effect.frame != ROOT);
        let (names, seal) = (&self.program.workflow().secrets, self.state.seal.as_deref());
        self.state.outcome = Some(match outcome {
            Outcome::Completed(output) => Outcome::Completed(secrets::labelled(output, names, seal)),
            Outcome::Failed(failure) => Outcome::Failed(secrets::labelled_failure(failure, names, seal)),
            cancelled @ Outcome::Cancelled(_) => cancelled,
        });
    }

    /// A value as it may leave the instance.
    fn labelled(&self, value: Value) -> Value {
        secrets::labelled(value, &self.program.workflow().secrets, self.state.seal.as_deref())
    }

    fn enter_loop(
        &mut self,
        frame: u32,
        body: &'a crate::dsl::tasks::for_task::For,
        input: Value,
    ) -> Result<(), Failure> {
        let Value::Array(items) = self.eval(frame, |view| body.items.evaluate(&input, view))? else {
            return Err(Failure::standard(StandardError::Expression, "`for.in` gave no list"));
        };
        self.frame(frame).work = Work::Loop { items, index: 0 };
        self.iterate(frame, body, input)
    }

    /// Begins the next iteration that does anything, or ends the loop.
    fn iterate(
        &mut self,
        frame: u32,
        body: &'a crate::dsl::tasks::for_task::For,
        input: Value,
    ) -> Result<(), Failure> {
        let Work::Loop { items, index } = &self.frame(frame).work else { return Ok(()) };
        let is_over = *index >= items.len() || body.tasks.tasks.is_empty();
        let goes_on = match &body.condition {
            Some(condition) if !is_over => self.eval(frame, |view| condition.holds(&input, view))?,
            _ => !is_over,
        };
        if goes_on {
            self.frame(frame).visits.clear();
            self.start_list(frame, &body.tasks, input);
        } else {
            self.todo.push_back(Todo::Finish { frame, output: input, next: None });
        }
        Ok(())
    }

    fn enter_fork(&mut self, frame: u32, branches: &Block, input: &Value) {
        let n_branches = branches.tasks.len();
        if n_branches == 0 {
            self.todo.push_back(Todo::Finish { frame, output: Value::Array(Vec::new()), next: None });
            return;
        }
        let context = self.context_of(frame).clone();
        self.frame(frame).work =
            Work::Fork { outputs: vec![None; n_branches], contexts: vec![context; n_branches] };
        for (place, task) in branches.tasks.iter().enumerate() {
            self.todo.push_back(Todo::Enter {
                parent: frame,
                place: place as u32,
                task: *task,
                input: input.clone(),
            });
        }
    }

    /// A branch has completed: the first one ends a race, the last one ends the others.
    fn branch_done(&mut self, frame: u32, place: u32, output: Value, context: Value) {
        let Some(Body::Fork(fork)) = self.frame(frame).task.map(|task| &self.program.task(task).body) else {
            return;
        };
        if fork.join == crate::dsl::tasks::fork::Join::First {
            return self.won(frame, output, context);
        }
        let Work::Fork { outputs, contexts } = &mut self.frame(frame).work else { return };
        let place = place as usize;
        outputs[place] = Some(output);
        contexts[place] = context;
        if outputs.iter().any(Option::is_none) {
            return;
        }
        let outputs = std::mem::take(outputs).into_iter().flatten().collect();
        let contexts = std::mem::take(contexts);
        let before = self.context_of(frame).clone();
        let mut merged = before.clone();
        for context in contexts.into_iter().filter(|context| *context != before) {
            merge(&mut merged, context);
        }
        *self.context_mut(frame) = merged;
        self.todo.push_back(Todo::Finish { frame, output: Value::Array(outputs), next: None });
    }

    fn choose(
        &self,
        frame: u32,
        switch: &crate::dsl::tasks::switch::Switch,
        input: &Value,
    ) -> Result<Option<Next>, Failure> {
        for case in &switch.cases {
            let holds = match &case.when {
                None => true,
                Some(when) => self.eval(frame, |view| when.holds(input, view))?,
            };
            if holds {
                return Ok(Some(case.then.next));
            }
        }
        Ok(None)
    }

    fn enter_wait(
        &mut self,
        frame: u32,
        duration: &Delay,
        input: Value,
    ) -> Result<Option<(Value, Option<Next>)>, Failure> {
        let wait = self.delay(frame, duration)?;
        if wait.is_zero() {
            return Ok(Some((input, None)));
        }
        let timer = self.set_timer(frame, Purpose::Wait, wait);
        self.frame(frame).work = Work::Wait { timer };
        Ok(None)
    }

    fn timer_fired(&mut self, id: u32) {
        let Some(timer) = self.state.timers.get(&id).cloned() else { return };
        self.clear_timer(Some(id));
        let frame = timer.frame;
        match timer.purpose {
            Purpose::Wait => self.wait_over(frame),
            Purpose::Retry => self.attempt(frame),
            Purpose::Escalate => self.escalate(frame),
            Purpose::Warn => self.warn(frame),
            Purpose::Breach => self.breach(frame),
            Purpose::Timeout => {
                self.frame(frame).timeout = None;
                self.raise(frame, Failure::standard(StandardError::Timeout, "the task took too long"));
            }
            Purpose::Attempt => {
                if let Work::Try { limit, .. } = &mut self.frame(frame).work {
                    *limit = None;
                }
                self.drop_children(frame);
                let failure = Failure::standard(StandardError::Timeout, "the attempt took too long");
                self.caught_or_raised(frame, failure);
            }
        }
    }

    fn wait_over(&mut self, frame: u32) {
        if matches!(self.frame(frame).work, Work::Person(_)) {
            return self.person_late(frame);
        }
        let output = self.frame(frame).input.clone();
        self.todo.push_back(Todo::Finish { frame, output, next: None });
    }

    fn check_schema(&self, schema: Option<&Schema>, data: &Value) -> Result<(), Failure> {
        match schema {
            None => Ok(()),
            Some(schema) => schemas::check(schema, &self.state.documents, data),
        }
    }

    fn view(&self, frame: u32) -> View<'_> {
        View {
            program: self.program,
            state: self.state,
            frame,
            at: self.at,
            locals: &[],
            output: None,
            known: None,
        }
    }

    fn eval<T>(
        &self,
        frame: u32,
        run: impl FnOnce(&View<'_>) -> Result<T, EvaluationError>,
    ) -> Result<T, Failure> {
        run(&self.view(frame)).map_err(|error| expression_failure(&error))
    }

    fn delay(&self, frame: u32, delay: &Delay) -> Result<Duration, Failure> {
        match delay {
            TemplateOr::Literal(duration) => Ok(*duration),
            TemplateOr::Expression(expression) => {
                let input = &self.state.frames[&frame].input;
                let value = self.eval(frame, |view| expression.evaluate(input, view))?;
                duration::from_value(&value)
                    .map_err(|error| Failure::standard(StandardError::Expression, error.to_string()))
            }
        }
    }
}

/// The standard error for an expression that gave no value.
fn expression_failure(error: &EvaluationError) -> Failure {
    let mut detail = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        detail = format!("{detail}: {source}");
    }
    Failure::standard(StandardError::Expression, detail)
}

/// Adds the members of a branch's context; what is no object takes the place of what was there.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => into.extend(from),
        (into, from) => *into = from,
    }
}

#[cfg(test)]
pub(in crate::engine) mod tests;
