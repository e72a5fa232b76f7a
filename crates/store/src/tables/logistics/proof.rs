//! Proofs of delivery, and the content they name by its digest.

use bytes::Bytes;
use trunkline_model::{LogisticsTaskId, Tenant, Timestamp};

use crate::{ReadError, Row, Statement, Store, params};

/// That a task was done.
#[derive(Clone, PartialEq, Eq)]
pub struct ProofRow {
    /// The task.
    pub task_id: LogisticsTaskId,
    /// Whose it is.
    pub tenant: Tenant,
    /// Who took it.
    pub recipient: Option<String>,
    /// Digest of the picture of the signature.
    pub signature_hash: Option<String>,
    /// Digest of the photo.
    pub photo_hash: Option<String>,
    /// Where it was.
    pub geohash: Option<String>,
    /// The same in ten-millionths of a degree.
    pub position_e7: Option<(i64, i64)>,
    /// What the driver wrote.
    pub note: Option<String>,
    /// When it was taken, by the driver's clock.
    pub taken_at: Timestamp,
    /// When it was stored.
    pub created_at: Timestamp,
}

impl std::fmt::Debug for ProofRow {
    // Names of people belong into no log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProofRow").field("task_id", &self.task_id).finish_non_exhaustive()
    }
}

/// Content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRow {
    /// Whose it is.
    pub tenant: Tenant,
    /// SHA-256 in hexadecimal.
    pub hash: String,
    /// What it is.
    pub media_type: String,
    /// The content.
    pub bytes: Bytes,
    /// When it was first stored.
    pub created_at: Timestamp,
}

const COLUMNS: &str = "task_id, tenant, recipient, signature_hash, photo_hash, geohash, lat_e7, lon_e7, note, \
     taken_at, created_at";

fn proof_row(mut row: Row) -> Result<ProofRow, ReadError> {
    Ok(ProofRow {
        task_id: LogisticsTaskId::from_text(row.text()?),
        tenant: Tenant::from_stored(&row.text()?),
        recipient: row.opt_text()?,
        signature_hash: row.opt_text()?,
        photo_hash: row.opt_text()?,
        geohash: row.opt_text()?,
        position_e7: row.opt_int()?.zip(row.opt_int()?),
        note: row.opt_text()?,
        taken_at: row.time()?,
        created_at: row.time()?,
    })
}

/// Stores the proof of a task. A constraint refuses a second one.
pub fn proof_insert(row: &ProofRow) -> Statement {
    Statement::one(
        format!(
            "INSERT INTO logistics_proofs ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
        ),
        params![
            row.task_id.as_str(),
            row.tenant.as_str(),
            row.recipient.as_deref(),
            row.signature_hash.as_deref(),
            row.photo_hash.as_deref(),
            row.geohash.as_deref(),
            row.position_e7.map(|(lat, _)| lat),
            row.position_e7.map(|(_, lon)| lon),
            row.note.as_deref(),
            row.taken_at,
            row.created_at
        ],
    )
}

/// Reads the proof of a task.
pub async fn proof_get(store: &Store, task_id: &LogisticsTaskId) -> Result<Option<ProofRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM logistics_proofs WHERE task_id = $1");
    store.query(sql, params![task_id.as_str()]).await?.pop().map(proof_row).transpose()
}

/// Stores content; content that is there stays.
pub fn blob_put(row: &BlobRow) -> Statement {
    Statement::new(
        "INSERT INTO logistics_blobs (tenant, hash, media_type, bytes, created_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT DO NOTHING",
        params![
            row.tenant.as_str(),
            row.hash.as_str(),
            row.media_type.as_str(),
            row.bytes.clone(),
            row.created_at
        ],
    )
}

/// Reads content of a tenant.
pub async fn blob_get(store: &Store, tenant: &Tenant, hash: &str) -> Result<Option<BlobRow>, ReadError> {
    let sql = "SELECT tenant, hash, media_type, bytes, created_at FROM logistics_blobs WHERE tenant = $1 AND hash = $2";
    let row = store.query(sql, params![tenant.as_str(), hash]).await?.pop();
    row.map(|mut row| {
        Ok(BlobRow {
            tenant: Tenant::from_stored(&row.text()?),
            hash: row.text()?,
            media_type: row.text()?,
            bytes: row.opt_blob()?.unwrap_or_default(),
            created_at: row.time()?,
        })
    })
    .transpose()
}
