//! What the apps on phones send, one file for each format. Pure: bytes that were parsed go in, a [`Sample`] comes out, and
//! nothing that a phone sends panics.
//!
//! Readers are strict about time and place and lenient about all else: an accuracy or a speed that makes no sense is
//! left out. Whether a place can be one is looked at by whoever takes the sample.

pub mod osmand;
pub mod owntracks;
pub mod traccar;

use serde_json::Value;
use trunkline_model::{FieldError, Timestamp};

/// What a phone says of where it is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Latitude in degrees, whatever was sent.
    pub lat: f64,
    /// Longitude in degrees, whatever was sent.
    pub lon: f64,
    /// When, by the phone's clock; `None` is now.
    pub device_at: Option<Timestamp>,
    /// Radius in metres within which the phone says that it is. What is no number says that it does not know.
    pub accuracy_m: Option<f64>,
    /// How fast, in metres a second.
    pub speed_mps: Option<f64>,
    /// Which way, in degrees from north.
    pub course_deg: Option<f64>,
    /// How high above the sea, in metres.
    pub altitude_m: Option<f64>,
    /// How full the battery is, in percent.
    pub battery_pct: Option<f64>,
}

/// The largest number of seconds since 1970 that is a time of ours: the end of 2999.
const MAX_SECS: i64 = 32_503_679_999;

/// Reads seconds since 1970.
fn from_secs(secs: i64) -> Option<Timestamp> {
    (0..=MAX_SECS).contains(&secs).then(|| Timestamp::from_secs(secs))
}

/// A length or a speed: nought or more.
fn positive(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite() && *value >= 0.0)
}

/// A direction in degrees from north.
fn course(value: Option<f64>) -> Option<f64> {
    value.filter(|value| (0.0..=360.0).contains(value)).map(|degrees| degrees % 360.0)
}

/// A part in percent.
fn percent(value: Option<f64>) -> Option<f64> {
    value.filter(|value| (0.0..=100.0).contains(value))
}

/// Reads a number that must be there, noting a fault when it is not.
fn required(object: &Value, name: &str, pointer: &str, faults: &mut Vec<FieldError>) -> f64 {
    let found = object.get(name);
    if let Some(number) = found.and_then(Value::as_f64) {
        return number;
    }
    let (code, detail) =
        if found.is_none() { ("required", "is missing") } else { ("wrong_type", "must be a number") };
    faults.push(FieldError::new(format!("{pointer}/{name}"), code, detail));
    f64::NAN
}

/// Reads a number that may be there.
fn optional(object: &Value, name: &str) -> Option<f64> {
    object.get(name).and_then(Value::as_f64)
}

/// The sample, or every fault that was noted.
fn checked(sample: Sample, faults: Vec<FieldError>) -> Result<Sample, Vec<FieldError>> {
    if faults.is_empty() { Ok(sample) } else { Err(faults) }
}

#[cfg(test)]
mod tests;
