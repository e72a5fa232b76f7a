//! How far back lies what an endpoint has not got.

use trunkline_model::{Clock as _, DeliveryId, EndpointId, SystemClock, Timestamp};
use trunkline_store::tables::delivery::{DeliveryRow, DeliveryState};
use trunkline_store::tables::delivery_history::undelivered_since;
use trunkline_store::{Commit, Store};
use trunkline_testkit::event::{new_event, tenant};
use trunkline_testkit::for_each_store;

use crate::append;
use crate::tables::pending;

/// Stores an event and what became of its delivery, `secs` after the trouble began.
async fn deliver(
    store: &Store,
    endpoint: &EndpointId,
    (index, secs): (i64, i64),
    state: DeliveryState,
    trouble: Timestamp,
) -> Timestamp {
    let event = new_event("test.made", &format!("subject-{index}"), index);
    let recorded_at = event.recorded_at;
    let place = append(store, event).await;
    let finished_at = Timestamp::from_micros(trouble.as_micros() + secs * 1_000_000);
    let row = DeliveryRow {
        id: DeliveryId::fresh(),
        shard: place.shard,
        seq: place.seq,
        state,
        finished_at: (state != DeliveryState::Pending).then_some(finished_at),
        next_attempt_at: None,
        ..pending(endpoint, place.seq)
    };
    store.commit(Commit::deliveries(vec![row])).await.unwrap();
    recorded_at
}

#[test]
fn what_waited_when_the_trouble_began_is_found() {
    use DeliveryState::{Cancelled, Exhausted, Pending, Succeeded};
    for_each_store(async |test| {
        let (store, trouble) = (&test.store, SystemClock.now());
        let [ill, well, other] = [EndpointId::fresh(), EndpointId::fresh(), EndpointId::fresh()];
        let since = async |endpoint: &EndpointId| {
            undelivered_since(store, &tenant(), endpoint.as_str(), trouble).await.unwrap()
        };
        assert_eq!(since(&ill).await, None);
        // Given up before: an old matter, and what it was about may be settled.
        deliver(store, &ill, (1, -60), Exhausted, trouble).await;
        deliver(store, &ill, (2, -50), Succeeded, trouble).await;
        assert_eq!(since(&ill).await, None);
        let first = deliver(store, &ill, (3, 60), Cancelled, trouble).await;
        deliver(store, &ill, (4, 1), Succeeded, trouble).await;
        deliver(store, &ill, (5, 0), Pending, trouble).await;
        deliver(store, &ill, (6, 5), Exhausted, trouble).await;
        deliver(store, &other, (0, 5), Exhausted, trouble).await;
        deliver(store, &well, (7, 5), Succeeded, trouble).await;
        assert_eq!(since(&ill).await, Some(first));
        assert_eq!(since(&well).await, None);
        let foreign = trunkline_model::Tenant::from_stored("clinic-2");
        assert_eq!(undelivered_since(store, &foreign, ill.as_str(), trouble).await.unwrap(), None);
    });
}

#[test]
fn however_much_waited() {
    const N: i64 = 2_500;
    for_each_store(async |test| {
        let (store, trouble, ill) = (&test.store, SystemClock.now(), EndpointId::fresh());
        let event = |index: i64| new_event("test.made", "subject", index);
        let events: Vec<_> = (0..N).map(event).collect();
        let first = events[0].recorded_at;
        let places = store.commit(Commit::append(events)).await.unwrap();
        let rows = places.appended().iter().map(|place| DeliveryRow {
            id: DeliveryId::fresh(),
            shard: place.shard,
            seq: place.seq,
            ..pending(&ill, place.seq)
        });
        store.commit(Commit::deliveries(rows.collect())).await.unwrap();
        let found = undelivered_since(store, &tenant(), ill.as_str(), trouble).await.unwrap();
        assert_eq!(found, Some(first), "several steps back");
    });
}
