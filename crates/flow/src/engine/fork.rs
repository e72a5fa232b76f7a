//! New instances that share the history of another one up to a record, or up to a task.
//!
//! The new instance begins with two records: that it was asked for, and the state it takes over. Keys of calls, people's
//! nonces and children belong to the instance that made them, so the state is told its own before; calls that were under
//! way are made again under the new keys. From a task means from the record that began it: what that record said is said
//! again, and the task is done anew.

use trunkline_model::{Tenant, WorkflowId};
use trunkline_store::tables::workflow::definition::{DefinitionRow, DefinitionState};
use trunkline_store::tables::workflow::instance::InstanceRow;
use trunkline_store::tables::workflow::record::{self, RecordRow};
use trunkline_store::{Commit, CommitError};

use super::Engine;
use super::history::{self, Goes, HistoryError, Visit};
use super::input::Input;
use super::machine::{self, Change, Changes, hex_digest};
use super::start::{self, NewInstance};
use super::state::{State, Work};
use crate::dsl::lifecycle::TaskChange;
use crate::program::{Program, TaskId};

/// From where an instance is forked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForkFrom {
    /// After this record.
    Record(i64),
    /// Before the task was begun for the last time; its reference.
    Task(String),
}

/// Why an instance is not forked.
#[derive(Debug, thiserror::Error)]
pub enum ForkError {
    /// Its history cannot be had.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// There is no such record, or it never did such a task.
    #[error("the workflow has no such record or task")]
    NoSuchPlace,
    /// Nothing follows the record.
    #[error("the workflow has ended at this record")]
    Ended,
    /// It waits for a workflow that it runs, which cannot have two that wait for it.
    #[error("the workflow waits for one that it runs at this record")]
    Waits,
    /// The store did not take it.
    #[error("the fork was not stored")]
    Commit(#[from] CommitError),
}

/// Finds the last record that began a task.
struct FindTask {
    reference: String,
    found: Option<i64>,
}

impl Visit for FindTask {
    fn before(&mut self, _: &RecordRow, _: &Input, _: &Program, _: &State) -> Goes {
        Goes::On
    }

    fn after(&mut self, record: &RecordRow, program: &Program, changes: &Changes, _: &State) {
        let is_it = |task: TaskId| program.get(task).is_some_and(|task| *task.reference == *self.reference);
        let begins = |change| matches!(change, Change::Task(TaskChange::Started));
        if changes.notes.iter().any(|note| begins(note.change) && note.task.is_some_and(is_it)) {
            self.found = Some(record.seq);
        }
    }
}

/// Stops before the record behind the last shared one, and keeps it.
struct Until {
    last: i64,
    next: Option<Input>,
    n_seen: i64,
}

impl Visit for Until {
    fn before(&mut self, record: &RecordRow, input: &Input, _: &Program, _: &State) -> Goes {
        if record.seq > self.last {
            self.next = Some(input.clone());
            return Goes::Enough;
        }
        self.n_seen = record.seq;
        Goes::On
    }

    fn after(&mut self, _: &RecordRow, _: &Program, _: &Changes, _: &State) {}
}

impl Engine {
    /// Starts an instance that has done what another one did up to a place. A start key makes it one for ever.
    pub async fn fork_instance(
        &self,
        tenant: &Tenant,
        id: &str,
        from: &ForkFrom,
    ) -> Result<InstanceRow, ForkError> {
        let shared = &self.shared;
        let row = history::row_of(shared, tenant, id).await?;
        let (last, repeats) = match from {
            ForkFrom::Record(seq) => (*seq, false),
            ForkFrom::Task(reference) => {
                let visitor = FindTask { reference: reference.clone(), found: None };
                let found = history::fold(shared, &row, visitor).await?.visitor.found;
                (found.ok_or(ForkError::NoSuchPlace)? - 1, true)
            }
        };
        let history = history::fold(shared, &row, Until { last, next: None, n_seen: 0 }).await?;
        if last < 1 || history.visitor.n_seen != last {
            return Err(ForkError::NoSuchPlace);
        }
        let (mut state, program) = (history.state, history.program);
        if state.outcome.is_some() {
            return Err(ForkError::Ended);
        }
        let next = history.visitor.next.filter(|_| repeats);
        let ended = match &next {
            Some(Input::ChildEnded { key, .. }) => Some(key.as_str()),
            _ => None,
        };
        let waits = |work: &Work| matches!(work, Work::Child { id: Some(_), key, .. } if ended != Some(key));
        if state.frames.values().any(|frame| waits(&frame.work)) {
            return Err(ForkError::Waits);
        }
        // What came while the other one was held came to that one.
        state.suspended = None;
        state.next_input = next.filter(|it| !matches!(it, Input::Begun { .. })).map(Box::new);
        state.has_begun = false;
        self.store_fork(&row, &program, state, last).await
    }

    async fn store_fork(
        &self,
        row: &InstanceRow,
        program: &Program,
        state: State,
        last: i64,
    ) -> Result<InstanceRow, ForkError> {
        let shared = &self.shared;
        let document = &program.workflow().document;
        let definition = DefinitionRow {
            tenant: row.tenant.clone(),
            namespace: row.namespace.clone(),
            name: row.name.clone(),
            version: document.version.to_string(),
            // The text is stored under the hash that the instance was started or moved with.
            hash: program.hash().to_string(),
            state: DefinitionState::Active,
            created_at: row.created_at,
            updated_at: row.created_at,
        };
        let input: serde_json::Value = serde_json::from_str(&row.input)
            .map_err(|error| HistoryError::Load(super::live::LoadError::Stored(error)))?;
        let now = shared.now();
        let new = NewInstance {
            document_id: row.document_id.clone(),
            correlation_id: Some(row.correlation_id.clone()),
            causation_id: Some(row.id.as_str().to_owned()),
            ..NewInstance::new(row.tenant.clone(), input.clone())
        };
        let mut made = new.into_row(&definition, program, now, shared.journal.n_shards());
        let state = machine::renamed(program, state, &made.id);
        made.current_step = i64::from(state.step);
        made.n_records = 2;
        let mut statements = start::statements(&made, input);
        let forked = forked_record(&made.id, row, last, state, now);
        statements.extend(record::record_insert(&forked, hex_digest));
        shared.journal.commit(Commit::statements(statements)).await?;
        shared.poke(made.shard);
        Ok(made)
    }
}

fn forked_record(
    id: &WorkflowId,
    from: &InstanceRow,
    seq: i64,
    state: State,
    now: trunkline_model::Timestamp,
) -> RecordRow {
    let state = serde_json::to_value(state).expect("invariant: states are JSON");
    let input = Input::Forked { from: from.id.clone(), seq, state };
    RecordRow {
        instance_id: id.clone(),
        seq: 2,
        at: now,
        kind: input.kind().to_owned(),
        body: serde_json::to_string(&input).expect("invariant: inputs are JSON"),
    }
}
