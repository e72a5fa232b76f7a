//! HTTP calls through the guarded client.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method};
use serde_json::{Map, Value, json};
use trunkline_connect::{OutboundRequest, OutboundResponse, Target};
use trunkline_model::cloudevents;
use url::Url;

use super::EffectCall;
use super::world::{RealWorld, wrong};
use crate::dsl::error::StandardError;
use crate::engine::input::Failure;
use crate::engine::state::{HttpCall, HttpOutput};

/// The header that carries the key of a call.
pub(super) const KEY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// Makes an HTTP call.
pub(super) async fn make(world: &RealWorld, effect: &EffectCall, call: &HttpCall) -> Result<Value, Failure> {
    let request = request(world, effect, call)?;
    let answer = world.send(request, effect.into()).await?;
    read(call, &answer)
}

/// Puts a request together, without credentials.
fn request(world: &RealWorld, effect: &EffectCall, call: &HttpCall) -> Result<OutboundRequest, Failure> {
    let mut url = Url::parse(&call.url).map_err(|_| wrong("the endpoint is no absolute URL"))?;
    if !call.query.is_empty() {
        let mut pairs = url.query_pairs_mut();
        for (name, value) in &call.query {
            each_text(value, |text| {
                pairs.append_pair(name, text);
            });
        }
    }
    let target = Target::from_url(&url, world.options.egress.of(&effect.tenant))
        .map_err(|refused| wrong(refused.to_string()))?;
    let method = Method::from_bytes(call.method.as_bytes()).map_err(|_| wrong("the method is no token"))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &call.headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| wrong(format!("`{name}` is no name of a header")))?;
        let mut fault = false;
        each_text(value, |text| match HeaderValue::from_str(text) {
            Ok(value) => drop(headers.append(name.clone(), value)),
            Err(_) => fault = true,
        });
        if fault {
            return Err(wrong(format!("the value of the header `{name}` cannot be sent")));
        }
    }
    let body = body(call, &mut headers);
    if let Ok(key) = HeaderValue::from_str(&effect.key) {
        headers.entry(KEY_HEADER).or_insert(key);
    }
    if let Some(agent) = &world.options.user_agent {
        headers.entry(USER_AGENT).or_insert_with(|| agent.clone());
    }
    let (timeout, response_limit_bytes) = (world.options.timeout, world.options.response_limit_bytes);
    Ok(OutboundRequest { method, target, headers, body, timeout, response_limit_bytes })
}

/// Gives each of the texts that a value stands for: several for a list.
fn each_text(value: &Value, mut give: impl FnMut(&str)) {
    match value {
        Value::Null => {}
        Value::String(text) => give(text),
        Value::Array(items) => {
            for item in items {
                each_text(item, &mut give as &mut dyn FnMut(&str));
            }
        }
        other => give(&other.to_string()),
    }
}

fn body(call: &HttpCall, headers: &mut HeaderMap) -> Bytes {
    match &call.body {
        None | Some(Value::Null) => Bytes::new(),
        Some(Value::String(text)) => {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("text/plain; charset=utf-8"));
            Bytes::copy_from_slice(text.as_bytes())
        }
        Some(value) => {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
            Bytes::from(value.to_string())
        }
    }
}

fn read(call: &HttpCall, answer: &OutboundResponse) -> Result<Value, Failure> {
    let status = answer.status;
    if !(status.is_success() || status.is_redirection() && call.takes_redirects) {
        let detail = format!("the answer has status {}", status.as_u16());
        return Err(Failure::standard(StandardError::Communication, detail).with_status(status.as_u16()));
    }
    if answer.truncated {
        let detail = format!("the answer is longer than {} bytes", answer.body_head.len());
        return Err(Failure::standard(StandardError::Communication, detail));
    }
    Ok(match call.output {
        HttpOutput::Raw => BASE64.encode(&answer.body_head).into(),
        HttpOutput::Content => content(answer),
        HttpOutput::Response => json!({
            "request": {"method": call.method, "uri": call.url, "headers": {}},
            "statusCode": status.as_u16(),
            "headers": header_map(&answer.headers),
            "content": content(answer),
        }),
    })
}

/// The body by its content type: JSON as data, text as text, everything else in base64.
fn content(answer: &OutboundResponse) -> Value {
    let body = &answer.body_head;
    if body.is_empty() {
        return Value::Null;
    }
    let kind = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if cloudevents::is_json(kind)
        && let Ok(value) = serde_json::from_slice(body)
    {
        return value;
    }
    match std::str::from_utf8(body) {
        Ok(text) => text.into(),
        Err(_) => BASE64.encode(body).into(),
    }
}

fn header_map(headers: &HeaderMap) -> Map<String, Value> {
    let mut map = Map::new();
    for name in headers.keys() {
        let texts: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        map.insert(name.as_str().to_owned(), texts.join(", ").into());
    }
    map
}
