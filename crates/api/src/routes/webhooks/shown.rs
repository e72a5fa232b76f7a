//! Endpoints as they are answered.

use std::collections::BTreeMap;

use serde::Serialize;
use trunkline_dispatch::endpoint::{EndpointSecrets, EndpointSettings, RetryRule};
use trunkline_dispatch::sign::SignatureVersion;
use trunkline_model::ErrorCode;
use trunkline_store::tables::endpoint::EndpointRow;
use utoipa::ToSchema;

use crate::problem::Problem;

/// An endpoint.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Webhook {
    id: String,
    url: String,
    /// Patterns of the event types wanted.
    events: Vec<String>,
    description: String,
    active: bool,
    /// `standard` or `cloudevents`.
    format: String,
    /// What an event must carry one of; empty when it need not.
    channels: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    filter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    transform: Option<String>,
    /// Sent along; values of credentials are `***`.
    headers: BTreeMap<String, String>,
    metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = u64)]
    timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = u32)]
    max_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Vec<u64>)]
    backoff_ms: Option<Vec<u64>>,
    /// Schedules for some types of events.
    retry_by_type: Vec<WebhookRetryRule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = f64)]
    rate_limit: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = u32)]
    in_flight: Option<u32>,
    signature_format: String,
    /// Versions of the signatures that are made.
    signing: Vec<String>,
    /// What `v1a` signatures are checked with, `whpk_…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    public_key: Option<String>,
    /// Grows with every change.
    #[schema(minimum = 1)]
    version: i64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// A schedule for some types of events.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct WebhookRetryRule {
    /// Pattern of the types.
    events: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = u32)]
    max_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Vec<u64>)]
    backoff_ms: Option<Vec<u64>>,
}

/// An endpoint with the signing secret that the hub made for it.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookWithSecret {
    #[serde(flatten)]
    pub(super) webhook: Webhook,
    /// `whsec_…`; only when the hub has just made one, and absent in repeats under an idempotency key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    pub(super) secret: Option<String>,
}

impl From<RetryRule> for WebhookRetryRule {
    fn from(rule: RetryRule) -> Self {
        let RetryRule { events, max_attempts, backoff_ms } = rule;
        Self { events, max_attempts, backoff_ms }
    }
}

impl TryFrom<&EndpointRow> for Webhook {
    type Error = Problem;

    fn try_from(row: &EndpointRow) -> Result<Self, Problem> {
        let settings = settings_of(row)?;
        let secrets = EndpointSecrets::from_json(&row.secrets).unwrap_or_default();
        let signing = settings.versions();
        Ok(Self {
            id: row.id.as_str().to_owned(),
            url: row.url.clone(),
            events: patterns_of(row)?,
            description: row.description.clone(),
            active: row.active,
            format: settings.format.as_str().to_owned(),
            headers: settings.headers.shown(),
            signature_format: settings.signature_format.as_str().to_owned(),
            signing: signing.iter().map(|version| version.as_str().to_owned()).collect(),
            public_key: secrets.public_key().filter(|_| signing.contains(&SignatureVersion::V1a)),
            channels: settings.channels,
            filter: settings.filter,
            transform: settings.transform,
            metadata: settings.metadata,
            timeout_ms: settings.timeout_ms,
            max_attempts: settings.max_attempts,
            backoff_ms: settings.backoff_ms,
            retry_by_type: settings.retry_by_type.into_iter().map(WebhookRetryRule::from).collect(),
            rate_limit: settings.rate_limit,
            in_flight: settings.in_flight,
            version: row.version,
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
        })
    }
}

/// The settings of a stored endpoint.
pub(super) fn settings_of(row: &EndpointRow) -> Result<EndpointSettings, Problem> {
    serde_json::from_str(&row.settings).map_err(damaged)
}

/// The patterns of a stored endpoint.
pub(super) fn patterns_of(row: &EndpointRow) -> Result<Vec<String>, Problem> {
    serde_json::from_str(&row.events).map_err(damaged)
}

fn damaged(error: serde_json::Error) -> Problem {
    Problem::new(ErrorCode::ServerInternal).caused_by(Damaged(error))
}

#[derive(Debug, thiserror::Error)]
#[error("a stored endpoint does not parse")]
struct Damaged(#[source] serde_json::Error);
