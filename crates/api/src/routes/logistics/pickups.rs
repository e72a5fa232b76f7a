//! `/api/v1/pickups`: what clinics ask for, once and again.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::Value;
use trunkline_logistics::calendar::parse_date;
use trunkline_logistics::operations::Cause;
use trunkline_logistics::operations::pickup::{PickupRequest, Repeats, pickup_requested};
use trunkline_logistics::operations::recurring::recurrence_cancel;
use trunkline_logistics::{DayTime, Frequency, Priority, RequestedWindow};
use trunkline_model::{ErrorCode, RecurrenceId, Timestamp};
use trunkline_store::tables::logistics::recurrence::{RecurrenceRow, recurrence_get, recurrence_list};
use trunkline_store::tables::logistics::task::{LogisticsTaskKind, logistics_task_list};
use utoipa::ToSchema;

use super::fields::{ANY_ID, DATE, FOREIGN_ID, NOTE, PACKAGE, PRIORITY, package, priority};
use super::shown::TaskAnswer;
use super::tasks::{self, LIST_REST};
use super::{TAG_HEADERS, expected, refused};
use crate::auth::{Permit, grants};
use crate::input::{Field, Id, Input, JsonBody, Kind, Query, Text};
use crate::openapi::{Answer, Body, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::Problem;
use crate::routes::answers::{json, located, no_content, tagged};
use crate::state::ApiState;

const MOMENT: Kind = Kind::Text(Text::line(5, 64));
static CREATE: &[Field] = &[
    Field::required("clinic_id", ANY_ID, "Where."),
    Field::required(
        "window",
        Kind::Object(&[
            Field::optional(
                "date",
                DATE,
                "The date in the clinic's time zone; `from` and `until` are times of day then.",
            ),
            Field::required("from", MOMENT, "`HH:MM` on the clinic's wall with a `date`, RFC 3339 without."),
            Field::required("until", MOMENT, "Likewise."),
        ]),
        "When. It must lie inside the clinic's opening hours.",
    ),
    Field::optional("priority", PRIORITY, "How urgent it is. Default STANDARD."),
    Field::optional("package", PACKAGE, "What is carried. Default one piece."),
    Field::optional("note", NOTE, "What people should know."),
    Field::optional("request_key", FOREIGN_ID, "What the request is called; done once under this name."),
    Field::optional(
        "recurrence",
        Kind::Object(&[
            Field::required("frequency", Kind::Choice(&Frequency::NAMES), "How often."),
            Field::optional("ends_on", DATE, "No pickup after this date."),
        ]),
        "Makes it come again: 90 days ahead, always.",
    ),
];
static LIST: &[Field] =
    &[page::LIMIT, page::TOKEN, LIST_REST[0], LIST_REST[1], LIST_REST[2], LIST_REST[3], LIST_REST[4]];
static RULES: &[Field] =
    &[page::LIMIT, page::TOKEN, Field::optional("clinic_id", ANY_ID, "Only rules of this clinic.")];

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    vec![
        Operation::post("/api/v1/pickups", "requestPickup", create)
            .about("logistics", "Asks for a pickup, or for one that comes again")
            .details(
                "A window outside the clinic's opening hours is refused with 422; `open_hours` says when it is open on that \
                 day. RUSH and EMERGENCY notify the dispatcher at once.",
            )
            .permit::<grants::LogisticsWrite>()
            .body(Body::Object { name: "PickupRequest", fields: CREATE, is_required: true })
            .answer(
                Answer::json::<PickupAnswer>(201, "The pickup, or the first one.")
                    .with_headers(&[("Location", "The path of the pickup.")]),
            )
            .answer(Answer::json::<PickupAnswer>(200, "The pickup that was made for a request of this name."))
            .problems(&[C::ClinicNotFound, C::PickupWindowRefused]),
        Operation::get("/api/v1/pickups", "listPickups", list)
            .about("logistics", "Lists pickups, newest first")
            .permit::<grants::LogisticsRead>()
            .query(LIST)
            .answer(Answer::json::<Page<TaskAnswer>>(200, "A page of pickups.")),
        Operation::get("/api/v1/pickups/recurrences", "listPickupRecurrences", rules)
            .about("logistics", "Lists the rules by which pickups come again, newest first")
            .permit::<grants::LogisticsRead>()
            .query(RULES)
            .answer(Answer::json::<Page<RecurrenceAnswer>>(200, "A page of rules.")),
        Operation::get("/api/v1/pickups/recurrences/{id}", "getPickupRecurrence", rule)
            .about("logistics", "Reads a rule")
            .permit::<grants::LogisticsRead>()
            .id_of("rec_")
            .answer(Answer::json::<RecurrenceAnswer>(200, "The rule.").with_headers(TAG_HEADERS))
            .problems(&[C::PickupRecurrenceNotFound]),
        Operation::delete("/api/v1/pickups/recurrences/{id}", "endPickupRecurrence", end)
            .about("logistics", "Ends a rule and cancels its pickups from today on that nobody has yet")
            .permit::<grants::LogisticsWrite>()
            .id_of("rec_")
            .if_match()
            .answer(Answer::empty(204, "It has ended."))
            .problems(&[C::PickupRecurrenceNotFound, C::LogisticsVersionConflict]),
    ]
}

/// What a request for a pickup came to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RequestedPickup)]
struct PickupAnswer {
    /// The pickup, or the first one.
    #[serde(flatten)]
    task: TaskAnswer,
    /// How many pickups were made; none when the request was known.
    #[schema(minimum = 0)]
    n_tasks: usize,
}

/// A rule by which pickups come again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PickupRecurrence)]
struct RecurrenceAnswer {
    id: String,
    clinic_id: String,
    /// `DAILY`, `WEEKLY` or `BIWEEKLY`.
    frequency: String,
    #[schema(format = Date)]
    starts_on: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = Date)]
    ends_on: Option<String>,
    /// When the window begins, on the clinic's wall.
    from: String,
    /// When it ends.
    until: String,
    /// `STANDARD`, `RUSH` or `EMERGENCY`.
    priority: &'static str,
    package: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    note: Option<String>,
    active: bool,
    /// The day up to which pickups are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = Date)]
    through: Option<String>,
    /// Days of the last look that have no pickup, each with the reason.
    skipped: Value,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl From<&RecurrenceRow> for RecurrenceAnswer {
    fn from(row: &RecurrenceRow) -> Self {
        let time = |minutes| DayTime::from_minutes(minutes).map(|time| time.to_string()).unwrap_or_default();
        Self {
            id: row.id.as_str().to_owned(),
            clinic_id: row.clinic_id.as_str().to_owned(),
            frequency: row.frequency.clone(),
            starts_on: row.starts_on.clone(),
            ends_on: row.ends_on.clone(),
            from: time(row.minutes.0),
            until: time(row.minutes.1),
            priority: Priority::from_rank(row.priority).as_str(),
            package: serde_json::from_str(&row.package).unwrap_or_default(),
            note: row.note.clone(),
            active: row.is_active,
            through: row.through.clone(),
            skipped: serde_json::from_str(&row.skipped).unwrap_or_default(),
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
        }
    }
}

/// Reads a window; both ends that are wrong are named.
fn window(input: &mut Input) -> Option<RequestedWindow> {
    let value = input.json("window")?.clone();
    let text = |name: &str| value[name].as_str().unwrap_or_default();
    let mut read = |name: &str, is_good: bool, detail: &str| {
        if !is_good {
            input.fault(&format!("window/{name}"), "invalid", detail);
        }
    };
    if let Some(date) = value["date"].as_str() {
        let (from, until) = (DayTime::parse(text("from")), DayTime::parse(text("until")));
        read("from", from.is_ok(), "must be a time of day HH:MM, from 00:00 to 24:00");
        read("until", until.is_ok(), "must be a time of day HH:MM, from 00:00 to 24:00");
        let date = parse_date(date).ok()?;
        return Some(RequestedWindow::Local { date, from: from.ok()?, until: until.ok()? });
    }
    let (from, until) = (Timestamp::parse_rfc3339(text("from")), Timestamp::parse_rfc3339(text("until")));
    read("from", from.is_ok(), "must be an RFC 3339 time when there is no date");
    read("until", until.is_ok(), "must be an RFC 3339 time when there is no date");
    Some(RequestedWindow::Instants { from: from.ok()?, until: until.ok()? })
}

fn repeats(input: &Input) -> Option<Repeats> {
    let value = input.json("recurrence")?;
    let frequency = Frequency::parse(value["frequency"].as_str()?)?;
    Some(Repeats { frequency, ends_on: value["ends_on"].as_str().and_then(|text| parse_date(text).ok()) })
}

async fn create(
    permit: Permit<grants::LogisticsWrite>,
    State(state): State<ApiState>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(CREATE, body.required()?);
    let window = window(&mut input);
    input.finish()?;
    let Some(window) = window else { return Err(Problem::new(ErrorCode::RequestInvalid)) };
    let request = PickupRequest {
        clinic_id: input.text("clinic_id").unwrap_or_default(),
        window,
        priority: priority(&input),
        package: package(&input),
        note: input.text("note"),
        request_key: input.text("request_key"),
        repeats: repeats(&input),
    };
    let cause = Cause::call(permit.tenant.clone(), state.now());
    let made = pickup_requested(state.store(), &cause, &request).await.map_err(refused)?;
    let row = tasks::find(&state, &permit.tenant, made.task_id.as_str()).await?;
    let answer = PickupAnswer { task: TaskAnswer::from(&row), n_tasks: made.n_tasks };
    if made.n_tasks == 0 {
        return Ok(json(StatusCode::OK, &answer));
    }
    Ok(located(json(StatusCode::CREATED, &answer), &format!("/api/v1/logistics/tasks/{}", row.id)))
}

async fn list(
    permit: Permit<grants::LogisticsRead>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, "pickups", &permit.tenant);
    query.finish()?;
    let filter = tasks::filter(&query, &paging, Some(LogisticsTaskKind::Pickup));
    let rows = logistics_task_list(state.store(), &permit.tenant, &filter).await?;
    let page = paging.page(rows, |row| row.id.as_str().to_owned(), |row| TaskAnswer::from(&row));
    Ok(json(StatusCode::OK, &page))
}

async fn rules(
    permit: Permit<grants::LogisticsRead>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, "pickup-recurrences", &permit.tenant);
    query.finish()?;
    let clinic = query.text("clinic_id");
    let (clinic, before) = (clinic.as_deref(), paging.after.as_deref());
    let rows = recurrence_list(state.store(), &permit.tenant, clinic, before, paging.n_rows()).await?;
    let page = paging.page(rows, |row| row.id.as_str().to_owned(), |row| RecurrenceAnswer::from(&row));
    Ok(json(StatusCode::OK, &page))
}

async fn rule(
    permit: Permit<grants::LogisticsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let row = recurrence_get(state.store(), &permit.tenant, RecurrenceId::from_text(id).as_str()).await?;
    let row = row.ok_or_else(|| Problem::new(ErrorCode::PickupRecurrenceNotFound))?;
    Ok(tagged(json(StatusCode::OK, &RecurrenceAnswer::from(&row)), row.version))
}

async fn end(
    permit: Permit<grants::LogisticsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let cause = Cause::call(permit.tenant, state.now());
    recurrence_cancel(state.store(), &cause, &id, expected(&headers)?).await.map_err(refused)?;
    Ok(no_content())
}
