//! `[dispatch]`: outbound deliveries, their retries and limits. Used by the dispatch engine.

use std::time::Duration;

use crate::error::Problem;
use crate::reader::{Section, bounds};
use crate::syntax;

/// Holds `[dispatch]`.
#[derive(Debug, Clone, PartialEq)]
pub struct DispatchSettings {
    /// `timeout_ms`: limit of one attempt from connecting to the end of the response, 100 ms to 120 s.
    /// Default 10 s.
    pub timeout: Duration,
    /// `max_attempts`: attempts of one delivery including the first, 1 to 100. Default 5.
    pub max_attempts: u32,
    /// `backoff_ms`: waits before the second, third, … attempt, each up to 7 days; the last one repeats.
    /// Default 5, 10, 20 and 40 s.
    pub backoff: Vec<Duration>,
    /// `jitter`: share by which a wait is spread at random, 0.0 to 1.0. Default 0.2.
    pub jitter: f64,
    /// `in_flight_per_endpoint`: attempts open at once to one endpoint, 1 to 1000. Default 5.
    pub in_flight_per_endpoint: usize,
    /// `in_flight_total`: attempts open at once altogether, 1 to 100000. Default 1024.
    pub in_flight_total: usize,
    /// `user_agent`: value of the `User-Agent` header. Default: the program's name and version.
    pub user_agent: Option<String>,
    /// `https_only`: refuses endpoints with plain http URLs. Default false.
    pub https_only: bool,
    /// `local_sinks`: lets endpoints be of kinds that lead into the hub's own process (`stdout`). Default false: whoever
    /// may create endpoints could write between the hub's own lines.
    pub local_sinks: bool,
    /// `disable_after_s`: how long an endpoint may do nothing but fail until it is switched off, up to a year; 0, here
    /// `None`, is for ever. Default 5 days.
    pub disable_after: Option<Duration>,
    /// `endpoints_per_tenant`: how many endpoints a tenant may have, 1 to 1000000. Default 10000.
    pub endpoints_per_tenant: i64,
    /// `endpoints_by_portal`: beyond how many endpoints of the tenant a portal token makes none, 0 to 1000000. Default 100.
    pub endpoints_by_portal: i64,
}

impl Default for DispatchSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            max_attempts: 5,
            backoff: [5, 10, 20, 40].map(Duration::from_secs).to_vec(),
            jitter: 0.2,
            in_flight_per_endpoint: 5,
            in_flight_total: 1024,
            user_agent: None,
            https_only: false,
            local_sinks: false,
            disable_after: Some(Duration::from_hours(5 * 24)),
            endpoints_per_tenant: 10_000,
            endpoints_by_portal: 100,
        }
    }
}

impl DispatchSettings {
    pub(crate) fn read(mut section: Section<'_>) -> Self {
        let s = &mut section;
        let d = Self::default();
        let per_endpoint = bounds(1, 1000, "attempts");
        let total = bounds(1, 100_000, "attempts");
        let disable_after_s = s.number(
            "disable_after_s",
            bounds(0, 365 * 86_400, "seconds"),
            d.disable_after.map_or(0, |after| after.as_secs()),
        );
        let timeout_ms =
            s.number("timeout_ms", bounds(100, 120_000, "milliseconds"), d.timeout.as_millis() as u64);
        let read = Self {
            timeout: Duration::from_millis(timeout_ms),
            max_attempts: s.number("max_attempts", bounds(1, 100, "attempts"), u64::from(d.max_attempts))
                as u32,
            backoff: read_backoff(s).unwrap_or(d.backoff),
            jitter: s.fraction("jitter", d.jitter),
            in_flight_per_endpoint: s.number(
                "in_flight_per_endpoint",
                per_endpoint,
                d.in_flight_per_endpoint as u64,
            ) as usize,
            in_flight_total: s.number("in_flight_total", total, d.in_flight_total as u64) as usize,
            user_agent: s.parsed("user_agent", syntax::header_text),
            https_only: s.flag("https_only", d.https_only),
            local_sinks: s.flag("local_sinks", d.local_sinks),
            endpoints_per_tenant: s.number(
                "endpoints_per_tenant",
                bounds(1, 1_000_000, "endpoints"),
                d.endpoints_per_tenant.unsigned_abs(),
            ) as i64,
            endpoints_by_portal: s.number(
                "endpoints_by_portal",
                bounds(0, 1_000_000, "endpoints"),
                d.endpoints_by_portal.unsigned_abs(),
            ) as i64,
            disable_after: (disable_after_s > 0).then(|| Duration::from_secs(disable_after_s)),
        };
        section.finish(|_| None);
        read
    }
}

fn read_backoff(section: &mut Section<'_>) -> Option<Vec<Duration>> {
    let origin = section.place("backoff_ms");
    let waits = section.numbers("backoff_ms", bounds(0, 7 * 86_400_000, "milliseconds"))?;
    if (1..=100).contains(&waits.len()) {
        return Some(waits.into_iter().map(Duration::from_millis).collect());
    }
    let problem = Problem::new("must hold 1 to 100 waits", "write for example [5000, 10000, 20000, 40000]");
    // Faulty elements are left out and already reported; only a list given empty is news.
    if waits.len() > 100 || !section.has_faults_below("backoff_ms") {
        section.fault("backoff_ms", origin, problem);
    }
    None
}
