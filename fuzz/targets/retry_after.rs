//! `Retry-After` of a receiver: no value makes its reader panic, and no wait it asks for is longer than the longest.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use trunkline_dispatch::retry::{MAX_RETRY_AFTER, RetrySchedule, parse_retry_after};
use trunkline_model::Timestamp;

fuzz_target!(|input: (i64, u32, &str)| {
    let (now, n_attempts, value) = input;
    let asked = parse_retry_after(value, Timestamp::from_micros(now));
    let schedule = RetrySchedule::new([Duration::from_secs(5)].into(), 3, 0.0);
    let delay = schedule.delay(n_attempts, 0.5, asked);
    assert!((Duration::from_secs(5)..=MAX_RETRY_AFTER).contains(&delay));
    if let Ok(seconds) = value.parse::<u16>() {
        assert!(value.starts_with('+') || asked == Some(Duration::from_secs(seconds.into())));
    }
});
