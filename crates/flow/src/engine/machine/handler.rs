//! Errors: raised, caught, tried again, handled (rules 6 to 8).

use std::time::Duration;

use serde_json::Value;

use super::{Machine, Todo, expression_failure};
use crate::dsl::error::{ErrorDefinition, StandardError, canonical_type};
use crate::dsl::lifecycle::TaskChange;
use crate::dsl::retry::RetryPolicy;
use crate::dsl::tasks::Body;
use crate::dsl::tasks::try_task::{Catch, ERROR_VARIABLE, Try};
use crate::engine::input::{Failure, Outcome};
use crate::engine::machine::scope::View;
use crate::engine::state::{AfterUndoing, Purpose, ROOT, TryStage, Work};
use crate::expression::Template;

impl<'a> Machine<'a> {
    /// Lets an error rise from a frame: frames fall until a handler takes it, or the instance has failed.
    pub(super) fn raise(&mut self, from: u32, mut failure: Failure) {
        if failure.instance.is_none() {
            let task = self.frame(from).task;
            failure.instance =
                Some(task.map_or_else(String::new, |task| self.program.task(task).reference.to_string()));
        }
        let mut at = from;
        loop {
            if matches!(self.frame(at).work, Work::Undo { .. }) {
                return self.undone(at, Some(&failure));
            }
            let parent = self.frame(at).parent;
            self.drop_children(at);
            if at == ROOT {
                return self.end(Outcome::Failed(failure));
            }
            #[cfg(test)]
            if let Some(task) = self.frame(at).task {
                let became = super::tests::Became::Faulted(failure.clone());
                self.changes.trace.push((at, task, became));
            }
            self.note_task(at, TaskChange::Faulted, Some(&failure));
            self.drop_frame(at);
            if matches!(self.frame(parent).work, Work::Try { stage: TryStage::Trying, .. }) {
                match self.catches(parent, &failure) {
                    Ok(true) => return self.handle(parent, failure),
                    Ok(false) => {}
                    Err(error) => failure = error,
                }
            }
            at = parent;
        }
    }

    /// An error that belongs to the attempt of a `try` itself.
    pub(super) fn caught_or_raised(&mut self, frame: u32, mut failure: Failure) {
        if let Some(task) = self.frame(frame).task {
            failure.instance.get_or_insert_with(|| self.program.task(task).reference.to_string());
        }
        match self.catches(frame, &failure) {
            Ok(true) => self.handle(frame, failure),
            Ok(false) => self.raise(frame, failure),
            Err(error) => self.raise(frame, error),
        }
    }

    fn try_of(&mut self, frame: u32) -> Option<&'a Try> {
        match self.frame(frame).task.map(|task| &self.program.task(task).body) {
            Some(Body::Try(body)) => Some(body),
            _ => None,
        }
    }

    fn catches(&mut self, frame: u32, failure: &Failure) -> Result<bool, Failure> {
        let Some(Try { catch, .. }) = self.try_of(frame) else { return Ok(false) };
        let error = failure.to_value();
        if catch.errors.as_ref().is_some_and(|filter| !filter.takes(&error)) {
            return Ok(false);
        }
        let holds = |condition: Option<&crate::expression::Expression>, otherwise: bool| {
            condition.map_or(Ok(otherwise), |condition| {
                self.with_error(frame, catch, &error, |input, view| condition.holds(input, view))
            })
        };
        Ok(holds(catch.when.as_ref(), true)? && !holds(catch.except_when.as_ref(), false)?)
    }

    fn with_error<T>(
        &self,
        frame: u32,
        catch: &Catch,
        error: &Value,
        run: impl FnOnce(&Value, &View<'_>) -> Result<T, crate::expression::EvaluationError>,
    ) -> Result<T, Failure> {
        let locals = [(&*catch.variable, error), (ERROR_VARIABLE, error)];
        let view = View { locals: &locals, ..self.view(frame) };
        run(&self.state.frames[&frame].input, &view).map_err(|error| expression_failure(&error))
    }

    /// Tries again, or runs the handler, or lets the error go on.
    fn handle(&mut self, frame: u32, failure: Failure) {
        let Some(Try { catch, .. }) = self.try_of(frame) else { return };
        self.clear_limit(frame);
        let error = failure.to_value();
        let wait = match &catch.retry {
            None => Ok(None),
            Some(policy) => self.next_wait(frame, catch, policy, &error),
        };
        match wait {
            Err(failure) => return self.raise(frame, failure),
            Ok(Some(wait)) => {
                self.note_task(frame, TaskChange::Retried, Some(&failure));
                return self.retry(frame, wait);
            }
            Ok(None) => {}
        }
        self.undo_within(frame, AfterUndoing::Handle(failure));
    }

    /// Handles an error once nothing is tried again and everything within is undone.
    pub(super) fn handle_finally(&mut self, frame: u32, failure: Failure) {
        let Some(Try { catch, .. }) = self.try_of(frame) else { return };
        let error = failure.to_value();
        let then = catch.then.as_ref().map(|then| then.next);
        let input = self.frame(frame).input.clone();
        if catch.has_handler {
            let before = self.frame(frame);
            before.visits.clear();
            if let Work::Try { stage, error: handled, .. } = &mut before.work {
                (*stage, *handled) = (TryStage::Catching, Some(error));
            }
            self.start_list(frame, &catch.tasks, input);
        } else if catch.retry.is_none() || then.is_some() {
            self.todo.push_back(Todo::Finish { frame, output: input, next: then });
        } else {
            self.raise(frame, failure);
        }
    }

    /// How long to wait before the next attempt; `None` when there is none.
    fn next_wait(
        &mut self,
        frame: u32,
        catch: &Catch,
        policy: &RetryPolicy,
        error: &Value,
    ) -> Result<Option<Duration>, Failure> {
        let Work::Try { n_retries, .. } = self.frame(frame).work else { return Ok(None) };
        if policy.max_retries.is_some_and(|most| n_retries >= most) {
            return Ok(None);
        }
        let holds = |condition: Option<&crate::expression::Expression>, otherwise: bool| {
            condition.map_or(Ok(otherwise), |condition| {
                self.with_error(frame, catch, error, |input, view| condition.holds(input, view))
            })
        };
        if !holds(policy.when.as_ref(), true)? || holds(policy.except_when.as_ref(), false)? {
            return Ok(None);
        }
        let n = n_retries + 1;
        let delay = policy.delay.as_ref().map_or(Ok(Duration::ZERO), |delay| self.delay(frame, delay))?;
        let mut wait = policy.backoff.wait(delay, n);
        if let Some((from, to)) = &policy.jitter {
            let (from, to) = (self.delay(frame, from)?, self.delay(frame, to)?);
            wait += from + to.saturating_sub(from).mul_f64(self.chance(frame, n));
        }
        if let Some(left) = self.time_left(frame, policy)?
            && wait >= left
        {
            return Ok(None);
        }
        Ok(Some(wait))
    }

    /// What is left of the time for all attempts; `None` when there is no limit.
    fn time_left(&mut self, frame: u32, policy: &RetryPolicy) -> Result<Option<Duration>, Failure> {
        let Some(total) = &policy.total_time else { return Ok(None) };
        let end = self.frame(frame).started_at.plus(self.delay(frame, total)?);
        Ok(Some(end.since(self.at)))
    }

    fn retry(&mut self, frame: u32, wait: Duration) {
        if let Work::Try { stage, n_retries, .. } = &mut self.frame(frame).work {
            (*stage, *n_retries) = (TryStage::Delaying, *n_retries + 1);
        }
        if wait.is_zero() {
            self.attempt(frame);
        } else {
            self.set_timer(frame, Purpose::Retry, wait);
        }
    }

    /// Begins an attempt: the first or a further one.
    pub(super) fn attempt(&mut self, frame: u32) {
        let Some(body) = self.try_of(frame) else { return };
        if !matches!(self.frame(frame).work, Work::Try { .. }) {
            self.frame(frame).work =
                Work::Try { stage: TryStage::Trying, n_retries: 0, error: None, limit: None };
        }
        let limit = match &body.catch.retry {
            None => Ok(None),
            Some(policy) => self.attempt_limit(frame, policy),
        };
        let limit = match limit {
            Err(failure) => return self.raise(frame, failure),
            Ok(limit) => limit.map(|time| self.set_timer(frame, Purpose::Attempt, time)),
        };
        let at = self.frame(frame);
        // Keys of calls are the same in every attempt.
        at.visits.clear();
        if let Work::Try { stage, limit: of, .. } = &mut at.work {
            (*stage, *of) = (TryStage::Trying, limit);
        }
        let input = at.input.clone();
        self.start_list(frame, &body.tasks, input);
    }

    fn attempt_limit(&mut self, frame: u32, policy: &RetryPolicy) -> Result<Option<Duration>, Failure> {
        let one = policy.attempt_time.as_ref().map(|time| self.delay(frame, time)).transpose()?;
        let left = self.time_left(frame, policy)?;
        Ok(match (one, left) {
            (Some(one), Some(left)) => Some(one.min(left)),
            (one, left) => one.or(left),
        })
    }

    fn clear_limit(&mut self, frame: u32) {
        if let Work::Try { limit, .. } = &mut self.frame(frame).work {
            let limit = limit.take();
            self.clear_timer(limit);
        }
    }

    /// Raises the error that a definition describes.
    pub(super) fn raised(
        &mut self,
        frame: u32,
        error: &ErrorDefinition,
        input: &Value,
    ) -> Result<(), Failure> {
        let text = |template: Option<&Template>| -> Result<Option<String>, Failure> {
            let value = template.map(|it| self.eval(frame, |view| it.evaluate(input, view))).transpose()?;
            Ok(value.map(|value| match value {
                Value::String(text) => text,
                other => other.to_string(),
            }))
        };
        let kind = self.eval(frame, |view| error.kind.evaluate(input, view))?;
        Err(Failure {
            kind: canonical_type(&kind).into_owned(),
            status: error.status,
            title: text(error.title.as_ref())?,
            detail: text(error.detail.as_ref())?,
            instance: text(error.instance.as_ref())?,
        })
    }

    /// The error for what the engine does not do.
    pub(super) fn unsupported(rule: crate::rule::Rule, what: &str) -> Failure {
        Failure::standard(StandardError::Configuration, format!("{what} ({rule})"))
    }
}
