//! Dead letters: events that a consumer could not handle and has put aside, with the error.

use trunkline_model::{Seq, Shard, Tenant, Timestamp};

use crate::{ReadError, Row, Statement, Store, params};

/// One event put aside by one consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterRow {
    /// Its id, `ddl_…`.
    pub id: String,
    /// The consumer.
    pub consumer: String,
    /// Shard of the event.
    pub shard: Shard,
    /// Its place there.
    pub seq: Seq,
    /// Who owns the event.
    pub tenant: Tenant,
    /// Its id.
    pub event_id: String,
    /// What went wrong.
    pub error: String,
    /// How often it was tried.
    pub n_attempts: i64,
    /// When it was put aside.
    pub failed_at: Timestamp,
}

const COLUMNS: &str = "id, consumer, shard, seq, tenant, event_id, error, n_attempts, failed_at";

fn dead_letter_row(mut row: Row) -> Result<DeadLetterRow, ReadError> {
    Ok(DeadLetterRow {
        id: row.text()?,
        consumer: row.text()?,
        shard: row.int()?,
        seq: row.int()?,
        tenant: Tenant::from_stored(&row.text()?),
        event_id: row.text()?,
        error: row.text()?,
        n_attempts: row.int()?,
        failed_at: row.time()?,
    })
}

/// Puts an event aside; a second time for the same consumer only renews the error.
pub fn dead_letter_insert(letter: &DeadLetterRow) -> Statement {
    Statement::one(
        "INSERT INTO dead_letters (id, consumer, shard, seq, tenant, event_id, error, n_attempts, failed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (consumer, shard, seq) \
         DO UPDATE SET error = excluded.error, n_attempts = excluded.n_attempts, failed_at = excluded.failed_at",
        params![
            letter.id.as_str(),
            letter.consumer.as_str(),
            letter.shard,
            letter.seq,
            letter.tenant.as_str(),
            letter.event_id.as_str(),
            letter.error.as_str(),
            letter.n_attempts,
            letter.failed_at
        ],
    )
}

/// Removes a dead letter, after it was handled or given up.
pub fn dead_letter_delete(tenant: &Tenant, id: &str) -> Statement {
    Statement::one("DELETE FROM dead_letters WHERE id = $1 AND tenant = $2", params![id, tenant.as_str()])
}

/// How many of a tenant's `limit` oldest dead letters were last put aside before a time.
pub async fn dead_letter_count_old(
    store: &Store,
    tenant: &Tenant,
    before: Timestamp,
    limit: i64,
) -> Result<i64, ReadError> {
    let sql = "SELECT count(*) FROM (SELECT failed_at FROM dead_letters WHERE tenant = $1 ORDER BY id LIMIT $2) \
               AS page WHERE failed_at < $3";
    let row = store.query(sql, params![tenant.as_str(), limit, before]).await?.pop();
    row.map_or(Ok(0), |mut row| row.int())
}

/// Removes those of a tenant's `limit` oldest dead letters that were last put aside before a time.
pub fn dead_letter_delete_old(tenant: &Tenant, before: Timestamp, limit: i64) -> Statement {
    Statement::new(
        "DELETE FROM dead_letters WHERE id IN \
         (SELECT id FROM dead_letters WHERE tenant = $1 ORDER BY id LIMIT $2) AND failed_at < $3",
        params![tenant.as_str(), limit, before],
    )
}

/// Reads one dead letter.
pub async fn dead_letter_get(
    store: &Store,
    tenant: &Tenant,
    id: &str,
) -> Result<Option<DeadLetterRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM dead_letters WHERE id = $1 AND tenant = $2");
    store.query(sql, params![id, tenant.as_str()]).await?.pop().map(dead_letter_row).transpose()
}

/// Lists dead letters of a tenant, newest first, from below the id `before`.
pub async fn dead_letter_list(
    store: &Store,
    tenant: &Tenant,
    before: Option<&str>,
    limit: i64,
) -> Result<Vec<DeadLetterRow>, ReadError> {
    let sql =
        format!("SELECT {COLUMNS} FROM dead_letters WHERE tenant = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
    let values = params![tenant.as_str(), before.unwrap_or("~"), limit];
    store.query(sql, values).await?.into_iter().map(dead_letter_row).collect()
}
