//! Dates as they are written and stored: `2026-01-31`, of the years 2000 to 2999.

use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serializer};

/// A text that is no date.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("a date is YYYY-MM-DD, of the years 2000 to 2999")]
pub struct InvalidDate;

/// Parses a date.
pub fn parse_date(text: &str) -> Result<Date, InvalidDate> {
    let is_shaped = text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(at, b)| if matches!(at, 4 | 7) { b == b'-' } else { b.is_ascii_digit() });
    let date: Date = text.parse().ok().filter(|_| is_shaped).ok_or(InvalidDate)?;
    if (2000..=2999).contains(&date.year()) { Ok(date) } else { Err(InvalidDate) }
}

/// Writes a date for serde.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
pub(crate) fn serialize<S: Serializer>(date: &Date, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(date)
}

/// Reads a date for serde.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Date, D::Error> {
    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    parse_date(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dates_are_read() {
        for text in ["2026-01-31", "2028-02-29", "2999-12-31"] {
            assert_eq!(parse_date(text).unwrap().to_string(), text);
        }
        for text in
            ["", "2026-02-29", "2026-1-31", "2026-01-31T00:00", "20260131", "1999-12-31", "+002026-01"]
        {
            assert_eq!(parse_date(text), Err(InvalidDate), "{text}");
        }
    }
}
