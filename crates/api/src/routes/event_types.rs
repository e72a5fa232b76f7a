//! `/api/v1/event-types`: the event catalogue of a tenant, its import and its AsyncAPI document, and the tenant's
//! settings that go with it.

use axum::extract::{OriginalUri, State};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json as value};
use trunkline_model::{ErrorCode, EventType, FieldError, Tenant};
use trunkline_packs::{CataloguedType, Deprecation, DocumentFault, EventTypeDraft, Origin, asyncapi, import};
use trunkline_store::Commit;
use trunkline_store::tables::event_type::{
    EventTypeRow, MAX_EVENT_TYPES, event_type_delete, event_type_list, event_type_put, tenant_settings_put,
};
use utoipa::ToSchema;

use super::answers::{json, located, no_content};
use crate::auth::portal::Access;
use crate::auth::{Permit, grants};
use crate::catalogue::{SchemaCheck, TenantSettings};
use crate::input::{Field, Id, Input, JsonBody, Kind, Query, Text};
use crate::openapi::{Answer, Body, Components, Described, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::Problem;
use crate::state::ApiState;

const TYPE_PATTERN: &str = "^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*$";
const TYPE: Kind = Kind::Text(Text {
    min: 1,
    max: 255,
    pattern: TYPE_PATTERN,
    accepts: |text| EventType::parse(text).is_ok(),
    rule: "must be dotted segments of letters, digits, _ and -",
});
const VERSION: Kind = Kind::Integer { min: 1, max: 1_000_000 };
const FORMATS: [&str; 3] = ["openapi", "asyncapi", "json-schema"];

/// What an event type is made of, besides its name.
const CONTENT: [Field; 6] = [
    Field::required("title", Kind::Text(Text::line(1, 120)), "A name for people."),
    Field::optional(
        "description",
        Kind::Text(Text::lines(0, 4000)),
        "What happened when such an event comes.",
    ),
    Field::required("schema", Kind::Json, "JSON Schema 2020-12 of the data; references stay inside it."),
    Field::optional("example", Kind::Json, "Data that fits the schema."),
    Field::optional("deprecated", Kind::Boolean, "Whether it should no longer be used. Default false."),
    Field::optional("replaced_by", TYPE, "What to use instead of a deprecated type."),
];
static CREATE: &[Field] = &[
    Field::required("type", TYPE, "The event type."),
    Field::optional("version", VERSION, "Default 1."),
    CONTENT[0],
    CONTENT[1],
    CONTENT[2],
    CONTENT[3],
    CONTENT[4],
    CONTENT[5],
];
static REPLACE: &[Field] = &[
    Field::optional("version", VERSION, "Which version. Default: the newest of the tenant's own."),
    CONTENT[0],
    CONTENT[1],
    CONTENT[2],
    CONTENT[3],
    CONTENT[4],
    CONTENT[5],
];
static IMPORT: &[Field] = &[
    Field::required("format", Kind::Choice(&FORMATS), "What the document is."),
    Field::required("document", Kind::Json, "The document itself; nothing is fetched."),
    Field::optional("type", TYPE, "The event type of a single JSON Schema."),
    Field::optional("dry_run", Kind::Boolean, "Only tells what would be imported. Default false."),
];
static LIST: &[Field] = &[
    page::LIMIT,
    page::TOKEN,
    Field::optional("deprecated", Kind::Boolean, "Only types that are deprecated, or that are not."),
];
static ONE: &[Field] = &[Field::optional("version", VERSION, "Which version. Default: the newest.")];
static SETTINGS: &[Field] = &[Field::required(
    "schema_check",
    Kind::Choice(&SchemaCheck::NAMES),
    "What happens to an emitted event whose data does not fit its type.",
)];

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    let id = || value!({ "type": "string", "pattern": TYPE_PATTERN, "minLength": 1, "maxLength": 255 });
    vec![
        Operation::get("/api/v1/event-types", "listEventTypes", list)
            .about("catalogue", "Lists event types by name and version, those of packs included")
            .permit::<grants::CatalogueRead>()
            .portal(Access::Open)
            .query(LIST)
            .answer(Answer::json::<Page<CatalogueEntry>>(200, "A page of event types.")),
        Operation::post("/api/v1/event-types", "createEventType", create)
            .about("catalogue", "Adds an event type, or a version of one")
            .permit::<grants::CatalogueWrite>()
            .body(Body::Object { name: "EventTypeInput", fields: CREATE, is_required: true })
            .answer(Answer::json::<CatalogueEntry>(201, "The event type."))
            .problems(&[C::EventTypeExists]),
        Operation::post("/api/v1/event-types/import", "importEventTypes", import_types)
            .about("catalogue", "Imports event types from a document")
            .details(
                "OpenAPI 3 (`webhooks`), AsyncAPI 2 and 3 (messages) or one JSON Schema. All of it is taken or nothing; \
                 the tenant's own types of the same name and version are replaced.",
            )
            .permit::<grants::CatalogueWrite>()
            .body(Body::Object { name: "EventTypeImport", fields: IMPORT, is_required: true })
            .answer(Answer::json::<Imported>(200, "The event types.")),
        Operation::get("/api/v1/event-types/{type}", "getEventType", get)
            .about("catalogue", "Reads an event type")
            .permit::<grants::CatalogueRead>()
            .portal(Access::Open)
            .id_schema(id())
            .query(ONE)
            .answer(Answer::json::<CatalogueEntry>(200, "The event type."))
            .problems(&[C::EventTypeNotFound]),
        Operation::put("/api/v1/event-types/{type}", "replaceEventType", replace)
            .about("catalogue", "Changes an event type of the tenant's own")
            .permit::<grants::CatalogueWrite>()
            .id_schema(id())
            .body(Body::Object { name: "EventTypeContent", fields: REPLACE, is_required: true })
            .answer(Answer::json::<CatalogueEntry>(200, "The event type."))
            .problems(&[C::EventTypeNotFound]),
        Operation::delete("/api/v1/event-types/{type}", "deleteEventType", delete)
            .about("catalogue", "Removes a version of an event type of the tenant's own")
            .permit::<grants::CatalogueWrite>()
            .id_schema(id())
            .query(ONE)
            .answer(Answer::empty(204, "It is gone."))
            .problems(&[C::EventTypeNotFound]),
        Operation::get("/api/v1/asyncapi.json", "getAsyncApi", document)
            .about("catalogue", "The tenant's catalogue as an AsyncAPI 3 document")
            .permit::<grants::CatalogueRead>()
            .portal(Access::Open)
            .answer(Answer::json::<AnyDocument>(200, "The document.")),
        Operation::get("/api/v1/settings", "getSettings", settings)
            .about("catalogue", "Reads the tenant's settings")
            .permit::<grants::CatalogueRead>()
            .answer(Answer::json::<TenantSettings>(200, "The settings.")),
        Operation::put("/api/v1/settings", "putSettings", put_settings)
            .about("catalogue", "Replaces the tenant's settings")
            .permit::<grants::CatalogueWrite>()
            .body(Body::Object { name: "TenantSettingsInput", fields: SETTINGS, is_required: true })
            .answer(Answer::json::<TenantSettings>(200, "The settings.")),
    ]
}

/// One version of an event type.
#[derive(Debug, Serialize, ToSchema)]
struct CatalogueEntry {
    #[serde(rename = "type")]
    event_type: String,
    #[schema(minimum = 1)]
    version: u32,
    title: String,
    description: String,
    schema: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Value)]
    example: Option<Value>,
    deprecated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    replaced_by: Option<String>,
    /// The pack it comes from; absent for the tenant's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    pack: Option<String>,
}

/// What an import brought.
#[derive(Debug, Serialize, ToSchema)]
struct Imported {
    items: Vec<CatalogueEntry>,
    /// Whether they were stored.
    stored: bool,
}

/// A JSON document described elsewhere.
struct AnyDocument;

impl Described for AnyDocument {
    fn reference(_: &mut Components) -> Value {
        value!({ "type": "object" })
    }
}

impl From<&CataloguedType> for CatalogueEntry {
    fn from(one: &CataloguedType) -> Self {
        let declared = one.declared();
        let replaced_by = declared.deprecation.as_ref().and_then(|it| it.replaced_by.as_ref());
        Self {
            event_type: declared.event_type.as_str().to_owned(),
            version: declared.version,
            title: declared.title.clone(),
            description: declared.description.clone(),
            schema: declared.schema.clone(),
            example: declared.example.clone(),
            deprecated: declared.deprecation.is_some(),
            replaced_by: replaced_by.map(|successor| successor.as_str().to_owned()),
            pack: match one.origin() {
                Origin::Pack(name) => Some(name.clone()),
                Origin::Added => None,
            },
        }
    }
}

async fn list(
    permit: Permit<grants::CatalogueRead>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let deprecated = query.flag("deprecated");
    let paging = Paging::read(&mut query, "event-types", &permit.tenant);
    query.finish()?;
    let view = state.catalogue.of(state.store(), &permit.tenant).await?;
    let place = |one: &CataloguedType| format!("{} {:09}", one.event_type(), one.declared().version);
    let rows: Vec<_> = view
        .catalogue
        .iter()
        .filter(|one| deprecated.is_none_or(|wanted| one.declared().deprecation.is_some() == wanted))
        .filter(|one| paging.after.as_ref().is_none_or(|after| place(one) > *after))
        .take(paging.n_rows() as usize)
        .collect();
    Ok(json(StatusCode::OK, &paging.page(rows, |one| place(one), |one| CatalogueEntry::from(&**one))))
}

/// The version that a query asks for.
fn version(query: &Input) -> Option<u32> {
    query.integer("version").and_then(|version| u32::try_from(version).ok())
}

fn not_found() -> Problem {
    Problem::new(ErrorCode::EventTypeNotFound)
}

fn parse_type(text: &str) -> Result<EventType, Problem> {
    EventType::parse(text).map_err(|_| not_found())
}

async fn get(
    permit: Permit<grants::CatalogueRead>,
    State(state): State<ApiState>,
    Id(id): Id,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    query.finish()?;
    let view = state.catalogue.of(state.store(), &permit.tenant).await?;
    let found = view.catalogue.get(&parse_type(&id)?, version(&query)).ok_or_else(not_found)?;
    Ok(json(StatusCode::OK, &CatalogueEntry::from(&**found)))
}

/// Reads what an event type is made of.
fn draft(input: &Input, event_type: EventType, version: u32) -> EventTypeDraft {
    let replaced_by = input.text("replaced_by").and_then(|text| EventType::parse(&text).ok());
    EventTypeDraft {
        event_type,
        version,
        title: input.text("title").unwrap_or_default(),
        description: input.text("description").unwrap_or_default(),
        schema: input.json("schema").cloned().unwrap_or_default(),
        example: input.json("example").cloned(),
        deprecation: input.flag("deprecated").unwrap_or(false).then_some(Deprecation { replaced_by }),
    }
}

fn field_errors(faults: &[DocumentFault], prefix: &str) -> Vec<FieldError> {
    faults
        .iter()
        .map(|fault| {
            let detail = format!("{}; {}", fault.problem, fault.fix);
            FieldError::new(format!("{prefix}{}", fault.pointer), "invalid", detail)
        })
        .collect()
}

fn checked(draft: EventTypeDraft) -> Result<CataloguedType, Problem> {
    draft.check().map_err(|faults| Problem::invalid(field_errors(&faults, "")))
}

fn row_of(one: &CataloguedType, tenant: &Tenant, state: &ApiState) -> EventTypeRow {
    let (declared, now) = (one.declared(), state.now());
    let replaced_by = declared.deprecation.as_ref().and_then(|it| it.replaced_by.as_ref());
    EventTypeRow {
        tenant: tenant.clone(),
        event_type: declared.event_type.clone(),
        version: i64::from(declared.version),
        title: declared.title.clone(),
        description: declared.description.clone(),
        data_schema: declared.schema.to_string(),
        example: declared.example.as_ref().map(Value::to_string),
        deprecated: declared.deprecation.is_some(),
        replaced_by: replaced_by.map(|successor| successor.as_str().to_owned()),
        created_at: now,
        updated_at: now,
    }
}

/// Stores checked types, all or none.
async fn store(state: &ApiState, tenant: &Tenant, types: &[CataloguedType]) -> Result<(), Problem> {
    let known = event_type_list(state.store(), tenant).await?.len();
    if known + types.len() > MAX_EVENT_TYPES as usize {
        let detail = format!("a tenant adds at most {MAX_EVENT_TYPES} event types");
        return Err(Problem::invalid(vec![FieldError::new("", "too_many", detail)]));
    }
    let statements = types.iter().map(|one| event_type_put(&row_of(one, tenant, state))).collect();
    state.journal.commit(Commit::statements(statements)).await?;
    state.catalogue.forget(tenant);
    Ok(())
}

async fn create(
    permit: Permit<grants::CatalogueWrite>,
    State(state): State<ApiState>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(CREATE, body.required()?);
    input.finish()?;
    let event_type = parse_type(&input.text("type").unwrap_or_default())?;
    let one = checked(draft(&input, event_type, version(&input).unwrap_or(1)))?;
    let view = state.catalogue.of(state.store(), &permit.tenant).await?;
    if view.catalogue.get(one.event_type(), Some(one.declared().version)).is_some() {
        return Err(Problem::new(ErrorCode::EventTypeExists));
    }
    let path = format!("/api/v1/event-types/{}", one.event_type());
    let shown = CatalogueEntry::from(&one);
    store(&state, &permit.tenant, &[one]).await?;
    Ok(located(json(StatusCode::CREATED, &shown), &path))
}

/// The version of a type that the tenant added: the given one, or its newest.
async fn own_version(
    state: &ApiState,
    tenant: &Tenant,
    event_type: &EventType,
    wanted: Option<u32>,
) -> Result<u32, Problem> {
    let rows = event_type_list(state.store(), tenant).await?;
    rows.iter()
        .filter(|row| row.event_type == *event_type)
        .filter_map(|row| u32::try_from(row.version).ok())
        .filter(|version| wanted.is_none_or(|wanted| wanted == *version))
        .max()
        .ok_or_else(not_found)
}

async fn replace(
    permit: Permit<grants::CatalogueWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(REPLACE, body.required()?);
    input.finish()?;
    let event_type = parse_type(&id)?;
    let version = own_version(&state, &permit.tenant, &event_type, version(&input)).await?;
    let one = checked(draft(&input, event_type, version))?;
    let shown = CatalogueEntry::from(&one);
    store(&state, &permit.tenant, &[one]).await?;
    Ok(json(StatusCode::OK, &shown))
}

async fn delete(
    permit: Permit<grants::CatalogueWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    query.finish()?;
    let event_type = parse_type(&id)?;
    let version = own_version(&state, &permit.tenant, &event_type, version(&query)).await?;
    let statement = event_type_delete(&permit.tenant, &event_type, i64::from(version));
    match state.journal.commit(Commit::statements(vec![statement])).await {
        Ok(_) => {}
        Err(trunkline_store::CommitError::Guard { .. }) => return Err(not_found()),
        Err(error) => return Err(error.into()),
    }
    state.catalogue.forget(&permit.tenant);
    Ok(no_content())
}

async fn import_types(
    permit: Permit<grants::CatalogueWrite>,
    State(state): State<ApiState>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(IMPORT, body.required()?);
    input.finish()?;
    let document = input.json("document").cloned().unwrap_or_default();
    let named = input.text("type").and_then(|text| EventType::parse(&text).ok());
    let drafts = match input.text("format").as_deref() {
        Some("openapi") => import::from_openapi(&document),
        Some("asyncapi") => import::from_asyncapi(&document),
        _ => import::from_json_schema(&document, named.as_ref()).map(|draft| vec![draft]),
    };
    let drafts = drafts.map_err(|faults| Problem::invalid(field_errors(&faults, "/document")))?;
    let mut faults = Vec::new();
    let mut types = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let prefix = format!("/document#{}", draft.event_type);
        match draft.check() {
            Ok(one) => types.push(one),
            Err(found) => faults.extend(field_errors(&found, &prefix)),
        }
    }
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    let items = types.iter().map(CatalogueEntry::from).collect();
    let stored = !input.flag("dry_run").unwrap_or(false);
    if stored {
        store(&state, &permit.tenant, &types).await?;
    }
    Ok(json(StatusCode::OK, &Imported { items, stored }))
}

async fn document(
    permit: Permit<grants::CatalogueRead>,
    State(state): State<ApiState>,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let view = state.catalogue.of(state.store(), &permit.tenant).await?;
    let host = uri.authority().map_or("localhost", http::uri::Authority::as_str);
    let document = asyncapi(&view.catalogue, "Events", env!("CARGO_PKG_VERSION"), &format!("https://{host}"));
    Ok(json(StatusCode::OK, &document))
}

async fn settings(
    permit: Permit<grants::CatalogueRead>,
    State(state): State<ApiState>,
) -> Result<Response, Problem> {
    let view = state.catalogue.of(state.store(), &permit.tenant).await?;
    Ok(json(StatusCode::OK, &view.settings))
}

async fn put_settings(
    permit: Permit<grants::CatalogueWrite>,
    State(state): State<ApiState>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(SETTINGS, body.required()?);
    input.finish()?;
    let schema_check = input.text("schema_check").and_then(|text| SchemaCheck::parse(&text));
    let settings = TenantSettings { schema_check: schema_check.unwrap_or_default() };
    let text = serde_json::to_string(&settings).expect("invariant: settings serialise");
    let statement = tenant_settings_put(&permit.tenant, &text, state.now());
    state.journal.commit(Commit::statements(vec![statement])).await?;
    state.catalogue.forget(&permit.tenant);
    Ok(json(StatusCode::OK, &settings))
}
