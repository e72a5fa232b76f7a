//! Figures about API requests.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

type Labels = [(&'static str, String); 3];
type RouteLabels = [(&'static str, String); 2];

/// Counts requests by route, method and status, and measures how long they take.
#[derive(Debug, Clone)]
pub struct ApiMetrics {
    requests: Family<Labels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
}

fn histogram() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0])
}

impl ApiMetrics {
    /// Makes the metrics and registers them: `trunkline_api_requests_total` and
    /// `trunkline_api_request_duration_seconds`.
    pub fn register(registry: &mut Registry) -> Self {
        let made = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(histogram as fn() -> Histogram),
        };
        registry.register("trunkline_api_requests", "API requests answered", made.requests.clone());
        registry.register(
            "trunkline_api_request_duration_seconds",
            "Time from the head of an API request to the head of its answer",
            made.durations.clone(),
        );
        made
    }

    /// Notes one answered request. `route` is the path's template, so the number of series is bounded.
    pub(crate) fn observe(&self, route: &str, method: &str, status: u16, took: Duration) {
        let by_route = [("route", route.to_owned()), ("method", method.to_owned())];
        self.durations.get_or_create(&by_route).observe(took.as_secs_f64());
        let [route, method] = by_route;
        self.requests.get_or_create(&[route, method, ("status", status.to_string())]).inc();
    }
}
