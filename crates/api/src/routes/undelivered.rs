//! `/api/v1/webhooks/{id}/undelivered` and `/api/v1/events/{id}/endpoints`: where events stand with endpoints, also where
//! there is no delivery to look at.
//!
//! A call looks at a bounded number of events, so a page can be short, even empty, and still name a next one.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use trunkline_dispatch::endpoint::{DeliveryDefaults, Endpoint, Outlets};
use trunkline_dispatch::engine::told_of;
use trunkline_dispatch::replay::{SkipReason, Standing, Unplanned, planned_to};
use trunkline_model::{ErrorCode, EventType, Pattern, Timestamp};
use trunkline_store::tables::delivery::{
    DeliveryState, DeliveryStub, OwedEvent, OwedFilter, OwedPage, delivery_list_event_between,
    delivery_list_owed,
};
use trunkline_store::tables::endpoint::{EndpointFilter, EndpointRow, endpoint_get, endpoint_list};
use trunkline_store::tables::event::event_get;
use utoipa::ToSchema;

use super::answers::json;
use super::events::{place_from_text, place_text};
use crate::auth::portal::{self, Access};
use crate::auth::{Permit, grants};
use crate::input::{Field, Id, Kind, Query, Text};
use crate::openapi::schemas::PATTERN;
use crate::openapi::{Answer, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::Problem;
use crate::state::ApiState;

/// Pages of events that one call reads at most.
const MAX_READS: usize = 4;

/// A pattern of event types.
pub(super) const EVENT_PATTERN: Kind = Kind::Text(Text {
    min: 1,
    max: 255,
    pattern: PATTERN,
    accepts: |text| Pattern::parse(text).is_ok(),
    rule: "must be dotted segments, each a name, * (one segment) or ** (any number)",
});
const STATES: [&str; 4] = ["pending", "failed", "skipped", "succeeded"];

static LIST: &[Field] = &[
    page::LIMIT,
    page::TOKEN,
    Field::optional("since", Kind::Time, "Only events stored at or after this time."),
    Field::optional("until", Kind::Time, "Only events stored before this time."),
    Field::optional("event_type", EVENT_PATTERN, "Only event types that this pattern selects."),
    Field::optional(
        "state",
        Kind::Choice(&STATES),
        "Only this state. Every one but `succeeded` when absent.",
    ),
    Field::optional(
        "include",
        Kind::Choice(&["no_match"]),
        "Also events that the endpoint's patterns do not select, and tests of endpoints.",
    ),
];
static LIST_OF_EVENT: &[Field] = &[page::LIMIT, page::TOKEN];

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    vec![
        Operation::get("/api/v1/webhooks/{id}/undelivered", "listUndelivered", list)
            .about("deliveries", "Lists what an endpoint has not got, oldest first")
            .details(
                "Each event and this endpoint, with state and reason. Several deliveries of one event count as one: a success \
                 is a success. A call looks at up to 2000 events, so a page can be short, even empty, and still name a next.",
            )
            .permit::<grants::DeliveriesRead>()
            .portal(Access::EndpointInPath)
            .id_of("ep_")
            .query(LIST)
            .answer(Answer::json::<Page<EventStanding>>(200, "A page of events."))
            .problems(&[C::EndpointNotFound]),
        Operation::get("/api/v1/events/{id}/endpoints", "listEventEndpoints", list_of_event)
            .about("deliveries", "Lists where an event stands with every endpoint, newest endpoint first")
            .permit::<grants::DeliveriesRead>()
            .id_schema(super::events::event_id())
            .query(LIST_OF_EVENT)
            .answer(Answer::json::<Page<EndpointStanding>>(200, "A page of endpoints."))
            .problems(&[C::EventNotFound]),
    ]
}

/// The state of an event and an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum StandingState {
    /// Waiting: under way or due at `next_attempt_at`.
    Pending,
    /// Given up: exhausted or cancelled.
    Failed,
    /// There is no delivery; `reason` says why.
    Skipped,
    Succeeded,
}

/// Where an event stands with an endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Outcome {
    pub(super) state: StandingState,
    /// Of `skipped`: `not_planned_yet`, `created_later`, `disabled`, `filtered`, `expired`, `no_match` or `test`. Of
    /// `failed`: `exhausted`, or why it was cancelled. Of `pending`: what it waits for, when that is more than the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    reason: Option<String>,
    /// Where `disabled`, `filtered` and `no_match` are judged from settings: `then` when the endpoint has not been changed
    /// since the event was stored, so that they are what was so, `now` when they are only what would be so today.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    judged_by: Option<&'static str>,
    /// The delivery that decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    delivery_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    next_attempt_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = i64)]
    n_attempts: Option<i64>,
    /// Why the latest attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    error_class: Option<String>,
}

/// An event, and where it stands with the endpoint.
#[derive(Debug, Serialize, ToSchema)]
struct EventStanding {
    event_id: String,
    event_type: String,
    #[schema(format = DateTime)]
    recorded_at: String,
    #[serde(flatten)]
    outcome: Outcome,
}

/// An endpoint, and where the event stands with it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EndpointStanding {
    pub(super) endpoint_id: String,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
}

impl Outcome {
    /// `changed_at` is when the endpoint was last changed.
    pub(super) fn new(
        (standing, delivery): (Standing, Option<&DeliveryStub>),
        unplanned: &Unplanned<'_>,
        changed_at: Timestamp,
    ) -> Self {
        let skipped = delivery.and_then(unattempted);
        let state = match standing {
            _ if skipped.is_some() => StandingState::Skipped,
            Standing::Succeeded => StandingState::Succeeded,
            Standing::Pending => StandingState::Pending,
            Standing::Failed => StandingState::Failed,
            Standing::Missed => StandingState::Skipped,
        };
        let (reason, judged_by) = match delivery {
            None => {
                let reason = unplanned.reason();
                let is_by_settings =
                    matches!(reason, SkipReason::Disabled | SkipReason::Filtered | SkipReason::NoMatch);
                let judged_by = if changed_at <= unplanned.recorded_at { "then" } else { "now" };
                (Some(reason_text(reason)), is_by_settings.then_some(judged_by))
            }
            Some(_) if skipped.is_some() => (skipped.map(str::to_owned), None),
            Some(delivery) if delivery.state == DeliveryState::Exhausted => {
                (Some("exhausted".to_owned()), None)
            }
            Some(delivery) => (delivery.reason.clone(), None),
        };
        Self {
            state,
            reason,
            judged_by,
            delivery_id: delivery.map(|delivery| delivery.id.as_str().to_owned()),
            next_attempt_at: delivery
                .and_then(|delivery| delivery.next_attempt_at)
                .map(Timestamp::to_rfc3339),
            n_attempts: delivery.map(|delivery| delivery.n_attempts),
            error_class: delivery.and_then(|delivery| delivery.error_class.clone()),
        }
    }
}

/// Why a delivery was given up before its first attempt, where that is as good as if there were none.
fn unattempted(delivery: &DeliveryStub) -> Option<&'static str> {
    if delivery.state != DeliveryState::Cancelled || delivery.n_attempts > 0 {
        return None;
    }
    match delivery.reason.as_deref()? {
        "endpoint disabled" => Some("disabled"),
        "event expired" => Some("expired"),
        _ => None,
    }
}

fn reason_text(reason: SkipReason) -> String {
    match reason {
        SkipReason::Test => "test",
        SkipReason::NoMatch => "no_match",
        SkipReason::NotPlannedYet => "not_planned_yet",
        SkipReason::CreatedLater => "created_later",
        SkipReason::Disabled => "disabled",
        SkipReason::Filtered => "filtered",
    }
    .to_owned()
}

/// The endpoint as dispatch reads it; where it may point is no matter here.
fn parsed(state: &ApiState, row: &EndpointRow) -> Endpoint {
    Endpoint::from_row(row, &DeliveryDefaults::default(), &Outlets::only(&state.egress))
}

/// What a caller asks of the list.
struct Asked {
    pattern: Option<Pattern>,
    state: Option<String>,
    with_no_match: bool,
}

impl Asked {
    fn shows(&self, outcome: &Outcome) -> bool {
        let is_about = !matches!(outcome.reason.as_deref(), Some("no_match" | "test"))
            || outcome.state != StandingState::Skipped
            || self.with_no_match;
        is_about
            && match (self.state.as_deref(), outcome.state) {
                (None, state) => state != StandingState::Succeeded,
                (Some("pending"), StandingState::Pending)
                | (Some("failed"), StandingState::Failed)
                | (Some("skipped"), StandingState::Skipped)
                | (Some("succeeded"), StandingState::Succeeded) => true,
                _ => false,
            }
    }

    fn selects(&self, event_type: &EventType) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.matches(event_type))
    }
}

async fn list(
    permit: Permit<grants::DeliveriesRead>,
    State(state): State<ApiState>,
    Id(id): Id,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, &format!("undelivered of {id}"), &permit.tenant);
    let mut after = paging.after.as_deref().and_then(place_from_text);
    query.finish()?;
    if permit.portal.is_some() && query.text("include").is_some() {
        return Err(portal::refused("see events that its endpoints do not want"));
    }
    let row = endpoint_get(state.store(), &permit.tenant, &id).await?;
    let row = row.ok_or_else(|| Problem::new(ErrorCode::EndpointNotFound))?;
    let endpoint = parsed(&state, &row);
    let pattern = query.text("event_type");
    let asked = Asked {
        pattern: pattern.as_deref().and_then(|text| Pattern::parse(text).ok()),
        state: query.text("state"),
        with_no_match: query.text("include").is_some(),
    };
    let mut items = Vec::new();
    for _ in 0..MAX_READS {
        // Read before the deliveries are, so that nothing planned in between looks as if it were left out.
        let planned = planned_to(state.store()).await?;
        let filter = OwedFilter {
            endpoint_id: Some(id.clone()),
            event_type: pattern.clone().filter(|text| !text.contains('*')),
            since: query.time("since").unwrap_or_default(),
            until: query.time("until").unwrap_or(Timestamp::from_micros(i64::MAX)),
            after,
            page: OwedPage::Large,
        };
        let events = delivery_list_owed(state.store(), &permit.tenant, &filter).await?;
        let is_end = events.len() < OwedPage::Large.n_events();
        for event in events {
            if items.len() as i64 == paging.limit {
                return Ok(answer(&paging, items, after.map(place_text)));
            }
            after = Some(event.place);
            if asked.selects(&event.event_type) {
                let to = planned.get(&event.place.shard).copied().unwrap_or_default();
                let standing = stand(&event, &endpoint, (to, &row));
                items.extend(Some(standing).filter(|standing| asked.shows(&standing.outcome)));
            }
        }
        if is_end {
            return Ok(answer(&paging, items, None));
        }
    }
    Ok(answer(&paging, items, after.map(place_text)))
}

fn answer(paging: &Paging, items: Vec<EventStanding>, next: Option<String>) -> Response {
    json(StatusCode::OK, &Page { items, next_page_token: next.map(|place| paging.seal(&place)) })
}

fn stand(event: &OwedEvent, endpoint: &Endpoint, (planned_to, row): (i64, &EndpointRow)) -> EventStanding {
    let unplanned = Unplanned {
        event_type: &event.event_type,
        source: &event.source,
        recorded_at: event.place.recorded_at,
        seq: event.place.seq,
        planned_to,
        endpoint_created_at: row.created_at,
        is_selected: endpoint.wants(&event.event_type)
            && told_of(&event.source, event.subject.as_deref()) != Some(endpoint.id.as_str()),
        is_active: row.active,
    };
    let outcome = Outcome::new(Standing::of(&event.deliveries), &unplanned, row.updated_at);
    EventStanding {
        event_id: event.id.as_str().to_owned(),
        event_type: event.event_type.as_str().to_owned(),
        recorded_at: event.place.recorded_at.to_rfc3339(),
        outcome,
    }
}

async fn list_of_event(
    permit: Permit<grants::DeliveriesRead>,
    State(state): State<ApiState>,
    Id(id): Id,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, &format!("endpoints of {id}"), &permit.tenant);
    query.finish()?;
    let planned = planned_to(state.store()).await?;
    let record = event_get(state.store(), &permit.tenant, &id).await?;
    let record = record.ok_or_else(|| Problem::new(ErrorCode::EventNotFound))?;
    let filter =
        EndpointFilter { before: paging.after.clone(), limit: paging.n_rows(), ..EndpointFilter::default() };
    let rows = endpoint_list(state.store(), &permit.tenant, &filter).await?;
    // Newest first: the last has the lowest id.
    let made = match (rows.last(), rows.first()) {
        (Some(low), Some(high)) => {
            let range = (low.id.as_str(), high.id.as_str());
            delivery_list_event_between(state.store(), (record.shard, record.seq), range).await?
        }
        _ => vec![],
    };
    let about = told_of(&record.event.source, record.event.subject.as_deref());
    let show = |row: EndpointRow| {
        let of_endpoint = made.iter().filter(|delivery| delivery.endpoint_id == row.id);
        let standing = Standing::of(of_endpoint);
        let unplanned = Unplanned {
            event_type: &record.event.event_type,
            source: &record.event.source,
            recorded_at: record.recorded_at,
            seq: record.seq,
            planned_to: planned.get(&record.shard).copied().unwrap_or_default(),
            endpoint_created_at: row.created_at,
            is_selected: parsed(&state, &row).wants(&record.event.event_type)
                && about != Some(row.id.as_str()),
            is_active: row.active,
        };
        let outcome = Outcome::new(standing, &unplanned, row.updated_at);
        EndpointStanding { endpoint_id: row.id.into_string(), outcome }
    };
    Ok(json(StatusCode::OK, &paging.page(rows, |row| row.id.as_str().to_owned(), show)))
}
