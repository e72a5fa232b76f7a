//! What callers of the API ask of the engine: test an endpoint, send an event again, try a delivery now, skip one.
//!
//! Each changes pending rows and pokes the shard's retrier. Where another hub owns the shard, its sweep finds the rows
//! within about a second. Each lets one attempt through at once where this hub's breaker for the endpoint is open:
//! somebody thinks that it works again.

use trunkline_connect::{BoxFuture, SendError, Target};
use trunkline_model::event::ExtensionValue;
use trunkline_model::outlets::{OwedWebhook, WebhookNotSent, WebhookSender};
use trunkline_model::{
    Coded, Data, DeliveryId, EndpointId, ErrorCode, Event, EventId, EventRecord, EventType, Shard, Tenant,
    Timestamp,
};
use trunkline_store::tables::delivery::{self, DeliveryRow, DeliveryState};
use trunkline_store::tables::delivery_stats::StatsChange;
use trunkline_store::tables::{event, line};
use trunkline_store::{Commit, CommitError, NewEvent, ReadError};

use super::expression_pool::Patience;
use super::work::cancelled;
use super::{Dispatcher, OWN_SOURCE, TEST_TYPE, recipients_of};
use crate::endpoint::Endpoint;
use crate::metrics::DispatchMetrics;
use crate::sign;

/// Why a delivery is given up that somebody asked to be skipped.
pub(crate) const SKIPPED: &str = "skipped by hand";

/// What the receiver of a test sees instead of the usual one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The type.
    pub event_type: EventType,
    /// The content, JSON.
    pub data: String,
}

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
    /// An earlier delivery of its key comes first.
    #[error("delivery {head} of the same key comes first")]
    DeliveryBlocked {
        /// That delivery.
        head: DeliveryId,
    },
    /// The delivery has ended.
    #[error("the delivery is not pending")]
    DeliveryNotPending,
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
            Self::DeliveryBlocked { .. } => ErrorCode::DeliveryBlocked,
            Self::DeliveryNotPending => ErrorCode::DeliveryNotPending,
            Self::EndpointInactive | Self::AlreadySucceeded => ErrorCode::RequestInvalid,
            Self::Read(error) => error.code(),
            Self::Commit(error) => error.code(),
        }
    }
}

impl WebhookSender for Dispatcher {
    fn send<'a>(&'a self, owed: &'a OwedWebhook) -> BoxFuture<'a, Result<DeliveryId, WebhookNotSent>> {
        Box::pin(async move {
            self.owe(owed).await.map_err(|error| match error {
                RequestError::EndpointNotFound => WebhookNotSent::NoEndpoint,
                RequestError::EndpointInactive => WebhookNotSent::Inactive,
                error => WebhookNotSent::Failed(error.to_string()),
            })
        })
    }
}

impl Dispatcher {
    /// Appends a `webhook.test` event and makes a delivery of it to this endpoint alone, in one commit. With a `sample` the receiver sees
    /// an event of that type and content; in the journal it is a test all the same, so that nobody else takes it for real.
    pub async fn test(
        &self,
        tenant: &Tenant,
        endpoint_id: &EndpointId,
        sample: Option<Sample>,
    ) -> Result<DeliveryId, RequestError> {
        let endpoint = self.active_endpoint(tenant, endpoint_id).await?;
        let now = self.shared.clock.now();
        let event_type = EventType::parse(TEST_TYPE).expect("invariant: a constant event type");
        let mut event = Event::new(tenant.clone(), OWN_SOURCE, event_type, now);
        event.subject = Some(endpoint.id.as_str().to_owned());
        let content = match sample {
            None => serde_json::json!({ "endpoint_id": endpoint.id.as_str(), "test": true }).to_string(),
            Some(Sample { event_type, data }) => {
                let shown = ExtensionValue::String(event_type.as_str().to_owned());
                event.extensions.insert(sign::SHOWN_TYPE.to_owned(), shown);
                data
            }
        };
        event.data = Data::Json(content.into());
        let order_key = endpoint.policy.ordered.then(|| event.partition_key().to_owned());
        let row = owed_now(&event, &endpoint.id, order_key, now);
        let id = row.id.clone();
        let commit = Commit {
            events: vec![NewEvent::new(event, now)],
            own_deliveries: vec![(0, row)],
            ..Commit::default()
        };
        let committed = self.shared.journal.commit(commit).await?;
        let place = committed.appended().first().ok_or(RequestError::EventNotFound)?;
        self.shared.lanes.probe_now(&endpoint.id);
        self.shared.poke(place.shard, &endpoint.id, now);
        Ok(id)
    }

    /// Stores an event that one endpoint is to get, with a delivery of it, once for each id of the event.
    ///
    /// Two commits: what is asked for again after a crash between them gets its delivery then.
    async fn owe(&self, owed: &OwedWebhook) -> Result<DeliveryId, RequestError> {
        let endpoint = self.active_endpoint(&owed.tenant, &owed.endpoint_id).await?;
        let journal = &self.shared.journal;
        let found = event::event_get(journal.store(), &owed.tenant, &owed.event_id).await?;
        let record = if let Some(record) = found {
            let known = delivery::delivery_list_event(journal.store(), record.shard, record.seq).await?;
            if let Some(known) = known.into_iter().find(|row| row.endpoint_id == endpoint.id) {
                return Ok(known.id);
            }
            record
        } else {
            let now = self.shared.clock.now();
            let mut event = Event::new(owed.tenant.clone(), OWN_SOURCE, owed.event_type.clone(), now);
            event.id = EventId::from_text(owed.event_id.as_str());
            event.subject.clone_from(&owed.subject);
            event.data = Data::Json(owed.data.to_string().into());
            event.correlationid = owed.correlation_id.as_str().into();
            event.causationid = Some(owed.causation_id.clone());
            let places = journal.append(vec![NewEvent::new(event.clone(), now)]).await?;
            let place = places.first().ok_or(RequestError::EventNotFound)?;
            EventRecord { shard: place.shard, seq: place.seq, recorded_at: now, event, request_head: None }
        };
        let mut made = self.deliver(&record, std::slice::from_ref(&endpoint.id)).await?;
        made.pop().ok_or(RequestError::EndpointNotFound)
    }

    /// Makes new deliveries of an event: to one endpoint, whatever it asks for, or to all that would get it now.
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
            self.owed_to(&record.event).await
        };
        self.deliver(&record, &targets).await
    }

    /// The endpoints that would get an event now.
    async fn owed_to(&self, event: &Event) -> Vec<EndpointId> {
        let mut chosen = Vec::new();
        for endpoint in recipients_of(&self.endpoints(), event).iter() {
            if !endpoint.takes_channels_of(event) {
                continue;
            }
            let body = sign::body(event, endpoint.format);
            let wants = self.shared.expressions.wants(endpoint, body, Patience::Endless).await;
            if matches!(wants, Ok(Ok(true))) {
                chosen.push(endpoint.id.clone());
            }
        }
        chosen
    }

    /// Makes the next attempt of a delivery now, also when all attempts were used up or it was cancelled.
    ///
    /// A delivery that waits in a line gets it as the head alone. One that has ended gets it out of order: it is the head
    /// of its line then, before what is pending.
    pub async fn retry_now(&self, tenant: &Tenant, delivery_id: &str) -> Result<(), RequestError> {
        let row = delivery::delivery_get(self.shared.journal.store(), tenant, delivery_id).await?;
        let row = row.ok_or(RequestError::DeliveryNotFound)?;
        if row.state == DeliveryState::Succeeded {
            return Err(RequestError::AlreadySucceeded);
        }
        let endpoint = self.active_endpoint(tenant, &row.endpoint_id).await?;
        let key = row.order_key.as_deref().filter(|_| endpoint.policy.ordered);
        if let Some(key) = key.filter(|_| row.state == DeliveryState::Pending) {
            let head = line::line_head(self.shared.journal.store(), &row.endpoint_id, key).await?;
            if let Some(head) = head.filter(|head| *head != row.id) {
                return Err(RequestError::DeliveryBlocked { head });
            }
        }
        let now = self.shared.clock.now();
        let statement = delivery::delivery_retry_now(tenant, &row.id, now);
        match self.shared.journal.commit(Commit::statements(vec![statement])).await {
            Ok(_) => {}
            Err(CommitError::Guard { .. }) => return Err(RequestError::AlreadySucceeded),
            Err(error) => return Err(error.into()),
        }
        self.shared.lanes.probe_now(&row.endpoint_id);
        match key {
            Some(key) => self.shared.poke_line(row.shard, &row.endpoint_id, key),
            None => self.shared.poke(row.shard, &row.endpoint_id, now),
        }
        Ok(())
    }

    /// Gives up a pending delivery; what waits behind it in its line goes on.
    ///
    /// An attempt that is under way, or about to begin, is not called back.
    pub async fn skip(&self, tenant: &Tenant, delivery_id: &str) -> Result<(), RequestError> {
        let row = delivery::delivery_get(self.shared.journal.store(), tenant, delivery_id).await?;
        let row = row.ok_or(RequestError::DeliveryNotFound)?;
        let now = self.shared.clock.now();
        let skipped = cancelled(row.clone(), SKIPPED, now);
        let counted = self.shared.stats.of_change(&skipped, StatsChange::Cancel);
        let mut statements = vec![delivery::delivery_skip(tenant, &row.id, SKIPPED, now), counted];
        if let Some(key) = &row.order_key {
            statements.push(line::line_wake(tenant, &row.endpoint_id, key, now));
        }
        match self.shared.journal.commit(Commit::statements(statements)).await {
            Ok(_) => {}
            Err(CommitError::Guard { .. }) => return Err(RequestError::DeliveryNotPending),
            Err(error) => return Err(error.into()),
        }
        self.shared.metrics.count_final(DeliveryState::Cancelled.as_str());
        if let Some(key) = &row.order_key {
            self.shared.poke_line(row.shard, &row.endpoint_id, key);
        }
        Ok(())
    }

    /// Looks a target's name up and judges its addresses as for a tenant, without connecting.
    pub fn vet<'a>(&'a self, tenant: &Tenant, target: &'a Target) -> BoxFuture<'a, Result<(), SendError>> {
        self.shared.lanes.attempt().transport.of(tenant).vet(target)
    }

    /// Where figures go.
    pub(crate) fn metrics(&self) -> &DispatchMetrics {
        &self.shared.metrics
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
        let table = self.endpoints();
        let is_ordered = |id| table.get(id).is_some_and(|endpoint| endpoint.policy.ordered);
        let rows: Vec<DeliveryRow> = targets
            .iter()
            .map(|endpoint_id| {
                let order_key = is_ordered(endpoint_id).then(|| record.event.partition_key().to_owned());
                let row = owed_now(&record.event, endpoint_id, order_key, now);
                DeliveryRow { shard: record.shard, seq: record.seq, ..row }
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

/// A delivery that is due at once; its place is not filled in.
fn owed_now(
    event: &Event,
    endpoint_id: &EndpointId,
    order_key: Option<String>,
    now: Timestamp,
) -> DeliveryRow {
    DeliveryRow {
        id: DeliveryId::fresh(),
        tenant: event.tenant.clone(),
        endpoint_id: endpoint_id.clone(),
        shard: 0,
        seq: 0,
        event_id: event.id.clone(),
        event_type: event.event_type.clone(),
        state: DeliveryState::Pending,
        reason: None,
        created_at: now,
        next_attempt_at: Some(now),
        finished_at: None,
        n_attempts: 0,
        latest: None,
        order_key,
    }
}
