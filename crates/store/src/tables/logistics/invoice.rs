//! Invoices of cases, as far as logistics has to know them.

use trunkline_model::{InvoiceId, LogisticsTaskId, Tenant, Timestamp};

use crate::tables::select::Select;
use crate::tables::workflow::instance::stored_words;
use crate::{ReadError, Row, Statement, Store, params};

stored_words! {
    /// Where an invoice stands.
    InvoiceStatus, "status of an invoice":
    /// Its case was not delivered.
    Open "open",
    /// Its case was delivered: it can be billed.
    Delivered "delivered",
    /// It was paid.
    Paid "paid",
    /// It does not count any more.
    Void "void",
}

/// One invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceRow {
    /// Whose it is.
    pub tenant: Tenant,
    /// Its id, unique inside the tenant.
    pub id: InvoiceId,
    /// The case it is for.
    pub case_id: String,
    /// How much, in the smallest unit of the currency.
    pub amount_minor: Option<i64>,
    /// The currency, three letters.
    pub currency: Option<String>,
    /// Where it stands.
    pub status: InvoiceStatus,
    /// The delivery that made it delivered.
    pub task_id: Option<LogisticsTaskId>,
    /// Grows with each change.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

const COLUMNS: [&str; 10] = [
    "tenant",
    "id",
    "case_id",
    "amount_minor",
    "currency",
    "status",
    "task_id",
    "version",
    "created_at",
    "updated_at",
];

fn columns(prefix: &str) -> String {
    COLUMNS.map(|column| format!("{prefix}{column}")).join(", ")
}

fn invoice_row(mut row: Row) -> Result<InvoiceRow, ReadError> {
    Ok(InvoiceRow {
        tenant: Tenant::from_stored(&row.text()?),
        id: InvoiceId::from_text(row.text()?),
        case_id: row.text()?,
        amount_minor: row.opt_int()?,
        currency: row.opt_text()?,
        status: InvoiceStatus::read(&row.text()?)?,
        task_id: row.opt_text()?.map(LogisticsTaskId::from_text),
        version: row.int()?,
        created_at: row.time()?,
        updated_at: row.time()?,
    })
}

/// Stores a new invoice. A constraint refuses one whose id is taken.
pub fn invoice_insert(row: &InvoiceRow) -> Statement {
    Statement::one(
        format!("INSERT INTO invoices ({}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", columns("")),
        params![
            row.tenant.as_str(),
            row.id.as_str(),
            row.case_id.as_str(),
            row.amount_minor,
            row.currency.as_deref(),
            row.status.as_str(),
            row.task_id.as_ref().map(LogisticsTaskId::as_str),
            row.version,
            row.created_at,
            row.updated_at
        ],
    )
}

/// Moves an invoice on; `row.version` must follow the stored one, otherwise it was changed since it was read.
pub fn invoice_update(row: &InvoiceRow) -> Statement {
    Statement::one(
        "UPDATE invoices SET status = $1, task_id = $2, version = $3, updated_at = $4 WHERE tenant = $5 AND id = $6 \
         AND version = $7",
        params![
            row.status.as_str(),
            row.task_id.as_ref().map(LogisticsTaskId::as_str),
            row.version,
            row.updated_at,
            row.tenant.as_str(),
            row.id.as_str(),
            row.version - 1
        ],
    )
}

/// Reads one invoice.
pub async fn invoice_get(store: &Store, tenant: &Tenant, id: &str) -> Result<Option<InvoiceRow>, ReadError> {
    let sql = format!("SELECT {} FROM invoices WHERE tenant = $1 AND id = $2", columns(""));
    store.query(sql, params![tenant.as_str(), id]).await?.pop().map(invoice_row).transpose()
}

/// Lists the open invoices of the cases of a delivery, in no order.
pub async fn invoice_list_open_of(
    store: &Store,
    task_id: &LogisticsTaskId,
    limit: i64,
) -> Result<Vec<InvoiceRow>, ReadError> {
    let sql = format!(
        "SELECT {} FROM logistics_cases AS c JOIN invoices AS i ON i.tenant = c.tenant AND i.case_id = c.case_id \
         WHERE c.task_id = $1 AND i.status = 'open' LIMIT $2",
        columns("i.")
    );
    store.query(sql, params![task_id.as_str(), limit]).await?.into_iter().map(invoice_row).collect()
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct InvoiceFilter {
    /// Only those of this case.
    pub case_id: Option<String>,
    /// Only those that stand here.
    pub status: Option<InvoiceStatus>,
    /// Only behind this id: the last one of the page before.
    pub after: Option<String>,
    /// At most this many.
    pub limit: i64,
}

/// Lists invoices of a tenant by id.
pub async fn invoice_list(
    store: &Store,
    tenant: &Tenant,
    filter: &InvoiceFilter,
) -> Result<Vec<InvoiceRow>, ReadError> {
    let sql = format!("SELECT {} FROM invoices WHERE tenant = $1", columns(""));
    let mut select = Select::new(sql, params![tenant.as_str()]);
    select.add_some(" AND case_id = ?", filter.case_id.as_deref());
    select.add_some(" AND status = ?", filter.status.map(InvoiceStatus::as_str));
    select.add_some(" AND id > ?", filter.after.as_deref());
    select.add(" ORDER BY id LIMIT ?", filter.limit);
    store.query(select.sql, select.values).await?.into_iter().map(invoice_row).collect()
}
