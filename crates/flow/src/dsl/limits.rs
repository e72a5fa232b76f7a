//! Limits of workflows and tasks under `metadata.trunkline` (rule 44): how many at once, how many in a time, and who comes
//! first.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trunkline_packs::document::Content;

use crate::expression::{Stage, Template, TemplateOr, unwrap};
use crate::read::{At, Extra, Fields, Reader};

/// A limit of what runs at once.
#[derive(Debug, Clone)]
pub struct Concurrency {
    /// What shares the limit; everything where absent.
    pub key: Option<Template>,
    /// How many.
    pub limit: u32,
    /// What becomes of one too many.
    pub policy: LimitPolicy,
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
    /// What becomes of one too many.
    pub policy: LimitPolicy,
}

/// What becomes of one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitPolicy {
    /// It waits.
    #[default]
    Queue,
    /// It is left out.
    Skip,
    /// It fails.
    Fail,
    /// The oldest that runs is cancelled, and it takes its place.
    CancelRunning,
}

const POLICIES: [(&str, LimitPolicy); 4] = [
    ("queue", LimitPolicy::Queue),
    ("skip", LimitPolicy::Skip),
    ("fail", LimitPolicy::Fail),
    ("cancel-running", LimitPolicy::CancelRunning),
];
/// What stands for no wish.
pub(crate) const USUAL_PRIORITY: u8 = 5;
/// Words for priorities, with what they stand for.
const PRIORITIES: [(&str, u8); 3] = [("high", 8), ("normal", 5), ("low", 2)];

/// The priority that a value stands for; the usual one for anything else.
pub(crate) fn priority_of(value: &Value) -> u8 {
    let of_word = |word: &str| PRIORITIES.iter().find(|(known, _)| *known == word).map(|(_, it)| *it);
    let found = match value {
        Value::String(word) => of_word(word),
        Value::Number(number) => number.as_f64().map(|number| number.clamp(0.0, 9.0) as u8),
        _ => None,
    };
    found.unwrap_or(USUAL_PRIORITY)
}

impl Reader {
    pub(super) fn concurrency(&mut self, at: &At<'_>, stage: Stage) -> Option<Concurrency> {
        let mut fields = Fields::open(at, "a concurrency limit", self)?;
        let key = fields.optional("key").map(|at| self.text_value(&at, stage));
        let limit = match fields.optional("limit") {
            Some(at) => self.integer_within(&at, 1..=100_000)?,
            None => 1,
        };
        let policy = fields.optional("policy").and_then(|at| {
            let policy = self.choice(&at, &POLICIES)?;
            if policy == LimitPolicy::CancelRunning && stage != Stage::Trigger {
                let fix = "write queue, skip or fail, or limit the workflow";
                self.shape(&at, "a task does not cancel what other workflows run", fix);
            }
            Some(policy)
        });
        fields.close(Extra::Closed, self);
        Some(Concurrency { key, limit: limit as u32, policy: policy.unwrap_or_default() })
    }

    pub(super) fn rate_limit(&mut self, at: &At<'_>, stage: Stage) -> Option<RateLimit> {
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
        let policy = fields.optional("policy").and_then(|at| {
            let policy = self.choice(&at, &POLICIES)?;
            if policy == LimitPolicy::CancelRunning {
                let fix = "write queue, skip or fail";
                self.shape(&at, "cancelling what runs makes no start undone", fix);
            }
            Some(policy)
        });
        fields.close(Extra::Closed, self);
        Some(RateLimit { key, limit: limit? as u32, per: per?, policy: policy.unwrap_or_default() })
    }

    /// Reads what an instance is favoured by: a number, a word, or an expression that gives one of the input.
    pub(super) fn instance_priority(&mut self, at: &At<'_>) -> Option<TemplateOr<u8>> {
        if let Content::Text(text) = &at.node.content
            && let Some(inner) = unwrap(text)
        {
            return self.compile(inner, at, Stage::Trigger).map(TemplateOr::Expression);
        }
        self.priority(at).map(TemplateOr::Literal)
    }

    /// Reads a number from 0 to 9, or a word for one.
    pub(super) fn priority(&mut self, at: &At<'_>) -> Option<u8> {
        match &at.node.content {
            Content::Text(_) => self.choice(at, &PRIORITIES),
            _ => self.integer_within(at, 0..=9).map(|priority| priority as u8),
        }
    }
}
