//! Making up for an outage: pending deliveries, each tried once in vain, are due when the hub starts.
//!
//! All are for one endpoint, the hardest case: one lane, one queue. Beside a bare client loop to the same sink.

use std::time::Duration;

use trunkline_dispatch::engine::CONSUMER;
use trunkline_model::{AttemptId, Clock as _, DeliveryId, EndpointId, SystemClock};
use trunkline_store::tables::delivery::{AttemptOutcome, DeliveryRow, DeliveryState};
use trunkline_store::{Appended, Commit, CursorMove, NewEvent, Store};

use crate::backlog::Backlog;
use crate::hub::{Hub, set_endpoints};
use crate::outbound::client_loop;
use crate::report::{self, Figures, Pairs};
use crate::sink::Sink;
use crate::{Plan, append};

/// Events, and then deliveries, stored in one commit.
const PER_COMMIT: usize = 1000;

/// Runs the benchmark and prints it.
pub async fn run(plan: &Plan) -> anyhow::Result<()> {
    report::heading(&format!(
        "after an outage: {} pending deliveries of 1 KiB to one endpoint",
        plan.pending
    ));
    let sink = Sink::start(plan).await?;
    let mut pairs = Pairs::default();
    for _ in 0..plan.rounds {
        let theirs = client_loop(plan, &sink).await?;
        theirs.print();
        let ours = once(plan, &sink).await?;
        ours.print();
        pairs.add(ours, theirs);
    }
    pairs.print("trunkline / bare client loop");
    Ok(())
}

async fn once(plan: &Plan, sink: &Sink) -> anyhow::Result<Figures> {
    let folder = tempfile::tempdir_in(&plan.folder)?;
    let hub = Hub::new(plan, folder.path())?;
    let store = hub.open_store().await?;
    for endpoint in set_endpoints(&store, [sink.url(0)]).await? {
        store_pending(&store, &endpoint, plan.pending).await?;
    }
    store.close().await;
    let already = sink.reader().await?.count().await?;
    let server = hub.start().await?;
    let figures = Backlog { n_total: plan.pending as u64, already }.measure((&hub, &server), sink).await?;
    let peak = server.peak_resident_bytes()? as f64 / 1e6;
    Ok(Figures { note: format!("peak memory {peak:.0} MB"), ..figures })
}

/// Stores events, a due delivery of each, and that they have been planned.
async fn store_pending(store: &Store, endpoint: &EndpointId, n: usize) -> anyhow::Result<()> {
    let mut n_left = n;
    while n_left > 0 {
        let events: Vec<NewEvent> = (0..n_left.min(PER_COMMIT)).map(|_| append::sample_event()).collect();
        n_left -= events.len();
        let stored = store.commit(Commit::append(events.clone())).await?;
        let places = stored.appended();
        let rows = places.iter().zip(&events).map(|(place, event)| pending(place, event, endpoint)).collect();
        store.commit(Commit { cursors: cursors(places), ..Commit::deliveries(rows) }).await?;
    }
    Ok(())
}

/// A delivery that was tried while the endpoint was down.
fn pending(place: &Appended, event: &NewEvent, endpoint: &EndpointId) -> DeliveryRow {
    let now = SystemClock.now();
    let failed = AttemptOutcome {
        id: AttemptId::fresh(),
        started_at: event.recorded_at,
        duration_us: 900,
        status: None,
        error_class: Some("connect_refused".into()),
        error: Some("the connection was refused".into()),
        response_head: None,
        first_byte_us: None,
        connection: None,
    };
    DeliveryRow {
        id: DeliveryId::fresh(),
        tenant: event.event.tenant.clone(),
        endpoint_id: endpoint.clone(),
        shard: place.shard,
        seq: place.seq,
        event_id: event.event.id.clone(),
        event_type: event.event.event_type.clone(),
        state: DeliveryState::Pending,
        reason: None,
        created_at: event.recorded_at,
        next_attempt_at: Some(now.minus(Duration::from_millis(1))),
        finished_at: None,
        n_attempts: 1,
        latest: Some(failed),
        order_key: None,
    }
}

/// Moves dispatch behind the last event of each shard.
fn cursors(places: &[Appended]) -> Vec<CursorMove> {
    let mut cursors: Vec<CursorMove> = Vec::new();
    for place in places {
        match cursors.iter_mut().find(|cursor| cursor.shard == place.shard) {
            Some(cursor) => cursor.seq = cursor.seq.max(place.seq),
            None => {
                cursors.push(CursorMove { consumer: CONSUMER.into(), shard: place.shard, seq: place.seq });
            }
        }
    }
    cursors
}

#[cfg(test)]
mod tests {
    use trunkline_store::tables::consumer::cursor_get;
    use trunkline_store::tables::delivery::{delivery_count_stuck, delivery_list_due};

    use super::*;

    #[test]
    fn cursors_move_behind_the_last_event_of_each_shard() {
        let place = |shard, seq| Appended { shard, seq, is_duplicate: false };
        let moved = cursors(&[place(0, 1), place(1, 1), place(0, 2), place(1, 2), place(0, 3)]);
        let moved: Vec<_> = moved.iter().map(|cursor| (cursor.shard, cursor.seq)).collect();
        assert_eq!(moved, [(0, 3), (1, 2)]);
        assert!(cursors(&[]).is_empty());
    }

    #[tokio::test]
    async fn what_is_stored_is_due_and_planned_already() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/hub.db", folder.path().display());
        let store = Store::open(trunkline_store::StoreOptions::new(url)).await.unwrap();
        set_endpoints(&store, ["http://127.0.0.1:1/old".to_owned()]).await.unwrap();
        let endpoints = set_endpoints(&store, ["http://127.0.0.1:1/".to_owned()]).await.unwrap();
        let endpoint = &endpoints[0];
        let n = PER_COMMIT + 10;
        store_pending(&store, endpoint, n).await.unwrap();
        let now = SystemClock.now();
        assert_eq!(delivery_count_stuck(&store, now).await.unwrap(), n as i64);
        assert_eq!(cursor_get(&store, CONSUMER, 0).await.unwrap(), n as i64);
        assert_eq!(delivery_list_due(&store, 0, endpoint, now, 5).await.unwrap().len(), 5);
        store.close().await;
    }
}
