//! Signed webhooks accepted a second, beside an axum server that only answers 202 to the same POST.

use anyhow::Context as _;
use trunkline_model::{Clock as _, SystemClock};
use trunkline_store::{Commit, Seen, Store, StoreOptions};

use crate::process::{Running, free_addr};
use crate::report::{self, Figures};
use crate::{Plan, load};

/// Runs the benchmark and prints it.
pub async fn run(plan: &Plan) -> anyhow::Result<()> {
    report::heading(&format!("accept a signed 1 KiB webhook durably, {} connections", plan.connections));
    let folder = tempfile::tempdir_in(&plan.folder)?;
    let hub = Hub::new(plan, folder.path())?;
    let bare_addr = free_addr()?;
    let bare = start_role(plan, "bare-server", bare_addr).await?;
    let server = hub.start().await?;
    let idle = server.resident_bytes()? as f64 / 1e6;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=plan.rounds {
        let their = measure(plan, "bare axum 202", &bare).await?;
        let our = measure(plan, "trunkline", &server).await?;
        // The first round warms both up.
        if round > 0 {
            their.print();
            our.print();
            theirs.push(their);
            ours.push(our);
        }
    }
    report::ratio("trunkline / bare", &ours, &theirs);
    let busy = server.resident_bytes()? as f64 / 1e6;
    report::line(&format!("resident memory: {idle:.0} MB after start, {busy:.0} MB after the load"));
    if plan.history > 0 {
        drop(server);
        with_history(plan, &hub, &bare, &ours, &theirs).await?;
    }
    Ok(())
}

/// Measures again after storing `plan.history` events, each with its dedupe key.
async fn with_history(
    plan: &Plan,
    hub: &Hub,
    bare: &Running,
    before: &[Figures],
    bare_before: &[Figures],
) -> anyhow::Result<()> {
    report::heading(&format!("the same after {} stored events", plan.history));
    hub.fill(plan.history).await?;
    let began = std::time::Instant::now();
    let server = hub.start().await?;
    report::line(&format!("start with that history: {:.0} ms", began.elapsed().as_secs_f64() * 1e3));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=plan.rounds {
        let their = measure(plan, "bare axum 202", bare).await?;
        let our = measure(plan, "trunkline", &server).await?;
        if round > 0 {
            their.print();
            our.print();
            theirs.push(their);
            ours.push(our);
        }
    }
    report::ratio("trunkline / bare", &ours, &theirs);
    let ratio = |ours: &[Figures], theirs: &[Figures]| {
        report::median(ours.iter().map(|f| f.rate)) / report::median(theirs.iter().map(|f| f.rate))
    };
    let change = ratio(&ours, &theirs) / ratio(before, bare_before) - 1.0;
    report::line(&format!("change against the start, relative to bare: {:+.0} %", 100.0 * change));
    Ok(())
}

async fn measure(plan: &Plan, name: &str, server: &Running) -> anyhow::Result<Figures> {
    let cpu_before = server.cpu_us()?;
    let outcome = load::run(server.addr, "/in/bench", plan.connections, plan.duration).await?;
    let n = outcome.latency.len() as f64;
    let note = if outcome.n_refused > 0 { format!("{} REFUSED", outcome.n_refused) } else { String::new() };
    Ok(Figures {
        name: name.into(),
        rate: n / outcome.elapsed.as_secs_f64(),
        cpu_us: Some((server.cpu_us()? - cpu_before) / n),
        latency: outcome.latency,
        bytes: None,
        note,
    })
}

/// Starts a yardstick in a process of its own.
pub(crate) async fn start_role(
    plan: &Plan,
    role: &str,
    addr: std::net::SocketAddr,
) -> anyhow::Result<Running> {
    let args = ["bench", "--role", role, "--role-listen", &addr.to_string()].map(str::to_owned);
    Running::start(&plan.program, &args, &[], addr).await
}

/// A hub with a configuration and a database of its own.
pub(crate) struct Hub {
    program: std::path::PathBuf,
    config: std::path::PathBuf,
    url: String,
    addr: std::net::SocketAddr,
}

impl Hub {
    pub(crate) fn new(plan: &Plan, folder: &std::path::Path) -> anyhow::Result<Self> {
        let addr = free_addr()?;
        let url = plan.store_url.clone().unwrap_or_else(|| format!("sqlite://{}/hub.db", folder.display()));
        let config = folder.join("trunkline.toml");
        let text = format!(
            "[server]\nlisten = \"{addr}\"\nthreads = {}\nlog_level = \"warn\"\n[store]\nurl = \"{url}\"\n\
             [egress]\nallow = [\"127.0.0.0/8\"]\n[dispatch]\nin_flight_per_endpoint = 64\n\
             [[sources]]\nname = \"bench\"\nscheme = \"standard-webhooks\"\nsecret = \"{}\"\n",
            plan.threads,
            load::SECRET
        );
        std::fs::write(&config, text).context("cannot write the configuration")?;
        Ok(Self { program: plan.program.clone(), config, url, addr })
    }

    pub(crate) async fn start(&self) -> anyhow::Result<Running> {
        let args = ["serve".into(), "--config".into(), self.config.display().to_string()];
        Running::start(&self.program, &args, &[("TRUNKLINE_ADMIN_TOKEN", ADMIN_TOKEN.into())], self.addr)
            .await
    }

    pub(crate) async fn open_store(&self) -> anyhow::Result<Store> {
        Store::open(StoreOptions::new(&*self.url)).await.context("the store does not open")
    }

    /// Stores events with dedupe keys, as accepted webhooks would have.
    async fn fill(&self, n_events: u64) -> anyhow::Result<()> {
        let store = self.open_store().await?;
        let first = SystemClock.now().as_micros().unsigned_abs() * 1_000;
        let next = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let writers: Vec<_> = (0..256)
            .map(|_| {
                let (store, next) = (store.clone(), std::sync::Arc::clone(&next));
                tokio::spawn(async move {
                    loop {
                        let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if n >= n_events {
                            return anyhow::Ok(());
                        }
                        let event = crate::append::sample_event();
                        let seen = Seen {
                            source: "bench".into(),
                            key: format!("msg_{:020}", first + n),
                            inbound_id: event.event.id.to_inbound().context("ids are our own")?.into_string(),
                            seen_at: event.recorded_at,
                        };
                        store.commit(Commit { seen: Some(seen), ..Commit::append(vec![event]) }).await?;
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await??;
        }
        store.close().await;
        Ok(())
    }
}

/// The hub's admin token during a benchmark.
pub(crate) const ADMIN_TOKEN: &str = "tlk_benchbenchbenchbenchbenchbenchbenchbenchben";
