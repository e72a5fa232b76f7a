//! A driver hands something over: the task is completed, with its proof; the invoices of a delivery's cases are to change.
//!
//! One commit holds the task, the cases, the proof, one pending update for each open invoice and the billing. The updates
//! are made one by one afterwards ([`super::billing`]). A task that is completed again answers as it did and changes nothing.

use bytes::Bytes;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use trunkline_model::{FieldError, InvoiceId, Timestamp};
use trunkline_store::Store;
use trunkline_store::tables::logistics::billing::{
    BillingRow, InvoiceUpdateRow, UpdateStatus, billing_insert, invoice_update_insert,
};
use trunkline_store::tables::logistics::case::{case_deliver_all, case_list};
use trunkline_store::tables::logistics::invoice::invoice_list_open_of;
use trunkline_store::tables::logistics::proof::{BlobRow, ProofRow, blob_put, proof_insert};
use trunkline_store::tables::logistics::route::{
    RouteStatus, StopRow, route_get, route_update, stop_list, stop_note,
};
use trunkline_store::tables::logistics::task::{
    LogisticsTaskKind, LogisticsTaskRow, LogisticsTaskStatus, logistics_task_get, logistics_task_update,
};

use super::case_ready::MAX_CASES;
use super::{Cause, Draft, OperationError, Planned, Tries, changed, check_note, check_version, refuse, task};
use crate::Position;
use crate::position::GEOHASH_LEN;

/// The most invoices that one delivery changes.
pub const MAX_INVOICES: i64 = 1_000;
/// The largest picture in bytes.
pub const MAX_PICTURE: usize = 8 * 1024 * 1024;
/// The longest name of a recipient in bytes.
const MAX_RECIPIENT: usize = 200;
/// What pictures may be: nothing that a browser would run.
pub const MEDIA_TYPES: [&str; 3] = ["image/png", "image/jpeg", "image/webp"];

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// What it is.
    pub media_type: String,
    /// Its content.
    pub bytes: Bytes,
}

impl Picture {
    /// The name of its content: SHA-256 in hexadecimal.
    pub fn hash(&self) -> String {
        hex::encode(digest(&SHA256, &self.bytes))
    }
}

/// What proves that something was handed over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proof {
    /// Who took it.
    pub recipient: Option<String>,
    /// Their signature.
    pub signature: Option<Picture>,
    /// What it looked like.
    pub photo: Option<Picture>,
    /// Where it was.
    pub position: Option<Position>,
    /// What the driver wrote.
    pub note: Option<String>,
    /// When, by the driver's clock.
    pub taken_at: Option<Timestamp>,
}

/// A completed task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed {
    /// The task as it stands.
    pub task: LogisticsTaskRow,
    /// Whether it was completed before.
    pub is_repeat: bool,
    /// How many invoices are to change.
    pub n_invoices: usize,
}

/// Completes a task. `expected` is the version that the caller read.
pub async fn task_complete(
    store: &Store,
    cause: &Cause,
    task_id: &str,
    proof: &Proof,
    expected: Option<i64>,
) -> Result<Completed, OperationError> {
    let mut tries = Tries::default();
    loop {
        let planned = plan_task_complete(store, cause, task_id, proof, expected).await?;
        if let Some(outcome) = tries.commit(store, planned).await? {
            return Ok(outcome);
        }
    }
}

/// Plans the same.
pub async fn plan_task_complete(
    store: &Store,
    cause: &Cause,
    task_id: &str,
    proof: &Proof,
    expected: Option<i64>,
) -> Result<Planned<Completed>, OperationError> {
    check(proof)?;
    let row = task(store, &cause.tenant, task_id).await?;
    if row.status == LogisticsTaskStatus::Completed {
        let completed = Completed { task: row, is_repeat: true, n_invoices: 0 };
        return Ok(Draft::new(cause).done(completed));
    }
    check_version(row.version, expected)?;
    if row.status.is_terminal() {
        return Err(OperationError::State("the task was cancelled"));
    }
    let task = LogisticsTaskRow {
        status: LogisticsTaskStatus::Completed,
        is_collecting: false,
        closed_at: Some(cause.now),
        ..changed(&row, cause.now)
    };
    let mut draft = Draft::new(cause);
    draft.push(logistics_task_update(&task));
    let shown = keep_proof(&mut draft, cause, &task, proof);
    let n_invoices = match task.kind {
        LogisticsTaskKind::Pickup => {
            draft.emit("pickup_task.completed", task.id.as_str(), &data(&task, &shown));
            0
        }
        LogisticsTaskKind::Delivery => deliver(store, &mut draft, cause, &task, &shown).await?,
    };
    leave_stop(store, &mut draft, cause, &task).await?;
    Ok(draft.done(Completed { task, is_repeat: false, n_invoices }))
}

fn check(proof: &Proof) -> Result<(), OperationError> {
    let mut faults = Vec::new();
    for (name, picture) in [("signature", &proof.signature), ("photo", &proof.photo)] {
        let Some(picture) = picture else { continue };
        if picture.bytes.is_empty() || picture.bytes.len() > MAX_PICTURE {
            let detail = format!("must have 1 to {MAX_PICTURE} bytes");
            faults.push(FieldError::new(format!("/{name}/data"), "out_of_range", detail));
        }
        if !MEDIA_TYPES.contains(&picture.media_type.as_str()) {
            let detail = format!("must be one of {}", MEDIA_TYPES.join(", "));
            faults.push(FieldError::new(format!("/{name}/media_type"), "invalid", detail));
        }
    }
    check_note(proof.note.as_deref(), "/note", &mut faults);
    check_note(proof.recipient.as_deref(), "/recipient", &mut faults);
    if proof.recipient.as_ref().is_some_and(|name| name.len() > MAX_RECIPIENT) {
        let detail = format!("must have at most {MAX_RECIPIENT} bytes");
        faults.push(FieldError::new("/recipient", "too_long", detail));
    }
    refuse(faults)
}

/// Stores a proof and its pictures; gives what events show of it: digests and the place, no names.
fn keep_proof(draft: &mut Draft<'_>, cause: &Cause, task: &LogisticsTaskRow, proof: &Proof) -> Value {
    for picture in [&proof.signature, &proof.photo].into_iter().flatten() {
        draft.push(blob_put(&BlobRow {
            tenant: cause.tenant.clone(),
            hash: picture.hash(),
            media_type: picture.media_type.clone(),
            bytes: picture.bytes.clone(),
            created_at: cause.now,
        }));
    }
    let row = ProofRow {
        task_id: task.id.clone(),
        tenant: cause.tenant.clone(),
        recipient: proof.recipient.clone(),
        signature_hash: proof.signature.as_ref().map(Picture::hash),
        photo_hash: proof.photo.as_ref().map(Picture::hash),
        geohash: proof.position.map(|position| position.geohash(GEOHASH_LEN)),
        position_e7: proof.position.map(|position| (position.lat_e7(), position.lon_e7())),
        note: proof.note.clone(),
        taken_at: proof.taken_at.unwrap_or(cause.now),
        created_at: cause.now,
    };
    draft.push(proof_insert(&row));
    json!({
        "signature_sha256": row.signature_hash,
        "photo_sha256": row.photo_hash,
        "geohash": row.geohash,
        "taken_at": row.taken_at,
    })
}

fn data(task: &LogisticsTaskRow, proof: &Value) -> Value {
    json!({
        "task_id": task.id,
        "clinic_id": task.clinic_id,
        "day": task.day,
        "driver_id": task.driver_id,
        "proof": proof,
    })
}

/// Marks the cases of a delivery and queues the updates of their invoices.
async fn deliver(
    store: &Store,
    draft: &mut Draft<'_>,
    cause: &Cause,
    task: &LogisticsTaskRow,
    proof: &Value,
) -> Result<usize, OperationError> {
    let cases = case_list(store, &task.id, MAX_CASES).await?;
    let mut invoices: Vec<InvoiceId> = invoice_list_open_of(store, &task.id, MAX_INVOICES + 1)
        .await?
        .into_iter()
        .map(|invoice| invoice.id)
        .collect();
    if invoices.len() as i64 > MAX_INVOICES {
        return Err(OperationError::State("the delivery has more open invoices than one may change"));
    }
    invoices.sort_unstable();
    draft.push(case_deliver_all(&task.id, cause.now));
    let mut shown = data(task, proof);
    shown["case_ids"] = cases.iter().map(|case| case.case_id.as_str()).collect();
    shown["invoice_ids"] = invoices.iter().map(InvoiceId::as_str).collect();
    draft.emit("delivery_task.completed", task.id.as_str(), &shown);
    for invoice_id in &invoices {
        draft.push(invoice_update_insert(&new_update(cause, task, invoice_id.clone())));
    }
    let is_settled = invoices.is_empty();
    draft.push(billing_insert(&BillingRow {
        task_id: task.id.clone(),
        tenant: cause.tenant.clone(),
        n_pending: invoices.len() as i64,
        n_failed: 0,
        triggered_at: is_settled.then_some(cause.now),
        version: 1,
        created_at: cause.now,
        updated_at: cause.now,
    }));
    if is_settled {
        super::billing::trigger(draft, task.id.as_str(), &[], false);
    }
    Ok(invoices.len())
}

/// An update that is to be made at once.
pub(super) fn new_update(cause: &Cause, task: &LogisticsTaskRow, invoice_id: InvoiceId) -> InvoiceUpdateRow {
    InvoiceUpdateRow {
        task_id: task.id.clone(),
        invoice_id,
        tenant: cause.tenant.clone(),
        status: UpdateStatus::Pending,
        n_attempts: 0,
        next_at: Some(cause.now),
        error: None,
        updated_at: cause.now,
    }
}

/// Notes that the driver is done at the stop; a round whose last task this was is completed.
async fn leave_stop(
    store: &Store,
    draft: &mut Draft<'_>,
    cause: &Cause,
    task: &LogisticsTaskRow,
) -> Result<(), OperationError> {
    let Some(route_id) = &task.route_id else { return Ok(()) };
    // Before its tasks: whoever completes another one of them meanwhile moves the version, and this is tried again.
    let route = route_get(store, &cause.tenant, route_id.as_str()).await?;
    let stops = stop_list(store, route_id).await?;
    let mut is_last = true;
    for stop in &stops {
        if stop.task_id == task.id {
            let noted = StopRow { arrived_at: Some(cause.now), departed_at: Some(cause.now), ..stop.clone() };
            draft.push(stop_note(&noted));
        } else if let Some(other) = logistics_task_get(store, &cause.tenant, stop.task_id.as_str()).await? {
            is_last &= other.status.is_terminal() || other.route_id.as_ref() != Some(route_id);
        }
    }
    let Some(route) = route.filter(|route| !route.status.is_terminal()) else { return Ok(()) };
    // The version moves in any case, so that two last stops at once do not both take the other for open.
    let status = if is_last { RouteStatus::Completed } else { route.status };
    let route = super::route::moved(route, status, cause.now);
    draft.push(route_update(&route));
    if is_last {
        super::route::tell(draft, &route, &stops, "route.completed");
    }
    Ok(())
}
