//! Removes instances that ended long ago, with their records, snapshots and blobs. The counts and sums stay.
//!
//! An idempotent reconciler: the owner of a shard looks for what is old in it, in small commits under its fence.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use trunkline_journal::ownership::Owned;
use trunkline_model::{LogSpacing, Timestamp};
use trunkline_store::tables::workflow::{durations, ended};
use trunkline_store::{Commit, CommitError, Fence, ReadError};

use super::Shared;

/// How often it looks.
const EVERY: Duration = Duration::from_mins(10);
/// How many instances go in one commit.
const BATCH: i64 = 20;
/// How often sums are looked through.
const DAY: Duration = Duration::from_hours(24);
/// How long sums of durations are kept.
const SUMS_KEPT: Duration = Duration::from_hours(24 * 730);

/// A store that is not there fails the pass over every shard.
static FAILURES: LogSpacing = LogSpacing::new();

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error("ended workflows cannot be read")]
    Read(#[from] ReadError),
    #[error("ended workflows were not removed")]
    Commit(#[from] CommitError),
}

/// Removes what is older than `keep` until `stop`.
pub(crate) async fn run(
    shared: Arc<Shared>,
    owned: watch::Receiver<Owned>,
    keep: Duration,
    stop: CancellationToken,
) {
    let mut sums_at = Timestamp::default();
    loop {
        let now_owned = Arc::clone(&owned.borrow());
        let now = shared.now();
        let with_sums = sums_at <= now;
        if with_sums {
            sums_at = now.plus(DAY);
        }
        for fence in now_owned.values() {
            if let Err(error) = sweep(&shared, fence, keep, with_sums).await
                && let Some(n_failures) = FAILURES.note(std::time::Instant::now())
            {
                tracing::warn!(n_failures, shard = fence.shard, error = ?error, "ended workflows are removed later");
            }
            if stop.is_cancelled() {
                return;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.retention.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn sweep(shared: &Shared, fence: &Fence, keep: Duration, with_sums: bool) -> Result<(), SweepError> {
    let store = shared.journal.store();
    let before = shared.now().minus(keep);
    loop {
        let doomed = ended::instance_list_ended(store, fence.shard, before, BATCH).await?;
        if doomed.is_empty() {
            break;
        }
        let is_last = doomed.len() < BATCH as usize;
        let mut statements = Vec::new();
        for id in &doomed {
            let blobs = ended::blob_list_of(store, id).await?;
            statements.extend(ended::instance_delete(id, &blobs, before));
        }
        let commit = Commit { fence: Some(fence.clone()), statements, ..Commit::default() };
        match shared.journal.commit(commit).await {
            Err(CommitError::Fenced { .. }) => return Ok(()),
            other => drop(other?),
        }
        if is_last {
            break;
        }
    }
    if !with_sums {
        return Ok(());
    }
    let old = shared.now().minus(SUMS_KEPT);
    let commit = Commit {
        fence: Some(fence.clone()),
        statements: vec![durations::durations_delete_before(fence.shard, old)],
        ..Commit::default()
    };
    match shared.journal.commit(commit).await {
        Err(CommitError::Fenced { .. }) => Ok(()),
        other => Ok(other.map(drop)?),
    }
}
