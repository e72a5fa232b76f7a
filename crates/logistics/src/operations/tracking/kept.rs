//! Between the rows of the store and the rules of tracking.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trunkline_model::{ClinicId, DriverId, RouteId, Tenant, Timestamp};
use trunkline_store::tables::logistics::driver_day::DriverDayRow;
use trunkline_store::tables::logistics::position::{PositionKey, PositionRow};
use trunkline_store::tables::logistics::track::{TrackRow, VisitRow};

use crate::Position;
use crate::rows::{Unreadable, to_json};
use crate::tracking::fence::RADIUS_M;
use crate::tracking::{Fence, Figures, Fix, Judge, Mark, Odometer, Reorder, Report, Sample, Seen, Visit};

/// What a track keeps between two calls, as it is stored.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// The last place that was believed, and what speaks for another one.
    last: Option<KeptPlace>,
    elsewhere: Vec<KeptPlace>,
    /// The last position that was settled.
    settled: Option<KeptPlace>,
    /// The place that the way is counted from.
    counted: Option<KeptPlace>,
}

/// Microseconds since 1970, and ten-millionths of a degree.
type KeptPlace = (i64, i64, i64);

fn to_kept((place, at): Seen) -> KeptPlace {
    (at.as_micros(), place.lat_e7(), place.lon_e7())
}

fn from_kept((at, lat_e7, lon_e7): KeptPlace) -> Option<Seen> {
    Some((Position::from_e7(lat_e7, lon_e7).ok()?, Timestamp::from_micros(at)))
}

/// The parts of a track, taken up again.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) judge: Judge,
    pub(super) reorder: Reorder,
    pub(super) odometer: Odometer,
}

impl Parts {
    /// Takes up what a row keeps, with the positions that wait.
    pub(super) fn read(row: Option<&TrackRow>, waiting: &[PositionRow]) -> Result<Self, Unreadable> {
        let kept: Kept = match row {
            None => Kept::default(),
            Some(row) => serde_json::from_str(&row.state)
                .map_err(|_| Unreadable { what: "track", id: row.driver_id.as_str().to_owned() })?,
        };
        let place = |kept: Option<KeptPlace>| kept.and_then(from_kept);
        Ok(Self {
            judge: Judge {
                last: place(kept.last),
                elsewhere: kept.elsewhere.into_iter().filter_map(from_kept).collect(),
            },
            reorder: Reorder::resume(place(kept.settled), waiting.iter().filter_map(fix_of)),
            odometer: Odometer { last: place(kept.counted) },
        })
    }

    /// What is kept of them.
    pub(super) fn write(&self) -> String {
        to_json(&Kept {
            last: self.judge.last.map(to_kept),
            elsewhere: self.judge.elsewhere.iter().copied().map(to_kept).collect(),
            settled: self.reorder.settled().map(to_kept),
            counted: self.odometer.last.map(to_kept),
        })
    }
}

/// The key of a fix's row; every fix here has a place.
pub(super) fn key_of(fix: &Fix) -> Option<PositionKey> {
    fix.position.map(|position| (fix.at, position.lat_e7(), position.lon_e7()))
}

/// The fix of a stored position.
fn fix_of(row: &PositionRow) -> Option<Fix> {
    let position = Position::from_e7(row.lat_e7, row.lon_e7).ok()?;
    let mut fix = Fix::new(Report {
        lat: position.lat(),
        lon: position.lon(),
        accuracy_m: row.accuracy_mm.map(|mm| mm as f64 / 1000.0),
        device_at: row.device_at,
        received_at: row.received_at,
        stored_at: row.received_at,
    });
    fix.at = row.at;
    fix.marks.extend(marks_of(row));
    Some(fix)
}

/// Why a stored position is not believed as it is.
pub fn marks_of(row: &PositionRow) -> Vec<Mark> {
    row.marks.split(',').filter_map(Mark::parse).collect()
}

/// How marks are stored.
pub(super) fn marks_text(fix: &Fix) -> String {
    fix.marks.iter().map(|mark| mark.as_str()).collect::<Vec<_>>().join(",")
}

/// The row of a new position.
pub(super) fn position_row(
    (tenant, driver_id, route_id): (&Tenant, &DriverId, &RouteId),
    fix: &Fix,
    sample: &Sample,
) -> Option<PositionRow> {
    let (at, lat_e7, lon_e7) = key_of(fix)?;
    Some(PositionRow {
        tenant: tenant.clone(),
        driver_id: driver_id.clone(),
        at,
        lat_e7,
        lon_e7,
        device_at: fix.report.device_at,
        received_at: fix.report.received_at,
        processed_at: None,
        route_id: route_id.clone(),
        accuracy_mm: scaled(sample.accuracy_m, 1000.0),
        speed_mm_s: scaled(sample.speed_mps, 1000.0),
        course_cdeg: scaled(sample.course_deg, 100.0),
        altitude_mm: scaled(sample.altitude_m, 1000.0),
        battery_pct: scaled(sample.battery_pct, 1.0),
        marks: marks_text(fix),
    })
}

/// A figure in smaller units; one beyond all sense is none.
fn scaled(value: Option<f64>, by: f64) -> Option<i64> {
    let value = value.map(|value| value * by).filter(|value| value.abs() < 1e12);
    value.map(|value| libm::round(value) as i64)
}

/// The name of the fence around a clinic of a route.
pub(super) fn fence_id(route_id: &str, clinic_id: &str) -> Arc<str> {
    format!("{route_id}/{clinic_id}").into()
}

/// The route and the clinic of a fence.
pub(super) fn of_fence(id: &str) -> Option<(&str, &str)> {
    id.split_once('/')
}

/// The fence around a clinic of a route.
pub(super) fn fence(route_id: &str, clinic_id: &str, center_e7: (i64, i64)) -> Option<Fence> {
    let center = Position::from_e7(center_e7.0, center_e7.1).ok()?;
    Some(Fence { id: fence_id(route_id, clinic_id), center, radius_m: RADIUS_M })
}

/// The visit that a row tells of.
pub(super) fn visit_of(row: &VisitRow) -> Option<Visit> {
    Some(Visit {
        fence: fence(row.route_id.as_str(), row.clinic_id.as_str(), row.center_e7)?,
        since: row.since,
        last_inside: row.last_inside_at,
        has_arrived: row.has_arrived,
        outside_since: row.outside_since,
    })
}

/// The row of a visit.
pub(super) fn visit_row((tenant, driver_id): (&Tenant, &DriverId), visit: &Visit) -> Option<VisitRow> {
    let (route_id, clinic_id) = of_fence(&visit.fence.id)?;
    Some(VisitRow {
        tenant: tenant.clone(),
        driver_id: driver_id.clone(),
        route_id: RouteId::from_text(route_id),
        clinic_id: ClinicId::from_text(clinic_id),
        center_e7: (visit.fence.center.lat_e7(), visit.fence.center.lon_e7()),
        since: visit.since,
        last_inside_at: visit.last_inside,
        has_arrived: visit.has_arrived,
        outside_since: visit.outside_since,
    })
}

/// What is to be added to days.
#[derive(Debug, Default)]
pub(super) struct Days(BTreeMap<String, Figures>);

impl Days {
    pub(super) fn add(&mut self, at: Timestamp, figures: &Figures) {
        if *figures != Figures::default() {
            let day = at.to_rfc3339().chars().take(10).collect();
            self.0.entry(day).or_default().add(figures);
        }
    }

    pub(super) fn rows(&self, tenant: &Tenant, driver_id: &DriverId) -> Vec<DriverDayRow> {
        let micros = |time: std::time::Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.0
            .iter()
            .map(|(day, figures)| DriverDayRow {
                tenant: tenant.clone(),
                driver_id: driver_id.clone(),
                day: day.clone(),
                distance_mm: libm::round(figures.distance_m * 1000.0) as i64,
                moving_us: micros(figures.moving),
                n_stops: count(figures.n_stops),
                n_left: count(figures.n_left),
                stayed_us: micros(figures.stayed),
                n_judged: count(figures.n_judged),
                n_on_time: count(figures.n_on_time),
            })
            .collect()
    }
}
