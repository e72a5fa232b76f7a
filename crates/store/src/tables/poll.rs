//! Consumers that fetch events instead of being called, and the read of a shard that serves them and the stream.

use trunkline_model::{EventType, PollerId, Seq, Shard, Tenant, Timestamp};

use super::select::Select;
use crate::{ReadError, Row, Statement, Store, params};

/// One consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollerRow {
    /// Its id.
    pub id: PollerId,
    /// Who owns it.
    pub tenant: Tenant,
    /// For people.
    pub name: String,
    /// JSON array of event type patterns.
    pub events: String,
    /// Where it stands: a cursor as callers get it.
    pub position: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its position was last moved.
    pub updated_at: Timestamp,
}

const COLUMNS: &str = "id, tenant, name, events, position, created_at, updated_at";

fn poller_row(mut row: Row) -> Result<PollerRow, ReadError> {
    Ok(PollerRow {
        id: PollerId::from_text(row.text()?),
        tenant: Tenant::from_stored(&row.text()?),
        name: row.text()?,
        events: row.text()?,
        position: row.text()?,
        created_at: row.time()?,
        updated_at: row.time()?,
    })
}

/// Stores a new consumer.
pub fn poller_insert(poller: &PollerRow) -> Statement {
    Statement::one(
        format!("INSERT INTO pollers ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7)"),
        params![
            poller.id.as_str(),
            poller.tenant.as_str(),
            poller.name.as_str(),
            poller.events.as_str(),
            poller.position.as_str(),
            poller.created_at,
            poller.updated_at
        ],
    )
}

/// Moves a consumer's position. Must touch one row, otherwise it is gone.
pub fn poller_move(tenant: &Tenant, id: &str, position: &str, now: Timestamp) -> Statement {
    Statement::one(
        "UPDATE pollers SET position = $1, updated_at = $2 WHERE id = $3 AND tenant = $4",
        params![position, now, id, tenant.as_str()],
    )
}

/// Removes a consumer. Must touch one row, otherwise it was gone already.
pub fn poller_delete(tenant: &Tenant, id: &str) -> Statement {
    Statement::one("DELETE FROM pollers WHERE id = $1 AND tenant = $2", params![id, tenant.as_str()])
}

/// Reads one consumer.
pub async fn poller_get(store: &Store, tenant: &Tenant, id: &str) -> Result<Option<PollerRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM pollers WHERE id = $1 AND tenant = $2");
    store.query(sql, params![id, tenant.as_str()]).await?.pop().map(poller_row).transpose()
}

/// Lists consumers of a tenant, newest first, from below the id `before`.
pub async fn poller_list(
    store: &Store,
    tenant: &Tenant,
    before: Option<&str>,
    limit: i64,
) -> Result<Vec<PollerRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM pollers WHERE tenant = $1");
    let mut select = Select::new(sql, params![tenant.as_str()]);
    select.add_some(" AND id < ?", before);
    select.add(" ORDER BY id DESC LIMIT ?", limit);
    store.query(select.sql, select.values).await?.into_iter().map(poller_row).collect()
}

/// How many consumers a tenant has.
pub async fn poller_count(store: &Store, tenant: &Tenant) -> Result<i64, ReadError> {
    let rows =
        store.query("SELECT count(*) FROM pollers WHERE tenant = $1", params![tenant.as_str()]).await?;
    rows.into_iter().next().map_or(Ok(0), |mut row| row.int())
}

/// A stretch of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The shard.
    pub shard: Shard,
    /// Behind this event …
    pub after: Seq,
    /// … up to this one.
    pub until: Seq,
}

/// Names a tenant's events in a stretch, oldest first, at most `limit`, without their content.
pub async fn event_scan(
    store: &Store,
    tenant: &Tenant,
    stretch: Stretch,
    limit: i64,
) -> Result<Vec<(Seq, EventType)>, ReadError> {
    // The range of seqs is short; an index by tenant would be as long as the history, so none must fit.
    let sql = "SELECT seq, type FROM events WHERE seq > $1 AND seq <= $2 AND shard = $3 AND tenant || '' = $4 \
               ORDER BY seq LIMIT $5";
    let values = params![stretch.after, stretch.until, stretch.shard, tenant.as_str(), limit];
    let rows = store.query(sql, values).await?;
    rows.into_iter().map(|mut row| Ok((row.int()?, EventType::from_stored(&row.text()?)))).collect()
}

/// Finds the first event of a shard behind a place, whoever owns it, and when it was stored.
pub async fn event_behind(
    store: &Store,
    shard: Shard,
    after: Seq,
) -> Result<Option<(Seq, Timestamp)>, ReadError> {
    let sql = "SELECT seq, recorded_at FROM events WHERE seq > $1 AND shard = $2 ORDER BY seq LIMIT 1";
    let rows = store.query(sql, params![after, shard]).await?;
    rows.into_iter().next().map(|mut row| Ok((row.int()?, row.time()?))).transpose()
}
