//! The time window of signed timestamps, and the spellings of time that senders use.

use std::time::Duration;

use trunkline_model::Timestamp;

use super::Refusal;

/// How far a signed time may lie from the time of arrival, either way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window(Duration);

impl Window {
    pub(super) fn new(tolerance: Duration) -> Self {
        Self(tolerance)
    }

    /// Refuses a time outside the window; the edges are inside.
    pub(super) fn check(self, claimed: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        if now.since(claimed) > self.0 {
            Err(Refusal::Stale)
        } else if claimed.since(now) > self.0 {
            Err(Refusal::InTheFuture)
        } else {
            Ok(())
        }
    }
}

/// Reads plain decimal digits; no sign, no spaces, no fraction, nothing that overflows.
pub(super) fn digits(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 18 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0')))
}

/// From this number on, a count cannot be seconds (that would be the year 5138) and is taken as milliseconds.
const FIRST_MILLIS: i64 = 100_000_000_000;

/// Reads Unix seconds, Unix milliseconds or RFC 3339.
pub(super) fn any_time(text: &[u8]) -> Option<Timestamp> {
    match digits(text) {
        Some(secs) if secs < FIRST_MILLIS => Some(Timestamp::from_secs(secs)),
        Some(millis) => Some(Timestamp::from_micros(millis.saturating_mul(1000))),
        None => Timestamp::parse_rfc3339(std::str::from_utf8(text).ok()?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_three_spellings_of_one_moment() {
        let expect = Some(Timestamp::from_secs(1_614_265_330));
        for text in ["1614265330", "1614265330000", "2021-02-25T15:02:10Z", "2021-02-25T16:02:10+01:00"] {
            assert_eq!(any_time(text.as_bytes()), expect, "{text}");
        }
        for text in ["", "-1", "+1614265330", " 1614265330", "1614265330.0", "1e9", "9999999999999999999"] {
            assert_eq!(digits(text.as_bytes()), None, "{text}");
        }
        assert_eq!(any_time(b"yesterday"), None);
        assert_eq!(any_time(b"\xff"), None);
    }

    #[test]
    fn the_edges_are_inside() {
        let window = Window::new(Duration::from_mins(5));
        let now = Timestamp::from_secs(1000);
        assert_eq!(window.check(Timestamp::from_secs(700), now), Ok(()));
        assert_eq!(window.check(Timestamp::from_secs(1300), now), Ok(()));
        assert_eq!(window.check(Timestamp::from_micros(699_999_999), now), Err(Refusal::Stale));
        assert_eq!(window.check(Timestamp::from_micros(1_300_000_001), now), Err(Refusal::InTheFuture));
        assert_eq!(window.check(Timestamp::from_micros(i64::MAX), now), Err(Refusal::InTheFuture));
    }
}
