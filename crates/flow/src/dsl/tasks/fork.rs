//! `fork`: tasks side by side. Without competition the output is the list of the branches' outputs in declared order;
//! with it, the output of the first branch to complete, and the others are cancelled (rules 1 to 3).

use super::Block;
use crate::read::{Extra, Fields, Reader};
use crate::rule::Rule;

/// Tasks side by side.
#[derive(Debug, Clone)]
pub struct Fork {
    /// The branches, a task each.
    pub branches: Block,
    /// What is waited for.
    pub join: Join,
}

/// What a fork waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// Every branch.
    All,
    /// The first branch to complete.
    First,
}

impl Reader {
    pub(super) fn fork(&mut self, fields: &mut Fields<'_>) -> Option<Fork> {
        let at = fields.required("fork", self)?;
        let mut fields = Fields::open(&at, "`fork`", self)?;
        let branches = fields.required("branches", self).map(|at| self.block(&at));
        let compete = fields.optional("compete").and_then(|at| self.flag(&at));
        fields.close(Extra::Closed, self);
        let branches = branches?;
        let join = if compete == Some(true) { Join::First } else { Join::All };
        if join == Join::First && branches.tasks.is_empty() {
            self.rule(Rule::ForkCompete, &at, "a race without branches has no winner", "add branches");
        }
        Some(Fork { branches, join })
    }
}
