//! Who owns which shard. A lease is time-limited; its epoch grows with every change of owner and fences old owners out.

use trunkline_model::{Shard, Timestamp};

use crate::{Fence, ReadError, Statement, Store, params};

/// Whether the fence still holds. PostgreSQL adds `FOR SHARE`, so that the owner cannot change before the commit ends.
pub(crate) const CHECK_FENCE: &str =
    "SELECT 1 FROM shard_leases WHERE shard = $1 AND owner = $2 AND epoch = $3";

/// One shard's lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRow {
    /// The shard.
    pub shard: Shard,
    /// The node that holds it.
    pub owner: String,
    /// Grows by one with every change of owner.
    pub epoch: i64,
    /// When others may take it.
    pub expires_at: Timestamp,
}

impl LeaseRow {
    /// The fence that commits under this lease carry.
    pub fn fence(&self) -> Fence {
        Fence { shard: self.shard, owner: self.owner.clone(), epoch: self.epoch }
    }
}

/// Lists all leases by shard.
pub async fn lease_list(store: &Store) -> Result<Vec<LeaseRow>, ReadError> {
    let sql = "SELECT shard, owner, epoch, expires_at FROM shard_leases ORDER BY shard";
    let rows = store.query(sql, vec![]).await?;
    rows.into_iter()
        .map(|mut row| {
            Ok(LeaseRow { shard: row.int()?, owner: row.text()?, epoch: row.int()?, expires_at: row.time()? })
        })
        .collect()
}

/// Takes a shard nobody has had yet. Touches no row when somebody was faster.
pub fn lease_create(lease: &LeaseRow) -> Statement {
    Statement::one(
        "INSERT INTO shard_leases (shard, owner, epoch, expires_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        params![lease.shard, lease.owner.as_str(), lease.epoch, lease.expires_at],
    )
}

/// Takes over a shard from the holder of `epoch_before`. Must touch one row, otherwise somebody was faster.
pub fn lease_take(lease: &LeaseRow, epoch_before: i64) -> Statement {
    Statement::one(
        "UPDATE shard_leases SET owner = $1, epoch = $2, expires_at = $3 WHERE shard = $4 AND epoch = $5",
        params![lease.owner.as_str(), lease.epoch, lease.expires_at, lease.shard, epoch_before],
    )
}

/// Prolongs every lease of an owner.
pub fn lease_renew_all(owner: &str, expires_at: Timestamp) -> Statement {
    Statement::new("UPDATE shard_leases SET expires_at = $1 WHERE owner = $2", params![expires_at, owner])
}

/// Gives one shard back at once.
pub fn lease_release(fence: &Fence) -> Statement {
    Statement::new(
        "UPDATE shard_leases SET expires_at = 0 WHERE shard = $1 AND owner = $2 AND epoch = $3",
        params![fence.shard, fence.owner.as_str(), fence.epoch],
    )
}

/// Says that a node is alive.
pub fn node_heartbeat(node: &str, now: Timestamp) -> Statement {
    Statement::new(
        "INSERT INTO nodes (id, started_at, seen_at) VALUES ($1, $2, $3) \
         ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at",
        params![node, now, now],
    )
}

/// Forgets a node.
pub fn node_remove(node: &str) -> Statement {
    Statement::new("DELETE FROM nodes WHERE id = $1", params![node])
}

/// Forgets nodes not seen since `before`.
pub fn node_remove_stale(before: Timestamp) -> Statement {
    Statement::new("DELETE FROM nodes WHERE seen_at < $1", params![before])
}

/// Lists the nodes seen since `since`, by id.
pub async fn node_list_live(store: &Store, since: Timestamp) -> Result<Vec<String>, ReadError> {
    let rows = store.query("SELECT id FROM nodes WHERE seen_at >= $1 ORDER BY id", params![since]).await?;
    rows.into_iter().map(|mut row| row.text()).collect()
}
