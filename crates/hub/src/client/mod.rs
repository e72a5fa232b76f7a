//! The hub's API as the commands see it: one small client over the connect crate.
//!
//! The operator names the hub's address, so that every network is allowed here. Answers other than 2xx become a [`Fault`]
//! with the problem's own words; nobody gets to see a raw body.

pub(crate) mod follow;
pub(crate) mod signature;

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use serde_json::Value;
use trunkline_connect::{ClientConfig, EgressPolicy, HttpClient, OutboundRequest, OutboundResponse, Target};
use url::Url;

use crate::cli::RemoteArgs;
use crate::exit::{Exit, Fault};

/// The largest answer a command reads: a page of the largest events.
const ANSWER_LIMIT_BYTES: usize = 256 * 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(30);
/// Kept out of a path segment.
const PLAIN: &[u8] = b"-._~";

/// One hub, asked on behalf of one token.
pub(crate) struct Api {
    http: HttpClient,
    base: Url,
    authorization: Option<HeaderValue>,
}

/// What to send with a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    /// Media type of the body; empty when there is none.
    pub(crate) media_type: &'static str,
    /// The body.
    pub(crate) body: Bytes,
}

impl Content {
    /// A JSON body.
    pub(crate) fn json(value: &Value) -> Self {
        Self { media_type: "application/json", body: value.to_string().into() }
    }
}

impl Api {
    /// A client for the hub that the command line names.
    ///
    /// # Errors
    /// A URL or token that cannot be one.
    pub(crate) fn new(remote: &RemoteArgs) -> anyhow::Result<Self> {
        let wrong_url = || {
            let fix = "write --url http://HOST:PORT, or set TRUNKLINE_URL so";
            Fault::new(Exit::Usage, "the address of the hub is not an http or https URL", fix)
        };
        let mut base = Url::parse(&remote.url).with_context(wrong_url)?;
        if base.cannot_be_a_base() || !matches!(base.scheme(), "http" | "https") {
            return Err(wrong_url().into());
        }
        base.set_path(&format!("{}/", base.path().trim_end_matches('/')));
        let authorization = remote.token.as_deref().filter(|token| !token.is_empty()).map(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
                Fault::new(Exit::Usage, "the token has characters no token has", "copy it again, whole")
            })?;
            value.set_sensitive(true);
            Ok::<_, Fault>(value)
        });
        Ok(Self { http: open_client()?, base, authorization: authorization.transpose()? })
    }

    /// Asks for something.
    ///
    /// # Errors
    /// A [`Fault`] when the hub is not there, does not accept the token, or answers with a problem.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Value> {
        self.call(Method::GET, path, query, Content::default()).await
    }

    /// Sends something.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub(crate) async fn post(&self, path: &str, content: Content) -> anyhow::Result<Value> {
        self.call(Method::POST, path, &[], content).await
    }

    /// Removes something.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub(crate) async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::DELETE, path, &[], Content::default()).await
    }

    /// Calls the hub and gives status and JSON body of the answer, whatever the status.
    ///
    /// # Errors
    /// A [`Fault`] when the hub is not there, or its answer is no JSON.
    pub(crate) async fn exchange(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        content: Content,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let response = self.send(method, path, query, content).await?;
        let value = match response.body_head.as_ref() {
            [] => Value::Null,
            body => serde_json::from_slice(body).with_context(|| {
                let message =
                    format!("{} does not answer like a hub (status {})", self.base, response.status);
                Fault::new(Exit::Unreachable, message, "check --url or TRUNKLINE_URL")
            })?,
        };
        Ok((response.status, value))
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        content: Content,
    ) -> anyhow::Result<Value> {
        let (status, value) = self.exchange(method, path, query, content).await?;
        if status.is_success() {
            return Ok(value);
        }
        Err(self.problem(status, &value).into())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        content: Content,
    ) -> anyhow::Result<OutboundResponse> {
        let mut url = self.base.join(path).context("the path of the call")?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let target = Target::from_url(&url, self.http.policy())?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, application/problem+json"));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if !content.media_type.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content.media_type));
        }
        let request = OutboundRequest {
            method,
            target,
            headers,
            body: content.body,
            timeout: TIMEOUT,
            response_limit_bytes: ANSWER_LIMIT_BYTES,
        };
        self.http.send(request).await.with_context(|| {
            let fix = "start it with `trunkline serve`, or name another with --url or TRUNKLINE_URL";
            Fault::new(Exit::Unreachable, format!("the hub at {} cannot be reached", self.base), fix)
        })
    }

    fn problem(&self, status: StatusCode, problem: &Value) -> Fault {
        let text = |key: &str| problem[key].as_str().unwrap_or_default();
        let mut message = match (text("detail"), text("code")) {
            ("", _) => format!("the hub answered {status}"),
            (detail, code) => format!("{detail} ({code})"),
        };
        for field in problem["errors"].as_array().into_iter().flatten() {
            let part = |key: &str| field[key].as_str().unwrap_or_default();
            // Writing to a string does not fail.
            let _ = write!(message, "\n  {}: {}", part("pointer"), part("detail"));
        }
        match status {
            StatusCode::UNAUTHORIZED if self.authorization.is_none() => {
                let fix = "set TRUNKLINE_TOKEN or --token; `trunkline serve` prints the first one, \
                           `trunkline token create` makes more";
                Fault::new(Exit::Unreachable, message, fix)
            }
            StatusCode::UNAUTHORIZED => {
                Fault::new(Exit::Unreachable, message, "use a live token; `trunkline token create` makes one")
            }
            StatusCode::FORBIDDEN => {
                Fault::new(Exit::Unreachable, message, "use a token with a role that allows this")
            }
            _ => Fault::new(Exit::Failed, message, ""),
        }
    }
}

/// A client that reaches every network: its addresses come from the operator.
///
/// # Errors
/// TLS settings this machine cannot use.
pub(crate) fn open_client() -> anyhow::Result<HttpClient> {
    let everywhere = ["0.0.0.0/0", "::/0"];
    let allow = everywhere.iter().map(|net| net.parse()).collect::<Result<Vec<_>, _>>()?;
    HttpClient::new(&ClientConfig::default(), EgressPolicy::new(allow))
        .context("the HTTP client cannot start")
}

/// An id as one segment of a path.
pub(crate) fn segment(id: &str) -> String {
    let mut out = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || PLAIN.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_one_segment() {
        assert_eq!(segment("evt_1"), "evt_1");
        assert_eq!(segment("a/../b?c#d é"), "a%2F..%2Fb%3Fc%23d%20%C3%A9");
    }

    #[test]
    fn a_wrong_url_is_wrong_usage() {
        for url in ["", "hub:8080", "ftp://hub"] {
            let remote = RemoteArgs { url: url.to_owned(), token: None, json: false };
            let error = Api::new(&remote).err().unwrap();
            assert_eq!(Fault::of(&error).0, Exit::Usage, "{url}");
        }
    }
}
