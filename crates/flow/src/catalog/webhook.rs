//! `webhook:1@default`: sends an event to one endpoint, signed and retried as that endpoint's webhooks are. The output
//! names the delivery; the workflow does not wait for its success.

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use trunkline_model::outlets::{OwedWebhook, WebhookNotSent};
use trunkline_model::{EndpointId, EventType};

use super::{Function, FunctionCall, Performed, Prepared, Work};
use crate::dsl::error::StandardError;
use crate::dsl::points::EffectMode;
use crate::engine::input::Failure;
use crate::engine::machine::hex_digest;

/// The function.
pub(super) struct Webhook;

impl Function for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn about(&self) -> &'static str {
        "Sends an event to one endpoint, signed and retried as its webhooks are; the output names the delivery"
    }

    fn schema(&self) -> &'static str {
        r#"{
            "type": "object",
            "required": ["endpoint", "type"],
            "additionalProperties": false,
            "properties": {
                "endpoint": {"type": "string", "maxLength": 256, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]+$"},
                "type": {"type": "string", "minLength": 1},
                "subject": {"type": ["string", "null"], "maxLength": 1024, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]+$"},
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
        Ok(Prepared::Task(FunctionCall::new(self, arguments)))
    }

    fn perform<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Result<Performed, Failure>> {
        Box::pin(send(work))
    }
}

async fn send(work: Work<'_>) -> Result<Performed, Failure> {
    let Some(webhooks) = &work.outlets.webhooks else {
        let detail = "this hub has no way to send webhooks: no dispatcher is configured";
        return Err(Failure::standard(StandardError::Configuration, detail));
    };
    let event_type = work.text("type").unwrap_or_default();
    let event_type = EventType::parse(event_type).map_err(|error| {
        Failure::standard(StandardError::Validation, format!("`type` is no event type: {error}"))
    })?;
    let owed = OwedWebhook {
        tenant: work.tenant.clone(),
        endpoint_id: EndpointId::from_text(work.text("endpoint").unwrap_or_default()),
        event_id: format!("evt_{}", &hex_digest(work.key.as_bytes())[..32]),
        event_type,
        subject: work.text("subject").map(str::to_owned),
        data: work.arguments.get("data").cloned().unwrap_or_default(),
        correlation_id: work.correlation_id.to_owned(),
        causation_id: work.instance.as_str().to_owned(),
    };
    match webhooks.send(&owed).await {
        Ok(id) => Ok(Performed::new(json!({"delivery_id": id.as_str(), "event_id": owed.event_id}))),
        Err(error) => {
            let kind = match error {
                WebhookNotSent::NoEndpoint | WebhookNotSent::Inactive => StandardError::Configuration,
                WebhookNotSent::Failed(_) => StandardError::Communication,
            };
            Err(Failure::standard(kind, error.to_string()))
        }
    }
}
