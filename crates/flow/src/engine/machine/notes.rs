//! What a step did to tasks and to the instance, for those who want to hear of it: timelines, and the lifecycle events of
//! the specification. Nothing is noted unless somebody asks.

use trunkline_model::Timestamp;

use super::Machine;
use crate::dsl::lifecycle::{Noting, TaskChange, WorkflowChange};
use crate::engine::input::{Failure, Outcome};
use crate::engine::state::{ROOT, State, Work};
use crate::program::TaskId;

/// The most notes of one step; what comes after is left out.
const MAX_NOTES: usize = 10_000;

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The instance.
    Workflow(WorkflowChange),
    /// A task.
    Task(TaskChange),
}

/// One thing that a step did.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// What.
    pub change: Change,
    /// To which task; none for the instance.
    pub task: Option<TaskId>,
    /// Which attempt of the nearest `try` it was in, from 1.
    pub attempt: u32,
    /// When the task began.
    pub since: Timestamp,
    /// The error it ended in, or was tried again for.
    pub error: Option<Failure>,
}

/// Which attempt of the nearest `try` a frame is in, from 1.
pub(crate) fn attempt_of(state: &State, mut frame: u32) -> u32 {
    while let Some(at) = state.frames.get(&frame) {
        if let Work::Try { n_retries, .. } = at.work {
            return n_retries + 1;
        }
        if frame == ROOT {
            break;
        }
        frame = at.parent;
    }
    1
}

impl Machine<'_> {
    pub(super) fn note_task(&mut self, frame: u32, change: TaskChange, error: Option<&Failure>) {
        if self.noting < Noting::Tasks || self.changes.notes.len() >= MAX_NOTES {
            return;
        }
        let Some(at) = self.state.frames.get(&frame) else { return };
        let Some(task) = at.task else { return };
        self.changes.notes.push(Note {
            change: Change::Task(change),
            task: Some(task),
            attempt: attempt_of(self.state, frame),
            since: at.started_at,
            error: error.cloned(),
        });
    }

    /// Notes the same of every task under way.
    pub(super) fn note_tasks(&mut self, change: TaskChange) {
        if self.noting < Noting::Tasks {
            return;
        }
        let frames: Vec<u32> = self.state.frames.keys().copied().collect();
        for frame in frames {
            self.note_task(frame, change, None);
        }
    }

    pub(super) fn note_workflow(&mut self, change: WorkflowChange, error: Option<&Failure>) {
        if self.noting < Noting::Workflow {
            return;
        }
        self.changes.notes.push(Note {
            change: Change::Workflow(change),
            task: None,
            attempt: 1,
            since: self.state.started_at,
            error: error.cloned(),
        });
    }

    pub(super) fn note_end(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Completed(_) => self.note_workflow(WorkflowChange::Completed, None),
            Outcome::Failed(failure) => self.note_workflow(WorkflowChange::Faulted, Some(failure)),
            Outcome::Cancelled(_) => self.note_workflow(WorkflowChange::Cancelled, None),
        }
    }
}
