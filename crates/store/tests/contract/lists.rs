//! Lists: filters, order, pages that neither skip nor repeat.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use trunkline_model::{EventRecord, Tenant, Timestamp};
use trunkline_store::tables::event::{EventFilter, EventPlace, event_list, event_list_journey};
use trunkline_store::{Commit, NewEvent, Store};
use trunkline_testkit::event::{event, new_event, tenant};
use trunkline_testkit::{TestStore, for_each_store};

use crate::append;

async fn walk(store: &Store, tenant: &Tenant, filter: &EventFilter) -> Vec<EventRecord> {
    let mut filter = filter.clone();
    let mut all: Vec<EventRecord> = Vec::new();
    loop {
        let page = event_list(store, tenant, &filter).await.unwrap();
        assert!(page.len() as i64 <= filter.limit);
        let Some(last) = page.last() else { return all };
        let (recorded_at, shard, seq) = (last.recorded_at, last.shard, last.seq);
        filter.beyond = Some(EventPlace { recorded_at, shard, seq });
        all.extend(page);
    }
}

/// One event of the property test: type, subject, microsecond. Small ranges make many ties.
fn drawn() -> impl Strategy<Value = (usize, usize, i64)> {
    (0..2_usize, 0..4_usize, 0..6_i64)
}

fn made(tenant: &Tenant, drawn: &[(usize, usize, i64)]) -> Vec<NewEvent> {
    let one = |(kind, subject, micros): &(usize, usize, i64)| {
        let kind = ["order.created", "order.paid"][*kind];
        let mut new = new_event(kind, &format!("s{subject}"), *micros);
        new.event.tenant = tenant.clone();
        new
    };
    drawn.iter().map(one).collect()
}

fn check_pages(open: impl AsyncFn() -> Option<TestStore>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let Some(test) = runtime.block_on(open()) else { return };
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let case = std::cell::Cell::new(0);
    let input = (proptest::collection::vec(drawn(), 0..40), 1..9_i64, 0..2_usize, 0..7_i64);
    runner
        .run(&input, |(events, limit, kind, since)| {
            case.set(case.get() + 1);
            // A tenant of its own is as good as a store of its own.
            let tenant = Tenant::from_stored(&format!("tenant-{}", case.get()));
            runtime.block_on(async {
                for new in made(&tenant, &events) {
                    append(&test.store, new).await;
                }
                let all = walk(&test.store, &tenant, &EventFilter { limit, ..EventFilter::default() }).await;
                assert_eq!(all.len(), events.len());
                let place = |record: &EventRecord| (record.recorded_at, record.shard, record.seq);
                assert!(
                    all.windows(2).all(|pair| place(&pair[0]) > place(&pair[1])),
                    "newest first, each once"
                );
                let since_at = Timestamp::from_micros(1_700_000_000_000_000 + since);
                let event_type = ["order.created", "order.paid"][kind].to_owned();
                let filter = EventFilter {
                    event_type: Some(event_type.clone()),
                    since: Some(since_at),
                    limit,
                    ..EventFilter::default()
                };
                let some = walk(&test.store, &tenant, &filter).await;
                let expected = events.iter().filter(|(k, _, micros)| *k == kind && *micros >= since).count();
                assert_eq!(some.len(), expected);
            });
            Ok(())
        })
        .unwrap();
    runtime.block_on(test.store.close());
}

#[test]
fn pages_give_every_event_once_on_sqlite() {
    check_pages(async || Some(TestStore::sqlite().await));
}

#[test]
fn pages_give_every_event_once_on_postgres() {
    check_pages(TestStore::postgres);
}

#[test]
fn filters_select() {
    for_each_store(async |test| {
        for index in 0..6 {
            let mut new = new_event(["a.b", "a.c"][index % 2], &format!("s{}", index % 3), index as i64);
            new.event.source = format!("source-{}", index / 3).into();
            append(&test.store, new).await;
        }
        let at = |micros: i64| Some(Timestamp::from_micros(1_700_000_000_000_000 + micros));
        let all = EventFilter { limit: 100, ..EventFilter::default() };
        let cases = [
            (all.clone(), vec![5, 4, 3, 2, 1, 0]),
            (EventFilter { event_type: Some("a.b".to_owned()), ..all.clone() }, vec![4, 2, 0]),
            (EventFilter { event_type: Some("a".to_owned()), ..all.clone() }, vec![]),
            (EventFilter { source: Some("source-1".to_owned()), ..all.clone() }, vec![5, 4, 3]),
            (EventFilter { subject: Some("s1".to_owned()), ..all.clone() }, vec![4, 1]),
            (EventFilter { since: at(2), until: at(4), ..all.clone() }, vec![3, 2]),
            (EventFilter { limit: 2, ..all.clone() }, vec![5, 4]),
        ];
        for (filter, expected) in cases {
            let found = event_list(&test.store, &tenant(), &filter).await.unwrap();
            let micros: Vec<i64> =
                found.iter().map(|record| record.recorded_at.as_micros() % 1_000_000).collect();
            assert_eq!(micros, expected, "{filter:?}");
        }
        let other = Tenant::from_stored("clinic-2");
        assert!(event_list(&test.store, &other, &all).await.unwrap().is_empty());
    });
}

#[test]
fn a_journey_is_its_first_event_and_all_that_followed() {
    for_each_store(async |test| {
        let root = event("order.created", "o1");
        let child = event("order.paid", "o1").caused_by(&root);
        let grandchild = event("mail.sent", "m1").caused_by(&child);
        let mut foreign = event("order.paid", "o2");
        foreign.correlationid = root.correlationid.clone();
        foreign.tenant = Tenant::from_stored("clinic-2");
        let unrelated = event("order.created", "o3");
        for (index, event) in [&root, &unrelated, &child, &foreign, &grandchild].into_iter().enumerate() {
            let recorded_at = Timestamp::from_micros(1_700_000_000_000_000 + index as i64);
            let commit = Commit::append(vec![NewEvent::new(event.clone(), recorded_at)]);
            test.store.commit(commit).await.unwrap();
        }
        let found = event_list_journey(&test.store, &tenant(), &root.correlationid, 100).await.unwrap();
        let ids: Vec<&str> = found.iter().map(|record| record.event.id.as_str()).collect();
        assert_eq!(ids, [root.id.as_str(), child.id.as_str(), grandchild.id.as_str()]);
        let first = event_list_journey(&test.store, &tenant(), &root.correlationid, 1).await.unwrap();
        assert_eq!(first.len(), 1);
    });
}
