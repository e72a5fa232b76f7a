//! Instances: what lists show and take-overs look for. The state itself is in the records.

use trunkline_model::{Shard, Tenant, Timestamp, WorkflowId};

use super::durations::durations_add;
use crate::tables::select::Select;
use crate::{ReadError, Row, Statement, Store, params};

macro_rules! stored_words {
    ($(#[$doc:meta])* $name:ident, $what:literal: $($(#[$of:meta])* $variant:ident $text:literal,)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$of])* $variant,)*
        }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stored form.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Reads the stored form.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == text)
            }

            pub(crate) fn read(text: &str) -> Result<Self, ReadError> {
                Self::parse(text).ok_or(ReadError::Stored { what: $what, source: "unknown word".into() })
            }
        }
    };
}

pub(crate) use stored_words;

stored_words! {
    /// What callers are told about an instance.
    InstanceStatus, "workflow status":
    /// Not at its end.
    InProgress "in_progress",
    /// It came to its end.
    Completed "completed",
    /// Somebody ended it.
    Cancelled "cancelled",
    /// An error that nothing caught ended it.
    Failed "failed",
}

stored_words! {
    /// What an instance is doing.
    InstancePhase, "workflow phase":
    /// Stored and not begun.
    Pending "pending",
    /// At work: a call is under way, or its next step is.
    Running "running",
    /// Waiting for time, an event or a person; in no memory.
    Waiting "waiting",
    /// Held until somebody resumes it.
    Suspended "suspended",
    /// At its end.
    Completed "completed",
    /// Ended by somebody.
    Cancelled "cancelled",
    /// Ended by an error.
    Faulted "faulted",
}

stored_words! {
    /// How an instance stands to the time it was promised to take.
    SlaState, "sla state":
    /// Nothing was warned of.
    Within "within",
    /// The time to warn has come.
    Warned "warned",
    /// The time is over.
    Breached "breached",
}

stored_words! {
    /// How undoing what an instance had done stands.
    CompensationState, "compensation state":
    /// Under way.
    Running "running",
    /// Everything is undone.
    Done "done",
    /// Something could not be undone.
    Incomplete "incomplete",
}

impl InstancePhase {
    /// What callers are told.
    pub const fn status(self) -> InstanceStatus {
        match self {
            Self::Pending | Self::Running | Self::Waiting | Self::Suspended => InstanceStatus::InProgress,
            Self::Completed => InstanceStatus::Completed,
            Self::Cancelled => InstanceStatus::Cancelled,
            Self::Faulted => InstanceStatus::Failed,
        }
    }

    /// Whether nothing more will happen.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Faulted)
    }
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRow {
    /// Its id.
    pub id: WorkflowId,
    /// Who owns it.
    pub tenant: Tenant,
    /// The shard whose owner runs it.
    pub shard: Shard,
    /// Namespace of its definition.
    pub namespace: String,
    /// Name of its definition.
    pub name: String,
    /// Version of its definition.
    pub version: String,
    /// Digest of its definition's text, for ever the same.
    pub hash: String,
    /// The document of the caller that it is about.
    pub document_id: Option<String>,
    /// What it is doing.
    pub phase: InstancePhase,
    /// The step of the outermost list it is at, from 1; 0 before the first.
    pub current_step: i64,
    /// How many steps the outermost list has.
    pub total_steps: i64,
    /// What to favour, higher first; 0 is usual.
    pub priority: i64,
    /// The instance that started it and waits for it.
    pub parent_id: Option<WorkflowId>,
    /// What that one calls it.
    pub parent_key: Option<String>,
    /// The journey its events belong to.
    pub correlation_id: String,
    /// The event or call that caused it.
    pub causation_id: Option<String>,
    /// What must start no second instance.
    pub start_key: Option<String>,
    /// Who started it: a person, or a token that is nobody's.
    pub started_by: Option<String>,
    /// How it stands to the time it was promised to take.
    pub sla: Option<SlaState>,
    /// When that time is over.
    pub sla_due_at: Option<Timestamp>,
    /// How undoing what was done stands.
    pub compensation: Option<CompensationState>,
    /// Records when the row was last written.
    pub n_records: i64,
    /// How often in a row its work was cut off without a record in between.
    pub n_crashes: i64,
    /// JSON of what it was started with.
    pub input: String,
    /// JSON of what came out, once it has completed.
    pub output: Option<String>,
    /// JSON of the error it failed of, or of the incident it is suspended for.
    pub error: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its first step was made.
    pub started_at: Option<Timestamp>,
    /// When the row last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, tenant, shard, namespace, name, version, hash, document_id, phase, current_step, \
     total_steps, priority, parent_id, parent_key, correlation_id, causation_id, start_key, n_records, n_crashes, \
     input, output, error, created_at, started_at, updated_at, finished_at, started_by, sla, sla_due_at, compensation";

fn instance_row(mut row: Row) -> Result<InstanceRow, ReadError> {
    Ok(InstanceRow {
        id: WorkflowId::from_text(row.text()?),
        tenant: Tenant::from_stored(&row.text()?),
        shard: row.int()?,
        namespace: row.text()?,
        name: row.text()?,
        version: row.text()?,
        hash: row.text()?,
        document_id: row.opt_text()?,
        phase: InstancePhase::read(&row.text()?)?,
        current_step: row.int()?,
        total_steps: row.int()?,
        priority: row.int()?,
        parent_id: row.opt_text()?.map(WorkflowId::from_text),
        parent_key: row.opt_text()?,
        correlation_id: row.text()?,
        causation_id: row.opt_text()?,
        start_key: row.opt_text()?,
        n_records: row.int()?,
        n_crashes: row.int()?,
        input: row.text()?,
        output: row.opt_text()?,
        error: row.opt_text()?,
        created_at: row.time()?,
        started_at: row.opt_time()?,
        updated_at: row.time()?,
        finished_at: row.opt_time()?,
        started_by: row.opt_text()?,
        sla: row.opt_text()?.map(|word| SlaState::read(&word)).transpose()?,
        sla_due_at: row.opt_time()?,
        compensation: row.opt_text()?.map(|word| CompensationState::read(&word)).transpose()?,
    })
}

/// Stores a new instance with its count. The first touches no row when the start key is known already, and the commit
/// is undone.
pub fn instance_insert(row: &InstanceRow) -> [Statement; 2] {
    let status = row.phase.status();
    let insert = Statement::one(
        format!(
            "INSERT INTO workflow_instances ({COLUMNS}, status) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, \
             $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31) \
             ON CONFLICT DO NOTHING"
        ),
        params![
            row.id.as_str(),
            row.tenant.as_str(),
            row.shard,
            row.namespace.as_str(),
            row.name.as_str(),
            row.version.as_str(),
            row.hash.as_str(),
            row.document_id.as_deref(),
            row.phase.as_str(),
            row.current_step,
            row.total_steps,
            row.priority,
            row.parent_id.as_ref().map(WorkflowId::as_str),
            row.parent_key.as_deref(),
            row.correlation_id.as_str(),
            row.causation_id.as_deref(),
            row.start_key.as_deref(),
            row.n_records,
            row.n_crashes,
            row.input.as_str(),
            row.output.as_deref(),
            row.error.as_deref(),
            row.created_at,
            row.started_at,
            row.updated_at,
            row.finished_at,
            row.started_by.as_deref(),
            row.sla.map(SlaState::as_str),
            row.sla_due_at,
            row.compensation.map(CompensationState::as_str),
            status.as_str()
        ],
    );
    [insert, count(row, status, 1, 0)]
}

/// Writes what changes of an instance's row, and moves its count when its status changed. `before` is the phase of the
/// row as it is stored.
pub fn instance_update(row: &InstanceRow, before: InstancePhase) -> Vec<Statement> {
    let status = row.phase.status();
    let update = Statement::one(
        "UPDATE workflow_instances SET phase = $1, status = $2, current_step = $3, total_steps = $4, n_records = $5, \
         n_crashes = $6, output = $7, error = $8, started_at = $9, updated_at = $10, finished_at = $11, \
         sla = $12, sla_due_at = $13, compensation = $14 WHERE id = $15 AND phase = $16",
        params![
            row.phase.as_str(),
            status.as_str(),
            row.current_step,
            row.total_steps,
            row.n_records,
            row.n_crashes,
            row.output.as_deref(),
            row.error.as_deref(),
            row.started_at,
            row.updated_at,
            row.finished_at,
            row.sla.map(SlaState::as_str),
            row.sla_due_at,
            row.compensation.map(CompensationState::as_str),
            row.id.as_str(),
            before.as_str()
        ],
    );
    let mut statements = vec![update];
    if status != before.status() {
        let took = row.finished_at.map_or(0, |end| end.since(row.created_at).as_micros() as i64);
        statements.push(count(row, before.status(), -1, 0));
        statements.push(count(row, status, 1, took));
        if let Some(end) = row.finished_at {
            statements.push(durations_add(row, status, end, took));
        }
    }
    statements
}

/// Writes which version an instance runs on, and how far it is there.
pub fn instance_set_version(row: &InstanceRow) -> Statement {
    Statement::one(
        "UPDATE workflow_instances SET version = $1, hash = $2, current_step = $3, total_steps = $4, n_records = $5, \
         updated_at = $6 WHERE id = $7",
        params![
            row.version.as_str(),
            row.hash.as_str(),
            row.current_step,
            row.total_steps,
            row.n_records,
            row.updated_at,
            row.id.as_str()
        ],
    )
}

/// Lists the instances of a version that have not ended, oldest first, from behind `after`.
pub async fn instance_list_running(
    store: &Store,
    tenant: &Tenant,
    (namespace, name, version): (&str, &str, &str),
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<InstanceRow>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM workflow_instances WHERE tenant = $1 AND status = 'in_progress' AND namespace = $2 \
         AND name = $3 AND version = $4 AND id > $5 ORDER BY id LIMIT $6"
    );
    let values = params![tenant.as_str(), namespace, name, version, after.unwrap_or(""), limit];
    store.query(sql, values).await?.into_iter().map(instance_row).collect()
}

fn count(row: &InstanceRow, status: InstanceStatus, n: i64, took_us: i64) -> Statement {
    Statement::new(
        "INSERT INTO workflow_counts AS c (tenant, namespace, name, status, shard, n, sum_us) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant, namespace, name, status, shard) \
         DO UPDATE SET n = c.n + excluded.n, sum_us = c.sum_us + excluded.sum_us",
        params![
            row.tenant.as_str(),
            row.namespace.as_str(),
            row.name.as_str(),
            status.as_str(),
            row.shard,
            n,
            took_us
        ],
    )
}

/// Counts one more time that an instance's work was cut off, or takes it back (`-1`) when it ends in order.
pub fn instance_note_crash(id: &WorkflowId, n_records: i64, n_crashes: i64) -> Statement {
    Statement::one(
        "UPDATE workflow_instances SET n_records = $1, n_crashes = $2 WHERE id = $3",
        params![n_records, n_crashes, id.as_str()],
    )
}

/// Reads one instance of a tenant.
pub async fn instance_get(
    store: &Store,
    tenant: &Tenant,
    id: &str,
) -> Result<Option<InstanceRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM workflow_instances WHERE id = $1 AND tenant = $2");
    store.query(sql, params![id, tenant.as_str()]).await?.pop().map(instance_row).transpose()
}

/// Reads one instance whoever owns it, for the engine.
pub async fn instance_load(store: &Store, id: &WorkflowId) -> Result<Option<InstanceRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM workflow_instances WHERE id = $1");
    store.query(sql, params![id.as_str()]).await?.pop().map(instance_row).transpose()
}

/// Finds the instance that a key has started.
pub async fn instance_find_start(
    store: &Store,
    tenant: &Tenant,
    start_key: &str,
) -> Result<Option<InstanceRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM workflow_instances WHERE tenant = $1 AND start_key = $2");
    store.query(sql, params![tenant.as_str(), start_key]).await?.pop().map(instance_row).transpose()
}

/// Lists the instances of a shard that are at work, oldest first, from behind `after`.
pub async fn instance_list_active(
    store: &Store,
    shard: Shard,
    after: Option<&WorkflowId>,
    limit: i64,
) -> Result<Vec<InstanceRow>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM workflow_instances WHERE shard = $1 AND phase = 'running' AND id > $2 \
         ORDER BY id LIMIT $3"
    );
    let after = after.map_or("", WorkflowId::as_str);
    store.query(sql, params![shard, after, limit]).await?.into_iter().map(instance_row).collect()
}

/// Which of those that have not begun come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PendingFirst {
    /// Those with the highest priority, and of these the oldest.
    Urgent,
    /// The oldest.
    Oldest,
}

/// Lists the instances of a shard that have not begun.
pub async fn instance_list_pending(
    store: &Store,
    shard: Shard,
    first: PendingFirst,
    limit: i64,
) -> Result<Vec<InstanceRow>, ReadError> {
    let order = match first {
        PendingFirst::Urgent => "priority DESC, id",
        PendingFirst::Oldest => "id",
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM workflow_instances WHERE shard = $1 AND phase = 'pending' ORDER BY {order} LIMIT $2"
    );
    store.query(sql, params![shard, limit]).await?.into_iter().map(instance_row).collect()
}

/// Lists the shards with instances that have not begun: where to look after a hub wrote that does not own the shard.
pub async fn instance_list_pending_shards(store: &Store) -> Result<Vec<Shard>, ReadError> {
    let sql = "SELECT shard FROM workflow_instances WHERE phase = 'pending' GROUP BY shard";
    store.query(sql, vec![]).await?.into_iter().map(|mut row| row.int()).collect()
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct InstanceFilter {
    /// Only this status.
    pub status: Option<InstanceStatus>,
    /// Only about this document.
    pub document_id: Option<String>,
    /// Only started by this event or instance.
    pub causation_id: Option<String>,
    /// Only of definitions with this name.
    pub name: Option<String>,
    /// Only those that stand so to the time they were promised to take.
    pub sla: Option<SlaState>,
    /// Only below this id: the last one of the page before.
    pub before: Option<String>,
    /// At most this many.
    pub limit: i64,
}

/// Lists instances of a tenant, newest first.
pub async fn instance_list(
    store: &Store,
    tenant: &Tenant,
    filter: &InstanceFilter,
) -> Result<Vec<InstanceRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM workflow_instances WHERE tenant = $1");
    let mut select = Select::new(sql, params![tenant.as_str()]);
    select.add_some(" AND document_id = ?", filter.document_id.as_deref());
    select.add_some(" AND causation_id = ?", filter.causation_id.as_deref());
    select.add_some(" AND status = ?", filter.status.map(InstanceStatus::as_str));
    select.add_some(" AND name = ?", filter.name.as_deref());
    select.add_some(" AND sla = ?", filter.sla.map(SlaState::as_str));
    select.add_some(" AND id < ?", filter.before.as_deref());
    select.add(" ORDER BY id DESC LIMIT ?", filter.limit);
    store.query(select.sql, select.values).await?.into_iter().map(instance_row).collect()
}

/// How many instances of one definition stand at one status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceCount {
    /// Namespace of the definition.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The status.
    pub status: InstanceStatus,
    /// How many.
    pub n: i64,
    /// Their times from creation to end, added up, in microseconds.
    pub sum_us: i64,
}

/// Counts a tenant's instances by definition and status.
pub async fn instance_count(store: &Store, tenant: &Tenant) -> Result<Vec<InstanceCount>, ReadError> {
    let sql = "SELECT namespace, name, status, CAST(sum(n) AS BIGINT), CAST(sum(sum_us) AS BIGINT) \
         FROM workflow_counts WHERE tenant = $1 GROUP BY namespace, name, status \
         ORDER BY namespace, name, status";
    let rows = store.query(sql, params![tenant.as_str()]).await?;
    rows.into_iter()
        .map(|mut row| {
            Ok(InstanceCount {
                namespace: row.text()?,
                name: row.text()?,
                status: InstanceStatus::read(&row.text()?)?,
                n: row.int()?,
                sum_us: row.int()?,
            })
        })
        .collect()
}
