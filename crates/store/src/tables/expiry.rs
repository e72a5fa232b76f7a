//! What retention does with deliveries when their events go: owed ones are given up where everybody sees it, ended ones
//! go with the event.
//!
//! A delivery that was given up keeps its row, with how often it was tried and why the last attempt failed, until it is
//! itself as old as events get. What an attempt was answered goes with the event, so that such rows stay small.

use trunkline_model::{DeliveryId, Seq, Shard, Tenant, Timestamp};

use super::delivery::{
    ATTEMPT_BYTES, COLUMNS, DELIVERY_BYTES, DeliveryRow, DeliveryState, delivery_cancel, delivery_row,
};
use super::delivery_stats::{StatsChange, StatsDelta};
use super::line::line_wake;
use super::usage::{ADD_SELECTED, REMOVED};
use crate::{ReadError, Statement, Store, params};

/// The reason of a delivery whose event was removed before it succeeded.
pub const EVENT_EXPIRED: &str = "event expired";

/// Lists deliveries of an event that are still owed.
pub async fn delivery_list_owed_of(
    store: &Store,
    shard: Shard,
    seq: Seq,
    limit: i64,
) -> Result<Vec<DeliveryRow>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM deliveries WHERE shard = $1 AND seq = $2 AND state = 'pending' LIMIT $3"
    );
    store.query(sql, params![shard, seq, limit]).await?.into_iter().map(delivery_row).collect()
}

/// Gives up a pending delivery because its event expired, counts it, and lets its line go on.
///
/// Changes nothing when the delivery has ended meanwhile.
pub fn delivery_expire(row: &DeliveryRow, now: Timestamp) -> Vec<Statement> {
    let mut ended = row.clone();
    (ended.state, ended.finished_at) = (DeliveryState::Cancelled, Some(now));
    let mut delta = StatsDelta::default();
    delta.entry(&row.tenant, &row.endpoint_id, &row.event_type, now).ended[2] += 1;
    let id = DeliveryId::fresh().into_string();
    let mut statements = vec![
        delivery_cancel(&row.tenant, &row.id, EVENT_EXPIRED, now),
        delta.to_statement_if(&id, &ended, StatsChange::Cancel),
    ];
    if let Some(key) = &row.order_key {
        statements.push(line_wake(&row.tenant, &row.endpoint_id, key, now));
    }
    statements
}

/// Removes what an event that goes leaves no use for: its ended deliveries, all earlier attempts, and the answers kept
/// with the deliveries that were given up.
pub fn delivery_delete_event(shard: Shard, seq: Seq) -> [Statement; 4] {
    let stays = format!("(state = 'pending' OR coalesce(reason, '') = '{EVENT_EXPIRED}')");
    let place = || params![shard, seq];
    [
        Statement::new(
            format!(
                "INSERT INTO tenant_usage (tenant, shard, n_events, n_bytes) SELECT min(tenant), {REMOVED}, 0, \
                 -CAST(sum(CASE WHEN {stays} THEN coalesce(octet_length(response_head), 0) ELSE {DELIVERY_BYTES} END \
                 + (SELECT coalesce(sum({ATTEMPT_BYTES}), 0) FROM attempts WHERE delivery_id = deliveries.id)) AS BIGINT) \
                 FROM deliveries WHERE shard = $1 AND seq = $2 HAVING count(*) > 0 {ADD_SELECTED}"
            ),
            place(),
        ),
        Statement::new(
            "DELETE FROM attempts WHERE delivery_id IN \
             (SELECT id FROM deliveries WHERE shard = $1 AND seq = $2)",
            place(),
        ),
        Statement::new(
            format!("DELETE FROM deliveries WHERE shard = $1 AND seq = $2 AND NOT {stays}"),
            place(),
        ),
        Statement::new(
            "UPDATE deliveries SET response_head = NULL \
             WHERE shard = $1 AND seq = $2 AND response_head IS NOT NULL",
            place(),
        ),
    ]
}

const EXPIRED: &str = "FROM deliveries WHERE tenant = $1 AND state = 'cancelled' AND reason = 'event expired' \
     AND finished_at < $2 ORDER BY finished_at LIMIT $3";

/// How many deliveries of a tenant were given up before a time because their events expired; counts no further than
/// `limit`.
pub async fn expired_count(
    store: &Store,
    tenant: &Tenant,
    before: Timestamp,
    limit: i64,
) -> Result<i64, ReadError> {
    let sql = format!("SELECT count(*) FROM (SELECT 1 {EXPIRED}) AS few");
    let row = store.query(sql, params![tenant.as_str(), before, limit]).await?.pop();
    row.map_or(Ok(0), |mut row| row.int())
}

/// Removes the oldest of them, at most `limit`.
pub fn expired_delete(tenant: &Tenant, before: Timestamp, limit: i64) -> [Statement; 2] {
    let values = || params![tenant.as_str(), before, limit];
    [
        Statement::new(
            format!(
                "INSERT INTO tenant_usage (tenant, shard, n_events, n_bytes) SELECT min(tenant), {REMOVED}, 0, \
                 -CAST(sum(n) AS BIGINT) FROM (SELECT tenant, {DELIVERY_BYTES} AS n {EXPIRED}) AS page \
                 HAVING count(*) > 0 {ADD_SELECTED}"
            ),
            values(),
        ),
        Statement::new(
            format!("DELETE FROM deliveries WHERE (tenant, id) IN (SELECT tenant, id {EXPIRED})"),
            values(),
        ),
    ]
}
