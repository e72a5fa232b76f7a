//! What a body asks for, with every fault of it named.

use serde::Deserialize;
use serde_json::Value;
use trunkline_connect::EgressPolicy;
use trunkline_dispatch::endpoint::check::{check_secret, check_settings, check_url};
use trunkline_dispatch::endpoint::{
    ClientCertificate, EndpointSecrets, EndpointSettings, SinkFields, check_sink,
};
use trunkline_dispatch::sign::SignatureVersion;
use trunkline_model::{Secret, Tenant, Timestamp};
use trunkline_store::tables::endpoint::EndpointRow;

use super::fields::{CREATE, REPLACE};
use super::shown::settings_of;
use crate::auth::portal::PortalScope;
use crate::input::Input;
use crate::problem::Problem;
use crate::state::ApiState;

/// An endpoint as a caller wants it.
pub(super) struct Draft {
    pub(super) url: String,
    pub(super) events: Vec<String>,
    pub(super) description: String,
    pub(super) active: bool,
    pub(super) settings: EndpointSettings,
    /// One that the receiver has already.
    secret: Option<Secret>,
}

impl Draft {
    /// Reads a new endpoint.
    pub(super) fn create(
        state: &ApiState,
        tenant: &Tenant,
        body: Value,
        portal: Option<&PortalScope>,
    ) -> Result<Self, Problem> {
        let mut input = Input::from_json(CREATE, body);
        let mut settings = read_settings(&input);
        if portal.is_some() {
            refuse_of_operator(&mut input, &EndpointSettings::default(), &settings);
        }
        let secret = input.text("secret").map(Secret::new);
        if let Some(secret) = &secret {
            input.add_faults(check_secret("/secret", secret, settings.signature_format));
            let version = SignatureVersion::of_secret(secret);
            if settings.signing.is_empty() && version != SignatureVersion::V1 {
                settings.signing = vec![version];
            } else if !settings.versions().contains(&version) {
                input.fault(
                    "secret",
                    "invalid",
                    format!("is of version {}, which signing lacks", version.as_str()),
                );
            }
        }
        Self::finish(state, tenant, input, settings, secret)
    }

    /// Reads the replacement of a stored endpoint.
    pub(super) fn replace(
        state: &ApiState,
        body: Value,
        before: &EndpointRow,
        portal: Option<&PortalScope>,
    ) -> Result<Self, Problem> {
        let mut input = Input::from_json(REPLACE, body);
        let url = input.text("url").unwrap_or_default();
        let wanted = read_settings(&input);
        let settings = if portal.is_some() {
            let kept = settings_of(before)?;
            let as_it_leads = wanted.clone().unmasked(&before.url, (&kept, &before.url));
            refuse_of_operator(&mut input, &kept, &as_it_leads);
            let settings = with_those_of_operator(as_it_leads, kept.clone());
            refuse_for_operator(&mut input, (&settings, &url), (&kept, &before.url));
            settings
        } else {
            // A damaged endpoint can be replaced too; only masks need what was stored.
            let known = settings_of(before).unwrap_or_default();
            wanted.unmasked(&url, (&known, &before.url))
        };
        Self::finish(state, &before.tenant, input, settings, None)
    }

    fn finish(
        state: &ApiState,
        tenant: &Tenant,
        mut input: Input,
        settings: EndpointSettings,
        secret: Option<Secret>,
    ) -> Result<Self, Problem> {
        let egress = state.egress.of(tenant);
        let url = Self::read_url(egress, &mut input, &settings);
        if input.json("sink").is_some_and(|sink| !sink.is_object() && !sink.is_null()) {
            input.fault("sink", "wrong_type", "must be an object");
        }
        input.add_faults(check_sink(&settings, egress, state.sending.local));
        input.add_faults(settings.tls.as_ref().map(ClientCertificate::check).unwrap_or_default());
        input.add_faults(settings.oauth2.as_ref().map(|oauth2| oauth2.check(egress)).unwrap_or_default());
        if settings.oauth2.is_some() && settings.headers.has("authorization") {
            input.fault("oauth2", "conflict", "sets the header authorization, which headers has as well");
        }
        input.add_faults(check_settings(&settings));
        input.finish()?;
        Ok(Self {
            url,
            events: input.texts("events").unwrap_or_default(),
            description: input.text("description").unwrap_or_default(),
            active: input.flag("active").unwrap_or(true),
            settings,
            secret,
        })
    }

    /// The URL of an endpoint that is one; what stands in its place, for people, for one that is not.
    fn read_url(egress: &EgressPolicy, input: &mut Input, settings: &EndpointSettings) -> String {
        let given = input.text("url").unwrap_or_default();
        if !settings.kind.is_http() {
            if !given.is_empty() {
                input.fault("url", "unexpected", "belongs to kind http");
            }
            let parsed = settings.sink.parse(settings.kind);
            return parsed.map(|parsed| parsed.address()).unwrap_or_default();
        }
        if !given.is_empty() {
            input.add_faults(check_url(&given, egress));
        } else if !input.has_fault("url") {
            input.fault("url", "required", "is missing");
        }
        given
    }

    pub(super) fn events_json(&self) -> String {
        serde_json::to_string(&self.events).expect("invariant: texts serialise")
    }

    /// The secrets of the endpoint when it is made, and the one that the hub made for it.
    pub(super) fn secrets(&self, now: Timestamp) -> (EndpointSecrets, Option<Secret>) {
        let brought = self.secret.clone().map(|secret| EndpointSecrets::new(secret, now));
        brought.unwrap_or_default().completed(&self.settings, now)
    }
}

/// A certificate with its key as it is sent; `expires_at` may come back.
#[derive(Deserialize)]
struct TlsInput {
    certificate: String,
    key: String,
}

impl TlsInput {
    fn certificate(self) -> ClientCertificate {
        ClientCertificate { certificate: self.certificate, key: Secret::new(self.key) }
    }
}

/// Fields that have faults are absent here; the faults are named already. Masks are left as they are.
fn read_settings(input: &Input) -> EndpointSettings {
    EndpointSettings {
        kind: input.parsed("kind").unwrap_or_default(),
        sink: input.parsed("sink").map(SinkFields::new).unwrap_or_default(),
        tls: input.parsed::<TlsInput>("tls").map(TlsInput::certificate),
        ca: input.text("ca"),
        oauth2: input.parsed("oauth2"),
        format: input.parsed("format").unwrap_or_default(),
        timeout_ms: whole(input, "timeout_ms").map(u64::from),
        max_attempts: whole(input, "max_attempts"),
        backoff_ms: input
            .integers("backoff_ms")
            .map(|waits| waits.into_iter().map(i64::unsigned_abs).collect()),
        in_flight: whole(input, "in_flight"),
        rate_limit: input.parsed("rate_limit"),
        ordered: input.flag("ordered").unwrap_or_default(),
        max_blocked_s: whole(input, "max_blocked_s").map(u64::from),
        retry_by_type: input.parsed("retry_by_type").unwrap_or_default(),
        channels: input.texts("channels").unwrap_or_default(),
        filter: input.text("filter"),
        transform: input.text("transform"),
        headers: input.parsed("headers").unwrap_or_default(),
        metadata: input.parsed("metadata").unwrap_or_default(),
        signature_format: input.parsed("signature_format").unwrap_or_default(),
        signing: input.parsed("signing").unwrap_or_default(),
    }
}

fn whole(input: &Input, name: &str) -> Option<u32> {
    input.integer(name).and_then(|n| u32::try_from(n).ok())
}

/// What the operator decides and not the receiving side.
const OF_OPERATOR: [&str; 16] = [
    // How often, how fast and how long the hub tries.
    "timeout_ms",
    "max_attempts",
    "backoff_ms",
    "retry_by_type",
    "rate_limit",
    "in_flight",
    // A portal is for webhooks: which brokers the hub talks to, and how, is the operator's affair.
    "kind",
    "sink",
    // What the receiving side gets to see of events, and work that the hub does for each.
    "channels",
    "filter",
    "transform",
    // Who the hub says that it is.
    "headers",
    "tls",
    "oauth2",
    // Whom the hub trusts.
    "ca",
    // Notes, such as whose endpoint it is.
    "metadata",
];

fn field_of(settings: &EndpointSettings, name: &str) -> Value {
    serde_json::to_value(settings).ok().and_then(|all| all.get(name).cloned()).unwrap_or_default()
}

/// Names what a token for the receiving side tries to set of [`OF_OPERATOR`]; what stays as it is does not matter.
fn refuse_of_operator(input: &mut Input, kept: &EndpointSettings, wanted: &EndpointSettings) {
    for name in OF_OPERATOR {
        let is_same = field_of(kept, name) == field_of(wanted, name);
        if input.json(name).is_some_and(|value| !value.is_null()) && !is_same {
            input.fault(name, "forbidden", "is set by the operator and not with a portal token");
        }
    }
}

/// Names what would take the operator's credentials elsewhere, or another body than its expressions were written for.
fn refuse_for_operator(
    input: &mut Input,
    (settings, url): (&EndpointSettings, &str),
    (kept, kept_url): (&EndpointSettings, &str),
) {
    if kept.has_credentials() && settings.leads_elsewhere(url, (kept, kept_url)) && !input.has_fault("url") {
        let detail = "leads elsewhere, and the operator has set credentials for where it leads now; only the operator \
                      may change that";
        input.fault("url", "forbidden", detail);
    }
    let has_expressions = kept.filter.is_some() || kept.transform.is_some();
    if has_expressions && settings.format_for(url) != kept.format_for(kept_url) {
        let detail = "stays as it is with a portal token while the operator has set filter or transform";
        input.fault("format", "forbidden", detail);
    }
}

fn with_those_of_operator(settings: EndpointSettings, kept: EndpointSettings) -> EndpointSettings {
    EndpointSettings {
        format: settings.format,
        ordered: settings.ordered,
        max_blocked_s: settings.max_blocked_s,
        signature_format: settings.signature_format,
        signing: settings.signing,
        ..kept
    }
}
