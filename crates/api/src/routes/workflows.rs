//! `/api/v1/workflows`: instances of workflow definitions, and of the simple form.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use trunkline_flow::engine::{Decision, NewInstance, SendError, resolve};
use trunkline_flow::{Format, simple};
use trunkline_model::{ErrorCode, FieldError, Tenant, Timestamp, WorkflowId};
use trunkline_store::tables::workflow::definition::{DefinitionRow, DefinitionState};
use trunkline_store::tables::workflow::instance::{
    CompensationState, InstanceFilter, InstancePhase, InstanceRow, InstanceStatus, SlaState, instance_count,
    instance_get, instance_list,
};
use utoipa::ToSchema;

use super::answers::{json as answer_json, located};
use super::workflow_definitions::refused;
use crate::auth::{Permit, grants};
use crate::idempotency;
use crate::input::{Field, Id, Input, JsonBody, Kind, Query, Text};
use crate::openapi::{Answer, Body, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::Problem;
use crate::state::ApiState;

const DECISIONS: [&str; 3] = ["approved", "rejected", "done"];
const STATUSES: [&str; 4] = ["in_progress", "completed", "cancelled", "failed"];
const SLA: [&str; 3] = ["within", "warned", "breached"];
const LINE: Kind = Kind::Text(Text::line(1, 256));
/// The longest that a call waits for the end of a workflow.
const MAX_WAIT_S: i64 = 30;
const REASON: Field = Field::optional("reason", LINE, "Why, for those who look later.");

pub(super) const START_KEY: Field = Field::optional(
    "start_key",
    LINE,
    "Starts one workflow of the definition for as long as that one is kept: the same key again answers with it.",
);

static CREATE: &[Field] = &[
    Field::optional(
        "definition",
        LINE,
        "What to start: `namespace/name` for the highest active version, or `namespace/name:version`.",
    ),
    Field::optional("input", Kind::Json, "What it is started with. Default: `{}`."),
    Field::optional("document_id", LINE, "The document of yours that it is about."),
    START_KEY,
    Field::optional("name", Kind::Json, "Simple form: what the workflow is called."),
    Field::optional("documentId", Kind::Json, "Simple form: the document it is about."),
    Field::optional("steps", Kind::Json, "Simple form: names of steps that people do one after the other."),
];
static LIST: &[Field] = &[
    page::LIMIT,
    page::TOKEN,
    Field::optional("status", Kind::Choice(&STATUSES), "Only workflows with this status."),
    Field::optional("document_id", LINE, "Only workflows about this document."),
    Field::optional("name", LINE, "Only workflows of definitions with this name."),
    Field::optional("causation_id", LINE, "Only workflows that this event, or this workflow, started."),
    Field::optional(
        "sla",
        Kind::Choice(&SLA),
        "Only workflows that stand so to the time they were promised to take.",
    ),
];
static WAIT: &[Field] = &[Field::optional(
    "wait_s",
    Kind::Integer { min: 0, max: MAX_WAIT_S },
    "Answers when the workflow has ended, at the latest after so many seconds. Default: at once.",
)];
static OF_DOCUMENT: &[Field] = &[
    page::LIMIT,
    page::TOKEN,
    Field::optional("status", Kind::Choice(&STATUSES), "Only workflows with this status."),
];
static CHANGE: &[Field] = &[
    Field::optional(
        "status",
        Kind::Choice(&STATUSES),
        "`cancelled` ends it; another one must be what it has.",
    ),
    Field::optional("suspended", Kind::Boolean, "`true` holds it, `false` lets it go on."),
    REASON,
];
static ADVANCE: &[Field] = &[
    Field::optional("step", LINE, "Which step is done, by name or title. Default: the first one that waits."),
    Field::optional("decision", Kind::Choice(&DECISIONS), "For an approval: `approved` or `rejected`."),
    Field::optional("data", Kind::Json, "What came of it; held to the form of the step, if it has one."),
];
static CANCEL: &[Field] = &[REASON];

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    let one = |operation: Operation| {
        operation
            .id_of("wf_")
            .answer(Answer::json::<WorkflowAnswer>(200, "The workflow."))
            .problems(&[C::WorkflowNotFound])
    };
    let changed = |operation: Operation| {
        operation
            .permit::<grants::WorkflowsWrite>()
            .id_of("wf_")
            .answer(Answer::json::<WorkflowAnswer>(200, "The workflow as it is then."))
            .problems(&[
                C::WorkflowNotFound,
                C::WorkflowStateConflict,
                C::TaskNotAllowed,
                C::TaskStateConflict,
            ])
    };
    vec![
        Operation::post("/api/v1/workflows", "createWorkflow", create)
            .about("workflows", "Starts a workflow")
            .details(
                "Either of a definition, with `definition` and `input`, or in the simple form, with `name` and `steps`: \
                 then each step waits for `POST …/advance`. When it is answered, the workflow is durable.",
            )
            .permit::<grants::WorkflowsWrite>()
            .query(WAIT)
            .body(Body::Object { name: "NewWorkflow", fields: CREATE, is_required: true })
            .answer(Answer::json::<WorkflowAnswer>(201, "The workflow."))
            .problems(&[C::WorkflowDefinitionNotFound, C::WorkflowDefinitionExists]),
        Operation::get("/api/v1/workflows", "listWorkflows", list)
            .about("workflows", "Lists workflows, newest first")
            .permit::<grants::WorkflowsRead>()
            .query(LIST)
            .answer(Answer::json::<Page<WorkflowAnswer>>(200, "A page of workflows.")),
        Operation::get("/api/v1/workflows/stats", "getWorkflowStats", stats)
            .about("workflows", "Counts workflows by definition and status")
            .permit::<grants::WorkflowsRead>()
            .answer(Answer::json::<StatsAnswer>(200, "The counts.")),
        Operation::get("/api/v1/workflows/document/{document_id}", "listDocumentWorkflows", list_document)
            .about("workflows", "Lists the workflows about a document, newest first")
            .permit::<grants::WorkflowsRead>()
            .id_schema(json!({ "type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]+$" }))
            .query(OF_DOCUMENT)
            .answer(Answer::json::<Page<WorkflowAnswer>>(200, "A page of workflows.")),
        one(Operation::get("/api/v1/workflows/{id}", "getWorkflow", get)
            .about("workflows", "Reads a workflow")
            .permit::<grants::WorkflowsRead>()
            .query(WAIT)),
        changed(
            Operation::put("/api/v1/workflows/{id}", "updateWorkflow", update)
                .about("workflows", "Holds, resumes or ends a workflow")
                .body(Body::Object { name: "WorkflowChange", fields: CHANGE, is_required: true }),
        ),
        changed(
            Operation::post("/api/v1/workflows/{id}/advance", "advanceWorkflow", advance)
                .about("workflows", "Says that a step which waits for a person is done")
                .body(Body::Object { name: "WorkflowAdvance", fields: ADVANCE, is_required: false }),
        ),
        changed(
            Operation::post("/api/v1/workflows/{id}/cancel", "cancelWorkflow", cancel)
                .about("workflows", "Ends a workflow, and those that it runs")
                .body(Body::Object { name: "WorkflowCancel", fields: CANCEL, is_required: false }),
        ),
    ]
}

/// What callers are told.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WorkflowStatus)]
enum StatusAnswer {
    InProgress,
    Completed,
    Cancelled,
    Failed,
}

impl From<InstanceStatus> for StatusAnswer {
    fn from(status: InstanceStatus) -> Self {
        match status {
            InstanceStatus::InProgress => Self::InProgress,
            InstanceStatus::Completed => Self::Completed,
            InstanceStatus::Cancelled => Self::Cancelled,
            InstanceStatus::Failed => Self::Failed,
        }
    }
}

/// What a workflow is doing.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WorkflowPhase)]
enum PhaseAnswer {
    Pending,
    Running,
    Waiting,
    Suspended,
    Completed,
    Cancelled,
    Faulted,
}

/// A workflow: one run of a definition.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Workflow)]
pub(super) struct WorkflowAnswer {
    id: String,
    /// `namespace/name:version`.
    definition: String,
    namespace: String,
    name: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    document_id: Option<String>,
    status: StatusAnswer,
    phase: PhaseAnswer,
    /// The step it is at, from 1; 0 before the first. As of the last time it waited.
    #[schema(minimum = 0)]
    current_step: i64,
    #[schema(minimum = 0)]
    total_steps: i64,
    #[schema(value_type = serde_json::Value)]
    input: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = serde_json::Value)]
    output: Option<Value>,
    /// The error it failed of, or why it was cancelled or is suspended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = serde_json::Value)]
    error: Option<Value>,
    /// From 0 to 9, the higher the sooner.
    #[schema(minimum = 0, maximum = 9)]
    priority: i64,
    /// How it stands to the time it was promised to take: `within`, `warned` or `breached`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    sla: Option<&'static str>,
    /// When that time is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    sla_due_at: Option<String>,
    /// How undoing what it had done stands: `running`, `done`, or `incomplete` where something could not be undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    compensation: Option<&'static str>,
    /// The workflow that runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    parent_id: Option<String>,
    correlation_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    causation_id: Option<String>,
    /// How often its work was cut off without getting on in between.
    #[schema(minimum = 0)]
    n_crashes: i64,
    #[schema(format = DateTime)]
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    started_at: Option<String>,
    #[schema(format = DateTime)]
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    finished_at: Option<String>,
}

/// Text that was written as JSON.
fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

impl From<InstanceRow> for WorkflowAnswer {
    fn from(row: InstanceRow) -> Self {
        Self {
            id: row.id.into_string(),
            definition: format!("{}/{}:{}", row.namespace, row.name, row.version),
            namespace: row.namespace,
            name: row.name,
            version: row.version,
            document_id: row.document_id,
            status: row.phase.status().into(),
            phase: match row.phase {
                InstancePhase::Pending => PhaseAnswer::Pending,
                InstancePhase::Running => PhaseAnswer::Running,
                InstancePhase::Waiting => PhaseAnswer::Waiting,
                InstancePhase::Suspended => PhaseAnswer::Suspended,
                InstancePhase::Completed => PhaseAnswer::Completed,
                InstancePhase::Cancelled => PhaseAnswer::Cancelled,
                InstancePhase::Faulted => PhaseAnswer::Faulted,
            },
            current_step: row.current_step,
            total_steps: row.total_steps,
            input: value(&row.input),
            output: row.output.as_deref().map(value),
            error: row.error.as_deref().map(value),
            priority: row.priority,
            sla: row.sla.map(SlaState::as_str),
            sla_due_at: row.sla_due_at.map(Timestamp::to_rfc3339),
            compensation: row.compensation.map(CompensationState::as_str),
            parent_id: row.parent_id.map(WorkflowId::into_string),
            correlation_id: row.correlation_id,
            causation_id: row.causation_id,
            n_crashes: row.n_crashes,
            created_at: row.created_at.to_rfc3339(),
            started_at: row.started_at.map(Timestamp::to_rfc3339),
            updated_at: row.updated_at.to_rfc3339(),
            finished_at: row.finished_at.map(Timestamp::to_rfc3339),
        }
    }
}

/// How many workflows stand where.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = WorkflowCounts)]
struct Counts {
    #[schema(minimum = 0)]
    total: i64,
    #[schema(minimum = 0)]
    in_progress: i64,
    #[schema(minimum = 0)]
    completed: i64,
    #[schema(minimum = 0)]
    cancelled: i64,
    #[schema(minimum = 0)]
    failed: i64,
    /// From creation to end, over those that completed; absent when none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = i64, minimum = 0)]
    mean_duration_ms: Option<i64>,
}

/// The counts of one definition, over its versions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowDefinitionCounts)]
struct OfDefinition {
    namespace: String,
    name: String,
    counts: Counts,
}

/// The counts of a tenant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowStats)]
struct StatsAnswer {
    all: Counts,
    definitions: Vec<OfDefinition>,
}

impl Counts {
    fn add(&mut self, status: InstanceStatus, n: i64) {
        self.total += n;
        *match status {
            InstanceStatus::InProgress => &mut self.in_progress,
            InstanceStatus::Completed => &mut self.completed,
            InstanceStatus::Cancelled => &mut self.cancelled,
            InstanceStatus::Failed => &mut self.failed,
        } += n;
    }
}

fn mean_ms(sum_us: i64, n: i64) -> Option<i64> {
    (n > 0).then(|| sum_us / n / 1000)
}

/// What a body asks to start.
struct Wanted {
    definition: DefinitionRow,
    input: Value,
    document_id: Option<String>,
    start_key: Option<String>,
}

async fn wanted(state: &ApiState, tenant: &Tenant, body: Value) -> Result<Wanted, Problem> {
    if simple::is_simple(&body) {
        return wanted_simply(state, tenant, &body).await;
    }
    let mut input = Input::from_json(CREATE, body);
    let named = input.text("definition");
    if named.is_none() {
        input.fault("definition", "required", "name a definition, or send `name` and `steps`");
    }
    for key in ["name", "documentId"] {
        if input.json(key).is_some() {
            input.fault(key, "unexpected", "belongs to the simple form, together with `steps`");
        }
    }
    let place = named.as_deref().map(|text| text.split_once('/'));
    if place == Some(None) {
        input.fault("definition", "invalid", "must be namespace/name or namespace/name:version");
    }
    input.finish()?;
    let missing = || Problem::new(ErrorCode::WorkflowDefinitionNotFound);
    let (namespace, rest) = place.flatten().ok_or_else(missing)?;
    let (name, version) = match rest.split_once(':') {
        Some((name, version)) => (name, Some(version)),
        None => (rest, None),
    };
    let found = resolve(state.store(), tenant, namespace, name, version).await?;
    Ok(Wanted {
        definition: found.ok_or_else(missing)?,
        input: input.json("input").cloned().unwrap_or_else(|| json!({})),
        document_id: input.text("document_id"),
        start_key: input.text("start_key"),
    })
}

/// The simple form becomes a definition, which is stored the first time it is seen.
async fn wanted_simply(state: &ApiState, tenant: &Tenant, body: &Value) -> Result<Wanted, Problem> {
    let simple = simple::read(&body.to_string(), Format::Json).map_err(|refusal| {
        let error = |fault: &trunkline_flow::Fault| {
            let detail = format!("{}; {}", fault.problem, fault.fix);
            FieldError::new(fault.pointer.clone(), "workflow", detail)
        };
        Problem::invalid(refusal.faults.iter().map(error).collect())
    })?;
    let document = &simple.definition["document"];
    let text = |key: &str| document[key].as_str().unwrap_or_default();
    let (namespace, name, version) = (text("namespace"), text("name"), text("version"));
    let found = resolve(state.store(), tenant, namespace, name, Some(version)).await?;
    let definition = if let Some(row) = found {
        row
    } else {
        let (text, engine) = (simple.definition.to_string(), &state.workflows);
        let stored = engine.store_definition(tenant, text, Format::Json, DefinitionState::Active).await;
        stored.map_err(refused)?.row
    };
    Ok(Wanted { definition, input: simple.input, document_id: simple.document_id, start_key: None })
}

async fn create(
    permit: Permit<grants::WorkflowsWrite>,
    State(state): State<ApiState>,
    Query(query): Query,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let patience = patience(query)?;
    let wanted = wanted(&state, &permit.tenant, body.required()?).await?;
    let new = NewInstance {
        document_id: wanted.document_id,
        start_key: wanted.start_key,
        request_key: sent_key(&headers),
        started_by: Some(permit.actor().user),
        ..NewInstance::new(permit.tenant.clone(), wanted.input)
    };
    let row = state.workflows.start_instance(&wanted.definition, new).await.map_err(unstarted)?;
    let row = wait(&state, &permit.tenant, row, patience).await?;
    let path = format!("/api/v1/workflows/{}", row.id);
    Ok(located(answer_json(StatusCode::CREATED, &WorkflowAnswer::from(row)), &path))
}

/// The `Idempotency-Key` of a start. It holds for the instance as well as for the answer: where the hub dies between the
/// two, the next request under the key finds what the first one started.
pub(super) fn sent_key(headers: &HeaderMap) -> Option<String> {
    idempotency::key(headers).ok().flatten()
}

fn patience(mut query: Input) -> Result<Duration, Problem> {
    query.finish()?;
    let wait_s = query.integer("wait_s").unwrap_or(0);
    Ok(Duration::from_secs(wait_s.unsigned_abs()))
}

/// Waits for the end of a workflow, if its caller wants to.
async fn wait(
    state: &ApiState,
    tenant: &Tenant,
    row: InstanceRow,
    patience: Duration,
) -> Result<InstanceRow, Problem> {
    // The answer must not come later than the limit of every call.
    let patience = patience.min(state.limits.request_timeout.saturating_sub(Duration::from_secs(1)));
    if patience.is_zero() || row.phase.is_terminal() {
        return Ok(row);
    }
    let ended = state.workflows.ended(tenant, &row.id, patience).await?;
    Ok(ended.unwrap_or(row))
}

pub(super) fn unstarted(error: trunkline_flow::engine::StartError) -> Problem {
    use trunkline_flow::engine::StartError;
    match error {
        StartError::Read(error) => error.into(),
        StartError::Commit(error) => error.into(),
        StartError::Program(error) => Problem::new(ErrorCode::ServerInternal).caused_by(error),
    }
}

pub(super) fn unsent(error: SendError) -> Problem {
    let conflict = |detail: &'static str| Problem::new(ErrorCode::WorkflowStateConflict).with_detail(detail);
    match error {
        SendError::NotFound => Problem::new(ErrorCode::WorkflowNotFound),
        SendError::Ended => conflict("the workflow has ended"),
        SendError::NotWaiting => conflict("the workflow waits for no such step"),
        SendError::Refused(refusal) => super::tasks::refused(refusal),
        SendError::Read(error) => error.into(),
        SendError::Commit(error) => error.into(),
        SendError::Load(error) => Problem::new(ErrorCode::ServerInternal).caused_by(error),
    }
}

async fn page_of(
    state: &ApiState,
    tenant: &Tenant,
    mut query: Input,
    document: Option<String>,
) -> Result<Response, Problem> {
    // A token belongs to one document's list.
    let list = document.as_ref().map_or_else(|| "workflows".to_owned(), |id| format!("workflows/{id}"));
    let paging = Paging::read(&mut query, &list, tenant);
    query.finish()?;
    let filter = InstanceFilter {
        status: query.text("status").and_then(|text| InstanceStatus::parse(&text)),
        document_id: document.or_else(|| query.text("document_id")),
        name: query.text("name"),
        sla: query.text("sla").and_then(|text| SlaState::parse(&text)),
        causation_id: query.text("causation_id"),
        before: paging.after.clone(),
        limit: paging.n_rows(),
    };
    let rows = instance_list(state.store(), tenant, &filter).await?;
    let page = paging.page(rows, |row| row.id.as_str().to_owned(), WorkflowAnswer::from);
    Ok(answer_json(StatusCode::OK, &page))
}

async fn list(
    permit: Permit<grants::WorkflowsRead>,
    State(state): State<ApiState>,
    Query(query): Query,
) -> Result<Response, Problem> {
    page_of(&state, &permit.tenant, query, None).await
}

async fn list_document(
    permit: Permit<grants::WorkflowsRead>,
    State(state): State<ApiState>,
    Id(document): Id,
    Query(query): Query,
) -> Result<Response, Problem> {
    page_of(&state, &permit.tenant, query, Some(document)).await
}

async fn stats(
    permit: Permit<grants::WorkflowsRead>,
    State(state): State<ApiState>,
) -> Result<Response, Problem> {
    let mut all = Counts::default();
    let mut sum_us = 0;
    let mut definitions: Vec<OfDefinition> = Vec::new();
    for count in instance_count(state.store(), &permit.tenant).await? {
        let is_same =
            definitions.last().is_some_and(|it| it.namespace == count.namespace && it.name == count.name);
        if !is_same {
            let (namespace, name) = (count.namespace.clone(), count.name.clone());
            definitions.push(OfDefinition { namespace, name, counts: Counts::default() });
        }
        all.add(count.status, count.n);
        if let Some(of) = definitions.last_mut() {
            of.counts.add(count.status, count.n);
            if count.status == InstanceStatus::Completed {
                sum_us += count.sum_us;
                of.counts.mean_duration_ms = mean_ms(count.sum_us, count.n);
            }
        }
    }
    all.mean_duration_ms = mean_ms(sum_us, all.completed);
    Ok(answer_json(StatusCode::OK, &StatsAnswer { all, definitions }))
}

async fn find(state: &ApiState, tenant: &Tenant, id: &str) -> Result<InstanceRow, Problem> {
    instance_get(state.store(), tenant, id).await?.ok_or_else(|| Problem::new(ErrorCode::WorkflowNotFound))
}

async fn get(
    permit: Permit<grants::WorkflowsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
    Query(query): Query,
) -> Result<Response, Problem> {
    let patience = patience(query)?;
    let row = find(&state, &permit.tenant, &id).await?;
    let row = wait(&state, &permit.tenant, row, patience).await?;
    Ok(answer_json(StatusCode::OK, &WorkflowAnswer::from(row)))
}

async fn update(
    permit: Permit<grants::WorkflowsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(CHANGE, body.required()?);
    input.finish()?;
    let mut row = find(&state, &permit.tenant, &id).await?;
    let (tenant, engine) = (&permit.tenant, &state.workflows);
    let reason = input.text("reason");
    let wanted = input.text("status").and_then(|text| InstanceStatus::parse(&text));
    if wanted == Some(InstanceStatus::Cancelled) && row.phase != InstancePhase::Cancelled {
        row = engine.cancel(tenant, &id, reason).await.map_err(unsent)?;
        return Ok(answer_json(StatusCode::OK, &WorkflowAnswer::from(row)));
    }
    if wanted.is_some_and(|wanted| wanted != row.phase.status()) {
        let detail = "of the statuses, only `cancelled` can be asked for";
        return Err(Problem::new(ErrorCode::WorkflowStateConflict).with_detail(detail));
    }
    let is_held = row.phase == InstancePhase::Suspended;
    match input.flag("suspended") {
        Some(true) if !is_held => row = engine.suspend(tenant, &id, reason).await.map_err(unsent)?,
        Some(false) if is_held => row = engine.resume(tenant, &id).await.map_err(unsent)?,
        _ => {}
    }
    Ok(answer_json(StatusCode::OK, &WorkflowAnswer::from(row)))
}

async fn advance(
    permit: Permit<grants::WorkflowsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(ADVANCE, body.0.unwrap_or_else(|| json!({})));
    input.finish()?;
    let decision = Decision {
        step: input.text("step"),
        actor: permit.actor(),
        decision: input.parsed("decision"),
        data: input.json("data").cloned().unwrap_or_default(),
    };
    let row = state.workflows.decide(&permit.tenant, &id, decision).await.map_err(unsent)?;
    Ok(answer_json(StatusCode::OK, &WorkflowAnswer::from(row)))
}

async fn cancel(
    permit: Permit<grants::WorkflowsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(CANCEL, body.0.unwrap_or_else(|| json!({})));
    input.finish()?;
    let row = state.workflows.cancel(&permit.tenant, &id, input.text("reason")).await.map_err(unsent)?;
    Ok(answer_json(StatusCode::OK, &WorkflowAnswer::from(row)))
}
