//! The hub under test: a configuration and a database of its own, and what is stored before it starts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use trunkline_model::{Clock as _, EndpointId, SystemClock, Tenant};
use trunkline_store::tables::delivery::delivery_cancel_endpoint;
use trunkline_store::tables::endpoint::{EndpointRow, endpoint_delete, endpoint_insert, endpoint_list_all};
use trunkline_store::{Commit, Seen, Store, StoreOptions};

use crate::process::{Running, free_addr};
use crate::{Plan, append, load};

/// The hub's admin token during a benchmark.
const ADMIN_TOKEN: &str = "tlk_benchbenchbenchbenchbenchbenchbenchbenchben";

/// Attempts in flight at one endpoint, as many as the yardsticks have.
pub(crate) const IN_FLIGHT: usize = 64;

/// A hub with a configuration and a database of its own.
pub(crate) struct Hub {
    program: PathBuf,
    config: PathBuf,
    url: String,
    addr: SocketAddr,
}

impl Hub {
    pub(crate) fn new(plan: &Plan, folder: &Path) -> anyhow::Result<Self> {
        let addr = free_addr()?;
        let url = plan.store_url.clone().unwrap_or_else(|| format!("sqlite://{}/hub.db", folder.display()));
        let config = folder.join("trunkline.toml");
        let text = format!(
            "[server]\nlisten = \"{addr}\"\nthreads = {}\nlog_level = \"warn\"\n[store]\nurl = \"{url}\"\n\
             [egress]\nallow = [\"127.0.0.0/8\"]\n[dispatch]\nin_flight_per_endpoint = {IN_FLIGHT}\n\
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
    pub(crate) async fn fill(&self, n_events: u64) -> anyhow::Result<()> {
        let store = self.open_store().await?;
        let first = SystemClock.now().as_micros().unsigned_abs() * 1_000;
        let next = Arc::new(AtomicU64::new(0));
        let writers: Vec<_> = (0..256)
            .map(|_| {
                let (store, next) = (store.clone(), Arc::clone(&next));
                tokio::spawn(async move {
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= n_events {
                            return anyhow::Ok(());
                        }
                        let event = append::sample_event();
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

/// Makes these the only endpoints, each for every event. A given database may hold some of an earlier measurement.
pub(crate) async fn set_endpoints(
    store: &Store,
    urls: impl IntoIterator<Item = String>,
) -> anyhow::Result<Vec<EndpointId>> {
    let now = SystemClock.now();
    for old in endpoint_list_all(store).await? {
        let cancel = delivery_cancel_endpoint(&old.id, "endpoint deleted", now);
        store.commit(Commit::statements(vec![cancel, endpoint_delete(&old.tenant, &old.id)])).await?;
    }
    let rows: Vec<EndpointRow> = urls
        .into_iter()
        .map(|url| EndpointRow {
            id: EndpointId::fresh(),
            tenant: Tenant::default(),
            url,
            description: String::new(),
            events: r#"["**"]"#.into(),
            active: true,
            secrets: format!(r#"[{{"secret":"{}","created_at":"{now}"}}]"#, load::SECRET),
            settings: "{}".into(),
            version: 1,
            created_at: now,
            updated_at: now,
        })
        .collect();
    store.commit(Commit::statements(rows.iter().map(endpoint_insert).collect())).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}
