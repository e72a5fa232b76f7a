//! `noop:1@default`: does nothing and gives back what it was given; a durable effect like any other, for measuring and for
//! drafts.

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::{Function, FunctionCall, Performed, Prepared, Work};
use crate::dsl::points::EffectMode;
use crate::engine::input::Failure;

/// The function.
pub(super) struct Noop;

impl Function for Noop {
    fn name(&self) -> &'static str {
        "noop"
    }

    fn about(&self) -> &'static str {
        "Does nothing; the output is what it was given"
    }

    fn schema(&self) -> &'static str {
        r#"{"type": "object"}"#
    }

    fn mode(&self) -> EffectMode {
        EffectMode::AtLeastOnce
    }

    fn keeps(&self) -> bool {
        false
    }

    fn prepare(&self, arguments: Map<String, Value>) -> Result<Prepared, Failure> {
        Ok(Prepared::Task(FunctionCall::new(self, arguments)))
    }

    fn perform<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Result<Performed, Failure>> {
        Box::pin(async move { Ok(Performed::new(Value::Object(work.arguments.clone()))) })
    }
}
