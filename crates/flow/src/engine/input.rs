//! What can happen to an instance, and what came of calling outside. An input becomes the body of a record: folding the
//! records of an instance gives its state again, so everything that a step needs stands in here or in the state.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trunkline_model::WorkflowId;

use super::people::{Act, Actor};
use crate::dsl::error::StandardError;

/// An error as a workflow sees it: the members of a problem (RFC 9457).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// A URI that says what kind of error it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status that fits it.
    pub status: u16,
    /// What the kind means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What happened here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// JSON pointer to the task; the one that failed where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

impl Failure {
    /// A standard error with a sentence about what happened.
    pub fn standard(kind: StandardError, detail: impl Into<String>) -> Self {
        Self {
            kind: kind.uri(),
            status: kind.status(),
            title: Some(kind.title().to_owned()),
            detail: Some(detail.into()),
            instance: None,
        }
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The error as data.
    pub fn to_value(&self) -> Value {
        let mut value = json!({"type": self.kind, "status": self.status});
        for (key, text) in [("title", &self.title), ("detail", &self.detail), ("instance", &self.instance)] {
            if let Some(text) = text {
                value[key] = Value::String(text.clone());
            }
        }
        value
    }
}

/// How something ended that somebody waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// With this.
    Completed(Value),
    /// With this error.
    Failed(Failure),
    /// Ended by somebody, who said why.
    Cancelled(Option<String>),
}

/// What happens to an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Input {
    /// It was asked for. Only in the first record.
    Started {
        /// What it was started with.
        input: Value,
    },
    /// The owner of its shard takes it up.
    Begun {
        /// What tells this instance's stand-ins for secrets from texts that look like one; only with secrets.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seal: Option<String>,
    },
    /// A call outside ended.
    EffectDone {
        /// Which one.
        effect: u32,
        /// With what.
        result: Result<Value, Failure>,
    },
    /// A time has come.
    TimerFired {
        /// Which one.
        timer: u32,
    },
    /// An event came that may be the one that is waited for.
    EventMatched {
        /// Which subscription found it.
        wait: u32,
        /// The event as a CloudEvent.
        event: Value,
    },
    /// It is let through a gate.
    Admitted {
        /// Which ticket it asked with.
        ticket: u32,
    },
    /// It is not let through a gate, and does not wait.
    Refused {
        /// Which ticket it asked with.
        ticket: u32,
    },
    /// A person did something about a task that waits for people.
    Acted {
        /// Which task, in this activation of it.
        nonce: String,
        /// What the caller knows the act by.
        key: String,
        /// Who.
        actor: Actor,
        /// What.
        act: Act,
    },
    /// An instance that this one started has ended.
    ChildEnded {
        /// What this one calls it.
        key: String,
        /// How.
        outcome: Outcome,
    },
    /// Somebody ends it.
    Cancel {
        /// Why.
        reason: Option<String>,
    },
    /// Somebody, or the engine, holds it.
    Suspend {
        /// Why; an incident where it was the engine.
        reason: Option<String>,
    },
    /// Somebody lets it go on.
    Resume,
    /// It takes over the state of another instance. Only in the second record.
    Forked {
        /// Which instance.
        from: WorkflowId,
        /// The last record that they share.
        seq: i64,
        /// JSON of the state there, under the id of this one.
        state: Value,
    },
    /// It goes on with another version of its definition.
    Migrated {
        /// The version.
        version: String,
        /// Its digest.
        hash: String,
        /// The digest of the version before.
        from_hash: String,
        /// Which task of the version before became which, as pairs.
        moves: Vec<(u32, u32)>,
    },
}

impl Input {
    /// The kind of a record that another version of the definition begins with.
    pub const MIGRATED: &'static str = "migrated";

    /// The word for it in the tables.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Begun { .. } => "begun",
            Self::EffectDone { .. } => "effect_done",
            Self::TimerFired { .. } => "timer_fired",
            Self::EventMatched { .. } => "event_matched",
            Self::Admitted { .. } => "admitted",
            Self::Refused { .. } => "refused",
            Self::Acted { .. } => "acted",
            Self::ChildEnded { .. } => "child_ended",
            Self::Cancel { .. } => "cancel",
            Self::Suspend { .. } => "suspend",
            Self::Resume => "resume",
            Self::Forked { .. } => "forked",
            Self::Migrated { .. } => Self::MIGRATED,
        }
    }
}
