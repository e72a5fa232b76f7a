//! Figures about workflows. Counted by the engine, registered by the hub, served at `/metrics`.

use std::fmt::Write;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
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
struct PhaseLabel {
    phase: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShardLabel {
    shard: i64,
}

/// What the engine counts. Clones share the figures.
#[derive(Debug, Clone, Default)]
pub struct FlowMetrics {
    ended: Family<PhaseLabel, Counter>,
    records: Counter,
    calls: Counter,
    loaded: Family<ShardLabel, Gauge>,
    timers: Family<ShardLabel, Gauge>,
}

impl FlowMetrics {
    /// Makes the metrics and adds them to `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let made = Self::default();
        let registry = registry.sub_registry_with_prefix("trunkline_workflow");
        registry.register("ended", "Workflow instances that came to an end, by phase", made.ended.clone());
        registry.register("records", "Durable steps of workflow instances", made.records.clone());
        registry.register(
            "calls",
            "Calls that workflow instances made, repeats included",
            made.calls.clone(),
        );
        registry.register("loaded", "Workflow instances in memory: at work right now", made.loaded.clone());
        let timers = "Timers of workflow instances that fire within a minute";
        registry.register("timers", timers, made.timers.clone());
        made
    }

    pub(crate) fn count_record(&self) {
        self.records.inc();
    }

    pub(crate) fn count_end(&self, phase: &'static str) {
        self.ended.get_or_create(&PhaseLabel { phase: Word(phase) }).inc();
    }

    pub(crate) fn count_call(&self) {
        self.calls.inc();
    }

    pub(crate) fn set(&self, shard: Shard, n_loaded: usize, n_timers: usize) {
        self.loaded.get_or_create(&ShardLabel { shard }).set(n_loaded as i64);
        self.timers.get_or_create(&ShardLabel { shard }).set(n_timers as i64);
    }

    pub(crate) fn forget(&self, shard: Shard) {
        self.loaded.remove(&ShardLabel { shard });
        self.timers.remove(&ShardLabel { shard });
    }

    /// How many durable steps were made.
    pub fn n_records(&self) -> u64 {
        self.records.get()
    }
}
