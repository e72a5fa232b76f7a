//! Records: one for each durable step of an instance, and snapshots of the state they fold into.

use std::collections::HashMap;

use bytes::Bytes;
use trunkline_model::{Timestamp, WorkflowId};

use crate::{ReadError, Statement, Store, params};

/// A body longer than this is kept as a blob, so that the table of records stays narrow.
const INLINE_BYTES: usize = 64 << 10;
/// What the body of a record whose text is a blob begins with; JSON begins otherwise.
const BLOB_MARK: &str = "blob:";

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// The instance.
    pub instance_id: WorkflowId,
    /// Its number in the instance, from 1 without gaps.
    pub seq: i64,
    /// The time that the step saw.
    pub at: Timestamp,
    /// What came in, for people who look at the table.
    pub kind: String,
    /// JSON of it.
    pub body: String,
}

/// Appends a record; `digest` makes the name of a body that is too long to stand in the row. Must touch one row each,
/// otherwise somebody else has written this record.
pub fn record_insert(row: &RecordRow, digest: impl FnOnce(&[u8]) -> String) -> Vec<Statement> {
    let mut statements = Vec::with_capacity(1);
    let mut body = row.body.as_str();
    let mark;
    if body.len() > INLINE_BYTES {
        let hash = digest(body.as_bytes());
        statements.extend(blob_put(&row.instance_id, &hash, body, row.at));
        mark = format!("{BLOB_MARK}{hash}");
        body = &mark;
    }
    statements.push(Statement::one(
        "INSERT INTO workflow_records (instance_id, seq, at, kind, body) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT DO NOTHING",
        params![row.instance_id.as_str(), row.seq, row.at, row.kind.as_str(), body],
    ));
    statements
}

/// Keeps a text under its digest, and notes that an instance needs it. A text that is there already is not written
/// again; that it was used is noted once an hour.
fn blob_put(id: &WorkflowId, hash: &str, text: &str, at: Timestamp) -> [Statement; 2] {
    let put = Statement::new(
        "INSERT INTO workflow_blobs AS b (hash, bytes, used_at) VALUES ($1, $2, $3) ON CONFLICT (hash) \
         DO UPDATE SET used_at = excluded.used_at WHERE b.used_at < excluded.used_at - 3600000000",
        params![hash, Bytes::copy_from_slice(text.as_bytes()), at],
    );
    let note = Statement::new(
        "INSERT INTO workflow_blob_refs (instance_id, hash) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        params![id.as_str(), hash],
    );
    [put, note]
}

/// Reads the first record of an instance of a kind.
pub async fn record_first_of_kind(
    store: &Store,
    id: &WorkflowId,
    kind: &str,
) -> Result<Option<RecordRow>, ReadError> {
    let sql = "SELECT seq FROM workflow_records WHERE instance_id = $1 AND kind = $2 ORDER BY seq LIMIT 1";
    match store.query(sql, params![id.as_str(), kind]).await?.pop() {
        Some(mut row) => Ok(record_list(store, id, row.int()? - 1, 1).await?.pop()),
        None => Ok(None),
    }
}

/// Reads the records of an instance behind `after`, in order, at most `limit`.
pub async fn record_list(
    store: &Store,
    id: &WorkflowId,
    after: i64,
    limit: i64,
) -> Result<Vec<RecordRow>, ReadError> {
    let sql = "SELECT seq, at, kind, body FROM workflow_records WHERE instance_id = $1 AND seq > $2 \
         ORDER BY seq LIMIT $3";
    let rows = store.query(sql, params![id.as_str(), after, limit]).await?;
    let mut records = rows
        .into_iter()
        .map(|mut row| {
            Ok(RecordRow {
                instance_id: id.clone(),
                seq: row.int()?,
                at: row.time()?,
                kind: row.text()?,
                body: row.text()?,
            })
        })
        .collect::<Result<Vec<_>, ReadError>>()?;
    let mut read: HashMap<String, String> = HashMap::new();
    for record in &mut records {
        let Some(hash) = record.body.strip_prefix(BLOB_MARK).map(str::to_owned) else { continue };
        if !read.contains_key(&hash) {
            read.insert(hash.clone(), blob_text(store, &hash).await?);
        }
        record.body.clone_from(&read[&hash]);
    }
    Ok(records)
}

async fn blob_text(store: &Store, hash: &str) -> Result<String, ReadError> {
    let missing = |source: &str| ReadError::Stored { what: "workflow record", source: source.into() };
    let rows = store.query("SELECT bytes FROM workflow_blobs WHERE hash = $1", params![hash]).await?;
    let bytes = rows.into_iter().next().ok_or_else(|| missing("its blob is gone"))?.opt_blob()?;
    String::from_utf8(bytes.unwrap_or_default().to_vec()).map_err(|_| missing("its blob is no text"))
}

/// A state with the number of the last record in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRow {
    /// The last record that the state holds.
    pub seq: i64,
    /// JSON of the state.
    pub state: String,
}

/// Replaces the snapshot of an instance. A state that is too long to stand in the row is kept under its digest.
pub fn snapshot_put(
    id: &WorkflowId,
    snapshot: &SnapshotRow,
    at: Timestamp,
    digest: impl FnOnce(&[u8]) -> String,
) -> Vec<Statement> {
    let mut statements = Vec::with_capacity(1);
    let mut state = snapshot.state.as_str();
    let mark;
    if state.len() > INLINE_BYTES {
        let hash = digest(state.as_bytes());
        statements.extend(blob_put(id, &hash, state, at));
        mark = format!("{BLOB_MARK}{hash}");
        state = &mark;
    }
    statements.push(Statement::one(
        "INSERT INTO workflow_snapshots (instance_id, seq, state) VALUES ($1, $2, $3) \
         ON CONFLICT (instance_id) DO UPDATE SET seq = excluded.seq, state = excluded.state",
        params![id.as_str(), snapshot.seq, state],
    ));
    statements
}

/// Reads the snapshot of an instance.
pub async fn snapshot_get(store: &Store, id: &WorkflowId) -> Result<Option<SnapshotRow>, ReadError> {
    let sql = "SELECT seq, state FROM workflow_snapshots WHERE instance_id = $1";
    let Some(mut row) = store.query(sql, params![id.as_str()]).await?.pop() else { return Ok(None) };
    let mut snapshot = SnapshotRow { seq: row.int()?, state: row.text()? };
    if let Some(hash) = snapshot.state.strip_prefix(BLOB_MARK) {
        snapshot.state = blob_text(store, hash).await?;
    }
    Ok(Some(snapshot))
}

/// Removes the snapshot of an instance that has ended: nothing happens to it any more.
pub fn snapshot_delete(id: &WorkflowId) -> Statement {
    Statement::new("DELETE FROM workflow_snapshots WHERE instance_id = $1", params![id.as_str()])
}
