//! What reaches instances from outside: written durably by whoever has it, taken by the owner of the instance's shard in
//! the commit with the record it becomes.

use trunkline_model::{Shard, Timestamp, WorkflowId};

use crate::{ReadError, Statement, Store, params};

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRow {
    /// Whom it is for.
    pub instance_id: WorkflowId,
    /// What keeps it from coming twice.
    pub key: String,
    /// The shard of the instance.
    pub shard: Shard,
    /// What it is, for people who look at the table.
    pub kind: String,
    /// JSON of it.
    pub body: String,
    /// When it was written.
    pub created_at: Timestamp,
}

/// Leaves a message; one with the same key that still waits stays as it is.
pub fn message_insert(row: &MessageRow) -> Statement {
    Statement::new(
        "INSERT INTO workflow_inbox (instance_id, key, shard, kind, body, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        params![
            row.instance_id.as_str(),
            row.key.as_str(),
            row.shard,
            row.kind.as_str(),
            row.body.as_str(),
            row.created_at
        ],
    )
}

/// Takes a message out. Must touch one row, otherwise it was taken before.
pub fn message_delete(id: &WorkflowId, key: &str) -> Statement {
    Statement::one(
        "DELETE FROM workflow_inbox WHERE instance_id = $1 AND key = $2",
        params![id.as_str(), key],
    )
}

/// Lists the messages for instances of a shard, oldest first.
pub async fn message_list(store: &Store, shard: Shard, limit: i64) -> Result<Vec<MessageRow>, ReadError> {
    let sql = "SELECT instance_id, key, kind, body, created_at FROM workflow_inbox WHERE shard = $1 \
         ORDER BY created_at, instance_id, key LIMIT $2";
    let rows = store.query(sql, params![shard, limit]).await?;
    rows.into_iter()
        .map(|mut row| {
            Ok(MessageRow {
                instance_id: WorkflowId::from_text(row.text()?),
                key: row.text()?,
                shard,
                kind: row.text()?,
                body: row.text()?,
                created_at: row.time()?,
            })
        })
        .collect()
}

/// Lists the shards with messages: where to look after a hub wrote that does not own the shard.
pub async fn message_list_shards(store: &Store) -> Result<Vec<Shard>, ReadError> {
    let rows = store.query("SELECT shard FROM workflow_inbox GROUP BY shard", vec![]).await?;
    rows.into_iter().map(|mut row| row.int()).collect()
}
