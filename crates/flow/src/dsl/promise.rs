//! Promises about time under `metadata.trunkline.sla` of a workflow or task (rule 46).

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use trunkline_model::Timestamp;
use trunkline_packs::document::Content;
use trunkline_packs::suggest::quoted;

use super::calendar::Calendar;
use super::duration::Delay;
use crate::expression::{Stage, Template};
use crate::read::{At, Extra, Fields, Reader};

/// A promise about time.
#[derive(Debug, Clone)]
pub struct Sla {
    /// When it is over.
    pub end: SlaEnd,
    /// Whose hours count; all of them where absent.
    pub calendar: Option<Arc<Calendar>>,
    /// After which part of the time to warn, in a hundred parts.
    pub warn_at: Option<u8>,
    /// What happens when it is broken, besides an event.
    pub on_breach: OnBreach,
}

/// When a promise is over.
#[derive(Debug, Clone)]
pub enum SlaEnd {
    /// So long after the beginning.
    After(Delay),
    /// At a time.
    At(Template),
}

/// What happens when a promise is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBreach {
    /// An event and nothing else.
    #[default]
    Event,
    /// Further people are asked.
    Escalate,
    /// The instance is cancelled.
    Cancel,
}

/// When to warn, and when it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlaTimes {
    pub(crate) warn_at: Option<Timestamp>,
    pub(crate) due_at: Timestamp,
}

const ON_BREACH: [(&str, OnBreach); 3] =
    [("event", OnBreach::Event), ("escalate", OnBreach::Escalate), ("cancel", OnBreach::Cancel)];

impl Sla {
    /// The times of a promise that begins at `from` and takes so long; nothing where the calendar has not enough hours.
    pub(crate) fn after(&self, from: Timestamp, time: Duration) -> Option<SlaTimes> {
        let ends = |time: Duration| match &self.calendar {
            None => Some(from.plus(time)),
            Some(calendar) => calendar.after(from, time),
        };
        let warn_at = match self.warn_at {
            None => None,
            Some(percent) => Some(ends(time * u32::from(percent) / 100)?),
        };
        Some(SlaTimes { warn_at, due_at: ends(time)? })
    }

    /// The times of a promise that begins at `from` and is over at a time.
    pub(crate) fn until(&self, from: Timestamp, due_at: Timestamp) -> SlaTimes {
        let warn_at = self.warn_at.and_then(|percent| {
            let part = |time: Duration| time * u32::from(percent) / 100;
            match &self.calendar {
                None => Some(from.plus(part(due_at.since(from)))),
                Some(calendar) => calendar.after(from, part(calendar.between(from, due_at))),
            }
        });
        SlaTimes { warn_at: warn_at.filter(|at| *at <= due_at), due_at }
    }
}

impl Reader {
    pub(super) fn sla(&mut self, at: &At<'_>, stage: Stage) -> Option<Sla> {
        let mut fields = Fields::open(at, "an SLA", self)?;
        let duration = fields.optional("duration").and_then(|at| self.duration(&at, stage));
        let due = fields.optional("due").map(|at| self.text_value(&at, stage));
        let calendar = fields.optional("calendar").and_then(|at| self.calendar(&at));
        let warn_at = fields.optional("warnAt").and_then(|at| self.percent(&at));
        let on_breach = fields.optional("onBreach").and_then(|at| self.choice(&at, &ON_BREACH));
        fields.close(Extra::Closed, self);
        let end = match (duration, due) {
            (Some(duration), None) => Some(SlaEnd::After(duration)),
            (None, Some(due)) => Some(SlaEnd::At(due)),
            (None, None) if at.has("duration") => None,
            (Some(_), Some(_)) => {
                self.shape(at, "an SLA with two ends", "leave out `duration` or `due`");
                None
            }
            (None, None) => {
                self.shape(at, "an SLA without a time", "add `duration` or `due`");
                None
            }
        };
        Some(Sla {
            end: end?,
            calendar: calendar.map(Arc::new),
            warn_at,
            on_breach: on_breach.unwrap_or_default(),
        })
    }

    /// Reads a part of a whole, such as `80%`.
    fn percent(&mut self, at: &At<'_>) -> Option<u8> {
        let text = self.text(at)?;
        let percent = text.strip_suffix('%').and_then(|number| number.parse().ok());
        let found = percent.filter(|percent| (1..=99).contains(percent));
        if found.is_none() {
            let problem = format!("{} is no part of the time", quoted(text));
            self.shape(at, problem, "write a whole number from 1% to 99%");
        }
        found
    }

    /// Reads the name of a time zone.
    pub(super) fn time_zone(&mut self, at: &At<'_>) -> Option<TimeZone> {
        let name = self.text(at)?;
        let zone = TimeZone::get(name).ok();
        if zone.is_none() {
            let problem = format!("{} is no time zone", quoted(name));
            self.shape(at, problem, "write a name such as Europe/Berlin");
        }
        zone
    }

    fn calendar(&mut self, at: &At<'_>) -> Option<Calendar> {
        let mut fields = Fields::open(at, "a calendar", self)?;
        let zone = fields.optional("timezone").and_then(|at| self.time_zone(&at));
        let mut calendar = Calendar::empty(zone.unwrap_or(TimeZone::UTC));
        if let Some(at) = fields.required("hours", self)
            && self.object(&at).is_some()
        {
            let n_faults = self.faults.len();
            for entry in at.entries() {
                self.hours(&mut calendar, &entry.key, &at.entry(entry));
            }
            if calendar.is_empty() && self.faults.len() == n_faults {
                self.shape(&at, "a calendar without an hour", "write `mon-fri: 09:00-17:00`");
            }
        }
        for at in fields.optional("holidays").and_then(|at| self.list(&at)).unwrap_or_default() {
            let Some(text) = self.text(&at) else { continue };
            if !calendar.add_holiday(text) {
                self.shape(&at, format!("{} is no date", quoted(text)), "write it like 2026-12-25");
            }
        }
        fields.close(Extra::Closed, self);
        Some(calendar)
    }

    fn hours(&mut self, calendar: &mut Calendar, days: &str, at: &At<'_>) {
        let Some(days) = Calendar::days(days) else {
            let fix = "write days like `mon`, `mon-fri` or `sat,sun`";
            return self.shape(at, format!("{} are no days of the week", quoted(days)), fix);
        };
        let spans = match &at.node.content {
            Content::List(_) => self.list(at).unwrap_or_default(),
            _ => vec![at.clone()],
        };
        for at in spans {
            let Some(text) = self.text(&at) else { continue };
            if !calendar.add_hours(&days, text) {
                let problem = format!("{} are no hours, or meet others of the day", quoted(text));
                self.shape(&at, problem, "write them like 09:00-17:00");
            }
        }
    }
}
