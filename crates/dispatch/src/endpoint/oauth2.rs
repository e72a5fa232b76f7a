//! Who asks for tokens of endpoints that want one: the client credentials grant of OAuth 2 (RFC 6749 §4.4). Fetching and
//! holding them is `connect`'s.

use http::header;
use serde::{Deserialize, Serialize};
use trunkline_connect::{EgressPolicy, Target, TokenRequest, TokenSource, client_basic};
use trunkline_model::{FieldError, Secret, mask};
use url::form_urlencoded;

use super::check::refusal_code;
use super::place::empty_mask;
use super::secrets::{expose, wrap};

/// The longest of the texts, in bytes.
const MAX_TEXT: usize = 1024;
/// How the client says who it is (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthStyle {
    /// By the header `authorization: Basic`.
    #[default]
    Basic,
    /// By the members `client_id` and `client_secret` of the body.
    Body,
}

impl AuthStyle {
    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Body => "body",
        }
    }
}

/// Where tokens come from, and who asks for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCredentials {
    /// The token endpoint.
    pub token_url: String,
    /// The client.
    pub client_id: String,
    /// Its secret.
    #[serde(serialize_with = "expose", deserialize_with = "wrap")]
    pub client_secret: Secret,
    /// What is asked for, with spaces between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Whom the token is for, where the token endpoint wants to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// How the client says who it is.
    #[serde(default)]
    pub auth_style: AuthStyle,
}

impl ClientCredentials {
    /// Puts the stored secret in place of a mask that came back, unless the token endpoint has changed.
    #[must_use]
    pub(super) fn unmasked(mut self, before: Option<&Self>) -> Self {
        if let Some(before) = before
            .filter(|before| self.client_secret.expose() == mask::MASK && self.token_url == before.token_url)
        {
            self.client_secret = before.client_secret.clone();
        }
        self
    }

    /// Names what is wrong. Pointers begin with `/oauth2`.
    pub fn check(&self, egress: &EgressPolicy) -> Vec<FieldError> {
        let mut faults = Vec::new();
        if let Err(refused) = Target::parse(&self.token_url, egress) {
            faults.push(FieldError::new("/oauth2/token_url", refusal_code(refused), refused.to_string()));
        }
        let texts = [
            ("/oauth2/client_id", Some(self.client_id.as_str())),
            ("/oauth2/client_secret", Some(self.client_secret.expose())),
            ("/oauth2/scope", self.scope.as_deref()),
            ("/oauth2/audience", self.audience.as_deref()),
        ];
        for (pointer, text) in texts.into_iter().filter_map(|(pointer, text)| Some((pointer, text?))) {
            if !(1..=MAX_TEXT).contains(&text.len()) || text.chars().any(char::is_control) {
                let detail = format!("must have 1 to {MAX_TEXT} bytes and no control characters");
                faults.push(FieldError::new(pointer, "invalid", detail));
            }
        }
        if self.client_secret.expose() == mask::MASK {
            faults.push(empty_mask("/oauth2/client_secret"));
        }
        faults
    }

    /// Where its tokens come from; `target` is the token endpoint.
    pub(super) fn into_source(self, target: Target) -> TokenSource {
        TokenSource::new(target, move || self.request())
    }

    /// The request for a token.
    fn request(&self) -> TokenRequest {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        let more = [("scope", &self.scope), ("audience", &self.audience)];
        for (name, value) in more.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            form.append_pair(name, value);
        }
        if self.auth_style == AuthStyle::Body {
            form.append_pair("client_id", &self.client_id);
            form.append_pair("client_secret", self.client_secret.expose());
        }
        let mut request = TokenRequest::form(form.finish());
        if self.auth_style == AuthStyle::Basic {
            let value = client_basic(&self.client_id, self.client_secret.expose());
            request.headers.insert(header::AUTHORIZATION, value);
        }
        request
    }
}

#[cfg(test)]
mod tests;
