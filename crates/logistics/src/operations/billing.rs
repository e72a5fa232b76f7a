//! Invoices of delivered cases, one by one: the ledger is told, and what it took stands, whatever becomes of the others.
//!
//! ```text
//! pending ── took it ──────────────▶ done
//!    │  ▲                              when none is pending any more: billing.triggered
//!    │  └── later, with backoff ──┐
//!    ├── cannot be reached ───────┘
//!    └── refused, or tried MAX_ATTEMPTS times ──▶ failed ── retry ──▶ pending
//! ```
//!
//! The ledger is called outside of any commit and told the same key each time. A hub that dies between call and commit
//! calls again; the update is due until its outcome is stored.

use std::time::Duration;

use serde_json::{Value, json};
use trunkline_model::{FieldError, InvoiceId, LogisticsTaskId, Tenant, Timestamp};
use trunkline_store::Store;
use trunkline_store::tables::logistics::billing::{
    BillingRow, InvoiceUpdateRow, UpdateStatus, billing_get, billing_update, invoice_update_get,
    invoice_update_insert, invoice_update_list, invoice_update_list_due, invoice_update_list_of,
    invoice_update_move,
};
use trunkline_store::tables::logistics::case::{CaseStatus, case_get};
use trunkline_store::tables::logistics::invoice::{
    InvoiceRow, InvoiceStatus, invoice_get, invoice_insert, invoice_update,
};

use super::complete::{MAX_INVOICES, new_update};
use super::{Cause, Draft, Missing, OperationError, Planned, Tries, check_id, refuse, task};
use crate::ledger::{InvoiceDelivered, Ledger, LedgerError};

/// How often the ledger is asked before an update is given up.
pub const MAX_ATTEMPTS: i64 = 6;
/// The wait after the first failure; it doubles with each further one.
const BASE_WAIT: Duration = Duration::from_secs(5);
/// The most characters of an error that are kept.
const MAX_ERROR: usize = 300;
/// The most deliveries that one invoice was part of.
const MAX_DELIVERIES: i64 = 100;

/// An invoice as it is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInvoice {
    /// Its id; a fresh one when nothing is said.
    pub id: InvoiceId,
    /// The case it is for.
    pub case_id: String,
    /// How much, in the smallest unit of the currency.
    pub amount_minor: Option<i64>,
    /// The currency, three letters.
    pub currency: Option<String>,
}

/// Adds an invoice. One whose case was delivered already is due at once.
pub async fn invoice_add(
    store: &Store,
    cause: &Cause,
    new: &NewInvoice,
) -> Result<InvoiceRow, OperationError> {
    let mut tries = Tries::default();
    loop {
        let planned = plan_invoice_add(store, cause, new).await?;
        if let Some(outcome) = tries.commit(store, planned).await? {
            return Ok(outcome);
        }
    }
}

/// Plans the same.
pub async fn plan_invoice_add(
    store: &Store,
    cause: &Cause,
    new: &NewInvoice,
) -> Result<Planned<InvoiceRow>, OperationError> {
    let mut faults = Vec::new();
    check_id(&new.case_id, "/case_id", &mut faults);
    check_id(new.id.as_str(), "/id", &mut faults);
    let is_currency = |text: &String| text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase());
    if !new.currency.as_ref().is_none_or(is_currency) {
        faults.push(FieldError::new("/currency", "invalid", "must be three capital letters"));
    }
    refuse(faults)?;
    if invoice_get(store, &cause.tenant, new.id.as_str()).await?.is_some() {
        return Err(OperationError::Exists);
    }
    let row = InvoiceRow {
        tenant: cause.tenant.clone(),
        id: new.id.clone(),
        case_id: new.case_id.clone(),
        amount_minor: new.amount_minor,
        currency: new.currency.clone(),
        status: InvoiceStatus::Open,
        task_id: None,
        version: 1,
        created_at: cause.now,
        updated_at: cause.now,
    };
    let mut draft = Draft::new(cause);
    draft.push(invoice_insert(&row));
    let case = case_get(store, &cause.tenant, &new.case_id).await?;
    if let Some(case) = case.filter(|case| case.status == CaseStatus::Delivered)
        && let Some(billing) = billing_get(store, &case.task_id).await?
    {
        if invoice_update_list(store, &case.task_id, MAX_INVOICES).await?.len() as i64 >= MAX_INVOICES {
            return Err(OperationError::State("the delivery has as many invoices as one may change"));
        }
        let delivery = task(store, &cause.tenant, case.task_id.as_str()).await?;
        draft.push(invoice_update_insert(&new_update(cause, &delivery, row.id.clone())));
        let n_pending = billing.n_pending + 1;
        draft.push(billing_update(&BillingRow { n_pending, ..next(&billing, cause.now) }));
    }
    Ok(draft.done(row))
}

/// Tries again what was given up about an invoice; gives how many updates are due now.
pub async fn invoice_retry(store: &Store, cause: &Cause, id: &str) -> Result<usize, OperationError> {
    let mut tries = Tries::default();
    loop {
        let planned = plan_invoice_retry(store, cause, id).await?;
        if let Some(outcome) = tries.commit(store, planned).await? {
            return Ok(outcome);
        }
    }
}

async fn plan_invoice_retry(
    store: &Store,
    cause: &Cause,
    id: &str,
) -> Result<Planned<usize>, OperationError> {
    if invoice_get(store, &cause.tenant, id).await?.is_none() {
        return Err(OperationError::Missing(Missing::Invoice));
    }
    let updates = invoice_update_list_of(store, &cause.tenant, id, MAX_DELIVERIES).await?;
    let mut draft = Draft::new(cause);
    let mut n_due = 0;
    for was in updates.iter().filter(|update| update.status == UpdateStatus::Failed) {
        let Some(billing) = billing_get(store, &was.task_id).await? else { continue };
        let update = InvoiceUpdateRow {
            status: UpdateStatus::Pending,
            n_attempts: 0,
            next_at: Some(cause.now),
            updated_at: cause.now,
            ..was.clone()
        };
        let (n_pending, n_failed) = (billing.n_pending + 1, billing.n_failed - 1);
        draft.push(invoice_update_move(&update, was));
        draft.push(billing_update(&BillingRow { n_pending, n_failed, ..next(&billing, cause.now) }));
        n_due += 1;
    }
    if n_due == 0 {
        return Err(OperationError::State("nothing about the invoice has failed"));
    }
    Ok(draft.done(n_due))
}

fn next(billing: &BillingRow, now: Timestamp) -> BillingRow {
    BillingRow { version: billing.version + 1, updated_at: now, ..billing.clone() }
}

/// Makes the updates of one delivery that are due; gives how many it looked at.
pub async fn settle_delivery(
    store: &Store,
    ledger: &dyn Ledger,
    task_id: &LogisticsTaskId,
    now: Timestamp,
) -> Result<usize, OperationError> {
    let updates = invoice_update_list(store, task_id, MAX_INVOICES).await?;
    let due: Vec<_> =
        updates.into_iter().filter(|update| update.next_at.is_some_and(|at| at <= now)).collect();
    settle_all(store, ledger, &due, now).await;
    Ok(due.len())
}

/// Makes updates that are due, of whichever delivery, at most `limit` of them; gives how many it looked at.
pub async fn settle_due(
    store: &Store,
    ledger: &dyn Ledger,
    now: Timestamp,
    limit: i64,
) -> Result<usize, OperationError> {
    let due = invoice_update_list_due(store, now, limit).await?;
    settle_all(store, ledger, &due, now).await;
    Ok(due.len())
}

/// One that fails leaves the others alone; it counts as tried, so that it does not stay in front for ever.
async fn settle_all(store: &Store, ledger: &dyn Ledger, due: &[InvoiceUpdateRow], now: Timestamp) {
    for update in due {
        let Err(error) = settle_one(store, ledger, update, now).await else { continue };
        tracing::warn!(
            invoice.id = %update.invoice_id, task.id = %update.task_id, error = ?error,
            "the update of an invoice could not be made"
        );
        let cause = Cause::call(update.tenant.clone(), now);
        let answer = Err(LedgerError::Later("the hub could not make the update".to_owned()));
        if let Err(error) = settled(store, &cause, update, &answer).await {
            tracing::warn!(error = ?error, "nor could that be stored");
        }
    }
}

async fn settle_one(
    store: &Store,
    ledger: &dyn Ledger,
    update: &InvoiceUpdateRow,
    now: Timestamp,
) -> Result<(), OperationError> {
    let invoice = invoice_get(store, &update.tenant, update.invoice_id.as_str()).await?;
    let answer = match &invoice {
        // Somebody else took care of it: it is paid, void, or was delivered before.
        Some(invoice) if invoice.status != InvoiceStatus::Open => Ok(()),
        Some(invoice) => ledger.note_delivered(&change_of(store, invoice, update).await?).await,
        None => Err(LedgerError::Refused("the invoice is gone".to_owned())),
    };
    settled(store, &Cause::call(update.tenant.clone(), now), update, &answer).await
}

/// Stores what the ledger answered.
async fn settled(
    store: &Store,
    cause: &Cause,
    update: &InvoiceUpdateRow,
    answer: &Result<(), LedgerError>,
) -> Result<(), OperationError> {
    let mut tries = Tries::default();
    loop {
        let planned = plan_settled(store, cause, update, answer).await?;
        if let Some(outcome) = tries.commit(store, planned).await? {
            return Ok(outcome);
        }
    }
}

async fn change_of(
    store: &Store,
    invoice: &InvoiceRow,
    update: &InvoiceUpdateRow,
) -> Result<InvoiceDelivered, OperationError> {
    let delivery = task(store, &update.tenant, update.task_id.as_str()).await?;
    Ok(InvoiceDelivered {
        tenant: update.tenant.clone(),
        invoice_id: invoice.id.clone(),
        case_id: invoice.case_id.clone(),
        task_id: update.task_id.clone(),
        delivered_at: delivery.closed_at.unwrap_or(delivery.updated_at),
        key: format!("{}/{}", update.task_id, invoice.id),
    })
}

/// How long to wait after this many failures.
fn wait(n_attempts: i64) -> Duration {
    BASE_WAIT * 2_u32.saturating_pow(u32::try_from(n_attempts - 1).unwrap_or(0).min(16))
}

async fn plan_settled(
    store: &Store,
    cause: &Cause,
    update: &InvoiceUpdateRow,
    answer: &Result<(), LedgerError>,
) -> Result<Planned<()>, OperationError> {
    let mut draft = Draft::new(cause);
    let was = invoice_update_get(store, &update.task_id, &update.invoice_id).await?;
    let billing = billing_get(store, &update.task_id).await?;
    let (Some(was), Some(billing)) = (was, billing) else { return Ok(draft.done(())) };
    if was.status != UpdateStatus::Pending || was.n_attempts != update.n_attempts {
        return Ok(draft.done(()));
    }
    let n_attempts = was.n_attempts + 1;
    let (status, error) = match answer {
        Ok(()) => (UpdateStatus::Done, None),
        Err(LedgerError::Later(text)) if n_attempts < MAX_ATTEMPTS => (UpdateStatus::Pending, Some(text)),
        Err(LedgerError::Later(text) | LedgerError::Refused(text)) => (UpdateStatus::Failed, Some(text)),
    };
    let moved = InvoiceUpdateRow {
        status,
        n_attempts,
        next_at: (status == UpdateStatus::Pending).then(|| cause.now.plus(wait(n_attempts))),
        error: error.map(|text| text.chars().take(MAX_ERROR).collect()),
        updated_at: cause.now,
        ..was.clone()
    };
    draft.push(invoice_update_move(&moved, &was));
    if status == UpdateStatus::Pending {
        return Ok(draft.done(()));
    }
    let invoice = invoice_get(store, &cause.tenant, update.invoice_id.as_str()).await?;
    tell(&mut draft, &moved, invoice.as_ref());
    let mut billing = next(&billing, cause.now);
    billing.n_pending -= 1;
    billing.n_failed += i64::from(status == UpdateStatus::Failed);
    if billing.n_pending == 0 {
        let updates = invoice_update_list(store, &update.task_id, MAX_INVOICES).await?;
        let settled: Vec<_> =
            updates.iter().map(|one| if one.invoice_id == moved.invoice_id { &moved } else { one }).collect();
        trigger(&mut draft, update.task_id.as_str(), &settled, billing.triggered_at.is_some());
        billing.triggered_at = billing.triggered_at.or(Some(cause.now));
    }
    draft.push(billing_update(&billing));
    Ok(draft.done(()))
}

/// Tells what became of an invoice, and changes it when its case is delivered.
fn tell(draft: &mut Draft<'_>, update: &InvoiceUpdateRow, invoice: Option<&InvoiceRow>) {
    let mut data = json!({
        "invoice_id": update.invoice_id,
        "task_id": update.task_id,
        "case_id": invoice.map(|invoice| invoice.case_id.as_str()),
        "n_attempts": update.n_attempts,
    });
    if update.status == UpdateStatus::Failed {
        data["error"] = update.error.clone().into();
        draft.emit("invoice.update_failed", update.invoice_id.as_str(), &data);
        return;
    }
    let Some(invoice) = invoice.filter(|invoice| invoice.status == InvoiceStatus::Open) else { return };
    draft.push(invoice_update(&InvoiceRow {
        status: InvoiceStatus::Delivered,
        task_id: Some(update.task_id.clone()),
        version: invoice.version + 1,
        updated_at: update.updated_at,
        ..invoice.clone()
    }));
    data["amount_minor"] = invoice.amount_minor.into();
    data["currency"] = invoice.currency.clone().into();
    draft.emit("invoice.delivered", update.invoice_id.as_str(), &data);
}

/// Triggers the billing of a delivery. `is_repeat` when it was triggered before, for other invoices.
pub(super) fn trigger(draft: &mut Draft<'_>, task_id: &str, updates: &[&InvoiceUpdateRow], is_repeat: bool) {
    let of = |status: UpdateStatus| -> Value {
        updates.iter().filter(|one| one.status == status).map(|one| one.invoice_id.as_str()).collect()
    };
    let data = json!({
        "task_id": task_id,
        "invoice_ids": of(UpdateStatus::Done),
        "failed_invoice_ids": of(UpdateStatus::Failed),
        "is_repeat": is_repeat,
    });
    draft.emit("billing.triggered", task_id, &data);
}

/// The updates of an invoice, and whose they are.
pub async fn invoice_updates(
    store: &Store,
    tenant: &Tenant,
    id: &str,
) -> Result<Vec<InvoiceUpdateRow>, OperationError> {
    Ok(invoice_update_list_of(store, tenant, id, MAX_DELIVERIES).await?)
}
