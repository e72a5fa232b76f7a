//! The compiled form of a workflow: an arena of tasks with ids, links resolved, expressions compiled.
//!
//! Pure and deterministic: the same definition always gives the same ids and the same hash, on every machine. Nothing
//! here knows instances, time or I/O. The interpreter walks the arena: it begins at [`Workflow::tasks`], enters the
//! [`Body`] of a task, and goes where [`Jump::next`](crate::dsl::flow::Jump) says.

mod canonical;
mod compile;
mod describe;
pub mod diff;
mod link;
mod loops;

use std::fmt;

use serde_json::Value;

pub use canonical::{ContentHash, canonical_json};
pub(crate) use compile::parse;
pub use compile::{Compiled, Format, MAX_SOURCE_BYTES, compile};
pub use describe::{Description, TaskDescription};

use crate::dsl::data_flow::Schema;
use crate::dsl::resource::ExternalResource;
use crate::dsl::tasks::call::function::{DEFAULT_CATALOG, Function};
use crate::dsl::tasks::call::mcp::Transport;
use crate::dsl::tasks::call::{Call, human::HumanTask};
use crate::dsl::tasks::{Block, Body, Task};
use crate::dsl::workflow::Workflow;

/// The place of a task in a program. Ids count from 0 in the order of the text, parents before their parts; functions
/// and extensions come last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct TaskId(pub u32);

impl TaskId {
    /// The index in [`Program::tasks`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A compiled workflow. Never changes; share it in an `Arc`.
#[derive(Debug)]
pub struct Program {
    workflow: Workflow,
    tasks: Vec<Task>,
    definition: Value,
    hash: ContentHash,
}

/// What a program asks of whoever runs it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirements {
    /// References of the tasks that run scripts, commands or other processes, which the operator must have allowed.
    pub processes: Vec<String>,
    /// Functions of this program's own catalog, as `name:version`.
    pub functions: Vec<String>,
    /// References of the tasks whose functions must be fetched, from other catalogs or from URLs.
    pub fetches: Vec<String>,
}

impl Program {
    /// What the document says besides its tasks.
    pub fn workflow(&self) -> &Workflow {
        &self.workflow
    }

    /// Every task, by id.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// A task of this program.
    ///
    /// # Panics
    ///
    /// Where the id is of another program.
    pub fn task(&self, id: TaskId) -> &Task {
        &self.tasks[id.index()]
    }

    /// A task, where the id may be of another program, such as one from a stored state.
    pub fn get(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(id.index())
    }

    /// The task a reference such as `/do/0/name` leads to.
    pub fn find(&self, reference: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| &*task.reference == reference)
    }

    /// The definition as data: what `$workflow.definition` gives.
    pub fn definition(&self) -> &Value {
        &self.definition
    }

    /// The definition of a task: what `$task.definition` gives.
    pub fn definition_of(&self, task: &Task) -> &Value {
        self.definition.pointer(&task.reference).unwrap_or(&Value::Null)
    }

    /// The hash of the definition's content, for caches and for pinning instances.
    pub fn hash(&self) -> ContentHash {
        self.hash
    }

    /// The list of tasks that a task belongs to, with its place in it. `None` for the task of a function.
    pub fn siblings(&self, id: TaskId) -> Option<(&Block, usize)> {
        let task = self.get(id)?;
        let blocks = if let Some(parent) = task.parent {
            self.task(parent).body.blocks()
        } else {
            let extensions = &self.workflow.extensions;
            let around = extensions.iter().flat_map(|extension| [&extension.before, &extension.after]);
            let undoing = self.tasks.iter().filter_map(|task| task.points.compensate.as_ref()?.block());
            [&self.workflow.tasks].into_iter().chain(around).chain(undoing).collect()
        };
        blocks.into_iter().find_map(|block| {
            let place = block.tasks.iter().position(|other| *other == id)?;
            Some((block, place))
        })
    }

    /// The tasks of people.
    pub fn human_tasks(&self) -> impl Iterator<Item = (&Task, &HumanTask)> {
        self.tasks.iter().filter_map(|task| match &task.body {
            Body::Call(Call::Human(human)) => Some((task, &**human)),
            _ => None,
        })
    }

    /// Where schemas lie that are not part of the definition.
    pub(crate) fn external_schemas(&self) -> impl Iterator<Item = &ExternalResource> {
        let own = [&self.workflow.input, &self.workflow.output];
        let of_tasks = self.tasks.iter().flat_map(|task| [&task.input, &task.output, &task.export]);
        own.into_iter().chain(of_tasks).filter_map(|flow| match &flow.schema {
            Some(Schema::External(resource)) => Some(&**resource),
            _ => None,
        })
    }

    /// What the program asks of whoever runs it.
    pub fn requirements(&self) -> Requirements {
        let mut found = Requirements::default();
        for task in &self.tasks {
            let reference = || task.reference.to_string();
            match &task.body {
                Body::Run(run) if run.process.needs_switch() => found.processes.push(reference()),
                Body::Call(Call::Mcp(call)) if matches!(call.transport, Transport::Stdio { .. }) => {
                    found.processes.push(reference());
                }
                Body::Call(Call::Function(call)) => match &call.function {
                    Function::Cataloged { name, version, catalog } if catalog == DEFAULT_CATALOG => {
                        found.functions.push(format!("{name}:{version}"));
                    }
                    Function::Cataloged { .. } | Function::External(_) => found.fetches.push(reference()),
                    Function::Own(_) => {}
                },
                _ => {}
            }
        }
        found.functions.sort();
        found.functions.dedup();
        found
    }
}
