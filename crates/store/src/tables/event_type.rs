//! Event types that tenants added, and each tenant's settings.

use trunkline_model::{EventType, Tenant, Timestamp};

use crate::{ReadError, Row, Statement, Store, params};

/// The most event types of one tenant that are read.
pub const MAX_EVENT_TYPES: i64 = 2_000;

/// One version of an event type that a tenant added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTypeRow {
    /// Who owns it.
    pub tenant: Tenant,
    /// The type.
    pub event_type: EventType,
    /// Its version, from 1.
    pub version: i64,
    /// A name for people.
    pub title: String,
    /// What happened when such an event comes.
    pub description: String,
    /// JSON Schema of the data, as JSON text.
    pub data_schema: String,
    /// Data that fits, as JSON text.
    pub example: Option<String>,
    /// Whether it should no longer be used.
    pub deprecated: bool,
    /// What to use instead.
    pub replaced_by: Option<String>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

const COLUMNS: &str = "tenant, type, version, title, description, data_schema, example, deprecated, replaced_by, \
     created_at, updated_at";

fn event_type_row(mut row: Row) -> Result<EventTypeRow, ReadError> {
    Ok(EventTypeRow {
        tenant: Tenant::from_stored(&row.text()?),
        event_type: EventType::from_stored(&row.text()?),
        version: row.int()?,
        title: row.text()?,
        description: row.text()?,
        data_schema: row.text()?,
        example: row.opt_text()?,
        deprecated: row.flag()?,
        replaced_by: row.opt_text()?,
        created_at: row.time()?,
        updated_at: row.time()?,
    })
}

/// Adds an event type. Fails when the tenant has this version of it.
pub fn event_type_insert(row: &EventTypeRow) -> Statement {
    Statement::one(
        format!("INSERT INTO event_types ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"),
        params![
            row.tenant.as_str(),
            row.event_type.as_str(),
            row.version,
            row.title.as_str(),
            row.description.as_str(),
            row.data_schema.as_str(),
            row.example.clone(),
            row.deprecated,
            row.replaced_by.clone(),
            row.created_at,
            row.updated_at
        ],
    )
}

/// Adds an event type, or makes the one there is the same.
pub fn event_type_put(row: &EventTypeRow) -> Statement {
    let insert = event_type_insert(row);
    Statement::one(
        format!(
            "{} ON CONFLICT (tenant, type, version) DO UPDATE SET title = excluded.title, \
             description = excluded.description, data_schema = excluded.data_schema, example = excluded.example, \
             deprecated = excluded.deprecated, replaced_by = excluded.replaced_by, updated_at = excluded.updated_at",
            insert.sql
        ),
        insert.params,
    )
}

/// Removes one version of an event type. Must touch one row, otherwise it was gone already.
pub fn event_type_delete(tenant: &Tenant, event_type: &EventType, version: i64) -> Statement {
    Statement::one(
        "DELETE FROM event_types WHERE tenant = $1 AND type = $2 AND version = $3",
        params![tenant.as_str(), event_type.as_str(), version],
    )
}

/// Lists the event types a tenant added, by name and version; at most [`MAX_EVENT_TYPES`].
pub async fn event_type_list(store: &Store, tenant: &Tenant) -> Result<Vec<EventTypeRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM event_types WHERE tenant = $1 ORDER BY type, version LIMIT $2");
    let rows = store.query(sql, params![tenant.as_str(), MAX_EVENT_TYPES]).await?;
    rows.into_iter().map(event_type_row).collect()
}

/// Reads a tenant's settings, a JSON object; `None` when it has chosen nothing.
pub async fn tenant_settings_get(store: &Store, tenant: &Tenant) -> Result<Option<String>, ReadError> {
    let sql = "SELECT settings FROM tenant_settings WHERE tenant = $1";
    store.query(sql, params![tenant.as_str()]).await?.pop().map(|mut row| row.text()).transpose()
}

/// Stores a tenant's settings.
pub fn tenant_settings_put(tenant: &Tenant, settings: &str, now: Timestamp) -> Statement {
    Statement::one(
        "INSERT INTO tenant_settings (tenant, settings, updated_at) VALUES ($1, $2, $3) \
         ON CONFLICT (tenant) DO UPDATE SET settings = excluded.settings, updated_at = excluded.updated_at",
        params![tenant.as_str(), settings, now],
    )
}
