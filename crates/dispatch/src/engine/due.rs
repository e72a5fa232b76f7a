//! What one shard's retrier knows without reading: when each endpoint's earliest pending delivery is due, which lines
//! have news, and which stored deliveries are in memory right now and must not be loaded a second time.
//!
//! A delivery is *held* from before its row can be read as pending (or from its load) until its outcome is committed.
//! The release takes effect between two loads of the retrier, never during one: a load that began before the commit
//! may still see the old row. Whoever releases a delivery does so before saying that something is due, and the retrier
//! takes what is due before it applies the releases: so it never skips a delivery as held that nobody will name again.
//! Others may change a row that is held, and name it only once: a retry by hand comes between the commit of an outcome
//! and the release. So a delivery that a load met while it was held is looked for again after its release.
//! Lines are named together with the releases for the same reason.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use parking_lot::Mutex;
use tokio::sync::Notify;
use trunkline_model::{DeliveryId, EndpointId, Timestamp};

/// The most lines of an endpoint with news. The news of others are found by their time.
const MAX_LINES: usize = 10_000;

/// What to look for at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Look {
    /// Lines that have news.
    Lines,
    /// Deliveries whose time has come.
    Times,
}

/// Shared by a shard's planner and retrier, and by whoever writes pending rows for the shard.
#[derive(Default)]
pub(crate) struct Due {
    index: Mutex<Index>,
    held: Mutex<Held>,
    /// Whether order was asked for when the endpoint's deliveries were last put into lines or out of them.
    orders: Mutex<HashMap<EndpointId, bool>>,
    pub(crate) changed: Notify,
}

#[derive(Default)]
struct Index {
    by_time: BTreeSet<(Timestamp, EndpointId, Look)>,
    /// One map for each kind of look.
    by_endpoint: [HashMap<EndpointId, Timestamp>; 2],
}

#[derive(Default)]
struct Held {
    /// True for those that a load has met meanwhile.
    by_endpoint: HashMap<EndpointId, HashMap<DeliveryId, bool>>,
    released: Vec<(EndpointId, DeliveryId)>,
    /// Lines that were named since the last releases.
    noted: Vec<(EndpointId, String, Turn)>,
    lines: HashMap<EndpointId, Lines>,
}

/// Where a line with news comes among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    First,
    Last,
}

/// Keys of one endpoint whose lines have news, each once.
#[derive(Default)]
struct Lines {
    queue: VecDeque<String>,
    known: HashSet<String>,
}

impl Lines {
    /// False when there are too many already.
    fn add(&mut self, key: String, turn: Turn) -> bool {
        let is_known = self.known.contains(&key);
        match turn {
            Turn::Last if is_known => {}
            Turn::Last if self.queue.len() >= MAX_LINES => return false,
            Turn::Last => {
                self.known.insert(key.clone());
                self.queue.push_back(key);
            }
            Turn::First => {
                if is_known {
                    self.queue.retain(|known| *known != key);
                }
                self.known.insert(key.clone());
                self.queue.push_front(key);
            }
        }
        true
    }
}

impl Due {
    /// Says that an endpoint has a delivery due at `at`; an earlier time known already stays.
    pub(crate) fn note(&self, endpoint: &EndpointId, at: Timestamp) {
        self.note_look(endpoint, Look::Times, at);
    }

    /// Says when to look at an endpoint; an earlier time known already stays.
    pub(crate) fn note_look(&self, endpoint: &EndpointId, look: Look, at: Timestamp) {
        let mut index = self.index.lock();
        match index.by_endpoint[look as usize].get(endpoint).copied() {
            Some(known) if known <= at => return,
            Some(known) => drop(index.by_time.remove(&(known, endpoint.clone(), look))),
            None => {}
        }
        index.by_time.insert((at, endpoint.clone(), look));
        index.by_endpoint[look as usize].insert(endpoint.clone(), at);
        drop(index);
        self.changed.notify_one();
    }

    /// Says that a line has a new head, or may have one.
    pub(crate) fn note_line(&self, endpoint: &EndpointId, key: &str) {
        self.held.lock().noted.push((endpoint.clone(), key.to_owned(), Turn::Last));
        self.note_look(endpoint, Look::Lines, Timestamp::default());
    }

    /// The same when somebody waits for it: the line is looked at before all others.
    pub(crate) fn note_line_first(&self, endpoint: &EndpointId, key: &str) {
        self.held.lock().noted.push((endpoint.clone(), key.to_owned(), Turn::First));
        self.note_look(endpoint, Look::Lines, Timestamp::default());
    }

    /// Puts back lines that were taken and could not be looked at. Does not say when to look again.
    pub(crate) fn put_back_line(&self, endpoint: &EndpointId, key: String) {
        self.held.lock().lines.entry(endpoint.clone()).or_default().add(key, Turn::Last);
    }

    /// Takes up to `n` lines that have news.
    pub(crate) fn take_lines(&self, endpoint: &EndpointId, n: usize) -> Vec<String> {
        let mut held = self.held.lock();
        let Some(lines) = held.lines.get_mut(endpoint) else { return Vec::new() };
        let n = n.min(lines.queue.len());
        let taken: Vec<String> = lines.queue.drain(..n).collect();
        for key in &taken {
            lines.known.remove(key);
        }
        if lines.queue.is_empty() {
            held.lines.remove(endpoint);
        }
        taken
    }

    /// Whether lines of an endpoint have news.
    pub(crate) fn has_lines(&self, endpoint: &EndpointId) -> bool {
        self.held.lock().lines.contains_key(endpoint)
    }

    /// Takes the endpoints with something due, the longest overdue first.
    pub(crate) fn take(&self, now: Timestamp) -> Vec<(EndpointId, Look)> {
        let mut index = self.index.lock();
        let mut taken = Vec::new();
        while index.by_time.first().is_some_and(|(at, ..)| *at <= now) {
            if let Some((_, endpoint, look)) = index.by_time.pop_first() {
                index.by_endpoint[look as usize].remove(&endpoint);
                taken.push((endpoint, look));
            }
        }
        taken
    }

    /// When the next endpoint is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.index.lock().by_time.first().map(|(at, ..)| *at)
    }

    /// Keeps a delivery from being loaded; false when it is held already.
    pub(crate) fn hold(&self, endpoint: &EndpointId, id: &DeliveryId) -> bool {
        let mut held = self.held.lock();
        let Some(ids) = held.by_endpoint.get_mut(endpoint) else {
            held.by_endpoint.insert(endpoint.clone(), HashMap::from([(id.clone(), false)]));
            return true;
        };
        if let Some(is_met) = ids.get_mut(id) {
            *is_met = true;
            return false;
        }
        ids.insert(id.clone(), false);
        true
    }

    /// Whether a delivery is held.
    pub(crate) fn is_held(&self, endpoint: &EndpointId, id: &DeliveryId) -> bool {
        self.held.lock().by_endpoint.get(endpoint).is_some_and(|ids| ids.contains_key(id))
    }

    /// Lets a delivery go once the retrier's present load is over.
    pub(crate) fn release(&self, endpoint: EndpointId, id: DeliveryId) {
        self.held.lock().released.push((endpoint, id));
    }

    /// Makes releases and the naming of lines take effect. Called by the retrier when no load is running.
    pub(crate) fn apply_releases(&self) {
        let mut guard = self.held.lock();
        let held = &mut *guard;
        let mut left_over = Vec::new();
        for (endpoint, id) in held.released.drain(..) {
            let Some(ids) = held.by_endpoint.get_mut(&endpoint) else { continue };
            let was_met = ids.remove(&id) == Some(true);
            if ids.is_empty() {
                held.by_endpoint.remove(&endpoint);
            }
            if was_met && left_over.last() != Some(&endpoint) {
                left_over.push(endpoint);
            }
        }
        for (endpoint, key, turn) in held.noted.drain(..) {
            if !held.lines.entry(endpoint.clone()).or_default().add(key, turn) {
                left_over.push(endpoint);
            }
        }
        drop(guard);
        for endpoint in left_over {
            self.note(&endpoint, Timestamp::default());
        }
    }

    /// How many deliveries of an endpoint are held.
    pub(crate) fn n_held(&self, endpoint: &EndpointId) -> usize {
        self.held.lock().by_endpoint.get(endpoint).map_or(0, HashMap::len)
    }

    /// Remembers whether an endpoint asks for order; true when that is news.
    pub(crate) fn learn_order(&self, endpoint: &EndpointId, is_ordered: bool) -> bool {
        self.orders.lock().insert(endpoint.clone(), is_ordered) != Some(is_ordered)
    }

    /// Forgets it: deliveries were stored that do not fit what was known.
    pub(crate) fn forget_order(&self, endpoint: &EndpointId) {
        self.orders.lock().remove(endpoint);
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
        due.note_look(&a, Look::Lines, at(9));
        assert_eq!(due.next(), Some(at(2)));
        assert_eq!(due.take(at(1)), []);
        assert_eq!(due.take(at(3)), [(b, Look::Times), (a.clone(), Look::Times)]);
        assert_eq!((due.take(at(9)), due.next()), (vec![(a, Look::Lines)], None));
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
        assert_eq!((due.n_held(&endpoint), due.is_held(&endpoint, &id)), (0, false));
        assert!(due.hold(&endpoint, &id));
    }

    #[test]
    fn what_a_load_met_is_looked_for_again() {
        let due = Due::default();
        let (endpoint, id) = (EndpointId::from_text("ep_a"), DeliveryId::fresh());
        assert!(due.hold(&endpoint, &id) && !due.hold(&endpoint, &id));
        due.release(endpoint.clone(), id.clone());
        assert_eq!(due.next(), None, "not before the release is applied");
        due.apply_releases();
        assert_eq!(due.take(Timestamp::default()), [(endpoint.clone(), Look::Times)]);
        // One that nobody met says nothing.
        assert!(due.hold(&endpoint, &id));
        due.release(endpoint, id);
        due.apply_releases();
        assert_eq!(due.next(), None);
    }

    #[test]
    fn lines_are_named_once_and_those_asked_for_come_first() {
        let due = Due::default();
        let endpoint = EndpointId::from_text("ep_a");
        for key in ["a", "b", "c", "b"] {
            due.note_line(&endpoint, key);
        }
        due.note_line_first(&endpoint, "c");
        assert!(!due.has_lines(&endpoint), "not during a load");
        assert_eq!(due.take(Timestamp::default()), [(endpoint.clone(), Look::Lines)]);
        due.apply_releases();
        assert_eq!(due.take_lines(&endpoint, 2), ["c", "a"]);
        due.put_back_line(&endpoint, "a".to_owned());
        assert_eq!((due.take(Timestamp::default()), due.has_lines(&endpoint)), (vec![], true));
        assert_eq!(due.take_lines(&endpoint, 9), ["b", "a"]);
        assert!(!due.has_lines(&endpoint));
    }

    #[test]
    fn too_many_lines_are_left_to_their_times() {
        let due = Due::default();
        let endpoint = EndpointId::from_text("ep_a");
        for key in 0..=MAX_LINES {
            due.note_line(&endpoint, &key.to_string());
        }
        due.apply_releases();
        let looks: Vec<Look> = due.take(Timestamp::default()).into_iter().map(|(_, look)| look).collect();
        assert_eq!(looks, [Look::Lines, Look::Times]);
        assert_eq!(due.take_lines(&endpoint, usize::MAX).len(), MAX_LINES);
    }

    #[test]
    fn order_is_learnt_once() {
        let due = Due::default();
        let endpoint = EndpointId::from_text("ep_a");
        assert!(due.learn_order(&endpoint, true) && !due.learn_order(&endpoint, true));
        assert!(due.learn_order(&endpoint, false));
        due.forget_order(&endpoint);
        assert!(due.learn_order(&endpoint, false));
    }
}
