//! Tasks: what all of them have, and one file for each of the twelve kinds.

pub mod call;
pub mod do_task;
pub mod emit;
pub mod for_task;
pub mod fork;
pub mod listen;
pub mod raise;
pub mod run;
pub mod set;
pub mod switch;
pub mod try_task;
pub mod wait;

use std::sync::Arc;

use trunkline_packs::Position;
use trunkline_packs::document::Content;
use trunkline_packs::suggest::quoted;

use super::data_flow::{DataFlow, Step};
use super::duration::Delay;
use super::flow::Jump;
use super::points::TaskPoints;
use super::promise::OnBreach;
use crate::expression::{Expression, Stage};
use crate::program::TaskId;
use crate::read::{At, Component, Extra, Fields, MAX_TASKS, Reader};
use crate::rule::Rule;

/// A task, as a node of the program.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its place in the program.
    pub id: TaskId,
    /// The task it is part of; none for tasks of the workflow's own list, functions and extensions.
    pub parent: Option<TaskId>,
    /// Its name, unique in its list.
    pub name: Arc<str>,
    /// JSON pointer into the definition: what the specification calls the task's reference, `/do/0/name`.
    pub reference: Arc<str>,
    /// Where it stands in the text.
    pub position: Position,
    /// The task is skipped unless this holds.
    pub condition: Option<Expression>,
    /// What becomes of the input before the task.
    pub input: DataFlow,
    /// What becomes of the output after the task.
    pub output: DataFlow,
    /// What of the output becomes the context.
    pub export: DataFlow,
    /// How long the task may take.
    pub timeout: Option<Delay>,
    /// Where to go when the task is done.
    pub then: Jump,
    /// Where to go when the task is skipped: to the next task in order.
    pub skip: Jump,
    /// What the specification lacks.
    pub points: TaskPoints,
    /// What the task does.
    pub body: Body,
}

/// Tasks of one list, in order. Their ids are not always consecutive: parts of tasks lie between.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    /// The tasks.
    pub tasks: Vec<TaskId>,
}

impl Block {
    /// Where work begins.
    pub fn first(&self) -> Option<TaskId> {
        self.tasks.first().copied()
    }
}

/// What a task does.
#[derive(Debug, Clone)]
pub enum Body {
    /// Calls something.
    Call(call::Call),
    /// Does tasks in order.
    Do(do_task::Do),
    /// Emits an event.
    Emit(emit::Emit),
    /// Does tasks for each item of a list.
    For(for_task::For),
    /// Does tasks side by side.
    Fork(fork::Fork),
    /// Waits for events.
    Listen(Box<listen::Listen>),
    /// Raises an error.
    Raise(raise::Raise),
    /// Runs a process or a workflow.
    Run(Box<run::Run>),
    /// Makes data.
    Set(set::Set),
    /// Chooses where to go.
    Switch(switch::Switch),
    /// Does tasks and handles their errors.
    Try(Box<try_task::Try>),
    /// Waits for a time.
    Wait(wait::Wait),
}

/// The kinds of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "named as in the specification")]
pub enum TaskKind {
    Call,
    Do,
    Emit,
    For,
    Fork,
    Listen,
    Raise,
    Run,
    Set,
    Switch,
    Try,
    Wait,
}

impl TaskKind {
    /// Every kind with the key that tells it.
    const ALL: [(&'static str, Self); 12] = [
        ("call", Self::Call),
        ("do", Self::Do),
        ("emit", Self::Emit),
        ("for", Self::For),
        ("fork", Self::Fork),
        ("listen", Self::Listen),
        ("raise", Self::Raise),
        ("run", Self::Run),
        ("set", Self::Set),
        ("switch", Self::Switch),
        ("try", Self::Try),
        ("wait", Self::Wait),
    ];

    /// The key that tells the kind.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }
}

impl Body {
    /// Which kind of task it is.
    pub fn kind(&self) -> TaskKind {
        match self {
            Self::Call(_) => TaskKind::Call,
            Self::Do(_) => TaskKind::Do,
            Self::Emit(_) => TaskKind::Emit,
            Self::For(_) => TaskKind::For,
            Self::Fork(_) => TaskKind::Fork,
            Self::Listen(_) => TaskKind::Listen,
            Self::Raise(_) => TaskKind::Raise,
            Self::Run(_) => TaskKind::Run,
            Self::Set(_) => TaskKind::Set,
            Self::Switch(_) => TaskKind::Switch,
            Self::Try(_) => TaskKind::Try,
            Self::Wait(_) => TaskKind::Wait,
        }
    }

    /// The lists of tasks within.
    pub fn blocks(&self) -> Vec<&Block> {
        match self {
            Self::Do(body) => vec![&body.tasks],
            Self::For(body) => vec![&body.tasks],
            Self::Fork(body) => vec![&body.branches],
            Self::Listen(body) => body.foreach.iter().map(|iterator| &iterator.tasks).collect(),
            Self::Try(body) => vec![&body.tasks, &body.catch.tasks],
            Self::Call(call::Call::AsyncApi(call)) => {
                call.iterator().map(|it| &it.tasks).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Tells whether the task only makes or directs data: it neither waits nor reaches outside.
    pub fn is_pure(&self) -> bool {
        !matches!(self, Self::Call(_) | Self::Emit(_) | Self::Listen(_) | Self::Run(_) | Self::Wait(_))
    }
}

impl Task {
    /// Every place of the task where the flow is directed.
    pub fn jumps(&self) -> Vec<&Jump> {
        let mut jumps = vec![&self.then];
        match &self.body {
            Body::Switch(body) => jumps.extend(body.cases.iter().map(|case| &case.then)),
            Body::Try(body) => jumps.extend(&body.catch.then),
            _ => {}
        }
        jumps
    }

    pub(crate) fn jumps_mut(&mut self) -> Vec<&mut Jump> {
        let mut jumps = vec![&mut self.then, &mut self.skip];
        match &mut self.body {
            Body::Switch(body) => jumps.extend(body.cases.iter_mut().map(|case| &mut case.then)),
            Body::Try(body) => jumps.extend(&mut body.catch.then),
            _ => {}
        }
        jumps
    }
}

impl Reader {
    /// Reads a list of named tasks.
    pub(crate) fn block(&mut self, at: &At<'_>) -> Block {
        let mut tasks = Vec::new();
        for item in self.list(at).unwrap_or_default() {
            if let Some((name, at)) = self.single(&item, "a task") {
                tasks.extend(self.task(name, &at));
            }
        }
        Block { tasks }
    }

    /// Opens an item that is a mapping of one key.
    pub(crate) fn single<'a>(&mut self, item: &At<'a>, what: &'static str) -> Option<(&'a str, At<'a>)> {
        Fields::open(item, what, self)?;
        let [entry] = item.entries() else {
            let problem = format!("{} names where one belongs", item.entries().len());
            self.shape(item, problem, format!("write {what} as `- name: …`, one an item"));
            return None;
        };
        Some((&entry.key, item.entry(entry)))
    }

    /// Reads a task.
    pub(crate) fn task(&mut self, name: &str, at: &At<'_>) -> Option<TaskId> {
        let mut fields = Fields::open(at, "a task", self)?;
        let kind = self.kind(&mut fields);
        if self.tasks.len() >= MAX_TASKS {
            if self.tasks.len() == MAX_TASKS {
                self.rule(Rule::Size, at, format!("more than {MAX_TASKS} tasks"), "split the workflow");
            }
            return None;
        }
        self.check_name(name, at);
        let id = self.next_id();
        self.tasks.push(self.blank(id, name, at));
        let outer = self.parent.replace(id);
        self.base(&mut fields, id);
        let body = kind.and_then(|kind| self.body(kind, &mut fields));
        // A task that uses a faulty component has no fault of its own. Without any fault there is always a body.
        debug_assert!(body.is_some() || !self.faults.is_empty(), "a task is lost without a fault: {at:?}");
        fields.close(Extra::Closed, self);
        if let Some(body) = body {
            let sla = self.tasks[id.index()].points.sla.as_ref();
            let escalates = sla.is_some_and(|sla| sla.on_breach == OnBreach::Escalate);
            if escalates
                && !matches!(&body, Body::Call(call::Call::Human(human)) if human.escalation.is_some())
            {
                let place =
                    at.peek("metadata").and_then(|at| at.peek("trunkline")).and_then(|at| at.peek("sla"));
                let problem = "nobody is named whom the task could be escalated to";
                let fix = "add `escalate` to the task of people, or write event or cancel";
                self.rule(Rule::ExtensionPoints, place.as_ref().unwrap_or(at), problem, fix);
            }
            self.tasks[id.index()].body = body;
        }
        self.parent = outer;
        Some(id)
    }

    /// A task of which nothing is read yet. It takes its id before its parts do.
    fn blank(&self, id: TaskId, name: &str, at: &At<'_>) -> Task {
        Task {
            id,
            parent: self.parent,
            name: name.into(),
            reference: at.pointer.as_str().into(),
            position: at.position,
            condition: None,
            input: DataFlow::default(),
            output: DataFlow::default(),
            export: DataFlow::default(),
            timeout: None,
            then: Jump::onward(at),
            skip: Jump::onward(at),
            points: TaskPoints::default(),
            body: Body::Do(do_task::Do::default()),
        }
    }

    fn check_name(&mut self, name: &str, at: &At<'_>) {
        if matches!(name, "continue" | "exit" | "end") {
            let problem = format!("a task cannot be called {}, which directs the flow", quoted(name));
            self.rule(Rule::TaskNames, at, problem, "choose another name");
        } else if name.trim().is_empty() || name.len() > 256 {
            let problem = "the name of a task is empty, or longer than 256 bytes";
            self.rule(Rule::TaskNames, at, problem, "choose another name");
        }
    }

    fn kind(&mut self, fields: &mut Fields<'_>) -> Option<TaskKind> {
        let at = fields.at.clone();
        let present: Vec<_> = TaskKind::ALL
            .into_iter()
            .filter(|(word, kind)| at.has(word) && !(*kind == TaskKind::Do && at.has("for")))
            .collect();
        if let [(_, kind)] = present[..] {
            return Some(kind);
        }
        let words = TaskKind::ALL.map(|(word, _)| word).join(", ");
        if present.is_empty() {
            self.shape(&at, "the task does not say what to do", format!("add one of {words}"));
        } else {
            let found: Vec<_> = present.iter().map(|(word, _)| *word).collect();
            self.shape(&at, format!("the task is {} at once", found.join(" and ")), "make it several tasks");
        }
        for (word, _) in TaskKind::ALL {
            fields.optional(word);
        }
        None
    }

    /// Reads what all tasks have.
    fn base(&mut self, fields: &mut Fields<'_>, id: TaskId) {
        let condition = self.optional_expression(fields, "if", Stage::Condition);
        let input = self.data_flow(fields, Step::Input, Stage::Input);
        let output = self.data_flow(fields, Step::Output, Stage::Output);
        let export = self.data_flow(fields, Step::Export, Stage::Export);
        let timeout = fields.optional("timeout").and_then(|at| self.timeout_or_name(&at, Stage::Body));
        let then = fields.optional("then").and_then(|at| self.jump(&at));
        let metadata = fields.optional("metadata");
        let points = metadata.map(|at| {
            self.object(&at);
            self.task_points(&at)
        });
        let task = &mut self.tasks[id.index()];
        (task.condition, task.input, task.output, task.export) = (condition, input, output, export);
        task.timeout = timeout;
        task.points = points.unwrap_or_default();
        if let Some(then) = then {
            task.then = then;
        }
    }

    /// Reads a timeout, or the name of a reusable one.
    pub(crate) fn timeout_or_name(&mut self, at: &At<'_>, stage: Stage) -> Option<Delay> {
        if let Content::Text(name) = &at.node.content {
            self.component_declared(Component::Timeout, name, at);
            return self.components.timeouts.get(name).cloned();
        }
        self.timeout(at, stage)
    }

    /// Reads a timeout.
    pub(crate) fn timeout(&mut self, at: &At<'_>, stage: Stage) -> Option<Delay> {
        let mut fields = Fields::open(at, "a timeout", self)?;
        let after = fields.required("after", self).and_then(|at| self.duration(&at, stage));
        fields.close(Extra::Closed, self);
        after
    }

    fn body(&mut self, kind: TaskKind, fields: &mut Fields<'_>) -> Option<Body> {
        match kind {
            TaskKind::Call => self.call(fields).map(Body::Call),
            TaskKind::Do => self.do_task(fields).map(Body::Do),
            TaskKind::Emit => self.emit(fields).map(Body::Emit),
            TaskKind::For => self.for_task(fields).map(Body::For),
            TaskKind::Fork => self.fork(fields).map(Body::Fork),
            TaskKind::Listen => self.listen(fields).map(Box::new).map(Body::Listen),
            TaskKind::Raise => self.raise(fields).map(Body::Raise),
            TaskKind::Run => self.run(fields).map(Box::new).map(Body::Run),
            TaskKind::Set => self.set(fields).map(Body::Set),
            TaskKind::Switch => self.switch(fields).map(Body::Switch),
            TaskKind::Try => self.try_task(fields).map(Box::new).map(Body::Try),
            TaskKind::Wait => self.wait(fields).map(Body::Wait),
        }
    }
}
