//! `/api/v1/deliveries/{id}/request`: the request of a delivery's latest attempt, made again.
//!
//! Requests are not stored. The event never changes; whether the endpoint has since the attempt is what `as_sent` tells.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::StatusCode;
use serde::Serialize;
use trunkline_dispatch::endpoint::{DeliveryDefaults, Endpoint, Outlets};
use trunkline_dispatch::request::{ShownRequest, show, was_sent_by};
use trunkline_model::ErrorCode;
use trunkline_store::tables::delivery::delivery_get;
use trunkline_store::tables::endpoint::endpoint_get;
use trunkline_store::tables::event::event_at;
use utoipa::ToSchema;

use super::answers::json;
use crate::auth::{Permit, grants};
use crate::input::Id;
use crate::openapi::{Answer, Operation};
use crate::problem::Problem;
use crate::state::ApiState;

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode as C;
    vec![
        Operation::get("/api/v1/deliveries/{id}/request", "getDeliveryRequest", get)
            .about("deliveries", "Shows the request of the latest attempt")
            .details(
                "Requests are not stored: this one is made again from the event and from the endpoint as it is now. \
                 `as_sent` is true when the endpoint has not changed since the latest attempt began, so that the attempt \
                 carried these very bytes. Credentials among the headers are `***`; of signatures only the form is shown.",
            )
            .permit::<grants::DeliveriesRead>()
            .id_of("dlv_")
            .answer(Answer::json::<DeliveryRequest>(200, "The request."))
            .problems(&[C::DeliveryNotFound, C::EndpointNotFound, C::EventNotFound]),
    ]
}

/// What an endpoint is sent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryRequest {
    /// What the endpoint is: `http`, `nats`, `redis`, `amqp`, `s3` or `stdout`.
    kind: &'static str,
    /// Only of kind `http`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    method: Option<&'static str>,
    /// Where to.
    url: String,
    /// By lower-case name.
    headers: BTreeMap<String, String>,
    /// The body when it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    body: Option<String>,
    /// The body in base64 when it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    body_base64: Option<String>,
    /// Why no request can be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    fault: Option<String>,
    /// Whether the latest attempt carried this request. False too before the first attempt.
    as_sent: bool,
}

impl DeliveryRequest {
    pub(super) fn new(shown: ShownRequest, as_sent: bool) -> Self {
        let ShownRequest { kind, method, url, headers, body, fault } = shown;
        let (text, body_base64) = match body.as_deref().map(|bytes| (std::str::from_utf8(bytes), bytes)) {
            None => (None, None),
            Some((Ok(text), _)) => (Some(text.to_owned()), None),
            Some((Err(_), bytes)) => (None, Some(BASE64.encode(bytes))),
        };
        Self { kind: kind.as_str(), method, url, headers, body: text, body_base64, fault, as_sent }
    }
}

async fn get(
    permit: Permit<grants::DeliveriesRead>,
    State(state): State<ApiState>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let (store, tenant) = (state.store(), &permit.tenant);
    let delivery = delivery_get(store, tenant, &id).await?;
    let delivery = delivery.ok_or_else(|| Problem::new(ErrorCode::DeliveryNotFound))?;
    let row = endpoint_get(store, tenant, delivery.endpoint_id.as_str()).await?;
    let row = row.ok_or_else(|| Problem::new(ErrorCode::EndpointNotFound))?;
    let record = event_at(store, delivery.shard, delivery.seq).await?;
    let record = record.filter(|record| record.event.id == delivery.event_id);
    let record = record.ok_or_else(|| Problem::new(ErrorCode::EventNotFound))?;
    let started_at = delivery.latest.map(|latest| latest.started_at);
    let endpoint = Endpoint::from_row(&row, &DeliveryDefaults::default(), &Outlets::only(&state.egress));
    let at = started_at.unwrap_or_else(|| state.now());
    let user_agent = state.sending.user_agent.clone();
    let making = tokio::task::spawn_blocking(move || {
        (show((&row, &endpoint), &record.event, at, user_agent.as_ref()), row)
    });
    let (shown, row) =
        making.await.map_err(|error| Problem::new(ErrorCode::ServerInternal).caused_by(error))?;
    let as_sent = started_at.is_some_and(|at| was_sent_by(&row, at)) && shown.fault.is_none();
    Ok(json(StatusCode::OK, &DeliveryRequest::new(shown, as_sent)))
}
