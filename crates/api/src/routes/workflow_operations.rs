//! What is done to workflows under way besides steering them: looking at what they did, forking them, and moving them to
//! another version of their definition.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use trunkline_flow::engine::machine::MoveFault;
use trunkline_flow::engine::{
    ForkError, ForkFrom, HistoryError, MAX_MOVED, MigrateError, TimelineEntry, TimelineTask,
};
use trunkline_flow::program::diff::{ChangedTask, Diff, Difference};
use trunkline_model::{ErrorCode, FieldError, Tenant};
use trunkline_store::tables::workflow::definition::{DefinitionRow, definition_versions};
use utoipa::ToSchema;

use super::answers::{json as answer_json, located};
use super::workflow_definitions::find as find_definition;
use super::workflows::WorkflowAnswer;
use crate::auth::{Permit, grants};
use crate::input::{Field, Id, Input, JsonBody, Kind, Query, Text};
use crate::openapi::{Answer, Body, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::{FieldFault, Problem};
use crate::state::ApiState;

const VERSION: Kind = Kind::Text(Text::line(1, 128));
const MAP: Field = Field::optional(
    "map",
    Kind::Texts { max: 2_000, max_chars: 1_024 },
    "What became of tasks: the reference that a task had, such as `/do/1/sign`, to the one it has now. Tasks within go with \
     it. What is not named is paired by the names on the way to it.",
);

static TIMELINE: &[Field] = &[page::LIMIT, page::TOKEN];
static FORK: &[Field] = &[Field::required(
    "from",
    Kind::Either(&Kind::Integer { min: 1, max: i64::MAX }, &Kind::Text(Text::line(1, 1_024))),
    "The number of the last record to share, or the reference of the task to do anew, as the timeline tells them.",
)];
static MIGRATE: &[Field] = &[Field::required("version", VERSION, "The version to go on with."), MAP];
static MIGRATE_ALL: &[Field] = &[
    Field::required("version", VERSION, "The version to go on with."),
    MAP,
    Field::optional("after", VERSION, "Only workflows behind this id: `next_after` of the answer before."),
];
static DIFF: &[Field] = &[
    Field::required("from", VERSION, "The version to compare."),
    Field::required("to", VERSION, "The version to compare it with."),
];

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    vec![
        Operation::get("/api/v1/workflows/{id}/timeline", "getWorkflowTimeline", timeline)
            .about("workflows", "Tells what a workflow did, record by record")
            .details(
                "Each record with the task that it is about, how long that took, the attempt and the error, and with the \
                 tasks that were begun and ended in the same step. Values are not told.",
            )
            .permit::<grants::WorkflowsRead>()
            .id_of("wf_")
            .query(TIMELINE)
            .answer(Answer::json::<Page<RecordAnswer>>(200, "A page of records, the first ones first."))
            .problems(&[C::WorkflowNotFound, C::WorkflowStateConflict]),
        Operation::post("/api/v1/workflows/{id}/fork", "forkWorkflow", fork)
            .about("workflows", "Starts a workflow that has done what another one did up to a place")
            .details(
                "Results of calls up to there are shared, calls that were under way are made again under keys of the new \
                 workflow. The other one is not touched.",
            )
            .permit::<grants::WorkflowsWrite>()
            .id_of("wf_")
            .body(Body::Object { name: "WorkflowFork", fields: FORK, is_required: true })
            .answer(Answer::json::<WorkflowAnswer>(201, "The new workflow."))
            .problems(&[C::WorkflowNotFound, C::WorkflowStateConflict]),
        Operation::post("/api/v1/workflows/{id}/migrate", "migrateWorkflow", migrate)
            .about("workflows", "Lets a workflow under way go on with another version of its definition")
            .details(
                "Every task that runs or waits must have a counterpart of its kind; otherwise nothing is moved and every \
                 such place is named.",
            )
            .permit::<grants::WorkflowsWrite>()
            .id_of("wf_")
            .body(Body::Object { name: "WorkflowMigration", fields: MIGRATE, is_required: true })
            .answer(Answer::json::<WorkflowAnswer>(200, "The workflow as it is then."))
            .problems(&[C::WorkflowNotFound, C::WorkflowStateConflict, C::WorkflowDefinitionNotFound]),
        Operation::post("/api/v1/workflow-definitions/{id}/migrate", "migrateWorkflowDefinition", migrate_all)
            .about("workflows", "Moves the workflows under way of a version to another one, 100 a call")
            .details(
                "What cannot be moved stays as it is and is named. Call again with `after` until there is no `next_after`.",
            )
            .permit::<grants::WorkflowsWrite>()
            .id_schema(id_schema())
            .body(Body::Object { name: "WorkflowDefinitionMigration", fields: MIGRATE_ALL, is_required: true })
            .answer(Answer::json::<MovedAnswer>(200, "What became of them."))
            .problems(&[C::WorkflowDefinitionNotFound]),
        Operation::get("/api/v1/workflow-definitions/{id}/diff", "diffWorkflowDefinition", diff)
            .about("workflows", "Compares two versions of a definition; the id is `namespace:name`")
            .permit::<grants::WorkflowsRead>()
            .id_schema(id_schema())
            .query(DIFF)
            .answer(Answer::json::<DiffAnswer>(200, "What differs."))
            .problems(&[C::WorkflowDefinitionNotFound]),
    ]
}

fn id_schema() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]+$" })
}

/// A record of a workflow.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowRecord)]
struct RecordAnswer {
    #[schema(minimum = 1)]
    seq: i64,
    #[schema(format = DateTime)]
    at: String,
    /// What happened: `started`, `begun`, `effect_done`, `timer_fired`, `event_matched`, `decision`, `child_ended`,
    /// `cancel`, `suspend`, `resume`, `forked`, `migrated` and more.
    kind: String,
    /// The task that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    task: Option<String>,
    /// How long that task had been at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = f64, minimum = 0)]
    duration_ms: Option<f64>,
    /// Which attempt of the nearest `try` it was in, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = i64, minimum = 1)]
    attempt: Option<u32>,
    /// The error that came.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = serde_json::Value)]
    error: Option<Value>,
    /// Tasks that were begun and ended in the step, in order; at most 200.
    tasks: Vec<TaskAnswer>,
    /// How many there were.
    #[schema(minimum = 0)]
    n_tasks: i64,
}

/// What a step did to a task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowRecordTask)]
struct TaskAnswer {
    task: String,
    /// `started`, `completed`, `faulted`, `cancelled` or `retried`.
    change: &'static str,
    #[schema(minimum = 1)]
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = f64, minimum = 0)]
    duration_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = serde_json::Value)]
    error: Option<Value>,
}

/// What became of the workflows of a version.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowsMigrated)]
struct MovedAnswer {
    /// Ids of workflows that go on with the other version.
    migrated: Vec<String>,
    refused: Vec<RefusedAnswer>,
    /// Send it as `after` to go on; null at the end.
    next_after: Option<String>,
}

/// A workflow that was not moved.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowNotMigrated)]
struct RefusedAnswer {
    id: String,
    detail: String,
    /// Every place that cannot be moved.
    errors: Vec<FieldFault>,
}

/// What differs between two versions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowDefinitionDiff)]
struct DiffAnswer {
    from: String,
    to: String,
    /// References of tasks that only the second one has.
    added: Vec<String>,
    /// References of tasks that only the first one has.
    removed: Vec<String>,
    /// Tasks that changed, or moved.
    changed: Vec<ChangedAnswer>,
    /// What differs besides tasks.
    document: Vec<DifferenceAnswer>,
}

/// A task in both versions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowTaskDiff)]
struct ChangedAnswer {
    /// Its reference in the first version.
    from: String,
    /// Its reference in the second one.
    to: String,
    /// What differs in it but for tasks within; nothing where it only moved.
    changes: Vec<DifferenceAnswer>,
}

/// One difference.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowDifference)]
struct DifferenceAnswer {
    /// JSON pointer, within the task or the document.
    pointer: String,
    /// What was there; absent where something was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = serde_json::Value)]
    before: Option<Value>,
    /// What is there; absent where something was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = serde_json::Value)]
    after: Option<Value>,
}

fn millis(duration: std::time::Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

impl From<TimelineTask> for TaskAnswer {
    fn from(task: TimelineTask) -> Self {
        Self {
            task: task.task,
            change: task.change,
            attempt: task.attempt,
            duration_ms: task.duration.map(millis),
            error: task.error.map(|error| error.to_value()),
        }
    }
}

impl From<TimelineEntry> for RecordAnswer {
    fn from(entry: TimelineEntry) -> Self {
        Self {
            seq: entry.seq,
            at: entry.at.to_rfc3339(),
            kind: entry.kind,
            task: entry.task,
            duration_ms: entry.duration.map(millis),
            attempt: entry.attempt,
            error: entry.error.map(|error| error.to_value()),
            tasks: entry.tasks.into_iter().map(TaskAnswer::from).collect(),
            n_tasks: entry.n_tasks as i64,
        }
    }
}

impl From<Difference> for DifferenceAnswer {
    fn from(difference: Difference) -> Self {
        Self { pointer: difference.pointer, before: difference.before, after: difference.after }
    }
}

impl From<ChangedTask> for ChangedAnswer {
    fn from(task: ChangedTask) -> Self {
        let changes = task.changes.into_iter().map(DifferenceAnswer::from).collect();
        Self { from: task.from, to: task.to, changes }
    }
}

fn untold(error: HistoryError) -> Problem {
    match error {
        HistoryError::NotFound => Problem::new(ErrorCode::WorkflowNotFound),
        HistoryError::TooLong => {
            Problem::new(ErrorCode::WorkflowStateConflict).with_detail(HistoryError::TooLong.to_string())
        }
        HistoryError::Load(_) | HistoryError::Fold => {
            Problem::new(ErrorCode::ServerInternal).caused_by(error)
        }
    }
}

async fn timeline(
    permit: Permit<grants::WorkflowsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, &format!("workflows/{id}/timeline"), &permit.tenant);
    query.finish()?;
    let after = paging.after.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0);
    let limit = usize::try_from(paging.n_rows()).unwrap_or(1);
    let entries = state.workflows.timeline(&permit.tenant, &id, after, limit).await.map_err(untold)?;
    let page = paging.page(entries, |entry| entry.seq.to_string(), RecordAnswer::from);
    Ok(answer_json(StatusCode::OK, &page))
}

async fn fork(
    permit: Permit<grants::WorkflowsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(FORK, body.required()?);
    let record = input.integer("from").map(ForkFrom::Record);
    let from = record.or_else(|| input.text("from").map(ForkFrom::Task));
    input.finish()?;
    let from = from.ok_or_else(|| Problem::new(ErrorCode::ServerInternal))?;
    let forked = state.workflows.fork_instance(&permit.tenant, &id, &from).await;
    let row = forked.map_err(|error| match error {
        ForkError::History(error) => untold(error),
        ForkError::Commit(error) => error.into(),
        ForkError::NoSuchPlace => {
            Problem::invalid(vec![FieldError::new("/from", "invalid", error.to_string())])
        }
        ForkError::Ended | ForkError::Waits => {
            Problem::new(ErrorCode::WorkflowStateConflict).with_detail(error.to_string())
        }
    })?;
    let path = format!("/api/v1/workflows/{}", row.id);
    Ok(located(answer_json(StatusCode::CREATED, &WorkflowAnswer::from(row)), &path))
}

/// Where in the map a place would stand.
fn field_error(fault: &MoveFault) -> FieldError {
    let key = fault.reference.replace('~', "~0").replace('/', "~1");
    FieldError::new(format!("/map/{key}"), "workflow", fault.problem.clone())
}

fn unmoved(error: MigrateError) -> Problem {
    match error {
        MigrateError::NotFound => Problem::new(ErrorCode::WorkflowNotFound),
        MigrateError::NoVersion => Problem::new(ErrorCode::WorkflowDefinitionNotFound),
        MigrateError::Ended | MigrateError::MovedOn => {
            Problem::new(ErrorCode::WorkflowStateConflict).with_detail(error.to_string())
        }
        MigrateError::Faults(faults) => Problem::invalid(faults.iter().map(field_error).collect()),
        MigrateError::Commit(error) => error.into(),
        MigrateError::Load(_) => Problem::new(ErrorCode::ServerInternal).caused_by(error),
    }
}

fn map_of(input: &Input) -> BTreeMap<String, String> {
    input.parsed("map").unwrap_or_default()
}

async fn migrate(
    permit: Permit<grants::WorkflowsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(MIGRATE, body.required()?);
    input.finish()?;
    let (version, map) = (input.text("version").unwrap_or_default(), map_of(&input));
    let moved = state.workflows.migrate_instance(&permit.tenant, &id, &version, &map).await;
    Ok(answer_json(StatusCode::OK, &WorkflowAnswer::from(moved.map_err(unmoved)?)))
}

async fn migrate_all(
    permit: Permit<grants::WorkflowsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(MIGRATE_ALL, body.required()?);
    input.finish()?;
    let from = find_definition(&state, &permit.tenant, &id).await?;
    let (version, map, after) =
        (input.text("version").unwrap_or_default(), map_of(&input), input.text("after"));
    let moved = state.workflows.migrate_instances(&from, &version, &map, after.as_deref()).await;
    let moved = moved.map_err(unmoved)?;
    let is_full = moved.len() as i64 >= MAX_MOVED;
    let next_after = moved.last().filter(|_| is_full).map(|it| it.id.as_str().to_owned());
    let mut answer = MovedAnswer { migrated: Vec::new(), refused: Vec::new(), next_after };
    for it in moved {
        let id = it.id.as_str().to_owned();
        match it.result {
            Ok(()) => answer.migrated.push(id),
            Err(error) => {
                let errors = match &error {
                    MigrateError::Faults(faults) => {
                        faults.iter().map(|fault| FieldFault::from(&field_error(fault))).collect()
                    }
                    _ => Vec::new(),
                };
                answer.refused.push(RefusedAnswer { id, detail: error.to_string(), errors });
            }
        }
    }
    Ok(answer_json(StatusCode::OK, &answer))
}

async fn diff(
    permit: Permit<grants::WorkflowsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    query.finish()?;
    let version = |name: &str| query.text(name).unwrap_or_default();
    let from = version_of(&state, &permit.tenant, &id, &version("from")).await?;
    let to = version_of(&state, &permit.tenant, &id, &version("to")).await?;
    let found = state.workflows.diff_definitions(&from, &to).await;
    let Diff { added, removed, changed, document } =
        found.map_err(|error| Problem::new(ErrorCode::ServerInternal).caused_by(error))?;
    let answer = DiffAnswer {
        from: from.version,
        to: to.version,
        added,
        removed,
        changed: changed.into_iter().map(ChangedAnswer::from).collect(),
        document: document.into_iter().map(DifferenceAnswer::from).collect(),
    };
    Ok(answer_json(StatusCode::OK, &answer))
}

async fn version_of(
    state: &ApiState,
    tenant: &Tenant,
    id: &str,
    version: &str,
) -> Result<DefinitionRow, Problem> {
    let missing = || Problem::new(ErrorCode::WorkflowDefinitionNotFound);
    let (namespace, name) = id.split_once(':').ok_or_else(missing)?;
    let versions = definition_versions(state.store(), tenant, namespace, name).await?;
    versions.into_iter().find(|row| row.version == version).ok_or_else(missing)
}
