//! What is outside: services that scenarios script, and stand-ins for two public ones that the conformance kit calls.
//!
//! Everything lies behind the client's `Transport`, so that requests are made and answers read as in the hub; nothing
//! leaves the process.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Version};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use trunkline_connect::{OutboundRequest, OutboundResponse, SendError, Timings, Transport};
use trunkline_model::{Clock, ManualClock, Secret, SecretSource, SecretUnavailable, Tenant, Timestamp};

/// One request as the outside saw it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) at: Timestamp,
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Value,
}

impl Seen {
    pub(super) fn key(&self) -> Option<&str> {
        self.headers.get("idempotency-key").map(String::as_str)
    }
}

/// How a scripted service answers once.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Says { status: u16, headers: Map<String, Value>, body: Option<Value> },
    Never,
    BreaksOff,
}

/// Secrets of scenarios, by tenant and name.
#[derive(Default)]
pub(super) struct Vault(Mutex<BTreeMap<(Tenant, String), String>>);

impl Vault {
    pub(super) fn put(&self, tenant: &Tenant, name: &str, value: String) {
        self.0.lock().insert((tenant.clone(), name.to_owned()), value);
    }
}

impl SecretSource for Vault {
    fn find<'a>(
        &'a self,
        tenant: &'a Tenant,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Secret>, SecretUnavailable>> + Send + 'a>> {
        let found =
            self.0.lock().get(&(tenant.clone(), name.to_owned())).map(|value| Secret::new(value.as_str()));
        Box::pin(std::future::ready(Ok(found)))
    }
}

/// All of it.
pub(super) struct Outside {
    clock: std::sync::Arc<ManualClock>,
    /// Answers by method and URL, in order; the last one is given again and again.
    scripts: Mutex<BTreeMap<(String, String), Vec<Answer>>>,
    seen: Mutex<Vec<Seen>>,
    /// Keys of calls that get no answer.
    hanging: Mutex<BTreeSet<String>>,
}

impl Outside {
    pub(super) fn new(clock: std::sync::Arc<ManualClock>) -> Self {
        Self { clock, scripts: Mutex::default(), seen: Mutex::default(), hanging: Mutex::default() }
    }

    /// Forgets the scenario before.
    pub(super) fn clear(&self) {
        self.scripts.lock().clear();
        self.seen.lock().clear();
        self.hanging.lock().clear();
    }

    pub(super) fn script(&self, method: &str, url: &str, answer: Answer) {
        let place = (method.to_ascii_uppercase(), url.to_owned());
        self.scripts.lock().entry(place).or_default().push(answer);
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    pub(super) fn is_hanging(&self, key: &str) -> bool {
        self.hanging.lock().contains(key)
    }

    fn see(&self, request: &OutboundRequest) -> Seen {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = request.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
        let body = serde_json::from_slice(&request.body)
            .unwrap_or_else(|_| String::from_utf8_lossy(&request.body).into_owned().into());
        let seen = Seen {
            at: self.clock.now(),
            method: request.method.as_str().to_owned(),
            url: request.target.uri().to_string(),
            headers: headers.collect(),
            body: if request.body.is_empty() { Value::Null } else { body },
        };
        self.seen.lock().push(seen.clone());
        seen
    }

    /// The answer to a request: scripted, or that of a stand-in.
    fn answer(&self, seen: &Seen) -> Answer {
        let place = (seen.method.clone(), seen.url.clone());
        if let Some(answers) = self.scripts.lock().get_mut(&place) {
            return if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        }
        let url = url::Url::parse(&seen.url).unwrap();
        match url.host_str() {
            Some("petstore.swagger.io") => petstore(&seen.method, &url),
            Some("httpbin.org") => httpbin(seen, &url),
            _ => says(404, json!({"message": "nobody scripted this"})),
        }
    }
}

fn says(status: u16, body: Value) -> Answer {
    Answer::Says { status, headers: Map::new(), body: Some(body) }
}

fn pet(id: u64, status: &str) -> Value {
    json!({"id": id, "category": {"id": 1, "name": "dogs"}, "name": format!("pet {id}"), "photoUrls": [],
        "tags": [], "status": status})
}

/// The pet store that shows what Swagger can do: two operations, and its description.
fn petstore(method: &str, url: &url::Url) -> Answer {
    let missing = || says(404, json!({"code": 1, "type": "error", "message": "Pet not found"}));
    let segments: Vec<&str> = url.path_segments().into_iter().flatten().collect();
    match (method, &segments[..]) {
        ("GET", ["v2", "swagger.json"]) => says(200, petstore_description()),
        ("GET", ["v2", "pet", "findByStatus"]) => {
            let wanted: Vec<String> = url
                .query_pairs()
                .filter(|(name, _)| name == "status")
                .flat_map(|(_, value)| value.split(',').map(str::to_owned).collect::<Vec<_>>())
                .collect();
            let pets: Vec<Value> =
                wanted.iter().flat_map(|status| [pet(10, status), pet(11, status)]).collect();
            says(200, Value::Array(pets))
        }
        ("GET", ["v2", "pet", id]) => match id.parse() {
            Ok(id) if id < 100 => says(200, pet(id, "available")),
            _ => missing(),
        },
        _ => missing(),
    }
}

fn petstore_description() -> Value {
    let parameter = |name: &str, place: &str, more: Value| {
        let mut parameter = json!({"name": name, "in": place, "required": true});
        parameter.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        parameter
    };
    json!({
        "swagger": "2.0",
        "info": {"title": "Swagger Petstore", "version": "1.0.7"},
        "host": "petstore.swagger.io",
        "basePath": "/v2",
        "schemes": ["https", "http"],
        "paths": {
            "/pet/findByStatus": {"get": {
                "operationId": "findPetsByStatus",
                "produces": ["application/json"],
                "parameters": [parameter("status", "query", json!({"type": "array", "collectionFormat": "multi",
                    "items": {"type": "string", "enum": ["available", "pending", "sold"]}}))],
                "responses": {"200": {"description": "pets"}}
            }},
            "/pet/{petId}": {"get": {
                "operationId": "getPetById",
                "produces": ["application/json"],
                "parameters": [parameter("petId", "path", json!({"type": "integer", "format": "int64"}))],
                "responses": {"200": {"description": "a pet"}, "404": {"description": "no such pet"}}
            }}
        }
    })
}

/// The service that says back what it was sent.
fn httpbin(seen: &Seen, url: &url::Url) -> Answer {
    let segments: Vec<&str> = url.path_segments().into_iter().flatten().collect();
    let authorization = seen.headers.get("authorization").map(String::as_str);
    match &segments[..] {
        ["basic-auth", user, password] => {
            let wanted = format!("Basic {}", BASE64.encode(format!("{user}:{password}")));
            if authorization == Some(&wanted) {
                says(200, json!({"authenticated": true, "user": user}))
            } else {
                Answer::Says { status: 401, headers: Map::new(), body: None }
            }
        }
        ["bearer"] => match authorization.and_then(|it| it.strip_prefix("Bearer ")) {
            Some(token) => says(200, json!({"authenticated": true, "token": token})),
            None => Answer::Says { status: 401, headers: Map::new(), body: None },
        },
        ["status", status] => says(status.parse().unwrap_or(400), Value::Null),
        ["get" | "post" | "put" | "patch" | "delete" | "anything", ..] => says(
            200,
            json!({"url": seen.url, "method": seen.method, "headers": seen.headers, "json": seen.body,
                "args": url.query_pairs().collect::<BTreeMap<_, _>>()}),
        ),
        _ => says(404, Value::Null),
    }
}

impl Transport for Outside {
    fn send(&self, request: OutboundRequest) -> BoxFuture<'_, Result<OutboundResponse, SendError>> {
        Box::pin(async move {
            let seen = self.see(&request);
            tokio::task::yield_now().await;
            match self.answer(&seen) {
                Answer::Never => {
                    if let Some(key) = seen.key() {
                        self.hanging.lock().insert(key.to_owned());
                    }
                    std::future::pending().await
                }
                Answer::BreaksOff => Err(SendError::DnsEmpty),
                Answer::Says { status, headers, body } => {
                    Ok(response(status, &headers, body.filter(|_| request.method != Method::HEAD)))
                }
            }
        })
    }
}

fn response(status: u16, given: &Map<String, Value>, body: Option<Value>) -> OutboundResponse {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let name = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).unwrap();
        headers.insert(name, HeaderValue::from_str(&value).unwrap());
    }
    let (kind, bytes) = match body {
        None | Some(Value::Null) => ("text/plain", Bytes::new()),
        Some(Value::String(text)) => ("text/plain", Bytes::from(text)),
        Some(other) => ("application/json", Bytes::from(other.to_string())),
    };
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(kind));
    OutboundResponse {
        status: StatusCode::from_u16(status).unwrap(),
        version: Version::HTTP_11,
        headers,
        body_head: bytes,
        truncated: false,
        trailers: HeaderMap::new(),
        timings: Timings::default(),
        peer: None,
        opened: None,
    }
}
