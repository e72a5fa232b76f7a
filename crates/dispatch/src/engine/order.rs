//! What the retrier does for endpoints that ask for order: the deliveries of one key stand in a *line*, and only the head
//! of a line is attempted.
//!
//! # What always holds
//!
//! - Who is the head is read from the store in every load: of the pending deliveries of the endpoint and key, the one of
//!   the earliest event. Rows come into the store in the order of events, since the planner stores them together with the
//!   cursor; so when a delivery can be read, all that come before it can be read too.
//! - A delivery is held from its load until its outcome is stored. The head that is held keeps its line from being loaded.
//! - A busy line would pay a commit for each delivery. So a few deliveries behind the head are loaded with it, as its
//!   [`Run`]; the planner sends the next when the one before it has ended, and records both a moment later. A crash in
//!   between makes both again, in order.
//!
//! # How heads are found
//!
//! By name: whoever stores a delivery of a line or ends one names the line ([`Due::note_line`](super::due::Due)). By time:
//! what is due is looked through for lines, and what stands behind a head is parked for [`PARKED`], so that it is met no
//! more. The commit that ends a head makes the next one due. If a head vanishes otherwise (retention removed its event),
//! the line goes on when the parked time is over.
//!
//! # When the setting changes
//!
//! The first load after it was switched on puts what is pending into lines, the first after it was switched off ends them.
//! What the planner still had in its window it reports, and the next load does it again.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use futures_util::future::join_all;
use trunkline_model::{DeliveryId, EndpointId, EventRecord, Timestamp};
use trunkline_store::Statement;
use trunkline_store::tables::delivery::{self, DeliveryRow};
use trunkline_store::tables::expiry::delivery_expire;
use trunkline_store::tables::line;

use super::due::Look;
use super::lanes::LanePolicy;
use super::retrier::{Holds, LoadError, N_READS, PAGE_BYTES, Retrier};
use super::work::{Job, Outgoing, Run, Stored, Work};
use crate::endpoint::Endpoint;

/// The most deliveries of one line loaded at a time.
const MAX_RUN: usize = 64;
/// Due deliveries looked through at a time.
const TIMES_PAGE: usize = 512;
/// For how long a delivery behind a head is parked.
const PARKED: Duration = Duration::from_hours(1);

/// Lines that were looked at.
#[derive(Default)]
struct Lines {
    /// What may be attempted now, the head first; held.
    runs: Vec<Vec<DeliveryRow>>,
    heads: HashSet<DeliveryId>,
}

/// A delivery's event, and when its first attempt began if there were several.
type Loaded = Option<(EventRecord, Option<Timestamp>)>;

impl Retrier {
    /// Puts an endpoint's deliveries into lines, or out of them, if the setting is not the one known.
    pub(super) async fn settle_order(&self, endpoint: &Endpoint, now: Timestamp) -> Result<(), LoadError> {
        let is_ordered = endpoint.policy.ordered;
        // Before the change: what the planner finds during it counts.
        if !self.due.learn_order(&endpoint.id, is_ordered) {
            return Ok(());
        }
        let changed = self.change_order(endpoint, is_ordered, now).await;
        if changed.is_err() {
            self.due.forget_order(&endpoint.id);
        }
        changed
    }

    async fn change_order(
        &self,
        endpoint: &Endpoint,
        is_ordered: bool,
        now: Timestamp,
    ) -> Result<(), LoadError> {
        let statements = if is_ordered {
            vec![line::line_join(self.shard, &endpoint.id)]
        } else if line::line_exists(self.shared.journal.store(), &endpoint.id).await? {
            line::line_leave(self.shard, &endpoint.id, now).into()
        } else {
            return Ok(());
        };
        Ok(self.commit(statements).await?)
    }

    /// Loads heads, for up to `page` lines; tells when to look at the endpoint again in this way.
    pub(super) async fn load_ordered(
        &self,
        look: Look,
        endpoint: &Endpoint,
        page: usize,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, LoadError> {
        let next = match look {
            Look::Times => self.load_due_lines(endpoint, page, now).await?,
            Look::Lines => {
                let keys = self.due.take_lines(&endpoint.id, page);
                self.load_lines(endpoint, &keys, page, now).await?;
                None
            }
        };
        if self.due.has_lines(&endpoint.id) {
            self.due.note_look(&endpoint.id, Look::Lines, now);
        }
        Ok(next)
    }

    /// Looks through what is due: loads its lines, and parks what stands behind their heads.
    async fn load_due_lines(
        &self,
        endpoint: &Endpoint,
        page: usize,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, LoadError> {
        let id = &endpoint.id;
        let limit = self.due.n_held(id) + TIMES_PAGE;
        let end = Timestamp::from_micros(i64::MAX);
        let store = self.shared.journal.store();
        let mut rows = delivery::delivery_list_due(store, self.shard, id, end, limit as i64).await?;
        let n_due = rows.iter().take_while(|row| row.next_attempt_at.is_none_or(|at| at <= now)).count();
        let next_later = rows.get(n_due).and_then(|row| row.next_attempt_at);
        let is_more = rows.len() == limit && next_later.is_none();
        rows.truncate(n_due);
        rows.retain(|row| !self.due.is_held(id, &row.id));
        let strays = rows.iter().filter(|row| row.order_key.is_none());
        let joins: Vec<Statement> = strays.map(|row| line::line_join_one(&row.tenant, &row.id)).collect();
        if !joins.is_empty() {
            // Stored by somebody who did not know of the setting yet.
            self.commit(joins).await?;
            return Ok(Some(now));
        }
        let mut keys: Vec<String> = Vec::new();
        let mut known: HashSet<&str> = HashSet::new();
        for key in rows.iter().filter_map(|row| row.order_key.as_deref()) {
            if keys.len() < page && known.insert(key) {
                keys.push(key.to_owned());
            }
        }
        let heads = self.load_lines(endpoint, &keys, page, now).await?;
        let is_behind = |row: &&DeliveryRow| {
            row.order_key.as_deref().is_some_and(|key| known.contains(key))
                && !heads.contains(&row.id)
                && !self.due.is_held(id, &row.id)
        };
        let parks: Vec<Statement> =
            rows.iter().filter(is_behind).map(|row| line::line_park(row, now.plus(PARKED))).collect();
        if !parks.is_empty() {
            self.commit(parks).await?;
        }
        let n_left = rows.iter().filter(|row| !known.contains(row.order_key.as_deref().unwrap_or_default()));
        Ok(if is_more || n_left.count() > 0 { Some(now) } else { next_later })
    }

    /// Puts the heads of lines into the endpoint's lane, each with its run; gives the heads that were seen. What could
    /// not be taken is named again.
    async fn load_lines(
        &self,
        endpoint: &Endpoint,
        keys: &[String],
        page: usize,
        now: Timestamp,
    ) -> Result<HashSet<DeliveryId>, LoadError> {
        let put_back = |key: &String| self.due.put_back_line(&endpoint.id, key.clone());
        let loaded = async {
            let Lines { runs, heads } = self.read_lines(&endpoint.id, keys, page, now).await?;
            self.enqueue_runs(runs, endpoint, now).await?;
            Ok(heads)
        };
        let loaded = loaded.await;
        if loaded.is_err() {
            keys.iter().for_each(put_back);
        }
        loaded
    }

    /// Reads the front of lines and holds what may be attempted now.
    async fn read_lines(
        &self,
        id: &EndpointId,
        keys: &[String],
        page: usize,
        now: Timestamp,
    ) -> Result<Lines, LoadError> {
        let limit = (page / keys.len().max(1)).clamp(1, MAX_RUN);
        let store = self.shared.journal.store();
        let mut fronts = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(N_READS) {
            let reads = chunk.iter().map(|key| line::line_list(store, id, key, limit as i64));
            for front in join_all(reads).await {
                fronts.push(front?);
            }
        }
        let mut lines = Lines::default();
        for front in fronts {
            let Some(head) = front.first() else { continue };
            lines.heads.insert(head.id.clone());
            if !is_ready(head, now) {
                self.due.note(id, head.next_attempt_at.unwrap_or(now));
                continue;
            }
            let run: Vec<DeliveryRow> = front
                .into_iter()
                .take_while(|row| is_ready(row, now) && self.due.hold(id, &row.id))
                .collect();
            // One that is empty is under way; it is looked for again when it is let go.
            if !run.is_empty() {
                lines.runs.push(run);
            }
        }
        Ok(lines)
    }

    /// Puts held runs into the lane. A run that does not get there is let go, and its line named again.
    async fn enqueue_runs(
        &self,
        runs: Vec<Vec<DeliveryRow>>,
        endpoint: &Endpoint,
        now: Timestamp,
    ) -> Result<(), LoadError> {
        let rows: Vec<DeliveryRow> = runs.iter().flatten().cloned().collect();
        let mut held = Holds::new(&self.due, &rows);
        let mut loaded = self.read_events(&rows).await?.into_iter();
        let mut gone: Vec<Statement> = Vec::new();
        for run in runs {
            let key = run.first().and_then(|row| row.order_key.clone()).unwrap_or_default();
            let n_rows = run.len();
            let mut stored = VecDeque::with_capacity(n_rows);
            let mut found = loaded.by_ref().take(n_rows);
            for (row, found) in run.into_iter().zip(found.by_ref()) {
                let Some((record, first_at)) = found else {
                    gone.extend(delivery_expire(&row, now));
                    break;
                };
                stored.push_back(Stored { row, outgoing: Outgoing::new(record), first_at, run: None });
            }
            found.for_each(drop);
            let is_whole = stored.len() == n_rows;
            if !self.push_run(stored, endpoint, &mut held) || !is_whole {
                self.due.put_back_line(&endpoint.id, key);
            }
        }
        drop(held);
        if !gone.is_empty() {
            self.commit(gone).await?;
        }
        Ok(())
    }

    /// Puts a run into the lane; false when nothing was put there.
    fn push_run(&self, mut stored: VecDeque<Stored>, endpoint: &Endpoint, held: &mut Holds<'_>) -> bool {
        let Some(mut head) = stored.pop_front() else { return false };
        // From here on the run lets go of them.
        for next in &stored {
            held.hand_over(&next.row.id);
        }
        if !stored.is_empty() {
            head.run = Some(Box::new(Run::new(std::sync::Arc::clone(&self.due), stored)));
        }
        let id = head.row.id.clone();
        let job = Job { work: Work::Stored(Box::new(head)), reports: self.reports.clone() };
        let is_taken = self.shared.lanes.push(job, LanePolicy::from(&endpoint.policy)).is_ok();
        if is_taken {
            // From here on the report does.
            held.hand_over(&id);
        }
        is_taken
    }

    /// Reads events until they are many bytes; those behind are left out.
    async fn read_events(&self, rows: &[DeliveryRow]) -> Result<Vec<Loaded>, LoadError> {
        let mut loaded: Vec<Loaded> = Vec::with_capacity(rows.len());
        let mut n_bytes = 0;
        for chunk in rows.chunks(N_READS) {
            for found in join_all(chunk.iter().map(|row| self.read_event(row))).await {
                let found = found?;
                n_bytes += found.as_ref().map_or(0, |(record, _)| record.event.data.len_bytes());
                loaded.push(found);
            }
            if n_bytes >= PAGE_BYTES {
                break;
            }
        }
        Ok(loaded)
    }

    async fn read_event(&self, row: &DeliveryRow) -> Result<Loaded, LoadError> {
        let Some(record) = self.event_of(row.shard, row.seq).await? else { return Ok(None) };
        let first_at = match &row.latest {
            Some(latest) if row.n_attempts == 1 => Some(latest.started_at),
            Some(_) => delivery::attempt_first(self.shared.journal.store(), &row.id).await?,
            None => None,
        };
        Ok(Some((record, first_at)))
    }
}

/// Whether a delivery may be attempted now if it is the head of its line.
fn is_ready(row: &DeliveryRow, now: Timestamp) -> bool {
    line::is_parked(row.reason.as_deref()) || row.next_attempt_at.is_none_or(|at| at <= now)
}
