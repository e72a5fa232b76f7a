//! What one shard's retrier knows without reading: when each endpoint's earliest pending delivery is due, and which
//! stored deliveries are in memory right now and must not be loaded a second time.
//!
//! A delivery is *held* from before its row can be read as pending (or from its load) until its outcome is committed.
//! The release takes effect between two loads of the retrier, never during one: a load that began before the commit
//! may still see the old row.

use std::collections::{BTreeSet, HashMap, HashSet};

use parking_lot::Mutex;
use tokio::sync::Notify;
use trunkline_model::{DeliveryId, EndpointId, Timestamp};

/// Shared by a shard's planner and retrier, and by whoever writes pending rows for the shard.
#[derive(Default)]
pub(crate) struct Due {
    index: Mutex<Index>,
    held: Mutex<Held>,
    pub(crate) changed: Notify,
}

#[derive(Default)]
struct Index {
    by_time: BTreeSet<(Timestamp, EndpointId)>,
    by_endpoint: HashMap<EndpointId, Timestamp>,
}

#[derive(Default)]
struct Held {
    by_endpoint: HashMap<EndpointId, HashSet<DeliveryId>>,
    released: Vec<(EndpointId, DeliveryId)>,
}

impl Due {
    /// Says that an endpoint has a delivery due at `at`; an earlier time known already stays.
    pub(crate) fn note(&self, endpoint: &EndpointId, at: Timestamp) {
        let mut index = self.index.lock();
        match index.by_endpoint.get(endpoint).copied() {
            Some(known) if known <= at => return,
            Some(known) => drop(index.by_time.remove(&(known, endpoint.clone()))),
            None => {}
        }
        index.by_time.insert((at, endpoint.clone()));
        index.by_endpoint.insert(endpoint.clone(), at);
        drop(index);
        self.changed.notify_one();
    }

    /// Takes the endpoints with something due, the longest overdue first.
    pub(crate) fn take(&self, now: Timestamp) -> Vec<EndpointId> {
        let mut index = self.index.lock();
        let mut taken = Vec::new();
        while index.by_time.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, endpoint)) = index.by_time.pop_first() {
                index.by_endpoint.remove(&endpoint);
                taken.push(endpoint);
            }
        }
        taken
    }

    /// When the next endpoint is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.index.lock().by_time.first().map(|(at, _)| *at)
    }

    /// Keeps a delivery from being loaded; false when it is held already.
    pub(crate) fn hold(&self, endpoint: &EndpointId, id: &DeliveryId) -> bool {
        let mut held = self.held.lock();
        if let Some(ids) = held.by_endpoint.get_mut(endpoint) {
            return ids.insert(id.clone());
        }
        held.by_endpoint.insert(endpoint.clone(), HashSet::from([id.clone()]));
        true
    }

    /// Lets a delivery go once the retrier's present load is over.
    pub(crate) fn release(&self, endpoint: EndpointId, id: DeliveryId) {
        self.held.lock().released.push((endpoint, id));
    }

    /// Makes releases take effect. Called by the retrier when no load is running.
    pub(crate) fn apply_releases(&self) {
        let mut guard = self.held.lock();
        let held = &mut *guard;
        for (endpoint, id) in held.released.drain(..) {
            if let Some(ids) = held.by_endpoint.get_mut(&endpoint) {
                ids.remove(&id);
                if ids.is_empty() {
                    held.by_endpoint.remove(&endpoint);
                }
            }
        }
    }

    /// How many deliveries of an endpoint are held.
    pub(crate) fn n_held(&self, endpoint: &EndpointId) -> usize {
        self.held.lock().by_endpoint.get(endpoint).map_or(0, HashSet::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_time_counts_and_is_taken_once() {
        let due = Due::default();
        let [a, b] = ["ep_a", "ep_b"].map(EndpointId::from_text);
        let at = Timestamp::from_secs;
        due.note(&a, at(5));
        due.note(&a, at(3));
        due.note(&a, at(4));
        due.note(&b, at(2));
        assert_eq!(due.next(), Some(at(2)));
        assert_eq!(due.take(at(1)), []);
        assert_eq!(due.take(at(3)), [b, a]);
        assert_eq!((due.take(at(9)), due.next()), (vec![], None));
    }

    #[test]
    fn a_release_waits_for_the_load() {
        let due = Due::default();
        let endpoint = EndpointId::from_text("ep_a");
        let id = DeliveryId::from_text("dlv_1");
        assert!(due.hold(&endpoint, &id));
        due.release(endpoint.clone(), id.clone());
        assert!(!due.hold(&endpoint, &id));
        due.apply_releases();
        assert_eq!(due.n_held(&endpoint), 0);
        assert!(due.hold(&endpoint, &id));
    }
}
