//! Live updates on a store, behind a listener of their own, with a door that knows the tokens of the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::task::JoinHandle;
use trunkline_journal::Journal;
use trunkline_live::{
    Credential, Door, Live, LiveLimits, LiveMetrics, LiveOptions, Principal, PublishRule, Reach, Refusal,
    RoomRule, Rules,
};
use trunkline_model::{Clock, Data, ErrorCode, Event, EventType, Room, SystemClock, Tenant, TokenId};
use trunkline_store::{Appended, NewEvent, Store};

/// A door with the tokens of the tests.
#[derive(Default)]
pub(crate) struct TestDoor {
    tokens: Mutex<BTreeMap<String, Principal>>,
    tickets: Mutex<BTreeSet<String>>,
}

impl TestDoor {
    /// Makes `token`, and the ticket `ticket-<token>`, somebody's.
    pub(crate) fn know(&self, token: &str, principal: Principal) {
        self.tokens.lock().insert(token.to_owned(), principal);
        self.tickets.lock().insert(format!("ticket-{token}"));
    }
}

impl Door for TestDoor {
    fn admit<'a>(&'a self, credential: Credential<'a>) -> BoxFuture<'a, Result<Principal, Refusal>> {
        let unknown = || Refusal::new(ErrorCode::AuthInvalid, "unknown");
        let found = match credential {
            Credential::Token(token) => self.tokens.lock().get(token).cloned().ok_or_else(unknown),
            Credential::Ticket(ticket) if self.tickets.lock().remove(ticket) => {
                let token = ticket.trim_start_matches("ticket-");
                self.tokens.lock().get(token).cloned().ok_or_else(unknown)
            }
            Credential::Ticket(_) => Err(unknown()),
        };
        Box::pin(std::future::ready(found))
    }

    fn judge(&self, event: Event) -> BoxFuture<'_, Result<Event, Refusal>> {
        let judged = match event.event_type.as_str() {
            "refused.type" => Err(Refusal::new(ErrorCode::EventTooLarge, "too large")),
            _ => Ok(event),
        };
        Box::pin(std::future::ready(judged))
    }

    fn take_positions<'a>(
        &'a self,
        principal: &'a Principal,
        driver_id: &'a str,
        positions: Value,
    ) -> BoxFuture<'a, Result<Value, Refusal>> {
        let n_items = positions.as_array().map_or(1, Vec::len);
        let items = vec![serde_json::json!({ "status": "accepted" }); n_items];
        let is_own = principal.rooms.iter().any(|room| room.id() == driver_id);
        let taken = if is_own {
            Ok(serde_json::json!({ "items": items }))
        } else {
            Err(Refusal::new(ErrorCode::DriverNotFound, "no such driver"))
        };
        Box::pin(std::future::ready(taken))
    }
}

/// Somebody of a tenant.
pub(crate) fn somebody(tenant: &str, role: &'static str, reach: Reach) -> Principal {
    Principal {
        tenant: Tenant::parse(tenant).unwrap(),
        token_id: TokenId::fresh(),
        role,
        reach,
        user: None,
        groups: vec![],
        rooms: vec![],
        expires_at: None,
    }
}

/// Live updates under test, with these tokens: `admin` and `reader` of the tenant acme, `driver` (user dan, group driver, driver 7,
/// clinic 1), `other-admin` of the tenant other.
pub(crate) struct Hub {
    pub(crate) addr: SocketAddr,
    pub(crate) live: Live,
    pub(crate) door: Arc<TestDoor>,
    pub(crate) journal: Journal,
    pub(crate) metrics: prometheus_client::registry::Registry,
    serving: JoinHandle<()>,
}

impl Hub {
    pub(crate) async fn start(store: &Store) -> Self {
        Self::start_with(store, |_| {}).await
    }

    pub(crate) async fn start_with(store: &Store, change: impl FnOnce(&mut LiveLimits)) -> Self {
        let mut limits = LiveLimits { frames_per_s: 100_000, ..LiveLimits::default() };
        change(&mut limits);
        let door = Arc::new(TestDoor::default());
        door.know("admin", somebody("acme", "admin", Reach::Everything));
        door.know("reader", somebody("acme", "viewer", Reach::Reader));
        door.know("other-admin", somebody("other", "admin", Reach::Everything));
        let driver = Principal {
            user: Some("dan".to_owned()),
            groups: vec!["driver".to_owned()],
            rooms: ["driver:7", "clinic:1"].map(|room| Room::parse(room).unwrap()).to_vec(),
            ..somebody("acme", "member", Reach::Own)
        };
        door.know("driver", driver);
        let journal = Journal::new(store.clone(), Arc::new(SystemClock));
        let mut metrics = prometheus_client::registry::Registry::default();
        let live = Live::start(LiveOptions {
            journal: journal.clone(),
            door: Arc::clone(&door) as Arc<dyn Door>,
            rules: Rules::new(
                vec![RoomRule::new("driver.*", "role:dispatcher", vec![]).unwrap()],
                vec![PublishRule::new("driver.*", vec!["driver".to_owned()]).unwrap()],
            ),
            limits,
            metrics: LiveMetrics::register(&mut metrics),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = live.router();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, live, door, journal, metrics, serving }
    }

    pub(crate) async fn stop(self) {
        self.live.stop(Duration::from_secs(20)).await;
        self.serving.abort();
    }

    /// Stores an event of acme; `subject` is its key.
    pub(crate) async fn emit(&self, event_type: &str, subject: &str, data: &Value) -> Appended {
        self.emit_as("acme", event_type, subject, data).await
    }

    pub(crate) async fn emit_as(
        &self,
        tenant: &str,
        event_type: &str,
        subject: &str,
        data: &Value,
    ) -> Appended {
        let tenant = Tenant::parse(tenant).unwrap();
        let now = SystemClock.now();
        let mut event = Event::new(tenant, "/tests", EventType::parse(event_type).unwrap(), now);
        event.subject = Some(subject.to_owned());
        event.data = Data::Json(data.to_string().into_bytes().into());
        self.journal.append(vec![NewEvent::new(event, now)]).await.unwrap()[0]
    }

    /// The figures as `/metrics` shows them.
    pub(crate) fn figures(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.metrics).unwrap();
        text
    }
}
