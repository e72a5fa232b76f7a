//! The engines as the API sees them: [`Deliveries`] by dispatch, [`Rejudge`] by ingest.

use std::time::Duration;

use trunkline_connect::BoxFuture;
use trunkline_dispatch::{Dispatcher, RequestError};
use trunkline_ingest::Ingest;
use trunkline_model::{DeliveryId, EndpointId, ErrorCode, EventId, EventRecord, InboundId, Tenant};
use trunkline_store::Store;
use trunkline_store::tables::delivery::{DeliveryState, delivery_get};
use trunkline_store::tables::inbound::{Verdict, inbound_get};

use crate::seams::{Deliveries, EngineError, PlannedDelivery, Rejudge, Rejudged};

/// How long a look at the endpoints may take after a change; dispatch looks again by itself.
const REFRESH_WITHIN: Duration = Duration::from_secs(2);

/// Dispatch, with the store in which it plans.
#[derive(Clone)]
pub struct DispatchSeam {
    dispatcher: Dispatcher,
    store: Store,
}

impl DispatchSeam {
    /// Joins dispatch to the API.
    pub fn new(dispatcher: Dispatcher, store: Store) -> Self {
        Self { dispatcher, store }
    }

    async fn resend(
        &self,
        tenant: &Tenant,
        event_id: &str,
        endpoint_id: Option<&EndpointId>,
    ) -> Result<Vec<PlannedDelivery>, EngineError> {
        let ids = self.dispatcher.resend(tenant, event_id, endpoint_id).await.map_err(refused)?;
        let mut planned = Vec::with_capacity(ids.len());
        for id in ids {
            let row =
                delivery_get(&self.store, tenant, id.as_str()).await.map_err(EngineError::from_coded)?;
            let row = row.ok_or(EngineError::from(ErrorCode::DeliveryNotFound))?;
            planned.push(PlannedDelivery { id, endpoint_id: row.endpoint_id });
        }
        Ok(planned)
    }
}

fn refused(error: RequestError) -> EngineError {
    match error {
        RequestError::EndpointInactive => ErrorCode::EndpointInactive.into(),
        error => EngineError::from_coded(error),
    }
}

impl Deliveries for DispatchSeam {
    fn replay<'a>(
        &'a self,
        event: &'a EventRecord,
        endpoint_id: Option<&'a EndpointId>,
    ) -> BoxFuture<'a, Result<Vec<PlannedDelivery>, EngineError>> {
        Box::pin(self.resend(&event.event.tenant, event.event.id.as_str(), endpoint_id))
    }

    fn send_test<'a>(
        &'a self,
        tenant: &'a Tenant,
        endpoint_id: &'a EndpointId,
    ) -> BoxFuture<'a, Result<DeliveryId, EngineError>> {
        Box::pin(async move { self.dispatcher.test(tenant, endpoint_id).await.map_err(refused) })
    }

    fn retry<'a>(
        &'a self,
        tenant: &'a Tenant,
        delivery_id: &'a DeliveryId,
    ) -> BoxFuture<'a, Result<DeliveryId, EngineError>> {
        Box::pin(async move {
            let id = delivery_id.as_str();
            let row = delivery_get(&self.store, tenant, id).await.map_err(EngineError::from_coded)?;
            let row = row.ok_or(EngineError::from(ErrorCode::DeliveryNotFound))?;
            if row.state != DeliveryState::Succeeded {
                match self.dispatcher.retry_now(tenant, id).await {
                    Ok(()) => return Ok(row.id),
                    // It succeeded between our look and the retry.
                    Err(RequestError::AlreadySucceeded) => {}
                    Err(error) => return Err(refused(error)),
                }
            }
            let mut planned = self.resend(tenant, &row.event_id, Some(&row.endpoint_id)).await?;
            planned.pop().map(|planned| planned.id).ok_or(EngineError::from(ErrorCode::EndpointNotFound))
        })
    }

    fn endpoints_changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let refresh = self.dispatcher.refresh_endpoints();
            if let Ok(Err(error)) = tokio::time::timeout(REFRESH_WITHIN, refresh).await {
                tracing::warn!(error = %error, "endpoints could not be read after a change");
            }
        })
    }
}

/// Ingest, with the store in which the calls are.
#[derive(Clone)]
pub struct IngestSeam {
    ingest: Ingest,
    store: Store,
}

impl IngestSeam {
    /// Joins ingest to the API.
    pub fn new(ingest: Ingest, store: Store) -> Self {
        Self { ingest, store }
    }
}

impl Rejudge for IngestSeam {
    fn rejudge<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: &'a InboundId,
    ) -> BoxFuture<'a, Result<Rejudged, EngineError>> {
        use trunkline_ingest::Rejudged as Outcome;
        Box::pin(async move {
            let outcome = self.ingest.rejudge(tenant, id.as_str()).await.map_err(EngineError::from_coded)?;
            Ok(match outcome {
                Outcome::Accepted { event_id } => Rejudged {
                    verdict: Verdict::Accepted,
                    event_id: Some(EventId::from_text(event_id)),
                    reason: String::new(),
                },
                Outcome::Quarantined { reason } => {
                    Rejudged { verdict: Verdict::Quarantined, event_id: None, reason }
                }
                Outcome::Rejected { reason } => {
                    Rejudged { verdict: Verdict::Rejected, event_id: None, reason }
                }
                Outcome::Repeat { inbound_id } => {
                    // The verdict stays as it was; the reason now names the call that was accepted.
                    let row = inbound_get(&self.store, tenant, id.as_str()).await;
                    let row = row.map_err(EngineError::from_coded)?;
                    let verdict = row.map_or(Verdict::Rejected, |row| row.verdict);
                    Rejudged { verdict, event_id: None, reason: format!("repeat of {inbound_id}") }
                }
            })
        })
    }
}
