//! Events of the recent past for those who listen with `lookBack` (rule 12).
//!
//! The subscription is durable before anybody looks: what is stored later comes through the reader of the journal, what was
//! stored before is found here, and what comes both ways is taken once, since the instance knows what it took.

use serde_json::Value;
use trunkline_model::{Event, cloudevents};
use trunkline_store::ReadError;
use trunkline_store::tables::event::{EventFilter, EventPlace, event_list};
use trunkline_store::tables::workflow::instance::InstanceRow;

use super::machine::correlation_of_event;
use super::programs::ProgramError;
use super::state::{LookBack, Wait};
use super::{Shared, backoff};
use crate::dsl::tasks::Body;

/// The most events of the past that one `listen` takes: the newest ones.
const MAX_FOUND: usize = 1_000;
/// How many events are looked at for one subscription.
const MAX_LOOKED_AT: usize = 50_000;
const PAGE: i64 = 500;

/// Finds the events, oldest first, as CloudEvents. While the store does not answer it waits.
pub(crate) async fn find(shared: &Shared, row: &InstanceRow, look: &LookBack) -> Value {
    let mut n_failures = 0;
    loop {
        match try_find(shared, row, look).await {
            Ok(found) => return found,
            Err(error) => {
                n_failures += 1;
                if n_failures == 1 {
                    tracing::warn!(workflow.id = %row.id, error = ?error, "events of the past not read yet");
                }
                tokio::time::sleep(backoff(n_failures)).await;
            }
        }
    }
}

async fn try_find(shared: &Shared, row: &InstanceRow, look: &LookBack) -> Result<Value, ProgramError> {
    let program = shared.programs.get(&row.hash).await?;
    let Some(Body::Listen(listen)) = program.get(look.task).map(|task| &task.body) else {
        return Ok(Value::Array(Vec::new()));
    };
    let filters = listen.to.filters();
    let now = shared.now();
    let takes = |wait: &Wait, event: &Value| match filters.get(wait.filter as usize) {
        Some(filter) => correlation_of_event(filter, event, now).as_ref() == Some(&wait.correlation),
        None => filters.is_empty(),
    };
    let mut found: Vec<(EventPlace, Value)> = Vec::new();
    for wait in &look.waits {
        let (mut beyond, mut n_looked_at) = (None, 0);
        loop {
            let page = page_of(shared, row, wait, beyond).await?;
            n_looked_at += page.len();
            let is_last = page.len() < PAGE as usize || n_looked_at >= MAX_LOOKED_AT;
            beyond = page.last().map(|(place, _)| *place);
            for (place, event) in page {
                let is_known = found.iter().any(|(known, _)| *known == place);
                let event: Value =
                    serde_json::from_slice(&cloudevents::to_structured(&event)).unwrap_or_default();
                if !is_known && takes(wait, &event) {
                    found.push((place, event));
                }
            }
            if is_last || found.len() >= MAX_FOUND {
                break;
            }
        }
    }
    found.sort_by_key(|(place, _)| (place.recorded_at, place.shard, place.seq));
    let n_over = found.len().saturating_sub(MAX_FOUND);
    Ok(found.into_iter().skip(n_over).map(|(_, event)| event).collect())
}

async fn page_of(
    shared: &Shared,
    row: &InstanceRow,
    wait: &Wait,
    beyond: Option<EventPlace>,
) -> Result<Vec<(EventPlace, Event)>, ReadError> {
    let filter = EventFilter {
        event_type: wait.event_type.clone(),
        since: Some(wait.since),
        beyond,
        limit: PAGE,
        ..EventFilter::default()
    };
    let records = event_list(shared.journal.store(), &row.tenant, &filter).await?;
    let place = |record: trunkline_model::EventRecord| {
        let at = EventPlace { recorded_at: record.recorded_at, shard: record.shard, seq: record.seq };
        (at, record.event)
    };
    Ok(records.into_iter().map(place).collect())
}
