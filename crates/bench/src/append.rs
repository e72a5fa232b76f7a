//! Journal appends a second: many tasks, each waiting for its own durable append of a 1 KiB event.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use trunkline_model::{Clock as _, Data, Event, EventType, SystemClock, Tenant};
use trunkline_store::{Commit, NewEvent, Store, StoreOptions};

use crate::report::{self, Aim, Figures, Latency};
use crate::{Plan, process};

/// Runs the benchmark and prints it.
pub async fn run(plan: &Plan) -> anyhow::Result<()> {
    report::heading(&format!("journal append, {} writers, 1 KiB events, fsync on", plan.connections));
    let mut all = Vec::new();
    for _ in 0..plan.rounds {
        let figures = once(plan).await?;
        figures.print();
        all.push(figures);
    }
    let rate = report::median(all.iter().map(|figures| figures.rate));
    Aim::AtLeast(70_000.0).print("events a second", rate, |rate| format!("{rate:.0}"));
    Ok(())
}

/// A 1 KiB event as a producer would make it.
pub fn sample_event() -> NewEvent {
    let now = SystemClock.now();
    let mut event = Event::new(Tenant::default(), "/bench", EventType::from_stored("order.created"), now);
    event.data = Data::Json(crate::load::body(now.as_micros().unsigned_abs(), 0).into());
    NewEvent::new(event, now)
}

async fn once(plan: &Plan) -> anyhow::Result<Figures> {
    let folder = tempfile::tempdir_in(&plan.folder)?;
    let url =
        plan.store_url.clone().unwrap_or_else(|| format!("sqlite://{}/bench.db", folder.path().display()));
    let store = Store::open(StoreOptions::new(url)).await.context("the store does not open")?;
    let stop = Arc::new(AtomicBool::new(false));
    let cpu_before = process::cpu_us(std::process::id())?;
    let started = std::time::Instant::now();
    let writers: Vec<_> = (0..plan.connections)
        .map(|_| {
            let (store, stop) = (store.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut latency = report::histogram();
                while !stop.load(Ordering::Relaxed) {
                    let event = sample_event();
                    let began = std::time::Instant::now();
                    store.commit(Commit::append(vec![event])).await?;
                    latency.saturating_record(began.elapsed().as_micros() as u64);
                }
                anyhow::Ok(latency)
            })
        })
        .collect();
    tokio::time::sleep(plan.duration).await;
    stop.store(true, Ordering::Relaxed);
    let mut latency = report::histogram();
    for writer in writers {
        latency.add(writer.await??)?;
    }
    let elapsed = started.elapsed();
    let cpu = process::cpu_us(std::process::id())? - cpu_before;
    store.close().await;
    let n = latency.len() as f64;
    let bytes = std::fs::metadata(folder.path().join("bench.db")).map(|meta| meta.len() as f64 / n).ok();
    Ok(Figures {
        name: "append".into(),
        rate: n / elapsed.as_secs_f64(),
        latency: Latency::of(&latency),
        cpu_us: Some(cpu / n),
        bytes,
        note: String::new(),
    })
}
