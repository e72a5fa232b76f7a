//! A hub without engines: store, tokens of every role in two tenants, and calls without a socket.
//!
//! The store is SQLite, or PostgreSQL when `TRUNKLINE_TEST_STORE` is `postgres`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use trunkline_api::auth::Role;
use trunkline_api::auth::token::{NewToken, create};
use trunkline_api::catalogue::EventCatalogue;
use trunkline_api::seams::{Deliveries, EngineError, PlannedDelivery, Rejudge, Rejudged};
use trunkline_api::{ApiLimits, ApiMetrics, ApiParts, ApiState, router};
use trunkline_connect::{BoxFuture, EgressPolicy};
use trunkline_journal::Journal;
use trunkline_model::{
    Clock, DeliveryId, EndpointId, EventRecord, InboundId, ManualClock, Tenant, Timestamp,
};
use trunkline_store::Store;
use trunkline_store::tables::inbound::Verdict;
use trunkline_testkit::TestStore;

/// Stands in for dispatch and ingest; notes what was asked.
#[derive(Debug, Default)]
pub(crate) struct FakeEngines {
    pub(crate) asked: Mutex<Vec<String>>,
}

impl FakeEngines {
    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }
}

impl Deliveries for FakeEngines {
    fn replay<'a>(
        &'a self,
        event: &'a EventRecord,
        endpoint_id: Option<&'a EndpointId>,
    ) -> BoxFuture<'a, Result<Vec<PlannedDelivery>, EngineError>> {
        self.note(format!("replay {}", event.event.id));
        let endpoint_id = endpoint_id.cloned().unwrap_or_else(EndpointId::fresh);
        Box::pin(async { Ok(vec![PlannedDelivery { id: DeliveryId::fresh(), endpoint_id }]) })
    }

    fn send_test<'a>(
        &'a self,
        _: &'a Tenant,
        endpoint_id: &'a EndpointId,
    ) -> BoxFuture<'a, Result<DeliveryId, EngineError>> {
        self.note(format!("test {endpoint_id}"));
        Box::pin(async { Ok(DeliveryId::fresh()) })
    }

    fn retry<'a>(
        &'a self,
        _: &'a Tenant,
        delivery_id: &'a DeliveryId,
    ) -> BoxFuture<'a, Result<DeliveryId, EngineError>> {
        self.note(format!("retry {delivery_id}"));
        Box::pin(async { Ok(delivery_id.clone()) })
    }

    fn endpoints_changed(&self) -> BoxFuture<'_, ()> {
        self.note("endpoints changed".to_owned());
        Box::pin(async {})
    }
}

impl Rejudge for FakeEngines {
    fn rejudge<'a>(
        &'a self,
        _: &'a Tenant,
        id: &'a InboundId,
    ) -> BoxFuture<'a, Result<Rejudged, EngineError>> {
        self.note(format!("rejudge {id}"));
        let event_id = id.to_event();
        Box::pin(async { Ok(Rejudged { verdict: Verdict::Accepted, event_id, reason: String::new() }) })
    }
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Answer {
    /// The problem code, or an empty text.
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Pointers of every bad field, sorted.
    pub(crate) fn pointers(&self) -> Vec<String> {
        let errors = self.body["errors"].as_array().cloned().unwrap_or_default();
        let mut all: Vec<String> =
            errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect();
        all.sort();
        all
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

/// A call being put together.
pub(crate) struct Call<'a> {
    hub: &'a Hub,
    request: http::request::Builder,
    body: Vec<u8>,
}

impl Call<'_> {
    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self { request: self.request.header(name, value), ..self }
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.bytes("application/json", &serde_json::to_vec(body).unwrap())
    }

    pub(crate) fn bytes(self, content_type: &str, body: &[u8]) -> Self {
        Self { body: body.to_vec(), ..self.header("content-type", content_type) }
    }

    pub(crate) async fn send(self) -> Answer {
        let request = self.request.body(Body::from(self.body)).unwrap();
        let response = self.hub.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 16 * 1024 * 1024).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, body, text }
    }
}

/// A hub under test.
pub(crate) struct Hub {
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) engines: Arc<FakeEngines>,
    pub(crate) draining: CancellationToken,
    pub(crate) catalogue: EventCatalogue,
    router: Router,
    tokens: BTreeMap<(String, &'static str), String>,
    _home: TestStore,
}

/// The tenant that tests work in.
pub(crate) fn tenant() -> Tenant {
    Tenant::parse("acme").unwrap()
}

impl Hub {
    pub(crate) async fn start() -> Self {
        let home = match std::env::var("TRUNKLINE_TEST_STORE").as_deref() {
            Ok("postgres") => TestStore::postgres().await.expect("the store asked for is reachable"),
            _ => TestStore::sqlite().await,
        };
        let store = home.store.clone();
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_secs(1_800_000_000)));
        let engines = Arc::new(FakeEngines::default());
        let draining = CancellationToken::new();
        let mut registry = Registry::default();
        let metrics = ApiMetrics::register(&mut registry);
        let catalogue = EventCatalogue::default();
        let state = ApiState::new(ApiParts {
            journal: Journal::new(store.clone(), Arc::clone(&clock) as Arc<dyn Clock>),
            node_id: "node-1".to_owned(),
            deliveries: Arc::clone(&engines) as Arc<dyn Deliveries>,
            rejudge: Arc::clone(&engines) as Arc<dyn Rejudge>,
            catalogue: catalogue.clone(),
            egress: EgressPolicy::default(),
            registry: Arc::new(registry),
            metrics,
            draining: draining.clone(),
            limits: ApiLimits { body_bytes: 64 * 1024, event_bytes: 16 * 1024, ..ApiLimits::default() },
        });
        let mut tokens = BTreeMap::new();
        for tenant in ["acme", "other"] {
            for role in Role::ALL {
                let new = NewToken {
                    tenant: Tenant::parse(tenant).unwrap(),
                    name: "test".to_owned(),
                    role,
                    lifetime: None,
                };
                let (_, secret) = create(&store, new, clock.now()).await.unwrap();
                tokens.insert((tenant.to_owned(), role.as_str()), secret.expose().to_owned());
            }
        }
        Self { store, clock, engines, draining, catalogue, router: router(state), tokens, _home: home }
    }

    /// The token of a role in the tenant of the tests.
    pub(crate) fn token(&self, role: &'static str) -> &str {
        &self.tokens[&("acme".to_owned(), role)]
    }

    /// An admin of another tenant.
    pub(crate) fn stranger(&self) -> &str {
        &self.tokens[&("other".to_owned(), "admin")]
    }

    pub(crate) fn call(&self, method: Method, path: &str) -> Call<'_> {
        Call { hub: self, request: Request::builder().method(method).uri(path), body: Vec::new() }
    }

    /// The whole answer to a request, its body not read yet.
    pub(crate) async fn answer(&self, request: Request<Body>) -> axum::response::Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Reads as admin.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path).token(self.token("admin")).send().await
    }

    /// Posts JSON as admin.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path).token(self.token("admin")).json(body).send().await
    }

    /// Emits an event and moves the clock a little.
    pub(crate) async fn emit(&self, id: &str, event_type: &str) -> Answer {
        self.clock.advance(Duration::from_millis(1));
        let event =
            serde_json::json!({ "specversion": "1.0", "id": id, "source": "/tests", "type": event_type });
        self.post("/api/v1/events", &event).await
    }
}
