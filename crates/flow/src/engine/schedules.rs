//! What callers ask of schedules: to hold them, to let them go on, and to start what they start at once.

use serde_json::json;
use trunkline_model::Tenant;
use trunkline_store::tables::workflow::instance::InstanceRow;
use trunkline_store::tables::workflow::schedule::{self, ScheduleRow};
use trunkline_store::{Commit, CommitError, ReadError};

use super::Engine;
use super::start::{NewInstance, StartError, resolve};

/// How often a change is offered again when the schedule has moved meanwhile.
const MAX_TRIES: u32 = 8;

/// Why a schedule is not changed.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// There is none of this name.
    #[error("there is no such schedule")]
    NotFound,
    /// The store cannot be read.
    #[error("the schedule cannot be read")]
    Read(#[from] ReadError),
    /// The store did not take it.
    #[error("the schedule was not stored")]
    Commit(#[from] CommitError),
    /// The instance was not started.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Engine {
    /// Holds a schedule: times that pass while it is held start nothing, also not later.
    pub async fn pause_schedule(
        &self,
        tenant: &Tenant,
        namespace: &str,
        name: &str,
    ) -> Result<ScheduleRow, ScheduleError> {
        self.change_schedule(tenant, namespace, name, true).await
    }

    /// Lets a schedule go on, from the next time that comes.
    pub async fn resume_schedule(
        &self,
        tenant: &Tenant,
        namespace: &str,
        name: &str,
    ) -> Result<ScheduleRow, ScheduleError> {
        self.change_schedule(tenant, namespace, name, false).await
    }

    async fn change_schedule(
        &self,
        tenant: &Tenant,
        namespace: &str,
        name: &str,
        is_paused: bool,
    ) -> Result<ScheduleRow, ScheduleError> {
        let store = self.shared.journal.store();
        let mut n_tries = 0;
        loop {
            let found = schedule::schedule_get(store, tenant, namespace, name).await?;
            let mut row = found.ok_or(ScheduleError::NotFound)?;
            if row.is_paused == is_paused {
                return Ok(row);
            }
            let now = self.shared.now();
            row.is_paused = is_paused;
            row.updated_at = now;
            row.next_at = (!is_paused).then(|| self.next_of(&row, now)).flatten();
            row.wake_at = (!is_paused).then(|| row.next_at.unwrap_or(now));
            if is_paused {
                row.queue.clear();
            }
            match self.shared.journal.commit(Commit::statements(vec![schedule::schedule_update(&row)])).await
            {
                Ok(_) => {
                    self.shared.clockwork.notify_one();
                    row.revision += 1;
                    return Ok(row);
                }
                Err(CommitError::Guard { .. }) if n_tries < MAX_TRIES => n_tries += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next time of a schedule, as far as it is known here.
    fn next_of(
        &self,
        row: &ScheduleRow,
        now: trunkline_model::Timestamp,
    ) -> Option<trunkline_model::Timestamp> {
        let timed = self.shared.triggers.timed()?;
        let trigger = timed.get(&(row.tenant.clone(), row.namespace.clone(), row.name.clone()))?;
        let workflow = trigger.program.workflow();
        super::schedule::following(workflow.schedule.as_ref()?, &workflow.points.schedule, now)
    }

    /// Starts at once what a schedule starts, whatever the clock says and whatever runs. The schedule does not move.
    pub async fn trigger_schedule(
        &self,
        tenant: &Tenant,
        namespace: &str,
        name: &str,
    ) -> Result<InstanceRow, ScheduleError> {
        let store = self.shared.journal.store();
        let found = schedule::schedule_get(store, tenant, namespace, name).await?;
        let row = found.ok_or(ScheduleError::NotFound)?;
        let definition = resolve(store, tenant, namespace, name, Some(&row.version)).await?;
        let definition = definition.ok_or(ScheduleError::NotFound)?;
        Ok(self.start_instance(&definition, NewInstance::new(tenant.clone(), json!({}))).await?)
    }
}
