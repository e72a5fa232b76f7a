//! What callers of the API ask of the engine: test an endpoint, send an event again, try a delivery now.
//!
//! Each writes pending rows and pokes the shard's retrier. Where another hub owns the shard, its sweep finds the rows
//! within about a second. Each lets one attempt through at once where this hub's breaker for the endpoint is open:
//! somebody thinks that it works again.

use trunkline_model::{
    Coded, Data, DeliveryId, EndpointId, ErrorCode, Event, EventRecord, EventType, Shard, Tenant, Timestamp,
};
use trunkline_store::tables::delivery::{self, DeliveryRow, DeliveryState};
use trunkline_store::tables::event;
use trunkline_store::{Commit, CommitError, NewEvent, ReadError};

use super::{Dispatcher, OWN_SOURCE, TEST_TYPE, recipients};
use crate::endpoint::Endpoint;

/// Why a request to the engine failed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No such event in the tenant.
    #[error("no such event")]
    EventNotFound,
    /// No such endpoint in the tenant.
    #[error("no such endpoint")]
    EndpointNotFound,
    /// The endpoint is switched off.
    #[error("the endpoint is not active; activate it first")]
    EndpointInactive,
    /// No such delivery in the tenant.
    #[error("no such delivery")]
    DeliveryNotFound,
    /// The delivery has succeeded already.
    #[error("the delivery has succeeded; send its event again instead")]
    AlreadySucceeded,
    /// The store could not be read.
    #[error("the store cannot be read")]
    Read(#[from] ReadError),
    /// The store did not take the change.
    #[error("the change was not stored")]
    Commit(#[from] CommitError),
}

impl Coded for RequestError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::EventNotFound => ErrorCode::EventNotFound,
            Self::EndpointNotFound => ErrorCode::EndpointNotFound,
            Self::DeliveryNotFound => ErrorCode::DeliveryNotFound,
            Self::EndpointInactive | Self::AlreadySucceeded => ErrorCode::RequestInvalid,
            Self::Read(error) => error.code(),
            Self::Commit(error) => error.code(),
        }
    }
}

impl Dispatcher {
    /// Appends a `webhook.test` event and makes a delivery of it to this endpoint alone.
    ///
    /// Two commits: a crash between them leaves a test event without a delivery, and no answer to the caller.
    pub async fn test(&self, tenant: &Tenant, endpoint_id: &EndpointId) -> Result<DeliveryId, RequestError> {
        let endpoint = self.active_endpoint(tenant, endpoint_id).await?;
        let now = self.shared.clock.now();
        let event_type = EventType::parse(TEST_TYPE).expect("invariant: a constant event type");
        let mut event = Event::new(tenant.clone(), OWN_SOURCE, event_type, now);
        event.subject = Some(endpoint.id.as_str().to_owned());
        let content = serde_json::json!({ "endpoint_id": endpoint.id.as_str(), "test": true });
        event.data = Data::Json(content.to_string().into());
        let journal = &self.shared.journal;
        let places = journal.append(vec![NewEvent::new(event.clone(), now)]).await?;
        let place = places.first().ok_or(RequestError::EventNotFound)?;
        let record =
            EventRecord { shard: place.shard, seq: place.seq, recorded_at: now, event, request_head: None };
        let mut made = self.deliver(&record, std::slice::from_ref(&endpoint.id)).await?;
        made.pop().ok_or(RequestError::EndpointNotFound)
    }

    /// Makes new deliveries of an event: to one endpoint, whatever its patterns, or to all that match now.
    pub async fn resend(
        &self,
        tenant: &Tenant,
        event_id: &str,
        endpoint_id: Option<&EndpointId>,
    ) -> Result<Vec<DeliveryId>, RequestError> {
        let endpoint = match endpoint_id {
            Some(id) => Some(self.active_endpoint(tenant, id).await?),
            None => None,
        };
        let record = event::event_get(self.shared.journal.store(), tenant, event_id).await?;
        let record = record.ok_or(RequestError::EventNotFound)?;
        let targets: Vec<EndpointId> = if let Some(endpoint) = endpoint {
            vec![endpoint.id.clone()]
        } else {
            self.refresh_endpoints().await?;
            let matches = recipients(&self.endpoints(), &record.event);
            matches.iter().map(|endpoint| endpoint.id.clone()).collect()
        };
        self.deliver(&record, &targets).await
    }

    /// Makes the next attempt of a delivery now, also when all attempts were used up or it was cancelled.
    pub async fn retry_now(&self, tenant: &Tenant, delivery_id: &str) -> Result<(), RequestError> {
        let row = delivery::delivery_get(self.shared.journal.store(), tenant, delivery_id).await?;
        let row = row.ok_or(RequestError::DeliveryNotFound)?;
        if row.state == DeliveryState::Succeeded {
            return Err(RequestError::AlreadySucceeded);
        }
        self.active_endpoint(tenant, &row.endpoint_id).await?;
        let now = self.shared.clock.now();
        let statement = delivery::delivery_retry_now(tenant, &row.id, now);
        match self.shared.journal.commit(Commit::statements(vec![statement])).await {
            Ok(_) => {}
            Err(CommitError::Guard { .. }) => return Err(RequestError::AlreadySucceeded),
            Err(error) => return Err(error.into()),
        }
        self.shared.lanes.probe_now(&row.endpoint_id);
        self.shared.poke(row.shard, &row.endpoint_id, now);
        Ok(())
    }

    /// Says that a pending delivery was stored by somebody else, due at `at`. Spares waiting for the sweep.
    pub fn delivery_added(&self, shard: Shard, endpoint_id: &EndpointId, at: Timestamp) {
        self.shared.poke(shard, endpoint_id, at);
    }

    async fn active_endpoint(
        &self,
        tenant: &Tenant,
        id: &EndpointId,
    ) -> Result<std::sync::Arc<Endpoint>, RequestError> {
        self.refresh_endpoints().await?;
        let table = self.endpoints();
        let endpoint = table.get(id).filter(|endpoint| endpoint.tenant == *tenant);
        let endpoint = endpoint.ok_or(RequestError::EndpointNotFound)?;
        if endpoint.active {
            Ok(std::sync::Arc::clone(endpoint))
        } else {
            Err(RequestError::EndpointInactive)
        }
    }

    /// Stores pending deliveries of an event, due at once.
    async fn deliver(
        &self,
        record: &EventRecord,
        targets: &[EndpointId],
    ) -> Result<Vec<DeliveryId>, RequestError> {
        let now = self.shared.clock.now();
        let rows: Vec<DeliveryRow> = targets
            .iter()
            .map(|endpoint_id| DeliveryRow {
                id: DeliveryId::fresh(),
                tenant: record.event.tenant.clone(),
                endpoint_id: endpoint_id.clone(),
                shard: record.shard,
                seq: record.seq,
                event_id: record.event.id.clone(),
                event_type: record.event.event_type.clone(),
                state: DeliveryState::Pending,
                reason: None,
                created_at: now,
                next_attempt_at: Some(now),
                finished_at: None,
                n_attempts: 0,
                latest: None,
            })
            .collect();
        let due: Vec<_> = rows.iter().map(|row| (row.id.clone(), row.endpoint_id.clone())).collect();
        if !rows.is_empty() {
            self.shared.journal.commit(Commit::deliveries(rows)).await?;
        }
        for (_, endpoint_id) in &due {
            self.shared.lanes.probe_now(endpoint_id);
            self.shared.poke(record.shard, endpoint_id, now);
        }
        Ok(due.into_iter().map(|(id, _)| id).collect())
    }
}
