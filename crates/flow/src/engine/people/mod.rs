//! What is asked of people, and who may answer (rule 40): rules without a runtime, used by the machine, where they count,
//! and before it, to tell callers at once.
//!
//! Whoever acts is judged by who they are and which groups they are in when they act, not when they were asked. A task
//! belongs to one activation: its nonce is never given again, so a decision that comes late decides nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trunkline_model::{PersonTaskId, Timestamp};
use trunkline_packs::DataSchema;
pub use trunkline_store::tables::workflow::task::TaskStatus;

use crate::dsl::tasks::call::human::Kind;

/// The most that can be done about one task.
const MAX_HISTORY: usize = 500;

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The person, or the token that is nobody's.
    pub user: String,
    /// Their groups, now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// For whom they act; only operators do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// Whether an operator vouches for it.
    #[serde(default)]
    pub is_operator: bool,
}

impl Actor {
    /// Who it counts for.
    pub fn counts_for(&self) -> &str {
        self.on_behalf_of.as_deref().unwrap_or(&self.user)
    }
}

/// What a person does about a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// Takes it, so that nobody else does.
    Claim,
    /// Gives it back.
    Unclaim,
    /// Gives it to somebody else.
    Delegate {
        /// To whom.
        to: String,
    },
    /// Decides.
    Complete {
        /// How; a step is `done` where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decision: Option<Decided>,
        /// What the form was filled in with.
        #[serde(default)]
        data: Value,
        /// A word about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
    },
}

/// A decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decided {
    /// For it.
    Approved,
    /// Against it.
    Rejected,
    /// The step is done.
    Done,
}

/// What came of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskOutcome {
    /// Enough were for it.
    Approved,
    /// Somebody was against it.
    Rejected,
    /// Enough have done it.
    Done,
    /// Nobody did it in time.
    Timeout,
}

impl TaskOutcome {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Done => "done",
            Self::Timeout => "timeout",
        }
    }
}

/// What was done about a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Did {
    /// Taken.
    Claimed,
    /// Given back.
    Unclaimed,
    /// Given to somebody else.
    Delegated,
    /// Further people were asked.
    Escalated,
    /// Decided for.
    Approved,
    /// Decided against.
    Rejected,
    /// Done.
    Done,
    /// The time was over.
    Expired,
}

impl Did {
    fn is_decision(self) -> bool {
        matches!(self, Self::Approved | Self::Rejected | Self::Done)
    }
}

/// One line of a task's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// What.
    pub did: Did,
    /// Who; nobody where time did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// For whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// To whom it went.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// What the form was filled in with.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
    /// A word about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What the caller knows the act by.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
}

impl Entry {
    pub(crate) fn of_time(did: Did, at: Timestamp, to: Vec<String>) -> Self {
        Self {
            at,
            did,
            by: None,
            on_behalf_of: None,
            to,
            data: Value::Null,
            comment: None,
            key: String::new(),
        }
    }

    fn decider(&self) -> Option<&str> {
        self.on_behalf_of.as_deref().or(self.by.as_deref())
    }

    /// A decision as data.
    fn to_value(&self) -> Value {
        let mut value = json!({"decision": self.did, "by": self.decider(), "at": self.at.to_rfc3339(), "data": self.data});
        if self.on_behalf_of.is_some() {
            value["entered_by"] = json!(self.by);
        }
        if let Some(comment) = &self.comment {
            value["comment"] = json!(comment);
        }
        value
    }
}

/// What is asked of people, and how far it has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// The task.
    pub id: PersonTaskId,
    /// This activation of it and no other.
    pub nonce: String,
    /// What is asked, in a line.
    pub title: String,
    /// More about it.
    pub description: Option<String>,
    /// To approve, or to do.
    pub is_approval: bool,
    /// Users who may decide.
    pub assignees: Vec<String>,
    /// Groups whose members may decide.
    pub groups: Vec<String>,
    /// Users and groups that were asked later.
    pub escalated_to: Vec<String>,
    /// Who gave it away, to whom.
    pub delegated: BTreeMap<String, String>,
    /// Who started the workflow and may not approve it.
    pub barred: Option<String>,
    /// How many must agree.
    pub quorum: u32,
    /// When it is due.
    pub due_at: Option<Timestamp>,
    /// When further people are asked.
    pub escalate_at: Option<Timestamp>,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// When it last changed.
    pub changed_at: Timestamp,
    /// Where it stands.
    #[serde(with = "status_word")]
    pub status: TaskStatus,
    /// What came of it.
    pub outcome: Option<TaskOutcome>,
    /// Who works on it.
    pub claimed_by: Option<String>,
    /// What was done, in order.
    pub history: Vec<Entry>,
    /// Grows with each change.
    pub version: u32,
}

mod status_word {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::TaskStatus;

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(status: &TaskStatus, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(status.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<TaskStatus, D::Error> {
        let word = String::deserialize(from)?;
        TaskStatus::parse(&word).ok_or_else(|| D::Error::custom("no status of a task"))
    }
}

/// Why an act is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActRefusal {
    /// It is over.
    #[error("the task was decided, has expired or is not asked for any more")]
    Closed,
    /// It is not theirs.
    #[error("the task is not on the list of {0}")]
    NotTheirs(String),
    /// They started the workflow.
    #[error("whoever started the workflow may not approve it")]
    SelfApproval,
    /// Somebody else works on it.
    #[error("{0} has claimed the task")]
    Claimed(String),
    /// Nobody works on it.
    #[error("nobody has claimed the task")]
    NotClaimed,
    /// Several have to decide.
    #[error("several people have to decide, so nobody claims the task")]
    Shared,
    /// They have decided.
    #[error("{0} has decided already")]
    Decided(String),
    /// It makes no sense for this task.
    #[error("{0}")]
    Senseless(&'static str),
    /// It went to and fro too often.
    #[error("more than {MAX_HISTORY} things were done about the task")]
    TooMany,
    /// What was filled in does not fit.
    #[error("the data does not fit the form of the task")]
    Form(Vec<(String, String)>),
}

impl Asked {
    /// Who has decided so far.
    pub fn decisions(&self) -> impl Iterator<Item = &Entry> {
        self.history.iter().filter(|entry| entry.did.is_decision())
    }

    /// Whether it is on the list of whoever acts.
    fn is_theirs(&self, actor: &Actor) -> bool {
        let user = actor.counts_for();
        if self.delegated.contains_key(user) {
            return false;
        }
        if !self.is_approval && actor.is_operator {
            return true;
        }
        let (groups, escalated) = (&self.groups, &self.escalated_to);
        if self.assignees.is_empty() && groups.is_empty() && escalated.is_empty() {
            return true;
        }
        let is_named = self.assignees.iter().chain(escalated).any(|it| it == user);
        // Whoever acts for somebody vouches for that person's groups; one's own are known.
        let is_member = match &actor.on_behalf_of {
            Some(_) => actor.is_operator && !groups.is_empty(),
            None => actor.groups.iter().any(|it| groups.contains(it) || escalated.contains(it)),
        };
        is_named || is_member
    }

    /// Says whether an act may be done now.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check(&self, act: &Act, actor: &Actor, form: Option<&DataSchema>) -> Result<(), ActRefusal> {
        let user = actor.counts_for();
        if !self.status.is_open() {
            return Err(ActRefusal::Closed);
        }
        if self.history.len() >= MAX_HISTORY {
            return Err(ActRefusal::TooMany);
        }
        let claimed_by_other = self.claimed_by.as_deref().filter(|it| *it != user);
        if *act == Act::Unclaim {
            return match claimed_by_other {
                _ if self.claimed_by.is_none() => Err(ActRefusal::NotClaimed),
                Some(other) if !actor.is_operator => Err(ActRefusal::Claimed(other.to_owned())),
                _ => Ok(()),
            };
        }
        if self.is_barred(user) || self.is_barred(&actor.user) {
            return Err(ActRefusal::SelfApproval);
        }
        if !self.is_theirs(actor) {
            return Err(ActRefusal::NotTheirs(user.to_owned()));
        }
        if let Some(other) = claimed_by_other {
            return Err(ActRefusal::Claimed(other.to_owned()));
        }
        if self.decisions().any(|entry| entry.decider() == Some(user)) {
            return Err(ActRefusal::Decided(user.to_owned()));
        }
        match act {
            Act::Claim if self.quorum > 1 => Err(ActRefusal::Shared),
            Act::Claim if self.claimed_by.is_some() => Err(ActRefusal::Claimed(user.to_owned())),
            Act::Claim | Act::Unclaim => Ok(()),
            Act::Delegate { to } => self.check_delegation(user, to),
            Act::Complete { decision, data, .. } => self.check_decision(*decision, data, form),
        }
    }

    fn is_barred(&self, user: &str) -> bool {
        self.barred.as_deref() == Some(user)
    }

    fn check_delegation(&self, user: &str, to: &str) -> Result<(), ActRefusal> {
        if to == user {
            return Err(ActRefusal::Senseless("nobody delegates to themselves"));
        }
        if self.is_barred(to) {
            return Err(ActRefusal::SelfApproval);
        }
        if self.decisions().any(|entry| entry.decider() == Some(to)) {
            return Err(ActRefusal::Decided(to.to_owned()));
        }
        Ok(())
    }

    fn check_decision(
        &self,
        decision: Option<Decided>,
        data: &Value,
        form: Option<&DataSchema>,
    ) -> Result<(), ActRefusal> {
        match (self.is_approval, decision) {
            (true, None | Some(Decided::Done)) => {
                return Err(ActRefusal::Senseless("an approval is `approved` or `rejected`"));
            }
            (false, Some(Decided::Approved | Decided::Rejected)) => {
                return Err(ActRefusal::Senseless("a step is `done`"));
            }
            _ => {}
        }
        let faults = form.map(|form| form.check(data)).unwrap_or_default();
        if faults.is_empty() {
            return Ok(());
        }
        Err(ActRefusal::Form(faults.into_iter().map(|it| (it.pointer, it.problem)).collect()))
    }

    /// Does what was checked.
    pub(crate) fn apply(&mut self, key: &str, act: &Act, actor: &Actor, at: Timestamp) {
        let user = actor.counts_for().to_owned();
        let mut entry = Entry {
            by: Some(actor.user.clone()),
            on_behalf_of: actor.on_behalf_of.clone(),
            key: key.to_owned(),
            ..Entry::of_time(Did::Done, at, Vec::new())
        };
        match act {
            Act::Claim => {
                entry.did = Did::Claimed;
                (self.claimed_by, self.status) = (Some(user), TaskStatus::Claimed);
            }
            Act::Unclaim => {
                entry.did = Did::Unclaimed;
                (self.claimed_by, self.status) = (None, TaskStatus::Open);
            }
            Act::Delegate { to } => {
                (entry.did, entry.to) = (Did::Delegated, vec![to.clone()]);
                self.assignees.retain(|it| *it != user && it != to);
                self.assignees.push(to.clone());
                self.delegated.remove(to);
                self.delegated.insert(user, to.clone());
                (self.claimed_by, self.status) = (None, TaskStatus::Open);
            }
            Act::Complete { decision, data, comment } => {
                entry.did = match decision {
                    Some(Decided::Approved) => Did::Approved,
                    Some(Decided::Rejected) => Did::Rejected,
                    Some(Decided::Done) | None => Did::Done,
                };
                (entry.data, entry.comment) = (data.clone(), comment.clone());
            }
        }
        self.history.push(entry);
        self.changed(at);
        self.settle();
    }

    /// One rejection decides; otherwise as many as the quorum says.
    fn settle(&mut self) {
        let n_for = self.decisions().count();
        let is_rejected = self.decisions().any(|entry| entry.did == Did::Rejected);
        self.outcome = match () {
            () if is_rejected => Some(TaskOutcome::Rejected),
            () if n_for < self.quorum as usize => None,
            () if self.is_approval => Some(TaskOutcome::Approved),
            () => Some(TaskOutcome::Done),
        };
        if self.outcome.is_some() {
            self.status = TaskStatus::Completed;
        }
    }

    /// Asks further people.
    pub(crate) fn escalate(&mut self, to: Vec<String>, at: Timestamp) {
        self.history.push(Entry::of_time(Did::Escalated, at, to.clone()));
        self.escalated_to = to;
        self.escalate_at = None;
        self.changed(at);
    }

    /// Ends it without a decision.
    pub(crate) fn close(&mut self, status: TaskStatus, at: Timestamp) {
        self.status = status;
        if status == TaskStatus::Expired {
            self.outcome = Some(TaskOutcome::Timeout);
            self.history.push(Entry::of_time(Did::Expired, at, Vec::new()));
        }
        self.changed(at);
    }

    fn changed(&mut self, at: Timestamp) {
        self.version += 1;
        self.changed_at = at;
    }

    /// What the task gives the workflow, once there is an outcome.
    pub(crate) fn output(&self) -> Value {
        let Some(outcome) = self.outcome else { return Value::Null };
        let mut output = json!({"outcome": outcome.as_str()});
        if let Some(last) = self.decisions().last() {
            output["by"] = json!(last.decider());
            output["data"] = last.data.clone();
            if let Some(comment) = &last.comment {
                output["comment"] = json!(comment);
            }
        }
        if self.is_approval || self.quorum > 1 {
            output["decisions"] = self.decisions().map(Entry::to_value).collect();
        }
        output
    }

    /// What events say of it; what was filled in is not for everybody who hears of it.
    pub(crate) fn to_news(&self) -> Value {
        let due = self.due_at.map(Timestamp::to_rfc3339);
        json!({
            "task_id": self.id.as_str(),
            "title": self.title,
            "kind": self.kind().word(),
            "status": self.status.as_str(),
            "outcome": self.outcome.map(TaskOutcome::as_str),
            "assignees": self.assignees,
            "groups": self.groups,
            "escalated_to": self.escalated_to,
            "claimed_by": self.claimed_by,
            "due_at": due,
        })
    }

    pub(crate) fn kind(&self) -> Kind {
        if self.is_approval { Kind::Approval } else { Kind::Step }
    }
}

impl Kind {
    /// The word for it in the table of tasks.
    pub fn word(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Step => "step",
        }
    }
}

#[cfg(test)]
mod tests;
