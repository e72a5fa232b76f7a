//! `/api/v1/workflow-templates`: ready workflows to start from.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use trunkline_flow::Format;
use trunkline_flow::engine::NewInstance;
use trunkline_flow::templates::{Template, templates};
use trunkline_model::ErrorCode;
use trunkline_store::tables::workflow::definition::DefinitionState;
use utoipa::ToSchema;

use super::answers::{json as answer_json, located};
use super::workflow_definitions::refused;
use super::workflows::{START_KEY, WorkflowAnswer, sent_key, unstarted};
use crate::auth::{Permit, grants};
use crate::input::{Field, Id, Input, JsonBody, Kind, Text};
use crate::openapi::{Answer, Body, Operation};
use crate::page::Page;
use crate::problem::Problem;
use crate::state::ApiState;

const LINE: Kind = Kind::Text(Text::line(1, 256));

static START: &[Field] = &[
    Field::optional(
        "input",
        Kind::Json,
        "What it is started with, as the template's `inputs` say. Default: `{}`.",
    ),
    Field::optional("document_id", LINE, "The document of yours that it is about."),
    START_KEY,
];

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    let id = || json!({ "type": "string", "enum": templates().iter().map(|it| it.name).collect::<Vec<_>>() });
    vec![
        Operation::get("/api/v1/workflow-templates", "listWorkflowTemplates", list)
            .about("workflows", "Lists ready workflows to start from")
            .permit::<grants::WorkflowsRead>()
            .answer(Answer::json::<Page<TemplateAnswer>>(200, "All templates, by name.")),
        Operation::get("/api/v1/workflow-templates/{name}", "getWorkflowTemplate", get)
            .about("workflows", "Reads a template with its definition")
            .permit::<grants::WorkflowsRead>()
            .id_schema(id())
            .answer(Answer::json::<TemplateAnswer>(200, "The template."))
            .problems(&[C::WorkflowDefinitionNotFound]),
        Operation::post("/api/v1/workflow-templates/{name}/start", "startWorkflowTemplate", start)
            .about("workflows", "Starts a workflow from a template")
            .details(
                "Stores the template's definition, if the tenant has it not, and starts a workflow of it. A template that \
                 events or times start is stored as a draft: activate the definition to let them.",
            )
            .permit::<grants::WorkflowsWrite>()
            .id_schema(id())
            .body(Body::Object { name: "WorkflowTemplateStart", fields: START, is_required: false })
            .answer(Answer::json::<WorkflowAnswer>(201, "The workflow."))
            .problems(&[C::WorkflowDefinitionNotFound, C::WorkflowDefinitionExists]),
    ]
}

/// A ready workflow.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowTemplate)]
struct TemplateAnswer {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    /// What it is started by: `namespace/name:version`.
    definition: String,
    /// JSON Schema of its input.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = serde_json::Value)]
    inputs: Option<Value>,
    /// Whether events or times start it once its definition is active.
    starts_by_itself: bool,
    /// The definition, in YAML; only where one template is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    source: Option<&'static str>,
}

impl From<&'static Template> for TemplateAnswer {
    fn from(template: &'static Template) -> Self {
        let document = &template.program.workflow().document;
        Self {
            name: template.name,
            title: template.title(),
            description: template.description(),
            definition: format!("{}/{}:{}", document.namespace, document.name, document.version),
            inputs: template.inputs().cloned(),
            starts_by_itself: template.starts_by_itself(),
            source: None,
        }
    }
}

fn find(name: &str) -> Result<&'static Template, Problem> {
    let found = templates().iter().find(|template| template.name == name);
    found.ok_or_else(|| {
        Problem::new(ErrorCode::WorkflowDefinitionNotFound).with_detail("there is no such template")
    })
}

async fn list(_: Permit<grants::WorkflowsRead>) -> Response {
    let items = templates().iter().map(TemplateAnswer::from).collect();
    answer_json(StatusCode::OK, &Page { items, next_page_token: None })
}

async fn get(_: Permit<grants::WorkflowsRead>, Id(name): Id) -> Result<Response, Problem> {
    let template = find(&name)?;
    let answer = TemplateAnswer { source: Some(template.text), ..template.into() };
    Ok(answer_json(StatusCode::OK, &answer))
}

async fn start(
    permit: Permit<grants::WorkflowsWrite>,
    State(state): State<ApiState>,
    Id(name): Id,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let template = find(&name)?;
    let mut given = Input::from_json(START, body.0.unwrap_or_else(|| json!({})));
    given.finish()?;
    let input = given.json("input").cloned().unwrap_or_else(|| json!({}));
    let (document_id, start_key) = (given.text("document_id"), given.text("start_key"));
    let wanted = if template.starts_by_itself() { DefinitionState::Draft } else { DefinitionState::Active };
    let text = template.text.to_owned();
    let stored = state.workflows.store_definition(&permit.tenant, text, Format::Yaml, wanted).await;
    let definition = stored.map_err(refused)?.row;
    let new = NewInstance {
        document_id,
        start_key,
        request_key: sent_key(&headers),
        started_by: Some(permit.actor().user),
        ..NewInstance::new(permit.tenant.clone(), input)
    };
    let row = state.workflows.start_instance(&definition, new).await.map_err(unstarted)?;
    let path = format!("/api/v1/workflows/{}", row.id);
    Ok(located(answer_json(StatusCode::CREATED, &WorkflowAnswer::from(row)), &path))
}
