//! OwnTracks in HTTP mode: one JSON object a request, told apart by `_type`. Source: <https://owntracks.org/booklet/tech/json/>,
//! read 2026-12-01. `tst` is in seconds since 1970, `acc` and `alt` in metres, `vel` in kilometres an hour, `cog` in degrees, `batt`
//! in percent.
//!
//! The app sends its requests again until they are answered well, and nothing else meanwhile: what is no location is
//! therefore no fault.

use serde_json::Value;
use trunkline_model::FieldError;

use super::{Sample, checked, course, from_secs, optional, percent, positive, required};

/// Kilometres an hour in one metre a second.
const KMH: f64 = 3.6;

/// Reads a message; `None` when it is another one than a location: a transition, a waypoint, something encrypted, ….
///
/// # Errors
/// Every fault of a location.
pub fn read(message: &Value) -> Result<Option<Sample>, Vec<FieldError>> {
    if message.get("_type").and_then(Value::as_str) != Some("location") {
        return Ok(None);
    }
    let mut faults = Vec::new();
    let lat = required(message, "lat", "", &mut faults);
    let lon = required(message, "lon", "", &mut faults);
    // Old versions write it as a text.
    let tst = message.get("tst");
    let secs = tst.and_then(|tst| tst.as_i64().or_else(|| tst.as_str()?.parse().ok()));
    let device_at = secs.and_then(from_secs);
    if device_at.is_none() {
        let code = if tst.is_none() { "required" } else { "invalid" };
        faults.push(FieldError::new("/tst", code, "must be the seconds since 1970"));
    }
    let sample = Sample {
        lat,
        lon,
        device_at,
        accuracy_m: optional(message, "acc"),
        speed_mps: positive(optional(message, "vel")).map(|speed| speed / KMH),
        course_deg: course(optional(message, "cog")),
        altitude_m: optional(message, "alt"),
        battery_pct: percent(optional(message, "batt")),
    };
    checked(sample, faults).map(Some)
}
