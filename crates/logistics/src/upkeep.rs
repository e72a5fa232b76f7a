//! Background work of logistics: pickups of rules up to the horizon, and invoices that are due.
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

/// How often it looks.
pub const EVERY: Duration = Duration::from_secs(5);
/// Rules looked at in one step.
const RULES: i64 = 50;
/// Invoices looked at in one step.
const INVOICES: i64 = 100;
/// Steps of one pass; the rest waits for the next.
const STEPS: usize = 100;

/// Runs a pass every now and then until `stop`.
pub fn run(
    store: Store,
    clock: Arc<dyn Clock>,
    ledger: Arc<dyn Ledger>,
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
                passed = pass(&store, &*clock, &*ledger) => if let Err(error) = passed {
                    tracing::warn!(error = ?error, "a pass of logistics failed");
                }
            }
        }
    })
}

/// Does what is due.
pub async fn pass(store: &Store, clock: &dyn Clock, ledger: &dyn Ledger) -> Result<(), OperationError> {
    for _ in 0..STEPS {
        let now = clock.now();
        let n_rules = recurrences_extend_due(store, now, RULES).await?;
        let n_invoices = settle_due(store, ledger, now, INVOICES).await?;
        if (n_rules as i64) < RULES && (n_invoices as i64) < INVOICES {
            break;
        }
    }
    Ok(())
}
