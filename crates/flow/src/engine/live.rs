//! An instance in memory: its row, its state, and how the next step becomes a commit.

use std::sync::Arc;

use serde_json::Value;
use trunkline_model::event::shard_of;
use trunkline_model::{Event, Shard, Timestamp, WorkflowId, cloudevents};
use trunkline_packs::DataSchema;
use trunkline_store::tables::workflow::inbox::{self, MessageRow};
use trunkline_store::tables::workflow::instance::{
    self, CompensationState, InstancePhase, InstanceRow, SlaState,
};
use trunkline_store::tables::workflow::promise;
use trunkline_store::tables::workflow::record::{self, RecordRow, SnapshotRow};
use trunkline_store::tables::workflow::subscription::{self, SubscriptionRow};
use trunkline_store::tables::workflow::task::{self, TaskRow};
use trunkline_store::tables::workflow::ticket;
use trunkline_store::tables::workflow::timer::{self, TimerRow};
use trunkline_store::{Commit, Fence, NewEvent, ReadError, Statement, Store};

use super::input::{Input, Outcome};
use super::lanes;
use super::lifecycle;
use super::machine::{self, Changes, accepts, hex_digest, is_ending};
use super::people::Asked;
use super::programs::{ProgramError, Programs};
use super::schedule;
use super::secrets;
use super::state::{Activity, PromiseStanding, ROOT, State, Timer, Undone, Wait, Work};
use crate::dsl::tasks::Body;
use crate::dsl::tasks::call::Call;
use crate::program::{Program, TaskId};

/// After so many records a snapshot is written, so that loading folds no more than these.
const SNAPSHOT_EVERY: i64 = 64;
/// How many records are read at once.
const PAGE: i64 = 256;

/// Why an instance cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store did not answer, or what it holds does not parse.
    #[error("the instance cannot be read")]
    Read(#[from] ReadError),
    /// Its definition is not to be had.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// What is stored is no state or record.
    #[error("what is stored of the instance does not parse")]
    Stored(#[source] serde_json::Error),
}

/// An instance in memory.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) row: InstanceRow,
    pub(crate) state: State,
    pub(crate) program: Arc<Program>,
    /// The last record.
    pub(crate) seq: i64,
    /// The last record in the stored snapshot.
    snapshot_seq: i64,
    /// Instances that the last step left messages for.
    pub(crate) told: Vec<WorkflowId>,
    /// Whether the last step stirred a lane.
    pub(crate) has_stirred: bool,
}

impl Live {
    /// Makes an instance that has not begun from its row alone: its first record says no more.
    pub(crate) async fn fresh(programs: &Programs, row: InstanceRow) -> Result<Self, LoadError> {
        let program = programs.get(&row.hash).await?;
        let input = serde_json::from_str(&row.input).map_err(LoadError::Stored)?;
        let mut state = State::new(row.id.clone(), input, row.created_at);
        state.started_by.clone_from(&row.started_by);
        Ok(Self { row, state, program, seq: 1, snapshot_seq: 0, told: Vec::new(), has_stirred: false })
    }

    /// Reads an instance: its snapshot, with the records behind it folded in.
    pub(crate) async fn load(
        store: &Store,
        programs: &Programs,
        row: InstanceRow,
    ) -> Result<Self, LoadError> {
        let mut live = Self::fresh(programs, row).await?;
        live.seq = 0;
        if let Some(SnapshotRow { seq, state }) = record::snapshot_get(store, &live.row.id).await? {
            live.state = serde_json::from_str(&state).map_err(LoadError::Stored)?;
            (live.seq, live.snapshot_seq) = (seq, seq);
        }
        loop {
            let page = record::record_list(store, &live.row.id, live.seq, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            for record in page {
                let input: Input = serde_json::from_str(&record.body).map_err(LoadError::Stored)?;
                // A migration is in the snapshot that came with it, and never behind one.
                machine::step(&live.program, &mut live.state, &input, record.at);
                live.seq = record.seq;
            }
            if is_last {
                return Ok(live);
            }
        }
    }

    /// Whether an input would change anything; what would not becomes no record.
    pub(crate) fn concerns(&self, input: &Input, at: Timestamp) -> bool {
        let state = &self.state;
        if state.outcome.is_some() {
            return false;
        }
        if state.suspended.as_ref().is_some_and(|suspended| suspended.held.contains(input)) {
            return false;
        }
        match input {
            Input::Started { .. } | Input::Forked { .. } => false,
            Input::Migrated { from_hash, .. } => *from_hash == self.row.hash,
            Input::Begun { .. } => !state.has_begun,
            Input::EffectDone { effect, .. } => state.effects.contains_key(effect),
            Input::TimerFired { timer } => state.timers.contains_key(timer),
            Input::EventMatched { wait, event } => accepts(&self.program, state, *wait, event, at),
            Input::Admitted { ticket } => state.tickets.get(ticket).is_some_and(|it| !it.is_held),
            Input::Refused { ticket } => state.tickets.contains_key(ticket),
            Input::Acted { nonce, actor, act, .. } => state.people().any(|(_, asked, task)| {
                asked.nonce == *nonce && asked.check(act, actor, form_of(&self.program, task)).is_ok()
            }),
            Input::ChildEnded { key, .. } => state
                .frames
                .values()
                .any(|it| matches!(&it.work, Work::Child { key: known, .. } if known == key)),
            Input::Cancel { .. } => !is_ending(state),
            Input::Suspend { .. } => state.suspended.is_none(),
            Input::Resume => state.suspended.is_some(),
        }
    }

    /// Makes the step that an input asks for, and the commit that makes it true. `message` is the key of the inbox row
    /// it came by.
    pub(crate) fn advance(
        &mut self,
        input: &Input,
        message: Option<&str>,
        at: Timestamp,
        fence: &Fence,
        n_shards: Shard,
    ) -> Commit {
        let sealed;
        let input = match input {
            Input::Begun { seal: None } if !self.program.workflow().secrets.is_empty() => {
                sealed = Input::Begun { seal: Some(secrets::fresh_seal()) };
                &sealed
            }
            input => input,
        };
        let changes = machine::step(&self.program, &mut self.state, input, at);
        self.seq += 1;
        let record = self.record(input, at);
        let mut commit = Commit { fence: Some(fence.clone()), ..Commit::default() };
        commit.statements = record::record_insert(&record, hex_digest);
        if let Some(key) = message {
            commit.statements.push(inbox::message_delete(&self.row.id, key));
        }
        self.add_wakers(&changes, &mut commit);
        self.add_tickets(&changes, n_shards, &mut commit);
        for (task, asked) in changes.asked.values() {
            commit.statements.extend(task::task_put(&self.task_row(*task, asked)));
        }
        for change in &changes.promises {
            commit.statements.extend(promise::promise_move(&self.row, *change));
        }
        self.add_row(at, &mut commit);
        self.add_family(&changes, at, n_shards, &mut commit);
        commit.events = changes.events.iter().filter_map(|event| self.to_event(event, at)).collect();
        if !changes.notes.is_empty() {
            let told = lifecycle::events(&self.row, &self.program, &changes.notes, self.seq, at);
            commit.events.extend(told);
        }
        commit
    }

    /// Moves the instance to another version, with the commit that makes it true. Where a place cannot be moved any
    /// more, the message goes and nothing else happens.
    pub(crate) fn migrate(
        &mut self,
        new: Arc<Program>,
        input: &Input,
        message: Option<&str>,
        at: Timestamp,
        fence: &Fence,
    ) -> Commit {
        let mut commit = Commit { fence: Some(fence.clone()), ..Commit::default() };
        commit.statements.extend(message.map(|key| inbox::message_delete(&self.row.id, key)));
        let Input::Migrated { version, hash, moves, .. } = input else { return commit };
        let mut state = self.state.clone();
        let Some(changes) = machine::migrate(&self.program, &new, &mut state, moves, at) else {
            return commit;
        };
        let cleared = changes.waits_cleared.iter();
        commit.statements.extend(cleared.map(|(id, wait, task)| {
            subscription::subscription_delete(&self.subscription_row(*id, wait, *task))
        }));
        (self.state, self.program, self.seq) = (state, new, self.seq + 1);
        let row = &mut self.row;
        row.version.clone_from(version);
        row.hash.clone_from(hash);
        row.total_steps = self.program.workflow().tasks.tasks.len() as i64;
        (row.current_step, row.n_records, row.updated_at) = (i64::from(self.state.step), self.seq, at);
        commit.statements.push(instance::instance_set_version(&self.row));
        for (id, wait, task) in &changes.waits_set {
            let row = self.subscription_row(*id, wait, *task);
            commit.statements.extend(subscription::subscription_insert(&row));
        }
        commit.statements.extend(record::record_insert(&self.record(input, at), hex_digest));
        commit.statements.extend(self.snapshot(at));
        self.told.clear();
        self.has_stirred = false;
        commit
    }

    fn record(&self, input: &Input, at: Timestamp) -> RecordRow {
        RecordRow {
            instance_id: self.row.id.clone(),
            seq: self.seq,
            at,
            kind: input.kind().to_owned(),
            body: serde_json::to_string(input).expect("invariant: inputs are JSON"),
        }
    }

    fn snapshot(&mut self, at: Timestamp) -> Vec<Statement> {
        let state = serde_json::to_string(&self.state).expect("invariant: states are JSON");
        self.snapshot_seq = self.seq;
        record::snapshot_put(&self.row.id, &SnapshotRow { seq: self.seq, state }, at, hex_digest)
    }

    fn add_wakers(&self, changes: &Changes, commit: &mut Commit) {
        let statements = &mut commit.statements;
        statements
            .extend(changes.timers_set.iter().map(|(id, it)| timer::timer_insert(&self.timer_row(*id, it))));
        statements.extend(
            changes.timers_cleared.iter().map(|(id, it)| timer::timer_delete(&self.timer_row(*id, it))),
        );
        for (id, wait, task) in &changes.waits_set {
            statements.extend(subscription::subscription_insert(&self.subscription_row(*id, wait, *task)));
        }
        for (id, wait, task) in &changes.waits_cleared {
            statements.push(subscription::subscription_delete(&self.subscription_row(*id, wait, *task)));
        }
    }

    fn add_tickets(&mut self, changes: &Changes, n_shards: Shard, commit: &mut Commit) {
        let statements = &mut commit.statements;
        for (id, it) in &changes.tickets_set {
            statements.push(ticket::ticket_insert(&lanes::ticket_row(&self.row, *id, it, n_shards)));
        }
        for id in &changes.tickets_cleared {
            statements.push(ticket::ticket_give_back(&self.row.id, i64::from(*id)));
        }
        self.has_stirred = !changes.tickets_set.is_empty() || !changes.tickets_cleared.is_empty();
    }

    fn task_row(&self, task: TaskId, asked: &Asked) -> TaskRow {
        let (row, task) = (&self.row, self.program.task(task));
        let form = self.program.definition_of(task).pointer("/with/form");
        TaskRow {
            id: asked.id.clone(),
            tenant: row.tenant.clone(),
            instance_id: row.id.clone(),
            namespace: row.namespace.clone(),
            name: row.name.clone(),
            document_id: row.document_id.clone(),
            reference: task.reference.to_string(),
            kind: asked.kind().word().to_owned(),
            nonce: asked.nonce.clone(),
            title: asked.title.clone(),
            description: asked.description.clone(),
            form: form.map(Value::to_string),
            assignees: asked.assignees.clone(),
            groups: asked.groups.clone(),
            escalated_to: asked.escalated_to.clone(),
            quorum: i64::from(asked.quorum),
            priority: task.points.priority.map_or(row.priority, i64::from),
            status: asked.status,
            outcome: asked.outcome.map(|it| it.as_str().to_owned()),
            claimed_by: asked.claimed_by.clone(),
            history: serde_json::to_string(&asked.history).expect("invariant: histories are JSON"),
            due_at: asked.due_at,
            escalate_at: asked.escalate_at,
            version: i64::from(asked.version),
            created_at: asked.asked_at,
            updated_at: asked.changed_at,
            closed_at: (!asked.status.is_open()).then_some(asked.changed_at),
        }
    }

    pub(crate) fn timer_row(&self, id: u32, timer: &Timer) -> TimerRow {
        TimerRow {
            fire_at: timer.fire_at,
            instance_id: self.row.id.clone(),
            timer_id: i64::from(id),
            shard: self.row.shard,
            kind: timer.purpose.word(),
        }
    }

    fn subscription_row(&self, id: u32, wait: &Wait, task: TaskId) -> SubscriptionRow {
        SubscriptionRow {
            tenant: self.row.tenant.clone(),
            event_type: wait.event_type.clone().unwrap_or_default(),
            site: format!("{}/{}/{}", self.row.hash, task.0, wait.filter),
            correlation: wait.correlation.clone(),
            instance_id: self.row.id.clone(),
            number: i64::from(id),
            shard: self.row.shard,
            since: wait.since,
        }
    }

    /// Writes the row when it says something new, and the snapshot when the instance leaves memory.
    fn add_row(&mut self, at: Timestamp, commit: &mut Commit) {
        let phase = phase(&self.state, at);
        let before = self.row.phase;
        let is_parked = matches!(phase, InstancePhase::Waiting | InstancePhase::Suspended);
        let (sla, sla_due_at) = standing(&self.state).unzip();
        let compensation = compensation(&self.state);
        let is_news = self.row.sla != sla || self.row.compensation != compensation;
        if phase != before || is_parked || is_news {
            let row = &mut self.row;
            (row.sla, row.sla_due_at, row.compensation) = (sla, sla_due_at, compensation);
            row.phase = phase;
            row.current_step = i64::from(self.state.step);
            row.n_records = self.seq;
            row.n_crashes = 0;
            row.started_at.get_or_insert(at);
            row.updated_at = at;
            row.error = self
                .state
                .suspended
                .as_ref()
                .and_then(|it| it.reason.as_ref())
                .map(|reason| Value::from(reason.as_str()).to_string());
            match &self.state.outcome {
                Some(Outcome::Completed(output)) => {
                    row.output = Some(output.to_string());
                    row.current_step = row.total_steps;
                }
                Some(Outcome::Failed(failure)) => row.error = Some(failure.to_value().to_string()),
                Some(Outcome::Cancelled(reason)) => {
                    row.error = reason.as_ref().map(|reason| Value::from(reason.as_str()).to_string());
                }
                None => {}
            }
            row.finished_at = phase.is_terminal().then_some(at);
            commit.statements.extend(instance::instance_update(row, before));
        }
        if phase.is_terminal() {
            commit.statements.push(record::snapshot_delete(&self.row.id));
            commit.statements.extend(schedule::note_end(&self.row, &self.program, at));
        } else if is_parked || self.seq - self.snapshot_seq >= SNAPSHOT_EVERY {
            commit.statements.extend(self.snapshot(at));
        }
    }

    /// Tells the parent of the end, and children that nobody waits for them any more.
    fn add_family(&mut self, changes: &Changes, at: Timestamp, n_shards: Shard, commit: &mut Commit) {
        self.told.clear();
        if let (Some(outcome), Some(parent), Some(key)) =
            (&self.state.outcome, &self.row.parent_id, &self.row.parent_key)
        {
            let input = Input::ChildEnded { key: key.clone(), outcome: outcome.clone() };
            let key = format!("child:{}", self.row.id);
            commit.statements.push(inbox::message_insert(&message(parent, key, &input, at, n_shards)));
            self.told.push(parent.clone());
        }
        for child in &changes.children_dropped {
            let input =
                Input::Cancel { reason: Some("the workflow that ran it does not wait any more".to_owned()) };
            let key = format!("parent:{}", self.row.id);
            commit.statements.push(inbox::message_insert(&message(child, key, &input, at, n_shards)));
            self.told.push(child.clone());
        }
    }

    fn to_event(&self, event: &Value, at: Timestamp) -> Option<NewEvent> {
        let defaults = cloudevents::Defaults { tenant: &self.row.tenant, now: at };
        // The machine has made sure that it parses.
        let mut event: Event = cloudevents::parse_structured(event.to_string().as_bytes(), &defaults).ok()?;
        event.correlationid = self.row.correlation_id.as_str().into();
        event.causationid = Some(self.row.id.as_str().to_owned());
        Some(NewEvent::new(event, at))
    }
}

/// The form that a task of people has to be filled in with.
pub(crate) fn form_of(program: &Program, task: TaskId) -> Option<&DataSchema> {
    match &program.task(task).body {
        Body::Call(Call::Human(human)) => human.form.as_deref(),
        _ => None,
    }
}

/// How an instance stands to the time that it was promised to take.
fn standing(state: &State) -> Option<(SlaState, Timestamp)> {
    let promise = state.frames.get(&ROOT).and_then(|root| root.promise).or(state.promise)?;
    let standing = match promise.standing {
        PromiseStanding::Within => SlaState::Within,
        PromiseStanding::Warned => SlaState::Warned,
        PromiseStanding::Breached => SlaState::Breached,
    };
    Some((standing, promise.due_at))
}

/// How undoing what an instance has done stands.
fn compensation(state: &State) -> Option<CompensationState> {
    let is_undoing = state.frames.values().any(|frame| frame.undoing.is_some());
    match (is_undoing, state.undone) {
        (true, _) => Some(CompensationState::Running),
        (false, Undone { n_failed: 1.., .. }) => Some(CompensationState::Incomplete),
        (false, Undone { n_done: 1.., .. }) => Some(CompensationState::Done),
        (false, _) => None,
    }
}

/// What the row says of a state.
fn phase(state: &State, at: Timestamp) -> InstancePhase {
    match (&state.outcome, state.activity(at)) {
        (Some(Outcome::Completed(_)), _) => InstancePhase::Completed,
        (Some(Outcome::Failed(_)), _) => InstancePhase::Faulted,
        (Some(Outcome::Cancelled(_)), _) => InstancePhase::Cancelled,
        (None, Activity::Pending) => InstancePhase::Pending,
        (None, Activity::Waiting) => InstancePhase::Waiting,
        (None, Activity::Suspended) => InstancePhase::Suspended,
        (None, Activity::Running | Activity::Ended) => InstancePhase::Running,
    }
}

/// A message for an instance.
pub(crate) fn message(
    to: &WorkflowId,
    key: String,
    input: &Input,
    at: Timestamp,
    n_shards: Shard,
) -> MessageRow {
    MessageRow {
        shard: shard_of(to.as_str(), n_shards),
        instance_id: to.clone(),
        key,
        kind: input.kind().to_owned(),
        body: serde_json::to_string(input).expect("invariant: inputs are JSON"),
        created_at: at,
    }
}
