//! Workflows that start by themselves: at times, so long after the last one, or by several events together.
//!
//! ```text
//! active definitions ─ reconcile ─► workflow_schedules ─ due ─► plan ─► instances + the row's next time   one commit
//! reader of the journal ──────────► workflow_gathered  ─ new ─► gather ─► instance, events taken out       one commit
//! an instance ends ───────────────► workflow_schedules.wake_at
//! ```
//!
//! Each schedule belongs to a shard; its owner moves it under the shard's fence and under the row's revision. The key of
//! a start holds the time it is for, so that a time starts one instance whatever crashes and whoever owns the shard.
//! Nobody polls: the loop sleeps until the next time, and is woken by changed definitions, ends of instances and events.

pub(crate) mod gather;
mod plan;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use trunkline_journal::ownership::Owned;
use trunkline_model::event::shard_of;
use trunkline_model::{Shard, Tenant, Timestamp, WorkflowId};
use trunkline_store::tables::workflow::gathered::{self, GatheredRow, GatheringKey};
use trunkline_store::tables::workflow::instance::{self, InstanceRow};
use trunkline_store::tables::workflow::schedule::{self, ScheduleRow};
use trunkline_store::{Commit, CommitError, Fence, ReadError, Statement};

use self::plan::Plan;
pub(crate) use self::plan::{Last, following, plan};
use super::matching::{Timed, Trigger};
use super::start::{self, NewInstance};
use super::{Shared, backoff};
use crate::dsl::points::Overlap;
use crate::dsl::schedule::Schedule;
use crate::program::Program;

/// How long the loop sleeps at most.
const HORIZON: Duration = Duration::from_secs(30);
/// How many rows are read at once.
const PAGE: i64 = 256;
/// How many events wait for others in one gathering; the oldest are left out.
const MAX_GATHERED: i64 = 1_000;
/// What the start keys of schedules begin with.
const KEY: &str = "schedule:";

/// The shard that a definition's schedule belongs to.
pub(crate) fn shard_of_definition(tenant: &Tenant, namespace: &str, name: &str, n_shards: Shard) -> Shard {
    shard_of(&format!("{tenant}/{namespace}/{name}"), n_shards)
}

/// Whether an instance was started by a schedule.
pub(crate) fn is_scheduled(row: &InstanceRow) -> bool {
    row.start_key.as_deref().is_some_and(|key| key.starts_with(KEY))
}

/// What the commit tells the schedule with which an instance ends that a schedule has started.
pub(crate) fn note_end(row: &InstanceRow, program: &Program, at: Timestamp) -> Option<Statement> {
    let workflow = program.workflow();
    let matters = matches!(workflow.schedule, Some(Schedule::After(_)))
        || workflow.points.schedule.overlap == Overlap::Queue;
    (is_scheduled(row) && matters)
        .then(|| schedule::schedule_note_end(&row.tenant, (&row.namespace, &row.name), &row.id, at))
}

/// Why a round came to nothing.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("schedules cannot be read")]
    Read(#[from] ReadError),
    #[error("a schedule was not stored")]
    Commit(#[from] CommitError),
}

/// Keeps the schedules of the shards that are owned here, until `stop`.
pub(crate) async fn run(shared: Arc<Shared>, mut owned: watch::Receiver<Owned>, stop: CancellationToken) {
    let mut keeper = Keeper { shared: Arc::clone(&shared), seen: None };
    let mut n_failures = 0_u32;
    loop {
        let now_owned = Arc::clone(&owned.borrow_and_update());
        let wait = match keeper.round(&now_owned).await {
            Ok(wait) => {
                n_failures = 0;
                wait
            }
            Err(error) => {
                n_failures += 1;
                if n_failures.is_power_of_two() {
                    tracing::warn!(n_failures, error = ?error, "schedules of workflows are looked at again");
                }
                backoff(n_failures)
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            changed = owned.changed() => {
                if changed.is_err() {
                    stop.cancelled().await;
                    return;
                }
            }
            () = shared.clockwork.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

struct Keeper {
    shared: Arc<Shared>,
    /// The definitions and shards that the rows were last compared with.
    seen: Option<(Arc<Timed>, Owned)>,
}

impl Keeper {
    /// Does what is due, and gives how long nothing is.
    async fn round(&mut self, owned: &Owned) -> Result<Duration, RoundError> {
        // Nothing is known yet: whoever reads the definitions calls.
        let Some(timed) = self.shared.triggers.timed() else { return Ok(HORIZON) };
        let is_seen = self
            .seen
            .as_ref()
            .is_some_and(|(known, before)| Arc::ptr_eq(known, &timed) && Arc::ptr_eq(before, owned));
        if !is_seen {
            self.reconcile(&timed, owned).await?;
            self.seen = Some((Arc::clone(&timed), Arc::clone(owned)));
        }
        self.gather(owned).await?;
        self.fire_due(&timed, owned).await
    }

    /// Makes the rows say what the active definitions say.
    async fn reconcile(&self, timed: &Timed, owned: &Owned) -> Result<(), RoundError> {
        let (store, now) = (self.shared.journal.store(), self.shared.now());
        let mut rows: HashMap<_, _> = HashMap::new();
        for row in schedule::schedule_list_all(store).await? {
            rows.insert((row.tenant.clone(), row.namespace.clone(), row.name.clone()), row);
        }
        for (name, trigger) in timed {
            let before = rows.remove(name);
            if before.as_ref().is_some_and(|row| row.hash == trigger.definition.hash) {
                continue;
            }
            let shard = shard_of_definition(&name.0, &name.1, &name.2, self.shared.journal.n_shards());
            let Some(fence) = owned.get(&shard) else { continue };
            let statement = match before {
                None => schedule::schedule_insert(&new_row(trigger, shard, now)),
                Some(row) => schedule::schedule_update(&changed_row(row, trigger, now)),
            };
            self.commit(fence, vec![statement]).await?;
        }
        for row in rows.into_values() {
            if let Some(fence) = owned.get(&row.shard) {
                self.commit(fence, vec![schedule::schedule_delete(&row)]).await?;
            }
        }
        Ok(())
    }

    /// Commits under a fence. Gives whether it became true; a row that somebody else has changed is looked at again.
    async fn commit(&self, fence: &Fence, statements: Vec<Statement>) -> Result<bool, CommitError> {
        let commit = Commit { fence: Some(fence.clone()), statements, ..Commit::default() };
        match self.shared.journal.commit(commit).await {
            Ok(_) => Ok(true),
            Err(CommitError::Guard { .. } | CommitError::Fenced { .. } | CommitError::Constraint(_)) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn fire_due(&self, timed: &Timed, owned: &Owned) -> Result<Duration, RoundError> {
        let store = self.shared.journal.store();
        loop {
            let now = self.shared.now();
            let (mut after, mut n_fired) = (None, 0);
            let mut wait = HORIZON;
            loop {
                let rows =
                    schedule::schedule_list_due(store, now.plus(HORIZON), after.as_ref(), PAGE).await?;
                let is_last = rows.len() < PAGE as usize;
                after = rows.last().cloned();
                for row in rows {
                    let Some(fence) = owned.get(&row.shard) else { continue };
                    let wake_at = row.wake_at.unwrap_or(now);
                    if wake_at > now {
                        wait = wait.min(wake_at.since(now));
                        continue;
                    }
                    let name = (row.tenant.clone(), row.namespace.clone(), row.name.clone());
                    match timed.get(&name).filter(|trigger| trigger.definition.hash == row.hash) {
                        Some(trigger) => {
                            self.fire(trigger, row, fence, now).await?;
                            n_fired += 1;
                        }
                        // The definitions have changed: they are read anew in a moment.
                        None => wait = wait.min(Duration::from_secs(1)),
                    }
                }
                if is_last {
                    break;
                }
            }
            if n_fired == 0 {
                return Ok(wait);
            }
        }
    }

    async fn fire(
        &self,
        trigger: &Trigger,
        row: ScheduleRow,
        fence: &Fence,
        now: Timestamp,
    ) -> Result<(), RoundError> {
        let workflow = trigger.program.workflow();
        let Some(schedule) = &workflow.schedule else { return Ok(()) };
        let last = self.last(&row, now).await?;
        let planned = plan(schedule, &workflow.points.schedule, &row, last, now);
        let all_new = self.start((trigger, &row), &planned, fence, now, &[]).await?;
        if !all_new {
            // A time may have been started for before, under a row that was lost since: it counts as started.
            let mut known = Vec::new();
            for slot in &planned.starts {
                let key = start_key(&row, *slot);
                let found =
                    instance::instance_find_start(self.shared.journal.store(), &row.tenant, &key).await?;
                known.extend(found.map(|found| (*slot, found.id)));
            }
            if !known.is_empty() {
                self.start((trigger, &row), &planned, fence, now, &known).await?;
            }
        }
        Ok(())
    }

    /// Starts what is planned and moves the row, but for times that have an instance.
    async fn start(
        &self,
        (trigger, row): (&Trigger, &ScheduleRow),
        planned: &Plan,
        fence: &Fence,
        now: Timestamp,
        known: &[(Timestamp, WorkflowId)],
    ) -> Result<bool, RoundError> {
        let n_shards = self.shared.journal.n_shards();
        let mut row = row.clone();
        let (mut statements, mut shards) = (Vec::new(), Vec::new());
        for slot in &planned.starts {
            let before = known.iter().find(|(at, _)| at == slot);
            let id = if let Some((_, id)) = before {
                id.clone()
            } else {
                let new = NewInstance {
                    start_key: Some(start_key(&row, *slot)),
                    ..NewInstance::new(row.tenant.clone(), json!({}))
                };
                let made = new.into_row(&trigger.definition, &trigger.program, now, n_shards);
                shards.push(made.shard);
                let id = made.id.clone();
                statements.extend(start::statements(&made, json!({})));
                row.n_started += 1;
                id
            };
            (row.last_at, row.last_instance_id, row.ended_at) = (Some(*slot), Some(id), None);
        }
        (row.next_at, row.wake_at) = (planned.next_at, planned.wake_at);
        row.queue.clone_from(&planned.queue);
        row.n_skipped += planned.n_skipped;
        row.updated_at = now;
        statements.push(schedule::schedule_update(&row));
        let is_done = self.commit(fence, statements).await?;
        if is_done {
            for shard in shards {
                self.shared.poke(shard);
            }
        }
        Ok(is_done)
    }

    /// What the last instance of a schedule is at.
    async fn last(&self, row: &ScheduleRow, now: Timestamp) -> Result<Last, ReadError> {
        let Some(id) = &row.last_instance_id else { return Ok(Last::Never) };
        let found = instance::instance_load(self.shared.journal.store(), id).await?;
        Ok(match found {
            Some(found) if !found.phase.is_terminal() => Last::Running,
            Some(found) => Last::Ended(found.finished_at.or(row.ended_at).unwrap_or(now)),
            None => Last::Ended(row.ended_at.or(row.last_at).unwrap_or(now)),
        })
    }

    /// Looks at the events that are new, and starts what is complete.
    async fn gather(&self, owned: &Owned) -> Result<(), RoundError> {
        let store = self.shared.journal.store();
        for shard in gathered::gathered_list_new_shards(store).await? {
            let Some(fence) = owned.get(&shard) else { continue };
            loop {
                let new = gathered::gathering_list_new(store, shard, PAGE).await?;
                if new.is_empty() {
                    break;
                }
                for of in new {
                    while self.gather_one(&of, fence).await? {}
                }
            }
        }
        Ok(())
    }

    /// Starts one instance of a gathering if it is complete; gives whether there may be another one.
    async fn gather_one(&self, of: &GatheringKey, fence: &Fence) -> Result<bool, RoundError> {
        let (store, now) = (self.shared.journal.store(), self.shared.now());
        let rows = gathered::gathered_list(store, of, MAX_GATHERED + 1).await?;
        let trigger = self.shared.triggers.by_event(&of.tenant, &of.namespace, &of.name);
        let is_wanted = |row: &GatheredRow| trigger.as_ref().is_some_and(|it| it.definition.hash == row.hash);
        let (rows, stale): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_wanted);
        let mut statements: Vec<Statement> = stale.iter().map(gathered::gathered_delete).collect();
        let events: Vec<Value> =
            rows.iter().map(|row| serde_json::from_str(&row.event).unwrap_or_default()).collect();
        let schedule = trigger.as_ref().and_then(|trigger| trigger.program.workflow().schedule.as_ref());
        let found = match schedule {
            Some(Schedule::On(strategy, read)) => gather::complete(strategy, *read, &events, now),
            _ => None,
        };
        let mut started = None;
        if let (Some(set), Some(trigger)) = (&found, &trigger) {
            let made = instance_of(of, trigger, &rows, set, now, self.shared.journal.n_shards());
            started = Some(made.shard);
            statements.extend(start::statements(&made, Value::from(set.input.clone())));
            statements.extend(set.used.iter().map(|index| gathered::gathered_delete(&rows[*index])));
        } else {
            if rows.len() as i64 > MAX_GATHERED {
                statements.extend(rows.first().map(gathered::gathered_delete));
            }
            statements.extend(rows.iter().filter(|row| row.is_new).map(gathered::gathered_note_seen));
        }
        if statements.is_empty() {
            return Ok(false);
        }
        let is_done = self.commit(fence, statements).await?;
        if let Some(shard) = started.filter(|_| is_done) {
            self.shared.poke(shard);
        }
        Ok(is_done && started.is_some())
    }
}

fn start_key(row: &ScheduleRow, slot: Timestamp) -> String {
    format!("{KEY}{}/{}:{}", row.namespace, row.name, slot.as_micros())
}

fn instance_of(
    of: &GatheringKey,
    trigger: &Trigger,
    rows: &[GatheredRow],
    set: &gather::Set,
    now: Timestamp,
    n_shards: Shard,
) -> InstanceRow {
    let used = || set.used.iter().filter_map(|index| rows.get(*index));
    let keys: Vec<&str> = used().map(|row| row.key.as_str()).collect();
    let digest = super::machine::hex_digest(keys.join("\n").as_bytes());
    let attribute = |row: &GatheredRow, name: &str| {
        let event: Value = serde_json::from_str(&row.event).unwrap_or_default();
        event.get(name).and_then(Value::as_str).map(str::to_owned)
    };
    let new = NewInstance {
        correlation_id: used().next().and_then(|row| attribute(row, "correlationid")),
        causation_id: used().next_back().and_then(|row| attribute(row, "id")),
        start_key: Some(format!("events:{}/{}:{digest}", of.namespace, of.name)),
        ..NewInstance::new(of.tenant.clone(), Value::from(set.input.clone()))
    };
    new.into_row(&trigger.definition, &trigger.program, now, n_shards)
}

fn new_row(trigger: &Trigger, shard: Shard, now: Timestamp) -> ScheduleRow {
    let definition = &trigger.definition;
    let row = ScheduleRow {
        tenant: definition.tenant.clone(),
        namespace: definition.namespace.clone(),
        name: definition.name.clone(),
        version: definition.version.clone(),
        hash: definition.hash.clone(),
        shard,
        next_at: None,
        wake_at: None,
        last_at: None,
        last_instance_id: None,
        ended_at: None,
        queue: Vec::new(),
        is_paused: false,
        n_started: 0,
        n_skipped: 0,
        revision: 0,
        created_at: now,
        updated_at: now,
    };
    changed_row(row, trigger, now)
}

/// The row for another version: it counts from now, and what waits for an instance goes on waiting.
fn changed_row(row: ScheduleRow, trigger: &Trigger, now: Timestamp) -> ScheduleRow {
    let workflow = trigger.program.workflow();
    let next_at = match &workflow.schedule {
        Some(Schedule::After(_)) if row.last_instance_id.is_none() => Some(now),
        Some(schedule) => plan::following(schedule, &workflow.points.schedule, now),
        None => None,
    };
    let wake_at = if row.is_paused { None } else { next_at.or(Some(now)) };
    ScheduleRow {
        version: trigger.definition.version.clone(),
        hash: trigger.definition.hash.clone(),
        next_at,
        wake_at,
        updated_at: now,
        ..row
    }
}
