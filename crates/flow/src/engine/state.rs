//! The state of an instance: a tree of frames, one for each task under way, and what they wait for.
//!
//! The state is data and nothing else: it is stored as a snapshot, and folding the records behind the snapshot gives
//! the state that the owner has in memory. Ids inside it count up and are never given twice.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trunkline_model::{Timestamp, WorkflowId};

pub use super::duties::{AfterUndoing, Done, Gate, Promise, PromiseStanding, Ticket, Undoing, Undone};
use super::input::{Failure, Input, Outcome};
use super::people::Asked;
use crate::catalog::FunctionCall;
use crate::dsl::flow::Next;
use crate::program::TaskId;

/// The id of the frame of the instance itself.
pub(crate) const ROOT: u32 = 0;

/// A wait shorter than this is not worth leaving memory for.
const SHORT_WAIT_US: i64 = 1_000_000;

/// Everything an instance is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The instance.
    pub id: WorkflowId,
    /// What it was started with.
    pub input: Value,
    /// When it was asked for.
    pub started_at: Timestamp,
    /// Who asked for it: a person, or a token that is nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// `$context`, but for what branches of forks keep to themselves.
    pub context: Value,
    /// Tasks under way; parents have lower ids.
    pub frames: BTreeMap<u32, Frame>,
    /// Times that are waited for.
    pub timers: BTreeMap<u32, Timer>,
    /// Calls outside whose end is not known.
    pub effects: BTreeMap<u32, Effect>,
    /// Keys of calls that may be made once only and were made inside a `try` under way, which might ask for them again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub spent: BTreeSet<String>,
    /// Events that are waited for.
    pub waits: BTreeMap<u32, Wait>,
    /// Places and starts that are asked for, and places that are held.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tickets: BTreeMap<u32, Ticket>,
    /// What would have to be undone, in the order in which it was done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<Done>,
    /// How much was undone.
    #[serde(default, skip_serializing_if = "Undone::is_nothing")]
    pub undone: Undone,
    /// How the time that it was promised to take stood at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promise: Option<Promise>,
    /// Documents that lie elsewhere, by their place, as they were when it began.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub documents: BTreeMap<String, Value>,
    /// The next id of a frame, timer, effect or wait.
    pub next_id: u32,
    /// Whether its owner has taken it up.
    pub has_begun: bool,
    /// What its stand-ins for secrets are known by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<String>,
    /// Why it is held, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<Suspended>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The step of the outermost list it is at, from 1; 0 before the first.
    pub step: u32,
    /// What is said to it first once it is taken up: of a fork that begins with a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_input: Option<Box<Input>>,
}

/// Why an instance is held, and what came meanwhile.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Suspended {
    /// Why.
    pub reason: Option<String>,
    /// What came meanwhile, in order.
    pub held: Vec<Input>,
}

/// A task under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// The frame that waits for this one; the root waits for itself.
    pub parent: u32,
    /// The task; nothing for the instance itself.
    pub task: Option<TaskId>,
    /// How many times the task was done before in this run of its list.
    pub visit: u32,
    /// Which of several children of the parent this is.
    pub place: u32,
    /// What it was given.
    pub raw_input: Value,
    /// What that was made into.
    pub input: Value,
    /// When it began.
    pub started_at: Timestamp,
    /// The timer of its timeout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
    /// `$context` of a branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Value>,
    /// How often each task of its list has been done in this run of the list.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub visits: BTreeMap<u32, u32>,
    /// What extensions do around it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended: Option<Box<Extended>>,
    /// The time it was promised to take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promise: Option<Promise>,
    /// What is being undone of what was done within it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoing: Option<Box<Undoing>>,
    /// What it does.
    pub work: Work,
}

/// How far the extensions around a task have come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Extended {
    /// Those that apply, by their places among all.
    pub applied: Vec<u32>,
    /// Which of these is at work.
    pub at: u32,
    /// Before or after the task.
    pub stage: ExtendStage,
    /// What came out of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Where the task leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
}

/// Where extensions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExtendStage {
    /// Before the task.
    Before,
    /// The task itself.
    Body,
    /// After the task.
    After,
}

/// What a frame does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Work {
    /// The instance's own list of tasks.
    Root,
    /// A list of tasks, or the task of a function.
    List,
    /// The tasks of an extension around a task.
    Extending,
    /// Waiting until it may begin.
    Queued,
    /// What undoes a task.
    Undo {
        /// The place of that task.
        path: String,
    },
    /// A list of tasks for each item.
    Loop {
        /// The items.
        items: Vec<Value>,
        /// The one it is at.
        index: usize,
    },
    /// Tasks side by side.
    Fork {
        /// The outputs of the branches that have completed.
        #[serde(with = "each_or_none")]
        outputs: Vec<Option<Value>>,
        /// Their contexts.
        contexts: Vec<Value>,
    },
    /// A list of tasks with a handler.
    Try {
        /// What it is at.
        stage: TryStage,
        /// Retries so far.
        n_retries: u32,
        /// The error it handles.
        error: Option<Value>,
        /// The timer that ends the attempt.
        limit: Option<u32>,
    },
    /// Waiting for a time.
    Wait {
        /// The timer.
        timer: u32,
    },
    /// Waiting for the end of a call outside.
    Effect {
        /// Which one.
        effect: u32,
    },
    /// Waiting for an instance that it started.
    Child {
        /// The call that starts it, until it is known to be started.
        effect: Option<u32>,
        /// What this instance calls it.
        key: String,
        /// Its id, once it is started.
        id: Option<WorkflowId>,
    },
    /// Waiting for people.
    Person(Box<Asked>),
    /// Waiting for events.
    Listen(Box<Listening>),
}

/// Values that are there or not. A value that is null is there: as an option it would be read back as none.
mod each_or_none {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;

    pub(super) fn serialize<S: Serializer>(values: &[Option<Value>], to: S) -> Result<S::Ok, S::Error> {
        values.iter().map(Option::as_slice).collect::<Vec<_>>().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Option<Value>>, D::Error> {
        let values: Vec<Vec<Value>> = Vec::deserialize(from)?;
        Ok(values.into_iter().map(|mut value| value.pop()).collect())
    }
}

/// What a `try` is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TryStage {
    /// Its tasks.
    Trying,
    /// Waiting before the next attempt.
    Delaying,
    /// The tasks of its handler.
    Catching,
}

/// How far a `listen` has come.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Listening {
    /// What came, as it is handed over.
    pub taken: Vec<Value>,
    /// Which filters have had their event.
    pub matched: Vec<bool>,
    /// What ties the events together, by name.
    pub correlated: Map<String, Value>,
    /// Which subscription has taken which event: kept where events may come twice, from the past and as they are stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<BTreeSet<String>>,
    /// Whether nothing more is waited for.
    pub is_done: bool,
    /// How many of `taken` went through `foreach`.
    pub n_handled: usize,
    /// Whether `foreach` is at work.
    pub is_handling: bool,
    /// What came out of these.
    pub outputs: Vec<Value>,
}

/// A time that is waited for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timer {
    /// When.
    pub fire_at: Timestamp,
    /// Who waits.
    pub frame: u32,
    /// What for.
    pub purpose: Purpose,
}

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// To go on.
    Wait,
    /// To try again.
    Retry,
    /// To end the task.
    Timeout,
    /// To end an attempt.
    Attempt,
    /// To ask further people.
    Escalate,
    /// To warn that a promise will be broken.
    Warn,
    /// To say that a promise is broken.
    Breach,
}

impl Purpose {
    /// The word for it in the table of timers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Retry => "retry",
            Self::Timeout | Self::Attempt => "timeout",
            Self::Escalate => "escalate",
            Self::Warn | Self::Breach => "sla",
        }
    }
}

/// A call outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Who waits for its end.
    pub frame: u32,
    /// The same for every attempt at it: instance, place, iteration and visit.
    pub key: String,
    /// What to do.
    pub action: Action,
    /// Whether it may be done again when its end is not known.
    pub repeatable: bool,
}

/// What is done outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    /// An HTTP request.
    Http(HttpCall),
    /// Starts another instance.
    Start(ChildStart),
    /// Finds events of the past.
    LookBack(LookBack),
    /// Calls a function of the default catalogue that does something itself.
    Function(FunctionCall),
    /// Fetches a document that the program refers to.
    Fetch {
        /// Where it lies.
        url: String,
    },
    /// Starts the instance that does a function whose document lies elsewhere.
    Elsewhere {
        /// Its arguments.
        input: Value,
    },
    /// Whatever the task says, put together from the state only when it is done: what has secrets or credentials
    /// inside must not be kept.
    Late {
        /// When the task began; what `now` gives.
        at: Timestamp,
    },
}

/// Which events of the past are wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LookBack {
    /// The task that listens.
    pub task: TaskId,
    /// What it waits for; since when stands there.
    pub waits: Vec<Wait>,
}

/// An HTTP request, ready to be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpCall {
    /// The method.
    pub method: String,
    /// Where to, without `query`.
    pub url: String,
    /// Headers.
    pub headers: Map<String, Value>,
    /// Query parameters.
    pub query: Map<String, Value>,
    /// The body: text is sent as it is, everything else as JSON.
    pub body: Option<Value>,
    /// What of the answer is the result: `raw`, `content` or `response`.
    pub output: HttpOutput,
    /// Whether a 3xx answer is a result.
    pub takes_redirects: bool,
}

/// What of an answer is the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpOutput {
    /// The body as it came, in base64.
    Raw,
    /// The body, read by its content type.
    Content,
    /// Request, status, headers and content.
    Response,
}

/// Which instance to start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChildStart {
    /// Namespace of the definition.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its version, or `latest`.
    pub version: String,
    /// What it is started with.
    pub input: Value,
    /// Whether its end is waited for.
    pub wait: bool,
}

/// An event that is waited for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wait {
    /// Who waits.
    pub frame: u32,
    /// Which filter of the strategy.
    pub filter: u32,
    /// The type, if the filter names one.
    pub event_type: Option<String>,
    /// Digest of the values that the event has to carry; empty for none.
    pub correlation: String,
    /// Events stored before are of no concern.
    pub since: Timestamp,
}

/// What an instance is doing, as its row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Not taken up.
    Pending,
    /// At work.
    Running,
    /// Waiting for time, an event or a person.
    Waiting,
    /// Held.
    Suspended,
    /// At its end.
    Ended,
}

impl State {
    /// The state before the first record.
    pub fn new(id: WorkflowId, input: Value, at: Timestamp) -> Self {
        Self {
            id,
            input,
            started_at: at,
            started_by: None,
            context: Value::Object(Map::new()),
            frames: BTreeMap::new(),
            timers: BTreeMap::new(),
            effects: BTreeMap::new(),
            spent: BTreeSet::new(),
            waits: BTreeMap::new(),
            tickets: BTreeMap::new(),
            done: Vec::new(),
            undone: Undone::default(),
            promise: None,
            documents: BTreeMap::new(),
            next_id: ROOT,
            has_begun: false,
            seal: None,
            suspended: None,
            outcome: None,
            step: 0,
            next_input: None,
        }
    }

    /// What it is doing at a time.
    pub fn activity(&self, now: Timestamp) -> Activity {
        let is_soon = |timer: &Timer| timer.fire_at.as_micros() - now.as_micros() < SHORT_WAIT_US;
        match () {
            () if self.outcome.is_some() => Activity::Ended,
            () if self.suspended.is_some() => Activity::Suspended,
            () if !self.has_begun => Activity::Pending,
            () if !self.effects.is_empty() || self.timers.values().any(is_soon) => Activity::Running,
            () => Activity::Waiting,
        }
    }

    /// The tasks that wait for people: the frame, what is asked, and the place in the definition.
    pub fn people(&self) -> impl Iterator<Item = (u32, &Asked, TaskId)> {
        self.frames.iter().filter_map(|(id, frame)| match (&frame.work, frame.task) {
            (Work::Person(asked), Some(task)) => Some((*id, &**asked, task)),
            _ => None,
        })
    }

    /// The error it failed of.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.outcome {
            Some(Outcome::Failed(failure)) => Some(failure),
            _ => None,
        }
    }

    pub(crate) fn take_id(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}
