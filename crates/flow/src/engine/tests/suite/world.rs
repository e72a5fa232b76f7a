//! What a scenario acts on: a hub that runs the real engine on a real store, and the scenario's own part of it.
//!
//! Each scenario has a tenant to itself. Time stands still until a step moves it, and it moves from one timer to the
//! next, so that what is due comes in its order and takes no time. Whether everything has come to rest is read off the
//! rows and the states, never guessed by waiting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use trunkline_connect::EgressPolicy;
use trunkline_model::{Clock, SecretSource, Tenant, Timestamp, WorkflowId};
use trunkline_store::tables::consumer::cursor_list;
use trunkline_store::tables::event::head_list;
use trunkline_store::tables::workflow::definition::{DefinitionRow, DefinitionState, definition_set_state};
use trunkline_store::tables::workflow::gathered::gathered_list_new_shards;
use trunkline_store::tables::workflow::inbox::message_list_shards;
use trunkline_store::tables::workflow::instance::{
    InstanceFilter, InstancePhase, InstanceRow, instance_list,
};
use trunkline_store::tables::workflow::record::record_list;
use trunkline_store::tables::workflow::schedule::{schedule_get, schedule_list, schedule_list_due};
use trunkline_store::tables::workflow::ticket::{lane_list_due, lane_list_stirred};
use trunkline_store::{Commit, NewEvent};
use trunkline_testkit::TestStore;

use super::super::super::effects::{ProcessLimits, RealWorld, RealWorldOptions};
use super::super::super::input::Input;
use super::super::super::live::Live;
use super::super::super::machine;
use super::super::super::machine::tests::Became;
use super::super::super::state::State;
use super::super::super::{CONSUMER, CommitPoint, Engine, NewInstance, StoreDefinitionError};
use super::super::rig::Rig;
use super::outside::{Outside, Vault};
use crate::Format;
use crate::dsl::schedule::Schedule;

/// How long anything may take in real time. Never waited for unless something is broken.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often time may be moved on for one step.
const MAX_MOVES: usize = 2_000;

/// The hub of a feature.
pub(super) struct Hub {
    pub(super) rig: Rig,
    pub(super) outside: Arc<Outside>,
    pub(super) vault: Arc<Vault>,
    engine: Option<Engine>,
    n_scenarios: usize,
}

impl Hub {
    pub(super) async fn new(home: &TestStore) -> Self {
        let rig = Rig::new(home).await;
        let outside = Arc::new(Outside::new(Arc::clone(&rig.clock)));
        let mut hub = Self { rig, outside, vault: Arc::default(), engine: None, n_scenarios: 0 };
        hub.start();
        hub
    }

    fn start(&mut self) {
        let transport = Arc::clone(&self.outside) as Arc<dyn trunkline_connect::Transport>;
        let clock = Arc::clone(&self.rig.clock) as Arc<dyn trunkline_model::Clock>;
        let mut options = RealWorldOptions::new(transport, EgressPolicy::default(), clock);
        options.processes =
            Some(ProcessLimits { time: PATIENCE, output_bytes: 4096, memory_bytes: 4 << 30, at_once: 2 });
        let outside = Arc::new(RealWorld::new(options));
        self.engine = Some(self.rig.start_with(outside, Arc::clone(&self.vault) as Arc<dyn SecretSource>));
    }

    pub(super) fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("invariant: an engine runs between steps")
    }

    pub(super) async fn stop(mut self) {
        if let Some(engine) = self.engine.take() {
            engine.stop().await;
        }
    }
}

/// A task as the scenario sees it, in the order of its beginning.
#[derive(Debug)]
pub(super) struct TaskRun {
    pub(super) name: String,
    pub(super) became: Option<Became>,
}

/// One scenario under way.
pub(super) struct World<'h> {
    pub(super) hub: &'h mut Hub,
    pub(super) tenant: Tenant,
    pub(super) definition: Option<String>,
    pub(super) others: Vec<String>,
    pub(super) input: Value,
    /// Rules and texts of what was warned of.
    pub(super) warnings: Vec<String>,
    /// Why the definition was refused.
    pub(super) refusal: Option<Vec<String>>,
    /// What an act was answered with, where it was refused.
    pub(super) answer: Option<String>,
    row: Option<DefinitionRow>,
    pub(super) id: Option<WorkflowId>,
    pub(super) cut: Option<(CommitPoint, usize)>,
    pub(super) began_at: Timestamp,
}

impl<'h> World<'h> {
    pub(super) fn new(hub: &'h mut Hub) -> Self {
        hub.n_scenarios += 1;
        hub.outside.clear();
        let tenant = Tenant::from_stored(&format!("tenant-{}", hub.n_scenarios));
        Self {
            tenant,
            definition: None,
            others: Vec::new(),
            input: json!({}),
            warnings: Vec::new(),
            refusal: None,
            answer: None,
            row: None,
            id: None,
            cut: None,
            began_at: hub.rig.clock.now(),
            hub,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.hub.rig.clock.now()
    }

    /// Stores the definitions of the scenario.
    pub(super) async fn publish(&mut self) {
        if self.row.is_some() || self.refusal.is_some() {
            return;
        }
        for other in std::mem::take(&mut self.others) {
            if let Err(why) = self.store(other).await {
                panic!("another workflow is refused: {why:#?}");
            }
        }
        let text = self.definition.clone().expect("the scenario defines a workflow");
        match self.store(text).await {
            Ok((row, warnings)) => {
                let program = self.hub.engine().programs().get(&row.hash).await.unwrap();
                if let Some(Schedule::Every(_) | Schedule::Cron(_) | Schedule::After(_)) =
                    &program.workflow().schedule
                {
                    let store = &self.hub.rig.store;
                    let name = (row.namespace.as_str(), row.name.as_str());
                    self.hub
                        .rig
                        .until("it has a schedule", async || {
                            schedule_get(store, &self.tenant, name.0, name.1).await.unwrap().is_some()
                        })
                        .await;
                }
                (self.row, self.warnings) = (Some(row), warnings);
            }
            Err(why) => self.refusal = Some(why),
        }
    }

    async fn store(&self, text: String) -> Result<(DefinitionRow, Vec<String>), Vec<String>> {
        let active = DefinitionState::Active;
        match self.hub.engine().store_definition(&self.tenant, text, Format::Yaml, active).await {
            Ok(stored) => {
                Ok((stored.row, stored.warnings.iter().map(|it| format!("{it} {:?}", it.kind)).collect()))
            }
            Err(StoreDefinitionError::Refused(refusal)) => {
                Err(refusal.faults.iter().map(|it| format!("{it} {:?}", it.kind)).collect())
            }
            Err(StoreDefinitionError::Unsupported(list)) => {
                Err(list.iter().map(|it| format!("{}: {} ({})", it.reference, it.what, it.rule)).collect())
            }
            Err(error) => panic!("not stored: {error:?}"),
        }
    }

    /// Starts the workflow and lets everything come to rest, without moving time.
    pub(super) async fn begin(&mut self) {
        self.publish().await;
        if let Some(why) = &self.refusal {
            panic!("the definition is refused: {why:#?}");
        }
        let row = self.row.clone().expect("invariant: published");
        if let Some((point, n)) = self.cut {
            self.hub.engine().cut_at(point, n);
        }
        self.began_at = self.now();
        let new = NewInstance::new(self.tenant.clone(), self.input.clone());
        self.id = Some(self.hub.engine().start_instance(&row, new).await.unwrap().id);
        self.settle().await;
    }

    /// Starts the workflow, and moves time on until it has ended or waits for something else than time.
    pub(super) async fn execute(&mut self) {
        self.begin().await;
        self.run_on().await;
    }

    /// Moves time on until nothing waits for it any more.
    pub(super) async fn run_on(&mut self) {
        for _ in 0..MAX_MOVES {
            let is_over = self.row().await.phase.is_terminal();
            let Some(next) = self.next_timer().await.filter(|_| !is_over) else { return };
            self.move_to(next).await;
        }
        panic!("time was moved {MAX_MOVES} times and the workflow goes on");
    }

    /// Moves time on by so much, stopping at whatever is due meanwhile.
    pub(super) async fn pass(&mut self, time: Duration) {
        let until = self.now().plus(time);
        for _ in 0..MAX_MOVES {
            match self.next_moment().await.filter(|next| *next <= until) {
                Some(next) => self.move_to(next).await,
                None => return self.move_to(until).await,
            }
        }
        panic!("time was moved {MAX_MOVES} times and does not come to an end");
    }

    async fn move_to(&mut self, at: Timestamp) {
        self.hub.rig.clock.advance(at.since(self.now()));
        self.hub.engine().poke();
        self.settle().await;
    }

    pub(super) async fn emit(&self, event: &Value) {
        let Value::Object(given) = event else { panic!("an event is an object: {event}") };
        let mut members = json!({"specversion": "1.0", "source": "/outside"}).as_object().unwrap().clone();
        members
            .insert("id".to_owned(), trunkline_model::WorkflowId::fresh().as_str().replace("wf", "e").into());
        members.extend(given.clone());
        let defaults = trunkline_model::cloudevents::Defaults { tenant: &self.tenant, now: self.now() };
        let text = Value::Object(members).to_string();
        let event = trunkline_model::cloudevents::parse_structured(text.as_bytes(), &defaults).unwrap();
        self.hub.rig.journal.append(vec![NewEvent::new(event, self.now())]).await.unwrap();
    }

    /// All instances of the scenario, oldest first.
    pub(super) async fn instances(&self) -> Vec<InstanceRow> {
        let filter = InstanceFilter { limit: 500, ..InstanceFilter::default() };
        let mut rows = instance_list(&self.hub.rig.store, &self.tenant, &filter).await.unwrap();
        rows.reverse();
        rows
    }

    /// The instance that the scenario is about: the one it started, or the last one that was started otherwise.
    pub(super) async fn row(&self) -> InstanceRow {
        let rows = self.instances().await;
        let found = match &self.id {
            Some(id) => rows.into_iter().find(|row| row.id == *id),
            None => rows.into_iter().next_back(),
        };
        found.expect("an instance was started")
    }

    /// Waits until nothing happens any more unless time goes by or something comes from outside. Where work is to be cut
    /// off, it is.
    pub(super) async fn settle(&mut self) {
        loop {
            let resting = tokio::time::timeout(PATIENCE, self.rest());
            let is_cut = self.cut.is_some();
            tokio::select! {
                rested = resting => {
                    assert!(rested.is_ok(), "nothing comes to rest: {:#?}", self.instances().await);
                    return;
                }
                () = self.hub.engine().tripped(), if is_cut => {}
            }
            self.cut = None;
            self.crash().await;
        }
    }

    async fn rest(&self) {
        while !self.is_at_rest().await {
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
    }

    /// Work goes from row to row by commits: nothing of it is overlooked where none is made while the rows are read.
    async fn is_at_rest(&self) -> bool {
        let before = self.hub.engine().quiet();
        before.is_some() && self.looks_at_rest().await && self.hub.engine().quiet() == before
    }

    async fn looks_at_rest(&self) -> bool {
        let store = &self.hub.rig.store;
        if !self.are_instances_at_rest().await {
            return false;
        }
        // The cursors before the messages that they move with.
        let cursors: BTreeMap<_, _> = cursor_list(store)
            .await
            .unwrap()
            .into_iter()
            .filter(|row| row.consumer == CONSUMER)
            .map(|row| (row.shard, row.seq))
            .collect();
        let heads = head_list(store).await.unwrap();
        if heads.iter().any(|(shard, head)| cursors.get(shard).copied().unwrap_or(0) < *head) {
            return false;
        }
        let due = lane_list_due(store, self.now(), None, 1).await.unwrap();
        if !due.is_empty() || !lane_list_stirred(store, (0, ""), 1).await.unwrap().is_empty() {
            return false;
        }
        if !schedule_list_due(store, self.now(), None, 1).await.unwrap().is_empty()
            || !gathered_list_new_shards(store).await.unwrap().is_empty()
        {
            return false;
        }
        // Whatever was just started or reached is not among the rows that were read first.
        message_list_shards(store).await.unwrap().is_empty() && self.are_instances_at_rest().await
    }

    async fn are_instances_at_rest(&self) -> bool {
        let (store, engine) = (&self.hub.rig.store, self.hub.engine());
        let now = self.now();
        for row in self.instances().await {
            let known = engine.state(&row.id);
            let is_over = row.phase.is_terminal();
            let Some((seq, state)) = known else {
                if is_over {
                    continue;
                }
                self.note_state(row).await;
                return false;
            };
            if !record_list(store, &row.id, seq, 1).await.unwrap().is_empty() {
                self.note_state(row).await;
                return false;
            }
            if !is_over && !self.is_resting(&state, now) {
                return false;
            }
        }
        true
    }

    fn is_resting(&self, state: &State, now: Timestamp) -> bool {
        if state.suspended.is_some() {
            // Promises are heard of all the same.
            return state.timers.values().all(|it| it.fire_at > now || it.purpose.word() != "sla");
        }
        let hangs = |key: &str| self.hub.outside.is_hanging(key);
        state.outcome.is_none()
            && state.has_begun
            && state.effects.values().all(|effect| hangs(&effect.key))
            && state.timers.values().all(|timer| timer.fire_at > now)
    }

    /// The next time at which anything happens, starts by schedules included.
    async fn next_moment(&self) -> Option<Timestamp> {
        let rows = schedule_list(&self.hub.rig.store, &self.tenant, None, 100).await.unwrap();
        rows.iter().filter_map(|row| row.wake_at).chain(self.next_timer().await).min()
    }

    async fn next_timer(&self) -> Option<Timestamp> {
        let mut next: Option<Timestamp> = None;
        let mut asks = false;
        for row in self.instances().await.iter().filter(|row| !row.phase.is_terminal()) {
            let Some((_, state)) = self.hub.engine().state(&row.id) else { continue };
            if state.suspended.is_some() {
                continue;
            }
            asks |= state.tickets.values().any(|it| !it.is_held && it.per.is_some());
            next = next.into_iter().chain(state.timers.values().map(|timer| timer.fire_at)).min();
        }
        if asks {
            // Starts that may be made again are no timers of the instance.
            let horizon = self.now().plus(crate::dsl::duration::MAX_DURATION);
            let lanes = lane_list_due(&self.hub.rig.store, horizon, None, 100).await.unwrap();
            next = next.into_iter().chain(lanes.iter().filter_map(|lane| lane.wake_at)).min();
        }
        next
    }

    /// Ends the engine as `kill -9` would, and starts another.
    pub(super) async fn crash(&mut self) {
        if let Some(engine) = self.hub.engine.take() {
            engine.crash().await;
        }
        self.hub.start();
    }

    /// Stops the engine in order, and starts another.
    pub(super) async fn restart(&mut self) {
        if let Some(engine) = self.hub.engine.take() {
            engine.stop().await;
        }
        self.hub.start();
    }

    /// Reads the state of an instance that no commit of this engine has shown.
    async fn note_state(&self, row: InstanceRow) {
        let engine = self.hub.engine();
        engine.note_state(&Live::load(&self.hub.rig.store, engine.programs(), row).await.unwrap());
    }

    /// What tasks did, by folding the records once more.
    pub(super) async fn task_runs(&self) -> Vec<TaskRun> {
        let row = self.row().await;
        let (_, trace) = self.fold(&row).await;
        let program = self.hub.engine().programs().get(&row.hash).await.unwrap();
        let mut runs: Vec<(u32, TaskRun)> = Vec::new();
        for (frame, task, became) in trace {
            if became == Became::Begun {
                let name = program.task(task).name.to_string();
                runs.push((frame, TaskRun { name, became: None }));
            } else if let Some((_, run)) = runs.iter_mut().rfind(|(known, _)| *known == frame) {
                run.became.get_or_insert(became);
            }
        }
        runs.into_iter().map(|(_, run)| run).collect()
    }

    async fn fold(&self, row: &InstanceRow) -> (State, Vec<(u32, crate::TaskId, Became)>) {
        let program = self.hub.engine().programs().get(&row.hash).await.unwrap();
        let input = serde_json::from_str(&row.input).unwrap();
        let mut state = State::new(row.id.clone(), input, row.created_at);
        let mut trace = Vec::new();
        for record in record_list(&self.hub.rig.store, &row.id, 0, 100_000).await.unwrap() {
            let input: Input = serde_json::from_str(&record.body).unwrap();
            trace.extend(machine::step(&program, &mut state, &input, record.at).trace);
        }
        (state, trace)
    }

    /// Folding the records of every instance gives the state that the engine has in memory, and that its row tells of.
    pub(super) async fn assert_foldable(&self) {
        for row in self.instances().await {
            let (folded, _) = self.fold(&row).await;
            let engine = self.hub.engine();
            if let Some((_, live)) = engine.state(&row.id) {
                assert_eq!(live, folded, "the state in memory is not that of the records");
            }
            let live = Live::load(&self.hub.rig.store, engine.programs(), row.clone()).await.unwrap();
            assert_eq!(live.state, folded, "the stored snapshot is not that of the records");
            assert_eq!(row.phase.is_terminal(), folded.outcome.is_some());
            let is_held = row.phase == InstancePhase::Suspended;
            assert_eq!(is_held, folded.suspended.is_some() && folded.outcome.is_none());
        }
    }

    /// Ends what the scenario leaves behind, so that it does not wake in the next one.
    pub(super) async fn leave(&mut self) {
        for row in self.instances().await.into_iter().filter(|row| !row.phase.is_terminal()) {
            drop(self.hub.engine().cancel(&self.tenant, row.id.as_str(), None).await);
        }
        if let Some(row) = &self.row {
            let retire = definition_set_state(row, DefinitionState::Retired, self.now());
            self.hub.rig.journal.commit(Commit::statements(vec![retire])).await.unwrap();
            self.hub.engine().refresh_definitions().await;
        }
    }
}
