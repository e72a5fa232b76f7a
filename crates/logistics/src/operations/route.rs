//! Rounds: a driver's tasks of one day, in order.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde_json::json;
use trunkline_model::{DriverId, FieldError, RouteId, Timestamp};
use trunkline_store::Store;
use trunkline_store::tables::logistics::route::{
    RouteRow, RouteStatus, StopRow, route_get, route_insert, route_update, stop_insert, stop_list,
};
use trunkline_store::tables::logistics::task::{
    LogisticsTaskRow, LogisticsTaskStatus, logistics_task_get, logistics_task_update,
};

use super::assign::{active_driver, emit, free, started};
use super::{Cause, Draft, Missing, OperationError, Planned, Tries, changed, check_version, refuse};

/// The most stops of one round.
pub const MAX_STOPS: usize = 100;

/// What a round is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRoute {
    /// Who drives it.
    pub driver_id: DriverId,
    /// When.
    pub day: Date,
    /// Its tasks, in order.
    pub task_ids: Vec<String>,
}

/// What is done with a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteChange {
    /// The driver sets out.
    Start,
    /// The driver is back; what was not done is open again.
    Finish,
    /// Nobody drives it; its tasks are open again.
    Cancel,
}

/// A round with its stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteStops {
    /// The round.
    pub route: RouteRow,
    /// Its stops in order.
    pub stops: Vec<StopRow>,
}

/// Plans a round and gives its tasks to the driver.
pub async fn route_make(store: &Store, cause: &Cause, new: &NewRoute) -> Result<RouteStops, OperationError> {
    let mut tries = Tries::default();
    loop {
        let planned = plan_route_make(store, cause, new).await?;
        if let Some(outcome) = tries.commit(store, planned).await? {
            return Ok(outcome);
        }
    }
}

/// Plans the same.
pub async fn plan_route_make(
    store: &Store,
    cause: &Cause,
    new: &NewRoute,
) -> Result<Planned<RouteStops>, OperationError> {
    let driver = active_driver(store, cause, &new.driver_id).await?;
    let tasks = tasks_of(store, cause, new).await?;
    let route = RouteRow {
        id: RouteId::fresh(),
        tenant: cause.tenant.clone(),
        driver_id: driver.id,
        day: new.day.to_string(),
        status: RouteStatus::Planned,
        version: 1,
        created_at: cause.now,
        updated_at: cause.now,
        started_at: None,
        ended_at: None,
    };
    let mut draft = Draft::new(cause);
    draft.push(route_insert(&route));
    let mut stops = Vec::new();
    for (index, row) in tasks.into_iter().enumerate() {
        let stop = StopRow {
            route_id: route.id.clone(),
            number: index as i64 + 1,
            task_id: row.id.clone(),
            clinic_id: row.clinic_id.clone(),
            arrived_at: None,
            departed_at: None,
        };
        let next = LogisticsTaskRow {
            status: LogisticsTaskStatus::Assigned,
            driver_id: Some(route.driver_id.clone()),
            route_id: Some(route.id.clone()),
            ..changed(&row, cause.now)
        };
        draft.extend([logistics_task_update(&next), stop_insert(&stop)]);
        stops.push(stop);
    }
    tell(&mut draft, &route, &stops, "route.planned");
    Ok(draft.done(RouteStops { route, stops }))
}

/// Reads the tasks of a new round, naming every one that cannot be part of it.
async fn tasks_of(
    store: &Store,
    cause: &Cause,
    new: &NewRoute,
) -> Result<Vec<LogisticsTaskRow>, OperationError> {
    if !(1..=MAX_STOPS).contains(&new.task_ids.len()) {
        let detail = format!("must hold 1 to {MAX_STOPS} items");
        return Err(OperationError::Invalid(vec![FieldError::new("/task_ids", "out_of_range", detail)]));
    }
    let (mut tasks, mut faults, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (index, id) in new.task_ids.iter().enumerate() {
        let mut fault = |code: &str, detail: &str| {
            faults.push(FieldError::new(format!("/task_ids/{index}"), code, detail));
        };
        if !seen.insert(id) {
            fault("duplicate", "is there more than once");
            continue;
        }
        match logistics_task_get(store, &cause.tenant, id).await? {
            None => fault("not_found", "there is no task with this id"),
            Some(row) if row.status.is_terminal() => fault("invalid", "the task is over"),
            Some(row) => match free(&row) {
                Err(error) => fault("invalid", &error.to_string()),
                Ok(()) => tasks.push(row),
            },
        }
    }
    refuse(faults)?;
    Ok(tasks)
}

/// Moves a round on. `expected` is the version that the caller read.
pub async fn route_change(
    store: &Store,
    cause: &Cause,
    id: &str,
    change: RouteChange,
    expected: Option<i64>,
) -> Result<RouteStops, OperationError> {
    let mut tries = Tries::default();
    loop {
        let planned = plan_route_change(store, cause, id, change, expected).await?;
        if let Some(outcome) = tries.commit(store, planned).await? {
            return Ok(outcome);
        }
    }
}

/// Plans the same.
pub async fn plan_route_change(
    store: &Store,
    cause: &Cause,
    id: &str,
    change: RouteChange,
    expected: Option<i64>,
) -> Result<Planned<RouteStops>, OperationError> {
    let row = route_get(store, &cause.tenant, id).await?.ok_or(OperationError::Missing(Missing::Route))?;
    check_version(row.version, expected)?;
    let stops = stop_list(store, &row.id).await?;
    let (status, event_type) = match (change, row.status) {
        (RouteChange::Start, RouteStatus::Planned) => (RouteStatus::UnderWay, "route.started"),
        (RouteChange::Finish, RouteStatus::UnderWay) => (RouteStatus::Completed, "route.completed"),
        (RouteChange::Cancel, RouteStatus::Planned | RouteStatus::UnderWay) => {
            (RouteStatus::Cancelled, "route.cancelled")
        }
        (RouteChange::Start, _) => return Err(OperationError::State("the route was started before")),
        (_, _) => return Err(OperationError::State("the route is not under way")),
    };
    let route = moved(row, status, cause.now);
    let mut draft = Draft::new(cause);
    draft.push(route_update(&route));
    for stop in &stops {
        let Some(row) = logistics_task_get(store, &cause.tenant, stop.task_id.as_str()).await? else {
            continue;
        };
        if row.status.is_terminal() || row.route_id.as_ref() != Some(&route.id) {
            continue;
        }
        let next = changed(&row, cause.now);
        let (next, event_type) = match change {
            RouteChange::Start => (started(next), "logistics_task.started"),
            RouteChange::Finish | RouteChange::Cancel => {
                let status = LogisticsTaskStatus::Pending;
                let next = LogisticsTaskRow { status, driver_id: None, route_id: None, ..next };
                (next, "logistics_task.unassigned")
            }
        };
        draft.push(logistics_task_update(&next));
        emit(&mut draft, &next, event_type);
    }
    tell(&mut draft, &route, &stops, event_type);
    Ok(draft.done(RouteStops { route, stops }))
}

/// The next version of a round.
pub(super) fn moved(row: RouteRow, status: RouteStatus, now: Timestamp) -> RouteRow {
    let started_at = row.started_at.or((status == RouteStatus::UnderWay).then_some(now));
    let ended_at = row.ended_at.or(status.is_terminal().then_some(now));
    RouteRow { status, version: row.version + 1, updated_at: now, started_at, ended_at, ..row }
}

/// Tells what a round came to.
pub(super) fn tell(draft: &mut Draft<'_>, route: &RouteRow, stops: &[StopRow], event_type: &'static str) {
    let shown: Vec<_> = stops
        .iter()
        .map(|stop| json!({ "number": stop.number, "task_id": stop.task_id, "clinic_id": stop.clinic_id }))
        .collect();
    let data = json!({
        "route_id": route.id,
        "driver_id": route.driver_id,
        "day": route.day,
        "status": route.status.as_str(),
        "stops": shown,
    });
    draft.emit(event_type, route.id.as_str(), &data);
}
