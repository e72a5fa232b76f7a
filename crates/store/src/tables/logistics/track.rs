//! How far each driver is followed: the newest position, what the next one is held against, and the stops at which they
//! are seen. A change of a track is guarded by its version, and everything that follows from it is in the same commit.

use trunkline_model::{ClinicId, DriverId, RouteId, Tenant, Timestamp};

use super::position::PositionKey;
use crate::{ReadError, Row, Statement, Store, params};

/// One driver's track.
#[derive(Clone, PartialEq, Eq)]
pub struct TrackRow {
    /// For whom the driver drives.
    pub tenant: Tenant,
    /// Who is followed.
    pub driver_id: DriverId,
    /// The newest position that is believed.
    pub current: Option<PositionKey>,
    /// JSON: what the next position is held against.
    pub state: String,
    /// When what waits is settled although nothing more came.
    pub settle_at: Option<Timestamp>,
    /// When a position last came.
    pub received_at: Timestamp,
    /// Grows with each change.
    pub version: i64,
}

impl std::fmt::Debug for TrackRow {
    // Where people are belongs into no log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrackRow")
            .field("driver_id", &self.driver_id)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// A stop at which a driver is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisitRow {
    /// For whom the driver drives.
    pub tenant: Tenant,
    /// Who is seen.
    pub driver_id: DriverId,
    /// The route that the stop is part of.
    pub route_id: RouteId,
    /// The clinic there.
    pub clinic_id: ClinicId,
    /// Where it was when the driver came, in ten-millionths of a degree.
    pub center_e7: (i64, i64),
    /// When they came in.
    pub since: Timestamp,
    /// When they were last seen inside.
    pub last_inside_at: Timestamp,
    /// Whether they have stayed long enough to have arrived.
    pub has_arrived: bool,
    /// Since when they are surely outside.
    pub outside_since: Option<Timestamp>,
}

const COLUMNS: &str =
    "tenant, driver_id, current_at, current_lat_e7, current_lon_e7, state, settle_at, received_at, version";
const VISIT_COLUMNS: &str = "tenant, driver_id, route_id, clinic_id, lat_e7, lon_e7, since, last_inside_at, \
     has_arrived, outside_since";

fn track_row(mut row: Row) -> Result<TrackRow, ReadError> {
    let tenant = Tenant::from_stored(&row.text()?);
    let driver_id = DriverId::from_text(row.text()?);
    let (at, lat_e7, lon_e7) = (row.opt_time()?, row.opt_int()?, row.opt_int()?);
    Ok(TrackRow {
        tenant,
        driver_id,
        current: at.zip(lat_e7).zip(lon_e7).map(|((at, lat_e7), lon_e7)| (at, lat_e7, lon_e7)),
        state: row.text()?,
        settle_at: row.opt_time()?,
        received_at: row.time()?,
        version: row.int()?,
    })
}

fn visit_row(mut row: Row) -> Result<VisitRow, ReadError> {
    Ok(VisitRow {
        tenant: Tenant::from_stored(&row.text()?),
        driver_id: DriverId::from_text(row.text()?),
        route_id: RouteId::from_text(row.text()?),
        clinic_id: ClinicId::from_text(row.text()?),
        center_e7: (row.int()?, row.int()?),
        since: row.time()?,
        last_inside_at: row.time()?,
        has_arrived: row.flag()?,
        outside_since: row.opt_time()?,
    })
}

/// Stores a track: version 1 is new, a later one must follow the stored one. Otherwise somebody else was faster.
pub fn track_put(row: &TrackRow) -> Statement {
    let current = |of: fn(PositionKey) -> i64| row.current.map(of);
    let (at, lat_e7, lon_e7) = (current(|key| key.0.as_micros()), current(|key| key.1), current(|key| key.2));
    if row.version == 1 {
        return Statement::one(
            format!("INSERT INTO driver_tracks ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"),
            params![
                row.tenant.as_str(),
                row.driver_id.as_str(),
                at,
                lat_e7,
                lon_e7,
                row.state.as_str(),
                row.settle_at,
                row.received_at,
                row.version
            ],
        );
    }
    Statement::one(
        "UPDATE driver_tracks SET current_at = $1, current_lat_e7 = $2, current_lon_e7 = $3, state = $4, \
         settle_at = $5, received_at = $6, version = $7 WHERE tenant = $8 AND driver_id = $9 AND version = $10",
        params![
            at,
            lat_e7,
            lon_e7,
            row.state.as_str(),
            row.settle_at,
            row.received_at,
            row.version,
            row.tenant.as_str(),
            row.driver_id.as_str(),
            row.version - 1
        ],
    )
}

/// Reads the track of a driver.
pub async fn track_get(
    store: &Store,
    tenant: &Tenant,
    driver_id: &str,
) -> Result<Option<TrackRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM driver_tracks WHERE tenant = $1 AND driver_id = $2");
    store.query(sql, params![tenant.as_str(), driver_id]).await?.pop().map(track_row).transpose()
}

/// Lists tracks of all tenants that are to be settled, the most overdue first.
pub async fn track_list_due(store: &Store, now: Timestamp, limit: i64) -> Result<Vec<TrackRow>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM driver_tracks WHERE settle_at <= $1 ORDER BY settle_at, tenant, driver_id LIMIT $2"
    );
    store.query(sql, params![now, limit]).await?.into_iter().map(track_row).collect()
}

/// Whether there is a track of which nothing came since a time.
pub async fn track_has_old(store: &Store, before: Timestamp) -> Result<bool, ReadError> {
    const SQL: &str = "SELECT version FROM driver_tracks WHERE received_at < $1 LIMIT 1";
    Ok(!store.query(SQL, params![before]).await?.is_empty())
}

/// Forgets tracks of which nothing came since a time, and the stops at which their drivers were seen.
pub fn track_delete_old(before: Timestamp) -> [Statement; 2] {
    [
        Statement::new(
            "DELETE FROM driver_visits WHERE (tenant, driver_id) IN \
             (SELECT tenant, driver_id FROM driver_tracks WHERE received_at < $1)",
            params![before],
        ),
        Statement::new("DELETE FROM driver_tracks WHERE received_at < $1", params![before]),
    ]
}

/// Stores a visit in place of what was known of it.
pub fn visit_put(row: &VisitRow) -> Statement {
    Statement::new(
        format!(
            "INSERT INTO driver_visits ({VISIT_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
             ON CONFLICT (tenant, driver_id, route_id, clinic_id) DO UPDATE SET lat_e7 = excluded.lat_e7, \
             lon_e7 = excluded.lon_e7, since = excluded.since, last_inside_at = excluded.last_inside_at, \
             has_arrived = excluded.has_arrived, outside_since = excluded.outside_since"
        ),
        params![
            row.tenant.as_str(),
            row.driver_id.as_str(),
            row.route_id.as_str(),
            row.clinic_id.as_str(),
            row.center_e7.0,
            row.center_e7.1,
            row.since,
            row.last_inside_at,
            row.has_arrived,
            row.outside_since
        ],
    )
}

/// Forgets a visit that is over.
pub fn visit_delete(row: &VisitRow) -> Statement {
    Statement::new(
        "DELETE FROM driver_visits WHERE tenant = $1 AND driver_id = $2 AND route_id = $3 AND clinic_id = $4",
        params![row.tenant.as_str(), row.driver_id.as_str(), row.route_id.as_str(), row.clinic_id.as_str()],
    )
}

/// Lists the visits of a driver.
pub async fn visit_list(store: &Store, tenant: &Tenant, driver_id: &str) -> Result<Vec<VisitRow>, ReadError> {
    let sql = format!(
        "SELECT {VISIT_COLUMNS} FROM driver_visits WHERE tenant = $1 AND driver_id = $2 ORDER BY route_id, clinic_id"
    );
    store.query(sql, params![tenant.as_str(), driver_id]).await?.into_iter().map(visit_row).collect()
}
