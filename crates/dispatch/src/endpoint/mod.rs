//! Endpoints as dispatch understands them: settings, secrets, checks, and the parsed form that the engine sends with.
//!
//! The API checks and stores endpoints with [`check`], [`EndpointSettings`] and [`EndpointSecrets`]; the engine reads
//! them back as [`Endpoint`]s in an [`EndpointTable`]. A stored endpoint that cannot be used any more (its URL is now
//! blocked, its JSON is damaged) stays in the table with its [`EndpointFault`]: its deliveries fail visibly instead of
//! vanishing.

mod certificate;
pub mod check;
mod expressions;
mod headers;
mod oauth2;
mod place;
mod secrets;
mod select;
mod settings;
mod sink;
mod table;

use std::sync::Arc;

use http::HeaderMap;
use trunkline_connect::{Authorities, EgressPolicy, OwnTls, Target, TokenSource, Transport, UrlRefused};
use trunkline_model::event::ExtensionValue;
use trunkline_model::{EndpointId, Event, EventType, Pattern, PerTenant, Tenant, Timestamp};
use trunkline_sinks::{Sink, SinkFactory};
use trunkline_store::tables::endpoint::EndpointRow;

use crate::sign::{SignatureFormat, SigningKey};

pub use certificate::ClientCertificate;
pub use expressions::{ExpressionFault, Expressions, MAX_EXPRESSION_BYTES};
pub use headers::{CustomHeaders, MAX_HEADERS, MAX_HEADERS_BYTES};
pub use oauth2::{AuthStyle, ClientCredentials};
pub use secrets::{EndpointSecret, EndpointSecrets, MAX_REPLACED, generate_secret};
pub use select::{Judgement, Selection, select};
pub use settings::{DeliveryDefaults, DeliveryPolicy, EndpointSettings, RetryRule, WebhookFormat};
pub use sink::{EndpointKind, LocalKinds, SinkFields, check_sink};
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
    /// The kind leads into the hub itself, which the configuration does not allow.
    #[error("endpoints of this kind need [dispatch] local_sinks = true")]
    Local,
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
    /// Grows with every change.
    pub version: i64,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Whether deliveries are made.
    pub active: bool,
    /// What its limits come to.
    pub policy: DeliveryPolicy,
    /// What it is.
    pub kind: EndpointKind,
    /// How bodies look.
    pub format: WebhookFormat,
    /// How calls are signed.
    pub signature_format: SignatureFormat,
    /// Which event types it wants.
    pub patterns: Vec<Pattern>,
    /// Which channels it wants; none stands for all events.
    pub channels: Vec<String>,
    /// Its filter and transformation.
    pub expressions: Expressions,
    /// How it is reached, or why it cannot be.
    pub access: Result<Access, EndpointFault>,
}

/// What is needed to send to an endpoint.
#[derive(Debug)]
pub struct Access {
    /// Where deliveries go.
    pub way: Way,
    /// Keys of every secret, the newest first; expired ones are left out when signing.
    pub keys: Vec<SigningKey>,
    /// Headers that the endpoint wants sent along.
    pub headers: HeaderMap,
}

/// Where deliveries of an endpoint go.
pub enum Way {
    /// To a URL.
    Http(HttpWay),
    /// To a broker or an object store; `None` where endpoints are only looked at.
    Sink(Option<Arc<dyn Sink>>),
}

/// How a URL is called.
#[derive(Clone)]
pub struct HttpWay {
    /// The URL.
    pub target: Target,
    /// The endpoint's own way out, where it shows a certificate or trusts authorities of its own.
    pub own: Option<Arc<dyn Transport>>,
    /// Where tokens come from, where it wants one.
    pub tokens: Option<Arc<TokenSource>>,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http(way) => f.debug_tuple("Http").field(&way.target).finish(),
            Self::Sink(_) => f.write_str("Sink"),
        }
    }
}

/// What endpoints are opened with.
#[derive(Clone, Default)]
pub struct Outlets {
    /// Where calls may go.
    pub egress: PerTenant<EgressPolicy>,
    /// Makes clients with TLS of their own.
    pub transport: Option<PerTenant<Arc<dyn Transport>>>,
    /// Opens brokers and object stores; `None` where endpoints are only looked at.
    pub sinks: Option<PerTenant<Arc<SinkFactory>>>,
    /// Whether kinds that lead into the hub itself may be opened.
    pub local: LocalKinds,
}

impl std::fmt::Debug for Outlets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlets")
            .field("egress", &self.egress)
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

impl Outlets {
    /// For endpoints that are only looked at: nothing can be sent by them but to plain URLs.
    pub fn only(egress: &PerTenant<EgressPolicy>) -> Self {
        Self { egress: egress.clone(), local: LocalKinds::Allowed, ..Self::default() }
    }
}

impl Endpoint {
    /// Reads a stored endpoint. Does no I/O.
    pub fn from_row(row: &EndpointRow, defaults: &DeliveryDefaults, outlets: &Outlets) -> Self {
        let settings = serde_json::from_str::<EndpointSettings>(&row.settings);
        let mut readable = settings.is_ok();
        let settings = settings.unwrap_or_default();
        let expressions = Expressions::compile(&settings).unwrap_or_else(|_| {
            readable = false;
            Expressions::default()
        });
        let texts = serde_json::from_str::<Vec<String>>(&row.events).unwrap_or_default();
        Self {
            id: row.id.clone(),
            tenant: row.tenant.clone(),
            version: row.version,
            updated_at: row.updated_at,
            active: row.active,
            policy: DeliveryPolicy::new(&settings, defaults),
            kind: settings.kind,
            format: settings.format_for(&row.url),
            signature_format: settings.signature_format,
            patterns: texts.iter().filter_map(|text| Pattern::parse(text).ok()).collect(),
            access: if readable { access(row, &settings, outlets) } else { Err(EndpointFault::Settings) },
            channels: settings.channels,
            expressions,
        }
    }

    /// Whether the endpoint wants events of this type.
    pub fn wants(&self, event_type: &EventType) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(event_type))
    }

    /// Whether it takes every event of the types it wants, whatever the event holds.
    pub fn takes_all(&self) -> bool {
        self.channels.is_empty() && !self.expressions.has_filter()
    }

    /// Whether the endpoint's channels let an event through: it has none, or the event's extension attribute
    /// `channels`, names with commas between, holds one of them.
    pub fn takes_channels_of(&self, event: &Event) -> bool {
        if self.channels.is_empty() {
            return true;
        }
        let Some(ExtensionValue::String(channels)) = event.extensions.get("channels") else { return false };
        channels.split(',').any(|channel| self.channels.iter().any(|wanted| wanted == channel.trim()))
    }
}

fn access(
    row: &EndpointRow,
    settings: &EndpointSettings,
    outlets: &Outlets,
) -> Result<Access, EndpointFault> {
    let way = if settings.kind.is_http() {
        Way::Http(http_way(row, settings, outlets)?)
    } else {
        let parsed = settings.sink.parse(settings.kind).map_err(|_| EndpointFault::Settings)?;
        if sink::is_refused(&parsed, outlets.local) {
            return Err(EndpointFault::Local);
        }
        Way::Sink(outlets.sinks.as_ref().map(|sinks| sinks.of(&row.tenant).open(&parsed)))
    };
    let secrets = EndpointSecrets::from_json(&row.secrets).map_err(|_| EndpointFault::Secrets)?;
    let keys = secrets.signing_keys(settings).map_err(|_| EndpointFault::Secrets)?;
    if keys.is_empty() {
        return Err(EndpointFault::Secrets);
    }
    Ok(Access { way, keys, headers: settings.headers.to_map() })
}

fn http_way(
    row: &EndpointRow,
    settings: &EndpointSettings,
    outlets: &Outlets,
) -> Result<HttpWay, EndpointFault> {
    let egress = outlets.egress.of(&row.tenant);
    let target = Target::parse(&row.url, egress)?;
    let identity = settings.tls.as_ref().map(ClientCertificate::identity).transpose();
    let identity = identity.map_err(|_| EndpointFault::Settings)?;
    let authorities =
        settings.ca.as_deref().map(|pem| Authorities::from_pem(pem).ok_or(EndpointFault::Settings));
    let tls = OwnTls { identity, authorities: authorities.transpose()? };
    let own = match &outlets.transport {
        Some(transport) if !tls.is_empty() => {
            Some(transport.of(&row.tenant).with_tls(&tls).ok_or(EndpointFault::Settings)?)
        }
        _ => None,
    };
    let tokens = match &settings.oauth2 {
        None => None,
        Some(credentials) => {
            let token_url = Target::parse(&credentials.token_url, egress)?;
            Some(Arc::new(credentials.clone().into_source(token_url)))
        }
    };
    Ok(HttpWay { target, own, tokens })
}

/// Endpoints that one event goes to.
pub type Matches = Arc<[Arc<Endpoint>]>;

#[cfg(test)]
mod tests;
