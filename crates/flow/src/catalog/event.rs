//! `event:1@default`: appends an event to the journal, as `emit` does; the output is the event.

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::{Function, Performed, Prepared, Work, nothing_to_do};
use crate::dsl::points::EffectMode;
use crate::engine::input::Failure;

/// The function.
pub(super) struct Event;

impl Function for Event {
    fn name(&self) -> &'static str {
        "event"
    }

    fn about(&self) -> &'static str {
        "Appends an event to the journal; the output is the event"
    }

    fn schema(&self) -> &'static str {
        r#"{
            "type": "object",
            "required": ["type"],
            "additionalProperties": false,
            "properties": {
                "type": {"type": "string", "minLength": 1},
                "subject": {"type": ["string", "null"]},
                "source": {"type": "string", "minLength": 1},
                "dataschema": {"type": "string"},
                "data": true
            }
        }"#
    }

    fn mode(&self) -> EffectMode {
        EffectMode::AtLeastOnce
    }

    fn keeps(&self) -> bool {
        true
    }

    fn prepare(&self, arguments: Map<String, Value>) -> Result<Prepared, Failure> {
        Ok(Prepared::Event(arguments))
    }

    fn perform<'a>(&'a self, _: Work<'a>) -> BoxFuture<'a, Result<Performed, Failure>> {
        nothing_to_do()
    }
}
