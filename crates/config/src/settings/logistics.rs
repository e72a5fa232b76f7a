//! `[logistics]`: how long it is known where drivers were, and who is asked how long ways take. Used by the background work of
//! logistics and by the API.

use std::time::Duration;

use super::flow::warn_of_literal;
use super::journal::days;
use crate::error::Problem;
use crate::reader::{Section, bounds};
use crate::secret::SecretRef;

/// Holds `[logistics]`.
#[derive(Debug, Clone)]
pub struct LogisticsSettings {
    /// `osrm_table_url`: an OSRM server that is asked how long ways take, up to its profile. Default none.
    pub osrm_table_url: Option<String>,
    /// `google_routes_key`: the key with which Google's Routes API is asked first. Default none.
    pub google_routes_key: Option<SecretRef>,
    /// `eta_requests_per_hour`: questions to each of them in an hour, 1 to 1000000. Default 1000.
    pub eta_requests_per_hour: u32,
    /// `position_retention_days`: how long positions of drivers are kept, 1 to 3650 days. Default 30 days.
    pub position_retention: Duration,
}

impl Default for LogisticsSettings {
    fn default() -> Self {
        Self {
            osrm_table_url: None,
            google_routes_key: None,
            eta_requests_per_hour: 1_000,
            position_retention: days(30),
        }
    }
}

impl LogisticsSettings {
    pub(crate) fn read(mut section: Section<'_>) -> Self {
        let s = &mut section;
        let d = Self::default();
        let kept = d.position_retention.as_secs() / 86_400;
        let per_hour = bounds(1, 1_000_000, "questions an hour");
        let read = Self {
            osrm_table_url: s.parsed("osrm_table_url", table_url),
            google_routes_key: read_key(s),
            eta_requests_per_hour: s.number("eta_requests_per_hour", per_hour, d.eta_requests_per_hour.into())
                as u32,
            position_retention: days(s.number("position_retention_days", bounds(1, 3650, "days"), kept)),
        };
        section.finish(|_| None);
        read
    }
}

fn read_key(section: &mut Section<'_>) -> Option<SecretRef> {
    const KEY: &str = "google_routes_key";
    let text = section.string(KEY)?;
    match SecretRef::parse(&text.value, &section.scope.base_dir) {
        Ok(value) => {
            warn_of_literal(section, KEY, text.origin, &value);
            Some(value)
        }
        Err(problem) => {
            section.fault(KEY, text.origin, problem);
            None
        }
    }
}

fn table_url(text: &str) -> Result<String, Problem> {
    let is_url = ["https://", "http://"].iter().any(|scheme| text.starts_with(scheme));
    if is_url && text.len() <= 2_048 && !text.contains(['?', '#', ' ']) {
        return Ok(text.to_owned());
    }
    let fix = "write such as \"https://osrm.example/table/v1/driving\"";
    Err(Problem::new("is no URL with http:// or https:// and without a query", fix))
}
