//! The journal's promises to readers.

use trunkline_model::{Event, EventType, SystemClock, Tenant};

use super::*;

#[test]
fn a_watcher_wakes_and_reads_in_order() {
    trunkline_testkit::for_each_store(async |test| check_watching(test.store.clone()).await);
}

async fn check_watching(store: Store) {
    let journal = Journal::new(store, Arc::new(SystemClock));
    let shard = Event::new(Tenant::default(), "/s", EventType::from_stored("a"), Timestamp::default())
        .shard(journal.n_shards());
    let mut head = journal.watch(shard);
    let events = (0..5).map(|_| {
        let event = Event::new(Tenant::default(), "/s", EventType::parse("a.b").unwrap(), journal.now());
        NewEvent::new(event, journal.now())
    });
    let places = journal.append(events.collect()).await.unwrap();
    assert_eq!(places.iter().map(|place| place.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(*head.wait_for(|seq| *seq == 5).await.unwrap(), 5);
    let read = journal.read(shard, 2, 2).await.unwrap();
    assert_eq!(read.iter().map(|record| record.seq).collect::<Vec<_>>(), [3, 4]);
}
