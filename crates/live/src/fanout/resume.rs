//! Joining rooms, from now on or from a place that was seen before, without gap or repeat at the hand-over.
//!
//! ```text
//!   place of the client      floor of the ring        where the reader stands
//!        │── from the journal ──│── from the ring, in memory ──│── live ──►
//! ```
//!
//! The journal is read in small pieces without a lock, up to the floor. From there on the ring has everything, so that the last piece and
//! the joining are one moment under the lock: it goes into the queue, and what the reader brings next goes behind it. A piece that
//! does not fit into the queue is handed out instead, to be sent before the next one is asked for.

use std::sync::Arc;
use std::time::Duration;

use trunkline_model::{Room, Seq, Shard};
use trunkline_store::ReadError;
use trunkline_store::tables::event::head_list;

use super::{Fanout, Place, Seat};
use crate::event::{LiveEvent, RoomMask};

/// Events looked at in one piece of the journal.
const BATCH: i64 = 32;
/// Events handed out at once.
const PIECE: usize = 256;
/// How long the reader may take to come to a place that another hub has reached already.
const CATCH_UP: Duration = Duration::from_secs(10);

/// Why events since a place may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    /// More has happened since than is read again.
    TooOld,
    /// Events behind the place were removed by retention.
    Expired,
    /// The journal has never been there.
    Unknown,
}

/// What a client gets next while it joins.
pub(crate) enum Step {
    /// Events to be sent before the next step.
    Events(Vec<(Arc<LiveEvent>, RoomMask)>),
    /// The client has to be told that it missed something. It goes on all the same.
    Gap(Gap, Vec<Room>),
    /// It has joined; a mark in its queue says from where on.
    Joined,
}

/// Joins rooms step by step.
pub(crate) struct Resume {
    seat: Arc<Seat>,
    rooms: Vec<Wanted>,
    /// How far has been looked, once there is somewhere to begin.
    cursor: Option<Place>,
    is_from_journal: bool,
    is_expiry_told: bool,
}

struct Wanted {
    room: Room,
    /// What the client has seen of it; `None` for from now on.
    after: Option<Place>,
}

/// What to do next, found under the lock and done without it.
enum Next {
    Step(Step),
    WaitFor(Place),
    ReadUntil(Place),
}

impl Resume {
    pub(crate) fn new(seat: Arc<Seat>, rooms: Vec<(Room, Option<Place>)>) -> Self {
        let rooms: Vec<_> = rooms.into_iter().map(|(room, after)| Wanted { room, after }).collect();
        let places = rooms.iter().filter_map(|wanted| wanted.after.clone());
        let cursor = places.reduce(|a, b| a.earlier(&b));
        Self { seat, rooms, cursor, is_from_journal: false, is_expiry_told: false }
    }

    /// Does the next step.
    pub(crate) async fn next(&mut self, fanout: &Fanout) -> Result<Step, ReadError> {
        loop {
            match self.decide(fanout) {
                Next::Step(step) => return Ok(step),
                Next::WaitFor(place) => {
                    if let Some(step) = self.wait_for(fanout, place).await? {
                        return Ok(step);
                    }
                }
                Next::ReadUntil(floor) => {
                    if let Some(step) = self.read(fanout, &floor).await? {
                        return Ok(step);
                    }
                }
            }
        }
    }

    fn decide(&mut self, fanout: &Fanout) -> Next {
        let mut state = fanout.state.lock();
        let state = &mut *state;
        // Slots of ended connections are gone; the session notices by itself.
        let Some(reading) = &state.reading else { return Next::Step(Step::Joined) };
        let mut last = Vec::new();
        if let Some(cursor) = &mut self.cursor {
            let furthest = self.rooms.iter().filter_map(|wanted| wanted.after.as_ref());
            let furthest = furthest.fold(Place::start(fanout.journal.n_shards()), |a, b| a.later(b));
            if !reading.at.has_reached(&furthest) {
                return Next::WaitFor(furthest);
            }
            if !self.is_from_journal && cursor.distance_to(&reading.at) > fanout.resume_events {
                fanout.metrics.count_resumed("gap");
                return Next::Step(self.give_up(Gap::TooOld));
            }
            if !cursor.has_reached(reading.ring.floor()) {
                return Next::ReadUntil(reading.ring.floor().clone());
            }
            let n_free = self.seat.n_free().saturating_sub(1);
            let (mut n_bytes, mut moved) = (0, cursor.clone());
            let mut is_rest = true;
            for event in reading.ring.behind(cursor) {
                if last.len() == PIECE {
                    is_rest = false;
                    break;
                }
                moved.advance(event.shard(), event.seq());
                if let Some(mask) = mask_of(&self.rooms, fanout, &self.seat, event) {
                    n_bytes += event.n_bytes();
                    last.push((Arc::clone(event), mask));
                }
            }
            *cursor = moved;
            if !is_rest || last.len() > n_free || n_bytes > self.seat.n_free_bytes() {
                return Next::Step(Step::Events(last));
            }
        } else if self.seat.n_free() == 0 {
            return Next::Step(Step::Events(last));
        }
        // The rest fits into the queue: from here on the reader brings what comes.
        let at = Arc::new(reading.at.clone());
        let is_whole = last.iter().all(|(event, mask)| self.seat.push(event, *mask)) && self.seat.mark(at);
        debug_assert!(is_whole, "only this lock fills queues");
        let rooms: Vec<Room> = self.rooms.iter().map(|wanted| wanted.room.clone()).collect();
        let n_joined = state.join(&self.seat, &rooms);
        fanout.metrics.subscriptions.inc_by(n_joined);
        if self.cursor.is_some() {
            fanout.metrics.count_resumed(if self.is_from_journal { "journal" } else { "memory" });
        }
        Next::Step(Step::Joined)
    }

    /// Goes on as if the client had seen nothing before.
    fn give_up(&mut self, gap: Gap) -> Step {
        self.cursor = None;
        let resumed =
            self.rooms.iter_mut().filter_map(|wanted| wanted.after.take().map(|_| wanted.room.clone()));
        Step::Gap(gap, resumed.collect())
    }

    /// Waits until the reader has come to a place, if there is such a place.
    async fn wait_for(&mut self, fanout: &Fanout, place: Place) -> Result<Option<Step>, ReadError> {
        let mut moved = fanout.moved.subscribe();
        let mut heads = Place::start(fanout.journal.n_shards());
        head_list(fanout.journal.store())
            .await?
            .into_iter()
            .for_each(|(shard, seq)| heads.advance(shard, seq));
        if !heads.has_reached(&place) {
            fanout.metrics.count_resumed("gap");
            return Ok(Some(self.give_up(Gap::Unknown)));
        }
        let has_come = async { while !fanout.stands_behind(&place) && moved.changed().await.is_ok() {} };
        if tokio::time::timeout(CATCH_UP, has_come).await.is_err() {
            fanout.metrics.count_resumed("gap");
            return Ok(Some(self.give_up(Gap::Unknown)));
        }
        Ok(None)
    }

    /// Reads a piece of each shard that is before the floor.
    async fn read(&mut self, fanout: &Fanout, floor: &Place) -> Result<Option<Step>, ReadError> {
        let Some(mut cursor) = self.cursor.clone() else { return Ok(None) };
        // The semaphore is a field of the fan-out and never closed.
        let _turn = fanout.resumes.acquire().await;
        self.is_from_journal = true;
        let mut found = Vec::new();
        let mut is_expired = false;
        for (shard, until) in floor.shards() {
            let after = cursor.at(shard);
            if after >= until {
                continue;
            }
            let records = fanout.journal.read(shard, after, BATCH).await?;
            let is_last = (records.len() as i64) < BATCH;
            let mut seen = after;
            for record in records.into_iter().filter(|record| record.seq <= until) {
                is_expired |= record.seq != seen + 1;
                seen = record.seq;
                let event = LiveEvent::new(record);
                if let Some(mask) = mask_of(&self.rooms, fanout, &self.seat, &event) {
                    found.push((event, mask));
                }
            }
            if is_last {
                is_expired |= seen < until;
                seen = until;
            }
            cursor.advance(shard, seen);
        }
        if is_expired && !self.is_expiry_told {
            // The cursor stays: the same piece is read again and handed out next.
            self.is_expiry_told = true;
            fanout.metrics.count_resumed("gap");
            let rooms = self.rooms.iter().filter(|wanted| wanted.after.is_some());
            return Ok(Some(Step::Gap(Gap::Expired, rooms.map(|wanted| wanted.room.clone()).collect())));
        }
        self.cursor = Some(cursor);
        Ok(Some(Step::Events(found)))
    }
}

/// The wanted rooms of an event that the client has not seen in them.
fn mask_of(rooms: &[Wanted], fanout: &Fanout, seat: &Seat, event: &LiveEvent) -> Option<RoomMask> {
    if *event.tenant() != seat.tenant {
        return None;
    }
    let (shard, seq): (Shard, Seq) = (event.shard(), event.seq());
    let of_event = event.rooms(&fanout.rules).iter().enumerate();
    let is_new = |wanted: &Wanted| wanted.after.as_ref().is_some_and(|after| seq > after.at(shard));
    let met = of_event.filter(|(_, room)| rooms.iter().any(|wanted| wanted.room == **room && is_new(wanted)));
    let mask = met.fold(0, |mask, (bit, _)| mask | (1 << bit));
    (mask != 0).then_some(mask)
}

impl Fanout {
    fn stands_behind(&self, place: &Place) -> bool {
        self.state.lock().reading.as_ref().is_none_or(|reading| reading.at.has_reached(place))
    }
}
