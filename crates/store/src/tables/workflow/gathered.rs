//! Events that wait for others, to start a workflow together.
//!
//! The reader of the journal only adds rows; the owner of the definition's shard takes them out again in the commit that
//! starts the instance. So two readers never wait for each other, and an event starts one instance.

use std::collections::BTreeSet;

use trunkline_model::{Shard, Tenant, Timestamp};

use crate::{ReadError, Row, Statement, Store, params};

/// What gathers: a definition, and the values that tie its events together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatheringKey {
    /// Whose events.
    pub tenant: Tenant,
    /// Namespace of the definition.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Digest of the values; empty for none.
    pub correlation: String,
}

/// An event that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatheredRow {
    /// For what.
    pub of: GatheringKey,
    /// Digest of the definition that wants it.
    pub hash: String,
    /// When the event was stored.
    pub recorded_at: Timestamp,
    /// Its source and id.
    pub key: String,
    /// The shard of the definition.
    pub shard: Shard,
    /// The CloudEvent as JSON.
    pub event: String,
    /// Whether nobody has looked at it yet.
    pub is_new: bool,
}

/// Adds an event; the same one again changes nothing.
pub fn gathered_insert(row: &GatheredRow) -> Statement {
    Statement::new(
        "INSERT INTO workflow_gathered (tenant, namespace, name, hash, correlation, recorded_at, key, shard, event, \
         is_new) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1) ON CONFLICT DO NOTHING",
        params![
            row.of.tenant.as_str(),
            row.of.namespace.as_str(),
            row.of.name.as_str(),
            row.hash.as_str(),
            row.of.correlation.as_str(),
            row.recorded_at,
            row.key.as_str(),
            row.shard,
            row.event.as_str()
        ],
    )
}

const PLACE: &str = "tenant = $1 AND namespace = $2 AND name = $3 AND correlation = $4 AND recorded_at = $5 \
     AND key = $6";

fn place(row: &GatheredRow) -> Vec<crate::Value> {
    params![
        row.of.tenant.as_str(),
        row.of.namespace.as_str(),
        row.of.name.as_str(),
        row.of.correlation.as_str(),
        row.recorded_at,
        row.key.as_str()
    ]
}

/// Takes an event out. Must touch one row, otherwise it was taken before.
pub fn gathered_delete(row: &GatheredRow) -> Statement {
    Statement::one(format!("DELETE FROM workflow_gathered WHERE {PLACE}"), place(row))
}

/// Notes that an event was looked at.
pub fn gathered_note_seen(row: &GatheredRow) -> Statement {
    Statement::new(format!("UPDATE workflow_gathered SET is_new = 0 WHERE {PLACE}"), place(row))
}

/// Lists the shards with events that nobody has looked at.
pub async fn gathered_list_new_shards(store: &Store) -> Result<Vec<Shard>, ReadError> {
    let sql = "SELECT shard FROM workflow_gathered WHERE is_new = 1 GROUP BY shard";
    store.query(sql, vec![]).await?.into_iter().map(|mut row| row.int()).collect()
}

/// Lists what has events in a shard that nobody has looked at; at most `limit` events are looked for.
pub async fn gathering_list_new(
    store: &Store,
    shard: Shard,
    limit: i64,
) -> Result<BTreeSet<GatheringKey>, ReadError> {
    let sql = "SELECT tenant, namespace, name, correlation FROM workflow_gathered \
         WHERE is_new = 1 AND shard = $1 LIMIT $2";
    let read = |mut row: Row| {
        Ok(GatheringKey {
            tenant: Tenant::from_stored(&row.text()?),
            namespace: row.text()?,
            name: row.text()?,
            correlation: row.text()?,
        })
    };
    store.query(sql, params![shard, limit]).await?.into_iter().map(read).collect()
}

/// Lists the events that wait for one gathering, in the order in which they were stored, at most `limit`.
pub async fn gathered_list(
    store: &Store,
    of: &GatheringKey,
    limit: i64,
) -> Result<Vec<GatheredRow>, ReadError> {
    let sql = "SELECT hash, recorded_at, key, shard, event, is_new FROM workflow_gathered WHERE tenant = $1 \
         AND namespace = $2 AND name = $3 AND correlation = $4 ORDER BY recorded_at, key LIMIT $5";
    let values =
        params![of.tenant.as_str(), of.namespace.as_str(), of.name.as_str(), of.correlation.as_str(), limit];
    let read = |mut row: Row| {
        Ok(GatheredRow {
            of: of.clone(),
            hash: row.text()?,
            recorded_at: row.time()?,
            key: row.text()?,
            shard: row.int()?,
            event: row.text()?,
            is_new: row.int()? != 0,
        })
    };
    store.query(sql, values).await?.into_iter().map(read).collect()
}
