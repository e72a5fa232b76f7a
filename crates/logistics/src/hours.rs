//! Opening hours: times of day as people write them, and when something is open on each day of the week.

use std::fmt;

use jiff::civil::Weekday;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most stretches of one day.
pub const MAX_SPANS: usize = 8;
/// The last minute of a day, which is also the first of the next.
const MIDNIGHT: u16 = 24 * 60;

/// A time of day as a clock on the wall shows it, to the minute: `00:00` to `24:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DayTime(u16);

/// A text that is no time of day.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("a time of day is HH:MM, from 00:00 to 24:00")]
pub struct InvalidDayTime;

impl DayTime {
    /// Parses `HH:MM`.
    pub fn parse(text: &str) -> Result<Self, InvalidDayTime> {
        let number = |digits: &str| -> Option<u16> {
            (digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
        };
        let (hour, minute) = text.split_once(':').ok_or(InvalidDayTime)?;
        let (hour, minute) = number(hour).zip(number(minute)).ok_or(InvalidDayTime)?;
        let minutes = hour * 60 + minute;
        if minute < 60 && minutes <= MIDNIGHT { Ok(Self(minutes)) } else { Err(InvalidDayTime) }
    }

    /// Takes minutes since midnight.
    pub fn from_minutes(minutes: i64) -> Option<Self> {
        u16::try_from(minutes).ok().filter(|minutes| *minutes <= MIDNIGHT).map(Self)
    }

    /// Minutes since midnight.
    pub fn minutes(self) -> i64 {
        i64::from(self.0)
    }
}

impl fmt::Display for DayTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl Serialize for DayTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DayTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A stretch of a day: open from the first time, closed again at the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenHours {
    /// When it opens.
    pub from: DayTime,
    /// When it closes.
    pub until: DayTime,
}

impl fmt::Display for OpenHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}–{}", self.from, self.until)
    }
}

/// Why stretches of a day make no sense.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum InvalidHours {
    /// A stretch ends before it begins.
    #[error("each stretch must end after it begins")]
    Inverted,
    /// Two stretches overlap, or are out of order.
    #[error("stretches must be in order and must not overlap")]
    Overlap,
    /// More than a day holds.
    #[error("a day has at most {MAX_SPANS} stretches")]
    TooMany,
}

/// Checks the stretches of one day.
pub fn check_day(spans: &[OpenHours]) -> Result<(), InvalidHours> {
    if spans.len() > MAX_SPANS {
        Err(InvalidHours::TooMany)
    } else if spans.iter().any(|span| span.from >= span.until) {
        Err(InvalidHours::Inverted)
    } else if spans.windows(2).any(|pair| pair[0].until > pair[1].from) {
        Err(InvalidHours::Overlap)
    } else {
        Ok(())
    }
}

/// When something is open, by day of the week; an empty day is closed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpeningHours {
    /// Mondays.
    pub monday: Vec<OpenHours>,
    /// Tuesdays.
    pub tuesday: Vec<OpenHours>,
    /// Wednesdays.
    pub wednesday: Vec<OpenHours>,
    /// Thursdays.
    pub thursday: Vec<OpenHours>,
    /// Fridays.
    pub friday: Vec<OpenHours>,
    /// Saturdays.
    pub saturday: Vec<OpenHours>,
    /// Sundays.
    pub sunday: Vec<OpenHours>,
}

impl OpeningHours {
    /// The names of the days, Monday first.
    pub const DAYS: [&'static str; 7] =
        ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

    /// The stretches of a day of the week.
    pub fn of(&self, day: Weekday) -> &[OpenHours] {
        match day {
            Weekday::Monday => &self.monday,
            Weekday::Tuesday => &self.tuesday,
            Weekday::Wednesday => &self.wednesday,
            Weekday::Thursday => &self.thursday,
            Weekday::Friday => &self.friday,
            Weekday::Saturday => &self.saturday,
            Weekday::Sunday => &self.sunday,
        }
    }

    /// The days in order, with their names.
    pub fn days(&self) -> impl Iterator<Item = (&'static str, &[OpenHours])> {
        let days = [
            &self.monday,
            &self.tuesday,
            &self.wednesday,
            &self.thursday,
            &self.friday,
            &self.saturday,
            &self.sunday,
        ];
        Self::DAYS.into_iter().zip(days.map(Vec::as_slice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: &str, until: &str) -> OpenHours {
        OpenHours { from: DayTime::parse(from).unwrap(), until: DayTime::parse(until).unwrap() }
    }

    #[test]
    fn times_of_day_are_read_and_written() {
        for text in ["00:00", "08:05", "23:59", "24:00"] {
            assert_eq!(DayTime::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "8:00", "08:60", "24:01", "99:99", "+8:00", "08:0x", "08:00:00", "٠٨:٠٠"] {
            assert_eq!(DayTime::parse(text), Err(InvalidDayTime), "{text}");
        }
        assert_eq!(DayTime::from_minutes(-1), None);
        assert_eq!(DayTime::from_minutes(1441), None);
    }

    #[test]
    fn days_are_checked() {
        assert_eq!(check_day(&[span("08:00", "12:00"), span("12:00", "17:00")]), Ok(()));
        assert_eq!(check_day(&[span("08:00", "12:00"), span("11:59", "17:00")]), Err(InvalidHours::Overlap));
        assert_eq!(check_day(&[span("12:00", "08:00")]), Err(InvalidHours::Inverted));
        assert_eq!(check_day(&[span("08:00", "08:00")]), Err(InvalidHours::Inverted));
        let many: Vec<OpenHours> =
            (10..19).map(|hour| span(&format!("{hour}:00"), &format!("{hour}:30"))).collect();
        assert_eq!(check_day(&many), Err(InvalidHours::TooMany));
    }

    #[test]
    fn a_week_is_read_from_what_people_write() {
        let text = r#"{"monday":[{"from":"08:00","until":"12:00"}],"sunday":[]}"#;
        let week: OpeningHours = serde_json::from_str(text).unwrap();
        assert_eq!(week.of(Weekday::Monday), [span("08:00", "12:00")]);
        assert!(week.of(Weekday::Tuesday).is_empty());
        assert_eq!(week.days().filter(|(_, spans)| !spans.is_empty()).count(), 1);
        assert!(serde_json::from_str::<OpeningHours>(r#"{"moonday":[]}"#).is_err());
    }
}
