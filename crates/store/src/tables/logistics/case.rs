//! Cases that are ready to be shipped, each part of one delivery.

use trunkline_model::{LogisticsTaskId, Tenant, Timestamp};

use crate::tables::workflow::instance::stored_words;
use crate::{ReadError, Row, Statement, Store, params};

stored_words! {
    /// Where a case stands.
    CaseStatus, "status of a case":
    /// It waits to be delivered.
    Ready "ready",
    /// It was delivered.
    Delivered "delivered",
}

/// One case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseRow {
    /// Whose it is.
    pub tenant: Tenant,
    /// Its id where it is made, unique inside the tenant.
    pub case_id: String,
    /// The delivery.
    pub task_id: LogisticsTaskId,
    /// Where it stands.
    pub status: CaseStatus,
    /// The higher the more urgent.
    pub priority: i64,
    /// JSON: what is carried.
    pub package: String,
    /// When it was first ready.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

const COLUMNS: &str = "tenant, case_id, task_id, status, priority, package, created_at, updated_at";

fn case_row(mut row: Row) -> Result<CaseRow, ReadError> {
    Ok(CaseRow {
        tenant: Tenant::from_stored(&row.text()?),
        case_id: row.text()?,
        task_id: LogisticsTaskId::from_text(row.text()?),
        status: CaseStatus::read(&row.text()?)?,
        priority: row.int()?,
        package: row.text()?,
        created_at: row.time()?,
        updated_at: row.time()?,
    })
}

/// Stores a new case. A constraint refuses one that is known.
pub fn case_insert(row: &CaseRow) -> Statement {
    Statement::one(
        format!("INSERT INTO logistics_cases ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"),
        params![
            row.tenant.as_str(),
            row.case_id.as_str(),
            row.task_id.as_str(),
            row.status.as_str(),
            row.priority,
            row.package.as_str(),
            row.created_at,
            row.updated_at
        ],
    )
}

/// Changes a case that is part of the delivery `was`, otherwise it was changed since it was read.
pub fn case_update(row: &CaseRow, was: &LogisticsTaskId) -> Statement {
    Statement::one(
        "UPDATE logistics_cases SET task_id = $1, status = $2, priority = $3, package = $4, updated_at = $5 \
         WHERE tenant = $6 AND case_id = $7 AND task_id = $8 AND status = 'ready'",
        params![
            row.task_id.as_str(),
            row.status.as_str(),
            row.priority,
            row.package.as_str(),
            row.updated_at,
            row.tenant.as_str(),
            row.case_id.as_str(),
            was.as_str()
        ],
    )
}

/// Marks every case of a delivery as delivered.
pub fn case_deliver_all(task_id: &LogisticsTaskId, now: Timestamp) -> Statement {
    Statement::new(
        "UPDATE logistics_cases SET status = 'delivered', updated_at = $1 WHERE task_id = $2",
        params![now, task_id.as_str()],
    )
}

/// Forgets the cases of a delivery that will not be made, so that they can be ready again.
pub fn case_release_all(task_id: &LogisticsTaskId) -> Statement {
    Statement::new("DELETE FROM logistics_cases WHERE task_id = $1", params![task_id.as_str()])
}

/// Reads one case of a tenant.
pub async fn case_get(store: &Store, tenant: &Tenant, case_id: &str) -> Result<Option<CaseRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM logistics_cases WHERE tenant = $1 AND case_id = $2");
    store.query(sql, params![tenant.as_str(), case_id]).await?.pop().map(case_row).transpose()
}

/// Lists the cases of a delivery by id.
pub async fn case_list(
    store: &Store,
    task_id: &LogisticsTaskId,
    limit: i64,
) -> Result<Vec<CaseRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM logistics_cases WHERE task_id = $1 ORDER BY case_id LIMIT $2");
    store.query(sql, params![task_id.as_str(), limit]).await?.into_iter().map(case_row).collect()
}
