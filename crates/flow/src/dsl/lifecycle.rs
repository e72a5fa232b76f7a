//! The phases of instances and tasks, and the events that tell of their changes.

use serde::{Deserialize, Serialize};

/// Where an instance or a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Known, and not started.
    Pending,
    /// Being worked on.
    Running,
    /// Until a time, an event or a person.
    Waiting,
    /// Halted by somebody, to be resumed.
    Suspended,
    /// Ended by somebody, or by another branch.
    Cancelled,
    /// Ended by an error.
    Faulted,
    /// Ended well.
    Completed,
}

impl Phase {
    /// Tells whether nothing follows.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Cancelled | Self::Faulted | Self::Completed)
    }
}

/// What of all that is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Noting {
    /// Nothing.
    #[default]
    Nothing,
    /// What happens to the instance.
    Workflow,
    /// What happens to its tasks too.
    Tasks,
}

/// What happened to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named as in the specification")]
pub enum WorkflowChange {
    Started,
    Suspended,
    Resumed,
    CorrelationStarted,
    CorrelationCompleted,
    Cancelled,
    Faulted,
    Completed,
    StatusChanged,
}

/// What happened to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named as in the specification")]
pub enum TaskChange {
    Created,
    Started,
    Suspended,
    Resumed,
    Retried,
    Cancelled,
    Faulted,
    Completed,
    StatusChanged,
}

impl WorkflowChange {
    /// The type of the event that tells of it. The specification kept the prefix of its former name.
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Started => "io.serverlessworkflow.workflow.started.v1",
            Self::Suspended => "io.serverlessworkflow.workflow.suspended.v1",
            Self::Resumed => "io.serverlessworkflow.workflow.resumed.v1",
            Self::CorrelationStarted => "io.serverlessworkflow.workflow.correlation-started.v1",
            Self::CorrelationCompleted => "io.serverlessworkflow.workflow.correlation-completed.v1",
            Self::Cancelled => "io.serverlessworkflow.workflow.cancelled.v1",
            Self::Faulted => "io.serverlessworkflow.workflow.faulted.v1",
            Self::Completed => "io.serverlessworkflow.workflow.completed.v1",
            Self::StatusChanged => "io.serverlessworkflow.workflow.status-changed.v1",
        }
    }
}

impl TaskChange {
    /// The type of the event that tells of it.
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Created => "io.serverlessworkflow.task.created.v1",
            Self::Started => "io.serverlessworkflow.task.started.v1",
            Self::Suspended => "io.serverlessworkflow.task.suspended.v1",
            Self::Resumed => "io.serverlessworkflow.task.resumed.v1",
            Self::Retried => "io.serverlessworkflow.task.retried.v1",
            Self::Cancelled => "io.serverlessworkflow.task.cancelled.v1",
            Self::Faulted => "io.serverlessworkflow.task.faulted.v1",
            Self::Completed => "io.serverlessworkflow.task.completed.v1",
            Self::StatusChanged => "io.serverlessworkflow.task.status-changed.v1",
        }
    }
}
