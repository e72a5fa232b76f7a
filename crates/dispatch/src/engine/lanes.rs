//! Who may send next: one lane per endpoint with its own queues and in-flight cap, round robin over lanes that can go,
//! a cap over all.
//!
//! The planners push first attempts, the retriers push stored deliveries; a lane alternates between the two. An attempt
//! runs in a *slot*, a task that takes the next job itself when one is done, so a busy engine spawns nothing.
//! A lane whose endpoint keeps failing goes down to one attempt at a time until something succeeds: hanging endpoints
//! must not use up the cap over all.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use trunkline_model::EndpointId;

use super::work::Job;

/// Failures in a row after which a lane goes down to one attempt at a time.
const FAILURES_TO_SLOW: u32 = 5;

/// Runs one attempt and reports it; tells whether it succeeded.
pub(crate) trait Attempt: Send + Sync + 'static {
    fn run(&self, job: Job) -> impl Future<Output = bool> + Send;
    /// Called when the number of open attempts changes.
    fn in_flight(&self, n: usize);
}

/// The caps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LaneLimits {
    pub(crate) in_flight_total: usize,
    pub(crate) fresh_per_lane: usize,
}

pub(crate) struct Lanes<A> {
    attempt: A,
    limits: LaneLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Never shrinks: a lane is small, and endpoints are few.
    lanes: Vec<Lane>,
    index: HashMap<EndpointId, usize>,
    /// Lanes that have a job and may start it.
    ready: VecDeque<usize>,
    in_flight: usize,
    is_closed: bool,
}

#[derive(Default)]
struct Lane {
    fresh: VecDeque<Job>,
    stored: VecDeque<Job>,
    in_flight: usize,
    cap: usize,
    n_failures: u32,
    is_ready: bool,
    was_stored: bool,
}

impl Lane {
    fn has_jobs(&self) -> bool {
        !self.fresh.is_empty() || !self.stored.is_empty()
    }

    fn may_start(&self) -> bool {
        let cap = if self.n_failures >= FAILURES_TO_SLOW { 1 } else { self.cap };
        self.has_jobs() && self.in_flight < cap
    }

    /// The next job that is still wanted, stored and fresh ones in turn.
    fn take(&mut self) -> Option<Job> {
        loop {
            let stored_first = !self.was_stored;
            let job = if stored_first {
                self.stored.pop_front().or_else(|| self.fresh.pop_front())
            } else {
                self.fresh.pop_front().or_else(|| self.stored.pop_front())
            }?;
            self.was_stored = job.work.is_stored();
            if job.begin() {
                return Some(job);
            }
        }
    }
}

impl State {
    fn lane(&mut self, endpoint: &EndpointId) -> usize {
        if let Some(index) = self.index.get(endpoint) {
            return *index;
        }
        self.lanes.push(Lane::default());
        self.index.insert(endpoint.clone(), self.lanes.len() - 1);
        self.lanes.len() - 1
    }

    fn mark(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        if !lane.is_ready && lane.may_start() {
            lane.is_ready = true;
            self.ready.push_back(index);
        }
    }

    /// Takes the next job to start, if the cap over all allows one.
    fn pick(&mut self, total: usize) -> Option<(usize, Job)> {
        while self.in_flight < total {
            let index = self.ready.pop_front()?;
            let lane = &mut self.lanes[index];
            lane.is_ready = false;
            if !lane.may_start() {
                continue;
            }
            let Some(job) = lane.take() else { continue };
            lane.in_flight += 1;
            self.in_flight += 1;
            self.mark(index);
            return Some((index, job));
        }
        None
    }

    fn end(&mut self, index: usize, succeeded: bool) {
        let lane = &mut self.lanes[index];
        lane.in_flight -= 1;
        lane.n_failures = if succeeded { 0 } else { lane.n_failures.saturating_add(1) };
        self.in_flight -= 1;
        self.mark(index);
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
            let next = self.lanes.next_after(index, false);
            Lanes::start(&self.lanes, next);
        }
    }
}

/// Jobs that can start now.
type Startable = Vec<(usize, Job)>;

impl<A: Attempt> Lanes<A> {
    pub(crate) fn new(attempt: A, limits: LaneLimits) -> Arc<Self> {
        Arc::new(Self { attempt, limits, state: Mutex::default() })
    }

    /// Queues a job; `cap` is the lane's in-flight cap from now on. Gives the job back when the queue for fresh ones is
    /// full or the lanes are closed.
    pub(crate) fn push(self: &Arc<Self>, job: Job, cap: usize) -> Result<(), Job> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if state.is_closed {
            return Err(job);
        }
        let index = state.lane(job.work.endpoint_id());
        let lane = &mut state.lanes[index];
        lane.cap = cap.max(1);
        if job.work.is_stored() {
            lane.stored.push_back(job);
        } else if lane.fresh.len() < self.limits.fresh_per_lane {
            lane.fresh.push_back(job);
        } else {
            return Err(job);
        }
        state.mark(index);
        let next = state.pick(self.limits.in_flight_total);
        let n = state.in_flight;
        drop(guard);
        if next.is_some() {
            self.attempt.in_flight(n);
        }
        if let Some(next) = next {
            Self::start(self, vec![next]);
        }
        Ok(())
    }

    /// Drops withdrawn jobs of a lane.
    pub(crate) fn purge(&self, endpoint: &EndpointId) {
        let mut state = self.state.lock();
        let Some(index) = state.index.get(endpoint).copied() else { return };
        let fresh = &mut state.lanes[index].fresh;
        let (void, wanted): (VecDeque<Job>, _) = std::mem::take(fresh).into_iter().partition(Job::is_void);
        *fresh = wanted;
        drop(state);
        drop(void);
    }

    /// How many stored jobs wait in a lane, and whether its endpoint keeps failing.
    pub(crate) fn stored_load(&self, endpoint: &EndpointId) -> (usize, bool) {
        let state = self.state.lock();
        state.index.get(endpoint).map_or((0, false), |index| {
            let lane = &state.lanes[*index];
            (lane.stored.len(), lane.n_failures >= FAILURES_TO_SLOW)
        })
    }

    /// Starts nothing any more and drops what waits; open attempts go on.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let jobs: Vec<Job> = state
            .lanes
            .iter_mut()
            .flat_map(|lane| lane.fresh.drain(..).chain(lane.stored.drain(..)).collect::<Vec<_>>())
            .collect();
        drop(state);
        drop(jobs);
    }

    /// Ends an attempt and takes every job that can start now.
    fn next_after(&self, ended: usize, succeeded: bool) -> Startable {
        let (first, mut others) = self.swap(ended, succeeded);
        others.extend(first);
        others
    }

    fn swap(&self, ended: usize, succeeded: bool) -> (Option<(usize, Job)>, Startable) {
        let mut state = self.state.lock();
        state.end(ended, succeeded);
        let first = state.pick(self.limits.in_flight_total);
        let mut others = Vec::new();
        while let Some(picked) = state.pick(self.limits.in_flight_total) {
            others.push(picked);
        }
        self.attempt.in_flight(state.in_flight);
        (first, others)
    }

    fn start(this: &Arc<Self>, jobs: Startable) {
        for (index, job) in jobs {
            tokio::spawn(Self::run_slot(Arc::clone(this), index, job));
        }
    }

    async fn run_slot(self: Arc<Self>, index: usize, first: Job) {
        let mut slot = Slot { lanes: self, taken: Some(index) };
        let (mut index, mut job) = (index, first);
        loop {
            let succeeded = slot.lanes.attempt.run(job).await;
            slot.taken = None;
            let (first, others) = slot.lanes.swap(index, succeeded);
            Self::start(&slot.lanes, others);
            let Some(next) = first else { return };
            (index, job) = next;
            slot.taken = Some(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, watch};
    use trunkline_model::{EventRecord, Timestamp};

    use super::super::work::{Finding, Outgoing, Plan, PlanTarget, Work};
    use super::*;

    /// Reports at once when its gate is open; fails for endpoints named `bad`.
    struct Scripted(watch::Receiver<bool>);

    impl Attempt for Scripted {
        async fn run(&self, job: Job) -> bool {
            let mut gate = self.0.clone();
            drop(gate.wait_for(|is_open| *is_open).await);
            let succeeds = job.work.endpoint_id().as_str() != "bad";
            job.report(Finding::Postponed);
            succeeds
        }

        fn in_flight(&self, _: usize) {}
    }

    fn plan(endpoint: &str) -> Arc<Plan> {
        let record = EventRecord {
            shard: 0,
            seq: 1,
            recorded_at: Timestamp::default(),
            event: trunkline_testkit::event::event("a.b", "x"),
            request_head: None,
        };
        Arc::new(Plan {
            ticket: 0,
            outgoing: Outgoing::new(record),
            planned_at: Timestamp::default(),
            targets: vec![PlanTarget::new(EndpointId::from_text(endpoint))],
        })
    }

    fn setup(total: usize) -> (Arc<Lanes<Scripted>>, watch::Sender<bool>) {
        let (gate, is_open) = watch::channel(false);
        let limits = LaneLimits { in_flight_total: total, fresh_per_lane: 4 };
        (Lanes::new(Scripted(is_open), limits), gate)
    }

    #[tokio::test]
    async fn lanes_take_turns_within_the_caps() {
        let (lanes, gate) = setup(2);
        let (reports, mut came) = mpsc::unbounded_channel();
        let push = |endpoint: &str| {
            let work = Work::Fresh { plan: plan(endpoint), index: 0 };
            lanes.push(Job { work, reports: reports.clone() }, 1).is_ok()
        };
        assert!([push("a"), push("a"), push("a"), push("b"), push("c")].iter().all(|taken| *taken));
        gate.send_replace(true);
        let mut order = String::new();
        for _ in 0..5 {
            order.push_str(came.recv().await.unwrap().work.endpoint_id().as_str());
        }
        order.retain(|endpoint| endpoint != 'b');
        assert_eq!(order, "acaa", "c has its turn before the rest of a");
        assert_eq!(lanes.state.lock().in_flight, 0);
    }

    #[tokio::test]
    async fn full_withdrawn_and_closed() {
        let (lanes, gate) = setup(1);
        let (reports, mut came) = mpsc::unbounded_channel();
        let push = |plan: &Arc<Plan>| {
            let work = Work::Fresh { plan: Arc::clone(plan), index: 0 };
            lanes.push(Job { work, reports: reports.clone() }, 1).is_ok()
        };
        let plans = [(); 6].map(|()| plan("a"));
        let taken = plans.each_ref().map(push);
        assert_eq!(taken, [true, true, true, true, true, false], "one runs, four wait");
        assert!(!plans[0].targets[0].withdraw(), "the first has started");
        assert!(plans[1].targets[0].withdraw());
        lanes.purge(&EndpointId::from_text("a"));
        assert_eq!(lanes.state.lock().lanes[0].fresh.len(), 3);
        lanes.close();
        assert!(!push(&plan("a")));
        gate.send_replace(true);
        assert!(came.recv().await.is_some());
        drop(reports);
        assert!(came.recv().await.is_none(), "what waited is dropped");
    }

    #[tokio::test]
    async fn a_failing_lane_slows_down() {
        let (lanes, gate) = setup(100);
        gate.send_replace(true);
        let (reports, mut came) = mpsc::unbounded_channel();
        let id = EndpointId::from_text("bad");
        for _ in 0..FAILURES_TO_SLOW {
            let work = Work::Fresh { plan: plan("bad"), index: 0 };
            assert!(lanes.push(Job { work, reports: reports.clone() }, 50).is_ok());
            assert!(came.recv().await.is_some());
        }
        while lanes.state.lock().in_flight > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(lanes.stored_load(&id), (0, true));
        gate.send_replace(false);
        for _ in 0..3 {
            let work = Work::Fresh { plan: plan("bad"), index: 0 };
            assert!(lanes.push(Job { work, reports: reports.clone() }, 50).is_ok());
        }
        assert_eq!(lanes.state.lock().in_flight, 1);
    }
}
