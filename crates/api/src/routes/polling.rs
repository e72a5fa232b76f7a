//! `/api/v1/pollers`: consumers that fetch events instead of being called, each with a position that the hub keeps.
//!
//! At least once, in order for each key: a caller handles what it fetched and then commits the cursor. Whoever fetches
//! again before that gets the same events again.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use trunkline_model::{ErrorCode, FieldError, Pattern, PollerId, Tenant};
use trunkline_store::tables::poll::{
    PollerRow, poller_count, poller_delete, poller_get, poller_insert, poller_list, poller_move,
};
use trunkline_store::{Commit, CommitError, Statement};
use utoipa::ToSchema;

use super::answers::{json, located, no_content};
use super::events::show;
use super::undelivered::EVENT_PATTERN;
use crate::auth::{Permit, grants};
use crate::input::{Field, Id, Input, JsonBody, Kind, Query, Text};
use crate::openapi::schemas::CloudEvent;
use crate::openapi::{Answer, Body, Components, Described, Operation};
use crate::page::{self, MAX_LIMIT, Page, Paging};
use crate::problem::Problem;
use crate::state::ApiState;
use crate::tail::{self, Batch, Cursor};

/// Events in an answer when nothing is asked for.
const DEFAULT_LIMIT: i64 = 50;
/// Pollers that a tenant may have.
const MAX_POLLERS: i64 = 1000;

static PATTERN: Kind = EVENT_PATTERN;
const CURSOR: Kind = Kind::Text(Text {
    min: 1,
    max: tail::MAX_CURSOR_LEN,
    pattern: "^[A-Za-z0-9_-]+$",
    accepts: |text| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')),
    rule: "is not a cursor",
});

static INPUT: &[Field] = &[
    Field::required("name", Kind::Text(Text::line(1, 200)), "For people: who fetches, and what for."),
    Field::required(
        "events",
        Kind::List { item: &PATTERN, min: 1, max: 100 },
        "Patterns of the event types wanted.",
    ),
];
static LIST: &[Field] = &[page::LIMIT, page::TOKEN];
static FETCH: &[Field] = &[
    page::LIMIT,
    Field::optional("cursor", CURSOR, "Where to read on from. The stored position when absent."),
];
static COMMIT: &[Field] =
    &[Field::required("cursor", CURSOR, "The `next_cursor` up to which all is handled.")];
static SEEK: &[Field] = &[
    Field::optional("cursor", CURSOR, "To this position."),
    Field::optional(
        "since",
        Kind::Time,
        "Before everything stored since then; a few earlier events may come along.",
    ),
    Field::optional(
        "to",
        Kind::Choice(&["start", "end"]),
        "Before everything that is kept, or behind everything stored by now.",
    ),
];

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    vec![
        Operation::post("/api/v1/pollers", "createPoller", create)
            .about("pollers", "Creates a poller")
            .details("Its position is behind everything stored by now; `seek` takes it elsewhere.")
            .permit::<grants::EndpointsWrite>()
            .body(Body::Object { name: "PollerInput", fields: INPUT, is_required: true })
            .answer(Answer::json::<Poller>(201, "The poller."))
            .problems(&[C::PollerTooMany]),
        Operation::get("/api/v1/pollers", "listPollers", list)
            .about("pollers", "Lists pollers, newest first")
            .permit::<grants::EndpointsRead>()
            .query(LIST)
            .answer(Answer::json::<Page<Poller>>(200, "A page of pollers.")),
        Operation::get("/api/v1/pollers/{id}", "getPoller", get)
            .about("pollers", "Reads one poller")
            .permit::<grants::EndpointsRead>()
            .id_of("pol_")
            .answer(Answer::json::<Poller>(200, "The poller."))
            .problems(&[C::PollerNotFound]),
        Operation::delete("/api/v1/pollers/{id}", "deletePoller", delete)
            .about("pollers", "Deletes a poller")
            .permit::<grants::EndpointsWrite>()
            .id_of("pol_")
            .answer(Answer::empty(204, "It is gone."))
            .problems(&[C::PollerNotFound]),
        Operation::get("/api/v1/pollers/{id}/messages", "fetchMessages", fetch)
            .about("pollers", "Fetches events from a position on")
            .details(
                "Oldest first for each key, at least once. A call looks through a bounded number of events, so it can \
                 answer none and still have more. Fetching moves no position: commit `next_cursor` when all is handled.",
            )
            .permit::<grants::EventsRead>()
            .id_of("pol_")
            .query(FETCH)
            .answer(Answer::json::<Messages>(200, "Events, and where to go on."))
            .problems(&[C::PollerNotFound]),
        Operation::post("/api/v1/pollers/{id}/commit", "commitPoller", commit)
            .about("pollers", "Stores the position up to which all is handled")
            .permit::<grants::EventsRead>()
            .id_of("pol_")
            .body(Body::Object { name: "PollerCommit", fields: COMMIT, is_required: true })
            .answer(Answer::json::<Poller>(200, "The poller."))
            .problems(&[C::PollerNotFound]),
        Operation::post("/api/v1/pollers/{id}/seek", "seekPoller", seek)
            .about("pollers", "Stores another position: a cursor's, a time's, the start or the end")
            .permit::<grants::EventsRead>()
            .id_of("pol_")
            .body(Body::Object { name: "PollerSeek", fields: SEEK, is_required: true })
            .answer(Answer::json::<Poller>(200, "The poller."))
            .problems(&[C::PollerNotFound]),
    ]
}

/// A consumer that fetches events.
#[derive(Debug, Serialize, ToSchema)]
struct Poller {
    id: String,
    name: String,
    /// Patterns of the event types wanted.
    events: Vec<String>,
    /// The stored position.
    cursor: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// When the position was last stored.
    #[schema(format = DateTime)]
    updated_at: String,
}

impl From<PollerRow> for Poller {
    fn from(row: PollerRow) -> Self {
        Self {
            id: row.id.into_string(),
            name: row.name,
            events: serde_json::from_str(&row.events).unwrap_or_default(),
            cursor: row.position,
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
        }
    }
}

/// Events, and where to go on.
#[derive(Debug, Serialize)]
struct Messages {
    items: Vec<Box<RawValue>>,
    next_cursor: String,
    has_more: bool,
}

impl Described for Messages {
    fn reference(components: &mut Components) -> serde_json::Value {
        serde_json::json!({
            "type": "object",
            "required": ["items", "next_cursor", "has_more"],
            "properties": {
                "items": { "type": "array", "items": CloudEvent::reference(components), "maxItems": MAX_LIMIT },
                "next_cursor": { "type": "string", "description": "The position behind these events." },
                "has_more": { "type": "boolean", "description": "Whether to ask again at once." }
            }
        })
    }
}

async fn create(
    permit: Permit<grants::EndpointsWrite>,
    State(state): State<ApiState>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(INPUT, body.required()?);
    input.finish()?;
    if poller_count(state.store(), &permit.tenant).await? >= MAX_POLLERS {
        return Err(Problem::new(ErrorCode::PollerTooMany));
    }
    let now = state.now();
    let position = Cursor::end(state.store()).await?.to_text(&permit.tenant);
    let events = input.texts("events").unwrap_or_default();
    let row = PollerRow {
        id: PollerId::fresh(),
        tenant: permit.tenant,
        name: input.text("name").unwrap_or_default(),
        events: serde_json::to_string(&events).expect("invariant: texts serialise"),
        position,
        created_at: now,
        updated_at: now,
    };
    state.journal.commit(Commit::statements(vec![poller_insert(&row)])).await?;
    let path = format!("/api/v1/pollers/{}", row.id);
    Ok(located(json(StatusCode::CREATED, &Poller::from(row)), &path))
}

async fn list(
    permit: Permit<grants::EndpointsRead>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, "pollers", &permit.tenant);
    query.finish()?;
    let rows = poller_list(state.store(), &permit.tenant, paging.after.as_deref(), paging.n_rows()).await?;
    Ok(json(StatusCode::OK, &paging.page(rows, |row| row.id.as_str().to_owned(), Poller::from)))
}

async fn find(state: &ApiState, tenant: &Tenant, id: &str) -> Result<PollerRow, Problem> {
    poller_get(state.store(), tenant, id).await?.ok_or_else(|| Problem::new(ErrorCode::PollerNotFound))
}

async fn get(
    permit: Permit<grants::EndpointsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let row = find(&state, &permit.tenant, &id).await?;
    Ok(json(StatusCode::OK, &Poller::from(row)))
}

/// Commits a change of one poller. A guard that fails means that it is gone.
async fn store(state: &ApiState, statement: Statement) -> Result<(), Problem> {
    match state.journal.commit(Commit::statements(vec![statement])).await {
        Ok(_) => Ok(()),
        Err(CommitError::Guard { .. }) => Err(Problem::new(ErrorCode::PollerNotFound)),
        Err(error) => Err(error.into()),
    }
}

async fn delete(
    permit: Permit<grants::EndpointsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    store(&state, poller_delete(&permit.tenant, &id)).await?;
    Ok(no_content())
}

/// A cursor that a caller sent, in the field of this name.
fn parse(state: &ApiState, tenant: &Tenant, (place, text): (&str, &str)) -> Result<Cursor, Problem> {
    Cursor::parse(text, tenant, state.store().n_shards()).ok_or_else(|| {
        let detail = "is not a cursor that this hub has given to this tenant";
        Problem::invalid(vec![FieldError::new(place, "invalid", detail)])
    })
}

async fn fetch(
    permit: Permit<grants::EventsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
    Query(query): Query,
) -> Result<Response, Problem> {
    let row = find(&state, &permit.tenant, &id).await?;
    let cursor = match query.text("cursor") {
        Some(text) => parse(&state, &permit.tenant, ("query:cursor", &text))?,
        // A position that does not fit any more is of another number of shards, as after a move to another database.
        None => Cursor::parse(&row.position, &permit.tenant, state.store().n_shards())
            .unwrap_or_else(|| Cursor::start(state.store())),
    };
    let texts: Vec<String> = serde_json::from_str(&row.events).unwrap_or_default();
    let patterns: Vec<Pattern> = texts.iter().filter_map(|text| Pattern::parse(text).ok()).collect();
    let limit = usize::try_from(query.integer("limit").unwrap_or(DEFAULT_LIMIT)).unwrap_or(1);
    let wanted = (&permit.tenant, patterns.as_slice());
    let Batch { items, cursor, has_more } = tail::read(state.store(), wanted, cursor, limit).await?;
    let items = items.iter().map(|(record, _)| show(record)).collect();
    let next_cursor = cursor.to_text(&permit.tenant);
    Ok(json(StatusCode::OK, &Messages { items, next_cursor, has_more }))
}

async fn commit(
    permit: Permit<grants::EventsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(COMMIT, body.required()?);
    input.finish()?;
    let cursor = parse(&state, &permit.tenant, ("/cursor", &input.text("cursor").unwrap_or_default()))?;
    move_to(&state, &permit.tenant, &id, &cursor).await
}

async fn seek(
    permit: Permit<grants::EventsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(SEEK, body.required()?);
    input.finish()?;
    find(&state, &permit.tenant, &id).await?;
    let cursor = match (input.text("cursor"), input.time("since"), input.text("to").as_deref()) {
        (Some(text), None, None) => parse(&state, &permit.tenant, ("/cursor", &text))?,
        (None, Some(since), None) => Cursor::since(state.store(), since).await?,
        (None, None, Some("start")) => Cursor::start(state.store()),
        (None, None, Some(_)) => Cursor::end(state.store()).await?,
        _ => {
            let detail = "exactly one of cursor, since and to is expected";
            return Err(Problem::invalid(vec![FieldError::new("", "ambiguous", detail)]));
        }
    };
    move_to(&state, &permit.tenant, &id, &cursor).await
}

async fn move_to(state: &ApiState, tenant: &Tenant, id: &str, cursor: &Cursor) -> Result<Response, Problem> {
    store(state, poller_move(tenant, id, &cursor.to_text(tenant), state.now())).await?;
    let row = find(state, tenant, id).await?;
    Ok(json(StatusCode::OK, &Poller::from(row)))
}
