//! Methods of agents, by the A2A protocol: JSON-RPC over HTTP. Where the agent is, its card says, or the definition.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use trunkline_connect::{OutboundRequest, Target};

use super::documents::Resource;
use super::world::{Caller, RealWorld, wrong};
use super::{EffectCall, jsonrpc};
use crate::engine::input::Failure;

/// A method to call.
#[derive(Debug, Clone)]
pub struct A2aCall {
    /// The agent's description.
    pub card: Option<Resource>,
    /// Where the agent is; where its description says, if absent.
    pub server: Option<Resource>,
    /// The method.
    pub method: &'static str,
    /// Its parameters.
    pub parameters: Value,
}

/// Calls a method. Of one that streams the result is the list of what came.
pub(super) async fn make(world: &RealWorld, effect: &EffectCall, call: &A2aCall) -> Result<Value, Failure> {
    let card = match (&call.server, &call.card) {
        (None, Some(card)) => Some(world.document(&effect.tenant, &effect.hidden, card).await?),
        _ => None,
    };
    let from_card = card.as_ref().map(|card| card.value()).transpose()?;
    let url = match (&call.server, from_card) {
        (Some(server), _) => server.url.clone(),
        (None, Some(card)) => {
            let url = card.get("url").and_then(Value::as_str);
            url.ok_or_else(|| wrong("the agent's card says no `url`"))?.to_owned()
        }
        (None, None) => return Err(wrong("the call names no agent")),
    };
    let target = Target::parse(&url, world.options.egress.of(&effect.tenant))
        .map_err(|refused| wrong(refused.to_string()))?;
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(key) = HeaderValue::from_str(&effect.key) {
        headers.insert(HeaderName::from_static("idempotency-key"), key);
    }
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": call.method, "params": call.parameters});
    let request = OutboundRequest {
        method: Method::POST,
        target,
        headers,
        body: Bytes::from(message.to_string()),
        timeout: world.options.timeout,
        response_limit_bytes: world.options.response_limit_bytes,
    };
    let login = call.server.as_ref().or(call.card.as_ref()).and_then(|it| it.login.as_ref());
    let caller = Caller { login, ..Caller::from(effect) };
    let answer = world.send(request, caller).await?;
    match call.method {
        "message/stream" | "tasks/resubscribe" => jsonrpc::results(&answer, 1).map(Value::Array),
        _ => jsonrpc::result(&answer, 1),
    }
}
