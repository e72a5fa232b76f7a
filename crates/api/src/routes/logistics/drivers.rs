//! `/api/v1/drivers`: who drives.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use trunkline_model::{DriverId, ErrorCode, Tenant, Timestamp};
use trunkline_store::tables::logistics::driver::{
    DriverRow, driver_get, driver_insert, driver_list, driver_update,
};
use utoipa::ToSchema;

use super::fields::{ANY_ID, id_schema};
use super::{CREATED_HEADERS, TAG_HEADERS, check_version, store_change, store_new};
use crate::auth::{Permit, grants};
use crate::input::{Field, Id, Input, JsonBody, Kind, Query, Text};
use crate::openapi::{Answer, Body, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::Problem;
use crate::routes::answers::{json, located, tagged};
use crate::state::ApiState;

const CONTENT: [Field; 4] = [
    Field::required("name", Kind::Text(Text::line(1, 200)), "Their name."),
    Field::optional("phone", Kind::Text(Text::line(1, 50)), "How to reach them."),
    Field::optional("user", Kind::Text(Text::line(1, 128)), "Their user id, as in tokens."),
    Field::optional("active", Kind::Boolean, "Whether they get tasks. Default true."),
];
static CREATE: &[Field] = &[
    Field::optional("id", ANY_ID, "Their id in the system they come from. The hub makes one when absent."),
    CONTENT[0],
    CONTENT[1],
    CONTENT[2],
    CONTENT[3],
];
static REPLACE: &[Field] = &CONTENT;
static LIST: &[Field] = &[
    page::LIMIT,
    page::TOKEN,
    Field::optional("active", Kind::Boolean, "Only drivers who get tasks, or who do not."),
];

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    vec![
        Operation::post("/api/v1/drivers", "createDriver", create)
            .about("logistics", "Adds a driver")
            .permit::<grants::LogisticsWrite>()
            .body(Body::Object { name: "NewDriver", fields: CREATE, is_required: true })
            .answer(Answer::json::<DriverAnswer>(201, "The driver.").with_headers(CREATED_HEADERS))
            .problems(&[C::LogisticsExists]),
        Operation::get("/api/v1/drivers", "listDrivers", list)
            .about("logistics", "Lists drivers by id")
            .permit::<grants::LogisticsRead>()
            .query(LIST)
            .answer(Answer::json::<Page<DriverAnswer>>(200, "A page of drivers.")),
        Operation::get("/api/v1/drivers/{id}", "getDriver", get)
            .about("logistics", "Reads a driver")
            .permit::<grants::LogisticsRead>()
            .id_schema(id_schema())
            .answer(Answer::json::<DriverAnswer>(200, "The driver.").with_headers(TAG_HEADERS))
            .problems(&[C::DriverNotFound]),
        Operation::put("/api/v1/drivers/{id}", "replaceDriver", replace)
            .about("logistics", "Replaces a driver")
            .details("Members left out get their defaults. Tasks that they have stay theirs.")
            .permit::<grants::LogisticsWrite>()
            .id_schema(id_schema())
            .if_match()
            .body(Body::Object { name: "DriverReplacement", fields: REPLACE, is_required: true })
            .answer(Answer::json::<DriverAnswer>(200, "The driver.").with_headers(TAG_HEADERS))
            .problems(&[C::DriverNotFound, C::LogisticsVersionConflict]),
    ]
}

/// A driver.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Driver)]
struct DriverAnswer {
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    phone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    user: Option<String>,
    active: bool,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl From<&DriverRow> for DriverAnswer {
    fn from(row: &DriverRow) -> Self {
        Self {
            id: row.id.as_str().to_owned(),
            name: row.name.clone(),
            phone: row.phone.clone(),
            user: row.person.clone(),
            active: row.is_active,
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
        }
    }
}

fn row(input: &mut Input, tenant: &Tenant, id: DriverId, now: Timestamp) -> Result<DriverRow, Problem> {
    input.finish()?;
    Ok(DriverRow {
        tenant: tenant.clone(),
        id,
        name: input.text("name").unwrap_or_default(),
        phone: input.text("phone"),
        person: input.text("user"),
        is_active: input.flag("active").unwrap_or(true),
        version: 1,
        created_at: now,
        updated_at: now,
    })
}

async fn create(
    permit: Permit<grants::LogisticsWrite>,
    State(state): State<ApiState>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(CREATE, body.required()?);
    let id = input.text("id").map_or_else(DriverId::fresh, DriverId::from_text);
    let row = row(&mut input, &permit.tenant, id, state.now())?;
    store_new(&state, driver_insert(&row)).await?;
    let response = tagged(json(StatusCode::CREATED, &DriverAnswer::from(&row)), row.version);
    Ok(located(response, &format!("/api/v1/drivers/{}", row.id)))
}

async fn list(
    permit: Permit<grants::LogisticsRead>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, "drivers", &permit.tenant);
    query.finish()?;
    let (active, after) = (query.flag("active"), paging.after.as_deref());
    let rows = driver_list(state.store(), &permit.tenant, active, after, paging.n_rows()).await?;
    let page = paging.page(rows, |row| row.id.as_str().to_owned(), |row| DriverAnswer::from(&row));
    Ok(json(StatusCode::OK, &page))
}

pub(super) async fn find(state: &ApiState, tenant: &Tenant, id: &str) -> Result<DriverRow, Problem> {
    driver_get(state.store(), tenant, id).await?.ok_or_else(|| Problem::new(ErrorCode::DriverNotFound))
}

async fn get(
    permit: Permit<grants::LogisticsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let row = find(&state, &permit.tenant, &id).await?;
    Ok(tagged(json(StatusCode::OK, &DriverAnswer::from(&row)), row.version))
}

async fn replace(
    permit: Permit<grants::LogisticsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(REPLACE, body.required()?);
    let before = find(&state, &permit.tenant, &id).await?;
    let row = row(&mut input, &permit.tenant, before.id, state.now())?;
    check_version(&headers, before.version)?;
    let row = DriverRow { version: before.version + 1, created_at: before.created_at, ..row };
    store_change(&state, driver_update(&row)).await?;
    Ok(tagged(json(StatusCode::OK, &DriverAnswer::from(&row)), row.version))
}
