//! Durable steps of workflows a second, beside a Restate server that runs the same ten steps, in the same run.
//!
//! A load generator starts workflows over the API in a closed loop and is answered when each has ended, as the ingress of
//! the other system does. Each workflow is ten calls, one after the other. What every call leaves behind is counted in the
//! store: one record. The server, its service and what they are set to are in `tests/restate`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::watch;
use trunkline_model::Tenant;
use trunkline_store::tables::workflow::instance::{InstanceFilter, InstanceStatus, instance_list};

use crate::Plan;
use crate::hub::{ADMIN_TOKEN, Hub};
use crate::peer::{self, Ended};
use crate::report::{self, Aim, Figures, Latency, Pairs};
use crate::sink::Sink;
use crate::wire::Connection;

/// Steps of a workflow.
const N_STEPS: u32 = 10;
/// Workflows under way.
const IN_FLIGHT: usize = 64;
/// Records of a workflow besides those of its steps: that it was started, and that it was taken up.
const OTHER_RECORDS: i64 = 2;
/// What is not measured at the beginning.
const WARM_UP: Duration = Duration::from_secs(2);
/// Workflows for each second that a measurement shall take, about what Restate manages.
const PEER_WORKFLOWS_PER_SECOND: u64 = 150;

/// What the steps do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effects {
    /// Nothing, durably.
    Noop,
    /// A POST to a server that answers at once.
    Http,
}

impl Effects {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Http => "http",
        }
    }

    /// The definition: ten steps, one after the other.
    fn definition(self, sink: &Sink) -> String {
        use std::fmt::Write as _;
        let mut text = format!(
            "document: {{dsl: '1.0.3', namespace: bench, name: {}, version: '1.0.0'}}\ndo:\n",
            self.as_str()
        );
        for n in 0..N_STEPS {
            match self {
                Self::Noop => writeln!(text, "- step{n}: {{call: 'noop:1@default'}}"),
                Self::Http => writeln!(
                    text,
                    "- step{n}: {{call: http, with: {{method: post, endpoint: '{}', body: {{n: {n}}}}}}}",
                    sink.url(0)
                ),
            }
            .expect("invariant: writing to a string does not fail");
        }
        text
    }
}

/// Restate's line of JSON, as far as it is used. Latencies are of a step: a tenth of the workflow's.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Measured {
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us_per_step: f64,
    versions: Versions,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Versions {
    restate: String,
    sdk: String,
    node: String,
}

/// Runs the benchmark and prints it.
pub async fn run(plan: &Plan) -> anyhow::Result<()> {
    report::heading(
        "workflows of ten durable steps, 64 in flight, beside Restate; rates and latencies are of a step",
    );
    let sink = Sink::start(plan).await?;
    for (effects, least_rate, least_ratio) in [(Effects::Noop, 15_000.0, 8.0), (Effects::Http, 5_000.0, 3.0)]
    {
        let (mut pairs, mut ours) = (Pairs::default(), Vec::new());
        for _ in 0..plan.rounds {
            let figures = measure(plan, &sink, effects).await?;
            figures.print();
            ours.push(figures.clone());
            match peer(plan, &sink, effects).await? {
                Ended::Measured(theirs) => {
                    theirs.print();
                    pairs.add(figures, theirs);
                }
                Ended::Skipped(reason) => report::line(&format!("SKIPPED: {reason}")),
            }
        }
        let what = format!("{} steps", effects.as_str());
        let rate = report::median(ours.iter().map(|it| it.rate));
        Aim::AtLeast(least_rate).print(&what, rate, |rate| format!("{rate:.0}/s"));
        if effects == Effects::Noop {
            let p50 = report::median(ours.iter().filter_map(|it| it.latency).map(|it| it.p50_ms));
            Aim::AtMost(5.0).print_ms("p50 of a step", p50);
        }
        if !pairs.is_empty() {
            pairs.judge(&format!("{what}, trunkline / Restate"), Aim::AtLeast(least_ratio));
        }
    }
    Ok(())
}

/// Measures the other system.
async fn peer(plan: &Plan, sink: &Sink, effects: Effects) -> anyhow::Result<Ended<Figures>> {
    let n_workflows = (plan.duration.as_secs().max(1) * PEER_WORKFLOWS_PER_SECOND).to_string();
    let args = ["--effects", effects.as_str(), "--sink", &sink.url(0), "--workflows", &n_workflows];
    Ok(match peer::measure::<Measured>(&plan.restate, &args).await? {
        Ended::Skipped(reason) => Ended::Skipped(reason),
        Ended::Measured(it) => Ended::Measured(Figures {
            name: format!("restate {}, {}", it.versions.restate, effects.as_str()),
            rate: it.rate,
            latency: Some(Latency { p50_ms: it.p50_ms, p99_ms: it.p99_ms }),
            cpu_us: Some(it.cpu_us_per_step),
            bytes: None,
            note: format!("SDK {} on Node.js {}", it.versions.sdk, it.versions.node),
        }),
    })
}

/// Measures the hub.
async fn measure(plan: &Plan, sink: &Sink, effects: Effects) -> anyhow::Result<Figures> {
    let folder = tempfile::tempdir_in(&plan.folder)?;
    let hub = Hub::new(plan, folder.path())?;
    let server = hub.start().await?;
    define(server.addr, &effects.definition(sink)).await?;
    let (stop, stopped) = watch::channel(false);
    let body = format!(r#"{{"definition": "bench/{}", "input": {{}}}}"#, effects.as_str());
    let start = Arc::new(request(server.addr, "/api/v1/workflows?wait_s=20", "application/json", &body));
    let load = std::thread::spawn({
        let addr = server.addr;
        move || drive(addr, &start, &stopped)
    });
    tokio::time::sleep(WARM_UP).await;
    let (from, cpu_from) = (Instant::now(), server.cpu_us()?);
    tokio::time::sleep(plan.duration).await;
    let (to, cpu_to) = (Instant::now(), server.cpu_us()?);
    stop.send_replace(true);
    let ends = tokio::task::spawn_blocking(move || load.join())
        .await?
        .map_err(|_| anyhow::anyhow!("the load generator panicked"))??;
    let mut latency = report::histogram();
    let within = ends.iter().filter(|end| end.at >= from && end.at < to);
    let mut n_workflows = 0_u64;
    for end in within {
        n_workflows += 1;
        latency.saturating_record(u64::from(end.took_us / N_STEPS));
    }
    anyhow::ensure!(n_workflows > 0, "no workflow has ended");
    let n_steps = n_workflows as f64 * f64::from(N_STEPS);
    drop(server);
    Ok(Figures {
        name: format!("trunkline, {}", effects.as_str()),
        rate: n_steps / (to - from).as_secs_f64(),
        latency: Latency::of(&latency),
        cpu_us: Some((cpu_to - cpu_from) / n_steps),
        bytes: None,
        note: format!("{} records a step", records_of_a_step(&hub).await?),
    })
}

/// A workflow that has ended.
struct End {
    at: Instant,
    took_us: u32,
}

/// Stores a definition.
pub(crate) async fn define(addr: SocketAddr, definition: &str) -> anyhow::Result<()> {
    let mut connection = Connection::open(addr).await?;
    let request = request(addr, "/api/v1/workflow-definitions", "application/yaml", definition);
    let answer = connection.exchange(&request).await?;
    let text = String::from_utf8_lossy(answer.body);
    anyhow::ensure!(answer.status < 300, "the definition was refused: {text}");
    Ok(())
}

/// Starts workflows and waits for their ends until it is told to stop, on a runtime of its own.
fn drive(
    addr: SocketAddr,
    start: &Arc<Vec<u8>>,
    stopped: &watch::Receiver<bool>,
) -> anyhow::Result<Vec<End>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let workers: Vec<_> = (0..IN_FLIGHT)
            .map(|_| {
                let (start, stopped) = (Arc::clone(start), stopped.clone());
                tokio::task::spawn_local(async move {
                    let mut connection = Connection::open(addr).await?;
                    let mut ends = Vec::new();
                    while !*stopped.borrow() {
                        let began = Instant::now();
                        let answer = connection.exchange(&start).await?;
                        let text = String::from_utf8_lossy(answer.body);
                        anyhow::ensure!(answer.status == 201, "refused with {}: {text}", answer.status);
                        anyhow::ensure!(text.contains(r#""status":"completed""#), "not completed: {text}");
                        let took_us = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
                        ends.push(End { at: Instant::now(), took_us });
                    }
                    anyhow::Ok(ends)
                })
            })
            .collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.await??);
        }
        Ok(all)
    })
}

pub(crate) fn request(addr: SocketAddr, path: &str, content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer {ADMIN_TOKEN}\r\n\
         content-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

pub(crate) fn get(addr: SocketAddr, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer {ADMIN_TOKEN}\r\n\r\n").into_bytes()
}

/// Counts in the store what each step left behind.
async fn records_of_a_step(hub: &Hub) -> anyhow::Result<f64> {
    let store = hub.open_store().await?;
    let filter =
        InstanceFilter { status: Some(InstanceStatus::Completed), limit: 100, ..InstanceFilter::default() };
    let rows = instance_list(&store, &Tenant::default(), &filter).await?;
    store.close().await;
    anyhow::ensure!(!rows.is_empty(), "there is no workflow that has completed");
    let n_records: i64 = rows.iter().map(|row| row.n_records - OTHER_RECORDS).sum();
    Ok(n_records as f64 / rows.len() as f64 / f64::from(N_STEPS))
}
