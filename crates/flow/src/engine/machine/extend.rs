//! What extensions do around tasks (rule 35).
//!
//! ```text
//! if, input ─► before of the 1st, 2nd, … ─► body ─► output, export ─► after of the …, 2nd, 1st ─► next task
//!                    └ exit: its output takes the place of the body's ────┘
//! ```

use serde_json::Value;

use super::{Machine, Todo};
use crate::dsl::flow::Next;
use crate::dsl::tasks::Task;
use crate::dsl::workflow::Extension;
use crate::engine::input::Failure;
use crate::engine::state::{ExtendStage, Extended, ROOT, Work};

impl<'a> Machine<'a> {
    /// Begins what extensions do before a task. Gives whether there are any that apply to it.
    pub(super) fn extend(&mut self, frame: u32, task: &'a Task) -> Result<bool, Failure> {
        let extensions = &self.program.workflow().extensions;
        if extensions.is_empty() || self.is_in_extension(frame) {
            return Ok(false);
        }
        // From here on `$task` is what the extension sees.
        let work = std::mem::replace(&mut self.frame(frame).work, Work::Extending);
        let kind = task.body.kind();
        let input = self.frame(frame).input.clone();
        let mut applied = Vec::new();
        for (place, extension) in extensions.iter().enumerate().filter(|(_, it)| it.target.takes(kind)) {
            let holds = match &extension.when {
                None => true,
                Some(when) => self.eval(frame, |view| when.holds(&input, view))?,
            };
            if holds {
                applied.push(place as u32);
            }
        }
        if applied.is_empty() {
            self.frame(frame).work = work;
            return Ok(false);
        }
        let extended = Extended { applied, at: 0, stage: ExtendStage::Before, output: None, next: None };
        self.frame(frame).extended = Some(Box::new(extended));
        self.extend_before(frame);
        Ok(true)
    }

    fn is_in_extension(&self, mut frame: u32) -> bool {
        while let Some(at) = self.state.frames.get(&frame) {
            if matches!(at.work, Work::Extending) {
                return true;
            }
            if frame == ROOT {
                break;
            }
            frame = at.parent;
        }
        false
    }

    fn extended(&mut self, frame: u32) -> &mut Extended {
        let extended = self.frame(frame).extended.as_mut();
        extended.expect("invariant: a frame that extends knows its extensions")
    }

    /// The extension a frame is at, where it is at one.
    fn extension(&mut self, frame: u32) -> Option<&'a Extension> {
        let extended = self.extended(frame);
        let place = extended.applied.get(extended.at as usize).copied()?;
        self.program.workflow().extensions.get(place as usize)
    }

    fn extend_before(&mut self, frame: u32) {
        while let Some(extension) = self.extension(frame) {
            if !extension.before.tasks.is_empty() {
                let input = self.frame(frame).input.clone();
                self.start_list(frame, &extension.before, input);
                return;
            }
            self.extended(frame).at += 1;
        }
        self.extended(frame).stage = ExtendStage::Body;
        self.frame(frame).work = Work::List;
        self.pass_gates(frame, None);
    }

    /// A list of an extension has come to its end.
    pub(super) fn extension_done(&mut self, frame: u32) {
        match self.extended(frame).stage {
            ExtendStage::Before => {
                self.extended(frame).at += 1;
                self.extend_before(frame);
            }
            ExtendStage::Body | ExtendStage::After => self.extend_after(frame),
        }
    }

    /// Whether leaving the list of a frame with `exit` puts something in the place of a task.
    pub(super) fn is_before(&self, frame: u32) -> bool {
        let at = self.state.frames.get(&frame);
        at.is_some_and(|at| {
            matches!(at.work, Work::Extending)
                && at.extended.as_ref().is_some_and(|it| it.stage == ExtendStage::Before)
        })
    }

    /// What came out before the task takes the place of what the task gives.
    pub(super) fn replace(&mut self, frame: u32, output: Value) {
        let extended = self.extended(frame);
        // Extensions that were not reached have nothing to do afterwards either.
        extended.applied.truncate(extended.at as usize + 1);
        extended.stage = ExtendStage::Body;
        self.frame(frame).work = Work::List;
        self.todo.push_back(Todo::Finish { frame, output, next: None });
    }

    /// Begins what extensions do after a task; gives whether there are any.
    pub(super) fn extends_after(&mut self, frame: u32, output: &Value, next: Next) -> bool {
        let Some(extended) = &mut self.frame(frame).extended else { return false };
        extended.stage = ExtendStage::After;
        extended.at = extended.applied.len() as u32;
        (extended.output, extended.next) = (Some(output.clone()), Some(next));
        self.frame(frame).work = Work::Extending;
        self.extend_after(frame);
        true
    }

    fn extend_after(&mut self, frame: u32) {
        while self.extended(frame).at > 0 {
            self.extended(frame).at -= 1;
            if let Some(extension) = self.extension(frame).filter(|it| !it.after.tasks.is_empty()) {
                let output = self.extended(frame).output.clone().unwrap_or_default();
                self.start_list(frame, &extension.after, output);
                return;
            }
        }
        let extended = self.extended(frame);
        let (output, next) = (extended.output.take().unwrap_or_default(), extended.next);
        self.leave(frame, output, next.unwrap_or(Next::EndOfList));
    }
}
