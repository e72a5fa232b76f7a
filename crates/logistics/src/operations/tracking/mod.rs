//! Positions of drivers: taken from their phones, followed through the rules of [`crate::tracking`], and told.
//!
//! Positions are kept of the time alone in which a driver drives a route: of all others nothing is stored, whenever they
//! come. What a position leads to (its row, the visits, the times at stops, the day's figures and the events) is one commit, guarded by
//! the version of the driver's track, so that two calls, a repeat or a crash make one arrival of one visit.
//!
//! Positions wait a little for earlier ones. When nothing more comes, [`tracks_settle_due`] settles what waits; it also
//! ends visits of routes that are over.

mod estimate;
mod kept;
mod session;

use std::time::Duration;

use trunkline_model::{DriverId, FieldError, RouteId, Tenant, Timestamp};
use trunkline_store::Store;
use trunkline_store::tables::logistics::position::{position_count_old, position_delete_old};
use trunkline_store::tables::logistics::route::{PlacedStop, route_list_driven, stop_list_placed};
use trunkline_store::tables::logistics::track::{track_delete_old, track_has_old, track_list_due};
use trunkline_store::{Commit, ReadError};

use super::{Cause, Draft, OperationError, Planned, Tries};
use crate::Position;
use crate::tracking::{Fix, Mark, Report, Sample};
use session::Session;

pub use estimate::{RouteEta, route_eta};
pub use kept::marks_of;

/// The most positions of one call.
pub const MAX_POSITIONS: usize = 500;
/// The most routes that one driver is followed on at once.
const MAX_ROUTES: i64 = 20;
/// Positions removed by one commit.
const OLD_SLICE: i64 = 1_000;

/// What became of one position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is stored, with these marks so far.
    Accepted(Vec<Mark>),
    /// It was there before.
    Known,
    /// The driver drove no route then: it is not stored.
    OffShift,
    /// It is no position.
    Refused(Vec<FieldError>),
}

/// Takes positions of a driver; gives what became of each, in their order.
pub async fn positions_take(
    store: &Store,
    cause: &Cause,
    driver_id: &DriverId,
    samples: &[Sample],
) -> Result<Vec<Taken>, OperationError> {
    let mut tries = Tries::default();
    loop {
        let planned = plan_positions_take(store, cause, driver_id, samples).await?;
        if let Some(outcome) = tries.commit(store, planned).await? {
            return Ok(outcome);
        }
    }
}

/// Plans the same.
pub async fn plan_positions_take(
    store: &Store,
    cause: &Cause,
    driver_id: &DriverId,
    samples: &[Sample],
) -> Result<Planned<Vec<Taken>>, OperationError> {
    let mut taken = vec![Taken::OffShift; samples.len()];
    let mut fixes = Vec::new();
    for (index, sample) in samples.iter().enumerate() {
        match fix(sample, cause.now) {
            Ok(fix) => fixes.push((index, fix)),
            Err(faults) => taken[index] = Taken::Refused(faults),
        }
    }
    // What a phone kept while it was offline comes in any order.
    fixes.sort_by_key(|(_, fix)| fix.at);
    let (Some(first), Some(last)) = (fixes.first(), fixes.last()) else {
        return Ok(Draft::new(cause).done(taken));
    };
    let span = (first.1.at, last.1.at);
    let mut session = Session::load(store, cause, driver_id, Some(span)).await?;
    for (index, fix) in fixes {
        taken[index] = session.take(fix, &samples[index]).await?;
    }
    Ok(session.finish(taken))
}

/// Looks at a sample by itself. Coordinates are rounded as they are stored, so that a position is the same when it comes
/// again.
fn fix(sample: &Sample, now: Timestamp) -> Result<Fix, Vec<FieldError>> {
    let mut faults = Vec::new();
    let position = Position::check(sample.lat, sample.lon, "", &mut faults);
    let position = position.filter(|position| (position.lat_e7(), position.lon_e7()) != (0, 0));
    let Some(position) = position else {
        if faults.is_empty() {
            let detail = "0, 0 is what a phone says that knows nothing";
            faults.push(FieldError::new("", Mark::ImpossibleCoordinates.as_str(), detail));
        }
        return Err(faults);
    };
    Ok(Fix::new(Report {
        lat: position.lat(),
        lon: position.lon(),
        accuracy_m: sample.accuracy_m,
        device_at: sample.device_at.unwrap_or(now),
        received_at: now,
        stored_at: now,
    }))
}

/// Settles tracks of which nothing more came; gives how many it looked at. One that cannot be settled is looked at again
/// and stops no other.
pub async fn tracks_settle_due(store: &Store, now: Timestamp, limit: i64) -> Result<usize, OperationError> {
    let due = track_list_due(store, now, limit).await?;
    for row in &due {
        let cause = Cause::call(row.tenant.clone(), now);
        if let Err(error) = settle(store, &cause, &row.driver_id).await {
            tracing::warn!(driver.id = %row.driver_id, error = ?error, "a track cannot be settled");
        }
    }
    Ok(due.len())
}

async fn settle(store: &Store, cause: &Cause, driver_id: &DriverId) -> Result<(), OperationError> {
    let mut tries = Tries::default();
    loop {
        let mut session = Session::load(store, cause, driver_id, None).await?;
        if !session.is_due() {
            return Ok(());
        }
        session.settle_all().await?;
        if tries.commit(store, session.finish(())).await?.is_some() {
            return Ok(());
        }
    }
}

/// Forgets where drivers were before a time; gives how many positions went. Does a bounded part of it.
pub async fn positions_forget(store: &Store, before: Timestamp) -> Result<usize, OperationError> {
    let n_old = position_count_old(store, before, OLD_SLICE).await?;
    let mut statements = Vec::new();
    if track_has_old(store, before).await? {
        statements.extend(track_delete_old(before));
    }
    if n_old > 0 {
        statements.push(position_delete_old(before, OLD_SLICE));
    }
    if !statements.is_empty() {
        store.commit(Commit::statements(statements)).await?;
    }
    Ok(usize::try_from(n_old).unwrap_or_default())
}

/// The routes that a driver is on now and on which they have not left a clinic that is meant.
pub async fn routes_ahead(
    store: &Store,
    tenant: &Tenant,
    driver_id: &str,
    now: Timestamp,
    is_meant: impl Fn(&str) -> bool,
) -> Result<Vec<RouteId>, ReadError> {
    let mut found = Vec::new();
    for route in route_list_driven(store, (tenant, driver_id), (now, now), MAX_ROUTES).await? {
        let stops = stop_list_placed(store, tenant, &route.id).await?;
        if ahead(&stops).any(&is_meant) {
            found.push(route.id);
        }
    }
    Ok(found)
}

/// The clinics that the driver has not left yet.
fn ahead(stops: &[PlacedStop]) -> impl Iterator<Item = &str> {
    stops.iter().filter(|(stop, _)| stop.departed_at.is_none()).map(|(stop, _)| stop.clinic_id.as_str())
}

/// How long a position is news: of an older one nobody is told as if the driver were there.
const NEWS_FOR: Duration = Duration::from_mins(5);
