//! Fixes: where a phone says that it is, by three clocks, and how far that is believed.

use std::collections::BTreeSet;
use std::time::Duration;

use trunkline_model::Timestamp;

use crate::Position;

/// How far a phone's clock may be ahead of ours.
const CLOCK_SLACK: Duration = Duration::from_mins(1);
/// Nobody drives faster, in metres a second.
const MAX_SPEED: f64 = 70.0;
/// Farther off than this a fix says nothing about a stop.
const MAX_ACCURACY_M: f64 = 200.0;
/// What is assumed when a phone does not say how exact it is.
const USUAL_ACCURACY_M: f64 = 25.0;
/// How many fixes in a row must agree on another place before it is believed that the driver is there.
const AGREEING: usize = 3;

/// What a phone sends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// Latitude in degrees, whatever was sent.
    pub lat: f64,
    /// Longitude in degrees, whatever was sent.
    pub lon: f64,
    /// Radius in metres within which the phone says that it is.
    pub accuracy_m: Option<f64>,
    /// When, by the phone's clock.
    pub device_at: Timestamp,
    /// When it reached the hub.
    pub received_at: Timestamp,
    /// When the hub stored it.
    pub stored_at: Timestamp,
}

/// Why a fix is not believed as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// The coordinates are no place on the earth, or 0, 0, which means that the phone knows nothing.
    ImpossibleCoordinates,
    /// The phone's clock is ahead of ours; the time of receipt counts.
    FutureClock,
    /// Nobody gets there from the last place in that time.
    Jump,
    /// It is too inexact to say anything about a stop.
    Inexact,
    /// It came after later ones were settled.
    Late,
}

impl Mark {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::ImpossibleCoordinates, Self::FutureClock, Self::Jump, Self::Inexact, Self::Late];

    /// Reads the word for it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mark| mark.as_str() == text)
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ImpossibleCoordinates => "impossible_coordinates",
            Self::FutureClock => "future_clock",
            Self::Jump => "jump",
            Self::Inexact => "inexact",
            Self::Late => "late",
        }
    }
}

/// A fix.
#[derive(Debug, Clone, PartialEq)]
pub struct Fix {
    /// What was sent.
    pub report: Report,
    /// The place, when it is one.
    pub position: Option<Position>,
    /// When the driver was there.
    pub at: Timestamp,
    /// Why it is not believed as it is.
    pub marks: BTreeSet<Mark>,
}

impl Fix {
    /// Looks at what a report shows by itself.
    pub fn new(report: Report) -> Self {
        let mut marks = BTreeSet::new();
        let position = Position::from_degrees(report.lat, report.lon).ok();
        let position = position.filter(|position| (position.lat_e7(), position.lon_e7()) != (0, 0));
        if position.is_none() {
            marks.insert(Mark::ImpossibleCoordinates);
        }
        let is_ahead = report.device_at.since(report.received_at) > CLOCK_SLACK;
        if is_ahead {
            marks.insert(Mark::FutureClock);
        }
        // What is no number says nothing, and is not better than what is far off.
        if report.accuracy_m.is_some_and(|metres| !(0.0..=MAX_ACCURACY_M).contains(&metres)) {
            marks.insert(Mark::Inexact);
        }
        let at = if is_ahead { report.received_at } else { report.device_at };
        Self { report, position, at, marks }
    }

    /// How exact it is, in metres.
    pub fn accuracy_m(&self) -> f64 {
        self.report
            .accuracy_m
            .filter(|metres| metres.is_finite() && *metres >= 0.0)
            .unwrap_or(USUAL_ACCURACY_M)
    }

    /// The place, when it may be used to follow the driver.
    pub fn usable(&self) -> Option<Position> {
        let is_good = ![Mark::Jump, Mark::Inexact, Mark::Late].iter().any(|mark| self.marks.contains(mark));
        self.position.filter(|_| is_good)
    }
}

/// A place and when somebody was there.
pub type Seen = (Position, Timestamp);

/// Marks fixes that nobody can have driven to. Fixes come in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judge {
    /// The last place that was believed.
    pub last: Option<Seen>,
    /// Fixes of another place that agree with each other.
    pub elsewhere: Vec<Seen>,
}

impl Judge {
    /// Whether a fix could follow on the last place, as far as it is known before those in between.
    pub fn believes(&self, fix: &Fix) -> bool {
        let here = fix.usable().map(|position| (position, fix.at));
        here.is_some_and(|here| self.last.is_none_or(|last| is_drivable(last, here, fix.accuracy_m())))
    }

    /// Marks a fix. When enough of them agree on another place, the last one was wrong and the new place is believed.
    pub fn judge(&mut self, fix: &mut Fix) {
        let Some(position) = fix.usable() else { return };
        let here = (position, fix.at);
        let is_reached = self.last.is_none_or(|last| is_drivable(last, here, fix.accuracy_m()));
        if is_reached {
            self.last = Some(here);
            self.elsewhere.clear();
            return;
        }
        let agrees = self.elsewhere.last().is_none_or(|other| is_drivable(*other, here, fix.accuracy_m()));
        if !agrees {
            self.elsewhere.clear();
        }
        self.elsewhere.push(here);
        if self.elsewhere.len() >= AGREEING {
            self.last = Some(here);
            self.elsewhere.clear();
        } else {
            fix.marks.insert(Mark::Jump);
        }
    }
}

fn is_drivable(from: Seen, to: Seen, accuracy_m: f64) -> bool {
    let seconds = to.1.since(from.1).as_secs_f64();
    from.0.distance_m(to.0) <= MAX_SPEED * seconds + 2.0 * accuracy_m + 50.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lat: f64, lon: f64, second: i64) -> Report {
        let at = Timestamp::from_secs(1_800_000_000 + second);
        Report { lat, lon, accuracy_m: Some(10.0), device_at: at, received_at: at, stored_at: at }
    }

    fn marks(fix: &Fix) -> Vec<&'static str> {
        fix.marks.iter().map(|mark| mark.as_str()).collect()
    }

    #[test]
    fn what_cannot_be_is_marked_and_kept() {
        for (lat, lon) in [(91.0, 0.0), (0.0, 181.0), (f64::NAN, 5.0), (0.0, 0.0), (f64::INFINITY, 1.0)] {
            let fix = Fix::new(report(lat, lon, 0));
            assert_eq!((marks(&fix), fix.usable()), (vec!["impossible_coordinates"], None), "{lat} {lon}");
        }
        let mut ahead = report(52.0, 13.0, 0);
        ahead.device_at = ahead.received_at.plus(Duration::from_hours(9));
        let fix = Fix::new(ahead);
        assert_eq!((marks(&fix), fix.at), (vec!["future_clock"], ahead.received_at));
        assert!(fix.usable().is_some(), "the place is good");
        for accuracy in [500.0, -1.0, f64::NAN] {
            let fix = Fix::new(Report { accuracy_m: Some(accuracy), ..report(52.0, 13.0, 0) });
            assert_eq!((marks(&fix), fix.usable()), (vec!["inexact"], None), "{accuracy}");
        }
    }

    #[test]
    fn a_jump_is_marked_until_it_turns_out_to_be_true() {
        let mut judge = Judge::default();
        let mut judged = |lat: f64, second: i64| {
            let mut fix = Fix::new(report(lat, 13.0, second));
            judge.judge(&mut fix);
            marks(&fix).len()
        };
        assert_eq!(judged(52.0, 0), 0);
        assert_eq!(judged(52.001, 30), 0);
        assert_eq!(judged(53.0, 60), 1, "a hundred kilometres in thirty seconds");
        assert_eq!(judged(52.002, 90), 0, "back on the road");
        assert_eq!((judged(54.0, 120), judged(54.001, 150), judged(54.002, 180)), (1, 1, 0));
        assert_eq!(judged(54.003, 210), 0);
    }
}
