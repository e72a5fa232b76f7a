//! Pickups that come again: the generator that keeps their horizon rolling, and how a rule ends.
//!
//! Each rule is extended in a commit of its own, guarded by its version, and an index lets a rule have one pickup a day:
//! two generators at once make nothing twice.

use jiff::civil::Date;
use serde_json::json;
use trunkline_model::{LogisticsTaskId, RecurrenceId, Tenant, Timestamp};
use trunkline_store::tables::logistics::clinic::clinic_get;
use trunkline_store::tables::logistics::recurrence::{
    RecurrenceRow, recurrence_get, recurrence_list_due, recurrence_update,
};
use trunkline_store::tables::logistics::task::{
    LogisticsTaskKind, LogisticsTaskRow, LogisticsTaskStatus, logistics_task_cancel_recurrence,
    logistics_task_insert,
};
use trunkline_store::{Commit, Store};

use super::{Cause, Draft, Missing, OperationError, Planned, Tries, check_version, pickup};
use crate::recurrence::{Extension, Recurrence};
use crate::rows::date;
use crate::{Clinic, Window};

/// How long a rule rests whose clinic takes no tasks.
const REST: std::time::Duration = std::time::Duration::from_hours(24);

/// A rule that gets pickups.
pub(super) struct Rule<'a> {
    pub(super) row: &'a RecurrenceRow,
    /// What the request for it is called; its first pickup carries it.
    pub(super) request_key: Option<&'a str>,
    /// The window that was asked for, which stands on its date whatever the rule makes of it.
    pub(super) first: Option<Window>,
}

/// Adds the pickups of an extension; gives the rule as it stands then, and the new tasks.
pub(super) fn add_occurrences(
    draft: &mut Draft<'_>,
    cause: &Cause,
    rule: &Rule<'_>,
    extension: &Extension,
) -> (RecurrenceRow, Vec<LogisticsTaskId>) {
    let (mut made, mut skipped) = (Vec::new(), Vec::new());
    for occurrence in &extension.occurrences {
        let asked = rule.first.filter(|first| first.date == occurrence.date);
        let window = match (&asked, &occurrence.window) {
            (Some(window), _) | (None, Ok(window)) => *window,
            (None, Err(refusal)) => {
                let day = json!({ "day": occurrence.date.to_string(), "reason": refusal.reason.as_str() });
                skipped.push(day);
                continue;
            }
        };
        let key = rule.request_key.filter(|_| made.is_empty());
        let task = task_of(cause, rule.row, occurrence.date, &window, key);
        draft.push(logistics_task_insert(&task));
        pickup::tell(draft, &task);
        made.push(task.id);
    }
    let row = RecurrenceRow {
        through: Some(extension.through.to_string()),
        look_at: extension.look_at,
        skipped: serde_json::Value::from(skipped).to_string(),
        version: rule.row.version + 1,
        updated_at: cause.now,
        ..rule.row.clone()
    };
    (row, made)
}

fn task_of(
    cause: &Cause,
    rule: &RecurrenceRow,
    day: Date,
    window: &Window,
    request_key: Option<&str>,
) -> LogisticsTaskRow {
    LogisticsTaskRow {
        id: LogisticsTaskId::fresh(),
        tenant: rule.tenant.clone(),
        kind: LogisticsTaskKind::Pickup,
        clinic_id: rule.clinic_id.clone(),
        day: day.to_string(),
        status: LogisticsTaskStatus::Pending,
        priority: rule.priority,
        package: rule.package.clone(),
        n_cases: 0,
        is_collecting: false,
        window: Some((window.from, window.until)),
        recurrence_id: Some(rule.id.clone()),
        request_key: request_key.map(str::to_owned),
        driver_id: None,
        route_id: None,
        note: rule.note.clone(),
        version: 1,
        created_at: cause.now,
        updated_at: cause.now,
        closed_at: None,
    }
}

/// Extends one rule up to the horizon; gives how many pickups were made.
pub async fn recurrence_extend(
    store: &Store,
    tenant: &Tenant,
    id: &RecurrenceId,
    now: Timestamp,
) -> Result<usize, OperationError> {
    let cause = Cause::call(tenant.clone(), now);
    let mut tries = Tries::default();
    loop {
        let planned = plan_extend(store, &cause, id).await?;
        if let Some(outcome) = tries.commit(store, planned).await? {
            return Ok(outcome);
        }
    }
}

async fn plan_extend(
    store: &Store,
    cause: &Cause,
    id: &RecurrenceId,
) -> Result<Planned<usize>, OperationError> {
    let mut draft = Draft::new(cause);
    let row = recurrence_get(store, &cause.tenant, id.as_str()).await?;
    let Some(row) = row.filter(|row| row.is_active && row.look_at.is_some_and(|at| at <= cause.now)) else {
        return Ok(draft.done(0));
    };
    let clinic = clinic_get(store, &cause.tenant, row.clinic_id.as_str()).await?.filter(|row| row.is_active);
    let Some(clinic) = clinic else {
        draft.push(recurrence_update(&resting(row, cause.now)));
        return Ok(draft.done(0));
    };
    let through = row.through.as_deref().map(|text| date(text, row.id.as_str())).transpose()?;
    let extension = Recurrence::try_from(&row)?.extend(&Clinic::try_from(&clinic)?, through, cause.now);
    let rule = Rule { row: &row, request_key: None, first: None };
    let (row, made) = add_occurrences(&mut draft, cause, &rule, &extension);
    draft.push(recurrence_update(&row));
    Ok(draft.done(made.len()))
}

/// The rule, to be looked at again tomorrow.
fn resting(row: RecurrenceRow, now: Timestamp) -> RecurrenceRow {
    RecurrenceRow { look_at: Some(now.plus(REST)), version: row.version + 1, updated_at: now, ..row }
}

/// Extends rules that are due, at most `limit` of them; gives how many were looked at. One that fails is told to
/// the log and rests, so that it does not stay in front for ever.
pub async fn recurrences_extend_due(
    store: &Store,
    now: Timestamp,
    limit: i64,
) -> Result<usize, OperationError> {
    let due = recurrence_list_due(store, now, limit).await?;
    for row in &due {
        if let Err(error) = recurrence_extend(store, &row.tenant, &row.id, now).await {
            tracing::warn!(recurrence.id = %row.id, error = ?error, "a rule of pickups could not be extended");
            let rest = recurrence_update(&resting(row.clone(), now));
            if let Err(error) = store.commit(Commit::statements(vec![rest])).await {
                tracing::warn!(error = %error, "nor could it be put off");
            }
        }
    }
    Ok(due.len())
}

/// Ends a rule and cancels its pickups from `from_day` on that nobody has yet.
pub async fn recurrence_cancel(
    store: &Store,
    cause: &Cause,
    id: &str,
    expected: Option<i64>,
) -> Result<(), OperationError> {
    let mut tries = Tries::default();
    loop {
        let planned = plan_cancel(store, cause, id, expected).await?;
        if let Some(outcome) = tries.commit(store, planned).await? {
            return Ok(outcome);
        }
    }
}

async fn plan_cancel(
    store: &Store,
    cause: &Cause,
    id: &str,
    expected: Option<i64>,
) -> Result<Planned<()>, OperationError> {
    let row = recurrence_get(store, &cause.tenant, id).await?;
    let row = row.ok_or(OperationError::Missing(Missing::Recurrence))?;
    check_version(row.version, expected)?;
    let mut draft = Draft::new(cause);
    if !row.is_active {
        return Ok(draft.done(()));
    }
    let today = match clinic_get(store, &cause.tenant, row.clinic_id.as_str()).await? {
        Some(clinic) => Clinic::try_from(&clinic)?.zone.date_at(cause.now).to_string(),
        None => row.starts_on.clone(),
    };
    let row = RecurrenceRow {
        is_active: false,
        look_at: None,
        version: row.version + 1,
        updated_at: cause.now,
        ..row
    };
    draft.push(recurrence_update(&row));
    draft.push(logistics_task_cancel_recurrence(&cause.tenant, &row.id, &today, cause.now));
    let data = json!({ "recurrence_id": row.id, "clinic_id": row.clinic_id, "from_day": today });
    draft.emit("pickup_recurrence.cancelled", row.id.as_str(), &data);
    Ok(draft.done(()))
}
