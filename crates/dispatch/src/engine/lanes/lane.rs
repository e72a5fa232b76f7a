//! The lane of one endpoint: its queues, and when it may send. Bookkeeping under the lock of [`Lanes`](super::Lanes).

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use trunkline_model::{Clock, EndpointId, Timestamp};

use super::super::work::Job;
use super::breaker::{Breaker, BreakerLimits};
use super::pace::Pace;
use super::{Effect, LOOK_LATER, LOOK_SOON, LanePolicy, Watch};

/// First attempts that wait in a lane whose endpoint keeps failing; more would only be spilled later.
const FRESH_WHEN_SLOW: usize = 8;
/// How long a first attempt may have to wait for the rate limit; with more before it, it waits in the store.
const PACED_WAIT: Duration = Duration::from_millis(200);

/// How a lane's breaker stands.
pub(super) enum Gate {
    Open,
    /// The next attempt is a probe.
    Probe,
    /// A probe is under way or waits for its turn.
    Probing,
    Shut(Timestamp),
}

pub(super) struct Lane {
    id: EndpointId,
    fresh: VecDeque<Job>,
    stored: VecDeque<Job>,
    in_flight: usize,
    policy: LanePolicy,
    pace: Option<Pace>,
    pub(super) breaker: Breaker,
    /// The endpoint is on record as failing: its next success matters.
    pub(super) is_watched: bool,
    pub(super) is_ready: bool,
    /// A timer will wake the lane.
    pub(super) is_timed: bool,
    was_stored: bool,
}

impl Lane {
    pub(super) fn new(id: EndpointId) -> Self {
        Self {
            id,
            fresh: VecDeque::new(),
            stored: VecDeque::new(),
            in_flight: 0,
            policy: LanePolicy { in_flight: 1, rate_limit: None },
            pace: None,
            breaker: Breaker::default(),
            is_watched: false,
            is_ready: false,
            is_timed: false,
            was_stored: false,
        }
    }

    pub(super) fn id(&self) -> &EndpointId {
        &self.id
    }

    pub(super) fn set_policy(&mut self, policy: LanePolicy) {
        if self.policy.rate_limit != policy.rate_limit {
            self.pace = policy.rate_limit.map(Pace::new);
        }
        self.policy = policy;
    }

    pub(super) fn queue(&mut self, job: Job) {
        if job.work.is_stored() {
            self.stored.push_back(job);
        } else {
            self.fresh.push_back(job);
        }
    }

    pub(super) fn n_stored(&self) -> usize {
        self.stored.len()
    }

    fn has_jobs(&self) -> bool {
        !self.fresh.is_empty() || !self.stored.is_empty()
    }

    pub(super) fn gate(&self, clock: &dyn Clock) -> Gate {
        match self.breaker.open_until() {
            None => Gate::Open,
            Some(until) if clock.now() < until => Gate::Shut(until),
            Some(_) if self.in_flight > 0 || self.has_jobs() => Gate::Probing,
            Some(_) => Gate::Probe,
        }
    }

    /// Whether another first attempt may wait here.
    pub(super) fn has_room(&self, most: usize) -> bool {
        let n = self.fresh.len();
        let too_slow = self.breaker.is_slow() && n >= FRESH_WHEN_SLOW
            || self.pace.as_ref().is_some_and(|pace| pace.time_for(n) > PACED_WAIT);
        n < most && !too_slow
    }

    /// When to look again whether the lane needs more stored jobs.
    pub(super) fn look_after(&self) -> Duration {
        if self.breaker.is_slow() {
            return LOOK_LATER;
        }
        let half = self.pace.as_ref().map(|pace| pace.time_for(self.stored.len() / 2));
        half.map_or(LOOK_SOON, |half| half.clamp(LOOK_SOON, LOOK_LATER))
    }

    pub(super) fn may_start(&self, clock: &dyn Clock) -> bool {
        let cap = if self.breaker.is_slow() { 1 } else { self.policy.in_flight };
        self.has_jobs()
            && self.in_flight < cap
            && self.breaker.open_until().is_none_or(|until| until <= clock.now())
    }

    /// When the rate limit allows the next attempt; `None` for now.
    pub(super) fn paced_until(&self) -> Option<Instant> {
        self.pace.as_ref()?.ready_at(Instant::now())
    }

    /// The next job that is still wanted, stored and fresh ones in turn.
    pub(super) fn take(&mut self) -> Option<(Job, Watch)> {
        loop {
            let stored_first = !self.was_stored;
            let job = if stored_first {
                self.stored.pop_front().or_else(|| self.fresh.pop_front())
            } else {
                self.fresh.pop_front().or_else(|| self.stored.pop_front())
            }?;
            self.was_stored = job.work.is_stored();
            if job.begin() {
                self.in_flight += 1;
                if let Some(pace) = &mut self.pace {
                    pace.spend(Instant::now());
                }
                return Some((job, self.watch()));
            }
        }
    }

    fn watch(&self) -> Watch {
        if self.breaker.open_until().is_some() {
            Watch::Probe
        } else if self.is_watched {
            Watch::Failing
        } else {
            Watch::None
        }
    }

    /// Ends an attempt; tells until when the breaker is open if this opened it.
    pub(super) fn end(
        &mut self,
        effect: Effect,
        watch: Watch,
        limits: BreakerLimits,
        clock: &dyn Clock,
    ) -> Option<Timestamp> {
        self.in_flight -= 1;
        match effect {
            Effect::Nothing => None,
            Effect::Took => {
                self.breaker.succeed();
                // A success that was not watched has told nobody.
                self.is_watched = self.is_watched && watch == Watch::None;
                None
            }
            Effect::Failed | Effect::Overloaded => {
                self.is_watched = true;
                self.breaker.fail(effect == Effect::Overloaded, &self.id, limits, || clock.now())
            }
        }
    }

    /// Takes out withdrawn jobs.
    pub(super) fn purge(&mut self) -> VecDeque<Job> {
        let (void, wanted) = std::mem::take(&mut self.fresh).into_iter().partition(Job::is_void);
        self.fresh = wanted;
        void
    }

    pub(super) fn take_all(&mut self) -> Vec<Job> {
        self.fresh.drain(..).chain(self.stored.drain(..)).collect()
    }
}
