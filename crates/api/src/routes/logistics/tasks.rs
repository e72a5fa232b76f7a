//! `/api/v1/logistics/tasks`: deliveries and pickups, and what is done with them.

use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json as value;
use trunkline_logistics::operations::Cause;
use trunkline_logistics::operations::assign::{TaskChange, task_change};
use trunkline_logistics::operations::billing::settle_delivery;
use trunkline_logistics::operations::case_ready::{CaseOutcome, MAX_CASES, case_ready};
use trunkline_logistics::operations::complete::{MAX_INVOICES, MEDIA_TYPES, Picture, Proof, task_complete};
use trunkline_logistics::{Priority, ReadyCase};
use trunkline_model::{DriverId, ErrorCode, LogisticsTaskId, Tenant, Timestamp};
use trunkline_store::tables::logistics::billing::{billing_get, invoice_update_list};
use trunkline_store::tables::logistics::case::case_list;
use trunkline_store::tables::logistics::proof::{ProofRow, blob_get, proof_get};
use trunkline_store::tables::logistics::task::{
    LogisticsTaskFilter, LogisticsTaskKind, LogisticsTaskRow, LogisticsTaskStatus, logistics_task_get,
    logistics_task_list,
};

use super::fields::{
    ANY_ID, DATE, FOREIGN_ID, NOTE, PACKAGE, POSITION, PRIORITY, date, package, position, priority,
};
use super::shown::{
    BillingAnswer, CaseAnswer, CasesAnswer, PositionAnswer, ProofAnswer, TaskAnswer, UpdateAnswer,
};
use super::{CREATED_HEADERS, TAG_HEADERS, expected, refused};
use crate::auth::{Permit, grants};
use crate::input::{Field, Id, Input, JsonBody, Kind, Query, Text};
use crate::openapi::{Answer, Body, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::Problem;
use crate::routes::answers::{json, located, tagged};
use crate::state::ApiState;

const KINDS: [&str; 2] = [LogisticsTaskKind::Delivery.as_str(), LogisticsTaskKind::Pickup.as_str()];
const STATUSES: [&str; 5] = [
    LogisticsTaskStatus::Pending.as_str(),
    LogisticsTaskStatus::Assigned.as_str(),
    LogisticsTaskStatus::UnderWay.as_str(),
    LogisticsTaskStatus::Completed.as_str(),
    LogisticsTaskStatus::Cancelled.as_str(),
];
/// Base64 of the largest picture.
const MAX_BASE64: usize = 11_200_000;
const PICTURE: Kind = Kind::Object(&[
    Field::required("media_type", Kind::Choice(&MEDIA_TYPES), "What it is."),
    Field::required(
        "data",
        Kind::Text(Text {
            min: 4,
            max: MAX_BASE64,
            pattern: "^[A-Za-z0-9+/]+={0,2}$",
            accepts: |text| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b)),
            rule: "must be base64",
        }),
        "The picture in base64.",
    ),
]);

static CREATE: &[Field] = &[
    Field::required("case_id", FOREIGN_ID, "The case."),
    Field::required("clinic_id", ANY_ID, "Where it goes."),
    Field::required("deliver_on", DATE, "When it goes, a date in the clinic's time zone."),
    Field::optional("priority", PRIORITY, "How urgent it is. Default STANDARD."),
    Field::optional("package", PACKAGE, "What is carried. Default one piece."),
];
static ASSIGN: &[Field] = &[Field::required("driver_id", ANY_ID, "Who gets it.")];
static COMPLETE: &[Field] = &[
    Field::optional("recipient", Kind::Text(Text::line(1, 50)), "Who took it."),
    Field::optional("signature", PICTURE, "Their signature."),
    Field::optional("photo", PICTURE, "What it looked like."),
    Field::optional("position", POSITION, "Where it was."),
    Field::optional("note", NOTE, "What the driver wrote."),
    Field::optional("taken_at", Kind::Time, "When, by the driver's clock. Default now."),
];
static LIST: &[Field] = &[
    page::LIMIT,
    page::TOKEN,
    Field::optional("kind", Kind::Choice(&KINDS), "Only deliveries, or only pickups."),
    LIST_REST[0],
    LIST_REST[1],
    LIST_REST[2],
    LIST_REST[3],
    LIST_REST[4],
];
/// Filters of pickups, too.
pub(super) const LIST_REST: [Field; 5] = [
    Field::optional("status", Kind::Choice(&STATUSES), "Only tasks that stand here."),
    Field::optional("clinic_id", ANY_ID, "Only tasks of this clinic."),
    Field::optional("day", DATE, "Only tasks of this day."),
    Field::optional("driver_id", ANY_ID, "Only tasks of this driver."),
    Field::optional("min_priority", PRIORITY, "Only tasks that are at least so urgent."),
];

pub(super) fn operations() -> Vec<Operation> {
    let mut all = reads();
    all.extend(changes());
    all
}

fn reads() -> Vec<Operation> {
    use ErrorCode as C;
    let of_one = |operation: Operation| {
        operation.permit::<grants::LogisticsRead>().id_of("ltk_").problems(&[C::LogisticsTaskNotFound])
    };
    vec![
        Operation::get("/api/v1/logistics/tasks", "listLogisticsTasks", list)
            .about("logistics", "Lists deliveries and pickups, newest first")
            .permit::<grants::LogisticsRead>()
            .query(LIST)
            .answer(Answer::json::<Page<TaskAnswer>>(200, "A page of tasks.")),
        of_one(Operation::get("/api/v1/logistics/tasks/{id}", "getLogisticsTask", get))
            .about("logistics", "Reads a delivery or pickup")
            .answer(Answer::json::<TaskAnswer>(200, "The task.").with_headers(TAG_HEADERS)),
        of_one(Operation::get("/api/v1/logistics/tasks/{id}/cases", "listCasesOfDelivery", cases))
            .about("logistics", "Lists the cases of a delivery")
            .answer(Answer::json::<CasesAnswer>(200, "The cases, at most 250.")),
        of_one(Operation::get("/api/v1/logistics/tasks/{id}/billing", "getBillingOfDelivery", billing))
            .about("logistics", "Tells how the invoices of a completed delivery stand")
            .answer(Answer::json::<BillingAnswer>(200, "The billing.")),
        of_one(Operation::get("/api/v1/logistics/tasks/{id}/proof", "getProofOfDelivery", proof))
            .about("logistics", "Reads the proof that something was handed over")
            .answer(Answer::json::<ProofAnswer>(200, "The proof.")),
        of_one(Operation::get("/api/v1/logistics/tasks/{id}/proof/signature", "getSignature", signature))
            .about("logistics", "Reads the picture of the signature")
            .answer(Answer::text("image/*", "The picture.")),
        of_one(Operation::get("/api/v1/logistics/tasks/{id}/proof/photo", "getPhoto", photo))
            .about("logistics", "Reads the photo")
            .answer(Answer::text("image/*", "The picture.")),
    ]
}

fn changes() -> Vec<Operation> {
    use ErrorCode as C;
    let acts = |operation: Operation| {
        operation
            .permit::<grants::LogisticsWrite>()
            .id_of("ltk_")
            .if_match()
            .answer(Answer::json::<TaskAnswer>(200, "The task as it is then.").with_headers(TAG_HEADERS))
            .problems(&[
                C::LogisticsTaskNotFound,
                C::DriverNotFound,
                C::LogisticsStateConflict,
                C::LogisticsVersionConflict,
            ])
    };
    vec![
        Operation::post("/api/v1/logistics/tasks", "createDelivery", create)
            .about("logistics", "Makes a case part of the delivery for its clinic and day")
            .details(
                "The delivery is made when there is none that collects. A case that is reported again changes what it \
                 brings, or where it goes. RUSH and EMERGENCY notify the dispatcher at once.",
            )
            .permit::<grants::LogisticsWrite>()
            .body(Body::Object { name: "NewDelivery", fields: CREATE, is_required: true })
            .answer(Answer::json::<TaskAnswer>(201, "The delivery that was made.").with_headers(CREATED_HEADERS))
            .answer(Answer::json::<TaskAnswer>(200, "The delivery that the case is part of.").with_headers(TAG_HEADERS))
            .problems(&[C::ClinicNotFound, C::LogisticsStateConflict]),
        acts(
            Operation::post("/api/v1/logistics/tasks/{id}/assign", "assignLogisticsTask", assign)
                .about("logistics", "Gives a task to a driver")
                .body(Body::Object { name: "TaskAssignment", fields: ASSIGN, is_required: true }),
        ),
        acts(
            Operation::post("/api/v1/logistics/tasks/{id}/unassign", "unassignLogisticsTask", unassign)
                .about("logistics", "Takes a task back from its driver"),
        ),
        acts(
            Operation::post("/api/v1/logistics/tasks/{id}/start", "startLogisticsTask", start)
                .about("logistics", "Tells that the driver has set out; the delivery collects no more"),
        ),
        acts(
            Operation::post("/api/v1/logistics/tasks/{id}/cancel", "cancelLogisticsTask", cancel)
                .about("logistics", "Cancels a task; its cases can be ready again"),
        ),
        acts(
            Operation::post("/api/v1/logistics/tasks/{id}/complete", "completeLogisticsTask", complete)
                .about("logistics", "Completes a task with its proof")
                .details(
                    "The invoices of the cases of a delivery are changed one by one afterwards; what fails is tried again \
                     alone. When none is pending any more, `billing.triggered` is emitted. A task that is completed again \
                     answers as it did.",
                )
                .body(Body::Object { name: "TaskCompletion", fields: COMPLETE, is_required: false }),
        ),
    ]
}

/// Reads the filters that deliveries and pickups share.
pub(super) fn filter(query: &Input, paging: &Paging, kind: Option<LogisticsTaskKind>) -> LogisticsTaskFilter {
    let min_priority = query.text("min_priority").and_then(|text| Priority::parse(&text));
    LogisticsTaskFilter {
        kind,
        status: query.text("status").and_then(|text| LogisticsTaskStatus::parse(&text)),
        clinic_id: query.text("clinic_id"),
        day: query.text("day"),
        driver_id: query.text("driver_id"),
        min_priority: min_priority.map(Priority::rank),
        before: paging.after.clone(),
        limit: paging.n_rows(),
    }
}

async fn list(
    permit: Permit<grants::LogisticsRead>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, "logistics-tasks", &permit.tenant);
    query.finish()?;
    let kind = query.text("kind").and_then(|text| LogisticsTaskKind::parse(&text));
    let filter = filter(&query, &paging, kind);
    let rows = logistics_task_list(state.store(), &permit.tenant, &filter).await?;
    let page = paging.page(rows, |row| row.id.as_str().to_owned(), |row| TaskAnswer::from(&row));
    Ok(json(StatusCode::OK, &page))
}

pub(super) async fn find(state: &ApiState, tenant: &Tenant, id: &str) -> Result<LogisticsTaskRow, Problem> {
    let found = logistics_task_get(state.store(), tenant, id).await?;
    found.ok_or_else(|| Problem::new(ErrorCode::LogisticsTaskNotFound))
}

fn shown(status: StatusCode, row: &LogisticsTaskRow) -> Response {
    tagged(json(status, &TaskAnswer::from(row)), row.version)
}

async fn get(
    permit: Permit<grants::LogisticsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    Ok(shown(StatusCode::OK, &find(&state, &permit.tenant, &id).await?))
}

async fn cases(
    permit: Permit<grants::LogisticsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let task = find(&state, &permit.tenant, &id).await?;
    let rows = case_list(state.store(), &task.id, MAX_CASES).await?;
    let items = rows.into_iter().map(|row| CaseAnswer {
        case_id: row.case_id,
        status: row.status.as_str(),
        priority: Priority::from_rank(row.priority).as_str(),
        package: serde_json::from_str(&row.package).unwrap_or_default(),
    });
    Ok(json(StatusCode::OK, &CasesAnswer { items: items.collect() }))
}

async fn billing(
    permit: Permit<grants::LogisticsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let task = find(&state, &permit.tenant, &id).await?;
    let billing = billing_get(state.store(), &task.id).await?;
    let billing = billing.ok_or_else(|| {
        Problem::new(ErrorCode::LogisticsTaskNotFound).with_detail("the task is no completed delivery")
    })?;
    let updates = invoice_update_list(state.store(), &task.id, MAX_INVOICES).await?;
    let answer = BillingAnswer {
        n_pending: billing.n_pending,
        n_failed: billing.n_failed,
        triggered_at: billing.triggered_at.map(Timestamp::to_rfc3339),
        items: updates.into_iter().map(UpdateAnswer::from).collect(),
    };
    Ok(json(StatusCode::OK, &answer))
}

async fn find_proof(state: &ApiState, tenant: &Tenant, id: &str) -> Result<ProofRow, Problem> {
    let task = find(state, tenant, id).await?;
    let proof = proof_get(state.store(), &task.id).await?;
    proof.ok_or_else(|| {
        Problem::new(ErrorCode::LogisticsTaskNotFound)
            .with_detail("the task is not completed: there is no proof")
    })
}

async fn proof(
    permit: Permit<grants::LogisticsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let row = find_proof(&state, &permit.tenant, &id).await?;
    let answer = ProofAnswer {
        recipient: row.recipient,
        signature_sha256: row.signature_hash,
        photo_sha256: row.photo_hash,
        geohash: row.geohash,
        position: PositionAnswer::of(row.position_e7),
        note: row.note,
        taken_at: row.taken_at.to_rfc3339(),
    };
    Ok(json(StatusCode::OK, &answer))
}

async fn signature(
    permit: Permit<grants::LogisticsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let row = find_proof(&state, &permit.tenant, &id).await?;
    picture(&state, &permit.tenant, row.signature_hash.as_deref()).await
}

async fn photo(
    permit: Permit<grants::LogisticsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let row = find_proof(&state, &permit.tenant, &id).await?;
    picture(&state, &permit.tenant, row.photo_hash.as_deref()).await
}

/// Answers with content. What was uploaded is never run: its type is one of a few, and a browser keeps to it.
async fn picture(state: &ApiState, tenant: &Tenant, hash: Option<&str>) -> Result<Response, Problem> {
    let missing =
        || Problem::new(ErrorCode::LogisticsTaskNotFound).with_detail("the proof has no such picture");
    let blob = blob_get(state.store(), tenant, hash.ok_or_else(missing)?).await?.ok_or_else(missing)?;
    let mut response = Response::new(HttpBody::from(blob.bytes));
    let known = MEDIA_TYPES.into_iter().find(|known| *known == blob.media_type);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(known.unwrap_or("application/octet-stream")));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn create(
    permit: Permit<grants::LogisticsWrite>,
    State(state): State<ApiState>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(CREATE, body.required()?);
    input.finish()?;
    let case = ReadyCase {
        case_id: input.text("case_id").unwrap_or_default(),
        clinic_id: input.text("clinic_id").unwrap_or_default(),
        deliver_on: date(&input, "deliver_on").unwrap_or_default(),
        priority: priority(&input),
        package: package(&input),
    };
    let cause = Cause::call(permit.tenant.clone(), state.now());
    let ready = case_ready(state.store(), &cause, &case).await.map_err(refused)?;
    let row = find(&state, &permit.tenant, ready.task_id.as_str()).await?;
    Ok(match ready.outcome {
        CaseOutcome::Created => {
            located(shown(StatusCode::CREATED, &row), &format!("/api/v1/logistics/tasks/{}", row.id))
        }
        _ => shown(StatusCode::OK, &row),
    })
}

async fn change(
    state: &ApiState,
    tenant: Tenant,
    id: &str,
    change: &TaskChange,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let expected = expected(headers)?;
    let cause = Cause::call(tenant, state.now());
    let row = task_change(state.store(), &cause, id, change, expected).await.map_err(refused)?;
    Ok(shown(StatusCode::OK, &row))
}

async fn assign(
    permit: Permit<grants::LogisticsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(ASSIGN, body.required()?);
    input.finish()?;
    let driver = DriverId::from_text(input.text("driver_id").unwrap_or_default());
    change(&state, permit.tenant, &id, &TaskChange::Assign(driver), &headers).await
}

async fn unassign(
    permit: Permit<grants::LogisticsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    change(&state, permit.tenant, &id, &TaskChange::Unassign, &headers).await
}

async fn start(
    permit: Permit<grants::LogisticsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    change(&state, permit.tenant, &id, &TaskChange::Start, &headers).await
}

async fn cancel(
    permit: Permit<grants::LogisticsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    change(&state, permit.tenant, &id, &TaskChange::Cancel, &headers).await
}

/// Reads a picture; a text that is no base64 is a fault.
fn read_picture(input: &mut Input, name: &str) -> Option<Picture> {
    let value = input.json(name)?;
    let media_type = value["media_type"].as_str().unwrap_or_default().to_owned();
    let decoded = STANDARD.decode(value["data"].as_str().unwrap_or_default());
    if decoded.is_err() {
        input.fault(&format!("{name}/data"), "invalid", "must be base64");
    }
    Some(Picture { media_type, bytes: decoded.ok()?.into() })
}

async fn complete(
    permit: Permit<grants::LogisticsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(COMPLETE, body.0.unwrap_or_else(|| value!({})));
    let proof = Proof {
        recipient: input.text("recipient"),
        signature: read_picture(&mut input, "signature"),
        photo: read_picture(&mut input, "photo"),
        position: position(&input),
        note: input.text("note"),
        taken_at: input.time("taken_at"),
    };
    input.finish()?;
    let (expected, now) = (expected(&headers)?, state.now());
    let cause = Cause::call(permit.tenant, now);
    let done = task_complete(state.store(), &cause, &id, &proof, expected).await.map_err(refused)?;
    if done.n_invoices > 0 {
        settle(&state, done.task.id.clone(), now);
    }
    Ok(shown(StatusCode::OK, &done.task))
}

/// Makes the updates of a delivery without letting the caller wait for a ledger. What is cut off here is due, and is made
/// by the background work.
fn settle(state: &ApiState, task_id: LogisticsTaskId, now: Timestamp) {
    let (store, ledger) = (state.store().clone(), std::sync::Arc::clone(&state.ledger));
    tokio::spawn(async move {
        if let Err(error) = settle_delivery(&store, &*ledger, &task_id, now).await {
            tracing::warn!(task.id = %task_id, error = ?error, "the invoices of a delivery could not be read");
        }
    });
}
