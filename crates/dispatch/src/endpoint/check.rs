//! Checks of what a caller wants to store, field by field. Called by the API before a create or an update.
//!
//! Every fault is named, not just the first. Pointers are those of the API's webhook body: `/url`, `/events/0`,
//! `/description`, `/settings/timeout_ms`, …

use std::ops::RangeInclusive;

use trunkline_connect::{EgressPolicy, Target, UrlRefused};
use trunkline_model::{FieldError, Pattern, Secret};

use super::EndpointSettings;
use super::secrets;

/// How many patterns an endpoint may have.
pub const N_PATTERNS: RangeInclusive<usize> = 1..=100;
/// The longest description in characters.
pub const MAX_DESCRIPTION_CHARS: usize = 1000;
/// Limit of one attempt in milliseconds.
pub const TIMEOUT_MS: RangeInclusive<u64> = 100..=60_000;
/// Attempts of one delivery.
pub const MAX_ATTEMPTS: RangeInclusive<u32> = 1..=20;
/// Each wait in milliseconds.
pub const BACKOFF_MS: RangeInclusive<u64> = 1..=86_400_000;
/// How many waits a schedule may have.
pub const N_BACKOFF: RangeInclusive<usize> = 1..=20;
/// Attempts open at once.
pub const IN_FLIGHT: RangeInclusive<u32> = 1..=1000;

/// An endpoint as a caller wants it.
#[derive(Debug, Clone, Copy)]
pub struct EndpointDraft<'a> {
    /// Where deliveries go.
    pub url: &'a str,
    /// Patterns of the event types wanted.
    pub events: &'a [String],
    /// For people.
    pub description: &'a str,
    /// Limits of its own.
    pub settings: &'a EndpointSettings,
}

/// Names every fault of a draft; none means that it may be stored.
pub fn check_draft(draft: &EndpointDraft<'_>, egress: &EgressPolicy) -> Vec<FieldError> {
    let mut faults = check_url(draft.url, egress);
    faults.extend(check_events(draft.events));
    faults.extend(check_description(draft.description));
    faults.extend(check_settings(draft.settings));
    faults
}

/// Checks the URL and, when its host is an address, whether calls may go there. Names are not resolved.
pub fn check_url(url: &str, egress: &EgressPolicy) -> Vec<FieldError> {
    let code = match Target::parse(url, egress) {
        Ok(_) => return Vec::new(),
        Err(error) => (refusal_code(error), error.to_string()),
    };
    vec![FieldError::new("/url", code.0, code.1)]
}

fn refusal_code(refused: UrlRefused) -> &'static str {
    match refused {
        UrlRefused::TooLong { .. } => "too_long",
        UrlRefused::Blocked(_) => "blocked",
        UrlRefused::HttpsRequired => "https_required",
        _ => "invalid",
    }
}

/// Checks the event type patterns.
pub fn check_events(events: &[String]) -> Vec<FieldError> {
    if events.is_empty() {
        return vec![FieldError::new(
            "/events",
            "required",
            "name at least one pattern, ** selects all events",
        )];
    }
    if !N_PATTERNS.contains(&events.len()) {
        return vec![FieldError::new(
            "/events",
            "too_many",
            format!("at most {} patterns", N_PATTERNS.end()),
        )];
    }
    let broken = |(index, text): (usize, &String)| {
        let error = Pattern::parse(text).err()?;
        Some(FieldError::new(format!("/events/{index}"), "invalid", error.to_string()))
    };
    events.iter().enumerate().filter_map(broken).collect()
}

/// Checks the description.
pub fn check_description(description: &str) -> Vec<FieldError> {
    let mut faults = Vec::new();
    if description.chars().count() > MAX_DESCRIPTION_CHARS {
        let detail = format!("at most {MAX_DESCRIPTION_CHARS} characters");
        faults.push(FieldError::new("/description", "too_long", detail));
    }
    if description.contains('\0') {
        faults.push(FieldError::new("/description", "invalid", "must not contain NUL"));
    }
    faults
}

/// Checks a secret that the caller brings along; `pointer` names its field.
pub fn check_secret(pointer: &str, secret: &Secret) -> Vec<FieldError> {
    match secrets::decode(secret.expose()) {
        Ok(_) => Vec::new(),
        Err(error) => vec![FieldError::new(pointer, "invalid", error.to_string())],
    }
}

/// Checks the limits that an endpoint sets itself.
pub fn check_settings(settings: &EndpointSettings) -> Vec<FieldError> {
    let mut faults = Vec::new();
    let mut check = |name: &str, value: Option<u64>, range: RangeInclusive<u64>| {
        if let Some(value) = value
            && !range.contains(&value)
        {
            let detail = format!("must be {} to {}", range.start(), range.end());
            faults.push(FieldError::new(format!("/settings/{name}"), "out_of_range", detail));
        }
    };
    check("timeout_ms", settings.timeout_ms, TIMEOUT_MS);
    check("max_attempts", settings.max_attempts.map(u64::from), wide(&MAX_ATTEMPTS));
    check("in_flight", settings.in_flight.map(u64::from), wide(&IN_FLIGHT));
    for (index, wait) in settings.backoff_ms.iter().flatten().enumerate() {
        check(&format!("backoff_ms/{index}"), Some(*wait), BACKOFF_MS);
    }
    if let Some(waits) = &settings.backoff_ms
        && !N_BACKOFF.contains(&waits.len())
    {
        let detail = format!("must hold {} to {} waits", N_BACKOFF.start(), N_BACKOFF.end());
        faults.push(FieldError::new("/settings/backoff_ms", "out_of_range", detail));
    }
    faults
}

fn wide(range: &RangeInclusive<u32>) -> RangeInclusive<u64> {
    u64::from(*range.start())..=u64::from(*range.end())
}
