//! Trying an endpoint: a test that is really sent, and a preview that is not.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use trunkline_dispatch::endpoint::check::check_settings;
use trunkline_dispatch::endpoint::{DeliveryDefaults, Endpoint, EndpointSettings, Outlets};
use trunkline_dispatch::engine::Sample;
use trunkline_dispatch::request::{ShownRequest, show};
use trunkline_dispatch::sign;
use trunkline_model::event::ExtensionValue;
use trunkline_model::{Data, ErrorCode, Event, EventType, FieldError};
use trunkline_store::tables::endpoint::EndpointRow;
use trunkline_store::tables::event::event_get;
use utoipa::ToSchema;

use super::fields::{PREVIEW, TEST};
use super::find;
use super::shown::settings_of;
use crate::auth::{Permit, grants};
use crate::input::{Id, Input, JsonBody};
use crate::problem::Problem;
use crate::routes::answers::json as answer;
use crate::routes::deliveries::RetriedDelivery;
use crate::routes::delivery_request::DeliveryRequest;
use crate::state::ApiState;

/// The type of a test that names none.
const TEST_TYPE: &str = trunkline_dispatch::engine::TEST_TYPE;

pub(super) async fn send_test(
    permit: Permit<grants::DeliveriesWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(TEST, body.0.unwrap_or_else(|| json!({})));
    let sample = sample(&state, &permit.tenant, &mut input).await?;
    input.finish()?;
    let row = find(&state, &permit.tenant, &id).await?;
    if !row.active {
        return Err(Problem::new(ErrorCode::EndpointInactive));
    }
    let delivery_id = state.deliveries.send_test(&permit.tenant, &row.id, sample).await?;
    Ok(answer(StatusCode::ACCEPTED, &RetriedDelivery { delivery_id: delivery_id.into_string() }))
}

/// The event that a caller describes by type and data; data left out is the catalogue's example.
async fn sample(
    state: &ApiState,
    tenant: &trunkline_model::Tenant,
    input: &mut Input,
) -> Result<Option<Sample>, Problem> {
    let event_type = input.text("event_type").and_then(|text| EventType::parse(&text).ok());
    let data = input.json("data").filter(|data| !data.is_null()).cloned();
    let data = match (&event_type, data) {
        (_, Some(data)) => data,
        (None, None) => return Ok(None),
        (Some(event_type), None) => {
            let view = state.catalogue.of(state.store(), tenant).await?;
            let known = view.catalogue.get(event_type, None);
            let Some(example) = known.and_then(|known| known.declared().example.clone()) else {
                let what = if known.is_some() { "has no example in" } else { "is not in" };
                input.fault("event_type", "unknown", format!("{what} the event catalogue; give data"));
                return Ok(None);
            };
            example
        }
    };
    let data = data.to_string();
    if data.len() > state.limits.event_bytes {
        input.fault("data", "too_long", format!("must be at most {} bytes", state.limits.event_bytes));
    }
    let event_type =
        event_type.or_else(|| EventType::parse(TEST_TYPE).ok()).expect("invariant: a constant event type");
    Ok(Some(Sample { event_type, data }))
}

/// What an endpoint would make of an event.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookPreview {
    /// Whether it would be sent.
    would_send: bool,
    /// Why not: `inactive`, `no_match` (no pattern selects the type), `channels`, `filtered`, `filter_failed`,
    /// `transform_failed` or `unusable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    reason: Option<&'static str>,
    /// What went wrong, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    detail: Option<String>,
    /// The request, also where it would not be sent.
    request: DeliveryRequest,
}

pub(super) async fn preview(
    permit: Permit<grants::DeliveriesWrite>,
    State(state): State<ApiState>,
    Id(id): Id,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::from_json(PREVIEW, body.required()?);
    let row = find(&state, &permit.tenant, &id).await?;
    let mut settings = settings_of(&row)?;
    override_expressions(&mut settings, &input);
    input.add_faults(check_settings(&settings));
    let event = described(&state, &permit.tenant, &mut input).await?;
    input.finish()?;
    let event = event.ok_or_else(|| Problem::new(ErrorCode::EventNotFound))?;
    let row = EndpointRow { settings: settings.to_json(), ..row };
    let endpoint = Endpoint::from_row(&row, &DeliveryDefaults::default(), &Outlets::only(&state.egress));
    let (now, user_agent) = (state.now(), state.sending.user_agent.clone());
    let making = tokio::task::spawn_blocking(move || {
        let refusal = refusal(&endpoint, &event);
        (refusal, show((&row, &endpoint), &event, now, user_agent.as_ref()))
    });
    let (refusal, shown) =
        making.await.map_err(|error| Problem::new(ErrorCode::ServerInternal).caused_by(error))?;
    Ok(answer(StatusCode::OK, &WebhookPreview::new(refusal, shown)))
}

impl WebhookPreview {
    fn new(refusal: Option<(&'static str, Option<String>)>, shown: ShownRequest) -> Self {
        let failed = || {
            let fault = shown.fault.clone()?;
            let reason = if fault.starts_with("transform ") { "transform_failed" } else { "unusable" };
            Some((reason, Some(fault)))
        };
        let (reason, detail) = refusal.or_else(failed).unzip();
        Self {
            would_send: reason.is_none(),
            reason,
            detail: detail.flatten(),
            request: DeliveryRequest::new(shown, false),
        }
    }
}

/// Expressions to try instead of the stored ones.
fn override_expressions(settings: &mut EndpointSettings, input: &Input) {
    if let Some(filter) = input.text("filter") {
        settings.filter = Some(filter);
    }
    if let Some(transform) = input.text("transform") {
        settings.transform = Some(transform);
    }
    if let Some(format) = input.parsed("format") {
        settings.format = format;
    }
}

/// The event that is looked at: a stored one, or one that the caller describes.
async fn described(
    state: &ApiState,
    tenant: &trunkline_model::Tenant,
    input: &mut Input,
) -> Result<Option<Event>, Problem> {
    if let Some(id) = input.text("event_id") {
        if input.json("event_type").is_some() || input.json("data").is_some() {
            input.fault("event_id", "conflict", "names an event; event_type and data describe another one");
        }
        return Ok(event_get(state.store(), tenant, &id).await?.map(|record| record.event));
    }
    let Some(sample) = sample(state, tenant, input).await? else {
        if !input.has_fault("event_type") {
            input.add_faults(vec![FieldError::new("/event_id", "required", "name an event, or event_type")]);
        }
        return Ok(None);
    };
    let mut event = Event::new(tenant.clone(), "/preview", sample.event_type, state.now());
    event.data = Data::Json(sample.data.into());
    if let Some(channels) = input.texts("channels") {
        event.extensions.insert("channels".to_owned(), ExtensionValue::String(channels.join(",")));
    }
    Ok(Some(event))
}

/// Why an event would not be sent to an endpoint, whatever its body.
fn refusal(endpoint: &Endpoint, event: &Event) -> Option<(&'static str, Option<String>)> {
    if !endpoint.active {
        return Some(("inactive", None));
    }
    if !endpoint.wants(&event.event_type) {
        return Some(("no_match", None));
    }
    if !endpoint.takes_channels_of(event) {
        return Some(("channels", None));
    }
    match endpoint.expressions.wants(&sign::body(event, endpoint.format)) {
        Ok(true) => None,
        Ok(false) => Some(("filtered", None)),
        Err(fault) => Some(("filter_failed", Some(fault.to_string()))),
    }
}
