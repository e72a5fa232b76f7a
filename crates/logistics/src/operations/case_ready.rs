//! A case is ready to be shipped: it becomes part of the delivery for its clinic and day.
//!
//! The delivery is made when there is none that collects. A case that is reported again changes what it brings, or where
//! it goes; reported as it was it changes nothing. A case that was delivered stays delivered.

use serde_json::json;
use trunkline_model::{ClinicId, LogisticsTaskId};
use trunkline_store::Store;
use trunkline_store::tables::logistics::case::{
    CaseRow, CaseStatus, case_get, case_insert, case_list, case_update,
};
use trunkline_store::tables::logistics::task::{
    LogisticsTaskKind, LogisticsTaskRow, LogisticsTaskStatus, logistics_task_collecting, logistics_task_get,
    logistics_task_insert, logistics_task_update,
};

use super::{Cause, Draft, OperationError, Planned, Tries, active_clinic, changed, check_id, refuse};
use crate::load::{Load, ReadyCase};
use crate::rows::{package, to_json};

/// The most cases of one delivery. The next one begins another for the same clinic and day.
pub const MAX_CASES: i64 = 250;

/// What became of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaseOutcome {
    /// A delivery was made for it.
    Created,
    /// It was added to a delivery that was there, or what it brings to it was changed.
    Consolidated,
    /// It is known as it is.
    Unchanged,
    /// It was delivered before.
    AlreadyDelivered,
}

/// A case and its delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseReady {
    /// What became of it.
    pub outcome: CaseOutcome,
    /// The delivery.
    pub task_id: LogisticsTaskId,
}

/// Makes a ready case part of a delivery.
pub async fn case_ready(store: &Store, cause: &Cause, case: &ReadyCase) -> Result<CaseReady, OperationError> {
    let mut tries = Tries::default();
    loop {
        let planned = plan_case_ready(store, cause, case).await?;
        if let Some(outcome) = tries.commit(store, planned).await? {
            return Ok(outcome);
        }
    }
}

/// Plans the same.
pub async fn plan_case_ready(
    store: &Store,
    cause: &Cause,
    case: &ReadyCase,
) -> Result<Planned<CaseReady>, OperationError> {
    check(case)?;
    active_clinic(store, &cause.tenant, &case.clinic_id).await?;
    let known = case_get(store, &cause.tenant, &case.case_id).await?;
    let Some(known) = known else { return add(store, cause, case, None, Draft::new(cause)).await };
    let stay = |outcome| Ok(Draft::new(cause).done(CaseReady { outcome, task_id: known.task_id.clone() }));
    if known.status == CaseStatus::Delivered {
        return stay(CaseOutcome::AlreadyDelivered);
    }
    let task = logistics_task_get(store, &cause.tenant, known.task_id.as_str()).await?;
    let task = task.filter(|task| !task.status.is_terminal());
    let Some(task) = task else { return add(store, cause, case, Some(&known), Draft::new(cause)).await };
    let is_same = known.priority == case.priority.rank() && known.package == to_json(&case.package);
    let is_here = task.clinic_id.as_str() == case.clinic_id && task.day == case.deliver_on.to_string();
    match (is_here, is_same) {
        (true, true) => stay(CaseOutcome::Unchanged),
        (true, false) => change(store, cause, case, &known, &task).await,
        (false, _) if task.status == LogisticsTaskStatus::UnderWay => {
            Err(OperationError::State("the case is on its way already"))
        }
        (false, _) => {
            let mut draft = Draft::new(cause);
            leave(store, &mut draft, cause, &known, &task).await?;
            add(store, cause, case, Some(&known), draft).await
        }
    }
}

fn check(case: &ReadyCase) -> Result<(), OperationError> {
    let mut faults = Vec::new();
    check_id(&case.case_id, "/case_id", &mut faults);
    case.package.check("/package", &mut faults);
    refuse(faults)
}

fn row_of(cause: &Cause, case: &ReadyCase, task_id: &LogisticsTaskId) -> CaseRow {
    CaseRow {
        tenant: cause.tenant.clone(),
        case_id: case.case_id.clone(),
        task_id: task_id.clone(),
        status: CaseStatus::Ready,
        priority: case.priority.rank(),
        package: to_json(&case.package),
        created_at: cause.now,
        updated_at: cause.now,
    }
}

/// Adds a case to the delivery that collects, or to a new one; `known` is its row when it was part of another.
async fn add(
    store: &Store,
    cause: &Cause,
    case: &ReadyCase,
    known: Option<&CaseRow>,
    mut draft: Draft<'_>,
) -> Result<Planned<CaseReady>, OperationError> {
    let day = case.deliver_on.to_string();
    let collecting = logistics_task_collecting(store, &cause.tenant, &case.clinic_id, &day).await?;
    let (task, outcome) = if let Some(row) = collecting {
        let load = Load::try_from(&row)?.plus(&Load::of(case));
        let task = with_load(changed(&row, cause.now), &load);
        draft.push(logistics_task_update(&task));
        (task, CaseOutcome::Consolidated)
    } else {
        let task = new_delivery(cause, case, day);
        draft.push(logistics_task_insert(&task));
        (task, CaseOutcome::Created)
    };
    let row = row_of(cause, case, &task.id);
    draft.push(match known {
        None => case_insert(&row),
        Some(known) => case_update(&row, &known.task_id),
    });
    tell(&mut draft, &task, case, outcome);
    let is_news = known.is_none_or(|known| known.priority < case.priority.rank());
    if is_news {
        notify(&mut draft, &task, case);
    }
    Ok(draft.done(CaseReady { outcome, task_id: task.id }))
}

/// Changes what a case brings to its delivery.
async fn change(
    store: &Store,
    cause: &Cause,
    case: &ReadyCase,
    known: &CaseRow,
    task: &LogisticsTaskRow,
) -> Result<Planned<CaseReady>, OperationError> {
    let others = load_without(store, known, task).await?;
    let load = others.map_or_else(|| Load::of(case), |others| others.plus(&Load::of(case)));
    let task = with_load(changed(task, cause.now), &load);
    let mut draft = Draft::new(cause);
    draft.push(logistics_task_update(&task));
    draft.push(case_update(
        &CaseRow { created_at: known.created_at, ..row_of(cause, case, &task.id) },
        &task.id,
    ));
    tell(&mut draft, &task, case, CaseOutcome::Consolidated);
    if known.priority < case.priority.rank() {
        notify(&mut draft, &task, case);
    }
    Ok(draft.done(CaseReady { outcome: CaseOutcome::Consolidated, task_id: task.id }))
}

/// Takes a case out of its delivery; one without cases is cancelled.
async fn leave(
    store: &Store,
    draft: &mut Draft<'_>,
    cause: &Cause,
    known: &CaseRow,
    task: &LogisticsTaskRow,
) -> Result<(), OperationError> {
    let next = changed(task, cause.now);
    let next = match load_without(store, known, task).await? {
        Some(load) => with_load(next, &load),
        None => LogisticsTaskRow {
            status: LogisticsTaskStatus::Cancelled,
            is_collecting: false,
            n_cases: 0,
            closed_at: Some(cause.now),
            ..next
        },
    };
    draft.push(logistics_task_update(&next));
    if next.status == LogisticsTaskStatus::Cancelled {
        let data = json!({ "task_id": task.id, "clinic_id": task.clinic_id, "reason": "its last case goes elsewhere" });
        draft.emit("logistics_task.cancelled", task.id.as_str(), &data);
    }
    Ok(())
}

/// What the other cases of a delivery bring.
async fn load_without(
    store: &Store,
    known: &CaseRow,
    task: &LogisticsTaskRow,
) -> Result<Option<Load>, OperationError> {
    let mut all: Option<Load> = None;
    for row in case_list(store, &task.id, MAX_CASES).await? {
        if row.case_id == known.case_id {
            continue;
        }
        let load = Load {
            priority: crate::Priority::from_rank(row.priority),
            package: package(&row.package, &row.case_id)?,
            n_cases: 1,
        };
        all = Some(match all {
            Some(all) => all.plus(&load),
            None => load,
        });
    }
    Ok(all)
}

fn with_load(task: LogisticsTaskRow, load: &Load) -> LogisticsTaskRow {
    let n_cases = i64::from(load.n_cases);
    LogisticsTaskRow {
        priority: load.priority.rank(),
        package: to_json(&load.package),
        n_cases,
        is_collecting: task.is_collecting && n_cases < MAX_CASES,
        ..task
    }
}

fn new_delivery(cause: &Cause, case: &ReadyCase, day: String) -> LogisticsTaskRow {
    LogisticsTaskRow {
        id: LogisticsTaskId::fresh(),
        tenant: cause.tenant.clone(),
        kind: LogisticsTaskKind::Delivery,
        clinic_id: ClinicId::from_text(case.clinic_id.as_str()),
        day,
        status: LogisticsTaskStatus::Pending,
        priority: case.priority.rank(),
        package: to_json(&case.package),
        n_cases: 1,
        is_collecting: true,
        window: None,
        recurrence_id: None,
        request_key: None,
        driver_id: None,
        route_id: None,
        note: None,
        version: 1,
        created_at: cause.now,
        updated_at: cause.now,
        closed_at: None,
    }
}

fn tell(draft: &mut Draft<'_>, task: &LogisticsTaskRow, case: &ReadyCase, outcome: CaseOutcome) {
    let event_type = match outcome {
        CaseOutcome::Created => "delivery_task.created",
        _ => "delivery_task.consolidated",
    };
    let data = json!({
        "task_id": task.id,
        "clinic_id": task.clinic_id,
        "day": task.day,
        "case_id": case.case_id,
        "n_cases": task.n_cases,
        "priority": crate::Priority::from_rank(task.priority),
    });
    draft.emit(event_type, task.id.as_str(), &data);
}

fn notify(draft: &mut Draft<'_>, task: &LogisticsTaskRow, case: &ReadyCase) {
    if case.priority.notifies() {
        let data = json!({
            "reason": "urgent_case",
            "priority": case.priority,
            "task_id": task.id,
            "clinic_id": task.clinic_id,
            "day": task.day,
            "case_id": case.case_id,
            "driver_id": task.driver_id,
        });
        draft.emit("dispatcher.notification", task.id.as_str(), &data);
    }
}
