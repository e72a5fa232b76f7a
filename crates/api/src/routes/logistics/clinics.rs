//! `/api/v1/clinics`: the directory of clinics.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::Value;
use trunkline_logistics::clinic::MAX_HOLIDAYS;
use trunkline_logistics::hours::MAX_SPANS;
use trunkline_logistics::rows::to_json;
use trunkline_logistics::{Clinic, Zone};
use trunkline_model::{ClinicId, ErrorCode, Tenant, Timestamp};
use trunkline_store::tables::logistics::clinic::{
    ClinicRow, clinic_get, clinic_insert, clinic_list, clinic_update,
};
use utoipa::ToSchema;

use super::fields::{ANY_ID, DATE, DAY_TIME, POSITION, id_schema, position};
use super::shown::PositionAnswer;
use super::{CREATED_HEADERS, TAG_HEADERS, check_version, store_change, store_new};
use crate::auth::{Permit, grants};
use crate::input::{Field, Id, Input, JsonBody, Kind, Query, Text};
use crate::openapi::{Answer, Body, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::Problem;
use crate::routes::answers::{json, located, tagged};
use crate::state::ApiState;

static SPAN: Kind = Kind::Object(&[
    Field::required("from", DAY_TIME, "When it opens, by the clock on the wall."),
    Field::required("until", DAY_TIME, "When it closes."),
]);
const SPANS: Kind = Kind::List { item: &SPAN, min: 0, max: MAX_SPANS };
const HOURS: Kind = Kind::Object(&[
    Field::optional("monday", SPANS, "In order, without overlap. Closed when absent."),
    Field::optional("tuesday", SPANS, "Likewise."),
    Field::optional("wednesday", SPANS, "Likewise."),
    Field::optional("thursday", SPANS, "Likewise."),
    Field::optional("friday", SPANS, "Likewise."),
    Field::optional("saturday", SPANS, "Likewise."),
    Field::optional("sunday", SPANS, "Likewise."),
]);
static HOLIDAY: Kind = Kind::Object(&[
    Field::required("date", DATE, "The date in the clinic's time zone."),
    Field::required("name", Kind::Text(Text::line(1, 100)), "What people call it."),
    Field::optional("hours", SPANS, "When it is open all the same. Closed when absent."),
]);
const ZONE: Kind = Kind::Text(Text {
    min: 1,
    max: 64,
    pattern: "^[A-Za-z0-9/_+-]+$",
    accepts: |text| Zone::parse(text).is_ok(),
    rule: "must be a time zone of the IANA database, such as Europe/Berlin",
});
const CONTENT: [Field; 7] = [
    Field::required("name", Kind::Text(Text::line(1, 200)), "Its name."),
    Field::required("address", Kind::Text(Text::lines(1, 500)), "Its address."),
    Field::optional("position", POSITION, "Where it is."),
    Field::required("time_zone", ZONE, "Whose clock its hours go by."),
    Field::required("hours", HOURS, "When it is open, by day of the week."),
    Field::optional(
        "holidays",
        Kind::List { item: &HOLIDAY, min: 0, max: MAX_HOLIDAYS },
        "Days with hours of their own.",
    ),
    Field::optional("active", Kind::Boolean, "Whether it takes new tasks. Default true."),
];
static CREATE: &[Field] = &[
    Field::optional("id", ANY_ID, "Its id in the system it comes from. The hub makes one when absent."),
    CONTENT[0],
    CONTENT[1],
    CONTENT[2],
    CONTENT[3],
    CONTENT[4],
    CONTENT[5],
    CONTENT[6],
];
static REPLACE: &[Field] = &CONTENT;
static LIST: &[Field] = &[
    page::LIMIT,
    page::TOKEN,
    Field::optional("active", Kind::Boolean, "Only clinics that take new tasks, or that do not."),
];

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    vec![
        Operation::post("/api/v1/clinics", "createClinic", create)
            .about("logistics", "Adds a clinic to the directory")
            .permit::<grants::LogisticsWrite>()
            .body(Body::Object { name: "NewClinic", fields: CREATE, is_required: true })
            .answer(Answer::json::<ClinicAnswer>(201, "The clinic.").with_headers(CREATED_HEADERS))
            .problems(&[C::LogisticsExists]),
        Operation::get("/api/v1/clinics", "listClinics", list)
            .about("logistics", "Lists clinics by id")
            .permit::<grants::LogisticsRead>()
            .query(LIST)
            .answer(Answer::json::<Page<ClinicAnswer>>(200, "A page of clinics.")),
        Operation::get("/api/v1/clinics/{id}", "getClinic", get)
            .about("logistics", "Reads a clinic")
            .permit::<grants::LogisticsRead>()
            .id_schema(id_schema())
            .answer(Answer::json::<ClinicAnswer>(200, "The clinic.").with_headers(TAG_HEADERS))
            .problems(&[C::ClinicNotFound]),
        Operation::put("/api/v1/clinics/{id}", "replaceClinic", replace)
            .about("logistics", "Replaces a clinic")
            .details(
                "Members left out get their defaults. Pickups that are planned already keep their windows.",
            )
            .permit::<grants::LogisticsWrite>()
            .id_schema(id_schema())
            .if_match()
            .body(Body::Object { name: "ClinicReplacement", fields: REPLACE, is_required: true })
            .answer(Answer::json::<ClinicAnswer>(200, "The clinic.").with_headers(TAG_HEADERS))
            .problems(&[C::ClinicNotFound, C::LogisticsVersionConflict]),
    ]
}

/// A clinic.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Clinic)]
struct ClinicAnswer {
    id: String,
    name: String,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = PositionAnswer)]
    position: Option<PositionAnswer>,
    time_zone: String,
    /// Opening hours by day of the week.
    hours: Value,
    /// Days with hours of their own.
    holidays: Value,
    active: bool,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl From<&ClinicRow> for ClinicAnswer {
    fn from(row: &ClinicRow) -> Self {
        Self {
            id: row.id.as_str().to_owned(),
            name: row.name.clone(),
            address: row.address.clone(),
            position: PositionAnswer::of(row.position_e7),
            time_zone: row.zone.clone(),
            hours: serde_json::from_str(&row.hours).unwrap_or_default(),
            holidays: serde_json::from_str(&row.holidays).unwrap_or_default(),
            active: row.is_active,
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
        }
    }
}

/// Reads what a clinic is made of, naming every fault.
fn row(input: &mut Input, tenant: &Tenant, id: ClinicId, now: Timestamp) -> Result<ClinicRow, Problem> {
    input.finish()?;
    let clinic = Clinic {
        id: id.as_str().to_owned(),
        name: input.text("name").unwrap_or_default(),
        address: input.text("address").unwrap_or_default(),
        position: position(input),
        zone: Zone::parse(&input.text("time_zone").unwrap_or_default())
            .map_err(|error| Problem::new(ErrorCode::ServerInternal).caused_by(error))?,
        hours: input.parsed("hours").unwrap_or_default(),
        holidays: input.parsed("holidays").unwrap_or_default(),
    };
    let mut faults = Vec::new();
    clinic.check(&mut faults);
    input.add_faults(faults);
    input.finish()?;
    Ok(ClinicRow {
        tenant: tenant.clone(),
        id,
        position_e7: clinic.position.map(|position| (position.lat_e7(), position.lon_e7())),
        zone: clinic.zone.name().to_owned(),
        hours: to_json(&clinic.hours),
        holidays: to_json(&clinic.holidays),
        name: clinic.name,
        address: clinic.address,
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
    let id = input.text("id").map_or_else(ClinicId::fresh, ClinicId::from_text);
    let row = row(&mut input, &permit.tenant, id, state.now())?;
    store_new(&state, clinic_insert(&row)).await?;
    let response = tagged(json(StatusCode::CREATED, &ClinicAnswer::from(&row)), row.version);
    Ok(located(response, &format!("/api/v1/clinics/{}", row.id)))
}

async fn list(
    permit: Permit<grants::LogisticsRead>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, "clinics", &permit.tenant);
    query.finish()?;
    let (active, after) = (query.flag("active"), paging.after.as_deref());
    let rows = clinic_list(state.store(), &permit.tenant, active, after, paging.n_rows()).await?;
    let page = paging.page(rows, |row| row.id.as_str().to_owned(), |row| ClinicAnswer::from(&row));
    Ok(json(StatusCode::OK, &page))
}

async fn find(state: &ApiState, tenant: &Tenant, id: &str) -> Result<ClinicRow, Problem> {
    clinic_get(state.store(), tenant, id).await?.ok_or_else(|| Problem::new(ErrorCode::ClinicNotFound))
}

async fn get(
    permit: Permit<grants::LogisticsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let row = find(&state, &permit.tenant, &id).await?;
    Ok(tagged(json(StatusCode::OK, &ClinicAnswer::from(&row)), row.version))
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
    let row = ClinicRow { version: before.version + 1, created_at: before.created_at, ..row };
    store_change(&state, clinic_update(&row)).await?;
    Ok(tagged(json(StatusCode::OK, &ClinicAnswer::from(&row)), row.version))
}
