//! What a schedule does at a time: a pure function of the schedule, of what it did before and of the clock (rule 19).

use std::time::Duration;

use trunkline_model::Timestamp;
use trunkline_store::tables::workflow::schedule::ScheduleRow;

use crate::dsl::points::{CatchUp, Overlap, SchedulePoints};
use crate::dsl::schedule::Schedule;

/// A time that is further back than this was missed; what is late by less is started without more ado.
pub(super) const GRACE: Duration = Duration::from_mins(1);
/// How many instances one commit starts.
const MAX_STARTS: usize = 100;
/// How many times wait for the end of an instance; more are left out.
const MAX_QUEUE: usize = 1_000;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Plan {
    /// The times to start an instance for.
    pub(crate) starts: Vec<Timestamp>,
    /// The next time.
    pub(crate) next_at: Option<Timestamp>,
    /// When to look again.
    pub(crate) wake_at: Option<Timestamp>,
    /// Times that wait for the end of an instance.
    pub(crate) queue: Vec<Timestamp>,
    /// How many times are left out.
    pub(crate) n_skipped: i64,
}

/// What the last instance of a schedule is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    /// There was none.
    Never,
    /// It runs.
    Running,
    /// It ended at this time.
    Ended(Timestamp),
}

/// Decides what a schedule by time does now.
pub(crate) fn plan(
    schedule: &Schedule,
    points: &SchedulePoints,
    row: &ScheduleRow,
    last: Last,
    now: Timestamp,
) -> Plan {
    if row.is_paused {
        return Plan { queue: row.queue.clone(), ..Plan::default() };
    }
    if let Schedule::After(delay) = schedule {
        return plan_after(*delay, row, last, now);
    }
    let mut plan = Plan { queue: row.queue.clone(), ..Plan::default() };
    let mut next = row.next_at.or_else(|| following(schedule, points, now));
    let cutoff = now.minus(GRACE);
    let mut due = Vec::new();
    if let Some(missed) = next.filter(|next| *next < cutoff) {
        match points.catch_up {
            CatchUp::All => {}
            CatchUp::One => {
                due.push(missed);
                next = first_from(schedule, points, missed, cutoff);
            }
            CatchUp::None => {
                plan.n_skipped += 1;
                next = first_from(schedule, points, missed, cutoff);
            }
        }
    }
    while let Some(slot) = next.filter(|next| *next <= now && due.len() < MAX_STARTS) {
        due.push(slot);
        next = following(schedule, points, slot);
    }
    plan.next_at = next;
    plan.wake_at = next;
    match points.overlap {
        Overlap::Allow => plan.starts = due,
        Overlap::Skip => {
            let n_due = due.len();
            plan.starts = due.into_iter().take(usize::from(last != Last::Running)).collect();
            plan.n_skipped += (n_due - plan.starts.len()) as i64;
        }
        Overlap::Queue => {
            let room = MAX_QUEUE.saturating_sub(plan.queue.len());
            plan.n_skipped += due.len().saturating_sub(room) as i64;
            plan.queue.extend(due.into_iter().take(room));
            if last != Last::Running && !plan.queue.is_empty() {
                plan.starts.push(plan.queue.remove(0));
            }
        }
    }
    plan
}

fn plan_after(delay: Duration, row: &ScheduleRow, last: Last, now: Timestamp) -> Plan {
    let at = match last {
        Last::Running => return Plan::default(),
        Last::Never => row.next_at.unwrap_or(now),
        Last::Ended(end) => end.plus(delay),
    };
    if at <= now {
        Plan { starts: vec![at], ..Plan::default() }
    } else {
        Plan { next_at: Some(at), wake_at: Some(at), ..Plan::default() }
    }
}

/// The next time behind a time.
pub(crate) fn following(schedule: &Schedule, points: &SchedulePoints, after: Timestamp) -> Option<Timestamp> {
    match schedule {
        Schedule::Every(interval) => Some(after.plus(*interval)),
        Schedule::Cron(cron) => cron.next_after(after, &points.timezone),
        Schedule::After(_) | Schedule::On(..) => None,
    }
}

/// The first time of a schedule at or after `from`, where `slot` is one before.
fn first_from(
    schedule: &Schedule,
    points: &SchedulePoints,
    slot: Timestamp,
    from: Timestamp,
) -> Option<Timestamp> {
    match schedule {
        Schedule::Every(interval) => {
            let micros = (interval.as_micros() as u64).max(1);
            let n = (from.since(slot).as_micros() as u64).div_ceil(micros);
            Some(slot.plus(Duration::from_micros(n.saturating_mul(micros))))
        }
        _ => following(schedule, points, from.minus(Duration::from_micros(1))),
    }
}

#[cfg(test)]
mod tests {
    use trunkline_model::Tenant;

    use super::*;
    use crate::dsl::cron::Cron;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn row(next_at: Option<Timestamp>) -> ScheduleRow {
        ScheduleRow {
            tenant: Tenant::from_stored("t"),
            namespace: "n".into(),
            name: "n".into(),
            version: "1.0.0".into(),
            hash: String::new(),
            shard: 0,
            next_at,
            wake_at: next_at,
            last_at: None,
            last_instance_id: None,
            ended_at: None,
            queue: Vec::new(),
            is_paused: false,
            n_started: 0,
            n_skipped: 0,
            revision: 0,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        }
    }

    fn points(catch_up: CatchUp, overlap: Overlap, zone: &str) -> SchedulePoints {
        SchedulePoints { timezone: jiff::tz::TimeZone::get(zone).unwrap(), catch_up, overlap }
    }

    fn cron(text: &str) -> Schedule {
        Schedule::Cron(Cron::parse(text).unwrap())
    }

    #[test]
    fn what_was_missed_is_left_out_or_started_once_or_each() {
        let next = at("2026-01-15T10:00:00Z");
        let now = at("2026-01-15T12:30:10Z");
        let plan_with = |catch_up| {
            plan(
                &cron("*/30 * * * *"),
                &points(catch_up, Overlap::Allow, "UTC"),
                &row(Some(next)),
                Last::Never,
                now,
            )
        };
        let half_past = at("2026-01-15T12:30:00Z");
        let none = plan_with(CatchUp::None);
        assert_eq!((none.starts, none.n_skipped), (vec![half_past], 1));
        let one = plan_with(CatchUp::One);
        assert_eq!(one.starts, [next, half_past]);
        let all = plan_with(CatchUp::All);
        assert_eq!(all.starts.len(), 6);
        for plan in [none.next_at, one.next_at, all.next_at] {
            assert_eq!(plan, Some(at("2026-01-15T13:00:00Z")));
        }
    }

    #[test]
    fn a_year_of_seconds_is_not_counted_one_by_one() {
        let every = Schedule::Every(Duration::from_secs(7));
        let start = at("2026-01-01T00:00:00Z");
        let now = at("2027-01-01T00:00:00Z");
        let settings = points(CatchUp::One, Overlap::Allow, "UTC");
        let plan = plan(&every, &settings, &row(Some(start)), Last::Never, now);
        assert_eq!(plan.starts[0], start);
        assert!(plan.starts.len() < 12, "{}", plan.starts.len());
        assert!(plan.starts[1..].iter().all(|slot| slot.since(start).as_secs() % 7 == 0 && *slot <= now));
        assert!(plan.next_at.unwrap() > now);
    }

    #[test]
    fn a_start_over_a_running_one_is_allowed_skipped_or_queued() {
        let next = at("2026-01-15T10:00:00Z");
        let now = at("2026-01-15T10:00:01Z");
        let plan_with = |overlap, last, queue: Vec<Timestamp>| {
            let row = ScheduleRow { queue, ..row(Some(next)) };
            plan(&cron("0 * * * *"), &points(CatchUp::One, overlap, "UTC"), &row, last, now)
        };
        assert_eq!(plan_with(Overlap::Allow, Last::Running, vec![]).starts, [next]);
        let skipped = plan_with(Overlap::Skip, Last::Running, vec![]);
        assert_eq!((skipped.starts.len(), skipped.n_skipped), (0, 1));
        assert_eq!(plan_with(Overlap::Skip, Last::Ended(now), vec![]).starts, [next]);
        let queued = plan_with(Overlap::Queue, Last::Running, vec![]);
        assert_eq!((queued.starts.len(), queued.queue), (0, vec![next]));
        let earlier = at("2026-01-15T09:00:00Z");
        let taken = plan_with(Overlap::Queue, Last::Ended(now), vec![earlier]);
        assert_eq!((taken.starts, taken.queue), (vec![earlier], vec![next]));
    }

    #[test]
    fn after_waits_for_the_end() {
        let after = Schedule::After(Duration::from_mins(5));
        let now = at("2026-01-15T10:00:00Z");
        let settings = SchedulePoints::default();
        assert_eq!(plan(&after, &settings, &row(None), Last::Never, now).starts, [now]);
        assert_eq!(plan(&after, &settings, &row(None), Last::Running, now), Plan::default());
        let waits = plan(&after, &settings, &row(None), Last::Ended(now), now);
        assert_eq!(waits.wake_at, Some(at("2026-01-15T10:05:00Z")));
        let later = at("2026-01-15T10:05:00Z");
        assert_eq!(plan(&after, &settings, &row(None), Last::Ended(now), later).starts, [later]);
    }

    #[test]
    fn a_paused_schedule_does_nothing() {
        let paused = ScheduleRow { is_paused: true, ..row(Some(Timestamp::default())) };
        let now = at("2026-01-15T10:00:00Z");
        let settings = SchedulePoints::default();
        assert_eq!(plan(&cron("* * * * *"), &settings, &paused, Last::Never, now), Plan::default());
    }

    #[test]
    fn the_hour_that_comes_twice_is_started_once() {
        let settings = points(CatchUp::All, Overlap::Allow, "Europe/Berlin");
        let start = row(Some(at("2026-10-24T00:30:00Z")));
        let plan = plan(&cron("30 2 * * *"), &settings, &start, Last::Never, at("2026-10-26T12:00:00Z"));
        let slots = ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"].map(at);
        assert_eq!(plan.starts, slots);
    }
}
