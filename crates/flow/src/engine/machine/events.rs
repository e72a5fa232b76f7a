//! Events out and in: `emit`, and `listen` with its filters and strategies (rule 12).

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use trunkline_model::{Tenant, Timestamp, cloudevents};

use super::outside::plain;
use super::{Machine, Todo, derived_id, hex_digest};
use crate::dsl::error::StandardError;
use crate::dsl::events::{AttributeTest, EventDefinition, EventFilter, ReadAs, Strategy, Until};
use crate::dsl::lifecycle::WorkflowChange;
use crate::dsl::tasks::listen::Listen;
use crate::dsl::tasks::{Body, Task};
use crate::engine::input::Failure;
use crate::engine::machine::scope::View;
use crate::engine::state::{Action, Effect, Listening, LookBack, State, Wait, Work};
use crate::expression::{Expression, Scope, Template};
use crate::program::Program;

/// Attributes that say whose an event is and what caused it: they are the engine's to set.
const OWN_ATTRIBUTES: [&str; 3] = ["tenant", "correlationid", "causationid"];

/// Tells whether an event is one that a subscription of an instance waits for. A filter that fails on an event does not
/// take it.
pub(crate) fn accepts(program: &Program, state: &State, wait: u32, event: &Value, at: Timestamp) -> bool {
    let Some(wait) = state.waits.get(&wait) else { return false };
    let Some((listen, listening)) = listening(program, state, wait.frame) else { return false };
    let view = View { program, state, frame: wait.frame, at, locals: &[], output: None, known: None };
    let filters = listen.to.filters();
    let Some(filter) = filters.get(wait.filter as usize) else {
        if listening.seen.as_ref().is_some_and(|seen| seen.contains(&seen_key(wait.filter, event))) {
            return false;
        }
        // `any` of no filters takes any event.
        return filters.is_empty();
    };
    if listening.seen.as_ref().is_some_and(|seen| seen.contains(&seen_key(wait.filter, event))) {
        return false;
    }
    let input = state.frames.get(&wait.frame).map_or(&Value::Null, |frame| &frame.input);
    passes(filter, event, &view) && ties(filter, event, &view, input, &listening.correlated).is_some()
}

/// What ties an event to others, if a filter takes it that knows no instance: the filter of what starts workflows.
/// `before` is what the events so far are tied by.
pub(crate) fn takes_alone(
    filter: &EventFilter,
    event: &Value,
    before: &Map<String, Value>,
    at: Timestamp,
) -> Option<Map<String, Value>> {
    let scope = NoScope(at);
    if passes(filter, event, &scope) { ties(filter, event, &scope, &Value::Null, before) } else { None }
}

/// Tells whether a condition of what starts workflows holds for the events so far.
pub(crate) fn holds_alone(condition: &Expression, events: &Value, at: Timestamp) -> bool {
    condition.holds(events, &NoScope(at)).unwrap_or(false)
}

/// The text that a template gives before there is an instance; nothing where it gives nothing or fails.
pub(crate) fn text_alone(template: &Template, input: &Value, at: Timestamp) -> Option<String> {
    match template.evaluate(input, &NoScope(at)) {
        Ok(Value::Null) => None,
        Ok(value) => Some(plain(&value)),
        Err(error) => {
            tracing::warn!(error = %error, "a key of a workflow cannot be computed");
            None
        }
    }
}

/// What an expression gives before there is an instance; nothing where it fails.
pub(crate) fn value_alone(expression: &Expression, input: &Value, at: Timestamp) -> Option<Value> {
    let value = expression.evaluate(input, &NoScope(at));
    value.inspect_err(|error| tracing::warn!(error = %error, "a priority cannot be computed")).ok()
}

/// Which event a filter has taken.
fn seen_key(filter: u32, event: &Value) -> String {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    format!("{filter} {} {}", text("source"), text("id"))
}

fn listening<'a>(program: &'a Program, state: &'a State, frame: u32) -> Option<(&'a Listen, &'a Listening)> {
    let frame = state.frames.get(&frame)?;
    match (&program.get(frame.task?)?.body, &frame.work) {
        (Body::Listen(listen), Work::Listen(listening)) => Some((listen, listening)),
        _ => None,
    }
}

fn passes(filter: &EventFilter, event: &Value, view: &dyn Scope) -> bool {
    filter.tests.iter().all(|(name, test)| {
        let attribute = event.get(name).unwrap_or(&Value::Null);
        match test {
            AttributeTest::Equals(wanted) => wanted == attribute,
            AttributeTest::Matches(expression) => {
                attribute.is_string() && expression.holds(attribute, view).unwrap_or(false)
            }
            AttributeTest::Holds(expression) => expression.holds(attribute, view).unwrap_or(false),
        }
    })
}

/// The values by which an event is tied to those before; `None` when it does not fit them.
fn ties(
    filter: &EventFilter,
    event: &Value,
    view: &dyn Scope,
    input: &Value,
    before: &Map<String, Value>,
) -> Option<Map<String, Value>> {
    let mut found = Map::new();
    for correlation in &filter.correlate {
        let value = correlation.from.evaluate(event, view).ok()?;
        let wanted = match &correlation.expect {
            Some(expect) => Some(expect.evaluate(input, view).ok()?),
            None => before.get(&correlation.name).cloned(),
        };
        if wanted.is_some_and(|wanted| wanted != value) {
            return None;
        }
        found.insert(correlation.name.clone(), value);
    }
    Some(found)
}

/// Sees nothing: for what is evaluated on an event before its instance is known.
struct NoScope(Timestamp);

impl Scope for NoScope {
    fn value(&self, _: &crate::expression::Variable) -> Value {
        Value::Null
    }

    fn now(&self) -> f64 {
        self.0.as_micros() as f64 / 1e6
    }
}

/// The correlations of a filter by which its subscriptions can be looked up: those that an event gives on its own and
/// whose value is known when listening begins.
pub(super) fn indexed(filter: &EventFilter) -> impl Iterator<Item = &crate::dsl::events::Correlation> {
    let alone = |expression: &Expression| expression.variables().is_empty();
    filter.correlate.iter().filter(move |it| it.expect.is_some() && alone(&it.from))
}

pub(crate) fn correlation_digest(values: &[(&str, Value)]) -> String {
    if values.is_empty() {
        return String::new();
    }
    let pairs: Vec<Value> =
        values.iter().map(|(name, value)| Value::from(vec![Value::from(*name), value.clone()])).collect();
    let text = crate::program::canonical_json(&Value::Array(pairs));
    hex_digest(text.as_bytes())[..32].to_owned()
}

/// What the subscriptions that an event may concern are looked up by; `None` when it can concern none of the filter.
pub(crate) fn correlation_of_event(filter: &EventFilter, event: &Value, at: Timestamp) -> Option<String> {
    for (name, test) in &filter.tests {
        let attribute = event.get(name).unwrap_or(&Value::Null);
        let holds = match test {
            AttributeTest::Equals(wanted) => wanted == attribute,
            AttributeTest::Matches(expression) => {
                attribute.is_string() && expression.holds(attribute, &NoScope(at)).unwrap_or(false)
            }
            // What asks about the instance is asked when it is known.
            AttributeTest::Holds(expression) if !expression.variables().is_empty() => true,
            AttributeTest::Holds(expression) => expression.holds(attribute, &NoScope(at)).unwrap_or(false),
        };
        if !holds {
            return None;
        }
    }
    let mut values = Vec::new();
    for correlation in indexed(filter) {
        values.push((&*correlation.name, correlation.from.evaluate(event, &NoScope(at)).ok()?));
    }
    Some(correlation_digest(&values))
}

impl<'a> Machine<'a> {
    pub(super) fn enter_listen(&mut self, frame: u32, task: &Task, listen: &Listen) -> Result<(), Failure> {
        let input = self.frame(frame).input.clone();
        let filters = listen.to.filters();
        let look_back = task.points.look_back;
        let since = look_back.map_or(self.at, |time| self.at.minus(time));
        let mut waits = Vec::new();
        for (index, filter) in filters.iter().enumerate() {
            let mut values = Vec::new();
            for correlation in indexed(filter) {
                if let Some(expect) = &correlation.expect {
                    let value = self.eval(frame, |view| expect.evaluate(&input, view))?;
                    values.push((&*correlation.name, value));
                }
            }
            let correlation = correlation_digest(&values);
            let event_type = filter.event_type().map(str::to_owned);
            waits.push(Wait { frame, filter: index as u32, event_type, correlation, since });
        }
        if filters.is_empty() {
            waits.push(Wait { frame, filter: 0, event_type: None, correlation: String::new(), since });
        }
        self.frame(frame).work = Work::Listen(Box::new(Listening {
            matched: vec![false; filters.len()],
            seen: look_back.map(|_| BTreeSet::new()),
            ..Listening::default()
        }));
        if look_back.is_some() {
            let action = Action::LookBack(LookBack { task: task.id, waits: waits.clone() });
            self.add_effect(frame, |key| Effect { frame, key, action, repeatable: true });
        }
        self.note_workflow(WorkflowChange::CorrelationStarted, None);
        for wait in waits {
            let id = self.state.take_id();
            self.changes.waits_set.push((id, wait.clone(), task.id));
            self.state.waits.insert(id, wait);
        }
        Ok(())
    }

    /// Events of the past were found: each is offered to everything that the task still waits for.
    pub(super) fn looked_back(&mut self, frame: u32, found: &Value) {
        for event in found.as_array().into_iter().flatten() {
            let waits: Vec<u32> =
                self.state.waits.iter().filter(|(_, wait)| wait.frame == frame).map(|(id, _)| *id).collect();
            for wait in waits {
                self.event_matched(wait, event);
            }
        }
    }

    fn listen_of(&mut self, frame: u32) -> Option<&'a Listen> {
        match self.frame(frame).task.map(|task| &self.program.task(task).body) {
            Some(Body::Listen(listen)) => Some(listen),
            _ => None,
        }
    }

    fn listening(&mut self, frame: u32) -> &mut Listening {
        match &mut self.frame(frame).work {
            Work::Listen(listening) => listening,
            _ => unreachable!("invariant: a frame of `listen` listens"),
        }
    }

    pub(super) fn event_matched(&mut self, wait_id: u32, event: &Value) {
        if !accepts(self.program, self.state, wait_id, event, self.at) {
            return;
        }
        let Some(wait) = self.state.waits.get(&wait_id).cloned() else { return };
        let frame = wait.frame;
        let Some(listen) = self.listen_of(frame) else { return };
        let filters = listen.to.filters();
        if let Some(seen) = &mut self.listening(frame).seen {
            seen.insert(seen_key(wait.filter, event));
        }
        if let Some(filter) = filters.get(wait.filter as usize) {
            let before = self.listening(frame).correlated.clone();
            let input = self.frame(frame).input.clone();
            let found = ties(filter, event, &self.view(frame), &input, &before).unwrap_or_default();
            let listening = self.listening(frame);
            for (name, value) in found {
                listening.correlated.entry(name).or_insert(value);
            }
            listening.matched[wait.filter as usize] = true;
        }
        let (main, until) = main_filters(&listen.to);
        let is_main = (wait.filter as usize) < main || filters.is_empty();
        if is_main {
            let taken = hand_over(event, listen.read);
            self.listening(frame).taken.push(taken);
        }
        match self.is_satisfied(frame, &listen.to, main, until) {
            Err(failure) => return self.raise(frame, failure),
            Ok(true) => {
                self.clear_waits(frame);
                self.listening(frame).is_done = true;
                self.note_workflow(WorkflowChange::CorrelationCompleted, None);
            }
            Ok(false) if matches!(listen.to, Strategy::All(_)) => self.clear_wait(wait_id),
            Ok(false) => {}
        }
        self.handle_next(frame, listen);
    }

    fn is_satisfied(
        &mut self,
        frame: u32,
        strategy: &Strategy,
        main: usize,
        until: Option<&Strategy>,
    ) -> Result<bool, Failure> {
        let listening = self.listening(frame);
        let (matched, taken) = (listening.matched.clone(), listening.taken.clone());
        Ok(match (strategy, until) {
            (Strategy::One(_) | Strategy::Any(_, None), _) => true,
            (Strategy::All(_), _) => matched.iter().all(|it| *it),
            (Strategy::Any(_, Some(Until::Condition(condition))), _) => {
                let taken = Value::Array(taken);
                self.eval(frame, |view| condition.holds(&taken, view))?
            }
            (Strategy::Any(..), Some(Strategy::All(_))) => matched[main..].iter().all(|it| *it),
            (Strategy::Any(..), _) => matched.get(main..).is_some_and(|rest| rest.iter().any(|it| *it)),
        })
    }

    /// Hands the next event to `foreach`, or ends the task when nothing more comes.
    fn handle_next(&mut self, frame: u32, listen: &'a Listen) {
        let listening = self.listening(frame);
        let is_behind = listening.n_handled < listening.taken.len();
        let Some(foreach) = listen.foreach.as_ref().filter(|foreach| !foreach.tasks.tasks.is_empty()) else {
            if listening.is_done {
                let output = Value::Array(listening.taken.clone());
                self.todo.push_back(Todo::Finish { frame, output, next: None });
            }
            return;
        };
        if listening.is_handling {
            return;
        }
        if is_behind {
            listening.is_handling = true;
            let item = listening.taken[listening.n_handled].clone();
            self.frame(frame).visits.clear();
            self.start_list(frame, &foreach.tasks, item);
        } else if listening.is_done {
            let output = Value::Array(listening.outputs.clone());
            self.todo.push_back(Todo::Finish { frame, output, next: None });
        }
    }

    /// A round of `foreach` is done.
    pub(super) fn handled(&mut self, frame: u32, listen: &'a Listen, output: Value) {
        let Some(foreach) = &listen.foreach else { return };
        let made = match &foreach.output.transform {
            None => Ok(output),
            Some(transform) => self.eval(frame, |view| transform.evaluate(&output, view)),
        };
        let made = made.and_then(|output| {
            self.check_schema(foreach.output.schema.as_ref(), &output)?;
            self.export(frame, &foreach.export, &output)?;
            Ok(output)
        });
        match made {
            Err(failure) => self.raise(frame, failure),
            Ok(output) => {
                let listening = self.listening(frame);
                listening.outputs.push(output);
                listening.n_handled += 1;
                listening.is_handling = false;
                self.handle_next(frame, listen);
            }
        }
    }

    /// Makes the event and puts it among what is committed with the step.
    pub(super) fn emit(
        &mut self,
        frame: u32,
        task: &Task,
        event: &EventDefinition,
        input: &Value,
    ) -> Result<Value, Failure> {
        let mut attributes = Map::new();
        for (name, template) in &event.attributes {
            let value = self.eval(frame, |view| template.evaluate(input, view))?;
            attributes.insert(name.clone(), value);
        }
        self.emit_made(frame, task, attributes)
    }

    /// Makes an event of attributes that are known, likewise.
    pub(super) fn emit_made(
        &mut self,
        frame: u32,
        task: &Task,
        attributes: Map<String, Value>,
    ) -> Result<Value, Failure> {
        let document = &self.program.workflow().document;
        let place = format!("{}{}", self.state.id, self.path_of(frame));
        let mut made = Map::new();
        made.insert("specversion".to_owned(), "1.0".into());
        made.insert("id".to_owned(), format!("evt_{}", derived_id(self.at, &place)).into());
        let source = format!("/workflows/{}/{}", document.namespace, document.name);
        made.insert("source".to_owned(), source.into());
        made.insert("time".to_owned(), self.at.to_rfc3339().into());
        for (name, value) in attributes {
            let value = self.labelled(value);
            if !value.is_null() && !OWN_ATTRIBUTES.contains(&name.as_str()) {
                made.insert(name, value);
            }
        }
        let made = Value::Object(made);
        let tenant = Tenant::from_stored("default");
        let defaults = cloudevents::Defaults { tenant: &tenant, now: self.at };
        if let Err(faults) = cloudevents::parse_structured(made.to_string().as_bytes(), &defaults) {
            let faults: Vec<String> = faults.iter().map(|fault| format!("{fault:?}")).collect();
            let detail = format!("{} is no event: {}", task.name, faults.join("; "));
            return Err(Failure::standard(StandardError::Validation, detail));
        }
        self.changes.events.push(made.clone());
        Ok(made)
    }
}

/// How many filters lead to events that are handed over, and what ends the strategy.
fn main_filters(strategy: &Strategy) -> (usize, Option<&Strategy>) {
    match strategy {
        Strategy::All(filters) | Strategy::Any(filters, None | Some(Until::Condition(_))) => {
            (filters.len(), None)
        }
        Strategy::Any(filters, Some(Until::Consumed(until))) => (filters.len(), Some(until)),
        Strategy::One(_) => (1, None),
    }
}

pub(crate) fn hand_over(event: &Value, read: ReadAs) -> Value {
    match read {
        ReadAs::Envelope => event.clone(),
        ReadAs::Data | ReadAs::Raw => event.get("data").cloned().unwrap_or_default(),
    }
}
