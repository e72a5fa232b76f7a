//! Retention by age and size, never past a reader, with the figures kept right.

use std::sync::Arc;

use trunkline_model::{Clock as _, Data, Event, EventType, ManualClock};
use trunkline_store::{CursorMove, NewEvent, Store};

use super::*;

async fn append(journal: &Journal, n_events: usize) {
    for _ in 0..n_events {
        let mut event =
            Event::new(Tenant::default(), "/t", EventType::parse("a.b").unwrap(), Timestamp::from_secs(1));
        event.data = Data::Json(vec![b'1'; 100].into());
        event.partitionkey = Some("one".into());
        journal.append(vec![NewEvent::new(event, journal.now())]).await.unwrap();
    }
}

async fn n_events(store: &Store) -> i64 {
    let n: i64 = usage::usage_list(store).await.unwrap().iter().map(|usage| usage.n_events).sum();
    let mut rows = store.query("SELECT count(*) FROM events", vec![]).await.unwrap();
    assert_eq!(rows[0].int().unwrap(), n, "usage figures agree with the table");
    n
}

async fn check(store: Store) {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_secs(1_000_000)));
    let journal = Journal::new(store.clone(), clock.clone());
    let day = Duration::from_hours(24);
    let options = RetentionOptions { max_age: day, ..RetentionOptions::default() };
    append(&journal, 300).await;
    clock.advance(day * 2);
    append(&journal, 10).await;
    let shard = event::head_list(&store).await.unwrap().iter().find(|(_, seq)| *seq > 0).unwrap().0;

    // A reader that has seen only 250 holds the rest back.
    let cursor = |seq| CursorMove { consumer: "slow".into(), shard, seq };
    journal.commit(Commit { cursors: vec![cursor(250)], ..Commit::default() }).await.unwrap();
    assert_eq!(pass(&journal, &options).await.unwrap(), 250);
    assert_eq!(n_events(&store).await, 60);
    journal.commit(Commit { cursors: vec![cursor(310)], ..Commit::default() }).await.unwrap();
    assert_eq!(pass(&journal, &options).await.unwrap(), 50);
    assert_eq!(n_events(&store).await, 10);

    // By size: about four events fit.
    let small = RetentionOptions { max_bytes_per_tenant: Some(4 * 145), ..options };
    pass(&journal, &small).await.unwrap();
    assert!((2..=4).contains(&n_events(&store).await));
    let held = usage::usage_list(&store).await.unwrap().iter().map(|u| u.n_bytes).sum::<i64>();
    assert!(held <= 4 * 145, "{held}");

    // The head does not go back.
    append(&journal, 1).await;
    let record = journal.read(shard, 310, 10).await.unwrap();
    assert_eq!(record.iter().map(|r| r.seq).collect::<Vec<_>>(), [311]);
    assert!(clock.now() > Timestamp::default());
}

#[test]
fn old_and_surplus_events_go() {
    trunkline_testkit::for_each_store(async |test| check(test.store.clone()).await);
}
