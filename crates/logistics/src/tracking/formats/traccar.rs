//! What Traccar Client sends from version 9 on: one JSON object with `location` and `device_id`. Source:
//! <https://www.traccar.org/osmand/>, read 2026-12-01. `timestamp` is an RFC 3339 time, `accuracy` and `altitude` are in metres, `speed` in metres
//! a second, `heading` in degrees; the battery's `level` is 0 to 1. What the phone does not know is -1.

use serde_json::Value;
use trunkline_model::{FieldError, Timestamp};

use super::{Sample, checked, course, from_secs, optional, percent, positive, required};

/// Reads a request's body.
///
/// # Errors
/// Every fault of time and place.
pub fn read(body: &Value) -> Result<Sample, Vec<FieldError>> {
    let mut faults = Vec::new();
    let nothing = Value::Null;
    let location = body.get("location").unwrap_or(&nothing);
    let coords = location.get("coords").unwrap_or(&nothing);
    let (lat, lon) = (
        required(coords, "latitude", "/location/coords", &mut faults),
        required(coords, "longitude", "/location/coords", &mut faults),
    );
    let text = location.get("timestamp");
    let at = text.and_then(Value::as_str).and_then(|text| Timestamp::parse_rfc3339(text).ok());
    let device_at = at.filter(|at| from_secs(at.as_secs()).is_some());
    if device_at.is_none() {
        let code = if text.is_none() { "required" } else { "invalid" };
        faults.push(FieldError::new("/location/timestamp", code, "must be an RFC 3339 time"));
    }
    let level = location.get("battery").and_then(|battery| optional(battery, "level"));
    let sample = Sample {
        lat,
        lon,
        device_at,
        accuracy_m: optional(coords, "accuracy"),
        speed_mps: positive(optional(coords, "speed")),
        course_deg: course(optional(coords, "heading")),
        altitude_m: optional(coords, "altitude"),
        battery_pct: percent(level.map(|level| level * 100.0)),
    };
    checked(sample, faults)
}
