//! Reads the members of a JSON object and gathers every fault. Used by the kinds' parsers.
//!
//! A reader gives back a usable value also for a bad field, so that parsing goes on and finds the next fault; nothing made
//! of it is used when there was one.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde_json::{Map, Value};
use trunkline_model::{FieldError, Secret, mask};

use super::{KindSettings, Parsed, Placeholder, Template, sample};
use crate::network::Place;

/// The longest text a field takes, in bytes.
const MAX_TEXT: usize = 1024;
/// The longest secret, in bytes; credential files of NATS are the longest.
const MAX_SECRET: usize = 16 * 1024;

/// The members of a JSON object on their way into settings.
pub(crate) struct Fields<'a> {
    members: &'a Map<String, Value>,
    known: BTreeSet<&'static str>,
    faults: Vec<FieldError>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(members: &'a Map<String, Value>) -> Self {
        Self { members, known: BTreeSet::new(), faults: Vec::new() }
    }

    /// The settings, unless there was a fault.
    pub(crate) fn finish(self, settings: impl KindSettings + 'static) -> Parsed {
        let faults = self.into_faults();
        if faults.is_empty() { Ok(Arc::new(settings)) } else { Err(faults) }
    }

    /// Every fault found, members that nobody asked for included.
    pub(crate) fn into_faults(mut self) -> Vec<FieldError> {
        for name in self.members.keys().filter(|name| !self.known.contains(name.as_str())) {
            let known: Vec<&str> = self.known.iter().copied().collect();
            let detail = format!("unknown field; known ones are {}", known.join(", "));
            self.faults.push(FieldError::new(pointer(name), "unknown", detail));
        }
        self.faults
    }

    /// Notes a fault of a field.
    pub(crate) fn fault(&mut self, name: &str, code: &str, detail: impl Into<String>) {
        self.faults.push(FieldError::new(pointer(name), code, detail));
    }

    /// The member, unless it is absent or null.
    fn member(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.insert(name);
        self.members.get(name).filter(|value| !value.is_null())
    }

    fn bounded_text(&mut self, name: &'static str, max_bytes: usize) -> Option<&'a str> {
        let value = self.member(name)?;
        let Some(text) = value.as_str() else {
            self.fault(name, "invalid", "must be a string");
            return None;
        };
        if text.is_empty() || text.len() > max_bytes {
            self.fault(name, "invalid", format!("must have 1 to {max_bytes} bytes"));
            return None;
        }
        Some(text)
    }

    /// A text without control characters.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        let text = self.bounded_text(name, MAX_TEXT)?;
        if text.chars().any(char::is_control) {
            self.fault(name, "invalid", "must not contain control characters");
            return None;
        }
        Some(text.to_owned())
    }

    /// A text that must be there.
    pub(crate) fn required_text(&mut self, name: &'static str) -> String {
        let n_faults = self.faults.len();
        let text = self.text(name);
        if text.is_none() && self.faults.len() == n_faults {
            self.fault(name, "required", "is required");
        }
        text.unwrap_or_default()
    }

    /// A secret. What stands in its place when settings are shown is refused, or it would be stored by an edit.
    pub(crate) fn secret(&mut self, name: &'static str) -> Option<Secret> {
        let text = self.bounded_text(name, MAX_SECRET)?;
        if text == mask::MASK {
            self.fault(name, "invalid", "is the mask of a secret, not a secret");
            return None;
        }
        Some(Secret::new(text))
    }

    /// A secret that must be there.
    pub(crate) fn required_secret(&mut self, name: &'static str) -> Secret {
        let n_faults = self.faults.len();
        let secret = self.secret(name);
        if secret.is_none() && self.faults.len() == n_faults {
            self.fault(name, "required", "is required");
        }
        secret.unwrap_or_else(|| Secret::new(""))
    }

    /// True or false.
    pub(crate) fn flag(&mut self, name: &'static str, default: bool) -> bool {
        match self.member(name).map(Value::as_bool) {
            None => default,
            Some(Some(flag)) => flag,
            Some(None) => {
                self.fault(name, "invalid", "must be true or false");
                default
            }
        }
    }

    /// A whole number within a range.
    pub(crate) fn number(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.member(name)?;
        let number = value.as_u64().filter(|number| range.contains(number));
        if number.is_none() {
            self.fault(
                name,
                "out_of_range",
                format!("must be a whole number, {} to {}", range.start(), range.end()),
            );
        }
        number
    }

    /// One of several names; absent is the first.
    pub(crate) fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)]) -> T {
        let default = choices.first().expect("invariant: a choice has choices").1;
        let Some(value) = self.member(name) else { return default };
        let found = choices.iter().find(|(known, _)| value.as_str() == Some(known));
        if found.is_none() {
            let known: Vec<&str> = choices.iter().map(|(known, _)| *known).collect();
            self.fault(name, "invalid", format!("must be one of {}", known.join(", ")));
        }
        found.map_or(default, |(_, choice)| *choice)
    }

    /// `host` and `port`.
    pub(crate) fn place(&mut self, default_port: u16) -> Place {
        let text = self.required_text("host");
        let host = if text.is_empty() { None } else { parse_host(&text) };
        if host.is_none() && !text.is_empty() {
            let detail = "must be a host name or an address, without scheme, port and user";
            self.fault("host", "invalid", detail);
        }
        let port = self.number("port", 1..=u64::from(u16::MAX)).and_then(|port| u16::try_from(port).ok());
        Place { host: host.unwrap_or_default(), port: port.unwrap_or(default_port) }
    }

    /// A template; `check` judges what it renders to.
    pub(crate) fn template(
        &mut self,
        name: &'static str,
        default: &str,
        check: fn(&str) -> Result<(), String>,
    ) -> Template {
        let text = self.text(name).unwrap_or_else(|| default.to_owned());
        let parsed = Template::parse(&text).and_then(|template| {
            check(&template.render(&sample()))?;
            Ok(template)
        });
        parsed.unwrap_or_else(|detail| {
            self.fault(name, "invalid", detail);
            Template::parse(default).expect("invariant: default templates parse")
        })
    }

    /// Demands that a template tells events apart.
    pub(crate) fn require_id(&mut self, name: &'static str, template: &Template) {
        if !template.uses(Placeholder::Id) {
            self.fault(name, "invalid", "must contain {id}, or events would overwrite each other");
        }
    }
}

fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// A host name in its ASCII form, or an address. Decimal, octal and hexadecimal IPv4 forms become plain ones.
fn parse_host(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    match url::Host::parse(text).ok()? {
        url::Host::Domain(name) => {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            name.chars().all(is_plain).then_some(name)
        }
        url::Host::Ipv4(address) => Some(address.to_string()),
        url::Host::Ipv6(address) => Some(address.to_string()),
    }
}
