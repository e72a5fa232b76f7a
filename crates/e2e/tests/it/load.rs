//! Load that remembers what was acknowledged: the sender's side of every promise.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use ring::hmac;
use trunkline_connect::{EgressPolicy, HttpClient, OutboundRequest, Target};
use trunkline_model::{Clock as _, SystemClock};

use crate::hub::{Hub, SOURCE_SECRET, client};

/// What the senders know.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    next: Arc<AtomicU64>,
    /// Message id → request id of the acknowledgement.
    pub(crate) acknowledged: Arc<Mutex<HashMap<String, String>>>,
    /// Message ids sent without an answer: whether they were stored is not known.
    pub(crate) unanswered: Arc<Mutex<Vec<String>>>,
    /// Statuses other than 202.
    pub(crate) refused: Arc<Mutex<Vec<u16>>>,
}

/// The body sent under a message id. Its data names the message, so that the event can be found by it.
pub(crate) fn body(message: &str) -> Bytes {
    format!(r#"{{"type":"load.sent","timestamp":"2026-01-01T00:00:00Z","data":{{"message":"{message}"}}}}"#)
        .into()
}

/// Sends one signed webhook; gives the status and the request id, or nothing when no answer came.
pub(crate) async fn send(client: &HttpClient, url: &str, message: &str) -> Option<(u16, String)> {
    send_to(client, &format!("{url}/in/load"), SOURCE_SECRET, message, body(message)).await
}

/// The same to any source, with any body.
pub(crate) async fn send_to(
    client: &HttpClient,
    url: &str,
    secret: &str,
    message: &str,
    body: Bytes,
) -> Option<(u16, String)> {
    let timestamp = SystemClock.now().as_secs();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64.decode(secret.trim_start_matches("whsec_")).unwrap());
    let signed = [format!("{message}.{timestamp}.").as_bytes(), &body].concat();
    let signature = format!("v1,{}", BASE64.encode(hmac::sign(&key, &signed)));
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("webhook-id", HeaderValue::from_str(message).unwrap());
    headers.insert("webhook-timestamp", HeaderValue::from_str(&timestamp.to_string()).unwrap());
    headers.insert("webhook-signature", HeaderValue::from_str(&signature).unwrap());
    let policy = EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let request = OutboundRequest {
        method: Method::POST,
        target: Target::parse(url, &policy).unwrap(),
        headers,
        body,
        timeout: Duration::from_secs(10),
        response_limit_bytes: 64 << 10,
    };
    let answer = client.send(request).await.ok()?;
    let json: serde_json::Value = serde_json::from_slice(&answer.body_head).unwrap_or_default();
    Some((answer.status.as_u16(), json["id"].as_str().unwrap_or("").to_owned()))
}

impl Ledger {
    async fn send(&self, client: &HttpClient, url: &str, message: String) -> bool {
        match send(client, url, &message).await {
            Some((202, id)) => {
                let before = self.acknowledged.lock().unwrap().insert(message.clone(), id.clone());
                assert!(
                    before.is_none_or(|first| first == id),
                    "{message} was acknowledged under two request ids"
                );
                true
            }
            Some((status, _)) => {
                self.refused.lock().unwrap().push(status);
                self.unanswered.lock().unwrap().push(message);
                // As a good sender does; one that hammers a hub in trouble is no help to anybody.
                tokio::time::sleep(Duration::from_millis(50)).await;
                true
            }
            None => {
                self.unanswered.lock().unwrap().push(message);
                false
            }
        }
    }

    /// Sends from `n_connections` connections until the hub stops answering.
    pub(crate) fn spawn(&self, hub: &Hub, n_connections: usize) -> Vec<tokio::task::JoinHandle<()>> {
        (0..n_connections)
            .map(|_| {
                let (ledger, url, client) = (self.clone(), hub.url().to_owned(), client());
                tokio::spawn(async move {
                    loop {
                        let n = ledger.next.fetch_add(1, Ordering::Relaxed);
                        if !ledger.send(&client, &url, format!("msg_{n:08}")).await {
                            break;
                        }
                    }
                })
            })
            .collect()
    }

    /// Sends again what got no answer, under the same ids, as every good sender does.
    pub(crate) async fn retry_unanswered(&self, hub: &Hub) {
        let messages = std::mem::take(&mut *self.unanswered.lock().unwrap());
        let client = client();
        for message in messages {
            assert!(self.send(&client, hub.url(), message).await, "the restarted hub answers");
        }
    }

    /// How many messages were acknowledged.
    pub(crate) fn n_acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }
}
