//! How much each tenant holds: events, deliveries and attempts; kept in step by everything that stores or removes them.
//!
//! A figure is the sum of several rows, so that those who write at the same time do not wait for each other. Rows of
//! shards are what events add; see `attempts_shard` for deliveries; one row takes what retention removes.

use trunkline_model::{Shard, Tenant};

use crate::{ReadError, Statement, Store, params};

/// The row that takes what retention removes: no append touches it, so the two never wait for each other.
pub(super) const REMOVED: Shard = -1;

/// Adds to a tenant's figures what an `INSERT INTO tenant_usage (tenant, shard, n_events, n_bytes) SELECT …` gives.
pub(super) const ADD_SELECTED: &str = "ON CONFLICT (tenant, shard) DO UPDATE SET \
     n_events = tenant_usage.n_events + excluded.n_events, n_bytes = tenant_usage.n_bytes + excluded.n_bytes";

/// The row of what deliveries and their attempts add in a shard: its owner is not the one who appends there.
pub(crate) const fn attempts_shard(shard: Shard) -> Shard {
    -2 - shard
}

/// Adds to a tenant's figures. They are kept by shard, because an append holds the lock on its shard anyway.
pub(crate) const ADD: &str = "INSERT INTO tenant_usage (tenant, shard, n_events, n_bytes) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (tenant, shard) DO UPDATE SET n_events = tenant_usage.n_events + excluded.n_events, \
     n_bytes = tenant_usage.n_bytes + excluded.n_bytes";

/// What a tenant holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The tenant.
    pub tenant: Tenant,
    /// Stored events.
    pub n_events: i64,
    /// Bytes of their content and attributes, and of deliveries with what their attempts were answered; without the
    /// indexes.
    pub n_bytes: i64,
}

/// Lists what every tenant holds.
pub async fn usage_list(store: &Store) -> Result<Vec<Usage>, ReadError> {
    const SQL: &str =
        "SELECT tenant, sum(n_events), sum(n_bytes) FROM tenant_usage GROUP BY tenant ORDER BY tenant";
    let rows = store.query(SQL, vec![]).await?;
    rows.into_iter()
        .map(|mut row| {
            Ok(Usage { tenant: Tenant::from_stored(&row.text()?), n_events: row.int()?, n_bytes: row.int()? })
        })
        .collect()
}

/// Takes removed events off a tenant's figures.
pub fn usage_subtract(tenant: &Tenant, n_events: i64, n_bytes: i64) -> Statement {
    Statement::new(ADD, params![tenant.as_str(), REMOVED, -n_events, -n_bytes])
}

/// Tables of which a tenant may have rows without holding an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantTable {
    /// Refused and quarantined calls.
    InboundRequests,
    /// Replay jobs.
    Replays,
}

/// The tenant with rows in a table whose name comes next behind another's.
pub async fn tenant_next(
    store: &Store,
    table: TenantTable,
    after: Option<&Tenant>,
) -> Result<Option<Tenant>, ReadError> {
    let sql = match table {
        TenantTable::InboundRequests => {
            "SELECT tenant FROM inbound_requests WHERE tenant > $1 ORDER BY tenant LIMIT 1"
        }
        TenantTable::Replays => "SELECT tenant FROM replays WHERE tenant > $1 ORDER BY tenant LIMIT 1",
    };
    let row = store.query(sql, params![after.map_or("", Tenant::as_str)]).await?.pop();
    row.map(|mut row| Ok(Tenant::from_stored(&row.text()?))).transpose()
}
