//! Figures of attempts and deliveries: what a planner's commit adds to the sums, and the task that folds these deltas into
//! their buckets.
//!
//! A commit carries one delta for all deliveries that it stores or changes, one row however many they are. It demands that
//! all its changes are made; when somebody else has ended a delivery meanwhile, it is refused and made again with a delta of
//! its own for each change, which counts if the change is made. So the sums are as durable as the deliveries, and a crash
//! neither loses nor doubles any. The fold runs every few seconds on every hub; of two that take the same deltas one is
//! refused. Until then figures lag behind by what was not folded yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use trunkline_model::DeliveryId;
use trunkline_store::tables::delivery::{DeliveryRow, DeliveryState};
use trunkline_store::tables::delivery_stats::{FAILURE_FAMILIES, StatsChange, StatsDelta, stats_delta_list};
use trunkline_store::{Commit, CommitError, ReadError, Statement};

use super::Shared;

/// Deltas folded by one commit.
const PAGE: i64 = 1_000;
/// How often deltas of other hubs and of earlier runs are looked for.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Tells the fold that there is something.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    is_dirty: AtomicBool,
}

/// The family of an error class, as an index of [`FAILURE_FAMILIES`].
fn family(error_class: &str) -> usize {
    let name = match error_class {
        "http_4xx" | "http_5xx" => error_class,
        "timeout" | "connect_timeout" | "body_timeout" => "timeout",
        "redirect" => "http_other",
        "blocked" | "endpoint_unusable" | "transform_failed" | "internal" => "hub",
        class if class.starts_with("http_") => "http_other",
        _ => "network",
    };
    FAILURE_FAMILIES.iter().position(|known| *known == name).unwrap_or(FAILURE_FAMILIES.len() - 1)
}

/// Adds a row that is recorded with an attempt of its own, or that ends without one.
fn add(delta: &mut StatsDelta, row: &DeliveryRow, by: StatsChange) {
    let event_type = &row.event_type;
    if by == StatsChange::Attempt
        && let Some(latest) = &row.latest
    {
        let counts = delta.entry(&row.tenant, &row.endpoint_id, event_type, latest.started_at);
        match latest.error_class.as_deref() {
            None => counts.n_successes += 1,
            Some(class) => counts.failures[family(class)] += 1,
        }
        if latest.status.is_some() {
            counts.note_latency(latest.duration_us);
        }
    }
    let ended = match row.state {
        DeliveryState::Succeeded => 0,
        DeliveryState::Exhausted => 1,
        DeliveryState::Cancelled => 2,
        DeliveryState::Pending => return,
    };
    let at = row.finished_at.unwrap_or(row.created_at);
    delta.entry(&row.tenant, &row.endpoint_id, event_type, at).ended[ended] += 1;
}

impl Stats {
    /// What a commit adds to the sums that stores or changes these rows; `None` when that is nothing.
    pub(crate) fn of_rows<'a>(
        &self,
        rows: impl Iterator<Item = (&'a DeliveryRow, StatsChange)>,
    ) -> Option<Statement> {
        let mut delta = StatsDelta::default();
        for (row, by) in rows {
            add(&mut delta, row, by);
        }
        if delta.is_empty() {
            return None;
        }
        self.is_dirty.store(true, Ordering::Relaxed);
        Some(delta.to_statement(&fresh_id()))
    }

    /// What a change of a stored delivery adds, if it is made; to stand behind the change.
    pub(crate) fn of_change(&self, row: &DeliveryRow, by: StatsChange) -> Statement {
        let mut delta = StatsDelta::default();
        add(&mut delta, row, by);
        self.is_dirty.store(true, Ordering::Relaxed);
        delta.to_statement_if(&fresh_id(), row, by)
    }
}

/// Ids of deliveries are unique and grow.
fn fresh_id() -> String {
    DeliveryId::fresh().into_string()
}

#[derive(Debug, thiserror::Error)]
enum FoldError {
    #[error("figures of deliveries cannot be read")]
    Read(#[from] ReadError),
    #[error("figures of deliveries were not stored")]
    Commit(#[from] CommitError),
}

/// Folds until it is dropped.
pub(crate) async fn keep(shared: Arc<Shared>) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            _ = look.tick() => {}
            () = tokio::time::sleep(shared.limits.fold_every) => {
                if !shared.stats.is_dirty.swap(false, Ordering::Relaxed) {
                    continue;
                }
            }
        }
        fold(&shared).await;
    }
}

/// How often a fold that met another one looks again.
const TRIES: usize = 3;

/// Folds what there is; what cannot be folded now is folded the next time.
pub(crate) async fn fold(shared: &Shared) {
    for _ in 0..TRIES {
        match try_fold(shared).await {
            Ok(()) => return,
            // Another fold was faster, or a delta came in between: everyday where several hubs run, and at the end, when the
            // last one of the task may still be on its way.
            Err(FoldError::Commit(CommitError::Guard { .. })) => {}
            Err(error) => {
                tracing::warn!(error = ?error, "figures of deliveries not summed up yet");
                break;
            }
        }
    }
    shared.stats.is_dirty.store(true, Ordering::Relaxed);
}

async fn try_fold(shared: &Shared) -> Result<(), FoldError> {
    loop {
        let fold = stats_delta_list(shared.journal.store(), PAGE).await?;
        let n_deltas = fold.n_deltas;
        if n_deltas == 0 {
            return Ok(());
        }
        let statements = fold.into_statements(shared.clock.now());
        shared.journal.commit(Commit::statements(statements)).await?;
        if n_deltas < PAGE.unsigned_abs() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_classes_have_families() {
        let check = |class, expect| assert_eq!(FAILURE_FAMILIES[family(class)], expect, "{class}");
        check("http_4xx", "http_4xx");
        check("http_5xx", "http_5xx");
        check("http_1xx", "http_other");
        check("redirect", "http_other");
        check("body_timeout", "timeout");
        check("dns", "network");
        check("nack", "network");
        check("transform_failed", "hub");
    }
}
