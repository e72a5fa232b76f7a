//! How a call says who makes it, with every value in its place. Lives as long as the call, in memory alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use trunkline_model::Secret;

use crate::dsl::authentication::{ClientAuthentication, Grant, RequestEncoding};

/// Who makes a call.
#[derive(Debug, Clone)]
pub enum Login {
    /// User name and password in the header.
    Basic(UserPassword),
    /// A token in the header.
    Bearer(Secret),
    /// HTTP digest (RFC 7616).
    Digest(UserPassword),
    /// A token that is fetched first.
    Token(Box<TokenPolicy>),
}

/// A user and how they prove it.
#[derive(Debug, Clone)]
pub struct UserPassword {
    /// The name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// How to fetch a token.
#[derive(Debug, Clone)]
pub struct TokenPolicy {
    /// The server.
    pub authority: String,
    /// Where its endpoints are.
    pub endpoints: Endpoints,
    /// What is exchanged for the token.
    pub grant: Grant,
    /// The client's id.
    pub client_id: Option<String>,
    /// The client's secret.
    pub client_secret: Option<Secret>,
    /// A signed assertion in place of the secret.
    pub assertion: Option<Secret>,
    /// How the client proves who it is.
    pub client_authentication: ClientAuthentication,
    /// How the request is written.
    pub encoding: RequestEncoding,
    /// Who may be the issuer; anybody where empty.
    pub issuers: Vec<String>,
    /// What the token is for.
    pub scopes: Vec<String>,
    /// Whom the token is for.
    pub audiences: Vec<String>,
    /// For the grant `password`.
    pub user: Option<UserPassword>,
    /// On whose behalf, with the kind of token; what a refresh exchanges.
    pub subject: Option<(Secret, String)>,
    /// Who acts, with the kind of token.
    pub actor: Option<(Secret, String)>,
}

/// Where the endpoints of an authorization server are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoints {
    /// Under this path of the authority.
    Path(String),
    /// Where its discovery document says (OpenID Connect Discovery 1.0).
    Discovered,
}

impl Login {
    /// The value of the `Authorization` header, where nothing has to be asked for it.
    pub(crate) fn header(&self) -> Option<String> {
        match self {
            Self::Basic(user) => {
                let pair = format!("{}:{}", user.username, user.password.expose());
                Some(format!("Basic {}", BASE64.encode(pair)))
            }
            Self::Bearer(token) => Some(format!("Bearer {}", token.expose())),
            Self::Digest(_) | Self::Token(_) => None,
        }
    }

    /// Gives every text that must not be kept.
    pub(crate) fn each_secret<'a>(&'a self, mut give: impl FnMut(&'a Secret)) {
        match self {
            Self::Basic(user) | Self::Digest(user) => give(&user.password),
            Self::Bearer(token) => give(token),
            Self::Token(policy) => {
                let secrets = [
                    policy.client_secret.as_ref(),
                    policy.assertion.as_ref(),
                    policy.user.as_ref().map(|user| &user.password),
                    policy.subject.as_ref().map(|(token, _)| token),
                    policy.actor.as_ref().map(|(token, _)| token),
                ];
                secrets.into_iter().flatten().for_each(give);
            }
        }
    }
}
