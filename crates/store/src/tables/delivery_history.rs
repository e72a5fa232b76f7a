//! Walking the history of deliveries, newest first, a stretch at a time. Only what an index knows is asked for; the rest is
//! for the caller to look at, so that a call costs what it reads and not what there is.

use std::time::Duration;

use trunkline_model::{DeliveryId, Seq, Shard, Tenant, Timestamp};

use super::delivery::{COLUMNS, DeliveryRow, delivery_row};
use super::select::Select;
use crate::{ReadError, Store, params};

/// By how much the time in an id may differ from the delivery's own.
const SLACK: Duration = Duration::from_hours(1);

/// Which deliveries to walk.
#[derive(Debug, Clone, Default)]
pub struct DeliveryStretch {
    /// Only this endpoint.
    pub endpoint_id: Option<String>,
    /// Only the event at this place.
    pub place: Option<(Shard, Seq)>,
    /// Nothing that was planned more than an hour before this time. Where to begin and end, and no more: look at the rows.
    pub since: Option<Timestamp>,
    /// Nothing that was planned more than an hour after it.
    pub until: Option<Timestamp>,
    /// Only ids below this one: the last of the stretch before.
    pub before: Option<String>,
    /// At most this many.
    pub limit: i64,
}

/// The lowest id that can be made at a time.
fn first_id(at: Timestamp) -> String {
    let millis = at.as_micros().max(0) / 1000;
    format!("{}{:0<32}", DeliveryId::PREFIX, format!("{millis:012x}"))
}

/// Reads a stretch of a tenant's deliveries, newest first.
pub async fn delivery_walk(
    store: &Store,
    tenant: &Tenant,
    stretch: &DeliveryStretch,
) -> Result<Vec<DeliveryRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM deliveries WHERE tenant = $1");
    let mut select = Select::new(sql, params![tenant.as_str()]);
    if let Some((shard, seq)) = stretch.place {
        select.add(" AND shard = ?", shard);
        select.add(" AND seq = ?", seq);
    }
    select.add_some(" AND endpoint_id = ?", stretch.endpoint_id.as_deref());
    select.add_some(" AND id >= ?", stretch.since.map(|since| first_id(since.minus(SLACK))));
    let until = stretch.until.map(|until| first_id(until.plus(SLACK)));
    let before = [stretch.before.clone(), until].into_iter().flatten().min();
    select.add_some(" AND id < ?", before);
    select.add(" ORDER BY id DESC LIMIT ?", stretch.limit);
    store.query(select.sql, select.values).await?.into_iter().map(delivery_row).collect()
}

/// Rows of one step of [`undelivered_since`], and steps that it makes at most.
const STEP: i64 = 1_000;
const MAX_STEPS: usize = 100;
/// By how much the clocks of those who plan and of those who attempt may differ.
const SKEW: Duration = Duration::from_mins(1);

/// When the earliest event was stored that an endpoint was owed at a time and has not got from then on: its delivery is
/// pending, or was given up since. `None` where there is none.
///
/// Walks back from that time over what was planned before, and ends at the first step without such a delivery, so that it
/// costs what was waiting at that time and not what there is.
pub async fn undelivered_since(
    store: &Store,
    tenant: &Tenant,
    endpoint_id: &str,
    at: Timestamp,
) -> Result<Option<Timestamp>, ReadError> {
    let sql = format!(
        "SELECT min(page.id), min(CASE WHEN page.state = 'pending' OR page.state <> 'succeeded' \
         AND page.finished_at >= $1 THEN e.recorded_at END) FROM (SELECT id, shard, seq, state, finished_at \
         FROM deliveries WHERE tenant = $2 AND endpoint_id = $3 AND id < $4 ORDER BY id DESC LIMIT {STEP}) AS page \
         LEFT JOIN events AS e ON e.shard = page.shard AND e.seq = page.seq"
    );
    let mut before = first_id(at.plus(SKEW));
    let mut earliest: Option<Timestamp> = None;
    for _ in 0..MAX_STEPS {
        let values = params![at, tenant.as_str(), endpoint_id, before.as_str()];
        let Some(mut row) = store.query(sql.clone(), values).await?.pop() else { break };
        let (Some(first), Some(found)) = (row.opt_text()?, row.opt_time()?) else { break };
        before = first;
        earliest = Some(earliest.map_or(found, |earliest| earliest.min(found)));
    }
    Ok(earliest)
}

/// Where the events with an id stand: one for each source that uses it, at most 100.
pub async fn event_places(store: &Store, tenant: &Tenant, id: &str) -> Result<Vec<(Shard, Seq)>, ReadError> {
    let sql = "SELECT shard, seq FROM events WHERE id = $1 AND tenant = $2 LIMIT 100";
    let rows = store.query(sql, params![id, tenant.as_str()]).await?;
    rows.into_iter().map(|mut row| Ok((row.int()?, row.int()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_begin_with_their_time() {
        let id = first_id(Timestamp::from_secs(1_700_000_000));
        assert_eq!(id.len(), DeliveryId::fresh().as_str().len());
        assert!(id < DeliveryId::fresh().into_string());
        assert!(first_id(Timestamp::from_secs(4_000_000_000)) > DeliveryId::fresh().into_string());
        assert_eq!(first_id(Timestamp::from_micros(i64::MIN)), first_id(Timestamp::default()));
    }
}
