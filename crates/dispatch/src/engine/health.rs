//! How endpoints do over days: what attempts say about them, gathered in memory, written down every few seconds.
//!
//! The sender notes each failure, and each success of an endpoint that is on record as failing; successes of an endpoint
//! that does well are not noted at all. [`Keeper`] takes the notes into `endpoint_health`, switches endpoints off, and
//! emits what has to be told, each time in one commit. It belongs to the hub and not to a shard, because the deliveries of
//! one endpoint lie in many shards; that two hubs do not both write or tell the same is seen to by the guards of its
//! statements: the health row's `updated_at`, the endpoint's `version`.
//!
//! Endpoints that were switched off by their clock are tried again by [`probe`](super::probe).
//!
//! The clock of an endpoint that only fails is in the row. It survives restarts and moves between hubs; what a crash can
//! lose are the notes of the last few seconds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use trunkline_model::{EndpointId, Event, Tenant, Timestamp};
use trunkline_store::tables::delivery_stats::delivery_stats_cancel_endpoint;
use trunkline_store::tables::endpoint;
use trunkline_store::tables::endpoint_health::{self, EndpointHealthRow};
use trunkline_store::{Commit, CommitError, Dialect, NewEvent, ReadError};

use super::{Shared, operational};
use crate::endpoint::Endpoint;

/// Why an endpoint that answered 410 was switched off.
pub(crate) const GONE: &str = "gone";
/// Why one was that asked for it.
pub(crate) const ASKED: &str = "asked by receiver";
/// Why one was that did nothing but fail.
pub(crate) const FAILING: &str = "failing for too long";
/// A recovery after failing for longer than this is told.
const WORTH_TELLING: Duration = Duration::from_mins(10);
/// How often the health of deleted endpoints is removed.
const PRUNE_EVERY: Duration = Duration::from_hours(1);
/// The longest error text kept.
const MAX_ERROR_CHARS: usize = 300;

/// What attempts have said about endpoints since it was last written down.
#[derive(Default)]
pub(crate) struct Health {
    notes: Mutex<HashMap<EndpointId, Note>>,
    urgent: Notify,
}

/// What there is to write about one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    tenant: Tenant,
    /// The first failure that no success has followed.
    failing_since: Option<Timestamp>,
    n_failures: i64,
    last_error: Option<String>,
    succeeded_at: Option<Timestamp>,
    /// A breaker's probe succeeded.
    was_shut: bool,
    disable: Option<&'static str>,
    /// The event whose delivery said so, without its content.
    cause: Option<Box<Event>>,
}

fn without_data(event: &Event) -> Box<Event> {
    Box::new(Event { data: trunkline_model::Data::None, ..event.clone() })
}

impl Note {
    fn new(tenant: &Tenant) -> Self {
        Self {
            tenant: tenant.clone(),
            failing_since: None,
            n_failures: 0,
            last_error: None,
            succeeded_at: None,
            was_shut: false,
            disable: None,
            cause: None,
        }
    }

    fn fail(&mut self, at: Timestamp, error: &str) {
        self.failing_since.get_or_insert(at);
        self.n_failures += 1;
        self.last_error = Some(error.chars().take(MAX_ERROR_CHARS).collect());
    }

    fn succeed(&mut self, at: Timestamp, was_shut: bool) {
        (self.failing_since, self.n_failures) = (None, 0);
        self.succeeded_at = Some(at);
        self.was_shut |= was_shut;
    }

    /// Puts a note that could not be written before the one made meanwhile.
    fn after(mut self, earlier: Self) -> Self {
        if self.succeeded_at.is_none() {
            self.failing_since = earlier.failing_since.or(self.failing_since);
            self.n_failures += earlier.n_failures;
            self.succeeded_at = earlier.succeeded_at;
        }
        self.was_shut |= earlier.was_shut;
        self.last_error = self.last_error.or(earlier.last_error);
        self.disable = self.disable.or(earlier.disable);
        self.cause = self.cause.or(earlier.cause);
        self
    }
}

impl Health {
    fn note(&self, endpoint: &Endpoint, change: impl FnOnce(&mut Note)) {
        let mut notes = self.notes.lock();
        if let Some(note) = notes.get_mut(&endpoint.id) {
            change(note);
            return;
        }
        let mut note = Note::new(&endpoint.tenant);
        change(&mut note);
        notes.insert(endpoint.id.clone(), note);
    }

    /// Notes a failed attempt.
    pub(crate) fn failed(&self, endpoint: &Endpoint, event: &Event, at: Timestamp, error: &str) {
        self.note(endpoint, |note| {
            note.fail(at, error);
            note.cause = Some(without_data(event));
        });
    }

    /// Notes a success of an endpoint that failed before; `was_shut` when it was a breaker's probe.
    pub(crate) fn succeeded(&self, endpoint: &Endpoint, event: &Event, at: Timestamp, was_shut: bool) {
        self.note(endpoint, |note| {
            note.succeed(at, was_shut);
            note.cause = Some(without_data(event));
        });
    }

    /// Asks that an endpoint be switched off, at once.
    pub(crate) fn disable(&self, endpoint: &Endpoint, event: &Event, reason: &'static str) {
        self.note(endpoint, |note| {
            note.disable = Some(reason);
            note.cause = Some(without_data(event));
        });
        self.urgent.notify_one();
    }

    fn take(&self, only_urgent: bool) -> Vec<(EndpointId, Note)> {
        let mut notes = self.notes.lock();
        if !only_urgent {
            return notes.drain().collect();
        }
        notes.extract_if(|_, note| note.disable.is_some()).collect()
    }

    fn give_back(&self, id: EndpointId, earlier: Note) {
        let mut notes = self.notes.lock();
        let note = match notes.remove(&id) {
            Some(later) => later.after(earlier),
            None => earlier,
        };
        notes.insert(id, note);
    }
}

/// How an endpoint stands after a note, and whether it has recovered from something worth telling.
fn after_note(
    id: &EndpointId,
    before: Option<&EndpointHealthRow>,
    note: &Note,
    now: Timestamp,
) -> (EndpointHealthRow, bool) {
    let was_failing_since = before.and_then(|before| before.failing_since);
    let was_disabled = before.is_some_and(|before| before.disabled_at.is_some());
    // Whoever is attempted again after having been switched off starts anew.
    let goes_on = note.succeeded_at.is_none() && !was_disabled;
    let known = before.filter(|_| goes_on);
    let row = EndpointHealthRow {
        endpoint_id: id.clone(),
        tenant: note.tenant.clone(),
        failing_since: known.and_then(|known| known.failing_since).or(note.failing_since),
        last_success_at: note.succeeded_at.or(before.and_then(|before| before.last_success_at)),
        n_failures: known.map_or(0, |known| known.n_failures) + note.n_failures,
        last_error: note.last_error.clone().or_else(|| before.and_then(|before| before.last_error.clone())),
        disabled_at: None,
        disabled_reason: None,
        disabled_version: None,
        probe_at: None,
        n_probes: 0,
        // Also where two hubs' clocks differ.
        updated_at: before.map_or(now, |before| later(before.updated_at, now)),
    };
    let failed_for = note.succeeded_at.zip(was_failing_since).map(|(at, since)| at.since(since));
    let is_worth_telling = failed_for.is_some_and(|long| long > WORTH_TELLING) || note.was_shut;
    (row, is_worth_telling && note.succeeded_at.is_some() && note.failing_since.is_none())
}

/// The time of a change that follows another one.
pub(crate) fn later(before: Timestamp, now: Timestamp) -> Timestamp {
    now.max(before.plus(Duration::from_micros(1)))
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    #[error("the health of an endpoint cannot be read")]
    Read(#[from] ReadError),
    #[error("the health of an endpoint was not stored")]
    Commit(#[from] CommitError),
}

/// Writes down what was noted.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
}

impl Keeper {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Tells the lanes which endpoints are on record as failing. Must be done before the first attempt: the success of
    /// one that is not known to fail would leave its clock running.
    pub(crate) async fn watch_failing(&self) -> Result<(), ReadError> {
        for id in endpoint_health::endpoint_health_list_failing(self.shared.journal.store()).await? {
            self.shared.lanes.watch(&id);
        }
        Ok(())
    }

    /// Works until it is dropped.
    pub(crate) async fn run(self) {
        let every = self.shared.limits.health_every;
        let is_shared = self.shared.journal.store().dialect() == Dialect::Postgres;
        let mut at = tokio::time::Instant::now() + every;
        let mut prune = tokio::time::interval(PRUNE_EVERY);
        loop {
            tokio::select! {
                _ = prune.tick() => {
                    let statements = vec![endpoint_health::endpoint_health_prune()];
                    let pruned = self.shared.journal.commit(Commit::statements(statements)).await;
                    if let Err(error) = pruned {
                        tracing::debug!(error = ?error, "health of deleted endpoints not removed");
                    }
                }
                () = self.shared.health.urgent.notified() => self.write(true).await,
                () = tokio::time::sleep_until(at) => {
                    at = tokio::time::Instant::now() + every;
                    self.write(false).await;
                    // Another hub may have seen an endpoint fail that does well here.
                    if is_shared && let Err(error) = self.watch_failing().await {
                        tracing::debug!(error = ?error, "failing endpoints not read");
                    }
                }
            }
        }
    }

    /// Writes what was noted until now; what cannot be written is kept for the next time.
    pub(crate) async fn write(&self, only_urgent: bool) {
        for (id, note) in self.shared.health.take(only_urgent) {
            match self.settle(&id, &note).await {
                Ok(()) => {}
                // Somebody else has changed the endpoint or its health: to be looked at again.
                Err(KeepError::Commit(CommitError::Guard { .. })) => self.shared.health.give_back(id, note),
                Err(error) => {
                    tracing::warn!(endpoint.id = %id, error = ?error, "health of an endpoint not recorded yet");
                    self.shared.health.give_back(id, note);
                }
            }
        }
    }

    async fn settle(&self, id: &EndpointId, note: &Note) -> Result<(), KeepError> {
        let shared = &self.shared;
        if shared.directory.current().get(id).is_none_or(|endpoint| !endpoint.active) {
            return Ok(());
        }
        let store = shared.journal.store();
        let now = shared.clock.now();
        let before = endpoint_health::endpoint_health_get(store, &note.tenant, id.as_str()).await?;
        let (row, has_recovered) = after_note(id, before.as_ref(), note, now);
        let longest = shared.limits.disable_after;
        let failed_too_long = |since| longest.is_some_and(|longest| now.since(since) >= longest);
        let reason = note
            .disable
            .or_else(|| row.failing_since.filter(|since| failed_too_long(*since)).map(|_| FAILING));
        let based_on = before.as_ref().map(|before| before.updated_at);
        if let Some(reason) = reason {
            return self
                .disable(
                    EndpointHealthRow { disabled_reason: Some(reason.to_owned()), ..row },
                    based_on,
                    note,
                )
                .await;
        }
        if before.is_none() && row.failing_since.is_none() && !has_recovered {
            return Ok(());
        }
        let cause = note.cause.as_deref();
        let told = has_recovered.then(|| operational::recovered(&row, before.as_ref(), cause, now));
        let statements = vec![endpoint_health::endpoint_health_put(&row, based_on)];
        let commit = Commit { statements, events: told.into_iter().collect(), ..Commit::default() };
        shared.journal.commit(commit).await?;
        Ok(())
    }

    /// Switches an endpoint off, cancels what it was owed, and tells of it.
    async fn disable(
        &self,
        row: EndpointHealthRow,
        based_on: Option<Timestamp>,
        note: &Note,
    ) -> Result<(), KeepError> {
        let shared = &self.shared;
        let (id, now) = (&row.endpoint_id, shared.clock.now());
        let store = shared.journal.store();
        let Some(stored) = endpoint::endpoint_get(store, &row.tenant, id.as_str()).await? else {
            return Ok(());
        };
        if !stored.active {
            return Ok(());
        }
        let is_probed = row.disabled_reason.as_deref() == Some(FAILING);
        let row = EndpointHealthRow {
            disabled_at: Some(now),
            disabled_version: Some(stored.version + 1),
            probe_at: is_probed.then(|| now.plus(shared.limits.probe_after)),
            ..row.clone()
        };
        let reason = row.disabled_reason.as_deref().unwrap_or_default();
        let mut statements = vec![
            endpoint_health::endpoint_disable(&row.tenant, id, stored.version, now),
            endpoint_health::endpoint_health_put(&row, based_on),
        ];
        statements.extend(delivery_stats_cancel_endpoint(store.dialect(), id, reason, now));
        let told: NewEvent = operational::disabled(&row, note.cause.as_deref(), now);
        shared.journal.commit(Commit { statements, events: vec![told], ..Commit::default() }).await?;
        tracing::warn!(endpoint.id = %id, reason, "endpoint switched off");
        shared.lanes.reset(id);
        shared.lanes.watch(id);
        // The table is compared with the store every second in any case.
        drop(shared.directory.refresh().await);
        // What was recorded as pending between the two is found by the retriers.
        for due in shared.shards.read().values() {
            due.note(id, now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn note(change: impl FnOnce(&mut Note)) -> Note {
        let mut note = Note::new(&trunkline_testkit::event::tenant());
        change(&mut note);
        note
    }

    fn step(before: Option<&EndpointHealthRow>, note: &Note, now: i64) -> (EndpointHealthRow, bool) {
        after_note(&EndpointId::from_text("ep_1"), before, note, at(now))
    }

    #[test]
    fn the_clock_runs_from_the_first_failure_to_a_success() {
        let fail = |secs| note(|note| note.fail(at(secs), "timeout"));
        let (first, _) = step(None, &fail(10), 12);
        assert_eq!((first.failing_since, first.n_failures), (Some(at(10)), 1));
        let (second, _) = step(Some(&first), &fail(500), 501);
        assert_eq!((second.failing_since, second.n_failures), (Some(at(10)), 2));
        let (well, told) = step(Some(&second), &note(|note| note.succeed(at(600), false)), 601);
        assert_eq!((well.failing_since, well.n_failures, well.last_success_at), (None, 0, Some(at(600))));
        assert!(!told, "590 seconds are not worth telling");
        let (_, told) = step(Some(&second), &note(|note| note.succeed(at(611), false)), 612);
        assert!(told);
        let (_, told) = step(None, &note(|note| note.succeed(at(20), true)), 21);
        assert!(told, "a breaker was open");
    }

    #[test]
    fn a_failure_after_a_success_starts_the_clock_anew() {
        let (before, _) = step(None, &note(|note| note.fail(at(10), "timeout")), 12);
        let mixed = note(|note| {
            note.fail(at(900), "reset");
            note.succeed(at(901), true);
            note.fail(at(902), "dns");
        });
        let (row, told) = step(Some(&before), &mixed, 903);
        assert_eq!(
            (row.failing_since, row.n_failures, row.last_success_at),
            (Some(at(902)), 1, Some(at(901)))
        );
        assert!(!told, "it fails again");
    }

    #[test]
    fn switched_on_again_starts_anew() {
        let (mut before, _) = step(None, &note(|note| note.fail(at(10), "timeout")), 12);
        before.disabled_at = Some(at(20));
        let (row, _) = step(Some(&before), &note(|note| note.fail(at(5000), "timeout")), 5001);
        assert_eq!((row.failing_since, row.n_failures, row.disabled_at), (Some(at(5000)), 1, None));
    }

    #[test]
    fn an_unwritten_note_goes_before_the_next() {
        let earlier = note(|note| note.fail(at(1), "timeout"));
        let later = note(|note| note.fail(at(2), "dns"));
        let both = later.after(earlier.clone());
        assert_eq!(
            (both.failing_since, both.n_failures, both.last_error.as_deref()),
            (Some(at(1)), 2, Some("dns"))
        );
        let mended = note(|note| note.succeed(at(3), false));
        assert_eq!(mended.after(earlier).failing_since, None);
    }
}
