//! Ingest's counters as Prometheus figures. Ingest counts with plain atomics on its hot path; they are read when somebody
//! asks for `/metrics`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;
use trunkline_ingest::{Ingest, SourceStats};

/// Adds ingest's figures to the registry: `trunkline_ingest_requests_total` by source and outcome, among others.
pub(super) fn register(registry: &mut Registry, ingest: &Ingest) {
    registry.register_collector(Box::new(Figures(ingest.clone())));
}

#[derive(Debug)]
struct Figures(Ingest);

fn outcomes(stats: &SourceStats) -> [(&'static str, u64); 8] {
    [
        ("accepted", stats.accepted),
        ("repeated", stats.repeated),
        ("quarantined", stats.quarantined),
        ("handshake", stats.handshakes),
        ("refused", stats.refused),
        ("rate_limited", stats.rate_limited),
        ("unreadable", stats.unreadable),
        ("failed", stats.failed),
    ]
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let stats = self.0.stats();
        let help = "Webhook calls by source and outcome";
        let mut requests =
            encoder.encode_descriptor("trunkline_ingest_requests", help, None, MetricType::Counter)?;
        for source in &stats.sources {
            for (outcome, count) in outcomes(source) {
                let labels = [("source", source.name.as_str()), ("outcome", outcome)];
                ConstCounter::new(count).encode(requests.encode_family(&labels)?)?;
            }
        }
        let help = "Refused calls that were only counted, because too many came";
        let name = "trunkline_ingest_refused_unrecorded";
        let mut unrecorded = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for source in &stats.sources {
            let labels = [("source", source.name.as_str())];
            ConstCounter::new(source.refused_unrecorded).encode(unrecorded.encode_family(&labels)?)?;
        }
        let help = "Calls to sources that do not exist";
        let unknown =
            encoder.encode_descriptor("trunkline_ingest_unknown_source", help, None, MetricType::Counter)?;
        ConstCounter::new(stats.unknown_source).encode(unknown)
    }
}
