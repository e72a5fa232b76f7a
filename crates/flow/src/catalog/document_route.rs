//! `document.route:1@default`: gives a document to a person, a group or a queue, and keeps the history of where it was.
//! Exactly once: the statements ride in the commit that records the end of the call.

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use trunkline_store::tables::document::{self, DocumentRow, Holder};

use super::{Function, FunctionCall, Performed, Prepared, Work};
use crate::dsl::points::EffectMode;
use crate::engine::input::Failure;

/// The function.
pub(super) struct DocumentRoute;

impl Function for DocumentRoute {
    fn name(&self) -> &'static str {
        "document.route"
    }

    fn about(&self) -> &'static str {
        "Gives a document to a person, a group or a queue, with a status; the output says where it is"
    }

    fn schema(&self) -> &'static str {
        r#"{
            "type": "object",
            "required": ["document", "to", "status"],
            "additionalProperties": false,
            "properties": {
                "document": {"type": "string", "maxLength": 256, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]+$"},
                "to": {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 1,
                    "additionalProperties": false,
                    "properties": {
                        "user": {"type": "string", "maxLength": 256, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]+$"},
                        "group": {"type": "string", "maxLength": 256, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]+$"},
                        "queue": {"type": "string", "maxLength": 256, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]+$"}
                    }
                },
                "status": {"type": "string", "maxLength": 64, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]+$"},
                "note": {"type": "string", "maxLength": 4000, "pattern": "^[^\\x00]*$"}
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
        Box::pin(async move { Ok(route(work)) })
    }
}

fn route(work: Work<'_>) -> Performed {
    let holder = work.arguments.get("to").and_then(Value::as_object).and_then(|to| to.iter().next());
    let (kind, id) =
        holder.map_or(("queue", ""), |(kind, id)| (kind.as_str(), id.as_str().unwrap_or_default()));
    let row = DocumentRow {
        tenant: work.tenant.clone(),
        id: work.text("document").unwrap_or_default().to_owned(),
        status: work.text("status").unwrap_or_default().to_owned(),
        holder: Holder::parse(kind).unwrap_or(Holder::Queue),
        holder_id: id.to_owned(),
        note: work.text("note").map(str::to_owned),
        instance_id: work.instance.clone(),
        at: work.now,
    };
    let value = json!({
        "document": row.id,
        "to": {row.holder.as_str(): row.holder_id},
        "status": row.status,
        "at": row.at.to_rfc3339(),
    });
    Performed { value, statements: document::document_route(&row, work.key).into() }
}
