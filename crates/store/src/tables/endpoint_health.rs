//! How endpoints that failed are doing, and the changes that dispatch makes to endpoints because of it.
//!
//! Written by dispatch every few seconds at most for an endpoint that fails or has just recovered, never for one that
//! does well. Several hubs can write: a change names the `updated_at` that it is based on.

use trunkline_model::{EndpointId, Shard, Tenant, Timestamp};

use super::delivery::UNJUDGED;
use crate::{ReadError, Row, Statement, Store, params};

/// The health of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointHealthRow {
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// Who owns it.
    pub tenant: Tenant,
    /// Since when every attempt has failed; `None` after a success.
    pub failing_since: Option<Timestamp>,
    /// The success that ended the latest run of failures.
    pub last_success_at: Option<Timestamp>,
    /// Failed attempts since `failing_since`.
    pub n_failures: i64,
    /// What went wrong the last time.
    pub last_error: Option<String>,
    /// When the hub itself switched the endpoint off; `None` again after the next attempt.
    pub disabled_at: Option<Timestamp>,
    /// Why it did.
    pub disabled_reason: Option<String>,
    /// The version that the endpoint got by that; another one was made by somebody else.
    pub disabled_version: Option<i64>,
    /// When it is tried again.
    pub probe_at: Option<Timestamp>,
    /// How often it was.
    pub n_probes: i64,
    /// Grows with every change.
    pub updated_at: Timestamp,
}

const COLUMNS: &str = "endpoint_id, tenant, failing_since, last_success_at, n_failures, last_error, disabled_at, \
     disabled_reason, disabled_version, probe_at, n_probes, updated_at";

fn health_row(mut row: Row) -> Result<EndpointHealthRow, ReadError> {
    Ok(EndpointHealthRow {
        endpoint_id: EndpointId::from_text(row.text()?),
        tenant: Tenant::from_stored(&row.text()?),
        failing_since: row.opt_time()?,
        last_success_at: row.opt_time()?,
        n_failures: row.int()?,
        last_error: row.opt_text()?,
        disabled_at: row.opt_time()?,
        disabled_reason: row.opt_text()?,
        disabled_version: row.opt_int()?,
        probe_at: row.opt_time()?,
        n_probes: row.int()?,
        updated_at: row.time()?,
    })
}

/// Stores what has become of the row with `updated_at` `based_on`, `None` for a new one.
///
/// Must touch one row, otherwise somebody else has changed it since.
pub fn endpoint_health_put(health: &EndpointHealthRow, based_on: Option<Timestamp>) -> Statement {
    let sql = format!(
        "INSERT INTO endpoint_health ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         ON CONFLICT (endpoint_id) DO UPDATE SET failing_since = excluded.failing_since, \
         last_success_at = excluded.last_success_at, n_failures = excluded.n_failures, \
         last_error = excluded.last_error, disabled_at = excluded.disabled_at, \
         disabled_reason = excluded.disabled_reason, disabled_version = excluded.disabled_version, \
         probe_at = excluded.probe_at, n_probes = excluded.n_probes, updated_at = excluded.updated_at \
         WHERE endpoint_health.updated_at = $13"
    );
    let values = params![
        health.endpoint_id.as_str(),
        health.tenant.as_str(),
        health.failing_since,
        health.last_success_at,
        health.n_failures,
        health.last_error.clone(),
        health.disabled_at,
        health.disabled_reason.clone(),
        health.disabled_version,
        health.probe_at,
        health.n_probes,
        health.updated_at,
        based_on.map_or(i64::MIN, Timestamp::as_micros)
    ];
    Statement::one(sql, values)
}

/// Reads the health of one endpoint; `None` when it has not failed.
pub async fn endpoint_health_get(
    store: &Store,
    tenant: &Tenant,
    endpoint_id: &str,
) -> Result<Option<EndpointHealthRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM endpoint_health WHERE endpoint_id = $1 AND tenant = $2");
    store.query(sql, params![endpoint_id, tenant.as_str()]).await?.pop().map(health_row).transpose()
}

/// Lists the endpoints of all tenants that fail.
pub async fn endpoint_health_list_failing(store: &Store) -> Result<Vec<EndpointId>, ReadError> {
    let sql = "SELECT endpoint_id FROM endpoint_health WHERE failing_since IS NOT NULL ORDER BY endpoint_id";
    let rows = store.query(sql, vec![]).await?;
    rows.into_iter().map(|mut row| Ok(EndpointId::from_text(row.text()?))).collect()
}

/// Lists endpoints of all tenants that are to be tried again at `now`, the longest overdue first.
pub async fn endpoint_health_list_probes(
    store: &Store,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<EndpointHealthRow>, ReadError> {
    let sql =
        format!("SELECT {COLUMNS} FROM endpoint_health WHERE probe_at <= $1 ORDER BY probe_at LIMIT $2");
    store.query(sql, params![now, limit]).await?.into_iter().map(health_row).collect()
}

/// Removes the health of endpoints that were deleted.
pub fn endpoint_health_prune() -> Statement {
    Statement::new(
        "DELETE FROM endpoint_health WHERE NOT EXISTS \
         (SELECT 1 FROM endpoints WHERE endpoints.id = endpoint_health.endpoint_id)",
        vec![],
    )
}

/// Switches an endpoint off. Must touch one row, otherwise it is gone, off already, or not of `version` any more.
pub fn endpoint_disable(tenant: &Tenant, id: &EndpointId, version: i64, now: Timestamp) -> Statement {
    Statement::one(
        "UPDATE endpoints SET active = $1, version = version + 1, updated_at = $2 \
         WHERE id = $3 AND tenant = $4 AND version = $5 AND active = $6",
        params![false, now, id.as_str(), tenant.as_str(), version, true],
    )
}

/// Switches an endpoint on again that the hub switched off. Must touch one row, otherwise somebody has changed it since.
pub fn endpoint_enable(tenant: &Tenant, id: &EndpointId, version: i64, now: Timestamp) -> Statement {
    Statement::one(
        "UPDATE endpoints SET active = $1, version = version + 1, updated_at = $2 \
         WHERE id = $3 AND tenant = $4 AND version = $5 AND active = $6",
        params![true, now, id.as_str(), tenant.as_str(), version, false],
    )
}

/// Moves pending deliveries of an endpoint that are due before `until` to that time, at most `limit`, the longest
/// overdue first; `reason` says why.
pub fn delivery_defer_endpoint(
    shard: Shard,
    endpoint_id: &EndpointId,
    until: Timestamp,
    reason: &str,
    limit: i64,
) -> Statement {
    Statement::new(
        "UPDATE deliveries SET next_attempt_at = $1, reason = CASE WHEN reason = $2 THEN reason ELSE $3 END \
         WHERE state = 'pending' AND (tenant, id) IN \
         (SELECT tenant, id FROM deliveries WHERE shard = $4 AND endpoint_id = $5 AND state = 'pending' \
         AND next_attempt_at < $6 ORDER BY next_attempt_at LIMIT $7)",
        params![until, UNJUDGED, reason, shard, endpoint_id.as_str(), until, limit],
    )
}
