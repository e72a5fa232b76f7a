//! Endpoints as they are answered.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use trunkline_dispatch::endpoint::{
    ClientCertificate, ClientCredentials, EndpointSecrets, EndpointSettings, RetryRule,
};
use trunkline_dispatch::sign::SignatureVersion;
use trunkline_model::{ErrorCode, Timestamp, mask};
use trunkline_store::tables::endpoint::EndpointRow;
use utoipa::ToSchema;

use crate::problem::Problem;

/// An endpoint.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Webhook {
    id: String,
    /// Where events are posted to; only of kind `http`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    url: Option<String>,
    /// `http`, `nats`, `redis`, `amqp`, `s3` or `stdout`.
    kind: String,
    /// Settings of the other kinds; secrets are `***`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = serde_json::Value)]
    sink: Option<Value>,
    /// The certificate shown to the endpoint's server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = WebhookTls)]
    tls: Option<WebhookTls>,
    /// Authorities trusted for the endpoint's server besides the public ones, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    ca: Option<String>,
    /// Where tokens for it come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = WebhookOAuth2)]
    oauth2: Option<WebhookOAuth2>,
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
    /// Whether deliveries of events with one key are attempted one after the other.
    ordered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = u64)]
    max_blocked_s: Option<u64>,
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

/// A certificate that is shown to an endpoint's server.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct WebhookTls {
    /// PEM; the client's own certificate first.
    certificate: String,
    /// Always `***`.
    key: &'static str,
    /// When the client's own certificate expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    expires_at: Option<String>,
}

/// Where tokens come from, and who asks for them.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct WebhookOAuth2 {
    token_url: String,
    client_id: String,
    /// Always `***`.
    client_secret: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    audience: Option<String>,
    /// `basic` or `body`.
    auth_style: &'static str,
}

impl From<ClientCertificate> for WebhookTls {
    fn from(tls: ClientCertificate) -> Self {
        let expires_at = tls.identity().ok().map(|identity| identity.validity().not_after);
        let expires_at = expires_at.map(|secs| Timestamp::from_secs(secs).to_rfc3339());
        Self { certificate: tls.certificate, key: mask::MASK, expires_at }
    }
}

impl From<ClientCredentials> for WebhookOAuth2 {
    fn from(oauth2: ClientCredentials) -> Self {
        let ClientCredentials { token_url, client_id, scope, audience, auth_style, .. } = oauth2;
        let auth_style = auth_style.as_str();
        Self { token_url, client_id, client_secret: mask::MASK, scope, audience, auth_style }
    }
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
    /// What is stored all the same and may not work, such as a host name that has no address now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(super) warnings: Vec<WebhookWarning>,
}

/// Something about an endpoint that may not work.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct WebhookWarning {
    /// The field.
    pointer: &'static str,
    code: &'static str,
    detail: String,
}

impl WebhookWarning {
    pub(super) fn unresolved(pointer: &'static str, detail: String) -> Self {
        Self { pointer, code: "unresolved", detail }
    }
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
            url: settings.kind.is_http().then(|| row.url.clone()),
            kind: settings.kind.as_str().to_owned(),
            sink: settings.sink.shown(settings.kind),
            tls: settings.tls.clone().map(WebhookTls::from),
            ca: settings.ca.clone(),
            oauth2: settings.oauth2.clone().map(WebhookOAuth2::from),
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
            ordered: settings.ordered,
            max_blocked_s: settings.max_blocked_s,
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
