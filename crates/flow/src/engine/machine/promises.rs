//! Promises about time (rule 46): when to warn, when they are broken, and what is done then. The timers are the instance's,
//! like all others; the events and the counts are in the commit of the step.

use serde_json::json;
use trunkline_model::Timestamp;
use trunkline_store::tables::workflow::promise::{PromiseChange, PromiseScope, Standing};

use super::Machine;
use crate::dsl::duration;
use crate::dsl::error::StandardError;
use crate::dsl::promise::{OnBreach, Sla, SlaEnd};
use crate::engine::input::{Failure, Input, Outcome};
use crate::engine::state::{Promise, PromiseStanding, Purpose, ROOT, Work};
use crate::expression::TemplateOr;

/// How what was promised came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PromiseEnd {
    /// It was done.
    Done,
    /// It was given up.
    Dropped,
}

impl PromiseStanding {
    fn counted(self) -> Standing {
        match self {
            Self::Within => Standing::Within,
            Self::Warned => Standing::Warned,
            Self::Breached => Standing::Breached,
        }
    }
}

fn scope_of(frame: u32) -> PromiseScope {
    if frame == ROOT { PromiseScope::Workflow } else { PromiseScope::Task }
}

impl Machine<'_> {
    /// Begins to watch a promise. A due time that is null promises nothing.
    pub(super) fn promise(&mut self, frame: u32, sla: &Sla) -> Result<(), Failure> {
        let from = if frame == ROOT { self.state.started_at } else { self.at };
        let unfit = |detail: String| Failure::standard(StandardError::Expression, detail);
        let input = if frame == ROOT { &self.state.input } else { &self.state.frames[&frame].input };
        let times = match &sla.end {
            SlaEnd::After(delay) => {
                let time = match delay {
                    TemplateOr::Literal(time) => *time,
                    TemplateOr::Expression(expression) => {
                        let value = self.eval(frame, |view| expression.evaluate(input, view))?;
                        duration::from_value(&value).map_err(|error| unfit(error.to_string()))?
                    }
                };
                let times = sla.after(from, time);
                times.ok_or_else(|| unfit("the calendar has too few hours for the SLA".to_owned()))?
            }
            SlaEnd::At(due) => {
                let value = self.eval(frame, |view| due.evaluate(input, view))?;
                if value.is_null() {
                    return Ok(());
                }
                let due_at = value.as_str().and_then(|text| Timestamp::parse_rfc3339(text).ok());
                sla.until(from, due_at.ok_or_else(|| unfit("`sla.due` gave no RFC 3339 time".to_owned()))?)
            }
        };
        if let Some(warn_at) = times.warn_at {
            self.set_timer_at(frame, Purpose::Warn, warn_at);
        }
        self.set_timer_at(frame, Purpose::Breach, times.due_at);
        let promise = Promise { due_at: times.due_at, standing: PromiseStanding::Within };
        self.frame(frame).promise = Some(promise);
        self.count(frame, None, Some(Standing::Within));
        Ok(())
    }

    fn count(&mut self, frame: u32, from: Option<Standing>, to: Option<Standing>) {
        self.changes.promises.push(PromiseChange { scope: scope_of(frame), from, to });
    }

    /// Whether an input is a timer of a promise: these are heard while an instance is held, too.
    pub(super) fn is_of_promise(&self, input: &Input) -> bool {
        let Input::TimerFired { timer } = input else { return false };
        let timer = self.state.timers.get(timer);
        timer.is_some_and(|timer| matches!(timer.purpose, Purpose::Warn | Purpose::Breach))
    }

    /// The time to warn has come.
    pub(super) fn warn(&mut self, frame: u32) {
        if self.stands(frame) == Some(PromiseStanding::Within) {
            self.stand(frame, PromiseStanding::Warned);
            self.tell_of_promise(frame, "workflow.sla.warned");
        }
    }

    /// The time is over.
    pub(super) fn breach(&mut self, frame: u32) {
        self.note_breach(frame);
        let on_breach = self.sla_of(frame).map_or(OnBreach::Event, |sla| sla.on_breach);
        match on_breach {
            OnBreach::Cancel if !super::is_ending(self.state) => {
                self.end(Outcome::Cancelled(Some("the time that was promised is over".to_owned())));
            }
            OnBreach::Event | OnBreach::Cancel => {}
            OnBreach::Escalate => {
                let asked: Vec<u32> = self
                    .state
                    .people()
                    .map(|(id, ..)| id)
                    .filter(|id| frame == ROOT || *id == frame)
                    .collect();
                for id in asked {
                    if self.state.frames.contains_key(&id) {
                        self.escalate(id);
                    }
                }
            }
        }
    }

    fn note_breach(&mut self, frame: u32) {
        if self.stands(frame).is_some_and(|it| it != PromiseStanding::Breached) {
            self.stand(frame, PromiseStanding::Breached);
            self.tell_of_promise(frame, "workflow.sla.breached");
        }
    }

    /// What was promised has come to its end.
    pub(super) fn settle(&mut self, frame: u32, end: PromiseEnd) {
        let promise = self.state.frames.get(&frame).and_then(|it| it.promise);
        let Some(Promise { due_at, .. }) = promise else { return };
        if self.at > due_at {
            // The timer has not fired yet.
            self.note_breach(frame);
        }
        let standing = self.stands(frame).unwrap_or(PromiseStanding::Within);
        self.frame(frame).promise = None;
        let end = match (standing, end) {
            (PromiseStanding::Breached, _) => Some(Standing::Missed),
            (_, PromiseEnd::Done) => Some(Standing::Met),
            (_, PromiseEnd::Dropped) => None,
        };
        self.count(frame, Some(standing.counted()), end);
        let of = |purpose| matches!(purpose, Purpose::Warn | Purpose::Breach);
        let timers = self.state.timers.iter().filter(|(_, it)| it.frame == frame && of(it.purpose));
        let timers: Vec<u32> = timers.map(|(id, _)| *id).collect();
        for timer in timers {
            self.clear_timer(Some(timer));
        }
        if frame == ROOT {
            self.state.promise = Some(Promise { due_at, standing });
        }
    }

    fn stands(&self, frame: u32) -> Option<PromiseStanding> {
        self.state.frames.get(&frame)?.promise.map(|it| it.standing)
    }

    fn stand(&mut self, frame: u32, standing: PromiseStanding) {
        let Some(promise) = &mut self.frame(frame).promise else { return };
        let before = std::mem::replace(&mut promise.standing, standing);
        self.count(frame, Some(before.counted()), Some(standing.counted()));
    }

    fn sla_of(&self, frame: u32) -> Option<&Sla> {
        match self.state.frames.get(&frame)?.task {
            None => self.program.workflow().points.sla.as_ref(),
            Some(task) => self.program.task(task).points.sla.as_ref(),
        }
    }

    fn tell_of_promise(&mut self, frame: u32, event_type: &str) {
        let Some(at) = self.state.frames.get(&frame) else { return };
        let Some(promise) = at.promise else { return };
        let mut data = json!({"due_at": promise.due_at.to_rfc3339()});
        if let Some(task) = at.task {
            data["reference"] = json!(&*self.program.task(task).reference);
        }
        if let Work::Person(asked) = &at.work {
            data["task_id"] = json!(asked.id.as_str());
        }
        let subject = self.state.id.as_str().to_owned();
        self.tell(event_type, &subject, &frame.to_string(), data);
    }

    /// Counts and asks again for what a fork has taken over.
    pub(super) fn take_over_limits(&mut self) {
        self.changes.tickets_set.extend(self.state.tickets.iter().map(|(id, it)| (*id, it.clone())));
        let promised: Vec<(u32, PromiseStanding)> =
            self.state.frames.iter().filter_map(|(id, it)| Some((*id, it.promise?.standing))).collect();
        for (frame, standing) in promised {
            self.count(frame, None, Some(standing.counted()));
        }
    }
}
