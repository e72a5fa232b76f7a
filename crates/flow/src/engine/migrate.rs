//! Moving instances under way to another version of their definition, by a map of places.
//!
//! The move is an input like any other: it lies in the inbox, is taken by the owner with a record, and is refused there
//! once more if the instance has gone on to a place that cannot be moved. What runs on is called for under the same keys.

use std::collections::BTreeMap;

use trunkline_model::{Tenant, WorkflowId};
use trunkline_store::tables::workflow::definition::{DefinitionRow, definition_versions};
use trunkline_store::tables::workflow::instance::{InstanceRow, instance_get, instance_list_running};
use trunkline_store::{CommitError, ReadError};

use super::Engine;
use super::input::Input;
use super::live::{Live, LoadError};
use super::machine::{MoveFault, move_faults, moves};
use super::programs::ProgramError;
use crate::program::diff::{Diff, diff};

/// The most instances that one call moves.
pub const MAX_MOVED: i64 = 100;

/// Why an instance is not moved.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// There is no such instance.
    #[error("there is no such workflow")]
    NotFound,
    /// There is no such version of its definition.
    #[error("the definition has no such version")]
    NoVersion,
    /// It has ended.
    #[error("the workflow has ended")]
    Ended,
    /// Places have no counterpart, or the map names what is not there.
    #[error("{} places cannot be moved", .0.len())]
    Faults(Vec<MoveFault>),
    /// It went on while it was looked at.
    #[error("the workflow has gone on meanwhile")]
    MovedOn,
    /// It cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The message was not stored.
    #[error("the migration was not stored")]
    Commit(#[from] CommitError),
}

impl From<ReadError> for MigrateError {
    fn from(error: ReadError) -> Self {
        Self::Load(error.into())
    }
}

impl From<ProgramError> for MigrateError {
    fn from(error: ProgramError) -> Self {
        Self::Load(error.into())
    }
}

/// What became of one instance of many.
#[derive(Debug)]
pub struct Moved {
    /// The instance.
    pub id: WorkflowId,
    /// Whether it was moved.
    pub result: Result<(), MigrateError>,
}

impl Engine {
    /// Moves an instance to another version. Durable on return.
    pub async fn migrate_instance(
        &self,
        tenant: &Tenant,
        id: &str,
        version: &str,
        map: &BTreeMap<String, String>,
    ) -> Result<InstanceRow, MigrateError> {
        let store = self.shared.journal.store();
        let row = instance_get(store, tenant, id).await?.ok_or(MigrateError::NotFound)?;
        let versions = definition_versions(store, tenant, &row.namespace, &row.name).await?;
        let to = versions.into_iter().find(|it| it.version == version).ok_or(MigrateError::NoVersion)?;
        self.migrate_to(row, &to, map).await
    }

    async fn migrate_to(
        &self,
        row: InstanceRow,
        to: &DefinitionRow,
        map: &BTreeMap<String, String>,
    ) -> Result<InstanceRow, MigrateError> {
        if row.phase.is_terminal() {
            return Err(MigrateError::Ended);
        }
        if row.hash == to.hash && row.version == to.version {
            return Ok(row);
        }
        let shared = &self.shared;
        let new = shared.programs.get(&to.hash).await?;
        let live = Live::load(shared.journal.store(), &shared.programs, row).await?;
        let moves = moves(&live.program, &new, map).map_err(MigrateError::Faults)?;
        let faults = move_faults(&live.program, &new, &live.state, &moves);
        if !faults.is_empty() {
            return Err(MigrateError::Faults(faults));
        }
        let input = Input::Migrated {
            version: to.version.clone(),
            hash: to.hash.clone(),
            from_hash: live.row.hash.clone(),
            moves: moves.into_iter().collect(),
        };
        let key = format!("migrate:{}:{}", live.seq, to.version);
        let row =
            self.send(&live.row.tenant, &live.row.id, key, input).await.map_err(|error| match error {
                super::SendError::NotFound => MigrateError::NotFound,
                super::SendError::Load(error) => error.into(),
                super::SendError::Read(error) => error.into(),
                super::SendError::Commit(error) => error.into(),
                _ => MigrateError::MovedOn,
            })?;
        if row.version == to.version { Ok(row) } else { Err(MigrateError::MovedOn) }
    }

    /// Moves the instances under way of one version to another, from behind the id `after`, at most [`MAX_MOVED`] of
    /// them. What cannot be moved stays as it is.
    pub async fn migrate_instances(
        &self,
        from: &DefinitionRow,
        version: &str,
        map: &BTreeMap<String, String>,
        after: Option<&str>,
    ) -> Result<Vec<Moved>, MigrateError> {
        let store = self.shared.journal.store();
        let versions = definition_versions(store, &from.tenant, &from.namespace, &from.name).await?;
        let to = versions.into_iter().find(|it| it.version == version).ok_or(MigrateError::NoVersion)?;
        let (old, new) =
            (self.shared.programs.get(&from.hash).await?, self.shared.programs.get(&to.hash).await?);
        moves(&old, &new, map).map_err(MigrateError::Faults)?;
        let of = (from.namespace.as_str(), from.name.as_str(), from.version.as_str());
        let rows = instance_list_running(store, &from.tenant, of, after, MAX_MOVED).await?;
        let mut done = Vec::with_capacity(rows.len());
        for row in rows {
            let id = row.id.clone();
            let result = match self.migrate_to(row, &to, map).await {
                Err(error @ (MigrateError::Load(_) | MigrateError::Commit(_))) => return Err(error),
                other => other.map(drop),
            };
            done.push(Moved { id, result });
        }
        Ok(done)
    }
}

impl Engine {
    /// Compares two versions of a definition.
    pub async fn diff_definitions(
        &self,
        from: &DefinitionRow,
        to: &DefinitionRow,
    ) -> Result<Diff, ProgramError> {
        let (from, to) =
            (self.shared.programs.get(&from.hash).await?, self.shared.programs.get(&to.hash).await?);
        Ok(diff(&from, &to))
    }
}
