//! `[journal]`: the event log, how large an event may be and how long events are kept. Used by the
//! journal, ingest and the API.

use std::time::Duration;

use crate::error::Problem;
use crate::reader::{Section, bounds};

/// Says where the journal lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalUrl {
    /// `store`: in the store's own database.
    Store,
}

/// Holds `[journal]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalSettings {
    /// `url`: home of the journal. Default `store`, the only one so far.
    pub url: JournalUrl,
    /// `retention_days`: how long events are kept, 1 to 3650 days. Default 30 days.
    pub retention: Duration,
    /// `workflow_retention_days`: how long workflows are kept that have ended, 1 to 3650 days. Default 90 days.
    pub workflow_retention: Duration,
    /// `retention_bytes`: how much one tenant may keep, with deliveries and attempts, from 1 MiB; the oldest events go
    /// first. Default no limit.
    pub retention_bytes: Option<u64>,
    /// `event_limit_bytes`: largest event, 1 KiB to 16 MiB. Default 1 MiB.
    pub event_limit_bytes: usize,
    /// `dedupe_window_s`: how long a repeated inbound request is recognised, 60 s to 30 days. Default 3 days.
    pub dedupe_window: Duration,
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self {
            url: JournalUrl::Store,
            retention: days(30),
            workflow_retention: days(90),
            retention_bytes: None,
            event_limit_bytes: 1024 * 1024,
            dedupe_window: days(3),
        }
    }
}

impl JournalSettings {
    pub(crate) fn read(mut section: Section<'_>) -> Self {
        let s = &mut section;
        let d = Self::default();
        let read = Self {
            url: s.parsed("url", parse_url).unwrap_or(d.url),
            retention: read_retention(s, d.retention),
            workflow_retention: days(s.number(
                "workflow_retention_days",
                bounds(1, 3650, "days"),
                d.workflow_retention.as_secs() / 86_400,
            )),
            retention_bytes: read_retention_bytes(s),
            event_limit_bytes: s.number(
                "event_limit_bytes",
                bounds(1024, 16 * 1024 * 1024, "bytes"),
                d.event_limit_bytes as u64,
            ) as usize,
            dedupe_window: s.seconds("dedupe_window_s", 60, 30 * 86_400, d.dedupe_window),
        };
        section.finish(|_| None);
        read
    }
}

/// Reads `retention_days`.
pub(super) fn read_retention(section: &mut Section<'_>, default: Duration) -> Duration {
    days(section.number("retention_days", bounds(1, 3650, "days"), default.as_secs() / 86_400))
}

/// Reads `retention_bytes`.
pub(super) fn read_retention_bytes(section: &mut Section<'_>) -> Option<u64> {
    section.number_opt("retention_bytes", bounds(1024 * 1024, i64::MAX as u64, "bytes"))
}

fn parse_url(text: &str) -> Result<JournalUrl, Problem> {
    let fix = "write \"store\", which keeps the journal in the database of [store]";
    match text {
        "store" => Ok(JournalUrl::Store),
        // The value is not repeated: a nats:// URL may hold a password.
        nats if nats.starts_with("nats://") => {
            Err(Problem::new("a journal on NATS is not available in this version", fix))
        }
        _ => Err(Problem::new("must be \"store\"", fix)),
    }
}

pub(super) fn days(n: u64) -> Duration {
    Duration::from_secs(n * 86_400)
}
