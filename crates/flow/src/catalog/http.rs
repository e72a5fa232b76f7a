//! `http:1@default`: an HTTP request, with the arguments of `call: http`.

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::{Function, Performed, Prepared, Work, nothing_to_do};
use crate::dsl::points::EffectMode;
use crate::engine::input::Failure;
use crate::engine::state::{HttpCall, HttpOutput};

/// The function.
pub(super) struct Http;

impl Function for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn about(&self) -> &'static str {
        "Makes an HTTP request; the output is the answer's content"
    }

    fn schema(&self) -> &'static str {
        r#"{
            "type": "object",
            "required": ["method", "endpoint"],
            "additionalProperties": false,
            "properties": {
                "method": {"type": "string", "pattern": "^[A-Za-z]+$"},
                "endpoint": {"type": "string", "minLength": 1},
                "headers": {"type": "object"},
                "query": {"type": "object"},
                "body": true,
                "output": {"enum": ["raw", "content", "response"]},
                "redirect": {"type": "boolean"}
            }
        }"#
    }

    fn mode(&self) -> EffectMode {
        EffectMode::AtLeastOnce
    }

    fn keeps(&self) -> bool {
        false
    }

    fn prepare(&self, mut arguments: Map<String, Value>) -> Result<Prepared, Failure> {
        let mut take = |name: &str| arguments.remove(name);
        let text =
            |value: Option<Value>| value.and_then(|it| it.as_str().map(str::to_owned)).unwrap_or_default();
        let members = |value: Option<Value>| match value {
            Some(Value::Object(members)) => members,
            _ => Map::new(),
        };
        Ok(Prepared::Http(HttpCall {
            method: text(take("method")).to_ascii_uppercase(),
            url: text(take("endpoint")),
            headers: members(take("headers")),
            query: members(take("query")),
            body: take("body"),
            output: match text(take("output")).as_str() {
                "raw" => HttpOutput::Raw,
                "response" => HttpOutput::Response,
                _ => HttpOutput::Content,
            },
            takes_redirects: take("redirect") == Some(Value::Bool(true)),
        }))
    }

    fn perform<'a>(&'a self, _: Work<'a>) -> BoxFuture<'a, Result<Performed, Failure>> {
        nothing_to_do()
    }
}
