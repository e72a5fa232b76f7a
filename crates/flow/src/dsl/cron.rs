//! Cron expressions of five fields in a time zone (rule 19).
//!
//! Each field is `*`, a number, a range, a list of these, each with an optional step; months and days of the week may
//! be named, Sunday is 0 and 7. When both days are restricted, either is enough, as in cron. A local time that does
//! not exist, because the clock is put forward, fires later by as much; one that comes twice fires the first time.

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use trunkline_model::Timestamp;

/// When a schedule fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether both kinds of days are restricted, so that either is enough.
    either_day: bool,
}

/// Why a text is no cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCron {
    /// Not five fields.
    #[error("a cron expression has five fields: minute, hour, day, month, day of week")]
    Fields,
    /// One field is wrong.
    #[error("`{0}` is no {1}")]
    Field(String, &'static str),
    /// No date ever fits, such as 30 February.
    #[error("no date ever fits")]
    Never,
}

struct FieldKind {
    what: &'static str,
    least: u8,
    most: u8,
    names: &'static [&'static str],
}

const FIELDS: [FieldKind; 5] = [
    FieldKind { what: "minute", least: 0, most: 59, names: &[] },
    FieldKind { what: "hour", least: 0, most: 23, names: &[] },
    FieldKind { what: "day of the month", least: 1, most: 31, names: &[] },
    FieldKind {
        what: "month",
        least: 1,
        most: 12,
        names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    FieldKind {
        what: "day of the week",
        least: 0,
        most: 7,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

/// The longest gap between two 29 February, with a leap year left out, in days.
const MAX_DAYS: usize = 8 * 366 + 1;

impl Cron {
    /// Parses five fields, or one of `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, InvalidCron> {
        let text = match text.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            other => other,
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else { return Err(InvalidCron::Fields) };
        let set = |index: usize, text: &str| parse_field(text, &FIELDS[index]);
        let mut week = set(4, weekdays)?;
        if week & (1 << 7) != 0 {
            week |= 1;
        }
        let cron = Self {
            minutes: set(0, minutes)?,
            hours: set(1, hours)?,
            days: set(2, days)?,
            months: set(3, months)?,
            weekdays: week,
            either_day: !days.starts_with('*') && !weekdays.starts_with('*'),
        };
        let start = jiff::civil::date(2000, 1, 1);
        if cron.dates_from(start).next().is_none() {
            return Err(InvalidCron::Never);
        }
        Ok(cron)
    }

    /// The first time after `after`; `None` at the end of the calendar.
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let after = jiff::Timestamp::from_microsecond(after.as_micros()).ok()?;
        let local = zone.to_datetime(after);
        for date in self.dates_from(local.date()) {
            // A local time in a gap is moved by the gap's length, one that comes twice is the first. Moved times can
            // overtake later ones, hence the smallest.
            let times = self.times_of(date);
            let found = times.filter_map(|time| zone.to_ambiguous_timestamp(time).compatible().ok());
            if let Some(next) = found.filter(|time| *time > after).min() {
                return Some(Timestamp::from_micros(next.as_microsecond()));
            }
        }
        None
    }

    fn dates_from(&self, first: Date) -> impl Iterator<Item = Date> {
        first.series(1.day()).take(MAX_DAYS).filter(|date| self.fits(*date))
    }

    fn fits(&self, date: Date) -> bool {
        let holds = |set: u64, number: i8| set & (1 << number) != 0;
        let day = holds(self.days, date.day());
        let weekday = holds(self.weekdays, date.weekday().to_sunday_zero_offset());
        holds(self.months, date.month()) && if self.either_day { day || weekday } else { day && weekday }
    }

    fn times_of(&self, date: Date) -> impl Iterator<Item = DateTime> {
        let hours = (0..24_i8).filter(|hour| self.hours & (1 << hour) != 0);
        hours.flat_map(move |hour| {
            let minutes = (0..60_i8).filter(|minute| self.minutes & (1 << minute) != 0);
            minutes.map(move |minute| date.at(hour, minute, 0, 0))
        })
    }
}

fn parse_field(text: &str, kind: &FieldKind) -> Result<u64, InvalidCron> {
    let wrong = || InvalidCron::Field(text.chars().take(40).collect(), kind.what);
    let mut set = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                (range, Some(step.parse::<u8>().ok().filter(|step| *step > 0).ok_or_else(wrong)?))
            }
            None => (part, None),
        };
        let (first, last) = match (range, range.split_once('-')) {
            ("*", _) => (kind.least, kind.most),
            (_, Some((first, last))) => {
                (number(first, kind).ok_or_else(wrong)?, number(last, kind).ok_or_else(wrong)?)
            }
            (single, None) => {
                let first = number(single, kind).ok_or_else(wrong)?;
                (first, if step.is_some() { kind.most } else { first })
            }
        };
        if first > last {
            return Err(wrong());
        }
        for value in (first..=last).step_by(usize::from(step.unwrap_or(1))) {
            set |= 1 << value;
        }
    }
    Ok(set)
}

fn number(text: &str, kind: &FieldKind) -> Option<u8> {
    let lower = text.to_ascii_lowercase();
    if let Some(index) = kind.names.iter().position(|name| *name == lower) {
        // Months are named from 1, days of the week from 0: both from the least.
        return Some(index as u8 + kind.least);
    }
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|value| is_number && (kind.least..=kind.most).contains(value))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn next(cron: &str, after: &str, zone: &str) -> String {
        let zone = TimeZone::get(zone).unwrap();
        let after = Timestamp::parse_rfc3339(after).unwrap();
        Cron::parse(cron).unwrap().next_after(after, &zone).unwrap().to_rfc3339()
    }

    #[test]
    fn the_next_time_is_found() {
        let check =
            |cron: &str, after: &str, expect: &str| assert_eq!(next(cron, after, "UTC"), expect, "{cron}");
        check("0 0 * * *", "2026-01-15T00:00:00Z", "2026-01-16T00:00:00Z");
        check("*/15 * * * *", "2026-01-15T10:07:30Z", "2026-01-15T10:15:00Z");
        check("5/20 9-17 * * mon-fri", "2026-01-16T17:50:00Z", "2026-01-19T09:05:00Z");
        check("0 12 1 * *", "2026-01-15T00:00:00Z", "2026-02-01T12:00:00Z");
        check("0 0 29 feb *", "2026-01-15T00:00:00Z", "2028-02-29T00:00:00Z");
        check("0 0 13 * 5", "2026-01-15T00:00:00Z", "2026-01-16T00:00:00Z");
        check("0 0 * * 7", "2026-01-15T00:00:00Z", "2026-01-18T00:00:00Z");
        check("@weekly", "2026-01-15T00:00:00Z", "2026-01-18T00:00:00Z");
        check("30 6,18 * * *", "2026-01-15T06:30:00Z", "2026-01-15T18:30:00Z");
    }

    #[test]
    fn a_time_zone_puts_its_clock_forward_and_back() {
        let check = |cron: &str, after: &str, expect: &str| {
            assert_eq!(next(cron, after, "Europe/Berlin"), expect, "{cron} {after}");
        };
        check("0 9 * * *", "2026-01-15T12:00:00Z", "2026-01-16T08:00:00Z");
        check("0 9 * * *", "2026-07-15T12:00:00Z", "2026-07-16T07:00:00Z");
        // 02:30 does not exist on 29 March 2026, and comes twice on 25 October.
        check("30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z");
        check("30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z");
        check("30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z");
    }

    proptest! {
        /// Held against the plainest way to find the next time: to try every minute. Not in the hours in which clocks
        /// change, which have a test of their own.
        #[test]
        fn the_next_time_is_the_first_minute_that_fits(
            minute in 0..60_i8, hour in 4..24_i8, weekday in 0..7_i8, start in 0..2_000_000_i64,
        ) {
            let zone = TimeZone::get("America/New_York").unwrap();
            let cron = Cron::parse(&format!("{minute},59 {hour} * * {weekday}")).unwrap();
            // Minutes from 1 January 2026; four years of them.
            let start = Timestamp::from_secs(1_767_225_600 + start * 60);
            let found = cron.next_after(start, &zone).unwrap();
            let fits = |at: Timestamp| {
                let local = zone.to_datetime(jiff::Timestamp::from_microsecond(at.as_micros()).unwrap());
                local.hour() == hour
                    && [minute, 59].contains(&local.minute())
                    && local.weekday().to_sunday_zero_offset() == weekday
            };
            let first = (1..=8 * 24 * 60).map(|n| start.plus(Duration::from_secs(n * 60))).find(|at| fits(*at));
            prop_assert_eq!(first, Some(found));
        }
    }

    #[test]
    fn what_is_no_cron_expression_is_refused() {
        for text in
            ["", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8"]
        {
            assert!(Cron::parse(text).is_err(), "{text}");
        }
        for text in [
            "5-1 * * * *",
            "*/0 * * * *",
            "a * * * *",
            "1, * * * *",
            "+1 * * * *",
            "1--2 * * * *",
            "* * * foo *",
        ] {
            assert!(Cron::parse(text).is_err(), "{text}");
        }
        assert_eq!(Cron::parse("0 0 30 2 *"), Err(InvalidCron::Never));
    }
}
