//! Keeps refused calls for the operator, off the path of the answer and bounded: an attack fills neither memory nor disk.
//!
//! The router hands a row over without waiting; one task writes them and keeps the newest [`KEPT`] of each source. When
//! the task falls behind, rows are dropped and counted. The task ends when the last handle is gone.

use tokio::sync::{mpsc, oneshot};
use trunkline_store::tables::inbound::{self, InboundRow};
use trunkline_store::{Commit, Store};

/// How many refused calls of one source are kept.
pub const KEPT: i64 = 1000;
/// The longest body of a refused call that is kept, in bytes.
pub const MAX_BODY_LEN: usize = 64 * 1024;
/// How many rows may wait to be written.
const QUEUE_LEN: usize = 256;

enum Note {
    Refused(Box<InboundRow>),
    Flush(oneshot::Sender<()>),
}

/// Where refused calls are handed over.
#[derive(Debug)]
pub(crate) struct RefusedLog(mpsc::Sender<Note>);

impl RefusedLog {
    /// Starts the writing task on the current runtime.
    pub(crate) fn start(store: Store) -> Self {
        let (sender, notes) = mpsc::channel(QUEUE_LEN);
        tokio::spawn(write(store, notes));
        Self(sender)
    }

    /// Hands a row over; false when it had to be dropped.
    pub(crate) fn offer(&self, row: InboundRow) -> bool {
        self.0.try_send(Note::Refused(Box::new(row))).is_ok()
    }

    /// Returns when every row handed over before has been written.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.0.send(Note::Flush(done)).await.is_ok() {
            // An error means that the task is gone, and with it everything there was to wait for.
            drop(written.await);
        }
    }
}

async fn write(store: Store, mut notes: mpsc::Receiver<Note>) {
    while let Some(note) = notes.recv().await {
        match note {
            Note::Refused(row) => {
                let statements =
                    vec![inbound::inbound_insert(&row), inbound::inbound_trim_rejected(&row.source, KEPT)];
                if let Err(error) = store.commit(Commit::statements(statements)).await {
                    tracing::warn!(source = row.source, %error, "refused call not recorded");
                }
            }
            Note::Flush(done) => drop(done.send(())),
        }
    }
}
