//! When to try again: pure functions of the schedule, the number of attempts and what the endpoint asked for.
//!
//! A delivery that holds up others lasts: it is tried until a time after its first attempt, whatever their number.
//!
//! Called by the engine after a failed attempt. The random spread comes from the delivery's id and the attempt's
//! number, so a plan can be computed again, and deliveries that failed together do not come back together.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use trunkline_model::Timestamp;

/// The longest wait that an endpoint's `Retry-After` can bring about.
pub const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);
/// The longest wait of all.
const MAX_DELAY: Duration = Duration::from_hours(14 * 24);

/// A delivery that lasts is tried about this often at most once its attempts are used up.
const MAX_EXTRA_ATTEMPTS: u32 = 500;

/// Waits between the attempts of a delivery, and how many attempts there are.
#[derive(Debug, Clone, PartialEq)]
pub struct RetrySchedule {
    backoff: Arc<[Duration]>,
    max_attempts: u32,
    jitter: f64,
    lasts: Option<Duration>,
}

/// What was tried so far; the latest attempt failed.
#[derive(Debug, Clone, Copy)]
pub struct Tried {
    /// Attempts made, from 1.
    pub n_attempts: u32,
    /// When the first began.
    pub first_at: Timestamp,
    /// When the latest ended.
    pub ended_at: Timestamp,
}

impl RetrySchedule {
    /// A schedule. `backoff` holds the waits before the second, third, … attempt, the last one repeats; `jitter` is
    /// the share by which a wait is spread, 0 to 1.
    pub fn new(backoff: Arc<[Duration]>, max_attempts: u32, jitter: f64) -> Self {
        let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.0 };
        Self { backoff, max_attempts: max_attempts.max(1), jitter, lasts: None }
    }

    /// The same schedule for deliveries that are tried until so long after their first attempt.
    #[must_use]
    pub fn lasting(self, lasts: Option<Duration>) -> Self {
        Self { lasts, ..self }
    }

    /// Whether time ends deliveries and not the number of attempts.
    pub fn is_lasting(&self) -> bool {
        self.lasts.is_some()
    }

    /// When to try again; `None` when no attempt is left. `roll` and `retry_after` are those of [`delay`](Self::delay).
    ///
    /// A delivery that lasts gets its last attempt when its time is over. Between the last attempt of the schedule and
    /// that one the waits are at least a 500th of the time, which bounds what is kept of attempts.
    pub fn next_at(&self, tried: Tried, roll: f64, retry_after: Option<Duration>) -> Option<Timestamp> {
        let wait = self.delay(tried.n_attempts, roll, retry_after);
        let is_used_up = self.is_exhausted(tried.n_attempts);
        let Some(lasts) = self.lasts else { return (!is_used_up).then(|| tried.ended_at.plus(wait)) };
        let last_at = tried.first_at.plus(lasts);
        let wait = if is_used_up { wait.max(lasts / MAX_EXTRA_ATTEMPTS) } else { wait };
        (tried.ended_at < last_at).then(|| tried.ended_at.plus(wait).min(last_at))
    }

    /// Whether no attempt is left after `n_attempts`.
    pub fn is_exhausted(&self, n_attempts: u32) -> bool {
        n_attempts >= self.max_attempts
    }

    /// The wait after `n_attempts` attempts, from 1. `roll` in 0..1 places it within the spread; `retry_after`, what
    /// the endpoint asked for, only ever lengthens it, up to [`MAX_RETRY_AFTER`].
    pub fn delay(&self, n_attempts: u32, roll: f64, retry_after: Option<Duration>) -> Duration {
        let index = n_attempts.saturating_sub(1) as usize;
        let wait = self.backoff.get(index).or(self.backoff.last()).copied().unwrap_or_default();
        let factor = 1.0 + self.jitter * (2.0 * roll.clamp(0.0, 1.0) - 1.0);
        let spread = Duration::try_from_secs_f64(wait.min(MAX_DELAY).as_secs_f64() * factor)
            .unwrap_or(MAX_DELAY)
            .min(MAX_DELAY);
        retry_after.map_or(spread, |asked| spread.max(asked.min(MAX_RETRY_AFTER)))
    }
}

/// A figure in 0..1 that depends on the id of a delivery or an endpoint and on a number alone.
pub fn roll(id: &str, n: u32) -> f64 {
    let seed = id.bytes().fold(u64::from(n), |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(23)
    });
    // The finalizer of SplitMix64 spreads the seed over all bits.
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Reads a `Retry-After` value, seconds or an HTTP date, also in the obsolete forms that RFC 9110 §5.6.7 asks recipients to
/// read. `None` when it is neither; a date that has passed is zero.
pub fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let micros = if let Ok(date) = jiff::fmt::rfc2822::parse(value) {
        date.timestamp().as_microsecond()
    } else {
        let date = httpdate::parse_http_date(value).ok()?;
        i64::try_from(date.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_micros()).ok()?
    };
    Some(Timestamp::from_micros(micros).since(now))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule(waits_ms: &[u64], jitter: f64) -> RetrySchedule {
        RetrySchedule::new(waits_ms.iter().copied().map(Duration::from_millis).collect(), 5, jitter)
    }

    #[test]
    fn follows_the_schedule_and_repeats_its_end() {
        let schedule = schedule(&[5000, 10_000], 0.0);
        let delays: Vec<u64> = (1..=4).map(|n| schedule.delay(n, 0.3, None).as_secs()).collect();
        assert_eq!(delays, [5, 10, 10, 10]);
        assert!(!schedule.is_exhausted(4) && schedule.is_exhausted(5));
    }

    #[test]
    fn time_ends_what_lasts() {
        let secs = |n| Timestamp::from_secs(n);
        let next = |schedule: &RetrySchedule, n_attempts, ended_at| {
            let tried = Tried { n_attempts, first_at: secs(100), ended_at: secs(ended_at) };
            schedule.next_at(tried, 0.5, None)
        };
        let plain = schedule(&[5000, 10_000], 0.0);
        assert_eq!([next(&plain, 4, 200), next(&plain, 5, 200)], [Some(secs(210)), None]);
        let lasting = plain.lasting(Some(Duration::from_secs(1000)));
        assert_eq!(next(&lasting, 1, 100), Some(secs(105)));
        assert_eq!(next(&lasting, 400, 200), Some(secs(210)), "the attempts are used up, the time is not");
        assert_eq!(next(&lasting, 1, 1098), Some(secs(1100)), "the last attempt");
        assert_eq!([next(&lasting, 1, 1100), next(&lasting, 1, 5000)], [None, None]);
        let slower = lasting.lasting(Some(Duration::from_secs(10_000)));
        assert_eq!([next(&slower, 4, 200), next(&slower, 5, 200)], [Some(secs(210)), Some(secs(220))]);
    }

    #[test]
    fn retry_after_lengthens_up_to_an_hour() {
        let schedule = schedule(&[5000], 0.0);
        let delay = |asked| schedule.delay(1, 0.0, Some(Duration::from_secs(asked))).as_secs();
        assert_eq!([delay(1), delay(60), delay(u64::MAX)], [5, 60, 3600]);
    }

    #[test]
    fn retry_after_forms() {
        let now = Timestamp::parse_rfc3339("1994-11-06T08:49:07Z").unwrap();
        let check = |text, expect: Option<u64>| {
            assert_eq!(parse_retry_after(text, now), expect.map(Duration::from_secs), "{text:?}");
        };
        check("120", Some(120));
        check(" 0 ", Some(0));
        check("99999999999999999999999", Some(u64::MAX));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(30));
        check("Sun, 06 Nov 1994 08:00:00 GMT", Some(0));
        for text in ["", "-1", "1.5", "soon", "Sun, 06 Nov"] {
            check(text, None);
        }
    }

    proptest! {
        #[test]
        fn delays_stay_within_bounds(
            waits in proptest::collection::vec(0_u64..2_000_000_000, 0..6),
            jitter in 0.0_f64..=1.0,
            n_attempts in 0_u32..200,
            roll in 0.0_f64..1.0,
            asked in proptest::option::of(0_u64..1_000_000),
        ) {
            let schedule = schedule(&waits, jitter);
            let index = (n_attempts.saturating_sub(1) as usize).min(waits.len().saturating_sub(1));
            let wait = waits.get(index).copied().unwrap_or(0).min(MAX_DELAY.as_millis() as u64) as f64 / 1000.0;
            let delay = schedule.delay(n_attempts, roll, asked.map(Duration::from_secs)).as_secs_f64();
            let asked = asked.unwrap_or(0).min(3600) as f64;
            prop_assert!(delay >= (wait * (1.0 - jitter)).max(asked) - 1e-6);
            prop_assert!(delay <= (wait * (1.0 + jitter)).max(asked) + 1e-6);
        }

        #[test]
        fn rolls_are_fractions(id in ".{0,40}", n in any::<u32>()) {
            prop_assert!((0.0..1.0).contains(&roll(&id, n)));
            prop_assert_eq!(roll(&id, n).to_bits(), roll(&id, n).to_bits());
        }

        #[test]
        fn parsing_never_panics(text in ".{0,60}") {
            prop_assert!(parse_retry_after(&text, Timestamp::default()) <= Some(Duration::MAX));
        }
    }

    #[test]
    fn obsolete_dates_are_read() {
        let now = Timestamp::from_secs(784_111_700);
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(parse_retry_after(text, now), Some(Duration::from_secs(77)), "{text}");
        }
        assert_eq!(parse_retry_after("Sunday, 06-Nov-94", now), None);
    }

    #[test]
    fn rolls_spread() {
        let rolls: Vec<f64> =
            (0..1000).map(|_| roll(trunkline_model::DeliveryId::fresh().as_str(), 1)).collect();
        let below = rolls.iter().filter(|roll| **roll < 0.5).count();
        assert!((350..650).contains(&below), "{below} of 1000 below the middle");
    }
}
