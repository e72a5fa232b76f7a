//! Whether a pickup may be at a time: its window against the clinic's opening hours.
//!
//! A window comes as two instants, or as a date with two times on the clinic's wall. A time that the wall's clock jumps
//! over does not exist and is refused; of a time that it shows twice the beginning is the first and the end is the last,
//! so that the window holds whatever the sender meant. The window then has to lie inside one stretch of opening hours. A
//! refusal says why, and when the clinic is open instead.

use std::fmt;
use std::time::Duration;

use jiff::civil::Date;
use serde::Serialize;
use trunkline_model::Timestamp;

use crate::clinic::Clinic;
use crate::hours::DayTime;

/// The longest window.
pub const MAX_WINDOW: Duration = Duration::from_hours(24);
/// How far ahead a window may lie.
pub const MAX_AHEAD: Duration = Duration::from_hours(24 * 366);
const MICROS_PER_MINUTE: i64 = 60_000_000;

/// A window as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestedWindow {
    /// Between two instants.
    Instants {
        /// The beginning.
        from: Timestamp,
        /// The end.
        until: Timestamp,
    },
    /// Between two times of day on the clinic's wall.
    Local {
        /// The date there.
        date: Date,
        /// The beginning.
        from: DayTime,
        /// The end.
        until: DayTime,
    },
}

/// A window that was found good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The beginning.
    pub from: Timestamp,
    /// The end.
    pub until: Timestamp,
    /// The date of the beginning in the clinic's zone.
    pub date: Date,
}

/// Why a window is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// It does not end after it begins.
    Inverted,
    /// It is longer than a day.
    TooLong,
    /// It is over already.
    Past,
    /// It lies further ahead than anybody plans.
    TooFarAhead,
    /// The clinic's clock jumps over its beginning or end on that day.
    ClockJumps,
    /// The clinic is closed on that day of the week.
    Closed,
    /// The day is a holiday of the clinic, without hours.
    Holiday,
    /// The clinic is open on that day, but not during all of the window.
    OutsideHours,
}

impl RefusalReason {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inverted => "inverted",
            Self::TooLong => "too_long",
            Self::Past => "past",
            Self::TooFarAhead => "too_far_ahead",
            Self::ClockJumps => "clock_jumps",
            Self::Closed => "closed",
            Self::Holiday => "holiday",
            Self::OutsideHours => "outside_hours",
        }
    }
}

/// Hours that the clinic is open, as instants with the offset of its zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenSpan {
    /// When it opens.
    pub from: String,
    /// When it closes.
    pub until: String,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct WindowRefused {
    /// Why.
    pub reason: RefusalReason,
    /// The date that was looked at, in the clinic's zone.
    pub date: Date,
    /// The name of the holiday, when the date is one.
    pub holiday: Option<String>,
    /// The clinic's zone.
    pub zone: String,
    /// When the clinic is open on that date.
    pub open: Vec<OpenSpan>,
    /// The same as the clock on the wall shows it, for people.
    hours: String,
}

impl fmt::Display for WindowRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            RefusalReason::Inverted => f.write_str("the window must end after it begins")?,
            RefusalReason::TooLong => f.write_str("the window is longer than 24 hours")?,
            RefusalReason::Past => f.write_str("the window is over already")?,
            RefusalReason::TooFarAhead => f.write_str("the window is more than a year ahead")?,
            RefusalReason::ClockJumps => {
                write!(f, "the clock of {} jumps over this time on {}", self.zone, self.date)?;
            }
            RefusalReason::Closed => write!(f, "the clinic is closed on {}", self.date)?,
            RefusalReason::Holiday => {
                let name = self.holiday.as_deref().unwrap_or_default();
                write!(f, "the clinic is closed on {}: {name}", self.date)?;
            }
            RefusalReason::OutsideHours => {
                write!(f, "the window is not inside the opening hours of {}", self.date)?;
            }
        }
        if self.hours.is_empty() { Ok(()) } else { write!(f, "; open {} ({})", self.hours, self.zone) }
    }
}

impl Clinic {
    /// Finds a window good, or says why not.
    pub fn check_window(&self, asked: RequestedWindow, now: Timestamp) -> Result<Window, WindowRefused> {
        let (from, until) = match asked {
            RequestedWindow::Instants { from, until } => (from, until),
            RequestedWindow::Local { date, from, until } => self.instants(date, from, until)?,
        };
        let date = self.zone.date_at(from);
        let refused = |reason| Err(self.refusal(reason, date));
        if from >= until {
            return refused(RefusalReason::Inverted);
        }
        if until.since(from) > MAX_WINDOW {
            return refused(RefusalReason::TooLong);
        }
        if until <= now {
            return refused(RefusalReason::Past);
        }
        if from.since(now) > MAX_AHEAD {
            return refused(RefusalReason::TooFarAhead);
        }
        let open = self.open_between(date, self.zone.date_at(until));
        if open.iter().any(|(opens, closes)| *opens <= from && until <= *closes) {
            return Ok(Window { from, until, date });
        }
        if !self.hours_on(date).is_empty() {
            refused(RefusalReason::OutsideHours)
        } else if self.holiday(date).is_some() {
            refused(RefusalReason::Holiday)
        } else {
            refused(RefusalReason::Closed)
        }
    }

    /// The instants that two times on the wall mean.
    fn instants(
        &self,
        date: Date,
        from: DayTime,
        until: DayTime,
    ) -> Result<(Timestamp, Timestamp), WindowRefused> {
        if from >= until {
            return Err(self.refusal(RefusalReason::Inverted, date));
        }
        let micros = |time: DayTime| time.minutes() * MICROS_PER_MINUTE;
        // The minute that begins at the one, and the one that ends at the other: midnight ends a day.
        let first = self.zone.shown(date, micros(from), micros(from) + MICROS_PER_MINUTE);
        let last = self.zone.shown(date, micros(until) - MICROS_PER_MINUTE, micros(until));
        match (first.first(), last.last()) {
            (Some((from, _)), Some((_, until))) => Ok((*from, *until)),
            _ => Err(self.refusal(RefusalReason::ClockJumps, date)),
        }
    }

    /// The times that the clock on the wall shows at the ends of a window; `None` where they are not two times of one day.
    pub fn wall_times(&self, window: &Window) -> Option<(DayTime, DayTime)> {
        let minute = |at: Timestamp| {
            let (date, micros) = self.zone.wall(at);
            (micros % MICROS_PER_MINUTE == 0).then_some((date, micros / MICROS_PER_MINUTE))
        };
        let (first, from) = minute(window.from)?;
        let (last, until) = minute(window.until)?;
        let until = if last == first.tomorrow().ok()? && until == 0 { 24 * 60 } else { until };
        let is_one_day = last == first || until == 24 * 60;
        let (from, until) = DayTime::from_minutes(from).zip(DayTime::from_minutes(until))?;
        (is_one_day && from < until).then_some((from, until))
    }

    fn refusal(&self, reason: RefusalReason, date: Date) -> WindowRefused {
        let show = |(from, until): &(Timestamp, Timestamp)| OpenSpan {
            from: self.zone.show(*from),
            until: self.zone.show(*until),
        };
        let hours: Vec<String> = self.hours_on(date).iter().map(ToString::to_string).collect();
        WindowRefused {
            reason,
            date,
            holiday: self.holiday(date).map(|holiday| holiday.name.clone()),
            zone: self.zone.name().to_owned(),
            open: self.open_on(date).iter().map(show).collect(),
            hours: hours.join(" and "),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;
    use crate::clinic::Holiday;
    use crate::clinic::tests::{clinic, hours};

    fn time(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn day_time(text: &str) -> DayTime {
        DayTime::parse(text).unwrap()
    }

    fn local(date: Date, from: &str, until: &str) -> RequestedWindow {
        RequestedWindow::Local { date, from: day_time(from), until: day_time(until) }
    }

    fn reason(clinic: &Clinic, asked: RequestedWindow) -> RefusalReason {
        clinic.check_window(asked, time("2026-01-01T00:00:00Z")).unwrap_err().reason
    }

    #[test]
    fn windows_are_held_against_the_hours_of_the_clinic() {
        let mut berlin = clinic("Europe/Berlin");
        berlin.holidays =
            vec![Holiday { date: date(2026, 5, 1), name: "Labour Day".to_owned(), hours: vec![] }];
        let now = time("2026-01-01T00:00:00Z");
        let good = berlin.check_window(local(date(2026, 3, 27), "08:00", "12:00"), now).unwrap();
        assert_eq!((good.from, good.until), (time("2026-03-27T07:00:00Z"), time("2026-03-27T11:00:00Z")));
        let summer = berlin.check_window(local(date(2026, 3, 30), "08:00", "12:00"), now).unwrap();
        assert_eq!(summer.from, time("2026-03-30T06:00:00Z"), "an hour earlier by UTC");
        let same = RequestedWindow::Instants { from: time("2026-03-30T02:00:00-04:00"), until: summer.until };
        assert_eq!(berlin.check_window(same, now).unwrap(), summer);

        let outside = berlin.check_window(local(date(2026, 3, 30), "11:00", "13:30"), now).unwrap_err();
        assert_eq!(outside.reason, RefusalReason::OutsideHours);
        assert_eq!(
            outside.to_string(),
            "the window is not inside the opening hours of 2026-03-30; open 08:00–12:00 and 13:00–17:00 (Europe/Berlin)"
        );
        assert_eq!(outside.open[1].from, "2026-03-30T13:00:00+02:00");
        let holiday = berlin.check_window(local(date(2026, 5, 1), "09:00", "10:00"), now).unwrap_err();
        assert_eq!(holiday.to_string(), "the clinic is closed on 2026-05-01: Labour Day");
        assert_eq!(reason(&berlin, local(date(2026, 3, 29), "09:00", "10:00")), RefusalReason::Closed);
        assert_eq!(reason(&berlin, local(date(2026, 3, 30), "10:00", "10:00")), RefusalReason::Inverted);
        assert_eq!(reason(&berlin, local(date(2025, 12, 30), "09:00", "10:00")), RefusalReason::Past);
        assert_eq!(reason(&berlin, local(date(2028, 3, 30), "09:00", "10:00")), RefusalReason::TooFarAhead);
        let long = RequestedWindow::Instants { from: summer.from, until: summer.from.plus(MAX_WINDOW * 2) };
        assert_eq!(reason(&berlin, long), RefusalReason::TooLong);
    }

    #[test]
    fn the_clock_jumps_and_repeats() {
        let mut berlin = clinic("Europe/Berlin");
        berlin.hours.sunday = hours(r#"[{"from":"00:00","until":"24:00"}]"#);
        let (spring, autumn) = (date(2026, 3, 29), date(2026, 10, 25));
        assert_eq!(reason(&berlin, local(spring, "02:15", "04:00")), RefusalReason::ClockJumps);
        assert_eq!(reason(&berlin, local(spring, "01:00", "02:30")), RefusalReason::ClockJumps);
        let now = time("2026-01-01T00:00:00Z");
        let across = berlin.check_window(local(spring, "01:00", "03:30"), now).unwrap();
        assert_eq!(across.until.since(across.from), Duration::from_mins(90));
        let twice = berlin.check_window(local(autumn, "02:15", "02:45"), now).unwrap();
        assert_eq!((twice.from, twice.until), (time("2026-10-25T00:15:00Z"), time("2026-10-25T01:45:00Z")));
        let times =
            |window: &Window| berlin.wall_times(window).map(|(from, until)| format!("{from} {until}"));
        assert_eq!(times(&across).as_deref(), Some("01:00 03:30"));
        assert_eq!(times(&Window { until: now, ..across }), None);
        let night = berlin.check_window(local(autumn, "23:00", "24:00"), now).unwrap();
        assert_eq!(night.until, time("2026-10-25T23:00:00Z"));
        assert_eq!(times(&night).as_deref(), Some("23:00 24:00"));
        berlin.hours.sunday = hours(r#"[{"from":"02:00","until":"02:40"}]"#);
        // Open twice, and closed in between.
        assert_eq!(reason(&berlin, local(autumn, "02:00", "02:30")), RefusalReason::OutsideHours);
        let first = RequestedWindow::Instants {
            from: time("2026-10-25T02:00:00+02:00"),
            until: time("2026-10-25T02:30:00+02:00"),
        };
        assert!(berlin.check_window(first, now).is_ok());
    }

    proptest! {
        #[test]
        fn a_good_window_shows_open_hours_at_each_of_its_minutes(
            zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia",
                "America/Sao_Paulo", "Asia/Kathmandu", "UTC"]),
            day in 0_i32..800, from in 0_i64..1440, length in 1_i64..600, opens in 0_i64..1440, stays in 1_i64..1440,
        ) {
            let mut clinic = clinic(zone);
            let closes = (opens + stays).min(1440);
            let span = hours(&serde_json::json!([{
                "from": DayTime::from_minutes(opens).unwrap(), "until": DayTime::from_minutes(closes).unwrap(),
            }]).to_string());
            for day in [&mut clinic.hours.monday, &mut clinic.hours.tuesday, &mut clinic.hours.wednesday,
                &mut clinic.hours.thursday, &mut clinic.hours.friday, &mut clinic.hours.saturday,
                &mut clinic.hours.sunday] {
                day.clone_from(&span);
            }
            let date = date(2010, 1, 1).checked_add(jiff::Span::new().days(day)).unwrap();
            let until = (from + length).min(1440);
            let asked = RequestedWindow::Local {
                date, from: DayTime::from_minutes(from).unwrap(), until: DayTime::from_minutes(until).unwrap(),
            };
            if let Ok(window) = clinic.check_window(asked, time("2010-01-01T00:00:00Z").minus(MAX_WINDOW)) {
                let zone = jiff::tz::TimeZone::get(zone).unwrap();
                let mut at = window.from;
                while at < window.until {
                    let local = zone.to_datetime(jiff::Timestamp::from_microsecond(at.as_micros()).unwrap());
                    let minute = i64::from(local.hour()) * 60 + i64::from(local.minute());
                    let is_open = (opens..closes).contains(&minute);
                    prop_assert!(is_open, "{} is closed", local);
                    at = at.plus(Duration::from_mins(1));
                }
            }
        }
    }
}
