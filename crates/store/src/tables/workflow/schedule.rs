//! Schedules: when time starts the next instance of a definition, and which one it started last.

use trunkline_model::{Shard, Tenant, Timestamp, WorkflowId};

use crate::tables::select::Select;
use crate::{ReadError, Row, Statement, Store, params};

/// The schedule of one definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRow {
    /// Who owns it.
    pub tenant: Tenant,
    /// Namespace of the definition.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The version that is started.
    pub version: String,
    /// Digest of that version.
    pub hash: String,
    /// The shard whose owner keeps the schedule.
    pub shard: Shard,
    /// The next time it starts an instance; nothing while it is paused or waits for an instance to end.
    pub next_at: Option<Timestamp>,
    /// When its owner has to look at it.
    pub wake_at: Option<Timestamp>,
    /// The last time that was started for.
    pub last_at: Option<Timestamp>,
    /// The instance that was started then.
    pub last_instance_id: Option<WorkflowId>,
    /// When that instance ended, where it matters.
    pub ended_at: Option<Timestamp>,
    /// Times that wait for the end of an instance.
    pub queue: Vec<Timestamp>,
    /// Whether it starts nothing.
    pub is_paused: bool,
    /// How many instances it has started.
    pub n_started: i64,
    /// How many times it has left out.
    pub n_skipped: i64,
    /// Grows with every change.
    pub revision: i64,
    /// When it began.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

const COLUMNS: &str = "tenant, namespace, name, version, hash, shard, next_at, wake_at, last_at, last_instance_id, \
     ended_at, queue, is_paused, n_started, n_skipped, revision, created_at, updated_at";

fn schedule_row(mut row: Row) -> Result<ScheduleRow, ReadError> {
    Ok(ScheduleRow {
        tenant: Tenant::from_stored(&row.text()?),
        namespace: row.text()?,
        name: row.text()?,
        version: row.text()?,
        hash: row.text()?,
        shard: row.int()?,
        next_at: row.opt_time()?,
        wake_at: row.opt_time()?,
        last_at: row.opt_time()?,
        last_instance_id: row.opt_text()?.map(WorkflowId::from_text),
        ended_at: row.opt_time()?,
        queue: serde_json::from_str::<Vec<i64>>(&row.text()?)
            .map_err(|source| ReadError::Stored { what: "schedule queue", source: source.into() })?
            .into_iter()
            .map(Timestamp::from_micros)
            .collect(),
        is_paused: row.int()? != 0,
        n_started: row.int()?,
        n_skipped: row.int()?,
        revision: row.int()?,
        created_at: row.time()?,
        updated_at: row.time()?,
    })
}

fn queue_text(queue: &[Timestamp]) -> String {
    let micros: Vec<i64> = queue.iter().map(|at| at.as_micros()).collect();
    serde_json::to_string(&micros).expect("invariant: numbers are JSON")
}

/// Begins a schedule. Must touch one row, otherwise it is there already.
pub fn schedule_insert(row: &ScheduleRow) -> Statement {
    Statement::one(
        format!(
            "INSERT INTO workflow_schedules ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
             $13, $14, $15, $16, $17, $18) ON CONFLICT DO NOTHING"
        ),
        params![
            row.tenant.as_str(),
            row.namespace.as_str(),
            row.name.as_str(),
            row.version.as_str(),
            row.hash.as_str(),
            row.shard,
            row.next_at,
            row.wake_at,
            row.last_at,
            row.last_instance_id.as_ref().map(WorkflowId::as_str),
            row.ended_at,
            queue_text(&row.queue),
            row.is_paused,
            row.n_started,
            row.n_skipped,
            row.revision,
            row.created_at,
            row.updated_at
        ],
    )
}

/// Writes a schedule. Must touch one row, otherwise somebody has changed it since it was read.
pub fn schedule_update(row: &ScheduleRow) -> Statement {
    Statement::one(
        "UPDATE workflow_schedules SET version = $1, hash = $2, next_at = $3, wake_at = $4, last_at = $5, \
         last_instance_id = $6, ended_at = $7, queue = $8, is_paused = $9, n_started = $10, n_skipped = $11, \
         updated_at = $12, revision = revision + 1 \
         WHERE tenant = $13 AND namespace = $14 AND name = $15 AND revision = $16",
        params![
            row.version.as_str(),
            row.hash.as_str(),
            row.next_at,
            row.wake_at,
            row.last_at,
            row.last_instance_id.as_ref().map(WorkflowId::as_str),
            row.ended_at,
            queue_text(&row.queue),
            row.is_paused,
            row.n_started,
            row.n_skipped,
            row.updated_at,
            row.tenant.as_str(),
            row.namespace.as_str(),
            row.name.as_str(),
            row.revision
        ],
    )
}

/// Notes that the instance which a schedule started last has ended, and asks its owner for a look; nothing where it has
/// started another one since.
pub fn schedule_note_end(
    tenant: &Tenant,
    (namespace, name): (&str, &str),
    id: &WorkflowId,
    at: Timestamp,
) -> Statement {
    Statement::new(
        "UPDATE workflow_schedules SET ended_at = $1, wake_at = $1, revision = revision + 1 \
         WHERE tenant = $2 AND namespace = $3 AND name = $4 AND last_instance_id = $5",
        params![at, tenant.as_str(), namespace, name, id.as_str()],
    )
}

/// Ends a schedule.
pub fn schedule_delete(row: &ScheduleRow) -> Statement {
    Statement::new(
        "DELETE FROM workflow_schedules WHERE tenant = $1 AND namespace = $2 AND name = $3",
        params![row.tenant.as_str(), row.namespace.as_str(), row.name.as_str()],
    )
}

/// Reads one schedule of a tenant.
pub async fn schedule_get(
    store: &Store,
    tenant: &Tenant,
    namespace: &str,
    name: &str,
) -> Result<Option<ScheduleRow>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM workflow_schedules WHERE tenant = $1 AND namespace = $2 AND name = $3"
    );
    store.query(sql, params![tenant.as_str(), namespace, name]).await?.pop().map(schedule_row).transpose()
}

/// Lists the schedules of a tenant by namespace and name, from behind `after`.
pub async fn schedule_list(
    store: &Store,
    tenant: &Tenant,
    after: Option<(&str, &str)>,
    limit: i64,
) -> Result<Vec<ScheduleRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM workflow_schedules WHERE tenant = $1");
    let mut select = Select::new(sql, params![tenant.as_str()]);
    if let Some((namespace, name)) = after {
        select.add(" AND (namespace, name) > (?", namespace);
        select.add(", ?)", name);
    }
    select.add(" ORDER BY namespace, name LIMIT ?", limit);
    store.query(select.sql, select.values).await?.into_iter().map(schedule_row).collect()
}

/// Lists the schedules of all tenants, for their owners; there is at most one a definition.
pub async fn schedule_list_all(store: &Store) -> Result<Vec<ScheduleRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM workflow_schedules ORDER BY tenant, namespace, name");
    store.query(sql, vec![]).await?.into_iter().map(schedule_row).collect()
}

/// Lists the schedules that want a look at or before `until`, the first ones first, from behind `after`.
pub async fn schedule_list_due(
    store: &Store,
    until: Timestamp,
    after: Option<&ScheduleRow>,
    limit: i64,
) -> Result<Vec<ScheduleRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM workflow_schedules WHERE wake_at IS NOT NULL AND wake_at <= $1");
    let mut select = Select::new(sql, params![until]);
    if let Some(row) = after {
        select.add(" AND (wake_at, tenant, namespace, name) > (?", row.wake_at);
        select.add(", ?", row.tenant.as_str());
        select.add(", ?", row.namespace.as_str());
        select.add(", ?)", row.name.as_str());
    }
    select.add(" ORDER BY wake_at, tenant, namespace, name LIMIT ?", limit);
    store.query(select.sql, select.values).await?.into_iter().map(schedule_row).collect()
}
