//! Figures about live connections. Counted here, registered by the hub, served at `/metrics`.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::ending::Ending;

type Labels = [(&'static str, &'static str); 1];

/// What live updates count. Clones share the figures.
#[derive(Debug, Clone, Default)]
pub struct LiveMetrics {
    pub(crate) connections: Gauge,
    pub(crate) subscriptions: Gauge,
    pub(crate) sent: Counter,
    pub(crate) published: Counter,
    closed: Family<Labels, Counter>,
    resumed: Family<Labels, Counter>,
    refused: Family<Labels, Counter>,
}

impl LiveMetrics {
    /// Makes the metrics and adds them to `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let made = Self::default();
        let registry = registry.sub_registry_with_prefix("trunkline_live");
        registry.register(
            "connections",
            "Live connections of clients that are known",
            made.connections.clone(),
        );
        registry.register("subscriptions", "Rooms joined, over all connections", made.subscriptions.clone());
        registry.register("events_sent", "Events sent over live connections", made.sent.clone());
        registry.register("events_published", "Events taken from live connections", made.published.clone());
        registry.register(
            "connections_closed",
            "Live connections that ended, by reason",
            made.closed.clone(),
        );
        let resumed = "Clients that came back: from memory, from the journal, or with a gap";
        registry.register("resumes", resumed, made.resumed.clone());
        let refused = "Requests to connect, and frames, that were refused, by code";
        registry.register("refused", refused, made.refused.clone());
        made
    }

    pub(crate) fn count_closed(&self, ending: Ending) {
        self.closed.get_or_create(&[("reason", ending.as_str())]).inc();
    }

    pub(crate) fn count_resumed(&self, from: &'static str) {
        self.resumed.get_or_create(&[("from", from)]).inc();
    }

    pub(crate) fn count_refused(&self, code: &'static str) {
        self.refused.get_or_create(&[("code", code)]).inc();
    }
}
