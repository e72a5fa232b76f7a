//! `/api/v1/workflows/analytics`: how many workflows ended how, and how long they took, by definition and over time.
//!
//! Read from sums by the hour that are made as workflows end, never counted from the history.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use trunkline_model::Timestamp;
use trunkline_store::tables::workflow::durations::{
    DurationFilter, DurationSum, bucket_middle_us, durations_list,
};
use trunkline_store::tables::workflow::instance::InstanceStatus;
use utoipa::ToSchema;

use super::answers::json as answer_json;
use crate::auth::{Permit, grants};
use crate::input::{Field, Kind, Query, Text};
use crate::openapi::{Answer, Operation};
use crate::problem::Problem;
use crate::state::ApiState;

const INTERVALS: [(&str, i64); 2] = [("1h", 1), ("1d", 24)];
/// The most steps of a series.
const MAX_STEPS: i64 = 1_000;
const HOUR_US: i64 = 3_600_000_000;

static QUERY: &[Field] = &[
    Field::optional(
        "since",
        Kind::Time,
        "From this time, widened to whole steps. Default: 7 days before `until`.",
    ),
    Field::optional("until", Kind::Time, "Up to this time. Default: now."),
    Field::optional(
        "interval",
        Kind::Choice(&[INTERVALS[0].0, INTERVALS[1].0]),
        "The step of the series. Default `1d`. A series has at most 1000 steps.",
    ),
    Field::optional(
        "definition",
        Kind::Text(Text::line(1, 128)),
        "Only workflows of this definition: `namespace/name`.",
    ),
];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/api/v1/workflows/analytics", "getWorkflowAnalytics", analytics)
            .about("workflows", "Shows how many workflows ended how, and how long they took, over time")
            .details(
                "Of workflows that ended within the time asked for. Sums are kept for two years, also of workflows that \
                 retention has removed. Percentiles are estimated from buckets, four for each power of two.",
            )
            .permit::<grants::WorkflowsRead>()
            .query(QUERY)
            .answer(Answer::json::<AnalyticsAnswer>(200, "The figures.")),
    ]
}

/// Figures of a time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowAnalytics)]
struct AnalyticsAnswer {
    #[schema(format = DateTime)]
    since: String,
    #[schema(format = DateTime)]
    until: String,
    /// `1h` or `1d`.
    interval: &'static str,
    totals: Figures,
    /// By definition, over its versions.
    definitions: Vec<OfDefinition>,
    /// Oldest first; steps in which nothing ended are left out.
    series: Vec<Point>,
}

/// Figures of one definition.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowDefinitionAnalytics)]
struct OfDefinition {
    namespace: String,
    name: String,
    #[serde(flatten)]
    figures: Figures,
}

/// Figures of one step of time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowAnalyticsPoint)]
struct Point {
    /// Where the step begins.
    #[schema(format = DateTime)]
    at: String,
    #[serde(flatten)]
    figures: Figures,
}

/// Workflows that ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowFigures)]
struct Figures {
    #[schema(minimum = 0)]
    completed: i64,
    #[schema(minimum = 0)]
    failed: i64,
    #[schema(minimum = 0)]
    cancelled: i64,
    /// From creation to end, of those that completed; absent when none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Durations)]
    duration_ms: Option<Durations>,
}

/// How long workflows took, in milliseconds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowDurations)]
struct Durations {
    #[schema(minimum = 0)]
    mean: f64,
    #[schema(minimum = 0)]
    p50: f64,
    #[schema(minimum = 0)]
    p95: f64,
    #[schema(minimum = 0)]
    p99: f64,
}

/// Sums under way.
#[derive(Debug, Default)]
struct Sums {
    completed: i64,
    failed: i64,
    cancelled: i64,
    sum_us: i64,
    buckets: BTreeMap<i64, i64>,
}

impl Sums {
    fn add(&mut self, row: &DurationSum) {
        match row.status {
            InstanceStatus::Completed => {
                self.completed += row.n;
                self.sum_us += row.sum_us;
                *self.buckets.entry(row.bucket).or_default() += row.n;
            }
            InstanceStatus::Failed => self.failed += row.n,
            InstanceStatus::Cancelled => self.cancelled += row.n,
            InstanceStatus::InProgress => {}
        }
    }

    /// The time within which a share of the workflows completed.
    fn percentile_ms(&self, share: f64) -> f64 {
        let wanted = share * self.completed as f64;
        let mut passed = 0;
        let found = self.buckets.iter().find(|(_, n)| {
            passed += **n;
            passed as f64 >= wanted
        });
        let us = found.map_or(0, |(bucket, _)| bucket_middle_us(*bucket));
        (us as f64 / 10.0).round() / 100.0
    }

    fn figures(&self) -> Figures {
        let durations = || Durations {
            mean: (self.sum_us as f64 / self.completed as f64 / 10.0).round() / 100.0,
            p50: self.percentile_ms(0.5),
            p95: self.percentile_ms(0.95),
            p99: self.percentile_ms(0.99),
        };
        Figures {
            completed: self.completed,
            failed: self.failed,
            cancelled: self.cancelled,
            duration_ms: (self.completed > 0).then(durations),
        }
    }
}

async fn analytics(
    permit: Permit<grants::WorkflowsRead>,
    State(state): State<ApiState>,
    Query(mut query): Query,
) -> Result<Response, Problem> {
    let until = query.time("until").unwrap_or_else(|| state.now().plus(std::time::Duration::from_micros(1)));
    let week = std::time::Duration::from_hours(24 * 7);
    let since = query.time("since").unwrap_or_else(|| until.minus(week));
    let given = query.text("interval");
    let (interval, step_hours) =
        INTERVALS.into_iter().find(|(name, _)| Some(*name) == given.as_deref()).unwrap_or(INTERVALS[1]);
    let step = step_hours * HOUR_US;
    let floor = since.as_micros().div_euclid(step) * step;
    if since >= until {
        query.fault("since", "out_of_range", "must be before until");
    } else if until.as_micros().saturating_sub(floor) / step >= MAX_STEPS {
        let detail = format!("would have more than {MAX_STEPS} steps; choose a longer one or less time");
        query.fault("interval", "out_of_range", detail);
    }
    let named = query.text("definition");
    let definition = named.as_deref().and_then(|text| text.split_once('/'));
    if named.is_some() && definition.is_none() {
        query.fault("definition", "invalid", "must be namespace/name");
    }
    query.finish()?;
    let definition = definition.map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
    let since = Timestamp::from_micros(floor);
    let filter = DurationFilter { since, until, step_hours, definition };
    let mut totals = Sums::default();
    let mut definitions: BTreeMap<(String, String), Sums> = BTreeMap::new();
    let mut series: BTreeMap<Timestamp, Sums> = BTreeMap::new();
    for row in durations_list(state.store(), &permit.tenant, &filter).await? {
        totals.add(&row);
        definitions.entry((row.namespace.clone(), row.name.clone())).or_default().add(&row);
        series.entry(row.at).or_default().add(&row);
    }
    let of = |((namespace, name), sums): ((String, String), Sums)| OfDefinition {
        namespace,
        name,
        figures: sums.figures(),
    };
    let point = |(at, sums): (Timestamp, Sums)| Point { at: at.to_rfc3339(), figures: sums.figures() };
    let answer = AnalyticsAnswer {
        since: since.to_rfc3339(),
        until: until.to_rfc3339(),
        interval,
        totals: totals.figures(),
        definitions: definitions.into_iter().map(of).collect(),
        series: series.into_iter().map(point).collect(),
    };
    Ok(answer_json(StatusCode::OK, &answer))
}
