//! Where an endpoint leads, and the rule that hangs on it: whoever changes it must give the endpoint's secrets again.
//!
//! Callers see secrets as masks, and a mask that is sent back stands for the stored value. Whoever may change an endpoint
//! without knowing its secrets must not have them sent to a place of their choice, so masks are filled in only while the
//! place stays. A certificate and a token are no texts that leak, but show the place who calls: they are bound to it too.

use trunkline_model::FieldError;
use url::Url;

use super::{EndpointKind, EndpointSettings, SinkFields};

/// Where an endpoint leads: for a URL its scheme, host and port, else the place that its sink names.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    kind: EndpointKind,
    text: String,
}

impl Place {
    /// `None` for what cannot be read.
    fn of(settings: &EndpointSettings, url: &str) -> Option<Self> {
        let kind = settings.kind;
        let text = if kind.is_http() {
            let url = Url::parse(url).ok()?;
            format!("{}://{}:{}", url.scheme(), url.host_str()?, url.port_or_known_default()?)
        } else {
            settings.sink.place(kind)?.map(|part| part.to_string()).join(" ")
        };
        Some(Self { kind, text })
    }
}

impl EndpointSettings {
    /// Whether these settings with this URL lead elsewhere than those that are stored.
    pub fn leads_elsewhere(&self, url: &str, (stored, stored_url): (&Self, &str)) -> bool {
        let place = Place::of(self, url);
        place.is_none() || place != Place::of(stored, stored_url)
    }

    /// Puts the stored secrets in place of masks that came back, unless the endpoint would lead elsewhere.
    #[must_use]
    pub fn unmasked(self, url: &str, (stored, stored_url): (&Self, &str)) -> Self {
        // Secrets of one kind mean nothing to another.
        let known = if self.kind == stored.kind { stored.sink.clone() } else { SinkFields::default() };
        let settings = Self { sink: self.sink.unmasked(&known, self.kind), ..self };
        if settings.leads_elsewhere(url, (stored, stored_url)) {
            return settings;
        }
        Self {
            headers: settings.headers.unmasked(&stored.headers),
            tls: settings.tls.map(|tls| tls.unmasked(stored.tls.as_ref())),
            oauth2: settings.oauth2.map(|oauth2| oauth2.unmasked(stored.oauth2.as_ref())),
            ..settings
        }
    }

    /// Whether calls by these settings carry what says who calls.
    pub fn has_credentials(&self) -> bool {
        self.tls.is_some() || self.oauth2.is_some() || self.headers.has_credentials()
    }
}

/// The fault of a mask that stands for nothing.
pub(super) fn empty_mask(pointer: impl Into<String>) -> FieldError {
    let detail = "is the mask of a value that is not stored for this place; send the value itself";
    FieldError::new(pointer, "secret_required", detail)
}

#[cfg(test)]
mod tests {
    use trunkline_model::{Secret, mask};

    use super::super::{ClientCertificate, ClientCredentials, CustomHeaders};
    use super::*;

    const URL: &str = "https://clinic.example/hooks";

    fn settings(secret: &str) -> EndpointSettings {
        let headers = [("authorization", secret), ("x-room", "7")];
        let oauth2 = serde_json::json!({ "token_url": "https://id.example", "client_id": "c", "client_secret": secret });
        EndpointSettings {
            headers: CustomHeaders::new(headers.map(|(name, value)| (name.to_owned(), value.to_owned()))),
            tls: Some(ClientCertificate { certificate: "c".into(), key: Secret::new(secret) }),
            oauth2: serde_json::from_value::<ClientCredentials>(oauth2).ok(),
            ..EndpointSettings::default()
        }
    }

    #[test]
    fn secrets_stay_where_they_were_given_for() {
        let stored = settings("s3cret");
        let check = |url: &str, stays: bool| {
            let found = settings(mask::MASK).unmasked(url, (&stored, URL));
            let expect = if stays { stored.clone() } else { settings(mask::MASK) };
            assert_eq!(found, expect, "{url}");
            assert_eq!(stored.leads_elsewhere(url, (&stored, URL)), !stays, "{url}");
        };
        check(URL, true);
        check("https://CLINIC.example:443/other?x=1", true);
        check("http://clinic.example/hooks", false);
        check("https://clinic.example:8443/hooks", false);
        check("https://clinic.example.evil.example/hooks", false);
        check("https://clinic.example@evil.example/hooks", false);
        check("https://evil.example/hooks", false);
        check("", false);
        assert!(stored.has_credentials());
        assert!(!EndpointSettings::default().has_credentials());
        // What cannot be read is nowhere, and nothing is given out for it.
        assert!(stored.leads_elsewhere("no url", (&stored, "no url")));
    }

    #[test]
    fn a_sink_of_another_kind_is_elsewhere() {
        let stored = settings("s3cret");
        let stdout = EndpointSettings { kind: EndpointKind::Stdout, ..settings(mask::MASK) };
        assert_eq!(stdout.clone().unmasked("", (&stored, URL)), stdout);
        let known = EndpointSettings { headers: stored.headers.clone(), ..stdout.clone() };
        assert_eq!(stdout.unmasked("", (&known, "")).headers, stored.headers);
    }
}
