//! What the tests of the schemes share: calls, and senders that sign them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Method};
use ring::hmac::{self, HMAC_SHA256};
use trunkline_config::{Credentials, Provider, ProviderSettings, SchemeSettings, Secret};
use trunkline_model::{EventType, Timestamp};

use super::{Call, Content, Named, Reading, Refusal, Scheme, Verified, prepare};

pub(super) const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

pub(super) fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

pub(super) fn hmac_hex(key: &[u8], signed: &[u8]) -> String {
    hex::encode(hmac::sign(&hmac::Key::new(HMAC_SHA256, key), signed))
}

pub(super) fn hmac_base64(key: &[u8], signed: &[u8]) -> String {
    STANDARD.encode(hmac::sign(&hmac::Key::new(HMAC_SHA256, key), signed))
}

/// A scheme with these live secrets, and `verify-me` as its verify token.
pub(super) fn scheme(settings: impl Into<SchemeSettings>, secrets: &[&str]) -> Box<dyn Scheme> {
    let credentials = Credentials {
        secrets: secrets.iter().map(|text| Secret::new(*text)).collect(),
        verify_token: Some(Secret::new("verify-me")),
    };
    prepare(&settings.into(), &credentials, std::time::Duration::from_mins(5)).unwrap()
}

pub(super) fn with_header(provider: Provider, header: &str) -> ProviderSettings {
    ProviderSettings { header: Some(header.to_owned()), ..ProviderSettings::new(provider) }
}

/// One call in the hands of a test.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) method: Method,
    pub(super) query: Option<&'static str>,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) now: Timestamp,
}

impl Sent {
    pub(super) fn post(pairs: &[(&'static str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref().to_vec();
        Self { method: Method::POST, query: None, headers: headers(pairs), body, now: NOW }
    }

    pub(super) fn get(query: &'static str) -> Self {
        Self { method: Method::GET, query: Some(query), ..Self::post(&[], "") }
    }

    pub(super) fn at(self, now: Timestamp) -> Self {
        Self { now, ..self }
    }

    pub(super) fn query(self, query: &'static str) -> Self {
        Self { query: Some(query), ..self }
    }

    pub(super) fn call(&self) -> Call<'_> {
        let call = Call::new(&self.headers, &self.body, self.now);
        Call { method: &self.method, path: "/in/source", query: self.query, ..call }
    }

    pub(super) fn verify(&self, scheme: &dyn Scheme) -> Result<Verified, Refusal> {
        scheme.verify(&self.call())
    }

    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "tables of cases read better")]
    pub(super) fn check(&self, scheme: &dyn Scheme, expect: Result<(), Refusal>) {
        assert_eq!(self.verify(scheme).map(drop), expect, "{}", String::from_utf8_lossy(&self.body));
    }

    pub(super) fn read(&self, scheme: &dyn Scheme) -> Reading {
        scheme.read(&self.call())
    }

    /// What the call is when it is an event of the provider.
    #[track_caller]
    pub(super) fn named(&self, scheme: &dyn Scheme) -> Named {
        match self.read(scheme) {
            Reading::Event(named) => *named,
            other => panic!("no event: {other:?}"),
        }
    }

    /// Verifies, and checks type and dedupe key.
    #[track_caller]
    pub(super) fn check_event(&self, scheme: &dyn Scheme, event_type: &str, key: Option<&str>) {
        let verified = self.verify(scheme).expect("signed well");
        let named = self.named(scheme);
        assert_eq!(named.event_type.as_ref().map(EventType::as_str), Some(event_type));
        assert_eq!(verified.dedupe_key.or(named.dedupe_key).as_deref(), key);
    }
}

/// The data that a scheme made, as text.
pub(super) fn made(named: &Named) -> &str {
    match &named.content {
        Content::Made(json) | Content::Instead(json) => std::str::from_utf8(json).unwrap(),
        Content::Body => panic!("the body is the data"),
    }
}
