//! What callers ask of the engine: to store definitions, to start instances, and to reach them.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;
use trunkline_model::{Tenant, WorkflowId};
use trunkline_store::tables::workflow::definition::{self, DefinitionRow, DefinitionState};
use trunkline_store::tables::workflow::inbox;
use trunkline_store::tables::workflow::instance::{self, InstanceRow};
use trunkline_store::{Commit, CommitError, ReadError};

use super::Engine;
use super::input::Input;
use super::live::{Live, LoadError, form_of, message};
use super::people::{Act, ActRefusal, Actor, Decided};
use super::start::{self, NewInstance, StartError};
use super::support::{Unsupported, unsupported};
use crate::fault::{Fault, Refusal};
use crate::program::{Format, compile};
use crate::rule::Rule;

/// How long a caller waits for what it asked for to have been done; it is durable before.
const PATIENCE: Duration = Duration::from_secs(2);

/// A definition that was stored.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The version.
    pub row: DefinitionRow,
    /// What is allowed and probably not meant.
    pub warnings: Vec<Fault>,
    /// Whether the very same definition was there already.
    pub was_there: bool,
}

/// Why a definition is not stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreDefinitionError {
    /// It cannot be compiled.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It asks for what the engine does not do.
    #[error("the definition asks for {} things that are not supported", .0.len())]
    Unsupported(Vec<Unsupported>),
    /// The version is there with another content.
    #[error("version {version} of {namespace}/{name} is there already with another content")]
    Taken {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its version.
        version: String,
    },
    /// The compiler did not come back.
    #[error("the definition could not be compiled")]
    Compiler,
    /// The store cannot be read.
    #[error("definitions cannot be read")]
    Read(#[from] ReadError),
    /// The store did not take it.
    #[error("the definition was not stored")]
    Commit(#[from] CommitError),
}

/// Why an instance cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is none of this id.
    #[error("there is no such workflow")]
    NotFound,
    /// It has ended.
    #[error("the workflow has ended")]
    Ended,
    /// It waits for nobody, or not for the step that is named.
    #[error("the workflow waits for no such step")]
    NotWaiting,
    /// It may not be done.
    #[error(transparent)]
    Refused(#[from] ActRefusal),
    /// It cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The store cannot be read.
    #[error("the workflow cannot be read")]
    Read(#[from] ReadError),
    /// The store did not take it.
    #[error("the message was not stored")]
    Commit(#[from] CommitError),
}

/// What a person says about a step.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The step, by its name; the first one that waits where absent.
    pub step: Option<String>,
    /// Who says it.
    pub actor: Actor,
    /// For or against it, where that is asked.
    pub decision: Option<Decided>,
    /// What they say.
    pub data: Value,
}

impl Engine {
    /// Stores a version of a definition. The same definition again changes nothing.
    pub async fn store_definition(
        &self,
        tenant: &Tenant,
        text: String,
        format: Format,
        state: DefinitionState,
    ) -> Result<Stored, StoreDefinitionError> {
        let kept = text.clone();
        let compiled = tokio::task::spawn_blocking(move || compile(&text, format)).await;
        let compiled = compiled.map_err(|_| StoreDefinitionError::Compiler)??;
        let mut missing = unsupported(&compiled.program);
        if !self.shared.effects.has_processes() {
            let off = |reference| Unsupported {
                reference,
                rule: Rule::Processes,
                what: "processes are switched off; the operator allows them with `flow.processes = true`",
            };
            missing.extend(compiled.program.requirements().processes.into_iter().map(off));
        }
        if !missing.is_empty() {
            return Err(StoreDefinitionError::Unsupported(missing));
        }
        let document = &compiled.program.workflow().document;
        let now = self.shared.now();
        let row = DefinitionRow {
            tenant: tenant.clone(),
            namespace: document.namespace.clone(),
            name: document.name.clone(),
            version: document.version.to_string(),
            hash: compiled.program.hash().to_string(),
            state,
            created_at: now,
            updated_at: now,
        };
        // Events that come once it is stored must find a reader; at the very first start there is none for a moment.
        let mut reads = self.shared.reads.subscribe();
        let _: Result<_, _> = tokio::time::timeout(PATIENCE, reads.wait_for(|reads| *reads)).await;
        let statements = vec![definition::source_put(&row.hash, &kept), definition::definition_insert(&row)];
        let (row, was_there) = match self.shared.journal.commit(Commit::statements(statements)).await {
            Ok(_) => (row, false),
            Err(CommitError::Guard { .. } | CommitError::Constraint(_)) => (self.same(&row).await?, true),
            Err(error) => return Err(error.into()),
        };
        self.refresh_definitions().await;
        Ok(Stored { row, warnings: compiled.warnings, was_there })
    }

    /// The stored version, if it has the same content.
    async fn same(&self, row: &DefinitionRow) -> Result<DefinitionRow, StoreDefinitionError> {
        let store = self.shared.journal.store();
        let versions = definition::definition_versions(store, &row.tenant, &row.namespace, &row.name).await?;
        let found = versions.into_iter().find(|other| other.version == row.version && other.hash == row.hash);
        found.ok_or_else(|| StoreDefinitionError::Taken {
            namespace: row.namespace.clone(),
            name: row.name.clone(),
            version: row.version.clone(),
        })
    }

    /// Takes up changes of definitions at once, rather than within a second.
    pub async fn refresh_definitions(&self) {
        self.shared.triggers.forget();
        if let Err(error) = self.shared.triggers.refresh(&self.shared).await {
            tracing::warn!(error = ?error, "workflow definitions not read; they are looked at again");
        }
    }

    /// Starts an instance of a definition. With a start key that was used before for the same definition, by the caller or
    /// by what the definition makes of the input, it gives the instance that is there.
    pub async fn start_instance(
        &self,
        definition: &DefinitionRow,
        new: NewInstance,
    ) -> Result<InstanceRow, StartError> {
        let shared = &self.shared;
        let program = shared.programs.get(&definition.hash).await?;
        let (input, now) = (new.input.clone(), shared.now());
        let scoped = |by: &str, key: &Option<String>| {
            let key = key.as_ref()?;
            Some(format!("{by}:{}/{}:{key}", definition.namespace, definition.name))
        };
        let start_key = scoped("api", &new.start_key)
            .or_else(|| start::own_key(&program, &input, now))
            .or_else(|| scoped("request", &new.request_key));
        let new = NewInstance { start_key, ..new };
        let row = new.into_row(definition, &program, now, shared.journal.n_shards());
        match shared.journal.commit(Commit::statements(start::statements(&row, input))).await {
            Ok(_) => {
                shared.poke(row.shard);
                Ok(row)
            }
            Err(error @ (CommitError::Guard { .. } | CommitError::Constraint(_))) => {
                let Some(key) = &row.start_key else { return Err(error.into()) };
                let found = instance::instance_find_start(shared.journal.store(), &row.tenant, key).await?;
                found.ok_or_else(|| error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Says that a step of a person is done. Durable on return; waits a moment for the instance to go on.
    pub async fn decide(
        &self,
        tenant: &Tenant,
        id: &str,
        decision: Decision,
    ) -> Result<InstanceRow, SendError> {
        let row = self.reachable(tenant, id).await?;
        let store = self.shared.journal.store();
        let live = Live::load(store, &self.shared.programs, row).await?;
        let names = |task: crate::program::TaskId| live.program.task(task).name.to_string();
        let found = live.state.people().find(|(_, asked, task)| {
            decision.step.as_ref().is_none_or(|step| *step == asked.title || *step == names(*task))
        });
        let Some((_, asked, task)) = found else { return Err(SendError::NotWaiting) };
        let Decision { actor, decision: decided, data, .. } = decision;
        let act = Act::Complete { decision: decided, data, comment: None };
        asked.check(&act, &actor, form_of(&live.program, task))?;
        let key = format!("decision:{}:{}", asked.nonce, actor.counts_for());
        let input = Input::Acted { nonce: asked.nonce.clone(), key: key.clone(), actor, act };
        self.send(tenant, &live.row.id, key, input).await
    }

    /// Ends an instance.
    pub async fn cancel(
        &self,
        tenant: &Tenant,
        id: &str,
        reason: Option<String>,
    ) -> Result<InstanceRow, SendError> {
        let row = self.reachable(tenant, id).await?;
        self.send(tenant, &row.id, "cancel".to_owned(), Input::Cancel { reason }).await
    }

    /// Holds an instance until it is resumed.
    pub async fn suspend(
        &self,
        tenant: &Tenant,
        id: &str,
        reason: Option<String>,
    ) -> Result<InstanceRow, SendError> {
        let row = self.reachable(tenant, id).await?;
        self.send(tenant, &row.id, format!("suspend:{}", row.n_records), Input::Suspend { reason }).await
    }

    /// Lets an instance go on that was held.
    pub async fn resume(&self, tenant: &Tenant, id: &str) -> Result<InstanceRow, SendError> {
        let row = self.reachable(tenant, id).await?;
        self.send(tenant, &row.id, format!("resume:{}", row.n_records), Input::Resume).await
    }

    async fn reachable(&self, tenant: &Tenant, id: &str) -> Result<InstanceRow, SendError> {
        let found = instance::instance_get(self.shared.journal.store(), tenant, id).await?;
        let row = found.ok_or(SendError::NotFound)?;
        if row.phase.is_terminal() { Err(SendError::Ended) } else { Ok(row) }
    }

    /// Leaves a message, waits a moment until it was taken, and gives the instance as it is then.
    pub(super) async fn send(
        &self,
        tenant: &Tenant,
        id: &WorkflowId,
        key: String,
        input: Input,
    ) -> Result<InstanceRow, SendError> {
        let shared = &self.shared;
        let message = message(id, key.clone(), &input, shared.now(), shared.journal.n_shards());
        let (sender, taken) = oneshot::channel();
        shared.waiters.lock().entry((id.clone(), key.clone())).or_default().push(sender);
        shared.journal.commit(Commit::statements(vec![inbox::message_insert(&message)])).await?;
        shared.poke(message.shard);
        // When another hub owns the shard nobody answers here; what was asked for is done all the same.
        let is_here = shared.pokes.read().contains_key(&message.shard);
        let patience = if is_here { PATIENCE } else { PATIENCE / 4 };
        if tokio::time::timeout(patience, taken).await.is_err() {
            shared.waiters.lock().remove(&(id.clone(), key));
        }
        let found = instance::instance_get(shared.journal.store(), tenant, id.as_str()).await?;
        found.ok_or(SendError::NotFound)
    }
}
