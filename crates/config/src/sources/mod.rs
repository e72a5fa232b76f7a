//! `[[sources]]`: the origins of inbound requests and how each is verified. Used by ingest, which turns
//! every [`SourceSettings`] into a source.
//!
//! Keys common to all sources are read here, those of one scheme by its row in [`schemes`]. A key of
//! another scheme is a fault that names both.

mod hmac;
mod provider;
pub(crate) mod schemes;
mod template;
mod token;

use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;

pub use hmac::{HmacAlgorithm, HmacSettings, KeyEncoding, SignatureEncoding};
pub use provider::{Provider, ProviderSettings};
pub use schemes::SchemeSettings;
pub use template::{SignedPart, SignedTemplate, TemplateError};
pub use token::TokenSettings;

use crate::env::Env;
use crate::error::{ConfigError, Origin, Problem};
use crate::reader::{Located, Scope, Section, bounds, unknown_word};
use crate::secret::{Secret, SecretError, SecretRef};
use crate::sources::schemes::{SCHEMES, SchemeRow, TOLERANCE};
use crate::syntax;
use crate::tree::{Node, Table, Value};

const DEFAULT_TENANT: &str = "default";
/// More live secrets than a rotation ever needs would only multiply the work of a forged request.
const MAX_SECRETS: usize = 10;

/// Limits the requests of one source; beyond it they are answered 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// `rate_limit_per_s`: requests per second in the long run.
    pub per_second: NonZeroU32,
    /// `rate_burst`: requests that may come at once. Default: as many as `rate_limit_per_s`.
    pub burst: NonZeroU32,
}

/// Holds the values of a source's secrets.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The live secrets.
    pub secrets: Vec<Secret>,
    /// What `verify_token` names.
    pub verify_token: Option<Secret>,
}

impl From<&[Secret]> for Credentials {
    fn from(secrets: &[Secret]) -> Self {
        Self { secrets: secrets.to_vec(), verify_token: None }
    }
}

/// Holds one `[[sources]]` table.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// `name`: 1 to 64 of `a-z`, `0-9`, `-` and `_`; requests come to `/in/{name}`. Unique, required.
    pub name: String,
    /// `tenant`: owner of the events. Default `default`.
    pub tenant: String,
    /// `scheme` and its own keys. Required.
    pub scheme: SchemeSettings,
    /// `secret` or `secrets`: the live secrets, any of which may match. At most 10.
    pub secrets: Vec<SecretRef>,
    /// `verify_token`: what the provider repeats when it asks whether the URL is meant. Required by `meta`.
    pub verify_token: Option<SecretRef>,
    /// `one_time_tokens`: every call must bring a token that is good once. Default false.
    pub one_time_tokens: bool,
    /// `allow_ips`: networks requests may come from. Default empty, which means any.
    pub allow_ips: Vec<IpNet>,
    /// `tolerance_s`: how far a signed timestamp may be from now, 1 s to 1 day. Default 300 s, for `sns` an hour.
    pub tolerance: Duration,
    /// `rate_limit_per_s` and `rate_burst`. Default none.
    pub rate_limit: Option<RateLimit>,
    /// `subject`: CloudEvents subject of the events, which is also their ordering key. Default none.
    pub subject: Option<String>,
    /// `enabled`: false makes the source unknown to callers, and its secrets are not looked up. Default true.
    pub enabled: bool,
    /// `allow_unauthenticated`: permits scheme `none` although other machines reach the listener. Default
    /// false.
    pub allow_unauthenticated: bool,
    path: String,
    origin: Origin,
}

impl SourceSettings {
    /// Makes a source with defaults, for tests and demonstrations.
    pub fn new(name: impl Into<String>, scheme: SchemeSettings, secrets: Vec<SecretRef>) -> Self {
        let name = name.into();
        Self {
            path: format!("sources.{name}"),
            name,
            tenant: DEFAULT_TENANT.to_owned(),
            scheme,
            secrets,
            verify_token: None,
            one_time_tokens: false,
            allow_ips: Vec::new(),
            tolerance: TOLERANCE,
            rate_limit: None,
            subject: None,
            enabled: true,
            allow_unauthenticated: false,
            origin: Origin::Default,
        }
    }

    /// Returns the values of all its secrets, in order.
    ///
    /// # Errors
    /// The first secret that cannot be had; after a successful load only if it vanished since.
    pub fn resolve_secrets(&self, env: &Env) -> Result<Vec<Secret>, SecretError> {
        self.secrets.iter().map(|secret| secret.resolve(env)).collect()
    }

    /// Returns the values of everything secret about it.
    ///
    /// # Errors
    /// The first that cannot be had, with the key that names it.
    pub fn resolve(&self, env: &Env) -> Result<Credentials, ConfigError> {
        let fault = |key: &str, error: &SecretError| self.fault(key, error.to_string(), error.fix());
        let secrets = self.resolve_secrets(env).map_err(|error| fault("secret", &error))?;
        let verify_token = self.verify_token.as_ref().map(|token| token.resolve(env)).transpose();
        Ok(Credentials {
            secrets,
            verify_token: verify_token.map_err(|error| fault("verify_token", &error))?,
        })
    }

    /// Makes a fault of one of its keys, for those who find it after the load, such as a scheme that
    /// cannot decode its secret. Both texts are lower-case, without a full stop and without secrets.
    pub fn fault(&self, key: &str, problem: impl Into<String>, fix: impl Into<String>) -> ConfigError {
        ConfigError {
            origin: self.origin.clone(),
            key: format!("{}.{key}", self.path),
            problem: problem.into(),
            fix: fix.into(),
        }
    }
}

/// Reads all `[[sources]]` tables; those without a usable name and scheme are reported and left out.
pub(crate) fn read_all(tables: Vec<Located<Table>>, scope: &mut Scope) -> Vec<SourceSettings> {
    let mut sources: Vec<SourceSettings> = Vec::with_capacity(tables.len());
    for (i, table) in tables.into_iter().enumerate() {
        let path = format!("sources[{i}]");
        let Some(source) = read(path.clone(), Section::new(path, "sources", table, scope)) else { continue };
        if let Some(first) = sources.iter().find(|other| other.name == source.name) {
            let problem = format!("\"{}\" is already the name of {}", first.name, first.path);
            scope.errors.push(source.fault("name", problem, "give every source a name of its own"));
        }
        sources.push(source);
    }
    sources
}

fn read(path: String, mut section: Section<'_>) -> Option<SourceSettings> {
    let s = &mut section;
    let origin = s.origin();
    let name = required(s, "name", "name = \"…\"", syntax::source_name);
    let row = required(s, "scheme", "scheme = \"standard-webhooks\"", find_scheme);
    let enabled = s.flag("enabled", true);
    let tenant = s.parsed("tenant", syntax::tenant_name).unwrap_or_else(|| DEFAULT_TENANT.to_owned());
    let allow_ips = s.list("allow_ips", syntax::network).unwrap_or_default();
    let rate_limit = read_rate_limit(s);
    let subject = s.parsed("subject", parse_subject);
    let Some(row) = row else {
        // Which keys belong here is unknown without a scheme; only those of no scheme are wrong for sure.
        SCHEMES.iter().flat_map(|row| row.keys).for_each(|key| drop(s.take(key)));
        drop(s.take("one_time_tokens"));
        section.finish(|_| None);
        return None;
    };
    let reads = |key: &str| row.keys.contains(&key);
    let secrets = if reads("secret") { read_secrets(s, row, enabled) } else { Vec::new() };
    let one_time_tokens = read_one_time_tokens(s, row);
    let tolerance = if one_time_tokens || reads("tolerance_s") {
        s.seconds("tolerance_s", 1, 86_400, row.tolerance)
    } else {
        row.tolerance
    };
    let verify_token = if reads("verify_token") { read_verify_token(s, enabled) } else { None };
    let allow_unauthenticated = reads("allow_unauthenticated") && s.flag("allow_unauthenticated", false);
    let scheme = (row.read)(s);
    section.finish(|key| foreign_key(key, row));
    Some(SourceSettings {
        name: name?,
        tenant,
        scheme,
        secrets,
        verify_token,
        one_time_tokens,
        allow_ips,
        tolerance,
        rate_limit,
        subject,
        enabled,
        allow_unauthenticated,
        path,
        origin,
    })
}

/// Reads a key that must be there.
fn required<T>(
    section: &mut Section<'_>,
    key: &'static str,
    example: &str,
    parse: impl FnOnce(&str) -> Result<T, Problem>,
) -> Option<T> {
    if section.is_absent(key) {
        let origin = section.origin();
        section.fault(key, origin, Problem::new("is missing", format!("add {example}")));
    }
    section.parsed(key, parse)
}

fn find_scheme(text: &str) -> Result<&'static SchemeRow, Problem> {
    let unknown = || unknown_word(text, SCHEMES.iter().map(|row| row.name));
    SCHEMES.iter().find(|row| row.name == text).ok_or_else(unknown)
}

/// Explains a key that another scheme would have read.
fn foreign_key(key: &str, row: &SchemeRow) -> Option<Problem> {
    let owners: Vec<&str> = SCHEMES.iter().filter(|s| s.keys.contains(&key)).map(|s| s.name).collect();
    if owners.is_empty() {
        return None;
    }
    let owners = owners.join(", ");
    let problem = format!("does not belong to scheme \"{}\" (but to {owners})", row.name);
    Some(Problem::new(problem, "remove it, or choose another scheme"))
}

fn parse_subject(text: &str) -> Result<String, Problem> {
    if (1..=256).contains(&text.len()) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(Problem::new("must be 1 to 256 bytes without control characters", "shorten it, or remove the key"))
}

fn read_rate_limit(section: &mut Section<'_>) -> Option<RateLimit> {
    let range = bounds(1, 1_000_000, "requests");
    let burst_place = section.place("rate_burst");
    let (rate_given, burst_given) =
        (!section.is_absent("rate_limit_per_s"), !section.is_absent("rate_burst"));
    let rate = section.number_opt("rate_limit_per_s", range);
    let burst = section.number_opt("rate_burst", range);
    if burst_given && !rate_given {
        let problem =
            Problem::new("has no effect without rate_limit_per_s", "add rate_limit_per_s, or remove it");
        section.fault("rate_burst", burst_place, problem);
    }
    let per_second = NonZeroU32::new(rate? as u32)?;
    let burst = burst.and_then(|n| NonZeroU32::new(n as u32)).unwrap_or(per_second);
    Some(RateLimit { per_second, burst })
}

/// Reads `secret` or `secrets`, warns of literals and tries every reference of an enabled source.
fn read_secrets(section: &mut Section<'_>, row: &SchemeRow, enabled: bool) -> Vec<SecretRef> {
    let place = section.place("secrets");
    let (one, many) = (!section.is_absent("secret"), !section.is_absent("secrets"));
    if one && many {
        let problem = Problem::new("stands beside `secret`", "keep one of the two; `secrets` takes several");
        section.fault("secrets", place.clone(), problem);
    }
    if !one && !many && row.needs_secret {
        let origin = section.origin();
        let problem = format!("is missing, and scheme \"{}\" needs one", row.name);
        section.fault("secret", origin, Problem::new(problem, "add secret = \"env:NAME\" or \"file:PATH\""));
    }
    let single = section.take("secret").map(|node| ("secret".to_owned(), node));
    let several = section.nodes("secrets").unwrap_or_default();
    if many && !one && !(1..=MAX_SECRETS).contains(&several.len()) && !section.has_faults_below("secrets") {
        let problem =
            Problem::new(format!("must hold 1 to {MAX_SECRETS} secrets"), "list the live secrets only");
        section.fault("secrets", place, problem);
    }
    let several = several.into_iter().enumerate().map(|(i, node)| (format!("secrets[{i}]"), node));
    let nodes: Vec<_> = single.into_iter().chain(several).collect();
    nodes.into_iter().filter_map(|(key, node)| read_secret(section, &key, node, enabled)).collect()
}

/// The tokens are made with the source's secret.
fn read_one_time_tokens(section: &mut Section<'_>, row: &SchemeRow) -> bool {
    let place = section.place("one_time_tokens");
    let is_asked = section.flag("one_time_tokens", false);
    if is_asked && !row.needs_secret {
        let problem = format!("needs a secret to make tokens with, and scheme \"{}\" has none", row.name);
        section.fault(
            "one_time_tokens",
            place,
            Problem::new(problem, "remove it, or choose a scheme with a secret"),
        );
    }
    is_asked
}

fn read_verify_token(section: &mut Section<'_>, enabled: bool) -> Option<SecretRef> {
    let Some(node) = section.take("verify_token") else {
        let origin = section.origin();
        let fix = "add verify_token = \"env:NAME\" with the text you gave to the provider";
        section.fault("verify_token", origin, Problem::new("is missing", fix));
        return None;
    };
    read_secret(section, "verify_token", node, enabled)
}

fn read_secret(section: &mut Section<'_>, key: &str, node: Node, enabled: bool) -> Option<SecretRef> {
    let Value::String(text) = &node.value else {
        let problem = format!("must be a string, found {}", node.value.kind());
        section.fault(key, node.origin, Problem::new(problem, "write \"env:NAME\" or \"file:PATH\""));
        return None;
    };
    let secret = match SecretRef::parse(text, &section.scope.base_dir) {
        Ok(secret) => secret,
        Err(problem) => {
            section.fault(key, node.origin, problem);
            return None;
        }
    };
    if let SecretRef::Literal(_) = secret {
        let problem = "is a secret written into the configuration file";
        let fix = "keep it in a variable (`env:NAME`) or a file of its own (`file:PATH`)";
        section.warn(key, node.origin.clone(), Problem::new(problem, fix));
    }
    if enabled && let Err(error) = secret.resolve(&section.scope.env) {
        section.fault(key, node.origin, Problem::new(error.to_string(), error.fix()));
    }
    Some(secret)
}
