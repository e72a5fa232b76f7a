//! A running hub: wires the crates together in order, and takes them apart again. Used by `serve`, by the demo and by the
//! end-to-end tests, which run it in their own process on port 0.
//!
//! ```text
//! start:  settings → port → store → journal → ownership → retention → client → dispatch → workflows → replays → logistics → ingest → api →
//!         live → listen
//! stop:   drain flag → no new connections → requests, live connections, attempts and workflow calls in flight ‖ → replays, logistics,
//!         retention → leases → refused log → store
//! ```
//!
//! Invariants: the port is taken before anything is written, so a second hub by mistake changes nothing; it begins to
//! listen last, so whoever connects finds everything ready. Engines stop before the leases are given back, and the store is
//! closed last: nothing can commit after it.

mod eta;
mod exits;
mod figures;
mod live;
pub(crate) mod packs;
mod seams;
mod secrets;
mod server;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::HeaderValue;
use prometheus_client::registry::Registry;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trunkline_api::auth::token::seed_admin;
use trunkline_api::catalogue::EventCatalogue;
use trunkline_api::{ApiLimits, ApiMetrics, ApiParts, ApiState, CorsOrigins, Sending};
use trunkline_config::{DispatchSettings, Env, FlowSettings, LogisticsSettings, Settings, TenantSettings};
use trunkline_connect::EgressPolicy;
use trunkline_dispatch::endpoint::{DeliveryDefaults, LocalKinds};
use trunkline_dispatch::replay::{self, ReplayOptions};
use trunkline_dispatch::{DispatchMetrics, Dispatcher, DispatcherOptions, EngineLimits};
use trunkline_flow::catalog::Outlets;
use trunkline_flow::engine::effects::{ProcessLimits, RealWorld, RealWorldOptions};
use trunkline_flow::engine::metrics::FlowMetrics;
use trunkline_flow::engine::{Engine, EngineLimits as FlowLimits, EngineOptions};
use trunkline_ingest::{Ingest, IngestOptions, Outbound};
use trunkline_journal::Journal;
use trunkline_journal::ownership::{self, Ownership, OwnershipOptions};
use trunkline_journal::retention::{self, RetentionOptions, TenantLimits};
use trunkline_live::{Live, LiveMetrics, Rules};
use trunkline_logistics::ledger::OwnLedger;
use trunkline_logistics::tracking::EtaChain;
use trunkline_logistics::upkeep::{self, UpkeepOptions};
use trunkline_model::{Clock, PerTenant, Secret, SystemClock, Tenant};
use trunkline_packs::PackSet;
use trunkline_store::Store;

use self::exits::Exits;
use self::server::Server;
use crate::commands::migrate::open_fault;
use crate::configuration;
use crate::exit::{Exit, Fault};

/// Of the drain time, what is kept for recording outcomes and closing the store.
const CLOSING: Duration = Duration::from_millis(500);

/// A hub that takes requests.
pub struct RunningHub {
    addr: SocketAddr,
    node: String,
    first_token: Option<Secret>,
    engines: Engines,
    server: Server,
    live: Live,
    draining: CancellationToken,
    drain_timeout: Duration,
}

/// Everything behind the listener.
struct Engines {
    store: Store,
    ingest: Ingest,
    dispatcher: Dispatcher,
    workflows: Engine,
    ownership: (Ownership, JoinHandle<()>),
    stop_ownership: CancellationToken,
    retention: JoinHandle<()>,
    stop_retention: CancellationToken,
    replays: JoinHandle<()>,
    stop_replays: CancellationToken,
    logistics: JoinHandle<()>,
    stop_logistics: CancellationToken,
    eta: Arc<EtaChain>,
    catalogue: EventCatalogue,
    packs: JoinHandle<()>,
    stop_packs: CancellationToken,
}

fn tenant_limits(settings: &TenantSettings) -> (Tenant, TenantLimits) {
    let limits = TenantLimits { max_age: settings.retention, max_bytes: settings.retention_bytes };
    (Tenant::from_stored(&settings.name), limits)
}

/// How many worker threads the runtime gets: as asked, or as many as there are processors.
///
/// The store's writer has a thread of its own, but spends much of its time waiting for the disk.
pub fn worker_threads(asked: usize) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        n => n,
    }
}

/// Starts a hub on the current runtime.
///
/// # Errors
/// Whatever keeps it from starting; then nothing of it is left running.
pub async fn start(settings: Settings, env: &Env) -> anyhow::Result<RunningHub> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let node = format!("node_{}", hex::encode(random_bytes::<4>()?));
    // Faults of the configuration come before anything is touched.
    let sources = configuration::prepare_sources(&settings, env)?;
    let live_rules = configuration::prepare_live_rules(&settings.live)?;
    let folders = settings.packs.load.clone();
    let packs = tokio::task::spawn_blocking(move || packs::load(&folders)).await??;
    // The port is taken before the store is opened: a second hub must not even migrate.
    let listener = server::bind(settings.server.listen).with_context(|| {
        let fix = "choose another address with --listen or [server] listen, or stop what uses this one";
        Fault::new(Exit::Failed, format!("cannot listen on {}", settings.server.listen), fix)
    })?;
    // Migrations run here; a newer or damaged database is refused.
    let store = Store::open(configuration::store_options(&settings)).await.map_err(open_fault)?;
    let engines = start_engines((&settings, env), &node, (sources, packs), store.clone(), clock);
    let (engines, registry, egress) = match engines {
        Ok(engines) => engines,
        Err(error) => {
            store.close().await;
            return Err(error);
        }
    };
    let doors = Doors { settings: &settings, env, node: &node, engines: &engines, live_rules };
    match open_doors(doors, registry, egress, listener).await {
        Ok((server, live, first_token, draining)) => {
            let addr = server.addr();
            tracing::info!(node.id = %node, %addr, store = %settings.store.url.redacted(),
                n_sources = settings.sources.len(), "hub started");
            let drain_timeout = settings.server.drain_timeout;
            Ok(RunningHub { addr, node, first_token, engines, server, live, draining, drain_timeout })
        }
        Err(error) => {
            tokio::join!(engines.dispatcher.stop(), engines.workflows.stop());
            engines.close().await;
            Err(error)
        }
    }
}

/// Starts what works behind the listener, in the order in which it depends on each other.
fn start_engines(
    (settings, env): (&Settings, &Env),
    node: &str,
    (sources, packs): (Vec<trunkline_ingest::Source>, PackSet),
    store: Store,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<(Engines, Registry, PerTenant<EgressPolicy>)> {
    let mut registry = Registry::default();
    // Made first, because they are the only part here that can fail.
    let Exits { egress, transport, sinks } = exits::prepare(settings)?;
    let user_agent = user_agent(&settings.dispatch)?;
    let journal = Journal::new(store.clone(), Arc::clone(&clock));
    // Leases come before engines: an engine works on what this node owns.
    let stop_ownership = CancellationToken::new();
    let ownership = ownership::keep(
        journal.clone(),
        node.to_owned(),
        OwnershipOptions::default(),
        stop_ownership.clone(),
    );
    let stop_retention = CancellationToken::new();
    let retention = retention::run(journal.clone(), retention_options(settings), stop_retention.clone());
    let dispatcher = Dispatcher::start(
        DispatcherOptions {
            egress: egress.clone(),
            defaults: delivery_defaults(&settings.dispatch),
            user_agent: user_agent.clone(),
            limits: EngineLimits {
                in_flight_total: settings.dispatch.in_flight_total,
                disable_after: settings.dispatch.disable_after,
                drain: settings.server.drain_timeout.saturating_sub(CLOSING),
                ..EngineLimits::default()
            },
            metrics: DispatchMetrics::register(&mut registry),
            sinks: Some(sinks.clone()),
            local: local_kinds(&settings.dispatch),
            ..DispatcherOptions::new(journal.clone(), ownership.0.clone(), transport.clone())
        },
        CancellationToken::new(),
    );
    let eta = eta::chain(&settings.logistics, env, &transport, &egress)?;
    let outbound = Outbound { transport: transport.clone(), policy: egress.clone() };
    let calls = RealWorldOptions {
        user_agent,
        timeout: settings.flow.timeout,
        sinks: Some(sinks),
        processes: process_limits(&settings.flow),
        ..RealWorldOptions::new(transport, egress.clone(), Arc::clone(&clock))
    };
    let workflows = Engine::start(
        EngineOptions {
            journal: journal.clone(),
            ownership: ownership.0.clone(),
            effects: Arc::new(RealWorld::new(calls)),
            outlets: Outlets { notifier: None, webhooks: Some(Arc::new(dispatcher.clone())) },
            secrets: Arc::new(secrets::ConfiguredSecrets::new(&settings.flow, env)),
            limits: FlowLimits {
                drain: settings.server.drain_timeout.saturating_sub(CLOSING),
                keep_ended: settings.journal.workflow_retention,
                ..FlowLimits::default()
            },
            metrics: FlowMetrics::register(&mut registry),
        },
        CancellationToken::new(),
    );
    let stop_replays = CancellationToken::new();
    let replays = replay::run(
        ReplayOptions {
            egress: egress.clone(),
            ..ReplayOptions::new(journal, ownership.0.clone(), Some(dispatcher.clone()))
        },
        stop_replays.clone(),
    );
    let (logistics, stop_logistics) = start_logistics(store.clone(), Arc::clone(&clock), &settings.logistics);
    let options = IngestOptions::from(&settings.server);
    let ingest = Ingest::start(options, sources, store.clone(), clock, Some(outbound));
    figures::register(&mut registry, &ingest);
    let (catalogue, stop_packs) = (EventCatalogue::default(), CancellationToken::new());
    let homes = packs::Homes {
        catalogue: catalogue.clone(),
        workflows: workflows.clone(),
        tenants: settings.packs.tenants.iter().map(|name| Tenant::from_stored(name)).collect(),
    };
    let packs = packs::keep(packs, homes, stop_packs.clone());
    let engines = Engines {
        store,
        ingest,
        dispatcher,
        workflows,
        ownership,
        stop_ownership,
        retention,
        stop_retention,
        replays,
        stop_replays,
        logistics,
        stop_logistics,
        eta,
        catalogue,
        packs,
        stop_packs,
    };
    Ok((engines, registry, egress))
}

/// How long things are kept.
fn retention_options(settings: &Settings) -> RetentionOptions {
    RetentionOptions {
        limits: TenantLimits {
            max_age: settings.journal.retention,
            max_bytes: settings.journal.retention_bytes,
        },
        tenants: settings.tenants.iter().map(tenant_limits).collect(),
        dedupe_window: settings.journal.dedupe_window,
        ..RetentionOptions::default()
    }
}

/// What processes of workflows may use, where the operator allows them.
fn process_limits(settings: &FlowSettings) -> Option<ProcessLimits> {
    settings.processes.then_some(ProcessLimits {
        time: settings.process_timeout,
        output_bytes: settings.process_output_bytes,
        memory_bytes: settings.process_memory_bytes,
        at_once: 16,
    })
}

/// Starts the background work of logistics.
fn start_logistics(
    store: Store,
    clock: Arc<dyn Clock>,
    settings: &LogisticsSettings,
) -> (JoinHandle<()>, CancellationToken) {
    let stop = CancellationToken::new();
    let options = UpkeepOptions { ledger: Arc::new(OwnLedger), keep_positions: settings.position_retention };
    (upkeep::run(store, clock, options, stop.clone()), stop)
}

/// What the doors open on.
struct Doors<'a> {
    settings: &'a Settings,
    env: &'a Env,
    node: &'a str,
    engines: &'a Engines,
    live_rules: Rules,
}

/// Seeds the first token and begins to take requests.
async fn open_doors(
    doors: Doors<'_>,
    mut registry: Registry,
    egress: PerTenant<EgressPolicy>,
    listener: server::Bound,
) -> anyhow::Result<(Server, Live, Option<Secret>, CancellationToken)> {
    let Doors { settings, env, node, engines, live_rules } = doors;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let given = env.get("TRUNKLINE_ADMIN_TOKEN").filter(|token| !token.is_empty()).map(Secret::new);
    let first_token = seed_admin(&engines.store, given.as_ref(), clock.now()).await.with_context(|| {
        let fix = "set TRUNKLINE_ADMIN_TOKEN to 16 to 256 visible ASCII characters, or unset it";
        Fault::new(Exit::Failed, "the first admin token cannot be stored", fix)
    })?;
    let seam = Arc::new(seams::EngineSeam::new(
        engines.dispatcher.clone(),
        engines.ingest.clone(),
        engines.store.clone(),
    ));
    let draining = CancellationToken::new();
    let metrics = ApiMetrics::register(&mut registry);
    let live_metrics = LiveMetrics::register(&mut registry);
    let state = ApiState::new(ApiParts {
        journal: Journal::new(engines.store.clone(), clock),
        node_id: node.to_owned(),
        deliveries: Arc::clone(&seam) as _,
        rejudge: seam,
        workflows: engines.workflows.clone(),
        ledger: Arc::new(OwnLedger),
        eta: Arc::clone(&engines.eta),
        catalogue: engines.catalogue.clone(),
        egress,
        sending: Sending {
            user_agent: user_agent(&settings.dispatch)?,
            local: local_kinds(&settings.dispatch),
        },
        registry: Arc::new(registry),
        metrics,
        draining: draining.clone(),
        cors: CorsOrigins::new(settings.server.cors_origins.iter().map(String::as_str)),
        limits: ApiLimits {
            body_bytes: settings.server.body_limit_bytes,
            event_bytes: settings.journal.event_limit_bytes,
            request_timeout: settings.server.request_timeout,
            endpoints: settings.dispatch.endpoints_per_tenant,
            endpoints_by_portal: settings.dispatch.endpoints_by_portal,
            requests_per_s: NonZeroU32::new(settings.server.api_rate_limit_per_s),
        },
    });
    let live = live::start(state.clone(), &settings.live, live_rules, live_metrics);
    let api = trunkline_api::router(state, live.router());
    let routers = server::Routers { ingest: engines.ingest.clone(), api };
    let max_connections = settings.server.max_connections;
    let server = listener.serve(routers, max_connections).context("the listener cannot start")?;
    Ok((server, live, first_token, draining))
}

impl RunningHub {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it listens, as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The id of this node, made anew at every start.
    pub fn node_id(&self) -> &str {
        &self.node
    }

    /// The first admin token, when this start has made it.
    pub fn first_token(&self) -> Option<&Secret> {
        self.first_token.as_ref()
    }

    /// The store below, for tests that look behind the API.
    pub fn store(&self) -> &Store {
        &self.engines.store
    }

    /// Stops taking requests, lets those under way finish, stops the engines and closes the store.
    pub async fn shutdown(self) {
        let Self { engines, server, live, draining, node, drain_timeout, .. } = self;
        // From here on `/readyz` fails and writes are refused, so that load balancers and senders go elsewhere.
        draining.cancel();
        engines.ingest.start_drain();
        // Side by side: each is bounded by the drain time, and neither waits for the other.
        tokio::join!(
            server.shutdown(drain_timeout),
            live.stop(drain_timeout.saturating_sub(CLOSING)),
            engines.dispatcher.stop(),
            engines.workflows.stop()
        );
        engines.close().await;
        tracing::info!(node.id = %node, "hub stopped");
    }
}

impl Engines {
    /// Ends what is left once nothing new can come in and dispatch has stopped.
    async fn close(self) {
        self.stop_retention.cancel();
        self.stop_packs.cancel();
        self.stop_replays.cancel();
        self.stop_logistics.cancel();
        // Engines have made their last commit, so that the next owner finds all of it.
        self.stop_ownership.cancel();
        let (_, keeper) = self.ownership;
        let others = [
            ("replays", self.replays),
            ("logistics", self.logistics),
            ("retention", self.retention),
            ("packs", self.packs),
        ];
        for (name, task) in others.into_iter().chain([("leases", keeper)]) {
            if task.await.is_err() {
                tracing::error!(task = name, "background task ended badly");
            }
        }
        // Refused calls are recorded behind their answers; the last of them are written here.
        self.ingest.flush().await;
        self.store.close().await;
    }
}

fn local_kinds(settings: &DispatchSettings) -> LocalKinds {
    if settings.local_sinks { LocalKinds::Allowed } else { LocalKinds::Refused }
}

fn delivery_defaults(settings: &DispatchSettings) -> DeliveryDefaults {
    DeliveryDefaults {
        timeout: settings.timeout,
        max_attempts: settings.max_attempts,
        backoff: settings.backoff.clone(),
        jitter: settings.jitter,
        in_flight: settings.in_flight_per_endpoint,
    }
}

fn user_agent(settings: &DispatchSettings) -> anyhow::Result<Option<HeaderValue>> {
    let value = settings.user_agent.as_deref().map(HeaderValue::from_str).transpose();
    value.with_context(|| {
        Fault::new(Exit::Usage, "[dispatch] user_agent cannot be a header", "use visible ASCII")
    })
}

fn random_bytes<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).ok().context("the system gives no random numbers")?;
    Ok(bytes)
}

impl std::fmt::Debug for RunningHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RunningHub({}, {})", self.node, self.addr)
    }
}

#[cfg(test)]
mod tests;
