//! Factories, messages and peers for the tests.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use trunkline_connect::{BoxFuture, ClientConfig, EgressPolicy, HttpClient, Resolver};
use trunkline_model::{EventType, Tenant, Timestamp};
use trunkline_sinks::{Sink, SinkContext, SinkError, SinkFactory, SinkMessage, SinkReceipt, SinkSettings};

/// More than any test needs.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Names and what they resolve to.
pub(crate) struct Names(HashMap<String, Vec<IpAddr>>);

impl Names {
    pub(crate) fn new(names: &[(&str, &str)]) -> Arc<Self> {
        let mut map: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for (name, address) in names {
            map.entry((*name).to_owned()).or_default().push(address.parse().unwrap());
        }
        Arc::new(Self(map))
    }
}

impl Resolver for Names {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let answers = self.0.get(host).cloned();
        Box::pin(async move { answers.ok_or_else(|| io::Error::other("no such name")) })
    }
}

pub(crate) fn loopback() -> EgressPolicy {
    EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()])
}

pub(crate) fn context(egress: EgressPolicy, names: &[(&str, &str)]) -> SinkContext {
    let resolver = Names::new(names);
    let client =
        HttpClient::with_resolver(&ClientConfig::default(), egress.clone(), Arc::clone(&resolver) as _);
    SinkContext { resolver, ..SinkContext::new(egress, Arc::new(client.unwrap())) }
}

/// A factory that may reach loopback.
pub(crate) fn factory() -> SinkFactory {
    SinkFactory::new(context(loopback(), &[])).unwrap()
}

pub(crate) fn settings(kind: &str, value: &Value) -> SinkSettings {
    SinkSettings::parse(kind, value).unwrap()
}

pub(crate) fn open(kind: &str, value: &Value) -> Arc<dyn Sink> {
    factory().open(&settings(kind, value))
}

pub(crate) fn message(id: &str) -> SinkMessage {
    let mut headers = HeaderMap::new();
    headers.insert("webhook-signature", HeaderValue::from_static("v1,c2lnbmVk"));
    SinkMessage {
        id: id.to_owned(),
        event_type: EventType::parse("order.paid").unwrap(),
        tenant: Tenant::default(),
        subject: Some("order/7".to_owned()),
        time: Timestamp::parse_rfc3339("2026-01-31T12:00:00Z").unwrap(),
        content_type: HeaderValue::from_static("application/json"),
        body: Bytes::from_static(br#"{"type":"order.paid","data":{"total":1.00}}"#),
        headers,
        timeout: LONG,
    }
}

pub(crate) async fn send(sink: &Arc<dyn Sink>, id: &str) -> Result<SinkReceipt, SinkError> {
    sink.send(message(id)).await
}

/// Everything an error could show.
pub(crate) fn all_text(error: &SinkError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        write!(text, " {cause} {cause:?}").unwrap();
        source = cause.source();
    }
    text
}

/// A name that no other test run uses.
pub(crate) fn unique(prefix: &str) -> String {
    let id = trunkline_model::RequestId::fresh().into_string();
    format!("{prefix}_{}_{}", std::process::id(), &id[id.len() - 10..])
}

/// A server whose connections are handled by `serve`; counts them.
pub(crate) struct Peer {
    pub(crate) port: u16,
    n_connections: Arc<AtomicUsize>,
}

impl Peer {
    pub(crate) async fn start<F, S>(serve: S) -> Self
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let n_connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&n_connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream));
            }
        });
        Self { port, n_connections }
    }

    pub(crate) fn count(&self) -> usize {
        self.n_connections.load(Ordering::SeqCst)
    }
}
