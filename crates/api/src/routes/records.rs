//! `/api/v1/records`: records of collections, which workflows write with `record-update`.

use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse as _, Response};
use http::header::IF_MATCH;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use trunkline_model::{ErrorCode, FieldError};
use trunkline_store::tables::stored_record::{
    StoredRecord, stored_record_delete, stored_record_get, stored_record_list, stored_record_put,
};
use trunkline_store::{Commit, CommitError, Statement};
use utoipa::ToSchema;

use super::answers::{json as answer_json, tagged};
use crate::auth::{Permit, grants};
use crate::input::{Field, Id, JsonBody, Query};
use crate::openapi::{Answer, Body, Components, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::Problem;
use crate::state::ApiState;

static LIST: &[Field] = &[page::LIMIT, page::TOKEN];
const TAG_HEADERS: &[(&str, &str)] = &[("ETag", "The version, for `If-Match`.")];

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    let of_collection = |operation: Operation| operation.id_schema(collection_schema());
    let one = |operation: Operation| of_collection(operation).id_schema(name_schema());
    vec![
        of_collection(Operation::get("/api/v1/records/{collection}", "listRecords", list)
            .about("records", "Lists the records of a collection by id")
            .permit::<grants::WorkflowsRead>()
            .query(LIST)
            .answer(Answer::json::<Page<RecordAnswer>>(200, "A page of records; empty where there is no collection."))),
        one(Operation::get("/api/v1/records/{collection}/{id}", "getRecord", get)
            .about("records", "Reads a record")
            .permit::<grants::WorkflowsRead>()
            .answer(Answer::json::<RecordAnswer>(200, "The record.").with_headers(TAG_HEADERS))
            .problems(&[C::RecordNotFound])),
        one(Operation::put("/api/v1/records/{collection}/{id}", "putRecord", put)
            .about("records", "Writes a record")
            .details(
                "The body is the record's data, any JSON. With `If-Match` the record must have that version; `\"0\"` \
                 makes it, and fails where it is there. A record that is made anew after it was deleted counts from 1.",
            )
            .permit::<grants::WorkflowsWrite>()
            .if_match()
            .body(Body::OneOf(body))
            .answer(Answer::json::<RecordAnswer>(200, "The record with its new version.").with_headers(TAG_HEADERS))
            .problems(&[C::RecordVersionConflict])),
        one(Operation::delete("/api/v1/records/{collection}/{id}", "deleteRecord", delete)
            .about("records", "Takes a record away")
            .permit::<grants::WorkflowsWrite>()
            .if_match()
            .answer(Answer::empty(204, "It is gone."))
            .problems(&[C::RecordNotFound, C::RecordVersionConflict])),
    ]
}

fn collection_schema() -> Value {
    json!({ "type": "string", "pattern": "^[a-z][a-z0-9_-]{0,63}$" })
}

fn name_schema() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]+$" })
}

fn body(_: &mut Components) -> Value {
    json!({ "application/json": { "schema": {} } })
}

/// A record of a collection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Record)]
struct RecordAnswer {
    collection: String,
    id: String,
    #[schema(value_type = serde_json::Value)]
    data: Value,
    /// How often it was written.
    #[schema(minimum = 1)]
    version: i64,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl From<StoredRecord> for RecordAnswer {
    fn from(record: StoredRecord) -> Self {
        Self {
            collection: record.collection,
            id: record.id,
            data: serde_json::from_str(&record.data).unwrap_or_default(),
            version: record.version,
            updated_at: record.updated_at.to_rfc3339(),
        }
    }
}

/// Where a record is.
struct Place {
    collection: String,
    id: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refused = |detail: &str| Problem::invalid(vec![FieldError::new("path:id", "invalid", detail)]);
        let Path((collection, id)) = Path::<(String, String)>::from_request_parts(parts, state)
            .await
            .map_err(|_| refused("must be UTF-8 in percent-encoding"))?;
        check_collection(&collection)?;
        if id.chars().count() > 256 || id.chars().any(char::is_control) {
            return Err(refused("must be at most 256 characters without control characters"));
        }
        Ok(Self { collection, id })
    }
}

/// The names that `record-update` takes.
fn check_collection(name: &str) -> Result<(), Problem> {
    let is_name = name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    if is_name {
        return Ok(());
    }
    let detail = "must be 1 to 64 of a-z, 0-9, - and _, beginning with a letter";
    Err(Problem::invalid(vec![FieldError::new("path:collection", "invalid", detail)]))
}

/// Compares `If-Match`, when it is there, with the stored version; 0 stands for none.
fn check_version(headers: &HeaderMap, version: i64) -> Result<(), Problem> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(()) };
    let tags: Vec<&str> = value.to_str().unwrap_or_default().split(',').map(str::trim).collect();
    let current = format!("\"{version}\"");
    let is_tag = |tag: &str| tag == "*" || (tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"'));
    if !tags.iter().copied().all(is_tag) {
        let detail = "must be * or entity tags such as \"3\"";
        return Err(Problem::invalid(vec![FieldError::new("header:if-match", "invalid", detail)]));
    }
    let is_met = |tag: &str| (tag == "*" && version > 0) || tag == current;
    if tags.iter().copied().any(is_met) {
        Ok(())
    } else {
        Err(Problem::new(ErrorCode::RecordVersionConflict))
    }
}

async fn list(
    permit: Permit<grants::WorkflowsRead>,
    State(state): State<ApiState>,
    Id(collection): Id,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    check_collection(&collection)?;
    let paging = Paging::read(&mut query, &format!("records/{collection}"), &permit.tenant);
    query.finish()?;
    let (after, n_rows) = (paging.after.as_deref(), paging.n_rows());
    let rows = stored_record_list(state.store(), &permit.tenant, &collection, after, n_rows).await?;
    Ok(answer_json(StatusCode::OK, &paging.page(rows, |row| row.id.clone(), RecordAnswer::from)))
}

async fn get(
    permit: Permit<grants::WorkflowsRead>,
    State(state): State<ApiState>,
    Place { collection, id }: Place,
) -> Result<Response, Problem> {
    let found = stored_record_get(state.store(), &permit.tenant, &collection, &id).await?;
    let record = found.ok_or_else(|| Problem::new(ErrorCode::RecordNotFound))?;
    let version = record.version;
    Ok(tagged(answer_json(StatusCode::OK, &RecordAnswer::from(record)), version))
}

async fn put(
    permit: Permit<grants::WorkflowsWrite>,
    State(state): State<ApiState>,
    Place { collection, id }: Place,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let data = body.required()?.to_string();
    let before = stored_record_get(state.store(), &permit.tenant, &collection, &id).await?;
    let version = before.map_or(0, |record| record.version);
    check_version(&headers, version)?;
    let tenant = permit.tenant.clone();
    let record = StoredRecord { tenant, collection, id, data, version: version + 1, updated_at: state.now() };
    store(&state, stored_record_put(&record)).await?;
    let version = record.version;
    Ok(tagged(answer_json(StatusCode::OK, &RecordAnswer::from(record)), version))
}

async fn delete(
    permit: Permit<grants::WorkflowsWrite>,
    State(state): State<ApiState>,
    Place { collection, id }: Place,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = stored_record_get(state.store(), &permit.tenant, &collection, &id).await?;
    let record = found.ok_or_else(|| Problem::new(ErrorCode::RecordNotFound))?;
    check_version(&headers, record.version)?;
    store(&state, stored_record_delete(&record)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A guard that fails means that somebody else was faster.
async fn store(state: &ApiState, statement: Statement) -> Result<(), Problem> {
    match state.journal.commit(Commit::statements(vec![statement])).await {
        Ok(_) => Ok(()),
        Err(CommitError::Guard { .. }) => Err(Problem::new(ErrorCode::RecordVersionConflict)),
        Err(error) => Err(error.into()),
    }
}
