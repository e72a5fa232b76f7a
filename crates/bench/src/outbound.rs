//! Deliveries a second, beside a bare client loop posting the same body to the same sink.
//!
//! The journal is filled while the hub is down, with one endpoint that takes everything; then the hub starts and drains it.
//! The rate counts what the sink has received between the first and the last tenth.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use trunkline_model::{Clock as _, EndpointId, SystemClock, Tenant};
use trunkline_store::Commit;
use trunkline_store::tables::endpoint::{EndpointRow, endpoint_insert};

use crate::accept::{Hub, start_role};
use crate::process::{Running, free_addr};
use crate::report::{self, Figures};
use crate::{Plan, load};

/// Requests in flight, in the loop and at the endpoint.
const IN_FLIGHT: usize = 64;

/// Runs the benchmark and prints it.
pub async fn run(plan: &Plan) -> anyhow::Result<()> {
    report::heading(&format!(
        "deliver a signed 1 KiB event, {IN_FLIGHT} in flight, each attempt recorded durably"
    ));
    let sink = start_role(plan, "sink", free_addr()?).await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let their = client_loop(plan, &sink).await?;
        their.print();
        let our = drain(plan, &sink, (their.rate * plan.duration.as_secs_f64() * 0.6) as usize).await?;
        our.print();
        theirs.push(their);
        ours.push(our);
    }
    report::ratio("trunkline / bare client loop", &ours, &theirs);
    Ok(())
}

async fn client_loop(plan: &Plan, sink: &Running) -> anyhow::Result<Figures> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(IN_FLIGHT).build(connector);
    let uri: http::Uri = format!("http://{}/", sink.addr).parse()?;
    let body = Bytes::from(load::body(1));
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
        latency,
        bytes: None,
        note: String::new(),
    })
}

async fn count(sink: &Running) -> anyhow::Result<u64> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = crate::process::connect(sink.addr).await?;
    stream.write_all(b"GET /count HTTP/1.1\r\nhost: sink\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    answer.rsplit("\r\n\r\n").next().context("no body")?.trim().parse().context("no count")
}

async fn drain(plan: &Plan, sink: &Running, n_events: usize) -> anyhow::Result<Figures> {
    let folder = tempfile::tempdir_in(&plan.folder)?;
    let hub = Hub::new(plan, folder.path())?;
    let store = hub.open_store().await?;
    let now = SystemClock.now();
    let endpoint = EndpointRow {
        id: EndpointId::fresh(),
        tenant: Tenant::default(),
        url: format!("http://{}/", sink.addr),
        description: String::new(),
        events: r#"["**"]"#.into(),
        active: true,
        secrets: format!(r#"[{{"secret":"{}","created_at":"{now}"}}]"#, load::SECRET),
        settings: "{}".into(),
        version: 1,
        created_at: now,
        updated_at: now,
    };
    store.commit(Commit::statements(vec![endpoint_insert(&endpoint)])).await?;
    for _ in 0..n_events.div_ceil(500) {
        store.commit(Commit::append((0..500).map(|_| crate::append::sample_event()).collect())).await?;
    }
    store.close().await;

    let before = count(sink).await?;
    let n_total = (n_events.div_ceil(500) * 500) as u64;
    let server = hub.start().await?;
    let (first_mark, last_mark) = (before + n_total / 10, before + n_total * 9 / 10);
    let limit = Instant::now() + Duration::from_mins(2);
    let (mut begun, mut seen) = (None, before);
    while seen < last_mark {
        anyhow::ensure!(Instant::now() < limit, "only {} of {n_total} were delivered in time", seen - before);
        tokio::time::sleep(Duration::from_millis(5)).await;
        seen = count(sink).await?;
        if begun.is_none() && seen >= first_mark {
            begun = Some((Instant::now(), seen, server.cpu_us()?));
        }
    }
    let (began, seen_then, cpu_then) = begun.context("the drain was too quick to measure")?;
    let n = (seen - seen_then) as f64;
    Ok(Figures {
        name: "trunkline".into(),
        rate: n / began.elapsed().as_secs_f64(),
        cpu_us: Some((server.cpu_us()? - cpu_then) / n),
        latency: report::histogram(),
        bytes: None,
        note: format!("{n_total} events"),
    })
}
