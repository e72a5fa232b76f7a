//! How much each tenant holds in the journal; kept in step by every append and every retention pass.

use trunkline_model::{Shard, Tenant};

use crate::{ReadError, Statement, Store, params};

/// The row that takes what retention removes: no append touches it, so the two never wait for each other.
const REMOVED: Shard = -1;

/// Adds to a tenant's figures. They are kept by shard, because an append holds the lock on its shard anyway.
pub(crate) const ADD: &str = "INSERT INTO tenant_usage (tenant, shard, n_events, n_bytes) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (tenant, shard) DO UPDATE SET n_events = tenant_usage.n_events + excluded.n_events, \
     n_bytes = tenant_usage.n_bytes + excluded.n_bytes";

/// What a tenant holds in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The tenant.
    pub tenant: Tenant,
    /// Stored events.
    pub n_events: i64,
    /// Bytes of their content and attributes, without the indexes.
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
