//! `/api/v1/routes`: drivers' rounds.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use trunkline_logistics::operations::Cause;
use trunkline_logistics::operations::route::{
    MAX_STOPS, NewRoute, RouteChange, RouteStops, route_change, route_make,
};
use trunkline_model::{DriverId, ErrorCode, Tenant, Timestamp};
use trunkline_store::tables::logistics::route::{
    RouteFilter, RouteRow, RouteStatus, StopRow, route_get, route_list, stop_list,
};
use utoipa::ToSchema;

use super::fields::{ANY_ID, DATE, date};
use super::{CREATED_HEADERS, TAG_HEADERS, expected, refused};
use crate::auth::{Permit, grants};
use crate::input::{Field, Id, Input, JsonBody, Kind, Query};
use crate::openapi::{Answer, Body, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::Problem;
use crate::routes::answers::{json, located, tagged};
use crate::state::ApiState;

const STATUSES: [&str; 4] = [
    RouteStatus::Planned.as_str(),
    RouteStatus::UnderWay.as_str(),
    RouteStatus::Completed.as_str(),
    RouteStatus::Cancelled.as_str(),
];
static TASK_ID: Kind = ANY_ID;
static CREATE: &[Field] = &[
    Field::required("driver_id", ANY_ID, "Who drives it."),
    Field::required("day", DATE, "When."),
    Field::required(
        "task_ids",
        Kind::List { item: &TASK_ID, min: 1, max: MAX_STOPS },
        "Deliveries and pickups, in the order of the round.",
    ),
];
static LIST: &[Field] = &[
    page::LIMIT,
    page::TOKEN,
    Field::optional("driver_id", ANY_ID, "Only routes of this driver."),
    Field::optional("day", DATE, "Only routes of this day."),
    Field::optional("status", Kind::Choice(&STATUSES), "Only routes that stand here."),
];

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    let acts = |operation: Operation| {
        operation
            .permit::<grants::LogisticsWrite>()
            .id_of("rte_")
            .if_match()
            .answer(Answer::json::<RouteWithStops>(200, "The route as it is then.").with_headers(TAG_HEADERS))
            .problems(&[C::RouteNotFound, C::LogisticsStateConflict, C::LogisticsVersionConflict])
    };
    vec![
        Operation::post("/api/v1/routes", "createRoute", create)
            .about("logistics", "Plans a route and gives its tasks to the driver")
            .permit::<grants::LogisticsWrite>()
            .body(Body::Object { name: "NewRoute", fields: CREATE, is_required: true })
            .answer(Answer::json::<RouteWithStops>(201, "The route.").with_headers(CREATED_HEADERS))
            .problems(&[C::DriverNotFound]),
        Operation::get("/api/v1/routes", "listRoutes", list)
            .about("logistics", "Lists routes, newest first")
            .permit::<grants::LogisticsRead>()
            .query(LIST)
            .answer(Answer::json::<Page<RouteAnswer>>(200, "A page of routes.")),
        Operation::get("/api/v1/routes/{id}", "getRoute", get)
            .about("logistics", "Reads a route with its stops")
            .permit::<grants::LogisticsRead>()
            .id_of("rte_")
            .answer(Answer::json::<RouteWithStops>(200, "The route.").with_headers(TAG_HEADERS))
            .problems(&[C::RouteNotFound]),
        acts(
            Operation::post("/api/v1/routes/{id}/start", "startRoute", start)
                .about("logistics", "Tells that the driver has set out with every task of the route"),
        ),
        acts(
            Operation::post("/api/v1/routes/{id}/finish", "finishRoute", finish)
                .about("logistics", "Tells that the driver is back; tasks that were not done are open again"),
        ),
        acts(
            Operation::post("/api/v1/routes/{id}/cancel", "cancelRoute", cancel)
                .about("logistics", "Gives a route up; its tasks are open again"),
        ),
    ]
}

/// A driver's round of one day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Route)]
struct RouteAnswer {
    id: String,
    driver_id: String,
    #[schema(format = Date)]
    day: String,
    /// `planned`, `under_way`, `completed` or `cancelled`.
    status: &'static str,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    /// When the driver set out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    started_at: Option<String>,
    /// When it was completed or cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    ended_at: Option<String>,
}

/// One stop.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RouteStop)]
struct StopAnswer {
    /// Its place in the round, from 1.
    #[schema(minimum = 1)]
    number: i64,
    task_id: String,
    clinic_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    arrived_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    departed_at: Option<String>,
}

/// A round with its stops.
#[derive(Debug, Serialize, ToSchema)]
struct RouteWithStops {
    #[serde(flatten)]
    route: RouteAnswer,
    stops: Vec<StopAnswer>,
}

impl From<&RouteRow> for RouteAnswer {
    fn from(row: &RouteRow) -> Self {
        Self {
            id: row.id.as_str().to_owned(),
            driver_id: row.driver_id.as_str().to_owned(),
            day: row.day.clone(),
            status: row.status.as_str(),
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
            started_at: row.started_at.map(Timestamp::to_rfc3339),
            ended_at: row.ended_at.map(Timestamp::to_rfc3339),
        }
    }
}

impl From<StopRow> for StopAnswer {
    fn from(row: StopRow) -> Self {
        Self {
            number: row.number,
            task_id: row.task_id.into_string(),
            clinic_id: row.clinic_id.into_string(),
            arrived_at: row.arrived_at.map(Timestamp::to_rfc3339),
            departed_at: row.departed_at.map(Timestamp::to_rfc3339),
        }
    }
}

fn shown(status: StatusCode, route: RouteStops) -> Response {
    let stops = route.stops.into_iter().map(StopAnswer::from).collect();
    let answer = RouteWithStops { route: RouteAnswer::from(&route.route), stops };
    tagged(json(status, &answer), route.route.version)
}

async fn create(
    permit: Permit<grants::LogisticsWrite>,
    State(state): State<ApiState>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(CREATE, body.required()?);
    input.finish()?;
    let new = NewRoute {
        driver_id: DriverId::from_text(input.text("driver_id").unwrap_or_default()),
        day: date(&input, "day").unwrap_or_default(),
        task_ids: input.texts("task_ids").unwrap_or_default(),
    };
    let cause = Cause::call(permit.tenant, state.now());
    let made = route_make(state.store(), &cause, &new).await.map_err(refused)?;
    let path = format!("/api/v1/routes/{}", made.route.id);
    Ok(located(shown(StatusCode::CREATED, made), &path))
}

async fn list(
    permit: Permit<grants::LogisticsRead>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, "routes", &permit.tenant);
    query.finish()?;
    let filter = RouteFilter {
        driver_id: query.text("driver_id"),
        day: query.text("day"),
        status: query.text("status").and_then(|text| RouteStatus::parse(&text)),
        before: paging.after.clone(),
        limit: paging.n_rows(),
    };
    let rows = route_list(state.store(), &permit.tenant, &filter).await?;
    let page = paging.page(rows, |row| row.id.as_str().to_owned(), |row| RouteAnswer::from(&row));
    Ok(json(StatusCode::OK, &page))
}

async fn get(
    permit: Permit<grants::LogisticsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let route = route_get(state.store(), &permit.tenant, &id).await?;
    let route = route.ok_or_else(|| Problem::new(ErrorCode::RouteNotFound))?;
    let stops = stop_list(state.store(), &route.id).await?;
    Ok(shown(StatusCode::OK, RouteStops { route, stops }))
}

async fn change(
    state: &ApiState,
    tenant: Tenant,
    id: &str,
    change: RouteChange,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let expected = expected(headers)?;
    let cause = Cause::call(tenant, state.now());
    let route = route_change(state.store(), &cause, id, change, expected).await.map_err(refused)?;
    Ok(shown(StatusCode::OK, route))
}

async fn start(
    permit: Permit<grants::LogisticsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    change(&state, permit.tenant, &id, RouteChange::Start, &headers).await
}

async fn finish(
    permit: Permit<grants::LogisticsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    change(&state, permit.tenant, &id, RouteChange::Finish, &headers).await
}

async fn cancel(
    permit: Permit<grants::LogisticsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    change(&state, permit.tenant, &id, RouteChange::Cancel, &headers).await
}
