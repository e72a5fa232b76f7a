//! `/api/v1/workflow-definitions`: versions of workflow definitions.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use serde_json::{Value, json};
use trunkline_flow::engine::{StoreDefinitionError, Stored};
use trunkline_flow::{Fault, Format, Refusal};
use trunkline_model::{ErrorCode, FieldError, Tenant, Timestamp, cloudevents};
use trunkline_store::Commit;
use trunkline_store::tables::workflow::definition::{
    DefinitionRow, DefinitionState, definition_list, definition_set_state, definition_versions,
};
use utoipa::ToSchema;

use super::answers::{json as answer_json, located};
use crate::auth::{Permit, grants};
use crate::input::{Field, Id, Kind, Query, read_bytes};
use crate::openapi::{Answer, Body, Components, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::{FieldFault, Problem};
use crate::state::ApiState;

static LIST: &[Field] = &[page::LIMIT, page::TOKEN];
static CREATE: &[Field] = &[Field::optional(
    "state",
    Kind::Choice(&["active", "draft"]),
    "Whether the version is used at once, by name and by events, or only by its full name. Default: active.",
)];

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    let found = || Answer::json::<DefinitionAnswer>(200, "The version.");
    vec![
        Operation::post("/api/v1/workflow-definitions", "createWorkflowDefinition", create)
            .about("workflows", "Stores a version of a workflow definition")
            .details(
                "The body is an Open Workflow Specification 1.0 document in YAML or JSON. A version keeps its content for \
                 ever; the same content again changes nothing and is answered with 200. What the engine does not support \
                 is refused with every place.",
            )
            .permit::<grants::WorkflowsWrite>()
            .query(CREATE)
            .body(Body::OneOf(bodies))
            .answer(Answer::json::<DefinitionAnswer>(201, "The version."))
            .answer(Answer::json::<DefinitionAnswer>(200, "The version, which was there already."))
            .problems(&[C::WorkflowDefinitionExists]),
        Operation::get("/api/v1/workflow-definitions", "listWorkflowDefinitions", list)
            .about("workflows", "Lists versions of definitions by namespace, name and version")
            .permit::<grants::WorkflowsRead>()
            .query(LIST)
            .answer(Answer::json::<Page<DefinitionAnswer>>(200, "A page of versions.")),
        Operation::get("/api/v1/workflow-definitions/{id}", "getWorkflowDefinition", get)
            .about("workflows", "Reads a version with its text")
            .permit::<grants::WorkflowsRead>()
            .id_schema(id_schema())
            .answer(Answer::json::<DefinitionAnswer>(200, "The version."))
            .problems(&[C::WorkflowDefinitionNotFound]),
        Operation::post("/api/v1/workflow-definitions/{id}/activate", "activateWorkflowDefinition", activate)
            .about("workflows", "Lets a version be used by name and by events")
            .permit::<grants::WorkflowsWrite>()
            .id_schema(id_schema())
            .answer(found())
            .problems(&[C::WorkflowDefinitionNotFound]),
        Operation::post("/api/v1/workflow-definitions/{id}/retire", "retireWorkflowDefinition", retire)
            .about("workflows", "Starts no more workflows of a version; those under way go on")
            .permit::<grants::WorkflowsWrite>()
            .id_schema(id_schema())
            .answer(found())
            .problems(&[C::WorkflowDefinitionNotFound]),
    ]
}

/// `namespace:name:version`.
fn id_schema() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]+$" })
}

fn bodies(_: &mut Components) -> Value {
    json!({
        "application/yaml": { "schema": { "type": "string" } },
        "application/json": { "schema": { "type": "object" } },
    })
}

/// Where a version stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = WorkflowDefinitionState)]
enum StateAnswer {
    Draft,
    Active,
    Retired,
}

/// A version of a workflow definition.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowDefinition)]
struct DefinitionAnswer {
    /// `namespace:name:version`.
    id: String,
    namespace: String,
    name: String,
    version: String,
    state: StateAnswer,
    /// Digest of the content.
    hash: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    /// The text as it was stored first; only where one version is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    source: Option<String>,
    /// What is allowed and probably not meant; only where the version was sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, value_type = Vec<FieldFault>)]
    warnings: Vec<FieldFault>,
}

fn id_of(row: &DefinitionRow) -> String {
    format!("{}:{}:{}", row.namespace, row.name, row.version)
}

impl From<DefinitionRow> for DefinitionAnswer {
    fn from(row: DefinitionRow) -> Self {
        Self {
            id: id_of(&row),
            namespace: row.namespace,
            name: row.name,
            version: row.version,
            state: match row.state {
                DefinitionState::Draft => StateAnswer::Draft,
                DefinitionState::Active => StateAnswer::Active,
                DefinitionState::Retired => StateAnswer::Retired,
            },
            hash: row.hash,
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
            source: None,
            warnings: Vec::new(),
        }
    }
}

fn field_error(fault: &Fault) -> FieldError {
    FieldError::new(fault.pointer.clone(), "workflow", fault.to_string())
}

/// What the caller is told about a definition that is not stored.
pub(super) fn refused(error: StoreDefinitionError) -> Problem {
    match error {
        StoreDefinitionError::Refused(Refusal { faults, .. }) => {
            Problem::invalid(faults.iter().map(field_error).collect())
        }
        StoreDefinitionError::Unsupported(found) => {
            let error = |it: &trunkline_flow::engine::support::Unsupported| {
                FieldError::new(it.reference.clone(), "unsupported", format!("{} ({})", it.what, it.rule))
            };
            Problem::invalid(found.iter().map(error).collect())
        }
        StoreDefinitionError::Taken { .. } => {
            let detail = format!("{error}; raise document.version");
            Problem::new(ErrorCode::WorkflowDefinitionExists).with_detail(detail)
        }
        StoreDefinitionError::Compiler => Problem::new(ErrorCode::ServerInternal).caused_by(error),
        StoreDefinitionError::Read(error) => error.into(),
        StoreDefinitionError::Commit(error) => error.into(),
    }
}

async fn create(
    permit: Permit<grants::WorkflowsWrite>,
    State(state): State<ApiState>,
    Query(query): Query,
    request: Request,
) -> Result<Response, Problem> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence =
        content_type.and_then(|text| text.split(';').next()).map(|text| text.trim().to_ascii_lowercase());
    let format = match essence.as_deref() {
        Some("application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml") => Format::Yaml,
        Some(text) if cloudevents::is_json(Some(text)) => Format::Json,
        _ => {
            let detail = "send the definition as content-type: application/yaml or application/json";
            return Err(Problem::new(ErrorCode::RequestUnsupportedMediaType).with_detail(detail));
        }
    };
    let body = read_bytes(request, &state).await?;
    let text = String::from_utf8(body.to_vec())
        .map_err(|_| Problem::new(ErrorCode::RequestMalformed).with_detail("the body is not UTF-8"))?;
    let wanted = match query.text("state").as_deref() {
        Some("draft") => DefinitionState::Draft,
        _ => DefinitionState::Active,
    };
    let stored = state.workflows.store_definition(&permit.tenant, text, format, wanted).await;
    let Stored { row, warnings, was_there } = stored.map_err(refused)?;
    let path = format!("/api/v1/workflow-definitions/{}", id_of(&row));
    let warnings = warnings.iter().map(|fault| FieldFault::from(&field_error(fault))).collect();
    let answer = DefinitionAnswer { warnings, ..row.into() };
    let status = if was_there { StatusCode::OK } else { StatusCode::CREATED };
    Ok(located(answer_json(status, &answer), &path))
}

async fn list(
    permit: Permit<grants::WorkflowsRead>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, "workflow-definitions", &permit.tenant);
    query.finish()?;
    let after = paging.after.as_deref().and_then(parts);
    let rows = definition_list(state.store(), &permit.tenant, after, paging.n_rows()).await?;
    Ok(answer_json(StatusCode::OK, &paging.page(rows, id_of, DefinitionAnswer::from)))
}

/// Takes an id apart. Names have no colons.
fn parts(id: &str) -> Option<(&str, &str, &str)> {
    let (namespace, rest) = id.split_once(':')?;
    let (name, version) = rest.split_once(':')?;
    Some((namespace, name, version))
}

pub(super) async fn find(state: &ApiState, tenant: &Tenant, id: &str) -> Result<DefinitionRow, Problem> {
    let missing = || Problem::new(ErrorCode::WorkflowDefinitionNotFound);
    let (namespace, name, version) = parts(id).ok_or_else(missing)?;
    let versions = definition_versions(state.store(), tenant, namespace, name).await?;
    versions.into_iter().find(|row| row.version == version).ok_or_else(missing)
}

async fn get(
    permit: Permit<grants::WorkflowsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let row = find(&state, &permit.tenant, &id).await?;
    let source = trunkline_store::tables::workflow::definition::source_get(state.store(), &row.hash).await?;
    Ok(answer_json(StatusCode::OK, &DefinitionAnswer { source, ..row.into() }))
}

async fn activate(
    permit: Permit<grants::WorkflowsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    change(&state, &permit.tenant, &id, DefinitionState::Active).await
}

async fn retire(
    permit: Permit<grants::WorkflowsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    change(&state, &permit.tenant, &id, DefinitionState::Retired).await
}

async fn change(
    state: &ApiState,
    tenant: &Tenant,
    id: &str,
    to: DefinitionState,
) -> Result<Response, Problem> {
    let mut row = find(state, tenant, id).await?;
    if row.state != to {
        let now: Timestamp = state.now();
        state.journal.commit(Commit::statements(vec![definition_set_state(&row, to, now)])).await?;
        state.workflows.refresh_definitions().await;
        (row.state, row.updated_at) = (to, now);
    }
    Ok(answer_json(StatusCode::OK, &DefinitionAnswer::from(row)))
}
