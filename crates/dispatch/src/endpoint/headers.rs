//! Headers that an endpoint wants sent along.
//!
//! Values may be credentials: they are kept in [`Secret`]s and written out only for the store and the call itself.
//! What callers of the API see is masked where the name says credential ([`CustomHeaders::shown`]); a mask that is
//! sent back stands for the value it hides, as long as the endpoint leads where it led
//! ([`EndpointSettings::unmasked`](super::EndpointSettings::unmasked)).

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use trunkline_model::{FieldError, Secret, mask};

use super::place::empty_mask;

/// How many headers an endpoint may have.
pub const MAX_HEADERS: usize = 32;
/// What names and values may take together, in bytes.
pub const MAX_HEADERS_BYTES: usize = 4096;

/// Names that the hub or HTTP itself needs.
const RESERVED: [&str; 18] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];
/// Names of signatures and what belongs to them, whatever the format.
const RESERVED_FOR_SIGNING: [&str; 8] = [
    "stripe-signature",
    "svix-",
    "webhook-",
    "x-convoy-signature",
    "x-event-id",
    "x-event-type",
    "x-hook0-",
    "x-outpost-",
];
/// Parts of a name that make its value a credential.
const CREDENTIAL_PARTS: [&str; 6] = ["auth", "key", "password", "secret", "signature", "token"];

/// Headers by lower-case name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CustomHeaders(BTreeMap<String, Secret>);

impl CustomHeaders {
    /// Takes headers as a caller sent them; names are case-insensitive.
    pub fn new(headers: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(
            headers
                .into_iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), Secret::new(value)))
                .collect(),
        )
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is a header of this lower-case name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The headers for people: values of credentials are masked.
    pub fn shown(&self) -> BTreeMap<String, String> {
        let show = |(name, value): (&String, &Secret)| {
            let value = if is_credential(name) { mask::MASK } else { value.expose() };
            (name.clone(), value.to_owned())
        };
        self.0.iter().map(show).collect()
    }

    /// Whether one carries a credential.
    pub(super) fn has_credentials(&self) -> bool {
        self.0.keys().any(|name| is_credential(name))
    }

    /// Puts the stored value in place of a mask that came back.
    #[must_use]
    pub(super) fn unmasked(mut self, before: &Self) -> Self {
        for (name, value) in &mut self.0 {
            if let Some(known) = before.0.get(name).filter(|_| is_mask(name, value)) {
                *value = known.clone();
            }
        }
        self
    }

    /// Names every header that cannot be sent. Pointers begin with `/headers`.
    pub fn check(&self) -> Vec<FieldError> {
        let mut faults = Vec::new();
        let n_bytes: usize = self.0.iter().map(|(name, value)| name.len() + value.expose().len()).sum();
        if self.0.len() > MAX_HEADERS || n_bytes > MAX_HEADERS_BYTES {
            let detail = format!("at most {MAX_HEADERS} headers, {MAX_HEADERS_BYTES} bytes together");
            faults.push(FieldError::new("/headers", "too_long", detail));
        }
        for (name, value) in self.0.iter().take(MAX_HEADERS) {
            if let Some(fault) = fault_of(name, value) {
                let shown: String = name.chars().take(64).collect();
                let pointer = format!("/headers/{}", shown.replace('~', "~0").replace('/', "~1"));
                faults.push(match fault {
                    Fault::EmptyMask => empty_mask(pointer),
                    Fault::Reserved(reason) => FieldError::new(pointer, "reserved", reason),
                    Fault::Invalid(reason) => FieldError::new(pointer, "invalid", reason),
                });
            }
        }
        faults
    }

    /// The headers of a call; what cannot be sent is left out.
    pub fn to_map(&self) -> HeaderMap {
        let pair = |(name, value): (&String, &Secret)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            let mut value = HeaderValue::from_str(value.expose()).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        };
        self.0.iter().filter(|(name, value)| fault_of(name, value).is_none()).filter_map(pair).collect()
    }
}

fn is_credential(name: &str) -> bool {
    mask::is_credential_header(name) || CREDENTIAL_PARTS.iter().any(|part| name.contains(part))
}

fn is_mask(name: &str, value: &Secret) -> bool {
    value.expose() == mask::MASK && is_credential(name)
}

fn reservation(name: &str) -> Option<&'static str> {
    if RESERVED.contains(&name) {
        return Some("belongs to HTTP or to the hub, which sets it itself");
    }
    let is_for_signing = RESERVED_FOR_SIGNING
        .iter()
        .any(|known| if known.ends_with('-') { name.starts_with(known) } else { name == *known });
    is_for_signing.then_some("belongs to the signature, which the hub sets itself")
}

/// What keeps a header from being sent.
enum Fault {
    Reserved(&'static str),
    Invalid(&'static str),
    EmptyMask,
}

fn fault_of(name: &str, value: &Secret) -> Option<Fault> {
    if let Some(reason) = reservation(name) {
        return Some(Fault::Reserved(reason));
    }
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Some(Fault::Invalid("is no name of a header"));
    }
    if is_mask(name, value) {
        return Some(Fault::EmptyMask);
    }
    let value = value.expose();
    if value.chars().any(char::is_control) || HeaderValue::from_str(value).is_err() {
        return Some(Fault::Invalid("must not have control characters"));
    }
    None
}

impl Serialize for CustomHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value.expose())))
    }
}

impl<'de> Deserialize<'de> for CustomHeaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::<String, String>::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> CustomHeaders {
        CustomHeaders::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    fn check(name: &str, value: &str, code: Option<&str>) {
        let faults = headers(&[(name, value)]).check();
        assert_eq!(faults.first().map(|fault| fault.code.as_str()), code, "{name}: {value:?}");
        assert_eq!(headers(&[(name, value)]).to_map().is_empty(), code.is_some(), "{name}: {value:?}");
    }

    #[test]
    fn names_and_values_are_checked() {
        check("X-Tenant", "clinic 7, é", None);
        check("authorization", "Bearer abc", None);
        for name in
            ["Host", "content-length", "Transfer-Encoding", "connection", "TE", "upgrade", "user-agent"]
        {
            check(name, "x", Some("reserved"));
        }
        for name in ["webhook-id", "Webhook-Other", "svix-signature", "x-outpost-topic", "stripe-signature"] {
            check(name, "x", Some("reserved"));
        }
        for name in ["", "a b", "a:b", "ä", "a\r\nb", ":path"] {
            check(name, "x", Some("invalid"));
        }
        for value in ["a\r\nb: c", "a\0", "\u{85}", "tab\there"] {
            check("x-a", value, Some("invalid"));
        }
    }

    #[test]
    fn number_and_size_are_bounded() {
        let many = (0..33).map(|n| (format!("x-{n}"), String::new()));
        assert_eq!(CustomHeaders::new(many).check()[0].code, "too_long");
        assert_eq!(headers(&[("x-a", &"v".repeat(4093))]).check(), []);
        assert_eq!(headers(&[("x-a", &"v".repeat(4094))]).check()[0].pointer, "/headers");
    }

    #[test]
    fn credentials_are_masked_and_come_back() {
        let stored = headers(&[("Authorization", "Bearer abc"), ("X-Api-Key", "k"), ("x-room", "7")]);
        let shown = stored.shown();
        let values: Vec<&str> = shown.values().map(String::as_str).collect();
        assert_eq!(values, ["***", "***", "7"]);
        assert!(!format!("{stored:?}").contains("abc"));
        let back = CustomHeaders::new(shown);
        assert_eq!(back.check().len(), 2);
        assert_eq!(back.unmasked(&stored), stored);
        assert_eq!(headers(&[("x-api-key", "new")]).unmasked(&stored), headers(&[("x-api-key", "new")]));
    }
}
