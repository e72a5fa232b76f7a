//! Puts fixes back into the order of their time, as far as that is worth waiting for.
//!
//! A fix is settled when a later one is [`WINDOW`] ahead of it, or when too many wait. One that comes after later ones
//! were settled is marked and settled at once; one that is there already is dropped.

use std::collections::BTreeMap;
use std::time::Duration;

use trunkline_model::Timestamp;

use super::fix::{Fix, Mark, Seen};
use crate::Position;

/// How long a fix waits for earlier ones, by the time of the fixes.
pub const WINDOW: Duration = Duration::from_mins(2);
/// How many fixes wait at most.
pub const CAPACITY: usize = 64;

/// What identifies a fix: its time and its coordinates, bit by bit.
type Key = (Timestamp, u64, u64);

/// Fixes of one driver that wait.
#[derive(Debug, Default)]
pub struct Reorder {
    waiting: BTreeMap<Key, Fix>,
    settled: Option<Key>,
}

fn key(fix: &Fix) -> Key {
    (fix.at, fix.report.lat.to_bits(), fix.report.lon.to_bits())
}

impl Reorder {
    /// Goes on where another left off: behind what was settled last, with what waits.
    pub fn resume(settled: Option<Seen>, waiting: impl IntoIterator<Item = Fix>) -> Self {
        let settled = settled.map(|(place, at)| (at, place.lat().to_bits(), place.lon().to_bits()));
        Self { settled, waiting: waiting.into_iter().map(|fix| (key(&fix), fix)).collect() }
    }

    /// What was settled last, where that is a place.
    pub fn settled(&self) -> Option<Seen> {
        let (at, lat, lon) = self.settled?;
        let place = Position::from_degrees(f64::from_bits(lat), f64::from_bits(lon)).ok()?;
        Some((place, at))
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a fix waits already, or was settled just now.
    pub fn knows(&self, fix: &Fix) -> bool {
        let key = key(fix);
        self.settled == Some(key) || self.waiting.contains_key(&key)
    }

    /// Takes a fix; gives those that are settled by it, in order, and itself when it is late.
    pub fn push(&mut self, mut fix: Fix) -> Vec<Fix> {
        let key = key(&fix);
        match self.settled {
            Some(settled) if key == settled => return Vec::new(),
            Some(settled) if key < settled => {
                fix.marks.insert(Mark::Late);
                return vec![fix];
            }
            _ => {}
        }
        self.waiting.entry(key).or_insert(fix);
        let newest = self.waiting.last_key_value().map_or(key.0, |(newest, _)| newest.0);
        let mut settled = Vec::new();
        while let Some(first) = self.waiting.first_entry() {
            let is_old = newest.since(first.key().0) >= WINDOW;
            if !is_old && self.waiting.len() <= CAPACITY {
                break;
            }
            settled.extend(self.settle_first());
        }
        settled
    }

    /// Gives all that wait, in order.
    pub fn flush(&mut self) -> Vec<Fix> {
        let mut settled = Vec::new();
        while let Some(fix) = self.settle_first() {
            settled.push(fix);
        }
        settled
    }

    fn settle_first(&mut self) -> Option<Fix> {
        let (key, fix) = self.waiting.pop_first()?;
        self.settled = Some(key);
        Some(fix)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fix::Report;
    use super::*;

    fn fix(second: i64) -> Fix {
        let at = Timestamp::from_secs(1_800_000_000 + second);
        let received_at = at.plus(Duration::from_hours(1));
        Fix::new(Report {
            lat: 52.0,
            lon: 13.0,
            accuracy_m: None,
            device_at: at,
            received_at,
            stored_at: received_at,
        })
    }

    proptest! {
        #[test]
        fn fixes_come_out_in_order_each_once(seconds in prop::collection::vec(0_i64..2_000, 1..300)) {
            let mut reorder = Reorder::default();
            let mut out = Vec::new();
            for second in &seconds {
                out.extend(reorder.push(fix(*second)));
                prop_assert!(reorder.waiting.len() <= CAPACITY);
            }
            out.extend(reorder.flush());
            let in_order: Vec<_> = out.iter().filter(|fix| !fix.marks.contains(&Mark::Late)).map(|fix| fix.at).collect();
            prop_assert!(in_order.windows(2).all(|pair| pair[0] < pair[1]));
            let mut all: Vec<_> = out.iter().map(|fix| fix.at).collect();
            all.sort();
            all.dedup();
            let mut expected: Vec<_> = seconds.iter().map(|second| fix(*second).at).collect();
            expected.sort();
            expected.dedup();
            prop_assert_eq!(all, expected, "nothing is lost");
        }
    }
}
