//! Who may send next: one lane per endpoint with its own queues, in-flight cap, rate limit and breaker, round robin over
//! lanes that can go, a cap over all.
//!
//! The planners push first attempts, the retriers push stored deliveries; a lane alternates between the two. An attempt
//! runs in a *slot*, a task that takes the next job itself when one is done, so a busy engine spawns nothing.
//!
//! A lane whose endpoint keeps failing goes down to one attempt at a time, then to none for a while
//! ([`breaker`]): hanging endpoints must not use up the cap over all. While it is shut its jobs are handed back, and new
//! ones are refused, so that they wait in the store and not in memory. A lane with a rate limit ([`pace`]) that has
//! used it up is woken by a timer, at most one a lane. The others cost no clock reading and no timer.

mod breaker;
mod lane;
mod pace;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use trunkline_model::{Clock, EndpointId, Timestamp};

pub(crate) use self::breaker::BreakerLimits;
use self::lane::{Gate, Lane};
use super::work::{Finding, Job};
use crate::endpoint::DeliveryPolicy;

/// When to look at a lane again that is full enough.
const LOOK_SOON: Duration = Duration::from_millis(10);
/// The same for an endpoint that keeps failing.
const LOOK_LATER: Duration = Duration::from_millis(250);
/// How long a first attempt that meets a probe under way waits in the store.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// What an attempt says about its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It took the delivery.
    Took,
    /// It did not.
    Failed,
    /// It did not, and says that it has too much to do.
    Overloaded,
    /// Nothing: no attempt was made, or it failed inside the hub.
    Nothing,
}

/// What is special about an endpoint's next success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Nothing.
    None,
    /// The endpoint failed before.
    Failing,
    /// The attempt is a breaker's probe.
    Probe,
}

/// Runs one attempt and reports it; tells what it says about the endpoint.
pub(crate) trait Attempt: Send + Sync + 'static {
    fn run(&self, job: Job, watch: Watch) -> impl Future<Output = Effect> + Send;
    /// Called when the number of open attempts changes.
    fn in_flight(&self, n: usize);
    /// Called when the number of endpoints whose breaker is open changes.
    fn breakers_open(&self, n: usize);
}

/// The caps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LaneLimits {
    pub(crate) in_flight_total: usize,
    pub(crate) fresh_per_lane: usize,
    pub(crate) breaker: BreakerLimits,
}

/// The caps of one lane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LanePolicy {
    pub(crate) in_flight: usize,
    /// The most attempts a second.
    pub(crate) rate_limit: Option<f64>,
}

impl From<&DeliveryPolicy> for LanePolicy {
    fn from(policy: &DeliveryPolicy) -> Self {
        Self { in_flight: policy.in_flight.max(1), rate_limit: policy.rate_limit }
    }
}

/// A job was not taken in. It is to be stored as pending: until a time when the breaker is open, else due at once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) until: Option<Timestamp>,
}

/// How a lane stands, for whoever loads stored deliveries for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Takes jobs.
    Takes,
    /// Takes one job, as the breaker's probe.
    Probes,
    /// Has enough for now.
    Full { look_after: Duration },
    /// The breaker is open.
    Shut { until: Timestamp },
}

pub(crate) struct Lanes<A> {
    attempt: A,
    limits: LaneLimits,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Never shrinks: a lane is small, and endpoints are few.
    lanes: Vec<Lane>,
    index: HashMap<EndpointId, usize>,
    /// Lanes that have a job and may start it.
    ready: VecDeque<usize>,
    /// Timers to be started once the lock is free: when which lane may go on.
    timers: Vec<(Instant, usize)>,
    in_flight: usize,
    /// Lanes whose breaker is open, or waits for the outcome of a probe.
    n_shut: usize,
    is_closed: bool,
}

/// A job on its way, and where it runs.
struct Start {
    lane: usize,
    job: Job,
    watch: Watch,
}

/// What is to be done once the lock is free.
#[derive(Default)]
struct Turn {
    first: Option<Start>,
    others: Vec<Start>,
    timers: Vec<(Instant, usize)>,
    /// Jobs of a lane whose breaker has opened, until then.
    handed_back: Option<(Timestamp, Vec<Job>)>,
    in_flight: usize,
}

impl State {
    fn lane(&mut self, endpoint: &EndpointId) -> usize {
        if let Some(index) = self.index.get(endpoint) {
            return *index;
        }
        self.lanes.push(Lane::new(endpoint.clone()));
        self.index.insert(endpoint.clone(), self.lanes.len() - 1);
        self.lanes.len() - 1
    }

    fn mark(&mut self, index: usize, clock: &dyn Clock) {
        let lane = &mut self.lanes[index];
        if lane.is_ready || !lane.may_start(clock) {
            return;
        }
        match lane.paced_until() {
            None => {
                lane.is_ready = true;
                self.ready.push_back(index);
            }
            Some(at) if !lane.is_timed => {
                lane.is_timed = true;
                self.timers.push((at, index));
            }
            Some(_) => {}
        }
    }

    /// Takes the next job to start, if the cap over all allows one.
    fn pick(&mut self, total: usize, clock: &dyn Clock) -> Option<Start> {
        while self.in_flight < total {
            let index = self.ready.pop_front()?;
            let lane = &mut self.lanes[index];
            lane.is_ready = false;
            if !lane.may_start(clock) || lane.paced_until().is_some() {
                self.mark(index, clock);
                continue;
            }
            let Some((job, watch)) = lane.take() else { continue };
            self.in_flight += 1;
            self.mark(index, clock);
            return Some(Start { lane: index, job, watch });
        }
        None
    }
}

/// A place in a lane. Dropping it in a panic frees the place.
struct Slot<A: Attempt> {
    lanes: Arc<Lanes<A>>,
    /// The lane whose place is taken.
    taken: Option<usize>,
}

impl<A: Attempt> Drop for Slot<A> {
    fn drop(&mut self) {
        if let Some(index) = self.taken {
            let mut turn = self.lanes.end(index, Effect::Nothing, Watch::None);
            turn.others.extend(turn.first.take());
            Lanes::begin(&self.lanes, turn);
        }
    }
}

impl<A: Attempt> Lanes<A> {
    pub(crate) fn new(attempt: A, limits: LaneLimits, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { attempt, limits, clock, state: Mutex::default() })
    }

    /// What attempts are made with.
    pub(crate) fn attempt(&self) -> &A {
        &self.attempt
    }

    /// Queues a job; `policy` is the lane's from now on. Refuses it when the queue for fresh ones is full or too slow,
    /// when the breaker is open, and when the lanes are closed.
    pub(crate) fn push(self: &Arc<Self>, job: Job, policy: LanePolicy) -> Result<(), Refused> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if state.is_closed {
            return Err(Refused { until: None });
        }
        let index = state.lane(job.work.endpoint_id());
        let lane = &mut state.lanes[index];
        lane.set_policy(policy);
        let refused = match lane.gate(&*self.clock) {
            Gate::Shut(until) => Some(Refused { until: Some(until) }),
            Gate::Probing if !job.work.is_stored() => {
                Some(Refused { until: Some(self.clock.now().plus(PROBE_WAIT)) })
            }
            _ if !job.work.is_stored() && !lane.has_room(self.limits.fresh_per_lane) => {
                Some(Refused { until: None })
            }
            _ => None,
        };
        if let Some(refused) = refused {
            return Err(refused);
        }
        lane.queue(job);
        state.mark(index, &*self.clock);
        let next = state.pick(self.limits.in_flight_total, &*self.clock);
        let (n, timers) = (state.in_flight, std::mem::take(&mut state.timers));
        drop(guard);
        if let Some(next) = next {
            self.attempt.in_flight(n);
            self.start(next);
        }
        self.start_timers(timers);
        Ok(())
    }

    /// Drops withdrawn jobs of a lane.
    pub(crate) fn purge(&self, endpoint: &EndpointId) {
        let mut state = self.state.lock();
        let Some(index) = state.index.get(endpoint).copied() else { return };
        let void = state.lanes[index].purge();
        drop(state);
        drop(void);
    }

    /// How the lane of an endpoint stands; it is full from `enough` stored jobs on.
    pub(crate) fn load(&self, endpoint: &EndpointId, enough: usize) -> Load {
        let state = self.state.lock();
        let Some(lane) = state.index.get(endpoint).map(|index| &state.lanes[*index]) else {
            return Load::Takes;
        };
        match lane.gate(&*self.clock) {
            Gate::Shut(until) => Load::Shut { until },
            Gate::Probing => Load::Full { look_after: LOOK_LATER },
            Gate::Probe => Load::Probes,
            Gate::Open if lane.n_stored() >= enough => Load::Full { look_after: lane.look_after() },
            Gate::Open => Load::Takes,
        }
    }

    /// Says that an endpoint's next success matters: it is known to fail.
    pub(crate) fn watch(&self, endpoint: &EndpointId) {
        let mut state = self.state.lock();
        let index = state.lane(endpoint);
        state.lanes[index].is_watched = true;
    }

    /// Lets the next attempt of an endpoint go although its breaker is open: somebody asked for it.
    pub(crate) fn probe_now(&self, endpoint: &EndpointId) {
        let mut state = self.state.lock();
        if let Some(index) = state.index.get(endpoint).copied() {
            let now = self.clock.now();
            state.lanes[index].breaker.probe_now(now);
        }
    }

    /// Closes the breaker of an endpoint that was switched off, for the day it is switched on again.
    pub(crate) fn reset(&self, endpoint: &EndpointId) {
        let mut state = self.state.lock();
        if let Some(index) = state.index.get(endpoint).copied() {
            let was_shut = state.lanes[index].breaker.open_until().is_some();
            state.lanes[index].breaker.succeed();
            self.count_shut(&mut state, was_shut, false);
        }
    }

    /// Starts nothing any more and drops what waits; open attempts go on.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let jobs: Vec<Job> = state.lanes.iter_mut().flat_map(Lane::take_all).collect();
        drop(state);
        drop(jobs);
    }

    /// Ends an attempt and takes every job that can start now.
    fn end(&self, index: usize, effect: Effect, watch: Watch) -> Turn {
        let mut state = self.state.lock();
        state.in_flight -= 1;
        let lane = &mut state.lanes[index];
        let was_shut = lane.breaker.open_until().is_some();
        let opened = lane.end(effect, watch, self.limits.breaker, &*self.clock);
        let is_shut = lane.breaker.open_until().is_some();
        let handed_back = opened.map(|until| {
            tracing::info!(endpoint.id = %lane.id(), %until, "circuit open");
            (until, lane.take_all())
        });
        self.count_shut(&mut state, was_shut, is_shut);
        state.mark(index, &*self.clock);
        Turn { handed_back, ..self.turn(&mut state) }
    }

    fn count_shut(&self, state: &mut State, was_shut: bool, is_shut: bool) {
        if was_shut != is_shut {
            state.n_shut = if is_shut { state.n_shut + 1 } else { state.n_shut.saturating_sub(1) };
            self.attempt.breakers_open(state.n_shut);
        }
    }

    fn turn(&self, state: &mut State) -> Turn {
        let total = self.limits.in_flight_total;
        let first = state.pick(total, &*self.clock);
        let mut others = Vec::new();
        while let Some(start) = state.pick(total, &*self.clock) {
            others.push(start);
        }
        let timers = std::mem::take(&mut state.timers);
        Turn { first, others, timers, handed_back: None, in_flight: state.in_flight }
    }

    /// Does what a turn says, except for its first job, which is given back.
    fn begin(this: &Arc<Self>, turn: Turn) -> Option<Start> {
        this.attempt.in_flight(turn.in_flight);
        for start in turn.others {
            this.start(start);
        }
        this.start_timers(turn.timers);
        if let Some((until, jobs)) = turn.handed_back {
            for job in jobs {
                if job.begin() {
                    job.report(Finding::Held(until));
                }
            }
        }
        turn.first
    }

    fn start(self: &Arc<Self>, start: Start) {
        tokio::spawn(Self::run_slot(Arc::clone(self), start));
    }

    fn start_timers(self: &Arc<Self>, timers: Vec<(Instant, usize)>) {
        for (at, index) in timers {
            let lanes = Arc::downgrade(self);
            tokio::spawn(async move {
                tokio::time::sleep_until(at).await;
                if let Some(lanes) = lanes.upgrade() {
                    lanes.wake(index);
                }
            });
        }
    }

    /// Lets a lane go on whose rate limit allows it again.
    fn wake(self: &Arc<Self>, index: usize) {
        let mut state = self.state.lock();
        state.lanes[index].is_timed = false;
        state.mark(index, &*self.clock);
        let mut turn = self.turn(&mut state);
        drop(state);
        turn.others.extend(turn.first.take());
        Self::begin(self, turn);
    }

    async fn run_slot(self: Arc<Self>, first: Start) {
        let mut slot = Slot { lanes: self, taken: Some(first.lane) };
        let mut start = first;
        loop {
            let effect = slot.lanes.attempt.run(start.job, start.watch).await;
            slot.taken = None;
            let turn = slot.lanes.end(start.lane, effect, start.watch);
            let Some(next) = Self::begin(&slot.lanes, turn) else { return };
            slot.taken = Some(next.lane);
            start = next;
        }
    }
}

#[cfg(test)]
mod tests;
