//! Working hours: which times of which days count, in a time zone, but for holidays.
//!
//! Times of the day are the zone's own: where a clock is put forward, an hour that does not exist does not count; where it
//! is put back, one that comes twice counts twice.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::ToSpan as _;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use trunkline_model::Timestamp;

/// A day that does not come in so many days never comes: twenty years.
const MAX_DAYS: usize = 366 * 20;
/// The most holidays, and the most spans of a day.
const MAX_HOLIDAYS: usize = 1_000;
const MAX_SPANS: usize = 24;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Working hours.
#[derive(Debug, Clone)]
pub struct Calendar {
    zone: TimeZone,
    /// Spans of each day of the week in order, the end left out; no end is the end of the day.
    hours: [Vec<(Time, Option<Time>)>; 7],
    holidays: BTreeSet<Date>,
}

impl Calendar {
    pub(super) fn empty(zone: TimeZone) -> Self {
        Self { zone, hours: std::array::from_fn(|_| Vec::new()), holidays: BTreeSet::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hours.iter().all(Vec::is_empty)
    }

    /// The days of the week that a text such as `mon-fri` or `sat,sun` means, from Monday as 0.
    pub(super) fn days(text: &str) -> Option<Vec<usize>> {
        let number = |text: &str| DAYS.iter().position(|day| *day == text.trim());
        let mut found = Vec::new();
        for part in text.split(',') {
            match part.split_once('-') {
                None => found.push(number(part)?),
                Some((first, last)) => {
                    let (first, last) = (number(first)?, number(last)?);
                    let last = if last < first { last + 7 } else { last };
                    found.extend((first..=last).map(|day| day % 7));
                }
            }
        }
        Some(found)
    }

    /// Adds hours such as `09:00-17:00` to days of the week; gives whether that is possible.
    pub(super) fn add_hours(&mut self, days: &[usize], text: &str) -> bool {
        let time = |text: &str| -> Option<Time> {
            let (hour, minute) = text.trim().split_once(':')?;
            let number = |text: &str| (text.len() == 2).then(|| text.parse::<i8>().ok()).flatten();
            Time::new(number(hour)?, number(minute)?, 0, 0).ok()
        };
        let Some((first, last)) = text.split_once('-') else { return false };
        let end = if last.trim() == "24:00" { Some(None) } else { time(last).map(Some) };
        let (Some(start), Some(end)) = (time(first), end) else { return false };
        if end.is_some_and(|end| end <= start) {
            return false;
        }
        for day in days {
            let spans = &mut self.hours[*day];
            let place = spans.partition_point(|(other, _)| *other < start);
            let meets_before = place > 0 && spans[place - 1].1.is_none_or(|before_ends| before_ends > start);
            let meets_after = spans.get(place).is_some_and(|(next, _)| end.is_none_or(|end| end > *next));
            if meets_before || meets_after || spans.len() >= MAX_SPANS {
                return false;
            }
            spans.insert(place, (start, end));
        }
        true
    }

    /// Adds a holiday such as `2026-12-25`; gives whether it is one.
    pub(super) fn add_holiday(&mut self, text: &str) -> bool {
        let Ok(date) = text.parse::<Date>() else { return false };
        let has_room = self.holidays.len() < MAX_HOLIDAYS;
        if has_room {
            self.holidays.insert(date);
        }
        has_room
    }

    /// The time at which so much working time has passed since `from`; nothing where there is not enough of it.
    pub(crate) fn after(&self, from: Timestamp, time: Duration) -> Option<Timestamp> {
        let mut left = time;
        for (start, end) in self.spans(from)? {
            let begin = start.max(from);
            let has = end.since(begin);
            if has >= left && (!left.is_zero() || end > begin) {
                return Some(begin.plus(left));
            }
            left -= has.min(left);
        }
        None
    }

    /// How much working time lies between two times.
    pub(crate) fn between(&self, from: Timestamp, until: Timestamp) -> Duration {
        let spans = self.spans(from).into_iter().flatten().take_while(|(start, _)| *start < until);
        spans.map(|(start, end)| end.min(until).since(start.max(from))).sum()
    }

    /// The spans from the day of `from` on.
    fn spans(&self, from: Timestamp) -> Option<impl Iterator<Item = (Timestamp, Timestamp)>> {
        let first = self.zone.to_datetime(jiff::Timestamp::from_microsecond(from.as_micros()).ok()?).date();
        let at = |date: Date, time: Time| -> Option<Timestamp> {
            let zoned = date.to_datetime(time).to_zoned(self.zone.clone()).ok()?;
            Some(Timestamp::from_micros(zoned.timestamp().as_microsecond()))
        };
        let days = first.series(1.day()).take(MAX_DAYS).filter(|date| !self.holidays.contains(date));
        Some(days.flat_map(move |date| {
            let day = date.weekday().to_monday_zero_offset() as usize;
            self.hours[day].iter().filter_map(move |(start, end)| {
                let end = match end {
                    Some(end) => at(date, *end),
                    None => at(date.tomorrow().ok()?, Time::midnight()),
                };
                Some((at(date, *start)?, end?))
            })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn office() -> Calendar {
        let mut calendar = Calendar::empty(TimeZone::get("Europe/Berlin").unwrap());
        let weekdays = Calendar::days("mon-fri").unwrap();
        assert!(calendar.add_hours(&weekdays, "13:00-17:00") && calendar.add_hours(&weekdays, "09:00-12:00"));
        assert!(calendar.add_holiday("2026-12-25"));
        calendar
    }

    fn time(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn only_working_hours_count() {
        let check = |from: &str, hours: u64, expect: &str| {
            let found = office().after(time(from), Duration::from_hours(hours)).unwrap();
            assert_eq!(found.to_rfc3339(), time(expect).to_rfc3339(), "{hours} hours from {from}");
            let back = office().between(time(from), found);
            assert_eq!(back, Duration::from_hours(hours));
        };
        // A Monday; Berlin is an hour ahead.
        check("2026-11-30T08:00:00Z", 2, "2026-11-30T10:00:00Z");
        check("2026-11-30T08:00:00Z", 4, "2026-11-30T13:00:00Z");
        check("2026-11-30T03:00:00Z", 7, "2026-11-30T16:00:00Z");
        check("2026-11-30T20:00:00Z", 1, "2026-12-01T09:00:00Z");
        // Over a holiday and the weekend behind it.
        check("2026-12-24T15:00:00Z", 2, "2026-12-28T09:00:00Z");
        // Over the night in which the clock is put forward.
        check("2026-03-27T15:00:00Z", 2, "2026-03-30T08:00:00Z");
    }

    #[test]
    fn whole_days_have_as_many_hours_as_the_clock_gives_them() {
        let mut all = Calendar::empty(TimeZone::get("Europe/Berlin").unwrap());
        assert!(all.add_hours(&Calendar::days("mon-sun").unwrap(), "00:00-24:00"));
        let found = all.after(time("2026-03-28T23:00:00Z"), Duration::from_hours(23)).unwrap();
        assert_eq!(found, time("2026-03-29T22:00:00Z"));
    }

    #[test]
    fn what_is_no_calendar_is_refused() {
        let mut calendar = office();
        for text in
            ["9-17", "09:00", "17:00-09:00", "25:00-26:00", "11:00-14:00", "16:00-24:00", "09:00-10:00"]
        {
            assert!(!calendar.add_hours(&[0], text), "{text}");
        }
        for text in ["", "mo", "mon-", "mon-x", "mon,,tue"] {
            assert_eq!(Calendar::days(text), None, "{text}");
        }
        assert_eq!(Calendar::days("sat-mon,wed"), Some(vec![5, 6, 0, 2]));
        assert!(!calendar.add_holiday("25.12.2026"));
        assert_eq!(Calendar::empty(TimeZone::UTC).after(time("2026-01-01T00:00:00Z"), Duration::ZERO), None);
    }
}
