//! The demo's receiver: an ordinary HTTP server that checks every signature itself and writes down what it got.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{OriginalUri, State};
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use trunkline_model::{Clock as _, Secret, SystemClock};

use crate::client::signature;

/// Takes everything at once.
pub(super) const STEADY: &str = "/steady";
/// Fails a few times before it recovers.
pub(super) const FLAKY: &str = "/flaky";
/// How far a timestamp may be from now, in seconds.
const TOLERANCE_S: i64 = 300;

/// One call as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) path: String,
    pub(super) webhook_id: String,
    pub(super) is_verified: bool,
    pub(super) status: u16,
    pub(super) body: Bytes,
}

#[derive(Default)]
struct Log {
    secrets: HashMap<String, Secret>,
    received: Vec<Received>,
    n_failures_left: usize,
}

/// A running receiver.
pub(super) struct Receiver {
    addr: SocketAddr,
    log: Arc<Mutex<Log>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Starts on a port of the system's choice; [`FLAKY`] fails `n_failures` times.
    pub(super) async fn start(n_failures: usize) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("the receiver has no port")?;
        let addr = listener.local_addr()?;
        let log = Arc::new(Mutex::new(Log { n_failures_left: n_failures, ..Log::default() }));
        let app = Router::new()
            .route(STEADY, post(receive))
            .route(FLAKY, post(receive))
            .with_state(Arc::clone(&log));
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let until = async move { drop(stopped.await) };
            if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(until).await {
                tracing::error!(%error, "the demo's receiver ended badly");
            }
        });
        Ok(Self { addr, log, stop, task })
    }

    /// The URL of a path.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// From now on calls to `path` are checked with this secret.
    pub(super) fn trust(&self, path: &str, secret: &str) {
        locked(&self.log).secrets.insert(path.to_owned(), Secret::new(secret));
    }

    /// What has arrived at a path, in order.
    pub(super) fn received(&self, path: &str) -> Vec<Received> {
        locked(&self.log).received.iter().filter(|received| received.path == path).cloned().collect()
    }

    /// Stops. Idle connections of the hub are gone by now, so that this returns at once.
    pub(super) async fn stop(self) {
        let _ = self.stop.send(());
        self.task.abort();
        let _ = self.task.await;
    }
}

fn locked(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn receive(
    State(log): State<Arc<Mutex<Log>>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let path = uri.path().to_owned();
    let mut log = locked(&log);
    let is_verified = log.secrets.get(&path).is_some_and(|secret| verify(secret, &headers, &body));
    let status = if !is_verified {
        StatusCode::UNAUTHORIZED
    } else if path == FLAKY && log.n_failures_left > 0 {
        log.n_failures_left -= 1;
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::NO_CONTENT
    };
    let webhook_id = header(&headers, "webhook-id").to_owned();
    log.received.push(Received { path, webhook_id, is_verified, status: status.as_u16(), body });
    status
}

fn verify(secret: &Secret, headers: &HeaderMap, body: &[u8]) -> bool {
    let (id, timestamp) = (header(headers, "webhook-id"), header(headers, "webhook-timestamp"));
    let is_fresh =
        timestamp.parse::<i64>().is_ok_and(|at| (SystemClock.now().as_secs() - at).abs() <= TOLERANCE_S);
    let fits = signature::fits(secret, (id, timestamp), body, header(headers, "webhook-signature"));
    is_fresh && !id.is_empty() && fits.unwrap_or(false)
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
