//! Tokens from an OAuth 2 token endpoint (RFC 6749 §5), held and fetched again. What is asked is the caller's: `dispatch`
//! asks for its endpoints, `flow` for the calls of workflows.
//!
//! ```text
//!            call                                2xx with a token
//! none ────────────────► fetching (one at once) ─────────────────► held ──(shortly before expiry, 401)──► none
//!   ▲                        │ failed
//!   └── pause of a second ───┘
//! ```
//!
//! - One fetch at a time for a source: calls that come meanwhile wait for it, each by its own deadline. A fetch that is
//!   given up is begun again by the next one that waits.
//! - During the pause after a failure calls fail at once with that failure, so that an outage of the token endpoint costs
//!   it one request a second.
//! - The token endpoint is called like every other: only at vetted addresses, no redirects, answers bounded.
//! - No error holds what the token endpoint said, save the error codes of RFC 6749 §5.2: it could repeat the secret.
//! - Tokens are kept in memory alone.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use url::form_urlencoded;

use crate::{OutboundRequest, OutboundResponse, Target, Transport};

/// The longest token, in bytes.
const MAX_TOKEN: usize = 8 * 1024;
/// How much of an answer is read.
const MAX_ANSWER: usize = 32 * 1024;
/// How long a token is kept that does not say.
const UNTOLD: Duration = Duration::from_mins(5);
/// How long a token is kept at most.
const LONGEST: Duration = Duration::from_hours(24);
/// How long before its expiry a token is not used any more, at most; short-lived ones lose a tenth.
const EARLY: Duration = Duration::from_mins(1);
/// How long a failure is answered with again.
const PAUSE: Duration = Duration::from_secs(1);
/// The error codes of RFC 6749 §5.2.
const ERROR_CODES: [&str; 6] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];

/// What is sent to the token endpoint. Made anew for every fetch: an assertion inside may have a time.
pub struct TokenRequest {
    /// Headers, `content-type` among them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl TokenRequest {
    /// A form to be filled in.
    pub fn form(body: String) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let urlencoded = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, urlencoded);
        Self { headers, body: Bytes::from(body) }
    }
}

/// The header by which a client says who it is. Id and secret are form-encoded before they are joined (RFC 6749 §2.3.1).
pub fn client_basic(id: &str, secret: &str) -> HeaderValue {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let text = format!("Basic {}", BASE64.encode(format!("{}:{}", encoded(id), encoded(secret))));
    let mut value = HeaderValue::from_str(&text).expect("invariant: base64 is header text");
    value.set_sensitive(true);
    value
}

/// Why there is no token. Texts are safe to store and show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no token from the token endpoint: {0}")]
pub struct TokenFault(String);

/// The value of an `authorization` header, with a number that tells tokens apart.
#[derive(Debug, Clone)]
pub struct Token {
    header: HeaderValue,
    number: u64,
}

impl Token {
    /// The value of the header; its `Debug` text hides it.
    pub fn header(&self) -> &HeaderValue {
        &self.header
    }
}

type Ask = Box<dyn Fn() -> TokenRequest + Send + Sync>;

/// Holds a token, and fetches it when there is none.
pub struct TokenSource {
    ask: Ask,
    target: Target,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    n_fetched: u64,
    held: Option<(Token, Instant)>,
    failed: Option<(TokenFault, Instant)>,
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSource").field("target", &self.target).finish_non_exhaustive()
    }
}

impl TokenSource {
    /// A source without a token: `ask` makes the request that the token endpoint `target` gets.
    pub fn new(target: Target, ask: impl Fn() -> TokenRequest + Send + Sync + 'static) -> Self {
        Self { ask: Box::new(ask), target, state: Mutex::default() }
    }

    /// The token, fetched where there is none.
    ///
    /// # Errors
    /// Why there is none; the same again for a second.
    pub async fn token(&self, transport: &dyn Transport, deadline: Instant) -> Result<Token, TokenFault> {
        let late = || TokenFault("not in time".to_owned());
        let mut state = timeout_at(deadline, self.state.lock()).await.map_err(|_| late())?;
        let now = Instant::now();
        if let Some((token, _)) = state.held.as_ref().filter(|(_, until)| now < *until) {
            return Ok(token.clone());
        }
        if let Some((fault, _)) = state.failed.as_ref().filter(|(_, until)| now < *until) {
            return Err(fault.clone());
        }
        let fetched = self.fetch(transport, deadline.saturating_duration_since(now)).await;
        let now = Instant::now();
        match fetched {
            Ok(Grant { header, keep }) => {
                state.n_fetched += 1;
                let token = Token { header, number: state.n_fetched };
                state.held = Some((token.clone(), now + keep));
                state.failed = None;
                Ok(token)
            }
            Err(fault) => {
                state.held = None;
                state.failed = Some((fault.clone(), now + PAUSE));
                Err(fault)
            }
        }
    }

    /// Forgets a token that the endpoint refused, unless another one has taken its place.
    pub async fn refused(&self, token: &Token) {
        let mut state = self.state.lock().await;
        if state.held.as_ref().is_some_and(|(held, _)| held.number == token.number) {
            state.held = None;
        }
    }

    async fn fetch(&self, transport: &dyn Transport, timeout: Duration) -> Result<Grant, TokenFault> {
        let TokenRequest { headers, body } = (self.ask)();
        let (method, target, response_limit_bytes) = (Method::POST, self.target.clone(), MAX_ANSWER);
        let request = OutboundRequest { method, target, headers, body, timeout, response_limit_bytes };
        let response = transport.send(request).await.map_err(|error| TokenFault(error.to_string()))?;
        read_grant(&response).map_err(TokenFault)
    }
}

/// A token and how long it is used.
#[derive(Debug)]
struct Grant {
    header: HeaderValue,
    keep: Duration,
}

/// Reads an answer by RFC 6749 §5.
fn read_grant(response: &OutboundResponse) -> Result<Grant, String> {
    let answer = serde_json::from_slice::<Value>(&response.body_head).unwrap_or_default();
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    if response.status != StatusCode::OK {
        let code = text("error").and_then(|code| ERROR_CODES.into_iter().find(|known| *known == code));
        let code = code.map(|code| format!(", {code}")).unwrap_or_default();
        return Err(format!("status {}{code}", response.status.as_u16()));
    }
    if response.truncated || !answer.is_object() {
        return Err(format!("the answer is no JSON object of at most {MAX_ANSWER} bytes"));
    }
    if !text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return Err("the answer's token_type is not Bearer".to_owned());
    }
    let is_token =
        |token: &&str| (1..=MAX_TOKEN).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
    let token = text("access_token").filter(is_token);
    let token = token
        .ok_or_else(|| format!("the answer has no access_token of 1 to {MAX_TOKEN} visible characters"))?;
    let mut header = HeaderValue::from_str(&format!("Bearer {token}"))
        .expect("invariant: visible ASCII characters are header text");
    header.set_sensitive(true);
    Ok(Grant { header, keep: keep(answer.get("expires_in")) })
}

/// How long a token is used that lives for `expires_in` seconds; some servers write the number as a text.
fn keep(expires_in: Option<&Value>) -> Duration {
    let told = expires_in.and_then(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok()));
    let lives = told.map_or(UNTOLD, |secs: f64| {
        Duration::try_from_secs_f64(secs.clamp(0.0, LONGEST.as_secs_f64())).unwrap_or_default()
    });
    lives.saturating_sub(EARLY.min(lives / 10))
}

#[cfg(test)]
mod tests;
