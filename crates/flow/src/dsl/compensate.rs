//! What undoes a task, under `metadata.trunkline.compensate` (rule 47): a list of tasks, or a function of the definition.

use trunkline_packs::document::Content;

use super::tasks::Block;
use crate::read::{At, Component, Reader};

/// What undoes a task.
#[derive(Debug, Clone)]
pub enum Compensate {
    /// The function of this name.
    Function(String),
    /// Tasks of its own.
    Tasks(Block),
}

impl Compensate {
    /// The tasks, where they stand with the task.
    pub fn block(&self) -> Option<&Block> {
        match self {
            Self::Function(_) => None,
            Self::Tasks(block) => Some(block),
        }
    }
}

impl Reader {
    /// Reads what undoes a task. It runs when the task is long over: variables of loops around it are gone by then, and
    /// it is part of no other task.
    pub(super) fn compensate(&mut self, at: &At<'_>) -> Option<Compensate> {
        if let Content::Text(name) = &at.node.content {
            self.component_declared(Component::Function, name, at);
            return Some(Compensate::Function(name.clone()));
        }
        let block = self.alone(|reader| reader.block(at));
        if block.tasks.is_empty() {
            self.shape(at, "nothing undoes the task", "write a list of tasks, or the name of a function");
            return None;
        }
        Some(Compensate::Tasks(block))
    }
}
