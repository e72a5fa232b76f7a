//! The window of one shard's planner: events planned but not recorded yet, oldest first, with what came of their
//! deliveries. Pure bookkeeping, no I/O.
//!
//! An event is *settled* when each of its deliveries has a row to store: an outcome, or the pending row of a spilled
//! one. Only the settled events at the front are taken for a commit, so the cursor never passes an open one.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use trunkline_model::{EndpointId, Seq, Timestamp};
use trunkline_store::tables::delivery::{DeliveryRow, UNJUDGED};

use super::work::{Plan, held};

/// One event of the window, with the matchless events that follow it.
struct Open {
    /// The last event this entry stands for.
    seq: Seq,
    planned_at: Instant,
    n_bytes: usize,
    plan: Option<Arc<Plan>>,
    slots: Vec<Slot>,
    n_waiting: usize,
}

enum Slot {
    Waiting,
    /// What to store.
    Row(Box<DeliveryRow>),
    /// To be stored as pending; its first attempt, if it has started, is reported later.
    Spilled(Timestamp),
    /// The same, until the endpoint's breaker lets it go.
    Held(Timestamp),
    /// To be stored as pending, and judged by the endpoint's filter before it is attempted.
    Unjudged(Timestamp),
}

/// What happened to a reported row.
pub(crate) enum Taken {
    /// The window holds it.
    Kept,
    /// The window holds it; the delivery had been spilled, but is not stored yet.
    Caught,
    /// The delivery is stored as pending already: the row must be recorded over it.
    Late(Box<DeliveryRow>),
}

/// What a spill brought about.
#[derive(Default)]
pub(crate) struct Spill {
    pub(crate) n: u64,
    /// Deliveries whose first attempt is under way.
    pub(crate) under_way: Vec<(Arc<Plan>, usize)>,
    /// Endpoints whose lanes hold withdrawn jobs now.
    pub(crate) withdrawn: HashSet<EndpointId>,
}

/// The settled front of the window, taken out for a commit.
pub(crate) struct Settled {
    pub(crate) seq: Seq,
    pub(crate) rows: Vec<DeliveryRow>,
}

#[derive(Default)]
pub(crate) struct Window {
    opens: VecDeque<Open>,
    /// Ticket of the first entry.
    first_ticket: u64,
    /// How many entries at the front are settled, and their deliveries.
    n_settled: usize,
    n_settled_rows: usize,
    n_bytes: usize,
}

impl Window {
    pub(crate) fn len(&self) -> usize {
        self.opens.len()
    }

    pub(crate) fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    pub(crate) fn has_settled(&self) -> bool {
        self.n_settled > 0
    }

    pub(crate) fn n_settled_rows(&self) -> usize {
        self.n_settled_rows
    }

    /// The ticket of the next plan.
    pub(crate) fn next_ticket(&self) -> u64 {
        self.first_ticket + self.opens.len() as u64
    }

    /// Takes in an event that no endpoint wants.
    pub(crate) fn add_matchless(&mut self, seq: Seq, now: Instant) {
        match self.opens.back_mut() {
            Some(last) => last.seq = seq,
            None => {
                self.push(Open { seq, planned_at: now, n_bytes: 0, plan: None, slots: vec![], n_waiting: 0 });
            }
        }
    }

    /// Takes in a planned event whose ticket is [`next_ticket`](Self::next_ticket).
    pub(crate) fn add(&mut self, plan: Arc<Plan>, now: Instant) {
        let record = &plan.outgoing.record;
        let n_waiting = plan.targets.len();
        self.push(Open {
            seq: record.seq,
            planned_at: now,
            n_bytes: record.event.data.len_bytes(),
            slots: (0..n_waiting).map(|_| Slot::Waiting).collect(),
            plan: Some(plan),
            n_waiting,
        });
    }

    fn push(&mut self, open: Open) {
        self.n_bytes += open.n_bytes;
        self.opens.push_back(open);
        self.advance();
    }

    fn advance(&mut self) {
        while let Some(open) = self.opens.get(self.n_settled)
            && open.n_waiting == 0
        {
            self.n_settled += 1;
            self.n_settled_rows += open.slots.len();
        }
    }

    fn slot(&mut self, ticket: u64, index: usize) -> Option<&mut Slot> {
        let at = usize::try_from(ticket.checked_sub(self.first_ticket)?).ok()?;
        self.opens.get_mut(at)?.slots.get_mut(index)
    }

    /// Takes the row that came of a first attempt.
    pub(crate) fn take_row(&mut self, plan: &Plan, index: usize, row: DeliveryRow) -> Taken {
        let row = Box::new(row);
        let Some(slot) = self.slot(plan.ticket, index) else { return Taken::Late(row) };
        let was_waiting = matches!(slot, Slot::Waiting);
        *slot = Slot::Row(row);
        if !was_waiting {
            return Taken::Caught;
        }
        let at = (plan.ticket - self.first_ticket) as usize;
        self.opens[at].n_waiting -= 1;
        self.advance();
        Taken::Kept
    }

    /// Spills one delivery that found no place in its lane; `held_until` says when the endpoint's breaker lets it go.
    pub(crate) fn spill_one(
        &mut self,
        plan: &Plan,
        index: usize,
        due_at: Timestamp,
        held_until: Option<Timestamp>,
    ) {
        if let Some(slot @ Slot::Waiting) = self.slot(plan.ticket, index) {
            *slot = held_until.map_or(Slot::Spilled(due_at), Slot::Held);
            let at = (plan.ticket - self.first_ticket) as usize;
            self.opens[at].n_waiting -= 1;
            self.advance();
        }
    }

    /// Leaves one delivery to be judged when it is attempted.
    pub(crate) fn spill_unjudged(&mut self, plan: &Plan, index: usize, due_at: Timestamp) {
        if let Some(slot @ Slot::Waiting) = self.slot(plan.ticket, index) {
            *slot = Slot::Unjudged(due_at);
            let at = (plan.ticket - self.first_ticket) as usize;
            self.opens[at].n_waiting -= 1;
            self.advance();
        }
    }

    /// When the oldest open event is `age` old.
    pub(crate) fn spill_at(&self, age: Duration) -> Option<Instant> {
        self.opens.get(self.n_settled).map(|open| open.planned_at + age)
    }

    /// Spills every delivery that waits and was planned at or before `before`.
    pub(crate) fn spill(&mut self, before: Instant, due_at: Timestamp) -> Spill {
        let mut spill = Spill::default();
        for open in self.opens.iter_mut().skip(self.n_settled) {
            if open.planned_at > before {
                break;
            }
            let Some(plan) = open.plan.as_ref().filter(|_| open.n_waiting > 0) else { continue };
            for (index, slot) in open.slots.iter_mut().enumerate() {
                if !matches!(slot, Slot::Waiting) {
                    continue;
                }
                *slot = Slot::Spilled(due_at);
                spill.n += 1;
                let target = &plan.targets[index];
                if target.withdraw() {
                    spill.withdrawn.insert(target.endpoint_id.clone());
                } else {
                    spill.under_way.push((Arc::clone(plan), index));
                }
            }
            open.n_waiting = 0;
        }
        self.advance();
        spill
    }

    /// Takes the settled front, up to about `max_rows` rows.
    pub(crate) fn take_settled(&mut self, max_rows: usize) -> Option<Settled> {
        let mut settled: Option<Settled> = None;
        let n_expected = self.n_settled_rows.min(max_rows);
        while self.n_settled > 0 {
            let n_rows = settled.as_ref().map_or(0, |settled| settled.rows.len());
            let fits = self.opens.front().is_some_and(|open| n_rows + open.slots.len() <= max_rows);
            if n_rows > 0 && !fits {
                break;
            }
            let Some(open) = self.opens.pop_front() else { break };
            self.first_ticket += 1;
            self.n_settled -= 1;
            self.n_settled_rows -= open.slots.len();
            self.n_bytes -= open.n_bytes;
            let settled = settled
                .get_or_insert_with(|| Settled { seq: open.seq, rows: Vec::with_capacity(n_expected) });
            settled.seq = open.seq;
            settled.rows.extend(open.slots.into_iter().enumerate().filter_map(|(index, slot)| {
                let plan = open.plan.as_ref()?;
                match slot {
                    Slot::Row(row) => Some(*row),
                    Slot::Spilled(due_at) => {
                        let mut row = plan.row(index);
                        row.next_attempt_at = Some(due_at);
                        Some(row)
                    }
                    Slot::Held(until) => Some(held(plan.row(index), until)),
                    Slot::Unjudged(due_at) => Some(DeliveryRow {
                        next_attempt_at: Some(due_at),
                        reason: Some(UNJUDGED.to_owned()),
                        ..plan.row(index)
                    }),
                    Slot::Waiting => None,
                }
            }));
        }
        settled
    }
}
