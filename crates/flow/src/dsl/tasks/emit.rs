//! `emit`: appends an event to the journal. The task's output is the event as emitted.

use crate::dsl::events::EventDefinition;
use crate::expression::Stage;
use crate::read::{Extra, Fields, Reader};
use crate::rule::Rule;

/// Emits an event.
#[derive(Debug, Clone)]
pub struct Emit {
    /// The event.
    pub event: EventDefinition,
}

impl Reader {
    pub(super) fn emit(&mut self, fields: &mut Fields<'_>) -> Option<Emit> {
        let at = fields.required("emit", self)?;
        let mut fields = Fields::open(&at, "`emit`", self)?;
        let event = fields.required("event", self);
        fields.close(Extra::Closed, self);
        let at = event?;
        let mut fields = Fields::open(&at, "an event to emit", self)?;
        let with = fields.optional("with");
        if with.is_none() {
            self.rule(Rule::Values, &at, "the event has no properties", "add `with`, and in it a `type`");
        }
        fields.close(Extra::Open, self);
        Some(Emit { event: self.event_definition(&with?, Stage::Body)? })
    }
}
