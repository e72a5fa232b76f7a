//! `/api/v1/webhooks`: endpoints, the places that events are delivered to.

mod batch;
mod draft;
mod fields;
mod recover;
mod shown;
mod trial;

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::header::IF_MATCH;
use http::{HeaderMap, StatusCode};
use serde_json::json;
use trunkline_connect::{SendError, Target};
use trunkline_dispatch::endpoint::EndpointSecrets;
use trunkline_dispatch::endpoint::check::check_secret;
use trunkline_dispatch::sign::SignatureVersion;
use trunkline_model::{EndpointId, ErrorCode, EventType, FieldError, Pattern, Secret, Tenant};
use trunkline_store::tables::delivery_stats::delivery_stats_cancel_endpoint;
use trunkline_store::tables::endpoint::{
    EndpointFilter, EndpointRow, endpoint_count, endpoint_delete, endpoint_get, endpoint_insert,
    endpoint_list, endpoint_update,
};
use trunkline_store::{Commit, CommitError, Statement};

use self::batch::WebhookBatchResult;
use self::draft::Draft;
use self::fields::{BATCH, CREATE, LIST, PREVIEW, RECOVER, REGENERATE, REPLACE, TEST};
use self::recover::WebhookRecovery;
use self::shown::{Webhook, WebhookWarning, WebhookWithSecret, patterns_of, settings_of};
use self::trial::WebhookPreview;
use super::answers::{json, located, no_content, secret_json, tagged};
use super::deliveries::RetriedDelivery;
use crate::auth::portal::{self, Access, PortalScope};
use crate::auth::{Permit, grants};
use crate::input::{Id, Input, JsonBody, Query};
use crate::openapi::{Answer, Body, Operation};
use crate::page::{Page, Paging};
use crate::problem::Problem;
use crate::state::ApiState;

/// How long replaced secrets sign along when nothing else is asked for.
const OVERLAP_S: i64 = 24 * 60 * 60;
/// How long saving an endpoint waits for its names to be looked up.
const VET_WITHIN: Duration = Duration::from_secs(1);
/// How many endpoints are read at once to look at their patterns.
const SCAN: i64 = 500;

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
                "A signing secret that the hub makes is in this answer and nowhere else; private keys are never shown. A \
                 repeat under the same `Idempotency-Key` is answered without the secret.",
            )
            .permit::<grants::EndpointsWrite>()
            .portal(Access::Scoped)
            .body(Body::Object { name: "NewWebhook", fields: CREATE, is_required: true })
            .answer(Answer::json::<WebhookWithSecret>(201, "The endpoint.").with_headers(CREATED_HEADERS))
            .problems(&[C::EndpointTooMany]),
        Operation::get("/api/v1/webhooks", "listWebhooks", list)
            .about("webhooks", "Lists endpoints, newest first")
            .permit::<grants::EndpointsRead>()
            .portal(Access::Scoped)
            .query(LIST)
            .answer(Answer::json::<Page<Webhook>>(200, "A page of endpoints.")),
        Operation::get("/api/v1/webhooks/{id}", "getWebhook", get)
            .about("webhooks", "Reads one endpoint")
            .permit::<grants::EndpointsRead>()
            .portal(Access::EndpointInPath)
            .id_of("ep_")
            .answer(Answer::json::<Webhook>(200, "The endpoint.").with_headers(TAG_HEADERS))
            .problems(&[C::EndpointNotFound]),
        Operation::put("/api/v1/webhooks/{id}", "replaceWebhook", replace)
            .about("webhooks", "Replaces an endpoint")
            .details(
                "Members left out get their defaults. The secrets stay; one that `signing` or `signature_format` newly \
                 needs is made and is in this answer.",
            )
            .permit::<grants::EndpointsWrite>()
            .portal(Access::EndpointInPath)
            .id_of("ep_")
            .if_match()
            .body(Body::Object { name: "WebhookReplacement", fields: REPLACE, is_required: true })
            .answer(Answer::json::<WebhookWithSecret>(200, "The endpoint.").with_headers(TAG_HEADERS))
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
        Operation::post("/api/v1/webhooks/batch", "changeWebhooks", batch::batch)
            .about("webhooks", "Enables, disables or deletes many endpoints")
            .details("Each in a commit of its own, in the order of the list; one that fails leaves the others alone.")
            .permit::<grants::EndpointsWrite>()
            .portal(Access::Scoped)
            .body(Body::Object { name: "WebhookBatch", fields: BATCH, is_required: true })
            .answer(Answer::json::<WebhookBatchResult>(200, "What came of each.")),
        Operation::post("/api/v1/webhooks/{id}/regenerate-secret", "regenerateWebhookSecret", regenerate_secret)
            .about("webhooks", "Puts a new signing secret in force")
            .details(
                "A new secret that the hub makes is in this answer and nowhere else, of a new private key only the public \
                 one; deliveries are signed with the old one as well until the overlap ends. A repeat under the same \
                 `Idempotency-Key` is answered without the secret.",
            )
            .permit::<grants::EndpointsWrite>()
            .portal(Access::EndpointInPath)
            .id_of("ep_")
            .body(Body::Object { name: "RegenerateSecret", fields: REGENERATE, is_required: false })
            .answer(Answer::json::<WebhookWithSecret>(200, "The endpoint.").with_headers(TAG_HEADERS))
            .problems(&[C::EndpointNotFound, C::EndpointVersionConflict]),
        Operation::post("/api/v1/webhooks/{id}/test", "testWebhook", trial::send_test)
            .about("webhooks", "Sends a test event to the endpoint")
            .details(
                "Whatever its patterns and filter say. Without a body its type is `webhook.test`. Nobody else gets the event, \
                 also where the receiver sees another type.",
            )
            .permit::<grants::DeliveriesWrite>()
            .portal(Access::EndpointInPath)
            .id_of("ep_")
            .body(Body::Object { name: "WebhookTest", fields: TEST, is_required: false })
            .answer(Answer::json::<RetriedDelivery>(202, "The delivery to watch."))
            .problems(&[C::EndpointNotFound, C::EndpointInactive]),
        Operation::post("/api/v1/webhooks/{id}/preview", "previewWebhook", trial::preview)
            .about("webhooks", "Shows what the endpoint would make of an event, without sending anything")
            .details("Of a stored event, or of one that is described; with other expressions than the stored ones, too.")
            .permit::<grants::DeliveriesWrite>()
            .id_of("ep_")
            .body(Body::Object { name: "PreviewWebhook", fields: PREVIEW, is_required: true })
            .answer(Answer::json::<WebhookPreview>(200, "What would happen."))
            .problems(&[C::EndpointNotFound, C::EventNotFound]),
        Operation::post("/api/v1/webhooks/{id}/recover", "recoverWebhook", recover::recover)
            .about("webhooks", "Switches the endpoint on and sends what it missed")
            .details(
                "In one commit: the endpoint is active, and a replay job of what failed or was missed begins. It reaches back \
                 to the first event that was missed since the beginning of the failure that is on record, or to `since`.",
            )
            .permit::<grants::EndpointsWrite>()
            .portal(Access::EndpointInPath)
            .id_of("ep_")
            .body(Body::Object { name: "RecoverWebhook", fields: RECOVER, is_required: false })
            .answer(
                Answer::json::<WebhookRecovery>(201, "The endpoint and the job.")
                    .with_headers(&[("Location", "The job's path.")]),
            )
            .problems(&[C::EndpointNotFound, C::EndpointVersionConflict, C::ReplayTooMany]),
    ]
}

async fn create(
    permit: Permit<grants::EndpointsWrite>,
    State(state): State<ApiState>,
    body: JsonBody,
) -> Result<Response, Problem> {
    if permit.portal.as_ref().is_some_and(|portal| portal.listed().is_some()) {
        return Err(portal::refused("create endpoints: it is for some that are there"));
    }
    let draft = Draft::create(&state, &permit.tenant, body.required()?, permit.portal.as_ref())?;
    check_number(&state, &permit).await?;
    let warnings = vet(&state, &permit.tenant, &draft, None).await?;
    let now = state.now();
    let (secrets, made) = draft.secrets(now);
    let row = EndpointRow {
        id: EndpointId::fresh(),
        tenant: permit.tenant,
        events: draft.events_json(),
        url: draft.url,
        description: draft.description,
        active: draft.active,
        secrets: secrets.to_json(),
        settings: draft.settings.to_json(),
        version: 1,
        created_at: now,
        updated_at: now,
    };
    commit(&state, vec![endpoint_insert(&row)]).await?;
    let response = with_secret(StatusCode::CREATED, &row, made.as_ref(), warnings)?;
    Ok(located(response, &format!("/api/v1/webhooks/{}", row.id)))
}

/// Refuses one more endpoint than the tenant may have. Two calls at once may get through together.
async fn check_number(state: &ApiState, permit: &Permit<grants::EndpointsWrite>) -> Result<(), Problem> {
    let limits = &state.limits;
    let most = if permit.portal.is_some() { limits.endpoints_by_portal } else { limits.endpoints };
    if endpoint_count(state.store(), &permit.tenant, most).await? >= most {
        return Err(Problem::new(ErrorCode::EndpointTooMany));
    }
    Ok(())
}

/// Looks up the names that calls will go to, where they are new. One that leads where calls may not go is refused, since
/// that would be found out only when nothing arrives; one that is not known is a warning, since it may be tomorrow.
async fn vet(
    state: &ApiState,
    tenant: &Tenant,
    draft: &Draft,
    before: Option<&EndpointRow>,
) -> Result<Vec<WebhookWarning>, Problem> {
    let known = before.and_then(|row| settings_of(row).ok());
    let token_url = draft.settings.oauth2.as_ref().map(|oauth2| oauth2.token_url.as_str());
    let known_token_url =
        known.as_ref().and_then(|known| known.oauth2.as_ref()).map(|known| &*known.token_url);
    let url = draft.settings.kind.is_http().then_some(draft.url.as_str());
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    for (pointer, url, known) in
        [("/url", url, before.map(|row| &*row.url)), ("/oauth2/token_url", token_url, known_token_url)]
    {
        let Some(url) = url.filter(|url| Some(*url) != known) else { continue };
        let Ok(target) = Target::parse(url, state.egress.of(tenant)) else { continue };
        match tokio::time::timeout(VET_WITHIN, state.deliveries.vet(tenant, &target)).await {
            Ok(Ok(())) => {}
            Ok(Err(SendError::Blocked(blocked))) => {
                faults.push(FieldError::new(pointer, "blocked", blocked.to_string()));
            }
            Ok(Err(error)) => warnings.push(WebhookWarning::unresolved(pointer, error.to_string())),
            Err(_) => {
                let detail = SendError::DnsTimeout.to_string();
                warnings.push(WebhookWarning::unresolved(pointer, detail));
            }
        }
    }
    if faults.is_empty() { Ok(warnings) } else { Err(Problem::invalid(faults)) }
}

fn with_secret(
    status: StatusCode,
    row: &EndpointRow,
    made: Option<&Secret>,
    warnings: Vec<WebhookWarning>,
) -> Result<Response, Problem> {
    let webhook = Webhook::try_from(row)?;
    let secret = made.map(|secret| secret.expose().to_owned());
    let shown = WebhookWithSecret { webhook: webhook.clone(), secret, warnings };
    Ok(tagged(secret_json(status, &shown, &webhook), row.version))
}

async fn list(
    permit: Permit<grants::EndpointsRead>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let paging = Paging::read(&mut query, "webhooks", &permit.tenant);
    query.finish()?;
    let filter =
        EndpointFilter { active: query.flag("active"), before: paging.after.clone(), limit: paging.n_rows() };
    let wanted = Wanted {
        event_type: query.text("event_type").and_then(|text| EventType::parse(&text).ok()),
        text: query.text("text").map(|text| text.to_lowercase()),
        scope: permit.portal.clone().filter(|portal| portal.listed().is_some()),
    };
    let rows = if wanted.is_all() {
        endpoint_list(state.store(), &permit.tenant, &filter).await?
    } else {
        list_wanted(&state, &permit.tenant, filter, &wanted).await?
    };
    let page = paging.page(rows, |row| row.id.as_str().to_owned(), |row| row);
    let items = page.items.iter().map(Webhook::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(json(StatusCode::OK, &Page { items, next_page_token: page.next_page_token }))
}

/// What the store cannot select endpoints by: patterns and metadata are JSON to it, and what else is in that JSON, such as
/// credentials in headers, must not be searched.
struct Wanted {
    event_type: Option<EventType>,
    /// In lower case.
    text: Option<String>,
    scope: Option<PortalScope>,
}

impl Wanted {
    fn is_all(&self) -> bool {
        self.event_type.is_none() && self.text.is_none() && self.scope.is_none()
    }

    fn selects(&self, row: &EndpointRow) -> Result<bool, Problem> {
        if self.scope.as_ref().is_some_and(|scope| !scope.has(row.id.as_str())) {
            return Ok(false);
        }
        if let Some(event_type) = &self.event_type {
            let selects =
                |text: &String| Pattern::parse(text).is_ok_and(|pattern| pattern.matches(event_type));
            if !patterns_of(row)?.iter().any(selects) {
                return Ok(false);
            }
        }
        let Some(text) = &self.text else { return Ok(true) };
        let has = |part: &str| part.to_lowercase().contains(text);
        if has(&row.url) || has(&row.description) {
            return Ok(true);
        }
        Ok(settings_of(row)?.metadata.iter().any(|(name, value)| has(name) || has(value)))
    }
}

/// Lists endpoints that are wanted; reads all, some at a time.
async fn list_wanted(
    state: &ApiState,
    tenant: &Tenant,
    filter: EndpointFilter,
    wanted: &Wanted,
) -> Result<Vec<EndpointRow>, Problem> {
    let n_wanted = usize::try_from(filter.limit).unwrap_or_default();
    let mut scan = EndpointFilter { limit: SCAN, ..filter };
    let mut found = Vec::new();
    loop {
        let rows = endpoint_list(state.store(), tenant, &scan).await?;
        let is_last = (rows.len() as i64) < SCAN;
        scan.before = rows.last().map(|row| row.id.as_str().to_owned());
        for row in rows {
            if wanted.selects(&row)? {
                found.push(row);
            }
        }
        if is_last || found.len() >= n_wanted {
            found.truncate(n_wanted);
            return Ok(found);
        }
    }
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
    let body = body.required()?;
    let before = find(&state, &permit.tenant, &id).await?;
    let draft = Draft::replace(&state, body, &before, permit.portal.as_ref())?;
    check_version(&headers, before.version)?;
    let warnings = vet(&state, &permit.tenant, &draft, Some(&before)).await?;
    let row = next_version(&state, before);
    // Secrets that cannot be read any more are made anew.
    let secrets = EndpointSecrets::from_json(&row.secrets).unwrap_or_default();
    let (secrets, made) = secrets.completed(&draft.settings, row.updated_at);
    let row = EndpointRow {
        events: draft.events_json(),
        url: draft.url,
        description: draft.description,
        active: draft.active,
        secrets: secrets.to_json(),
        settings: draft.settings.to_json(),
        ..row
    };
    commit(&state, vec![endpoint_update(&row)]).await?;
    with_secret(StatusCode::OK, &row, made.as_ref(), warnings)
}

async fn delete(
    permit: Permit<grants::EndpointsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let before = find(&state, &permit.tenant, &id).await?;
    check_version(&headers, before.version)?;
    commit(&state, deletion(&state, before)).await?;
    Ok(no_content())
}

fn deletion(state: &ApiState, before: EndpointRow) -> Vec<Statement> {
    let row = next_version(state, before);
    // Fails the commit when the endpoint was changed since the look at its version.
    let mut statements = vec![endpoint_update(&row), endpoint_delete(&row.tenant, &row.id)];
    let (dialect, reason) = (state.store().dialect(), "endpoint deleted");
    statements.extend(delivery_stats_cancel_endpoint(dialect, &row.id, reason, row.updated_at));
    statements
}

async fn regenerate_secret(
    permit: Permit<grants::EndpointsWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(REGENERATE, body.0.unwrap_or_else(|| json!({})));
    let mut row = next_version(&state, find(&state, &permit.tenant, &id).await?);
    let settings = settings_of(&row)?;
    if permit.portal.is_some() && input.integer("overlap_s").is_some_and(|s| s > OVERLAP_S) {
        input.fault("overlap_s", "out_of_range", format!("must be at most {OVERLAP_S} with a portal token"));
    }
    let brought = input.text("secret").map(Secret::new);
    let versions = match (&brought, input.parsed::<SignatureVersion>("version")) {
        (Some(secret), _) => vec![SignatureVersion::of_secret(secret)],
        (None, Some(version)) => vec![version],
        (None, None) => settings.versions().to_vec(),
    };
    if let Some(secret) = &brought {
        input.add_faults(check_secret("/secret", secret, settings.signature_format));
    }
    if let Some(version) = versions.iter().find(|version| !settings.versions().contains(version)) {
        let name = if brought.is_some() { "secret" } else { "version" };
        input.fault(name, "invalid", format!("the endpoint does not sign by {}", version.as_str()));
    }
    input.finish()?;
    let overlap_s = u64::try_from(input.integer("overlap_s").unwrap_or(OVERLAP_S)).unwrap_or_default();
    let (now, overlap) = (row.updated_at, Duration::from_secs(overlap_s));
    // Secrets that cannot be read any more are no reason to refuse new ones.
    let mut secrets = EndpointSecrets::from_json(&row.secrets).unwrap_or_default();
    let mut made = None;
    if let Some(secret) = brought {
        secrets = secrets.rotated(secret, now, overlap);
    } else {
        for version in versions {
            let (all, secret) = secrets.renewed(version, now, overlap);
            secrets = all;
            made = made.or((version == SignatureVersion::V1).then_some(secret));
        }
    }
    row.secrets = secrets.to_json();
    commit(&state, vec![endpoint_update(&row)]).await?;
    with_secret(StatusCode::OK, &row, made.as_ref(), vec![])
}

fn next_version(state: &ApiState, row: EndpointRow) -> EndpointRow {
    EndpointRow { version: row.version + 1, updated_at: state.now(), ..row }
}

/// Commits changes of endpoints and tells dispatch.
async fn commit(state: &ApiState, statements: Vec<Statement>) -> Result<(), Problem> {
    store(state, statements).await?;
    state.deliveries.endpoints_changed().await;
    Ok(())
}

/// Commits changes of endpoints. A guard that fails means that somebody else was faster.
async fn store(state: &ApiState, statements: Vec<Statement>) -> Result<(), Problem> {
    match state.journal.commit(Commit::statements(statements)).await {
        Ok(_) => Ok(()),
        Err(CommitError::Guard { .. }) => Err(Problem::new(ErrorCode::EndpointVersionConflict)),
        Err(error) => Err(error.into()),
    }
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
