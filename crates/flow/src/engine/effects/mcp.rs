//! Methods of MCP servers (Model Context Protocol 2025-06-18, Transports): a session is opened, the method called, and the
//! session closed, all within one call. Over streamable HTTP answers come as JSON or as a stream of events that the server
//! ends after the answer; a server that is a process of this machine gets and gives a message a line.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use trunkline_connect::{OutboundRequest, OutboundResponse, Target};

use super::process::{Conversation, ProcessCall};
use super::world::{Caller, RealWorld, wrong};
use super::{EffectCall, jsonrpc};
use crate::dsl::error::StandardError;
use crate::engine::input::Failure;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The version that is spoken where the definition says none.
pub(crate) const DEFAULT_VERSION: &str = "2025-06-18";

/// The ids of the two requests of a session.
const OPENING: i64 = 1;
const REQUEST: i64 = 2;

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
    /// How the server is reached.
    pub server: McpServer,
    /// Who calls: name and version.
    pub client: (String, String),
}

/// How an MCP server is reached.
#[derive(Debug, Clone)]
pub enum McpServer {
    /// Over HTTP.
    Http {
        /// Where it is.
        url: String,
        /// Headers for every request.
        headers: Map<String, Value>,
    },
    /// It is started for the call, and ends with it.
    Process(ProcessCall),
}

impl McpCall {
    fn opening(&self) -> Value {
        let (name, version) = &self.client;
        json!({"jsonrpc": "2.0", "id": OPENING, "method": "initialize", "params": {
            "protocolVersion": self.version,
            "capabilities": {},
            "clientInfo": {"name": name, "version": version},
        }})
    }

    fn opened() -> Value {
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"})
    }

    fn request(&self) -> Value {
        json!({"jsonrpc": "2.0", "id": REQUEST, "method": self.method, "params": self.parameters})
    }
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
    let deadline = Instant::now() + call.timeout.unwrap_or(world.options.timeout);
    match &call.server {
        McpServer::Http { url, headers } => over_http(world, effect, call, (url, headers), deadline).await,
        McpServer::Process(process) => {
            let answer = tokio::time::timeout_at(deadline, over_stdio(world, call, process)).await;
            answer.unwrap_or_else(|_| {
                Err(Failure::standard(StandardError::Timeout, "the server did not answer in time"))
            })
        }
    }
}

async fn over_stdio(world: &RealWorld, call: &McpCall, process: &ProcessCall) -> Result<Value, Failure> {
    let mut talk = world.processes()?.converse(process).await?;
    talk.say(&call.opening().to_string()).await?;
    heard(&mut talk, OPENING).await?;
    talk.say(&McpCall::opened().to_string()).await?;
    talk.say(&call.request().to_string()).await?;
    let answer = heard(&mut talk, REQUEST).await;
    talk.end().await;
    answer
}

/// Waits for the answer to a request. What the server asks meanwhile is refused, but for whether anybody is there; lines
/// that are no messages are passed over.
async fn heard(talk: &mut Conversation, id: i64) -> Result<Value, Failure> {
    loop {
        let line = talk.hear().await?;
        let Ok(message) = serde_json::from_slice::<Value>(&line) else { continue };
        match (message.get("method").and_then(Value::as_str), message.get("id")) {
            (Some("ping"), Some(theirs)) => {
                talk.say(&json!({"jsonrpc": "2.0", "id": theirs, "result": {}}).to_string()).await?;
            }
            (Some(_), Some(theirs)) => {
                let error = json!({"code": -32601, "message": "Method not found"});
                talk.say(&json!({"jsonrpc": "2.0", "id": theirs, "error": error}).to_string()).await?;
            }
            (None, Some(ours)) if ours.as_i64() == Some(id) => return jsonrpc::result_of(message),
            _ => {}
        }
    }
}

async fn over_http(
    world: &RealWorld,
    effect: &EffectCall,
    call: &McpCall,
    (url, given): (&str, &Map<String, Value>),
    deadline: Instant,
) -> Result<Value, Failure> {
    let target = Target::parse(url, world.options.egress.of(&effect.tenant))
        .map_err(|refused| wrong(refused.to_string()))?;
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| wrong(format!("`{name}` is no name of a header")))?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let value = HeaderValue::from_str(&text)
            .map_err(|_| wrong(format!("the value of the header `{name}` cannot be sent")))?;
        headers.insert(name, value);
    }
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut session = Session { world, call, caller: effect.into(), target, headers, deadline };
    session.open().await?;
    let answer = session.post(&call.request()).await.and_then(|answer| jsonrpc::result(&answer, REQUEST));
    session.close().await;
    answer
}

impl Session<'_> {
    /// Agrees on a version.
    async fn open(&mut self) -> Result<(), Failure> {
        let answer = self.post(&self.call.opening()).await?;
        let agreed = jsonrpc::result(&answer, OPENING)?;
        let agreed = agreed.get("protocolVersion").and_then(Value::as_str).unwrap_or_default();
        if let Ok(value) = HeaderValue::from_str(agreed) {
            self.headers.insert(VERSION, value);
        }
        if let Some(id) = answer.headers.get(SESSION) {
            self.headers.insert(SESSION, id.clone());
        }
        self.post(&McpCall::opened()).await.map(drop)
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
