//! `/api/v1/inbound`: webhook calls as received, and judging them again.
//!
//! The list holds the calls that were quarantined or rejected at first. An accepted call is one record with its event, and
//! is read by its id here too.

use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use trunkline_model::{ErrorCode, EventRecord, InboundId, Tenant};
use trunkline_store::tables::event::event_get;
use trunkline_store::tables::inbound::{InboundFilter, InboundRow, Verdict, inbound_get, inbound_list};
use utoipa::ToSchema;

use super::answers::json;
use crate::auth::{Permit, grants};
use crate::input::{Field, Id, Input, JsonBody, Kind, Query, Text};
use crate::openapi::{Answer, Body, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::Problem;
use crate::seams::{EngineError, Rejudged};
use crate::state::ApiState;

const VERDICTS: [&str; 3] =
    [Verdict::Quarantined.as_str(), Verdict::Rejected.as_str(), Verdict::Accepted.as_str()];
const OPEN_VERDICTS: [&str; 2] = [Verdict::Quarantined.as_str(), Verdict::Rejected.as_str()];

static LIST: &[Field] = &[
    page::LIMIT,
    page::TOKEN,
    Field::optional("source", Kind::Text(Text::line(1, 128)), "Only calls to this source, by its name."),
    Field::optional("verdict", Kind::Choice(&VERDICTS), "Only calls with this verdict."),
];

static REJUDGE: &[Field] = &[
    Field::required("source", Kind::Text(Text::line(1, 128)), "The source's name."),
    Field::optional("verdict", Kind::Choice(&OPEN_VERDICTS), "Which calls. Default `quarantined`."),
    page::LIMIT,
    page::TOKEN,
];

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    vec![
        Operation::get("/api/v1/inbound", "listInbound", list)
            .about("inbound", "Lists calls that were quarantined or rejected, newest first")
            .permit::<grants::InboundRead>()
            .query(LIST)
            .answer(Answer::json::<Page<Inbound>>(200, "A page of calls, without their bodies.")),
        Operation::get("/api/v1/inbound/{id}", "getInbound", get)
            .about("inbound", "Reads one call with its body, whatever became of it")
            .permit::<grants::InboundRead>()
            .id_of("inb_")
            .answer(Answer::json::<InboundWithBody>(200, "The call."))
            .problems(&[C::InboundNotFound]),
        Operation::post("/api/v1/inbound/{id}/rejudge", "rejudgeInbound", rejudge)
            .about("inbound", "Judges one call again, with the source's settings of now")
            .permit::<grants::InboundWrite>()
            .id_of("inb_")
            .answer(Answer::json::<Rejudgement>(200, "What it came to."))
            .problems(&[C::InboundNotFound, C::SourceNotFound]),
        Operation::post("/api/v1/inbound/rejudge", "rejudgeInboundOfSource", rejudge_all)
            .about("inbound", "Judges a page of a source's quarantined or rejected calls again")
            .details("Newest first. Send `next_page_token` back until it is null.")
            .permit::<grants::InboundWrite>()
            .body(Body::Object { name: "RejudgeSource", fields: REJUDGE, is_required: true })
            .answer(Answer::json::<Page<Rejudgement>>(200, "What each call of the page came to.")),
    ]
}

/// What became of a call.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Verdict)]
enum ShownVerdict {
    Accepted,
    Quarantined,
    Rejected,
}

impl From<Verdict> for ShownVerdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Accepted => Self::Accepted,
            Verdict::Quarantined => Self::Quarantined,
            Verdict::Rejected => Self::Rejected,
        }
    }
}

/// A webhook call as received.
#[derive(Debug, Serialize, ToSchema)]
struct Inbound {
    id: String,
    /// The source's name; `/in/NAME` when the call is one record with its event.
    source: String,
    #[schema(format = DateTime)]
    received_at: String,
    verdict: ShownVerdict,
    /// Why it is no event.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    reason: String,
    /// The event it became.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    event_id: Option<String>,
}

/// A webhook call with headers and body.
#[derive(Debug, Serialize, ToSchema)]
struct InboundWithBody {
    #[serde(flatten)]
    inbound: Inbound,
    /// The headers, credentials masked.
    head: String,
    /// The body when it is text; absent when it was not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    body: Option<String>,
    /// The body in base64 when it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    body_base64: Option<String>,
}

/// What a call came to when it was judged again.
#[derive(Debug, Serialize, ToSchema)]
struct Rejudgement {
    id: String,
    verdict: ShownVerdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    event_id: Option<String>,
    /// Why it is still no event.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    reason: String,
}

impl From<&InboundRow> for Inbound {
    fn from(row: &InboundRow) -> Self {
        Self {
            id: row.id.as_str().to_owned(),
            source: row.source.clone(),
            received_at: row.received_at.to_rfc3339(),
            verdict: row.verdict.into(),
            reason: row.reason.clone(),
            event_id: row.event_id.clone(),
        }
    }
}

impl InboundWithBody {
    fn new(inbound: Inbound, head: String, body: Option<&Bytes>) -> Self {
        let text = body.and_then(|body| std::str::from_utf8(body).ok()).map(str::to_owned);
        let body_base64 = body.filter(|_| text.is_none()).map(|body| BASE64.encode(body));
        Self { inbound, head, body: text, body_base64 }
    }

    /// The call that is one record with an event.
    fn from_event(id: &str, record: EventRecord) -> Option<Self> {
        let head = record.request_head?;
        let inbound = Inbound {
            id: id.to_owned(),
            source: record.event.source.to_string(),
            received_at: record.recorded_at.to_rfc3339(),
            verdict: ShownVerdict::Accepted,
            reason: String::new(),
            event_id: Some(record.event.id.into_string()),
        };
        let body = Bytes::copy_from_slice(record.event.data.as_stored());
        Some(Self::new(inbound, head, Some(&body)))
    }
}

impl Rejudgement {
    fn new(id: String, rejudged: Rejudged) -> Self {
        Self {
            id,
            verdict: rejudged.verdict.into(),
            event_id: rejudged.event_id.map(trunkline_model::EventId::into_string),
            reason: rejudged.reason,
        }
    }
}

async fn list(
    permit: Permit<grants::InboundRead>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, "inbound", &permit.tenant);
    query.finish()?;
    let rows = inbound_list(state.store(), &permit.tenant, &filter(&query, &paging)).await?;
    Ok(json(StatusCode::OK, &paging.page(rows, |row| row.id.as_str().to_owned(), |row| Inbound::from(&row))))
}

fn filter(input: &Input, paging: &Paging) -> InboundFilter {
    InboundFilter {
        source: input.text("source"),
        verdict: input.text("verdict").and_then(|text| Verdict::parse(&text)),
        before: paging.after.clone(),
        limit: paging.n_rows(),
    }
}

async fn get(
    permit: Permit<grants::InboundRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    if let Some(row) = inbound_get(state.store(), &permit.tenant, &id).await? {
        let shown = InboundWithBody::new(Inbound::from(&row), row.head.clone(), row.body.as_ref());
        return Ok(json(StatusCode::OK, &shown));
    }
    let record = stored_with_event(&state, &permit.tenant, &id).await?;
    let shown = record.and_then(|record| InboundWithBody::from_event(&id, record));
    shown.map(|shown| json(StatusCode::OK, &shown)).ok_or_else(|| Problem::new(ErrorCode::InboundNotFound))
}

async fn stored_with_event(
    state: &ApiState,
    tenant: &Tenant,
    id: &str,
) -> Result<Option<EventRecord>, Problem> {
    let Some(event_id) = InboundId::from_text(id).to_event() else { return Ok(None) };
    let record = event_get(state.store(), tenant, event_id.as_str()).await?;
    Ok(record.filter(|record| record.request_head.is_some()))
}

async fn rejudge(
    permit: Permit<grants::InboundWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    if inbound_get(state.store(), &permit.tenant, &id).await?.is_none() {
        // A call that was accepted at once has nothing left to judge.
        let record = stored_with_event(&state, &permit.tenant, &id).await?;
        let record = record.ok_or_else(|| Problem::new(ErrorCode::InboundNotFound))?;
        let accepted =
            Rejudged { verdict: Verdict::Accepted, event_id: Some(record.event.id), reason: String::new() };
        return Ok(json(StatusCode::OK, &Rejudgement::new(id, accepted)));
    }
    let rejudged = state.rejudge.rejudge(&permit.tenant, &InboundId::from_text(id.as_str())).await?;
    Ok(json(StatusCode::OK, &Rejudgement::new(id, rejudged)))
}

async fn rejudge_all(
    permit: Permit<grants::InboundWrite>,
    State(state): State<ApiState>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(REJUDGE, body.required()?);
    let paging = Paging::read(&mut input, "rejudge", &permit.tenant);
    input.finish()?;
    let mut filter = filter(&input, &paging);
    filter.verdict.get_or_insert(Verdict::Quarantined);
    let rows = inbound_list(state.store(), &permit.tenant, &filter).await?;
    let page = paging.page(rows, |row| row.id.as_str().to_owned(), |row| row);
    let mut items = Vec::with_capacity(page.items.len());
    for row in page.items {
        let rejudged = match state.rejudge.rejudge(&permit.tenant, &row.id).await {
            Ok(rejudged) => rejudged,
            Err(error) => unjudged(&row, error)?,
        };
        items.push(Rejudgement::new(row.id.into_string(), rejudged));
    }
    Ok(json(StatusCode::OK, &Page { items, next_page_token: page.next_page_token }))
}

/// One call that cannot be judged must not hide the others; a store that fails ends the page.
fn unjudged(row: &InboundRow, error: EngineError) -> Result<Rejudged, Problem> {
    if error.code.class().is_transient() {
        return Err(error.into());
    }
    let reason = match error.code {
        ErrorCode::SourceNotFound => "its source is not configured any more".to_owned(),
        _ => error.source.as_ref().map_or_else(|| error.to_string(), ToString::to_string),
    };
    Ok(Rejudged { verdict: row.verdict, event_id: None, reason })
}
