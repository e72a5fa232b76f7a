//! Clinics: who they are, where they are, and when they are open by the clock on their wall.
//!
//! Opening hours are times of day in the clinic's zone; what happens with the clock is settled here and nowhere else. A
//! day is cut at the changes of the zone's offset, and in each piece the hours are where that piece's clock shows them. So
//! a clinic that opens at 02:30 on the day whose clock jumps from 02:00 to 03:00 opens at 03:00, and hours that the clock
//! shows twice are open twice.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use trunkline_model::{FieldError, Timestamp};

use crate::hours::{OpenHours, OpeningHours, check_day};
use crate::position::Position;

/// The most holidays of one clinic.
pub const MAX_HOLIDAYS: usize = 400;
const MICROS_PER_MINUTE: i64 = 60_000_000;
const MICROS_PER_DAY: i64 = 24 * 60 * MICROS_PER_MINUTE;

/// A time zone of the IANA database.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

/// A text that names no time zone.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("not a time zone of the IANA database such as Europe/Berlin")]
pub struct UnknownZone;

impl Zone {
    /// Looks a zone up by its name.
    pub fn parse(name: &str) -> Result<Self, UnknownZone> {
        let is_name = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'+'));
        if !is_name {
            return Err(UnknownZone);
        }
        let zone = TimeZone::get(name).map_err(|_| UnknownZone)?;
        Ok(Self { name: zone.iana_name().unwrap_or(name).to_owned(), zone })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The date on the wall at a time.
    pub fn date_at(&self, at: Timestamp) -> Date {
        self.zone.to_datetime(to_jiff(at)).date()
    }

    /// The date on the wall at a time, and the time of day there in microseconds since midnight.
    pub(crate) fn wall(&self, at: Timestamp) -> (Date, i64) {
        let local = self.zone.to_datetime(to_jiff(at));
        let seconds =
            i64::from(local.hour()) * 3600 + i64::from(local.minute()) * 60 + i64::from(local.second());
        (local.date(), seconds * 1_000_000 + i64::from(local.subsec_nanosecond()) / 1_000)
    }

    /// A time with the zone's offset, as RFC 3339.
    pub fn show(&self, at: Timestamp) -> String {
        let at = to_jiff(at);
        at.display_with_offset(self.zone.to_offset(at)).to_string()
    }

    /// The first instant of a date.
    pub fn start_of(&self, date: Date) -> Timestamp {
        let pieces = self.pieces(date);
        let starts =
            pieces.iter().filter_map(|piece| piece.cut(midnight(date), midnight(date) + MICROS_PER_DAY));
        Timestamp::from_micros(starts.map(|(from, _)| from).min().unwrap_or_else(|| midnight(date)))
    }

    /// Each stretch of time during which the clock on the wall shows a time from `from` until `until` of a date, the two
    /// given in microseconds since its midnight. None where the clock jumps over all of it.
    pub(crate) fn shown(&self, date: Date, from: i64, until: i64) -> Vec<(Timestamp, Timestamp)> {
        let base = midnight(date);
        let cut: Vec<(i64, i64)> =
            self.pieces(date).iter().filter_map(|piece| piece.cut(base + from, base + until)).collect();
        joined(cut)
    }

    /// The pieces of constant offset around a date.
    fn pieces(&self, date: Date) -> Vec<Piece> {
        // Offsets are within 26 hours of UTC.
        let (begin, end) = (midnight(date) - 2 * MICROS_PER_DAY, midnight(date) + 3 * MICROS_PER_DAY);
        let first = to_jiff(Timestamp::from_micros(begin));
        let mut pieces = Vec::new();
        let mut piece = Piece { from: begin, until: end, offset: offset_micros(self.zone.to_offset(first)) };
        for change in self.zone.following(first) {
            let at = change.timestamp().as_microsecond();
            if at >= end {
                break;
            }
            let next = Piece { from: at, until: end, offset: offset_micros(change.offset()) };
            pieces.push(Piece { until: at, ..piece });
            piece = next;
        }
        pieces.push(piece);
        pieces
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name)
    }
}

/// A stretch of time with one offset, in microseconds of UTC.
#[derive(Debug, Clone, Copy)]
struct Piece {
    from: i64,
    until: i64,
    offset: i64,
}

impl Piece {
    /// The part of the piece whose local time is between the two, which are local microseconds.
    fn cut(&self, local_from: i64, local_until: i64) -> Option<(i64, i64)> {
        let from = (local_from - self.offset).max(self.from);
        let until = (local_until - self.offset).min(self.until);
        (from < until).then_some((from, until))
    }
}

/// Joins stretches that touch. They are in order.
fn joined(stretches: impl IntoIterator<Item = (i64, i64)>) -> Vec<(Timestamp, Timestamp)> {
    let mut all: Vec<(i64, i64)> = Vec::new();
    for (from, until) in stretches {
        match all.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(until),
            _ => all.push((from, until)),
        }
    }
    all.into_iter()
        .map(|(from, until)| (Timestamp::from_micros(from), Timestamp::from_micros(until)))
        .collect()
}

/// A date's midnight as if its clock were UTC.
fn midnight(date: Date) -> i64 {
    date.to_zoned(TimeZone::UTC).map_or(0, |zoned| zoned.timestamp().as_microsecond())
}

fn offset_micros(offset: jiff::tz::Offset) -> i64 {
    i64::from(offset.seconds()) * 1_000_000
}

fn to_jiff(at: Timestamp) -> jiff::Timestamp {
    let bound =
        |at: i64| at.clamp(jiff::Timestamp::MIN.as_microsecond(), jiff::Timestamp::MAX.as_microsecond());
    jiff::Timestamp::from_microsecond(bound(at.as_micros())).unwrap_or_default()
}

/// A day with hours of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holiday {
    /// The date in the clinic's zone.
    #[serde(with = "crate::calendar")]
    pub date: Date,
    /// What people call it.
    pub name: String,
    /// When it is open all the same; usually not at all.
    #[serde(default)]
    pub hours: Vec<OpenHours>,
}

/// A clinic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clinic {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Where it is, when that is known.
    pub position: Option<Position>,
    /// Whose clock its hours go by.
    pub zone: Zone,
    /// When it is open.
    pub hours: OpeningHours,
    /// Days with hours of their own.
    pub holidays: Vec<Holiday>,
}

impl Clinic {
    /// The holiday on a date.
    pub fn holiday(&self, date: Date) -> Option<&Holiday> {
        self.holidays.iter().find(|holiday| holiday.date == date)
    }

    /// The hours of a date, as the clock on the wall shows them.
    pub fn hours_on(&self, date: Date) -> &[OpenHours] {
        self.holiday(date).map_or_else(|| self.hours.of(date.weekday()), |holiday| &holiday.hours)
    }

    /// When it is open on a date, in order.
    pub fn open_on(&self, date: Date) -> Vec<(Timestamp, Timestamp)> {
        let micros = |time: crate::DayTime| time.minutes() * MICROS_PER_MINUTE;
        let mut all: Vec<(i64, i64)> = self
            .hours_on(date)
            .iter()
            .flat_map(|span| self.zone.shown(date, micros(span.from), micros(span.until)))
            .map(|(from, until)| (from.as_micros(), until.as_micros()))
            .collect();
        all.sort_unstable();
        joined(all)
    }

    /// When it is open from one date to another, in order; hours that end at midnight and go on there are one.
    pub fn open_between(&self, first: Date, last: Date) -> Vec<(Timestamp, Timestamp)> {
        let mut all = Vec::new();
        let mut date = first;
        while date <= last {
            all.extend(self.open_on(date));
            let Ok(next) = date.tomorrow() else { break };
            date = next;
        }
        joined(all.into_iter().map(|(from, until)| (from.as_micros(), until.as_micros())))
    }

    /// Notes every fault of hours and holidays.
    pub fn check(&self, faults: &mut Vec<FieldError>) {
        for (day, spans) in self.hours.days() {
            if let Err(error) = check_day(spans) {
                faults.push(FieldError::new(format!("/hours/{day}"), "invalid", error.to_string()));
            }
        }
        if self.holidays.len() > MAX_HOLIDAYS {
            let detail = format!("at most {MAX_HOLIDAYS}");
            faults.push(FieldError::new("/holidays", "too_many", detail));
        }
        let mut dates = std::collections::BTreeSet::new();
        for (index, holiday) in self.holidays.iter().enumerate().take(MAX_HOLIDAYS) {
            let mut fault = |name: &str, code: &str, detail: String| {
                faults.push(FieldError::new(format!("/holidays/{index}/{name}"), code, detail));
            };
            if !dates.insert(holiday.date) {
                fault("date", "duplicate", "is there more than once".to_owned());
            }
            if let Err(error) = check_day(&holiday.hours) {
                fault("hours", "invalid", error.to_string());
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use jiff::civil::date;

    use super::*;

    /// A clinic that is open every day from eight to noon and from one to five.
    pub(crate) fn clinic(zone: &str) -> Clinic {
        let day = r#"[{"from":"08:00","until":"12:00"},{"from":"13:00","until":"17:00"}]"#;
        let days: Vec<String> =
            OpeningHours::DAYS[..6].iter().map(|name| format!("\"{name}\":{day}")).collect();
        Clinic {
            id: "smile".to_owned(),
            name: "Smile".to_owned(),
            address: "1 High Street".to_owned(),
            position: None,
            zone: Zone::parse(zone).unwrap(),
            hours: serde_json::from_str(&format!("{{{}}}", days.join(","))).unwrap(),
            holidays: vec![],
        }
    }

    pub(crate) fn hours(text: &str) -> Vec<OpenHours> {
        serde_json::from_str(text).unwrap()
    }

    fn shown(clinic: &Clinic, date: Date) -> Vec<String> {
        let spans = clinic.open_on(date);
        spans
            .iter()
            .map(|(from, until)| format!("{} {}", clinic.zone.show(*from), clinic.zone.show(*until)))
            .collect()
    }

    #[test]
    fn zones_are_looked_up() {
        assert_eq!(Zone::parse("europe/berlin").unwrap().name(), "Europe/Berlin");
        for name in ["", "Mars/Olympus", "../../etc/passwd", "Europe/Ber lin", "Europe/Berlin\0"] {
            assert!(Zone::parse(name).is_err(), "{name}");
        }
        let zone = Zone::parse("Pacific/Kiritimati").unwrap();
        let at = Timestamp::parse_rfc3339("2026-01-01T11:00:00Z").unwrap();
        assert_eq!(zone.date_at(at), date(2026, 1, 2));
        assert_eq!(zone.start_of(date(2026, 1, 2)).to_rfc3339(), "2026-01-01T10:00:00Z");
        // A zone that skipped a whole day, and one whose day begins at one o'clock.
        assert!(Zone::parse("Pacific/Apia").unwrap().shown(date(2011, 12, 30), 0, MICROS_PER_DAY).is_empty());
        let start = Zone::parse("America/Sao_Paulo").unwrap().start_of(date(2017, 10, 15));
        assert_eq!(start.to_rfc3339(), "2017-10-15T03:00:00Z");
    }

    #[test]
    fn hours_follow_the_clock_on_the_wall() {
        let mut berlin = clinic("Europe/Berlin");
        assert_eq!(
            shown(&berlin, date(2026, 3, 28)),
            [
                "2026-03-28T08:00:00+01:00 2026-03-28T12:00:00+01:00",
                "2026-03-28T13:00:00+01:00 2026-03-28T17:00:00+01:00"
            ]
        );
        assert!(shown(&berlin, date(2026, 3, 29)).is_empty(), "a Sunday");
        // The clock jumps from 02:00 to 03:00, and in October back from 03:00 to 02:00.
        berlin.hours.sunday = hours(r#"[{"from":"02:30","until":"04:00"}]"#);
        assert_eq!(
            shown(&berlin, date(2026, 3, 29)),
            ["2026-03-29T03:00:00+02:00 2026-03-29T04:00:00+02:00"]
        );
        assert_eq!(
            shown(&berlin, date(2026, 10, 25)),
            [
                "2026-10-25T02:30:00+02:00 2026-10-25T02:00:00+01:00",
                "2026-10-25T02:30:00+01:00 2026-10-25T04:00:00+01:00"
            ]
        );
        berlin.hours.sunday = hours(r#"[{"from":"02:10","until":"02:50"}]"#);
        assert!(shown(&berlin, date(2026, 3, 29)).is_empty());
        berlin.hours.sunday = hours(r#"[{"from":"00:00","until":"24:00"}]"#);
        assert_eq!(
            shown(&berlin, date(2026, 10, 25)),
            ["2026-10-25T00:00:00+02:00 2026-10-26T00:00:00+01:00"],
            "twenty-five hours"
        );
    }

    #[test]
    fn holidays_have_hours_of_their_own() {
        let mut clinic = clinic("America/New_York");
        let holiday = |hours| Holiday { date: date(2026, 12, 24), name: "Eve".to_owned(), hours };
        clinic.holidays = vec![holiday(vec![])];
        assert!(clinic.open_on(date(2026, 12, 24)).is_empty());
        clinic.holidays = vec![holiday(hours(r#"[{"from":"08:00","until":"10:00"}]"#))];
        assert_eq!(
            shown(&clinic, date(2026, 12, 24)),
            ["2026-12-24T08:00:00-05:00 2026-12-24T10:00:00-05:00"]
        );
        clinic.holidays.push(holiday(hours(r#"[{"from":"10:00","until":"08:00"}]"#)));
        clinic.hours.friday = hours(r#"[{"from":"12:00","until":"08:00"}]"#);
        let mut faults = Vec::new();
        clinic.check(&mut faults);
        let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/hours/friday", "/holidays/1/date", "/holidays/1/hours"]);
    }

    #[test]
    fn a_night_shift_is_one_stretch() {
        let mut clinic = clinic("Europe/Berlin");
        clinic.hours.monday = hours(r#"[{"from":"20:00","until":"24:00"}]"#);
        clinic.hours.tuesday = hours(r#"[{"from":"00:00","until":"06:00"}]"#);
        let spans = clinic.open_between(date(2026, 6, 1), date(2026, 6, 2));
        assert_eq!(spans.len(), 1);
        assert_eq!(spans[0].1.since(spans[0].0), std::time::Duration::from_hours(10));
    }
}
