//! What becomes of those who wait in a lane: a pure function of what is seen there.
//!
//! Whoever has the highest priority comes first, and of these whoever asked first. Every eighth time whoever has waited
//! longest comes first instead, so that nobody waits for ever.

use serde::{Deserialize, Serialize};
use trunkline_model::Timestamp;
use trunkline_store::tables::workflow::ticket::{LaneRow, LimitPolicy, TicketRow, TicketState};

/// Every so many times whoever has waited longest comes first.
const OLDEST_EVERY: i64 = 8;
/// As many moments of starts are kept one by one; of more, those that lie closer than a part of the time are one.
const MAX_MOMENTS: usize = 60;

/// Starts that were made about the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Moment {
    /// When the first of them was made.
    from: i64,
    /// When the last of them is too old to count, and with it all of them.
    over_at: i64,
    n: i64,
}

/// What a lane remembers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Lane {
    pub(super) n_admitted: i64,
    pub(super) recent: Vec<Moment>,
    /// Whether anybody is in it, or was lately.
    pub(super) is_used: bool,
}

impl Lane {
    pub(super) fn of(row: Option<&LaneRow>) -> Self {
        let recent = row.and_then(|row| serde_json::from_str(&row.recent).ok()).unwrap_or_default();
        Self { n_admitted: row.map_or(0, |row| row.n_admitted), recent, is_used: false }
    }

    fn forget(&mut self, now: i64) {
        self.recent.retain(|moment| moment.over_at > now);
    }

    fn n_recent(&self) -> i64 {
        self.recent.iter().map(|moment| moment.n).sum()
    }

    fn note(&mut self, at: i64, per: i64) {
        let over_at = at.saturating_add(per);
        let is_full = self.recent.len() >= MAX_MOMENTS;
        match self.recent.last_mut() {
            Some(last) if last.from == at || (is_full && at - last.from <= per / MAX_MOMENTS as i64) => {
                last.over_at = last.over_at.max(over_at);
                last.n += 1;
            }
            _ => self.recent.push(Moment { from: at, over_at, n: 1 }),
        }
    }
}

/// What is seen of a lane.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Tickets that are new or gone.
    pub(super) stirred: Vec<TicketRow>,
    /// The first of those that wait, by priority.
    pub(super) urgent: Vec<TicketRow>,
    /// The first of those that wait, by age.
    pub(super) oldest: Vec<TicketRow>,
    /// How many places are held.
    pub(super) n_held: i64,
    /// How many of them by those that were told to end.
    pub(super) n_leaving: i64,
}

/// What becomes of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Decided {
    pub(super) admitted: Vec<TicketRow>,
    pub(super) refused: Vec<TicketRow>,
    /// Those that wait for a place and do not get it, since newer ones do.
    pub(super) superseded: Vec<TicketRow>,
    /// New ones that wait from now on.
    pub(super) waiting: Vec<TicketRow>,
    pub(super) gone: Vec<TicketRow>,
    /// How many of those that hold a place have to end.
    pub(super) n_evicted: i64,
    pub(super) lane: Lane,
    /// When to look again.
    pub(super) wake_at: Option<Timestamp>,
}

fn is_same(one: &TicketRow, other: &TicketRow) -> bool {
    one.instance_id == other.instance_id && one.ticket_id == other.ticket_id
}

fn is_among(ticket: &TicketRow, list: &[TicketRow]) -> bool {
    list.iter().any(|it| is_same(it, ticket))
}

/// Those that wait for the place of something older, where newer ones wait for the same.
fn superseded(seen: &Seen) -> Vec<TicketRow> {
    let waits = seen.oldest.iter().filter(|ticket| ticket.policy == LimitPolicy::CancelRunning);
    let waits: Vec<&TicketRow> = waits.collect();
    let n_most = waits.last().map_or(0, |newest| newest.n_most as usize);
    waits[..waits.len().saturating_sub(n_most)].iter().map(|ticket| (*ticket).clone()).collect()
}

/// Decides. At most `most` are let in at once.
pub(super) fn decide(mut lane: Lane, seen: &Seen, most: usize, now: Timestamp) -> Decided {
    lane.forget(now.as_micros());
    let mut decided = Decided { superseded: superseded(seen), ..Decided::default() };
    let mut n_held = seen.n_held;
    let (mut urgent, mut oldest) = (seen.urgent.iter(), seen.oldest.iter());
    let mut blocked: Option<&TicketRow> = None;
    while decided.admitted.len() < most {
        let is_turn = (lane.n_admitted + 1) % OLDEST_EVERY == 0;
        let list = if is_turn { &mut oldest } else { &mut urgent };
        let is_out = |ticket: &&TicketRow| {
            !is_among(ticket, &decided.admitted) && !is_among(ticket, &decided.superseded)
        };
        let Some(next) = list.find(is_out) else { break };
        let n = if next.per_us.is_some() { lane.n_recent() } else { n_held };
        if n >= next.n_most {
            blocked = Some(next);
            break;
        }
        match next.per_us {
            Some(per) => lane.note(now.as_micros(), per),
            None => n_held += 1,
        }
        lane.n_admitted += 1;
        decided.admitted.push(next.clone());
    }
    for ticket in &seen.stirred {
        match ticket.state {
            TicketState::Gone => decided.gone.push(ticket.clone()),
            _ if is_among(ticket, &decided.admitted) || is_among(ticket, &decided.superseded) => {}
            // What was not reached because so many were let in is looked at once more.
            _ if blocked.is_none() => {}
            _ => match ticket.policy {
                LimitPolicy::Skip | LimitPolicy::Fail => decided.refused.push(ticket.clone()),
                LimitPolicy::CancelRunning | LimitPolicy::Queue => decided.waiting.push(ticket.clone()),
            },
        }
    }
    if let Some(blocked) = blocked.filter(|it| it.policy == LimitPolicy::CancelRunning) {
        // Those that are going make room as well.
        decided.n_evicted = (n_held + 1 - blocked.n_most - seen.n_leaving).max(0);
    }
    decided.wake_at = match blocked.filter(|it| it.per_us.is_some()) {
        Some(blocked) => free_at(&lane, blocked.n_most),
        // Nobody waits: once the last start is too old there is nothing to remember.
        None => lane.recent.iter().map(|moment| moment.over_at).max(),
    }
    .map(Timestamp::from_micros);
    let waits = blocked.is_some() || decided.admitted.len() >= most;
    lane.is_used = n_held > 0 || waits || !lane.recent.is_empty();
    decided.lane = lane;
    decided
}

/// When there are fewer than `n_most` starts left that are not too old.
fn free_at(lane: &Lane, n_most: i64) -> Option<i64> {
    let mut n_left = lane.n_recent();
    for moment in &lane.recent {
        n_left -= moment.n;
        if n_left < n_most {
            return Some(moment.over_at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use trunkline_model::WorkflowId;

    use super::*;

    fn ticket(n: i64, policy: LimitPolicy, n_most: i64, per_us: Option<i64>) -> TicketRow {
        TicketRow {
            instance_id: WorkflowId::from_text(format!("wf_{n:04}")),
            ticket_id: 1,
            lane: "lane".to_owned(),
            shard: 0,
            tenant: trunkline_model::Tenant::from_stored("t"),
            about: String::new(),
            state: TicketState::New,
            policy,
            n_most,
            per_us,
            priority: 5,
            asked_at: Timestamp::from_secs(n),
        }
    }

    fn seen(mut tickets: Vec<TicketRow>, n_held: i64, n_leaving: i64) -> Seen {
        let stirred = tickets.clone();
        tickets.sort_by_key(|it| it.asked_at);
        let oldest = tickets.clone();
        tickets.sort_by_key(|it| (-it.priority, it.asked_at));
        Seen { stirred, urgent: tickets, oldest, n_held, n_leaving }
    }

    fn ids(tickets: &[TicketRow]) -> Vec<i64> {
        tickets.iter().map(|it| it.asked_at.as_secs()).collect()
    }

    #[test]
    fn places_are_given_in_order_and_the_rest_waits() {
        let tickets = (1..=4).map(|n| ticket(n, LimitPolicy::Queue, 2, None)).collect();
        let decided = decide(Lane::default(), &seen(tickets, 1, 0), 9, Timestamp::from_secs(9));
        assert_eq!((ids(&decided.admitted), ids(&decided.waiting)), (vec![1], vec![2, 3, 4]));
        assert!(decided.refused.is_empty() && decided.wake_at.is_none() && decided.lane.is_used);
    }

    #[test]
    fn who_does_not_wait_is_refused_only_where_there_is_no_place() {
        for policy in [LimitPolicy::Skip, LimitPolicy::Fail] {
            let tickets = (1..=3).map(|n| ticket(n, policy, 1, None)).collect();
            let decided = decide(Lane::default(), &seen(tickets, 0, 0), 9, Timestamp::from_secs(9));
            assert_eq!((ids(&decided.admitted), ids(&decided.refused)), (vec![1], vec![2, 3]));
        }
    }

    #[test]
    fn the_newest_takes_the_place_of_what_runs() {
        let tickets: Vec<_> = (1..=3).map(|n| ticket(n, LimitPolicy::CancelRunning, 1, None)).collect();
        let decided = decide(Lane::default(), &seen(tickets.clone(), 1, 0), 9, Timestamp::from_secs(9));
        assert_eq!(
            (ids(&decided.superseded), ids(&decided.waiting), decided.n_evicted),
            (vec![1, 2], vec![3], 1)
        );
        // What was told to go is not told again.
        let decided =
            decide(Lane::default(), &seen(vec![tickets[2].clone()], 1, 1), 9, Timestamp::from_secs(9));
        assert_eq!((ids(&decided.waiting), decided.n_evicted), (vec![3], 0));
    }

    /// Lets time pass and gives when each of some tickets was let in.
    fn starts(n: i64, limit: i64, per: i64, step: i64) -> Vec<i64> {
        let mut waiting: VecDeque<_> =
            (0..n).map(|n| ticket(n, LimitPolicy::Queue, limit, Some(per * 1_000_000))).collect();
        let (mut lane, mut now, mut found) = (Lane::default(), 0, Vec::new());
        while !waiting.is_empty() {
            let list: Vec<_> = waiting.iter().cloned().collect();
            let decided = decide(lane, &seen(list, 0, 0), 9_999, Timestamp::from_micros(now));
            found.extend(decided.admitted.iter().map(|_| now));
            waiting.retain(|ticket| !is_among(ticket, &decided.admitted));
            lane = decided.lane;
            let wake_at = decided.wake_at.map_or(now, Timestamp::as_micros);
            now = if waiting.is_empty() { now } else { wake_at.max(now) + step };
        }
        found
    }

    #[test]
    fn never_more_start_than_the_rate_in_any_time() {
        assert_eq!(starts(5, 2, 60, 0), [0, 0, 60_000_000, 60_000_000, 120_000_000]);
        for (limit, step) in [(1, 0), (3, 7), (200, 13_000), (500, 1)] {
            let found = starts(limit * 3, limit, 10, step);
            for (first, last) in found.iter().zip(&found[limit as usize..]) {
                assert!(last - first >= 10_000_000, "{limit} {step}: {first} {last}");
            }
        }
    }

    #[test]
    fn many_moments_are_kept_as_few() {
        let mut lane = Lane::default();
        for at in 0..100_000 {
            lane.forget(at);
            lane.note(at, 10_000);
        }
        assert!(lane.recent.len() <= 2 * MAX_MOMENTS + 1, "{}", lane.recent.len());
    }

    #[test]
    fn the_urgent_come_first_and_nobody_waits_for_ever() {
        let mut tickets: Vec<_> = (1..=20).map(|n| ticket(n, LimitPolicy::Queue, 99, None)).collect();
        for ticket in &mut tickets[1..] {
            ticket.priority = 8;
        }
        let decided = decide(Lane::default(), &seen(tickets, 0, 0), 20, Timestamp::from_secs(99));
        assert_eq!(ids(&decided.admitted)[..9], [2, 3, 4, 5, 6, 7, 8, 1, 9]);
    }
}
