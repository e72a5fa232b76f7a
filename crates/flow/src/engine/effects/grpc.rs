//! Methods of gRPC services ([gRPC over HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)). The
//! service's description is compiled when it is called; arguments and answers are JSON as Protocol Buffers map it.
//!
//! A method that streams its answers gives the list of all of them; one that takes a stream of requests is not called.

use std::collections::BTreeMap;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Version};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use serde_json::Value;
use trunkline_connect::{OutboundRequest, OutboundResponse, Target};
use url::Url;

use super::http::KEY_HEADER;
use super::world::{RealWorld, wrong};
use super::{EffectCall, Resource};
use crate::dsl::error::StandardError;
use crate::engine::input::Failure;

/// How many files a description may consist of, besides those of Protocol Buffers itself.
const MAX_FILES: usize = 32;
/// How long they may be together, in bytes.
const MAX_DESCRIPTION: usize = 1 << 20;
/// How deep braces and brackets may nest in one.
const MAX_DEPTH: usize = 64;
/// How much of a server's own words is kept, in bytes.
const MAX_REASON: usize = 500;
/// Files of Protocol Buffers itself; the compiler has them.
const OWN_FILES: &str = "google/protobuf/";
/// A message's prefix: whether it is compressed, and its length.
const PREFIX: usize = 5;

const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const REASON: HeaderName = HeaderName::from_static("grpc-message");

/// A method to call.
#[derive(Debug, Clone)]
pub struct GrpcCall {
    /// The description of the service.
    pub proto: Resource,
    /// The service's name, with or without its package.
    pub service: String,
    /// Where it is.
    pub host: String,
    /// 443 where absent.
    pub port: Option<u16>,
    /// The method.
    pub method: String,
    /// Its arguments, an object.
    pub arguments: Value,
}

/// Calls a method.
pub(super) async fn make(world: &RealWorld, effect: &EffectCall, call: &GrpcCall) -> Result<Value, Failure> {
    let files = files(world, effect, &call.proto).await?;
    let wanted = call.clone();
    let prepared = tokio::task::spawn_blocking(move || prepare(files, &wanted)).await;
    let (method, body) = prepared.map_err(|_| wrong("the description of the service cannot be read"))??;
    let request = request(world, effect, call, &method, body)?;
    let answer = world.send(request, effect.into()).await?;
    read(&answer, &method)
}

/// Fetches a description with everything that it imports. Imports lie beside it.
async fn files(
    world: &RealWorld,
    effect: &EffectCall,
    proto: &Resource,
) -> Result<(String, BTreeMap<String, File>), Failure> {
    let root =
        Url::parse(&proto.url).map_err(|_| wrong("the description of the service has no usable URL"))?;
    let first = root.path_segments().and_then(|mut it| it.next_back()).unwrap_or_default().to_owned();
    let (mut files, mut n_bytes) = (BTreeMap::new(), 0);
    let mut wanted = vec![(first.clone(), root.clone())];
    while let Some((name, url)) = wanted.pop() {
        if files.len() == MAX_FILES {
            return Err(wrong(format!("the description of the service has more than {MAX_FILES} files")));
        }
        let place = Resource { url: url.to_string(), login: proto.login.clone() };
        let document = world.document(&effect.tenant, &effect.hidden, &place).await?;
        n_bytes += document.text().len();
        if n_bytes > MAX_DESCRIPTION {
            return Err(wrong(format!(
                "the description of the service has more than {MAX_DESCRIPTION} bytes"
            )));
        }
        let file = parse(&name, document.text())?;
        for import in &file.file_descriptor_proto().dependency {
            let is_known = import == &name || files.contains_key(import);
            if import.starts_with(OWN_FILES) || is_known || wanted.iter().any(|(name, _)| name == import) {
                continue;
            }
            let url = root.join(import).ok().filter(|url| url.origin() == root.origin());
            let url = url.ok_or_else(|| wrong("the description of the service imports from elsewhere"))?;
            wanted.push((import.clone(), url));
        }
        files.insert(name, file);
    }
    Ok((first, files))
}

fn parse(name: &str, text: &str) -> Result<File, Failure> {
    // The parser goes down with each level, and must not go too far.
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'{' | b'[' | b'(' | b'<' => depth += 1,
            b'}' | b']' | b')' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if deepest > MAX_DEPTH {
        return Err(wrong(format!("the description of the service nests deeper than {MAX_DEPTH}")));
    }
    File::from_source(name, text).map_err(|error| unreadable(&error))
}

fn unreadable(error: &protox::Error) -> Failure {
    let mut reason = error.to_string();
    reason.truncate(reason.floor_char_boundary(MAX_REASON));
    wrong(format!("the description of the service is no Protocol Buffers: {reason}"))
}

struct Fetched(BTreeMap<String, File>);

impl FileResolver for Fetched {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        self.0.get(name).cloned().ok_or_else(|| protox::Error::file_not_found(name))
    }
}

/// The method that is meant, and the arguments as it takes them.
fn prepare(
    (first, files): (String, BTreeMap<String, File>),
    call: &GrpcCall,
) -> Result<(MethodDescriptor, Bytes), Failure> {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Fetched(files));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file(&first).map_err(|error| unreadable(&error))?;
    let method = method(&compiler.descriptor_pool(), call)?;
    let body = encoded(method.input(), &call.arguments)?;
    Ok((method, body))
}

fn method(pool: &DescriptorPool, call: &GrpcCall) -> Result<MethodDescriptor, Failure> {
    let named = |it: &prost_reflect::ServiceDescriptor| {
        it.full_name() == call.service || it.name() == call.service && !call.service.contains('.')
    };
    let mut found = pool.services().filter(named);
    let service = found.next().ok_or_else(|| wrong(format!("there is no service `{}`", call.service)))?;
    if found.next().is_some() {
        return Err(wrong(format!("there are several services `{}`: name the package", call.service)));
    }
    let method = service.methods().find(|it| it.name() == call.method);
    let method = method.ok_or_else(|| wrong(format!("the service has no method `{}`", call.method)))?;
    if method.is_client_streaming() {
        return Err(wrong("the method takes a stream of requests"));
    }
    Ok(method)
}

/// A message in its frame.
fn encoded(kind: MessageDescriptor, arguments: &Value) -> Result<Bytes, Failure> {
    let message = DynamicMessage::deserialize(kind, arguments).map_err(|error| {
        let mut reason = error.to_string();
        reason.truncate(reason.floor_char_boundary(MAX_REASON));
        Failure::standard(
            StandardError::Validation,
            format!("the arguments are none of the method: {reason}"),
        )
    })?;
    let too_long = |_| wrong("the arguments are too long");
    let n_bytes = u32::try_from(message.encoded_len()).map_err(too_long)?;
    let mut body = BytesMut::with_capacity(PREFIX + message.encoded_len());
    body.put_u8(0);
    body.put_u32(n_bytes);
    message.encode(&mut body).map_err(|_| wrong("the arguments are too long"))?;
    Ok(body.freeze())
}

fn request(
    world: &RealWorld,
    effect: &EffectCall,
    call: &GrpcCall,
    method: &MethodDescriptor,
    body: Bytes,
) -> Result<OutboundRequest, Failure> {
    let port = call.port.unwrap_or(443);
    let scheme = if port == 443 { "https" } else { "http" };
    let service = method.parent_service().full_name().to_owned();
    let url = format!("{scheme}://{}:{port}/{service}/{}", call.host, method.name());
    let target = Target::parse(&url, world.options.egress.of(&effect.tenant));
    let target = target.map_err(|refused| wrong(refused.to_string()))?.with_trailers();
    let timeout = world.options.timeout;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    // At most eight digits: so many milliseconds are more than a day.
    if let Ok(value) = HeaderValue::from_str(&format!("{}m", timeout.as_millis().min(99_999_999))) {
        headers.insert(TIMEOUT, value);
    }
    if let Ok(key) = HeaderValue::from_str(&effect.key) {
        headers.insert(KEY_HEADER, key);
    }
    if let Some(agent) = &world.options.user_agent {
        headers.insert(USER_AGENT, agent.clone());
    }
    let response_limit_bytes = world.options.response_limit_bytes;
    Ok(OutboundRequest { method: Method::POST, target, headers, body, timeout, response_limit_bytes })
}

fn read(answer: &OutboundResponse, method: &MethodDescriptor) -> Result<Value, Failure> {
    let status = answer.status.as_u16();
    if status != 200 {
        let detail = format!("the answer has status {status}");
        return Err(Failure::standard(StandardError::Communication, detail).with_status(status));
    }
    let kind = answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if answer.version != Version::HTTP_2 || !kind.starts_with("application/grpc") {
        return Err(broken("what answers there speaks no gRPC"));
    }
    if answer.truncated {
        return Err(broken("the answer is too long"));
    }
    // An answer without messages may have everything in its head.
    let ending = if answer.trailers.contains_key(STATUS) { &answer.trailers } else { &answer.headers };
    let code = ending.get(STATUS).and_then(|code| code.to_str().ok()).and_then(|code| code.parse().ok());
    let code: u32 = code.ok_or_else(|| broken("the answer broke off"))?;
    if code != 0 {
        return Err(refusal(code, ending));
    }
    let mut messages = messages(&answer.body_head, &method.output())?;
    if method.is_server_streaming() {
        return Ok(Value::Array(messages));
    }
    match (messages.pop(), messages.is_empty()) {
        (Some(message), true) => Ok(message),
        _ => Err(broken("the answer is not one message")),
    }
}

fn broken(detail: &str) -> Failure {
    Failure::standard(StandardError::Communication, detail)
}

/// What a server says by a code other than OK, with the status of HTTP that is closest (google.rpc.Code).
fn refusal(code: u32, ending: &HeaderMap) -> Failure {
    let (name, status) = match code {
        1 => ("CANCELLED", 499),
        3 => ("INVALID_ARGUMENT", 400),
        4 => ("DEADLINE_EXCEEDED", 504),
        5 => ("NOT_FOUND", 404),
        6 => ("ALREADY_EXISTS", 409),
        7 => ("PERMISSION_DENIED", 403),
        8 => ("RESOURCE_EXHAUSTED", 429),
        9 => ("FAILED_PRECONDITION", 400),
        10 => ("ABORTED", 409),
        11 => ("OUT_OF_RANGE", 400),
        12 => ("UNIMPLEMENTED", 501),
        13 => ("INTERNAL", 500),
        14 => ("UNAVAILABLE", 503),
        15 => ("DATA_LOSS", 500),
        16 => ("UNAUTHENTICATED", 401),
        _ => ("UNKNOWN", 500),
    };
    let reason = ending.get(REASON).map(|reason| percent_encoding::percent_decode(reason.as_bytes()));
    let mut reason = reason.map(|it| it.decode_utf8_lossy().into_owned()).unwrap_or_default();
    reason.truncate(reason.floor_char_boundary(MAX_REASON));
    let detail = if reason.is_empty() { name.to_owned() } else { format!("{name}: {reason}") };
    let kind = if code == 4 { StandardError::Timeout } else { StandardError::Communication };
    Failure::standard(kind, detail).with_status(status)
}

fn messages(body: &Bytes, kind: &MessageDescriptor) -> Result<Vec<Value>, Failure> {
    let (mut rest, mut messages) = (body.clone(), Vec::new());
    while !rest.is_empty() {
        if rest.len() < PREFIX {
            return Err(broken("the answer broke off"));
        }
        let prefix = rest.split_to(PREFIX);
        if prefix[0] != 0 {
            return Err(broken("the answer is compressed, which nobody asked for"));
        }
        let n_bytes = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        if n_bytes > rest.len() {
            return Err(broken("the answer broke off"));
        }
        let message = DynamicMessage::decode(kind.clone(), rest.split_to(n_bytes));
        let message = message.map_err(|_| broken("the answer is no message of the method"))?;
        let value = message.serialize_with_options(serde_json::value::Serializer, &SerializeOptions::new());
        messages.push(value.map_err(|_| broken("the answer is no message of the method"))?);
    }
    Ok(messages)
}
