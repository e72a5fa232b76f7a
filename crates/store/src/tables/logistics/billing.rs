//! What a delivery does to invoices, item by item, and how its billing stands.

use trunkline_model::{InvoiceId, LogisticsTaskId, Tenant, Timestamp};

use crate::tables::workflow::instance::stored_words;
use crate::{ReadError, Row, Statement, Store, params};

stored_words! {
    /// Where the update of an invoice stands.
    UpdateStatus, "status of an invoice update":
    /// It will be tried.
    Pending "pending",
    /// The ledger took it.
    Done "done",
    /// It was given up.
    Failed "failed",
}

/// One invoice that a delivery changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceUpdateRow {
    /// The delivery.
    pub task_id: LogisticsTaskId,
    /// The invoice.
    pub invoice_id: InvoiceId,
    /// Whose it is.
    pub tenant: Tenant,
    /// Where it stands.
    pub status: UpdateStatus,
    /// How often it was tried.
    pub n_attempts: i64,
    /// When it is tried next.
    pub next_at: Option<Timestamp>,
    /// What went wrong last.
    pub error: Option<String>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// How the billing of a delivery stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillingRow {
    /// The delivery.
    pub task_id: LogisticsTaskId,
    /// Whose it is.
    pub tenant: Tenant,
    /// How many updates are pending.
    pub n_pending: i64,
    /// How many were given up.
    pub n_failed: i64,
    /// When the billing workflow was first triggered.
    pub triggered_at: Option<Timestamp>,
    /// Grows with each change.
    pub version: i64,
    /// When it began.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

const UPDATE_COLUMNS: &str = "task_id, invoice_id, tenant, status, n_attempts, next_at, error, updated_at";
const COLUMNS: &str = "task_id, tenant, n_pending, n_failed, triggered_at, version, created_at, updated_at";

fn update_row(mut row: Row) -> Result<InvoiceUpdateRow, ReadError> {
    Ok(InvoiceUpdateRow {
        task_id: LogisticsTaskId::from_text(row.text()?),
        invoice_id: InvoiceId::from_text(row.text()?),
        tenant: Tenant::from_stored(&row.text()?),
        status: UpdateStatus::read(&row.text()?)?,
        n_attempts: row.int()?,
        next_at: row.opt_time()?,
        error: row.opt_text()?,
        updated_at: row.time()?,
    })
}

fn billing_row(mut row: Row) -> Result<BillingRow, ReadError> {
    Ok(BillingRow {
        task_id: LogisticsTaskId::from_text(row.text()?),
        tenant: Tenant::from_stored(&row.text()?),
        n_pending: row.int()?,
        n_failed: row.int()?,
        triggered_at: row.opt_time()?,
        version: row.int()?,
        created_at: row.time()?,
        updated_at: row.time()?,
    })
}

/// Stores a new update.
pub fn invoice_update_insert(row: &InvoiceUpdateRow) -> Statement {
    Statement::one(
        format!("INSERT INTO invoice_updates ({UPDATE_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"),
        params![
            row.task_id.as_str(),
            row.invoice_id.as_str(),
            row.tenant.as_str(),
            row.status.as_str(),
            row.n_attempts,
            row.next_at,
            row.error.as_deref(),
            row.updated_at
        ],
    )
}

/// Moves an update on that stood as `was`, otherwise somebody else did meanwhile.
pub fn invoice_update_move(row: &InvoiceUpdateRow, was: &InvoiceUpdateRow) -> Statement {
    Statement::one(
        "UPDATE invoice_updates SET status = $1, n_attempts = $2, next_at = $3, error = $4, updated_at = $5 \
         WHERE task_id = $6 AND invoice_id = $7 AND status = $8 AND n_attempts = $9",
        params![
            row.status.as_str(),
            row.n_attempts,
            row.next_at,
            row.error.as_deref(),
            row.updated_at,
            row.task_id.as_str(),
            row.invoice_id.as_str(),
            was.status.as_str(),
            was.n_attempts
        ],
    )
}

/// Reads one update.
pub async fn invoice_update_get(
    store: &Store,
    task_id: &LogisticsTaskId,
    invoice_id: &InvoiceId,
) -> Result<Option<InvoiceUpdateRow>, ReadError> {
    let sql = format!("SELECT {UPDATE_COLUMNS} FROM invoice_updates WHERE task_id = $1 AND invoice_id = $2");
    let row = store.query(sql, params![task_id.as_str(), invoice_id.as_str()]).await?.pop();
    row.map(update_row).transpose()
}

/// Lists the updates of a delivery by invoice.
pub async fn invoice_update_list(
    store: &Store,
    task_id: &LogisticsTaskId,
    limit: i64,
) -> Result<Vec<InvoiceUpdateRow>, ReadError> {
    let sql = format!(
        "SELECT {UPDATE_COLUMNS} FROM invoice_updates WHERE task_id = $1 ORDER BY invoice_id LIMIT $2"
    );
    store.query(sql, params![task_id.as_str(), limit]).await?.into_iter().map(update_row).collect()
}

/// Lists the updates of an invoice, one for each delivery.
pub async fn invoice_update_list_of(
    store: &Store,
    tenant: &Tenant,
    invoice_id: &str,
    limit: i64,
) -> Result<Vec<InvoiceUpdateRow>, ReadError> {
    let sql = format!(
        "SELECT {UPDATE_COLUMNS} FROM invoice_updates WHERE tenant = $1 AND invoice_id = $2 ORDER BY task_id LIMIT $3"
    );
    let rows = store.query(sql, params![tenant.as_str(), invoice_id, limit]).await?;
    rows.into_iter().map(update_row).collect()
}

/// Lists updates of every tenant that are due, the longest due first.
pub async fn invoice_update_list_due(
    store: &Store,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<InvoiceUpdateRow>, ReadError> {
    let sql = format!(
        "SELECT {UPDATE_COLUMNS} FROM invoice_updates WHERE next_at <= $1 ORDER BY next_at, task_id, invoice_id \
         LIMIT $2"
    );
    store.query(sql, params![now, limit]).await?.into_iter().map(update_row).collect()
}

/// Stores the billing of a delivery.
pub fn billing_insert(row: &BillingRow) -> Statement {
    Statement::one(
        format!("INSERT INTO billings ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"),
        params![
            row.task_id.as_str(),
            row.tenant.as_str(),
            row.n_pending,
            row.n_failed,
            row.triggered_at,
            row.version,
            row.created_at,
            row.updated_at
        ],
    )
}

/// Moves a billing on; `row.version` must follow the stored one, otherwise it was changed since it was read.
pub fn billing_update(row: &BillingRow) -> Statement {
    Statement::one(
        "UPDATE billings SET n_pending = $1, n_failed = $2, triggered_at = $3, version = $4, updated_at = $5 \
         WHERE task_id = $6 AND version = $7",
        params![
            row.n_pending,
            row.n_failed,
            row.triggered_at,
            row.version,
            row.updated_at,
            row.task_id.as_str(),
            row.version - 1
        ],
    )
}

/// Reads the billing of a delivery.
pub async fn billing_get(store: &Store, task_id: &LogisticsTaskId) -> Result<Option<BillingRow>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM billings WHERE task_id = $1");
    store.query(sql, params![task_id.as_str()]).await?.pop().map(billing_row).transpose()
}
