//! One connection as the fan-out sees it: a bounded queue, and a word when it has ended.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use trunkline_model::{Tenant, TokenId};

use super::place::Place;
use crate::ending::Ending;
use crate::event::{LiveEvent, RoomMask};

/// What waits for a connection, in order.
pub(crate) enum Queued {
    /// An event for some of the rooms that it has joined.
    Event(Arc<LiveEvent>, RoomMask),
    /// Everything up to this place stands before it in the queue. Asked for by the connection, which knows why.
    Mark(Arc<Place>),
}

/// Bounds of one queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueLimits {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

/// The fan-out's side of a connection.
pub(crate) struct Seat {
    pub(crate) id: u64,
    pub(crate) tenant: Tenant,
    token_id: Mutex<TokenId>,
    queue: mpsc::Sender<Queued>,
    n_bytes: AtomicUsize,
    max_bytes: usize,
    ended: CancellationToken,
    ending: OnceLock<Ending>,
}

impl Seat {
    pub(super) fn new(
        id: u64,
        tenant: Tenant,
        token_id: TokenId,
        limits: QueueLimits,
    ) -> (Arc<Self>, mpsc::Receiver<Queued>) {
        let (queue, receiver) = mpsc::channel(limits.events);
        let seat = Self {
            id,
            tenant,
            token_id: Mutex::new(token_id),
            queue,
            n_bytes: AtomicUsize::new(0),
            max_bytes: limits.bytes,
            ended: CancellationToken::new(),
            ending: OnceLock::new(),
        };
        (Arc::new(seat), receiver)
    }

    /// Puts an event into the queue; false when it is full.
    pub(super) fn push(&self, event: &Arc<LiveEvent>, mask: RoomMask) -> bool {
        let before = self.n_bytes.fetch_add(event.n_bytes(), Ordering::Relaxed);
        // A single event may be larger than the bound.
        let has_room = before == 0 || before + event.n_bytes() <= self.max_bytes;
        has_room && self.queue.try_send(Queued::Event(Arc::clone(event), mask)).is_ok()
    }

    /// Puts a mark into the queue; false when it is full.
    pub(super) fn mark(&self, place: Arc<Place>) -> bool {
        self.queue.try_send(Queued::Mark(place)).is_ok()
    }

    /// How many more events the queue takes.
    pub(super) fn n_free(&self) -> usize {
        self.queue.capacity()
    }

    /// How many more bytes the queue takes.
    pub(super) fn n_free_bytes(&self) -> usize {
        self.max_bytes.saturating_sub(self.n_bytes.load(Ordering::Relaxed))
    }

    /// Notes that an event was taken out of the queue.
    pub(crate) fn taken(&self, event: &LiveEvent) {
        self.n_bytes.fetch_sub(event.n_bytes(), Ordering::Relaxed);
    }

    /// Ends the connection, unless it is ending already.
    pub(super) fn end(&self, ending: Ending) {
        if self.ending.set(ending).is_ok() {
            self.ended.cancel();
        }
    }

    /// Waits until somebody else has ended the connection, and says why.
    pub(crate) async fn ended(&self) -> Ending {
        self.ended.cancelled().await;
        self.ending.get().copied().unwrap_or(Ending::Lost)
    }

    /// Takes another token of the same client.
    pub(crate) fn set_token(&self, token_id: TokenId) {
        *self.token_id.lock() = token_id;
    }

    pub(super) fn has_token(&self, is_meant: &impl Fn(&str) -> bool) -> bool {
        is_meant(self.token_id.lock().as_str())
    }
}
