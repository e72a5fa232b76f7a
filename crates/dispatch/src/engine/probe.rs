//! Tries endpoints again that the hub switched off because they did nothing but fail, and switches on those that take what
//! they are sent. A task of its own, since slow endpoints must not keep [`health`](super::health) from being written.
//!
//! ```text
//!                     probe fails: twice the wait
//!                      ┌───────┐
//! switched off ──► probe_at ───┴─► probe succeeds ──► switched on, `endpoint.recovered`
//!    by its clock      │
//!                      └─ 410, asked to stop, or changed by somebody ──► never again
//! ```
//!
//! - A probe is an event of type `webhook.test` that is stored nowhere, with the usual signature, past lanes and breaker.
//! - Before it is made the next one is scheduled, guarded by the health row's `updated_at`: of several hubs one probes, and a
//!   crash costs one probe.
//! - Only an endpoint of the very version that the hub switched off is probed and switched on. Whoever changed it since,
//!   be it to leave it off, has the say.
//! - What was missed is not sent by itself: that is for whoever owns the endpoint to ask.

use std::sync::Arc;

use futures_util::future::join_all;
use trunkline_model::{Event, EventType, Timestamp};
use trunkline_store::tables::endpoint_health::{
    EndpointHealthRow, endpoint_enable, endpoint_health_list_probes, endpoint_health_put,
};
use trunkline_store::{Commit, CommitError};

use super::health::{ASKED, GONE, KeepError, later};
use super::{OWN_SOURCE, Shared, TEST_TYPE, operational};
use crate::endpoint::Endpoint;
use crate::outcome::{Ask, Standing, Verdict};

/// Probes made at once.
const AT_ONCE: i64 = 16;

/// Probes until it is dropped.
pub(crate) async fn keep(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(shared.limits.probe_every).await;
        run(&shared).await;
    }
}

/// Makes the probes that are due.
async fn run(shared: &Arc<Shared>) {
    let now = shared.clock.now();
    let due = match endpoint_health_list_probes(shared.journal.store(), now, AT_ONCE).await {
        Ok(due) => due,
        Err(error) => {
            tracing::debug!(error = ?error, "endpoints to be probed not read");
            return;
        }
    };
    join_all(due.into_iter().map(|health| async {
        let id = health.endpoint_id.clone();
        match one(shared, health).await {
            // Somebody else has changed the endpoint or its health.
            Ok(()) | Err(KeepError::Commit(CommitError::Guard { .. })) => {}
            Err(error) => tracing::warn!(endpoint.id = %id, error = ?error, "endpoint not probed"),
        }
    }))
    .await;
}

async fn one(shared: &Shared, health: EndpointHealthRow) -> Result<(), KeepError> {
    let mut endpoint = of_version(shared, &health);
    if endpoint.is_none() {
        // The table may be older than what switched the endpoint off.
        if let Err(error) = shared.directory.refresh().await {
            tracing::debug!(endpoint.id = %health.endpoint_id, error = ?error, "endpoint to be probed not read");
            return Ok(());
        }
        endpoint = of_version(shared, &health);
    }
    let Some(endpoint) = &endpoint else {
        return put(shared, &health, |row| row.probe_at = None).await.map(drop);
    };
    let limits = &shared.limits;
    let doubled =
        1_u32.checked_shl(u32::try_from(health.n_probes + 1).unwrap_or(u32::MAX)).unwrap_or(u32::MAX);
    let wait = limits.probe_after.saturating_mul(doubled).min(limits.probe_after_max);
    let claimed = put(shared, &health, |row| {
        row.probe_at = Some(shared.clock.now().plus(wait));
        row.n_probes += 1;
    })
    .await?;
    let now = shared.clock.now();
    let event = event(endpoint, now);
    let verdict = shared.lanes.attempt().probe(endpoint, &event).await;
    settle(shared, endpoint, &claimed, verdict).await
}

/// The endpoint as the hub switched it off, if that is what the table has.
fn of_version(shared: &Shared, health: &EndpointHealthRow) -> Option<Arc<Endpoint>> {
    let table = shared.directory.current();
    let endpoint = table.get(&health.endpoint_id)?;
    (!endpoint.active && Some(endpoint.version) == health.disabled_version).then(|| Arc::clone(endpoint))
}

/// A change of the row; gives what it is now.
async fn put(
    shared: &Shared,
    health: &EndpointHealthRow,
    change: impl FnOnce(&mut EndpointHealthRow),
) -> Result<EndpointHealthRow, KeepError> {
    let mut row = health.clone();
    change(&mut row);
    row.updated_at = later(health.updated_at, shared.clock.now());
    let statement = endpoint_health_put(&row, Some(health.updated_at));
    shared.journal.commit(Commit::statements(vec![statement])).await?;
    Ok(row)
}

fn event(endpoint: &Endpoint, now: Timestamp) -> Event {
    let event_type = EventType::parse(TEST_TYPE).expect("invariant: a constant event type");
    let mut event = Event::new(endpoint.tenant.clone(), OWN_SOURCE, event_type, now);
    event.subject = Some(endpoint.id.as_str().to_owned());
    let content = serde_json::json!({ "endpoint_id": endpoint.id.as_str(), "test": true, "probe": true });
    event.data = trunkline_model::Data::Json(content.to_string().into());
    event
}

async fn settle(
    shared: &Shared,
    endpoint: &Endpoint,
    health: &EndpointHealthRow,
    verdict: Verdict,
) -> Result<(), KeepError> {
    let stop = match (verdict.ask, verdict.standing()) {
        (Some(Ask::Disable), _) => Some(ASKED),
        (_, Standing::Gone) => Some(GONE),
        (_, Standing::Delivered) => return switch_on(shared, endpoint, health).await,
        _ => None,
    };
    put(shared, health, |row| {
        row.last_error = verdict.error.or(row.last_error.take());
        if let Some(reason) = stop {
            row.disabled_reason = Some(reason.to_owned());
            row.probe_at = None;
        }
    })
    .await
    .map(drop)
}

async fn switch_on(
    shared: &Shared,
    endpoint: &Endpoint,
    health: &EndpointHealthRow,
) -> Result<(), KeepError> {
    let now = shared.clock.now();
    let row = EndpointHealthRow {
        failing_since: None,
        n_failures: 0,
        last_success_at: Some(now),
        disabled_at: None,
        disabled_reason: None,
        disabled_version: None,
        probe_at: None,
        n_probes: 0,
        updated_at: later(health.updated_at, now),
        ..health.clone()
    };
    let statements = vec![
        endpoint_enable(&endpoint.tenant, &endpoint.id, endpoint.version, now),
        endpoint_health_put(&row, Some(health.updated_at)),
    ];
    let told = operational::recovered(&row, Some(health), None, now);
    shared.journal.commit(Commit { statements, events: vec![told], ..Commit::default() }).await?;
    tracing::info!(endpoint.id = %endpoint.id, n_probes = health.n_probes, "endpoint switched on again");
    // The table is compared with the store every second in any case.
    drop(shared.directory.refresh().await);
    Ok(())
}
