//! What an instance did, record by record: each with the task that it is about, how long that took, the attempt and the
//! error, and with the tasks that were begun and ended in the same step. Values are not told.

use std::time::Duration;

use trunkline_model::{Tenant, Timestamp};
use trunkline_store::tables::workflow::record::RecordRow;

use super::Engine;
use super::history::{self, Goes, HistoryError, Visit};
use super::input::{Failure, Input};
use super::machine::{Change, Changes, Note, attempt_of};
use super::state::{State, Work};
use crate::dsl::lifecycle::TaskChange;
use crate::program::Program;

/// The most tasks that are told of one record.
pub(crate) const MAX_TASKS: usize = 200;

/// One record.
#[derive(Debug, Clone, PartialEq)]
pub struct TimelineEntry {
    /// Its number.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// What happened: the kind of the record.
    pub kind: String,
    /// The task that it is about.
    pub task: Option<String>,
    /// How long that task had been at it.
    pub duration: Option<Duration>,
    /// Which attempt of the nearest `try`, from 1.
    pub attempt: Option<u32>,
    /// The error that came.
    pub error: Option<Failure>,
    /// What else was begun and ended in the step, in order; the first ones of very many.
    pub tasks: Vec<TimelineTask>,
    /// How many there were.
    pub n_tasks: usize,
}

/// What a step did to a task.
#[derive(Debug, Clone, PartialEq)]
pub struct TimelineTask {
    /// The task.
    pub task: String,
    /// `started`, `completed`, `faulted`, `cancelled` or `retried`.
    pub change: &'static str,
    /// Which attempt of the nearest `try`, from 1.
    pub attempt: u32,
    /// How long it took, once it has ended.
    pub duration: Option<Duration>,
    /// The error.
    pub error: Option<Failure>,
}

/// The frame that an input is about.
fn subject(state: &State, input: &Input) -> Option<u32> {
    let of_work = |is: &dyn Fn(&Work) -> bool| {
        state.frames.iter().find(|(_, frame)| is(&frame.work)).map(|(id, _)| *id)
    };
    match input {
        Input::EffectDone { effect, .. } => state.effects.get(effect).map(|it| it.frame),
        Input::TimerFired { timer } => state.timers.get(timer).map(|it| it.frame),
        Input::EventMatched { wait, .. } => state.waits.get(wait).map(|it| it.frame),
        Input::Acted { nonce, .. } => {
            of_work(&|work| matches!(work, Work::Person(asked) if asked.nonce == *nonce))
        }
        Input::ChildEnded { key, .. } => {
            of_work(&|work| matches!(work, Work::Child { key: known, .. } if known == key))
        }
        _ => None,
    }
}

struct Timeline {
    after: i64,
    limit: usize,
    entries: Vec<TimelineEntry>,
    next: Option<TimelineEntry>,
}

impl Visit for Timeline {
    fn before(&mut self, record: &RecordRow, input: &Input, program: &Program, state: &State) -> Goes {
        if self.entries.len() >= self.limit {
            return Goes::Enough;
        }
        let frame = subject(state, input);
        let at = frame.and_then(|frame| state.frames.get(&frame));
        let task = at.and_then(|frame| frame.task).and_then(|task| program.get(task));
        self.next = Some(TimelineEntry {
            seq: record.seq,
            at: record.at,
            kind: record.kind.clone(),
            task: task.map(|task| task.reference.to_string()),
            duration: at.map(|frame| record.at.since(frame.started_at)),
            attempt: frame.filter(|_| task.is_some()).map(|frame| attempt_of(state, frame)),
            error: match input {
                Input::EffectDone { result: Err(failure), .. } => Some(failure.clone()),
                _ => None,
            },
            tasks: Vec::new(),
            n_tasks: 0,
        });
        Goes::On
    }

    fn after(&mut self, record: &RecordRow, program: &Program, changes: &Changes, state: &State) {
        let Some(mut entry) = self.next.take().filter(|_| record.seq > self.after) else { return };
        let told: Vec<TimelineTask> =
            changes.notes.iter().filter_map(|note| told(program, note, record.at)).collect();
        entry.n_tasks = told.len();
        entry.tasks = told;
        entry.tasks.truncate(MAX_TASKS);
        if entry.error.is_none() {
            entry.error = state.failure().cloned();
        }
        self.entries.push(entry);
    }
}

fn told(program: &Program, note: &Note, at: Timestamp) -> Option<TimelineTask> {
    let Change::Task(change) = note.change else { return None };
    let (change, has_ended) = match change {
        TaskChange::Started => ("started", false),
        TaskChange::Retried => ("retried", false),
        TaskChange::Completed => ("completed", true),
        TaskChange::Faulted => ("faulted", true),
        TaskChange::Cancelled => ("cancelled", true),
        TaskChange::Created | TaskChange::Suspended | TaskChange::Resumed | TaskChange::StatusChanged => {
            return None;
        }
    };
    Some(TimelineTask {
        task: program.get(note.task?)?.reference.to_string(),
        change,
        attempt: note.attempt,
        duration: has_ended.then(|| at.since(note.since)),
        error: note.error.clone(),
    })
}

impl Engine {
    /// Tells the records of an instance behind the number `after`, in order, at most `limit`.
    pub async fn timeline(
        &self,
        tenant: &Tenant,
        id: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<TimelineEntry>, HistoryError> {
        let row = history::row_of(&self.shared, tenant, id).await?;
        let visitor = Timeline { after, limit, entries: Vec::new(), next: None };
        let history = history::fold(&self.shared, &row, visitor).await?;
        Ok(history.visitor.entries)
    }
}
