//! `/api/v1/dead-letters`: events that an engine could not handle and has put aside.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use trunkline_model::ErrorCode;
use trunkline_store::tables::dead_letter::{DeadLetterRow, dead_letter_delete, dead_letter_list};
use trunkline_store::{Commit, CommitError};
use utoipa::ToSchema;

use super::answers::{json, no_content};
use crate::auth::{Permit, grants};
use crate::input::{Field, Id, Query};
use crate::openapi::{Answer, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::Problem;
use crate::state::ApiState;

static LIST: &[Field] = &[page::LIMIT, page::TOKEN];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/api/v1/dead-letters", "listDeadLetters", list)
            .about("dead letters", "Lists events that an engine has put aside, newest first")
            .permit::<grants::DeadLettersRead>()
            .query(LIST)
            .answer(Answer::json::<Page<DeadLetter>>(200, "A page of dead letters.")),
        Operation::delete("/api/v1/dead-letters/{id}", "deleteDeadLetter", delete)
            .about("dead letters", "Removes a dead letter; its event stays")
            .permit::<grants::DeadLettersWrite>()
            .id_of("ddl_")
            .answer(Answer::empty(204, "It is gone."))
            .problems(&[ErrorCode::DeadLetterNotFound]),
    ]
}

/// One event put aside by one engine.
#[derive(Debug, Serialize, ToSchema)]
struct DeadLetter {
    id: String,
    /// The engine.
    consumer: String,
    #[schema(minimum = 0)]
    shard: i64,
    #[schema(minimum = 1)]
    seq: i64,
    event_id: String,
    /// What went wrong.
    error: String,
    #[schema(minimum = 0)]
    n_attempts: i64,
    #[schema(format = DateTime)]
    failed_at: String,
}

impl From<DeadLetterRow> for DeadLetter {
    fn from(row: DeadLetterRow) -> Self {
        Self {
            id: row.id,
            consumer: row.consumer,
            shard: row.shard,
            seq: row.seq,
            event_id: row.event_id,
            error: row.error,
            n_attempts: row.n_attempts,
            failed_at: row.failed_at.to_rfc3339(),
        }
    }
}

async fn list(
    permit: Permit<grants::DeadLettersRead>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, "dead-letters", &permit.tenant);
    query.finish()?;
    let rows =
        dead_letter_list(state.store(), &permit.tenant, paging.after.as_deref(), paging.n_rows()).await?;
    Ok(json(StatusCode::OK, &paging.page(rows, |row| row.id.clone(), DeadLetter::from)))
}

async fn delete(
    permit: Permit<grants::DeadLettersWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let statement = dead_letter_delete(&permit.tenant, &id);
    match state.journal.commit(Commit::statements(vec![statement])).await {
        Ok(_) => Ok(no_content()),
        Err(CommitError::Guard { .. }) => Err(Problem::new(ErrorCode::DeadLetterNotFound)),
        Err(error) => Err(error.into()),
    }
}
