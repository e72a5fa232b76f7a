//! Decides for events that were read which endpoints get them: patterns, channels, filters. Part of the planner's read.
//!
//! Filters are expressions of tenants, and some of them are slow on purpose. So:
//!
//! - What is brief runs on the spot, for a few milliseconds a batch.
//! - The rest of the batch runs on the blocking pool, and the planner goes on recording meanwhile.
//! - There a tenant's filters have an allowance of time. When it is used up, deliveries are planned without having been
//!   judged ([`UNJUDGED`](trunkline_store::tables::delivery::UNJUDGED)): they are stored, and each filter runs before the
//!   delivery's first attempt, in the endpoint's own lane and the tenant's own share of the
//!   [pool](super::expression_pool). The events of other tenants in the batch wait no longer than the allowance.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use trunkline_model::{EventRecord, Tenant};

use super::work::Outgoing;
use super::{Shared, is_test, recipients_of};
use crate::endpoint::{Endpoint, EndpointTable, Judgement, Selection, select};

/// How long filters of one batch may run on the spot.
const ON_THE_SPOT: Duration = Duration::from_millis(2);
/// How long those of one batch may run at all.
const PER_BATCH: Duration = Duration::from_millis(250);
/// The longest that a tenant's filters may run at a stretch.
const BURST: Duration = Duration::from_millis(100);
/// With less than this left none is begun: one filter takes about as long at most.
const LEAST: Duration = Duration::from_millis(10);
/// The share of the time that a tenant's filters may run.
const SHARE: f64 = 0.25;
/// Beyond so many tenants the allowances start anew.
const MAX_TENANTS: usize = 10_000;

/// An event with the endpoints that get it.
pub(crate) struct Judged {
    pub(crate) outgoing: Outgoing,
    pub(crate) selection: Selection,
}

/// How much of their time tenants' filters have used.
#[derive(Default)]
pub(crate) struct Allowances {
    by_tenant: Mutex<HashMap<Tenant, (Duration, Instant)>>,
}

impl Allowances {
    fn left(&self, tenant: &Tenant, now: Instant) -> Duration {
        let known = self.by_tenant.lock();
        let Some((left, at)) = known.get(tenant) else { return BURST };
        (*left + now.saturating_duration_since(*at).mul_f64(SHARE)).min(BURST)
    }

    /// Lets a tenant's filters run no more for a while.
    #[cfg(test)]
    pub(crate) fn exhaust(&self, tenant: &Tenant) {
        self.set(tenant, Duration::ZERO, Instant::now() + Duration::from_hours(1));
    }

    fn set(&self, tenant: &Tenant, left: Duration, now: Instant) {
        let mut known = self.by_tenant.lock();
        if known.len() >= MAX_TENANTS {
            known.clear();
        }
        known.insert(tenant.clone(), (left, now));
    }
}

/// Judges a batch.
pub(crate) async fn judge(shared: &Arc<Shared>, records: Vec<EventRecord>) -> Vec<Judged> {
    let table = shared.directory.current();
    let mut judged = Vec::with_capacity(records.len());
    let mut spot = Spot { left: ON_THE_SPOT };
    let mut rest = records.into_iter().map(Outgoing::new);
    let mut long = Vec::new();
    for outgoing in rest.by_ref() {
        let Some(selection) = spot.judge(&table, &outgoing) else {
            long.push(outgoing);
            break;
        };
        judged.push(Judged { outgoing, selection });
    }
    if long.is_empty() {
        return judged;
    }
    long.extend(rest);
    let shared = Arc::clone(shared);
    let running = tokio::task::spawn_blocking(move || judge_slowly(&shared.allowances, &table, long));
    match running.await {
        Ok(more) => judged.extend(more),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime ends.
        Err(_) => std::future::pending().await,
    }
    judged
}

/// What may run on the spot.
struct Spot {
    left: Duration,
}

impl Spot {
    /// `None` when it would take too long.
    fn judge(&mut self, table: &EndpointTable, outgoing: &Outgoing) -> Option<Selection> {
        let began = Instant::now();
        let mut is_long = false;
        let selection = owed_to(table, outgoing, |endpoint, body| {
            is_long = is_long || began.elapsed() > self.left;
            let found = if is_long { None } else { endpoint.expressions.wants_briefly(&body) };
            is_long = is_long || found.is_none();
            found.map_or(Judgement::Open, Judgement::from)
        });
        self.left = self.left.saturating_sub(began.elapsed());
        (!is_long).then_some(selection)
    }
}

fn judge_slowly(allowances: &Allowances, table: &EndpointTable, events: Vec<Outgoing>) -> Vec<Judged> {
    let ends_at = Instant::now() + PER_BATCH;
    let judge = |outgoing: Outgoing| {
        let tenant = &outgoing.record.event.tenant;
        let mut now = Instant::now();
        let before = allowances.left(tenant, now);
        let mut left = before;
        let selection = owed_to(table, &outgoing, |endpoint, body| {
            if left < LEAST || now >= ends_at {
                return Judgement::Open;
            }
            let began = now;
            let found = run(endpoint, &body);
            now = Instant::now();
            left = left.saturating_sub(now.duration_since(began));
            found
        });
        if left < before {
            allowances.set(tenant, left, now);
        }
        Judged { outgoing, selection }
    };
    events.into_iter().map(judge).collect()
}

fn run(endpoint: &Endpoint, body: &[u8]) -> Judgement {
    let wants = || endpoint.expressions.wants(body);
    let found = std::panic::catch_unwind(AssertUnwindSafe(wants));
    found.map_or_else(|_| Judgement::Failed("filter failed inside the hub".to_owned()), Judgement::from)
}

fn owed_to(
    table: &EndpointTable,
    outgoing: &Outgoing,
    judge: impl FnMut(&Endpoint, Bytes) -> Judgement,
) -> Selection {
    let event = &outgoing.record.event;
    if is_test(event) {
        return Selection::default();
    }
    select(recipients_of(table, event), event, |format| outgoing.body(format), judge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_used_up_and_grows_again() {
        let (allowances, now) = (Allowances::default(), Instant::now());
        let tenant = Tenant::parse("slow").unwrap();
        assert_eq!(allowances.left(&tenant, now), BURST);
        allowances.set(&tenant, Duration::ZERO, now);
        assert_eq!(allowances.left(&tenant, now), Duration::ZERO);
        assert_eq!(allowances.left(&tenant, now + Duration::from_millis(40)), Duration::from_millis(10));
        assert_eq!(allowances.left(&tenant, now + Duration::from_secs(40)), BURST);
        assert_eq!(allowances.left(&Tenant::parse("quick").unwrap(), now), BURST);
    }
}
