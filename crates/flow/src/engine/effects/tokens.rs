//! Tokens for calls: one source for each tenant and policy, shared by all instances, so that a token is fetched once and
//! used until shortly before it expires. What a source does is `connect`'s.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, Method, header};
use parking_lot::Mutex;
use ring::{digest, hmac};
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;
use trunkline_connect::{OutboundRequest, Target, TokenRequest, TokenSource, client_basic};
use trunkline_model::{Clock, Tenant};
use url::form_urlencoded;

use super::login::{Endpoints, TokenPolicy};
use super::world::{RealWorld, not_sent, wrong};
use crate::dsl::authentication::{ClientAuthentication, Grant, RequestEncoding};
use crate::dsl::error::StandardError;
use crate::engine::input::Failure;

/// How many sources are kept.
const KEPT: usize = 1_024;
/// The longest discovery document.
const MAX_DISCOVERY: usize = 256 << 10;
/// How long an assertion counts.
const ASSERTION_S: i64 = 60;
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

type Cell = Arc<OnceCell<Arc<TokenSource>>>;

/// The sources in use.
#[derive(Default)]
pub(super) struct Tokens {
    known: Mutex<HashMap<[u8; 32], Cell>>,
}

impl Tokens {
    /// The source of a tenant's policy; its endpoints are looked up once.
    pub(super) async fn source(
        &self,
        world: &RealWorld,
        tenant: &Tenant,
        policy: &TokenPolicy,
    ) -> Result<Arc<TokenSource>, Failure> {
        let cell = {
            let mut known = self.known.lock();
            if known.len() >= KEPT {
                known.clear();
            }
            Arc::clone(known.entry(fingerprint(tenant, policy)).or_default())
        };
        cell.get_or_try_init(async || {
            let url = token_endpoint(world, tenant, policy).await?;
            let target =
                Target::parse(&url, world.options.egress.of(tenant)).map_err(|it| wrong(it.to_string()))?;
            let request = Request::new(policy, url, Arc::clone(&world.options.clock))?;
            Ok(Arc::new(TokenSource::new(target, move || request.make())))
        })
        .await
        .cloned()
    }
}

/// What makes two policies the same; holds no secret that could be read.
fn fingerprint(tenant: &Tenant, policy: &TokenPolicy) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut add = |text: &str| {
        hash.update(&(text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    add(tenant.as_str());
    add(&policy.authority);
    add(&format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        policy.endpoints,
        policy.grant,
        policy.client_id,
        policy.client_authentication,
        policy.encoding,
        policy.issuers,
        policy.scopes,
        policy.audiences
    ));
    for secret in [&policy.client_secret, &policy.assertion] {
        add(secret.as_ref().map_or("", |secret| secret.expose()));
    }
    if let Some(user) = &policy.user {
        add(&user.username);
        add(user.password.expose());
    }
    for (token, kind) in [&policy.subject, &policy.actor].into_iter().flatten() {
        add(token.expose());
        add(kind);
    }
    hash.finish().as_ref().try_into().expect("invariant: SHA-256 has 32 bytes")
}

async fn token_endpoint(world: &RealWorld, tenant: &Tenant, policy: &TokenPolicy) -> Result<String, Failure> {
    let authority = policy.authority.trim_end_matches('/');
    match &policy.endpoints {
        Endpoints::Path(path) if path.contains("://") => Ok(path.clone()),
        Endpoints::Path(path) => Ok(format!("{authority}/{}", path.trim_start_matches('/'))),
        Endpoints::Discovered => discover(world, tenant, authority, &policy.issuers).await,
    }
}

/// Reads the discovery document (OpenID Connect Discovery 1.0, 4).
async fn discover(
    world: &RealWorld,
    tenant: &Tenant,
    authority: &str,
    issuers: &[String],
) -> Result<String, Failure> {
    let url = format!("{authority}/.well-known/openid-configuration");
    let target = Target::parse(&url, world.options.egress.of(tenant)).map_err(|it| wrong(it.to_string()))?;
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let request = OutboundRequest {
        method: Method::GET,
        target,
        headers,
        body: bytes::Bytes::new(),
        timeout: world.options.timeout.min(Duration::from_secs(10)),
        response_limit_bytes: MAX_DISCOVERY,
    };
    let answer = world.options.transport.of(tenant).send(request).await.map_err(|error| not_sent(&error))?;
    let fault = |what: &str| {
        Failure::standard(StandardError::Authentication, format!("the discovery document {what}"))
    };
    if answer.status.as_u16() != 200 || answer.truncated {
        return Err(fault(&format!("cannot be had: status {}", answer.status.as_u16())));
    }
    let document: Value = serde_json::from_slice(&answer.body_head).map_err(|_| fault("is no JSON"))?;
    let text = |key: &str| document.get(key).and_then(Value::as_str);
    let issuer = text("issuer").ok_or_else(|| fault("names no issuer"))?;
    let is_wanted = match issuers {
        [] => issuer.trim_end_matches('/') == authority,
        issuers => issuers.iter().any(|wanted| wanted == issuer),
    };
    if !is_wanted {
        return Err(fault("is of another issuer"));
    }
    text("token_endpoint").map(str::to_owned).ok_or_else(|| fault("names no token endpoint"))
}

/// What is asked of a token endpoint.
struct Request {
    pairs: Vec<(&'static str, String)>,
    policy: TokenPolicy,
    url: String,
    clock: Arc<dyn Clock>,
}

impl Request {
    fn new(policy: &TokenPolicy, url: String, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        let mut pairs = Vec::new();
        let lacks = |what: &str| wrong(format!("the grant needs {what}"));
        let grant = match policy.grant {
            Grant::ClientCredentials => "client_credentials",
            Grant::Password => {
                let user = policy.user.as_ref().ok_or_else(|| lacks("`username` and `password`"))?;
                pairs.push(("username", user.username.clone()));
                pairs.push(("password", user.password.expose().to_owned()));
                "password"
            }
            Grant::RefreshToken => {
                let (token, _) =
                    policy.subject.as_ref().ok_or_else(|| lacks("a `subject` with the token"))?;
                pairs.push(("refresh_token", token.expose().to_owned()));
                "refresh_token"
            }
            Grant::TokenExchange => {
                let (token, kind) = policy.subject.as_ref().ok_or_else(|| lacks("a `subject`"))?;
                pairs.push(("subject_token", token.expose().to_owned()));
                pairs.push(("subject_token_type", kind.clone()));
                if let Some((token, kind)) = &policy.actor {
                    pairs.push(("actor_token", token.expose().to_owned()));
                    pairs.push(("actor_token_type", kind.clone()));
                }
                "urn:ietf:params:oauth:grant-type:token-exchange"
            }
            Grant::AuthorizationCode => return Err(wrong("the grant authorization_code needs a person")),
        };
        pairs.insert(0, ("grant_type", grant.to_owned()));
        if !policy.scopes.is_empty() {
            pairs.push(("scope", policy.scopes.join(" ")));
        }
        pairs.extend(policy.audiences.iter().map(|audience| ("audience", audience.clone())));
        let request = Self { pairs, policy: policy.clone(), url, clock };
        request.check()?;
        Ok(request)
    }

    fn check(&self) -> Result<(), Failure> {
        let policy = &self.policy;
        let has_id = policy.client_id.is_some();
        let is_whole = match policy.client_authentication {
            ClientAuthentication::SecretBasic | ClientAuthentication::SecretPost => {
                has_id && policy.client_secret.is_some()
            }
            ClientAuthentication::SecretJwt => {
                policy.assertion.is_some() || has_id && policy.client_secret.is_some()
            }
            ClientAuthentication::PrivateKeyJwt => policy.assertion.is_some(),
            ClientAuthentication::None => true,
        };
        // Only a grant that proves somebody by itself goes without a client.
        let needs_client = policy.grant == Grant::ClientCredentials || policy.client_secret.is_some();
        if is_whole || !needs_client && !has_id {
            return Ok(());
        }
        Err(wrong("the client lacks what its authentication needs: `id`, `secret` or `assertion`"))
    }

    fn make(&self) -> TokenRequest {
        let mut pairs = self.pairs.clone();
        let policy = &self.policy;
        let mut basic = None;
        match (policy.client_authentication, &policy.client_id, &policy.client_secret) {
            (ClientAuthentication::SecretBasic, Some(id), Some(secret)) => {
                basic = Some(client_basic(id, secret.expose()));
            }
            (ClientAuthentication::SecretPost, Some(id), Some(secret)) => {
                pairs.push(("client_id", id.clone()));
                pairs.push(("client_secret", secret.expose().to_owned()));
            }
            (ClientAuthentication::SecretJwt | ClientAuthentication::PrivateKeyJwt, id, secret) => {
                let made = || {
                    id.as_ref().zip(secret.as_ref()).map(|(id, secret)| self.assertion(id, secret.expose()))
                };
                let assertion = policy.assertion.as_ref().map(|it| it.expose().to_owned()).or_else(made);
                pairs.extend(id.as_ref().map(|id| ("client_id", id.clone())));
                pairs.push(("client_assertion_type", JWT_BEARER.to_owned()));
                pairs.extend(assertion.map(|assertion| ("client_assertion", assertion)));
            }
            (_, Some(id), _) => pairs.push(("client_id", id.clone())),
            (_, None, _) => {}
        }
        let mut request = match policy.encoding {
            RequestEncoding::Form => TokenRequest::form(
                form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish(),
            ),
            RequestEncoding::Json => in_json(&pairs),
        };
        if let Some(basic) = basic {
            request.headers.insert(header::AUTHORIZATION, basic);
        }
        request
    }

    /// An assertion signed with the client's secret (RFC 7523, 2.2).
    fn assertion(&self, id: &str, secret: &str) -> String {
        let now = self.clock.now().as_secs();
        let claims = json!({"iss": id, "sub": id, "aud": self.url, "iat": now, "exp": now + ASSERTION_S,
            "jti": crate::engine::secrets::fresh_seal()});
        let head = json!({"alg": "HS256", "typ": "JWT"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&head), part(&claims));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

/// The same pairs as JSON; what comes several times is a list.
fn in_json(pairs: &[(&'static str, String)]) -> TokenRequest {
    let mut members = Map::new();
    for (name, value) in pairs {
        match members.get_mut(*name) {
            None => drop(members.insert((*name).to_owned(), Value::from(value.as_str()))),
            Some(Value::Array(several)) => several.push(value.as_str().into()),
            Some(one) => *one = json!([one.take(), value]),
        }
    }
    let mut request = TokenRequest::form(Value::Object(members).to_string());
    request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request
}
