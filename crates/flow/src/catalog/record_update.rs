//! `record-update:1@default`: writes, patches or deletes a record of a collection. Exactly once: the statement rides in
//! the commit that records the end of the call, and finds out there whether somebody was faster.

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use trunkline_store::tables::stored_record::{self, StoredRecord};

use super::{Function, FunctionCall, Performed, Prepared, Work, unread};
use crate::dsl::error::StandardError;
use crate::dsl::points::EffectMode;
use crate::engine::input::Failure;

/// The function.
pub(super) struct RecordUpdate;

impl Function for RecordUpdate {
    fn name(&self) -> &'static str {
        "record-update"
    }

    fn about(&self) -> &'static str {
        "Writes, patches or deletes a record of a collection; the output is the record with its version"
    }

    fn schema(&self) -> &'static str {
        r#"{
            "type": "object",
            "required": ["collection", "id"],
            "additionalProperties": false,
            "properties": {
                "collection": {"type": "string", "pattern": "^[a-z][a-z0-9_-]{0,63}$"},
                "id": {"type": "string", "maxLength": 256, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]+$"},
                "operation": {"enum": ["upsert", "patch", "delete"]},
                "data": true,
                "version": {"type": "integer", "minimum": 0}
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
        let deletes = arguments.get("operation").is_some_and(|it| it == "delete");
        if !deletes && !arguments.contains_key("data") {
            let detail = "arguments of record-update: `data` is missing";
            return Err(Failure::standard(StandardError::Validation, detail));
        }
        Ok(Prepared::Task(FunctionCall::new(self, arguments)))
    }

    fn perform<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Result<Performed, Failure>> {
        Box::pin(change(work))
    }
}

async fn change(work: Work<'_>) -> Result<Performed, Failure> {
    let (collection, id) = (work.text("collection").unwrap_or_default(), work.text("id").unwrap_or_default());
    let found = stored_record::stored_record_get(work.store, work.tenant, collection, id).await;
    let before = found.map_err(|error| unread(&error))?;
    let version = before.as_ref().map_or(0, |record| record.version);
    if let Some(wanted) = work.arguments.get("version").and_then(Value::as_i64)
        && wanted != version
    {
        let detail = format!("{collection}/{id} has version {version}, not {wanted}");
        return Err(Failure::standard(StandardError::Runtime, detail).with_status(409));
    }
    let given = work.arguments.get("data").cloned().unwrap_or_default();
    let data = match work.text("operation").unwrap_or("upsert") {
        "delete" => {
            let shown =
                json!({"collection": collection, "id": id, "version": version, "deleted": before.is_some()});
            let mut performed = Performed::new(shown);
            performed.statements.extend(before.map(|record| stored_record::stored_record_delete(&record)));
            return Ok(performed);
        }
        "patch" => {
            let Some(before) = &before else {
                let detail = format!("there is no {collection}/{id} to patch");
                return Err(Failure::standard(StandardError::Runtime, detail).with_status(404));
            };
            let mut data: Value = serde_json::from_str(&before.data).unwrap_or_default();
            merge_patch(&mut data, given);
            data
        }
        _ => given,
    };
    let record = StoredRecord {
        tenant: work.tenant.clone(),
        collection: collection.to_owned(),
        id: id.to_owned(),
        data: data.to_string(),
        version: version + 1,
        updated_at: work.now,
    };
    let shown = json!({"collection": collection, "id": id, "version": record.version, "data": data});
    let mut performed = Performed::new(shown);
    performed.statements.push(stored_record::stored_record_put(&record));
    Ok(performed)
}

/// Applies a JSON Merge Patch (RFC 7396).
pub(crate) fn merge_patch(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(&name);
        } else {
            merge_patch(members.entry(name).or_insert(Value::Null), value);
        }
    }
}
