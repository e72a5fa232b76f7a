//! The packs of a running hub: loaded before anything is served, looked at again every [`LOOK_EVERY`].
//!
//! A hub does not start with a broken pack: whoever changed it is at the keyboard. Later a broken pack is refused whole,
//! what was in use stays, and the log names every fault once.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trunkline_api::catalogue::EventCatalogue;
use trunkline_packs::{PackFault, PackSet};

use crate::exit::{Exit, Fault};

/// How often the folders are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Loads the packs in `folders`.
///
/// # Errors
/// Every fault of every pack.
pub(crate) fn load(folders: &[PathBuf]) -> anyhow::Result<PackSet> {
    let packs = PackSet::load(folders.iter().cloned());
    let faults: Vec<String> = packs.faults().map(PackFault::to_string).collect();
    if faults.is_empty() {
        return Ok(packs);
    }
    Err(Fault::new(Exit::Usage, faults.join("\n"), "mend the packs, or take them out of [packs] load").into())
}

/// Hands the packs' event types to the catalogue and keeps them as the folders are, until `stop`.
pub(super) fn keep(packs: PackSet, catalogue: EventCatalogue, stop: CancellationToken) -> JoinHandle<()> {
    catalogue.set_packs(packs.catalogue().clone());
    tokio::spawn(async move {
        if let Err(error) = look(packs, &catalogue, &stop).await {
            tracing::error!(error = ?error, "packs are not looked at any more");
        }
    })
}

async fn look(
    mut packs: PackSet,
    catalogue: &EventCatalogue,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let looked = tokio::task::spawn_blocking(move || {
            let reload = packs.reload();
            (packs, reload)
        });
        let (set, reload) = looked.await.context("reading packs ended badly")?;
        packs = set;
        for fault in &reload.faults {
            tracing::error!(%fault, "pack refused; the one before stays in use");
        }
        if reload.changed() {
            catalogue.set_packs(packs.catalogue().clone());
            for pack in &reload.loaded {
                let manifest = pack.manifest();
                tracing::info!(pack = manifest.name, version = %manifest.version, "pack loaded");
            }
        }
    }
}
