//! `/api/v1/tasks`: what workflows ask of people. Whoever acts is the person of the token, with the groups it says; an
//! operator may act for somebody, and the record names both.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use trunkline_flow::engine::people::{Act, ActRefusal, Actor, Decided};
use trunkline_flow::engine::{ActedOn, SendError};
use trunkline_model::{ErrorCode, FieldError, Timestamp};
use trunkline_store::tables::workflow::task::{TaskFilter, TaskRow, TaskStatus, task_get, task_list};
use utoipa::ToSchema;

use super::answers::json as answer_json;
use super::workflows::unsent;
use crate::auth::{Permit, grants};
use crate::input::{Field, Id, Input, JsonBody, Kind, Query, Text};
use crate::openapi::{Answer, Body, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::Problem;
use crate::state::ApiState;

const STATUSES: [&str; 5] = ["open", "claimed", "completed", "expired", "cancelled"];
const DECISIONS: [&str; 3] = ["approved", "rejected", "done"];
const LINE: Kind = Kind::Text(Text::line(1, 256));
const FOR: Field = Field::optional(
    "on_behalf_of",
    LINE,
    "For whom it counts. Only operators act for somebody; the history names both.",
);

static LIST: &[Field] = &[
    page::LIMIT,
    page::TOKEN,
    Field::optional("status", Kind::Choice(&STATUSES), "Only tasks that stand here."),
    Field::optional("open", Kind::Boolean, "`true`: only tasks that can still be decided, claimed or not."),
    Field::optional("assignee", LINE, "Only tasks on the list of this user, escalated ones included."),
    Field::optional("group", LINE, "Only tasks on the list of this group."),
    Field::optional("document_id", LINE, "Only tasks of workflows about this document."),
    Field::optional("workflow_id", LINE, "Only tasks of this workflow."),
    Field::optional("due_before", Kind::Time, "Only tasks due before this time."),
];
static CLAIM: &[Field] = &[FOR];
static DELEGATE: &[Field] = &[Field::required("to", LINE, "The user it goes to."), FOR];
static COMPLETE: &[Field] = &[
    Field::optional(
        "decision",
        Kind::Choice(&DECISIONS),
        "`approved` or `rejected` for an approval, `done` for a step, which is what it is when absent.",
    ),
    Field::optional("data", Kind::Json, "What the form is filled in with."),
    Field::optional("comment", Kind::Text(Text::line(1, 2000)), "A word about it."),
    FOR,
];

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    let acts = |operation: Operation| {
        operation
            .permit::<grants::TasksWrite>()
            .id_of("tsk_")
            .answer(Answer::json::<TaskAnswer>(200, "The task as it is then."))
            .answer(Answer::json::<TaskAnswer>(
                202,
                "It is kept, and does not show yet: the workflow is held, or another hub works on it.",
            ))
            .problems(&[C::TaskNotFound, C::TaskStateConflict, C::TaskNotAllowed])
    };
    vec![
        Operation::get("/api/v1/tasks", "listTasks", list)
            .about("tasks", "Lists tasks of people, newest first")
            .permit::<grants::TasksRead>()
            .query(LIST)
            .answer(Answer::json::<Page<TaskAnswer>>(200, "A page of tasks.")),
        Operation::get("/api/v1/tasks/{id}", "getTask", get)
            .about("tasks", "Reads a task")
            .permit::<grants::TasksRead>()
            .id_of("tsk_")
            .answer(Answer::json::<TaskAnswer>(200, "The task."))
            .problems(&[C::TaskNotFound]),
        acts(
            Operation::post("/api/v1/tasks/{id}/claim", "claimTask", claim)
                .about("tasks", "Takes a task, so that nobody else does")
                .body(Body::Object { name: "TaskClaim", fields: CLAIM, is_required: false }),
        ),
        acts(
            Operation::post("/api/v1/tasks/{id}/unclaim", "unclaimTask", unclaim)
                .about("tasks", "Gives a task back")
                .body(Body::Object { name: "TaskUnclaim", fields: CLAIM, is_required: false }),
        ),
        acts(
            Operation::post("/api/v1/tasks/{id}/delegate", "delegateTask", delegate)
                .about("tasks", "Gives a task to another user")
                .details("Whoever gives it away cannot decide it any more, unless it is given back.")
                .body(Body::Object { name: "TaskDelegation", fields: DELEGATE, is_required: true }),
        ),
        acts(
            Operation::post("/api/v1/tasks/{id}/complete", "completeTask", complete)
                .about("tasks", "Decides a task")
                .details(
                    "One rejection decides. Otherwise the task is decided when as many different people as its quorum \
                     have agreed. The data is held to the form of the task.",
                )
                .body(Body::Object { name: "TaskDecisionInput", fields: COMPLETE, is_required: false }),
        ),
    ]
}

/// What a workflow asks of people.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Task)]
struct TaskAnswer {
    id: String,
    workflow_id: String,
    /// `namespace/name` of the workflow's definition.
    definition: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    document_id: Option<String>,
    /// JSON pointer to the task in the definition.
    reference: String,
    /// `approval` or `step`.
    kind: String,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    description: Option<String>,
    /// JSON Schema of what `data` must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = serde_json::Value)]
    form: Option<Value>,
    assignees: Vec<String>,
    groups: Vec<String>,
    /// Users and groups that were asked later.
    escalated_to: Vec<String>,
    /// How many people have to agree.
    #[schema(minimum = 1)]
    quorum: i64,
    /// The higher the sooner.
    priority: i64,
    /// `open`, `claimed`, `completed`, `expired` or `cancelled`.
    status: String,
    /// `approved`, `rejected`, `done` or `timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    outcome: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    claimed_by: Option<String>,
    /// What was done, in order: claims, delegations, decisions.
    #[schema(value_type = Vec<serde_json::Value>)]
    history: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    due_at: Option<String>,
    /// When further people are asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    escalate_at: Option<String>,
    #[schema(minimum = 1)]
    version: i64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    closed_at: Option<String>,
}

/// One line of the history as callers see it.
fn shown(mut entry: Value) -> Value {
    if let Some(line) = entry.as_object_mut() {
        line.remove("key");
    }
    entry
}

impl From<TaskRow> for TaskAnswer {
    fn from(row: TaskRow) -> Self {
        let history: Vec<Value> = serde_json::from_str(&row.history).unwrap_or_default();
        Self {
            id: row.id.into_string(),
            workflow_id: row.instance_id.into_string(),
            definition: format!("{}/{}", row.namespace, row.name),
            document_id: row.document_id,
            reference: row.reference,
            kind: row.kind,
            title: row.title,
            description: row.description,
            form: row.form.and_then(|form| serde_json::from_str(&form).ok()),
            assignees: row.assignees,
            groups: row.groups,
            escalated_to: row.escalated_to,
            quorum: row.quorum,
            priority: row.priority,
            status: row.status.as_str().to_owned(),
            outcome: row.outcome,
            claimed_by: row.claimed_by,
            history: history.into_iter().map(shown).collect(),
            due_at: row.due_at.map(Timestamp::to_rfc3339),
            escalate_at: row.escalate_at.map(Timestamp::to_rfc3339),
            version: row.version,
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
            closed_at: row.closed_at.map(Timestamp::to_rfc3339),
        }
    }
}

async fn list(
    permit: Permit<grants::TasksRead>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, "tasks", &permit.tenant);
    query.finish()?;
    let filter = TaskFilter {
        status: query.text("status").and_then(|text| TaskStatus::parse(&text)),
        is_open: query.flag("open") == Some(true),
        assignee: query.text("assignee"),
        group: query.text("group"),
        document_id: query.text("document_id"),
        instance_id: query.text("workflow_id"),
        due_before: query.time("due_before"),
        before: paging.after.clone(),
        limit: paging.n_rows(),
    };
    let rows = task_list(state.store(), &permit.tenant, &filter).await?;
    let page = paging.page(rows, |row| row.id.as_str().to_owned(), TaskAnswer::from);
    Ok(answer_json(StatusCode::OK, &page))
}

async fn get(
    permit: Permit<grants::TasksRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let row = task_get(state.store(), &permit.tenant, &id).await?;
    let row = row.ok_or_else(|| Problem::new(ErrorCode::TaskNotFound))?;
    Ok(answer_json(StatusCode::OK, &TaskAnswer::from(row)))
}

async fn act(
    permit: &Permit<grants::TasksWrite>,
    state: &ApiState,
    id: &str,
    on_behalf_of: Option<String>,
    act: Act,
) -> Result<Response, Problem> {
    let actor = Actor { on_behalf_of, ..permit.actor() };
    if actor.on_behalf_of.is_some() && !actor.is_operator {
        let detail = "only operators and admins act for somebody";
        return Err(Problem::new(ErrorCode::TaskNotAllowed).with_detail(detail));
    }
    let done = state.workflows.act_on_task(&permit.tenant, id, act, actor).await;
    let ActedOn { row, is_taken } = done.map_err(|error| match error {
        SendError::NotFound => Problem::new(ErrorCode::TaskNotFound),
        other => unsent(other),
    })?;
    let status = if is_taken { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(answer_json(status, &TaskAnswer::from(row)))
}

/// What callers are told of an act that may not be done.
pub(super) fn refused(refusal: ActRefusal) -> Problem {
    let detail = refusal.to_string();
    match refusal {
        ActRefusal::Form(faults) => {
            let error = |(pointer, problem)| FieldError::new(format!("/data{pointer}"), "form", problem);
            Problem::invalid(faults.into_iter().map(error).collect())
        }
        ActRefusal::Senseless(problem) => Problem::invalid(vec![FieldError::new("", "invalid", problem)]),
        ActRefusal::NotTheirs(_) | ActRefusal::SelfApproval => {
            Problem::new(ErrorCode::TaskNotAllowed).with_detail(detail)
        }
        ActRefusal::Closed
        | ActRefusal::Claimed(_)
        | ActRefusal::NotClaimed
        | ActRefusal::Shared
        | ActRefusal::Decided(_)
        | ActRefusal::TooMany => Problem::new(ErrorCode::TaskStateConflict).with_detail(detail),
    }
}

fn read(fields: &'static [Field], body: JsonBody) -> Result<Input, Problem> {
    let mut input = Input::from_json(fields, body.0.unwrap_or_else(|| json!({})));
    input.finish()?;
    Ok(input)
}

async fn claim(
    permit: Permit<grants::TasksWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    body: JsonBody,
) -> Result<Response, Problem> {
    let input = read(CLAIM, body)?;
    act(&permit, &state, &id, input.text("on_behalf_of"), Act::Claim).await
}

async fn unclaim(
    permit: Permit<grants::TasksWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    body: JsonBody,
) -> Result<Response, Problem> {
    let input = read(CLAIM, body)?;
    act(&permit, &state, &id, input.text("on_behalf_of"), Act::Unclaim).await
}

async fn delegate(
    permit: Permit<grants::TasksWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    body: JsonBody,
) -> Result<Response, Problem> {
    let input = read(DELEGATE, body)?;
    let to = input.text("to").unwrap_or_default();
    act(&permit, &state, &id, input.text("on_behalf_of"), Act::Delegate { to }).await
}

async fn complete(
    permit: Permit<grants::TasksWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    body: JsonBody,
) -> Result<Response, Problem> {
    let input = read(COMPLETE, body)?;
    let decided = Act::Complete {
        decision: input.parsed::<Decided>("decision"),
        data: input.json("data").cloned().unwrap_or_default(),
        comment: input.text("comment"),
    };
    act(&permit, &state, &id, input.text("on_behalf_of"), decided).await
}
