//! Timers of instances, in the order in which they fire.

use trunkline_model::{Shard, Timestamp, WorkflowId};

use crate::{ReadError, Statement, Store, params};

/// One timer. Only the owner of the shard writes it, with the record that asks for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerRow {
    /// When it fires.
    pub fire_at: Timestamp,
    /// The instance.
    pub instance_id: WorkflowId,
    /// Which of the instance's timers it is.
    pub timer_id: i64,
    /// The shard of the instance.
    pub shard: Shard,
    /// What it is for.
    pub kind: &'static str,
}

/// What a timer is for.
pub const KINDS: [&str; 5] = ["wait", "retry", "timeout", "escalate", "sla"];

/// Sets a timer.
pub fn timer_insert(row: &TimerRow) -> Statement {
    Statement::one(
        "INSERT INTO workflow_timers (shard, fire_at, instance_id, timer_id, kind) VALUES ($1, $2, $3, $4, $5)",
        params![row.shard, row.fire_at, row.instance_id.as_str(), row.timer_id, row.kind],
    )
}

/// Takes a timer away.
pub fn timer_delete(row: &TimerRow) -> Statement {
    Statement::one(
        "DELETE FROM workflow_timers WHERE shard = $1 AND fire_at = $2 AND instance_id = $3 AND timer_id = $4",
        params![row.shard, row.fire_at, row.instance_id.as_str(), row.timer_id],
    )
}

/// Lists the timers of a shard that fire at or before `until`, the first ones first, from behind `after`.
pub async fn timer_list_until(
    store: &Store,
    shard: Shard,
    after: Option<&TimerRow>,
    until: Timestamp,
    limit: i64,
) -> Result<Vec<TimerRow>, ReadError> {
    let sql = "SELECT fire_at, instance_id, timer_id, kind FROM workflow_timers \
         WHERE shard = $1 AND (fire_at, instance_id, timer_id) > ($2, $3, $4) AND fire_at <= $5 \
         ORDER BY fire_at, instance_id, timer_id LIMIT $6";
    let place = after.map(|it| (it.fire_at, it.instance_id.as_str(), it.timer_id));
    let (fire_at, instance_id, timer_id) = place.unwrap_or((Timestamp::default(), "", -1));
    let rows = store.query(sql, params![shard, fire_at, instance_id, timer_id, until, limit]).await?;
    rows.into_iter()
        .map(|mut row| {
            let (fire_at, instance_id, timer_id) = (row.time()?, row.text()?, row.int()?);
            let kind = row.text()?;
            Ok(TimerRow {
                fire_at,
                instance_id: WorkflowId::from_text(instance_id),
                timer_id,
                shard,
                kind: KINDS
                    .into_iter()
                    .find(|known| *known == kind)
                    .ok_or(ReadError::Stored { what: "timer kind", source: "unknown kind".into() })?,
            })
        })
        .collect()
}
