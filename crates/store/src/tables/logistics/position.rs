//! Positions of drivers: what their phones told, with three clocks and marks. A position is known by driver, time and
//! place, so that one that comes again is the same row.

use trunkline_model::{DriverId, RouteId, Tenant, Timestamp};

use crate::tables::select::Select;
use crate::{ReadError, Row, Statement, Store, params};

/// Time, latitude and longitude: what tells positions of a driver apart, and their order.
pub type PositionKey = (Timestamp, i64, i64);

/// One position.
#[derive(Clone, PartialEq, Eq)]
pub struct PositionRow {
    /// For whom the driver drives.
    pub tenant: Tenant,
    /// Whose position it is.
    pub driver_id: DriverId,
    /// When they were there, as far as that is believed.
    pub at: Timestamp,
    /// Latitude in ten-millionths of a degree.
    pub lat_e7: i64,
    /// Longitude in ten-millionths of a degree.
    pub lon_e7: i64,
    /// When, by the phone's clock.
    pub device_at: Timestamp,
    /// When it reached the hub.
    pub received_at: Timestamp,
    /// When it was settled; `None` while it waits for earlier ones.
    pub processed_at: Option<Timestamp>,
    /// The route that was driven.
    pub route_id: RouteId,
    /// How exact it is.
    pub accuracy_mm: Option<i64>,
    /// How fast, in millimetres a second.
    pub speed_mm_s: Option<i64>,
    /// Which way, in hundredths of a degree from north.
    pub course_cdeg: Option<i64>,
    /// How high above the sea.
    pub altitude_mm: Option<i64>,
    /// How full the phone's battery is, in percent.
    pub battery_pct: Option<i64>,
    /// Why it is not believed as it is: words with commas between them.
    pub marks: String,
}

impl std::fmt::Debug for PositionRow {
    // Where people are belongs into no log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PositionRow")
            .field("driver_id", &self.driver_id)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl PositionRow {
    /// What tells it apart.
    pub fn key(&self) -> PositionKey {
        (self.at, self.lat_e7, self.lon_e7)
    }
}

const COLUMNS: &str = "tenant, driver_id, at, lat_e7, lon_e7, device_at, received_at, processed_at, route_id, \
     accuracy_mm, speed_mm_s, course_cdeg, altitude_mm, battery_pct, marks";

fn position_row(mut row: Row) -> Result<PositionRow, ReadError> {
    Ok(PositionRow {
        tenant: Tenant::from_stored(&row.text()?),
        driver_id: DriverId::from_text(row.text()?),
        at: row.time()?,
        lat_e7: row.int()?,
        lon_e7: row.int()?,
        device_at: row.time()?,
        received_at: row.time()?,
        processed_at: row.opt_time()?,
        route_id: RouteId::from_text(row.text()?),
        accuracy_mm: row.opt_int()?,
        speed_mm_s: row.opt_int()?,
        course_cdeg: row.opt_int()?,
        altitude_mm: row.opt_int()?,
        battery_pct: row.opt_int()?,
        marks: row.text()?,
    })
}

/// Stores a position; one that is there stays as it is.
pub fn position_put(row: &PositionRow) -> Statement {
    Statement::new(
        format!(
            "INSERT INTO driver_positions ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, \
             $14, $15) ON CONFLICT DO NOTHING"
        ),
        params![
            row.tenant.as_str(),
            row.driver_id.as_str(),
            row.at,
            row.lat_e7,
            row.lon_e7,
            row.device_at,
            row.received_at,
            row.processed_at,
            row.route_id.as_str(),
            row.accuracy_mm,
            row.speed_mm_s,
            row.course_cdeg,
            row.altitude_mm,
            row.battery_pct,
            row.marks.as_str()
        ],
    )
}

/// Notes when a position was settled, and its marks.
pub fn position_settle(row: &PositionRow) -> Statement {
    Statement::new(
        "UPDATE driver_positions SET processed_at = $1, marks = $2 \
         WHERE tenant = $3 AND driver_id = $4 AND at = $5 AND lat_e7 = $6 AND lon_e7 = $7",
        params![
            row.processed_at,
            row.marks.as_str(),
            row.tenant.as_str(),
            row.driver_id.as_str(),
            row.at,
            row.lat_e7,
            row.lon_e7
        ],
    )
}

/// Reads one position.
pub async fn position_get(
    store: &Store,
    tenant: &Tenant,
    driver_id: &str,
    (at, lat_e7, lon_e7): PositionKey,
) -> Result<Option<PositionRow>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM driver_positions WHERE tenant = $1 AND driver_id = $2 AND at = $3 AND lat_e7 = $4 \
         AND lon_e7 = $5"
    );
    let values = params![tenant.as_str(), driver_id, at, lat_e7, lon_e7];
    store.query(sql, values).await?.pop().map(position_row).transpose()
}

/// Lists the positions of a driver that wait for earlier ones, in their order.
pub async fn position_list_waiting(
    store: &Store,
    tenant: &Tenant,
    driver_id: &str,
    limit: i64,
) -> Result<Vec<PositionRow>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM driver_positions WHERE tenant = $1 AND driver_id = $2 AND processed_at IS NULL \
         ORDER BY at, lat_e7, lon_e7 LIMIT $3"
    );
    let rows = store.query(sql, params![tenant.as_str(), driver_id, limit]).await?;
    rows.into_iter().map(position_row).collect()
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct PositionFilter {
    /// Only those from this time on.
    pub since: Option<Timestamp>,
    /// Only those before this time.
    pub until: Option<Timestamp>,
    /// Only before this one: the last of the page before.
    pub before: Option<PositionKey>,
    /// At most this many.
    pub limit: i64,
}

/// Lists positions of a driver, newest first.
pub async fn position_list(
    store: &Store,
    tenant: &Tenant,
    driver_id: &str,
    filter: &PositionFilter,
) -> Result<Vec<PositionRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM driver_positions WHERE tenant = $1 AND driver_id = $2");
    let mut select = Select::new(sql, params![tenant.as_str(), driver_id]);
    select.add_some(" AND at >= ?", filter.since);
    select.add_some(" AND at < ?", filter.until);
    if let Some((at, lat_e7, lon_e7)) = filter.before {
        select.add(" AND (at, lat_e7, lon_e7) < (?", at);
        select.add(", ?", lat_e7);
        select.add(", ?)", lon_e7);
    }
    select.add(" ORDER BY at DESC, lat_e7 DESC, lon_e7 DESC LIMIT ?", filter.limit);
    store.query(select.sql, select.values).await?.into_iter().map(position_row).collect()
}

const OLD: &str = "FROM driver_positions WHERE received_at < $1 ORDER BY received_at LIMIT $2";

/// How many positions came before a time; counts no further than `limit`.
pub async fn position_count_old(store: &Store, before: Timestamp, limit: i64) -> Result<i64, ReadError> {
    let sql = format!("SELECT count(*) FROM (SELECT 1 {OLD}) AS few");
    let row = store.query(sql, params![before, limit]).await?.pop();
    row.map_or(Ok(0), |mut row| row.int())
}

/// Removes the oldest of them, at most `limit`.
pub fn position_delete_old(before: Timestamp, limit: i64) -> Statement {
    Statement::new(
        format!(
            "DELETE FROM driver_positions WHERE (tenant, driver_id, at, lat_e7, lon_e7) IN \
             (SELECT tenant, driver_id, at, lat_e7, lon_e7 {OLD})"
        ),
        params![before, limit],
    )
}
