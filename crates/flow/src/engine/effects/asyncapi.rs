//! Channels of AsyncAPI documents (2.x and 3): a message is published over HTTP, NATS or AMQP. The document says where;
//! brokers are reached through `sinks`, and so through the guard.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use trunkline_model::EventType;
use trunkline_sinks::{SinkMessage, SinkSettings};
use url::Url;

use super::documents::Resource;
use super::login::Login;
use super::world::{RealWorld, wrong};
use super::{EffectCall, http as http_call};
use crate::dsl::error::StandardError;
use crate::dsl::tasks::call::asyncapi::Target;
use crate::engine::input::Failure;
use crate::engine::state::{HttpCall, HttpOutput};

/// References deeper than this lead in circles.
const MAX_REFERENCES: usize = 16;

/// A message to publish.
#[derive(Debug, Clone)]
pub struct AsyncApiCall {
    /// The document that describes the channel.
    pub document: Resource,
    /// The channel, or the operation that leads to it.
    pub target: Target,
    /// Which server, with values for its variables.
    pub server: Option<(String, Map<String, Value>)>,
    /// Which protocol the server must speak.
    pub protocol: Option<&'static str>,
    /// What is published.
    pub payload: Value,
    /// Headers of the message.
    pub headers: Map<String, Value>,
}

/// Where a message goes.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    protocol: Protocol,
    is_secure: bool,
    host: String,
    port: Option<u16>,
    path: String,
    /// URL path, subject or routing key.
    address: String,
    /// Of AMQP, if not the default one.
    exchange: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http,
    Nats,
    Amqp,
}

/// Publishes a message; the result is null.
pub(super) async fn make(
    world: &RealWorld,
    effect: &EffectCall,
    call: &AsyncApiCall,
) -> Result<Value, Failure> {
    let document = world.document(&effect.tenant, &effect.hidden, &call.document).await?;
    let place = place(document.value()?, call)?;
    if place.protocol == Protocol::Http {
        let scheme = if place.is_secure { "https" } else { "http" };
        let port = place.port.map(|port| format!(":{port}")).unwrap_or_default();
        let path = format!("{}/{}", place.path.trim_end_matches('/'), place.address.trim_start_matches('/'));
        let http = HttpCall {
            method: "POST".to_owned(),
            url: format!("{scheme}://{}{port}{path}", place.host),
            headers: call.headers.clone(),
            query: Map::new(),
            body: Some(call.payload.clone()),
            output: HttpOutput::Content,
            takes_redirects: false,
        };
        return http_call::make(world, effect, &http).await;
    }
    let (kind, settings) = settings(&place, effect.login.as_ref())?;
    let settings = SinkSettings::parse(kind, &settings).map_err(|faults| {
        let faults: Vec<String> =
            faults.iter().map(|fault| format!("{} {}", fault.pointer, fault.detail)).collect();
        wrong(format!("the channel cannot be reached: {}", faults.join("; ")))
    })?;
    let sinks = world.options.sinks.as_ref().ok_or_else(|| wrong("no brokers can be reached"))?;
    let sent = sinks.of(&effect.tenant).open(&settings).send(message(world, effect, call)?).await;
    sent.map(|_| Value::Null)
        .map_err(|error| Failure::standard(StandardError::Communication, error.to_string()))
}

fn message(world: &RealWorld, effect: &EffectCall, call: &AsyncApiCall) -> Result<SinkMessage, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in &call.headers {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let pair = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&text));
        let (Ok(name), Ok(value)) = pair else {
            return Err(wrong(format!("the header `{name}` cannot be sent")));
        };
        headers.insert(name, value);
    }
    let event_type = EventType::parse("workflow.message").map_err(|_| wrong("the message has no type"))?;
    Ok(SinkMessage {
        id: effect.key.clone(),
        event_type,
        tenant: effect.tenant.clone(),
        subject: None,
        time: world.options.clock.now(),
        content_type: HeaderValue::from_static("application/json"),
        body: Bytes::from(call.payload.to_string()),
        headers,
        timeout: world.options.timeout,
    })
}

/// The settings of the sink that leads to a place.
fn settings(place: &Place, login: Option<&Login>) -> Result<(&'static str, Value), Failure> {
    let mut settings = json!({"host": place.host, "tls": place.is_secure});
    if let Some(port) = place.port {
        settings["port"] = port.into();
    }
    let refused = || wrong("the broker takes no such authentication: give `basic`, or for NATS `bearer`");
    match (place.protocol, login) {
        (_, None) => {}
        (_, Some(Login::Basic(user))) => {
            settings["username"] = user.username.as_str().into();
            settings["password"] = user.password.expose().into();
        }
        (Protocol::Nats, Some(Login::Bearer(token))) => settings["token"] = token.expose().into(),
        (_, Some(_)) => return Err(refused()),
    }
    if place.protocol == Protocol::Nats {
        settings["mode"] = "core".into();
        settings["subject"] = place.address.replace('/', ".").into();
        return Ok(("nats", settings));
    }
    settings["routing_key"] = place.address.as_str().into();
    let vhost = place.path.trim_start_matches('/');
    settings["vhost"] = if vhost.is_empty() { "/" } else { vhost }.into();
    if let Some(exchange) = &place.exchange {
        settings["exchange"] = exchange.as_str().into();
    }
    Ok(("amqp", settings))
}

/// Finds the channel and the server in a document.
fn place(root: &Value, call: &AsyncApiCall) -> Result<Place, Failure> {
    let version = root.get("asyncapi").and_then(Value::as_str).unwrap_or_default();
    let is_old = version.starts_with("2.");
    if !is_old && !version.starts_with("3.") {
        return Err(wrong("the document is no AsyncAPI 2 or 3 description"));
    }
    let (name, channel) = channel(root, &call.target)?;
    let address = match (is_old, channel.get("address")) {
        (true, _) | (false, None) => name,
        (false, Some(address)) => {
            address.as_str().ok_or_else(|| wrong("the channel has no address of its own"))?.to_owned()
        }
    };
    if address.is_empty() || address.contains(['{', '}']) {
        return Err(wrong("channels with parameters in their address are not published to"));
    }
    let exchange = channel.pointer("/bindings/amqp/exchange/name").and_then(Value::as_str);
    let server = server(root, call)?;
    let text = |key: &str| server.get(key).and_then(Value::as_str).map(|text| filled(text, server, call));
    let spoken = text("protocol").unwrap_or_default();
    let place = if is_old { text("url") } else { text("host") };
    let place = place.ok_or_else(|| wrong("the server of the document has no address"))?;
    let place = if place.contains("://") { place } else { format!("{spoken}://{place}") };
    let url = Url::parse(&place).map_err(|_| wrong("the server of the document has no usable address"))?;
    let host = url.host_str().ok_or_else(|| wrong("the server of the document has no host"))?;
    let (protocol, is_secure) = match spoken.as_str() {
        "http" => (Protocol::Http, url.scheme() == "https"),
        "https" => (Protocol::Http, true),
        "nats" => (Protocol::Nats, matches!(url.scheme(), "tls" | "nats+tls")),
        "amqp" => (Protocol::Amqp, url.scheme() == "amqps"),
        "amqps" => (Protocol::Amqp, true),
        _ => return Err(wrong("messages are published over http, nats and amqp")),
    };
    let path = if is_old { url.path().to_owned() } else { text("pathname").unwrap_or_default() };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Place {
        protocol,
        is_secure,
        host,
        port: url.port(),
        path,
        address,
        exchange: exchange.map(str::to_owned),
    })
}

fn channel<'d>(root: &'d Value, target: &Target) -> Result<(String, &'d Value), Failure> {
    let named = |name: &str| {
        let channel = root.get("channels").and_then(|channels| channels.get(name));
        channel.ok_or_else(|| wrong(format!("the document has no channel `{name}`")))
    };
    match target {
        Target::Channel(name) => Ok((name.clone(), resolved(root, named(name)?)?)),
        Target::Operation(name) => {
            let operation = root.get("operations").and_then(|operations| operations.get(name));
            let operation =
                operation.ok_or_else(|| wrong(format!("the document has no operation `{name}`")))?;
            let channel = resolved(root, operation)?.get("channel");
            let channel = channel.ok_or_else(|| wrong(format!("the operation `{name}` has no channel")))?;
            let reference = channel.get("$ref").and_then(Value::as_str).unwrap_or_default();
            let short = reference.rsplit('/').next().unwrap_or_default();
            Ok((short.replace("~1", "/").replace("~0", "~"), resolved(root, channel)?))
        }
    }
}

fn resolved<'d>(root: &'d Value, mut node: &'d Value) -> Result<&'d Value, Failure> {
    for _ in 0..MAX_REFERENCES {
        let Some(reference) = node.get("$ref").and_then(Value::as_str) else { return Ok(node) };
        let pointer = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        node = pointer.ok_or_else(|| wrong("the document refers to what it does not hold"))?;
    }
    Err(wrong("the document refers to itself without end"))
}

/// The server that is named, or the first that speaks a protocol that is wanted.
fn server<'d>(root: &'d Value, call: &AsyncApiCall) -> Result<&'d Value, Failure> {
    let servers = root.get("servers").and_then(Value::as_object).into_iter().flatten();
    for (name, server) in servers {
        let server = resolved(root, server)?;
        let spoken = server.get("protocol").and_then(Value::as_str).unwrap_or_default();
        let is_named = call.server.as_ref().is_none_or(|(wanted, _)| wanted == name);
        let is_spoken =
            call.protocol.is_none_or(|wanted| spoken.trim_end_matches('s') == wanted.trim_end_matches('s'));
        let is_known = matches!(spoken, "http" | "https" | "nats" | "amqp" | "amqps");
        if is_named && is_spoken && (is_known || call.server.is_some()) {
            return Ok(server);
        }
    }
    Err(wrong("the document has no such server"))
}

/// A text with the variables of a server in their places.
fn filled(text: &str, server: &Value, call: &AsyncApiCall) -> String {
    let mut text = text.to_owned();
    for (name, variable) in server.get("variables").and_then(Value::as_object).into_iter().flatten() {
        let given =
            call.server.as_ref().and_then(|(_, variables)| variables.get(name)).and_then(Value::as_str);
        let value = given.or_else(|| variable.get("default").and_then(Value::as_str)).unwrap_or_default();
        text = text.replace(&format!("{{{name}}}"), value);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // everything here is a test

    use trunkline_model::Secret;

    use super::super::login::UserPassword;
    use super::*;

    fn call(target: Target, server: Option<&str>) -> AsyncApiCall {
        let Value::Object(variables) = json!({"region": "eu"}) else { panic!() };
        AsyncApiCall {
            document: Resource { url: "http://docs.test/a".to_owned(), login: None },
            target,
            server: server.map(|name| (name.to_owned(), variables)),
            protocol: None,
            payload: json!({"n": 1}),
            headers: Map::new(),
        }
    }

    #[test]
    fn old_and_new_documents_lead_to_the_same_places() {
        let old = json!({"asyncapi": "2.6.0", "servers": {
                "k": {"url": "kafka.test", "protocol": "kafka"},
                "n": {"url": "{region}.nats.test:4333", "protocol": "nats", "variables": {"region": {"default": "us"}}}},
            "channels": {"orders.made": {}}});
        let expect = |host: &str| Place {
            protocol: Protocol::Nats,
            is_secure: false,
            host: host.to_owned(),
            port: Some(4333),
            path: String::new(),
            address: "orders.made".to_owned(),
            exchange: None,
        };
        let channel = Target::Channel("orders.made".to_owned());
        assert_eq!(place(&old, &call(channel.clone(), None)).unwrap(), expect("us.nats.test"));
        assert_eq!(place(&old, &call(channel.clone(), Some("n"))).unwrap(), expect("eu.nats.test"));
        assert!(
            place(&old, &call(channel, Some("k")))
                .unwrap_err()
                .detail
                .unwrap()
                .contains("http, nats and amqp")
        );
        let new = json!({"asyncapi": "3.0.0", "servers": {"r": {"host": "rabbit.test", "protocol": "amqps", "pathname": "/shop"}},
            "channels": {"made": {"address": "orders.made", "bindings": {"amqp": {"is": "routingKey", "exchange": {"name": "x"}}}}},
            "operations": {"tell": {"action": "send", "channel": {"$ref": "#/channels/made"}}}});
        let found = place(&new, &call(Target::Operation("tell".to_owned()), None)).unwrap();
        let login = Login::Basic(UserPassword { username: "u".to_owned(), password: Secret::new("p") });
        let expect = json!({"host": "rabbit.test", "tls": true, "username": "u", "password": "p", "routing_key": "orders.made",
            "vhost": "shop", "exchange": "x"});
        assert_eq!(settings(&found, Some(&login)).unwrap(), ("amqp", expect));
        let missing = place(&new, &call(Target::Channel("none".to_owned()), None)).unwrap_err();
        assert_eq!(missing.detail.as_deref(), Some("the document has no channel `none`"));
    }
}
