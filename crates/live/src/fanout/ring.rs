//! The events read last, kept for those who come back after a moment: a reconnecting crowd costs the store nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use super::place::Place;
use crate::event::LiveEvent;

const MAX_EVENTS: usize = 4096;
const MAX_BYTES: usize = 8 << 20;

/// Every event behind `floor`, up to where the reader stands, in its order.
pub(super) struct Ring {
    floor: Place,
    events: VecDeque<Arc<LiveEvent>>,
    n_bytes: usize,
}

impl Ring {
    /// An empty one for a reader that begins at a place.
    pub(super) fn beginning(floor: Place) -> Self {
        Self { floor, events: VecDeque::new(), n_bytes: 0 }
    }

    /// The place behind which everything is here.
    pub(super) fn floor(&self) -> &Place {
        &self.floor
    }

    pub(super) fn push(&mut self, event: Arc<LiveEvent>) {
        self.n_bytes += event.n_bytes();
        self.events.push_back(event);
        while self.events.len() > MAX_EVENTS || self.n_bytes > MAX_BYTES {
            let Some(oldest) = self.events.pop_front() else { return };
            self.n_bytes -= oldest.n_bytes();
            self.floor.advance(oldest.shard(), oldest.seq());
        }
    }

    /// The events behind a place that is not before the floor.
    pub(super) fn behind<'a>(&'a self, place: &'a Place) -> impl Iterator<Item = &'a Arc<LiveEvent>> {
        self.events.iter().filter(move |event| event.seq() > place.at(event.shard()))
    }
}
