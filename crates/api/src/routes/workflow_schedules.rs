//! `/api/v1/workflow-schedules`: workflows that time starts.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use trunkline_flow::engine::ScheduleError;
use trunkline_model::{ErrorCode, Timestamp, WorkflowId};
use trunkline_store::tables::workflow::schedule::{ScheduleRow, schedule_get, schedule_list};
use utoipa::ToSchema;

use super::answers::{json as answer_json, located};
use super::workflows::{WorkflowAnswer, unstarted};
use crate::auth::{Permit, grants};
use crate::input::{Field, Id, Query};
use crate::openapi::{Answer, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::Problem;
use crate::state::ApiState;

static LIST: &[Field] = &[page::LIMIT, page::TOKEN];

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    let one =
        |operation: Operation| operation.id_schema(id_schema()).problems(&[C::WorkflowScheduleNotFound]);
    let changed = |operation: Operation| {
        one(operation)
            .permit::<grants::WorkflowsWrite>()
            .answer(Answer::json::<ScheduleAnswer>(200, "The schedule as it is then."))
    };
    vec![
        Operation::get("/api/v1/workflow-schedules", "listWorkflowSchedules", list)
            .about("workflows", "Lists the schedules by namespace and name")
            .details(
                "One for each definition whose highest active version is started by `every`, `cron` or `after`, from a \
                 moment after it was stored.",
            )
            .permit::<grants::WorkflowsRead>()
            .query(LIST)
            .answer(Answer::json::<Page<ScheduleAnswer>>(200, "A page of schedules.")),
        one(Operation::get("/api/v1/workflow-schedules/{id}", "getWorkflowSchedule", get)
            .about("workflows", "Reads a schedule")
            .permit::<grants::WorkflowsRead>()
            .answer(Answer::json::<ScheduleAnswer>(200, "The schedule."))),
        changed(
            Operation::post("/api/v1/workflow-schedules/{id}/pause", "pauseWorkflowSchedule", pause)
                .about("workflows", "Holds a schedule: times that pass meanwhile start nothing, also not later"),
        ),
        changed(
            Operation::post("/api/v1/workflow-schedules/{id}/resume", "resumeWorkflowSchedule", resume)
                .about("workflows", "Lets a schedule go on from the next time that comes"),
        ),
        one(Operation::post("/api/v1/workflow-schedules/{id}/trigger", "triggerWorkflowSchedule", trigger)
            .about("workflows", "Starts at once what a schedule starts; the schedule itself does not move")
            .permit::<grants::WorkflowsWrite>()
            .answer(Answer::json::<WorkflowAnswer>(201, "The workflow."))),
    ]
}

/// `namespace:name`.
fn id_schema() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]+$" })
}

/// When a definition is started by time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowSchedule)]
struct ScheduleAnswer {
    /// `namespace:name`.
    id: String,
    namespace: String,
    name: String,
    /// The version that is started.
    version: String,
    paused: bool,
    /// When it starts a workflow next; absent while it is paused, or waits for one to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    next_at: Option<String>,
    /// The last time that a workflow was started for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    last_at: Option<String>,
    /// The workflow that was started then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    last_workflow_id: Option<String>,
    /// Times that wait for a workflow to end.
    #[schema(minimum = 0)]
    n_queued: i64,
    #[schema(minimum = 0)]
    n_started: i64,
    /// Times that were left out: missed, or while a workflow still ran.
    #[schema(minimum = 0)]
    n_skipped: i64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

fn id_of(row: &ScheduleRow) -> String {
    format!("{}:{}", row.namespace, row.name)
}

impl From<ScheduleRow> for ScheduleAnswer {
    fn from(row: ScheduleRow) -> Self {
        Self {
            id: id_of(&row),
            namespace: row.namespace,
            name: row.name,
            version: row.version,
            paused: row.is_paused,
            next_at: row.next_at.map(Timestamp::to_rfc3339),
            last_at: row.last_at.map(Timestamp::to_rfc3339),
            last_workflow_id: row.last_instance_id.map(WorkflowId::into_string),
            n_queued: row.queue.len() as i64,
            n_started: row.n_started,
            n_skipped: row.n_skipped,
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
        }
    }
}

fn parts(id: &str) -> Result<(&str, &str), Problem> {
    id.split_once(':').ok_or_else(|| Problem::new(ErrorCode::WorkflowScheduleNotFound))
}

fn unchanged(error: ScheduleError) -> Problem {
    match error {
        ScheduleError::NotFound => Problem::new(ErrorCode::WorkflowScheduleNotFound),
        ScheduleError::Read(error) => error.into(),
        ScheduleError::Commit(error) => error.into(),
        ScheduleError::Start(error) => unstarted(error),
    }
}

async fn list(
    permit: Permit<grants::WorkflowsRead>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, "workflow-schedules", &permit.tenant);
    query.finish()?;
    let after = paging.after.as_deref().and_then(|id| id.split_once(':'));
    let rows = schedule_list(state.store(), &permit.tenant, after, paging.n_rows()).await?;
    Ok(answer_json(StatusCode::OK, &paging.page(rows, id_of, ScheduleAnswer::from)))
}

async fn get(
    permit: Permit<grants::WorkflowsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let (namespace, name) = parts(&id)?;
    let found = schedule_get(state.store(), &permit.tenant, namespace, name).await?;
    let row = found.ok_or_else(|| Problem::new(ErrorCode::WorkflowScheduleNotFound))?;
    Ok(answer_json(StatusCode::OK, &ScheduleAnswer::from(row)))
}

async fn pause(
    permit: Permit<grants::WorkflowsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let (namespace, name) = parts(&id)?;
    let row = state.workflows.pause_schedule(&permit.tenant, namespace, name).await.map_err(unchanged)?;
    Ok(answer_json(StatusCode::OK, &ScheduleAnswer::from(row)))
}

async fn resume(
    permit: Permit<grants::WorkflowsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let (namespace, name) = parts(&id)?;
    let row = state.workflows.resume_schedule(&permit.tenant, namespace, name).await.map_err(unchanged)?;
    Ok(answer_json(StatusCode::OK, &ScheduleAnswer::from(row)))
}

async fn trigger(
    permit: Permit<grants::WorkflowsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let (namespace, name) = parts(&id)?;
    let row = state.workflows.trigger_schedule(&permit.tenant, namespace, name).await.map_err(unchanged)?;
    let path = format!("/api/v1/workflows/{}", row.id);
    Ok(located(answer_json(StatusCode::CREATED, &WorkflowAnswer::from(row)), &path))
}
