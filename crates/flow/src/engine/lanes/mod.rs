//! Lanes: who is let through a gate (rules 44 and 45), decided in one place for all hubs.
//!
//! ```text
//! an instance asks ─► ticket `new` ──┐                       ┌─► `held`, message `admitted`   in one commit
//! an instance is over ─► `gone` ─────┴► owner of the lane ───┼─► away, message `refused`
//! a start may be made again ─► wake_at ┘     (decide)        └─► `leaving`, message `cancel` to the oldest
//! ```
//!
//! A lane is what shares one limit: a definition or one of its tasks, and a key. It belongs to a shard, and only the owner
//! of the shard moves tickets in it, under the shard's fence; instances add theirs and give them back in their own commits,
//! whatever end they come to. So a place is held exactly as long as its ticket stands, whatever crashes, and two hubs
//! never let in one too many. Nobody polls: the loop is woken by commits, and sleeps until the next start may be made.

mod decide;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use trunkline_journal::ownership::Owned;
use trunkline_model::event::shard_of;
use trunkline_model::{Shard, Timestamp};
use trunkline_store::tables::workflow::inbox;
use trunkline_store::tables::workflow::instance::InstanceRow;
use trunkline_store::tables::workflow::ticket::{
    self, LaneRow, LimitPolicy as Policy, TicketRow, TicketState, TicketsOf,
};
use trunkline_store::{Commit, CommitError, Fence, ReadError, Statement};

use self::decide::{Lane, Seen};
use super::input::Input;
use super::live::message;
use super::machine::hex_digest;
use super::state::{Gate, Ticket};
use super::{CommitPoint, Shared, backoff};
use crate::dsl::limits::LimitPolicy;

/// How long the loop sleeps at most.
const HORIZON: Duration = Duration::from_secs(30);
/// How many rows are read at once.
const PAGE: i64 = 256;
/// How many are let in by one commit.
const BATCH: i64 = 64;
/// The longest description of a lane, in characters.
const MAX_ABOUT: usize = 300;

/// The row of a ticket that an instance asks with.
pub(crate) fn ticket_row(row: &InstanceRow, id: u32, ticket: &Ticket, n_shards: Shard) -> TicketRow {
    let gate = match ticket.gate {
        Gate::Places => "at once",
        Gate::Starts => "in a time",
    };
    let place = [row.tenant.as_str(), &row.namespace, &row.name, &ticket.place, gate, &ticket.key];
    let place = serde_json::to_string(&place).expect("invariant: texts are JSON");
    let lane = hex_digest(place.as_bytes())[..40].to_owned();
    let about = format!("{}/{}{} {gate}: {}", row.namespace, row.name, ticket.place, ticket.key);
    TicketRow {
        instance_id: row.id.clone(),
        ticket_id: i64::from(id),
        shard: shard_of(&lane, n_shards),
        lane,
        tenant: row.tenant.clone(),
        about: about.chars().take(MAX_ABOUT).collect(),
        // Only what a fork takes over is held already.
        state: if ticket.is_held { TicketState::Held } else { TicketState::New },
        policy: match ticket.policy {
            LimitPolicy::Queue => Policy::Queue,
            LimitPolicy::Skip => Policy::Skip,
            LimitPolicy::Fail => Policy::Fail,
            LimitPolicy::CancelRunning => Policy::CancelRunning,
        },
        n_most: i64::from(ticket.most),
        per_us: ticket.per.map(|per| per.as_micros() as i64),
        priority: ticket.priority.map_or(row.priority, i64::from),
        asked_at: ticket.asked_at,
    }
}

/// Why a round came to nothing.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("limits cannot be read")]
    Read(#[from] ReadError),
    #[error("nobody could be let through a limit")]
    Commit(#[from] CommitError),
}

/// Keeps the lanes of the shards that are owned here, until `stop`.
pub(crate) async fn run(shared: Arc<Shared>, mut owned: watch::Receiver<Owned>, stop: CancellationToken) {
    let keeper = Keeper { shared: Arc::clone(&shared) };
    let mut n_failures = 0_u32;
    loop {
        let now_owned = Arc::clone(&owned.borrow_and_update());
        let round = tokio::select! {
            () = stop.cancelled() => return,
            round = keeper.round(&now_owned) => round,
        };
        let wait = match round {
            Ok(wait) => {
                n_failures = 0;
                wait
            }
            Err(error) => {
                n_failures += 1;
                if n_failures.is_power_of_two() {
                    tracing::warn!(n_failures, error = ?error, "limits of workflows are looked at again");
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
            () = shared.gatework.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

struct Keeper {
    shared: Arc<Shared>,
}

/// What a look at a lane came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// There is nothing more to do.
    Rests,
    /// There may be more to do.
    GoesOn,
}

impl Keeper {
    /// Does what is to be done, and gives how long nothing is.
    async fn round(&self, owned: &Owned) -> Result<Duration, RoundError> {
        let store = self.shared.journal.store();
        let mut after: (Shard, String) = (0, String::new());
        loop {
            let page = ticket::lane_list_stirred(store, (after.0, &after.1), PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            after = page.last().cloned().unwrap_or_default();
            for (shard, lane) in page {
                if let Some(fence) = owned.get(&shard) {
                    self.keep(shard, &lane, fence).await?;
                }
            }
            if is_last {
                break;
            }
        }
        let (mut wait, mut after) = (HORIZON, None);
        loop {
            let now = self.shared.now();
            let page = ticket::lane_list_due(store, now.plus(HORIZON), after.as_ref(), PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            after = page.last().cloned();
            for row in page {
                let Some(fence) = owned.get(&row.shard) else { continue };
                let wake_at = row.wake_at.unwrap_or(now);
                if wake_at > now {
                    wait = wait.min(wake_at.since(now));
                } else {
                    self.keep(row.shard, &row.lane, fence).await?;
                    // It may have to be looked at again soon.
                    wait = Duration::ZERO;
                }
            }
            if is_last {
                return Ok(wait);
            }
        }
    }

    /// Looks at a lane until there is nothing more to do in it.
    async fn keep(&self, shard: Shard, lane: &str, fence: &Fence) -> Result<(), RoundError> {
        while self.look(shard, lane, fence).await? == Look::GoesOn {}
        Ok(())
    }

    async fn look(&self, shard: Shard, lane: &str, fence: &Fence) -> Result<Look, RoundError> {
        let (store, now) = (self.shared.journal.store(), self.shared.now());
        let place = (shard, lane);
        let before = ticket::lane_get(store, lane).await?;
        // Before the places are counted: a ticket that is seen as gone is not counted as held. The other way round one that
        // was given back in between would be cleared away, its place counted as taken, and nobody would look again.
        let stirred = ticket::ticket_list(store, place, TicketsOf::Stirred, PAGE).await?;
        let (n_held, n_leaving) = ticket::ticket_count_held(store, lane).await?;
        let seen = Seen {
            stirred,
            urgent: ticket::ticket_list(store, place, TicketsOf::Urgent, BATCH).await?,
            oldest: ticket::ticket_list(store, place, TicketsOf::Oldest, BATCH).await?,
            n_held,
            n_leaving,
        };
        let is_full = seen.stirred.len() as i64 == PAGE;
        let decided = decide::decide(Lane::of(before.as_ref()), &seen, BATCH as usize, now);
        let evicted = self.evicted(place, decided.n_evicted).await?;
        let (mut statements, mut shards) = (Vec::new(), Vec::new());
        let mut tell = |ticket: &TicketRow, word: &str, input: &Input| {
            let key = format!("{word}:{}", ticket.ticket_id);
            let message = message(&ticket.instance_id, key, input, now, self.shared.journal.n_shards());
            shards.push(message.shard);
            inbox::message_insert(&message)
        };
        for ticket in &decided.admitted {
            statements.push(match ticket.per_us {
                None => ticket::ticket_move(ticket, TicketState::Held),
                Some(_) => ticket::ticket_delete(ticket),
            });
            let input = Input::Admitted { ticket: ticket.ticket_id as u32 };
            statements.push(tell(ticket, "admitted", &input));
        }
        for ticket in &decided.refused {
            statements.push(ticket::ticket_delete(ticket));
            statements.push(tell(ticket, "refused", &Input::Refused { ticket: ticket.ticket_id as u32 }));
        }
        let replaced = Input::Cancel { reason: Some("a newer workflow takes its place".to_owned()) };
        for ticket in &evicted {
            statements.push(ticket::ticket_move(ticket, TicketState::Leaving));
            statements.push(tell(ticket, "replaced", &replaced));
        }
        for ticket in &decided.superseded {
            statements.push(ticket::ticket_delete(ticket));
            statements.push(tell(ticket, "replaced", &replaced));
        }
        statements.extend(decided.gone.iter().map(ticket::ticket_delete));
        let waiting = decided.waiting.iter();
        statements.extend(waiting.map(|ticket| ticket::ticket_move(ticket, TicketState::Waiting)));
        let after = decided.lane.into_row(lane, shard, decided.wake_at);
        let changes_lane = match (&before, &after) {
            (None, None) => false,
            (Some(before), Some(after)) => before != after,
            _ => true,
        };
        if changes_lane {
            statements.push(after.as_ref().map_or_else(|| ticket::lane_delete(lane), ticket::lane_put));
        }
        if statements.is_empty() {
            return Ok(Look::Rests);
        }
        // Whom this very commit lets in can be told to go by the next one only.
        let is_short = (evicted.len() as i64) < decided.n_evicted;
        let went_on = decided.admitted.len() as i64 >= BATCH || is_full || is_short;
        let look = self.commit(fence, statements).await?;
        for shard in shards {
            self.shared.poke(shard);
        }
        Ok(if went_on && look == Look::Rests { Look::GoesOn } else { look })
    }

    /// The oldest of those that hold a place and were not told to end.
    async fn evicted(&self, place: (Shard, &str), n: i64) -> Result<Vec<TicketRow>, ReadError> {
        if n <= 0 {
            return Ok(Vec::new());
        }
        let store = self.shared.journal.store();
        let mut held = ticket::ticket_list(store, place, TicketsOf::Held, PAGE).await?;
        held.retain(|ticket| ticket.state == TicketState::Held);
        held.truncate(n as usize);
        Ok(held)
    }

    /// Commits under a fence. Where a ticket was given back meanwhile nothing is done, and the lane is looked at again.
    async fn commit(&self, fence: &Fence, statements: Vec<Statement>) -> Result<Look, CommitError> {
        let commit = Commit { fence: Some(fence.clone()), statements, ..Commit::default() };
        self.shared.pass(CommitPoint::Before).await;
        let result = self.shared.journal.commit(commit).await;
        self.shared.pass(CommitPoint::After).await;
        match result {
            Ok(_) | Err(CommitError::Fenced { .. }) => Ok(Look::Rests),
            Err(CommitError::Guard { .. } | CommitError::Constraint(_)) => Ok(Look::GoesOn),
            Err(error) => Err(error),
        }
    }
}

impl Lane {
    /// What is remembered; nothing where there is nothing to remember.
    fn into_row(self, lane: &str, shard: Shard, wake_at: Option<Timestamp>) -> Option<LaneRow> {
        let recent = serde_json::to_string(&self.recent).expect("invariant: numbers are JSON");
        let (lane, n_admitted) = (lane.to_owned(), self.n_admitted);
        (self.is_used).then_some(LaneRow { lane, shard, n_admitted, recent, wake_at })
    }
}
