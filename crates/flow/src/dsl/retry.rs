//! Retry policies, with the arithmetic of waiting (rules 7 and 8).

use std::time::Duration;

use super::duration::{Delay, MAX_DURATION};
use crate::expression::{Expression, Stage};
use crate::read::{At, Extra, Fields, Reader};
use crate::rule::Rule;

/// When and how often failed work is tried again.
#[derive(Debug, Clone, Default)]
pub struct RetryPolicy {
    /// Only errors for which this holds are retried.
    pub when: Option<Expression>,
    /// Errors for which this holds are not retried.
    pub except_when: Option<Expression>,
    /// How long to wait before a retry; at once where absent.
    pub delay: Option<Delay>,
    /// How the wait grows.
    pub backoff: Backoff,
    /// How many retries; without end where absent, unless `total_time` says otherwise.
    pub max_retries: Option<u32>,
    /// How long one attempt may take.
    pub attempt_time: Option<Delay>,
    /// How long all attempts and waits may take together.
    pub total_time: Option<Delay>,
    /// What chance adds to the wait: from, to.
    pub jitter: Option<(Delay, Delay)>,
}

/// How the wait grows from one retry to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backoff {
    /// Not at all.
    #[default]
    Constant,
    /// By the delay each time.
    Linear,
    /// Twofold each time.
    Exponential,
}

impl Backoff {
    /// The wait before the `n`-th retry, counted from 1, without jitter; at most a hundred years.
    pub fn wait(self, delay: Duration, n: u32) -> Duration {
        let factor = match self {
            Self::Constant => 1,
            Self::Linear => n.max(1),
            Self::Exponential => 1_u32.checked_shl(n.saturating_sub(1)).unwrap_or(u32::MAX),
        };
        delay.checked_mul(factor).unwrap_or(MAX_DURATION).min(MAX_DURATION)
    }
}

impl Reader {
    /// Reads a retry policy. The caught error's variable must be in scope.
    pub(crate) fn retry_policy(&mut self, at: &At<'_>) -> Option<RetryPolicy> {
        let stage = Stage::Body;
        let mut fields = Fields::open(at, "a retry policy", self)?;
        let mut policy = RetryPolicy {
            when: self.optional_expression(&mut fields, "when", stage),
            except_when: self.optional_expression(&mut fields, "exceptWhen", stage),
            delay: fields.optional("delay").and_then(|at| self.duration(&at, stage)),
            backoff: fields.optional("backoff").and_then(|at| self.backoff(&at)).unwrap_or_default(),
            jitter: fields.optional("jitter").and_then(|at| self.jitter(&at)),
            ..RetryPolicy::default()
        };
        if let Some(at) = fields.optional("limit") {
            self.retry_limit(&at, &mut policy);
        }
        fields.close(Extra::Closed, self);
        if policy.max_retries.is_none() && policy.total_time.is_none() {
            self.warn(
                Rule::RetryLimits,
                at,
                "retries without end",
                "set `limit.attempt.count` or `limit.duration`",
            );
        }
        Some(policy)
    }

    fn backoff(&mut self, at: &At<'_>) -> Option<Backoff> {
        let mut fields = Fields::open(at, "a backoff", self)?;
        let kinds = [
            ("constant", Backoff::Constant),
            ("linear", Backoff::Linear),
            ("exponential", Backoff::Exponential),
        ];
        let found = fields.one_of(&kinds.map(|(key, _)| key), self);
        fields.close(Extra::Closed, self);
        let key = found?;
        let at = at.peek(key)?;
        self.object(&at);
        if !at.entries().is_empty() {
            let problem = format!("`{key}` has no settings");
            self.rule(Rule::Backoff, &at, problem, "write `{}`; the wait grows from `delay`");
        }
        kinds.iter().find(|(known, _)| *known == key).map(|(_, backoff)| *backoff)
    }

    fn jitter(&mut self, at: &At<'_>) -> Option<(Delay, Delay)> {
        let mut fields = Fields::open(at, "a jitter", self)?;
        let from = fields.required("from", self).and_then(|at| self.duration(&at, Stage::Body));
        let to = fields.required("to", self).and_then(|at| self.duration(&at, Stage::Body));
        fields.close(Extra::Closed, self);
        let (from, to) = (from?, to?);
        if let (Delay::Literal(least), Delay::Literal(most)) = (&from, &to)
            && least > most
        {
            self.rule(Rule::Values, at, "the jitter's `from` is longer than its `to`", "swap them");
        }
        Some((from, to))
    }

    fn retry_limit(&mut self, at: &At<'_>, policy: &mut RetryPolicy) {
        let Some(mut fields) = Fields::open(at, "a retry limit", self) else { return };
        policy.total_time = fields.optional("duration").and_then(|at| self.duration(&at, Stage::Body));
        if let Some(at) = fields.optional("attempt")
            && let Some(mut fields) = Fields::open(&at, "a limit of attempts", self)
        {
            let count = fields.optional("count").and_then(|at| self.integer_within(&at, 0..=10_000));
            policy.max_retries = count.map(|count| count as u32);
            policy.attempt_time = fields.optional("duration").and_then(|at| self.duration(&at, Stage::Body));
            fields.close(Extra::Closed, self);
        }
        fields.close(Extra::Closed, self);
    }
}
