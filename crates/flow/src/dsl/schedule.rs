//! What starts a workflow by itself (rules 19 and 30).

use std::time::Duration;

use super::cron::Cron;
use super::events::{ReadAs, Strategy};
use crate::expression::Stage;
use crate::read::{At, Extra, Fields, Reader};
use crate::rule::Rule;

/// What starts a workflow.
#[derive(Debug, Clone)]
pub enum Schedule {
    /// Once in every such time, whether or not earlier instances still run.
    Every(Duration),
    /// At times of the calendar; the time zone stands in the document's metadata.
    Cron(Cron),
    /// So long after an instance has completed, and once at first.
    After(Duration),
    /// When events come; the input is the list of them.
    On(Strategy, ReadAs),
}

impl Reader {
    /// Reads a schedule.
    pub(crate) fn schedule(&mut self, at: &At<'_>) -> Option<Schedule> {
        let mut fields = Fields::open(at, "a schedule", self)?;
        let every = fields.optional("every").and_then(|at| self.interval(&at)).map(Schedule::Every);
        let cron = fields.optional("cron").and_then(|at| self.cron(&at)).map(Schedule::Cron);
        let after = fields.optional("after").and_then(|at| self.interval(&at)).map(Schedule::After);
        let strategy = fields.optional("on").and_then(|at| self.strategy(&at, Stage::Trigger));
        let read = fields.optional("read");
        if let Some(at) = &read
            && !fields.at.has("on")
        {
            self.shape(at, "`read` without `on`", "remove it, or say which events start the workflow");
        }
        let read = self.read_as(read);
        let n_triggers = ["every", "cron", "after", "on"].iter().filter(|key| at.has(key)).count();
        fields.close(Extra::Closed, self);
        if n_triggers != 1 {
            let problem = format!("a schedule has one trigger, found {n_triggers}");
            self.rule(Rule::Schedule, at, problem, "keep one of `every`, `cron`, `after` and `on`");
        }
        every.or(cron).or(after).or(strategy.map(|strategy| Schedule::On(strategy, read)))
    }

    fn interval(&mut self, at: &At<'_>) -> Option<Duration> {
        let interval = self.fixed_duration(at)?;
        if interval < Duration::from_secs(1) {
            self.rule(Rule::Schedule, at, "shorter than a second", "write a second or more");
            return None;
        }
        Some(interval)
    }

    fn cron(&mut self, at: &At<'_>) -> Option<Cron> {
        let text = self.text(at)?;
        match Cron::parse(text) {
            Ok(cron) => Some(cron),
            Err(error) => {
                self.rule(Rule::Cron, at, error.to_string(), "write it like `0 9 * * mon-fri`");
                None
            }
        }
    }
}
