//! Methods of MCP servers over streamable HTTP (Model Context Protocol 2025-06-18, Transports): a session is opened, the
//! method called, and the session closed, all within one call. Answers come as JSON or as a stream of events that the
//! server ends after the answer.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use trunkline_connect::{OutboundRequest, OutboundResponse, Target};

use super::world::{Caller, RealWorld, wrong};
use super::{EffectCall, jsonrpc};
use crate::dsl::error::StandardError;
use crate::engine::input::Failure;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The version that is spoken where the definition says none.
pub(crate) const DEFAULT_VERSION: &str = "2025-06-18";

/// A method to call.
#[derive(Debug, Clone)]
pub struct McpCall {
    /// The version of the protocol.
    pub version: String,
    /// The method.
    pub method: &'static str,
    /// Its parameters.
    pub parameters: Value,
    /// How long the call may take.
    pub timeout: Option<Duration>,
    /// Where the server is.
    pub url: String,
    /// Headers for every request.
    pub headers: Map<String, Value>,
    /// Who calls: name and version.
    pub client: (String, String),
}

/// A conversation with a server.
struct Session<'a> {
    world: &'a RealWorld,
    call: &'a McpCall,
    caller: Caller<'a>,
    target: Target,
    headers: HeaderMap,
    deadline: Instant,
}

/// Calls a method.
pub(super) async fn make(world: &RealWorld, effect: &EffectCall, call: &McpCall) -> Result<Value, Failure> {
    let target = Target::parse(&call.url, world.options.egress.of(&effect.tenant))
        .map_err(|refused| wrong(refused.to_string()))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &call.headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| wrong(format!("`{name}` is no name of a header")))?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let value = HeaderValue::from_str(&text)
            .map_err(|_| wrong(format!("the value of the header `{name}` cannot be sent")))?;
        headers.insert(name, value);
    }
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let deadline = Instant::now() + call.timeout.unwrap_or(world.options.timeout);
    let mut session = Session { world, call, caller: effect.into(), target, headers, deadline };
    session.open().await?;
    let request = json!({"jsonrpc": "2.0", "id": 2, "method": call.method, "params": call.parameters});
    let answer = session.post(&request).await.and_then(|answer| jsonrpc::result(&answer, 2));
    session.close().await;
    answer
}

impl Session<'_> {
    /// Agrees on a version.
    async fn open(&mut self) -> Result<(), Failure> {
        let (name, version) = &self.call.client;
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": self.call.version,
            "capabilities": {},
            "clientInfo": {"name": name, "version": version},
        }});
        let answer = self.post(&request).await?;
        let agreed = jsonrpc::result(&answer, 1)?;
        let agreed = agreed.get("protocolVersion").and_then(Value::as_str).unwrap_or_default();
        if let Ok(value) = HeaderValue::from_str(agreed) {
            self.headers.insert(VERSION, value);
        }
        if let Some(id) = answer.headers.get(SESSION) {
            self.headers.insert(SESSION, id.clone());
        }
        self.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await.map(drop)
    }

    async fn post(&self, message: &Value) -> Result<OutboundResponse, Failure> {
        let answer = self.send(Method::POST, Bytes::from(message.to_string())).await?;
        let status = answer.status.as_u16();
        if !answer.status.is_success() {
            let detail = format!("the answer has status {status}");
            return Err(Failure::standard(StandardError::Communication, detail).with_status(status));
        }
        Ok(answer)
    }

    async fn send(&self, method: Method, body: Bytes) -> Result<OutboundResponse, Failure> {
        let request = OutboundRequest {
            method,
            target: self.target.clone(),
            headers: self.headers.clone(),
            body,
            timeout: self.deadline.saturating_duration_since(Instant::now()),
            response_limit_bytes: self.world.options.response_limit_bytes,
        };
        self.world.send(request, self.caller).await
    }

    /// Says goodbye where there is a session; a server that does not care is left alone.
    async fn close(&self) {
        if self.headers.contains_key(SESSION) {
            drop(self.send(Method::DELETE, Bytes::new()).await);
        }
    }
}
