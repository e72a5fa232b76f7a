//! One owned shard: the instances in memory, and the loop that feeds them.
//!
//! ```text
//! inbox, timers, pending rows ─► queue of an instance ─► step + commit (a task) ─► calls outside ─► queue …
//!                                        │                      │
//!                         loaded when it is not in memory       └─ waits for nothing here: leaves memory
//! ```
//!
//! An instance takes one input at a time; instances go side by side, so that their commits share a sync. A commit whose
//! fate is unknown is never guessed about: the instance is read again and the input offered again, and what is in the
//! records already concerns it no more.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trunkline_model::{Timestamp, WorkflowId};
use trunkline_store::tables::workflow::inbox;
use trunkline_store::tables::workflow::instance::{self, InstancePhase, InstanceRow, PendingFirst};
use trunkline_store::tables::workflow::timer::{self, TimerRow};
use trunkline_store::{Commit, CommitError, Fence, ReadError, Statement};

use super::input::{Failure, Input};
use super::live::{Live, LoadError};
use super::perform::Job;
use super::state::Activity;
use super::{CommitPoint, Shared};
use crate::catalog::Performed;
use crate::dsl::error::StandardError;

/// How many rows are read at once.
const PAGE: i64 = 256;
/// Timers further away are not kept in memory.
const HORIZON: Duration = Duration::from_mins(1);
/// An instance that was cut off so often in a row is held for somebody to look at.
const MAX_CRASHES: i64 = 3;
/// What an instance is held for then.
const INCIDENT: &str = "its work was cut off three times in a row; look at what it calls, then resume it";

/// How a run of a shard ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The engine stops.
    Stopped,
    /// Another owner has the shard.
    Lost,
    /// The store did not answer.
    Uncertain(ReadError),
}

/// Wakes a shard's loop.
#[derive(Debug, Default)]
pub(crate) struct Poke(Notify);

impl Poke {
    pub(crate) fn poke(&self) {
        self.0.notify_one();
    }
}

/// What waits for an instance.
#[derive(Debug, Clone)]
struct Queued {
    input: Input,
    /// The key of the inbox row it came by.
    message: Option<String>,
    /// What becomes true with it: what a function of the catalogue writes.
    riders: Vec<Statement>,
}

impl Queued {
    fn new(input: Input) -> Self {
        Self { input, message: None, riders: Vec::new() }
    }
}

/// An instance that is in memory, or on its way.
#[derive(Default)]
struct Slot {
    /// Absent while a task has it.
    live: Option<Box<Live>>,
    queue: VecDeque<Queued>,
    /// Keys of the inbox rows in the queue and under way.
    messages: HashSet<String>,
    calls: HashMap<u32, AbortHandle>,
    /// Failures since the last step that succeeded.
    n_failures: u32,
}

/// What a task came to.
enum Done {
    Loaded { id: WorkflowId, live: Result<Option<Box<Live>>, LoadError> },
    Advanced { id: WorkflowId, live: Box<Live>, queued: Queued, result: Result<(), CommitError> },
    Called { id: WorkflowId, effect: u32, result: Result<Performed, Failure> },
}

/// The loop of one shard.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    fence: Fence,
    poke: Arc<Poke>,
    slots: HashMap<WorkflowId, Slot>,
    /// Which instance a task works for, to know whose it was when it panics.
    owners: HashMap<tokio::task::Id, WorkflowId>,
    timers: BTreeSet<TimerRow>,
    horizon: Timestamp,
    /// The last timer that was read, while more of the same time may lie behind it.
    timers_after: Option<TimerRow>,
    /// When to look again for what is at work and in no memory.
    take_over_at: Timestamp,
    tasks: JoinSet<Done>,
    /// Whether rows were left for another look.
    has_more: bool,
    /// Whether the last look was cut short.
    has_backlog: bool,
    is_stopping: bool,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, fence: Fence, poke: Arc<Poke>) -> Self {
        Self {
            shared,
            fence,
            poke,
            slots: HashMap::new(),
            owners: HashMap::new(),
            timers: BTreeSet::new(),
            horizon: Timestamp::default(),
            timers_after: None,
            take_over_at: Timestamp::default(),
            tasks: JoinSet::new(),
            has_more: false,
            has_backlog: false,
            is_stopping: false,
        }
    }

    /// Works until the shard is lost or the engine stops.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> End {
        let poke = Arc::clone(&self.poke);
        let outcome = async {
            loop {
                self.look().await?;
                self.fire();
                self.shared.metrics.set(self.fence.shard, self.slots.len(), self.timers.len());
                let wait = self.until_next_timer();
                tokio::select! {
                    () = stop.cancelled() => return Ok(End::Stopped),
                    done = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => {
                        if let Some(End::Lost) = done.and_then(|done| self.done(done)) {
                            return Ok(End::Lost);
                        }
                        // Whatever else has ended meanwhile is taken along before the store is asked again.
                        while let Some(done) = self.tasks.try_join_next_with_id() {
                            if let Some(End::Lost) = self.done(done) {
                                return Ok(End::Lost);
                            }
                        }
                        self.has_more |= self.has_backlog && self.tasks.len() < PAGE as usize / 2;
                    }
                    () = poke.0.notified() => self.has_more = true,
                    () = tokio::time::sleep(wait) => {}
                }
            }
        };
        let end = outcome.await.unwrap_or_else(End::Uncertain);
        if matches!(end, End::Stopped) {
            self.drain().await;
        }
        self.shared.metrics.forget(self.fence.shard);
        end
    }

    /// Takes up what is at work by its row and in no memory: what the owner before left, and later what a commit of it
    /// put to work that became true only after this owner had looked.
    async fn take_over(&mut self) -> Result<(), ReadError> {
        let mut after: Option<WorkflowId> = None;
        loop {
            let store = self.shared.journal.store();
            let page = instance::instance_list_active(store, self.fence.shard, after.as_ref(), PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            after = page.last().map(|row| row.id.clone());
            let mut taken = Vec::new();
            for row in page {
                if !self.slots.contains_key(&row.id) {
                    taken.extend(self.recover(row).await?);
                }
            }
            self.note_crashes(&taken).await;
            for live in taken {
                let id = live.row.id.clone();
                let slot = self.slots.entry(id.clone()).or_default();
                if live.row.n_crashes >= MAX_CRASHES {
                    let input = Input::Suspend { reason: Some(INCIDENT.to_owned()) };
                    slot.queue.push_front(Queued::new(input));
                }
                self.arrive(&id, live);
            }
            if is_last {
                self.has_more = true;
                return Ok(());
            }
        }
    }

    /// Reads one instance that was at work when its owner went away.
    async fn recover(&self, row: InstanceRow) -> Result<Option<Box<Live>>, ReadError> {
        let (id, n_before, n_crashes) = (row.id.clone(), row.n_records, row.n_crashes);
        match Live::load(self.shared.journal.store(), &self.shared.programs, row).await {
            Ok(mut live) => {
                // Progress since the row was written takes earlier crashes back.
                live.row.n_crashes = if live.seq > n_before { 1 } else { n_crashes + 1 };
                live.row.n_records = live.seq;
                Ok(Some(Box::new(live)))
            }
            Err(LoadError::Read(error)) => Err(error),
            Err(error) => {
                tracing::error!(workflow.id = %id, error = ?error, "workflow cannot be taken up");
                Ok(None)
            }
        }
    }

    async fn note_crashes(&self, taken: &[Box<Live>]) {
        let note = |live: &Live| instance::instance_note_crash(&live.row.id, live.seq, live.row.n_crashes);
        let statements: Vec<Statement> = taken.iter().map(|live| note(live)).collect();
        if statements.is_empty() {
            return;
        }
        let commit = Commit { fence: Some(self.fence.clone()), statements, ..Commit::default() };
        if let Err(error) = self.shared.journal.commit(commit).await {
            tracing::warn!(shard = self.fence.shard, error = ?error, "crashes of workflows not counted");
        }
    }

    /// Reads what came from outside, if there may be something.
    ///
    /// Timers are read last. A commit that a worker before this one had begun may become true between two reads: if it did
    /// before the timers were read, the timer that it set is among them; if it did later, what it was made for had been
    /// read as not done, and its instance is read again when doing it once more is refused.
    async fn look(&mut self) -> Result<(), ReadError> {
        if self.is_stopping {
            return Ok(());
        }
        let now = self.shared.now();
        if self.take_over_at <= now {
            self.take_over().await?;
            self.take_over_at = now.plus(HORIZON / 2);
        }
        if std::mem::take(&mut self.has_more) {
            let store = self.shared.journal.store().clone();
            let shard = self.fence.shard;
            let mut pending =
                instance::instance_list_pending(&store, shard, PendingFirst::Urgent, PAGE).await?;
            if pending.len() as i64 == PAGE {
                // More than are taken up at once: some of those that have waited longest go along, whoever is urgent.
                let oldest = PendingFirst::Oldest;
                pending.extend(instance::instance_list_pending(&store, shard, oldest, PAGE / 8).await?);
            }
            let messages = inbox::message_list(&store, self.fence.shard, PAGE).await?;
            let is_full = pending.len().max(messages.len()) >= PAGE as usize;
            let mut n_new = 0;
            for row in pending {
                if !self.slots.contains_key(&row.id) {
                    n_new += 1;
                    let begun = Queued::new(Input::Begun { seal: None });
                    self.push(&row.id.clone(), begun, Some(row));
                }
            }
            for message in messages {
                let is_known = self
                    .slots
                    .get(&message.instance_id)
                    .is_some_and(|slot| slot.messages.contains(&message.key));
                if is_known {
                    continue;
                }
                n_new += 1;
                match serde_json::from_str(&message.body) {
                    Ok(input) => {
                        let queued = Queued { message: Some(message.key), ..Queued::new(input) };
                        self.push(&message.instance_id, queued, None);
                    }
                    Err(error) => {
                        tracing::error!(workflow.id = %message.instance_id, error = %error, "message does not parse");
                    }
                }
            }
            // What is under way still stands in the rows; when most of it has ended it pays to look again.
            self.has_more = is_full && n_new > 0;
            self.has_backlog = is_full;
        }
        self.look_at_timers(now).await
    }

    /// Reads the timers of the next minute, as many as there is room for. A page that is full is followed by the one behind
    /// it, so that no timer is offered again and again while its instance gets to it; at the end it begins anew.
    async fn look_at_timers(&mut self, now: Timestamp) -> Result<(), ReadError> {
        let room = self.shared.limits.timers;
        let has_room = self.timers.len() <= room / 2 && self.slots.len() <= room;
        if self.horizon.minus(HORIZON / 2) > now || !has_room {
            return Ok(());
        }
        let (store, until) = (self.shared.journal.store(), now.plus(HORIZON));
        let after = self.timers_after.as_ref();
        let rows = timer::timer_list_until(store, self.fence.shard, after, until, room as i64).await?;
        self.timers_after = rows.last().filter(|_| rows.len() == room).cloned();
        self.horizon = self.timers_after.as_ref().map_or(until, |last| last.fire_at);
        self.timers.extend(rows);
        Ok(())
    }

    /// Offers due timers to their instances.
    fn fire(&mut self) {
        let now = self.shared.now();
        while self.timers.first().is_some_and(|timer| timer.fire_at <= now) && !self.is_stopping {
            let Some(timer) = self.timers.pop_first() else { return };
            let Ok(id) = u32::try_from(timer.timer_id) else { continue };
            let queued = Queued::new(Input::TimerFired { timer: id });
            self.push(&timer.instance_id, queued, None);
        }
    }

    fn until_next_timer(&self) -> Duration {
        if self.has_more {
            return Duration::ZERO;
        }
        let now = self.shared.now();
        let next = self.timers.first().map_or(HORIZON / 2, |timer| timer.fire_at.since(now));
        next.min(HORIZON / 2)
    }

    /// Queues an input; an instance that is not in memory is read first.
    fn push(&mut self, id: &WorkflowId, queued: Queued, row: Option<InstanceRow>) {
        let is_new = !self.slots.contains_key(id);
        let slot = self.slots.entry(id.clone()).or_default();
        slot.messages.extend(queued.message.clone());
        slot.queue.push_back(queued);
        if is_new {
            self.load(id, row, Duration::ZERO);
        } else {
            self.go_on(id);
        }
    }

    fn load(&mut self, id: &WorkflowId, row: Option<InstanceRow>, after: Duration) {
        let (shared, id) = (Arc::clone(&self.shared), id.clone());
        let owner = id.clone();
        let task = self.tasks.spawn(async move {
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            let live = match row {
                Some(row) if row.n_records == 1 => Live::fresh(&shared.programs, row).await.map(Some),
                // A fork begins with the state of another instance.
                Some(row) => Live::load(shared.journal.store(), &shared.programs, row).await.map(Some),
                None => load_stored(&shared, &id).await,
            };
            Done::Loaded { id, live: live.map(|live| live.map(Box::new)) }
        });
        self.owners.insert(task.id(), owner);
    }

    /// Handles the end of a task.
    fn done(&mut self, done: Result<(tokio::task::Id, Done), tokio::task::JoinError>) -> Option<End> {
        match done {
            Ok((task, done)) => {
                self.owners.remove(&task);
                match done {
                    Done::Loaded { id, live } => self.loaded(&id, live),
                    Done::Advanced { id, live, queued, result } => {
                        return self.advanced(&id, live, queued, result);
                    }
                    Done::Called { id, effect, result } => {
                        if let Some(slot) = self.slots.get_mut(&id) {
                            slot.calls.remove(&effect);
                            let (result, riders) = match result {
                                Ok(Performed { value, statements }) => (Ok(value), statements),
                                Err(failure) => (Err(failure), Vec::new()),
                            };
                            let input = Input::EffectDone { effect, result };
                            self.push(&id, Queued { riders, ..Queued::new(input) }, None);
                        }
                    }
                }
            }
            Err(error) => {
                let owner = self.owners.remove(&error.id());
                if let Some(id) = owner.filter(|_| error.is_panic()) {
                    tracing::error!(workflow.id = %id, error = ?error, "a step of a workflow panicked");
                    self.failed(&id);
                }
            }
        }
        None
    }

    fn loaded(&mut self, id: &WorkflowId, live: Result<Option<Box<Live>>, LoadError>) {
        match live {
            Ok(Some(live)) => self.arrive(id, live),
            // Retention took it; its messages go with it.
            Ok(None) => drop(self.slots.remove(id)),
            Err(error) => {
                if !matches!(error, LoadError::Read(_)) {
                    tracing::error!(workflow.id = %id, error = ?error, "workflow cannot be read");
                }
                self.failed(id);
            }
        }
    }

    /// Puts an instance that was read into its place.
    fn arrive(&mut self, id: &WorkflowId, live: Box<Live>) {
        for (timer_id, timer) in live.state.timers.iter().filter(|(_, timer)| timer.fire_at <= self.horizon) {
            self.timers.insert(live.timer_row(*timer_id, timer));
        }
        let Some(slot) = self.slots.get_mut(id) else { return };
        // A call that may not be made twice, and may have been made: somebody has to decide.
        for (effect, _) in live.state.effects.iter().filter(|(_, it)| !it.repeatable) {
            if !slot.calls.contains_key(effect) {
                let detail = "the end of the call is unknown, and it may not be made twice";
                let result = Err(Failure::standard(StandardError::Runtime, detail));
                let input = Input::EffectDone { effect: *effect, result };
                slot.queue.push_front(Queued::new(input));
            }
        }
        slot.live = Some(live);
        self.go_on(id);
    }

    /// Something about an instance failed: it is read again after a while.
    fn failed(&mut self, id: &WorkflowId) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        slot.live = None;
        slot.n_failures += 1;
        let n_failures = slot.n_failures;
        if n_failures == MAX_CRASHES as u32 {
            let input = Input::Suspend { reason: Some(INCIDENT.to_owned()) };
            slot.queue.push_front(Queued::new(input));
        }
        self.load(id, None, super::backoff(n_failures));
    }

    /// Makes the next step of an instance, or lets it leave memory.
    fn go_on(&mut self, id: &WorkflowId) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        let Some(live) = slot.live.take() else { return };
        let at = self.shared.now();
        let mut stale: Vec<Statement> = Vec::new();
        while let Some(queued) = slot.queue.pop_front() {
            if live.concerns(&queued.input, at) {
                self.advance(id, live, queued, at);
                return;
            }
            if let Some(key) = queued.message {
                // It concerns nobody: the row goes without a record.
                slot.messages.remove(&key);
                let delete = inbox::message_delete(id, &key);
                stale.push(Statement::new(delete.sql, delete.params));
                self.shared.answer(id, &key);
            }
        }
        let is_idle = !matches!(live.state.activity(at), Activity::Running | Activity::Pending);
        if is_idle && slot.calls.is_empty() {
            self.slots.remove(id);
        } else {
            slot.live = Some(live);
            self.call(id);
        }
        if !stale.is_empty() {
            let (shared, fence) = (Arc::clone(&self.shared), self.fence.clone());
            let commit = Commit { fence: Some(fence), statements: stale, ..Commit::default() };
            tokio::spawn(async move {
                if let Err(error) = shared.journal.commit(commit).await {
                    tracing::warn!(error = ?error, "messages not taken away; they are looked at again");
                }
            });
        }
    }

    fn advance(&mut self, id: &WorkflowId, mut live: Box<Live>, queued: Queued, at: Timestamp) {
        let (shared, fence, id) = (Arc::clone(&self.shared), self.fence.clone(), id.clone());
        let owner = id.clone();
        let task = self.tasks.spawn(async move {
            let n_shards = shared.journal.n_shards();
            let message = queued.message.as_deref();
            let next = match &queued.input {
                Input::Migrated { hash, .. } => Some(shared.programs.get(hash).await),
                _ => None,
            };
            let mut commit = match next {
                None => live.advance(&queued.input, message, at, &fence, n_shards),
                Some(Ok(next)) => live.migrate(next, &queued.input, message, at, &fence),
                Some(Err(error)) => {
                    tracing::error!(workflow.id = %id, error = ?error, "workflow is not moved to another version");
                    let taken = message.map(|key| inbox::message_delete(&id, key));
                    let statements = taken.into_iter().collect();
                    Commit { fence: Some(fence), statements, ..Commit::default() }
                }
            };
            commit.statements.extend(queued.riders.iter().cloned());
            shared.pass(CommitPoint::Before).await;
            let result = shared.journal.commit(commit).await.map(drop);
            shared.pass(CommitPoint::After).await;
            Done::Advanced { id, live, queued, result }
        });
        self.owners.insert(task.id(), owner);
    }

    fn advanced(
        &mut self,
        id: &WorkflowId,
        live: Box<Live>,
        queued: Queued,
        result: Result<(), CommitError>,
    ) -> Option<End> {
        let slot = self.slots.get_mut(id)?;
        match result {
            Ok(()) => {
                slot.n_failures = 0;
                if let Some(key) = queued.message {
                    slot.messages.remove(&key);
                    self.shared.answer(id, &key);
                }
                for (timer_id, timer) in live.state.timers.iter().filter(|(_, it)| it.fire_at <= self.horizon)
                {
                    self.timers.insert(live.timer_row(*timer_id, timer));
                }
                self.shared.after(&live);
                slot.live = Some(live);
                self.stop_calls(id);
                self.go_on(id);
                None
            }
            Err(CommitError::Fenced { shard }) => {
                tracing::info!(shard, "shard has another owner now");
                Some(End::Lost)
            }
            Err(CommitError::Guard { .. }) if !queued.riders.is_empty() => {
                // Somebody changed what the function wrote to: it is read again, and the function asked anew.
                slot.live = None;
                self.load(id, None, Duration::ZERO);
                None
            }
            Err(error) => {
                slot.queue.push_front(queued);
                if slot.n_failures.is_power_of_two() || slot.n_failures == 0 {
                    tracing::warn!(workflow.id = %id, error = ?error, "step of a workflow not committed; it is read again");
                }
                self.failed(id);
                None
            }
        }
    }

    /// Abandons calls that nobody waits for any more.
    fn stop_calls(&mut self, id: &WorkflowId) {
        let Some(Slot { live: Some(live), calls, .. }) = self.slots.get_mut(id) else { return };
        calls.retain(|effect, call| {
            let is_wanted = live.state.effects.contains_key(effect);
            if !is_wanted {
                call.abort();
            }
            is_wanted
        });
    }

    /// Makes the calls that the state asks for and that are not under way.
    fn call(&mut self, id: &WorkflowId) {
        if self.is_stopping {
            return;
        }
        let Some(Slot { live: Some(live), calls, .. }) = self.slots.get_mut(id) else { return };
        if live.state.suspended.is_some() {
            return;
        }
        for (effect, it) in &live.state.effects {
            if calls.contains_key(effect) {
                continue;
            }
            let (shared, id, effect) = (Arc::clone(&self.shared), id.clone(), *effect);
            let job = Job::new(live, it.clone());
            let task = self.tasks.spawn(async move {
                let result = job.perform(&shared).await;
                Done::Called { id, effect, result }
            });
            calls.insert(effect, task);
        }
    }

    /// Lets steps and calls end for a while; what is left is taken up by the next owner.
    async fn drain(&mut self) {
        self.is_stopping = true;
        let until = Instant::now() + self.shared.limits.drain;
        while !self.tasks.is_empty() {
            match tokio::time::timeout_at(until, self.tasks.join_next_with_id()).await {
                Ok(Some(done)) => {
                    if let Some(End::Lost) = self.done(done) {
                        return;
                    }
                }
                Ok(None) | Err(_) => break,
            }
        }
        let running = self.slots.iter().filter_map(|(id, slot)| Some((id, slot.live.as_ref()?)));
        let statements: Vec<Statement> = running
            .filter(|(_, live)| live.row.phase == InstancePhase::Running)
            .map(|(id, live)| instance::instance_note_crash(id, live.seq, 0))
            .collect();
        if !statements.is_empty() {
            let commit = Commit { fence: Some(self.fence.clone()), statements, ..Commit::default() };
            drop(self.shared.journal.commit(commit).await);
        }
    }
}

async fn load_stored(shared: &Shared, id: &WorkflowId) -> Result<Option<Live>, LoadError> {
    let store = shared.journal.store();
    match instance::instance_load(store, id).await? {
        None => Ok(None),
        Some(row) => Live::load(store, &shared.programs, row).await.map(Some),
    }
}
