//! `/api/v1/webhooks`: endpoints, the places that events are delivered to.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::header::IF_MATCH;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use trunkline_connect::Target;
use trunkline_dispatch::endpoint::check::{
    BACKOFF_MS, IN_FLIGHT, MAX_ATTEMPTS, MAX_DESCRIPTION_CHARS, N_BACKOFF, N_PATTERNS, TIMEOUT_MS, check_url,
};
use trunkline_dispatch::endpoint::{EndpointSecrets, EndpointSettings, WebhookFormat, generate_secret};
use trunkline_model::{EndpointId, ErrorCode, FieldError, Pattern, Secret, Tenant};
use trunkline_store::tables::delivery::delivery_cancel_endpoint;
use trunkline_store::tables::endpoint::{
    EndpointFilter, EndpointRow, endpoint_delete, endpoint_get, endpoint_insert, endpoint_list,
    endpoint_update,
};
use trunkline_store::{Commit, CommitError, Statement};
use utoipa::ToSchema;

use super::answers::{json, located, no_content, secret_json, tagged};
use super::deliveries::RetriedDelivery;
use crate::auth::{Permit, grants};
use crate::input::{Field, Id, Input, JsonBody, Kind, Query, Text};
use crate::openapi::schemas::PATTERN;
use crate::openapi::{Answer, Body, Operation};
use crate::page::{self, Page, Paging};
use crate::problem::Problem;
use crate::state::ApiState;

/// How long replaced secrets sign along when nothing else is asked for.
const OVERLAP_S: i64 = 24 * 60 * 60;
const MAX_OVERLAP_S: i64 = 30 * 24 * 60 * 60;

static EVENT_PATTERN: Kind = Kind::Text(Text {
    min: 1,
    max: 255,
    pattern: PATTERN,
    accepts: |text| Pattern::parse(text).is_ok(),
    rule: "must be dotted segments, each a name, * (one segment) or ** (any number)",
});
static WAIT: Kind = Kind::Integer { min: *BACKOFF_MS.start() as i64, max: *BACKOFF_MS.end() as i64 };
const FORMATS: [&str; 2] = [WebhookFormat::Standard.as_str(), WebhookFormat::CloudEvents.as_str()];

/// What an endpoint is made or replaced with.
const INPUT: [Field; 9] = [
    Field::required(
        "url",
        Kind::Text(Text {
            min: 1,
            max: Target::MAX_BYTES,
            pattern: "^[hH][tT][tT][pP][sS]?://[^\\x00-\\x20\\x7f-\\x9f]+$",
            accepts: |text| !text.chars().any(char::is_control),
            rule: "must be an absolute http or https URL",
        }),
        "Where events are posted to. Private and special addresses are refused unless the configuration opens them.",
    ),
    Field::required(
        "events",
        Kind::List { item: &EVENT_PATTERN, min: *N_PATTERNS.start(), max: *N_PATTERNS.end() },
        "Patterns of the event types wanted: `*` is one segment, `**` any number.",
    ),
    Field::optional("description", Kind::Text(Text::lines(0, MAX_DESCRIPTION_CHARS)), "For people."),
    Field::optional("active", Kind::Boolean, "Whether events are delivered. Default true."),
    Field::optional("format", Kind::Choice(&FORMATS), "How bodies look. Default `standard`."),
    Field::optional(
        "timeout_ms",
        Kind::Integer { min: *TIMEOUT_MS.start() as i64, max: *TIMEOUT_MS.end() as i64 },
        "Limit of one attempt. The hub's default when absent.",
    ),
    Field::optional(
        "max_attempts",
        Kind::Integer { min: *MAX_ATTEMPTS.start() as i64, max: *MAX_ATTEMPTS.end() as i64 },
        "Attempts of one delivery. The hub's default when absent.",
    ),
    Field::optional(
        "backoff_ms",
        Kind::List { item: &WAIT, min: *N_BACKOFF.start(), max: *N_BACKOFF.end() },
        "Waits before the second, third, … attempt; the last repeats. The hub's default when absent.",
    ),
    Field::optional(
        "in_flight",
        Kind::Integer { min: *IN_FLIGHT.start() as i64, max: *IN_FLIGHT.end() as i64 },
        "Attempts open at once. The hub's default when absent.",
    ),
];

/// What is answered besides, so that what was read may be sent back, changed.
const READ_ONLY: [Field; 4] = [
    Field::optional("id", Kind::Ignored, "Not looked at."),
    Field::optional("version", Kind::Ignored, "Not looked at; send the `ETag` as `If-Match`."),
    Field::optional("created_at", Kind::Ignored, "Not looked at."),
    Field::optional("updated_at", Kind::Ignored, "Not looked at."),
];

static CREATE: &[Field] = &INPUT;
static REPLACE: &[Field] = &{
    let [a, b, c, d, e, f, g, h, i] = INPUT;
    let [j, k, l, m] = READ_ONLY;
    [a, b, c, d, e, f, g, h, i, j, k, l, m]
};

static LIST: &[Field] = &[
    page::LIMIT,
    page::TOKEN,
    Field::optional("active", Kind::Boolean, "Only active or only inactive ones."),
    Field::optional(
        "text",
        Kind::Text(Text::line(1, 200)),
        "Only those with this text in URL or description.",
    ),
];

static REGENERATE: &[Field] = &[Field::optional(
    "overlap_s",
    Kind::Integer { min: 0, max: MAX_OVERLAP_S },
    "How long deliveries are signed with the replaced secret as well. Default one day; 0 after a leak.",
)];

const TAG_HEADERS: &[(&str, &str)] = &[("ETag", "The version, for `If-Match`.")];
const CREATED_HEADERS: &[(&str, &str)] =
    &[("ETag", "The version, for `If-Match`."), ("Location", "The endpoint's path.")];

pub(super) fn operations() -> Vec<Operation> {
    let mut all = crud();
    all.extend(actions());
    all
}

fn crud() -> Vec<Operation> {
    use ErrorCode as C;
    vec![
        Operation::post("/api/v1/webhooks", "createWebhook", create)
            .about("webhooks", "Creates an endpoint")
            .details(
                "The signing secret is in this answer and nowhere else. A repeat under the same `Idempotency-Key` is \
                 answered without it.",
            )
            .permit::<grants::EndpointsWrite>()
            .body(Body::Object { name: "NewWebhook", fields: CREATE, is_required: true })
            .answer(Answer::json::<WebhookWithSecret>(201, "The endpoint.").with_headers(CREATED_HEADERS)),
        Operation::get("/api/v1/webhooks", "listWebhooks", list)
            .about("webhooks", "Lists endpoints, newest first")
            .permit::<grants::EndpointsRead>()
            .query(LIST)
            .answer(Answer::json::<Page<Webhook>>(200, "A page of endpoints.")),
        Operation::get("/api/v1/webhooks/{id}", "getWebhook", get)
            .about("webhooks", "Reads one endpoint")
            .permit::<grants::EndpointsRead>()
            .id_of("ep_")
            .answer(Answer::json::<Webhook>(200, "The endpoint.").with_headers(TAG_HEADERS))
            .problems(&[C::EndpointNotFound]),
        Operation::put("/api/v1/webhooks/{id}", "replaceWebhook", replace)
            .about("webhooks", "Replaces an endpoint")
            .details("Members left out get their defaults. The secret stays.")
            .permit::<grants::EndpointsWrite>()
            .id_of("ep_")
            .if_match()
            .body(Body::Object { name: "WebhookReplacement", fields: REPLACE, is_required: true })
            .answer(Answer::json::<Webhook>(200, "The endpoint.").with_headers(TAG_HEADERS))
            .problems(&[C::EndpointNotFound, C::EndpointVersionConflict]),
        Operation::delete("/api/v1/webhooks/{id}", "deleteWebhook", delete)
            .about("webhooks", "Deletes an endpoint and cancels its pending deliveries")
            .permit::<grants::EndpointsWrite>()
            .id_of("ep_")
            .if_match()
            .answer(Answer::empty(204, "It is gone."))
            .problems(&[C::EndpointNotFound, C::EndpointVersionConflict]),
    ]
}

fn actions() -> Vec<Operation> {
    use ErrorCode as C;
    vec![
        Operation::post("/api/v1/webhooks/{id}/regenerate-secret", "regenerateWebhookSecret", regenerate_secret)
            .about("webhooks", "Puts a new signing secret in force")
            .details(
                "The new secret is in this answer and nowhere else; deliveries are signed with the old one as well \
                 until the overlap ends. A repeat under the same `Idempotency-Key` is answered without the secret.",
            )
            .permit::<grants::EndpointsWrite>()
            .id_of("ep_")
            .body(Body::Object { name: "RegenerateSecret", fields: REGENERATE, is_required: false })
            .answer(Answer::json::<WebhookWithSecret>(200, "The endpoint.").with_headers(TAG_HEADERS))
            .problems(&[C::EndpointNotFound, C::EndpointVersionConflict]),
        Operation::post("/api/v1/webhooks/{id}/test", "testWebhook", send_test)
            .about("webhooks", "Sends an event of type `webhook.test` to the endpoint")
            .permit::<grants::DeliveriesWrite>()
            .id_of("ep_")
            .answer(Answer::json::<RetriedDelivery>(202, "The delivery to watch."))
            .problems(&[C::EndpointNotFound, C::EndpointInactive]),
    ]
}

/// An endpoint.
#[derive(Debug, Serialize, ToSchema)]
struct Webhook {
    id: String,
    url: String,
    /// Patterns of the event types wanted.
    events: Vec<String>,
    description: String,
    active: bool,
    /// `standard` or `cloudevents`.
    format: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = u64)]
    timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = u32)]
    max_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Vec<u64>)]
    backoff_ms: Option<Vec<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = u32)]
    in_flight: Option<u32>,
    /// Grows with every change.
    #[schema(minimum = 1)]
    version: i64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// An endpoint with its signing secret.
#[derive(Serialize, ToSchema)]
struct WebhookWithSecret {
    #[serde(flatten)]
    webhook: Webhook,
    /// `whsec_…`; absent in repeats under an idempotency key.
    #[schema(required = false)]
    secret: String,
}

impl TryFrom<&EndpointRow> for Webhook {
    type Error = Problem;

    fn try_from(row: &EndpointRow) -> Result<Self, Problem> {
        let damaged = |error| Problem::new(ErrorCode::ServerInternal).caused_by(Damaged(error));
        let settings: EndpointSettings = serde_json::from_str(&row.settings).map_err(damaged)?;
        Ok(Self {
            id: row.id.as_str().to_owned(),
            url: row.url.clone(),
            events: serde_json::from_str(&row.events).map_err(damaged)?,
            description: row.description.clone(),
            active: row.active,
            format: settings.format.as_str().to_owned(),
            timeout_ms: settings.timeout_ms,
            max_attempts: settings.max_attempts,
            backoff_ms: settings.backoff_ms,
            in_flight: settings.in_flight,
            version: row.version,
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a stored endpoint does not parse")]
struct Damaged(#[source] serde_json::Error);

/// What a body asks for.
struct Draft {
    url: String,
    events: Vec<String>,
    description: String,
    active: bool,
    settings: EndpointSettings,
}

impl Draft {
    fn read(state: &ApiState, fields: &'static [Field], body: Value) -> Result<Self, Problem> {
        let mut input = Input::from_json(fields, body);
        let url = input.text("url").unwrap_or_default();
        if !url.is_empty() {
            input.add_faults(check_url(&url, &state.egress));
        }
        input.finish()?;
        let format = match input.text("format").as_deref() {
            Some("cloudevents") => WebhookFormat::CloudEvents,
            _ => WebhookFormat::Standard,
        };
        let number = |name: &str| input.integer(name).and_then(|n| u32::try_from(n).ok());
        let settings = EndpointSettings {
            format,
            timeout_ms: number("timeout_ms").map(u64::from),
            max_attempts: number("max_attempts"),
            backoff_ms: input
                .integers("backoff_ms")
                .map(|waits| waits.into_iter().filter_map(|wait| u64::try_from(wait).ok()).collect()),
            in_flight: number("in_flight"),
        };
        Ok(Self {
            url,
            events: input.texts("events").unwrap_or_default(),
            description: input.text("description").unwrap_or_default(),
            active: input.flag("active").unwrap_or(true),
            settings,
        })
    }

    fn events_json(&self) -> String {
        serde_json::to_string(&self.events).expect("invariant: texts serialise")
    }
}

async fn create(
    permit: Permit<grants::EndpointsWrite>,
    State(state): State<ApiState>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let draft = Draft::read(&state, CREATE, body.required()?)?;
    let (secret, now) = (generate_secret(), state.now());
    let row = EndpointRow {
        id: EndpointId::fresh(),
        tenant: permit.tenant,
        events: draft.events_json(),
        url: draft.url,
        description: draft.description,
        active: draft.active,
        secrets: EndpointSecrets::new(secret.clone(), now).to_json(),
        settings: draft.settings.to_json(),
        version: 1,
        created_at: now,
        updated_at: now,
    };
    commit(&state, vec![endpoint_insert(&row)]).await?;
    let response = with_secret(StatusCode::CREATED, &row, &secret)?;
    Ok(located(response, &format!("/api/v1/webhooks/{}", row.id)))
}

fn with_secret(status: StatusCode, row: &EndpointRow, secret: &Secret) -> Result<Response, Problem> {
    let unsecret = Webhook::try_from(row)?;
    let shown = WebhookWithSecret { webhook: Webhook::try_from(row)?, secret: secret.expose().to_owned() };
    Ok(tagged(secret_json(status, &shown, &unsecret), row.version))
}

async fn list(
    permit: Permit<grants::EndpointsRead>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, "webhooks", &permit.tenant);
    query.finish()?;
    let filter = EndpointFilter {
        active: query.flag("active"),
        text: query.text("text"),
        before: paging.after.clone(),
        limit: paging.n_rows(),
    };
    let rows = endpoint_list(state.store(), &permit.tenant, &filter).await?;
    let page = paging.page(rows, |row| row.id.as_str().to_owned(), |row| row);
    let items = page.items.iter().map(Webhook::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(json(StatusCode::OK, &Page { items, next_page_token: page.next_page_token }))
}

async fn find(state: &ApiState, tenant: &Tenant, id: &str) -> Result<EndpointRow, Problem> {
    endpoint_get(state.store(), tenant, id).await?.ok_or_else(|| Problem::new(ErrorCode::EndpointNotFound))
}

async fn get(
    permit: Permit<grants::EndpointsRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let row = find(&state, &permit.tenant, &id).await?;
    Ok(tagged(json(StatusCode::OK, &Webhook::try_from(&row)?), row.version))
}

async fn replace(
    permit: Permit<grants::EndpointsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let draft = Draft::read(&state, REPLACE, body.required()?)?;
    let before = find(&state, &permit.tenant, &id).await?;
    check_version(&headers, before.version)?;
    let row = EndpointRow {
        events: draft.events_json(),
        url: draft.url,
        description: draft.description,
        active: draft.active,
        settings: draft.settings.to_json(),
        ..next_version(&state, before)
    };
    commit(&state, vec![endpoint_update(&row)]).await?;
    Ok(tagged(json(StatusCode::OK, &Webhook::try_from(&row)?), row.version))
}

async fn delete(
    permit: Permit<grants::EndpointsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let before = find(&state, &permit.tenant, &id).await?;
    check_version(&headers, before.version)?;
    let row = next_version(&state, before);
    let statements = vec![
        // Fails the commit when the endpoint was changed since the look at its version.
        endpoint_update(&row),
        endpoint_delete(&permit.tenant, &row.id),
        delivery_cancel_endpoint(&row.id, "endpoint deleted", row.updated_at),
    ];
    commit(&state, statements).await?;
    Ok(no_content())
}

async fn regenerate_secret(
    permit: Permit<grants::EndpointsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(REGENERATE, body.0.unwrap_or_else(|| json!({})));
    input.finish()?;
    let overlap_s = u64::try_from(input.integer("overlap_s").unwrap_or(OVERLAP_S)).unwrap_or_default();
    let mut row = next_version(&state, find(&state, &permit.tenant, &id).await?);
    let secret = generate_secret();
    // Secrets that cannot be read any more are no reason to refuse new ones.
    let secrets = EndpointSecrets::from_json(&row.secrets).unwrap_or_default();
    let overlap = Duration::from_secs(overlap_s);
    row.secrets = secrets.rotated(secret.clone(), row.updated_at, overlap).to_json();
    commit(&state, vec![endpoint_update(&row)]).await?;
    with_secret(StatusCode::OK, &row, &secret)
}

async fn send_test(
    permit: Permit<grants::DeliveriesWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let row = find(&state, &permit.tenant, &id).await?;
    if !row.active {
        return Err(Problem::new(ErrorCode::EndpointInactive));
    }
    let delivery_id = state.deliveries.send_test(&permit.tenant, &row.id).await?;
    Ok(json(StatusCode::ACCEPTED, &RetriedDelivery { delivery_id: delivery_id.into_string() }))
}

fn next_version(state: &ApiState, row: EndpointRow) -> EndpointRow {
    EndpointRow { version: row.version + 1, updated_at: state.now(), ..row }
}

/// Commits changes of endpoints and tells dispatch. A guard that fails means that somebody else was faster.
async fn commit(state: &ApiState, statements: Vec<Statement>) -> Result<(), Problem> {
    match state.journal.commit(Commit::statements(statements)).await {
        Ok(_) => {}
        Err(CommitError::Guard { .. }) => return Err(Problem::new(ErrorCode::EndpointVersionConflict)),
        Err(error) => return Err(error.into()),
    }
    state.deliveries.endpoints_changed().await;
    Ok(())
}

/// Compares `If-Match`, when it is there, with the stored version.
fn check_version(headers: &HeaderMap, version: i64) -> Result<(), Problem> {
    let mut values = headers.get_all(IF_MATCH).iter().peekable();
    if values.peek().is_none() {
        return Ok(());
    }
    let refused = || {
        let detail = "must be * or entity tags such as \"3\"";
        Problem::invalid(vec![FieldError::new("header:if-match", "invalid", detail)])
    };
    let current = format!("\"{version}\"");
    let mut is_met = false;
    for value in values {
        for tag in value.to_str().map_err(|_| refused())?.split(',').map(str::trim) {
            let opaque = tag.strip_prefix("W/").unwrap_or(tag);
            let is_tag = opaque.len() >= 2 && opaque.starts_with('"') && opaque.ends_with('"');
            if tag != "*" && !is_tag {
                return Err(refused());
            }
            is_met |= tag == "*" || tag == current;
        }
    }
    if is_met { Ok(()) } else { Err(Problem::new(ErrorCode::EndpointVersionConflict)) }
}
