//! The protocol of OsmAnd, which Traccar Client spoke before version 9 and many trackers speak: parameters in the query or in a
//! form. Source: <https://www.traccar.org/osmand/>, read 2026-12-01. `timestamp` is in seconds or milliseconds since 1970 or a text,
//! `speed` in knots, `bearing` (or `heading`) in degrees, `accuracy` and `altitude` in metres, `batt` in percent.

use trunkline_model::{FieldError, Timestamp};

use super::{Sample, checked, course, from_secs, percent, positive};

/// Metres a second in one knot.
const KNOT: f64 = 1_852.0 / 3_600.0;
/// Numbers from here on are milliseconds: seconds reach it in 2038.
const MILLIS_FROM: i64 = i32::MAX as i64;

/// Whether these parameters tell a position at all.
pub fn is_position<'a>(mut names: impl Iterator<Item = &'a str>) -> bool {
    names.any(|name| matches!(name, "lat" | "lon" | "location"))
}

/// Reads the parameters of a request. One that comes twice counts as it comes last.
///
/// # Errors
/// Every fault of time and place.
pub fn read<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Sample, Vec<FieldError>> {
    let (mut lat, mut lon, mut timestamp, mut is_valid) = (None, None, None, true);
    let mut sample = Sample::default();
    for (name, value) in parameters {
        let value = value.trim();
        let number = value.parse::<f64>().ok();
        match name {
            "lat" => lat = Some(number),
            "lon" => lon = Some(number),
            "location" => {
                let both = value.split_once(',');
                let part = |text: Option<&str>| text.and_then(|text| text.trim().parse().ok());
                lat = Some(part(both.map(|both| both.0)));
                lon = Some(part(both.map(|both| both.1)));
            }
            "timestamp" => timestamp = Some(time(value)),
            "accuracy" => sample.accuracy_m = number,
            "speed" => sample.speed_mps = positive(number).map(|knots| knots * KNOT),
            "bearing" | "heading" => sample.course_deg = course(number),
            "altitude" => sample.altitude_m = number,
            "batt" => sample.battery_pct = percent(number),
            "valid" => is_valid = matches!(value, "1") || value.eq_ignore_ascii_case("true"),
            _ => {}
        }
    }
    let mut faults = Vec::new();
    let mut place = |name: &str, value: Option<Option<f64>>| {
        let Some(Some(degrees)) = value else {
            let (code, detail) =
                if value.is_none() { ("required", "is missing") } else { ("invalid", "must be a number") };
            faults.push(FieldError::new(format!("query:{name}"), code, detail));
            return f64::NAN;
        };
        degrees
    };
    (sample.lat, sample.lon) = (place("lat", lat), place("lon", lon));
    sample.device_at = timestamp.flatten();
    if timestamp.is_some() && sample.device_at.is_none() {
        let detail = "must be seconds or milliseconds since 1970, or a time such as 2026-03-02T06:00:00Z";
        faults.push(FieldError::new("query:timestamp", "invalid", detail));
    }
    if !is_valid {
        // The receiver had no fix: the place may be any.
        sample.accuracy_m = Some(f64::INFINITY);
    }
    checked(sample, faults)
}

fn time(text: &str) -> Option<Timestamp> {
    if let Ok(number) = text.parse::<i64>() {
        let is_millis = number >= MILLIS_FROM;
        return if is_millis {
            from_secs(number / 1000)?;
            number.checked_mul(1000).map(Timestamp::from_micros)
        } else {
            from_secs(number)
        };
    }
    // A plus in an offset arrives as a space when it was not escaped; a time without an offset is meant as UTC.
    let iso = match text.split_once(' ') {
        Some((date, rest)) if date.len() == 10 => format!("{date}T{rest}Z"),
        Some((time, offset)) => format!("{time}+{offset}"),
        None => text.to_owned(),
    };
    let parse =
        |text: &str| Timestamp::parse_rfc3339(text).ok().filter(|at| from_secs(at.as_secs()).is_some());
    parse(&iso).or_else(|| parse(&format!("{iso}Z")))
}
