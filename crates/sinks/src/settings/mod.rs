//! Settings of a sink: read from JSON, every bad field named, secrets kept apart from what may be shown.
//!
//! Each kind documents its fields in its own file. Fields that several kinds have mean the same everywhere:
//!
//! | field | meaning | default |
//! |---|---|---|
//! | `host` | host name or address of the broker, without port | required |
//! | `port` | 1 to 65535 | the kind's own |
//! | `tls` | whether the connection is encrypted; the certificate must name `host` | true |
//!
//! Where a message goes within a broker is a template, see [`Template`].

mod fields;
mod template;

use std::fmt;
use std::sync::Arc;

use ring::digest;
use serde_json::Value;
use trunkline_connect::{EgressPolicy, Target, UrlRefused};
use trunkline_model::FieldError;

pub(crate) use self::fields::Fields;
pub(crate) use self::template::{Placeholder, Template, sample};
use crate::factory::Tools;
use crate::kinds::{self, Kind};
use crate::message::{SinkMessage, SinkReceipt};
use crate::network::Place;
use crate::{SinkError, kinds::KINDS};

/// What a kind's settings are to the rest of the crate.
pub(crate) trait KindSettings: Send + Sync {
    /// The settings with defaults filled in and `***` in place of secrets.
    fn masked(&self) -> Value;

    /// Where messages go; `None` for kinds that use no network.
    fn place(&self) -> Option<Place>;

    /// Makes the sink. Does no I/O.
    fn open(&self, tools: &Tools) -> Arc<dyn Deliver>;
}

/// What reading settings gives: the settings, or every bad field.
pub(crate) type Parsed = Result<Arc<dyn KindSettings>, Vec<FieldError>>;

/// What a kind does. Checks that all kinds share (id, total timeout) are made by its caller, the factory's wrapper.
pub(crate) trait Deliver: Send + Sync {
    /// Sends one message; `deadline` is when the caller gives up.
    fn deliver<'a>(
        &'a self,
        message: &'a SinkMessage,
        deadline: tokio::time::Instant,
    ) -> trunkline_connect::BoxFuture<'a, Result<SinkReceipt, SinkError>>;
}

/// Settings that can be opened. Cheap to clone; `Debug` shows the masked form.
#[derive(Clone)]
pub struct SinkSettings {
    kind: &'static Kind,
    inner: Arc<dyn KindSettings>,
    fingerprint: Fingerprint,
}

/// Tells settings apart, secrets included.
pub(crate) type Fingerprint = [u8; digest::SHA256_OUTPUT_LEN];

impl SinkSettings {
    /// Reads the settings of a sink of the kind named `kind`.
    ///
    /// # Errors
    /// Every bad field. Pointers are relative to `value` (`/host`); an unknown kind is `/kind`.
    pub fn parse(kind: &str, value: &Value) -> Result<Self, Vec<FieldError>> {
        let Some(kind) = kinds::find(kind) else {
            let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            let detail = format!("unknown kind; known ones are {}", known.join(", "));
            return Err(vec![FieldError::new("/kind", "invalid", detail)]);
        };
        let Some(members) = value.as_object() else {
            return Err(vec![FieldError::new("", "invalid", "must be an object")]);
        };
        let inner = (kind.parse)(Fields::new(members))?;
        Ok(Self { kind, inner, fingerprint: fingerprint(kind, value) })
    }

    /// The kind.
    pub fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// The settings as they may be shown: defaults filled in, `***` in place of secrets.
    pub fn masked(&self) -> Value {
        self.inner.masked()
    }

    /// Where messages go, for people: `nats://broker.example:4222`. Holds no credentials.
    pub fn address(&self) -> String {
        let name = self.kind.name;
        match self.inner.place() {
            Some(Place { host, port }) if host.contains(':') => format!("{name}://[{host}]:{port}"),
            Some(Place { host, port }) => format!("{name}://{host}:{port}"),
            None => format!("{name}:"),
        }
    }

    /// Judges the settings by an egress policy, without looking names up: the address where the host is one, and whether
    /// the connection is encrypted where that is asked for.
    pub fn check(&self, egress: &EgressPolicy) -> Vec<FieldError> {
        let Some(Place { host, port }) = self.inner.place() else { return Vec::new() };
        let shown = self.inner.masked();
        let is_url = shown.get("endpoint").is_some();
        let field = if is_url { "/endpoint" } else { "/host" };
        let mut faults = Vec::new();
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        if let Err(refused) = Target::parse(&format!("https://{host}:{port}/"), egress) {
            let code = if matches!(refused, UrlRefused::Blocked(_)) { "blocked" } else { "invalid" };
            faults.push(FieldError::new(field, code, refused.to_string()));
        }
        let is_plain = shown.get("tls") == Some(&Value::Bool(false))
            || shown.get("endpoint").and_then(Value::as_str).is_some_and(|url| url.starts_with("http:"));
        if egress.is_https_only() && is_plain {
            let field = if is_url { field } else { "/tls" };
            faults.push(FieldError::new(field, "https_required", "must be encrypted"));
        }
        faults
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(crate) fn inner(&self) -> &dyn KindSettings {
        &*self.inner
    }
}

impl fmt::Debug for SinkSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SinkSettings({} {})", self.kind.name, self.masked())
    }
}

fn fingerprint(kind: &Kind, value: &Value) -> Fingerprint {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(kind.name.as_bytes());
    context.update(b"\0");
    context.update(value.to_string().as_bytes());
    let mut bytes = Fingerprint::default();
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

#[cfg(test)]
mod tests;
