//! Runs endpoints' jq expressions off the runtime, with a fair share for each tenant. Used by the sender and by requests;
//! the planner has [`judging`](super::judging).
//!
//! What is brief runs where it is called. The rest runs on the blocking pool, on half of the machine's cores at most,
//! one expression a tenant at a time: tenants take turns, and one whose expressions are slow waits for itself alone. A
//! bounded number may wait, since whoever waits holds a place among the attempts under way; more are sent away, and their
//! lanes slow down as if the endpoint were overloaded.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use trunkline_model::Tenant;

use crate::endpoint::{Endpoint, ExpressionFault};

/// How many of one tenant may wait at once on behalf of deliveries.
const MAX_WAITING: usize = 128;
/// The same when many of others wait as well …
const MAX_WAITING_CROWDED: usize = 16;
/// … from so many on.
const CROWD: usize = 512;

/// The tenant has too much waiting already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Busy;

/// How many may wait before somebody is sent away.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patience {
    /// Few: whoever asks can come again.
    Little,
    /// As many as there are.
    Endless,
}

pub(crate) struct ExpressionPool {
    places: Arc<Semaphore>,
    shares: Mutex<HashMap<Tenant, Arc<Share>>>,
    n_inside: AtomicUsize,
}

/// One tenant's.
struct Share {
    turn: Semaphore,
    n_inside: AtomicUsize,
}

impl Default for ExpressionPool {
    fn default() -> Self {
        let n_cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            places: Arc::new(Semaphore::new((n_cores / 2).max(1))),
            shares: Mutex::default(),
            n_inside: AtomicUsize::new(0),
        }
    }
}

/// A place in a tenant's queue.
struct Inside<'a> {
    pool: &'a ExpressionPool,
    tenant: &'a Tenant,
    share: Arc<Share>,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        // Under the lock, so that nobody enters a share that is being removed.
        let mut shares = self.pool.shares.lock();
        self.pool.n_inside.fetch_sub(1, Ordering::Relaxed);
        if self.share.n_inside.fetch_sub(1, Ordering::Relaxed) == 1 {
            shares.remove(self.tenant);
        }
    }
}

impl ExpressionPool {
    /// Sends everybody away who waits, and whoever comes later.
    pub(crate) fn close(&self) {
        self.places.close();
    }

    fn enter<'a>(&'a self, tenant: &'a Tenant, patience: Patience) -> Result<Inside<'a>, Busy> {
        let mut shares = self.shares.lock();
        let share = shares
            .entry(tenant.clone())
            .or_insert_with(|| Arc::new(Share { turn: Semaphore::new(1), n_inside: AtomicUsize::new(0) }));
        let is_crowded = self.n_inside.load(Ordering::Relaxed) >= CROWD;
        let most = if is_crowded { MAX_WAITING_CROWDED } else { MAX_WAITING };
        let is_full = share.n_inside.load(Ordering::Relaxed) >= most;
        if is_full && matches!(patience, Patience::Little) {
            return Err(Busy);
        }
        share.n_inside.fetch_add(1, Ordering::Relaxed);
        self.n_inside.fetch_add(1, Ordering::Relaxed);
        Ok(Inside { pool: self, tenant, share: Arc::clone(share) })
    }

    async fn run<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        patience: Patience,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let inside = self.enter(tenant, patience)?;
        let _turn = inside.share.turn.acquire().await.map_err(|_| Busy)?;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Busy)?;
        let running = tokio::task::spawn_blocking(move || {
            // Given back when the work ends, also when nobody waits for it any more.
            let _place = place;
            work()
        });
        match running.await {
            Ok(done) => Ok(done),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Busy),
        }
    }

    /// Whether an endpoint's filter wants an event with this body.
    pub(crate) async fn wants(
        &self,
        endpoint: &Arc<Endpoint>,
        body: Bytes,
        patience: Patience,
    ) -> Result<Result<bool, ExpressionFault>, Busy> {
        if let Some(found) = endpoint.expressions.wants_briefly(&body) {
            return Ok(found);
        }
        let own = Arc::clone(endpoint);
        self.run(&endpoint.tenant, patience, move || own.expressions.wants(&body)).await
    }

    /// The body that is sent to an endpoint.
    pub(crate) async fn transformed(
        &self,
        endpoint: &Arc<Endpoint>,
        body: Bytes,
    ) -> Result<Result<Bytes, ExpressionFault>, Busy> {
        if let Some(made) = endpoint.expressions.transformed_briefly(&body) {
            return Ok(made);
        }
        let own = Arc::clone(endpoint);
        let work = move || own.expressions.transformed(body);
        self.run(&endpoint.tenant, Patience::Little, work).await
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::sync::mpsc;
    use std::task::{Context, Waker};

    use super::*;

    fn tenant(name: &str) -> Tenant {
        Tenant::parse(name).unwrap()
    }

    #[tokio::test]
    async fn a_tenant_waits_for_itself_alone() {
        let pool = ExpressionPool { places: Arc::new(Semaphore::new(2)), ..ExpressionPool::default() };
        let (slow, quick) = (tenant("slow"), tenant("quick"));
        let (release, held) = mpsc::channel::<()>();
        let mut cx = Context::from_waker(Waker::noop());
        let mut first = Box::pin(pool.run(&slow, Patience::Little, move || held.recv().is_ok()));
        assert!(first.as_mut().poll(&mut cx).is_pending());
        let mut others: Vec<_> =
            (1..MAX_WAITING).map(|_| Box::pin(pool.run(&slow, Patience::Little, || true))).collect();
        for other in &mut others {
            assert!(other.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!(pool.run(&slow, Patience::Little, || true).await, Err(Busy));
        assert_eq!(pool.run(&quick, Patience::Little, || 7).await, Ok(7));
        release.send(()).unwrap();
        assert_eq!(first.await, Ok(true));
        for other in others {
            assert_eq!(other.await, Ok(true));
        }
        assert!(pool.shares.lock().is_empty());
    }
}
