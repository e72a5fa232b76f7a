//! The rate limit of one lane: GCRA over the runtime's clock. Pure.
//!
//! Attempts are spread evenly, and each may start up to 10 ms early: timers have steps of a millisecond, and a lane that
//! was woken late must catch up. So a burst is at most a hundredth of a second's worth, and a pause is not saved up.

use std::time::Duration;

use tokio::time::Instant;

/// How much earlier than by the even spread an attempt may start.
const SLACK: Duration = Duration::from_millis(10);

/// The longest time between two attempts.
const LONGEST: Duration = Duration::from_hours(1);

/// When the next attempts may start.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    /// When the next attempt would start if all were spread evenly.
    next: Option<Instant>,
}

impl Pace {
    /// `per_second` is finite and greater than 0; rates below one an hour count as one an hour.
    pub(super) fn new(per_second: f64) -> Self {
        let interval = Duration::try_from_secs_f64(per_second.recip()).unwrap_or(LONGEST);
        Self { interval: interval.min(LONGEST), next: None }
    }

    /// When an attempt may start; `None` for now.
    pub(super) fn ready_at(&self, now: Instant) -> Option<Instant> {
        self.next?.checked_sub(SLACK).filter(|at| *at > now)
    }

    /// Counts an attempt that starts now.
    pub(super) fn spend(&mut self, now: Instant) {
        self.next = Some(self.next.map_or(now, |next| next.max(now)) + self.interval);
    }

    /// How long `n` attempts take.
    pub(super) fn time_for(&self, n: usize) -> Duration {
        self.interval.saturating_mul(u32::try_from(n).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts whatever may start for a while, asking every `step`; counts.
    fn starts(per_second: f64, seconds: u64, step: Duration) -> usize {
        let mut pace = Pace::new(per_second);
        let begin = Instant::now();
        let (mut now, mut n) = (begin, 0);
        while now < begin + Duration::from_secs(seconds) {
            while pace.ready_at(now).is_none() {
                pace.spend(now);
                n += 1;
            }
            now += step;
        }
        n
    }

    #[test]
    fn rates_are_kept() {
        let ms = Duration::from_millis;
        assert_eq!(starts(0.5, 5, ms(3)), 3);
        assert_eq!(starts(1.0, 5, ms(1)), 6, "the sixth starts a little early");
        assert_eq!(starts(1.0, 5, ms(30)), 5);
        assert!((30..=31).contains(&starts(10.0, 3, ms(1))));
        // Steps that are coarser than the spread lower nothing, and add no more than the slack.
        assert!((5000..=5000 + 11).contains(&starts(1000.0, 5, ms(5))));
        assert!((20_000..=20_000 + 101).contains(&starts(10_000.0, 2, ms(2))));
    }

    #[test]
    fn a_pause_is_not_saved_up() {
        let mut pace = Pace::new(2.0);
        let now = Instant::now();
        pace.spend(now);
        let later = now + Duration::from_mins(1);
        assert_eq!(pace.ready_at(later), None);
        pace.spend(later);
        assert!(pace.ready_at(later).is_some());
        assert_eq!(pace.time_for(4), Duration::from_secs(2));
    }
}
