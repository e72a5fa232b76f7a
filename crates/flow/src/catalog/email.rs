//! `email:1@default`: sends an e-mail by way of the hub's notifier; at most once unless the task says otherwise.

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use trunkline_model::outlets::{Message, MessageChannel, NotSent};

use super::{Function, FunctionCall, Performed, Prepared, Work};
use crate::dsl::error::StandardError;
use crate::dsl::points::EffectMode;
use crate::engine::input::Failure;

/// The function.
pub(super) struct Email;

impl Function for Email {
    fn name(&self) -> &'static str {
        "email"
    }

    fn about(&self) -> &'static str {
        "Sends an e-mail; the output is the id that the sender gives it"
    }

    fn schema(&self) -> &'static str {
        r#"{
            "type": "object",
            "required": ["to", "subject", "body"],
            "additionalProperties": false,
            "properties": {
                "to": {
                    "type": ["string", "array"],
                    "minLength": 3,
                    "minItems": 1,
                    "maxItems": 100,
                    "items": {"type": "string", "minLength": 3, "maxLength": 320}
                },
                "subject": {"type": "string", "minLength": 1, "maxLength": 998},
                "body": {"type": "string", "maxLength": 1000000}
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
        Box::pin(send(work, MessageChannel::Email))
    }
}

/// Hands a message to the notifier.
pub(super) async fn send(work: Work<'_>, channel: MessageChannel) -> Result<Performed, Failure> {
    let Some(notifier) = &work.outlets.notifier else {
        let detail = format!("this hub has no way to send {}: no notifier is configured", channel.as_str());
        return Err(Failure::standard(StandardError::Configuration, detail));
    };
    let to = match work.arguments.get("to") {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(one)) => vec![one.clone()],
        _ => Vec::new(),
    };
    let message = Message {
        tenant: work.tenant.clone(),
        channel,
        key: work.key.to_owned(),
        to,
        subject: work.text("subject").map(str::to_owned),
        body: work.text("body").unwrap_or_default().to_owned(),
    };
    match notifier.send(&message).await {
        Ok(sent) => Ok(Performed::new(json!({"id": sent.id}))),
        Err(error) => {
            let kind = match error {
                NotSent::NotConfigured(_) => StandardError::Configuration,
                NotSent::Refused(_) => StandardError::Validation,
                NotSent::Failed(_) => StandardError::Communication,
            };
            Err(Failure::standard(kind, error.to_string()))
        }
    }
}
