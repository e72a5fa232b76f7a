//! `/api/v1/webhooks/analytics` and `/api/v1/webhooks/{id}/analytics`: success, latency and endings over time, by endpoint
//! and event type.
//!
//! Read from sums in buckets of time, never counted from the history; the sums lag a few seconds behind.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use trunkline_model::{ErrorCode, Tenant, Timestamp};
use trunkline_store::tables::delivery_stats::{
    LATENCY_BOUNDS_US, StatsCounts, StatsFilter, StatsGroup, StatsKey, StatsWidth, delivery_stats_list,
};
use trunkline_store::tables::endpoint::endpoint_get;
use utoipa::ToSchema;

use super::answers::json;
use crate::auth::portal::{self, Access, PortalScope};
use crate::auth::{Permit, grants};
use crate::input::{Field, Id, Input, Kind, Query, Text};
use crate::openapi::{Answer, Operation};
use crate::problem::Problem;
use crate::state::ApiState;

/// The most points of a series.
const MAX_POINTS: i64 = 1000;
/// The most groups answered.
const MAX_GROUPS: usize = 100;
/// What is shown when no time is asked for.
const DEFAULT_SPAN_S: u64 = 24 * 60 * 60;
/// The fewest points for which a finer interval is chosen by itself.
const DEFAULT_POINTS: i64 = 400;
const INTERVALS: [(&str, StatsWidth); 3] =
    [("5m", StatsWidth::FiveMinutes), ("1h", StatsWidth::Hour), ("1d", StatsWidth::Day)];
const INTERVAL_NAMES: [&str; 3] = [INTERVALS[0].0, INTERVALS[1].0, INTERVALS[2].0];

const SINCE: Field = Field::optional("since", Kind::Time, "From this time. Default: a day before `until`.");
const UNTIL: Field = Field::optional("until", Kind::Time, "Up to this time. Default: now.");
const EVENT_TYPE: Field =
    Field::optional("event_type", Kind::Text(Text::line(1, 255)), "Only this event type.");
const INTERVAL: Field = Field::optional(
    "interval",
    Kind::Choice(&INTERVAL_NAMES),
    "The step of the series: `5m` reaches back two days, `1h` 90 days, `1d` two years. Chosen by the time asked for when \
     absent. A series has at most 1000 steps.",
);

static ALL: &[Field] = &[
    SINCE,
    UNTIL,
    Field::optional("endpoint_id", Kind::Text(Text::line(1, 64)), "Only this endpoint."),
    EVENT_TYPE,
    INTERVAL,
    Field::optional(
        "group_by",
        Kind::Choice(&["none", "endpoint", "type"]),
        "Also figures of each endpoint or event type. Default `none`.",
    ),
];
static OF_ENDPOINT: &[Field] = &[
    SINCE,
    UNTIL,
    EVENT_TYPE,
    INTERVAL,
    Field::optional(
        "group_by",
        Kind::Choice(&["none", "type"]),
        "Also figures of each event type. Default `none`.",
    ),
];

const DETAILS: &str = "Sums in steps of time, at most a few seconds behind. `since` and `until` are widened to whole steps of the \
    interval. Steps without anything are left out of the series. Groups are the 100 with the most attempts.";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/api/v1/webhooks/analytics", "getAnalytics", analytics)
            .about("webhooks", "Shows success, latency and endings over time")
            .details(DETAILS)
            .permit::<grants::DeliveriesRead>()
            .portal(Access::Scoped)
            .query(ALL)
            .answer(Answer::json::<Analytics>(200, "The figures."))
            .problems(&[ErrorCode::EndpointNotFound]),
        Operation::get("/api/v1/webhooks/{id}/analytics", "getWebhookAnalytics", of_endpoint)
            .about("webhooks", "Shows success, latency and endings of one endpoint over time")
            .details(DETAILS)
            .permit::<grants::DeliveriesRead>()
            .portal(Access::EndpointInPath)
            .id_of("ep_")
            .query(OF_ENDPOINT)
            .answer(Answer::json::<Analytics>(200, "The figures."))
            .problems(&[ErrorCode::EndpointNotFound]),
    ]
}

/// Figures of a time.
#[derive(Debug, Serialize, ToSchema)]
struct Analytics {
    #[schema(format = DateTime)]
    since: String,
    #[schema(format = DateTime)]
    until: String,
    /// `5m`, `1h` or `1d`.
    interval: &'static str,
    totals: AnalyticsFigures,
    /// Oldest first; steps without anything are left out.
    series: Vec<AnalyticsPoint>,
    /// The ones with the most attempts first; only with `group_by`.
    groups: Vec<AnalyticsGroup>,
    /// Whether there are more groups than these.
    has_more_groups: bool,
}

/// Figures of one step of time.
#[derive(Debug, Serialize, ToSchema)]
struct AnalyticsPoint {
    /// Where the step begins.
    #[schema(format = DateTime)]
    at: String,
    #[serde(flatten)]
    figures: AnalyticsFigures,
}

/// Figures of one endpoint or event type.
#[derive(Debug, Serialize, ToSchema)]
struct AnalyticsGroup {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    endpoint_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    event_type: Option<String>,
    #[serde(flatten)]
    figures: AnalyticsFigures,
}

/// What came of attempts and deliveries.
#[derive(Debug, Serialize, ToSchema)]
struct AnalyticsFigures {
    /// Attempts made.
    #[schema(minimum = 0)]
    n_attempts: i64,
    /// Attempts that the endpoint took.
    #[schema(minimum = 0)]
    n_successes: i64,
    /// Attempts that failed.
    #[schema(minimum = 0)]
    n_failures: i64,
    failures: AnalyticsFailures,
    /// The share of the attempts that the endpoint took; absent when there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = f64, minimum = 0, maximum = 1)]
    success_rate: Option<f64>,
    deliveries: AnalyticsDeliveries,
    /// How long answered attempts took; absent when there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = AnalyticsLatency)]
    latency_ms: Option<AnalyticsLatency>,
}

/// Failed attempts by the family of their error class.
#[derive(Debug, Serialize, ToSchema)]
struct AnalyticsFailures {
    #[schema(minimum = 0)]
    http_4xx: i64,
    #[schema(minimum = 0)]
    http_5xx: i64,
    /// Redirects and other statuses.
    #[schema(minimum = 0)]
    http_other: i64,
    /// No connection or no answer in time.
    #[schema(minimum = 0)]
    timeout: i64,
    /// DNS, refused and broken connections, TLS, bad answers.
    #[schema(minimum = 0)]
    network: i64,
    /// The hub could or would not send: a refused address, an unusable endpoint, a body that could not be made.
    #[schema(minimum = 0)]
    hub: i64,
}

/// Deliveries that ended.
#[derive(Debug, Serialize, ToSchema)]
struct AnalyticsDeliveries {
    #[schema(minimum = 0)]
    succeeded: i64,
    #[schema(minimum = 0)]
    exhausted: i64,
    #[schema(minimum = 0)]
    cancelled: i64,
}

/// Percentiles in milliseconds, estimated from buckets: five a decade, from 1 ms to 25 s.
#[derive(Debug, Serialize, ToSchema)]
struct AnalyticsLatency {
    #[schema(minimum = 0)]
    p50: f64,
    #[schema(minimum = 0)]
    p95: f64,
    #[schema(minimum = 0)]
    p99: f64,
}

impl From<&StatsCounts> for AnalyticsFigures {
    fn from(counts: &StatsCounts) -> Self {
        let [http_4xx, http_5xx, http_other, timeout, network, hub] = counts.failures;
        let [succeeded, exhausted, cancelled] = counts.ended;
        let n_attempts = counts.n_attempts();
        let percentile = |share| percentile_ms(counts, share);
        Self {
            n_attempts,
            n_successes: counts.n_successes,
            n_failures: counts.n_failures(),
            failures: AnalyticsFailures { http_4xx, http_5xx, http_other, timeout, network, hub },
            success_rate: (n_attempts > 0).then(|| counts.n_successes as f64 / n_attempts as f64),
            deliveries: AnalyticsDeliveries { succeeded, exhausted, cancelled },
            latency_ms: percentile(0.5)
                .zip(percentile(0.95))
                .zip(percentile(0.99))
                .map(|((p50, p95), p99)| AnalyticsLatency { p50, p95, p99 }),
        }
    }
}

/// The time within which a share of the answered attempts ended, in milliseconds; inside a bucket they are taken to lie
/// evenly. What is beyond the last bound counts as the bound.
fn percentile_ms(counts: &StatsCounts, share: f64) -> Option<f64> {
    let n: i64 = counts.latency.iter().sum();
    let wanted = share * n as f64;
    let (mut passed, mut low) = (0_i64, 0_i64);
    for (index, in_bucket) in counts.latency.iter().enumerate() {
        let high = LATENCY_BOUNDS_US.get(index).copied().unwrap_or(low);
        if *in_bucket > 0 && (passed + in_bucket) as f64 >= wanted {
            let part = (wanted - passed as f64) / *in_bucket as f64;
            let us = low as f64 + part * (high - low) as f64;
            return Some((us / 10.0).round() / 100.0);
        }
        passed += in_bucket;
        low = high;
    }
    None
}

/// What is asked for.
struct Asked {
    interval: (&'static str, StatsWidth),
    filter: StatsFilter,
    group_by: Option<StatsGroup>,
}

impl Asked {
    fn read(query: &mut Input, now: Timestamp, endpoint_ids: Option<Vec<String>>) -> Result<Self, Problem> {
        let until = query.time("until").unwrap_or(now);
        let day = std::time::Duration::from_secs(DEFAULT_SPAN_S);
        let since = query.time("since").unwrap_or_else(|| until.minus(day));
        if since >= until {
            query.fault("since", "out_of_range", "must be before until");
        }
        let n_points = |width: StatsWidth| {
            let (from, step) = (width.floor(since).as_micros(), width.as_secs() * 1_000_000);
            until.as_micros().saturating_sub(from) / step + 1
        };
        let reaches = |width: StatsWidth| width.floor(now.minus(width.kept_for())) <= since;
        let given = query.text("interval");
        let given = INTERVALS.into_iter().find(|(name, _)| Some(*name) == given.as_deref());
        let fit = INTERVALS
            .into_iter()
            .find(|(_, width)| reaches(*width) && n_points(*width) <= DEFAULT_POINTS)
            .unwrap_or(INTERVALS[2]);
        let interval = given.unwrap_or(fit);
        if since < until && !reaches(interval.1) {
            let name = if given.is_some() { "interval" } else { "since" };
            let days = interval.1.kept_for().as_secs() / DEFAULT_SPAN_S;
            query.fault(name, "out_of_range", format!("{} reaches back {days} days only", interval.0));
        } else if n_points(interval.1) > MAX_POINTS {
            let detail = format!("would have more than {MAX_POINTS} steps; choose a longer one or less time");
            query.fault("interval", "out_of_range", detail);
        }
        query.finish()?;
        let group_by = match query.text("group_by").as_deref() {
            Some("endpoint") => Some(StatsGroup::Endpoint),
            Some("type") => Some(StatsGroup::EventType),
            _ => None,
        };
        let since = interval.1.floor(since);
        let filter = StatsFilter { endpoint_ids, event_type: query.text("event_type"), since, until };
        Ok(Self { interval, filter, group_by })
    }
}

async fn analytics(
    permit: Permit<grants::DeliveriesRead>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let asked = query.text("endpoint_id");
    if let Some(id) = &asked {
        portal::check(permit.portal.as_ref(), id)?;
    }
    let own = || permit.portal.as_ref().and_then(PortalScope::listed).map(<[String]>::to_vec);
    let endpoint_ids = asked.map(|id| vec![id]).or_else(own);
    let asked = Asked::read(&mut query, state.now(), endpoint_ids)?;
    answer(&state, &permit.tenant, asked).await
}

async fn of_endpoint(
    permit: Permit<grants::DeliveriesRead>,
    State(state): State<ApiState>,
    Id(id): Id,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let asked = Asked::read(&mut query, state.now(), Some(vec![id.clone()]))?;
    if endpoint_get(state.store(), &permit.tenant, &id).await?.is_none() {
        return Err(Problem::new(ErrorCode::EndpointNotFound));
    }
    answer(&state, &permit.tenant, asked).await
}

async fn answer(state: &ApiState, tenant: &Tenant, asked: Asked) -> Result<Response, Problem> {
    let Asked { interval: (interval, width), filter, group_by } = asked;
    let points = delivery_stats_list(state.store(), tenant, &filter, StatsGroup::Time(width)).await?;
    let mut totals = StatsCounts::default();
    for counts in points.values() {
        totals.add(counts);
    }
    let mut groups = match group_by {
        None => vec![],
        Some(by) => delivery_stats_list(state.store(), tenant, &filter, by).await?.into_iter().collect(),
    };
    groups.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.n_attempts()));
    let has_more_groups = groups.len() > MAX_GROUPS;
    groups.truncate(MAX_GROUPS);
    let last = width.floor(Timestamp::from_micros(filter.until.as_micros() - 1));
    let shown = Analytics {
        since: filter.since.to_rfc3339(),
        until: last.plus(std::time::Duration::from_secs(width.as_secs().unsigned_abs())).to_rfc3339(),
        interval,
        totals: AnalyticsFigures::from(&totals),
        series: points.iter().filter_map(point).collect(),
        groups: groups.iter().filter_map(|(key, counts)| group(group_by, key, counts)).collect(),
        has_more_groups,
    };
    Ok(json(StatusCode::OK, &shown))
}

fn point((key, counts): (&StatsKey, &StatsCounts)) -> Option<AnalyticsPoint> {
    let StatsKey::Time(at) = key else { return None };
    Some(AnalyticsPoint { at: at.to_rfc3339(), figures: counts.into() })
}

fn group(by: Option<StatsGroup>, key: &StatsKey, counts: &StatsCounts) -> Option<AnalyticsGroup> {
    let StatsKey::Name(name) = key else { return None };
    let is_endpoint = by == Some(StatsGroup::Endpoint);
    let (endpoint_id, event_type) =
        if is_endpoint { (Some(name.clone()), None) } else { (None, Some(name.clone())) };
    Some(AnalyticsGroup { endpoint_id, event_type, figures: counts.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(durations_us: impl IntoIterator<Item = i64>) -> StatsCounts {
        let mut counts = StatsCounts::default();
        for us in durations_us {
            counts.note_latency(us);
        }
        counts
    }

    #[test]
    fn percentiles_lie_in_their_bucket() {
        assert_eq!(percentile_ms(&counts([]), 0.5), None);
        let even = counts((0..1000).map(|n| n * 100));
        for (share, exact) in [(0.5, 50.0), (0.95, 95.0), (0.99, 99.0)] {
            let found = percentile_ms(&even, share).unwrap_or_default();
            assert!((found / exact - 1.0_f64).abs() < 0.05, "{found} for {exact}");
        }
        assert_eq!(percentile_ms(&counts([90_000_000; 3]), 0.99), Some(25_000.0));
    }
}
