//! What happened in a world: calls and events, in order, as tests compare them.

use serde_json::Value;
use trunkline_model::{Timestamp, WorkflowId};

use super::Answer;
use crate::engine::state::Action;

/// Something that left a workflow.
#[derive(Debug, Clone, PartialEq)]
pub enum Happening {
    /// A call was made.
    Called(Box<Called>),
    /// An event was emitted.
    Emitted {
        /// When.
        at: Timestamp,
        /// By whom.
        instance: WorkflowId,
        /// The CloudEvent.
        event: Value,
    },
}

/// A call that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Called {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub instance: WorkflowId,
    /// The key it carries.
    pub key: String,
    /// What was asked for.
    pub action: Action,
    /// What was answered.
    pub answer: Answer,
}
