//! The due loop of one shard: loads stored deliveries when they are due and puts them into their endpoint's lane.
//!
//! An idempotent reconciler: what it knows ([`Due`]) only says when to look, the store says what is there. One page an
//! endpoint in turn, and no page while enough of the endpoint's deliveries wait in its lane, so a large backlog of one
//! endpoint takes neither memory nor time from the others. While an endpoint's breaker is open nothing is loaded: what
//! would come due before its end is put off to it by one statement, a bounded number at a time.
//!
//! Endpoints that ask for order are loaded by lines instead: see [`order`](super::order).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use trunkline_model::{DeliveryId, EndpointId, EventRecord, Seq, Shard, Timestamp};
use trunkline_store::tables::delivery::{self, DeliveryRow};
use trunkline_store::tables::delivery_stats::delivery_stats_cancel_endpoint;
use trunkline_store::tables::endpoint_health::{delivery_defer_endpoint, endpoint_health_get};
use trunkline_store::tables::event::{self, MAX_PLACES};
use trunkline_store::tables::expiry::delivery_expire;
use trunkline_store::{Commit, CommitError, Fence, ReadError};

use super::Shared;
use super::due::{Due, Look};
use super::lanes::{LanePolicy, Load};
use super::sender::find_endpoint;
use super::work::{Job, Outgoing, Report, Stored, Work, circuit_open};
use crate::endpoint::Endpoint;

/// Deliveries of one endpoint loaded at a time: for so many rounds of its in-flight cap, within these bounds. What is in
/// memory already is read again with each page, so small pages cost a busy endpoint several reads a delivery.
const PAGE_ROUNDS: usize = 8;
const PAGE: std::ops::RangeInclusive<usize> = 128..=512;
/// A page ends early when its events hold this many bytes.
pub(super) const PAGE_BYTES: usize = 16 << 20;
/// Event reads at the same time, where each needs more than its event.
pub(super) const N_READS: usize = 8;
/// The longest wait between two looks at what is known.
const IDLE: Duration = Duration::from_secs(30);
/// Deliveries that are put off at once when they come due and the endpoint's breaker is open.
const MAX_DEFERRED: i64 = 1000;
/// When to try again after the store failed.
const STORE_FAILED: Duration = Duration::from_secs(1);

pub(crate) struct Retrier {
    pub(crate) shared: Arc<Shared>,
    pub(crate) shard: Shard,
    pub(crate) fence: Fence,
    pub(crate) due: Arc<Due>,
    pub(crate) reports: mpsc::UnboundedSender<Report>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("pending deliveries cannot be read")]
    Read(#[from] ReadError),
    #[error("deliveries cannot be given up")]
    Commit(#[from] CommitError),
}

impl Retrier {
    /// Works until `stop`. Errors of the store are waited out; a lost lease ends the planner beside, and this with it.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut n_failures = 0_u32;
        while !stop.is_cancelled() {
            let now = self.shared.clock.now();
            let endpoints = self.due.take(now);
            self.due.apply_releases();
            if endpoints.is_empty() {
                let wait = self.due.next().map_or(IDLE, |at| at.since(now).min(IDLE));
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.due.changed.notified() => {}
                    // A timer has millisecond steps; at nought the loop would spin until the clock moves.
                    () = tokio::time::sleep(wait.max(Duration::from_millis(1))) => {}
                }
                continue;
            }
            for (endpoint, look) in endpoints {
                let loaded = tokio::select! {
                    () = stop.cancelled() => return,
                    loaded = self.load(&endpoint, look, now) => loaded,
                };
                match loaded {
                    Ok(next) => {
                        n_failures = 0;
                        if let Some(next) = next {
                            self.due.note_look(&endpoint, look, next);
                        }
                    }
                    Err(error) => {
                        n_failures += 1;
                        if n_failures.is_power_of_two() {
                            tracing::warn!(shard = self.shard, endpoint.id = %endpoint, n_failures, error = ?error, "due deliveries not loaded");
                        }
                        self.due.note_look(&endpoint, look, now.plus(STORE_FAILED));
                    }
                }
            }
        }
    }

    /// Loads a page of an endpoint's due deliveries; tells when to look at the endpoint again in this way.
    async fn load(
        &self,
        id: &EndpointId,
        look: Look,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, LoadError> {
        let endpoint = match find_endpoint(&self.shared.directory, id).await {
            Ok(endpoint) => endpoint,
            Err(None) => return Ok(Some(now.plus(STORE_FAILED))),
            Err(Some(reason)) => {
                let reason = self.why_off(id).await?.unwrap_or_else(|| reason.to_owned());
                let dialect = self.shared.journal.store().dialect();
                self.commit(delivery_stats_cancel_endpoint(dialect, id, &reason, now)).await?;
                return Ok(None);
            }
        };
        self.settle_order(&endpoint, now).await?;
        let whole = (PAGE_ROUNDS * endpoint.policy.in_flight).clamp(*PAGE.start(), *PAGE.end());
        let page = match self.shared.lanes.load(id, whole / 2) {
            Load::Takes => whole,
            Load::Probes => 1,
            Load::Full { look_after } => return Ok(Some(now.plus(look_after))),
            Load::Shut { until } if look == Look::Lines => return Ok(Some(until)),
            Load::Shut { until } => {
                let reason = circuit_open(until);
                let defer = delivery_defer_endpoint(self.shard, id, until, &reason, MAX_DEFERRED);
                self.commit(vec![defer]).await?;
                return Ok(Some(until));
            }
        };
        if endpoint.policy.ordered {
            return self.load_ordered(look, &endpoint, page, now).await;
        }
        if look == Look::Lines {
            // Named before the setting was switched off.
            self.due.take_lines(id, usize::MAX);
            return Ok(None);
        }
        let limit = self.due.n_held(id) + page;
        let end = Timestamp::from_micros(i64::MAX);
        let store = self.shared.journal.store();
        let mut rows = delivery::delivery_list_due(store, self.shard, id, end, limit as i64).await?;
        let was_full = rows.len() == limit;
        let is_due = |row: &DeliveryRow| row.next_attempt_at.is_none_or(|at| at <= now);
        let n_due = rows.iter().take_while(|row| is_due(row)).count();
        let next_later = rows.get(n_due).and_then(|row| row.next_attempt_at);
        rows.truncate(n_due);
        rows.retain(|row| self.due.hold(id, &row.id));
        let took_all = self.enqueue(rows, &endpoint, now).await?;
        if was_full && next_later.is_none() || !took_all { Ok(Some(now)) } else { Ok(next_later) }
    }

    /// Why the hub itself switched an endpoint off, if it did.
    async fn why_off(&self, id: &EndpointId) -> Result<Option<String>, ReadError> {
        let table = self.shared.directory.current();
        let Some(endpoint) = table.get(id) else { return Ok(None) };
        let store = self.shared.journal.store();
        let health = endpoint_health_get(store, &endpoint.tenant, id.as_str()).await?;
        Ok(health.filter(|health| health.disabled_at.is_some()).and_then(|health| health.disabled_reason))
    }

    /// Puts held deliveries into their lane; false when some were let go again.
    async fn enqueue(
        &self,
        rows: Vec<DeliveryRow>,
        endpoint: &Endpoint,
        now: Timestamp,
    ) -> Result<bool, LoadError> {
        let mut gone = Vec::new();
        let mut failed = None;
        let (mut n_bytes, mut took_all) = (0, true);
        let mut held = Holds::new(&self.due, &rows);
        let mut rest = rows.into_iter();
        'page: while n_bytes < PAGE_BYTES && rest.len() > 0 {
            let chunk: Vec<DeliveryRow> = rest.by_ref().take(MAX_PLACES).collect();
            let mut events = match self.events_of(&chunk).await {
                Ok(events) => events,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            };
            for row in chunk {
                let record = match events.remove(&row.seq) {
                    Some(record) => Some(record),
                    // Gone, or taken by another delivery of the same event.
                    None => self.event_of(row.shard, row.seq).await?,
                };
                let Some(record) = record else {
                    gone.extend(delivery_expire(&row, now));
                    continue;
                };
                n_bytes += record.event.data.len_bytes();
                let id = row.id.clone();
                let stored = Stored { row, outgoing: Outgoing::new(record), first_at: None, run: None };
                let job = Job { work: Work::Stored(Box::new(stored)), reports: self.reports.clone() };
                if self.shared.lanes.push(job, LanePolicy::from(&endpoint.policy)).is_err() {
                    took_all = false;
                    break 'page;
                }
                // From here on the report lets it go.
                held.hand_over(&id);
            }
        }
        took_all = took_all && rest.len() == 0;
        if !gone.is_empty() {
            self.commit(gone).await?;
        }
        failed.map_or(Ok(took_all), |error| Err(error.into()))
    }

    /// The events of some deliveries, by their places.
    async fn events_of(&self, rows: &[DeliveryRow]) -> Result<HashMap<Seq, EventRecord>, ReadError> {
        let seqs: Vec<Seq> = rows.iter().map(|row| row.seq).collect();
        let records = event::event_list_at(self.shared.journal.store(), self.shard, &seqs).await?;
        Ok(records.into_iter().map(|record| (record.seq, record)).collect())
    }

    pub(super) fn event_of(
        &self,
        shard: Shard,
        seq: Seq,
    ) -> BoxFuture<'_, Result<Option<EventRecord>, ReadError>> {
        Box::pin(event::event_at(self.shared.journal.store(), shard, seq))
    }

    pub(super) async fn commit(
        &self,
        statements: Vec<trunkline_store::Statement>,
    ) -> Result<(), CommitError> {
        let commit = Commit { fence: Some(self.fence.clone()), statements, ..Commit::default() };
        self.shared.journal.commit(commit).await.map(drop)
    }
}

/// Lets go of deliveries that did not reach a lane, however the load ends.
pub(super) struct Holds<'a> {
    due: &'a Due,
    rows: HashMap<DeliveryId, EndpointId>,
}

impl<'a> Holds<'a> {
    /// Takes over deliveries that are held.
    pub(super) fn new(due: &'a Due, rows: &[DeliveryRow]) -> Self {
        Self { due, rows: rows.iter().map(|row| (row.id.clone(), row.endpoint_id.clone())).collect() }
    }

    /// Leaves it to somebody else to let go of a delivery.
    pub(super) fn hand_over(&mut self, id: &DeliveryId) {
        self.rows.remove(id);
    }
}

impl Drop for Holds<'_> {
    fn drop(&mut self) {
        for (id, endpoint) in self.rows.drain() {
            self.due.release(endpoint, id);
        }
    }
}
