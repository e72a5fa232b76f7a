//! `raise`: raises an error.

use std::sync::Arc;

use trunkline_packs::document::Content;

use crate::dsl::error::ErrorDefinition;
use crate::expression::Stage;
use crate::read::{Component, Extra, Fields, Reader};

/// Raises an error.
#[derive(Debug, Clone)]
pub struct Raise {
    /// The error.
    pub error: Arc<ErrorDefinition>,
}

impl Reader {
    pub(super) fn raise(&mut self, fields: &mut Fields<'_>) -> Option<Raise> {
        let at = fields.required("raise", self)?;
        let mut fields = Fields::open(&at, "`raise`", self)?;
        let error = fields.required("error", self);
        fields.close(Extra::Closed, self);
        let at = error?;
        let error = if let Content::Text(name) = &at.node.content {
            self.component_declared(Component::Error, name, &at);
            self.components.errors.get(name).cloned()
        } else {
            self.error_definition(&at, Stage::Body).map(Arc::new)
        };
        error.map(|error| Raise { error })
    }
}
