//! The planner of one shard: reads the journal ahead of the cursor, pushes first attempts, and commits what came of
//! them together with the cursor. See [`engine`](super) for the states and the crash story.
//!
//! One task, no locks of its own: the journal read, the commit, reports of attempts and the spill timer are branches
//! of one loop. At most one read and one commit are under way; results gather meanwhile.

use std::borrow::Cow;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trunkline_model::{DeliveryId, Event, Seq, Shard, Timestamp};
use trunkline_store::tables::delivery::{DeliveryRow, DeliveryState};
use trunkline_store::tables::line;
use trunkline_store::{CommitError, Dialect, Fence, NewEvent, ReadError};

use super::due::Due;
use super::flush::{self, Change, Flush};
use super::judging::{self, Judged};
use super::lanes::LanePolicy;
use super::window::{Taken, Window};
use super::work::{
    Finding, Job, Plan, PlanTarget, Report, Run, Stored, Work, after_attempt, cancelled, held,
};
use super::{Shared, operational};
use crate::endpoint::Selection;

/// The most reports taken at once.
const REPORTS: usize = 256;
/// The most rows of one commit.
const MAX_ROWS: usize = 1024;
/// How long a move of the cursor alone may wait.
const CURSOR_DELAY: Duration = Duration::from_millis(250);
/// How often the journal is read even without a signal; signals of other hubs may get lost.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The wait before a postponed attempt is tried again.
const POSTPONED: Duration = Duration::from_secs(1);
/// Event bytes of one read, about.
const READ_BYTES: usize = 16 << 20;

/// Why a planner ended.
pub(crate) enum End {
    /// It was told to stop and has recorded everything it could.
    Stopped,
    /// The shard belongs to somebody else by now.
    Lost,
    /// What the store holds is not certain: begin again from the stored cursor.
    Uncertain(PlanError),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("the journal cannot be read")]
    Read(#[from] ReadError),
    #[error("deliveries cannot be recorded")]
    Commit(#[from] CommitError),
}

impl From<PlanError> for End {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Commit(CommitError::Fenced { .. } | CommitError::Closed) => Self::Lost,
            error => Self::Uncertain(error),
        }
    }
}

type Flushing = BoxFuture<'static, (Flush, Result<(), CommitError>)>;
type Reading = BoxFuture<'static, Result<Vec<Judged>, PlanError>>;

pub(crate) struct Planner {
    shared: Arc<Shared>,
    shard: Shard,
    fence: Fence,
    due: Arc<Due>,
    head: watch::Receiver<Seq>,
    window: Window,
    /// The last event read.
    position: Seq,
    /// The last event recorded.
    cursor: Seq,
    batch: usize,
    wants_read: bool,
    reading: Option<Reading>,
    flushing: Option<Flushing>,
    flush_at: Option<Instant>,
    look_at: Instant,
    changes: Vec<Change>,
    /// What is to be told of deliveries that are not recorded yet.
    untold: HashMap<DeliveryId, NewEvent>,
    /// Dropped when draining, so that the end of all attempts shows.
    sender: Option<mpsc::UnboundedSender<Report>>,
    reports: mpsc::UnboundedReceiver<Report>,
}

/// Where a planner works, and with whom.
pub(crate) struct Place {
    pub(crate) shared: Arc<Shared>,
    pub(crate) shard: Shard,
    pub(crate) fence: Fence,
    pub(crate) due: Arc<Due>,
    pub(crate) cursor: Seq,
}

/// Polls a future that may not be there.
async fn step<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(running) => {
            let done = Pin::new(running).await;
            *future = None;
            done
        }
        None => std::future::pending().await,
    }
}

impl Planner {
    pub(crate) fn new(place: Place) -> Self {
        let Place { shared, shard, fence, due, cursor } = place;
        let (sender, reports) = mpsc::unbounded_channel();
        Self {
            head: shared.journal.watch(shard),
            batch: shared.limits.read_batch,
            shared,
            shard,
            fence,
            due,
            window: Window::default(),
            position: cursor,
            cursor,
            wants_read: true,
            reading: None,
            flushing: None,
            flush_at: None,
            look_at: Instant::now() + LOOK_EVERY,
            changes: Vec::new(),
            untold: HashMap::new(),
            sender: Some(sender),
            reports,
        }
    }

    /// The way back for reports of stored deliveries.
    pub(crate) fn reports(&self) -> mpsc::UnboundedSender<Report> {
        self.sender.clone().expect("invariant: a planner that has not run has its sender")
    }

    /// Plans until `stop`, then drains; `retrier` is told to end first.
    pub(crate) async fn run(mut self, stop: CancellationToken, retrier: CancellationToken) -> End {
        let ended = tokio::select! {
            ended = self.work() => ended,
            () = stop.cancelled() => None,
        };
        retrier.cancel();
        match ended {
            Some(end) => end,
            None => self.drain().await,
        }
    }

    /// Works until something ends it. Safe to drop at any await: all state is in `self`.
    async fn work(&mut self) -> Option<End> {
        let mut reports = Vec::with_capacity(REPORTS);
        loop {
            self.start_read();
            self.start_flush();
            let wake_at = self.wake_at();
            let can_wait = !self.wants_read;
            tokio::select! {
                n = self.reports.recv_many(&mut reports, REPORTS) => {
                    // The sender is ours: the channel is never closed here.
                    debug_assert!(n > 0);
                    self.take_reports(&mut reports);
                }
                read = step(&mut self.reading) => match read {
                    Ok(events) => self.plan(events),
                    Err(error) => return Some(error.into()),
                },
                done = step(&mut self.flushing) => {
                    if let Err(end) = self.take_flushed(done) {
                        return Some(end);
                    }
                }
                changed = self.head.changed(), if can_wait => {
                    if changed.is_err() {
                        return Some(End::Lost);
                    }
                    self.wants_read = true;
                }
                () = tokio::time::sleep_until(wake_at) => {
                    self.spill_old();
                    self.look();
                }
            }
            self.schedule_flush();
        }
    }

    fn wake_at(&self) -> Instant {
        let mut wake_at = self.look_at;
        if let Some(at) = self.window.spill_at(self.shared.limits.spill_after) {
            wake_at = wake_at.min(at);
        }
        match self.flush_at {
            Some(at) if self.flushing.is_none() => wake_at.min(at),
            _ => wake_at,
        }
    }

    fn look(&mut self) {
        let now = Instant::now();
        if self.look_at <= now {
            self.look_at = now + LOOK_EVERY;
            let is_shared = self.shared.journal.store().dialect() == Dialect::Postgres;
            self.wants_read = self.wants_read || is_shared || *self.head.borrow() > self.position;
        }
    }

    fn start_read(&mut self) {
        let limits = &self.shared.limits;
        // Many small reads would cost more than a moment's wait for room.
        let room = limits.window.saturating_sub(self.window.len());
        let has_room =
            room >= self.batch.min(limits.window.div_ceil(4)) && self.window.n_bytes() < limits.window_bytes;
        if !self.wants_read || !has_room || self.reading.is_some() {
            return;
        }
        // The head before the table: an endpoint stored before an event is in the table by the time the head shows the event.
        let head = *self.head.borrow_and_update();
        self.wants_read = false;
        if self.skip_unwanted(head) {
            return;
        }
        let room = room.min(self.batch).max(1);
        let (shared, shard, after) = (Arc::clone(&self.shared), self.shard, self.position);
        self.reading = Some(Box::pin(async move {
            let records = shared.journal.read(shard, after, room as i64).await?;
            // Several hubs: an endpoint that another one has stored before these events counts for them.
            if !records.is_empty() && shared.journal.store().dialect() == Dialect::Postgres {
                shared.directory.refresh().await?;
            }
            Ok(judging::judge(&shared, records).await)
        }));
    }

    /// Passes over everything up to `head` when there is no endpoint at all: nothing has to be read to know that.
    ///
    /// Only where this hub is the only one: another one's endpoints are seen after a read.
    fn skip_unwanted(&mut self, head: Seq) -> bool {
        let is_alone = self.shared.journal.store().dialect() == Dialect::Sqlite;
        if !is_alone || head <= self.position || !self.shared.directory.current().is_empty() {
            return false;
        }
        self.position = head;
        self.window.add_matchless(head, Instant::now());
        self.shared.metrics.set_lag(self.shard, head - self.cursor);
        true
    }

    /// Queues the first attempts of events.
    fn plan(&mut self, events: Vec<Judged>) {
        let Some(last) = events.last() else { return };
        self.position = last.outgoing.record.seq;
        // A full batch says that there is more, whatever the head says.
        self.wants_read =
            self.wants_read || events.len() >= self.batch || *self.head.borrow() > self.position;
        let n_bytes: usize = events.iter().map(|judged| judged.outgoing.record.event.data.len_bytes()).sum();
        self.batch = (READ_BYTES / (n_bytes / events.len()).max(1)).clamp(1, self.shared.limits.read_batch);
        let (now, planned_at) = (Instant::now(), self.shared.clock.now());
        for Judged { outgoing, selection } in events {
            let Selection { endpoints, failed, unjudged } = selection;
            if endpoints.is_empty() {
                self.window.add_matchless(outgoing.record.seq, now);
                continue;
            }
            let plan = Arc::new(Plan {
                ticket: self.window.next_ticket(),
                outgoing,
                planned_at,
                targets: endpoints
                    .iter()
                    .map(|endpoint| PlanTarget::new(endpoint.id.clone(), endpoint.policy.ordered))
                    .collect(),
            });
            self.window.add(Arc::clone(&plan), now);
            for (index, reason) in &failed {
                // Nothing is sent, but the delivery is there with its reason.
                self.window.take_row(&plan, *index, cancelled(plan.row(*index), reason, planned_at));
            }
            for index in &unjudged {
                self.window.spill_unjudged(&plan, *index, planned_at);
                self.shared.metrics.count_spilled(1);
            }
            // Both lists are in order.
            let is_open = |(index, _): &(usize, _)| {
                failed.binary_search_by_key(index, |(known, _)| *known).is_err()
                    && unjudged.binary_search(index).is_err()
            };
            for (index, endpoint) in endpoints.iter().enumerate().filter(is_open) {
                if endpoint.policy.ordered {
                    // Its turn comes once what is before it in its line has ended: the store knows.
                    self.window.spill_one(&plan, index, planned_at, None);
                    continue;
                }
                let Some(reports) = self.sender.clone() else { break };
                let work = Work::Fresh { plan: Arc::clone(&plan), index };
                let pushed =
                    self.shared.lanes.push(Job { work, reports }, LanePolicy::from(&endpoint.policy));
                if let Err(refused) = pushed {
                    self.window.spill_one(&plan, index, planned_at, refused.until);
                    self.shared.metrics.count_spilled(1);
                }
            }
        }
        let lag = *self.head.borrow() - self.cursor;
        self.shared.metrics.set_lag(self.shard, lag);
    }

    fn take_reports(&mut self, reports: &mut Vec<Report>) {
        for Report { work, finding } in reports.drain(..) {
            match work {
                Work::Fresh { plan, index } => self.take_fresh(&plan, index, finding),
                Work::Stored(stored) => self.take_stored(*stored, finding),
            }
        }
    }

    fn take_fresh(&mut self, plan: &Plan, index: usize, finding: Finding) {
        let row = plan.row(index);
        let mut reason = None;
        let row = match finding {
            Finding::Attempted(attempted) => {
                let row = after_attempt(row, *attempted, None);
                self.tell(&row, &plan.outgoing.record.event);
                row
            }
            Finding::Held(until) => held(row, until),
            Finding::Cancelled(why) => {
                let row = cancelled(row, &why, self.shared.clock.now());
                reason = Some(why);
                row
            }
            Finding::Postponed => {
                let next = self.shared.clock.now().plus(POSTPONED);
                DeliveryRow { next_attempt_at: Some(next), ..row }
            }
        };
        match self.window.take_row(plan, index, row) {
            Taken::Kept => {}
            Taken::Caught => self.release(plan, index),
            Taken::Late(row) => self.take_late(row, reason),
        }
    }

    fn release(&self, plan: &Plan, index: usize) {
        let target = &plan.targets[index];
        self.due.release(target.endpoint_id.clone(), target.id.clone());
    }

    /// The delivery is stored as pending by now, or will be before the next commit.
    fn take_late(&mut self, row: Box<DeliveryRow>, reason: Option<Cow<'static, str>>) {
        match reason {
            Some(reason) => self.changes.push(Change::Cancel(row, reason)),
            None if row.n_attempts > 0 => self.changes.push(Change::Attempt(row)),
            None => self.let_go(*row),
        }
    }

    fn take_stored(&mut self, stored: Stored, finding: Finding) {
        let Stored { row, outgoing, first_at, run } = stored;
        match finding {
            Finding::Attempted(attempted) => {
                let row = after_attempt(row, *attempted, first_at);
                self.tell(&row, &outgoing.record.event);
                if row.state.is_terminal() {
                    self.go_on(run);
                }
                self.changes.push(Change::Attempt(Box::new(row)));
            }
            // The retrier puts it off together with the others.
            Finding::Held(_) => self.let_go(row),
            Finding::Cancelled(reason) => {
                let row = cancelled(row, &reason, self.shared.clock.now());
                self.go_on(run);
                self.changes.push(Change::Cancel(Box::new(row), reason));
            }
            Finding::Postponed => {
                let next_attempt_at = Some(self.shared.clock.now().plus(POSTPONED));
                self.let_go(DeliveryRow { next_attempt_at, ..row });
            }
        }
    }

    /// Attempts what comes next in a line. What cannot be attempted now is let go; it is found again when the end of the
    /// delivery before it is recorded.
    fn go_on(&self, run: Option<Box<Run>>) {
        let Some(next) = run.and_then(Run::next) else { return };
        let row = (next.row.endpoint_id.clone(), next.row.id.clone());
        let table = self.shared.directory.current();
        let endpoint = table.get(&row.0).filter(|endpoint| endpoint.active && endpoint.policy.ordered);
        let pushed = endpoint.zip(self.sender.clone()).is_some_and(|(endpoint, reports)| {
            let job = Job { work: Work::Stored(Box::new(next)), reports };
            self.shared.lanes.push(job, LanePolicy::from(&endpoint.policy)).is_ok()
        });
        if !pushed {
            self.due.release(row.0, row.1);
        }
    }

    /// Keeps what is to be told when the row is recorded.
    fn tell(&mut self, row: &DeliveryRow, event: &Event) {
        if row.state == DeliveryState::Exhausted
            && let Some(told) = operational::exhausted(row, event, self.shared.clock.now())
        {
            self.untold.insert(row.id.clone(), told);
        }
    }

    /// Takes out what is to be told together with rows that are recorded now.
    fn take_untold<'a>(&mut self, rows: impl Iterator<Item = &'a DeliveryRow>) -> Vec<NewEvent> {
        if self.untold.is_empty() {
            return Vec::new();
        }
        rows.filter_map(|row| self.untold.remove(&row.id)).collect()
    }

    /// Hands a pending delivery back to the retrier.
    fn let_go(&self, row: DeliveryRow) {
        self.due.release(row.endpoint_id.clone(), row.id);
        // The time of a parked delivery says nothing: it was the head of its line.
        let at = row.next_attempt_at.filter(|_| !line::is_parked(row.reason.as_deref()));
        self.due.note(&row.endpoint_id, at.unwrap_or_else(|| self.shared.clock.now()));
    }

    fn spill_old(&mut self) {
        let Some(before) = Instant::now().checked_sub(self.shared.limits.spill_after) else { return };
        self.spill(before);
    }

    fn spill(&mut self, before: Instant) {
        let spill = self.window.spill(before, self.shared.clock.now());
        if spill.n == 0 {
            return;
        }
        for (plan, index) in &spill.under_way {
            let target = &plan.targets[*index];
            self.due.hold(&target.endpoint_id, &target.id);
        }
        for endpoint in &spill.withdrawn {
            self.shared.lanes.purge(endpoint);
        }
        self.shared.metrics.count_spilled(spill.n);
    }

    fn n_ready(&self) -> usize {
        self.window.n_settled_rows() + self.changes.len()
    }

    fn schedule_flush(&mut self) {
        if self.n_ready() > 0 {
            let at = Instant::now() + self.shared.limits.flush_after;
            self.flush_at = Some(self.flush_at.map_or(at, |known| known.min(at)));
        } else if self.window.has_settled() && self.flush_at.is_none() {
            self.flush_at = Some(Instant::now() + CURSOR_DELAY);
        }
    }

    fn start_flush(&mut self) {
        let is_time = self.flush_at.is_some_and(|at| at <= Instant::now());
        if self.flushing.is_some() || !is_time && self.n_ready() < self.shared.limits.flush_rows {
            return;
        }
        let settled = self.window.take_settled(MAX_ROWS);
        self.flush_at = None;
        if settled.is_none() && self.changes.is_empty() {
            return;
        }
        let seq = settled.as_ref().map(|settled| settled.seq);
        let rows = Arc::new(settled.map(|settled| settled.rows).unwrap_or_default());
        let n_changes = self.changes.len().min(MAX_ROWS);
        let changes: Vec<Change> = self.changes.drain(..n_changes).collect();
        let told = self.take_untold(rows.iter().chain(changes.iter().map(Change::row)));
        let flush = Flush { cursor: self.cursor, seq, rows, changes, told };
        self.flushing = Some(Box::pin(flush::commit(Arc::clone(&self.shared), self.fence.clone(), flush)));
    }

    fn take_flushed(&mut self, (flush, result): (Flush, Result<(), CommitError>)) -> Result<(), End> {
        result.map_err(PlanError::from)?;
        if let Some(seq) = flush.seq {
            self.cursor = seq;
            self.shared.metrics.set_lag(self.shard, *self.head.borrow() - seq);
        }
        for row in flush.rows.iter() {
            self.note_row(row);
        }
        for change in flush.changes {
            let row = match &change {
                Change::Attempt(row) | Change::Cancel(row, _) => row,
            };
            self.due.release(row.endpoint_id.clone(), row.id.clone());
            self.note_row(row);
        }
        self.due.changed.notify_one();
        Ok(())
    }

    /// Says what a recorded row means for the retrier.
    fn note_row(&self, row: &DeliveryRow) {
        match (row.next_attempt_at, row.order_key.as_deref()) {
            (Some(at), key) if row.state == DeliveryState::Pending => self.note_pending(row, at, key),
            (_, key) => {
                self.shared.metrics.count_final(row.state.as_str());
                if let Some(key) = key {
                    self.due.note_line(&row.endpoint_id, key);
                }
            }
        }
    }

    fn note_pending(&self, row: &DeliveryRow, at: Timestamp, key: Option<&str>) {
        let table = self.shared.directory.current();
        let endpoint = table.get(&row.endpoint_id);
        if endpoint.is_some_and(|endpoint| endpoint.policy.ordered != key.is_some()) {
            // The setting was changed while the event was in the window.
            self.due.forget_order(&row.endpoint_id);
        }
        match key {
            Some(key) if row.n_attempts == 0 => self.due.note_line(&row.endpoint_id, key),
            _ => {
                // One that was switched off meanwhile: its deliveries are cancelled now and not when they are due.
                let is_off = endpoint.is_some_and(|endpoint| !endpoint.active);
                self.due.note(&row.endpoint_id, if is_off { self.shared.clock.now() } else { at });
            }
        }
    }

    /// Waits for open attempts, stores the rest as pending, records everything; all within the drain limit.
    async fn drain(mut self) -> End {
        self.reading = None;
        self.sender = None;
        let deadline = Instant::now() + self.shared.limits.drain;
        let mut reports = Vec::new();
        loop {
            self.start_flush();
            tokio::select! {
                n = self.reports.recv_many(&mut reports, REPORTS) => {
                    if n == 0 {
                        break;
                    }
                    self.take_reports(&mut reports);
                }
                done = step(&mut self.flushing) => {
                    if let Err(end) = self.take_flushed(done) {
                        return end;
                    }
                }
                () = tokio::time::sleep_until(deadline) => break,
            }
            self.schedule_flush();
        }
        self.spill(Instant::now());
        // Recording gets a little longer than the attempts had.
        let recorded = tokio::time::timeout_at(deadline + POSTPONED, self.record_all()).await;
        match recorded {
            Ok(Err(end)) => end,
            Ok(Ok(())) => End::Stopped,
            Err(_) => {
                tracing::warn!(
                    shard = self.shard,
                    "stopped before every delivery was recorded; unrecorded ones are made again"
                );
                End::Stopped
            }
        }
    }

    async fn record_all(&mut self) -> Result<(), End> {
        loop {
            if self.flushing.is_none() {
                self.flush_at = Some(Instant::now());
                self.start_flush();
            }
            if self.flushing.is_none() {
                return Ok(());
            }
            let done = step(&mut self.flushing).await;
            self.take_flushed(done)?;
        }
    }
}
