//! Policies that a secret holds as a whole (`use: name`): JSON with the members that the definition would have.

use serde::Deserialize;
use serde_json::Value;
use trunkline_model::Secret;

use super::TOKEN_PATH;
use crate::dsl::authentication::{client_authentication_of, encoding_of, grant_of};
use crate::dsl::error::StandardError;
use crate::engine::effects::{Endpoints, TokenPolicy, UserPassword};
use crate::engine::input::Failure;
use crate::engine::secrets::secret_text;

/// `{"username": …, "password": …}`, or `username:password`.
pub(super) fn user(name: &str, value: &Value) -> Result<UserPassword, Failure> {
    let parts = match value {
        Value::String(text) => {
            text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
        }
        value => {
            let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
            text("username").zip(text("password"))
        }
    };
    let (username, password) = parts.ok_or_else(|| unfit(name, "`username` and `password`"))?;
    Ok(UserPassword { username, password: Secret::new(password) })
}

/// The token alone, or `{"token": …}`.
pub(super) fn token(name: &str, value: &Value) -> Result<Secret, Failure> {
    match value {
        Value::String(_) => Ok(secret_text(value)),
        value => value.get("token").map(secret_text).ok_or_else(|| unfit(name, "`token`")),
    }
}

#[derive(Deserialize)]
struct Stored {
    authority: String,
    grant: String,
    #[serde(default)]
    client: StoredClient,
    #[serde(default)]
    endpoints: StoredEndpoints,
    #[serde(default)]
    request: StoredRequest,
    #[serde(default)]
    issuers: Vec<String>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    audiences: Vec<String>,
    username: Option<String>,
    password: Option<String>,
    subject: Option<StoredToken>,
    actor: Option<StoredToken>,
}

#[derive(Deserialize, Default)]
struct StoredClient {
    id: Option<String>,
    secret: Option<String>,
    assertion: Option<String>,
    authentication: Option<String>,
}

#[derive(Deserialize, Default)]
struct StoredEndpoints {
    token: Option<String>,
}

#[derive(Deserialize, Default)]
struct StoredRequest {
    encoding: Option<String>,
}

#[derive(Deserialize)]
struct StoredToken {
    token: String,
    #[serde(rename = "type")]
    kind: String,
}

/// A policy with the members of `oauth2` and `oidc`.
pub(super) fn oauth2(
    name: &str,
    value: &Value,
    endpoints: Option<Endpoints>,
) -> Result<TokenPolicy, Failure> {
    // What serde says of a fault could quote the value.
    let stored = Stored::deserialize(value).map_err(|_| unfit(name, "`authority` and `grant`"))?;
    let word = |what: &str| unfit(name, what);
    let path = stored.endpoints.token.unwrap_or_else(|| TOKEN_PATH.to_owned());
    let kept = |token: StoredToken| (Secret::new(token.token), token.kind);
    let authentication = stored.client.authentication.as_deref().unwrap_or("client_secret_post");
    let encoding = stored.request.encoding.as_deref().unwrap_or("application/x-www-form-urlencoded");
    Ok(TokenPolicy {
        authority: stored.authority,
        endpoints: endpoints.unwrap_or(Endpoints::Path(path)),
        grant: grant_of(&stored.grant).ok_or_else(|| word("a known `grant`"))?,
        client_id: stored.client.id,
        client_secret: stored.client.secret.map(Secret::new),
        assertion: stored.client.assertion.map(Secret::new),
        client_authentication: client_authentication_of(authentication)
            .ok_or_else(|| word("a known `client.authentication`"))?,
        encoding: encoding_of(encoding).ok_or_else(|| word("a known `request.encoding`"))?,
        issuers: stored.issuers,
        scopes: stored.scopes,
        audiences: stored.audiences,
        user: stored
            .username
            .zip(stored.password)
            .map(|(username, password)| UserPassword { username, password: Secret::new(password) }),
        subject: stored.subject.map(kept),
        actor: stored.actor.map(kept),
    })
}

fn unfit(name: &str, what: &str) -> Failure {
    let detail = format!("the secret `{name}` is no policy of this kind: it lacks {what}");
    Failure::standard(StandardError::Configuration, detail)
}
