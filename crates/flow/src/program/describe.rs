//! A program as data, for people who look into it: what became of each task, and where it leads.

use serde::Serialize;

use super::{Program, TaskId};
use crate::dsl::flow::Next;
use crate::dsl::tasks::{Body, Task};

/// A program as data. Stable for a definition; not meant to be read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Description {
    /// The hash of the content.
    pub hash: String,
    /// `namespace/name:version`.
    pub name: String,
    /// The tasks the workflow begins with.
    pub start: Vec<TaskId>,
    /// Every task.
    pub tasks: Vec<TaskDescription>,
}

/// A task as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskDescription {
    /// Its id.
    pub id: TaskId,
    /// Its name.
    pub name: String,
    /// Its reference.
    pub reference: String,
    /// Its kind.
    pub kind: &'static str,
    /// The line it stands on.
    pub line: u32,
    /// The task it is part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<TaskId>,
    /// Where it leads when it is done: an id, or `end of list`, `exit`, `end`.
    pub next: String,
    /// Where else it can lead, by case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cases: Vec<(String, String)>,
    /// The lists of tasks in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Vec<TaskId>>,
}

impl Program {
    /// Describes the program.
    pub fn describe(&self) -> Description {
        let document = &self.workflow.document;
        Description {
            hash: self.hash.to_string(),
            name: format!("{}/{}:{}", document.namespace, document.name, document.version),
            start: self.workflow.tasks.tasks.clone(),
            tasks: self.tasks.iter().map(describe).collect(),
        }
    }
}

fn describe(task: &Task) -> TaskDescription {
    let cases = match &task.body {
        Body::Switch(body) => {
            body.cases.iter().map(|case| (case.name.to_string(), word(case.then.next))).collect()
        }
        Body::Try(body) => body.catch.then.iter().map(|jump| ("catch".to_owned(), word(jump.next))).collect(),
        _ => Vec::new(),
    };
    TaskDescription {
        id: task.id,
        name: task.name.to_string(),
        reference: task.reference.to_string(),
        kind: task.body.kind().word(),
        line: task.position.line,
        parent: task.parent,
        next: word(task.then.next),
        cases,
        blocks: task.body.blocks().into_iter().map(|block| block.tasks.clone()).collect(),
    }
}

fn word(next: Next) -> String {
    match next {
        Next::Task(id) => id.to_string(),
        Next::EndOfList => "end of list".to_owned(),
        Next::Exit => "exit".to_owned(),
        Next::End => "end".to_owned(),
    }
}
