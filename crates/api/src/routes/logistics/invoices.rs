//! `/api/v1/invoices`: invoices of cases, as far as deliveries change them.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use trunkline_logistics::operations::Cause;
use trunkline_logistics::operations::billing::{NewInvoice, invoice_add, invoice_retry, invoice_updates};
use trunkline_model::{ErrorCode, InvoiceId, LogisticsTaskId, Tenant};
use trunkline_store::tables::logistics::invoice::{
    InvoiceFilter, InvoiceRow, InvoiceStatus, invoice_get, invoice_list,
};
use utoipa::ToSchema;

use super::fields::{ANY_ID, FOREIGN_ID, id_schema};
use super::shown::UpdateAnswer;
use super::{CREATED_HEADERS, TAG_HEADERS, refused};
use crate::auth::{Permit, grants};
use crate::input::{Field, Id, Input, JsonBody, Kind, Query, Text};
use crate::openapi::{Answer, Body, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::Problem;
use crate::routes::answers::{json, located, tagged};
use crate::state::ApiState;

const STATUSES: [&str; 4] = [
    InvoiceStatus::Open.as_str(),
    InvoiceStatus::Delivered.as_str(),
    InvoiceStatus::Paid.as_str(),
    InvoiceStatus::Void.as_str(),
];
static CREATE: &[Field] = &[
    Field::optional("id", ANY_ID, "Its id in the books. The hub makes one when absent."),
    Field::required("case_id", FOREIGN_ID, "The case it is for."),
    Field::optional(
        "amount_minor",
        Kind::Integer { min: 0, max: 1_000_000_000_000 },
        "How much, in the smallest unit of the currency.",
    ),
    Field::optional(
        "currency",
        Kind::Text(Text {
            min: 3,
            max: 3,
            pattern: "^[A-Z]{3}$",
            accepts: |text| text.bytes().all(|b| b.is_ascii_uppercase()),
            rule: "must be three capital letters, such as EUR",
        }),
        "The currency.",
    ),
];
static LIST: &[Field] = &[
    page::LIMIT,
    page::TOKEN,
    Field::optional("case_id", FOREIGN_ID, "Only invoices of this case."),
    Field::optional("status", Kind::Choice(&STATUSES), "Only invoices that stand here."),
];

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    vec![
        Operation::post("/api/v1/invoices", "createInvoice", create)
            .about("logistics", "Adds the invoice of a case")
            .details("The delivery of the case makes it `delivered`; one whose case was delivered already is due at once.")
            .permit::<grants::LogisticsWrite>()
            .body(Body::Object { name: "NewInvoice", fields: CREATE, is_required: true })
            .answer(Answer::json::<InvoiceAnswer>(201, "The invoice.").with_headers(CREATED_HEADERS))
            .problems(&[C::LogisticsExists, C::LogisticsStateConflict]),
        Operation::get("/api/v1/invoices", "listInvoices", list)
            .about("logistics", "Lists invoices by id")
            .permit::<grants::LogisticsRead>()
            .query(LIST)
            .answer(Answer::json::<Page<InvoiceAnswer>>(200, "A page of invoices.")),
        Operation::get("/api/v1/invoices/{id}", "getInvoice", get)
            .about("logistics", "Reads an invoice with what deliveries did to it")
            .permit::<grants::LogisticsRead>()
            .id_schema(id_schema())
            .answer(Answer::json::<InvoiceWithUpdates>(200, "The invoice.").with_headers(TAG_HEADERS))
            .problems(&[C::InvoiceNotFound]),
        Operation::post("/api/v1/invoices/{id}/retry", "retryInvoice", retry)
            .about("logistics", "Tries again what was given up about an invoice")
            .permit::<grants::LogisticsWrite>()
            .id_schema(id_schema())
            .answer(Answer::json::<InvoiceWithUpdates>(202, "It is due again."))
            .problems(&[C::InvoiceNotFound, C::LogisticsStateConflict]),
    ]
}

/// An invoice of a case.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Invoice)]
struct InvoiceAnswer {
    id: String,
    case_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = i64)]
    amount_minor: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    currency: Option<String>,
    /// `open`, `delivered`, `paid` or `void`.
    status: &'static str,
    /// The delivery that made it delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    task_id: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// An invoice with what deliveries did to it.
#[derive(Debug, Serialize, ToSchema)]
struct InvoiceWithUpdates {
    #[serde(flatten)]
    invoice: InvoiceAnswer,
    updates: Vec<UpdateAnswer>,
}

impl From<&InvoiceRow> for InvoiceAnswer {
    fn from(row: &InvoiceRow) -> Self {
        Self {
            id: row.id.as_str().to_owned(),
            case_id: row.case_id.clone(),
            amount_minor: row.amount_minor,
            currency: row.currency.clone(),
            status: row.status.as_str(),
            task_id: row.task_id.clone().map(LogisticsTaskId::into_string),
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
        }
    }
}

async fn create(
    permit: Permit<grants::LogisticsWrite>,
    State(state): State<ApiState>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(CREATE, body.required()?);
    input.finish()?;
    let new = NewInvoice {
        id: input.text("id").map_or_else(InvoiceId::fresh, InvoiceId::from_text),
        case_id: input.text("case_id").unwrap_or_default(),
        amount_minor: input.integer("amount_minor"),
        currency: input.text("currency"),
    };
    let cause = Cause::call(permit.tenant, state.now());
    let row = invoice_add(state.store(), &cause, &new).await.map_err(refused)?;
    let response = tagged(json(StatusCode::CREATED, &InvoiceAnswer::from(&row)), row.version);
    Ok(located(response, &format!("/api/v1/invoices/{}", row.id)))
}

async fn list(
    permit: Permit<grants::LogisticsRead>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, "invoices", &permit.tenant);
    query.finish()?;
    let filter = InvoiceFilter {
        case_id: query.text("case_id"),
        status: query.text("status").and_then(|text| InvoiceStatus::parse(&text)),
        after: paging.after.clone(),
        limit: paging.n_rows(),
    };
    let rows = invoice_list(state.store(), &permit.tenant, &filter).await?;
    let page = paging.page(rows, |row| row.id.as_str().to_owned(), |row| InvoiceAnswer::from(&row));
    Ok(json(StatusCode::OK, &page))
}

async fn shown(state: &ApiState, tenant: &Tenant, id: &str, status: StatusCode) -> Result<Response, Problem> {
    let row = invoice_get(state.store(), tenant, id).await?;
    let row = row.ok_or_else(|| Problem::new(ErrorCode::InvoiceNotFound))?;
    let updates = invoice_updates(state.store(), tenant, id).await.map_err(refused)?;
    let updates = updates.into_iter().map(UpdateAnswer::from).collect();
    let answer = InvoiceWithUpdates { invoice: InvoiceAnswer::from(&row), updates };
    Ok(tagged(json(status, &answer), row.version))
}

async fn get(
    permit: Permit<grants::LogisticsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    shown(&state, &permit.tenant, &id, StatusCode::OK).await
}

async fn retry(
    permit: Permit<grants::LogisticsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let cause = Cause::call(permit.tenant.clone(), state.now());
    invoice_retry(state.store(), &cause, &id).await.map_err(refused)?;
    shown(&state, &permit.tenant, &id, StatusCode::ACCEPTED).await
}
