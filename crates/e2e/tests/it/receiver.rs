//! A receiver of deliveries that verifies every signature by itself and counts per webhook-id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use ring::hmac;

/// What came in under one webhook-id.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// How often.
    pub(crate) count: usize,
    /// The body; the same each time.
    pub(crate) body: Bytes,
    /// The headers of the latest time.
    pub(crate) headers: HeaderMap,
}

/// How a receiver takes what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Manners {
    /// Takes everything.
    #[default]
    Good,
    /// Takes two of three attempts; the others get a 500, a 503 or no answer within the endpoint's timeout.
    Moody,
}

/// Longer than any endpoint's timeout here.
const NO_ANSWER: Duration = Duration::from_secs(20);

/// Says what is answered to a body.
type Judge = Box<dyn Fn(&serde_json::Value) -> StatusCode + Send>;

#[derive(Default)]
struct State {
    manners: Manners,
    judge: Option<Judge>,
    n_attempts: u64,
    /// Bodies in the order in which they were taken for the first time.
    order: Vec<Bytes>,
    by_id: HashMap<String, Received>,
    faults: Vec<String>,
    key: Option<hmac::Key>,
}

/// A receiver on a port of its own.
#[derive(Clone)]
pub(crate) struct Receiver {
    state: Arc<Mutex<State>>,
    /// Where it listens.
    pub(crate) url: String,
}

impl Receiver {
    /// Starts a receiver that takes everything.
    pub(crate) async fn start() -> Self {
        Self::start_with(Manners::Good).await
    }

    /// Starts a receiver.
    pub(crate) async fn start_with(manners: Manners) -> Self {
        let state = Arc::new(Mutex::new(State { manners, ..State::default() }));
        let shared = Arc::clone(&state);
        let app = axum::Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
            let shared = Arc::clone(&shared);
            async move {
                let status = shared.lock().unwrap().take(&headers, &body);
                if status == StatusCode::REQUEST_TIMEOUT {
                    tokio::time::sleep(NO_ANSWER).await;
                }
                status
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { state, url }
    }

    /// Sets the secret that signatures are checked with.
    pub(crate) fn expect_secret(&self, secret: &str) {
        let bytes = BASE64.decode(secret.trim_start_matches("whsec_")).unwrap();
        self.state.lock().unwrap().key = Some(hmac::Key::new(hmac::HMAC_SHA256, &bytes));
    }

    /// Answers each body as `judge` says from now on. What is not answered 2xx counts as not received.
    pub(crate) fn answer(&self, judge: impl Fn(&serde_json::Value) -> StatusCode + Send + 'static) {
        self.state.lock().unwrap().judge = Some(Box::new(judge));
    }

    /// How many attempts came in, whatever was answered.
    pub(crate) fn n_attempts(&self) -> u64 {
        self.state.lock().unwrap().n_attempts
    }

    /// Everything received so far, by webhook-id.
    pub(crate) fn received(&self) -> HashMap<String, Received> {
        let state = self.state.lock().unwrap();
        assert!(state.faults.is_empty(), "bad deliveries: {:?}", &state.faults[..state.faults.len().min(5)]);
        state.by_id.clone()
    }

    /// The bodies in the order in which they were first taken.
    pub(crate) fn order(&self) -> Vec<Bytes> {
        self.state.lock().unwrap().order.clone()
    }

    /// Waits until an event is there.
    pub(crate) async fn wait_for_event(&self, id: &str) {
        let arrived = async {
            while !self.received().contains_key(id) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let arrived = tokio::time::timeout(Duration::from_mins(1), arrived).await;
        assert!(arrived.is_ok(), "{id} was not delivered in a minute");
    }

    /// Waits until this many different events are there.
    pub(crate) async fn wait_for(&self, n: usize) {
        let arrived = async {
            while self.received().len() < n {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let arrived = tokio::time::timeout(Duration::from_mins(1), arrived).await;
        assert!(arrived.is_ok(), "{} of {n} events were delivered in a minute", self.received().len());
    }
}

impl State {
    fn take(&mut self, headers: &HeaderMap, body: &Bytes) -> StatusCode {
        let text =
            |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
        let id = text("webhook-id");
        let signed = [format!("{id}.{}.", text("webhook-timestamp")).as_bytes(), body].concat();
        let verified = self.key.as_ref().is_some_and(|key| {
            text("webhook-signature")
                .split(' ')
                .filter_map(|one| BASE64.decode(one.strip_prefix("v1,")?).ok())
                .any(|mac| hmac::verify(key, &signed, &mac).is_ok())
        });
        if !verified {
            self.faults.push(format!("{id}: the signature does not verify"));
        }
        self.n_attempts += 1;
        if let Some(status) = self.refusal(body).or_else(|| self.mood()) {
            return status;
        }
        if !self.by_id.contains_key(&id) {
            self.order.push(body.clone());
        }
        let fresh = || Received { count: 0, body: body.clone(), headers: HeaderMap::new() };
        let known = self.by_id.entry(id.clone()).or_insert_with(fresh);
        known.count += 1;
        known.headers = headers.clone();
        if known.body != *body {
            self.faults.push(format!("{id}: another body on a later attempt"));
        }
        StatusCode::OK
    }

    /// What is answered to this body when it is not taken.
    fn refusal(&self, body: &Bytes) -> Option<StatusCode> {
        let judge = self.judge.as_ref()?;
        let status = judge(&serde_json::from_slice(body).unwrap_or_default());
        (!status.is_success()).then_some(status)
    }

    /// What is answered to this attempt when it is not taken; differs from one to the next without a random number.
    fn mood(&self) -> Option<StatusCode> {
        let roll = self.n_attempts.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        match (self.manners, roll % 30) {
            (Manners::Moody, 0..=5) => Some(StatusCode::INTERNAL_SERVER_ERROR),
            (Manners::Moody, 6..=8) => Some(StatusCode::SERVICE_UNAVAILABLE),
            (Manners::Moody, 9) => Some(StatusCode::REQUEST_TIMEOUT),
            _ => None,
        }
    }
}
