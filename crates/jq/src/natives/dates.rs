//! Dates, always in UTC: seconds since 1970, "broken down" arrays as C has them, and text.
//!
//! A broken down time is `[year, month from 0, day, hours, minutes, seconds, weekday from Sunday, day of the year from 0]`.
//! Names of time zones are never looked up.

use jaq_core::native::{unary, v};
use jiff::civil::DateTime;
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::meter;
use crate::natives::{Native, one};
use crate::value::{Error, Val, ValR, fault};

/// The longest format, in bytes.
const MAX_FORMAT_BYTES: usize = 256;

/// The functions.
pub(super) fn natives() -> Vec<Native> {
    vec![
        ("gmtime", v(0), |cv| one(timestamp(&cv.1).map(|(time, fraction)| broken_down(time, fraction)))),
        ("mktime", v(0), |cv| one(utc(&cv.1).map(|time| seconds(&time)))),
        ("strftime", v(1), |cv| unary(cv, |time, format| strftime(&time, &format))),
        ("strptime", v(1), |cv| unary(cv, |text, format| strptime(&text, &format))),
        ("fromdateiso8601", v(0), |cv| one(from_iso8601(&cv.1))),
    ]
}

fn no_date() -> Error {
    fault("the value is not a date")
}

/// The moment of a number of seconds, cut to a whole one, and the rest of it.
fn timestamp(value: &Val) -> Result<(DateTime, f64), Error> {
    let seconds = value.float()?;
    let whole = seconds.floor();
    // The cast saturates, and what is out of range is refused.
    let time = Timestamp::from_second(whole as i64).map_err(|_| no_date())?;
    if seconds.is_nan() {
        return Err(no_date());
    }
    Ok((time.to_zoned(TimeZone::UTC).datetime(), seconds - whole))
}

/// The moment of a number of seconds or of a broken down time.
fn utc(value: &Val) -> Result<Zoned, Error> {
    let civil = match value {
        Val::Arr(array) => from_broken_down(&array.items).ok_or_else(no_date)?,
        other => timestamp(other)?.0,
    };
    civil.to_zoned(TimeZone::UTC).map_err(|_| no_date())
}

fn from_broken_down(parts: &[Val]) -> Option<DateTime> {
    let field = |at: usize| {
        let value = parts.get(at)?.float().ok()?.floor();
        (value.abs() < 1e5).then_some(value as i16)
    };
    let small = |at: usize| i8::try_from(field(at)?).ok();
    let month = small(1)?.checked_add(1)?;
    DateTime::new(field(0)?, month, small(2)?, small(3)?, small(4)?, small(5)?, 0).ok()
}

fn broken_down(time: DateTime, fraction: f64) -> Val {
    let date = time.date();
    let fields = [
        f64::from(time.year()),
        f64::from(time.month() - 1),
        f64::from(time.day()),
        f64::from(time.hour()),
        f64::from(time.minute()),
        f64::from(time.second()) + fraction,
        f64::from(date.weekday().to_sunday_zero_offset()),
        f64::from(date.day_of_year() - 1),
    ];
    Val::array(fields.map(Val::from).to_vec())
}

fn seconds(time: &Zoned) -> Val {
    Val::from(time.timestamp().as_second() as isize)
}

fn format_text(format: &Val) -> Result<&str, Error> {
    let format = format.text()?;
    if format.len() > MAX_FORMAT_BYTES {
        return Err(fault("the date format is too long"));
    }
    Ok(format)
}

fn strftime(time: &Val, format: &Val) -> ValR {
    let format = format_text(format)?;
    meter::charge_items(format.len());
    let text = strtime::format(format, &utc(time)?);
    Ok(Val::string(text.map_err(|_| fault("the date format is not valid"))?))
}

/// Fields are taken as they are written; an offset is read and not applied, as in jq.
fn strptime(text: &Val, format: &Val) -> ValR {
    let (text, format) = (text.text()?, format_text(format)?);
    meter::charge_bytes(text.len());
    meter::charge_items(format.len());
    let mismatch = || fault("the text does not match the date format");
    let fields = BrokenDownTime::parse(format, text).map_err(|_| mismatch())?;
    let date = fields.to_date().map_err(|_| mismatch())?;
    let time = fields.to_time().unwrap_or_default();
    Ok(broken_down(DateTime::from_parts(date, time), 0.0))
}

/// Reads RFC 3339, which is more than jq does: fractions and offsets too.
fn from_iso8601(text: &Val) -> ValR {
    let text = text.text()?;
    meter::charge_bytes(text.len());
    let time: Timestamp = text.parse().map_err(|_| fault("the text is not a date in RFC 3339"))?;
    if time.subsec_nanosecond() == 0 {
        return Ok(Val::from(time.as_second() as isize));
    }
    Ok((time.as_second() as f64 + f64::from(time.subsec_nanosecond()) / 1e9).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::read::from_json;

    fn val(json: &str) -> Val {
        from_json(json.as_bytes(), 10).unwrap()
    }

    fn broken(value: &str) -> Option<Val> {
        timestamp(&val(value)).ok().map(|(time, fraction)| broken_down(time, fraction))
    }

    #[test]
    fn seconds_break_down_and_come_back() {
        let parts = val("[2015,2,5,23,51,47,4,63]");
        assert_eq!(broken("1425599507"), Some(parts.clone()));
        assert_eq!(broken("1425599507.5"), Some(val("[2015,2,5,23,51,47.5,4,63]")));
        assert_eq!(broken("-1"), Some(val("[1969,11,31,23,59,59,3,364]")));
        assert_eq!(seconds(&utc(&parts).unwrap()), val("1425599507"));
        for wrong in ["1e300", "-1e300", "1e14", "\"x\"", "null"] {
            assert_eq!(broken(wrong), None, "{wrong}");
        }
        assert!(timestamp(&f64::NAN.into()).is_err() && timestamp(&f64::INFINITY.into()).is_err());
    }

    #[test]
    fn broken_down_times_are_checked() {
        for wrong in [
            "[]",
            "[2015]",
            "[2015,12,1,0,0,0]",
            "[2015,1,30,0,0,0]",
            "[1e9,0,1,0,0,0]",
            "[2015,0,1,0,0,null]",
        ] {
            assert!(utc(&val(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn text_by_format() {
        let text = |format: &str| strftime(&val("1425599621.9"), &Val::string(format)).ok();
        assert_eq!(text("%A, %B %d, %Y"), Some(Val::string("Thursday, March 05, 2015")));
        assert_eq!(text("%Y-%m-%dT%H:%M:%SZ"), Some(Val::string("2015-03-05T23:53:41Z")));
        assert_eq!(text("%!"), None);
        assert_eq!(text(&"x".repeat(257)), None);
        let widest = text("%99999999999999999d").map(|text| text.as_str().map(str::len));
        assert!(widest.is_none_or(|len| len.is_some_and(|len| len < 10_000)));
    }

    #[test]
    fn formats_are_read() {
        let read = |text: &str, format: &str| strptime(&Val::string(text), &Val::string(format)).ok();
        let whole = val("[2015,2,5,23,51,47,4,63]");
        assert_eq!(read("2015-03-05T23:51:47Z", "%Y-%m-%dT%H:%M:%SZ"), Some(whole));
        assert_eq!(read("5/3/2015", "%d/%m/%Y"), Some(val("[2015,2,5,0,0,0,4,63]")));
        assert_eq!(read("x", "%Y"), None);
        assert_eq!(from_iso8601(&Val::string("2015-03-05T23:51:47.5+01:00")).unwrap(), val("1425595907.5"));
        assert!(from_iso8601(&Val::string("2015-03-05")).is_err());
    }
}
