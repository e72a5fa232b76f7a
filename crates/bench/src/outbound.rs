//! Deliveries a second, beside a bare client loop posting the same body to the same sink.
//!
//! The journal is filled while the hub is down, with one endpoint that takes everything; then the hub starts and drains it.
//! The rate counts what the sink has received between the first and the last tenth.

use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use trunkline_store::Commit;

use crate::backlog::Backlog;
use crate::hub::{Hub, IN_FLIGHT, set_endpoints};
use crate::report::{self, Aim, Figures, Latency, Pairs};
use crate::sink::Sink;
use crate::{Plan, append, load};

/// Events stored in one commit.
const PER_COMMIT: usize = 500;

/// Runs the benchmark and prints it.
pub async fn run(plan: &Plan) -> anyhow::Result<()> {
    report::heading(&format!(
        "deliver a signed 1 KiB event, {IN_FLIGHT} in flight, each attempt recorded durably"
    ));
    let sink = Sink::start(plan).await?;
    let mut pairs = Pairs::default();
    for _ in 0..plan.rounds {
        let theirs = client_loop(plan, &sink).await?;
        theirs.print();
        let ours = drain(plan, &sink, (theirs.rate * plan.duration.as_secs_f64() * 0.6) as usize).await?;
        ours.print();
        pairs.add(ours, theirs);
    }
    pairs.judge("trunkline / bare client loop", Aim::AtLeast(0.6));
    Ok(())
}

/// The yardstick: a client that posts the same body to the same sink and does nothing else.
pub(crate) async fn client_loop(plan: &Plan, sink: &Sink) -> anyhow::Result<Figures> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(IN_FLIGHT).build(connector);
    let uri: http::Uri = sink.url(0).parse()?;
    let body = Bytes::from(load::body(1, 0));
    let cpu_before = crate::process::cpu_us(std::process::id())?;
    let started = Instant::now();
    let until = started + plan.duration;
    let tasks: Vec<_> = (0..IN_FLIGHT)
        .map(|_| {
            let (client, uri, body) = (client.clone(), uri.clone(), body.clone());
            tokio::spawn(async move {
                let mut latency = report::histogram();
                while Instant::now() < until {
                    let began = Instant::now();
                    let request = http::Request::post(uri.clone()).body(Full::new(body.clone()))?;
                    let mut answer = client.request(request).await?.into_body();
                    while answer.frame().await.transpose()?.is_some() {}
                    latency.saturating_record(began.elapsed().as_micros() as u64);
                }
                anyhow::Ok(latency)
            })
        })
        .collect();
    let mut latency = report::histogram();
    for task in tasks {
        latency.add(task.await??)?;
    }
    let n = latency.len() as f64;
    Ok(Figures {
        name: "bare client loop".into(),
        rate: n / started.elapsed().as_secs_f64(),
        cpu_us: Some((crate::process::cpu_us(std::process::id())? - cpu_before) / n),
        latency: Latency::of(&latency),
        bytes: None,
        note: String::new(),
    })
}

/// Stores events while the hub is down, and measures how it delivers them.
pub(crate) async fn drain(plan: &Plan, sink: &Sink, n_events: usize) -> anyhow::Result<Figures> {
    let folder = tempfile::tempdir_in(&plan.folder)?;
    let hub = Hub::new(plan, folder.path())?;
    let store = hub.open_store().await?;
    set_endpoints(&store, [sink.url(0)]).await?;
    let n_commits = n_events.div_ceil(PER_COMMIT);
    for _ in 0..n_commits {
        let events = (0..PER_COMMIT).map(|_| append::sample_event()).collect();
        store.commit(Commit::append(events)).await?;
    }
    store.close().await;
    let n_total = n_commits * PER_COMMIT;
    let already = sink.reader().await?.count().await?;
    let server = hub.start().await?;
    let figures = Backlog { n_total: n_total as u64, already }.measure((&hub, &server), sink).await?;
    Ok(Figures { note: format!("{n_total} events"), ..figures })
}
