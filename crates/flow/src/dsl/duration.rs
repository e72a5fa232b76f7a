//! Durations: a mapping of units, an ISO 8601 text, or an expression that gives one (rule 29).

use std::time::Duration;

use serde_json::Value;
use trunkline_packs::document::Content;
use trunkline_packs::suggest::quoted;

use crate::expression::{Stage, TemplateOr, unwrap};
use crate::read::{At, Extra, Fields, Reader};
use crate::rule::Rule;

/// A duration, or an expression that gives one.
pub type Delay = TemplateOr<Duration>;

/// The longest duration: a hundred years of 365 days.
pub const MAX_DURATION: Duration = Duration::from_hours(100 * 365 * 24);

/// Why a value is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    /// Neither a mapping of units nor an ISO 8601 text.
    #[error("no duration such as PT30S or {{seconds: 30}}")]
    Shape,
    /// Months and years are not always equally long.
    #[error("months and years have no fixed length; write days")]
    Calendar,
    /// Less than nothing.
    #[error("a duration cannot be negative")]
    Negative,
    /// Longer than a hundred years.
    #[error("longer than a hundred years")]
    TooLong,
}

const UNITS: [(&str, f64); 5] =
    [("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0), ("seconds", 1.0), ("milliseconds", 0.001)];

/// Reads what an expression for a duration gave.
///
/// # Errors
///
/// Why the value is no duration.
pub fn from_value(value: &Value) -> Result<Duration, InvalidDuration> {
    match value {
        Value::String(text) => parse_iso(text),
        Value::Object(map) if !map.is_empty() => {
            let mut seconds = 0.0;
            for (key, value) in map {
                let unit = UNITS.iter().find(|(unit, _)| unit == key).ok_or(InvalidDuration::Shape)?;
                seconds += value.as_f64().ok_or(InvalidDuration::Shape)? * unit.1;
            }
            bounded(seconds)
        }
        _ => Err(InvalidDuration::Shape),
    }
}

fn bounded(seconds: f64) -> Result<Duration, InvalidDuration> {
    if seconds < 0.0 {
        return Err(InvalidDuration::Negative);
    }
    if seconds.is_nan() || seconds > MAX_DURATION.as_secs_f64() {
        return Err(InvalidDuration::TooLong);
    }
    // Milliseconds are the finest unit; floats do not represent their sums exactly.
    Ok(Duration::from_micros((seconds * 1e6).round() as u64))
}

/// Parses an ISO 8601 duration, such as `P1DT2H` or `PT0.5S`.
///
/// # Errors
///
/// Why the text is no duration.
pub fn parse_iso(text: &str) -> Result<Duration, InvalidDuration> {
    let rest = text.strip_prefix('P').ok_or(InvalidDuration::Shape)?;
    let (date, time) = match rest.split_once('T') {
        Some((date, time)) if !time.is_empty() => (date, time),
        Some(_) => return Err(InvalidDuration::Shape),
        None => (rest, ""),
    };
    if date.is_empty() && time.is_empty() {
        return Err(InvalidDuration::Shape);
    }
    let date = components(date, &['Y', 'M', 'W', 'D'])?;
    let time = components(time, &['H', 'M', 'S'])?;
    if date.iter().any(|(unit, amount)| matches!(unit, 'Y' | 'M') && *amount > 0.0) {
        return Err(InvalidDuration::Calendar);
    }
    let seconds = |(unit, amount): &(char, f64), minute: f64| {
        amount
            * match unit {
                'W' => 604_800.0,
                'D' => 86_400.0,
                'H' => 3_600.0,
                'M' => minute,
                'S' => 1.0,
                _ => 0.0,
            }
    };
    let total: f64 = date.iter().map(|it| seconds(it, 0.0)).sum::<f64>()
        + time.iter().map(|it| seconds(it, 60.0)).sum::<f64>();
    bounded(total)
}

/// Splits `1D2.5H` into amounts; units come in order, each at most once.
fn components(mut text: &str, mut units: &[char]) -> Result<Vec<(char, f64)>, InvalidDuration> {
    let mut found = Vec::new();
    while !text.is_empty() {
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or(InvalidDuration::Shape)?;
        let (number, rest) = text.split_at(end);
        let unit = rest.chars().next().ok_or(InvalidDuration::Shape)?;
        let place = units.iter().position(|known| *known == unit).ok_or(InvalidDuration::Shape)?;
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let is_number = match number.split_once('.') {
            Some((whole, fraction)) => digits(whole) && digits(fraction),
            None => digits(number),
        };
        if !is_number {
            return Err(InvalidDuration::Shape);
        }
        found.push((unit, number.parse().map_err(|_| InvalidDuration::Shape)?));
        units = &units[place + 1..];
        text = &rest[unit.len_utf8()..];
    }
    Ok(found)
}

impl Reader {
    /// Reads a duration.
    pub(crate) fn duration(&mut self, at: &At<'_>, stage: Stage) -> Option<Delay> {
        match &at.node.content {
            Content::Map(_) => self.duration_of_units(at).map(Delay::Literal),
            Content::Text(text) => match unwrap(text) {
                Some(inner) => self.compile(inner, at, stage).map(Delay::Expression),
                None => self.iso_duration(text, at).map(Delay::Literal),
            },
            _ => {
                let problem = format!("must be a duration, found {}", at.node.kind());
                self.shape(at, problem, "write `{seconds: 30}` or PT30S");
                None
            }
        }
    }

    /// Reads a duration that is known now.
    pub(crate) fn fixed_duration(&mut self, at: &At<'_>) -> Option<Duration> {
        match self.duration(at, Stage::Trigger)? {
            Delay::Literal(duration) => Some(duration),
            Delay::Expression(_) => {
                self.rule(Rule::Values, at, "must be known beforehand", "write the duration out");
                None
            }
        }
    }

    fn iso_duration(&mut self, text: &str, at: &At<'_>) -> Option<Duration> {
        let error = match parse_iso(text) {
            Ok(duration) => return Some(duration),
            Err(error) => error,
        };
        if error == InvalidDuration::Shape {
            let problem = format!("{} is no ISO 8601 duration", quoted(text));
            self.shape(at, problem, "write it like PT30S, PT1H30M or P1D");
        } else {
            self.rule(Rule::Durations, at, error.to_string(), "write days, hours, minutes or seconds");
        }
        None
    }

    fn duration_of_units(&mut self, at: &At<'_>) -> Option<Duration> {
        let mut fields = Fields::open(at, "a duration", self)?;
        if at.entries().is_empty() {
            self.shape(at, "an empty duration", "add a unit, such as `seconds: 30`");
        }
        let mut total = 0.0;
        for (unit, seconds) in UNITS {
            let Some(at) = fields.optional(unit) else { continue };
            total += self.integer(&at).unwrap_or(0) as f64 * seconds;
        }
        fields.close(Extra::Closed, self);
        match bounded(total) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.rule(Rule::Durations, at, error.to_string(), "write a duration from now on");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn iso_texts_are_read() {
        let check = |text: &str, expect: Result<u64, InvalidDuration>| {
            assert_eq!(parse_iso(text), expect.map(Duration::from_millis), "{text}");
        };
        check("PT30S", Ok(30_000));
        check("PT0.25S", Ok(250));
        check("PT0S", Ok(0));
        check("P1DT2H3M4S", Ok(93_784_000));
        check("P1.5D", Ok(129_600_000));
        check("P2W", Ok(1_209_600_000));
        check("P0Y1D", Ok(86_400_000));
        for text in [
            "", "P", "PT", "P1", "1S", "PT1D", "P1H", "PT1S1H", "PT.5S", "PT1.S", "P1DT", "pt1s", "PT-1S",
            " PT1S",
        ] {
            check(text, Err(InvalidDuration::Shape));
        }
        check("P1Y", Err(InvalidDuration::Calendar));
        check("P3M", Err(InvalidDuration::Calendar));
        check("P99999999D", Err(InvalidDuration::TooLong));
    }

    #[test]
    fn values_are_read() {
        let check = |value: &Value, expect: Result<u64, InvalidDuration>| {
            assert_eq!(from_value(value), expect.map(Duration::from_millis), "{value}");
        };
        check(&json!("PT1M"), Ok(60_000));
        check(&json!({"minutes": 1, "milliseconds": 5}), Ok(60_005));
        check(&json!({}), Err(InvalidDuration::Shape));
        check(&json!({"weeks": 1}), Err(InvalidDuration::Shape));
        check(&json!({"seconds": -1}), Err(InvalidDuration::Negative));
        check(&json!(30), Err(InvalidDuration::Shape));
    }
}
