//! What people do about tasks, as callers of the API: judged at once where it can be, durable before it is answered, and
//! judged again where it counts, in the step of the instance.

use trunkline_model::{RequestId, Tenant};
use trunkline_store::tables::workflow::instance::{self, InstanceRow};
use trunkline_store::tables::workflow::task::{self, TaskRow};

use super::Engine;
use super::input::Input;
use super::live::{Live, form_of};
use super::people::{Act, ActRefusal, Actor, Entry};
use super::service::SendError;

/// A task after somebody did something about it.
#[derive(Debug, Clone)]
pub struct ActedOn {
    /// The task as it is now.
    pub row: TaskRow,
    /// Whether what was done shows already; otherwise it is kept and taken up later, such as by another hub.
    pub is_taken: bool,
}

impl Engine {
    /// Does something about a task. Durable on return; waits a moment for the instance to take it.
    ///
    /// # Errors
    ///
    /// Why it may not be done.
    pub async fn act_on_task(
        &self,
        tenant: &Tenant,
        id: &str,
        act: Act,
        actor: Actor,
    ) -> Result<ActedOn, SendError> {
        let store = self.shared.journal.store();
        let row = task::task_get(store, tenant, id).await?.ok_or(SendError::NotFound)?;
        if !row.status.is_open() {
            return Err(ActRefusal::Closed.into());
        }
        let found = instance::instance_get(store, tenant, row.instance_id.as_str()).await?;
        let instance = found.ok_or(SendError::NotFound)?;
        self.judge(instance, &row.nonce, &act, &actor).await?;
        let key = format!("act:{}", RequestId::fresh());
        let (nonce, copy) = (row.nonce.clone(), (act.clone(), actor.clone()));
        let input = Input::Acted { nonce, key: key.clone(), actor, act };
        let instance = self.send(tenant, &row.instance_id, key.clone(), input).await?;
        let row = task::task_get(store, tenant, id).await?.ok_or(SendError::NotFound)?;
        let history: Vec<Entry> = serde_json::from_str(&row.history).unwrap_or_default();
        let is_taken = history.iter().any(|entry| entry.key == key);
        if !is_taken {
            // Somebody else was faster, or nobody has got round to it.
            let (act, actor) = copy;
            self.judge(instance, &row.nonce, &act, &actor).await?;
        }
        Ok(ActedOn { row, is_taken })
    }

    /// Judges an act by the state as it is now.
    async fn judge(
        &self,
        instance: InstanceRow,
        nonce: &str,
        act: &Act,
        actor: &Actor,
    ) -> Result<(), SendError> {
        let live = Live::load(self.shared.journal.store(), &self.shared.programs, instance).await?;
        let mut people = live.state.people();
        let Some((_, asked, task)) = people.find(|(_, asked, _)| asked.nonce == nonce) else {
            return Err(ActRefusal::Closed.into());
        };
        Ok(asked.check(act, actor, form_of(&live.program, task))?)
    }
}
