//! `/api/v1/drivers/{id}/positions`, `…/position` and `…/statistics`: where drivers are and were, and what they did. Who may
//! see or send what is decided here: tokens of the role `member` have a driver of their own, or a clinic.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use trunkline_logistics::operations::Cause;
use trunkline_logistics::operations::tracking::{
    MAX_POSITIONS, Taken, marks_of, positions_take, route_eta, routes_ahead,
};
use trunkline_logistics::tracking::{Figures, Mark, Sample};
use trunkline_model::{DriverId, ErrorCode, FieldError, Room, Tenant, Timestamp};
use trunkline_store::tables::logistics::driver::{DriverRow, driver_get};
use trunkline_store::tables::logistics::driver_day::{DriverDayRow, driver_day_list};
use trunkline_store::tables::logistics::position::{
    PositionFilter, PositionKey, PositionRow, position_get, position_list,
};
use trunkline_store::tables::logistics::route::{route_get, stop_list};
use trunkline_store::tables::logistics::track::track_get;
use utoipa::ToSchema;

use super::drivers::find;
use super::fields::{DATE, id_schema};
use super::refused;
use crate::auth::{Grant, Permit, Role, grants};
use crate::input::{Field, Id, Input, JsonBody, Kind, Query, object_schema};
use crate::openapi::{Answer, Body, Components, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::{FieldFault, Problem};
use crate::routes::answers::json;
use crate::state::ApiState;

/// The most days that figures are added up over, the last one included.
const MAX_DAYS: i64 = 366;
/// How far the first day may be before the last.
const LONGEST: Duration = Duration::from_hours(24 * 365);
/// How far it is when nothing is asked for.
const USUAL: Duration = Duration::from_hours(24 * 30);

static SAMPLE: &[Field] = &[
    Field::required("lat", Kind::Number { min: -90.0, max: 90.0 }, "Latitude in degrees, WGS 84."),
    Field::required("lon", Kind::Number { min: -180.0, max: 180.0 }, "Longitude in degrees, WGS 84."),
    Field::optional("at", Kind::Time, "When, by the clock of the phone. Default now."),
    Field::optional(
        "accuracy_m",
        Kind::Number { min: 0.0, max: 1e7 },
        "Radius in metres within which it is.",
    ),
    Field::optional("speed_mps", Kind::Number { min: 0.0, max: 1e4 }, "How fast, in metres a second."),
    Field::optional("course_deg", Kind::Number { min: 0.0, max: 360.0 }, "Which way, in degrees from north."),
    Field::optional("altitude_m", Kind::Number { min: -2e4, max: 1e5 }, "Metres above the sea."),
    Field::optional("battery_pct", Kind::Number { min: 0.0, max: 100.0 }, "How full the battery is."),
];
static HISTORY: &[Field] = &[
    page::LIMIT,
    page::TOKEN,
    Field::optional("since", Kind::Time, "Only positions from this time on."),
    Field::optional("until", Kind::Time, "Only positions before this time."),
];
static STATISTICS: &[Field] = &[
    Field::optional("since", DATE, "The first day, UTC. Default 30 days before `until`."),
    Field::optional("until", DATE, "The last day, UTC, at most 366 days later. Default today."),
];

fn bodies(components: &mut Components) -> Value {
    let one = components.add("NewDriverPosition", |_| object_schema(SAMPLE));
    let many = json!({ "type": "array", "items": one, "minItems": 1, "maxItems": MAX_POSITIONS });
    json!({ "application/json": { "schema": { "oneOf": [one, many] } } })
}

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    vec![
        Operation::post("/api/v1/drivers/{id}/positions", "createDriverPositions", create)
            .about("logistics", "Takes where a driver is and was")
            .details(
                "One position, or up to 500 in any order; in a batch each stands alone. Positions are stored of the time in which \
                 the driver drives a route, others are not. A clock ahead of the hub's, a jump and a vague place are marked and kept.",
            )
            .permit::<grants::TrackingWrite>()
            .id_schema(id_schema())
            .body(Body::OneOf(bodies))
            .answer(Answer::json::<PositionsTaken>(200, "What became of each, in their order."))
            .problems(&[C::DriverNotFound]),
        Operation::get("/api/v1/drivers/{id}/positions", "listDriverPositions", list)
            .about("logistics", "Lists where a driver was, newest first")
            .permit::<grants::TrackingRead>()
            .id_schema(id_schema())
            .query(HISTORY)
            .answer(Answer::json::<Page<PositionAnswer>>(200, "A page of positions."))
            .problems(&[C::DriverNotFound]),
        Operation::get("/api/v1/drivers/{id}/position", "getDriverPosition", get)
            .about("logistics", "Reads where a driver is, as far as known")
            .permit::<grants::TrackingRead>()
            .id_schema(id_schema())
            .answer(Answer::json::<NewestPosition>(200, "The newest position that is believed."))
            .problems(&[C::DriverNotFound, C::PositionNotFound]),
        Operation::get("/api/v1/drivers/{id}/statistics", "getDriverStatistics", statistics)
            .about("logistics", "Adds up what a driver did")
            .details("Days are UTC. The sums stay when the positions that they come from are removed.")
            .permit::<grants::TrackingRead>()
            .id_schema(id_schema())
            .query(STATISTICS)
            .answer(Answer::json::<StatisticsAnswer>(200, "The figures."))
            .problems(&[C::DriverNotFound]),
        Operation::get("/api/v1/routes/{id}/eta", "getRouteEta", eta)
            .about("logistics", "Estimates when the driver will be at the stops that are still to come")
            .details("Each estimate names its `source`; a token of a clinic sees the stops at that clinic alone.")
            .permit::<grants::TrackingRead>()
            .id_of("rte_")
            .answer(Answer::json::<RouteEtaAnswer>(200, "The estimates."))
            .problems(&[C::RouteNotFound, C::PositionNotFound, C::LogisticsStateConflict]),
    ]
}

/// What became of positions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PositionsTaken {
    items: Vec<PositionTaken>,
}

impl PositionsTaken {
    /// In their order.
    pub(super) fn of(taken: &[Taken]) -> Self {
        Self { items: taken.iter().map(PositionTaken::from).collect() }
    }
}

/// What became of one position.
#[derive(Debug, Default, Serialize, ToSchema)]
struct PositionTaken {
    /// `accepted`, `known` (it was there before), `off_shift` (the driver drove no route then; it is not stored) or `refused`.
    status: &'static str,
    /// Why it is not believed as it is: `future_clock`, `jump`, `inexact`, `late`. A jump may show only later.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    marks: Vec<&'static str>,
    /// Why it was refused; pointers are into the position.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldFault>,
}

fn words(marks: &[Mark]) -> Vec<&'static str> {
    marks.iter().map(|mark| mark.as_str()).collect()
}

impl From<&Taken> for PositionTaken {
    fn from(taken: &Taken) -> Self {
        match taken {
            Taken::Accepted(marks) => Self { status: "accepted", marks: words(marks), ..Self::default() },
            Taken::Known => Self { status: "known", ..Self::default() },
            Taken::OffShift => Self { status: "off_shift", ..Self::default() },
            Taken::Refused(faults) => {
                let errors = faults.iter().map(FieldFault::from).collect();
                Self { status: "refused", errors, ..Self::default() }
            }
        }
    }
}

/// Where a driver was.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DriverPosition)]
struct PositionAnswer {
    #[schema(minimum = -90, maximum = 90)]
    lat: f64,
    #[schema(minimum = -180, maximum = 180)]
    lon: f64,
    /// When they were there, as far as that is believed.
    #[schema(format = DateTime)]
    at: String,
    /// When, by the clock of the phone.
    #[schema(format = DateTime)]
    device_at: String,
    /// When it reached the hub.
    #[schema(format = DateTime)]
    received_at: String,
    /// When it was held against the stops; absent while it waits for earlier positions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    processed_at: Option<String>,
    /// The route that was driven.
    route_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = f64)]
    accuracy_m: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = f64)]
    speed_mps: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = f64)]
    course_deg: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = f64)]
    altitude_m: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = i64)]
    battery_pct: Option<i64>,
    /// Why it is not believed as it is: `future_clock`, `jump`, `inexact`, `late`.
    marks: Vec<&'static str>,
}

impl From<PositionRow> for PositionAnswer {
    fn from(row: PositionRow) -> Self {
        let of = |value: Option<i64>, by: f64| value.map(|value| value as f64 / by);
        Self {
            lat: row.lat_e7 as f64 / 1e7,
            lon: row.lon_e7 as f64 / 1e7,
            at: row.at.to_rfc3339(),
            device_at: row.device_at.to_rfc3339(),
            received_at: row.received_at.to_rfc3339(),
            processed_at: row.processed_at.map(Timestamp::to_rfc3339),
            accuracy_m: of(row.accuracy_mm, 1000.0),
            speed_mps: of(row.speed_mm_s, 1000.0),
            course_deg: of(row.course_cdeg, 100.0),
            altitude_m: of(row.altitude_mm, 1000.0),
            battery_pct: row.battery_pct,
            marks: words(&marks_of(&row)),
            route_id: row.route_id.into_string(),
        }
    }
}

/// Where a driver is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewestDriverPosition)]
struct NewestPosition {
    #[serde(flatten)]
    position: PositionAnswer,
    /// How old it is, in seconds.
    #[schema(minimum = 0)]
    age_s: u64,
}

/// What a driver did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DriverStatistics)]
struct StatisticsAnswer {
    /// The first day.
    #[schema(format = Date)]
    since: String,
    /// The last day.
    #[schema(format = Date)]
    until: String,
    #[schema(minimum = 0)]
    distance_m: f64,
    /// Arrivals at stops.
    #[schema(minimum = 0)]
    n_stops: u64,
    /// The part of arrivals before the end of the pickup's window, or before the clinic closed on the delivery's day; null when there
    /// was none.
    on_time_rate: Option<f64>,
    /// While moving; null when the driver did not.
    average_speed_mps: Option<f64>,
    /// How long a stop took; null when none was left.
    average_dwell_s: Option<f64>,
}

/// When the driver will be at one stop.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StopEta)]
struct StopEtaAnswer {
    /// Its place in the round, from 1.
    #[schema(minimum = 1)]
    number: i64,
    clinic_id: String,
    /// When the driver came, who is there now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    arrived_at: Option<String>,
    /// When they will be there; absent where they are already, and where nobody knows where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    at: Option<String>,
    /// Who says so: `google_routes`, `osrm` or `straight_line`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    source: Option<&'static str>,
    /// Whether a better source had no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = bool)]
    fallback: Option<bool>,
}

/// When the driver will be at the stops of a route.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RouteEta)]
struct RouteEtaAnswer {
    /// When the driver was where the estimates begin.
    #[schema(format = DateTime)]
    position_at: String,
    /// The stops that were not left, in order.
    items: Vec<StopEtaAnswer>,
}

/// Who asks about a driver, or sends for one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) tenant: &'a Tenant,
    pub(crate) role: Role,
    pub(crate) user: Option<&'a str>,
    pub(crate) rooms: &'a [Room],
}

impl<'a> Asker<'a> {
    pub(super) fn of<G: Grant>(permit: &'a Permit<G>) -> Self {
        Self {
            tenant: &permit.tenant,
            role: permit.role,
            user: permit.person.as_ref().map(|person| person.user.as_str()),
            rooms: &permit.rooms,
        }
    }

    fn has_room(&self, kind: &str, id: &str) -> bool {
        self.rooms.iter().any(|room| room.kind() == kind && room.id() == id)
    }

    /// Whether they may see and send all of a driver: others than members may, as far as they may at all.
    fn has(&self, driver: &DriverRow) -> bool {
        self.role != Role::Member
            || (self.user.is_some() && self.user == driver.person.as_deref())
            || self.has_room("driver", driver.id.as_str())
    }
}

/// Reads a driver whom the caller looks after, or is. For others there is none.
async fn own_driver(state: &ApiState, asker: Asker<'_>, id: &str) -> Result<DriverRow, Problem> {
    let driver = find(state, asker.tenant, id).await?;
    if asker.has(&driver) { Ok(driver) } else { Err(Problem::new(ErrorCode::DriverNotFound)) }
}

/// The driver for whom positions may be sent.
pub(super) async fn sending_driver(
    state: &ApiState,
    asker: Asker<'_>,
    id: &str,
) -> Result<DriverId, Problem> {
    let driver = own_driver(state, asker, id).await?;
    if driver.is_active { Ok(driver.id) } else { Err(Problem::new(ErrorCode::DriverNotFound)) }
}

/// Takes positions of a driver; every way in comes through here.
pub(super) async fn take(
    state: &ApiState,
    asker: Asker<'_>,
    id: &str,
    samples: &[Sample],
) -> Result<Vec<Taken>, Problem> {
    let driver = sending_driver(state, asker, id).await?;
    let cause = Cause::call(asker.tenant.clone(), state.now());
    positions_take(state.store(), &cause, &driver, samples).await.map_err(refused)
}

fn sample(value: Value) -> Result<Sample, Problem> {
    let mut input = Input::from_json(SAMPLE, value);
    input.finish()?;
    let number = |name: &str| input.json(name).and_then(Value::as_f64);
    Ok(Sample {
        lat: number("lat").unwrap_or(f64::NAN),
        lon: number("lon").unwrap_or(f64::NAN),
        device_at: input.time("at"),
        accuracy_m: number("accuracy_m"),
        speed_mps: number("speed_mps"),
        course_deg: number("course_deg").map(|degrees| degrees % 360.0),
        altitude_m: number("altitude_m"),
        battery_pct: number("battery_pct"),
    })
}

/// Takes one position, or a batch of them, as they are sent in our own format.
pub(crate) async fn take_body(
    state: &ApiState,
    asker: Asker<'_>,
    id: &str,
    body: Value,
) -> Result<PositionsTaken, Problem> {
    let items = match body {
        Value::Array(items) => items,
        one => {
            let taken = take(state, asker, id, &[sample(one)?]).await?;
            return match taken.into_iter().next() {
                Some(Taken::Refused(faults)) => Err(Problem::invalid(faults)),
                taken => Ok(PositionsTaken::of(taken.as_slice())),
            };
        }
    };
    if !(1..=MAX_POSITIONS).contains(&items.len()) {
        let detail = format!("must hold 1 to {MAX_POSITIONS} items");
        return Err(Problem::invalid(vec![FieldError::new("", "out_of_range", detail)]));
    }
    let mut all = Vec::with_capacity(items.len());
    let mut samples = Vec::new();
    for item in items {
        match sample(item) {
            Ok(sample) => {
                samples.push(sample);
                all.push(None);
            }
            Err(problem) => all.push(Some(Taken::Refused(problem.errors().to_vec()))),
        }
    }
    let mut taken = take(state, asker, id, &samples).await?.into_iter();
    let all: Vec<Taken> = all.into_iter().filter_map(|refused| refused.or_else(|| taken.next())).collect();
    Ok(PositionsTaken::of(&all))
}

async fn create(
    permit: Permit<grants::TrackingWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    body: JsonBody,
) -> Result<Response, Problem> {
    let taken = take_body(&state, Asker::of(&permit), &id, body.required()?).await?;
    Ok(json(StatusCode::OK, &taken))
}

/// The place of a position in the list.
fn place((at, lat_e7, lon_e7): PositionKey) -> String {
    format!("{},{lat_e7},{lon_e7}", at.as_micros())
}

fn key_at(place: &str) -> Option<PositionKey> {
    let mut parts = place.split(',').map(str::parse::<i64>);
    let mut next = || parts.next()?.ok();
    Some((Timestamp::from_micros(next()?), next()?, next()?))
}

async fn list(
    permit: Permit<grants::TrackingRead>,
    State(state): State<ApiState>,
    Id(id): Id,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let driver = own_driver(&state, Asker::of(&permit), &id).await?;
    let paging = Paging::read(&mut query, &format!("positions/{}", driver.id), &permit.tenant);
    query.finish()?;
    let filter = PositionFilter {
        since: query.time("since"),
        until: query.time("until"),
        before: paging.after.as_deref().and_then(key_at),
        limit: paging.n_rows(),
    };
    let rows = position_list(state.store(), &permit.tenant, driver.id.as_str(), &filter).await?;
    let page = paging.page(rows, |row| place(row.key()), PositionAnswer::from);
    Ok(json(StatusCode::OK, &page))
}

async fn get(
    permit: Permit<grants::TrackingRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let driver = find(&state, &permit.tenant, &id).await?;
    let (store, tenant, driver_id) = (state.store(), &permit.tenant, driver.id.as_str());
    let asker = Asker::of(&permit);
    let is_clinics = !asker.has(&driver);
    let routes = if is_clinics {
        let is_meant = |clinic: &str| asker.has_room("clinic", clinic);
        routes_ahead(store, tenant, driver_id, state.now(), is_meant).await?
    } else {
        Vec::new()
    };
    if is_clinics && routes.is_empty() {
        return Err(Problem::new(ErrorCode::DriverNotFound));
    }
    let current = track_get(store, tenant, driver_id).await?.and_then(|row| row.current);
    let position = match current {
        Some(key) => position_get(store, tenant, driver_id, key).await?,
        None => None,
    };
    let position = position.filter(|row| !is_clinics || routes.contains(&row.route_id));
    let row = position.ok_or_else(|| Problem::new(ErrorCode::PositionNotFound))?;
    let age_s = state.now().since(row.at).as_secs();
    Ok(json(StatusCode::OK, &NewestPosition { position: row.into(), age_s }))
}

async fn eta(
    permit: Permit<grants::TrackingRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let (asker, not_found) = (Asker::of(&permit), || Problem::new(ErrorCode::RouteNotFound));
    let route = route_get(state.store(), &permit.tenant, &id).await?.ok_or_else(not_found)?;
    let driver = driver_get(state.store(), &permit.tenant, route.driver_id.as_str()).await?;
    let has_all = driver.map_or(asker.role != Role::Member, |driver| asker.has(&driver));
    let is_shown = |clinic: &str| has_all || asker.has_room("clinic", clinic);
    if !has_all {
        let stops = stop_list(state.store(), &route.id).await?;
        if !stops.iter().any(|stop| stop.departed_at.is_none() && is_shown(stop.clinic_id.as_str())) {
            return Err(not_found());
        }
    }
    let found =
        route_eta(state.store(), &permit.tenant, &id, &state.eta, state.now()).await.map_err(refused)?;
    let found = found.ok_or_else(|| Problem::new(ErrorCode::PositionNotFound))?;
    let items = found
        .stops
        .into_iter()
        .filter(|(stop, _)| is_shown(stop.clinic_id.as_str()))
        .map(|(stop, eta)| StopEtaAnswer {
            number: stop.number,
            clinic_id: stop.clinic_id.into_string(),
            arrived_at: stop.arrived_at.map(Timestamp::to_rfc3339),
            at: eta.as_ref().map(|eta| eta.at.to_rfc3339()),
            source: eta.as_ref().map(|eta| eta.source),
            fallback: eta.as_ref().map(|eta| eta.is_fallback),
        })
        .collect();
    Ok(json(StatusCode::OK, &RouteEtaAnswer { position_at: found.position.at.to_rfc3339(), items }))
}

fn figures_of(row: &DriverDayRow) -> Figures {
    let count = |n: i64| u64::try_from(n).unwrap_or_default();
    let micros = |n: i64| Duration::from_micros(count(n));
    Figures {
        distance_m: row.distance_mm as f64 / 1000.0,
        moving: micros(row.moving_us),
        n_stops: count(row.n_stops),
        n_left: count(row.n_left),
        stayed: micros(row.stayed_us),
        n_judged: count(row.n_judged),
        n_on_time: count(row.n_on_time),
    }
}

fn day_of(at: Timestamp) -> String {
    at.to_rfc3339().chars().take(10).collect()
}

/// When a day begins, UTC. The text was checked.
fn start_of(day: &str) -> Timestamp {
    Timestamp::parse_rfc3339(&format!("{day}T00:00:00Z")).unwrap_or_default()
}

async fn statistics(
    permit: Permit<grants::TrackingRead>,
    State(state): State<ApiState>,
    Id(id): Id,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let driver = own_driver(&state, Asker::of(&permit), &id).await?;
    let until = query.text("until").unwrap_or_else(|| day_of(state.now()));
    let since = query.text("since").unwrap_or_else(|| day_of(start_of(&until).minus(USUAL)));
    let is_long = start_of(&until).since(start_of(&since)) > LONGEST;
    if is_long || since > until {
        query.fault("since", "out_of_range", "must be at most 365 days before until");
    }
    query.finish()?;
    let whose = (&permit.tenant, driver.id.as_str());
    let days = driver_day_list(state.store(), whose, (&since, &until), MAX_DAYS).await?;
    let mut figures = Figures::default();
    for day in &days {
        figures.add(&figures_of(day));
    }
    let answer = StatisticsAnswer {
        since,
        until,
        distance_m: figures.distance_m,
        n_stops: figures.n_stops,
        on_time_rate: figures.on_time_rate(),
        average_speed_mps: figures.average_speed(),
        average_dwell_s: figures.average_dwell().map(|dwell| dwell.as_secs_f64()),
    };
    Ok(json(StatusCode::OK, &answer))
}
