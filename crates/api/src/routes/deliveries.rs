//! `/api/v1/deliveries` and `/api/v1/webhooks/{id}/deliveries`: what was owed to endpoints, and what came of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use trunkline_dispatch::outcome::ConnectionTiming;
use trunkline_model::{Coded, DeliveryId, ErrorCode, Seq, Shard, Tenant, Timestamp};
use trunkline_store::tables::delivery::{
    AttemptOutcome, AttemptRow, DeliveryRow, DeliveryState, attempt_list, delivery_get,
};
use trunkline_store::tables::delivery_history::{DeliveryStretch, delivery_walk, event_places};
use trunkline_store::tables::endpoint::endpoint_get;
use trunkline_store::tables::event::event_at;
use trunkline_store::tables::line::line_head;
use utoipa::ToSchema;

use super::answers::{json, no_content};
use crate::auth::portal::{self, Access, PortalScope};
use crate::auth::{Permit, grants};
use crate::input::{Field, Id, Input, Kind, Query, Text};
use crate::openapi::{Answer, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::Problem;
use crate::search::{self, Budget, Conditions};
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

const SINCE: Field = Field::optional("since", Kind::Time, "Only deliveries planned at or after this time.");
const UNTIL: Field = Field::optional("until", Kind::Time, "Only deliveries planned before this time.");
const ERROR_CLASS: Field = Field::optional(
    "error_class",
    Kind::Text(Text::line(1, 64)),
    "Only those whose latest attempt failed with this class, such as `timeout` or `http_5xx`.",
);
const STATUS: Field = Field::optional(
    "status",
    Kind::Integer { min: 100, max: 999 },
    "Only those whose latest attempt was answered with this status.",
);
const SEARCH: &str = "A call looks at up to 5000 deliveries, or for two seconds, so with filters besides the endpoint and the \
    event a page can be short, even empty, and still name a next one.";

static LIST: &[Field] = &[
    page::LIMIT,
    page::TOKEN,
    Field::optional("endpoint_id", Kind::Text(Text::line(1, 64)), "Only deliveries to this endpoint."),
    STATE,
    EVENT_TYPE,
    EVENT_ID,
    SINCE,
    UNTIL,
    ERROR_CLASS,
    STATUS,
    search::DATA,
];
static LIST_OF_ENDPOINT: &[Field] =
    &[page::LIMIT, page::TOKEN, STATE, EVENT_TYPE, EVENT_ID, SINCE, UNTIL, ERROR_CLASS, STATUS, search::DATA];

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    vec![
        Operation::get("/api/v1/webhooks/{id}/deliveries", "listEndpointDeliveries", list_of_endpoint)
            .about("deliveries", "Lists deliveries to one endpoint, newest first")
            .details(SEARCH)
            .permit::<grants::DeliveriesRead>()
            .portal(Access::EndpointInPath)
            .id_of("ep_")
            .query(LIST_OF_ENDPOINT)
            .answer(Answer::json::<Page<Delivery>>(200, "A page of deliveries."))
            .problems(&[C::EndpointNotFound]),
        Operation::get("/api/v1/deliveries", "listDeliveries", list)
            .about("deliveries", "Lists deliveries, newest first")
            .details(SEARCH)
            .permit::<grants::DeliveriesRead>()
            .portal(Access::Scoped)
            .query(LIST)
            .answer(Answer::json::<Page<Delivery>>(200, "A page of deliveries."))
            .problems(&[C::EndpointNotFound]),
        Operation::get("/api/v1/deliveries/{id}", "getDelivery", get)
            .about("deliveries", "Reads one delivery with all its attempts")
            .permit::<grants::DeliveriesRead>()
            .portal(Access::Scoped)
            .id_of("dlv_")
            .answer(Answer::json::<DeliveryWithAttempts>(200, "The delivery."))
            .problems(&[C::DeliveryNotFound]),
        Operation::post("/api/v1/deliveries/{id}/retry", "retryDelivery", retry)
            .about("deliveries", "Tries a delivery again")
            .details(
                "A delivery that has not succeeded is tried at once, also when its attempts were used up. In place of one \
                 that has, a new delivery of the same event to the same endpoint is planned, and its id is answered. \
                 A delivery that waits for an earlier one of its key is not tried: the problem names the one to retry \
                 or skip. One of an ordered endpoint that has ended is tried out of order.",
            )
            .permit::<grants::DeliveriesWrite>()
            .portal(Access::Scoped)
            .id_of("dlv_")
            .answer(Answer::json::<RetriedDelivery>(202, "The delivery to watch."))
            .problems(&[
                C::DeliveryNotFound,
                C::DeliveryBlocked,
                C::EndpointNotFound,
                C::EndpointInactive,
                C::EventNotFound,
            ]),
        Operation::post("/api/v1/deliveries/{id}/skip", "skipDelivery", skip)
            .about("deliveries", "Gives up a pending delivery")
            .details(
                "It is cancelled with the reason `skipped by hand`; of an ordered endpoint, the next delivery of its key \
                 has its turn. An attempt that is under way, or about to begin, is not called back.",
            )
            .permit::<grants::DeliveriesWrite>()
            .id_of("dlv_")
            .answer(Answer::empty(204, "Given up."))
            .problems(&[C::DeliveryNotFound, C::DeliveryNotPending]),
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
    /// Why it was given up, or why it is still pending.
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
    /// The key whose order is kept; only to ordered endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    order_key: Option<String>,
    /// The earlier delivery of its key that has to end first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    blocked_by: Option<String>,
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
    timings: AttemptTimings,
}

/// Where the time of an attempt went, in milliseconds. Phases that did not happen, or not to the end, are absent.
#[derive(Debug, Serialize, ToSchema)]
struct AttemptTimings {
    /// Looking up the name, when a connection was opened for this attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = f64, minimum = 0)]
    dns_ms: Option<f64>,
    /// TCP, when a connection was opened for this attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = f64, minimum = 0)]
    connect_ms: Option<f64>,
    /// The TLS handshake, when a connection was opened for this attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = f64, minimum = 0)]
    tls_ms: Option<f64>,
    /// From the beginning to the head of the answer, opening the connection included.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = f64, minimum = 0)]
    first_byte_ms: Option<f64>,
    #[schema(minimum = 0)]
    total_ms: f64,
    /// Whether the connection was there before; absent when no HTTP answer came.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = bool)]
    reused: Option<bool>,
    /// The address that the connection was opened to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    peer: Option<String>,
}

impl AttemptTimings {
    fn new(outcome: &AttemptOutcome) -> Self {
        let stored = outcome.connection.as_deref();
        let opened = stored.and_then(ConnectionTiming::from_json);
        let opened = opened.as_ref();
        Self {
            dns_ms: opened.map(|opened| millis(opened.dns_us)),
            connect_ms: opened.and_then(|opened| opened.connect_us).map(millis),
            tls_ms: opened.and_then(|opened| opened.tls_us).map(millis),
            first_byte_ms: outcome.first_byte_us.map(|us| us as f64 / 1000.0),
            total_ms: outcome.duration_us as f64 / 1000.0,
            reused: outcome.first_byte_us.map(|_| stored.is_none()),
            peer: opened.and_then(|opened| opened.peer).map(|peer| peer.to_string()),
        }
    }
}

fn millis(us: u64) -> f64 {
    us as f64 / 1000.0
}

impl Attempt {
    fn new(number: i64, outcome: AttemptOutcome) -> Self {
        Self {
            timings: AttemptTimings::new(&outcome),
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

/// Says of pending deliveries in lines which one comes first. Looks once at each line of a page.
async fn shown(state: &ApiState, rows: Vec<DeliveryRow>) -> Result<Vec<Delivery>, Problem> {
    let mut heads: HashMap<(String, String), Option<DeliveryId>> = HashMap::new();
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        let mut blocked_by = None;
        if let Some(key) = row.order_key.as_ref().filter(|_| row.state == DeliveryState::Pending) {
            let head = match heads.entry((row.endpoint_id.as_str().to_owned(), key.clone())) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(line_head(state.store(), &row.endpoint_id, key).await?),
            };
            blocked_by = head.as_ref().filter(|head| **head != row.id).map(ToString::to_string);
        }
        all.push(Delivery { blocked_by, ..Delivery::from(row) });
    }
    Ok(all)
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
            order_key: row.order_key,
            blocked_by: None,
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
    let mut query = query;
    let endpoint_id = own_endpoint(&permit, &mut query)?;
    answer_list(&state, &permit, query, ("deliveries", endpoint_id)).await
}

/// The endpoint asked for. A token for some endpoints has to name one, unless it is for one alone.
fn own_endpoint(
    permit: &Permit<grants::DeliveriesRead>,
    query: &mut Input,
) -> Result<Option<String>, Problem> {
    let asked = query.text("endpoint_id");
    match (&asked, permit.portal.as_ref().and_then(PortalScope::listed)) {
        (Some(id), _) => portal::check(permit.portal.as_ref(), id).map(|()| asked),
        (None, None) => Ok(None),
        (None, Some([id])) => Ok(Some(id.clone())),
        (None, Some(_)) => {
            query.fault("endpoint_id", "required", "is missing; the token is for several endpoints");
            Ok(None)
        }
    }
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
    if permit.portal.is_some() && query.texts("data").is_some() {
        // Transformations take content away that this would find.
        query.fault("data", "forbidden", "content is not searched with a portal token");
    }
    query.finish()?;
    let wanted = Wanted {
        state: query.text("state").and_then(|text| DeliveryState::parse(&text)),
        event_type: query.text("event_type"),
        event_id: query.text("event_id"),
        since: query.time("since"),
        until: query.time("until"),
        error_class: query.text("error_class"),
        status: query.integer("status"),
        content: Conditions::read(&query),
    };
    let places = match &wanted.event_id {
        None => vec![],
        Some(id) => event_places(state.store(), &permit.tenant, id).await?,
    };
    let stretch = DeliveryStretch {
        endpoint_id,
        since: wanted.since,
        until: wanted.until,
        before: paging.after.clone(),
        limit: if wanted.is_all() { paging.n_rows() } else { search::CHUNK },
        ..DeliveryStretch::default()
    };
    let (rows, stopped_at) =
        walk(state, &permit.tenant, (stretch, &places), &wanted, paging.n_rows()).await?;
    let mut page = paging.page(rows, |row| row.id.as_str().to_owned(), |row| row);
    // A full page goes on behind its last item, one that ran out of work behind the last row looked at.
    page.next_page_token = page.next_page_token.or_else(|| stopped_at.map(|id| paging.seal(&id)));
    let items = shown(state, page.items).await?;
    Ok(json(StatusCode::OK, &Page { items, next_page_token: page.next_page_token }))
}

/// What no index knows of deliveries.
struct Wanted {
    state: Option<DeliveryState>,
    event_type: Option<String>,
    event_id: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    error_class: Option<String>,
    status: Option<i64>,
    content: Conditions,
}

impl Wanted {
    fn is_all(&self) -> bool {
        self.state.is_none()
            && self.event_type.is_none()
            && self.event_id.is_none()
            && self.since.is_none()
            && self.until.is_none()
            && self.error_class.is_none()
            && self.status.is_none()
            && self.content.is_empty()
    }

    /// Whether a delivery has all that the row itself shows.
    fn selects(&self, row: &DeliveryRow) -> bool {
        let latest = row.latest.as_ref();
        self.state.is_none_or(|state| row.state == state)
            && self.event_type.as_ref().is_none_or(|event_type| row.event_type.as_str() == event_type)
            && self.event_id.as_ref().is_none_or(|id| row.event_id.as_str() == id)
            && self.since.is_none_or(|since| since <= row.created_at)
            && self.until.is_none_or(|until| row.created_at < until)
            && self.status.is_none_or(|status| latest.and_then(|latest| latest.status) == Some(status))
            && self
                .error_class
                .as_deref()
                .is_none_or(|class| latest.and_then(|latest| latest.error_class.as_deref()) == Some(class))
    }
}

/// Walks until there are enough rows or the call's share of work is done; tells then behind which row to go on.
async fn walk(
    state: &ApiState,
    tenant: &Tenant,
    (mut stretch, places): (DeliveryStretch, &[(Shard, Seq)]),
    wanted: &Wanted,
    n_wanted: i64,
) -> Result<(Vec<DeliveryRow>, Option<String>), Problem> {
    let (mut found, mut budget) = (Vec::new(), Budget::new());
    loop {
        let rows = stretch_of(state, tenant, &mut stretch, places).await?;
        let is_end = (rows.len() as i64) < stretch.limit;
        for row in rows {
            stretch.before = Some(row.id.as_str().to_owned());
            let is_wanted = wanted.selects(&row) && has_content(state, &row, &wanted.content).await?;
            found.extend(is_wanted.then_some(row));
            if found.len() as i64 == n_wanted {
                return Ok((found, None));
            }
            if !budget.take() {
                return Ok((found, stretch.before));
            }
        }
        if is_end {
            return Ok((found, None));
        }
    }
}

/// Reads a stretch; of several events that share an id, of all of them.
async fn stretch_of(
    state: &ApiState,
    tenant: &Tenant,
    stretch: &mut DeliveryStretch,
    places: &[(Shard, Seq)],
) -> Result<Vec<DeliveryRow>, Problem> {
    if places.is_empty() {
        return Ok(delivery_walk(state.store(), tenant, stretch).await?);
    }
    let mut rows = Vec::new();
    for place in places {
        stretch.place = Some(*place);
        rows.extend(delivery_walk(state.store(), tenant, stretch).await?);
    }
    rows.sort_by(|a, b| b.id.cmp(&a.id));
    rows.truncate(usize::try_from(stretch.limit).unwrap_or_default());
    Ok(rows)
}

async fn has_content(state: &ApiState, row: &DeliveryRow, content: &Conditions) -> Result<bool, Problem> {
    if content.is_empty() {
        return Ok(true);
    }
    let record = event_at(state.store(), row.shard, row.seq).await?;
    Ok(record.is_some_and(|record| content.hold(&record.event.data)))
}

/// Whether a delivery goes to an endpoint that the caller may see.
fn is_own(scope: Option<&PortalScope>, row: &DeliveryRow) -> bool {
    scope.is_none_or(|scope| scope.has(row.endpoint_id.as_str()))
}

async fn get(
    permit: Permit<grants::DeliveriesRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let row = delivery_get(state.store(), &permit.tenant, &id).await?;
    let row = row.filter(|row| is_own(permit.portal.as_ref(), row));
    let row = row.ok_or_else(|| Problem::new(ErrorCode::DeliveryNotFound))?;
    let attempts = attempt_list(state.store(), &row).await?.into_iter().map(Attempt::from).collect();
    let mut rows = shown(&state, vec![row]).await?;
    let delivery = rows.pop().ok_or_else(|| Problem::new(ErrorCode::DeliveryNotFound))?;
    Ok(json(StatusCode::OK, &DeliveryWithAttempts { delivery, attempts }))
}

async fn retry(
    permit: Permit<grants::DeliveriesWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let row = delivery_get(state.store(), &permit.tenant, &id).await?;
    let row = row.filter(|row| is_own(permit.portal.as_ref(), row));
    let row = row.ok_or_else(|| Problem::new(ErrorCode::DeliveryNotFound))?;
    let delivery_id = match state.deliveries.retry(&permit.tenant, &row.id).await {
        Ok(id) => id,
        Err(refused) if refused.code() == ErrorCode::DeliveryBlocked => {
            return Err(blocked(&state, &row).await?);
        }
        Err(error) => return Err(error.into()),
    };
    Ok(json(StatusCode::ACCEPTED, &RetriedDelivery { delivery_id: delivery_id.into_string() }))
}

/// The problem that names what comes first.
async fn blocked(state: &ApiState, row: &DeliveryRow) -> Result<Problem, Problem> {
    let problem = Problem::new(ErrorCode::DeliveryBlocked);
    let Some(key) = &row.order_key else { return Ok(problem) };
    let head = line_head(state.store(), &row.endpoint_id, key).await?;
    Ok(match head {
        Some(head) => problem
            .with_detail(format!("delivery {head} of the same key comes first; retry or skip that one")),
        None => problem,
    })
}

async fn skip(
    permit: Permit<grants::DeliveriesWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let row = delivery_get(state.store(), &permit.tenant, &id).await?;
    if !row.is_some_and(|row| is_own(permit.portal.as_ref(), &row)) {
        return Err(Problem::new(ErrorCode::DeliveryNotFound));
    }
    state.deliveries.skip(&permit.tenant, &DeliveryId::from_text(id)).await?;
    Ok(no_content())
}
