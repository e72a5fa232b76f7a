//! What an instance has besides its tasks: places it asks for or holds, promises about time, and what it would have to undo.
//! Parts of the [state](super::state::State), and data like all of it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trunkline_model::Timestamp;

use super::input::{Failure, Outcome};
use crate::dsl::limits::LimitPolicy;
use crate::program::TaskId;

/// A place or a start that is asked for, or a place that is held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ticket {
    /// Who waits for it, or holds it.
    pub frame: u32,
    /// What it lets through.
    pub gate: Gate,
    /// The place in the definition whose limit it is; empty for the workflow's own.
    pub place: String,
    /// What shares the limit.
    pub key: String,
    /// What becomes of one too many.
    pub policy: LimitPolicy,
    /// How many may be at it, or start in the time.
    pub most: u32,
    /// The time, of a gate for starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Duration>,
    /// Who comes first; that of the instance where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// Since when it waits.
    pub asked_at: Timestamp,
    /// Whether it is held.
    #[serde(default)]
    pub is_held: bool,
}

/// What lets only so many through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// So many at once.
    Places,
    /// So many in a time.
    Starts,
}

/// The time that something was promised to take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// When it is over.
    pub due_at: Timestamp,
    /// How it stands.
    pub standing: PromiseStanding,
}

/// How a promise stands that is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromiseStanding {
    /// Nothing was warned of.
    Within,
    /// It was warned of.
    Warned,
    /// It is broken.
    Breached,
}

/// A task that was done and can be undone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Which one.
    pub task: TaskId,
    /// Its place with iterations and visits: what calls that undo it are known by.
    pub path: String,
    /// The frames around it when it was done.
    pub within: Vec<u32>,
    /// What it was given.
    pub input: Value,
    /// What it gave.
    pub output: Value,
    /// Keys of calls that may be made once only, and were made when undoing it began and did not come to its end.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub spent: BTreeSet<String>,
}

/// How far undoing has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Undoing {
    /// What is left, the first to be undone last.
    pub left: Vec<Done>,
    /// What is being undone.
    pub now: Option<Done>,
    /// What comes then.
    pub then: AfterUndoing,
}

/// What comes when everything is undone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterUndoing {
    /// The end of the instance.
    End(Outcome),
    /// The handler of an error, or its way up.
    Handle(Failure),
    /// What the winner of a race gave.
    Join {
        /// Its output.
        output: Value,
        /// Its context.
        context: Value,
    },
}

/// How much was undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Undone {
    /// Tasks that were.
    pub n_done: u32,
    /// Tasks that could not be.
    pub n_failed: u32,
}

impl Undone {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}
