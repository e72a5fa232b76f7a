//! The fan-out: who is connected, who has joined which room, and how an event comes to all of them.
//!
//! All of it is behind one lock that is never held across a wait. That is what makes joining exact: under the lock the reader stands at
//! a place, everything up to it was put into the queues of those who had joined, and everything behind it will be.
//!
//! A queue that is full ends its connection and no other: the reader never waits for anybody.

mod place;
mod reader;
mod resume;
mod ring;
mod seat;

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, watch};
use trunkline_journal::Journal;
use trunkline_model::{Room, Tenant, TokenId};
use trunkline_store::ReadError;
use trunkline_store::tables::event::head_list;

use self::ring::Ring;
use crate::ending::Ending;
use crate::event::{LiveEvent, RoomMask};
use crate::metrics::LiveMetrics;
use crate::rules::Rules;

pub(crate) use place::Place;
pub(crate) use reader::read;
pub(crate) use resume::{Gap, Resume, Step};
pub(crate) use seat::{QueueLimits, Queued, Seat};

/// Clients that are read to from the journal at once; others wait for their turn.
const N_RESUMES: usize = 4;

/// Joins the reader of the journal to connections.
pub(crate) struct Fanout {
    journal: Journal,
    rules: Arc<Rules>,
    metrics: LiveMetrics,
    resume_events: i64,
    state: Mutex<State>,
    /// Whether somebody is connected.
    active: watch::Sender<bool>,
    /// Grows when the reader has moved.
    moved: watch::Sender<u64>,
    resumes: Semaphore,
}

#[derive(Default)]
struct State {
    /// Where the reader stands and what it has read last; `None` while nobody is connected.
    reading: Option<Reading>,
    seats: HashMap<u64, Taken>,
    rooms: HashMap<Tenant, HashMap<Room, IndexMap<u64, Arc<Seat>>>>,
    next_id: u64,
}

struct Reading {
    at: Place,
    ring: Ring,
    /// Names this time of reading, so that what was read for an earlier one is not taken for it.
    since: u64,
}

struct Taken {
    seat: Arc<Seat>,
    rooms: IndexSet<Room>,
}

impl State {
    /// Takes a seat out of rooms.
    fn leave(&mut self, seat: &Seat, rooms: impl IntoIterator<Item = Room>) -> i64 {
        let Some(of_tenant) = self.rooms.get_mut(&seat.tenant) else { return 0 };
        let mut n_left = 0;
        for room in rooms {
            let Some(members) = of_tenant.get_mut(&room) else { continue };
            n_left += i64::from(members.swap_remove(&seat.id).is_some());
            if members.is_empty() {
                of_tenant.remove(&room);
            }
        }
        if of_tenant.is_empty() {
            self.rooms.remove(&seat.tenant);
        }
        n_left
    }

    fn join(&mut self, seat: &Arc<Seat>, rooms: &[Room]) -> i64 {
        let Some(taken) = self.seats.get_mut(&seat.id) else { return 0 };
        let of_tenant = self.rooms.entry(seat.tenant.clone()).or_default();
        let mut n_joined = 0;
        for room in rooms {
            taken.rooms.insert(room.clone());
            let members = of_tenant.entry(room.clone()).or_default();
            n_joined += i64::from(members.insert(seat.id, Arc::clone(seat)).is_none());
        }
        n_joined
    }

    /// Puts an event into the queues of those who have joined one of its rooms; gives the seats whose queue is full.
    fn deliver(&self, event: &Arc<LiveEvent>, rules: &Rules) -> Vec<Arc<Seat>> {
        let Some(of_tenant) = self.rooms.get(event.tenant()) else { return Vec::new() };
        let rooms = event.rooms(rules).iter().enumerate();
        let met: Vec<_> = rooms
            .filter_map(|(bit, room)| of_tenant.get(room).map(|members| (1_u64 << bit, members)))
            .collect();
        let mut slow = Vec::new();
        let mut push = |seat: &Arc<Seat>, mask: RoomMask| {
            if !seat.push(event, mask) {
                slow.push(Arc::clone(seat));
            }
        };
        if let [(mask, members)] = met[..] {
            members.values().for_each(|seat| push(seat, mask));
        } else {
            // Who has joined several of the rooms gets the event once.
            let mut masks: IndexMap<u64, (&Arc<Seat>, RoomMask)> = IndexMap::new();
            for (mask, members) in met {
                for seat in members.values() {
                    masks.entry(seat.id).or_insert((seat, 0)).1 |= mask;
                }
            }
            masks.into_values().for_each(|(seat, mask)| push(seat, mask));
        }
        slow
    }
}

impl Fanout {
    pub(crate) fn new(journal: Journal, rules: Arc<Rules>, resume_events: i64, metrics: LiveMetrics) -> Self {
        Self {
            journal,
            rules,
            metrics,
            resume_events,
            state: Mutex::default(),
            active: watch::Sender::new(false),
            moved: watch::Sender::new(0),
            resumes: Semaphore::new(N_RESUMES),
        }
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Waits until somebody is connected.
    pub(crate) async fn wait_for_somebody(&self) {
        // The sender is a field of this value, so that it cannot be gone.
        let _ = self.active.subscribe().wait_for(|is_active| *is_active).await;
    }

    /// Seats a client. From here on everything that is stored later will be seen.
    pub(crate) async fn connect(
        &self,
        tenant: Tenant,
        token_id: TokenId,
        limits: QueueLimits,
    ) -> Result<(Arc<Seat>, mpsc::Receiver<Queued>), ReadError> {
        let (seat, queue) = {
            let mut state = self.state.lock();
            state.next_id += 1;
            let (seat, queue) = Seat::new(state.next_id, tenant, token_id, limits);
            state.seats.insert(seat.id, Taken { seat: Arc::clone(&seat), rooms: IndexSet::new() });
            self.metrics.connections.set(state.seats.len() as i64);
            if state.reading.is_some() {
                return Ok((seat, queue));
            }
            (seat, queue)
        };
        // The first one, or one of the first: the reader begins at the end of what is stored now.
        let heads = head_list(self.journal.store()).await.inspect_err(|_| self.leave_all(&seat))?;
        let mut state = self.state.lock();
        if state.reading.is_none() {
            let mut at = Place::start(self.journal.n_shards());
            for (shard, seq) in heads {
                at.advance(shard, seq);
            }
            state.next_id += 1;
            let since = state.next_id;
            state.reading = Some(Reading { ring: Ring::beginning(at.clone()), at, since });
        }
        self.active.send_replace(true);
        drop(state);
        Ok((seat, queue))
    }

    /// Takes a seat out of everything. When it was the last one, nothing is read any more.
    pub(crate) fn leave_all(&self, seat: &Seat) {
        let mut state = self.state.lock();
        let Some(taken) = state.seats.remove(&seat.id) else { return };
        let n_left = state.leave(seat, taken.rooms);
        self.metrics.subscriptions.dec_by(n_left);
        self.metrics.connections.set(state.seats.len() as i64);
        if state.seats.is_empty() {
            state.reading = None;
            self.active.send_replace(false);
        }
    }

    /// Takes a seat out of rooms, and marks the place in its queue behind which nothing of them comes. Gives the rooms that it had
    /// joined; `None` when the queue is full, and then nothing was left.
    pub(crate) fn leave(&self, seat: &Seat, rooms: &[Room]) -> Option<Vec<Room>> {
        let mut state = self.state.lock();
        if !Self::mark_locked(&state, seat) {
            return None;
        }
        let taken = state.seats.get_mut(&seat.id)?;
        let left: Vec<Room> = rooms.iter().filter(|room| taken.rooms.swap_remove(*room)).cloned().collect();
        let n_left = state.leave(seat, left.iter().cloned());
        self.metrics.subscriptions.dec_by(n_left);
        Some(left)
    }

    /// The rooms that a seat has joined.
    pub(crate) fn rooms_of(&self, seat: &Seat) -> Vec<Room> {
        let state = self.state.lock();
        state.seats.get(&seat.id).map(|taken| taken.rooms.iter().cloned().collect()).unwrap_or_default()
    }

    /// Marks in a queue how far it has come; false when it is full.
    pub(crate) fn mark(&self, seat: &Seat) -> bool {
        Self::mark_locked(&self.state.lock(), seat)
    }

    fn mark_locked(state: &State, seat: &Seat) -> bool {
        let at = state.reading.as_ref().map(|reading| Arc::new(reading.at.clone()));
        at.is_some_and(|at| seat.mark(at))
    }

    /// Ends the connections of some tokens.
    pub(crate) fn end_those(&self, is_meant: impl Fn(&str) -> bool, ending: Ending) {
        let state = self.state.lock();
        let meant = state.seats.values().filter(|taken| taken.seat.has_token(&is_meant));
        meant.for_each(|taken| taken.seat.end(ending));
    }
}
