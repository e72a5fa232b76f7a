//! `wait`: waits for a time. The output is the input.

use crate::dsl::duration::Delay;
use crate::expression::Stage;
use crate::read::{Fields, Reader};

/// Waits for a time.
#[derive(Debug, Clone)]
pub struct Wait {
    /// How long.
    pub duration: Delay,
}

impl Reader {
    pub(super) fn wait(&mut self, fields: &mut Fields<'_>) -> Option<Wait> {
        let at = fields.required("wait", self)?;
        self.duration(&at, Stage::Body).map(|duration| Wait { duration })
    }
}
