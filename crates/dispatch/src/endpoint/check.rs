//! Checks of what a caller wants to store, field by field. Called by the API before a create or an update.
//!
//! Every fault is named, not just the first. Pointers are those of the API's webhook body: `/url`, `/events/0`,
//! `/description`, `/timeout_ms`, …

use std::ops::RangeInclusive;

use trunkline_connect::{Authorities, EgressPolicy, MAX_CHAIN, Target, UrlRefused};
use trunkline_model::{FieldError, Pattern, Secret};

use super::{EndpointSettings, Expressions, RetryRule};
use crate::sign::{SignatureFormat, SignatureVersion, check_secret_text};

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

/// How long a failing delivery may hold up its key, in seconds.
pub const MAX_BLOCKED_S: RangeInclusive<u64> = 1..=30 * 24 * 60 * 60;
/// Attempts a second.
pub const RATE_LIMIT: RangeInclusive<f64> = 0.01..=10_000.0;
/// How many schedules for types of events an endpoint may have.
pub const MAX_RETRY_RULES: usize = 20;
/// How many channels an endpoint may have.
pub const MAX_CHANNELS: usize = 10;
/// The longest name of a channel.
pub const MAX_CHANNEL_BYTES: usize = 128;
/// How many texts an endpoint may keep.
pub const MAX_METADATA: usize = 50;
/// The longest name of a kept text in characters.
pub const MAX_METADATA_NAME_CHARS: usize = 64;
/// The longest kept text in characters.
pub const MAX_METADATA_VALUE_CHARS: usize = 1000;

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

pub(super) fn refusal_code(refused: UrlRefused) -> &'static str {
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
pub fn check_secret(pointer: &str, secret: &Secret, format: SignatureFormat) -> Vec<FieldError> {
    match check_secret_text(secret, format) {
        Ok(()) => Vec::new(),
        Err(error) => vec![FieldError::new(pointer, "invalid", error.to_string())],
    }
}

/// Checks what an endpoint sets itself.
pub fn check_settings(settings: &EndpointSettings) -> Vec<FieldError> {
    let mut faults = Vec::new();
    let mut check = |pointer: &str, value: Option<u64>, range: RangeInclusive<u64>| {
        if let Some(value) = value
            && !range.contains(&value)
        {
            let detail = format!("must be {} to {}", range.start(), range.end());
            faults.push(FieldError::new(pointer, "out_of_range", detail));
        }
    };
    check("/timeout_ms", settings.timeout_ms, TIMEOUT_MS);
    check("/in_flight", settings.in_flight.map(u64::from), wide(&IN_FLIGHT));
    check("/max_blocked_s", settings.max_blocked_s, MAX_BLOCKED_S);
    if settings.max_blocked_s.is_some() && !settings.ordered {
        faults.push(FieldError::new("/max_blocked_s", "invalid", "counts only with ordered"));
    }
    faults.extend(check_schedule("", settings.max_attempts, settings.backoff_ms.as_deref()));
    if settings.rate_limit.is_some_and(|rate| !RATE_LIMIT.contains(&rate)) {
        let detail = format!("must be {} to {}", RATE_LIMIT.start(), RATE_LIMIT.end());
        faults.push(FieldError::new("/rate_limit", "out_of_range", detail));
    }
    faults.extend(check_retry_rules(&settings.retry_by_type));
    faults.extend(check_channels(&settings.channels));
    faults.extend(settings.headers.check());
    if settings.ca.as_deref().is_some_and(|pem| Authorities::from_pem(pem).is_none()) {
        let detail = format!("must be 1 to {MAX_CHAIN} certificates of authorities in PEM");
        faults.push(FieldError::new("/ca", "invalid", detail));
    }
    faults.extend(check_metadata(settings));
    faults.extend(check_signing(settings));
    faults.extend(Expressions::compile(settings).err().unwrap_or_default());
    faults
}

fn check_schedule(place: &str, max_attempts: Option<u32>, backoff_ms: Option<&[u64]>) -> Vec<FieldError> {
    let mut faults = Vec::new();
    let mut out_of_range = |pointer: String, detail: String| {
        faults.push(FieldError::new(format!("{place}{pointer}"), "out_of_range", detail));
    };
    if max_attempts.is_some_and(|n| !MAX_ATTEMPTS.contains(&n)) {
        let detail = format!("must be {} to {}", MAX_ATTEMPTS.start(), MAX_ATTEMPTS.end());
        out_of_range("/max_attempts".to_owned(), detail);
    }
    for (index, _) in
        backoff_ms.into_iter().flatten().enumerate().filter(|(_, wait)| !BACKOFF_MS.contains(wait))
    {
        let detail = format!("must be {} to {}", BACKOFF_MS.start(), BACKOFF_MS.end());
        out_of_range(format!("/backoff_ms/{index}"), detail);
    }
    if backoff_ms.is_some_and(|waits| !N_BACKOFF.contains(&waits.len())) {
        let detail = format!("must hold {} to {} waits", N_BACKOFF.start(), N_BACKOFF.end());
        out_of_range("/backoff_ms".to_owned(), detail);
    }
    faults
}

fn check_retry_rules(rules: &[RetryRule]) -> Vec<FieldError> {
    if rules.len() > MAX_RETRY_RULES {
        return vec![too_many("/retry_by_type", MAX_RETRY_RULES)];
    }
    let mut faults = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let place = format!("/retry_by_type/{index}");
        if let Err(error) = Pattern::parse(&rule.events) {
            faults.push(FieldError::new(format!("{place}/events"), "invalid", error.to_string()));
        }
        faults.extend(check_schedule(&place, rule.max_attempts, rule.backoff_ms.as_deref()));
    }
    faults
}

/// Whether a text names a channel: letters, digits, `_`, `-`, `.` and `:`, at most 128.
pub fn is_channel(text: &str) -> bool {
    (1..=MAX_CHANNEL_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte))
}

fn check_channels(channels: &[String]) -> Vec<FieldError> {
    if channels.len() > MAX_CHANNELS {
        return vec![too_many("/channels", MAX_CHANNELS)];
    }
    let broken = channels.iter().enumerate().filter(|(_, channel)| !is_channel(channel));
    broken
        .map(|(index, _)| {
            let detail = "must be 1 to 128 letters, digits, _, -, . or :";
            FieldError::new(format!("/channels/{index}"), "invalid", detail)
        })
        .collect()
}

fn check_metadata(settings: &EndpointSettings) -> Vec<FieldError> {
    if settings.metadata.len() > MAX_METADATA {
        return vec![too_many("/metadata", MAX_METADATA)];
    }
    let is_broken = |(name, value): &(&String, &String)| {
        !(1..=MAX_METADATA_NAME_CHARS).contains(&name.chars().count())
            || name.chars().any(char::is_control)
            || value.chars().count() > MAX_METADATA_VALUE_CHARS
            || value.contains('\0')
    };
    let fault = |(name, _): (&String, &String)| {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(MAX_METADATA_NAME_CHARS).collect();
        let shown = shown.replace('~', "~0").replace('/', "~1");
        let detail = format!(
            "names have 1 to {MAX_METADATA_NAME_CHARS} characters and no control characters, values at most \
             {MAX_METADATA_VALUE_CHARS} and no NUL"
        );
        FieldError::new(format!("/metadata/{shown}"), "invalid", detail)
    };
    settings.metadata.iter().filter(is_broken).map(fault).collect()
}

fn check_signing(settings: &EndpointSettings) -> Vec<FieldError> {
    let asks = |version| settings.signing.contains(&version);
    if settings.signature_format.keys_by_text() && asks(SignatureVersion::V1a) {
        let detail = "v1a needs signature_format standard or svix";
        return vec![FieldError::new("/signing", "invalid", detail)];
    }
    let is_repeated = SignatureVersion::ALL
        .into_iter()
        .any(|version| settings.signing.iter().filter(|known| **known == version).count() > 1);
    if is_repeated {
        vec![FieldError::new("/signing", "duplicate", "names a version twice")]
    } else {
        Vec::new()
    }
}

fn too_many(pointer: &str, max: usize) -> FieldError {
    FieldError::new(pointer, "too_many", format!("at most {max}"))
}

fn wide(range: &RangeInclusive<u32>) -> RangeInclusive<u64> {
    u64::from(*range.start())..=u64::from(*range.end())
}
