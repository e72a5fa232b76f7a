//! Undoing (rule 47): tasks that name what undoes them are remembered as they are done. When what they belong to fails or is
//! cancelled, they are undone, the last one first, by tasks like all others: durable, under keys of their own, and taken up
//! again after a crash.
//!
//! ```text
//! a task is done ─► remembered        `try` gives an error to its handler ─► what was done within is undone ─► handler
//!                                     a race is won ─► what the losers did is undone ─► on
//!                                     the instance fails or is cancelled ─► the rest is undone ─► end
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Machine, Todo};
use crate::dsl::compensate::Compensate;
use crate::dsl::error::StandardError;
use crate::dsl::tasks::Task;
use crate::engine::input::{Failure, Outcome};
use crate::engine::state::{AfterUndoing, Done, Frame, Purpose, ROOT, State, Undoing, Work};

/// The most tasks that an instance remembers.
const MAX_DONE: usize = 1_000;

/// Whether an instance has failed or was cancelled, and undoes what it did.
pub(crate) fn is_ending(state: &State) -> bool {
    state.frames.get(&ROOT).is_some_and(|root| root.undoing.is_some())
}

impl Machine<'_> {
    /// Remembers a task that was done and can be undone. What undoes it stands for what would undo the tasks within it.
    pub(super) fn remember(&mut self, frame: u32, task: &Task, output: &Value) -> Result<(), Failure> {
        if task.points.compensate.is_none() || self.undo_around(frame).is_some() {
            return Ok(());
        }
        let path = self.path_of(frame);
        let mut within = Vec::new();
        let mut at = frame;
        while at != ROOT {
            at = self.frame(at).parent;
            within.push(at);
        }
        self.state.done.retain(|done| done.path != path && !done.within.contains(&frame));
        let input = self.frame(frame).input.clone();
        self.state.done.push(Done {
            task: task.id,
            path,
            within,
            input,
            output: output.clone(),
            spent: BTreeSet::new(),
        });
        if self.state.done.len() > MAX_DONE {
            let detail = format!("more than {MAX_DONE} tasks would have to be undone");
            return Err(Failure::standard(StandardError::Runtime, detail));
        }
        Ok(())
    }

    /// The frame that undoes a task, for a frame within it.
    pub(super) fn undo_around(&self, mut frame: u32) -> Option<u32> {
        while let Some(at) = self.state.frames.get(&frame) {
            if matches!(at.work, Work::Undo { .. }) {
                return Some(frame);
            }
            if frame == ROOT {
                break;
            }
            frame = at.parent;
        }
        None
    }

    /// Undoes what was done within a frame, and goes on.
    pub(super) fn undo_within(&mut self, frame: u32, then: AfterUndoing) {
        let of_frame = |done: &Done| done.within.contains(&frame);
        let (left, rest) = std::mem::take(&mut self.state.done).into_iter().partition(of_frame);
        self.state.done = rest;
        self.undo(frame, left, then);
    }

    /// A race is won: the others end, and what they did is undone.
    pub(super) fn won(&mut self, frame: u32, output: Value, context: Value) {
        let losers: Vec<u32> =
            self.state.frames.iter().filter(|(_, it)| it.parent == frame).map(|(id, _)| *id).collect();
        self.drop_children(frame);
        let of_losers = |done: &Done| done.within.iter().any(|id| losers.contains(id));
        let (left, rest) = std::mem::take(&mut self.state.done).into_iter().partition(of_losers);
        self.state.done = rest;
        self.undo(frame, left, AfterUndoing::Join { output, context });
    }

    /// Undoes everything before an instance ends that has not come to its end; gives how it ends where there is nothing
    /// left to undo.
    pub(super) fn undo_everything(&mut self, outcome: Outcome) -> Option<Outcome> {
        if matches!(outcome, Outcome::Completed(_)) || !self.state.frames.contains_key(&ROOT) {
            return Some(outcome);
        }
        if let Some(undoing) = self.frame(ROOT).undoing.take() {
            // Even that does not come to its end.
            let n_left = undoing.left.len() + usize::from(undoing.now.is_some());
            self.state.undone.n_failed += n_left as u32;
            return Some(match undoing.then {
                AfterUndoing::End(first) => first,
                AfterUndoing::Handle(_) | AfterUndoing::Join { .. } => outcome,
            });
        }
        self.drop_children(ROOT);
        if self.state.done.is_empty() {
            return Some(outcome);
        }
        self.todo.clear();
        self.n_steps = 0;
        self.state.suspended = None;
        self.state.effects.retain(|_, effect| effect.frame != ROOT);
        let timeout = self.frame(ROOT).timeout.take();
        self.clear_timer(timeout);
        debug_assert!(
            !self.state.timers.values().any(|it| it.frame == ROOT && it.purpose == Purpose::Timeout)
        );
        let left = std::mem::take(&mut self.state.done);
        self.undo(ROOT, left, AfterUndoing::End(outcome));
        None
    }

    fn undo(&mut self, frame: u32, left: Vec<Done>, then: AfterUndoing) {
        if left.is_empty() {
            return self.after_undoing(frame, then);
        }
        self.frame(frame).undoing = Some(Box::new(Undoing { left, now: None, then }));
        self.undo_next(frame);
    }

    fn undo_next(&mut self, frame: u32) {
        let Some(undoing) = &mut self.frame(frame).undoing else { return };
        let Some(done) = undoing.left.pop() else {
            let Some(undoing) = self.frame(frame).undoing.take() else { return };
            return self.after_undoing(frame, undoing.then);
        };
        undoing.now = Some(done.clone());
        self.state.spent.extend(done.spent.iter().cloned());
        let given = json!({"input": done.input, "output": done.output});
        let undo = self.state.take_id();
        let task = self.program.task(done.task);
        let at = Frame {
            parent: frame,
            task: Some(done.task),
            visit: 0,
            place: 0,
            raw_input: given.clone(),
            input: given.clone(),
            started_at: self.at,
            timeout: None,
            context: None,
            visits: BTreeMap::new(),
            extended: None,
            promise: None,
            undoing: None,
            work: Work::Undo { path: done.path },
        };
        self.state.frames.insert(undo, at);
        match &task.points.compensate {
            Some(Compensate::Tasks(block)) => self.start_list(undo, block, given),
            Some(Compensate::Function(name)) => match self.program.workflow().functions.get(name) {
                Some(function) => {
                    let task = *function;
                    self.todo.push_back(Todo::Enter { parent: undo, place: 0, task, input: given });
                }
                None => self.undone(undo, None),
            },
            None => self.undone(undo, None),
        }
    }

    /// What undoes a task has come to its end, or failed: the others are undone all the same.
    pub(super) fn undone(&mut self, undo: u32, failure: Option<&Failure>) {
        let scope = self.frame(undo).parent;
        self.drop_tree(undo);
        if let Some(undoing) = &mut self.frame(scope).undoing {
            undoing.now = None;
        }
        match failure {
            None => self.state.undone.n_done += 1,
            Some(_) => self.state.undone.n_failed += 1,
        }
        self.undo_next(scope);
    }

    fn after_undoing(&mut self, frame: u32, then: AfterUndoing) {
        match then {
            AfterUndoing::End(outcome) => self.end(outcome),
            AfterUndoing::Handle(failure) => self.handle_finally(frame, failure),
            AfterUndoing::Join { output, context } => {
                *self.context_mut(frame) = context;
                self.todo.push_back(Todo::Finish { frame, output, next: None });
            }
        }
    }

    /// A frame falls while it undoes: what is left is for whatever is around it.
    pub(super) fn leave_undone(&mut self, frame: u32) {
        let undoing = self.state.frames.get_mut(&frame).and_then(|it| it.undoing.take());
        let Some(undoing) = undoing else { return };
        self.state.done.extend(undoing.left);
        if let Some(mut now) = undoing.now {
            // It is begun again, and what may be done once only was perhaps done.
            now.spent.clone_from(&self.state.spent);
            self.state.done.push(now);
        }
    }
}
