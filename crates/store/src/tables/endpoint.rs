//! Endpoints: where events are delivered to. The patterns, secrets and settings are JSON that dispatch reads.

use trunkline_model::{EndpointId, Tenant, Timestamp};

use super::select::Select;
use crate::{ReadError, Row, Statement, Store, params};

/// One stored endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointRow {
    /// Its id.
    pub id: EndpointId,
    /// Who owns it.
    pub tenant: Tenant,
    /// Where deliveries go.
    pub url: String,
    /// For people; may be empty.
    pub description: String,
    /// JSON array of event type patterns.
    pub events: String,
    /// Whether deliveries are made.
    pub active: bool,
    /// JSON array of signing secrets, newest first. Never logged.
    pub secrets: String,
    /// JSON object of the delivery settings.
    pub settings: String,
    /// Grows by one with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl std::fmt::Debug for EndpointRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointRow")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

const COLUMNS: &str =
    "id, tenant, url, description, events, active, secrets, settings, version, created_at, updated_at";

fn endpoint_row(mut row: Row) -> Result<EndpointRow, ReadError> {
    Ok(EndpointRow {
        id: EndpointId::from_text(row.text()?),
        tenant: Tenant::from_stored(&row.text()?),
        url: row.text()?,
        description: row.text()?,
        events: row.text()?,
        active: row.flag()?,
        secrets: row.text()?,
        settings: row.text()?,
        version: row.int()?,
        created_at: row.time()?,
        updated_at: row.time()?,
    })
}

/// Stores a new endpoint.
pub fn endpoint_insert(endpoint: &EndpointRow) -> Statement {
    Statement::one(
        format!("INSERT INTO endpoints ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"),
        params![
            endpoint.id.as_str(),
            endpoint.tenant.as_str(),
            endpoint.url.as_str(),
            endpoint.description.as_str(),
            endpoint.events.as_str(),
            endpoint.active,
            endpoint.secrets.as_str(),
            endpoint.settings.as_str(),
            endpoint.version,
            endpoint.created_at,
            endpoint.updated_at
        ],
    )
}

/// Replaces an endpoint; `endpoint.version` is the new version and must follow the stored one.
///
/// Must touch one row, otherwise it is gone or was changed since it was read.
pub fn endpoint_update(endpoint: &EndpointRow) -> Statement {
    Statement::one(
        "UPDATE endpoints SET url = $1, description = $2, events = $3, active = $4, secrets = $5, settings = $6, \
         version = $7, updated_at = $8 WHERE id = $9 AND tenant = $10 AND version = $11",
        params![
            endpoint.url.as_str(),
            endpoint.description.as_str(),
            endpoint.events.as_str(),
            endpoint.active,
            endpoint.secrets.as_str(),
            endpoint.settings.as_str(),
            endpoint.version,
            endpoint.updated_at,
            endpoint.id.as_str(),
            endpoint.tenant.as_str(),
            endpoint.version - 1
        ],
    )
}

/// Removes an endpoint. Must touch one row, otherwise it was gone already.
pub fn endpoint_delete(tenant: &Tenant, id: &EndpointId) -> Statement {
    Statement::one(
        "DELETE FROM endpoints WHERE id = $1 AND tenant = $2",
        params![id.as_str(), tenant.as_str()],
    )
}

/// Reads one endpoint.
pub async fn endpoint_get(
    store: &Store,
    tenant: &Tenant,
    id: &str,
) -> Result<Option<EndpointRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM endpoints WHERE id = $1 AND tenant = $2");
    store.query(sql, params![id, tenant.as_str()]).await?.pop().map(endpoint_row).transpose()
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct EndpointFilter {
    /// Only active or only inactive ones.
    pub active: Option<bool>,
    /// Only ids below this one: the last of the page before.
    pub before: Option<String>,
    /// At most this many.
    pub limit: i64,
}

/// Lists endpoints of a tenant, newest first.
pub async fn endpoint_list(
    store: &Store,
    tenant: &Tenant,
    filter: &EndpointFilter,
) -> Result<Vec<EndpointRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM endpoints WHERE tenant = $1");
    let mut select = Select::new(sql, params![tenant.as_str()]);
    select.add_some(" AND active = ?", filter.active);
    select.add_some(" AND id < ?", filter.before.as_deref());
    select.add(" ORDER BY id DESC LIMIT ?", filter.limit);
    store.query(select.sql, select.values).await?.into_iter().map(endpoint_row).collect()
}

/// Lists every endpoint of every tenant, for the dispatcher's table.
pub async fn endpoint_list_all(store: &Store) -> Result<Vec<EndpointRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM endpoints ORDER BY id");
    store.query(sql, vec![]).await?.into_iter().map(endpoint_row).collect()
}

/// A figure that changes whenever any endpoint is added, changed or removed; the database counts.
pub async fn endpoint_fingerprint(store: &Store) -> Result<i64, ReadError> {
    let mut rows = store.query("SELECT n FROM endpoint_changes", vec![]).await?;
    rows.pop().map_or(Ok(0), |mut row| row.int())
}

/// How many endpoints a tenant has; counts no further than `enough`.
pub async fn endpoint_count(store: &Store, tenant: &Tenant, enough: i64) -> Result<i64, ReadError> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM endpoints WHERE tenant = $1 LIMIT $2) AS few";
    let mut rows = store.query(sql, params![tenant.as_str(), enough]).await?;
    rows.pop().map_or(Ok(0), |mut row| row.int())
}
