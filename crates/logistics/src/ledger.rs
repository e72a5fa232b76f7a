//! Whoever keeps the books: told of each invoice whose case was delivered.
//!
//! The hub's own invoices are the store's. A connector to an accounting system stands behind [`Ledger`] and is asked for one
//! invoice at a time, so that one that fails leaves the others alone. It may be asked again for what it did already: the
//! key of a change is the same each time.

use std::future::Future;
use std::pin::Pin;

use trunkline_model::{InvoiceId, LogisticsTaskId, Tenant, Timestamp};

/// What a ledger answers with, later.
pub type LedgerFuture<'a> = Pin<Box<dyn Future<Output = Result<(), LedgerError>> + Send + 'a>>;

/// An invoice whose case was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceDelivered {
    /// Whose invoice it is.
    pub tenant: Tenant,
    /// The invoice.
    pub invoice_id: InvoiceId,
    /// Its case.
    pub case_id: String,
    /// The delivery.
    pub task_id: LogisticsTaskId,
    /// When the case was handed over.
    pub delivered_at: Timestamp,
    /// The same for each try of this change, and for no other change.
    pub key: String,
}

/// A ledger did not take a change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// It may take it later.
    #[error("the ledger cannot be reached: {0}")]
    Later(String),
    /// It will not take it.
    #[error("the ledger refuses the change: {0}")]
    Refused(String),
}

/// Takes changes of invoices.
pub trait Ledger: Send + Sync + 'static {
    /// Notes that the case of an invoice was delivered. Done again under the same key, it changes nothing.
    fn note_delivered<'a>(&'a self, change: &'a InvoiceDelivered) -> LedgerFuture<'a>;
}

/// The books are the store's alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct OwnLedger;

impl Ledger for OwnLedger {
    fn note_delivered<'a>(&'a self, _: &'a InvoiceDelivered) -> LedgerFuture<'a> {
        Box::pin(std::future::ready(Ok(())))
    }
}
