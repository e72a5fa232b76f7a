//! The hub under test: a configuration and a database of its own, and what is stored before it starts.

use std::io::Read as _;
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
pub(crate) const ADMIN_TOKEN: &str = "tlk_benchbenchbenchbenchbenchbenchbenchbenchben";

/// Attempts in flight at one endpoint, as many as the yardsticks have.
pub(crate) const IN_FLIGHT: usize = 64;

/// A hub with a configuration and a database of its own.
pub(crate) struct Hub {
    program: PathBuf,
    config: PathBuf,
    url: String,
    /// The database, where it is a file.
    file: Option<PathBuf>,
    addr: SocketAddr,
}

impl Hub {
    pub(crate) fn new(plan: &Plan, folder: &Path) -> anyhow::Result<Self> {
        let addr = free_addr()?;
        let file = plan.store_url.is_none().then(|| folder.join("hub.db"));
        let url = plan.store_url.clone().unwrap_or_else(|| format!("sqlite://{}/hub.db", folder.display()));
        let config = folder.join("trunkline.toml");
        let text = format!(
            "[server]\nlisten = \"{addr}\"\nthreads = {}\nlog_level = \"warn\"\napi_rate_limit_per_s = 0\n[store]\nurl = \"{url}\"\n\
             [egress]\nallow = [\"127.0.0.0/8\"]\n[dispatch]\nin_flight_per_endpoint = {IN_FLIGHT}\n\
             [[sources]]\nname = \"bench\"\nscheme = \"standard-webhooks\"\nsecret = \"{}\"\n",
            plan.threads,
            load::SECRET
        );
        std::fs::write(&config, text).context("cannot write the configuration")?;
        Ok(Self { program: plan.program.clone(), config, url, file, addr })
    }

    pub(crate) async fn start(&self) -> anyhow::Result<Running> {
        let args = ["serve".into(), "--config".into(), self.config.display().to_string()];
        Running::start(&self.program, &args, &[("TRUNKLINE_ADMIN_TOKEN", ADMIN_TOKEN.into())], self.addr)
            .await
    }

    /// How many bytes the database of a running hub holds; `None` where it is not a file.
    pub(crate) fn stored_bytes(&self) -> Option<f64> {
        stored_bytes(self.file.as_deref()?)
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

/// The size of an open SQLite database, with what is still in its write-ahead log.
///
/// Source: SQLite's "WAL-mode File Format", the first copy of the index header: bytes 14 and 15 are the page size, 20 to 23
/// the pages of the database after the last commit, in the machine's byte order.
fn stored_bytes(file: &Path) -> Option<f64> {
    let mut index = file.as_os_str().to_owned();
    index.push("-shm");
    let mut header = [0; 24];
    std::fs::File::open(index).ok()?.read_exact(&mut header).ok()?;
    let page_size = u16::from_ne_bytes(header[14..16].try_into().ok()?);
    let n_pages = u32::from_ne_bytes(header[20..24].try_into().ok()?);
    // The largest page size does not fit and is 1.
    let page_size = if page_size == 1 { 65_536 } else { u32::from(page_size) };
    Some(f64::from(n_pages) * f64::from(page_size))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_database_is_measured_with_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hub.db");
        let store = Store::open(StoreOptions::new(format!("sqlite://{}", file.display()))).await.unwrap();
        let before = stored_bytes(&file).unwrap();
        let events = (0..1_000).map(|_| append::sample_event()).collect();
        store.commit(Commit::append(events)).await.unwrap();
        let bytes_per_event = (stored_bytes(&file).unwrap() - before) / 1e3;
        assert!((1_024.0..2_048.0).contains(&bytes_per_event), "{bytes_per_event}");
        store.close().await;
        assert_eq!(stored_bytes(&folder.path().join("none.db")), None);
    }
}
