//! Lanes with a scripted attempt.

use tokio::sync::{mpsc, watch};
use trunkline_model::{EventRecord, ManualClock};

use super::super::work::{Outgoing, Plan, PlanTarget, Report, Work};
use super::breaker::FAILURES_TO_SLOW;
use super::*;

/// Reports at once when its gate is open; fails for endpoints named `bad` until they are healed.
struct Scripted {
    gate: watch::Receiver<bool>,
    is_healed: watch::Receiver<bool>,
    watched: mpsc::UnboundedSender<Watch>,
    n_shut: watch::Sender<usize>,
}

impl Attempt for Scripted {
    async fn run(&self, job: Job, watch: Watch) -> Effect {
        let mut gate = self.gate.clone();
        drop(gate.wait_for(|is_open| *is_open).await);
        let is_bad = job.work.endpoint_id().as_str() == "bad" && !*self.is_healed.borrow();
        job.report(Finding::Postponed);
        assert!(self.watched.send(watch).is_ok());
        if is_bad { Effect::Failed } else { Effect::Took }
    }

    fn in_flight(&self, _: usize) {}

    fn breakers_open(&self, n: usize) {
        self.n_shut.send_replace(n);
    }
}

struct Setup {
    lanes: Arc<Lanes<Scripted>>,
    gate: watch::Sender<bool>,
    heal: watch::Sender<bool>,
    clock: Arc<ManualClock>,
    watched: mpsc::UnboundedReceiver<Watch>,
    reports: mpsc::UnboundedSender<Report>,
    n_shut: watch::Receiver<usize>,
    came: mpsc::UnboundedReceiver<Report>,
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
        targets: vec![PlanTarget::new(EndpointId::from_text(endpoint), false)],
    })
}

fn policy(in_flight: usize, rate_limit: Option<f64>) -> LanePolicy {
    LanePolicy { in_flight, rate_limit }
}

impl Setup {
    fn new(total: usize) -> Self {
        let (gate, is_open) = watch::channel(false);
        let (heal, is_healed) = watch::channel(false);
        let (tell, watched) = mpsc::unbounded_channel();
        let (reports, came) = mpsc::unbounded_channel();
        let breaker = BreakerLimits {
            failures_to_open: 10,
            cool_down: Duration::from_secs(5),
            cool_down_max: Duration::from_mins(5),
        };
        let limits = LaneLimits { in_flight_total: total, fresh_per_lane: 4, breaker };
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_secs(1_000)));
        let (count_shut, n_shut) = watch::channel(0);
        let attempt = Scripted { gate: is_open, is_healed, watched: tell, n_shut: count_shut };
        let lanes = Lanes::new(attempt, limits, Arc::clone(&clock) as Arc<dyn Clock>);
        Self { lanes, gate, heal, clock, watched, reports, n_shut, came }
    }

    fn push_plan(&self, plan: &Arc<Plan>, policy: LanePolicy) -> Result<(), Refused> {
        let work = Work::Fresh { plan: Arc::clone(plan), index: 0 };
        self.lanes.push(Job { work, reports: self.reports.clone() }, policy)
    }

    fn push(&self, endpoint: &str, in_flight: usize) -> Result<(), Refused> {
        self.push_plan(&plan(endpoint), policy(in_flight, None))
    }

    async fn idle(&self) {
        while self.lanes.state.lock().in_flight > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Makes one attempt after the other.
    async fn attempts(&mut self, endpoint: &str, n: u32) {
        for _ in 0..n {
            self.push(endpoint, 50).unwrap();
            assert!(self.came.recv().await.is_some());
            self.idle().await;
        }
    }
}

#[tokio::test]
async fn lanes_take_turns_within_the_caps() {
    let mut setup = Setup::new(2);
    for endpoint in ["a", "a", "a", "b", "c"] {
        setup.push(endpoint, 1).unwrap();
    }
    setup.gate.send_replace(true);
    let mut order = String::new();
    for _ in 0..5 {
        order.push_str(setup.came.recv().await.unwrap().work.endpoint_id().as_str());
    }
    order.retain(|endpoint| endpoint != 'b');
    assert_eq!(order, "acaa", "c has its turn before the rest of a");
    setup.idle().await;
}

#[tokio::test]
async fn full_withdrawn_and_closed() {
    let mut setup = Setup::new(1);
    let plans = [(); 6].map(|()| plan("a"));
    let taken = plans.each_ref().map(|plan| setup.push_plan(plan, policy(1, None)).is_ok());
    assert_eq!(taken, [true, true, true, true, true, false], "one runs, four wait");
    assert!(!plans[0].targets[0].withdraw(), "the first has started");
    assert!(plans[1].targets[0].withdraw());
    setup.lanes.purge(&EndpointId::from_text("a"));
    assert_eq!(setup.lanes.state.lock().lanes[0].take_all().len(), 3);
    setup.lanes.close();
    assert_eq!(setup.push("a", 1), Err(Refused { until: None }));
    setup.gate.send_replace(true);
    assert!(setup.came.recv().await.is_some());
    let Setup { lanes, reports, mut came, .. } = setup;
    drop((lanes, reports));
    assert!(came.recv().await.is_none(), "what waited is dropped");
}

#[tokio::test]
async fn a_failing_lane_slows_down() {
    let mut setup = Setup::new(100);
    setup.gate.send_replace(true);
    setup.attempts("bad", FAILURES_TO_SLOW).await;
    setup.gate.send_replace(false);
    for _ in 0..3 {
        setup.push("bad", 50).unwrap();
    }
    assert_eq!(setup.lanes.state.lock().in_flight, 1);
}

#[tokio::test]
async fn an_open_breaker_hands_back_and_lets_one_probe_through() {
    let mut setup = Setup::new(100);
    let id = EndpointId::from_text("bad");
    setup.gate.send_replace(true);
    setup.attempts("bad", 9).await;
    setup.gate.send_replace(false);
    for _ in 0..3 {
        setup.push("bad", 50).unwrap();
    }
    setup.gate.send_replace(true);
    let mut found = Vec::new();
    for _ in 0..3 {
        found.push(setup.came.recv().await.unwrap().finding);
    }
    setup.idle().await;
    assert!(matches!(found[0], Finding::Postponed), "the tenth attempt");
    let Finding::Held(until) = found[1] else { panic!("not handed back") };
    assert!(matches!(found[2], Finding::Held(again) if again == until));
    assert_eq!(setup.push("bad", 50), Err(Refused { until: Some(until) }));
    assert_eq!(setup.lanes.load(&id, 5), Load::Shut { until });
    assert_eq!(*setup.n_shut.borrow(), 1);

    setup.clock.advance(Duration::from_secs(7));
    assert_eq!(setup.lanes.load(&id, 5), Load::Probes);
    setup.gate.send_replace(false);
    setup.push("bad", 50).unwrap();
    assert!(setup.push("bad", 50).is_err(), "one probe and no more");
    assert!(matches!(setup.lanes.load(&id, 5), Load::Full { .. }));
    setup.gate.send_replace(true);
    setup.idle().await;
    assert!(matches!(setup.lanes.load(&id, 5), Load::Shut { until: next } if next > until));

    setup.lanes.probe_now(&id);
    setup.heal.send_replace(true);
    setup.push("bad", 50).unwrap();
    setup.idle().await;
    assert_eq!(setup.lanes.load(&id, 5), Load::Takes);
    setup.push("bad", 50).unwrap();
    setup.idle().await;
    let mut watched = Vec::new();
    while let Ok(watch) = setup.watched.try_recv() {
        watched.push(watch);
    }
    assert_eq!(watched[0], Watch::None);
    assert_eq!(watched[1..10], [Watch::Failing; 9]);
    assert_eq!(watched[10..], [Watch::Probe, Watch::Probe, Watch::None], "told once");
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_wakes_its_lane_by_a_timer() {
    let mut setup = Setup::new(100);
    setup.gate.send_replace(true);
    let begin = Instant::now();
    for _ in 0..3 {
        setup.push_plan(&plan("a"), policy(5, Some(10.0))).unwrap();
    }
    setup.push("b", 5).unwrap();
    let mut times = Vec::new();
    for _ in 0..4 {
        let report = setup.came.recv().await.unwrap();
        times.push((report.work.endpoint_id().as_str().to_owned(), begin.elapsed().as_millis()));
    }
    times.sort();
    let late: Vec<_> = times.iter().map(|(endpoint, at)| (endpoint.as_str(), at.div_ceil(50) * 50)).collect();
    assert_eq!(late, [("a", 0), ("a", 100), ("a", 200), ("b", 0)]);
    // What would wait too long is better off in the store.
    for _ in 0..3 {
        setup.push_plan(&plan("a"), policy(5, Some(1.0))).unwrap_or(());
    }
    assert_eq!(setup.push_plan(&plan("a"), policy(5, Some(1.0))), Err(Refused { until: None }));
}
