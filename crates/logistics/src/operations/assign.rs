//! Who does a task: assigned to a driver, given back, under way, cancelled.

use serde_json::json;
use trunkline_model::DriverId;
use trunkline_store::Store;
use trunkline_store::tables::logistics::case::case_release_all;
use trunkline_store::tables::logistics::driver::{DriverRow, driver_get};
use trunkline_store::tables::logistics::task::{
    LogisticsTaskRow, LogisticsTaskStatus, logistics_task_update,
};

use super::{Cause, Draft, Missing, OperationError, Planned, Tries, changed, check_version, task};

/// What is done with a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskChange {
    /// A driver gets it.
    Assign(DriverId),
    /// It is given back.
    Unassign,
    /// Its driver sets out with it.
    Start,
    /// It will not be done.
    Cancel,
}

/// Changes a task; gives it as it stands then. `expected` is the version that the caller read.
pub async fn task_change(
    store: &Store,
    cause: &Cause,
    task_id: &str,
    change: &TaskChange,
    expected: Option<i64>,
) -> Result<LogisticsTaskRow, OperationError> {
    let mut tries = Tries::default();
    loop {
        let planned = plan_task_change(store, cause, task_id, change, expected).await?;
        if let Some(outcome) = tries.commit(store, planned).await? {
            return Ok(outcome);
        }
    }
}

/// Plans the same.
pub async fn plan_task_change(
    store: &Store,
    cause: &Cause,
    task_id: &str,
    change: &TaskChange,
    expected: Option<i64>,
) -> Result<Planned<LogisticsTaskRow>, OperationError> {
    let row = task(store, &cause.tenant, task_id).await?;
    check_version(row.version, expected)?;
    if row.status.is_terminal() {
        return Err(OperationError::State("the task is over"));
    }
    let next = changed(&row, cause.now);
    match change {
        TaskChange::Assign(driver_id) => {
            free(&row)?;
            let driver = active_driver(store, cause, driver_id).await?;
            if row.driver_id.as_ref() == Some(&driver.id) && row.status == LogisticsTaskStatus::Assigned {
                return Ok(Draft::new(cause).done(row));
            }
            let status = LogisticsTaskStatus::Assigned;
            let next = LogisticsTaskRow { status, driver_id: Some(driver.id), ..next };
            Ok(tell(cause, next, "logistics_task.assigned"))
        }
        TaskChange::Unassign => {
            free(&row)?;
            if row.driver_id.is_none() {
                return Ok(Draft::new(cause).done(row));
            }
            let next = LogisticsTaskRow { status: LogisticsTaskStatus::Pending, driver_id: None, ..next };
            Ok(tell(cause, next, "logistics_task.unassigned"))
        }
        TaskChange::Start => match row.status {
            LogisticsTaskStatus::UnderWay => Ok(Draft::new(cause).done(row)),
            LogisticsTaskStatus::Assigned => Ok(tell(cause, started(next), "logistics_task.started")),
            _ => Err(OperationError::State("nobody has the task; assign it first")),
        },
        TaskChange::Cancel => {
            let mut planned = tell(cause, cancelled(next, cause), "logistics_task.cancelled");
            planned.commit.statements.push(case_release_all(&row.id));
            Ok(planned)
        }
    }
}

/// A task whose driver has set out: what is in the car is not added to.
pub(super) fn started(row: LogisticsTaskRow) -> LogisticsTaskRow {
    LogisticsTaskRow { status: LogisticsTaskStatus::UnderWay, is_collecting: false, ..row }
}

fn cancelled(row: LogisticsTaskRow, cause: &Cause) -> LogisticsTaskRow {
    LogisticsTaskRow {
        status: LogisticsTaskStatus::Cancelled,
        is_collecting: false,
        closed_at: Some(cause.now),
        ..row
    }
}

/// Refuses what is on its way or part of a route.
pub(super) fn free(row: &LogisticsTaskRow) -> Result<(), OperationError> {
    if row.status == LogisticsTaskStatus::UnderWay {
        return Err(OperationError::State("the task is under way"));
    }
    if row.route_id.is_some() {
        return Err(OperationError::State("the task is part of a route"));
    }
    Ok(())
}

/// Reads a driver who may get tasks.
pub(super) async fn active_driver(
    store: &Store,
    cause: &Cause,
    id: &DriverId,
) -> Result<DriverRow, OperationError> {
    let row = driver_get(store, &cause.tenant, id.as_str()).await?.filter(|row| row.is_active);
    row.ok_or(OperationError::Missing(Missing::Driver))
}

fn tell(cause: &Cause, next: LogisticsTaskRow, event_type: &'static str) -> Planned<LogisticsTaskRow> {
    let mut draft = Draft::new(cause);
    draft.push(logistics_task_update(&next));
    emit(&mut draft, &next, event_type);
    draft.done(next)
}

/// Tells what a task came to.
pub(super) fn emit(draft: &mut Draft<'_>, row: &LogisticsTaskRow, event_type: &'static str) {
    let data = json!({
        "task_id": row.id,
        "kind": row.kind.as_str(),
        "status": row.status.as_str(),
        "clinic_id": row.clinic_id,
        "day": row.day,
        "driver_id": row.driver_id,
        "route_id": row.route_id,
    });
    draft.emit(event_type, row.id.as_str(), &data);
}
