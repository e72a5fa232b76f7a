//! What drivers did, by day. Only sums: they stay when the positions that they come from are removed.

use trunkline_model::{DriverId, Tenant};

use crate::{ReadError, Statement, Store, params};

/// What a driver did on a day, or what is to be added to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverDayRow {
    /// For whom they drive.
    pub tenant: Tenant,
    /// Who.
    pub driver_id: DriverId,
    /// The date, UTC.
    pub day: String,
    /// How far they drove.
    pub distance_mm: i64,
    /// How long that took, in microseconds.
    pub moving_us: i64,
    /// Arrivals at stops.
    pub n_stops: i64,
    /// Stops that were left again.
    pub n_left: i64,
    /// How long they stayed at those, in microseconds.
    pub stayed_us: i64,
    /// Arrivals for which a time was promised.
    pub n_judged: i64,
    /// Those of them that were in time.
    pub n_on_time: i64,
}

/// Adds to a day.
pub fn driver_day_add(row: &DriverDayRow) -> Statement {
    Statement::one(
        "INSERT INTO driver_days (tenant, driver_id, day, distance_mm, moving_us, n_stops, n_left, stayed_us, n_judged, \
         n_on_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (tenant, driver_id, day) DO UPDATE SET \
         distance_mm = driver_days.distance_mm + excluded.distance_mm, \
         moving_us = driver_days.moving_us + excluded.moving_us, \
         n_stops = driver_days.n_stops + excluded.n_stops, \
         n_left = driver_days.n_left + excluded.n_left, \
         stayed_us = driver_days.stayed_us + excluded.stayed_us, \
         n_judged = driver_days.n_judged + excluded.n_judged, \
         n_on_time = driver_days.n_on_time + excluded.n_on_time",
        params![
            row.tenant.as_str(),
            row.driver_id.as_str(),
            row.day.as_str(),
            row.distance_mm,
            row.moving_us,
            row.n_stops,
            row.n_left,
            row.stayed_us,
            row.n_judged,
            row.n_on_time
        ],
    )
}

/// Lists the days of a driver from one to another, both included, in order.
pub async fn driver_day_list(
    store: &Store,
    (tenant, driver_id): (&Tenant, &str),
    (first, last): (&str, &str),
    limit: i64,
) -> Result<Vec<DriverDayRow>, ReadError> {
    const SQL: &str = "SELECT day, distance_mm, moving_us, n_stops, n_left, stayed_us, n_judged, n_on_time \
         FROM driver_days WHERE tenant = $1 AND driver_id = $2 AND day >= $3 AND day <= $4 ORDER BY day LIMIT $5";
    let rows = store.query(SQL, params![tenant.as_str(), driver_id, first, last, limit]).await?;
    rows.into_iter()
        .map(|mut row| {
            Ok(DriverDayRow {
                tenant: tenant.clone(),
                driver_id: DriverId::from_text(driver_id),
                day: row.text()?,
                distance_mm: row.int()?,
                moving_us: row.int()?,
                n_stops: row.int()?,
                n_left: row.int()?,
                stayed_us: row.int()?,
                n_judged: row.int()?,
                n_on_time: row.int()?,
            })
        })
        .collect()
}
