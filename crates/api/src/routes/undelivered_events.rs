//! `/api/v1/undelivered`: the events of a tenant that somebody has not got, and those that nobody wanted.
//!
//! One item an event, with the endpoints that count; a call looks at a bounded number of events, so a page can be short,
//! even empty, and still name a next one.

use std::collections::{BTreeMap, HashMap};

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use trunkline_dispatch::engine::{OWN_SOURCE, TEST_TYPE, told_of};
use trunkline_dispatch::replay::{Standing, Unplanned, planned_to};
use trunkline_model::{EndpointId, EventType, Pattern, Seq, Shard, Tenant, Timestamp};
use trunkline_store::tables::delivery::{DeliveryStub, OwedEvent, OwedFilter, OwedPage, delivery_list_owed};
use trunkline_store::tables::endpoint::{EndpointFilter, EndpointRow, endpoint_list};
use utoipa::ToSchema;

use super::answers::json;
use super::events::{place_from_text, place_text};
use super::undelivered::{EVENT_PATTERN, EndpointStanding, Outcome, StandingState};
use crate::auth::{Permit, grants};
use crate::input::{Field, Kind, Query};
use crate::openapi::{Answer, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::Problem;
use crate::state::ApiState;

/// Pages of events that one call reads at most.
const MAX_READS: usize = 20;
/// Endpoints that are shown of one event.
const MAX_SHOWN: usize = 20;
/// Endpoints read at once.
const ENDPOINTS_PAGE: i64 = 500;

const PENDING: &str = "pending";
const FAILED: &str = "failed";
const SKIPPED: &str = "skipped";
const NO_MATCH: &str = "no_match";
const STATES: [&str; 4] = [PENDING, FAILED, SKIPPED, NO_MATCH];

static LIST: &[Field] = &[
    page::LIMIT,
    page::TOKEN,
    Field::optional("since", Kind::Time, "Only events stored at or after this time."),
    Field::optional("until", Kind::Time, "Only events stored before this time."),
    Field::optional("event_type", EVENT_PATTERN, "Only event types that this pattern selects."),
    Field::optional(
        "state",
        Kind::Choice(&STATES),
        "Only events with endpoints in this state; `no_match` for those that no endpoint wants. When absent: pending, \
         failed and `no_match`.",
    ),
];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/api/v1/undelivered", "listUndeliveredEvents", list)
            .about("deliveries", "Lists events that somebody has not got or nobody wants, oldest first")
            .details(
                "Of each event up to 20 endpoints are shown; `GET /api/v1/events/{id}/endpoints` shows all. A call looks at up \
                 to 2000 events, so a page can be short, even empty, and still name a next.",
            )
            .permit::<grants::DeliveriesRead>()
            .query(LIST)
            .answer(Answer::json::<Page<UndeliveredEvent>>(200, "A page of events.")),
    ]
}

/// An event that somebody has not got, or nobody wants.
#[derive(Debug, Serialize, ToSchema)]
struct UndeliveredEvent {
    event_id: String,
    event_type: String,
    #[schema(format = DateTime)]
    recorded_at: String,
    /// Whether nothing was made of it, and no endpoint that was there wants its type.
    matched_nothing: bool,
    /// Endpoints that have it.
    #[schema(minimum = 0)]
    n_succeeded: usize,
    /// Endpoints in a state that was asked for.
    #[schema(minimum = 0)]
    n_undelivered: usize,
    /// The first of these.
    endpoints: Vec<EndpointStanding>,
}

/// What of an endpoint decides about events.
struct Known {
    patterns: Vec<Pattern>,
    is_active: bool,
    created_at: Timestamp,
    changed_at: Timestamp,
}

impl Known {
    fn new(row: &EndpointRow) -> Self {
        let texts: Vec<String> = serde_json::from_str(&row.events).unwrap_or_default();
        Self {
            patterns: texts.iter().filter_map(|text| Pattern::parse(text).ok()).collect(),
            is_active: row.active,
            created_at: row.created_at,
            changed_at: row.updated_at,
        }
    }

    fn wants(&self, event_type: &EventType) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(event_type))
    }
}

/// Every endpoint of a tenant.
async fn known(state: &ApiState, tenant: &Tenant) -> Result<BTreeMap<EndpointId, Known>, Problem> {
    let mut all = BTreeMap::new();
    let mut filter = EndpointFilter { limit: ENDPOINTS_PAGE, ..EndpointFilter::default() };
    loop {
        let rows = endpoint_list(state.store(), tenant, &filter).await?;
        filter.before = rows.last().map(|row| row.id.as_str().to_owned());
        let is_end = (rows.len() as i64) < ENDPOINTS_PAGE;
        all.extend(rows.into_iter().map(|row| (row.id.clone(), Known::new(&row))));
        if is_end {
            return Ok(all);
        }
    }
}

async fn list(
    permit: Permit<grants::DeliveriesRead>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, "undelivered", &permit.tenant);
    let mut after = paging.after.as_deref().and_then(place_from_text);
    query.finish()?;
    let text = query.text("event_type");
    let pattern = text.as_deref().and_then(|text| Pattern::parse(text).ok());
    let asked = query.text("state");
    let endpoints = known(&state, &permit.tenant).await?;
    let mut items = Vec::new();
    for _ in 0..MAX_READS {
        // Read before the deliveries are, so that nothing planned in between looks as if it were left out.
        let planned = planned_to(state.store()).await?;
        let filter = OwedFilter {
            endpoint_id: None,
            event_type: text.clone().filter(|text| !text.contains('*')),
            since: query.time("since").unwrap_or_default(),
            until: query.time("until").unwrap_or(Timestamp::from_micros(i64::MAX)),
            after,
            page: OwedPage::Medium,
        };
        let events = delivery_list_owed(state.store(), &permit.tenant, &filter).await?;
        let is_end = events.len() < OwedPage::Medium.n_events();
        for event in events {
            if items.len() as i64 == paging.limit {
                return Ok(answer(&paging, items, after.map(place_text)));
            }
            after = Some(event.place);
            let is_test = event.event_type.as_str() == TEST_TYPE && event.source == OWN_SOURCE;
            if !is_test && pattern.as_ref().is_none_or(|pattern| pattern.matches(&event.event_type)) {
                items.extend(look(&event, &endpoints, &planned, asked.as_deref()));
            }
        }
        if is_end {
            return Ok(answer(&paging, items, None));
        }
    }
    Ok(answer(&paging, items, after.map(place_text)))
}

fn answer(paging: &Paging, items: Vec<UndeliveredEvent>, next: Option<String>) -> Response {
    json(StatusCode::OK, &Page { items, next_page_token: next.map(|place| paging.seal(&place)) })
}

/// An event as it is listed; `None` when there is nothing to tell.
fn look(
    event: &OwedEvent,
    endpoints: &BTreeMap<EndpointId, Known>,
    planned: &HashMap<Shard, Seq>,
    asked: Option<&str>,
) -> Option<UndeliveredEvent> {
    let mut made: BTreeMap<&EndpointId, Vec<&DeliveryStub>> = BTreeMap::new();
    for delivery in &event.deliveries {
        made.entry(&delivery.endpoint_id).or_default().push(delivery);
    }
    // What tells of an endpoint is never for that endpoint.
    let about = told_of(&event.source, event.subject.as_deref());
    let is_about = |id: &EndpointId| about == Some(id.as_str());
    let wanting = endpoints.iter().filter(|(id, known)| known.wants(&event.event_type) && !is_about(id));
    for (id, _) in wanting {
        made.entry(id).or_default();
    }
    let was_there =
        |id: &EndpointId| endpoints.get(id).is_none_or(|known| known.created_at <= event.place.recorded_at);
    let matched_nothing = event.deliveries.is_empty() && !made.keys().any(|id| was_there(id));
    let outcome = |(id, deliveries): (&&EndpointId, &Vec<&DeliveryStub>)| {
        let known = endpoints.get(*id);
        let unplanned = Unplanned {
            event_type: &event.event_type,
            source: &event.source,
            recorded_at: event.place.recorded_at,
            seq: event.place.seq,
            planned_to: planned.get(&event.place.shard).copied().unwrap_or_default(),
            endpoint_created_at: known.map_or(event.place.recorded_at, |known| known.created_at),
            is_selected: known.is_some_and(|known| known.wants(&event.event_type)),
            is_active: known.is_some_and(|known| known.is_active),
        };
        let changed_at = known.map_or(event.place.recorded_at, |known| known.changed_at);
        let outcome = Outcome::new(Standing::of(deliveries.iter().copied()), &unplanned, changed_at);
        EndpointStanding { endpoint_id: id.as_str().to_owned(), outcome }
    };
    let mut standings: Vec<EndpointStanding> = made.iter().map(outcome).collect();
    let n_succeeded =
        standings.iter().filter(|standing| standing.outcome.state == StandingState::Succeeded).count();
    standings.retain(|standing| match standing.outcome.state {
        StandingState::Pending => asked.is_none_or(|asked| asked == PENDING),
        StandingState::Failed => asked.is_none_or(|asked| asked == FAILED),
        StandingState::Skipped => asked == Some(SKIPPED),
        StandingState::Succeeded => false,
    });
    let n_undelivered = standings.len();
    // What the hub tells of itself need not interest anybody.
    let is_unwanted =
        matched_nothing && event.source != OWN_SOURCE && asked.is_none_or(|asked| asked == NO_MATCH);
    if n_undelivered == 0 && !is_unwanted {
        return None;
    }
    standings.truncate(MAX_SHOWN);
    Some(UndeliveredEvent {
        event_id: event.id.as_str().to_owned(),
        event_type: event.event_type.as_str().to_owned(),
        recorded_at: event.place.recorded_at.to_rfc3339(),
        matched_nothing,
        n_succeeded,
        n_undelivered,
        endpoints: standings,
    })
}
