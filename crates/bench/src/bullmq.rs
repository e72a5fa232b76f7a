//! Deliveries a second beside a BullMQ worker that does the same to the same sink, in the same run.
//!
//! The worker, its Redis and what they are set to are in `tests/bullmq`; its `run.sh` prints one line of JSON. It exits
//! with 3 when something it needs is not installed: then there is nothing to compare, which is said and is no failure.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::Context as _;
use serde::Deserialize;

use crate::Plan;
use crate::flow::Flow;
use crate::outbound;
use crate::report::{self, Aim, Figures, Latency, Pairs};
use crate::sink::Sink;

/// Jobs for each second that a measurement shall take, about what BullMQ manages.
const JOBS_PER_SECOND: u64 = 3_000;
/// How many times as many deliveries we get to make in the same time.
const OUR_SHARE: f64 = 4.0;
/// `run.sh`: something is not installed.
const EXIT_SKIPPED: i32 = 3;

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

/// How a run of the worker ended.
#[derive(Debug, PartialEq)]
enum Ended {
    Measured(Box<Measured>),
    Skipped(String),
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
    let script = plan.bullmq.join("run.sh");
    if !script.is_file() {
        return Ok(Some(format!("there is no {}; --bullmq DIR says where it is", script.display())));
    }
    let sink = Sink::start(plan).await?;
    let (mut drains, mut flows) = (Pairs::default(), Pairs::default());
    for round in 0..plan.rounds {
        let theirs = match worker(plan, &script, &sink, Mode::Drain).await? {
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

        let theirs = match worker(plan, &script, &sink, Mode::Flow).await? {
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

async fn worker(plan: &Plan, script: &Path, sink: &Sink, mode: Mode) -> anyhow::Result<Ended> {
    let n_jobs = plan.duration.as_secs().max(1) * JOBS_PER_SECOND;
    let mut command = Command::new(script);
    command.args(["--sink", &sink.url(0), "--jobs", &n_jobs.to_string(), "--mode", mode.as_str()]);
    command.stdin(std::process::Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await?;
    ended(&output.with_context(|| format!("cannot start {}", script.display()))?)
}

fn ended(output: &Output) -> anyhow::Result<Ended> {
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let last_error = errors.lines().last().unwrap_or("it does not say why");
    if output.status.code() == Some(EXIT_SKIPPED) {
        return Ok(Ended::Skipped(last_error.trim_start_matches("SKIPPED: ").into()));
    }
    anyhow::ensure!(output.status.success(), "the BullMQ worker failed, {}: {last_error}", output.status);
    let line = text.lines().last().context("the BullMQ worker printed nothing")?;
    let measured = serde_json::from_str(line).with_context(|| format!("this is not its result: {line}"))?;
    Ok(Ended::Measured(Box::new(measured)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    const LINE: &str = r#"{"mode": "drain", "deliveries": 9600, "seconds": 2.494, "rate": 3848.5, "p50_ms": 7.79,
        "p99_ms": 24.58, "cpu_us_per_delivery": 431.9, "cpu_us_node": 269.5, "cpu_us_redis": 162.4, "jobs": 12000,
        "concurrency": 64, "threads": 1, "appendonly": "yes", "appendfsync": "everysec",
        "versions": {"bullmq": "6.7.0", "undici": "7.30.2", "node": "20.20.2", "redis": "7.0.15"}}"#;

    fn output(code: i32, stdout: &str, stderr: &str) -> Output {
        Output { status: ExitStatus::from_raw(code << 8), stdout: stdout.into(), stderr: stderr.into() }
    }

    #[test]
    fn the_last_line_is_the_result() {
        let line = LINE.replace('\n', " ");
        let Ended::Measured(measured) = ended(&output(0, &format!("hello\n{line}\n"), "")).unwrap() else {
            panic!("it was measured")
        };
        let figures = measured.figures(Mode::Drain);
        assert_eq!((figures.name.as_str(), figures.note.as_str()), ("bullmq, drain", "appendfsync everysec"));
        assert_eq!(figures.latency, Some(Latency { p50_ms: 7.79, p99_ms: 24.58 }));
        assert!((figures.rate - 3848.5).abs() < 1e-9 && (figures.cpu_us.unwrap() - 431.9).abs() < 1e-9);
        assert_eq!(measured.versions.redis, "7.0.15");
    }

    #[test]
    fn what_is_not_installed_is_a_reason_and_no_failure() {
        let skipped = output(3, "", "SKIPPED: the comparison with BullMQ needs redis-server\n");
        let reason = "the comparison with BullMQ needs redis-server".to_owned();
        assert_eq!(ended(&skipped).unwrap(), Ended::Skipped(reason));
    }

    #[test]
    fn failures_say_why() {
        let check = |output: &Output, expect: &str| {
            let error = ended(output).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(&output(1, "", "starting\nonly 5 of 100 were delivered in time\n"), "only 5 of 100");
        check(&output(1, "", ""), "it does not say why");
        check(&output(0, "", ""), "printed nothing");
        check(&output(0, "{}\n", ""), "this is not its result: {}");
    }
}
