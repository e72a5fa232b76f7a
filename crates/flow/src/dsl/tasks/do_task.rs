//! `do`: tasks in order. The output of the last is the output.

use super::Block;
use crate::read::{Fields, Reader};

/// Tasks in order.
#[derive(Debug, Clone, Default)]
pub struct Do {
    /// The tasks.
    pub tasks: Block,
}

impl Reader {
    pub(super) fn do_task(&mut self, fields: &mut Fields<'_>) -> Option<Do> {
        let at = fields.required("do", self)?;
        Some(Do { tasks: self.block(&at) })
    }
}
