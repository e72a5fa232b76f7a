//! `[logistics]`: how long it is known where drivers were. Used by the background work of logistics.

use std::time::Duration;

use super::journal::days;
use crate::reader::{Section, bounds};

/// Holds `[logistics]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogisticsSettings {
    /// `position_retention_days`: how long positions of drivers are kept, 1 to 3650 days. Default 30 days.
    pub position_retention: Duration,
}

impl Default for LogisticsSettings {
    fn default() -> Self {
        Self { position_retention: days(30) }
    }
}

impl LogisticsSettings {
    pub(crate) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default().position_retention.as_secs() / 86_400;
        let kept = section.number("position_retention_days", bounds(1, 3650, "days"), default);
        section.finish(|_| None);
        Self { position_retention: days(kept) }
    }
}
