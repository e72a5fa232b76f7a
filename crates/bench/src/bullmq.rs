//! Deliveries a second beside a BullMQ worker that does the same to the same sink, in the same run.
//!
//! The worker, its Redis and what they are set to are in `tests/bullmq`.

use serde::Deserialize;

use crate::Plan;
use crate::flow::Flow;
use crate::outbound;
use crate::peer::{self, Ended};
use crate::report::{self, Aim, Figures, Latency, Pairs};
use crate::sink::Sink;

/// Jobs for each second that a measurement shall take, about what BullMQ manages.
const JOBS_PER_SECOND: u64 = 3_000;
/// How many times as many deliveries we get to make in the same time.
const OUR_SHARE: f64 = 4.0;

/// What the worker works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Jobs queued before.
    Drain,
    /// Jobs that are being queued.
    Flow,
}

impl Mode {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Flow => "flow",
        }
    }
}

/// The line of JSON, as far as it is used.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Measured {
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us_per_delivery: f64,
    appendfsync: String,
    versions: Versions,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Versions {
    bullmq: String,
    node: String,
    redis: String,
}

impl Measured {
    fn figures(&self, mode: Mode) -> Figures {
        Figures {
            name: format!("bullmq, {}", mode.as_str()),
            rate: self.rate,
            latency: Some(Latency { p50_ms: self.p50_ms, p99_ms: self.p99_ms }),
            cpu_us: Some(self.cpu_us_per_delivery),
            bytes: None,
            note: format!("appendfsync {}", self.appendfsync),
        }
    }
}

/// Runs the benchmark and prints it.
pub async fn run(plan: &Plan) -> anyhow::Result<()> {
    report::heading("BullMQ beside Trunkline: one endpoint, 64 in flight, the same sink, bodies of 1 KiB");
    if let Some(reason) = compare(plan).await? {
        report::line(&format!("SKIPPED: {reason}"));
    }
    Ok(())
}

/// Measures both in turns; gives the reason when that cannot be done here.
async fn compare(plan: &Plan) -> anyhow::Result<Option<String>> {
    let sink = Sink::start(plan).await?;
    let (mut drains, mut flows) = (Pairs::default(), Pairs::default());
    for round in 0..plan.rounds {
        let theirs = match worker(plan, &sink, Mode::Drain).await? {
            Ended::Skipped(reason) => return Ok(Some(reason)),
            Ended::Measured(measured) => measured,
        };
        if round == 0 {
            let Versions { bullmq, node, redis } = &theirs.versions;
            report::line(&format!("BullMQ {bullmq} on Node.js {node} with Redis {redis}"));
        }
        let theirs = theirs.figures(Mode::Drain);
        theirs.print();
        let n_events = theirs.rate * OUR_SHARE * plan.duration.as_secs_f64();
        let ours = outbound::drain(plan, &sink, n_events as usize).await?;
        drains.add(printed(Mode::Drain, ours), theirs);

        let theirs = match worker(plan, &sink, Mode::Flow).await? {
            Ended::Skipped(reason) => return Ok(Some(reason)),
            Ended::Measured(measured) => measured.figures(Mode::Flow),
        };
        theirs.print();
        let ours = Flow::closed(1).measure(plan, &sink).await?;
        flows.add(printed(Mode::Flow, ours), theirs);
    }
    drains.judge("drain, trunkline / BullMQ", Aim::AtLeast(5.0));
    flows.judge("flow, trunkline / BullMQ", Aim::AtLeast(5.0));
    Ok(None)
}

fn printed(mode: Mode, figures: Figures) -> Figures {
    let figures = Figures { name: format!("trunkline, {}", mode.as_str()), ..figures };
    figures.print();
    figures
}

async fn worker(plan: &Plan, sink: &Sink, mode: Mode) -> anyhow::Result<Ended<Measured>> {
    let n_jobs = plan.duration.as_secs().max(1) * JOBS_PER_SECOND;
    let (url, n_jobs) = (sink.url(0), n_jobs.to_string());
    peer::measure(&plan.bullmq, &["--sink", &url, "--jobs", &n_jobs, "--mode", mode.as_str()]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"mode": "drain", "deliveries": 9600, "seconds": 2.494, "rate": 3848.5, "p50_ms": 7.79,
        "p99_ms": 24.58, "cpu_us_per_delivery": 431.9, "cpu_us_node": 269.5, "cpu_us_redis": 162.4, "jobs": 12000,
        "concurrency": 64, "threads": 1, "appendonly": "yes", "appendfsync": "everysec",
        "versions": {"bullmq": "6.7.0", "undici": "7.30.2", "node": "20.20.2", "redis": "7.0.15"}}"#;

    #[test]
    fn the_result_becomes_figures() {
        let measured: Measured = serde_json::from_str(LINE).unwrap();
        let figures = measured.figures(Mode::Drain);
        assert_eq!((figures.name.as_str(), figures.note.as_str()), ("bullmq, drain", "appendfsync everysec"));
        assert_eq!(figures.latency, Some(Latency { p50_ms: 7.79, p99_ms: 24.58 }));
        assert!((figures.rate - 3848.5).abs() < 1e-9 && (figures.cpu_us.unwrap() - 431.9).abs() < 1e-9);
        assert_eq!(measured.versions.redis, "7.0.15");
    }
}
