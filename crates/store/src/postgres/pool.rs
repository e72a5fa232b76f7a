//! A bounded set of connections for queries and for commits that are not plain appends.
//!
//! A connection comes back only when its user says that it is clean ([`Pooled::give_back`]); one that is dropped
//! half-way, because its task was cancelled or failed, is closed, and the server undoes what it had begun.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::connect::{Connector, Session};
use super::fault::Fault;
use crate::error::Cause;

/// The connections.
pub(super) struct Pool {
    connector: Arc<Connector>,
    idle: Mutex<Vec<Session>>,
    permits: Semaphore,
}

/// A connection on loan.
pub(super) struct Pooled<'a> {
    session: Session,
    pool: &'a Pool,
    _permit: SemaphorePermit<'a>,
}

impl Pool {
    pub(super) fn new(connector: Arc<Connector>, n_connections: usize) -> Self {
        Self { connector, idle: Mutex::default(), permits: Semaphore::new(n_connections.max(1)) }
    }

    /// Waits for a free connection, making one when none is idle.
    pub(super) async fn get(&self) -> Result<Pooled<'_>, Cause> {
        let permit = self.permits.acquire().await.map_err(|_| "the store is closed")?;
        let idle = {
            let mut idle = self.idle.lock();
            idle.retain(|session| !session.client.is_closed());
            idle.pop()
        };
        let session = match idle {
            Some(session) => session,
            None => self.connector.session().await?,
        };
        Ok(Pooled { session, pool: self, _permit: permit })
    }

    /// Refuses further loans and closes what is idle.
    pub(super) fn close(&self) {
        self.permits.close();
        self.idle.lock().clear();
    }
}

impl Pooled<'_> {
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Returns a connection that is in no transaction.
    pub(super) fn give_back(self) {
        if !self.session.client.is_closed() && !self.pool.permits.is_closed() {
            self.pool.idle.lock().push(self.session);
        }
    }

    /// Returns a connection after a failure, when it still works.
    pub(super) async fn give_back_after_failure(self, fault: &Fault) {
        if matches!(fault, Fault::Silent) {
            // Whatever silenced this one has likely silenced those that were as old.
            self.pool.idle.lock().clear();
        }
        if self.session.reset(fault).await {
            self.give_back();
        }
    }
}
