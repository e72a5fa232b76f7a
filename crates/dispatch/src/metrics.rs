//! Figures about deliveries. Counted by the engine, registered by the hub, served at `/metrics`.

use std::fmt::Write;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use trunkline_model::Shard;

/// A fixed word as a label value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Word(&'static str);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.write_str(self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShardLabel {
    shard: i64,
}

/// Upper bounds of the latency buckets in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0];

/// What dispatch counts. Clones share the figures.
#[derive(Debug, Clone)]
pub struct DispatchMetrics {
    attempts: Family<OutcomeLabel, Counter>,
    deliveries: Family<StateLabel, Counter>,
    spilled: Counter,
    latency: Histogram,
    in_flight: Gauge,
    breakers_open: Gauge,
    replays_running: Gauge,
    replays_planned: Counter,
    lag: Family<ShardLabel, Gauge>,
}

impl Default for DispatchMetrics {
    fn default() -> Self {
        Self {
            attempts: Family::default(),
            deliveries: Family::default(),
            spilled: Counter::default(),
            latency: Histogram::new(BUCKETS),
            in_flight: Gauge::default(),
            breakers_open: Gauge::default(),
            replays_running: Gauge::default(),
            replays_planned: Counter::default(),
            lag: Family::default(),
        }
    }
}

impl DispatchMetrics {
    /// Makes the metrics and adds them to `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let made = Self::default();
        let registry = registry.sub_registry_with_prefix("trunkline_dispatch");
        registry.register("attempts", "Delivery attempts by outcome", made.attempts.clone());
        registry.register("deliveries", "Deliveries that reached a final state", made.deliveries.clone());
        let spilled = "Deliveries stored as pending before their first attempt ended";
        registry.register("spilled", spilled, made.spilled.clone());
        registry.register("attempt_seconds", "Duration of delivery attempts", made.latency.clone());
        registry.register("in_flight", "Delivery attempts open right now", made.in_flight.clone());
        let breakers = "Endpoints whose breaker is open on this hub";
        registry.register("breakers_open", breakers, made.breakers_open.clone());
        let running = "Replay jobs that run or wait for their turn, on the hub that works on them";
        registry.register("replays_running", running, made.replays_running.clone());
        registry.register("replays_planned", "Deliveries made by replay jobs", made.replays_planned.clone());
        let lag = "Events of a shard whose deliveries are not planned and recorded yet";
        registry.register("lag_events", lag, made.lag.clone());
        made
    }

    pub(crate) fn count_attempt(&self, outcome: &'static str, seconds: f64) {
        self.attempts.get_or_create(&OutcomeLabel { outcome: Word(outcome) }).inc();
        self.latency.observe(seconds);
    }

    pub(crate) fn count_final(&self, state: &'static str) {
        self.deliveries.get_or_create(&StateLabel { state: Word(state) }).inc();
    }

    pub(crate) fn count_spilled(&self, n: u64) {
        self.spilled.inc_by(n);
    }

    pub(crate) fn set_in_flight(&self, n: usize) {
        self.in_flight.set(n as i64);
    }

    pub(crate) fn set_breakers_open(&self, n: usize) {
        self.breakers_open.set(n as i64);
    }

    pub(crate) fn set_replays_running(&self, n: i64) {
        self.replays_running.set(n);
    }

    pub(crate) fn count_replayed(&self, n: usize) {
        self.replays_planned.inc_by(n as u64);
    }

    pub(crate) fn set_lag(&self, shard: Shard, n_events: i64) {
        self.lag.get_or_create(&ShardLabel { shard }).set(n_events.max(0));
    }

    pub(crate) fn forget_shard(&self, shard: Shard) {
        self.lag.remove(&ShardLabel { shard });
    }

    /// How many attempts ended with an outcome: `succeeded` or an error class.
    pub fn n_attempts(&self, outcome: &'static str) -> u64 {
        self.attempts.get_or_create(&OutcomeLabel { outcome: Word(outcome) }).get()
    }

    /// How many endpoints have an open breaker on this hub.
    pub fn n_breakers_open(&self) -> i64 {
        self.breakers_open.get()
    }

    /// How many replay jobs run or wait for their turn, and how many deliveries this hub has made for such.
    pub fn replays(&self) -> (i64, u64) {
        (self.replays_running.get(), self.replays_planned.get())
    }

    /// How many deliveries were stored as pending before their first attempt ended.
    pub fn n_spilled(&self) -> u64 {
        self.spilled.get()
    }
}
