//! Figures of deliveries: old buckets become wider ones, and the oldest go. Part of each retention pass.

use trunkline_store::tables::delivery_stats::{StatsWidth, delivery_stats_oldest, delivery_stats_roll_up};
use trunkline_store::{Commit, CommitError};

use super::RetentionError;
use crate::Journal;

/// Buckets of a tenant rolled up in one pass and width; the rest waits for the next pass.
const BUCKETS_PER_PASS: usize = 2_000;

/// Rolls up what is older than its width is kept for; each bucket of a tenant in a commit of its own.
pub(super) async fn roll_up(journal: &Journal) -> Result<(), RetentionError> {
    for width in StatsWidth::ALL {
        let before = journal.now().minus(width.kept_for());
        for _ in 0..BUCKETS_PER_PASS {
            let oldest = delivery_stats_oldest(journal.store(), width, before).await?;
            let Some((tenant, bucket_at, n_rows)) = oldest else { break };
            let statements = delivery_stats_roll_up(&tenant, width, bucket_at, n_rows);
            match journal.commit(Commit::statements(statements)).await {
                Ok(_) => {}
                // Another hub is at it.
                Err(CommitError::Guard { .. }) => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}
