//! A store, a clock, counted calls and an engine between them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use trunkline_journal::ownership::{self, OwnershipOptions};
use trunkline_model::{Clock, ManualClock, Tenant};
use trunkline_store::tables::workflow::definition::{DefinitionRow, DefinitionState};
use trunkline_store::tables::workflow::instance::{InstanceRow, instance_load};
use trunkline_store::tables::workflow::record::{RecordRow, record_list};
use trunkline_store::{NewEvent, Store};
use trunkline_testkit::TestStore;

use super::super::effects::EffectCall;
use super::super::input::Failure;
use super::super::state::State;
use super::super::*;
use crate::program::Format;

/// How often is looked whether something is so.
const LOOK_EVERY: Duration = Duration::from_millis(3);
/// How long it may take. Never waited for unless something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where work is cut off, if anywhere.
#[derive(Default)]
pub(crate) struct Cut {
    at: Mutex<Option<(CommitPoint, usize)>>,
    /// Where work is held back until it is released, if anywhere.
    hold: Mutex<Option<(CommitPoint, usize)>>,
    n_passed: AtomicUsize,
    /// How many of these have come to their end, whatever it was.
    n_ended: AtomicUsize,
    tripped: tokio::sync::Notify,
    released: tokio::sync::Notify,
    /// The states in memory after their last commit, with its number.
    states: Mutex<HashMap<WorkflowId, (i64, State)>>,
}

impl Cut {
    /// How many commits of steps were made.
    pub(crate) fn n_passed(&self) -> usize {
        self.n_passed.load(Ordering::SeqCst)
    }

    /// How many commits were made, if none is under way.
    fn quiet(&self) -> Option<usize> {
        let n_ended = self.n_ended.load(Ordering::SeqCst);
        (n_ended == self.n_passed()).then_some(n_ended)
    }

    pub(crate) fn witness(&self, live: &Live) {
        self.states.lock().insert(live.row.id.clone(), (live.seq, live.state.clone()));
    }

    pub(crate) async fn pass(&self, point: CommitPoint) {
        if point == CommitPoint::Before {
            self.n_passed.fetch_add(1, Ordering::SeqCst);
        }
        if point == CommitPoint::After {
            self.n_ended.fetch_add(1, Ordering::SeqCst);
        }
        let n = self.n_passed.load(Ordering::SeqCst);
        if self.hold.lock().is_some_and(|at| at == (point, n)) {
            self.tripped.notify_one();
            self.released.notified().await;
        }
        // Several commits may be under way at once: whichever comes to the place first is cut off, and all behind it.
        if self.at.lock().is_some_and(|at| at.0 == point && at.1 <= n) {
            self.tripped.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

pub(super) fn tenant() -> Tenant {
    trunkline_testkit::event::tenant()
}

/// One call as the outside saw it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    pub(super) key: String,
    pub(super) url: String,
    pub(super) body: Option<Value>,
}

/// The outside: counts calls and answers by their URL.
#[derive(Default)]
pub(super) struct Outside {
    seen: Mutex<Vec<Seen>>,
    /// Calls of these URLs never end.
    pub(super) shut: Mutex<Vec<String>>,
}

impl Outside {
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// What a service says: it refuses, or fails for the first time, by the end of its URL.
    pub(super) fn answer(url: &str, body: Option<&Value>, is_first: bool) -> Result<Value, Failure> {
        match url.rsplit('/').next() {
            Some("refuse") => Err(refused()),
            Some("flaky") if is_first => Err(refused()),
            _ => Ok(json!({"echo": body})),
        }
    }

    /// Forgets what it has seen.
    pub(super) fn clear(&self) {
        self.seen.lock().clear();
    }

    /// How often each key was called.
    pub(super) fn by_key(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for seen in self.seen() {
            *counts.entry(seen.key).or_default() += 1;
        }
        counts
    }
}

fn refused() -> Failure {
    Failure::standard(crate::dsl::error::StandardError::Communication, "refused").with_status(503)
}

impl Effects for Outside {
    fn run(&self, call: EffectCall) -> BoxFuture<'_, Result<Value, Failure>> {
        Box::pin(async move {
            let (url, body) = {
                let http = call.http().unwrap();
                (http.url.clone(), http.body.clone())
            };
            let (n_before, is_first) = {
                let mut seen = self.seen.lock();
                let is_first = seen.iter().all(|it| it.key != call.key);
                seen.push(Seen { key: call.key.clone(), url: url.clone(), body: body.clone() });
                (seen.iter().filter(|it| it.url == url).count() - 1, is_first)
            };
            if self.shut.lock().contains(&url) {
                std::future::pending::<()>().await;
            }
            tokio::task::yield_now().await;
            match url.rsplit('/').next() {
                Some("count") => Ok(json!({"n": n_before})),
                _ => Self::answer(&url, body.as_ref(), is_first),
            }
        })
    }
}

pub(super) struct Rig {
    pub(super) store: Store,
    pub(super) clock: Arc<ManualClock>,
    pub(super) outside: Arc<Outside>,
    pub(super) journal: Journal,
    pub(super) outlets: crate::catalog::Outlets,
    ownership: Ownership,
    _leases: tokio_util::sync::DropGuard,
}

impl Rig {
    pub(super) async fn new(home: &TestStore) -> Self {
        let store = home.store.clone();
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_secs(1_700_000_000)));
        let journal = Journal::new(store.clone(), Arc::clone(&clock) as Arc<dyn Clock>);
        let stop = CancellationToken::new();
        // Leases outlast every test, so that only the test itself moves them.
        let hour = Duration::from_hours(1);
        let options = OwnershipOptions { lease_for: hour * 2, renew_every: hour };
        let (ownership, _) = ownership::keep(journal.clone(), "node".into(), options, stop.clone());
        let all = store.n_shards() as usize;
        ownership.owned().wait_for(|owned| owned.len() == all).await.unwrap();
        Self {
            store,
            clock,
            outside: Arc::default(),
            outlets: crate::catalog::Outlets::default(),
            journal,
            ownership,
            _leases: stop.drop_guard(),
        }
    }

    pub(super) fn start(&self) -> Engine {
        self.start_with(Arc::clone(&self.outside) as Arc<dyn Effects>, Arc::new(trunkline_model::NoSecrets))
    }

    /// Starts an engine with another outside.
    pub(super) fn start_with(&self, effects: Arc<dyn Effects>, secrets: Arc<dyn SecretSource>) -> Engine {
        let options = EngineOptions {
            journal: self.journal.clone(),
            ownership: self.ownership.clone(),
            effects,
            outlets: self.outlets.clone(),
            secrets,
            limits: EngineLimits { timers: 8, drain: Duration::from_millis(200), ..EngineLimits::default() },
            metrics: FlowMetrics::default(),
        };
        Engine::start(options, CancellationToken::new())
    }

    /// Stores the tasks of a workflow as an active definition.
    pub(super) async fn define(&self, engine: &Engine, name: &str, tasks: &str) -> DefinitionRow {
        let text =
            format!("document: {{dsl: '1.0.3', namespace: test, name: {name}, version: '1.0.0'}}\n{tasks}");
        self.define_text(engine, text, DefinitionState::Active).await
    }

    /// Stores a definition.
    pub(super) async fn define_text(
        &self,
        engine: &Engine,
        text: String,
        state: DefinitionState,
    ) -> DefinitionRow {
        let stored = engine.store_definition(&tenant(), text, Format::Yaml, state).await;
        stored.unwrap_or_else(|error| panic!("{error:?}")).row
    }

    pub(super) async fn begin(
        &self,
        engine: &Engine,
        definition: &DefinitionRow,
        input: Value,
    ) -> WorkflowId {
        engine.start_instance(definition, NewInstance::new(tenant(), input)).await.unwrap().id
    }

    pub(super) async fn row(&self, id: &WorkflowId) -> InstanceRow {
        instance_load(&self.store, id).await.unwrap().unwrap()
    }

    pub(super) async fn records(&self, id: &WorkflowId) -> Vec<RecordRow> {
        record_list(&self.store, id, 0, 1_000).await.unwrap()
    }

    pub(super) async fn emit(&self, event_type: &str, data: Value) -> String {
        let mut event = trunkline_testkit::event::event(event_type, "thing");
        event.data = trunkline_model::Data::Json(data.to_string().into_bytes().into());
        let id = event.id.as_str().to_owned();
        self.journal.append(vec![NewEvent::new(event, self.journal.now())]).await.unwrap();
        id
    }

    /// Waits until an instance is in a phase; time goes by a second a look.
    pub(super) async fn reaches(&self, engine: &Engine, id: &WorkflowId, phase: &str) -> InstanceRow {
        self.until(&format!("{id} is {phase}"), async || {
            let row = self.row(id).await;
            if row.phase.as_str() == phase {
                return true;
            }
            assert!(!row.phase.is_terminal(), "{id} is {:?}: {:?}", row.phase, row.error);
            self.clock.advance(Duration::from_secs(1));
            engine.poke();
            false
        })
        .await;
        self.row(id).await
    }

    /// Waits until an instance has ended; time goes by a second a look.
    pub(super) async fn ends(&self, engine: &Engine, id: &WorkflowId) -> InstanceRow {
        let ended = async {
            let mut tick = tokio::time::interval(LOOK_EVERY);
            while !self.row(id).await.phase.is_terminal() {
                self.clock.advance(Duration::from_secs(1));
                engine.poke();
                tick.tick().await;
            }
        };
        let ended = tokio::time::timeout(PATIENCE, ended).await;
        let row = self.row(id).await;
        let (records, state) = (self.records(id).await, engine.state(id));
        assert!(ended.is_ok(), "it does not end: {row:#?}\n{records:#?}\n{state:#?}");
        row
    }

    /// The state that the records of an instance come to.
    pub(super) async fn fold(&self, engine: &Engine, row: &InstanceRow) -> State {
        let program = engine.programs().get(&row.hash).await.unwrap();
        let mut state = State::new(row.id.clone(), serde_json::from_str(&row.input).unwrap(), row.created_at);
        for record in self.records(&row.id).await {
            machine::step(&program, &mut state, &serde_json::from_str(&record.body).unwrap(), record.at);
        }
        state
    }

    /// Asks again and again until it is so.
    pub(super) async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let ask = async {
            let mut tick = tokio::time::interval(LOOK_EVERY);
            while !is_so().await {
                tick.tick().await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, ask).await.is_ok(), "not so in time: {what}");
    }
}

impl Engine {
    /// Ends all work on instances at once, as a crash would. The reader of the journal ends between two batches: it is no
    /// part of these tests, and one that lived on would read what the next engine should.
    pub(super) async fn crash(self) {
        let tasks = std::mem::take(&mut *self.tasks.lock());
        let mut tasks = tasks.into_iter();
        if let Some(workers) = tasks.next() {
            workers.abort();
            drop(workers.await);
        }
        self.stopping.cancel();
        for reader in tasks {
            drop(reader.await);
        }
    }

    /// Cuts the work off at the `n`-th commit from now, before or after it.
    pub(super) fn cut_at(&self, point: CommitPoint, n: usize) {
        let passed = self.shared.cut.n_passed.load(Ordering::SeqCst);
        *self.shared.cut.at.lock() = Some((point, passed + n));
    }

    /// The state of an instance in memory after its last commit, with the number of its last record.
    pub(super) fn state(&self, id: &WorkflowId) -> Option<(i64, State)> {
        self.shared.cut.states.lock().get(id).cloned()
    }

    /// Says what the state of an instance is where no commit of this engine has shown it: an earlier engine's commit
    /// may become true after that engine has ended.
    pub(super) fn note_state(&self, live: &Live) {
        let mut states = self.shared.cut.states.lock();
        if states.get(&live.row.id).is_none_or(|(seq, _)| *seq < live.seq) {
            states.insert(live.row.id.clone(), (live.seq, live.state.clone()));
        }
    }

    /// How many commits were made, if none is under way.
    pub(super) fn quiet(&self) -> Option<usize> {
        self.shared.cut.quiet()
    }

    pub(super) fn programs(&self) -> &Programs {
        &self.shared.programs
    }

    /// Holds the work back at the `n`-th commit from now, until it is released.
    pub(super) fn hold_at(&self, point: CommitPoint, n: usize) {
        let passed = self.shared.cut.n_passed.load(Ordering::SeqCst);
        *self.shared.cut.hold.lock() = Some((point, passed + n));
    }

    pub(super) fn release(&self) {
        *self.shared.cut.hold.lock() = None;
        self.shared.cut.released.notify_one();
    }

    pub(super) async fn tripped(&self) {
        self.shared.cut.tripped.notified().await;
    }

    pub(super) fn metrics(&self) -> &FlowMetrics {
        &self.shared.metrics
    }
}
