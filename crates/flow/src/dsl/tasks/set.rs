//! `set`: makes data. The output is what is set.

use trunkline_packs::document::Content;

use crate::expression::{Stage, Template};
use crate::read::{Fields, Reader};

/// Makes data.
#[derive(Debug, Clone)]
pub struct Set {
    /// The data: a mapping with expressions inside, or one expression.
    pub data: Template,
}

impl Reader {
    pub(super) fn set(&mut self, fields: &mut Fields<'_>) -> Option<Set> {
        let at = fields.required("set", self)?;
        if matches!(at.node.content, Content::Map(_)) && at.entries().is_empty() {
            self.shape(&at, "nothing is set", "add a key");
        }
        self.transformation(&at, Stage::Body).map(|data| Set { data })
    }
}
