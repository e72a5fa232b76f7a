//! Flow directives: where to go when a task is done.

use trunkline_packs::Position;

use crate::program::TaskId;
use crate::read::{At, Reader};

/// Where to go, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Directive {
    /// To the next task in order.
    Continue,
    /// Out of the list of tasks.
    Exit,
    /// To the end of the workflow.
    End,
    /// To a task of the same list.
    Task(String),
}

/// Where to go, found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// To this task, which is in the same list.
    Task(TaskId),
    /// The list is done, since this was its last task.
    EndOfList,
    /// The list is left before its end.
    Exit,
    /// The workflow completes.
    End,
}

/// A place where the flow is directed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jump {
    /// As written; `continue` where nothing is.
    pub directive: Directive,
    /// Where it leads.
    pub next: Next,
    pub(crate) position: Position,
    pub(crate) pointer: String,
}

impl Jump {
    /// To the next task in order, said by nobody.
    pub(crate) fn onward(at: &At<'_>) -> Self {
        Self {
            directive: Directive::Continue,
            next: Next::EndOfList,
            position: at.position,
            pointer: at.pointer.clone(),
        }
    }
}

impl Reader {
    /// Reads a directive.
    pub(crate) fn jump(&mut self, at: &At<'_>) -> Option<Jump> {
        let directive = match self.text(at)? {
            "continue" => Directive::Continue,
            "exit" => Directive::Exit,
            "end" => Directive::End,
            name => Directive::Task(name.to_owned()),
        };
        Some(Jump { directive, ..Jump::onward(at) })
    }
}
