//! Jobs that send past events again. A job's place, its figures and the deliveries it plans move in one commit; each
//! step demands the place it began from, so that no two steps plan the same events.

use trunkline_model::{EndpointId, ReplayId, Tenant, Timestamp};

use super::event::EventPlace;
use super::select::Select;
use crate::{ReadError, Row, Statement, Store, params};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplayState {
    /// At work, or waiting for its turn.
    Running,
    /// Waiting for somebody to resume it.
    Paused,
    /// Every event of its range was handled.
    Completed,
    /// Ended by a caller.
    Cancelled,
    /// It cannot go on; `reason` says why.
    Failed,
}

impl ReplayState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Running, Self::Paused, Self::Completed, Self::Cancelled, Self::Failed];

    /// The stored form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// Reads the stored form.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether nothing more will happen.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Running | Self::Paused)
    }
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayRow {
    /// Its id.
    pub id: ReplayId,
    /// Who owns it.
    pub tenant: Tenant,
    /// Only this endpoint; else every active one.
    pub endpoint_id: Option<EndpointId>,
    /// JSON array of event type patterns.
    pub event_types: String,
    /// JSON array of the standings that are sent again.
    pub states: String,
    /// Events stored at or after this time …
    pub since: Timestamp,
    /// … and before this one.
    pub until: Timestamp,
    /// Deliveries a second.
    pub rate_per_s: i64,
    /// Where it stands.
    pub state: ReplayState,
    /// Why it is paused or has failed.
    pub reason: Option<String>,
    /// The last event handled.
    pub place: EventPlace,
    /// When the next delivery may be due.
    pub next_due_at: Timestamp,
    /// Events looked at.
    pub n_scanned: i64,
    /// Deliveries made.
    pub n_planned: i64,
    /// Pairs of event and endpoint that were looked at and left alone.
    pub n_skipped: i64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its first step was made.
    pub started_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, tenant, endpoint_id, event_types, states, since, until, rate_per_s, state, reason, \
     place_at, place_shard, place_seq, next_due_at, n_scanned, n_planned, n_skipped, created_at, started_at, \
     updated_at, finished_at";

fn replay_row(mut row: Row) -> Result<ReplayRow, ReadError> {
    Ok(ReplayRow {
        id: ReplayId::from_text(row.text()?),
        tenant: Tenant::from_stored(&row.text()?),
        endpoint_id: row.opt_text()?.map(EndpointId::from_text),
        event_types: row.text()?,
        states: row.text()?,
        since: row.time()?,
        until: row.time()?,
        rate_per_s: row.int()?,
        state: ReplayState::parse(&row.text()?)
            .ok_or(ReadError::Stored { what: "replay state", source: "unknown state".into() })?,
        reason: row.opt_text()?,
        place: EventPlace { recorded_at: row.time()?, shard: row.int()?, seq: row.int()? },
        next_due_at: row.time()?,
        n_scanned: row.int()?,
        n_planned: row.int()?,
        n_skipped: row.int()?,
        created_at: row.time()?,
        started_at: row.opt_time()?,
        updated_at: row.time()?,
        finished_at: row.opt_time()?,
    })
}

/// Stores a new job.
pub fn replay_insert(job: &ReplayRow) -> Statement {
    Statement::one(
        format!(
            "INSERT INTO replays ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
             $15, $16, $17, $18, $19, $20, $21)"
        ),
        params![
            job.id.as_str(),
            job.tenant.as_str(),
            job.endpoint_id.as_ref().map(EndpointId::as_str),
            job.event_types.as_str(),
            job.states.as_str(),
            job.since,
            job.until,
            job.rate_per_s,
            job.state.as_str(),
            job.reason.as_deref(),
            job.place.recorded_at,
            job.place.shard,
            job.place.seq,
            job.next_due_at,
            job.n_scanned,
            job.n_planned,
            job.n_skipped,
            job.created_at,
            job.started_at,
            job.updated_at,
            job.finished_at
        ],
    )
}

/// Records one step of a running job. Must touch one row, otherwise the job was paused or ended, or another step came
/// between.
pub fn replay_step(before: &ReplayRow, after: &ReplayRow) -> Statement {
    Statement::one(
        "UPDATE replays SET state = $1, reason = $2, place_at = $3, place_shard = $4, place_seq = $5, \
         next_due_at = $6, n_scanned = $7, n_planned = $8, n_skipped = $9, started_at = $10, updated_at = $11, \
         finished_at = $12 WHERE id = $13 AND state = 'running' AND place_at = $14 AND place_shard = $15 \
         AND place_seq = $16",
        params![
            after.state.as_str(),
            after.reason.as_deref(),
            after.place.recorded_at,
            after.place.shard,
            after.place.seq,
            after.next_due_at,
            after.n_scanned,
            after.n_planned,
            after.n_skipped,
            after.started_at,
            after.updated_at,
            after.finished_at,
            before.id.as_str(),
            before.place.recorded_at,
            before.place.shard,
            before.place.seq
        ],
    )
}

/// Takes a job from one state to another at a caller's wish. Must touch one row, otherwise it is not in that state now.
pub fn replay_set_state(
    tenant: &Tenant,
    id: &str,
    (from, to): (ReplayState, ReplayState),
    now: Timestamp,
) -> Statement {
    Statement::one(
        "UPDATE replays SET state = $1, reason = NULL, updated_at = $2, finished_at = $3 \
         WHERE id = $4 AND tenant = $5 AND state = $6",
        params![to.as_str(), now, to.is_terminal().then_some(now), id, tenant.as_str(), from.as_str()],
    )
}

/// Reads one job.
pub async fn replay_get(store: &Store, tenant: &Tenant, id: &str) -> Result<Option<ReplayRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM replays WHERE id = $1 AND tenant = $2");
    store.query(sql, params![id, tenant.as_str()]).await?.pop().map(replay_row).transpose()
}

/// Lists jobs of a tenant, newest first, from below the id `before`.
pub async fn replay_list(
    store: &Store,
    tenant: &Tenant,
    (state, endpoint_ids): (Option<ReplayState>, Option<&[String]>),
    before: Option<&str>,
    limit: i64,
) -> Result<Vec<ReplayRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM replays WHERE tenant = $1");
    let mut select = Select::new(sql, params![tenant.as_str()]);
    select.add_some(" AND state = ?", state.map(ReplayState::as_str));
    if let Some(ids) = endpoint_ids {
        select.add_one_of(" AND endpoint_id", ids);
    }
    select.add_some(" AND id < ?", before);
    select.add(" ORDER BY id DESC LIMIT ?", limit);
    store.query(select.sql, select.values).await?.into_iter().map(replay_row).collect()
}

/// The oldest running job of each tenant: the ones whose turn it is.
pub async fn replay_list_turns(store: &Store) -> Result<Vec<ReplayRow>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM replays WHERE id IN \
         (SELECT min(id) FROM replays WHERE state = 'running' GROUP BY tenant)"
    );
    store.query(sql, vec![]).await?.into_iter().map(replay_row).collect()
}

/// How many jobs of a tenant run or wait for their turn.
pub async fn replay_count_running(store: &Store, tenant: &Tenant) -> Result<i64, ReadError> {
    let sql = "SELECT count(*) FROM replays WHERE tenant = $1 AND state = 'running'";
    let rows = store.query(sql, params![tenant.as_str()]).await?;
    rows.into_iter().next().map_or(Ok(0), |mut row| row.int())
}

/// How many jobs of all tenants run or wait for their turn.
pub async fn replay_count_all_running(store: &Store) -> Result<i64, ReadError> {
    let rows = store.query("SELECT count(*) FROM replays WHERE state = 'running'", vec![]).await?;
    rows.into_iter().next().map_or(Ok(0), |mut row| row.int())
}

/// Removes a tenant's jobs that ended before a time, the oldest first, at most `limit`.
pub fn replay_delete_finished(tenant: &Tenant, before: Timestamp, limit: i64) -> Statement {
    Statement::new(
        "DELETE FROM replays WHERE id IN \
         (SELECT id FROM replays WHERE tenant = $1 AND finished_at < $2 ORDER BY id LIMIT $3)",
        params![tenant.as_str(), before, limit],
    )
}
