//! Authentication policies. Credentials are the names of secrets or expressions; written out they are refused, since a
//! definition is stored, shown and handed around (rule 24).

use std::sync::Arc;

use crate::expression::{Expression, Stage, Template, Uri, unwrap};
use crate::read::{At, Component, Extra, Fields, Reader};
use crate::rule::Rule;

/// How a call says who makes it.
#[derive(Debug, Clone)]
pub enum Authentication {
    /// User name and password in the `Authorization` header.
    Basic(Credentials<UserPassword>),
    /// A token in the `Authorization` header.
    Bearer(Credentials<Expression>),
    /// HTTP digest.
    Digest(Credentials<UserPassword>),
    /// A token fetched from an OAuth 2 server.
    OAuth2(Credentials<Box<OAuth2>>),
    /// The same, with endpoints found by OpenID Connect discovery.
    Oidc(Credentials<Box<OAuth2>>),
}

impl Authentication {
    /// The scheme of the `Authorization` header.
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Basic(_) => "Basic",
            Self::Digest(_) => "Digest",
            Self::Bearer(_) | Self::OAuth2(_) | Self::Oidc(_) => "Bearer",
        }
    }
}

/// Where the properties of a policy come from.
#[derive(Debug, Clone)]
pub enum Credentials<T> {
    /// The secret of this name holds them all.
    Secret(String),
    /// The definition says them.
    Inline(T),
}

/// A user and how they prove it.
#[derive(Debug, Clone)]
pub struct UserPassword {
    /// The name.
    pub username: Template,
    /// The password.
    pub password: Expression,
}

/// How to fetch a token.
#[derive(Debug, Clone)]
pub struct OAuth2 {
    /// The server.
    pub authority: Uri,
    /// Path of the token endpoint; `/oauth2/token` where absent. OAuth 2 only.
    pub token_endpoint: Option<String>,
    /// Path of the revocation endpoint; `/oauth2/revoke` where absent. OAuth 2 only.
    pub revocation_endpoint: Option<String>,
    /// Path of the introspection endpoint; `/oauth2/introspect` where absent. OAuth 2 only.
    pub introspection_endpoint: Option<String>,
    /// What is exchanged for the token.
    pub grant: Grant,
    /// Who asks.
    pub client: Option<Client>,
    /// How the request is written.
    pub encoding: RequestEncoding,
    /// Who may have issued the token; anybody where empty.
    pub issuers: Vec<String>,
    /// What the token is for.
    pub scopes: Vec<String>,
    /// Whom the token is for.
    pub audiences: Vec<String>,
    /// For the grant `password`.
    pub username: Option<Template>,
    /// For the grant `password`.
    pub password: Option<Expression>,
    /// On whose behalf, for token exchange.
    pub subject: Option<Token>,
    /// Who acts, for token exchange.
    pub actor: Option<Token>,
}

/// OAuth 2 grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in the standard")]
pub enum Grant {
    AuthorizationCode,
    ClientCredentials,
    Password,
    RefreshToken,
    TokenExchange,
}

/// The client of an OAuth 2 server.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its id.
    pub id: Option<Template>,
    /// Its secret.
    pub secret: Option<Expression>,
    /// A signed assertion in place of the secret.
    pub assertion: Option<Expression>,
    /// How it proves who it is.
    pub authentication: ClientAuthentication,
}

/// How a client proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in the standard")]
pub enum ClientAuthentication {
    SecretBasic,
    SecretPost,
    SecretJwt,
    PrivateKeyJwt,
    None,
}

/// How a token request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestEncoding {
    /// As a form.
    Form,
    /// As JSON.
    Json,
}

/// A token that stands for somebody.
#[derive(Debug, Clone)]
pub struct Token {
    /// The token.
    pub token: Expression,
    /// Its kind, a URN.
    pub kind: String,
}

const GRANTS: [(&str, Grant); 5] = [
    ("authorization_code", Grant::AuthorizationCode),
    ("client_credentials", Grant::ClientCredentials),
    ("password", Grant::Password),
    ("refresh_token", Grant::RefreshToken),
    ("urn:ietf:params:oauth:grant-type:token-exchange", Grant::TokenExchange),
];
const CLIENT_AUTHENTICATIONS: [(&str, ClientAuthentication); 5] = [
    ("client_secret_basic", ClientAuthentication::SecretBasic),
    ("client_secret_post", ClientAuthentication::SecretPost),
    ("client_secret_jwt", ClientAuthentication::SecretJwt),
    ("private_key_jwt", ClientAuthentication::PrivateKeyJwt),
    ("none", ClientAuthentication::None),
];
const ENCODINGS: [(&str, RequestEncoding); 2] = [
    ("application/x-www-form-urlencoded", RequestEncoding::Form),
    ("application/json", RequestEncoding::Json),
];

/// The grant of a name.
pub(crate) fn grant_of(name: &str) -> Option<Grant> {
    GRANTS.iter().find(|(known, _)| *known == name).map(|(_, grant)| *grant)
}

/// The way of a client of a name.
pub(crate) fn client_authentication_of(name: &str) -> Option<ClientAuthentication> {
    CLIENT_AUTHENTICATIONS.iter().find(|(known, _)| *known == name).map(|(_, way)| *way)
}

/// The encoding of a name.
pub(crate) fn encoding_of(name: &str) -> Option<RequestEncoding> {
    ENCODINGS.iter().find(|(known, _)| *known == name).map(|(_, encoding)| *encoding)
}

const KINDS: [&str; 5] = ["basic", "bearer", "digest", "oauth2", "oidc"];

impl Reader {
    /// Reads a policy, or the name of a reusable one under `use`.
    pub(crate) fn authentication_or_name(
        &mut self,
        at: &At<'_>,
        stage: Stage,
    ) -> Option<Arc<Authentication>> {
        let mut fields = Fields::open(at, "an authentication", self)?;
        let mut keys = vec!["use"];
        keys.extend(KINDS);
        let kind = fields.one_of(&keys, self)?;
        fields.close(Extra::Closed, self);
        let inner = at.peek(kind)?;
        if kind != "use" {
            return self.policy(kind, &inner, stage).map(Arc::new);
        }
        let name = self.name_of_use(&inner)?;
        self.component_declared(Component::Authentication, name, &inner);
        self.components.authentications.get(name).cloned()
    }

    /// Reads a reusable policy.
    pub(crate) fn authentication(&mut self, at: &At<'_>, stage: Stage) -> Option<Authentication> {
        let mut fields = Fields::open(at, "an authentication", self)?;
        let kind = fields.one_of(&KINDS, self)?;
        fields.close(Extra::Open, self);
        self.policy(kind, &at.peek(kind)?, stage)
    }

    fn policy(&mut self, kind: &str, at: &At<'_>, stage: Stage) -> Option<Authentication> {
        Some(match kind {
            "basic" => Authentication::Basic(self.user_password(at, stage)?),
            "digest" => Authentication::Digest(self.user_password(at, stage)?),
            "bearer" => Authentication::Bearer(self.bearer(at, stage)?),
            "oauth2" => Authentication::OAuth2(self.oauth2(at, stage, "an OAuth 2 policy")?),
            _ => Authentication::Oidc(self.oauth2(at, stage, "an OpenID Connect policy")?),
        })
    }

    fn name_of_use<'a>(&mut self, at: &At<'a>) -> Option<&'a str> {
        let name = self.text(at)?;
        if name.is_empty() {
            self.shape(at, "the name is empty", "name what is used");
            return None;
        }
        Some(name)
    }

    /// Reads `use: secret`, if that is what the mapping holds.
    fn secret_of(&mut self, fields: &mut Fields<'_>) -> Option<String> {
        let at = fields.optional("use")?;
        let name = self.name_of_use(&at)?.to_owned();
        self.secret_declared(&name, &at);
        Some(name)
    }

    fn user_password(&mut self, at: &At<'_>, stage: Stage) -> Option<Credentials<UserPassword>> {
        let mut fields = Fields::open(at, "a policy with a password", self)?;
        if at.has("use") {
            let secret = self.secret_of(&mut fields);
            fields.close(Extra::Closed, self);
            return secret.map(Credentials::Secret);
        }
        let username = fields.required("username", self).map(|at| self.text_value(&at, stage));
        let password = fields.required("password", self).and_then(|at| self.credential(&at, stage));
        fields.close(Extra::Closed, self);
        Some(Credentials::Inline(UserPassword { username: username?, password: password? }))
    }

    fn bearer(&mut self, at: &At<'_>, stage: Stage) -> Option<Credentials<Expression>> {
        let mut fields = Fields::open(at, "a bearer policy", self)?;
        if at.has("use") {
            let secret = self.secret_of(&mut fields);
            fields.close(Extra::Closed, self);
            return secret.map(Credentials::Secret);
        }
        let token = fields.required("token", self).and_then(|at| self.credential(&at, stage));
        fields.close(Extra::Closed, self);
        token.map(Credentials::Inline)
    }

    /// Reads text that may be an expression.
    pub(crate) fn text_value(&mut self, at: &At<'_>, stage: Stage) -> Template {
        self.text(at);
        self.template(at, stage)
    }

    /// Reads a credential, which must be an expression.
    fn credential(&mut self, at: &At<'_>, stage: Stage) -> Option<Expression> {
        let text = self.text(at)?;
        if let Some(inner) = unwrap(text) {
            return self.compile(inner, at, stage);
        }
        self.rule(
            Rule::Credentials,
            at,
            "a credential is written out",
            "declare a secret under `use.secrets` and write `${ $secrets.name }`, or `use: name`",
        );
        None
    }

    fn oauth2(&mut self, at: &At<'_>, stage: Stage, what: &'static str) -> Option<Credentials<Box<OAuth2>>> {
        let mut fields = Fields::open(at, what, self)?;
        if at.has("use") {
            let secret = self.secret_of(&mut fields);
            fields.close(Extra::Closed, self);
            return secret.map(Credentials::Secret);
        }
        let authority = fields.required("authority", self).and_then(|at| {
            let text = self.text(&at)?;
            self.uri_template(text, &at).map(Uri::Literal)
        });
        let grant = fields.required("grant", self).and_then(|at| self.choice(&at, &GRANTS));
        let client = fields.optional("client").and_then(|at| self.client(&at, stage));
        let encoding = fields.optional("request").and_then(|at| self.token_request(&at));
        let mut texts = |key| fields.optional(key).map(|at| self.texts(&at)).unwrap_or_default();
        let (issuers, scopes, audiences) = (texts("issuers"), texts("scopes"), texts("audiences"));
        let username = fields.optional("username").map(|at| self.text_value(&at, stage));
        let password = fields.optional("password").and_then(|at| self.credential(&at, stage));
        let subject = fields.optional("subject").and_then(|at| self.token(&at, stage));
        let actor = fields.optional("actor").and_then(|at| self.token(&at, stage));
        let [token_endpoint, revocation_endpoint, introspection_endpoint] =
            if what == "an OAuth 2 policy" { self.oauth2_endpoints(&mut fields) } else { [None, None, None] };
        fields.close(Extra::Closed, self);
        Some(Credentials::Inline(Box::new(OAuth2 {
            authority: authority?,
            token_endpoint,
            revocation_endpoint,
            introspection_endpoint,
            grant: grant?,
            client,
            encoding: encoding.unwrap_or(RequestEncoding::Form),
            issuers,
            scopes,
            audiences,
            username,
            password,
            subject,
            actor,
        })))
    }

    fn oauth2_endpoints(&mut self, fields: &mut Fields<'_>) -> [Option<String>; 3] {
        let Some(at) = fields.optional("endpoints") else { return [None, None, None] };
        let Some(mut fields) = Fields::open(&at, "the endpoints", self) else { return [None, None, None] };
        let paths = ["token", "revocation", "introspection"].map(|key| self.optional_text(&mut fields, key));
        fields.close(Extra::Open, self);
        paths
    }

    fn client(&mut self, at: &At<'_>, stage: Stage) -> Option<Client> {
        let mut fields = Fields::open(at, "a client", self)?;
        let id = fields.optional("id").map(|at| self.text_value(&at, stage));
        let secret = fields.optional("secret").and_then(|at| self.credential(&at, stage));
        let assertion = fields.optional("assertion").and_then(|at| self.credential(&at, stage));
        let authentication =
            fields.optional("authentication").and_then(|at| self.choice(&at, &CLIENT_AUTHENTICATIONS));
        fields.close(Extra::Closed, self);
        let authentication = authentication.unwrap_or(ClientAuthentication::SecretPost);
        Some(Client { id, secret, assertion, authentication })
    }

    fn token_request(&mut self, at: &At<'_>) -> Option<RequestEncoding> {
        let mut fields = Fields::open(at, "a token request", self)?;
        let encoding = fields.optional("encoding").and_then(|at| self.choice(&at, &ENCODINGS));
        fields.close(Extra::Open, self);
        encoding
    }

    fn token(&mut self, at: &At<'_>, stage: Stage) -> Option<Token> {
        let mut fields = Fields::open(at, "a token", self)?;
        let token = fields.required("token", self).and_then(|at| self.credential(&at, stage));
        let kind = self.required_text(&mut fields, "type");
        fields.close(Extra::Closed, self);
        Some(Token { token: token?, kind: kind? })
    }
}
