//! Which node works on which shard.
//!
//! Every node runs the same reconciler: it says that it is alive, prolongs its leases, takes free and expired shards up
//! to its fair share and gives surplus ones back. A lease only saves double work; correctness rests on the epoch, which
//! every engine commit carries as a fence. An owner that lost its lease without noticing can therefore do nothing but
//! repeat an outside effect under its stable id.
//!
//! ```text
//! free ──take──► owned by A, epoch n ──renew──► … ──A silent for lease_for──► taken by B, epoch n + 1
//!                        └── drain: released ──► free at once
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trunkline_model::Shard;
use trunkline_store::tables::lease::{self, LeaseRow};
use trunkline_store::{Commit, CommitError, Fence, ReadError};

use crate::Journal;

/// The shards this node owns, with the fence that commits about them carry.
pub type Owned = Arc<BTreeMap<Shard, Fence>>;

/// How leases are kept.
#[derive(Debug, Clone, Copy)]
pub struct OwnershipOptions {
    /// How long a lease lasts without renewal: the time a dead node's shards stay idle.
    pub lease_for: Duration,
    /// How often the reconciler looks.
    pub renew_every: Duration,
}

impl Default for OwnershipOptions {
    fn default() -> Self {
        Self { lease_for: Duration::from_secs(5), renew_every: Duration::from_secs(1) }
    }
}

/// Tells engines what this node owns; cheap to clone.
#[derive(Debug, Clone)]
pub struct Ownership {
    node: Arc<str>,
    owned: watch::Receiver<Owned>,
}

impl Ownership {
    /// Follows the owned shards.
    pub fn owned(&self) -> watch::Receiver<Owned> {
        self.owned.clone()
    }

    /// This node's id.
    pub fn node(&self) -> &str {
        &self.node
    }
}

/// A pass of the reconciler failed; the next one tries again.
#[derive(Debug, thiserror::Error)]
enum PassError {
    #[error("leases cannot be read")]
    Read(#[from] ReadError),
    #[error("leases cannot be written")]
    Commit(#[from] CommitError),
}

/// Runs the lease reconciler until `stop`; then gives all shards back.
pub fn keep(
    journal: Journal,
    node: String,
    options: OwnershipOptions,
    stop: CancellationToken,
) -> (Ownership, JoinHandle<()>) {
    let (sender, owned) = watch::channel(Owned::default());
    let ownership = Ownership { node: node.as_str().into(), owned };
    let keeper = Keeper { journal, node, options, sender, trusted_until: None };
    (ownership, tokio::spawn(keeper.run(stop)))
}

struct Keeper {
    journal: Journal,
    node: String,
    options: OwnershipOptions,
    sender: watch::Sender<Owned>,
    /// Until when our own leases surely hold; beyond it we stop working on our own.
    trusted_until: Option<tokio::time::Instant>,
}

impl Keeper {
    async fn run(mut self, stop: CancellationToken) {
        let mut n_failures = 0_u32;
        loop {
            match self.pass().await {
                Ok(()) => n_failures = 0,
                Err(error) => {
                    n_failures += 1;
                    // The first failure and then every minute or so: a long outage must not flood the log.
                    if n_failures == 1 || n_failures.is_multiple_of(60) {
                        tracing::warn!(node = %self.node, n_failures, error = ?error, "lease pass failed");
                    }
                    if self.trusted_until.is_some_and(|until| until <= tokio::time::Instant::now()) {
                        self.publish(BTreeMap::new());
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(self.options.renew_every) => {}
            }
        }
        self.give_back().await;
    }

    fn publish(&self, owned: BTreeMap<Shard, Fence>) {
        self.sender.send_if_modified(|known| {
            let changed = **known != owned;
            if changed {
                *known = Arc::new(owned);
            }
            changed
        });
    }

    /// Looks at all leases and moves one step towards the fair share.
    async fn pass(&mut self) -> Result<(), PassError> {
        let store = self.journal.store();
        let now = self.journal.now();
        let started = tokio::time::Instant::now();
        let expires_at = now.plus(self.options.lease_for);
        let stale = now.minus(self.options.lease_for * 20);
        store
            .commit(Commit::statements(vec![
                lease::node_heartbeat(&self.node, now),
                lease::lease_renew_all(&self.node, expires_at),
                lease::node_remove_stale(stale),
            ]))
            .await?;
        let live = lease::node_list_live(store, now.minus(self.options.lease_for)).await?;
        let leases = lease::lease_list(store).await?;
        let plan = plan(&Situation {
            node: &self.node,
            n_live: live.len().max(1),
            n_shards: self.journal.n_shards(),
            leases: &leases,
            now,
        });
        let mut owned: BTreeMap<Shard, Fence> = leases
            .iter()
            .filter(|lease| lease.owner == self.node)
            .map(|lease| (lease.shard, lease.fence()))
            .collect();
        for shard in plan.release {
            if let Some(fence) = owned.remove(&shard) {
                // Engines stop first, so that the next owner finds their last commit.
                self.publish(owned.clone());
                store.commit(Commit::statements(vec![lease::lease_release(&fence)])).await?;
            }
        }
        for (shard, before) in plan.take {
            let epoch = before.map_or(1, |epoch| epoch + 1);
            let lease = LeaseRow { shard, owner: self.node.clone(), epoch, expires_at };
            let statement =
                before.map_or_else(|| lease::lease_create(&lease), |epoch| lease::lease_take(&lease, epoch));
            match store.commit(Commit::statements(vec![statement])).await {
                Ok(_) => drop(owned.insert(shard, lease.fence())),
                // Another node was faster.
                Err(CommitError::Guard { .. } | CommitError::Constraint(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.trusted_until = Some(started + self.options.lease_for);
        self.publish(owned);
        Ok(())
    }

    async fn give_back(&self) {
        let owned = Arc::clone(&self.sender.borrow());
        self.publish(BTreeMap::new());
        let mut statements: Vec<_> = owned.values().map(lease::lease_release).collect();
        statements.push(lease::node_remove(&self.node));
        if let Err(error) = self.journal.commit(Commit::statements(statements)).await {
            tracing::warn!(node = %self.node, error = ?error, "leases not given back; others take them when they expire");
        }
    }
}

/// What one pass sees.
struct Situation<'a> {
    node: &'a str,
    n_live: usize,
    n_shards: Shard,
    leases: &'a [LeaseRow],
    now: trunkline_model::Timestamp,
}

/// What one pass does.
#[derive(Debug, PartialEq, Eq, Default)]
struct Plan {
    /// Shards to take, each with the epoch of the lease before.
    take: Vec<(Shard, Option<i64>)>,
    /// Shards to give back.
    release: Vec<Shard>,
}

/// Decides a pass: up to the fair share, rounded up, and not more.
fn plan(situation: &Situation<'_>) -> Plan {
    let n_shards = usize::try_from(situation.n_shards).unwrap_or(0);
    let share = n_shards.div_ceil(situation.n_live);
    let leases: BTreeMap<Shard, &LeaseRow> =
        situation.leases.iter().map(|lease| (lease.shard, lease)).collect();
    let mine: Vec<Shard> =
        leases.values().filter(|lease| lease.owner == situation.node).map(|l| l.shard).collect();
    // A lease of ours that somebody else may take is renewed by now; it counts as ours.
    if mine.len() > share {
        return Plan { release: mine[share..].to_vec(), take: vec![] };
    }
    let free = (0..situation.n_shards).filter_map(|shard| match leases.get(&shard) {
        None => Some((shard, None)),
        Some(lease) if lease.owner != situation.node && lease.expires_at <= situation.now => {
            Some((shard, Some(lease.epoch)))
        }
        Some(_) => None,
    });
    Plan { take: free.take(share - mine.len()).collect(), release: vec![] }
}

#[cfg(test)]
mod tests;
