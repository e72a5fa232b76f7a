//! What an endpoint is: a URL, or a place at a broker or an object store. Settings of the latter are those of its kind in
//! `sinks`, which reads and checks them; here they are kept as JSON.
//!
//! They may hold credentials: `Debug` shows names only, callers of the API see masks ([`SinkFields::shown`]), and a mask that
//! is sent back stands for the value it hides ([`SinkFields::unmasked`]).

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trunkline_connect::EgressPolicy;
use trunkline_model::{FieldError, mask};
use trunkline_sinks::{Reach, SinkSettings};

use super::EndpointSettings;

/// The members that say where a sink is, and whether the way there is encrypted.
const PLACE: [&str; 4] = ["host", "port", "endpoint", "tls"];

/// What an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointKind {
    /// A URL that events are posted to.
    #[default]
    Http,
    /// A NATS server.
    Nats,
    /// A Redis stream.
    Redis,
    /// An AMQP 0-9-1 broker.
    Amqp,
    /// An object store.
    S3,
    /// The hub's standard output.
    Stdout,
}

impl EndpointKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Http, Self::Nats, Self::Redis, Self::Amqp, Self::S3, Self::Stdout];

    /// The name in JSON; but for `http` that of the kind in `sinks`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Nats => "nats",
            Self::Redis => "redis",
            Self::Amqp => "amqp",
            Self::S3 => "s3",
            Self::Stdout => "stdout",
        }
    }

    /// Whether it is a URL.
    pub fn is_http(&self) -> bool {
        *self == Self::Http
    }
}

/// Which kinds that lead into the hub's own process endpoints may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LocalKinds {
    /// None: the hub's own output is the operator's.
    #[default]
    Refused,
    /// All: the operator has opened them.
    Allowed,
}

/// The settings of a kind that is no URL, as they were given.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SinkFields(Map<String, Value>);

impl fmt::Debug for SinkFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl SinkFields {
    /// Takes settings as a caller sent them; null members count as absent.
    pub fn new(members: Map<String, Value>) -> Self {
        Self(members.into_iter().filter(|(_, value)| !value.is_null()).collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The settings for people: defaults filled in, `***` in place of secrets. `None` for a URL, and for settings that can
    /// no longer be read.
    pub fn shown(&self, kind: EndpointKind) -> Option<Value> {
        let mut shown = self.parse(kind).ok()?.masked();
        if let Value::Object(members) = &mut shown {
            members.retain(|_, value| !value.is_null());
        }
        Some(shown)
    }

    /// Puts the stored secrets in place of masks that came back, unless the place has changed: whoever may change an
    /// endpoint without knowing its secrets must not have them sent to a place of their choice.
    #[must_use]
    pub(super) fn unmasked(self, before: &Self, kind: EndpointKind) -> Self {
        let mut filled = self.clone();
        for (name, value) in &mut filled.0 {
            if let Some(known) = before.0.get(name).filter(|_| value.as_str() == Some(mask::MASK)) {
                *value = known.clone();
            }
        }
        match (filled.place(kind), before.place(kind)) {
            (Some(now), known) if known.as_ref() != Some(&now) => self,
            _ => filled,
        }
    }

    /// Where the sink is, with defaults filled in; `None` for settings that cannot be read.
    pub(super) fn place(&self, kind: EndpointKind) -> Option<[Value; 4]> {
        let shown = self.parse(kind).ok()?.masked();
        Some(PLACE.map(|name| shown[name].clone()))
    }

    /// Reads the settings of a kind that is no URL.
    ///
    /// # Errors
    /// Every bad field; pointers are relative to the settings.
    pub fn parse(&self, kind: EndpointKind) -> Result<SinkSettings, Vec<FieldError>> {
        SinkSettings::parse(kind.as_str(), &Value::Object(self.0.clone()))
    }
}

/// Checks kind and settings of an endpoint. Pointers are those of the API's webhook body.
pub fn check_sink(settings: &EndpointSettings, egress: &EgressPolicy, local: LocalKinds) -> Vec<FieldError> {
    let (kind, fields) = (settings.kind, &settings.sink);
    if kind.is_http() {
        let detail = "belongs to other kinds than http";
        return unless(fields.is_empty(), || FieldError::new("/sink", "unexpected", detail));
    }
    let is_there = [
        ("/tls", settings.tls.is_some()),
        ("/ca", settings.ca.is_some()),
        ("/oauth2", settings.oauth2.is_some()),
    ];
    let misplaced = is_there.into_iter().filter(|(_, is_there)| *is_there);
    let mut faults: Vec<FieldError> = misplaced
        .map(|(pointer, _)| FieldError::new(pointer, "unexpected", "belongs to kind http"))
        .collect();
    let found = match fields.parse(kind) {
        Err(found) => found,
        Ok(parsed) if is_refused(&parsed, local) => {
            let detail = "endpoints of this kind need [dispatch] local_sinks = true";
            faults.push(FieldError::new("/kind", "forbidden", detail));
            return faults;
        }
        Ok(parsed) => parsed.check(egress),
    };
    faults.extend(
        found.into_iter().map(|fault| FieldError { pointer: format!("/sink{}", fault.pointer), ..fault }),
    );
    faults
}

/// Whether settings are of a local kind that is not open.
pub(super) fn is_refused(settings: &SinkSettings, local: LocalKinds) -> bool {
    settings.kind().reach == Reach::Local && local == LocalKinds::Refused
}

fn unless(is_fit: bool, fault: impl FnOnce() -> FieldError) -> Vec<FieldError> {
    if is_fit { Vec::new() } else { vec![fault()] }
}
