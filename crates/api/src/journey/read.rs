//! Gathers the facts of a journey from the store.

use std::collections::BTreeSet;

use trunkline_model::{EventRecord, InboundId, Tenant, WorkflowId};
use trunkline_store::tables::delivery::{AttemptRow, DeliveryRow, attempt_list, delivery_list_event};
use trunkline_store::tables::event::{event_get, event_list_journey};
use trunkline_store::tables::inbound::{InboundRow, inbound_get};
use trunkline_store::tables::workflow::instance::{InstanceRow, instance_get};
use trunkline_store::{ReadError, Store};

use super::{Facts, Journey, MAX_DELIVERIES, MAX_EVENTS, MAX_WORKFLOWS, build};

/// Reads the journey of an event (`evt_…` or a producer's own id) or of an inbound request (`inb_…`).
///
/// `None` when the tenant has no such event or request.
///
/// # Errors
/// Those of the store.
pub async fn read_journey(store: &Store, tenant: &Tenant, id: &str) -> Result<Option<Journey>, ReadError> {
    if let Some(record) = event_get(store, tenant, id).await? {
        return of_event(store, tenant, record).await.map(Some);
    }
    if !id.starts_with(InboundId::PREFIX) {
        return Ok(None);
    }
    let request = inbound_get(store, tenant, id).await?;
    let event_id = request.as_ref().and_then(|request| request.event_id.clone());
    let event_id =
        event_id.or_else(|| InboundId::from_text(id).to_event().map(trunkline_model::EventId::into_string));
    if let Some(event_id) = event_id
        && let Some(record) = event_get(store, tenant, &event_id).await?
    {
        return of_event(store, tenant, record).await.map(Some);
    }
    Ok(request.map(of_request))
}

/// A call that is no event (yet, or any more).
fn of_request(request: InboundRow) -> Journey {
    let correlation_id = request.id.as_str().to_owned();
    build(&Facts { correlation_id, requests: vec![request], ..Facts::default() })
}

async fn of_event(store: &Store, tenant: &Tenant, record: EventRecord) -> Result<Journey, ReadError> {
    let correlation_id = record.event.correlationid.to_string();
    let mut events = event_list_journey(store, tenant, &correlation_id, MAX_EVENTS as i64 + 1).await?;
    let mut truncated = events.len() > MAX_EVENTS;
    events.truncate(MAX_EVENTS);
    if !events.iter().any(|event| (event.shard, event.seq) == (record.shard, record.seq)) {
        // The event asked for is always shown.
        events.push(record);
    }
    let mut deliveries = Vec::new();
    let mut requests = Vec::new();
    for event in &events {
        if let Some(request) = request_of(store, tenant, event).await? {
            requests.push(request);
        }
        for delivery in delivery_list_event(store, event.shard, event.seq).await? {
            if deliveries.len() == MAX_DELIVERIES {
                truncated = true;
                break;
            }
            let attempts = attempts_of(store, &delivery).await?;
            deliveries.push((delivery, attempts));
        }
    }
    let workflows = workflows_of(store, tenant, &correlation_id, &events).await?;
    truncated |= workflows.len() == MAX_WORKFLOWS;
    Ok(build(&Facts { correlation_id, requests, events, workflows, deliveries, truncated }))
}

/// The workflows that events of the journey came of, and those that started these.
async fn workflows_of(
    store: &Store,
    tenant: &Tenant,
    correlation_id: &str,
    events: &[EventRecord],
) -> Result<Vec<InstanceRow>, ReadError> {
    let is_workflow = |id: &&str| id.starts_with(WorkflowId::PREFIX);
    let causes = events.iter().filter_map(|event| event.event.causationid.as_deref());
    let mut wanted: BTreeSet<String> = causes.filter(is_workflow).map(str::to_owned).collect();
    let mut known = wanted.clone();
    let mut found = Vec::new();
    while found.len() < MAX_WORKFLOWS
        && let Some(id) = wanted.pop_first()
    {
        // Producers choose causes freely: one of another journey is not of this one.
        let row = instance_get(store, tenant, &id).await?;
        let Some(row) = row.filter(|row| row.correlation_id == correlation_id) else { continue };
        let cause = row.causation_id.as_deref().filter(is_workflow);
        wanted.extend(cause.filter(|id| known.insert((*id).to_owned())).map(str::to_owned));
        found.push(row);
    }
    Ok(found)
}

/// The stored call that an event came from after it was judged again.
async fn request_of(
    store: &Store,
    tenant: &Tenant,
    record: &EventRecord,
) -> Result<Option<InboundRow>, ReadError> {
    let named = record.event.causationid.as_deref().filter(|id| id.starts_with(InboundId::PREFIX));
    if record.request_head.is_some() {
        return Ok(None);
    }
    match named {
        Some(id) => inbound_get(store, tenant, id).await,
        None => Ok(None),
    }
}

async fn attempts_of(store: &Store, delivery: &DeliveryRow) -> Result<Vec<AttemptRow>, ReadError> {
    match (&delivery.latest, delivery.n_attempts) {
        (Some(latest), 1) => {
            Ok(vec![AttemptRow { delivery_id: delivery.id.clone(), number: 1, outcome: latest.clone() }])
        }
        (None, 0) => Ok(vec![]),
        _ => attempt_list(store, delivery).await,
    }
}
