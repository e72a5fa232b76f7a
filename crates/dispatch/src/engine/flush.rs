//! One commit of a planner: rows of settled events, changes of stored deliveries, what is told of them, and the cursor.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use trunkline_model::Seq;
use trunkline_store::tables::consumer;
use trunkline_store::tables::delivery::{self, DeliveryRow};
use trunkline_store::tables::delivery_stats::StatsChange;
use trunkline_store::tables::line;
use trunkline_store::{Commit, CommitError, CursorMove, Expect, Fence, NewEvent, Statement};

use super::stats::Stats;
use super::{CONSUMER, Shared};

/// A change of a stored delivery.
pub(crate) enum Change {
    Attempt(Box<DeliveryRow>),
    Cancel(Box<DeliveryRow>, Cow<'static, str>),
}

/// How the changes of a commit are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counting {
    /// By one delta; each change must be made.
    Together,
    /// By a delta each, if it is made.
    OneByOne,
}

impl Change {
    pub(crate) fn row(&self) -> &DeliveryRow {
        let (Self::Attempt(row) | Self::Cancel(row, _)) = self;
        row
    }

    fn by(&self) -> StatsChange {
        match self {
            Self::Attempt(_) => StatsChange::Attempt,
            Self::Cancel(..) => StatsChange::Cancel,
        }
    }

    /// What makes the change; the last statement tells whether it is made.
    fn statements(&self) -> Vec<Statement> {
        match self {
            Self::Attempt(row) => delivery::delivery_record_attempt(row),
            Self::Cancel(row, reason) => {
                let now = row.finished_at.unwrap_or(row.created_at);
                vec![delivery::delivery_cancel(&row.tenant, &row.id, reason, now)]
            }
        }
    }
}

/// What one commit records.
pub(crate) struct Flush {
    /// Where the cursor stood before, and where it goes.
    pub(crate) cursor: Seq,
    pub(crate) seq: Option<Seq>,
    pub(crate) rows: Arc<Vec<DeliveryRow>>,
    pub(crate) changes: Vec<Change>,
    /// Events about deliveries that end with this commit.
    pub(crate) told: Vec<NewEvent>,
}

/// Commits a flush; waits while the store is full or busy, when nothing of it was applied.
pub(crate) async fn commit(
    shared: Arc<Shared>,
    fence: Fence,
    flush: Flush,
) -> (Flush, Result<(), CommitError>) {
    let mut n_failures = 0_u32;
    let mut counting = Counting::Together;
    loop {
        let result = shared.journal.commit(flush.to_commit(&fence, &shared.stats, counting)).await;
        let error = match result {
            // The first statement is about the cursor.
            Err(CommitError::Guard { statement: 1.., .. }) if counting == Counting::Together => {
                counting = Counting::OneByOne;
                continue;
            }
            Err(error @ (CommitError::Full | CommitError::Busy)) => error,
            result => return (flush, result.map(drop)),
        };
        n_failures += 1;
        if n_failures.is_power_of_two() {
            tracing::warn!(shard = fence.shard, n_failures, error = ?error, "deliveries not recorded yet");
        }
        tokio::time::sleep(super::backoff(n_failures)).await;
    }
}

impl Flush {
    fn to_commit(&self, fence: &Fence, stats: &Stats, counting: Counting) -> Commit {
        let mut statements = Vec::with_capacity(2 + 3 * self.changes.len());
        // A run before this one may have left a commit under way: only one of the two may move the cursor.
        statements.push(consumer::cursor_expect(CONSUMER, fence.shard, self.cursor));
        for change in &self.changes {
            statements.extend(change.statements());
            match counting {
                Counting::OneByOne => statements.push(stats.of_change(change.row(), change.by())),
                Counting::Together => {
                    statements.last_mut().into_iter().for_each(|made| made.expect = Expect::Rows(1));
                }
            }
        }
        let rows = self.rows.iter().map(|row| (row, StatsChange::Attempt));
        let changes = self.changes.iter().filter(|_| counting == Counting::Together);
        statements.extend(stats.of_rows(rows.chain(changes.map(|change| (change.row(), change.by())))));
        self.wake_lines(&mut statements);
        let cursor = |seq| CursorMove { consumer: CONSUMER.to_owned(), shard: fence.shard, seq };
        Commit {
            fence: Some(fence.clone()),
            statements,
            deliveries: Arc::clone(&self.rows),
            events: self.told.clone(),
            cursors: self.seq.map(cursor).into_iter().collect(),
            ..Commit::default()
        }
    }

    /// Wakes the next delivery of each line whose head ends here: after a crash nobody remembers.
    fn wake_lines(&self, statements: &mut Vec<Statement>) {
        let mut woken = HashSet::new();
        for row in self.changes.iter().map(Change::row).filter(|row| row.state.is_terminal()) {
            let Some(key) = &row.order_key else { continue };
            if woken.insert((&row.endpoint_id, key)) {
                let now = row.finished_at.unwrap_or(row.created_at);
                statements.push(line::line_wake(&row.tenant, &row.endpoint_id, key, now));
            }
        }
    }
}
