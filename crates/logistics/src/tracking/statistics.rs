//! Figures of one driver: distance, stops, punctuality, speed, how long stops take.

use std::time::Duration;

use trunkline_model::Timestamp;

use super::fence::FenceEvent;
use super::fix::{Fix, Seen};

/// Fixes further apart in time say nothing about the way between them.
const GAP: Duration = Duration::from_mins(10);

/// Sums of what a driver did.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures {
    /// How far, in metres.
    pub distance_m: f64,
    /// How long that took.
    pub moving: Duration,
    /// How many stops.
    pub n_stops: u64,
    /// How many of them were left again.
    pub n_left: u64,
    /// How long the driver stayed at those.
    pub stayed: Duration,
    /// Arrivals for which a time was promised.
    pub n_judged: u64,
    /// Those of them that were in time.
    pub n_on_time: u64,
}

impl Figures {
    /// Takes what happened at a fence.
    pub fn note_event(&mut self, event: &FenceEvent) {
        match event {
            FenceEvent::Arrived { .. } => self.n_stops += 1,
            FenceEvent::Left { stayed, .. } => {
                self.n_left += 1;
                self.stayed += *stayed;
            }
            FenceEvent::Passed { .. } => {}
        }
    }

    /// Takes whether an arrival was in time for what was promised there.
    pub fn note_punctuality(&mut self, arrived_at: Timestamp, promised_until: Timestamp) {
        self.n_judged += 1;
        self.n_on_time += u64::from(arrived_at <= promised_until);
    }

    /// Adds those of another stretch.
    pub fn add(&mut self, other: &Self) {
        self.distance_m += other.distance_m;
        self.moving += other.moving;
        self.n_stops += other.n_stops;
        self.n_left += other.n_left;
        self.stayed += other.stayed;
        self.n_judged += other.n_judged;
        self.n_on_time += other.n_on_time;
    }

    /// The part of arrivals that were in time; `None` when none was judged.
    pub fn on_time_rate(&self) -> Option<f64> {
        (self.n_judged > 0).then(|| self.n_on_time as f64 / self.n_judged as f64)
    }

    /// Metres a second while moving; `None` when the driver did not move.
    pub fn average_speed(&self) -> Option<f64> {
        (!self.moving.is_zero()).then(|| self.distance_m / self.moving.as_secs_f64())
    }

    /// How long a stop took on average; `None` when none was left.
    pub fn average_dwell(&self) -> Option<Duration> {
        (self.n_left > 0).then(|| self.stayed / u32::try_from(self.n_left).unwrap_or(u32::MAX))
    }
}

/// Measures the way of one driver.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Odometer {
    /// The place that the way is counted from, and when the last fix was.
    pub last: Option<Seen>,
}

impl Odometer {
    /// Takes a fix. Fixes come in order; what trembles in one place is no way, and a way is counted once it is longer than
    /// two fixes of that exactness can seem to be apart.
    pub fn note_fix(&mut self, fix: &Fix, figures: &mut Figures) {
        let Some(position) = fix.usable() else { return };
        let Some((from, since)) = self.last else {
            self.last = Some((position, fix.at));
            return;
        };
        let (way, took) = (from.distance_m(position), fix.at.since(since));
        let has_moved = way > 2.0 * fix.accuracy_m();
        if has_moved && took <= GAP {
            figures.distance_m += way;
            figures.moving += took;
        }
        let place = if has_moved || took > GAP { position } else { from };
        self.last = Some((place, fix.at));
    }
}
