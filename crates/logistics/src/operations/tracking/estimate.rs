//! When a driver will be at the stops of a route that are still to come.

use std::time::Duration;

use trunkline_model::{Tenant, Timestamp};
use trunkline_store::Store;
use trunkline_store::tables::logistics::position::{PositionRow, position_get};
use trunkline_store::tables::logistics::route::{RouteStatus, StopRow, route_get, stop_list_placed};
use trunkline_store::tables::logistics::track::track_get;

use super::super::{Missing, OperationError};
use crate::Position;
use crate::tracking::{Eta, EtaChain};

/// How long a stop takes, as long as nobody knows better.
const STOP_TAKES: Duration = Duration::from_mins(5);
/// Ways that providers are asked about in one go; of those behind them the straight line is estimated.
const MAX_ASKED: usize = 10;

/// When the driver will be at the stops of a route.
#[derive(Debug, Clone)]
pub struct RouteEta {
    /// Where they are now.
    pub position: PositionRow,
    /// The stops that were not left, in order; one whose clinic has no place has no estimate. One where the driver is has come true.
    pub stops: Vec<(StopRow, Option<Eta>)>,
}

/// Estimates; `None` when it is not known where the driver is on this route.
pub async fn route_eta(
    store: &Store,
    tenant: &Tenant,
    route_id: &str,
    chain: &EtaChain,
    now: Timestamp,
) -> Result<Option<RouteEta>, OperationError> {
    let route = route_get(store, tenant, route_id).await?.ok_or(OperationError::Missing(Missing::Route))?;
    if route.status != RouteStatus::UnderWay {
        return Err(OperationError::State("the route is not under way"));
    }
    let track = track_get(store, tenant, route.driver_id.as_str()).await?;
    let Some(key) = track.and_then(|row| row.current) else { return Ok(None) };
    let position = position_get(store, tenant, route.driver_id.as_str(), key).await?;
    let Some(position) = position.filter(|row| row.route_id == route.id) else { return Ok(None) };
    let Ok(mut from) = Position::from_e7(position.lat_e7, position.lon_e7) else { return Ok(None) };
    let (mut leaves_at, mut n_asked, mut stops) = (now, 0, Vec::new());
    for (stop, place_e7) in stop_list_placed(store, tenant, &route.id).await? {
        if stop.departed_at.is_some() {
            continue;
        }
        let place = place_e7.and_then(|(lat, lon)| Position::from_e7(lat, lon).ok());
        let Some(to) = place.filter(|_| stop.arrived_at.is_none()) else {
            stops.push((stop, None));
            continue;
        };
        let eta = if to != from && n_asked < MAX_ASKED {
            n_asked += 1;
            chain.estimate(from, to, leaves_at).await
        } else {
            chain.straight_line(from, to, leaves_at)
        };
        (from, leaves_at) = (to, eta.at.plus(STOP_TAKES));
        stops.push((stop, Some(eta)));
    }
    Ok(Some(RouteEta { position, stops }))
}
