//! Frames and what hangs on them: timers, subscriptions, calls, children, contexts.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use trunkline_model::Timestamp;

use super::Machine;
use super::promises::PromiseEnd;
use crate::dsl::lifecycle::TaskChange;
use crate::engine::people::TaskStatus;
use crate::engine::state::{Effect, Frame, Purpose, ROOT, Timer, Work};

impl Machine<'_> {
    pub(super) fn frame(&mut self, id: u32) -> &mut Frame {
        self.state.frames.get_mut(&id).expect("invariant: a frame is there until it is dropped")
    }

    pub(super) fn place_of(&mut self, frame: u32) -> (u32, u32) {
        let frame = self.frame(frame);
        (frame.parent, frame.place)
    }

    pub(super) fn set_timer(&mut self, frame: u32, purpose: Purpose, after: Duration) -> u32 {
        self.set_timer_at(frame, purpose, self.at.plus(after))
    }

    pub(super) fn set_timer_at(&mut self, frame: u32, purpose: Purpose, fire_at: Timestamp) -> u32 {
        let timer = Timer { fire_at, frame, purpose };
        let id = self.state.take_id();
        self.changes.timers_set.push((id, timer.clone()));
        self.state.timers.insert(id, timer);
        id
    }

    pub(super) fn clear_timer(&mut self, id: Option<u32>) {
        let Some((id, timer)) = id.and_then(|id| self.state.timers.remove_entry(&id)) else { return };
        let n_before = self.changes.timers_set.len();
        self.changes.timers_set.retain(|(other, _)| *other != id);
        if self.changes.timers_set.len() == n_before {
            self.changes.timers_cleared.push((id, timer));
        }
    }

    pub(super) fn clear_wait(&mut self, id: u32) {
        let Some(wait) = self.state.waits.remove(&id) else { return };
        let Some(task) = self.state.frames.get(&wait.frame).and_then(|frame| frame.task) else { return };
        let n_before = self.changes.waits_set.len();
        self.changes.waits_set.retain(|(other, ..)| *other != id);
        if self.changes.waits_set.len() == n_before {
            self.changes.waits_cleared.push((id, wait, task));
        }
    }

    pub(super) fn clear_waits(&mut self, frame: u32) {
        let mine: Vec<u32> =
            self.state.waits.iter().filter(|(_, wait)| wait.frame == frame).map(|(id, _)| *id).collect();
        for id in mine {
            self.clear_wait(id);
        }
    }

    pub(super) fn add_effect(&mut self, frame: u32, effect: impl FnOnce(String) -> Effect) -> u32 {
        let key = self.key_of(frame);
        let id = self.state.take_id();
        self.state.effects.insert(id, effect(key));
        id
    }

    /// Takes a frame away with what it waits for; its children must be gone.
    pub(super) fn drop_frame(&mut self, id: u32) -> Option<Frame> {
        let frame = self.state.frames.get(&id)?;
        let timeout = frame.timeout;
        match frame.work.clone() {
            Work::Wait { timer } => self.clear_timer(Some(timer)),
            Work::Try { limit, .. } => self.clear_timer(limit),
            Work::Effect { effect } => drop(self.state.effects.remove(&effect)),
            Work::Child { effect, id, .. } => {
                if let Some(effect) = effect {
                    self.state.effects.remove(&effect);
                }
                self.changes.children_dropped.extend(id);
            }
            Work::Listen(_) => {
                self.clear_waits(id);
                self.state.effects.retain(|_, effect| effect.frame != id);
            }
            Work::Person(_) => drop(self.close_task(id, TaskStatus::Cancelled)),
            Work::Extending
            | Work::Root
            | Work::List
            | Work::Loop { .. }
            | Work::Fork { .. }
            | Work::Queued
            | Work::Undo { .. } => {}
        }
        self.clear_timer(timeout);
        self.give_back(id);
        self.settle(id, PromiseEnd::Dropped);
        self.leave_undone(id);
        // Retries and due dates are timers that the work does not name.
        let rest: Vec<u32> =
            self.state.timers.iter().filter(|(_, timer)| timer.frame == id).map(|(id, _)| *id).collect();
        for timer in rest {
            self.clear_timer(Some(timer));
        }
        #[cfg(test)]
        if let Some(frame) = self.state.frames.get(&id)
            && let (Some(task), false) = (frame.task, matches!(frame.work, Work::Undo { .. }))
        {
            self.changes.trace.push((id, task, super::tests::Became::Dropped));
        }
        let frame = self.state.frames.remove(&id);
        // Where nothing is tried again no key comes again.
        let may_repeat = |it: &Frame| matches!(it.work, Work::Try { .. }) || it.undoing.is_some();
        if !self.state.frames.values().any(may_repeat) {
            self.state.spent.clear();
        }
        frame
    }

    /// Takes the children of a frame away, and theirs.
    pub(super) fn drop_children(&mut self, frame: u32) {
        let mut doomed = BTreeSet::from([frame]);
        for (id, child) in self.state.frames.range(frame + 1..) {
            if doomed.contains(&child.parent) {
                doomed.insert(*id);
            }
        }
        for id in doomed.into_iter().skip(1).rev() {
            if !matches!(self.frame(id).work, Work::Undo { .. }) {
                self.note_task(id, TaskChange::Cancelled, None);
            }
            self.drop_frame(id);
        }
    }

    pub(super) fn drop_tree(&mut self, frame: u32) {
        self.drop_children(frame);
        self.drop_frame(frame);
    }

    pub(super) fn context_frame(&self, mut frame: u32) -> Option<u32> {
        loop {
            let at = self.state.frames.get(&frame)?;
            if at.context.is_some() {
                return Some(frame);
            }
            if frame == ROOT {
                return None;
            }
            frame = at.parent;
        }
    }

    pub(super) fn context_of(&self, frame: u32) -> &Value {
        let own = self.context_frame(frame).and_then(|frame| self.state.frames[&frame].context.as_ref());
        own.unwrap_or(&self.state.context)
    }

    pub(super) fn context_mut(&mut self, frame: u32) -> &mut Value {
        match self.context_frame(frame) {
            Some(id) => self.frame(id).context.get_or_insert(Value::Null),
            None => &mut self.state.context,
        }
    }
}
