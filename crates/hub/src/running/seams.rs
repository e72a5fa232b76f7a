//! What the API asks of the engines, passed on to them: the API knows only the traits, the engines know nothing of it.

use trunkline_api::seams::{Circuit, Deliveries, EngineError, PlannedDelivery, Rejudge, Rejudged};
use trunkline_connect::{BoxFuture, SendError, Target};
use trunkline_dispatch::engine::Sample;
use trunkline_dispatch::{Circuit as EngineCircuit, Dispatcher, RequestError};
use trunkline_ingest::{Ingest, Rejudged as Outcome};
use trunkline_model::{DeliveryId, EndpointId, ErrorCode, EventId, EventRecord, InboundId, Tenant};
use trunkline_store::Store;
use trunkline_store::tables::delivery::{DeliveryRow, delivery_get};
use trunkline_store::tables::inbound::Verdict;

/// Passes the API's wishes on.
pub(super) struct EngineSeam {
    dispatcher: Dispatcher,
    ingest: Ingest,
    store: Store,
}

impl EngineSeam {
    pub(super) fn new(dispatcher: Dispatcher, ingest: Ingest, store: Store) -> Self {
        Self { dispatcher, ingest, store }
    }

    async fn delivery(&self, tenant: &Tenant, id: &DeliveryId) -> Result<DeliveryRow, EngineError> {
        let row = delivery_get(&self.store, tenant, id.as_str()).await.map_err(EngineError::from_coded)?;
        row.ok_or_else(|| ErrorCode::DeliveryNotFound.into())
    }
}

/// The engine's word with the API's code where the API has a better one.
fn refused(error: RequestError) -> EngineError {
    match error {
        RequestError::EndpointInactive => ErrorCode::EndpointInactive.into(),
        error => EngineError::from_coded(error),
    }
}

impl Deliveries for EngineSeam {
    fn replay<'a>(
        &'a self,
        event: &'a EventRecord,
        endpoint_id: Option<&'a EndpointId>,
    ) -> BoxFuture<'a, Result<Vec<PlannedDelivery>, EngineError>> {
        Box::pin(async move {
            let (tenant, id) = (&event.event.tenant, event.event.id.as_str());
            let made = self.dispatcher.resend(tenant, id, endpoint_id).await.map_err(refused)?;
            let mut planned = Vec::with_capacity(made.len());
            for id in made {
                let endpoint_id = self.delivery(tenant, &id).await?.endpoint_id;
                planned.push(PlannedDelivery { id, endpoint_id });
            }
            Ok(planned)
        })
    }

    fn send_test<'a>(
        &'a self,
        tenant: &'a Tenant,
        endpoint_id: &'a EndpointId,
        sample: Option<Sample>,
    ) -> BoxFuture<'a, Result<DeliveryId, EngineError>> {
        Box::pin(async move { self.dispatcher.test(tenant, endpoint_id, sample).await.map_err(refused) })
    }

    fn retry<'a>(
        &'a self,
        tenant: &'a Tenant,
        delivery_id: &'a DeliveryId,
    ) -> BoxFuture<'a, Result<DeliveryId, EngineError>> {
        Box::pin(async move {
            match self.dispatcher.retry_now(tenant, delivery_id.as_str()).await {
                Ok(()) => Ok(delivery_id.clone()),
                // What succeeded stays as it is; the endpoint gets the event in a delivery of its own.
                Err(RequestError::AlreadySucceeded) => {
                    let row = self.delivery(tenant, delivery_id).await?;
                    let made =
                        self.dispatcher.resend(tenant, row.event_id.as_str(), Some(&row.endpoint_id)).await;
                    made.map_err(refused)?.pop().ok_or_else(|| ErrorCode::EndpointNotFound.into())
                }
                Err(error) => Err(refused(error)),
            }
        })
    }

    fn skip<'a>(
        &'a self,
        tenant: &'a Tenant,
        delivery_id: &'a DeliveryId,
    ) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async move { self.dispatcher.skip(tenant, delivery_id.as_str()).await.map_err(refused) })
    }

    fn vet<'a>(&'a self, tenant: &'a Tenant, target: &'a Target) -> BoxFuture<'a, Result<(), SendError>> {
        self.dispatcher.vet(tenant, target)
    }

    fn circuit(&self, endpoint_id: &EndpointId) -> Circuit {
        match self.dispatcher.circuit(endpoint_id) {
            EngineCircuit::Closed => Circuit::Closed,
            EngineCircuit::Open(until) => Circuit::Open(until),
            EngineCircuit::HalfOpen => Circuit::HalfOpen,
        }
    }

    fn endpoints_changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Err(error) = self.dispatcher.refresh_endpoints().await {
                // Dispatch looks again by itself before long.
                tracing::warn!(error = ?error, "changed endpoints are not known to dispatch yet");
            }
        })
    }
}

impl Rejudge for EngineSeam {
    fn rejudge<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: &'a InboundId,
    ) -> BoxFuture<'a, Result<Rejudged, EngineError>> {
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
                    let reason = format!("the sender has sent it again meanwhile, as {inbound_id}");
                    Rejudged { verdict: Verdict::Rejected, event_id: None, reason }
                }
            })
        })
    }
}
