//! `/api/v1/events`: emit, list, read, follow and replay events.

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use trunkline_model::cloudevents::{
    BATCH, Defaults, STRUCTURED, parse_batch, parse_binary, parse_structured, to_structured_record,
};
use trunkline_model::{EndpointId, ErrorCode, Event, EventRecord, FieldError, Tenant, Timestamp};
use trunkline_store::tables::endpoint::endpoint_get;
use trunkline_store::tables::event::{EventFilter, EventPlace, event_get, event_list};
use trunkline_store::{Appended, NewEvent};
use utoipa::ToSchema;

use super::answers::{json, json_bytes};
use crate::auth::{Permit, grants};
use crate::input::{Field, Id, Input, JsonBody, Kind, Query, Text, read_bytes};
use crate::journey::{Journey, read_journey};
use crate::openapi::schemas::{CloudEvent, EVENT_TYPE, event_bodies};
use crate::openapi::{Answer, Body, Components, Described, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::{FieldFault, Problem};
use crate::search::{self, Budget, Conditions};
use crate::state::ApiState;

/// The most events of one batch.
pub(crate) const MAX_BATCH: usize = 1000;
/// The deepest nesting of content: readers of JSON trees commonly stop at 128.
const MAX_DEPTH: usize = 120;

/// The id of an event, in a path: producers choose their own.
pub(super) fn event_id() -> serde_json::Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]+$" })
}

const TYPE: Kind = Kind::Text(Text {
    min: 1,
    max: 255,
    pattern: EVENT_TYPE,
    accepts: |text| trunkline_model::EventType::parse(text).is_ok(),
    rule: "must be an event type such as appointment.created",
});

static LIST: &[Field] = &[
    page::LIMIT,
    page::TOKEN,
    Field::optional("type", TYPE, "Only this type, exactly."),
    Field::optional("source", Kind::Text(Text::line(1, 1024)), "Only this source."),
    Field::optional("subject", Kind::Text(Text::line(1, 1024)), "Only this subject."),
    Field::optional("since", Kind::Time, "Only events stored at or after this time."),
    Field::optional("until", Kind::Time, "Only events stored before this time."),
    search::DATA,
];

static REPLAY: &[Field] = &[Field::optional(
    "endpoint_id",
    Kind::Text(Text::line(1, 64)),
    "Only to this endpoint, whatever its patterns; else to every active endpoint whose patterns select the event.",
)];

static EMIT: &[Field] =
    &[Field::optional("atomic", Kind::Boolean, "Of a batch: all events are stored or none. Default false.")];

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    vec![
        Operation::post("/api/v1/events", "emitEvents", emit)
            .about("events", "Emits one event or a batch")
            .details(
                "Takes CloudEvents 1.0 in structured, batch and binary mode (`ce-…` headers, any content type). An event \
                 whose id and source are known already is not stored again and answered with its place. In a batch each \
                 event stands for itself: bad ones are rejected by name, the others are stored together. With `atomic=true` \
                 one bad event refuses the whole batch, and all are stored or none.",
            )
            .permit::<grants::EventsWrite>()
            .query(EMIT)
            .body(Body::OneOf(event_bodies))
            .answer(Answer::json::<Emitted>(202, "The event is stored."))
            .answer(Answer::json::<EmittedOrBatch>(200, "The event was known already; or the results of a batch."))
            .problems(&[C::EventTooLarge]),
        Operation::get("/api/v1/events", "listEvents", list)
            .about("events", "Lists events, newest first")
            .details(
                "With `source`, `subject` or `data` a call looks at up to 5000 events, or for two seconds, so a page can be \
                 short, even empty, and still name a next one.",
            )
            .permit::<grants::EventsRead>()
            .query(LIST)
            .answer(Answer::json::<Page<CloudEvent>>(200, "A page of events.")),
        Operation::get("/api/v1/events/{id}", "getEvent", get)
            .about("events", "Reads one event")
            .permit::<grants::EventsRead>()
            .id_schema(event_id())
            .answer(Answer::json::<CloudEvent>(200, "The event."))
            .problems(&[C::EventNotFound]),
        Operation::get("/api/v1/events/{id}/journey", "getJourney", journey)
            .about("events", "Follows an event from its cause to its deliveries")
            .details("Takes the id of an event or of an inbound request (`inb_…`).")
            .permit::<grants::EventsRead>()
            .id_schema(event_id())
            .answer(Answer::json::<Journey>(200, "What happened, in order, as a tree."))
            .problems(&[C::EventNotFound, C::InboundNotFound]),
        Operation::post("/api/v1/events/{id}/replay", "replayEvent", replay)
            .about("events", "Delivers a stored event again")
            .permit::<grants::DeliveriesWrite>()
            .id_schema(event_id())
            .body(Body::Object { name: "Replay", fields: REPLAY, is_required: false })
            .answer(Answer::json::<Replayed>(202, "The new deliveries."))
            .problems(&[C::EventNotFound, C::EndpointNotFound, C::EndpointInactive]),
    ]
}

/// Where an emitted event stands.
#[derive(Debug, Serialize, ToSchema)]
struct Emitted {
    id: String,
    /// Place in the shard.
    #[schema(minimum = 1)]
    seq: i64,
    #[schema(minimum = 0)]
    shard: i64,
    /// How the data misses the schema of its type, where the tenant has such events stored all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    warnings: Vec<FieldFault>,
}

fn shown(faults: &[FieldError]) -> Vec<FieldFault> {
    faults.iter().map(FieldFault::from).collect()
}

/// What became of one event of a batch.
#[derive(Debug, Serialize, ToSchema)]
struct BatchItem {
    /// Which event of the batch, from 0.
    index: usize,
    /// What became of it.
    status: BatchStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = i64)]
    seq: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = i64)]
    shard: Option<i64>,
    /// Every fault of a rejected event.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldFault>,
    /// How the data misses the schema of its type, where the tenant has such events stored all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    warnings: Vec<FieldFault>,
}

/// What became of an event.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum BatchStatus {
    /// Stored.
    Accepted,
    /// Known already.
    Duplicate,
    /// Not stored; `errors` says why.
    Rejected,
}

/// The results of a batch, one for each event, in its order.
#[derive(Debug, Serialize, ToSchema)]
struct BatchResult {
    items: Vec<BatchItem>,
}

struct EmittedOrBatch;

impl Described for EmittedOrBatch {
    fn reference(components: &mut Components) -> serde_json::Value {
        json!({ "oneOf": [Emitted::reference(components), BatchResult::reference(components)] })
    }
}

/// New deliveries of a stored event.
#[derive(Debug, Serialize, ToSchema)]
struct Replayed {
    items: Vec<ReplayedDelivery>,
}

/// One new delivery.
#[derive(Debug, Serialize, ToSchema)]
struct ReplayedDelivery {
    delivery_id: String,
    endpoint_id: String,
}

/// How the events of a request are written.
enum Mode {
    Structured,
    Batch,
    Binary,
}

fn mode(headers: &HeaderMap) -> Result<Mode, Problem> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == STRUCTURED {
        Ok(Mode::Structured)
    } else if essence == BATCH {
        Ok(Mode::Batch)
    } else if essence.starts_with("application/cloudevents") {
        Err(Problem::new(ErrorCode::RequestUnsupportedMediaType)
            .with_detail("of the CloudEvents formats only JSON and its batch are read"))
    } else if headers.contains_key("ce-specversion") {
        Ok(Mode::Binary)
    } else if essence == "application/json" {
        Ok(Mode::Structured)
    } else {
        Err(Problem::new(ErrorCode::RequestUnsupportedMediaType).with_detail(
            "send application/cloudevents+json, application/cloudevents-batch+json, or an event with ce- headers",
        ))
    }
}

async fn emit(
    permit: Permit<grants::EventsWrite>,
    State(state): State<ApiState>,
    Query(query): Query,
    request: Request,
) -> Result<Response, Problem> {
    let is_whole = query.flag("atomic").unwrap_or(false);
    let headers = request.headers().clone();
    let mode = mode(&headers)?;
    let body = read_bytes(request, &state).await?;
    let defaults = Defaults { tenant: &permit.tenant, now: state.now() };
    let parsed = match mode {
        Mode::Batch => {
            let judged = judge_batch(&state, &body, &defaults).await?;
            return emit_batch(&state, if is_whole { whole(judged)? } else { judged }, &defaults).await;
        }
        Mode::Structured => parse_structured(&body, &defaults),
        Mode::Binary => {
            let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
            parse_binary(pairs, body, &defaults)
        }
    };
    let mut event = parsed.map_err(refused)?;
    if let Some(problem) = unfit(&event, state.limits.event_bytes) {
        return Err(problem);
    }
    let view = state.catalogue.of(state.store(), &permit.tenant).await?;
    let warnings = view.judge(&mut event).map_err(Problem::invalid)?;
    let id = event.id.as_str().to_owned();
    let places = state.journal.append(vec![NewEvent::new(event, defaults.now)]).await?;
    let place = places.first().ok_or_else(|| Problem::new(ErrorCode::ServerInternal))?;
    let status = if place.is_duplicate { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(json(status, &Emitted { id, seq: place.seq, shard: place.shard, warnings: shown(&warnings) }))
}

/// What is to be said of each event of a batch: warnings, or the faults for which it is not taken.
type JudgedBatch = Vec<Result<(Event, Vec<FieldError>), Vec<FieldError>>>;

/// Refuses a batch of which an event is not taken, with every fault of it.
fn whole(judged: JudgedBatch) -> Result<JudgedBatch, Problem> {
    let at = |index: usize, fault: &FieldError| {
        FieldError::new(format!("/{index}{}", fault.pointer), fault.code.as_str(), fault.detail.clone())
    };
    let faults: Vec<FieldError> = judged
        .iter()
        .enumerate()
        .flat_map(|(index, one)| one.as_ref().err().into_iter().flatten().map(move |fault| at(index, fault)))
        .collect();
    if faults.is_empty() { Ok(judged) } else { Err(Problem::invalid(faults)) }
}

async fn judge_batch(
    state: &ApiState,
    body: &Bytes,
    defaults: &Defaults<'_>,
) -> Result<JudgedBatch, Problem> {
    let parsed = parse_batch(body, defaults).map_err(refused)?;
    if parsed.len() > MAX_BATCH {
        let detail = format!("at most {MAX_BATCH} events");
        return Err(Problem::invalid(vec![FieldError::new("", "too_many", detail)]));
    }
    let view = state.catalogue.of(state.store(), defaults.tenant).await?;
    let judge = |parsed: Result<Event, Vec<FieldError>>| {
        parsed.and_then(|mut event| match unfit(&event, state.limits.event_bytes) {
            Some(problem) => Err(vec![FieldError::new("", "unfit", problem_text(&problem))]),
            None => view.judge(&mut event).map(|warnings| (event, warnings)),
        })
    };
    Ok(parsed.into_iter().map(judge).collect())
}

async fn emit_batch(
    state: &ApiState,
    judged: JudgedBatch,
    defaults: &Defaults<'_>,
) -> Result<Response, Problem> {
    let mut events = Vec::with_capacity(judged.len());
    let mut items = Vec::with_capacity(judged.len());
    for (index, checked) in judged.into_iter().enumerate() {
        match checked {
            Ok((event, warnings)) => {
                items.push(BatchItem { warnings: shown(&warnings), ..BatchItem::stored(index, &event) });
                events.push(NewEvent::new(event, defaults.now));
            }
            Err(faults) => items.push(BatchItem::rejected(index, &faults)),
        }
    }
    let places = if events.is_empty() { vec![] } else { state.journal.append(events).await? };
    let stored = items.iter_mut().filter(|item| item.errors.is_empty());
    for (item, place) in stored.zip(&places) {
        item.place(place);
    }
    Ok(json(StatusCode::OK, &BatchResult { items }))
}

impl BatchItem {
    fn stored(index: usize, event: &Event) -> Self {
        let id = Some(event.id.as_str().to_owned());
        Self {
            index,
            status: BatchStatus::Accepted,
            id,
            seq: None,
            shard: None,
            errors: vec![],
            warnings: vec![],
        }
    }

    fn rejected(index: usize, faults: &[FieldError]) -> Self {
        let (errors, warnings) = (shown(faults), vec![]);
        Self { index, status: BatchStatus::Rejected, id: None, seq: None, shard: None, errors, warnings }
    }

    fn place(&mut self, place: &Appended) {
        self.seq = Some(place.seq);
        self.shard = Some(place.shard);
        if place.is_duplicate {
            self.status = BatchStatus::Duplicate;
        }
    }
}

/// A body that is no JSON at all is malformed, everything else is invalid.
fn refused(faults: Vec<FieldError>) -> Problem {
    match faults.as_slice() {
        [fault] if fault.code == "malformed" => Problem::new(ErrorCode::RequestMalformed).with_errors(faults),
        _ => Problem::invalid(faults),
    }
}

/// Why a well-formed event is not taken all the same.
pub(crate) fn unfit(event: &Event, limit: usize) -> Option<Problem> {
    let extensions: usize = event.extensions.keys().map(|name| name.len() + 8).sum();
    let n_bytes = event.data.len_bytes() + event.source.len() + event.id.as_str().len() + extensions;
    if n_bytes > limit {
        let detail = format!("the event is larger than {limit} bytes");
        return Some(Problem::new(ErrorCode::EventTooLarge).with_detail(detail));
    }
    if event.data.as_json().is_some_and(|text| is_too_deep(text.as_bytes())) {
        let detail = format!("is nested more than {MAX_DEPTH} levels deep");
        return Some(Problem::invalid(vec![FieldError::new("/data", "too_deep", detail)]));
    }
    None
}

fn problem_text(problem: &Problem) -> String {
    match problem.code() {
        ErrorCode::EventTooLarge => "is larger than the limit of one event".to_owned(),
        _ => format!("its content is nested more than {MAX_DEPTH} levels deep"),
    }
}

/// Whether valid JSON text is nested too deeply.
fn is_too_deep(text: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// An event as it is answered.
pub(super) fn show(record: &EventRecord) -> Box<RawValue> {
    let text = String::from_utf8(to_structured_record(record)).unwrap_or_default();
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

async fn list(
    permit: Permit<grants::EventsRead>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, "events", &permit.tenant);
    let beyond = paging.after.as_deref().and_then(place_from_text);
    if paging.after.is_some() && beyond.is_none() {
        query.fault("page_token", "invalid", "is not a token of this list");
    }
    query.finish()?;
    let wanted = Wanted {
        source: query.text("source"),
        subject: query.text("subject"),
        content: Conditions::read(&query),
    };
    let filter = EventFilter {
        event_type: query.text("type"),
        source: None,
        subject: None,
        since: query.time("since"),
        until: query.time("until"),
        beyond,
        limit: if wanted.is_all() { paging.n_rows() } else { search::CHUNK },
    };
    let (records, stopped_at) = walk(&state, &permit.tenant, filter, &wanted, paging.n_rows()).await?;
    let mut page = paging.page(records, |record| place_text(place_of(record)), |record| show(&record));
    // A full page goes on behind its last item, one that ran out of work behind the last event looked at.
    page.next_page_token =
        page.next_page_token.or_else(|| stopped_at.map(|place| paging.seal(&place_text(place))));
    Ok(json(StatusCode::OK, &page))
}

/// What no index knows of events.
struct Wanted {
    source: Option<String>,
    subject: Option<String>,
    content: Conditions,
}

impl Wanted {
    fn is_all(&self) -> bool {
        self.source.is_none() && self.subject.is_none() && self.content.is_empty()
    }

    fn selects(&self, event: &Event) -> bool {
        self.source.as_ref().is_none_or(|source| *event.source == **source)
            && self.subject.as_ref().is_none_or(|subject| event.subject.as_deref() == Some(subject))
            && self.content.hold(&event.data)
    }
}

/// Walks until there are enough events or the call's share of work is done; tells then behind which to go on.
async fn walk(
    state: &ApiState,
    tenant: &Tenant,
    mut filter: EventFilter,
    wanted: &Wanted,
    n_wanted: i64,
) -> Result<(Vec<EventRecord>, Option<EventPlace>), Problem> {
    let (mut found, mut budget) = (Vec::new(), Budget::new());
    loop {
        let records = event_list(state.store(), tenant, &filter).await?;
        let is_end = (records.len() as i64) < filter.limit;
        for record in records {
            filter.beyond = Some(place_of(&record));
            if wanted.selects(&record.event) {
                found.push(record);
            }
            if found.len() as i64 == n_wanted {
                return Ok((found, None));
            }
            if !budget.take() {
                return Ok((found, filter.beyond));
            }
        }
        if is_end {
            return Ok((found, None));
        }
    }
}

fn place_of(record: &EventRecord) -> EventPlace {
    EventPlace { recorded_at: record.recorded_at, shard: record.shard, seq: record.seq }
}

/// A place in the order of storing, as page tokens hold it.
pub(super) fn place_text(place: EventPlace) -> String {
    format!("{}.{}.{}", place.recorded_at.as_micros(), place.shard, place.seq)
}

pub(super) fn place_from_text(text: &str) -> Option<EventPlace> {
    let mut parts = text.split('.').map(|part| part.parse::<i64>().ok());
    let place = EventPlace {
        recorded_at: Timestamp::from_micros(parts.next()??),
        shard: parts.next()??,
        seq: parts.next()??,
    };
    parts.next().is_none().then_some(place)
}

async fn find(state: &ApiState, tenant: &Tenant, id: &str) -> Result<EventRecord, Problem> {
    event_get(state.store(), tenant, id).await?.ok_or_else(|| Problem::new(ErrorCode::EventNotFound))
}

async fn get(
    permit: Permit<grants::EventsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let record = find(&state, &permit.tenant, &id).await?;
    Ok(json_bytes(StatusCode::OK, to_structured_record(&record)))
}

async fn journey(
    permit: Permit<grants::EventsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let journey = read_journey(state.store(), &permit.tenant, &id).await?;
    let missing = if id.starts_with("inb_") { ErrorCode::InboundNotFound } else { ErrorCode::EventNotFound };
    journey.map(|journey| json(StatusCode::OK, &journey)).ok_or_else(|| Problem::new(missing))
}

async fn replay(
    permit: Permit<grants::DeliveriesWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(REPLAY, body.0.unwrap_or_else(|| json!({})));
    input.finish()?;
    let endpoint_id = input.text("endpoint_id").map(EndpointId::from_text);
    let record = find(&state, &permit.tenant, &id).await?;
    if let Some(endpoint_id) = &endpoint_id {
        let endpoint = endpoint_get(state.store(), &permit.tenant, endpoint_id.as_str()).await?;
        let endpoint = endpoint.ok_or_else(|| Problem::new(ErrorCode::EndpointNotFound))?;
        if !endpoint.active {
            return Err(Problem::new(ErrorCode::EndpointInactive));
        }
    }
    let planned = state.deliveries.replay(&record, endpoint_id.as_ref()).await?;
    let items = planned
        .into_iter()
        .map(|planned| ReplayedDelivery {
            delivery_id: planned.id.into_string(),
            endpoint_id: planned.endpoint_id.into_string(),
        })
        .collect();
    Ok(json(StatusCode::ACCEPTED, &Replayed { items }))
}
