//! Retention: removes events by age and by size per tenant, and forgets old dedupe and idempotency keys.
//!
//! An idempotent reconciler: every pass reads what there is and removes a bounded number of rows in small commits, so that
//! it never holds the writer for long. An event is removed only when every consumer's cursor has passed it; its pending
//! deliveries are cancelled with the reason `event expired`, its finished ones go with it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trunkline_model::{Seq, Shard, Tenant, Timestamp};
use trunkline_store::tables::event::EventStub;
use trunkline_store::tables::usage::Usage;
use trunkline_store::tables::{consumer, delivery, event, idempotency, inbound, usage};
use trunkline_store::{Commit, CommitError, ReadError};

use crate::Journal;

/// Events removed by one commit.
const SLICE: i64 = 200;
/// Dedupe keys looked at in one step.
const SEEN_SLICE: i64 = 1_000;
/// Commits of one pass and tenant; the rest waits for the next pass.
const SLICES_PER_PASS: usize = 500;

/// What is kept.
#[derive(Debug, Clone, Copy)]
pub struct RetentionOptions {
    /// Events older than this are removed.
    pub max_age: Duration,
    /// A tenant's oldest events are removed while it holds more than this.
    pub max_bytes_per_tenant: Option<u64>,
    /// Dedupe keys older than this are forgotten.
    pub dedupe_window: Duration,
    /// Idempotency keys older than this are forgotten.
    pub idempotency_window: Duration,
    /// How often a pass runs.
    pub every: Duration,
}

impl Default for RetentionOptions {
    fn default() -> Self {
        let day = Duration::from_hours(24);
        Self {
            max_age: day * 30,
            max_bytes_per_tenant: None,
            dedupe_window: day * 3,
            idempotency_window: day,
            every: Duration::from_mins(1),
        }
    }
}

/// A pass could not finish; the next one tries again.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The store could not be read.
    #[error("the store cannot be read")]
    Read(#[from] ReadError),
    /// The store did not take the removal.
    #[error("the removal was not applied")]
    Commit(#[from] CommitError),
}

/// Runs a pass every now and then until `stop`.
pub fn run(journal: Journal, options: RetentionOptions, stop: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(options.every) => {}
            }
            tokio::select! {
                () = stop.cancelled() => break,
                passed = pass(&journal, &options) => match passed {
                    Ok(0) => {}
                    Ok(n_removed) => tracing::info!(n_removed, "retention removed events"),
                    Err(error) => tracing::warn!(error = ?error, "retention pass failed"),
                },
            }
        }
    })
}

/// Runs one pass; gives the number of events removed.
pub async fn pass(journal: &Journal, options: &RetentionOptions) -> Result<i64, RetentionError> {
    let store = journal.store();
    let now = journal.now();
    let too_old = now.minus(options.max_age);
    let passed = passed_by_all(journal).await?;
    let mut n_removed = 0;
    for usage in usage::usage_list(store).await? {
        n_removed += trim_tenant(journal, options, &usage, too_old, &passed).await?;
    }
    forget_dedupe_keys(journal, now.minus(options.dedupe_window)).await?;
    let old_keys = idempotency::idempotency_delete_before(now.minus(options.idempotency_window));
    store.commit(Commit::statements(vec![old_keys])).await?;
    Ok(n_removed)
}

/// For each shard that has readers, the seq up to which all of them are done.
async fn passed_by_all(journal: &Journal) -> Result<BTreeMap<Shard, Seq>, ReadError> {
    let mut passed: BTreeMap<Shard, Seq> = BTreeMap::new();
    for row in consumer::cursor_list(journal.store()).await? {
        let least = passed.entry(row.shard).or_insert(row.seq);
        *least = (*least).min(row.seq);
    }
    Ok(passed)
}

async fn trim_tenant(
    journal: &Journal,
    options: &RetentionOptions,
    usage: &Usage,
    too_old: Timestamp,
    passed: &BTreeMap<Shard, Seq>,
) -> Result<i64, RetentionError> {
    let limit =
        options.max_bytes_per_tenant.map_or(i64::MAX, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    let mut surplus = usage.n_bytes.saturating_sub(limit);
    let mut n_removed = 0;
    for _ in 0..SLICES_PER_PASS {
        let oldest = event::event_list_oldest(journal.store(), &usage.tenant, SLICE).await?;
        let doomed = choose(&oldest, too_old, surplus, passed);
        if doomed.is_empty() {
            break;
        }
        let n_bytes: i64 = doomed.iter().map(|stub| stub.n_bytes).sum();
        remove(journal, &usage.tenant, &doomed).await?;
        surplus -= n_bytes;
        n_removed += doomed.len() as i64;
        if doomed.len() < oldest.len() {
            break;
        }
    }
    Ok(n_removed)
}

/// The leading events that are too old or over the size, as far as every reader has passed them.
fn choose(
    oldest: &[EventStub],
    too_old: Timestamp,
    mut surplus: i64,
    passed: &BTreeMap<Shard, Seq>,
) -> Vec<EventStub> {
    let mut doomed = Vec::new();
    for stub in oldest {
        let is_doomed = stub.place.recorded_at < too_old || surplus > 0;
        let is_read = passed.get(&stub.place.shard).is_none_or(|seq| stub.place.seq <= *seq);
        if !is_doomed || !is_read {
            break;
        }
        surplus -= stub.n_bytes;
        doomed.push(stub.clone());
    }
    doomed
}

async fn remove(journal: &Journal, tenant: &Tenant, doomed: &[EventStub]) -> Result<(), RetentionError> {
    let now = journal.now();
    let mut statements = Vec::with_capacity(doomed.len() * 3 + 1);
    for stub in doomed {
        let (shard, seq) = (stub.place.shard, stub.place.seq);
        statements.extend(delivery::delivery_delete_event(shard, seq));
        statements.push(event::event_delete(shard, seq));
    }
    tracing::debug!(tenant = %tenant, n_events = doomed.len(), at = %now, "removing expired events");
    let n_bytes = doomed.iter().map(|stub| stub.n_bytes).sum();
    statements.push(usage::usage_subtract(tenant, doomed.len() as i64, n_bytes));
    journal.commit(Commit::statements(statements)).await?;
    Ok(())
}

/// Walks all dedupe keys in key order and forgets the old ones; needs no index by age.
async fn forget_dedupe_keys(journal: &Journal, before: Timestamp) -> Result<(), RetentionError> {
    let mut place = (String::new(), String::new());
    loop {
        let slice = inbound::seen_list_after(journal.store(), &place, SEEN_SLICE).await?;
        let Some(last) = slice.last() else { return Ok(()) };
        place = (last.source.clone(), last.key.clone());
        let old: Vec<_> = slice
            .iter()
            .filter(|seen| seen.seen_at < before)
            .map(|seen| inbound::seen_delete(&seen.source, &seen.key))
            .collect();
        if !old.is_empty() {
            journal.commit(Commit::statements(old)).await?;
        }
    }
}

#[cfg(test)]
mod tests;
