//! Deliveries count for their tenant's size, and what is owed of an event that goes is given up where everybody sees it.

use trunkline_model::{EndpointId, Timestamp};
use trunkline_store::tables::delivery::{self, DeliveryRow, DeliveryState, delivery_record_attempt};
use trunkline_store::tables::delivery_stats::{StatsFilter, StatsGroup, StatsWidth};
use trunkline_store::tables::expiry::{self, EVENT_EXPIRED};
use trunkline_store::tables::line::IN_LINE;
use trunkline_store::tables::{delivery_stats, event, usage};
use trunkline_store::{Commit, Statement, Store};
use trunkline_testkit::event::{new_event, tenant};
use trunkline_testkit::for_each_store;

use crate::append;
use crate::tables::{attempt, pending};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

async fn run(store: &Store, statements: impl Into<Vec<Statement>>) {
    store.commit(Commit::statements(statements.into())).await.unwrap();
}

async fn get(store: &Store, row: &DeliveryRow) -> Option<DeliveryRow> {
    delivery::delivery_get(store, &tenant(), row.id.as_str()).await.unwrap()
}

/// What the figures say, and what the oldest event's deliveries weigh by the rows themselves.
async fn bytes(store: &Store) -> (i64, i64) {
    let held: i64 = usage::usage_list(store).await.unwrap().iter().map(|usage| usage.n_bytes).sum();
    let oldest = event::event_list_oldest(store, &tenant(), 10).await.unwrap();
    let n_event: i64 = oldest.iter().map(|stub| stub.n_bytes).sum();
    (held - n_event, oldest.iter().map(|stub| stub.n_delivery_bytes).sum())
}

async fn attempted(store: &Store, row: &DeliveryRow, status: Option<i64>) -> DeliveryRow {
    let mut row = row.clone();
    row.n_attempts += 1;
    row.latest = Some(attempt(row.n_attempts, status));
    run(store, delivery_record_attempt(&row)).await;
    row
}

#[test]
fn deliveries_and_attempts_count_for_the_size() {
    for_each_store(async |test| {
        let store = &test.store;
        let place = append(store, new_event("test.made", "a", 0)).await;
        assert_eq!(bytes(store).await, (0, 0));
        let of_event = |row| DeliveryRow { shard: place.shard, seq: place.seq, ..row };
        let mut done = of_event(pending(&EndpointId::fresh(), 1));
        (done.state, done.n_attempts, done.latest) =
            (DeliveryState::Succeeded, 1, Some(attempt(1, Some(200))));
        let owed = of_event(pending(&EndpointId::fresh(), 1));
        store.commit(Commit::deliveries(vec![done.clone(), owed.clone()])).await.unwrap();
        let (held, weighed) = bytes(store).await;
        assert!(held > 0 && held == weighed, "{held} {weighed}");

        let owed = attempted(store, &owed, Some(500)).await;
        let owed = attempted(store, &owed, None).await;
        let (more, weighed) = bytes(store).await;
        assert!(more > held && more == weighed, "{more} {weighed}");
        // A change that touches no row adds nothing.
        attempted(store, &done, Some(500)).await;
        assert_eq!(bytes(store).await, (more, more));

        run(store, expiry::delivery_expire(&owed, at(9))).await;
        run(store, expiry::delivery_delete_event(place.shard, place.seq)).await;
        assert_eq!(get(store, &done).await, None);
        let left = get(store, &owed).await.unwrap();
        assert_eq!(delivery::attempt_list(store, &left).await.unwrap().len(), 1);
        let (held, weighed) = bytes(store).await;
        assert!(held > 0 && held == weighed && held < more, "{held} {weighed}");
        run(store, expiry::expired_delete(&tenant(), at(10), 5)).await;
        assert_eq!((bytes(store).await, get(store, &owed).await), ((0, 0), None));
    });
}

#[test]
fn what_is_owed_is_given_up_counted_and_its_line_goes_on() {
    for_each_store(async |test| {
        let store = &test.store;
        let endpoint = EndpointId::fresh();
        let line = |seq| DeliveryRow { order_key: Some("k".to_owned()), ..pending(&endpoint, seq) };
        let (head, mut next) = (line(1), line(2));
        (next.reason, next.next_attempt_at) = (Some(IN_LINE.to_owned()), Some(at(3600)));
        let mut done = pending(&endpoint, 1);
        done.state = DeliveryState::Succeeded;
        store.commit(Commit::deliveries(vec![head.clone(), next.clone(), done.clone()])).await.unwrap();
        let owed = expiry::delivery_list_owed_of(store, 0, 1, 9).await.unwrap();
        assert_eq!(owed, std::slice::from_ref(&head));
        for row in [&head, &done] {
            run(store, expiry::delivery_expire(row, at(9))).await;
        }
        let expired = get(store, &head).await.unwrap();
        assert_eq!((expired.state, expired.finished_at), (DeliveryState::Cancelled, Some(at(9))));
        assert_eq!((expired.reason.as_deref(), expired.next_attempt_at), (Some(EVENT_EXPIRED), None));
        assert_eq!(get(store, &done).await.unwrap().state, DeliveryState::Succeeded);
        let woken = get(store, &next).await.unwrap();
        assert_eq!((woken.next_attempt_at, woken.reason), (Some(at(9)), None));

        let fold = delivery_stats::stats_delta_list(store, 10).await.unwrap();
        assert_eq!(fold.n_deltas, 1, "the one that had ended is not counted");
        run(store, fold.into_statements(at(9))).await;
        let (since, until) = (at(0), at(900));
        let filter = StatsFilter { endpoint_ids: None, event_type: None, since, until };
        let group = StatsGroup::Time(StatsWidth::Hour);
        let sums = delivery_stats::delivery_stats_list(store, &tenant(), &filter, group).await.unwrap();
        assert_eq!(sums.values().map(|counts| counts.ended).collect::<Vec<_>>(), [[0, 0, 1]]);

        let count = async |before| expiry::expired_count(store, &tenant(), at(before), 9).await.unwrap();
        assert_eq!((count(9).await, count(10).await), (0, 1));
        run(store, expiry::expired_delete(&tenant(), at(9), 5)).await;
        assert!(get(store, &head).await.is_some());
        run(store, expiry::expired_delete(&tenant(), at(10), 5)).await;
        assert_eq!(get(store, &head).await, None);
    });
}

#[test]
fn deliveries_of_the_commits_own_events_get_their_places() {
    for_each_store(async |test| {
        let store = &test.store;
        append(store, new_event("test.made", "a", 0)).await;
        let events = vec![new_event("test.made", "b", 1), new_event("test.made", "c", 2)];
        let rows = [pending(&EndpointId::fresh(), 0), pending(&EndpointId::fresh(), 0)];
        let own_deliveries = vec![(1, rows[0].clone()), (0, rows[1].clone())];
        let commit = Commit { events: events.clone(), own_deliveries, ..Commit::default() };
        let committed = store.commit(commit).await.unwrap();
        let places: Vec<_> = committed.appended().iter().map(|place| (place.shard, place.seq)).collect();
        for (row, place) in rows.iter().zip([places[1], places[0]]) {
            let found = get(store, row).await.unwrap();
            assert_eq!((found.shard, found.seq), place);
        }
        let (held, weighed) = bytes(store).await;
        assert!(held > 0 && held == weighed, "{held} {weighed}");
        // One that is refused takes its event with it.
        let mut twice = new_event("test.made", "d", 3);
        twice.event.id = trunkline_model::EventId::from_text("d");
        let own_deliveries = vec![(0, rows[0].clone())];
        let commit = Commit { events: vec![twice], own_deliveries, ..Commit::default() };
        store.commit(commit).await.unwrap_err();
        assert_eq!(event::event_get(store, &tenant(), "d").await.unwrap(), None);
    });
}
