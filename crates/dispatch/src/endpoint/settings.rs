//! Delivery settings: what an endpoint may set itself, what the hub sets for all, and what the two come to.
//!
//! [`EndpointSettings`] is the stored JSON, whose members are fields of the API's webhook body; limits are checked in
//! [`check`](super::check).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use trunkline_model::{EventType, Pattern};
use url::Url;

use super::{ClientCertificate, ClientCredentials, CustomHeaders, EndpointKind, SinkFields};
use crate::retry::RetrySchedule;
use crate::sign::{SignatureFormat, SignatureVersion};

/// How bodies look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WebhookFormat {
    /// `{"type", "timestamp", "data"}`, as Standard Webhooks recommends.
    #[default]
    Standard,
    /// The structured CloudEvent.
    CloudEvents,
}

impl WebhookFormat {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Standard, Self::CloudEvents];

    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::CloudEvents => "cloudevents",
        }
    }
}

/// What an endpoint sets itself. Absent members follow the hub's defaults, also when those change later.
///
/// **Shape**: `{"format": "standard", "timeout_ms": 5000, "max_attempts": 8, "backoff_ms": [1000, 60000], "in_flight": 10,
/// "channels": ["lab"], "headers": {"x-room": "7"}, …}`
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointSettings {
    /// What the endpoint is.
    #[serde(skip_serializing_if = "EndpointKind::is_http")]
    pub kind: EndpointKind,
    /// Where it is, for kinds that are no URL.
    #[serde(skip_serializing_if = "SinkFields::is_empty")]
    pub sink: SinkFields,
    /// The certificate that is shown to its server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientCertificate>,
    /// Authorities that are trusted for its server besides the public ones, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Where tokens for it come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<ClientCredentials>,
    /// How bodies look.
    pub format: WebhookFormat,
    /// Limit of one attempt in milliseconds, 100 to 60 000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Attempts of one delivery, 1 to 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Waits before the second, third, … attempt in milliseconds, each 1 to 86 400 000; the last one repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff_ms: Option<Vec<u64>>,
    /// Attempts open at once, 1 to 1 000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u32>,
    /// Attempts a second, 0.01 to 10 000; absent means no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<f64>,
    /// Whether deliveries of events with one key are attempted one after the other.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ordered: bool,
    /// How long a delivery that fails may hold up its key, in seconds from its first attempt, 1 to 2 592 000. Only with
    /// `ordered`; absent means a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_blocked_s: Option<u64>,
    /// Schedules for some types of events; the first whose pattern fits counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retry_by_type: Vec<RetryRule>,
    /// With channels, only events that carry one of them are wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// A jq expression that decides for each event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// A jq expression that makes the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transform: Option<String>,
    /// Sent along.
    #[serde(skip_serializing_if = "CustomHeaders::is_empty")]
    pub headers: CustomHeaders,
    /// Kept for whoever set it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// How calls are signed.
    #[serde(skip_serializing_if = "is_standard")]
    pub signature_format: SignatureFormat,
    /// Which versions of Standard Webhooks' signatures are made; none stands for `v1`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signing: Vec<SignatureVersion>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_standard(format: &SignatureFormat) -> bool {
    *format == SignatureFormat::Standard
}

/// A schedule for some types of events. What is absent is the endpoint's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryRule {
    /// Pattern of the types it counts for.
    pub events: String,
    /// Attempts of one delivery, 1 to 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Waits before the second, third, … attempt in milliseconds; the last one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_ms: Option<Vec<u64>>,
}

impl EndpointSettings {
    /// The settings as they are stored.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("invariant: plain settings serialise")
    }

    /// The versions of signatures that are made.
    pub fn versions(&self) -> &[SignatureVersion] {
        if self.signing.is_empty() || self.signature_format.keys_by_text() {
            &[SignatureVersion::V1]
        } else {
            &self.signing
        }
    }

    /// The format for a URL: `?format=cloudevents` in it selects CloudEvents too.
    pub fn format_for(&self, url: &str) -> WebhookFormat {
        let wants_cloudevents = Url::parse(url).is_ok_and(|url| {
            url.query_pairs()
                .any(|(name, value)| name == "format" && value == WebhookFormat::CloudEvents.as_str())
        });
        if wants_cloudevents { WebhookFormat::CloudEvents } else { self.format }
    }
}

/// What endpoints get when they set nothing themselves.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryDefaults {
    /// Limit of one attempt. Default 10 s.
    pub timeout: Duration,
    /// Attempts of one delivery. Default 5.
    pub max_attempts: u32,
    /// Waits before the second, third, … attempt; the last one repeats. Default 5, 10, 20 and 40 s.
    pub backoff: Vec<Duration>,
    /// Share by which a wait is spread at random, 0 to 1. Default 0.2.
    pub jitter: f64,
    /// Attempts open at once to one endpoint. Default 5.
    pub in_flight: usize,
}

impl Default for DeliveryDefaults {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            max_attempts: 5,
            backoff: [5, 10, 20, 40].map(Duration::from_secs).to_vec(),
            jitter: 0.2,
            in_flight: 5,
        }
    }
}

/// How long a delivery that fails may hold up its key when the endpoint does not say.
const MAX_BLOCKED: Duration = Duration::from_hours(24);

/// The limits that apply to one endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryPolicy {
    /// Limit of one attempt.
    pub timeout: Duration,
    /// When and how often to try again, where no type of event has a schedule of its own.
    pub retry: RetrySchedule,
    /// Attempts open at once.
    pub in_flight: usize,
    /// Attempts a second; `None` is no limit.
    pub rate_limit: Option<f64>,
    /// Whether deliveries of events with one key are attempted one after the other.
    pub ordered: bool,
    /// Schedules for some types, the first that fits counts.
    by_type: Vec<(Pattern, RetrySchedule)>,
}

impl DeliveryPolicy {
    /// Fills what the settings leave open from the defaults.
    pub fn new(settings: &EndpointSettings, defaults: &DeliveryDefaults) -> Self {
        let backoff: Arc<[Duration]> = match &settings.backoff_ms {
            Some(waits) => durations(waits),
            None => defaults.backoff.as_slice().into(),
        };
        let max_attempts = settings.max_attempts.unwrap_or(defaults.max_attempts);
        let lasts = settings.ordered.then(|| settings.max_blocked_s.map_or(MAX_BLOCKED, Duration::from_secs));
        let schedule = |rule: &RetryRule| {
            let backoff = rule.backoff_ms.as_deref().map_or_else(|| Arc::clone(&backoff), durations);
            let max_attempts = rule.max_attempts.unwrap_or(max_attempts);
            RetrySchedule::new(backoff, max_attempts, defaults.jitter).lasting(lasts)
        };
        let in_flight = settings.in_flight.map_or(defaults.in_flight, |n| n as usize);
        Self {
            timeout: settings.timeout_ms.map_or(defaults.timeout, Duration::from_millis),
            by_type: settings
                .retry_by_type
                .iter()
                .filter_map(|rule| Some((Pattern::parse(&rule.events).ok()?, schedule(rule))))
                .collect(),
            retry: RetrySchedule::new(backoff, max_attempts, defaults.jitter).lasting(lasts),
            in_flight: in_flight.max(1),
            ordered: settings.ordered,
            rate_limit: settings.rate_limit.filter(|rate| rate.is_finite() && *rate > 0.0),
        }
    }

    /// When and how often deliveries of events of this type are tried again.
    pub fn retry_for(&self, event_type: &EventType) -> &RetrySchedule {
        let own = self.by_type.iter().find(|(pattern, _)| pattern.matches(event_type));
        own.map_or(&self.retry, |(_, schedule)| schedule)
    }
}

fn durations(waits: &[u64]) -> Arc<[Duration]> {
    waits.iter().copied().map(Duration::from_millis).collect()
}
