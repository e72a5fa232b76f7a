//! What workflows that wait cost: how quickly a hub starts with many of them, and how much memory it takes then.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::Plan;
use crate::hub::Hub;
use crate::report::{self, Aim};
use crate::wire::Connection;
use crate::workflows::{define, get, request};

const DEFINITION: &str =
    "document: {dsl: '1.0.3', namespace: bench, name: parked, version: '1.0.0'}\ndo: [{wait: {wait: P30D}}]";
/// Starts under way.
const IN_FLIGHT: usize = 64;
/// How long memory may settle after the start.
const SETTLE: Duration = Duration::from_secs(2);
/// How often the list is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the last workflows get to park.
const PATIENCE: Duration = Duration::from_mins(2);

/// Runs the benchmark and prints it.
pub async fn run(plan: &Plan) -> anyhow::Result<()> {
    report::heading(&format!("{} workflows that wait for a month: starting a hub with them", plan.parked));
    let folder = tempfile::tempdir_in(&plan.folder)?;
    let hub = Hub::new(plan, folder.path())?;
    let server = hub.start().await?;
    define(server.addr, DEFINITION).await?;
    let start = request(
        server.addr,
        "/api/v1/workflows",
        "application/json",
        r#"{"definition": "bench/parked", "input": {}}"#,
    );
    let (start, n_left) = (Arc::new(start), Arc::new(AtomicUsize::new(plan.parked)));
    let began = Instant::now();
    let workers: Vec<_> = (0..IN_FLIGHT)
        .map(|_| {
            let (addr, start, n_left) = (server.addr, Arc::clone(&start), Arc::clone(&n_left));
            tokio::spawn(async move {
                let mut connection = Connection::open(addr).await?;
                let take = |n: usize| n.checked_sub(1);
                while n_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                    let answer = connection.exchange(&start).await?;
                    anyhow::ensure!(answer.status == 201, "refused with {}", answer.status);
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for worker in workers {
        worker.await??;
    }
    all_parked(server.addr).await?;
    let rate = plan.parked as f64 / began.elapsed().as_secs_f64();
    report::line(&format!(
        "started and parked {rate:.0}/s; memory then {:.0} MB",
        megabytes(server.resident_bytes()?)
    ));
    drop(server);
    let began = Instant::now();
    let server = hub.start().await?;
    let started_ms = began.elapsed().as_secs_f64() * 1e3;
    tokio::time::sleep(SETTLE).await;
    let memory = megabytes(server.peak_resident_bytes()?);
    Aim::AtMost(2_000.0).print_ms("start with them", started_ms);
    Aim::AtMost(200.0)
        .print("memory with them, at its peak", memory, |megabytes| format!("{megabytes:.0} MB"));
    Ok(())
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Waits until the newest workflows have parked; those before them have long done so.
async fn all_parked(addr: SocketAddr) -> anyhow::Result<()> {
    let mut connection = Connection::open(addr).await?;
    let list = get(addr, "/api/v1/workflows?limit=100&status=in_progress");
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = connection.exchange(&list).await?;
        anyhow::ensure!(answer.status == 200, "the list was refused with {}", answer.status);
        let text = String::from_utf8_lossy(answer.body);
        if ![r#""phase":"pending""#, r#""phase":"running""#].iter().any(|phase| text.contains(phase)) {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < until, "workflows did not park in time");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
