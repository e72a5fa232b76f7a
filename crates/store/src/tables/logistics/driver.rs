//! Drivers.

use trunkline_model::{DriverId, Tenant, Timestamp};

use crate::tables::select::Select;
use crate::{ReadError, Row, Statement, Store, params};

/// One driver.
#[derive(Clone, PartialEq, Eq)]
pub struct DriverRow {
    /// For whom they drive.
    pub tenant: Tenant,
    /// Their id, unique inside the tenant.
    pub id: DriverId,
    /// Their name.
    pub name: String,
    /// How to reach them.
    pub phone: Option<String>,
    /// Their user id, as in tokens.
    pub person: Option<String>,
    /// Whether tasks may be assigned to them.
    pub is_active: bool,
    /// Grows with each change.
    pub version: i64,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl std::fmt::Debug for DriverRow {
    // A name and a telephone number belong into no log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DriverRow")
            .field("id", &self.id)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

const COLUMNS: &str = "tenant, id, name, phone, person, is_active, version, created_at, updated_at";

fn driver_row(mut row: Row) -> Result<DriverRow, ReadError> {
    Ok(DriverRow {
        tenant: Tenant::from_stored(&row.text()?),
        id: DriverId::from_text(row.text()?),
        name: row.text()?,
        phone: row.opt_text()?,
        person: row.opt_text()?,
        is_active: row.flag()?,
        version: row.int()?,
        created_at: row.time()?,
        updated_at: row.time()?,
    })
}

/// Stores a new driver. A constraint refuses one whose id is taken.
pub fn driver_insert(row: &DriverRow) -> Statement {
    Statement::one(
        format!("INSERT INTO drivers ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"),
        params![
            row.tenant.as_str(),
            row.id.as_str(),
            row.name.as_str(),
            row.phone.as_deref(),
            row.person.as_deref(),
            row.is_active,
            row.version,
            row.created_at,
            row.updated_at
        ],
    )
}

/// Replaces a driver; `row.version` must follow the stored one, otherwise it was changed since it was read.
pub fn driver_update(row: &DriverRow) -> Statement {
    Statement::one(
        "UPDATE drivers SET name = $1, phone = $2, person = $3, is_active = $4, version = $5, updated_at = $6 \
         WHERE tenant = $7 AND id = $8 AND version = $9",
        params![
            row.name.as_str(),
            row.phone.as_deref(),
            row.person.as_deref(),
            row.is_active,
            row.version,
            row.updated_at,
            row.tenant.as_str(),
            row.id.as_str(),
            row.version - 1
        ],
    )
}

/// Reads one driver.
pub async fn driver_get(store: &Store, tenant: &Tenant, id: &str) -> Result<Option<DriverRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM drivers WHERE tenant = $1 AND id = $2");
    store.query(sql, params![tenant.as_str(), id]).await?.pop().map(driver_row).transpose()
}

/// Lists drivers of a tenant by id, behind `after`.
pub async fn driver_list(
    store: &Store,
    tenant: &Tenant,
    is_active: Option<bool>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<DriverRow>, ReadError> {
    let mut select =
        Select::new(format!("SELECT {COLUMNS} FROM drivers WHERE tenant = $1"), params![tenant.as_str()]);
    select.add_some(" AND is_active = ?", is_active);
    select.add_some(" AND id > ?", after);
    select.add(" ORDER BY id LIMIT ?", limit);
    store.query(select.sql, select.values).await?.into_iter().map(driver_row).collect()
}
