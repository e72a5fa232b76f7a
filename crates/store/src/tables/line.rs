//! Lines: the pending deliveries of one endpoint and key, which are attempted one after the other.
//!
//! The *head* of a line is its delivery with the lowest `seq`, of several for one event the oldest. Whether a delivery is
//! the head is asked of the rows each time and kept nowhere. A delivery behind it may be *parked*: put off with the reason
//! [`IN_LINE`], so that looking for what is due does not come upon it again and again. Parking saves work and means
//! nothing for the order: a head that is parked is due.

use trunkline_model::{DeliveryId, EndpointId, Shard, Tenant, Timestamp};

use super::delivery::{COLUMNS, DeliveryRow, UNJUDGED, delivery_row};
use crate::{ReadError, Statement, Store, params};

/// The reason of a parked delivery.
pub const IN_LINE: &str = "waits for an earlier delivery of its key";

/// The reason of one that is parked and has not been judged by its endpoint's filter.
pub const IN_LINE_UNJUDGED: &str = "waits for an earlier delivery of its key, then for its filter";

/// Whether this is the reason of a parked delivery.
pub fn is_parked(reason: Option<&str>) -> bool {
    matches!(reason, Some(IN_LINE | IN_LINE_UNJUDGED))
}

/// Whether this is the reason of a delivery that its endpoint's filter has not judged yet.
pub fn is_unjudged(reason: Option<&str>) -> bool {
    matches!(reason, Some(UNJUDGED | IN_LINE_UNJUDGED))
}

/// Lists the first deliveries of a line, the head first.
pub async fn line_list(
    store: &Store,
    endpoint_id: &EndpointId,
    order_key: &str,
    limit: i64,
) -> Result<Vec<DeliveryRow>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM deliveries WHERE endpoint_id = $1 AND order_key = $2 AND state = 'pending' \
         ORDER BY seq, id LIMIT $3"
    );
    let values = params![endpoint_id.as_str(), order_key, limit];
    store.query(sql, values).await?.into_iter().map(delivery_row).collect()
}

/// The head of a line; `None` when nothing waits in it.
pub async fn line_head(
    store: &Store,
    endpoint_id: &EndpointId,
    order_key: &str,
) -> Result<Option<DeliveryId>, ReadError> {
    let sql = "SELECT id FROM deliveries WHERE endpoint_id = $1 AND order_key = $2 AND state = 'pending' \
               ORDER BY seq, id LIMIT 1";
    let row = store.query(sql, params![endpoint_id.as_str(), order_key]).await?.pop();
    row.map(|mut row| Ok(DeliveryId::from_text(row.text()?))).transpose()
}

/// Whether any delivery waits in a line of the endpoint.
pub async fn line_exists(store: &Store, endpoint_id: &EndpointId) -> Result<bool, ReadError> {
    let sql = "SELECT 1 FROM deliveries WHERE endpoint_id = $1 AND state = 'pending' AND order_key IS NOT NULL \
               LIMIT 1";
    Ok(!store.query(sql, params![endpoint_id.as_str()]).await?.is_empty())
}

/// Makes the head of a line due if it is parked. Belongs into each commit that ends a delivery of the line, behind what
/// ends it.
pub fn line_wake(tenant: &Tenant, endpoint_id: &EndpointId, order_key: &str, now: Timestamp) -> Statement {
    Statement::new(
        "UPDATE deliveries SET next_attempt_at = $1, reason = CASE WHEN reason = $2 THEN $3 END \
         WHERE tenant = $4 AND id = (SELECT id FROM deliveries WHERE endpoint_id = $5 AND order_key = $6 \
         AND state = 'pending' ORDER BY seq, id LIMIT 1) AND reason IN ($7, $8)",
        params![
            now,
            IN_LINE_UNJUDGED,
            UNJUDGED,
            tenant.as_str(),
            endpoint_id.as_str(),
            order_key,
            IN_LINE,
            IN_LINE_UNJUDGED
        ],
    )
}

/// Parks a delivery until `until`, unless it is the head of its line by now.
pub fn line_park(row: &DeliveryRow, until: Timestamp) -> Statement {
    Statement::new(
        "UPDATE deliveries SET next_attempt_at = $1, \
         reason = CASE WHEN reason IN ($2, $3) THEN $4 ELSE $5 END WHERE id = $6 AND tenant = $7 \
         AND state = 'pending' AND id <> (SELECT id FROM deliveries WHERE endpoint_id = $8 AND order_key = $9 \
         AND state = 'pending' ORDER BY seq, id LIMIT 1)",
        params![
            until,
            UNJUDGED,
            IN_LINE_UNJUDGED,
            IN_LINE_UNJUDGED,
            IN_LINE,
            row.id.as_str(),
            row.tenant.as_str(),
            row.endpoint_id.as_str(),
            row.order_key.as_deref().unwrap_or_default()
        ],
    )
}

/// Puts the endpoint's pending deliveries of a shard into the lines of their events' keys: order is asked for now.
///
/// A delivery whose event is gone gets an empty key.
pub fn line_join(shard: Shard, endpoint_id: &EndpointId) -> Statement {
    Statement::new(
        "UPDATE deliveries SET order_key = coalesce((SELECT coalesce(partition_key, subject, source) FROM events \
         WHERE events.shard = deliveries.shard AND events.seq = deliveries.seq), '') \
         WHERE shard = $1 AND endpoint_id = $2 AND state = 'pending' AND order_key IS NULL",
        params![shard, endpoint_id.as_str()],
    )
}

/// The same for one delivery.
pub fn line_join_one(tenant: &Tenant, id: &DeliveryId) -> Statement {
    Statement::new(
        "UPDATE deliveries SET order_key = coalesce((SELECT coalesce(partition_key, subject, source) FROM events \
         WHERE events.shard = deliveries.shard AND events.seq = deliveries.seq), '') \
         WHERE id = $1 AND tenant = $2 AND order_key IS NULL",
        params![id.as_str(), tenant.as_str()],
    )
}

/// Ends the lines of an endpoint in a shard: order is not asked for any more, and what was parked is due.
pub fn line_leave(shard: Shard, endpoint_id: &EndpointId, now: Timestamp) -> [Statement; 2] {
    [
        Statement::new(
            "UPDATE deliveries SET next_attempt_at = $1, reason = CASE WHEN reason = $2 THEN $3 END \
             WHERE shard = $4 AND endpoint_id = $5 AND state = 'pending' AND order_key IS NOT NULL \
             AND reason IN ($6, $7)",
            params![now, IN_LINE_UNJUDGED, UNJUDGED, shard, endpoint_id.as_str(), IN_LINE, IN_LINE_UNJUDGED],
        ),
        Statement::new(
            "UPDATE deliveries SET order_key = NULL WHERE shard = $1 AND endpoint_id = $2 AND state = 'pending' \
             AND order_key IS NOT NULL",
            params![shard, endpoint_id.as_str()],
        ),
    ]
}
