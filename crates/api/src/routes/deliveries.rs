//! `/api/v1/deliveries` and `/api/v1/webhooks/{id}/deliveries`: what was owed to endpoints, and what came of it.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use trunkline_model::{DeliveryId, ErrorCode, Timestamp};
use trunkline_store::tables::delivery::{
    AttemptOutcome, AttemptRow, DeliveryFilter, DeliveryRow, DeliveryState, attempt_list, delivery_get,
    delivery_list,
};
use trunkline_store::tables::endpoint::endpoint_get;
use utoipa::ToSchema;

use super::answers::json;
use crate::auth::{Permit, grants};
use crate::input::{Field, Id, Input, Kind, Query, Text};
use crate::openapi::{Answer, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::Problem;
use crate::state::ApiState;

const STATES: [&str; 4] = {
    let [a, b, c, d] = DeliveryState::ALL;
    [a.as_str(), b.as_str(), c.as_str(), d.as_str()]
};

const STATE: Field = Field::optional("state", Kind::Choice(&STATES), "Only deliveries in this state.");
const EVENT_TYPE: Field =
    Field::optional("event_type", Kind::Text(Text::line(1, 255)), "Only deliveries of this event type.");
const EVENT_ID: Field =
    Field::optional("event_id", Kind::Text(Text::line(1, 256)), "Only deliveries of this event.");

static LIST: &[Field] = &[
    page::LIMIT,
    page::TOKEN,
    Field::optional("endpoint_id", Kind::Text(Text::line(1, 64)), "Only deliveries to this endpoint."),
    STATE,
    EVENT_TYPE,
    EVENT_ID,
];
static LIST_OF_ENDPOINT: &[Field] = &[page::LIMIT, page::TOKEN, STATE, EVENT_TYPE, EVENT_ID];

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    vec![
        Operation::get("/api/v1/webhooks/{id}/deliveries", "listEndpointDeliveries", list_of_endpoint)
            .about("deliveries", "Lists deliveries to one endpoint, newest first")
            .permit::<grants::DeliveriesRead>()
            .id_of("ep_")
            .query(LIST_OF_ENDPOINT)
            .answer(Answer::json::<Page<Delivery>>(200, "A page of deliveries."))
            .problems(&[C::EndpointNotFound]),
        Operation::get("/api/v1/deliveries", "listDeliveries", list)
            .about("deliveries", "Lists deliveries, newest first")
            .permit::<grants::DeliveriesRead>()
            .query(LIST)
            .answer(Answer::json::<Page<Delivery>>(200, "A page of deliveries.")),
        Operation::get("/api/v1/deliveries/{id}", "getDelivery", get)
            .about("deliveries", "Reads one delivery with all its attempts")
            .permit::<grants::DeliveriesRead>()
            .id_of("dlv_")
            .answer(Answer::json::<DeliveryWithAttempts>(200, "The delivery."))
            .problems(&[C::DeliveryNotFound]),
        Operation::post("/api/v1/deliveries/{id}/retry", "retryDelivery", retry)
            .about("deliveries", "Tries a delivery again")
            .details(
                "A delivery that has not succeeded is tried at once, also when its attempts were used up. In place of one \
                 that has, a new delivery of the same event to the same endpoint is planned, and its id is answered.",
            )
            .permit::<grants::DeliveriesWrite>()
            .id_of("dlv_")
            .answer(Answer::json::<RetriedDelivery>(202, "The delivery to watch."))
            .problems(&[C::DeliveryNotFound, C::EndpointNotFound, C::EndpointInactive, C::EventNotFound]),
    ]
}

/// The delivery to watch.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RetriedDelivery {
    pub(super) delivery_id: String,
}

/// Where a delivery stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = DeliveryState)]
enum Standing {
    Pending,
    Succeeded,
    Exhausted,
    Cancelled,
}

/// One event owed to one endpoint.
#[derive(Debug, Serialize, ToSchema)]
struct Delivery {
    id: String,
    endpoint_id: String,
    event_id: String,
    event_type: String,
    state: Standing,
    /// Why it was cancelled, or why it is still pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    reason: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    /// When the next attempt is due; only while pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    next_attempt_at: Option<String>,
    /// When it reached its last state.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    finished_at: Option<String>,
    #[schema(minimum = 0)]
    n_attempts: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Attempt)]
    latest_attempt: Option<Attempt>,
}

/// A delivery and everything that was tried.
#[derive(Debug, Serialize, ToSchema)]
struct DeliveryWithAttempts {
    #[serde(flatten)]
    delivery: Delivery,
    /// Oldest first.
    attempts: Vec<Attempt>,
}

/// One HTTP try.
#[derive(Debug, Serialize, ToSchema)]
struct Attempt {
    id: String,
    /// From 1.
    #[schema(minimum = 1)]
    number: i64,
    #[schema(format = DateTime)]
    started_at: String,
    #[schema(minimum = 0)]
    duration_ms: f64,
    /// HTTP status, when an answer came.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = i64)]
    status: Option<i64>,
    /// Why it failed; absent on success.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    error_class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    error: Option<String>,
    /// Status line, headers and the beginning of the body, at most 16 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    response_head: Option<String>,
}

impl Attempt {
    fn new(number: i64, outcome: AttemptOutcome) -> Self {
        Self {
            id: outcome.id.into_string(),
            number,
            started_at: outcome.started_at.to_rfc3339(),
            duration_ms: outcome.duration_us as f64 / 1000.0,
            status: outcome.status,
            error_class: outcome.error_class,
            error: outcome.error,
            response_head: outcome.response_head,
        }
    }
}

impl From<AttemptRow> for Attempt {
    fn from(row: AttemptRow) -> Self {
        Self::new(row.number, row.outcome)
    }
}

impl From<DeliveryRow> for Delivery {
    fn from(row: DeliveryRow) -> Self {
        Self {
            id: row.id.into_string(),
            endpoint_id: row.endpoint_id.into_string(),
            event_id: row.event_id.into_string(),
            event_type: row.event_type.as_str().to_owned(),
            state: match row.state {
                DeliveryState::Pending => Standing::Pending,
                DeliveryState::Succeeded => Standing::Succeeded,
                DeliveryState::Exhausted => Standing::Exhausted,
                DeliveryState::Cancelled => Standing::Cancelled,
            },
            reason: row.reason,
            created_at: row.created_at.to_rfc3339(),
            next_attempt_at: row.next_attempt_at.map(Timestamp::to_rfc3339),
            finished_at: row.finished_at.map(Timestamp::to_rfc3339),
            n_attempts: row.n_attempts,
            latest_attempt: row.latest.map(|latest| Attempt::new(row.n_attempts, latest)),
        }
    }
}

async fn list(
    permit: Permit<grants::DeliveriesRead>,
    State(state): State<ApiState>,
    Query(query): Query,
) -> Result<Response, Problem> {
    let endpoint_id = query.text("endpoint_id");
    answer_list(&state, &permit, query, ("deliveries", endpoint_id)).await
}

async fn list_of_endpoint(
    permit: Permit<grants::DeliveriesRead>,
    State(state): State<ApiState>,
    Id(id): Id,
    Query(query): Query,
) -> Result<Response, Problem> {
    if endpoint_get(state.store(), &permit.tenant, &id).await?.is_none() {
        return Err(Problem::new(ErrorCode::EndpointNotFound));
    }
    let list = format!("deliveries of {id}");
    answer_list(&state, &permit, query, (&list, Some(id))).await
}

async fn answer_list(
    state: &ApiState,
    permit: &Permit<grants::DeliveriesRead>,
    mut query: Input,
    (list, endpoint_id): (&str, Option<String>),
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, list, &permit.tenant);
    query.finish()?;
    let filter = DeliveryFilter {
        endpoint_id,
        state: query.text("state").and_then(|text| DeliveryState::parse(&text)),
        event_type: query.text("event_type"),
        event_id: query.text("event_id"),
        before: paging.after.clone(),
        limit: paging.n_rows(),
    };
    let rows = delivery_list(state.store(), &permit.tenant, &filter).await?;
    Ok(json(StatusCode::OK, &paging.page(rows, |row| row.id.as_str().to_owned(), Delivery::from)))
}

async fn get(
    permit: Permit<grants::DeliveriesRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let row = delivery_get(state.store(), &permit.tenant, &id).await?;
    let row = row.ok_or_else(|| Problem::new(ErrorCode::DeliveryNotFound))?;
    let attempts = attempt_list(state.store(), &row).await?.into_iter().map(Attempt::from).collect();
    Ok(json(StatusCode::OK, &DeliveryWithAttempts { delivery: row.into(), attempts }))
}

async fn retry(
    permit: Permit<grants::DeliveriesWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    if delivery_get(state.store(), &permit.tenant, &id).await?.is_none() {
        return Err(Problem::new(ErrorCode::DeliveryNotFound));
    }
    let delivery_id = state.deliveries.retry(&permit.tenant, &DeliveryId::from_text(id)).await?;
    Ok(json(StatusCode::ACCEPTED, &RetriedDelivery { delivery_id: delivery_id.into_string() }))
}
