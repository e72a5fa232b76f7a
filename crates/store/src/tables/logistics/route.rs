//! Routes: a driver's round of one day, with its stops in order.

use trunkline_model::{ClinicId, DriverId, LogisticsTaskId, RouteId, Tenant, Timestamp};

use crate::tables::select::Select;
use crate::tables::workflow::instance::stored_words;
use crate::{ReadError, Row, Statement, Store, params};

stored_words! {
    /// Where a route stands.
    RouteStatus, "status of a route":
    /// The driver has not set out.
    Planned "planned",
    /// The driver is on the way.
    UnderWay "under_way",
    /// The driver is back.
    Completed "completed",
    /// Nobody drives it.
    Cancelled "cancelled",
}

impl RouteStatus {
    /// Whether nothing can happen to it any more.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled)
    }
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRow {
    /// Its id.
    pub id: RouteId,
    /// Whose it is.
    pub tenant: Tenant,
    /// Who drives it.
    pub driver_id: DriverId,
    /// The date.
    pub day: String,
    /// Where it stands.
    pub status: RouteStatus,
    /// Grows with each change.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When the driver set out.
    pub started_at: Option<Timestamp>,
    /// When it came to its end.
    pub ended_at: Option<Timestamp>,
}

/// One stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopRow {
    /// The route.
    pub route_id: RouteId,
    /// Its place in the round, from 1.
    pub number: i64,
    /// What is done there.
    pub task_id: LogisticsTaskId,
    /// Where it is.
    pub clinic_id: ClinicId,
    /// When the driver came.
    pub arrived_at: Option<Timestamp>,
    /// When the driver left.
    pub departed_at: Option<Timestamp>,
}

/// One stop, and where its clinic is in ten-millionths of a degree.
pub type PlacedStop = (StopRow, Option<(i64, i64)>);

const COLUMNS: &str =
    "id, tenant, driver_id, day, status, version, created_at, updated_at, started_at, ended_at";
const STOP_COLUMNS: &str = "route_id, number, task_id, clinic_id, arrived_at, departed_at";

fn route_row(mut row: Row) -> Result<RouteRow, ReadError> {
    Ok(RouteRow {
        id: RouteId::from_text(row.text()?),
        tenant: Tenant::from_stored(&row.text()?),
        driver_id: DriverId::from_text(row.text()?),
        day: row.text()?,
        status: RouteStatus::read(&row.text()?)?,
        version: row.int()?,
        created_at: row.time()?,
        updated_at: row.time()?,
        started_at: row.opt_time()?,
        ended_at: row.opt_time()?,
    })
}

fn stop_row(row: &mut Row) -> Result<StopRow, ReadError> {
    Ok(StopRow {
        route_id: RouteId::from_text(row.text()?),
        number: row.int()?,
        task_id: LogisticsTaskId::from_text(row.text()?),
        clinic_id: ClinicId::from_text(row.text()?),
        arrived_at: row.opt_time()?,
        departed_at: row.opt_time()?,
    })
}

/// Stores a new route.
pub fn route_insert(row: &RouteRow) -> Statement {
    Statement::one(
        format!("INSERT INTO logistics_routes ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"),
        params![
            row.id.as_str(),
            row.tenant.as_str(),
            row.driver_id.as_str(),
            row.day.as_str(),
            row.status.as_str(),
            row.version,
            row.created_at,
            row.updated_at,
            row.started_at,
            row.ended_at
        ],
    )
}

/// Moves a route on; `row.version` must follow the stored one, otherwise it was changed since it was read.
pub fn route_update(row: &RouteRow) -> Statement {
    Statement::one(
        "UPDATE logistics_routes SET status = $1, version = $2, updated_at = $3, started_at = $4, ended_at = $5 \
         WHERE id = $6 AND tenant = $7 AND version = $8",
        params![
            row.status.as_str(),
            row.version,
            row.updated_at,
            row.started_at,
            row.ended_at,
            row.id.as_str(),
            row.tenant.as_str(),
            row.version - 1
        ],
    )
}

/// Stores a stop.
pub fn stop_insert(row: &StopRow) -> Statement {
    Statement::one(
        format!("INSERT INTO logistics_stops ({STOP_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)"),
        params![
            row.route_id.as_str(),
            row.number,
            row.task_id.as_str(),
            row.clinic_id.as_str(),
            row.arrived_at,
            row.departed_at
        ],
    )
}

/// Notes when the driver came and left; what is known already stays.
pub fn stop_note(row: &StopRow) -> Statement {
    Statement::new(
        "UPDATE logistics_stops SET arrived_at = coalesce(arrived_at, $1), departed_at = coalesce(departed_at, $2) \
         WHERE route_id = $3 AND number = $4",
        params![row.arrived_at, row.departed_at, row.route_id.as_str(), row.number],
    )
}

/// Reads one route of a tenant.
pub async fn route_get(store: &Store, tenant: &Tenant, id: &str) -> Result<Option<RouteRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM logistics_routes WHERE id = $1 AND tenant = $2");
    store.query(sql, params![id, tenant.as_str()]).await?.pop().map(route_row).transpose()
}

/// Lists the stops of a route in order.
pub async fn stop_list(store: &Store, route_id: &RouteId) -> Result<Vec<StopRow>, ReadError> {
    let sql = format!("SELECT {STOP_COLUMNS} FROM logistics_stops WHERE route_id = $1 ORDER BY number");
    let rows = store.query(sql, params![route_id.as_str()]).await?;
    rows.into_iter().map(|mut row| stop_row(&mut row)).collect()
}

/// Lists the stops of a route in order, each with where its clinic is.
pub async fn stop_list_placed(
    store: &Store,
    tenant: &Tenant,
    route_id: &RouteId,
) -> Result<Vec<PlacedStop>, ReadError> {
    const SQL: &str = "SELECT route_id, number, task_id, clinic_id, arrived_at, departed_at, lat_e7, lon_e7 \
         FROM logistics_stops LEFT JOIN clinics ON clinics.tenant = $1 AND clinics.id = logistics_stops.clinic_id \
         WHERE route_id = $2 ORDER BY number";
    let rows = store.query(SQL, params![tenant.as_str(), route_id.as_str()]).await?;
    rows.into_iter().map(|mut row| Ok((stop_row(&mut row)?, row.opt_int()?.zip(row.opt_int()?)))).collect()
}

/// Lists routes that a driver drove at some time between two, the latest first.
pub async fn route_list_driven(
    store: &Store,
    (tenant, driver_id): (&Tenant, &str),
    (from, until): (Timestamp, Timestamp),
    limit: i64,
) -> Result<Vec<RouteRow>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM logistics_routes WHERE tenant = $1 AND driver_id = $2 AND started_at <= $3 \
         AND (ended_at IS NULL OR ended_at >= $4) ORDER BY started_at DESC LIMIT $5"
    );
    let values = params![tenant.as_str(), driver_id, until, from, limit];
    store.query(sql, values).await?.into_iter().map(route_row).collect()
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct RouteFilter {
    /// Only those of this driver.
    pub driver_id: Option<String>,
    /// Only those of this day.
    pub day: Option<String>,
    /// Only those that stand here.
    pub status: Option<RouteStatus>,
    /// Only below this id: the last one of the page before.
    pub before: Option<String>,
    /// At most this many.
    pub limit: i64,
}

/// Lists routes of a tenant, newest first.
pub async fn route_list(
    store: &Store,
    tenant: &Tenant,
    filter: &RouteFilter,
) -> Result<Vec<RouteRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM logistics_routes WHERE tenant = $1");
    let mut select = Select::new(sql, params![tenant.as_str()]);
    select.add_some(" AND driver_id = ?", filter.driver_id.as_deref());
    select.add_some(" AND day = ?", filter.day.as_deref());
    select.add_some(" AND status = ?", filter.status.map(RouteStatus::as_str));
    select.add_some(" AND id < ?", filter.before.as_deref());
    select.add(" ORDER BY id DESC LIMIT ?", filter.limit);
    store.query(select.sql, select.values).await?.into_iter().map(route_row).collect()
}
