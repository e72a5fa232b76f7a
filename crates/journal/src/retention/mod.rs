//! Retention: removes events by age and by size, each tenant by its own limits; refused or quarantined calls, dead letters
//! and ended replay jobs by age; forgets old dedupe and idempotency keys, and rolls up figures.
//!
//! An idempotent reconciler: every pass reads what there is and removes a bounded number of rows in small commits, so that
//! it never holds the writer for long. An event is removed only when every consumer's cursor has passed it. Its pending
//! deliveries are cancelled with the reason `event expired` first, each counted and its line woken; their rows stay until
//! they are as old as events get. Its ended ones go with it. A crash in between leaves cancelled deliveries of an event that
//! the next pass removes; a delivery that is retried in between is cancelled by dispatch, which misses the event.

mod figures;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trunkline_model::{Seq, Shard, Tenant, Timestamp};
use trunkline_store::tables::event::EventStub;
use trunkline_store::tables::usage::{TenantTable, Usage};
use trunkline_store::tables::{
    consumer, dead_letter, event, expiry, idempotency, inbound, portal_token, replay, usage,
};
use trunkline_store::{Commit, CommitError, ReadError};

use crate::Journal;

/// Events removed by one commit.
const SLICE: i64 = 200;
/// How long portal tokens that have expired are still listed.
const EXPIRED_TOKENS_FOR: Duration = Duration::from_mins(30);
/// Dedupe keys looked at in one step.
const SEEN_SLICE: i64 = 1_000;
/// Owed deliveries cancelled by one commit.
const OWED_SLICE: i64 = 100;
/// Refused and quarantined calls, dead letters and expired deliveries removed by one commit.
const ROWS_SLICE: i64 = 500;
/// Ended replay jobs removed in one pass.
const JOBS_SLICE: i64 = 1_000;
/// Commits of one pass and tenant; the rest waits for the next pass.
const SLICES_PER_PASS: usize = 500;

/// How much of a tenant is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantLimits {
    /// Events older than this are removed, and so are calls that became none, and what has ended.
    pub max_age: Duration,
    /// The oldest events are removed while the tenant holds more than this.
    pub max_bytes: Option<u64>,
}

/// What is kept.
#[derive(Debug, Clone)]
pub struct RetentionOptions {
    /// Of every tenant.
    pub limits: TenantLimits,
    /// Of tenants with limits of their own.
    pub tenants: BTreeMap<Tenant, TenantLimits>,
    /// Dedupe keys older than this are forgotten.
    pub dedupe_window: Duration,
    /// Idempotency keys older than this are forgotten.
    pub idempotency_window: Duration,
    /// How often a pass runs.
    pub every: Duration,
}

impl RetentionOptions {
    /// What holds for a tenant.
    pub fn of(&self, tenant: &Tenant) -> TenantLimits {
        self.tenants.get(tenant).copied().unwrap_or(self.limits)
    }
}

impl Default for RetentionOptions {
    fn default() -> Self {
        let day = Duration::from_hours(24);
        Self {
            limits: TenantLimits { max_age: day * 30, max_bytes: None },
            tenants: BTreeMap::new(),
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
    let passed = passed_by_all(journal).await?;
    let mut n_removed = 0;
    for usage in usage::usage_list(store).await? {
        let limits = options.of(&usage.tenant);
        n_removed += trim_tenant(journal, limits, &usage, &passed).await?;
        remove_rows(journal, Kind::ExpiredDeliveries, &usage.tenant, limits).await?;
        remove_rows(journal, Kind::DeadLetters, &usage.tenant, limits).await?;
    }
    for tenant in tenants_of(journal, TenantTable::InboundRequests).await? {
        remove_rows(journal, Kind::Calls, &tenant, options.of(&tenant)).await?;
    }
    forget_dedupe_keys(journal, now.minus(options.dedupe_window)).await?;
    let mut old = vec![
        idempotency::idempotency_delete_before(now.minus(options.idempotency_window)),
        portal_token::portal_token_delete_before(now.minus(EXPIRED_TOKENS_FOR)),
    ];
    for tenant in tenants_of(journal, TenantTable::Replays).await? {
        let before = now.minus(options.of(&tenant).max_age);
        old.push(replay::replay_delete_finished(&tenant, before, JOBS_SLICE));
    }
    journal.commit(Commit::statements(old)).await?;
    figures::roll_up(journal).await?;
    Ok(n_removed)
}

async fn tenants_of(journal: &Journal, table: TenantTable) -> Result<Vec<Tenant>, ReadError> {
    let mut tenants = Vec::new();
    while let Some(next) = usage::tenant_next(journal.store(), table, tenants.last()).await? {
        tenants.push(next);
    }
    Ok(tenants)
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
    limits: TenantLimits,
    usage: &Usage,
    passed: &BTreeMap<Shard, Seq>,
) -> Result<i64, RetentionError> {
    let too_old = journal.now().minus(limits.max_age);
    let max_bytes = limits.max_bytes.map_or(i64::MAX, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    let mut surplus = usage.n_bytes.saturating_sub(max_bytes);
    let mut n_removed = 0;
    for _ in 0..SLICES_PER_PASS {
        let oldest = event::event_list_oldest(journal.store(), &usage.tenant, SLICE).await?;
        let doomed = choose(&oldest, too_old, surplus, passed);
        if doomed.is_empty() {
            break;
        }
        remove(journal, &usage.tenant, doomed).await?;
        surplus -= doomed.iter().map(weight).sum::<i64>();
        n_removed += doomed.len() as i64;
        if doomed.len() < oldest.len() {
            break;
        }
    }
    Ok(n_removed)
}

/// What goes when an event goes. Of owed deliveries a little stays, which the next pass sees.
fn weight(stub: &EventStub) -> i64 {
    stub.n_bytes + stub.n_delivery_bytes
}

/// The leading events that are too old or over the size, as far as every reader has passed them.
fn choose<'a>(
    oldest: &'a [EventStub],
    too_old: Timestamp,
    mut surplus: i64,
    passed: &BTreeMap<Shard, Seq>,
) -> &'a [EventStub] {
    let stays = |stub: &EventStub| {
        let is_doomed = stub.place.recorded_at < too_old || surplus > 0;
        let is_read = passed.get(&stub.place.shard).is_none_or(|seq| stub.place.seq <= *seq);
        surplus -= weight(stub);
        !is_doomed || !is_read
    };
    let n_doomed = oldest.iter().position(stays).unwrap_or(oldest.len());
    &oldest[..n_doomed]
}

async fn remove(journal: &Journal, tenant: &Tenant, doomed: &[EventStub]) -> Result<(), RetentionError> {
    for stub in doomed.iter().filter(|stub| stub.n_owed > 0) {
        expire_owed(journal, stub).await?;
    }
    let mut statements = Vec::with_capacity(doomed.len() * 5 + 1);
    for stub in doomed {
        let (shard, seq) = (stub.place.shard, stub.place.seq);
        if stub.n_delivery_bytes > 0 {
            statements.extend(expiry::delivery_delete_event(shard, seq));
        }
        statements.push(event::event_delete(shard, seq));
    }
    tracing::debug!(tenant = %tenant, n_events = doomed.len(), "removing expired events");
    let n_bytes = doomed.iter().map(|stub| stub.n_bytes).sum();
    statements.push(usage::usage_subtract(tenant, doomed.len() as i64, n_bytes));
    journal.commit(Commit::statements(statements)).await?;
    Ok(())
}

/// Cancels what is owed of an event.
async fn expire_owed(journal: &Journal, stub: &EventStub) -> Result<(), RetentionError> {
    loop {
        let (shard, seq) = (stub.place.shard, stub.place.seq);
        let owed = expiry::delivery_list_owed_of(journal.store(), shard, seq, OWED_SLICE).await?;
        if owed.is_empty() {
            return Ok(());
        }
        let now = journal.now();
        let statements = owed.iter().flat_map(|row| expiry::delivery_expire(row, now)).collect();
        journal.commit(Commit::statements(statements)).await?;
    }
}

/// Rows that go by their own age.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Refused and quarantined calls.
    Calls,
    /// Deliveries that were cancelled because their events expired.
    ExpiredDeliveries,
    /// Events that a consumer put aside.
    DeadLetters,
}

/// Removes rows of a kind that are too old.
async fn remove_rows(
    journal: &Journal,
    kind: Kind,
    tenant: &Tenant,
    limits: TenantLimits,
) -> Result<(), RetentionError> {
    let (store, before) = (journal.store(), journal.now().minus(limits.max_age));
    for _ in 0..SLICES_PER_PASS {
        let n_expired = match kind {
            Kind::Calls => inbound::inbound_count_expired(store, tenant, before, ROWS_SLICE).await?,
            Kind::ExpiredDeliveries => expiry::expired_count(store, tenant, before, ROWS_SLICE).await?,
            Kind::DeadLetters => {
                dead_letter::dead_letter_count_old(store, tenant, before, ROWS_SLICE).await?
            }
        };
        if n_expired > 0 {
            let statements = match kind {
                Kind::Calls => vec![inbound::inbound_delete_expired(tenant, before, ROWS_SLICE)],
                Kind::ExpiredDeliveries => expiry::expired_delete(tenant, before, ROWS_SLICE).into(),
                Kind::DeadLetters => vec![dead_letter::dead_letter_delete_old(tenant, before, ROWS_SLICE)],
            };
            journal.commit(Commit::statements(statements)).await?;
        }
        if n_expired < ROWS_SLICE {
            break;
        }
    }
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
