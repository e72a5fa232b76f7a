//! Definitions: texts by content, and what each tenant calls them.

use trunkline_model::{Tenant, Timestamp};

use crate::tables::select::Select;
use crate::{ReadError, Row, Statement, Store, params};

/// Whether a version is used for new instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DefinitionState {
    /// Stored; started only by its full name.
    Draft,
    /// Started by name, by events and by time.
    Active,
    /// Not started any more; instances under way go on.
    Retired,
}

impl DefinitionState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Draft, Self::Active, Self::Retired];

    /// The stored form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }

    /// Reads the stored form.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// One version of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionRow {
    /// Who owns it.
    pub tenant: Tenant,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its version, semantic.
    pub version: String,
    /// Hexadecimal digest of its text.
    pub hash: String,
    /// Whether it is used.
    pub state: DefinitionState,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When its state last changed.
    pub updated_at: Timestamp,
}

const COLUMNS: &str = "tenant, namespace, name, version, hash, state, created_at, updated_at";

fn definition_row(mut row: Row) -> Result<DefinitionRow, ReadError> {
    Ok(DefinitionRow {
        tenant: Tenant::from_stored(&row.text()?),
        namespace: row.text()?,
        name: row.text()?,
        version: row.text()?,
        hash: row.text()?,
        state: DefinitionState::parse(&row.text()?)
            .ok_or(ReadError::Stored { what: "definition state", source: "unknown state".into() })?,
        created_at: row.time()?,
        updated_at: row.time()?,
    })
}

/// Keeps a text under its digest; the same text again changes nothing.
pub fn source_put(hash: &str, source: &str) -> Statement {
    Statement::new(
        "INSERT INTO workflow_sources (hash, source) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        params![hash, source],
    )
}

/// Reads the text with a digest.
pub async fn source_get(store: &Store, hash: &str) -> Result<Option<String>, ReadError> {
    let sql = "SELECT source FROM workflow_sources WHERE hash = $1";
    store.query(sql, params![hash]).await?.pop().map(|mut row| row.text()).transpose()
}

/// Stores a new version. Must touch one row, otherwise the version is there already.
pub fn definition_insert(row: &DefinitionRow) -> Statement {
    Statement::one(
        format!(
            "INSERT INTO workflow_definitions ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT DO NOTHING"
        ),
        params![
            row.tenant.as_str(),
            row.namespace.as_str(),
            row.name.as_str(),
            row.version.as_str(),
            row.hash.as_str(),
            row.state.as_str(),
            row.created_at,
            row.updated_at
        ],
    )
}

/// Changes the state of a version. Must touch one row, otherwise there is no such version.
pub fn definition_set_state(row: &DefinitionRow, state: DefinitionState, now: Timestamp) -> Statement {
    Statement::one(
        "UPDATE workflow_definitions SET state = $1, updated_at = $2 \
         WHERE tenant = $3 AND namespace = $4 AND name = $5 AND version = $6",
        params![
            state.as_str(),
            now,
            row.tenant.as_str(),
            row.namespace.as_str(),
            row.name.as_str(),
            row.version.as_str()
        ],
    )
}

/// Reads every version of a definition, in the order of the versions' text.
pub async fn definition_versions(
    store: &Store,
    tenant: &Tenant,
    namespace: &str,
    name: &str,
) -> Result<Vec<DefinitionRow>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM workflow_definitions WHERE tenant = $1 AND namespace = $2 AND name = $3 \
         ORDER BY version"
    );
    let rows = store.query(sql, params![tenant.as_str(), namespace, name]).await?;
    rows.into_iter().map(definition_row).collect()
}

/// Lists the definitions of a tenant by namespace, name and version, from behind `after`.
pub async fn definition_list(
    store: &Store,
    tenant: &Tenant,
    after: Option<(&str, &str, &str)>,
    limit: i64,
) -> Result<Vec<DefinitionRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM workflow_definitions WHERE tenant = $1");
    let mut select = Select::new(sql, params![tenant.as_str()]);
    if let Some((namespace, name, version)) = after {
        select.add(" AND (namespace, name, version) > (?", namespace);
        select.add(", ?", name);
        select.add(", ?)", version);
    }
    select.add(" ORDER BY namespace, name, version LIMIT ?", limit);
    store.query(select.sql, select.values).await?.into_iter().map(definition_row).collect()
}

/// Lists the active definitions of all tenants, for the tables that engines keep in memory.
pub async fn definition_list_active(store: &Store) -> Result<Vec<DefinitionRow>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM workflow_definitions WHERE state = 'active' \
         ORDER BY tenant, namespace, name, version"
    );
    store.query(sql, vec![]).await?.into_iter().map(definition_row).collect()
}

/// A figure that grows with every change of a definition: their number and the time of the last change.
pub async fn definition_fingerprint(store: &Store) -> Result<(i64, Timestamp), ReadError> {
    let sql = "SELECT count(*), coalesce(max(updated_at), 0) FROM workflow_definitions";
    match store.query(sql, vec![]).await?.pop() {
        Some(mut row) => Ok((row.int()?, row.time()?)),
        None => Ok((0, Timestamp::default())),
    }
}
