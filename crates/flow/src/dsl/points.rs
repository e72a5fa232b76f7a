//! What the specification lacks, under `metadata.trunkline` of the document or of a task (rule 39): every definition
//! stays valid by the official schema. Unlike the rest of the metadata, this part is read strictly.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::compensate::Compensate;
use super::lifecycle::Noting;
use super::limits::{Concurrency, RateLimit};
use super::promise::Sla;
use crate::expression::{Stage, Template, TemplateOr};
use crate::read::{At, Extra, Fields, Reader};
use crate::rule::Rule;

/// Settings of a whole workflow.
#[derive(Debug, Clone, Default)]
pub struct WorkflowPoints {
    /// How long an instance may take before somebody hears of it.
    pub sla: Option<Sla>,
    /// How many instances may run at once.
    pub concurrency: Option<Concurrency>,
    /// How many instances may start in a time.
    pub rate_limit: Option<RateLimit>,
    /// From 0 to 9, the higher the sooner; 5 where absent.
    pub priority: Option<TemplateOr<u8>>,
    /// What makes two starts the same.
    pub idempotency: Option<Idempotency>,
    /// How the schedule treats time.
    pub schedule: SchedulePoints,
    /// Of which changes events tell.
    pub lifecycle: Noting,
    /// What `$context` begins as (rule 4).
    pub initial_context: InitialContext,
    /// Whatever an editor keeps about the picture.
    pub ui: Option<Value>,
}

/// Settings of a task.
#[derive(Debug, Clone, Default)]
pub struct TaskPoints {
    /// How long the task may take before somebody hears of it.
    pub sla: Option<Sla>,
    /// How many of these calls may run at once.
    pub concurrency: Option<Concurrency>,
    /// How many of these calls may start in a time.
    pub rate_limit: Option<RateLimit>,
    /// From 0 to 9, the higher the sooner.
    pub priority: Option<u8>,
    /// Whether the task may be done twice.
    pub idempotency: Option<Idempotency>,
    /// What undoes the task when what it belongs to fails later.
    pub compensate: Option<Compensate>,
    /// How old an event may be that `listen` takes.
    pub look_back: Option<Duration>,
    /// Whatever an editor keeps about the picture.
    pub ui: Option<Value>,
}

/// What makes two starts or two effects the same.
#[derive(Debug, Clone, Default)]
pub struct Idempotency {
    /// The key; made from the instance and the place of the task where absent.
    pub key: Option<Template>,
    /// What happens when the outcome of an effect is unknown.
    pub mode: EffectMode,
}

/// What happens when the outcome of an effect is unknown, such as after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EffectMode {
    /// It is done again under the same key.
    #[default]
    AtLeastOnce,
    /// It fails, for a handler or a person to decide.
    AtMostOnce,
}

/// How a schedule treats time.
#[derive(Debug, Clone)]
pub struct SchedulePoints {
    /// The time zone of `cron`; UTC where absent.
    pub timezone: TimeZone,
    /// What becomes of times that were missed.
    pub catch_up: CatchUp,
    /// What becomes of a start while an instance still runs.
    pub overlap: Overlap,
}

/// What becomes of times that were missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CatchUp {
    /// They are left out.
    None,
    /// One start stands for all of them.
    #[default]
    One,
    /// Each is started.
    All,
}

/// What becomes of a start while an instance still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// Both run.
    #[default]
    Allow,
    /// The start is left out.
    Skip,
    /// The start waits for the end of the running one.
    Queue,
}

/// What `$context` begins as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InitialContext {
    /// `{}`.
    #[default]
    Empty,
    /// The workflow's transformed input.
    Input,
}

impl Default for SchedulePoints {
    fn default() -> Self {
        Self { timezone: TimeZone::UTC, catch_up: CatchUp::default(), overlap: Overlap::default() }
    }
}

const MODES: [(&str, EffectMode); 2] =
    [("at-least-once", EffectMode::AtLeastOnce), ("at-most-once", EffectMode::AtMostOnce)];
const CATCH_UP: [(&str, CatchUp); 3] =
    [("none", CatchUp::None), ("one", CatchUp::One), ("all", CatchUp::All)];
const OVERLAP: [(&str, Overlap); 3] =
    [("allow", Overlap::Allow), ("skip", Overlap::Skip), ("queue", Overlap::Queue)];
const LIFECYCLE: [(&str, Noting); 3] =
    [("none", Noting::Nothing), ("workflow", Noting::Workflow), ("tasks", Noting::Tasks)];
const CONTEXTS: [(&str, InitialContext); 2] =
    [("empty", InitialContext::Empty), ("input", InitialContext::Input)];

impl Reader {
    /// Reads `metadata.trunkline` of the document; `metadata` is what stands around it.
    pub(crate) fn workflow_points(&mut self, metadata: &At<'_>) -> WorkflowPoints {
        let read = |reader: &mut Self, at: &At<'_>| {
            let stage = Stage::Trigger;
            let mut fields = Fields::open(at, "`metadata.trunkline`", reader)?;
            let schedule = fields.optional("schedule").map(|at| reader.schedule_points(&at));
            let initial_context =
                fields.optional("initialContext").and_then(|at| reader.choice(&at, &CONTEXTS));
            let lifecycle = fields.optional("lifecycleEvents").and_then(|at| reader.choice(&at, &LIFECYCLE));
            let priority = fields.optional("priority").and_then(|at| reader.instance_priority(&at));
            let common = reader.common_points(&mut fields, stage);
            fields.close(Extra::Closed, reader);
            Some(WorkflowPoints {
                sla: common.sla,
                concurrency: common.concurrency,
                rate_limit: common.rate_limit,
                priority,
                idempotency: common.idempotency,
                ui: common.ui,
                schedule: schedule.unwrap_or_default(),
                lifecycle: lifecycle.unwrap_or_default(),
                initial_context: initial_context.unwrap_or_default(),
            })
        };
        self.points(metadata, read).unwrap_or_default()
    }

    /// Reads `metadata.trunkline` of a task.
    pub(crate) fn task_points(&mut self, metadata: &At<'_>) -> TaskPoints {
        let read = |reader: &mut Self, at: &At<'_>| {
            let mut fields = Fields::open(at, "`metadata.trunkline`", reader)?;
            let look_back = fields.optional("lookBack").and_then(|at| reader.fixed_duration(&at));
            let compensate = fields.optional("compensate").and_then(|at| reader.compensate(&at));
            let priority = fields.optional("priority").and_then(|at| reader.priority(&at));
            let common = reader.common_points(&mut fields, Stage::Body);
            fields.close(Extra::Closed, reader);
            Some(TaskPoints { priority, compensate, look_back, ..common })
        };
        self.points(metadata, read).unwrap_or_default()
    }

    /// Reads with faults of shape turned into faults of the rule: the official schema takes any metadata.
    fn points<T>(
        &mut self,
        metadata: &At<'_>,
        read: impl FnOnce(&mut Self, &At<'_>) -> Option<T>,
    ) -> Option<T> {
        let at = metadata.peek("trunkline")?;
        self.by_rule(Rule::ExtensionPoints, |reader| read(reader, &at))
    }

    fn common_points(&mut self, fields: &mut Fields<'_>, stage: Stage) -> TaskPoints {
        TaskPoints {
            sla: fields.optional("sla").and_then(|at| self.sla(&at, stage)),
            concurrency: fields.optional("concurrency").and_then(|at| self.concurrency(&at, stage)),
            rate_limit: fields.optional("rateLimit").and_then(|at| self.rate_limit(&at, stage)),
            priority: None,
            idempotency: fields.optional("idempotency").and_then(|at| self.idempotency(&at, stage)),
            compensate: None,
            look_back: None,
            ui: fields.optional("ui").and_then(|at| self.object(&at)),
        }
    }

    fn idempotency(&mut self, at: &At<'_>, stage: Stage) -> Option<Idempotency> {
        let mut fields = Fields::open(at, "an idempotency", self)?;
        let key = fields.optional("key").map(|at| self.text_value(&at, stage));
        let mode = match fields.optional("mode") {
            Some(at) if stage == Stage::Trigger => {
                self.shape(&at, "a mode is a call's", "move it to the task that calls");
                None
            }
            at => at.and_then(|at| self.choice(&at, &MODES)),
        };
        fields.close(Extra::Closed, self);
        Some(Idempotency { key, mode: mode.unwrap_or_default() })
    }

    fn schedule_points(&mut self, at: &At<'_>) -> SchedulePoints {
        let Some(mut fields) = Fields::open(at, "the settings of a schedule", self) else {
            return SchedulePoints::default();
        };
        let timezone = fields.optional("timezone").and_then(|at| self.time_zone(&at));
        let catch_up = fields.optional("catchUp").and_then(|at| self.choice(&at, &CATCH_UP));
        let overlap = fields.optional("overlap").and_then(|at| self.choice(&at, &OVERLAP));
        fields.close(Extra::Closed, self);
        SchedulePoints {
            timezone: timezone.unwrap_or(TimeZone::UTC),
            catch_up: catch_up.unwrap_or_default(),
            overlap: overlap.unwrap_or_default(),
        }
    }
}
