//! Tasks of people: `call: approval:1@default` and `call: step:1@default` (rule 40). The specification has none; these are
//! calls of functions to any other engine.

use std::sync::Arc;

use trunkline_packs::DataSchema;
use trunkline_packs::document::Content;

use crate::dsl::duration::Delay;
use crate::expression::{Stage, Template};
use crate::read::{At, Extra, Fields, Reader};
use crate::rule::Rule;

/// A task of people.
#[derive(Debug, Clone)]
pub struct HumanTask {
    /// What is asked of them.
    pub kind: Kind,
    /// A line for their list; the task's name where absent.
    pub title: Option<Template>,
    /// More about it.
    pub description: Option<Template>,
    /// Users who may decide: a list of ids, or an expression that gives one.
    pub assignees: Option<Template>,
    /// Groups whose members may decide.
    pub groups: Option<Template>,
    /// What the decision must be filled in with.
    pub form: Option<Arc<DataSchema>>,
    /// How many must agree.
    pub quorum: u32,
    /// When it is due.
    pub due: Option<Delay>,
    /// Whom else to ask, and when.
    pub escalation: Option<Escalation>,
    /// Whether whoever started the workflow may decide.
    pub self_approval: SelfApproval,
    /// What happens when it is not decided in time.
    pub on_timeout: OnTimeout,
}

/// What is asked of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To approve or to reject.
    Approval,
    /// To do something and say that it is done.
    Step,
}

/// Whom else to ask, and when.
#[derive(Debug, Clone)]
pub struct Escalation {
    /// After how long.
    pub after: Delay,
    /// Further users and groups.
    pub to: Template,
}

/// Whether whoever started the workflow may decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SelfApproval {
    /// They may not.
    #[default]
    Refused,
    /// They may.
    Allowed,
}

/// What happens when it is not decided in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnTimeout {
    /// The output says so: `{outcome: timeout}`.
    #[default]
    Outcome,
    /// A timeout is raised.
    Error,
}

const ON_TIMEOUT: [(&str, OnTimeout); 2] = [("outcome", OnTimeout::Outcome), ("error", OnTimeout::Error)];

impl Kind {
    /// The kind a function of the default catalog stands for.
    pub(super) fn of(function: &str) -> Option<Self> {
        match function {
            "approval" => Some(Self::Approval),
            "step" => Some(Self::Step),
            _ => None,
        }
    }
}

impl Reader {
    pub(super) fn human(&mut self, kind: Kind, call: &At<'_>, with: Option<&At<'_>>) -> Option<HumanTask> {
        let Some(with) = with else {
            if kind == Kind::Approval {
                self.unassigned(call);
            }
            return Some(HumanTask::empty(kind));
        };
        self.object(with)?;
        self.by_rule(Rule::HumanTasks, |reader| reader.human_arguments(kind, with))
    }

    fn unassigned(&mut self, at: &At<'_>) {
        let fix = "name users under `assignees` or groups under `groups`";
        self.rule(Rule::HumanTasks, at, "nobody may decide", fix);
    }

    fn human_arguments(&mut self, kind: Kind, with: &At<'_>) -> Option<HumanTask> {
        let stage = Stage::Body;
        let mut fields = Fields::open(with, "a task of people", self)?;
        let task = HumanTask {
            title: fields.optional("title").map(|at| self.text_value(&at, stage)),
            description: fields.optional("description").map(|at| self.text_value(&at, stage)),
            assignees: fields.optional("assignees").and_then(|at| self.people(&at)),
            groups: fields.optional("groups").and_then(|at| self.people(&at)),
            form: fields.optional("form").and_then(|at| self.form(&at)),
            quorum: fields
                .optional("quorum")
                .and_then(|at| self.integer_within(&at, 1..=100))
                .map_or(1, |quorum| quorum as u32),
            due: fields.optional("due").and_then(|at| self.duration(&at, stage)),
            escalation: fields.optional("escalate").and_then(|at| self.escalation(&at)),
            self_approval: match fields.optional("selfApproval").and_then(|at| self.flag(&at)) {
                Some(true) => SelfApproval::Allowed,
                _ => SelfApproval::Refused,
            },
            on_timeout: fields
                .optional("onTimeout")
                .and_then(|at| self.choice(&at, &ON_TIMEOUT))
                .unwrap_or_default(),
            kind,
        };
        fields.close(Extra::Closed, self);
        if kind == Kind::Approval && !with.has("assignees") && !with.has("groups") {
            self.unassigned(with);
        }
        if with.has("onTimeout") && !with.has("due") {
            self.shape(with, "`onTimeout` without `due`", "say when it is due");
        }
        Some(task)
    }

    /// Reads a list of names, or an expression that gives one.
    fn people(&mut self, at: &At<'_>) -> Option<Template> {
        if matches!(at.node.content, Content::Text(_)) {
            return self.expression(at, Stage::Body).map(Template::Expression);
        }
        self.texts(at);
        let template = self.template(at, Stage::Body);
        if matches!(&at.node.content, Content::List(items) if items.is_empty()) {
            self.unassigned(at);
        }
        Some(template)
    }

    fn form(&mut self, at: &At<'_>) -> Option<Arc<DataSchema>> {
        let schema = at.node.to_json();
        if !self.admits_patterns_of(&schema, at) {
            return None;
        }
        match DataSchema::compile(&schema) {
            Ok(schema) => Some(Arc::new(schema)),
            Err(faults) => {
                for fault in faults {
                    self.rule(
                        Rule::HumanTasks,
                        at,
                        format!("{}: {}", fault.pointer, fault.problem),
                        fault.fix,
                    );
                }
                None
            }
        }
    }

    fn escalation(&mut self, at: &At<'_>) -> Option<Escalation> {
        let mut fields = Fields::open(at, "an escalation", self)?;
        let after = fields.required("after", self).and_then(|at| self.duration(&at, Stage::Body));
        let to = fields.required("to", self).and_then(|at| self.people(&at));
        fields.close(Extra::Closed, self);
        Some(Escalation { after: after?, to: to? })
    }
}

impl HumanTask {
    fn empty(kind: Kind) -> Self {
        Self {
            kind,
            title: None,
            description: None,
            assignees: None,
            groups: None,
            form: None,
            quorum: 1,
            due: None,
            escalation: None,
            self_approval: SelfApproval::default(),
            on_timeout: OnTimeout::default(),
        }
    }
}
