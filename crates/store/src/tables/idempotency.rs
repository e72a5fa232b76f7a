//! Answers kept under an idempotency key, so that a repeated POST gets the first answer and does nothing.

use bytes::Bytes;
use trunkline_model::{Tenant, Timestamp};

use crate::{ReadError, Statement, Store, params};

/// What is known about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRow {
    /// Digest of the request that used the key first.
    pub fingerprint: String,
    /// When that was.
    pub created_at: Timestamp,
    /// Its answer; `None` while it runs.
    pub answer: Option<StoredAnswer>,
}

/// An HTTP answer as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// HTTP status.
    pub status: i64,
    /// JSON object of the headers worth repeating.
    pub headers: String,
    /// The body.
    pub body: Bytes,
}

/// Claims a key. Must touch one row, otherwise it was used before.
pub fn idempotency_claim(tenant: &Tenant, key: &str, fingerprint: &str, now: Timestamp) -> Statement {
    Statement::one(
        "INSERT INTO idempotency_keys (tenant, key, fingerprint, created_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT DO NOTHING",
        params![tenant.as_str(), key, fingerprint, now],
    )
}

/// Takes over a key whose request began at `claimed_at` and never finished. Must touch one row, otherwise it finished
/// after all or somebody else was faster.
pub fn idempotency_take_over(tenant: &Tenant, key: &str, claimed_at: Timestamp, now: Timestamp) -> Statement {
    Statement::one(
        "UPDATE idempotency_keys SET created_at = $1 \
         WHERE tenant = $2 AND key = $3 AND created_at = $4 AND status IS NULL",
        params![now, tenant.as_str(), key, claimed_at],
    )
}

/// Keeps the answer under a claimed key.
pub fn idempotency_finish(tenant: &Tenant, key: &str, answer: &StoredAnswer) -> Statement {
    Statement::new(
        "UPDATE idempotency_keys SET status = $1, headers = $2, body = $3 WHERE tenant = $4 AND key = $5",
        params![answer.status, answer.headers.as_str(), answer.body.clone(), tenant.as_str(), key],
    )
}

/// Frees a key whose request failed before it did anything.
pub fn idempotency_release(tenant: &Tenant, key: &str) -> Statement {
    Statement::new(
        "DELETE FROM idempotency_keys WHERE tenant = $1 AND key = $2 AND status IS NULL",
        params![tenant.as_str(), key],
    )
}

/// Forgets keys used before a time.
pub fn idempotency_delete_before(before: Timestamp) -> Statement {
    Statement::new("DELETE FROM idempotency_keys WHERE created_at < $1", params![before])
}

/// What is known about a key.
pub async fn idempotency_get(
    store: &Store,
    tenant: &Tenant,
    key: &str,
) -> Result<Option<IdempotencyRow>, ReadError> {
    let sql = "SELECT fingerprint, created_at, status, headers, body FROM idempotency_keys \
               WHERE tenant = $1 AND key = $2";
    let Some(mut row) = store.query(sql, params![tenant.as_str(), key]).await?.pop() else { return Ok(None) };
    let (fingerprint, created_at, status) = (row.text()?, row.time()?, row.opt_int()?);
    let (headers, body) = (row.opt_text()?, row.opt_blob()?);
    let answer = status.map(|status| StoredAnswer {
        status,
        headers: headers.unwrap_or_default(),
        body: body.unwrap_or_default(),
    });
    Ok(Some(IdempotencyRow { fingerprint, created_at, answer }))
}
