//! What the specification lacks, under `metadata.trunkline` of the document or of a task (rule 39): every definition
//! stays valid by the official schema. Unlike the rest of the metadata, this part is read strictly.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::Value;
use trunkline_packs::suggest::quoted;

use super::lifecycle::Noting;
use crate::expression::{Stage, Template};
use crate::read::{At, Component, Extra, Fields, Reader};
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
    pub priority: Option<u8>,
    /// What makes two starts the same.
    pub idempotency: Option<Idempotency>,
    /// The function that undoes what was done when an instance fails.
    pub compensate: Option<String>,
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
    /// The function that undoes the task when the instance fails later.
    pub compensate: Option<String>,
    /// How old an event may be that `listen` takes.
    pub look_back: Option<Duration>,
    /// Whatever an editor keeps about the picture.
    pub ui: Option<Value>,
}

/// A promise about time.
#[derive(Debug, Clone)]
pub struct Sla {
    /// When to warn.
    pub warn: Option<Duration>,
    /// When it is broken.
    pub breach: Option<Duration>,
    /// The calendar whose working hours count; all hours where absent.
    pub calendar: Option<String>,
    /// What happens when it is broken, besides an event.
    pub on_breach: OnBreach,
}

/// What happens when a promise is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBreach {
    /// An event and nothing else.
    #[default]
    Notify,
    /// The task or instance fails with a timeout.
    Fault,
    /// The instance is cancelled.
    Cancel,
}

/// A limit of what runs at once.
#[derive(Debug, Clone)]
pub struct Concurrency {
    /// What shares the limit; everything where absent.
    pub key: Option<Template>,
    /// How many.
    pub limit: u32,
    /// What becomes of one too many.
    pub strategy: ConcurrencyStrategy,
}

/// What becomes of one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConcurrencyStrategy {
    /// It waits.
    #[default]
    Queue,
    /// It is refused.
    Reject,
    /// It takes the place of the oldest, which is cancelled.
    Replace,
}

/// A limit of starts in a time.
#[derive(Debug, Clone)]
pub struct RateLimit {
    /// What shares the limit; everything where absent.
    pub key: Option<Template>,
    /// How many.
    pub limit: u32,
    /// In which time.
    pub per: Duration,
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

const ON_BREACH: [(&str, OnBreach); 3] =
    [("notify", OnBreach::Notify), ("fault", OnBreach::Fault), ("cancel", OnBreach::Cancel)];
const STRATEGIES: [(&str, ConcurrencyStrategy); 3] = [
    ("queue", ConcurrencyStrategy::Queue),
    ("reject", ConcurrencyStrategy::Reject),
    ("replace", ConcurrencyStrategy::Replace),
];
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
            let common = reader.common_points(&mut fields, stage);
            fields.close(Extra::Closed, reader);
            Some(WorkflowPoints {
                sla: common.sla,
                concurrency: common.concurrency,
                rate_limit: common.rate_limit,
                priority: common.priority,
                idempotency: common.idempotency,
                compensate: common.compensate,
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
            let common = reader.common_points(&mut fields, Stage::Body);
            fields.close(Extra::Closed, reader);
            Some(TaskPoints { look_back, ..common })
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
        let compensate = fields.optional("compensate").and_then(|at| {
            let name = self.text(&at)?.to_owned();
            self.component_declared(Component::Function, &name, &at);
            Some(name)
        });
        TaskPoints {
            sla: fields.optional("sla").and_then(|at| self.sla(&at)),
            concurrency: fields.optional("concurrency").and_then(|at| self.concurrency(&at, stage)),
            rate_limit: fields.optional("rateLimit").and_then(|at| self.rate_limit(&at, stage)),
            priority: fields
                .optional("priority")
                .and_then(|at| self.integer_within(&at, 0..=9))
                .map(|priority| priority as u8),
            idempotency: fields.optional("idempotency").and_then(|at| self.idempotency(&at, stage)),
            compensate,
            look_back: None,
            ui: fields.optional("ui").and_then(|at| self.object(&at)),
        }
    }

    fn sla(&mut self, at: &At<'_>) -> Option<Sla> {
        let mut fields = Fields::open(at, "an SLA", self)?;
        let sla = Sla {
            warn: fields.optional("warn").and_then(|at| self.fixed_duration(&at)),
            breach: fields.optional("breach").and_then(|at| self.fixed_duration(&at)),
            calendar: self.optional_text(&mut fields, "calendar"),
            on_breach: fields
                .optional("on-breach")
                .and_then(|at| self.choice(&at, &ON_BREACH))
                .unwrap_or_default(),
        };
        fields.close(Extra::Closed, self);
        if !at.has("warn") && !at.has("breach") {
            self.shape(at, "an SLA without a time", "add `breach` or `warn`");
        }
        if let (Some(warn), Some(breach)) = (sla.warn, sla.breach)
            && warn >= breach
        {
            self.shape(at, "the SLA warns when it is broken already", "make `warn` shorter than `breach`");
        }
        Some(sla)
    }

    fn concurrency(&mut self, at: &At<'_>, stage: Stage) -> Option<Concurrency> {
        let mut fields = Fields::open(at, "a concurrency limit", self)?;
        let key = fields.optional("key").map(|at| self.text_value(&at, stage));
        let limit = fields.required("limit", self).and_then(|at| self.integer_within(&at, 1..=100_000));
        let strategy = fields.optional("strategy").and_then(|at| self.choice(&at, &STRATEGIES));
        fields.close(Extra::Closed, self);
        Some(Concurrency { key, limit: limit? as u32, strategy: strategy.unwrap_or_default() })
    }

    fn rate_limit(&mut self, at: &At<'_>, stage: Stage) -> Option<RateLimit> {
        let mut fields = Fields::open(at, "a rate limit", self)?;
        let key = fields.optional("key").map(|at| self.text_value(&at, stage));
        let limit = fields.required("limit", self).and_then(|at| self.integer_within(&at, 1..=1_000_000));
        let per = fields.required("per", self).and_then(|at| {
            let per = self.fixed_duration(&at)?;
            if per.is_zero() {
                self.shape(&at, "a rate in no time", "write a duration such as PT1M");
                return None;
            }
            Some(per)
        });
        fields.close(Extra::Closed, self);
        Some(RateLimit { key, limit: limit? as u32, per: per? })
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
        let timezone = fields.optional("timezone").and_then(|at| {
            let name = self.text(&at)?;
            let zone = TimeZone::get(name).ok();
            if zone.is_none() {
                let problem = format!("{} is no time zone", quoted(name));
                self.shape(&at, problem, "write a name such as Europe/Berlin");
            }
            zone
        });
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
