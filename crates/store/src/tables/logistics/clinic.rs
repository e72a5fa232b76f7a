//! The directory of clinics. Their hours are JSON here and mean something to the rules alone.

use trunkline_model::{ClinicId, Tenant, Timestamp};

use crate::tables::select::Select;
use crate::{ReadError, Row, Statement, Store, params};

/// One clinic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClinicRow {
    /// Whose directory it is in.
    pub tenant: Tenant,
    /// Its id, unique inside the tenant.
    pub id: ClinicId,
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Latitude and longitude in ten-millionths of a degree.
    pub position_e7: Option<(i64, i64)>,
    /// A time zone of the IANA database.
    pub zone: String,
    /// JSON: opening hours by day of the week.
    pub hours: String,
    /// JSON: days with hours of their own.
    pub holidays: String,
    /// Whether new tasks may be about it.
    pub is_active: bool,
    /// Grows with each change.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

const COLUMNS: &str = "tenant, id, name, address, lat_e7, lon_e7, zone, hours, holidays, is_active, version, \
     created_at, updated_at";

fn clinic_row(mut row: Row) -> Result<ClinicRow, ReadError> {
    Ok(ClinicRow {
        tenant: Tenant::from_stored(&row.text()?),
        id: ClinicId::from_text(row.text()?),
        name: row.text()?,
        address: row.text()?,
        position_e7: row.opt_int()?.zip(row.opt_int()?),
        zone: row.text()?,
        hours: row.text()?,
        holidays: row.text()?,
        is_active: row.flag()?,
        version: row.int()?,
        created_at: row.time()?,
        updated_at: row.time()?,
    })
}

/// Stores a new clinic. A constraint refuses one whose id is taken.
pub fn clinic_insert(row: &ClinicRow) -> Statement {
    Statement::one(
        format!(
            "INSERT INTO clinics ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
        ),
        params![
            row.tenant.as_str(),
            row.id.as_str(),
            row.name.as_str(),
            row.address.as_str(),
            row.position_e7.map(|(lat, _)| lat),
            row.position_e7.map(|(_, lon)| lon),
            row.zone.as_str(),
            row.hours.as_str(),
            row.holidays.as_str(),
            row.is_active,
            row.version,
            row.created_at,
            row.updated_at
        ],
    )
}

/// Replaces a clinic; `row.version` must follow the stored one, otherwise it was changed since it was read.
pub fn clinic_update(row: &ClinicRow) -> Statement {
    Statement::one(
        "UPDATE clinics SET name = $1, address = $2, lat_e7 = $3, lon_e7 = $4, zone = $5, hours = $6, holidays = $7, \
         is_active = $8, version = $9, updated_at = $10 WHERE tenant = $11 AND id = $12 AND version = $13",
        params![
            row.name.as_str(),
            row.address.as_str(),
            row.position_e7.map(|(lat, _)| lat),
            row.position_e7.map(|(_, lon)| lon),
            row.zone.as_str(),
            row.hours.as_str(),
            row.holidays.as_str(),
            row.is_active,
            row.version,
            row.updated_at,
            row.tenant.as_str(),
            row.id.as_str(),
            row.version - 1
        ],
    )
}

/// Reads one clinic.
pub async fn clinic_get(store: &Store, tenant: &Tenant, id: &str) -> Result<Option<ClinicRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM clinics WHERE tenant = $1 AND id = $2");
    store.query(sql, params![tenant.as_str(), id]).await?.pop().map(clinic_row).transpose()
}

/// Lists clinics of a tenant by id, behind `after`.
pub async fn clinic_list(
    store: &Store,
    tenant: &Tenant,
    is_active: Option<bool>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<ClinicRow>, ReadError> {
    let mut select =
        Select::new(format!("SELECT {COLUMNS} FROM clinics WHERE tenant = $1"), params![tenant.as_str()]);
    select.add_some(" AND is_active = ?", is_active);
    select.add_some(" AND id > ?", after);
    select.add(" ORDER BY id LIMIT ?", limit);
    store.query(select.sql, select.values).await?.into_iter().map(clinic_row).collect()
}
