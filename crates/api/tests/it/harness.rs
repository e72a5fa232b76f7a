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
use trunkline_api::seams::{Circuit, Deliveries, EngineError, PlannedDelivery, Rejudge, Rejudged};
use trunkline_api::{ApiLimits, ApiMetrics, ApiParts, ApiState, CorsOrigins, Sending, router};
use trunkline_connect::{BoxFuture, EgressPolicy, SendError, Target};
use trunkline_dispatch::engine::Sample;
use trunkline_flow::engine::effects::{EffectCall, Effects};
use trunkline_flow::engine::input::Failure;
use trunkline_flow::engine::metrics::FlowMetrics;
use trunkline_flow::engine::{Engine, EngineLimits, EngineOptions};
use trunkline_journal::Journal;
use trunkline_journal::ownership::{self, OwnershipOptions};
use trunkline_model::{
    Clock, DeliveryId, EndpointId, ErrorCode, EventRecord, InboundId, ManualClock, Tenant, Timestamp,
};
use trunkline_store::Store;
use trunkline_store::tables::inbound::Verdict;
use trunkline_testkit::TestStore;

/// Stands in for dispatch and ingest; notes what was asked.
#[derive(Debug)]
pub(crate) struct FakeEngines {
    pub(crate) asked: Mutex<Vec<String>>,
    pub(crate) circuit: Mutex<Circuit>,
    /// What retries and skips are refused with.
    pub(crate) refuses: Mutex<Option<ErrorCode>>,
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
        sample: Option<Sample>,
    ) -> BoxFuture<'a, Result<DeliveryId, EngineError>> {
        let sample = sample.map(|sample| format!(" as {} {}", sample.event_type.as_str(), sample.data));
        self.note(format!("test {endpoint_id}{}", sample.unwrap_or_default()));
        Box::pin(async { Ok(DeliveryId::fresh()) })
    }

    fn retry<'a>(
        &'a self,
        _: &'a Tenant,
        delivery_id: &'a DeliveryId,
    ) -> BoxFuture<'a, Result<DeliveryId, EngineError>> {
        self.note(format!("retry {delivery_id}"));
        let refusal = *self.refuses.lock().unwrap();
        Box::pin(async move { refusal.map_or(Ok(delivery_id.clone()), |code| Err(code.into())) })
    }

    fn skip<'a>(
        &'a self,
        _: &'a Tenant,
        delivery_id: &'a DeliveryId,
    ) -> BoxFuture<'a, Result<(), EngineError>> {
        self.note(format!("skip {delivery_id}"));
        let refusal = *self.refuses.lock().unwrap();
        Box::pin(async move { refusal.map_or(Ok(()), |code| Err(code.into())) })
    }

    fn vet<'a>(&'a self, _: &'a Tenant, target: &'a Target) -> BoxFuture<'a, Result<(), SendError>> {
        let found = match target.host() {
            "inside.example" => {
                let refused = EgressPolicy::default().check([10, 0, 0, 1].into()).unwrap_err();
                Err(SendError::Blocked(refused))
            }
            "nowhere.example" => Err(SendError::DnsEmpty),
            _ => Ok(()),
        };
        Box::pin(std::future::ready(found))
    }

    fn circuit(&self, _: &EndpointId) -> Circuit {
        *self.circuit.lock().unwrap()
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

/// A world in which every call of a workflow gives nothing.
struct Nothing;

impl Effects for Nothing {
    fn run(&self, _: EffectCall) -> BoxFuture<'_, Result<Value, Failure>> {
        Box::pin(async { Ok(Value::Null) })
    }
}

/// Runs the workflow engine on every shard.
async fn workflows(journal: &Journal) -> Engine {
    let hour = Duration::from_hours(1);
    let options = OwnershipOptions { lease_for: hour * 2, renew_every: hour };
    let (ownership, _) = ownership::keep(journal.clone(), "node-1".into(), options, CancellationToken::new());
    let n_shards = journal.n_shards() as usize;
    ownership.owned().wait_for(|owned| owned.len() == n_shards).await.unwrap();
    let options = EngineOptions {
        outlets: trunkline_flow::catalog::Outlets::default(),
        journal: journal.clone(),
        ownership,
        effects: Arc::new(Nothing),
        secrets: Arc::new(trunkline_model::NoSecrets),
        limits: EngineLimits::default(),
        metrics: FlowMetrics::default(),
    };
    Engine::start(options, CancellationToken::new())
}

/// A hub under test.
pub(crate) struct Hub {
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) engines: Arc<FakeEngines>,
    pub(crate) draining: CancellationToken,
    pub(crate) catalogue: EventCatalogue,
    pub(crate) state: ApiState,
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
        Self::start_with(|_| {}).await
    }

    /// The same with other limits.
    pub(crate) async fn start_with(change: impl FnOnce(&mut ApiLimits)) -> Self {
        let mut limits = ApiLimits {
            body_bytes: 64 * 1024,
            event_bytes: 16 * 1024,
            endpoints: 200,
            endpoints_by_portal: 3,
            ..ApiLimits::default()
        };
        change(&mut limits);
        let home = match std::env::var("TRUNKLINE_TEST_STORE").as_deref() {
            Ok("postgres") => TestStore::postgres().await.expect("the store asked for is reachable"),
            _ => TestStore::sqlite().await,
        };
        let store = home.store.clone();
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_secs(1_800_000_000)));
        let engines = Arc::new(FakeEngines {
            asked: Mutex::default(),
            circuit: Mutex::new(Circuit::Closed),
            refuses: Mutex::default(),
        });
        let draining = CancellationToken::new();
        let mut registry = Registry::default();
        let metrics = ApiMetrics::register(&mut registry);
        let catalogue = EventCatalogue::default();
        let journal = Journal::new(store.clone(), Arc::clone(&clock) as Arc<dyn Clock>);
        let state = ApiState::new(ApiParts {
            workflows: workflows(&journal).await,
            journal,
            node_id: "node-1".to_owned(),
            deliveries: Arc::clone(&engines) as Arc<dyn Deliveries>,
            rejudge: Arc::clone(&engines) as Arc<dyn Rejudge>,
            ledger: Arc::new(trunkline_logistics::ledger::OwnLedger),
            eta: Arc::default(),
            catalogue: catalogue.clone(),
            egress: EgressPolicy::default().into(),
            sending: Sending::default(),
            registry: Arc::new(registry),
            metrics,
            draining: draining.clone(),
            cors: CorsOrigins::new(["https://portal.example"]),
            limits,
        });
        let mut tokens = BTreeMap::new();
        for tenant in ["acme", "other"] {
            for role in Role::ALL {
                let new = NewToken {
                    person: None,
                    rooms: Vec::new(),
                    tenant: Tenant::parse(tenant).unwrap(),
                    name: "test".to_owned(),
                    role,
                    lifetime: None,
                };
                let (_, secret) = create(&store, new, clock.now()).await.unwrap();
                tokens.insert((tenant.to_owned(), role.as_str()), secret.expose().to_owned());
            }
        }
        let router = router(state.clone(), Router::new());
        Self { store, clock, engines, draining, catalogue, state, router, tokens, _home: home }
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
