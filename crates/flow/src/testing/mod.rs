//! A world in memory for workflows: virtual time, stubbed calls, events and decisions by hand. `trunkline pack test` and
//! the conformance suite run workflows in it.
//!
//! ```text
//! World ── define, start, emit, decide, advance ─► settle: step every instance until all wait
//!            │                                        │
//!            └ clock: jumps to the next timer         └ calls ─► the answering function, in order
//! ```
//!
//! It drives the very machine that the engine drives, without store, tasks or threads: the same input gives the same
//! outcome, and ninety days pass in the time it takes to fire the timers in between. What the engine adds (commits,
//! crashes, ownership) is not here.

mod journal;
mod judge;
mod play;
mod scenario;
mod schedules;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use trunkline_model::{Timestamp, WorkflowId};

pub use self::journal::{Called, Happening};
pub use self::judge::{WorkflowJudge, run_workflow_tests};
pub use self::play::Difference;
pub use self::scenario::Scenario;
use self::schedules::Timed;
use crate::dsl::events::{EventFilter, ReadAs, Strategy};
use crate::dsl::schedule::Schedule;
use crate::dsl::tasks::Body;
use crate::dsl::tasks::call::Call;
use crate::engine::effects::{Login, Outside};
use crate::engine::input::{Failure, Input, Outcome};
use crate::engine::machine::outside::Ready;
use crate::engine::machine::{accepts, correlation_of_event, outside, step};
use crate::engine::people::{Act, ActRefusal, Actor, Decided};
use crate::engine::secrets::Known;
use crate::engine::state::{Action, ChildStart, State};
use crate::fault::Refusal;
use crate::program::{Format, Program, compile};

/// More steps than this without coming to rest end the run: two workflows that keep each other busy never stop.
const MAX_STEPS: usize = 100_000;

/// What stand-ins for secrets are known by here.
const SEAL: &str = "0";

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It ends with this.
    Value(Value),
    /// It fails.
    Failure(Failure),
    /// It does not end.
    Never,
}

/// Why the world cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// No definition of this name.
    #[error("there is no workflow {0}")]
    NoDefinition(String),
    /// No instance of this id.
    #[error("there is no instance {0}")]
    NoInstance(String),
    /// The instance waits for no such step of a person.
    #[error("nobody is asked for {0}")]
    NotAsked(String),
    /// The person may not do that.
    #[error("{0}")]
    Refused(String),
    /// Work that never ends.
    #[error("the workflows do not come to rest after {MAX_STEPS} steps")]
    NoRest,
}

impl WorldError {
    fn refused(refusal: &ActRefusal) -> Self {
        let mut words = refusal.to_string();
        if let ActRefusal::Form(faults) = refusal {
            let faults: Vec<String> = faults.iter().map(|(at, problem)| format!("{at} {problem}")).collect();
            words = format!("{words}: {}", faults.join("; "));
        }
        Self::Refused(words)
    }
}

/// One instance.
#[derive(Debug)]
struct Instance {
    program: Arc<Program>,
    state: State,
    /// Calls that were asked for.
    asked: BTreeSet<u32>,
    /// The instance that waits for it, with what that one calls it.
    parent: Option<(WorkflowId, String)>,
    /// Whether its end was told to the parent.
    is_told: bool,
    /// When it ended.
    ended_at: Option<Timestamp>,
}

/// The function that answers calls: it is told the action with the key that the call carries.
pub type Answering<'a> = Box<dyn FnMut(&Action, &str) -> Answer + Send + 'a>;

/// Workflows in memory.
pub struct World<'a> {
    now: Timestamp,
    programs: Vec<Arc<Program>>,
    instances: BTreeMap<WorkflowId, Instance>,
    queue: VecDeque<(WorkflowId, Input)>,
    answering: Answering<'a>,
    secrets: BTreeMap<String, String>,
    timed: Vec<Timed>,
    happened: Vec<Happening>,
}

impl<'a> World<'a> {
    /// An empty world at a time, with a function that answers calls.
    pub fn new(now: Timestamp, answering: impl FnMut(&Action, &str) -> Answer + Send + 'a) -> Self {
        Self {
            now,
            programs: Vec::new(),
            instances: BTreeMap::new(),
            queue: VecDeque::new(),
            answering: Box::new(answering),
            secrets: BTreeMap::new(),
            timed: Vec::new(),
            happened: Vec::new(),
        }
    }

    /// Gives workflows a secret.
    pub fn give_secret(&mut self, name: &str, value: &str) {
        self.secrets.insert(name.to_owned(), value.to_owned());
    }

    /// Compiles a definition and makes it known; events that come later start it if its schedule says so.
    ///
    /// # Errors
    /// Every fault of the definition.
    pub fn define(&mut self, text: &str) -> Result<Arc<Program>, Refusal> {
        let program = Arc::new(compile(text, Format::Yaml)?.program);
        self.add(Arc::clone(&program));
        Ok(program)
    }

    /// Makes a compiled definition known.
    pub fn add(&mut self, program: Arc<Program>) {
        self.programs.push(program);
    }

    /// Starts an instance of `namespace/name` or `namespace/name:version`, and lets it run until it waits.
    ///
    /// # Errors
    /// No such definition; work that never ends.
    pub fn start(&mut self, name: &str, input: Value) -> Result<WorkflowId, WorldError> {
        let program = self.find(name).ok_or_else(|| WorldError::NoDefinition(name.to_owned()))?;
        let id = self.begin(program, input, None);
        self.settle()?;
        Ok(id)
    }

    fn find(&self, name: &str) -> Option<Arc<Program>> {
        let (name, version) =
            name.split_once(':').map_or((name, None), |(name, version)| (name, Some(version)));
        let fits = |program: &&Arc<Program>| {
            let document = &program.workflow().document;
            format!("{}/{}", document.namespace, document.name) == name
                && version.is_none_or(|version| document.version.to_string() == version)
        };
        self.programs.iter().filter(fits).max_by_key(|it| it.workflow().document.version.clone()).cloned()
    }

    fn begin(
        &mut self,
        program: Arc<Program>,
        input: Value,
        parent: Option<(WorkflowId, String)>,
    ) -> WorkflowId {
        let id = WorkflowId::from_text(format!("wf_{:08}", self.instances.len() + 1));
        let state = State::new(id.clone(), input, self.now);
        let (asked, is_told, ended_at) = (BTreeSet::new(), false, None);
        let instance = Instance { program, state, asked, parent, is_told, ended_at };
        self.instances.insert(id.clone(), instance);
        self.queue.push_back((id.clone(), Input::Begun { seal: Some(SEAL.to_owned()) }));
        id
    }

    /// Stores an event, a CloudEvent or `{type, data}`: it starts workflows and reaches those that listen.
    ///
    /// # Errors
    /// Work that never ends.
    pub fn emit(&mut self, event: Value) -> Result<(), WorldError> {
        let event = self.whole(event);
        self.deliver(&event);
        self.settle()
    }

    fn whole(&self, event: Value) -> Value {
        let mut whole = json!({
            "specversion": "1.0",
            "id": format!("evt_{:08}", self.happened.len() + self.instances.len()),
            "source": "/test",
            "time": self.now.to_rfc3339(),
        });
        if let (Value::Object(whole), Value::Object(given)) = (&mut whole, event) {
            whole.extend(given);
        }
        whole
    }

    fn deliver(&mut self, event: &Value) {
        let mut inputs = Vec::new();
        for (id, instance) in &self.instances {
            let waits = instance.state.waits.keys();
            let taken = waits.filter(|it| accepts(&instance.program, &instance.state, **it, event, self.now));
            let input = |wait: &u32| (id.clone(), Input::EventMatched { wait: *wait, event: event.clone() });
            inputs.extend(taken.map(input));
        }
        self.queue.extend(inputs);
        for program in self.latest() {
            if let Some(input) = self.started_by(&program, event) {
                self.begin(program, input, None);
            }
        }
    }

    /// The highest version of each definition.
    fn latest(&self) -> Vec<Arc<Program>> {
        let mut latest: BTreeMap<(String, String), Arc<Program>> = BTreeMap::new();
        for program in &self.programs {
            let document = &program.workflow().document;
            let name = (document.namespace.clone(), document.name.clone());
            let known = latest.entry(name).or_insert_with(|| Arc::clone(program));
            if known.workflow().document.version < document.version {
                *known = Arc::clone(program);
            }
        }
        latest.into_values().collect()
    }

    fn started_by(&self, program: &Program, event: &Value) -> Option<Value> {
        let Some(Schedule::On(strategy, read)) = &program.workflow().schedule else { return None };
        let takes = |filter: &EventFilter| correlation_of_event(filter, event, self.now).is_some();
        let is_taken = match strategy {
            Strategy::One(filter) => takes(filter),
            Strategy::Any(filters, None) => filters.is_empty() || filters.iter().any(takes),
            Strategy::Any(_, Some(_)) | Strategy::All(_) => false,
        };
        let given = match read {
            ReadAs::Envelope => event.clone(),
            ReadAs::Data | ReadAs::Raw => event.get("data").cloned().unwrap_or_default(),
        };
        is_taken.then(|| Value::Array(vec![given]))
    }

    /// Says that a person did or approved a step, named by the task or its title; of several the first that waits.
    ///
    /// # Errors
    /// Nobody is asked, or not this person; work that never ends.
    pub fn decide(&mut self, id: &WorkflowId, step: &str, by: &str, data: Value) -> Result<(), WorldError> {
        self.act(id, step, by, Act::Complete { decision: None, data, comment: None })
    }

    /// The same for whatever a person may do about a step. A decision that does not say how is one for it.
    ///
    /// # Errors
    /// As [`World::decide`].
    pub fn act(&mut self, id: &WorkflowId, step: &str, by: &str, mut act: Act) -> Result<(), WorldError> {
        let instance = self.instances.get(id).ok_or_else(|| WorldError::NoInstance(id.to_string()))?;
        let found = instance
            .state
            .people()
            .find(|(_, asked, task)| asked.title == step || &*instance.program.task(*task).name == step);
        let (_, asked, task) = found.ok_or_else(|| WorldError::NotAsked(step.to_owned()))?;
        // Who may decide is up to the test: whoever it names is in the groups that are asked.
        let actor = Actor {
            user: by.to_owned(),
            groups: asked.groups.iter().chain(&asked.escalated_to).cloned().collect(),
            on_behalf_of: None,
            is_operator: true,
        };
        if let Act::Complete { decision: decision @ None, .. } = &mut act {
            *decision = asked.is_approval.then_some(Decided::Approved);
        }
        let form = match &instance.program.task(task).body {
            Body::Call(Call::Human(human)) => human.form.as_deref(),
            _ => None,
        };
        asked.check(&act, &actor, form).map_err(|refusal| WorldError::refused(&refusal))?;
        let input = Input::Acted { nonce: asked.nonce.clone(), key: String::new(), actor, act };
        self.give(id, input)
    }

    /// Gives an instance an input, whatever it is.
    ///
    /// # Errors
    /// No such instance; work that never ends.
    pub fn give(&mut self, id: &WorkflowId, input: Input) -> Result<(), WorldError> {
        if !self.instances.contains_key(id) {
            return Err(WorldError::NoInstance(id.to_string()));
        }
        self.queue.push_back((id.clone(), input));
        self.settle()
    }

    /// Lets time pass, firing the timers that come in it.
    ///
    /// # Errors
    /// Work that never ends.
    pub fn advance(&mut self, by: Duration) -> Result<(), WorldError> {
        let until = self.now.plus(by);
        while self.fire_next(Some(until))? {}
        self.now = self.now.max(until);
        Ok(())
    }

    /// Lets time pass until nothing waits for it any more.
    ///
    /// # Errors
    /// Work that never ends.
    pub fn run(&mut self) -> Result<(), WorldError> {
        for _ in 0..MAX_STEPS {
            if !self.fire_next(None)? {
                return Ok(());
            }
        }
        Err(WorldError::NoRest)
    }

    /// Goes to the next timer, not later than a time, and fires it. Tells whether there was one.
    fn fire_next(&mut self, until: Option<Timestamp>) -> Result<bool, WorldError> {
        let timers = self.instances.iter().flat_map(|(id, instance)| {
            let is_held = instance.state.suspended.is_some();
            let timers = instance.state.timers.iter().filter(move |_| !is_held);
            timers.map(move |(timer, it)| (it.fire_at, id, *timer))
        });
        let timer = timers.min().map(|(at, id, timer)| (at, id.clone(), timer));
        let scheduled = until.and_then(|until| self.next_scheduled().filter(|(at, _)| *at <= until));
        if let Some((at, schedule)) = scheduled
            && timer.as_ref().is_none_or(|(timer_at, ..)| at <= *timer_at)
        {
            self.now = self.now.max(at);
            self.fire_schedule(schedule);
            self.settle()?;
            return Ok(true);
        }
        let Some((at, id, timer)) = timer else { return Ok(false) };
        if until.is_some_and(|until| until < at) {
            return Ok(false);
        }
        self.now = self.now.max(at);
        self.give(&id, Input::TimerFired { timer })?;
        Ok(true)
    }

    /// Makes steps until every instance waits.
    fn settle(&mut self) -> Result<(), WorldError> {
        let mut n_steps = 0;
        while let Some((id, input)) = self.queue.pop_front() {
            n_steps += 1;
            if n_steps > MAX_STEPS {
                return Err(WorldError::NoRest);
            }
            self.step(&id, &input);
        }
        Ok(())
    }

    fn step(&mut self, id: &WorkflowId, input: &Input) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        let changes = step(&instance.program, &mut instance.state, input, self.now);
        if instance.state.outcome.is_some() {
            instance.ended_at.get_or_insert(self.now);
        }
        for event in changes.events {
            self.happened.push(Happening::Emitted {
                at: self.now,
                instance: id.clone(),
                event: event.clone(),
            });
            self.deliver(&event);
        }
        // Here nobody else is about: every gate is open.
        let asked = changes.tickets_set.iter().map(|(ticket, _)| *ticket);
        self.queue.extend(asked.map(|ticket| (id.clone(), Input::Admitted { ticket })));
        let reason = Some("the workflow that ran it does not wait any more".to_owned());
        let cancel = |child: WorkflowId| (child, Input::Cancel { reason: reason.clone() });
        self.queue.extend(changes.children_dropped.into_iter().map(cancel));
        self.call(id);
        let Some(instance) = self.instances.get_mut(id) else { return };
        if let (Some(outcome), Some((parent, key))) = (&instance.state.outcome, &instance.parent)
            && !instance.is_told
        {
            let input = Input::ChildEnded { key: key.clone(), outcome: outcome.clone() };
            self.queue.push_back((parent.clone(), input));
            instance.is_told = true;
        }
    }

    /// Asks for the calls that an instance wants and that were not asked for.
    fn call(&mut self, id: &WorkflowId) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        if instance.state.suspended.is_some() {
            return;
        }
        let wanted: Vec<_> = instance.state.effects.iter().map(|(id, it)| (*id, it.clone())).collect();
        for (effect, it) in wanted {
            let Some(instance) = self.instances.get_mut(id) else { return };
            if !instance.asked.insert(effect) {
                continue;
            }
            let answer = match &it.action {
                Action::Start(start) => self.start_child(id, &it.key, start),
                // Events reach those who listen as they are sent: the world keeps none.
                Action::LookBack(_) => Answer::Value(json!([])),
                action => match self.put_together(id, it.frame, action) {
                    Err(failure) => Answer::Failure(failure),
                    Ok(action) => self.ask(id, &it.key, action),
                },
            };
            let hidden = self.known().into_hidden();
            let result = match answer {
                Answer::Value(value) => Ok(hidden.hide(value)),
                Answer::Failure(failure) => Err(hidden.hide_failure(failure)),
                Answer::Never => continue,
            };
            self.queue.push_back((id.clone(), Input::EffectDone { effect, result }));
        }
    }

    fn ask(&mut self, id: &WorkflowId, key: &str, action: Action) -> Answer {
        let answer = (self.answering)(&action, key);
        let (at, instance, key) = (self.now, id.clone(), key.to_owned());
        let called = Called { at, instance, key, action, answer: answer.clone() };
        self.happened.push(Happening::Called(Box::new(called)));
        answer
    }

    fn known(&self) -> Known {
        Known::given(SEAL, self.secrets.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// A call with secrets and credentials in their places; other actions are what they are.
    fn put_together(&self, id: &WorkflowId, frame: u32, action: &Action) -> Result<Action, Failure> {
        let (Action::Late { at }, Some(instance)) = (action, self.instances.get(id)) else {
            return Ok(action.clone());
        };
        let known = self.known();
        let prepared = match outside::prepare(&instance.program, &instance.state, frame, *at, Some(&known))? {
            Ready::Function(call) => return Ok(Action::Function(call)),
            Ready::Call(prepared) => *prepared,
        };
        let Outside::Http(mut call) = prepared.call else { return Ok(action.clone()) };
        if let Some(value) = prepared.login.as_ref().and_then(Login::header) {
            call.headers.insert("authorization".to_owned(), value.into());
        }
        Ok(Action::Http(call))
    }

    fn start_child(&mut self, parent: &WorkflowId, key: &str, start: &ChildStart) -> Answer {
        let mut name = format!("{}/{}", start.namespace, start.name);
        if start.version != "latest" {
            name = format!("{name}:{}", start.version);
        }
        let Some(program) = self.find(&name) else {
            let kind = crate::dsl::error::StandardError::Configuration;
            return Answer::Failure(Failure::standard(kind, format!("there is no active workflow {name}")));
        };
        let parent = start.wait.then(|| (parent.clone(), key.to_owned()));
        let id = self.begin(program, start.input.clone(), parent);
        Answer::Value(json!({"id": id.as_str()}))
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The instances, in the order in which they were started.
    pub fn instances(&self) -> impl Iterator<Item = (&WorkflowId, &Program, &State)> {
        self.instances.iter().map(|(id, it)| (id, &*it.program, &it.state))
    }

    /// The state of an instance.
    pub fn state(&self, id: &WorkflowId) -> Option<&State> {
        self.instances.get(id).map(|instance| &instance.state)
    }

    /// How an instance ended, if it has.
    pub fn outcome(&self, id: &WorkflowId) -> Option<&Outcome> {
        self.state(id)?.outcome.as_ref()
    }

    /// The calls made and the events emitted, in order.
    pub fn happened(&self) -> &[Happening] {
        &self.happened
    }

    /// The events that workflows emitted, in order.
    pub fn emitted(&self) -> impl Iterator<Item = &Value> {
        self.happened.iter().filter_map(|it| match it {
            Happening::Emitted { event, .. } => Some(event),
            Happening::Called(_) => None,
        })
    }

    /// The calls that workflows made, in order.
    pub fn calls(&self) -> impl Iterator<Item = &Called> {
        self.happened.iter().filter_map(|it| match it {
            Happening::Called(call) => Some(&**call),
            Happening::Emitted { .. } => None,
        })
    }
}

impl std::fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now)
            .field("instances", &self.instances)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
