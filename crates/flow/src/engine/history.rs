//! The records of an instance folded again from the first one: what timelines and forks are made of.
//!
//! Reading is in pages and folding is off the runtime's threads, since expressions run in it. An instance of very many
//! records is not folded from its beginning for somebody who asks.

use std::sync::Arc;

use trunkline_model::{Tenant, Timestamp};
use trunkline_store::ReadError;
use trunkline_store::tables::workflow::instance::{InstanceRow, instance_get};
use trunkline_store::tables::workflow::record::{self, RecordRow};

use super::Shared;
use super::input::Input;
use super::live::LoadError;
use super::machine::{self, Changes};
use super::programs::ProgramError;
use super::state::State;
use crate::program::Program;

/// The most records that are folded from the beginning.
pub(crate) const MAX_FOLDED: i64 = 100_000;
/// How many records are read at once.
const PAGE: i64 = 256;

/// Why the history of an instance cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// There is no such instance.
    #[error("there is no such workflow")]
    NotFound,
    /// It has too many records.
    #[error("the workflow has more than {MAX_FOLDED} records")]
    TooLong,
    /// It cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Folding did not come back.
    #[error("the history could not be folded")]
    Fold,
}

impl From<ReadError> for HistoryError {
    fn from(error: ReadError) -> Self {
        Self::Load(error.into())
    }
}

impl From<ProgramError> for HistoryError {
    fn from(error: ProgramError) -> Self {
        Self::Load(error.into())
    }
}

/// Whether a fold goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goes {
    On,
    Enough,
}

/// What looks at each record while they are folded.
pub(crate) trait Visit: Send + 'static {
    /// Before a record is folded in.
    fn before(&mut self, record: &RecordRow, input: &Input, program: &Program, state: &State) -> Goes;

    /// After it was.
    fn after(&mut self, record: &RecordRow, program: &Program, changes: &Changes, state: &State);
}

/// A history being folded.
pub(crate) struct History<V> {
    pub(crate) state: State,
    pub(crate) program: Arc<Program>,
    pub(crate) visitor: V,
    seq: i64,
    is_over: bool,
}

/// Folds the records of an instance from the first one until the visitor has enough.
pub(crate) async fn fold<V: Visit>(
    shared: &Shared,
    row: &InstanceRow,
    visitor: V,
) -> Result<History<V>, HistoryError> {
    let store = shared.journal.store();
    let first = record::record_first_of_kind(store, &row.id, Input::MIGRATED).await?;
    let first: Option<Input> =
        first.map(|it| serde_json::from_str(&it.body)).transpose().map_err(LoadError::Stored)?;
    let hash = match &first {
        Some(Input::Migrated { from_hash, .. }) => from_hash.as_str(),
        _ => &row.hash,
    };
    let input = serde_json::from_str(&row.input).map_err(LoadError::Stored)?;
    let mut history = History {
        state: State::new(row.id.clone(), input, row.created_at),
        program: shared.programs.get(hash).await?,
        visitor,
        seq: 0,
        is_over: false,
    };
    loop {
        let page = record::record_list(store, &row.id, history.seq, PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        let mut records = Vec::with_capacity(page.len());
        for record in page {
            let input: Input = serde_json::from_str(&record.body).map_err(LoadError::Stored)?;
            let next = match &input {
                Input::Migrated { hash, .. } => Some(shared.programs.get(hash).await?),
                _ => None,
            };
            records.push((record, input, next));
        }
        let folded = tokio::task::spawn_blocking(move || history.fold_page(records)).await;
        history = folded.map_err(|_| HistoryError::Fold)?;
        if is_last || history.is_over {
            return Ok(history);
        }
        if history.seq >= MAX_FOLDED {
            return Err(HistoryError::TooLong);
        }
    }
}

impl<V: Visit> History<V> {
    fn fold_page(mut self, records: Vec<(RecordRow, Input, Option<Arc<Program>>)>) -> Self {
        for (record, input, next) in records {
            if self.visitor.before(&record, &input, &self.program, &self.state) == Goes::Enough {
                self.is_over = true;
                break;
            }
            let changes = self.step(&input, next, record.at);
            self.visitor.after(&record, &self.program, &changes, &self.state);
            self.seq = record.seq;
        }
        self
    }

    fn step(&mut self, input: &Input, next: Option<Arc<Program>>, at: Timestamp) -> Changes {
        if let (Input::Migrated { moves, .. }, Some(next)) = (input, next) {
            let before = std::mem::replace(&mut self.program, next);
            return machine::migrate(&before, &self.program, &mut self.state, moves, at).unwrap_or_default();
        }
        machine::step_noting(&self.program, &mut self.state, input, at, machine::Noting::Tasks)
    }
}

/// Reads the row of an instance of a tenant.
pub(crate) async fn row_of(shared: &Shared, tenant: &Tenant, id: &str) -> Result<InstanceRow, HistoryError> {
    instance_get(shared.journal.store(), tenant, id).await?.ok_or(HistoryError::NotFound)
}
