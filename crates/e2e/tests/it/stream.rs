//! A reader of the hub's stream of events, as EventSource clients read it.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use trunkline_connect::{Dialer, EgressPolicy, SystemResolver};
use url::Url;

use crate::hub::{ADMIN_TOKEN, Hub};

/// How long the next event may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// One event with the place behind it.
#[derive(Debug)]
pub(crate) struct Streamed {
    pub(crate) id: String,
    pub(crate) event: Value,
}

/// An open stream.
pub(crate) struct EventStream {
    body: Incoming,
    /// What has come and is no whole block yet.
    rest: String,
    last_comment: String,
}

impl EventStream {
    /// Opens a stream of these patterns: now, or behind an id.
    pub(crate) async fn open(hub: &Hub, patterns: &str, last_id: Option<&str>) -> Self {
        let policy = EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let limit = Duration::from_secs(10);
        let dialer = Dialer::new(policy, Arc::new(SystemResolver::new()), limit, limit);
        let url = Url::parse(hub.url()).unwrap();
        let dialed = dialer.dial(url.host_str().unwrap(), url.port().unwrap()).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(dialed.tcp)).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get(format!("/api/v1/events/stream?events={patterns}"))
            .header("host", "hub")
            .header("authorization", format!("Bearer {ADMIN_TOKEN}"));
        let request = match last_id {
            Some(id) => request.header("last-event-id", id),
            None => request,
        };
        let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { body: answer.into_body(), rest: String::new(), last_comment: String::new() }
    }

    /// The next event; nothing when the hub has ended the stream.
    pub(crate) async fn next(&mut self) -> Option<Streamed> {
        loop {
            let block = self.block().await?;
            if let Some(comment) = block.strip_prefix(": ") {
                comment.clone_into(&mut self.last_comment);
            }
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            if let (Some(id), Some(data)) = (field("id: "), field("data: ")) {
                let event = serde_json::from_str(data).unwrap();
                return Some(Streamed { id: id.to_owned(), event });
            }
        }
    }

    /// Reads to the end; gives the last comment, which says why.
    pub(crate) async fn end(mut self) -> String {
        while self.next().await.is_some() {}
        self.last_comment
    }

    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.rest.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.rest = rest;
                return Some(block);
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("something comes");
            // A broken connection ends it too.
            let data = frame?.ok()?.into_data().unwrap_or_default();
            self.rest.push_str(std::str::from_utf8(&data).unwrap());
        }
    }
}
