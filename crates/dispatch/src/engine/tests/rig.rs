//! A store, a scripted network and an engine between them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, Version};
use tokio::sync::watch;
use trunkline_connect::{BoxFuture, OutboundRequest, OutboundResponse, SendError, Timings};
use trunkline_journal::ownership::{self, OwnershipOptions};
use trunkline_model::{SystemClock, Tenant};
use trunkline_sinks::SinkContext;
use trunkline_store::tables::consumer;
use trunkline_store::tables::delivery::{DeliveryFilter, DeliveryRow, delivery_list};
use trunkline_store::tables::endpoint::{EndpointRow, endpoint_insert};
use trunkline_store::{Commit, NewEvent, Store};
use trunkline_testkit::TestStore;

use super::super::*;
use crate::endpoint::{EndpointSecrets, EndpointSettings, generate_secret};

/// Limits under which nothing spills by age.
pub(super) fn patient() -> EngineLimits {
    EngineLimits { spill_after: Duration::from_mins(1), ..EngineLimits::default() }
}

/// Settings with a retry after a few milliseconds.
pub(super) fn fast() -> EndpointSettings {
    EndpointSettings { backoff_ms: Some(vec![3]), ..EndpointSettings::default() }
}

pub(super) fn tenant() -> Tenant {
    trunkline_testkit::event::tenant()
}

/// One request as the network saw it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) path: String,
    pub(super) id: String,
    pub(super) body: Bytes,
    /// How many requests with this path and id there were, this one included.
    pub(super) nth: usize,
}

pub(super) enum Reply {
    Status(u16),
    /// A status with one header.
    With(u16, &'static str, &'static str),
    /// Success with this body.
    Body(&'static str),
    Reset,
    Panic,
}

type Script = Box<dyn Fn(&Seen) -> Reply + Send + Sync>;

/// A network that answers by a script.
pub(super) struct Net {
    script: RwLock<Script>,
    seen: Mutex<Vec<Seen>>,
    gates: Mutex<HashMap<String, watch::Receiver<bool>>>,
    open: Mutex<HashMap<String, (usize, usize)>>,
    n_sent: AtomicUsize,
}

/// Keeps a path from answering until it is opened.
pub(super) struct Gate(watch::Sender<bool>);

impl Gate {
    pub(super) fn open(&self) {
        self.0.send_replace(true);
    }
}

impl Net {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            script: RwLock::new(Box::new(|_| Reply::Status(200))),
            seen: Mutex::default(),
            gates: Mutex::default(),
            open: Mutex::default(),
            n_sent: AtomicUsize::new(0),
        })
    }

    pub(super) fn script(&self, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) {
        *self.script.write() = Box::new(script);
    }

    pub(super) fn gate(&self, path: &str) -> Gate {
        let (sender, receiver) = watch::channel(false);
        self.gates.lock().insert(path.to_owned(), receiver);
        Gate(sender)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    pub(super) fn most_open(&self, path: &str) -> usize {
        self.open.lock().get(path).map_or(0, |(_, most)| *most)
    }

    fn see(&self, request: &OutboundRequest) -> Seen {
        let path = request.target.uri().path().to_owned();
        let id = request.headers.get("webhook-id").map_or("", |id| id.to_str().unwrap()).to_owned();
        let mut all = self.seen.lock();
        let nth = 1 + all.iter().filter(|seen| seen.id == id && seen.path == path).count();
        let seen = Seen { path, id, body: request.body.clone(), nth };
        all.push(seen.clone());
        self.n_sent.fetch_add(1, Ordering::Relaxed);
        seen
    }
}

fn answer(status: u16, headers: HeaderMap) -> OutboundResponse {
    OutboundResponse {
        status: StatusCode::from_u16(status).unwrap(),
        version: Version::HTTP_11,
        headers,
        body_head: Bytes::from_static(b"ok"),
        truncated: false,
        trailers: HeaderMap::new(),
        timings: Timings::default(),
        peer: None,
        opened: None,
    }
}

impl Transport for Net {
    fn send(&self, request: OutboundRequest) -> BoxFuture<'_, Result<OutboundResponse, SendError>> {
        Box::pin(async move {
            let seen = self.see(&request);
            {
                let mut open = self.open.lock();
                let (now, most) = open.entry(seen.path.clone()).or_default();
                *now += 1;
                *most = (*most).max(*now);
            }
            let gate = self.gates.lock().get(&seen.path).cloned();
            if let Some(mut gate) = gate {
                // A gate that is dropped stays shut.
                if gate.wait_for(|is_open| *is_open).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            tokio::task::yield_now().await;
            let reply = (self.script.read())(&seen);
            if let Some((now, _)) = self.open.lock().get_mut(&seen.path) {
                *now -= 1;
            }
            match reply {
                Reply::Status(status) => Ok(answer(status, HeaderMap::new())),
                Reply::With(status, name, value) => {
                    let header = (HeaderName::from_static(name), HeaderValue::from_static(value));
                    Ok(answer(status, HeaderMap::from_iter([header])))
                }
                Reply::Body(text) => {
                    let body_head = Bytes::from_static(text.as_bytes());
                    Ok(OutboundResponse { body_head, ..answer(200, HeaderMap::new()) })
                }
                Reply::Reset => Err(SendError::DnsEmpty),
                Reply::Panic => panic!("scripted"),
            }
        })
    }
}

pub(super) struct Rig {
    pub(super) store: Store,
    pub(super) net: Arc<Net>,
    pub(super) journal: Journal,
    ownership: Ownership,
    _leases: tokio_util::sync::DropGuard,
}

impl Rig {
    pub(super) async fn new(home: &TestStore) -> Self {
        let store = home.store.clone();
        let journal = Journal::new(store.clone(), Arc::new(SystemClock));
        let stop = CancellationToken::new();
        // Leases outlast every test, so that only the test itself moves them.
        let hour = Duration::from_hours(1);
        let options = OwnershipOptions { lease_for: hour * 2, renew_every: hour };
        let (ownership, _) = ownership::keep(journal.clone(), "node".into(), options, stop.clone());
        let all = store.n_shards() as usize;
        ownership.owned().wait_for(|owned| owned.len() == all).await.unwrap();
        Self { store, net: Net::new(), journal, ownership, _leases: stop.drop_guard() }
    }

    pub(super) fn start(&self, limits: EngineLimits) -> Dispatcher {
        let transport: Arc<dyn Transport> = Arc::clone(&self.net) as _;
        // Brokers of the tests are on this machine.
        let context =
            SinkContext::new(EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]), Arc::clone(&transport));
        let options = DispatcherOptions {
            limits,
            sinks: Some(Arc::new(SinkFactory::new(context).unwrap()).into()),
            ..DispatcherOptions::new(self.journal.clone(), self.ownership.clone(), transport)
        };
        Dispatcher::start(options, CancellationToken::new())
    }

    pub(super) async fn endpoint(
        &self,
        path: &str,
        events: &[&str],
        settings: EndpointSettings,
    ) -> EndpointId {
        self.endpoint_of(tenant(), path, events, settings).await
    }

    pub(super) async fn endpoint_of(
        &self,
        tenant: Tenant,
        path: &str,
        events: &[&str],
        settings: EndpointSettings,
    ) -> EndpointId {
        let now = self.journal.now();
        let row = EndpointRow {
            id: EndpointId::fresh(),
            tenant,
            // Of a sink, the URL is for people.
            url: format!("https://hooks.example{path}"),
            description: String::new(),
            events: serde_json::to_string(events).unwrap(),
            active: true,
            secrets: EndpointSecrets::new(generate_secret(), now).to_json(),
            settings: settings.to_json(),
            version: 1,
            created_at: now,
            updated_at: now,
        };
        self.store.commit(Commit::statements(vec![endpoint_insert(&row)])).await.unwrap();
        row.id
    }

    /// Appends events about different things; gives their ids in order.
    pub(super) async fn emit(&self, event_type: &str, n: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for index in 0..n {
            ids.extend(self.emit_about(event_type, 1, &format!("thing-{index}")).await);
        }
        ids
    }

    /// Appends events about one thing, in one commit.
    pub(super) async fn emit_about(&self, event_type: &str, n: usize, subject: &str) -> Vec<String> {
        let now = self.journal.now();
        let events: Vec<NewEvent> = (0..n)
            .map(|_| NewEvent::new(trunkline_testkit::event::event(event_type, subject), now))
            .collect();
        let ids = events.iter().map(|new| new.event.id.as_str().to_owned()).collect();
        self.journal.append(events).await.unwrap();
        ids
    }

    pub(super) async fn deliveries(&self) -> Vec<DeliveryRow> {
        let filter = DeliveryFilter { limit: 10_000, ..DeliveryFilter::default() };
        delivery_list(&self.store, &tenant(), &filter).await.unwrap()
    }

    /// Waits until there are `n` deliveries and all have ended.
    pub(super) async fn settled(&self, n: usize) -> Vec<DeliveryRow> {
        self.until("all deliveries have ended", async || {
            let rows = self.deliveries().await;
            assert!(rows.len() <= n, "{} deliveries instead of {n}", rows.len());
            rows.len() == n && rows.iter().all(|row| row.state.is_terminal())
        })
        .await;
        self.deliveries().await
    }

    /// How many events the cursors have passed.
    pub(super) async fn n_recorded(&self) -> i64 {
        consumer::cursor_list(&self.store).await.unwrap().iter().map(|cursor| cursor.seq).sum()
    }

    /// Asks again and again until it is so.
    pub(super) async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let ask = async {
            let mut tick = tokio::time::interval(Duration::from_millis(3));
            while !is_so().await {
                tick.tick().await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(30), ask).await.is_ok(), "not so in time: {what}");
    }
}
