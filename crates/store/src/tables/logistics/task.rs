//! Tasks: deliveries and pickups. A delivery that collects is the one to which further cases for its clinic and day are
//! added; an index of its own finds it among any number of tasks, and lets there be only one.

use trunkline_model::{ClinicId, DriverId, LogisticsTaskId, RecurrenceId, RouteId, Tenant, Timestamp};

use crate::tables::select::Select;
use crate::tables::workflow::instance::stored_words;
use crate::{ReadError, Row, Statement, Store, params};

stored_words! {
    /// Which way it goes.
    LogisticsTaskKind, "kind of a task":
    /// From the laboratory to a clinic.
    Delivery "delivery",
    /// From a clinic to the laboratory.
    Pickup "pickup",
}

stored_words! {
    /// Where a task stands.
    LogisticsTaskStatus, "status of a task":
    /// Nobody has it.
    Pending "pending",
    /// A driver has it.
    Assigned "assigned",
    /// The driver is on the way with it.
    UnderWay "under_way",
    /// It was done.
    Completed "completed",
    /// It will not be done.
    Cancelled "cancelled",
}

impl LogisticsTaskStatus {
    /// Whether nothing can happen to it any more.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled)
    }
}

/// One task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogisticsTaskRow {
    /// Its id.
    pub id: LogisticsTaskId,
    /// Whose it is.
    pub tenant: Tenant,
    /// Which way it goes.
    pub kind: LogisticsTaskKind,
    /// The clinic.
    pub clinic_id: ClinicId,
    /// The date in the clinic's zone.
    pub day: String,
    /// Where it stands.
    pub status: LogisticsTaskStatus,
    /// The higher the more urgent.
    pub priority: i64,
    /// JSON: what is carried.
    pub package: String,
    /// How many cases a delivery brings.
    pub n_cases: i64,
    /// Whether further cases are added to it.
    pub is_collecting: bool,
    /// When a pickup may be made.
    pub window: Option<(Timestamp, Timestamp)>,
    /// The rule that a pickup comes from.
    pub recurrence_id: Option<RecurrenceId>,
    /// What the request for it was called.
    pub request_key: Option<String>,
    /// Who has it.
    pub driver_id: Option<DriverId>,
    /// The round it is part of.
    pub route_id: Option<RouteId>,
    /// What people should know.
    pub note: Option<String>,
    /// Grows with each change.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it came to its end.
    pub closed_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, tenant, kind, clinic_id, day, status, priority, package, n_cases, is_collecting, \
     window_from, window_until, recurrence_id, request_key, driver_id, route_id, note, version, created_at, \
     updated_at, closed_at";

fn task_row(mut row: Row) -> Result<LogisticsTaskRow, ReadError> {
    Ok(LogisticsTaskRow {
        id: LogisticsTaskId::from_text(row.text()?),
        tenant: Tenant::from_stored(&row.text()?),
        kind: LogisticsTaskKind::read(&row.text()?)?,
        clinic_id: ClinicId::from_text(row.text()?),
        day: row.text()?,
        status: LogisticsTaskStatus::read(&row.text()?)?,
        priority: row.int()?,
        package: row.text()?,
        n_cases: row.int()?,
        is_collecting: row.flag()?,
        window: row.opt_time()?.zip(row.opt_time()?),
        recurrence_id: row.opt_text()?.map(RecurrenceId::from_text),
        request_key: row.opt_text()?,
        driver_id: row.opt_text()?.map(DriverId::from_text),
        route_id: row.opt_text()?.map(RouteId::from_text),
        note: row.opt_text()?,
        version: row.int()?,
        created_at: row.time()?,
        updated_at: row.time()?,
        closed_at: row.opt_time()?,
    })
}

/// Stores a new task. A constraint refuses a second one that collects for a clinic and day, a second one of a rule and
/// day, and a second one under a request's name.
pub fn logistics_task_insert(row: &LogisticsTaskRow) -> Statement {
    Statement::one(
        format!(
            "INSERT INTO logistics_tasks ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, \
             $14, $15, $16, $17, $18, $19, $20, $21)"
        ),
        params![
            row.id.as_str(),
            row.tenant.as_str(),
            row.kind.as_str(),
            row.clinic_id.as_str(),
            row.day.as_str(),
            row.status.as_str(),
            row.priority,
            row.package.as_str(),
            row.n_cases,
            row.is_collecting,
            row.window.map(|(from, _)| from),
            row.window.map(|(_, until)| until),
            row.recurrence_id.as_ref().map(RecurrenceId::as_str),
            row.request_key.as_deref(),
            row.driver_id.as_ref().map(DriverId::as_str),
            row.route_id.as_ref().map(RouteId::as_str),
            row.note.as_deref(),
            row.version,
            row.created_at,
            row.updated_at,
            row.closed_at
        ],
    )
}

/// Replaces what changes about a task; `row.version` must follow the stored one, otherwise it was changed since it was
/// read.
pub fn logistics_task_update(row: &LogisticsTaskRow) -> Statement {
    Statement::one(
        "UPDATE logistics_tasks SET status = $1, priority = $2, package = $3, n_cases = $4, is_collecting = $5, \
         window_from = $6, window_until = $7, driver_id = $8, route_id = $9, note = $10, version = $11, \
         updated_at = $12, closed_at = $13, day = $14 WHERE id = $15 AND tenant = $16 AND version = $17",
        params![
            row.status.as_str(),
            row.priority,
            row.package.as_str(),
            row.n_cases,
            row.is_collecting,
            row.window.map(|(from, _)| from),
            row.window.map(|(_, until)| until),
            row.driver_id.as_ref().map(DriverId::as_str),
            row.route_id.as_ref().map(RouteId::as_str),
            row.note.as_deref(),
            row.version,
            row.updated_at,
            row.closed_at,
            row.day.as_str(),
            row.id.as_str(),
            row.tenant.as_str(),
            row.version - 1
        ],
    )
}

/// Cancels the pickups of a rule that nobody has yet, from a day on.
pub fn logistics_task_cancel_recurrence(
    tenant: &Tenant,
    recurrence_id: &RecurrenceId,
    from_day: &str,
    now: Timestamp,
) -> Statement {
    Statement::new(
        "UPDATE logistics_tasks SET status = 'cancelled', version = version + 1, updated_at = $1, closed_at = $1 \
         WHERE recurrence_id = $2 AND day >= $3 AND tenant = $4 AND status = 'pending'",
        params![now, recurrence_id.as_str(), from_day, tenant.as_str()],
    )
}

async fn first(
    store: &Store,
    sql: String,
    values: Vec<crate::Value>,
) -> Result<Option<LogisticsTaskRow>, ReadError> {
    store.query(sql, values).await?.pop().map(task_row).transpose()
}

/// Reads one task of a tenant.
pub async fn logistics_task_get(
    store: &Store,
    tenant: &Tenant,
    id: &str,
) -> Result<Option<LogisticsTaskRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM logistics_tasks WHERE id = $1 AND tenant = $2");
    first(store, sql, params![id, tenant.as_str()]).await
}

/// The delivery that collects cases for a clinic and day.
pub async fn logistics_task_collecting(
    store: &Store,
    tenant: &Tenant,
    clinic_id: &str,
    day: &str,
) -> Result<Option<LogisticsTaskRow>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM logistics_tasks WHERE tenant = $1 AND clinic_id = $2 AND day = $3 AND is_collecting = 1"
    );
    first(store, sql, params![tenant.as_str(), clinic_id, day]).await
}

/// The task that was made for a request.
pub async fn logistics_task_requested(
    store: &Store,
    tenant: &Tenant,
    request_key: &str,
) -> Result<Option<LogisticsTaskRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM logistics_tasks WHERE tenant = $1 AND request_key = $2");
    first(store, sql, params![tenant.as_str(), request_key]).await
}

/// Lists the tasks of a rule by day, from a day on.
pub async fn logistics_task_list_recurrence(
    store: &Store,
    recurrence_id: &RecurrenceId,
    from_day: &str,
    limit: i64,
) -> Result<Vec<LogisticsTaskRow>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM logistics_tasks WHERE recurrence_id = $1 AND day >= $2 ORDER BY day LIMIT $3"
    );
    let rows = store.query(sql, params![recurrence_id.as_str(), from_day, limit]).await?;
    rows.into_iter().map(task_row).collect()
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct LogisticsTaskFilter {
    /// Only deliveries or only pickups.
    pub kind: Option<LogisticsTaskKind>,
    /// Only those that stand here.
    pub status: Option<LogisticsTaskStatus>,
    /// Only those of this clinic.
    pub clinic_id: Option<String>,
    /// Only those of this day.
    pub day: Option<String>,
    /// Only those of this driver.
    pub driver_id: Option<String>,
    /// Only those at least this urgent.
    pub min_priority: Option<i64>,
    /// Only below this id: the last one of the page before.
    pub before: Option<String>,
    /// At most this many.
    pub limit: i64,
}

/// Lists tasks of a tenant, newest first.
pub async fn logistics_task_list(
    store: &Store,
    tenant: &Tenant,
    filter: &LogisticsTaskFilter,
) -> Result<Vec<LogisticsTaskRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM logistics_tasks WHERE tenant = $1");
    let mut select = Select::new(sql, params![tenant.as_str()]);
    select.add_some(" AND status = ?", filter.status.map(LogisticsTaskStatus::as_str));
    select.add_some(" AND clinic_id = ?", filter.clinic_id.as_deref());
    select.add_some(" AND day = ?", filter.day.as_deref());
    select.add_some(" AND driver_id = ?", filter.driver_id.as_deref());
    select.add_some(" AND kind = ?", filter.kind.map(LogisticsTaskKind::as_str));
    select.add_some(" AND priority >= ?", filter.min_priority);
    select.add_some(" AND id < ?", filter.before.as_deref());
    select.add(" ORDER BY id DESC LIMIT ?", filter.limit);
    store.query(select.sql, select.values).await?.into_iter().map(task_row).collect()
}
