//! Records of collections: documents by name that workflows and callers write under an optimistic version.

use trunkline_model::{Tenant, Timestamp};

use crate::tables::select::Select;
use crate::{ReadError, Row, Statement, Store, params};

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Who owns it.
    pub tenant: Tenant,
    /// The collection it is in.
    pub collection: String,
    /// Its id in the collection.
    pub id: String,
    /// JSON.
    pub data: String,
    /// How often it was written, from 1.
    pub version: i64,
    /// When it was written last.
    pub updated_at: Timestamp,
}

const COLUMNS: &str = "tenant, collection, id, data, version, updated_at";

fn stored_record(mut row: Row) -> Result<StoredRecord, ReadError> {
    Ok(StoredRecord {
        tenant: Tenant::from_stored(&row.text()?),
        collection: row.text()?,
        id: row.text()?,
        data: row.text()?,
        version: row.int()?,
        updated_at: row.time()?,
    })
}

/// Writes a record over the version before it; version 1 makes it. Must touch one row, otherwise somebody else wrote
/// it meanwhile.
pub fn stored_record_put(record: &StoredRecord) -> Statement {
    if record.version == 1 {
        return Statement::one(
            format!("INSERT INTO records ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING"),
            params![
                record.tenant.as_str(),
                record.collection.as_str(),
                record.id.as_str(),
                record.data.as_str(),
                record.version,
                record.updated_at
            ],
        );
    }
    Statement::one(
        "UPDATE records SET data = $1, version = $2, updated_at = $3 \
         WHERE tenant = $4 AND collection = $5 AND id = $6 AND version = $7",
        params![
            record.data.as_str(),
            record.version,
            record.updated_at,
            record.tenant.as_str(),
            record.collection.as_str(),
            record.id.as_str(),
            record.version - 1
        ],
    )
}

/// Takes a record away as it was read. Must touch one row, likewise.
pub fn stored_record_delete(record: &StoredRecord) -> Statement {
    Statement::one(
        "DELETE FROM records WHERE tenant = $1 AND collection = $2 AND id = $3 AND version = $4",
        params![record.tenant.as_str(), record.collection.as_str(), record.id.as_str(), record.version],
    )
}

/// Reads a record.
pub async fn stored_record_get(
    store: &Store,
    tenant: &Tenant,
    collection: &str,
    id: &str,
) -> Result<Option<StoredRecord>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM records WHERE tenant = $1 AND collection = $2 AND id = $3");
    store.query(sql, params![tenant.as_str(), collection, id]).await?.pop().map(stored_record).transpose()
}

/// Lists the records of a collection by id, from behind `after`.
pub async fn stored_record_list(
    store: &Store,
    tenant: &Tenant,
    collection: &str,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<StoredRecord>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM records WHERE tenant = $1 AND collection = $2");
    let mut select = Select::new(sql, params![tenant.as_str(), collection]);
    select.add_some(" AND id > ?", after);
    select.add(" ORDER BY id LIMIT ?", limit);
    store.query(select.sql, select.values).await?.into_iter().map(stored_record).collect()
}
