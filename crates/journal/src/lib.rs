//! The journal: one durable, ordered, replayable log of events, kept in the store.
//!
//! Layer L1. Producers append; engines read shards from their own cursors. This crate holds what every reader needs:
//! - [`Journal`]: append, read, watch.
//! - [`ownership`]: which node works on which shard, by lease with an epoch that fences old owners out.
//! - [`consumer`]: the loop around a reader: batches, retries, dead letters, cursors.
//! - [`retention`]: removes old events by age and size, and old dedupe and idempotency keys.
//!
//! Invariants: `seq` is gapless in commit order inside a shard; events with one partition key share a shard; a consumer's
//! state changes, follow-up events and cursor move in one commit.

pub mod consumer;
pub mod ownership;
pub mod retention;

use std::sync::Arc;

use tokio::sync::watch;
use trunkline_model::{Clock, EventRecord, Seq, Shard, Timestamp};
use trunkline_store::tables::event;
use trunkline_store::{Appended, Commit, CommitError, Committed, NewEvent, ReadError, Store};

/// Handle to the journal; cheap to clone.
#[derive(Clone)]
pub struct Journal {
    store: Store,
    clock: Arc<dyn Clock>,
}

impl Journal {
    /// The journal that lives in `store`.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// The store below.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The clock that stamps what is recorded.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The time now, by the journal's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// How many shards there are.
    pub fn n_shards(&self) -> Shard {
        self.store.n_shards()
    }

    /// Appends events together. Durable on return; each answer says where the event stands.
    pub async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>, CommitError> {
        self.store.commit(Commit::append(events)).await.map(|committed| committed.appended().to_vec())
    }

    /// Applies a commit of state changes, events and cursors.
    pub async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        self.store.commit(commit).await
    }

    /// Reads a shard from behind `after`, at most `max` events, oldest first.
    pub async fn read(&self, shard: Shard, after: Seq, max: i64) -> Result<Vec<EventRecord>, ReadError> {
        event::event_read(&self.store, shard, after, max).await
    }

    /// Follows the head of a shard. The value only says when to read again.
    ///
    /// # Panics
    /// When there is no such shard: shard numbers come from the store itself.
    pub fn watch(&self, shard: Shard) -> watch::Receiver<Seq> {
        self.store.watch_head(shard).expect("invariant: shard numbers are below n_shards")
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Journal({:?})", self.store)
    }
}

#[cfg(test)]
mod tests;
