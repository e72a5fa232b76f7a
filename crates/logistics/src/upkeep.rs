//! Background work of logistics: pickups of rules up to the horizon, invoices that are due, tracks of which nothing more
//! came, and positions that are too old to be kept.
//!
//! An idempotent reconciler: each pass reads what is due and does a bounded part of it. Any number of hubs may run it; the
//! guards of the operations let each thing happen once.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trunkline_model::Clock;
use trunkline_store::Store;

use crate::ledger::Ledger;
use crate::operations::OperationError;
use crate::operations::billing::settle_due;
use crate::operations::recurring::recurrences_extend_due;
use crate::operations::tracking::{positions_forget, tracks_settle_due};

/// How often it looks.
pub const EVERY: Duration = Duration::from_secs(5);
/// Rules looked at in one step.
const RULES: i64 = 50;
/// Invoices looked at in one step.
const INVOICES: i64 = 100;
/// Tracks looked at in one step.
const TRACKS: i64 = 50;
/// Steps of one pass; the rest waits for the next.
const STEPS: usize = 100;

/// What the work needs to know.
pub struct UpkeepOptions {
    /// Whoever keeps the books.
    pub ledger: Arc<dyn Ledger>,
    /// How long positions of drivers are kept.
    pub keep_positions: Duration,
}

impl std::fmt::Debug for UpkeepOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpkeepOptions").field("keep_positions", &self.keep_positions).finish_non_exhaustive()
    }
}

/// Runs a pass every now and then until `stop`.
pub fn run(
    store: Store,
    clock: Arc<dyn Clock>,
    options: UpkeepOptions,
    stop: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(EVERY) => {}
            }
            tokio::select! {
                () = stop.cancelled() => break,
                passed = pass(&store, &*clock, &options) => if let Err(error) = passed {
                    tracing::warn!(error = ?error, "a pass of logistics failed");
                }
            }
        }
    })
}

/// Does what is due.
pub async fn pass(store: &Store, clock: &dyn Clock, options: &UpkeepOptions) -> Result<(), OperationError> {
    for _ in 0..STEPS {
        let now = clock.now();
        let n_rules = recurrences_extend_due(store, now, RULES).await?;
        let n_invoices = settle_due(store, &*options.ledger, now, INVOICES).await?;
        let n_tracks = tracks_settle_due(store, now, TRACKS).await?;
        let n_old = positions_forget(store, now.minus(options.keep_positions)).await?;
        let is_done = [(n_rules, RULES), (n_invoices, INVOICES), (n_tracks, TRACKS), (n_old, 1)]
            .into_iter()
            .all(|(n, most)| (n as i64) < most);
        if is_done {
            break;
        }
    }
    Ok(())
}
