//! A clinic asks for a pickup, once or again and again.
//!
//! The window is held against the clinic's hours; a refusal says when it is open. A request under a name that is known
//! gives the task that was made for it.

use serde_json::json;
use trunkline_model::{ClinicId, FieldError, LogisticsTaskId, RecurrenceId};
use trunkline_store::Store;
use trunkline_store::tables::logistics::recurrence::{RecurrenceRow, recurrence_insert};
use trunkline_store::tables::logistics::task::{
    LogisticsTaskKind, LogisticsTaskRow, LogisticsTaskStatus, logistics_task_insert, logistics_task_requested,
};

use super::recurring::{Rule, add_occurrences};
use super::{Cause, Draft, OperationError, Planned, Tries, active_clinic, check_id, check_note, refuse};
use crate::recurrence::horizon;
use crate::rows::to_json;
use crate::{Clinic, Frequency, Package, Priority, Recurrence, RequestedWindow, Window};

/// That a pickup is to come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeats {
    /// How often.
    pub frequency: Frequency,
    /// No pickup after this date.
    pub ends_on: Option<jiff::civil::Date>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PickupRequest {
    /// Where.
    pub clinic_id: String,
    /// When.
    pub window: RequestedWindow,
    /// How urgently.
    pub priority: Priority,
    /// What is carried.
    pub package: Package,
    /// What people should know.
    pub note: Option<String>,
    /// What the request is called; done once under this name.
    pub request_key: Option<String>,
    /// Whether it comes again.
    pub repeats: Option<Repeats>,
}

/// What a request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PickupRequested {
    /// The pickup, or the first one of the rule.
    pub task_id: LogisticsTaskId,
    /// The rule.
    pub recurrence_id: Option<RecurrenceId>,
    /// How many pickups were made; none when the request was known.
    pub n_tasks: usize,
}

/// Makes the pickups that a request asks for.
pub async fn pickup_requested(
    store: &Store,
    cause: &Cause,
    request: &PickupRequest,
) -> Result<PickupRequested, OperationError> {
    let mut tries = Tries::default();
    loop {
        let planned = plan_pickup_requested(store, cause, request).await?;
        if let Some(outcome) = tries.commit(store, planned).await? {
            return Ok(outcome);
        }
    }
}

/// Plans the same.
pub async fn plan_pickup_requested(
    store: &Store,
    cause: &Cause,
    request: &PickupRequest,
) -> Result<Planned<PickupRequested>, OperationError> {
    check(request)?;
    if let Some(key) = &request.request_key
        && let Some(known) = logistics_task_requested(store, &cause.tenant, key).await?
    {
        let known = PickupRequested { task_id: known.id, recurrence_id: known.recurrence_id, n_tasks: 0 };
        return Ok(Draft::new(cause).done(known));
    }
    let clinic = active_clinic(store, &cause.tenant, &request.clinic_id).await?;
    let refused = |refusal| OperationError::Window(Box::new(refusal));
    let window = clinic.check_window(request.window, cause.now).map_err(refused)?;
    let mut draft = Draft::new(cause);
    let requested = match request.repeats {
        None => {
            let task = task_of(cause, request, &window);
            draft.push(logistics_task_insert(&task));
            tell(&mut draft, &task);
            PickupRequested { task_id: task.id, recurrence_id: None, n_tasks: 1 }
        }
        Some(repeats) => repeat(&mut draft, cause, request, &clinic, &window, repeats)?,
    };
    if request.priority.notifies() {
        let data = json!({
            "reason": "urgent_pickup",
            "priority": request.priority,
            "task_id": requested.task_id,
            "clinic_id": request.clinic_id,
            "day": window.date.to_string(),
            "window": { "from": window.from, "until": window.until },
            "recurrence_id": requested.recurrence_id,
        });
        draft.emit("dispatcher.notification", requested.task_id.as_str(), &data);
    }
    Ok(draft.done(requested))
}

fn check(request: &PickupRequest) -> Result<(), OperationError> {
    let mut faults = Vec::new();
    request.package.check("/package", &mut faults);
    check_note(request.note.as_deref(), "/note", &mut faults);
    if let Some(key) = &request.request_key {
        check_id(key, "/request_key", &mut faults);
    }
    refuse(faults)
}

fn task_of(cause: &Cause, request: &PickupRequest, window: &Window) -> LogisticsTaskRow {
    LogisticsTaskRow {
        id: LogisticsTaskId::fresh(),
        tenant: cause.tenant.clone(),
        kind: LogisticsTaskKind::Pickup,
        clinic_id: ClinicId::from_text(request.clinic_id.as_str()),
        day: window.date.to_string(),
        status: LogisticsTaskStatus::Pending,
        priority: request.priority.rank(),
        package: to_json(&request.package),
        n_cases: 0,
        is_collecting: false,
        window: Some((window.from, window.until)),
        recurrence_id: None,
        request_key: request.request_key.clone(),
        driver_id: None,
        route_id: None,
        note: request.note.clone(),
        version: 1,
        created_at: cause.now,
        updated_at: cause.now,
        closed_at: None,
    }
}

/// Tells of a new pickup.
pub(super) fn tell(draft: &mut Draft<'_>, task: &LogisticsTaskRow) {
    let window = task.window.map(|(from, until)| json!({ "from": from, "until": until }));
    let data = json!({
        "task_id": task.id,
        "clinic_id": task.clinic_id,
        "day": task.day,
        "window": window,
        "priority": Priority::from_rank(task.priority),
        "recurrence_id": task.recurrence_id,
    });
    draft.emit("pickup_task.created", task.id.as_str(), &data);
}

/// Makes a rule and its pickups up to the horizon. The window is good, so there is a first one.
fn repeat(
    draft: &mut Draft<'_>,
    cause: &Cause,
    request: &PickupRequest,
    clinic: &Clinic,
    window: &Window,
    repeats: Repeats,
) -> Result<PickupRequested, OperationError> {
    let invalid = |pointer: &str, detail: &str| {
        Err(OperationError::Invalid(vec![FieldError::new(pointer, "invalid", detail)]))
    };
    let Some((from, until)) = clinic.wall_times(window) else {
        return invalid("/window", "one that comes again must begin and end on one day, at whole minutes");
    };
    if window.date > horizon(clinic, cause.now) {
        return invalid("/window", "the first one of many must be within 90 days");
    }
    if repeats.ends_on.is_some_and(|end| end < window.date) {
        return invalid("/recurrence/ends_on", "is before the first pickup");
    }
    let rule = Recurrence {
        frequency: repeats.frequency,
        starts_on: window.date,
        ends_on: repeats.ends_on,
        from,
        until,
    };
    let row = RecurrenceRow {
        id: RecurrenceId::fresh(),
        tenant: cause.tenant.clone(),
        clinic_id: ClinicId::from_text(request.clinic_id.as_str()),
        frequency: rule.frequency.as_str().to_owned(),
        starts_on: rule.starts_on.to_string(),
        ends_on: rule.ends_on.map(|end| end.to_string()),
        minutes: (from.minutes(), until.minutes()),
        priority: request.priority.rank(),
        package: to_json(&request.package),
        note: request.note.clone(),
        is_active: true,
        through: None,
        look_at: Some(cause.now),
        skipped: "[]".to_owned(),
        version: 1,
        created_at: cause.now,
        updated_at: cause.now,
    };
    let data = json!({
        "recurrence_id": row.id,
        "clinic_id": row.clinic_id,
        "frequency": row.frequency,
        "starts_on": row.starts_on,
        "ends_on": row.ends_on,
    });
    draft.emit("pickup_recurrence.created", row.id.as_str(), &data);
    let extension = rule.extend(clinic, None, cause.now);
    let rule = Rule { row: &row, request_key: request.request_key.as_deref(), first: Some(*window) };
    let (extended, tasks) = add_occurrences(draft, cause, &rule, &extension);
    draft.push(recurrence_insert(&RecurrenceRow { version: 1, ..extended }));
    let first = tasks.first().expect("invariant: a rule begins with the window that was found good").clone();
    Ok(PickupRequested { task_id: first, recurrence_id: Some(row.id), n_tasks: tasks.len() })
}
