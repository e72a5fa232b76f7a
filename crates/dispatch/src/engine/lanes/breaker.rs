//! How one endpoint's failures close its lane: slower first, then not at all for a while, then one probe. Pure.
//!
//! ```text
//! closed ── 5 failures in a row, or one "overloaded" ──► slow: one attempt at a time ── success ──► closed
//!   10 failures in a row ──► open until a time ── the time has come ──► one probe ── success ──► closed
//!                              ▲                                          │
//!                              └── twice as long as before, up to a limit ┘ failure
//! ```
//!
//! In memory only, and per hub: after a restart an endpoint gets its ten failures again.

use std::time::Duration;

use trunkline_model::{EndpointId, Timestamp};

use crate::retry;

/// Failures in a row after which a lane goes down to one attempt at a time.
pub(super) const FAILURES_TO_SLOW: u32 = 5;
/// The share by which a cool-down is spread at random.
const JITTER: f64 = 0.2;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BreakerLimits {
    pub(crate) failures_to_open: u32,
    /// The first cool-down; each further one is twice as long, up to `cool_down_max`.
    pub(crate) cool_down: Duration,
    pub(crate) cool_down_max: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Breaker {
    n_failures: u32,
    n_opened: u32,
    open_until: Option<Timestamp>,
}

impl Breaker {
    pub(super) fn is_slow(&self) -> bool {
        self.n_failures >= FAILURES_TO_SLOW
    }

    /// Until when nothing is sent; a time that has passed means that the next attempt is a probe.
    pub(super) fn open_until(&self) -> Option<Timestamp> {
        self.open_until
    }

    pub(super) fn succeed(&mut self) {
        if self.n_failures > 0 {
            *self = Self::default();
        }
    }

    /// Counts a failure; tells until when the breaker is open if this opened it.
    pub(super) fn fail(
        &mut self,
        is_overload: bool,
        id: &EndpointId,
        limits: BreakerLimits,
        now: impl FnOnce() -> Timestamp,
    ) -> Option<Timestamp> {
        self.n_failures = self.n_failures.saturating_add(1);
        if is_overload {
            self.n_failures = self.n_failures.max(FAILURES_TO_SLOW);
        }
        if self.n_failures < limits.failures_to_open {
            return None;
        }
        let now = now();
        // An attempt that was under way when the breaker opened says nothing new.
        if self.open_until.is_some_and(|until| now < until) {
            return None;
        }
        let doubled = limits.cool_down.saturating_mul(1 << self.n_opened.min(20));
        self.n_opened = self.n_opened.saturating_add(1);
        let roll = retry::roll(id.as_str(), self.n_opened);
        let factor = 1.0 + JITTER * (2.0 * roll - 1.0);
        let until = now.plus(doubled.min(limits.cool_down_max).mul_f64(factor));
        self.open_until = Some(until);
        Some(until)
    }

    /// Lets a probe go at once.
    pub(super) fn probe_now(&mut self, now: Timestamp) {
        self.open_until = self.open_until.map(|until| until.min(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BreakerLimits = BreakerLimits {
        failures_to_open: 10,
        cool_down: Duration::from_secs(5),
        cool_down_max: Duration::from_mins(5),
    };

    #[test]
    fn opens_longer_each_time_up_to_the_limit() {
        let (mut breaker, id) = (Breaker::default(), EndpointId::from_text("ep_1"));
        let mut now = Timestamp::from_secs(1000);
        for n in 1..10 {
            assert_eq!(breaker.fail(false, &id, LIMITS, || now), None);
            assert_eq!(breaker.is_slow(), n >= 5);
        }
        for secs in [5, 10, 20, 40, 80, 160, 300, 300] {
            let until = breaker.fail(false, &id, LIMITS, || now).unwrap();
            let wait = until.since(now).as_secs_f64() / f64::from(secs);
            assert!((0.8..=1.2).contains(&wait), "{wait} of {secs} s");
            assert_eq!(breaker.fail(false, &id, LIMITS, || now), None, "a straggler");
            now = until;
        }
        breaker.succeed();
        assert_eq!((breaker.open_until(), breaker.is_slow()), (None, false));
        assert_eq!(breaker.fail(false, &id, LIMITS, || now), None);
    }

    #[test]
    fn overload_slows_at_once() {
        let (mut breaker, id) = (Breaker::default(), EndpointId::from_text("ep_1"));
        assert_eq!(breaker.fail(true, &id, LIMITS, Timestamp::default), None);
        assert!(breaker.is_slow());
    }
}
