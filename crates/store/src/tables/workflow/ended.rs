//! Instances that have ended: what retention removes.

use trunkline_model::{Shard, Timestamp, WorkflowId};

use crate::{ReadError, Statement, Store, params};

/// Lists instances of a shard that ended before a time, the first ones first.
pub async fn instance_list_ended(
    store: &Store,
    shard: Shard,
    before: Timestamp,
    limit: i64,
) -> Result<Vec<WorkflowId>, ReadError> {
    let sql = "SELECT id FROM workflow_instances WHERE shard = $1 AND finished_at IS NOT NULL AND finished_at < $2 \
         ORDER BY finished_at LIMIT $3";
    let rows = store.query(sql, params![shard, before, limit]).await?;
    rows.into_iter().map(|mut row| row.text().map(WorkflowId::from_text)).collect()
}

/// Lists the blobs that an instance needs.
pub async fn blob_list_of(store: &Store, id: &WorkflowId) -> Result<Vec<String>, ReadError> {
    let sql = "SELECT hash FROM workflow_blob_refs WHERE instance_id = $1 ORDER BY hash";
    let rows = store.query(sql, params![id.as_str()]).await?;
    rows.into_iter().map(|mut row| row.text()).collect()
}

/// Removes an instance that has ended, with everything of it; `blobs` are those that it needs. A blob goes with the last
/// instance that needs it, unless it was used since `before`: whoever uses it then may not have said so yet.
pub fn instance_delete(id: &WorkflowId, blobs: &[String], before: Timestamp) -> Vec<Statement> {
    let of = |table: &str| {
        let sql = format!("DELETE FROM {table} WHERE instance_id = $1");
        Statement::new(sql, params![id.as_str()])
    };
    let mut statements = vec![
        of("workflow_records"),
        of("workflow_snapshots"),
        of("workflow_inbox"),
        of("workflow_blob_refs"),
    ];
    statements.extend(blobs.iter().map(|hash| {
        Statement::new(
            "DELETE FROM workflow_blobs WHERE hash = $1 AND used_at < $2 \
             AND NOT EXISTS (SELECT 1 FROM workflow_blob_refs r WHERE r.hash = $1)",
            params![hash.as_str(), before],
        )
    }));
    statements.push(Statement::new(
        "DELETE FROM workflow_instances WHERE id = $1 AND finished_at IS NOT NULL",
        params![id.as_str()],
    ));
    statements
}
