//! Waiting for the end of an instance, for callers that want the outcome in the same answer. Who stops waiting costs the
//! instance nothing; whether anybody waits changes nothing for it.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use trunkline_model::{Tenant, WorkflowId};
use trunkline_store::ReadError;
use trunkline_store::tables::workflow::instance::{self, InstanceRow};

use super::Engine;

/// How often the row is looked at when another hub owns the shard, which tells nobody here.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Who waits for which instance.
#[derive(Default)]
pub(crate) struct Endings(Mutex<HashMap<WorkflowId, watch::Sender<bool>>>);

impl Endings {
    /// Tells everybody who waits that an instance has ended.
    pub(crate) fn tell(&self, id: &WorkflowId) {
        if let Some(sender) = self.0.lock().remove(id) {
            sender.send_replace(true);
        }
    }

    fn wait_for(&self, id: &WorkflowId) -> watch::Receiver<bool> {
        self.0.lock().entry(id.clone()).or_insert_with(|| watch::Sender::new(false)).subscribe()
    }

    /// Forgets an instance that nobody waits for any more.
    fn forget(&self, id: &WorkflowId) {
        let mut endings = self.0.lock();
        if endings.get(id).is_some_and(|sender| sender.receiver_count() == 0) {
            endings.remove(id);
        }
    }
}

/// Forgets when it is dropped, so that a caller who hangs up leaves nothing behind.
struct Waiting<'a> {
    endings: &'a Endings,
    id: &'a WorkflowId,
    ended: Option<watch::Receiver<bool>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.ended = None;
        self.endings.forget(self.id);
    }
}

impl Engine {
    /// Waits for the end of an instance, no longer than `patience`, and gives it as it is then.
    pub async fn ended(
        &self,
        tenant: &Tenant,
        id: &WorkflowId,
        patience: Duration,
    ) -> Result<Option<InstanceRow>, ReadError> {
        let shared = &self.shared;
        let until = Instant::now() + patience;
        // Before the first look, so that an end between look and wait is heard.
        let ended = Some(shared.endings.wait_for(id));
        let mut waiting = Waiting { endings: &shared.endings, id, ended };
        loop {
            let row = instance::instance_get(shared.journal.store(), tenant, id.as_str()).await?;
            let Some(row) = row else { return Ok(None) };
            if row.phase.is_terminal() || Instant::now() >= until || self.stopping.is_cancelled() {
                return Ok(Some(row));
            }
            let is_here = shared.pokes.read().contains_key(&row.shard);
            let look_at = if is_here { until } else { until.min(Instant::now() + LOOK_EVERY) };
            let Some(ended) = &mut waiting.ended else { return Ok(Some(row)) };
            tokio::select! {
                _ = ended.wait_for(|is_ended| *is_ended) => {}
                () = self.stopping.cancelled() => {}
                () = tokio::time::sleep_until(look_at) => {}
            }
        }
    }
}
