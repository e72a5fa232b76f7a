//! Rules by which pickups come again. `look_at` wakes the generator; `through` says how far it has come.

use trunkline_model::{ClinicId, RecurrenceId, Tenant, Timestamp};

use crate::tables::select::Select;
use crate::{ReadError, Row, Statement, Store, params};

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecurrenceRow {
    /// Its id.
    pub id: RecurrenceId,
    /// Whose it is.
    pub tenant: Tenant,
    /// The clinic.
    pub clinic_id: ClinicId,
    /// `DAILY`, `WEEKLY` or `BIWEEKLY`.
    pub frequency: String,
    /// The first day.
    pub starts_on: String,
    /// No day after this one.
    pub ends_on: Option<String>,
    /// Where the window begins and ends, in minutes since midnight on the clinic's wall.
    pub minutes: (i64, i64),
    /// The higher the more urgent.
    pub priority: i64,
    /// JSON: what is carried.
    pub package: String,
    /// What people should know.
    pub note: Option<String>,
    /// Whether it still makes pickups.
    pub is_active: bool,
    /// The day up to which pickups are made.
    pub through: Option<String>,
    /// When the generator has to look again.
    pub look_at: Option<Timestamp>,
    /// JSON: days of the last look that have no pickup, each with the reason.
    pub skipped: String,
    /// Grows with each change.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

const COLUMNS: &str = "id, tenant, clinic_id, frequency, starts_on, ends_on, from_min, until_min, priority, package, \
     note, is_active, through, look_at, skipped, version, created_at, updated_at";

fn recurrence_row(mut row: Row) -> Result<RecurrenceRow, ReadError> {
    Ok(RecurrenceRow {
        id: RecurrenceId::from_text(row.text()?),
        tenant: Tenant::from_stored(&row.text()?),
        clinic_id: ClinicId::from_text(row.text()?),
        frequency: row.text()?,
        starts_on: row.text()?,
        ends_on: row.opt_text()?,
        minutes: (row.int()?, row.int()?),
        priority: row.int()?,
        package: row.text()?,
        note: row.opt_text()?,
        is_active: row.flag()?,
        through: row.opt_text()?,
        look_at: row.opt_time()?,
        skipped: row.text()?,
        version: row.int()?,
        created_at: row.time()?,
        updated_at: row.time()?,
    })
}

/// Stores a new rule.
pub fn recurrence_insert(row: &RecurrenceRow) -> Statement {
    Statement::one(
        format!(
            "INSERT INTO pickup_recurrences ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, \
             $14, $15, $16, $17, $18)"
        ),
        params![
            row.id.as_str(),
            row.tenant.as_str(),
            row.clinic_id.as_str(),
            row.frequency.as_str(),
            row.starts_on.as_str(),
            row.ends_on.as_deref(),
            row.minutes.0,
            row.minutes.1,
            row.priority,
            row.package.as_str(),
            row.note.as_deref(),
            row.is_active,
            row.through.as_deref(),
            row.look_at,
            row.skipped.as_str(),
            row.version,
            row.created_at,
            row.updated_at
        ],
    )
}

/// Replaces what changes about a rule; `row.version` must follow the stored one, otherwise it was changed since it was
/// read.
pub fn recurrence_update(row: &RecurrenceRow) -> Statement {
    Statement::one(
        "UPDATE pickup_recurrences SET is_active = $1, through = $2, look_at = $3, skipped = $4, version = $5, \
         updated_at = $6 WHERE id = $7 AND tenant = $8 AND version = $9",
        params![
            row.is_active,
            row.through.as_deref(),
            row.look_at,
            row.skipped.as_str(),
            row.version,
            row.updated_at,
            row.id.as_str(),
            row.tenant.as_str(),
            row.version - 1
        ],
    )
}

/// Reads one rule of a tenant.
pub async fn recurrence_get(
    store: &Store,
    tenant: &Tenant,
    id: &str,
) -> Result<Option<RecurrenceRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM pickup_recurrences WHERE id = $1 AND tenant = $2");
    store.query(sql, params![id, tenant.as_str()]).await?.pop().map(recurrence_row).transpose()
}

/// Lists rules of a tenant, newest first, below `before`.
pub async fn recurrence_list(
    store: &Store,
    tenant: &Tenant,
    clinic_id: Option<&str>,
    before: Option<&str>,
    limit: i64,
) -> Result<Vec<RecurrenceRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM pickup_recurrences WHERE tenant = $1");
    let mut select = Select::new(sql, params![tenant.as_str()]);
    select.add_some(" AND clinic_id = ?", clinic_id);
    select.add_some(" AND id < ?", before);
    select.add(" ORDER BY id DESC LIMIT ?", limit);
    store.query(select.sql, select.values).await?.into_iter().map(recurrence_row).collect()
}

/// Lists rules of every tenant that the generator has to look at, the longest due first.
pub async fn recurrence_list_due(
    store: &Store,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<RecurrenceRow>, ReadError> {
    let sql =
        format!("SELECT {COLUMNS} FROM pickup_recurrences WHERE look_at <= $1 ORDER BY look_at, id LIMIT $2");
    store.query(sql, params![now, limit]).await?.into_iter().map(recurrence_row).collect()
}
