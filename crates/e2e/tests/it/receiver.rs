//! A receiver of deliveries that verifies every signature by itself and counts per webhook-id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

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
}

#[derive(Default)]
struct State {
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
    /// Starts the receiver.
    pub(crate) async fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let app = axum::Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
            let shared = Arc::clone(&shared);
            async move { shared.lock().unwrap().take(&headers, &body) }
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

    /// Everything received so far, by webhook-id.
    pub(crate) fn received(&self) -> HashMap<String, Received> {
        let state = self.state.lock().unwrap();
        assert!(state.faults.is_empty(), "bad deliveries: {:?}", &state.faults[..state.faults.len().min(5)]);
        state.by_id.clone()
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
        let known = self.by_id.entry(id.clone()).or_insert(Received { count: 0, body: body.clone() });
        known.count += 1;
        if known.body != *body {
            self.faults.push(format!("{id}: another body on a later attempt"));
        }
        StatusCode::OK
    }
}
