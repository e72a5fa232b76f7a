//! The packs of a running hub: loaded before anything is served, looked at again every [`LOOK_EVERY`].
//!
//! A hub does not start with a broken pack: whoever changed it is at the keyboard. Later a broken pack is refused whole,
//! what was in use stays, and the log names every fault once.
//!
//! The packs' workflows become definitions of the tenants that are configured: stored and active as soon as the store takes
//! them. What is there already changes nothing, so every start and every node may do it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trunkline_api::catalogue::EventCatalogue;
use trunkline_flow::Format;
use trunkline_flow::engine::{Engine, StoreDefinitionError};
use trunkline_flow::testing::WorkflowJudge;
use trunkline_model::Tenant;
use trunkline_packs::{Pack, PackFault, PackSet, PackWorkflow};
use trunkline_store::tables::workflow::definition::DefinitionState;

use crate::exit::{Exit, Fault};

/// How often the folders are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Loads the packs in `folders`.
///
/// # Errors
/// Every fault of every pack.
pub(crate) fn load(folders: &[PathBuf]) -> anyhow::Result<PackSet> {
    let packs = PackSet::load_judged(folders.iter().cloned(), Arc::new(WorkflowJudge));
    let faults: Vec<String> = packs.faults().map(PackFault::to_string).collect();
    if faults.is_empty() {
        return Ok(packs);
    }
    Err(Fault::new(Exit::Usage, faults.join("\n"), "mend the packs, or take them out of [packs] load").into())
}

/// Where what packs declare goes.
pub(super) struct Homes {
    /// For event types.
    pub(super) catalogue: EventCatalogue,
    /// For workflows.
    pub(super) workflows: Engine,
    /// Whose the workflows are.
    pub(super) tenants: Vec<Tenant>,
}

/// Hands the packs' event types and workflows over and keeps them as the folders are, until `stop`.
pub(super) fn keep(packs: PackSet, homes: Homes, stop: CancellationToken) -> JoinHandle<()> {
    homes.catalogue.set_packs(packs.catalogue().clone());
    tokio::spawn(async move {
        if let Err(error) = look(packs, &homes, &stop).await {
            tracing::error!(error = ?error, "packs are not looked at any more");
        }
    })
}

async fn look(mut packs: PackSet, homes: &Homes, stop: &CancellationToken) -> anyhow::Result<()> {
    let mut unstored: Vec<Arc<Pack>> = packs.packs().cloned().collect();
    loop {
        unstored = homes.store_workflows(unstored).await;
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
            homes.catalogue.set_packs(packs.catalogue().clone());
            for pack in &reload.loaded {
                let manifest = pack.manifest();
                tracing::info!(pack = manifest.name, version = %manifest.version, "pack loaded");
            }
            unstored.retain(|pack| packs.packs().any(|in_use| Arc::ptr_eq(in_use, pack)));
            unstored.extend(reload.loaded);
        }
    }
}

impl Homes {
    /// Stores and activates the workflows of packs; gives those back whose turn has to come again.
    async fn store_workflows(&self, packs: Vec<Arc<Pack>>) -> Vec<Arc<Pack>> {
        let mut again = Vec::new();
        for pack in packs {
            let mut is_stored = true;
            for workflow in pack.workflows() {
                for tenant in &self.tenants {
                    is_stored &= self.store_workflow(workflow, tenant).await;
                }
            }
            if !is_stored {
                again.push(pack);
            }
        }
        again
    }

    /// Tells whether it is stored, or never will be.
    async fn store_workflow(&self, workflow: &PackWorkflow, tenant: &Tenant) -> bool {
        let state = DefinitionState::Active;
        let text = workflow.text.clone();
        match self.workflows.store_definition(tenant, text, Format::Yaml, state).await {
            Ok(stored) => {
                if !stored.was_there {
                    let (name, version) = (&workflow.name.name, &workflow.name.version);
                    tracing::info!(workflow.name = %name, workflow.version = %version, %tenant, "workflow of a pack stored");
                }
                true
            }
            Err(error @ (StoreDefinitionError::Read(_) | StoreDefinitionError::Commit(_))) => {
                tracing::warn!(error = ?error, "workflow of a pack not stored yet");
                false
            }
            Err(error) => {
                let file = workflow.file.display();
                tracing::error!(%file, %error, "workflow of a pack not stored; raise document.version");
                true
            }
        }
    }
}
