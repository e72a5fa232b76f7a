//! Endpoints as dispatch understands them: settings, secrets, checks, and the parsed form that the engine sends with.
//!
//! The API checks and stores endpoints with [`check`], [`EndpointSettings`] and [`EndpointSecrets`]; the engine reads
//! them back as [`Endpoint`]s in an [`EndpointTable`]. A stored endpoint that cannot be used any more (its URL is now
//! blocked, its JSON is damaged) stays in the table with its [`EndpointFault`]: its deliveries fail visibly instead of
//! vanishing.

pub mod check;
mod secrets;
mod settings;
mod table;

use std::sync::Arc;

use trunkline_connect::{EgressPolicy, Target, UrlRefused};
use trunkline_model::{EndpointId, EventType, Pattern, Tenant};
use trunkline_store::tables::endpoint::EndpointRow;

pub use secrets::{EndpointSecret, EndpointSecrets, InvalidSecret, MAX_SECRETS, SigningKey, generate_secret};
pub use settings::{DeliveryDefaults, DeliveryPolicy, EndpointSettings, WebhookFormat};
pub use table::{EndpointDirectory, EndpointTable};

/// Why a stored endpoint cannot be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointFault {
    /// The URL is not one that calls may go to.
    #[error(transparent)]
    Refused(#[from] UrlRefused),
    /// The stored settings do not parse.
    #[error("the endpoint's stored settings cannot be read; save the endpoint again")]
    Settings,
    /// The stored secrets do not parse, or there is none.
    #[error("the endpoint's stored secrets cannot be read; regenerate its secret")]
    Secrets,
}

/// An endpoint ready for use: patterns compiled, URL vetted, keys prepared, defaults filled in.
#[derive(Debug)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Who owns it.
    pub tenant: Tenant,
    /// Whether deliveries are made.
    pub active: bool,
    /// What its limits come to.
    pub policy: DeliveryPolicy,
    /// How bodies look.
    pub format: WebhookFormat,
    /// Which event types it wants.
    pub patterns: Vec<Pattern>,
    /// How it is reached, or why it cannot be.
    pub access: Result<Access, EndpointFault>,
}

/// What is needed to send to an endpoint.
#[derive(Debug)]
pub struct Access {
    /// Where deliveries go.
    pub target: Target,
    /// Keys of every secret, the newest first; expired ones are left out when signing.
    pub keys: Vec<SigningKey>,
}

impl Endpoint {
    /// Reads a stored endpoint.
    pub fn from_row(row: &EndpointRow, defaults: &DeliveryDefaults, egress: &EgressPolicy) -> Self {
        let settings = serde_json::from_str::<EndpointSettings>(&row.settings);
        let readable = settings.is_ok();
        let settings = settings.unwrap_or_default();
        let texts = serde_json::from_str::<Vec<String>>(&row.events).unwrap_or_default();
        Self {
            id: row.id.clone(),
            tenant: row.tenant.clone(),
            active: row.active,
            policy: DeliveryPolicy::new(&settings, defaults),
            format: settings.format_for(&row.url),
            patterns: texts.iter().filter_map(|text| Pattern::parse(text).ok()).collect(),
            access: if readable { access(row, egress) } else { Err(EndpointFault::Settings) },
        }
    }

    /// Whether the endpoint wants events of this type.
    pub fn wants(&self, event_type: &EventType) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(event_type))
    }
}

fn access(row: &EndpointRow, egress: &EgressPolicy) -> Result<Access, EndpointFault> {
    let target = Target::parse(&row.url, egress)?;
    let secrets = EndpointSecrets::from_json(&row.secrets).map_err(|_| EndpointFault::Secrets)?;
    let keys = secrets.signing_keys().map_err(|_| EndpointFault::Secrets)?;
    if keys.is_empty() { Err(EndpointFault::Secrets) } else { Ok(Access { target, keys }) }
}

/// Endpoints that one event goes to.
pub type Matches = Arc<[Arc<Endpoint>]>;

#[cfg(test)]
mod tests;
