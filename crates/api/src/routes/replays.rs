//! `/api/v1/replays`: jobs that send past events again.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use trunkline_dispatch::endpoint::{DeliveryDefaults, EndpointTable, Outlets};
use trunkline_dispatch::replay::{DEFAULT_RATE, Estimate, MAX_RATE, MAX_RUNNING, Scope, Wanted, estimate};
use trunkline_model::{EndpointId, ErrorCode, Pattern, ReplayId, Tenant, Timestamp};
use trunkline_store::tables::endpoint::{EndpointFilter, EndpointRow, endpoint_get, endpoint_list};
use trunkline_store::tables::event::EventPlace;
use trunkline_store::tables::replay::{
    ReplayRow, ReplayState, replay_count_running, replay_get, replay_insert, replay_list, replay_set_state,
};
use trunkline_store::{Commit, CommitError};
use utoipa::ToSchema;

use super::answers::{json, located};
use super::undelivered::EVENT_PATTERN;
use crate::auth::portal::{self, Access, PortalScope};
use crate::auth::{Grant, Permit, grants};
use crate::input::{Field, Id, Input, JsonBody, Kind, Query, Text};
use crate::openapi::{Answer, Body, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::Problem;
use crate::state::ApiState;

const STATES: [&str; 5] = {
    let [a, b, c, d, e] = ReplayState::ALL;
    [a.as_str(), b.as_str(), c.as_str(), d.as_str(), e.as_str()]
};
/// Endpoints read at once for an estimate.
const ENDPOINTS_PAGE: i64 = 500;

static WANTED: Kind = Kind::Choice(&Wanted::NAMES);
static PATTERN: Kind = EVENT_PATTERN;

static INPUT: &[Field] = &[
    Field::optional(
        "endpoint_id",
        Kind::Text(Text::line(1, 64)),
        "Only to this endpoint. Else to every active one that wants the event or was owed it.",
    ),
    Field::optional(
        "event_types",
        Kind::List { item: &PATTERN, min: 1, max: 100 },
        "Only event types that one of these patterns selects.",
    ),
    Field::required("since", Kind::Time, "Events stored at or after this time …"),
    Field::optional("until", Kind::Time, "… and before this one, which is not in the future. Default: now."),
    Field::optional(
        "states",
        Kind::List { item: &WANTED, min: 1, max: 3 },
        "What is sent again: `failed` (exhausted or cancelled), `missed` (the endpoint's patterns select the event and \
         there is no delivery), `succeeded`. Default: failed and missed. What is pending is never sent twice.",
    ),
    Field::optional(
        "rate_per_s",
        Kind::Integer { min: 1, max: MAX_RATE },
        "Deliveries a second. Default 100.",
    ),
    Field::optional("dry_run", Kind::Boolean, "Only count what would be sent; make nothing."),
];
static LIST: &[Field] =
    &[page::LIMIT, page::TOKEN, Field::optional("state", Kind::Choice(&STATES), "Only jobs in this state.")];

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    let change = |path, id, summary| {
        let operation = match id {
            "pauseReplay" => Operation::post(path, id, pause),
            "resumeReplay" => Operation::post(path, id, resume),
            _ => Operation::post(path, id, cancel),
        };
        operation
            .about("replays", summary)
            .permit::<grants::DeliveriesWrite>()
            .portal(Access::Scoped)
            .id_of("rpl_")
            .answer(Answer::json::<ReplayJob>(200, "The job."))
            .problems(if id == "resumeReplay" {
                &[C::ReplayNotFound, C::ReplayStateConflict, C::ReplayTooMany]
            } else {
                &[C::ReplayNotFound, C::ReplayStateConflict]
            })
    };
    vec![
        Operation::post("/api/v1/replays", "createReplay", create)
            .about("replays", "Sends past events again")
            .details(
                "The job goes through the events of its time in the order of storing and makes a new delivery, under the \
                 same `webhook-id`, of each event and endpoint that is in one of the states. It goes on after a restart of \
                 the hub, and makes no pair twice. A tenant's jobs run one after the other. With `dry_run` nothing is made \
                 and a count is answered; one that takes longer than ten seconds says how far it came.",
            )
            .permit::<grants::DeliveriesWrite>()
            .portal(Access::Scoped)
            .body(Body::Object { name: "ReplayJobInput", fields: INPUT, is_required: true })
            .answer(Answer::json::<ReplayJob>(201, "The job."))
            .answer(Answer::json::<EstimateAnswer>(200, "What a job would do."))
            .problems(&[C::EndpointNotFound, C::EndpointInactive, C::ReplayTooMany]),
        Operation::get("/api/v1/replays", "listReplays", list)
            .about("replays", "Lists jobs, newest first")
            .permit::<grants::DeliveriesRead>()
            .portal(Access::Scoped)
            .query(LIST)
            .answer(Answer::json::<Page<ReplayJob>>(200, "A page of jobs.")),
        Operation::get("/api/v1/replays/{id}", "getReplay", get)
            .about("replays", "Reads one job with its progress")
            .permit::<grants::DeliveriesRead>()
            .portal(Access::Scoped)
            .id_of("rpl_")
            .answer(Answer::json::<ReplayJob>(200, "The job."))
            .problems(&[C::ReplayNotFound]),
        change("/api/v1/replays/{id}/pause", "pauseReplay", "Pauses a job; what it has made is still delivered"),
        change("/api/v1/replays/{id}/resume", "resumeReplay", "Lets a paused job go on"),
        change("/api/v1/replays/{id}/cancel", "cancelReplay", "Ends a job; what it has made is still delivered"),
    ]
}

/// Where a job stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ReplayState)]
enum JobState {
    Running,
    Paused,
    Completed,
    Cancelled,
    Failed,
}

/// A job that sends past events again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReplayJob {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    endpoint_id: Option<String>,
    event_types: Vec<String>,
    states: Vec<String>,
    #[schema(format = DateTime)]
    since: String,
    #[schema(format = DateTime)]
    until: String,
    #[schema(minimum = 1)]
    rate_per_s: i64,
    state: JobState,
    /// Why it is paused or has failed, when nobody asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    reason: Option<String>,
    /// When the last event handled was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    place: Option<String>,
    /// Events looked at.
    #[schema(minimum = 0)]
    n_scanned: i64,
    /// Deliveries made.
    #[schema(minimum = 0)]
    n_planned: i64,
    /// Pairs of event and endpoint looked at and left alone.
    #[schema(minimum = 0)]
    n_skipped: i64,
    #[schema(format = DateTime)]
    created_at: String,
    /// Absent while it waits for its turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    started_at: Option<String>,
    #[schema(format = DateTime)]
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    finished_at: Option<String>,
}

/// What a job would do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReplayEstimate)]
struct EstimateAnswer {
    /// Events looked at.
    #[schema(minimum = 0)]
    n_scanned: i64,
    /// Deliveries that it would make of them.
    #[schema(minimum = 0)]
    n_planned: i64,
    /// Pairs of event and endpoint that it would leave alone.
    #[schema(minimum = 0)]
    n_skipped: i64,
    /// Up to when events were looked at.
    #[schema(format = DateTime)]
    counted_until: String,
    /// Whether these are all events of the time asked for.
    is_complete: bool,
}

impl From<Estimate> for EstimateAnswer {
    fn from(found: Estimate) -> Self {
        Self {
            n_scanned: found.n_scanned,
            n_planned: found.n_planned,
            n_skipped: found.n_skipped,
            counted_until: found.counted_until.to_rfc3339(),
            is_complete: found.is_complete,
        }
    }
}

impl From<ReplayRow> for ReplayJob {
    fn from(row: ReplayRow) -> Self {
        Self {
            id: row.id.into_string(),
            endpoint_id: row.endpoint_id.map(EndpointId::into_string),
            event_types: serde_json::from_str(&row.event_types).unwrap_or_default(),
            states: serde_json::from_str(&row.states).unwrap_or_default(),
            since: row.since.to_rfc3339(),
            until: row.until.to_rfc3339(),
            rate_per_s: row.rate_per_s,
            state: match row.state {
                ReplayState::Running => JobState::Running,
                ReplayState::Paused => JobState::Paused,
                ReplayState::Completed => JobState::Completed,
                ReplayState::Cancelled => JobState::Cancelled,
                ReplayState::Failed => JobState::Failed,
            },
            reason: row.reason,
            place: (row.place.shard >= 0).then(|| row.place.recorded_at.to_rfc3339()),
            n_scanned: row.n_scanned,
            n_planned: row.n_planned,
            n_skipped: row.n_skipped,
            created_at: row.created_at.to_rfc3339(),
            started_at: row.started_at.map(Timestamp::to_rfc3339),
            updated_at: row.updated_at.to_rfc3339(),
            finished_at: row.finished_at.map(Timestamp::to_rfc3339),
        }
    }
}

/// What a body asks for.
struct Draft {
    scope: Scope,
    rate_per_s: i64,
    is_dry: bool,
}

impl Draft {
    fn read(
        body: serde_json::Value,
        tenant: Tenant,
        portal: Option<&PortalScope>,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let mut input = Input::from_json(INPUT, body);
        match input.text("endpoint_id") {
            Some(id) => portal::check(portal, &id)?,
            None if portal.and_then(PortalScope::listed).is_some() => {
                input.fault("endpoint_id", "required", "is missing; the token is for some endpoints only");
            }
            None => {}
        }
        let since = input.time("since").unwrap_or_default();
        let until = input.time("until").unwrap_or(now);
        if until > now {
            input.fault("until", "out_of_range", "must not be in the future");
        } else if since >= until {
            input.fault("since", "out_of_range", "must be before until");
        }
        input.finish()?;
        let patterns = input.texts("event_types").unwrap_or_else(|| vec!["**".to_owned()]);
        let states = input.texts("states").unwrap_or_else(|| vec!["failed".into(), "missed".into()]);
        let scope = Scope {
            tenant,
            endpoint_id: input.text("endpoint_id").map(EndpointId::from_text),
            event_types: patterns.iter().filter_map(|text| Pattern::parse(text).ok()).collect(),
            states: states.iter().filter_map(|text| Wanted::parse(text)).collect(),
            since,
            until,
        };
        let rate_per_s = input.integer("rate_per_s").unwrap_or(DEFAULT_RATE);
        Ok(Self { scope, rate_per_s, is_dry: input.flag("dry_run").unwrap_or(false) })
    }

    fn into_row(self, now: Timestamp) -> ReplayRow {
        let Scope { tenant, endpoint_id, event_types, states, since, until } = self.scope;
        let patterns: Vec<&str> = event_types.iter().map(Pattern::as_str).collect();
        ReplayRow {
            id: ReplayId::fresh(),
            tenant,
            endpoint_id,
            event_types: serde_json::to_string(&patterns).expect("invariant: texts serialise"),
            states: serde_json::to_string(&states).expect("invariant: names serialise"),
            since,
            until,
            rate_per_s: self.rate_per_s,
            state: ReplayState::Running,
            reason: None,
            place: EventPlace { recorded_at: since, shard: -1, seq: 0 },
            next_due_at: now,
            n_scanned: 0,
            n_planned: 0,
            n_skipped: 0,
            created_at: now,
            started_at: None,
            updated_at: now,
            finished_at: None,
        }
    }
}

async fn create(
    permit: Permit<grants::DeliveriesWrite>,
    State(state): State<ApiState>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let now = state.now();
    let draft = Draft::read(body.required()?, permit.tenant, permit.portal.as_ref(), now)?;
    let endpoints = endpoints(&state, &draft.scope).await?;
    if draft.is_dry {
        let table =
            EndpointTable::new(&endpoints, &DeliveryDefaults::default(), &Outlets::only(&state.egress));
        let found = estimate(state.store(), &draft.scope, &table).await?;
        return Ok(json(StatusCode::OK, &EstimateAnswer::from(found)));
    }
    let row = draft.into_row(now);
    check_number(&state, &row.tenant).await?;
    state.journal.commit(Commit::statements(vec![replay_insert(&row)])).await?;
    let path = format!("/api/v1/replays/{}", row.id);
    Ok(located(json(StatusCode::CREATED, &ReplayJob::from(row)), &path))
}

/// The job that sends an endpoint what it has not got since a time.
pub(super) fn recovery(
    endpoint: &EndpointRow,
    since: Timestamp,
    rate_per_s: Option<i64>,
    now: Timestamp,
) -> ReplayRow {
    let scope = Scope {
        tenant: endpoint.tenant.clone(),
        endpoint_id: Some(endpoint.id.clone()),
        event_types: Pattern::parse("**").into_iter().collect(),
        states: [Wanted::Failed, Wanted::Missed].into(),
        since,
        until: now,
    };
    Draft { scope, rate_per_s: rate_per_s.unwrap_or(DEFAULT_RATE), is_dry: false }.into_row(now)
}

/// Refuses one more running job than a tenant may have. Two calls at once may get through together.
pub(super) async fn check_number(state: &ApiState, tenant: &Tenant) -> Result<(), Problem> {
    if replay_count_running(state.store(), tenant).await? >= MAX_RUNNING {
        return Err(Problem::new(ErrorCode::ReplayTooMany));
    }
    Ok(())
}

/// The endpoints that a job is about: the one it names, which must be in use, or all of the tenant.
async fn endpoints(state: &ApiState, scope: &Scope) -> Result<Vec<EndpointRow>, Problem> {
    if let Some(id) = &scope.endpoint_id {
        let row = endpoint_get(state.store(), &scope.tenant, id.as_str()).await?;
        let row = row.ok_or_else(|| Problem::new(ErrorCode::EndpointNotFound))?;
        if !row.active {
            return Err(Problem::new(ErrorCode::EndpointInactive));
        }
        return Ok(vec![row]);
    }
    let mut all: Vec<EndpointRow> = Vec::new();
    loop {
        let before = all.last().map(|row| row.id.as_str().to_owned());
        let filter = EndpointFilter { active: Some(true), before, limit: ENDPOINTS_PAGE };
        let rows = endpoint_list(state.store(), &scope.tenant, &filter).await?;
        let is_end = (rows.len() as i64) < ENDPOINTS_PAGE;
        all.extend(rows);
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
    let paging = Paging::read(&mut query, "replays", &permit.tenant);
    query.finish()?;
    let wanted = query.text("state").and_then(|text| ReplayState::parse(&text));
    let after = paging.after.as_deref();
    let own = permit.portal.as_ref().and_then(PortalScope::listed);
    let rows = replay_list(state.store(), &permit.tenant, (wanted, own), after, paging.n_rows()).await?;
    Ok(json(StatusCode::OK, &paging.page(rows, |row| row.id.as_str().to_owned(), ReplayJob::from)))
}

/// Finds a job. A token for some endpoints sees those of its endpoints.
async fn find<G: Grant>(state: &ApiState, permit: &Permit<G>, id: &str) -> Result<ReplayRow, Problem> {
    let own = permit.portal.as_ref().and_then(PortalScope::listed);
    let is_own = |row: &ReplayRow| {
        own.is_none_or(|own| {
            row.endpoint_id.as_ref().is_some_and(|id| own.iter().any(|own| own == id.as_str()))
        })
    };
    let row = replay_get(state.store(), &permit.tenant, id).await?.filter(is_own);
    row.ok_or_else(|| Problem::new(ErrorCode::ReplayNotFound))
}

async fn get(
    permit: Permit<grants::DeliveriesRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let row = find(&state, &permit, &id).await?;
    Ok(json(StatusCode::OK, &ReplayJob::from(row)))
}

async fn pause(
    permit: Permit<grants::DeliveriesWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    change(&state, &permit, &id, ReplayState::Paused).await
}

async fn resume(
    permit: Permit<grants::DeliveriesWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    change(&state, &permit, &id, ReplayState::Running).await
}

async fn cancel(
    permit: Permit<grants::DeliveriesWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    change(&state, &permit, &id, ReplayState::Cancelled).await
}

/// Takes a job to a state; one that is there already stays as it is.
async fn change(
    state: &ApiState,
    permit: &Permit<grants::DeliveriesWrite>,
    id: &str,
    to: ReplayState,
) -> Result<Response, Problem> {
    let row = find(state, permit, id).await?;
    if row.state == to {
        return Ok(json(StatusCode::OK, &ReplayJob::from(row)));
    }
    if row.state.is_terminal() {
        let detail = format!("the job is {} and stays so", row.state.as_str());
        return Err(Problem::new(ErrorCode::ReplayStateConflict).with_detail(detail));
    }
    if to == ReplayState::Running {
        check_number(state, &permit.tenant).await?;
    }
    let statement = replay_set_state(&permit.tenant, id, (row.state, to), state.now());
    match state.journal.commit(Commit::statements(vec![statement])).await {
        Ok(_) => {}
        Err(CommitError::Guard { .. }) => return Err(Problem::new(ErrorCode::ReplayStateConflict)),
        Err(error) => return Err(error.into()),
    }
    let row = find(state, permit, id).await?;
    Ok(json(StatusCode::OK, &ReplayJob::from(row)))
}
