//! `sms:1@default`: sends a text message by way of the hub's notifier; at most once unless the task says otherwise.

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use trunkline_model::outlets::MessageChannel;

use super::{Function, FunctionCall, Performed, Prepared, Work, email};
use crate::dsl::points::EffectMode;
use crate::engine::input::Failure;

/// The function.
pub(super) struct Sms;

impl Function for Sms {
    fn name(&self) -> &'static str {
        "sms"
    }

    fn about(&self) -> &'static str {
        "Sends a text message; the output is the id that the sender gives it"
    }

    fn schema(&self) -> &'static str {
        r#"{
            "type": "object",
            "required": ["to", "body"],
            "additionalProperties": false,
            "properties": {
                "to": {"type": "string", "pattern": "^[+][1-9][0-9]{5,14}$"},
                "body": {"type": "string", "minLength": 1, "maxLength": 1600}
            }
        }"#
    }

    fn mode(&self) -> EffectMode {
        EffectMode::AtMostOnce
    }

    fn keeps(&self) -> bool {
        false
    }

    fn prepare(&self, arguments: Map<String, Value>) -> Result<Prepared, Failure> {
        Ok(Prepared::Task(FunctionCall::new(self, arguments)))
    }

    fn perform<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Result<Performed, Failure>> {
        Box::pin(email::send(work, MessageChannel::Sms))
    }
}
