//! How instances come to be: a row, its first record, and its count, in one commit.

use serde_json::{Value, json};
use trunkline_model::event::shard_of;
use trunkline_model::{Shard, Tenant, Timestamp, WorkflowId};
use trunkline_store::tables::workflow::definition::{self, DefinitionRow, DefinitionState};
use trunkline_store::tables::workflow::instance::{self, InstancePhase, InstanceRow};
use trunkline_store::tables::workflow::record::{self, RecordRow};
use trunkline_store::{Commit, CommitError, ReadError, Statement, Store};

use super::Shared;
use super::input::{Failure, Input};
use super::machine::{hex_digest, text_alone, value_alone};
use super::state::ChildStart;
use crate::dsl::error::StandardError;
use crate::dsl::limits::{USUAL_PRIORITY, priority_of};
use crate::expression::TemplateOr;
use crate::program::Program;

/// What an instance is started with.
#[derive(Debug, Clone)]
pub struct NewInstance {
    /// Whose it is.
    pub tenant: Tenant,
    /// Its input.
    pub input: Value,
    /// The document of the caller that it is about.
    pub document_id: Option<String>,
    /// The journey it belongs to; its own where absent.
    pub correlation_id: Option<String>,
    /// The event or call that causes it.
    pub causation_id: Option<String>,
    /// What must start no second instance.
    pub start_key: Option<String>,
    /// What the request is known by, which takes the place of a key that neither the caller nor the definition gives.
    pub request_key: Option<String>,
    /// Who starts it: a person, or a token that is nobody's.
    pub started_by: Option<String>,
    /// The instance that waits for it, with what that one calls it.
    pub parent: Option<(WorkflowId, String)>,
}

impl NewInstance {
    /// An instance that nobody waits for.
    pub fn new(tenant: Tenant, input: Value) -> Self {
        Self {
            tenant,
            input,
            document_id: None,
            correlation_id: None,
            causation_id: None,
            start_key: None,
            request_key: None,
            started_by: None,
            parent: None,
        }
    }

    /// The row of the instance, not begun.
    pub(crate) fn into_row(
        self,
        definition: &DefinitionRow,
        program: &Program,
        now: Timestamp,
        n_shards: Shard,
    ) -> InstanceRow {
        let id = WorkflowId::fresh();
        let workflow = program.workflow();
        let priority = match &workflow.points.priority {
            None => USUAL_PRIORITY,
            Some(TemplateOr::Literal(priority)) => *priority,
            Some(TemplateOr::Expression(expression)) => {
                priority_of(&value_alone(expression, &self.input, now).unwrap_or_default())
            }
        };
        let (parent_id, parent_key) = self.parent.unzip();
        InstanceRow {
            shard: shard_of(id.as_str(), n_shards),
            correlation_id: self.correlation_id.unwrap_or_else(|| id.as_str().to_owned()),
            id,
            tenant: self.tenant,
            namespace: definition.namespace.clone(),
            name: definition.name.clone(),
            version: definition.version.clone(),
            hash: definition.hash.clone(),
            document_id: self.document_id,
            phase: InstancePhase::Pending,
            current_step: 0,
            total_steps: workflow.tasks.tasks.len() as i64,
            priority: i64::from(priority),
            parent_id,
            parent_key,
            causation_id: self.causation_id,
            start_key: self.start_key,
            started_by: self.started_by,
            sla: None,
            sla_due_at: None,
            compensation: None,
            n_records: 1,
            n_crashes: 0,
            input: self.input.to_string(),
            output: None,
            error: None,
            created_at: now,
            started_at: None,
            updated_at: now,
            finished_at: None,
        }
    }
}

/// What a definition makes two starts the same by; nothing where it says nothing, or nothing about this input.
pub(crate) fn own_key(program: &Program, input: &Value, at: Timestamp) -> Option<String> {
    let workflow = program.workflow();
    let key = text_alone(workflow.points.idempotency.as_ref()?.key.as_ref()?, input, at)?;
    let (document, digest) = (&workflow.document, hex_digest(key.as_bytes()));
    Some(format!("key:{}/{}:{}", document.namespace, document.name, &digest[..40]))
}

/// What makes an instance true.
pub(crate) fn statements(row: &InstanceRow, input: Value) -> Vec<Statement> {
    let started = Input::Started { input };
    let first = RecordRow {
        instance_id: row.id.clone(),
        seq: 1,
        at: row.created_at,
        kind: started.kind().to_owned(),
        body: serde_json::to_string(&started).expect("invariant: inputs are JSON"),
    };
    let mut statements = instance::instance_insert(row).to_vec();
    statements.extend(record::record_insert(&first, hex_digest));
    statements
}

/// Finds the version of a definition that a name means: the one given, or the highest active one.
pub async fn resolve(
    store: &Store,
    tenant: &Tenant,
    namespace: &str,
    name: &str,
    version: Option<&str>,
) -> Result<Option<DefinitionRow>, ReadError> {
    let versions = definition::definition_versions(store, tenant, namespace, name).await?;
    Ok(match version {
        Some(wanted) => {
            versions.into_iter().find(|row| row.version == wanted && row.state != DefinitionState::Retired)
        }
        None => highest(versions.into_iter().filter(|row| row.state == DefinitionState::Active)),
    })
}

/// The highest version of several rows of one definition.
pub(crate) fn highest(rows: impl Iterator<Item = DefinitionRow>) -> Option<DefinitionRow> {
    rows.max_by_key(|row| semver::Version::parse(&row.version).ok())
}

/// Starts the instance that another one runs. Asked again under the same key it gives the same instance. While the
/// store does not answer it waits.
pub(crate) async fn start_child(
    shared: &Shared,
    parent: &InstanceRow,
    key: &str,
    start: ChildStart,
) -> Result<Value, Failure> {
    let mut n_failures = 0;
    loop {
        match try_start_child(shared, parent, key, &start).await {
            Ok(done) => return done,
            Err(error) => {
                n_failures += 1;
                if n_failures == 1 {
                    tracing::warn!(workflow.id = %parent.id, error = ?error, "child of a workflow not started yet");
                }
                tokio::time::sleep(super::backoff(n_failures)).await;
            }
        }
    }
}

async fn try_start_child(
    shared: &Shared,
    parent: &InstanceRow,
    key: &str,
    start: &ChildStart,
) -> Result<Result<Value, Failure>, StartError> {
    let store = shared.journal.store();
    let start_key = format!("child:{key}");
    let started = async || {
        let row = instance::instance_find_start(store, &parent.tenant, &start_key).await?;
        Ok::<_, ReadError>(row.map(|row| json!({"id": row.id.as_str()})))
    };
    if let Some(value) = started().await? {
        return Ok(Ok(value));
    }
    let version = Some(start.version.as_str()).filter(|version| *version != "latest");
    let found = resolve(store, &parent.tenant, &start.namespace, &start.name, version).await?;
    let Some(definition) = found else {
        let detail =
            format!("there is no active workflow {}/{}:{}", start.namespace, start.name, start.version);
        return Ok(Err(Failure::standard(StandardError::Configuration, detail)));
    };
    let program = shared.programs.get(&definition.hash).await?;
    let new = NewInstance {
        correlation_id: Some(parent.correlation_id.clone()),
        causation_id: Some(parent.id.as_str().to_owned()),
        start_key: Some(start_key.clone()),
        started_by: parent.started_by.clone(),
        parent: start.wait.then(|| (parent.id.clone(), key.to_owned())),
        ..NewInstance::new(parent.tenant.clone(), start.input.clone())
    };
    let row = new.into_row(&definition, &program, shared.now(), shared.journal.n_shards());
    match shared.journal.commit(Commit::statements(statements(&row, start.input.clone()))).await {
        Ok(_) => {
            shared.poke(row.shard);
            Ok(Ok(json!({"id": row.id.as_str()})))
        }
        // Somebody was faster: the next look finds it.
        Err(error) => Err(error.into()),
    }
}

/// Why an instance cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The definition cannot be had.
    #[error(transparent)]
    Program(#[from] super::programs::ProgramError),
    /// The store did not answer.
    #[error("the store cannot be read")]
    Read(#[from] ReadError),
    /// The store did not take it.
    #[error("the instance was not stored")]
    Commit(#[from] CommitError),
}
