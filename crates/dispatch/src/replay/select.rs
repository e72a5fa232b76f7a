//! Which deliveries a job makes: reads a page of events with what was made of them, and picks the pairs to send again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trunkline_model::{EndpointId, EventId, EventRecord, EventType, Pattern, Seq, Shard, Tenant, Timestamp};
use trunkline_store::tables::consumer::cursor_list;
use trunkline_store::tables::delivery::{DeliveryStub, OwedEvent, OwedFilter, OwedPage, delivery_list_owed};
use trunkline_store::tables::event::{EventPlace, event_at};
use trunkline_store::{ReadError, Store};

use super::standing::{Standing, is_test};
use crate::endpoint::{Endpoint, EndpointTable, Judgement};
use crate::engine::{CONSUMER, OWN_SOURCE, recipients, told_of};
use crate::sign::body;

/// What is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// What was given up.
    Failed,
    /// What the endpoint wants now and there is no delivery of. Events that the hub makes about its deliveries are left
    /// out: they are news, and stale by now.
    Missed,
    /// What has succeeded.
    Succeeded,
}

impl Wanted {
    /// Every choice, as written.
    pub const NAMES: [&'static str; 3] = ["failed", "missed", "succeeded"];

    /// Reads a choice as written.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Failed, Self::Missed, Self::Succeeded]
            .into_iter()
            .zip(Self::NAMES)
            .find_map(|(wanted, name)| (name == text).then_some(wanted))
    }
}

/// What a job is about.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Whose events.
    pub tenant: Tenant,
    /// Only this endpoint; else every active one.
    pub endpoint_id: Option<EndpointId>,
    /// Only events of these types.
    pub event_types: Vec<Pattern>,
    /// What is sent again.
    pub states: BTreeSet<Wanted>,
    /// Events stored at or after this time …
    pub since: Timestamp,
    /// … and before this one.
    pub until: Timestamp,
}

/// A delivery to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pick {
    pub(super) endpoint_id: EndpointId,
    pub(super) place: EventPlace,
    pub(super) event_id: EventId,
    pub(super) event_type: EventType,
    /// The line it waits in, where the endpoint asks for order.
    pub(super) order_key: Option<String>,
    /// The endpoint's filter takes its time: it is asked before the attempt.
    pub(super) is_unjudged: bool,
}

impl Pick {
    fn new(event: &OwedEvent, endpoint: &Endpoint) -> Self {
        Self {
            endpoint_id: endpoint.id.clone(),
            place: event.place,
            event_id: event.id.clone(),
            event_type: event.event_type.clone(),
            order_key: endpoint.policy.ordered.then(|| event.order_key().to_owned()),
            is_unjudged: false,
        }
    }
}

/// What one page comes to.
#[derive(Debug, Default)]
pub(super) struct Picked {
    pub(super) picks: Vec<Pick>,
    pub(super) n_scanned: i64,
    pub(super) n_skipped: i64,
    /// The last event looked at.
    pub(super) last: Option<EventPlace>,
    /// Whether that is the end of the range.
    pub(super) is_end: bool,
}

impl Scope {
    /// The type to ask the store for, when only one is wanted: spares reading all the others.
    fn one_type(&self) -> Option<String> {
        match self.event_types.as_slice() {
            [pattern] if !pattern.as_str().contains('*') => Some(pattern.as_str().to_owned()),
            _ => None,
        }
    }

    /// Reads the page behind `after` and picks from it, up to the event with which there are `enough`.
    pub(super) async fn pick(
        &self,
        store: &Store,
        endpoints: &EndpointTable,
        after: Option<EventPlace>,
        enough: usize,
    ) -> Result<Picked, ReadError> {
        let page = self.page(endpoints.len());
        // Before the deliveries: what dispatch plans in between is then taken for not planned, never for missed.
        let planned_to = planned_to(store).await?;
        let filter = OwedFilter {
            endpoint_id: self.endpoint_id.as_ref().map(|id| id.as_str().to_owned()),
            event_type: self.one_type(),
            since: self.since,
            until: self.until,
            after,
            page,
        };
        let events = delivery_list_owed(store, &self.tenant, &filter).await?;
        let mut picked = Picked::default();
        for event in &events {
            if picked.picks.len() >= enough {
                return Ok(picked);
            }
            picked.n_scanned += 1;
            picked.last = Some(event.place);
            if self.is_about(event) {
                let is_planned = planned_to.get(&event.place.shard).is_some_and(|to| event.place.seq <= *to);
                let unsure = self.pick_event(event, endpoints, is_planned, &mut picked);
                if !unsure.is_empty() {
                    self.pick_selective(store, event, unsure, &mut picked).await?;
                }
            }
        }
        picked.is_end = events.len() < page.n_events();
        Ok(picked)
    }

    /// Smaller pages where every event may go to many endpoints: a commit stays small.
    const fn page(&self, n_endpoints: usize) -> OwedPage {
        match (&self.endpoint_id, n_endpoints) {
            (Some(_), _) | (None, 0..=4) => OwedPage::Large,
            (None, 5..=50) => OwedPage::Medium,
            (None, _) => OwedPage::Small,
        }
    }

    fn is_about(&self, event: &OwedEvent) -> bool {
        !is_test(&event.event_type, &event.source)
            && self.event_types.iter().any(|pattern| pattern.matches(&event.event_type))
    }

    /// Picks what can be told without the event's content; gives the endpoints whose channels or filter have to see it.
    fn pick_event(
        &self,
        event: &OwedEvent,
        endpoints: &EndpointTable,
        is_planned: bool,
        picked: &mut Picked,
    ) -> Vec<Arc<Endpoint>> {
        let mut unsure = Vec::new();
        let mut made: HashMap<&EndpointId, Vec<&DeliveryStub>> = HashMap::new();
        for delivery in &event.deliveries {
            made.entry(&delivery.endpoint_id).or_default().push(delivery);
        }
        for endpoint in self.candidates(event, endpoints) {
            let (standing, _) = Standing::of(made.get(&endpoint.id).into_iter().flatten().copied());
            let wanted = match standing {
                Standing::Failed => Some(Wanted::Failed),
                Standing::Succeeded => Some(Wanted::Succeeded),
                // What dispatch has not come to yet it will plan itself.
                Standing::Missed
                    if is_planned && event.source != OWN_SOURCE && endpoint.wants(&event.event_type) =>
                {
                    Some(Wanted::Missed)
                }
                Standing::Missed | Standing::Pending => None,
            };
            match wanted.filter(|wanted| self.states.contains(wanted)) {
                None => picked.n_skipped += 1,
                Some(Wanted::Missed) if !endpoint.takes_all() => unsure.push(endpoint),
                Some(_) => picked.picks.push(Pick::new(event, &endpoint)),
            }
        }
        unsure
    }

    /// Picks the endpoints whose channels and filter let the event through, as dispatch would.
    async fn pick_selective(
        &self,
        store: &Store,
        event: &OwedEvent,
        unsure: Vec<Arc<Endpoint>>,
        picked: &mut Picked,
    ) -> Result<(), ReadError> {
        let record = event_at(store, event.place.shard, event.place.seq).await?;
        for endpoint in unsure {
            let judgement = record.as_ref().map_or(Judgement::Unwanted, |record| judge(&endpoint, record));
            match judgement {
                Judgement::Wanted => picked.picks.push(Pick::new(event, &endpoint)),
                Judgement::Open => {
                    picked.picks.push(Pick { is_unjudged: true, ..Pick::new(event, &endpoint) });
                }
                Judgement::Unwanted | Judgement::Failed(_) => picked.n_skipped += 1,
            }
        }
        Ok(())
    }

    /// The active endpoints that an event may go to: those that want its type, and those it was owed to. Never the one
    /// that it tells of.
    fn candidates(&self, event: &OwedEvent, endpoints: &EndpointTable) -> Vec<Arc<Endpoint>> {
        let told_of = told_of(&event.source, event.subject.as_deref());
        let usable = |id: &EndpointId| {
            let endpoint = endpoints.get(id)?;
            let is_usable =
                endpoint.active && endpoint.tenant == self.tenant && told_of != Some(endpoint.id.as_str());
            is_usable.then(|| Arc::clone(endpoint))
        };
        if let Some(id) = &self.endpoint_id {
            return usable(id).into_iter().collect();
        }
        let matching = recipients(endpoints, &self.tenant, &event.event_type, told_of);
        let mut all: BTreeMap<EndpointId, Arc<Endpoint>> =
            matching.iter().map(|endpoint| (endpoint.id.clone(), Arc::clone(endpoint))).collect();
        for delivery in &event.deliveries {
            if !all.contains_key(&delivery.endpoint_id)
                && let Some(endpoint) = usable(&delivery.endpoint_id)
            {
                all.insert(endpoint.id.clone(), endpoint);
            }
        }
        all.into_values().collect()
    }
}

/// Whether channels and filter of an endpoint let an event through, as far as that can be said on the spot.
fn judge(endpoint: &Endpoint, record: &EventRecord) -> Judgement {
    if !endpoint.takes_channels_of(&record.event) {
        return Judgement::Unwanted;
    }
    let found = endpoint.expressions.wants_briefly(&body(&record.event, endpoint.format));
    found.map_or(Judgement::Open, Judgement::from)
}

/// How far dispatch has come in each shard.
///
/// # Errors
/// When the store cannot be read.
pub async fn planned_to(store: &Store) -> Result<HashMap<Shard, Seq>, ReadError> {
    let cursors = cursor_list(store).await?.into_iter();
    Ok(cursors.filter(|row| row.consumer == CONSUMER).map(|row| (row.shard, row.seq)).collect())
}

/// What a job would come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Events looked at.
    pub n_scanned: i64,
    /// Deliveries it would make of them. Filters that take long are not asked for this count, and may still say no.
    pub n_planned: i64,
    /// Pairs it would leave alone.
    pub n_skipped: i64,
    /// Up to when events were looked at.
    pub counted_until: Timestamp,
    /// Whether that is the end of the range.
    pub is_complete: bool,
}

/// How long an estimate looks at events: some hundred thousand of them.
pub const ESTIMATE_FOR: Duration = Duration::from_secs(10);

/// Counts what a job would do, without doing it, for [`ESTIMATE_FOR`] at most.
///
/// # Errors
/// When the store cannot be read.
pub async fn estimate(
    store: &Store,
    scope: &Scope,
    endpoints: &EndpointTable,
) -> Result<Estimate, ReadError> {
    let mut estimate =
        Estimate { n_scanned: 0, n_planned: 0, n_skipped: 0, counted_until: scope.since, is_complete: false };
    let mut after = None;
    let ends_at = Instant::now() + ESTIMATE_FOR;
    while !estimate.is_complete && Instant::now() < ends_at {
        let picked = scope.pick(store, endpoints, after, usize::MAX).await?;
        estimate.n_scanned += picked.n_scanned;
        estimate.n_planned += picked.picks.len() as i64;
        estimate.n_skipped += picked.n_skipped;
        estimate.is_complete = picked.is_end;
        after = picked.last.or(after);
        let reached = after.map_or(scope.since, |place| place.recorded_at);
        estimate.counted_until = if picked.is_end { scope.until } else { reached };
    }
    Ok(estimate)
}
