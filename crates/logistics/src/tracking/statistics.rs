//! Figures of one driver: distance, stops, punctuality, speed, how long stops take.

use std::time::Duration;

use trunkline_model::Timestamp;

use super::fence::FenceEvent;
use super::fix::Fix;
use crate::Position;

/// Fixes further apart in time say nothing about the way between them.
const GAP: Duration = Duration::from_mins(10);

/// Figures of one driver; begins at nought.
#[derive(Debug, Clone, Default)]
pub struct DriverStatistics {
    /// The place that the way is counted from, and when the last fix was.
    last: Option<(Position, Timestamp)>,
    distance_m: f64,
    moving: Duration,
    n_stops: u64,
    n_left: u64,
    stayed: Duration,
    n_judged: u64,
    n_on_time: u64,
}

impl DriverStatistics {
    /// Takes a fix. Fixes come in order; what trembles in one place is no way, and a way is counted once it is longer than
    /// two fixes of that exactness can seem to be apart.
    pub fn note_fix(&mut self, fix: &Fix) {
        let Some(position) = fix.usable() else { return };
        let Some((from, since)) = self.last else {
            self.last = Some((position, fix.at));
            return;
        };
        let (way, took) = (from.distance_m(position), fix.at.since(since));
        let has_moved = way > 2.0 * fix.accuracy_m();
        if has_moved && took <= GAP {
            self.distance_m += way;
            self.moving += took;
        }
        let place = if has_moved || took > GAP { position } else { from };
        self.last = Some((place, fix.at));
    }

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

    /// How far, in metres.
    pub fn distance_m(&self) -> f64 {
        self.distance_m
    }

    /// How many stops.
    pub fn n_stops(&self) -> u64 {
        self.n_stops
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
