//! A network that answers by the path and keeps what it was sent, and secrets to send.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use trunkline_connect::{
    BoxFuture, EgressPolicy, OutboundRequest, OutboundResponse, SendError, Timings, Transport,
};
use trunkline_model::{Secret, SecretSource, SecretUnavailable, SystemClock, Tenant};

use super::super::effects::{RealWorld, RealWorldOptions};
use super::super::*;

/// A request as it was sent.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) url: String,
    pub(super) method: String,
    pub(super) headers: Map<String, Value>,
    pub(super) body: String,
}

/// An answer: status, headers, body.
pub(super) type Reply = (u16, Vec<(&'static str, String)>, String);

type Script = Box<dyn Fn(&Sent) -> Option<Reply> + Send + Sync>;

/// Answers as the script says, else with the request itself, as JSON.
pub(super) struct Net {
    script: Script,
    sent: Mutex<Vec<Sent>>,
}

impl Net {
    pub(super) fn new(script: impl Fn(&Sent) -> Option<Reply> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { script: Box::new(script), sent: Mutex::default() })
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().clone()
    }

    /// The requests to a path.
    pub(super) fn sent_to(&self, path: &str) -> Vec<Sent> {
        self.sent().into_iter().filter(|sent| sent.url.contains(path)).collect()
    }

    /// The real outside on this network.
    pub(super) fn world(self: &Arc<Self>) -> Arc<RealWorld> {
        self.world_with(|_| {})
    }

    pub(super) fn world_with(self: &Arc<Self>, change: impl FnOnce(&mut RealWorldOptions)) -> Arc<RealWorld> {
        let transport = Arc::clone(self) as Arc<dyn Transport>;
        let mut options = RealWorldOptions::new(transport, EgressPolicy::default(), Arc::new(SystemClock));
        change(&mut options);
        Arc::new(RealWorld::new(options))
    }
}

impl Transport for Net {
    fn send(&self, request: OutboundRequest) -> BoxFuture<'_, Result<OutboundResponse, SendError>> {
        Box::pin(async move {
            let texts = |(name, value): (&http::HeaderName, &HeaderValue)| {
                (name.as_str().to_owned(), Value::from(value.to_str().unwrap_or_default()))
            };
            let sent = Sent {
                url: request.target.uri().to_string(),
                method: request.method.to_string(),
                headers: request.headers.iter().map(texts).collect(),
                body: String::from_utf8_lossy(&request.body).into_owned(),
            };
            self.sent.lock().push(sent.clone());
            let echo = || json!({"url": sent.url, "headers": sent.headers, "body": sent.body}).to_string();
            let json = vec![("content-type", "application/json".to_owned())];
            let (status, headers, body) = (self.script)(&sent).unwrap_or_else(|| (200, json, echo()));
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(name, HeaderValue::from_str(&value).unwrap());
            }
            Ok(OutboundResponse {
                status: StatusCode::from_u16(status).unwrap(),
                version: Version::HTTP_11,
                headers: map,
                body_head: Bytes::from(body),
                truncated: false,
                trailers: HeaderMap::new(),
                timings: Timings { head: Duration::ZERO, total: Duration::ZERO },
                peer: None,
                opened: None,
            })
        })
    }
}

/// Secrets by tenant and name.
#[derive(Default)]
pub(super) struct Given(pub(super) HashMap<(String, String), String>);

impl Given {
    pub(super) fn new(secrets: &[(&str, &str)]) -> Arc<Self> {
        let tenant = super::tenant();
        let entry = |(name, value): &(&str, &str)| {
            ((tenant.as_str().to_owned(), (*name).to_owned()), (*value).to_owned())
        };
        Arc::new(Self(secrets.iter().map(entry).collect()))
    }
}

impl SecretSource for Given {
    fn find<'a>(
        &'a self,
        tenant: &'a Tenant,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Secret>, SecretUnavailable>> + Send + 'a>> {
        let found = self.0.get(&(tenant.as_str().to_owned(), name.to_owned()));
        Box::pin(std::future::ready(Ok(found.map(Secret::new))))
    }
}
