//! Limits: tickets of those who wait for a place or a start, or hold a place, and the lanes that share a limit.
//!
//! Instances add tickets and mark them as gone, in their own commits. Everything else is done by the owner of the lane's
//! shard: it looks at lanes where something is new or gone, or whose time has come.

use trunkline_model::{Shard, Tenant, Timestamp, WorkflowId};

use super::instance::stored_words;
use crate::{ReadError, Row, Statement, Store, params};

stored_words! {
    /// Where a ticket stands.
    TicketState, "ticket state":
    /// Nobody has looked at it yet.
    New "new",
    /// It waits.
    Waiting "waiting",
    /// It holds a place.
    Held "held",
    /// It holds a place, and its instance was told to end.
    Leaving "leaving",
    /// Its instance does not need it any more.
    Gone "gone",
}

stored_words! {
    /// What becomes of one too many.
    LimitPolicy, "policy of a limit":
    /// It waits.
    Queue "queue",
    /// It is left out.
    Skip "skip",
    /// It fails.
    Fail "fail",
    /// The oldest that runs is cancelled.
    CancelRunning "cancel-running",
}

/// One ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketRow {
    /// Whose it is.
    pub instance_id: WorkflowId,
    /// Which of the instance's tickets it is.
    pub ticket_id: i64,
    /// The lane it waits in.
    pub lane: String,
    /// The shard of the lane.
    pub shard: Shard,
    /// Who owns it.
    pub tenant: Tenant,
    /// What is limited, for people.
    pub about: String,
    /// Where it stands.
    pub state: TicketState,
    /// What becomes of one too many.
    pub policy: LimitPolicy,
    /// How many may be at it, or start in the time.
    pub n_most: i64,
    /// The time in which so many may start, in microseconds; nothing where so many may be at it.
    pub per_us: Option<i64>,
    /// Who comes first: the higher, the sooner.
    pub priority: i64,
    /// Since when it waits.
    pub asked_at: Timestamp,
}

const COLUMNS: &str =
    "instance_id, ticket_id, lane, shard, tenant, about, state, policy, n_most, per_us, priority, asked_at";

fn ticket_row(mut row: Row) -> Result<TicketRow, ReadError> {
    Ok(TicketRow {
        instance_id: WorkflowId::from_text(row.text()?),
        ticket_id: row.int()?,
        lane: row.text()?,
        shard: row.int()?,
        tenant: Tenant::from_stored(&row.text()?),
        about: row.text()?,
        state: TicketState::read(&row.text()?)?,
        policy: LimitPolicy::read(&row.text()?)?,
        n_most: row.int()?,
        per_us: row.opt_int()?,
        priority: row.int()?,
        asked_at: row.time()?,
    })
}

/// Adds a ticket.
pub fn ticket_insert(row: &TicketRow) -> Statement {
    Statement::one(
        format!(
            "INSERT INTO workflow_tickets ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
        ),
        params![
            row.instance_id.as_str(),
            row.ticket_id,
            row.lane.as_str(),
            row.shard,
            row.tenant.as_str(),
            row.about.as_str(),
            row.state.as_str(),
            row.policy.as_str(),
            row.n_most,
            row.per_us,
            row.priority,
            row.asked_at
        ],
    )
}

/// Says that an instance does not need a ticket any more. The lane's owner may have taken it away already.
pub fn ticket_give_back(id: &WorkflowId, ticket_id: i64) -> Statement {
    Statement::new(
        "UPDATE workflow_tickets SET state = 'gone' WHERE instance_id = $1 AND ticket_id = $2",
        params![id.as_str(), ticket_id],
    )
}

/// Moves a ticket from where it was seen. Must touch one row, otherwise it was moved before.
pub fn ticket_move(row: &TicketRow, to: TicketState) -> Statement {
    Statement::one(
        "UPDATE workflow_tickets SET state = $1 WHERE instance_id = $2 AND ticket_id = $3 AND state = $4",
        params![to.as_str(), row.instance_id.as_str(), row.ticket_id, row.state.as_str()],
    )
}

/// Takes a ticket away that stands where it was seen. Must touch one row, otherwise it was moved before.
pub fn ticket_delete(row: &TicketRow) -> Statement {
    Statement::one(
        "DELETE FROM workflow_tickets WHERE instance_id = $1 AND ticket_id = $2 AND state = $3",
        params![row.instance_id.as_str(), row.ticket_id, row.state.as_str()],
    )
}

/// Lists lanes in which something is new or gone, in the order of their shards, from behind `after`.
pub async fn lane_list_stirred(
    store: &Store,
    after: (Shard, &str),
    limit: i64,
) -> Result<Vec<(Shard, String)>, ReadError> {
    let sql = "SELECT shard, lane FROM workflow_tickets WHERE state IN ('new', 'gone') AND (shard, lane) > ($1, $2) \
         GROUP BY shard, lane ORDER BY shard, lane LIMIT $3";
    let rows = store.query(sql, params![after.0, after.1, limit]).await?;
    rows.into_iter().map(|mut row| Ok((row.int()?, row.text()?))).collect()
}

/// Which tickets of a lane to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketsOf {
    /// Those nobody has looked at, and those that are gone.
    Stirred,
    /// Those that wait, the highest priority first, and of these the oldest.
    Urgent,
    /// Those that wait, the oldest first.
    Oldest,
    /// Those that hold a place, the oldest first.
    Held,
}

/// Lists tickets of a lane.
pub async fn ticket_list(
    store: &Store,
    (shard, lane): (Shard, &str),
    which: TicketsOf,
    limit: i64,
) -> Result<Vec<TicketRow>, ReadError> {
    let (states, order) = match which {
        TicketsOf::Stirred => ("'new', 'gone'", "lane"),
        TicketsOf::Urgent => ("'new', 'waiting'", "priority DESC, asked_at, instance_id, ticket_id"),
        TicketsOf::Oldest => ("'new', 'waiting'", "asked_at, instance_id, ticket_id"),
        TicketsOf::Held => ("'held', 'leaving'", "asked_at, instance_id, ticket_id"),
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM workflow_tickets WHERE shard = $1 AND lane = $2 AND state IN ({states}) \
         ORDER BY {order} LIMIT $3"
    );
    store.query(sql, params![shard, lane, limit]).await?.into_iter().map(ticket_row).collect()
}

/// How many places of a lane are held, and by how many that were told to end.
pub async fn ticket_count_held(store: &Store, lane: &str) -> Result<(i64, i64), ReadError> {
    let sql = "SELECT count(*), CAST(coalesce(sum(CASE WHEN state = 'leaving' THEN 1 ELSE 0 END), 0) AS BIGINT) \
         FROM workflow_tickets WHERE lane = $1 AND state IN ('held', 'leaving')";
    let Some(mut row) = store.query(sql, params![lane]).await?.pop() else { return Ok((0, 0)) };
    Ok((row.int()?, row.int()?))
}

/// What a lane has to remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneRow {
    /// Its digest.
    pub lane: String,
    /// Its shard.
    pub shard: Shard,
    /// How often somebody was let in.
    pub n_admitted: i64,
    /// JSON: who started lately.
    pub recent: String,
    /// When its owner has to look at it.
    pub wake_at: Option<Timestamp>,
}

const LANE_COLUMNS: &str = "lane, shard, n_admitted, recent, wake_at";

fn lane_row(mut row: Row) -> Result<LaneRow, ReadError> {
    Ok(LaneRow {
        lane: row.text()?,
        shard: row.int()?,
        n_admitted: row.int()?,
        recent: row.text()?,
        wake_at: row.opt_time()?,
    })
}

/// Reads a lane.
pub async fn lane_get(store: &Store, lane: &str) -> Result<Option<LaneRow>, ReadError> {
    let sql = format!("SELECT {LANE_COLUMNS} FROM workflow_lanes WHERE lane = $1");
    store.query(sql, params![lane]).await?.pop().map(lane_row).transpose()
}

/// Lists lanes that have to be looked at until a time, the first ones first, from behind `after`.
pub async fn lane_list_due(
    store: &Store,
    until: Timestamp,
    after: Option<&LaneRow>,
    limit: i64,
) -> Result<Vec<LaneRow>, ReadError> {
    let sql = format!(
        "SELECT {LANE_COLUMNS} FROM workflow_lanes WHERE wake_at <= $1 AND (wake_at, lane) > ($2, $3) \
         ORDER BY wake_at, lane LIMIT $4"
    );
    let (at, lane) =
        after.map_or((Timestamp::default(), ""), |it| (it.wake_at.unwrap_or_default(), &it.lane));
    store.query(sql, params![until, at, lane, limit]).await?.into_iter().map(lane_row).collect()
}

/// Writes a lane. Only the owner of its shard does.
pub fn lane_put(row: &LaneRow) -> Statement {
    Statement::one(
        format!(
            "INSERT INTO workflow_lanes ({LANE_COLUMNS}) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (lane) DO UPDATE SET \
             n_admitted = excluded.n_admitted, recent = excluded.recent, wake_at = excluded.wake_at"
        ),
        params![row.lane.as_str(), row.shard, row.n_admitted, row.recent.as_str(), row.wake_at],
    )
}

/// Forgets a lane.
pub fn lane_delete(lane: &str) -> Statement {
    Statement::new("DELETE FROM workflow_lanes WHERE lane = $1", params![lane])
}
