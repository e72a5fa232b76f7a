//! Appending: numbers, order, duplicates, dedupe keys, what is read back.

use std::collections::BTreeMap;

use trunkline_model::event::ExtensionValue;
use trunkline_model::{Data, EventId, Tenant, Timestamp};
use trunkline_store::tables::{event, inbound, usage};
use trunkline_store::{Commit, Committed};
use trunkline_testkit::event::{new_event, tenant};
use trunkline_testkit::for_each_store;

use crate::{append, append_some, assert_gapless, read_all, seen};

#[test]
fn seqs_are_gapless_with_many_writers() {
    for_each_store(async |test| {
        let mut tasks = Vec::new();
        for writer in 0..64 {
            let store = test.store.clone();
            tasks.push(tokio::spawn(async move {
                let mut last = None;
                for index in 0..20 {
                    let new = new_event("test.made", &format!("writer-{writer}"), index);
                    let place = append(&store, new).await;
                    assert!(!place.is_duplicate);
                    // One key, one writer: its events follow one another.
                    assert!(last.is_none_or(|(shard, seq)| shard == place.shard && seq < place.seq));
                    last = Some((place.shard, place.seq));
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_gapless(&test.store).await;
        let all = read_all(&test.store).await;
        assert_eq!(all.len(), 64 * 20);
        let mut per_key: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for record in all {
            per_key.entry(record.event.subject.unwrap()).or_default().push(record.recorded_at.as_micros());
        }
        assert!(per_key.values().all(|times| times.is_sorted() && times.len() == 20));
    });
}

#[test]
fn single_and_group_appends_mix() {
    for_each_store(async |test| {
        let mut tasks = Vec::new();
        for writer in 0..32 {
            let store = test.store.clone();
            tasks.push(tokio::spawn(async move {
                for index in 0..8 {
                    // Two events make a transaction of its own on PostgreSQL, one joins a group.
                    let n = 1 + (writer + index) % 2;
                    let events = (0..n)
                        .map(|part| new_event("test.made", &format!("s{}", (writer + part) % 7), index));
                    store.commit(Commit::append(events.collect())).await.unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_gapless(&test.store).await;
        assert_eq!(read_all(&test.store).await.len(), 32 * 4 + 32 * 4 * 2);
        let figures = usage::usage_list(&test.store).await.unwrap();
        assert_eq!(figures[0].n_events, 32 * 4 + 32 * 4 * 2);
    });
}

#[test]
fn every_attribute_comes_back() {
    for_each_store(async |test| {
        let mut full = new_event("test.made", "über-subject", 7);
        full.event.id = EventId::from_text("order-1");
        full.event.correlationid = "journey-1".into();
        full.event.causationid = Some("cause-1".to_owned());
        full.event.partitionkey = Some("key".to_owned());
        full.event.datacontenttype = Some("application/json".to_owned());
        full.event.dataschema = Some("https://example.org/schema".to_owned());
        full.event.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
        full.event.extensions = BTreeMap::from([
            ("flag".to_owned(), ExtensionValue::Boolean(true)),
            ("n".to_owned(), ExtensionValue::Integer(-3)),
            ("text".to_owned(), ExtensionValue::String("é".to_owned())),
        ]);
        full.request_head = Some("POST /in/portal HTTP/1.1\r\nhost: x\r\n\r\n".to_owned());
        let kinds = [
            Data::None,
            Data::Json("{\"a\":1}".into()),
            Data::Binary(vec![0, 255, 1].into()),
            Data::Envelope("{\"type\":\"test.made\",\"data\":{}}".into()),
        ];
        for (index, data) in kinds.into_iter().enumerate() {
            let mut new = full.clone();
            new.event.id = EventId::from_text(format!("order-{index}"));
            new.event.data = data;
            let place = append(&test.store, new.clone()).await;
            let record = event::event_at(&test.store, place.shard, place.seq).await.unwrap().unwrap();
            assert_eq!(record.event, new.event);
            assert_eq!(record.request_head, new.request_head);
            assert_eq!(record.recorded_at, new.recorded_at);
            let id = new.event.id.as_str();
            assert_eq!(event::event_get(&test.store, &tenant(), id).await.unwrap().unwrap(), record);
            let other = Tenant::from_stored("clinic-2");
            assert_eq!(event::event_get(&test.store, &other, id).await.unwrap(), None);
        }
    });
}

#[test]
fn an_event_is_there_once_per_id_tenant_and_source() {
    for_each_store(async |test| {
        let first = new_event("test.made", "a", 0);
        let place = append(&test.store, first.clone()).await;
        let mut again = first.clone();
        again.event.subject = Some("another shard, perhaps".to_owned());
        let second = append(&test.store, again.clone()).await;
        assert!(second.is_duplicate);
        assert_eq!((second.shard, second.seq), (place.shard, place.seq));
        // Twice in one commit, with a new one between.
        let batch = vec![again.clone(), new_event("test.made", "b", 1), again];
        let places = test.store.commit(Commit::append(batch)).await.unwrap();
        let flags: Vec<bool> = places.appended().iter().map(|place| place.is_duplicate).collect();
        assert_eq!(flags, [true, false, true]);
        let mut foreign = first.clone();
        foreign.event.tenant = Tenant::from_stored("clinic-2");
        assert!(!append(&test.store, foreign).await.is_duplicate);
        let mut elsewhere = first;
        elsewhere.event.source = "other".into();
        assert!(!append(&test.store, elsewhere).await.is_duplicate);
        assert_gapless(&test.store).await;
        assert_eq!(read_all(&test.store).await.len(), 4);
    });
}

#[test]
fn racing_duplicates_are_stored_once() {
    for_each_store(async |test| {
        for round in 0..5 {
            let original = new_event("test.made", "x", round);
            let mut tasks = Vec::new();
            for index in 0..24 {
                let store = test.store.clone();
                let mut copy = original.clone();
                // Several shards and both ways of committing race for one id.
                copy.event.subject = Some(format!("subject-{}", index % 5));
                let mut events = vec![copy];
                if index % 3 == 0 {
                    events.push(new_event("test.made", "y", round));
                }
                tasks.push(tokio::spawn(async move { store.commit(Commit::append(events)).await.unwrap() }));
            }
            let mut n_new = 0;
            for task in tasks {
                n_new += usize::from(!task.await.unwrap().appended()[0].is_duplicate);
            }
            assert_eq!(n_new, 1);
        }
        assert_gapless(&test.store).await;
        assert_eq!(read_all(&test.store).await.len(), 5 * (1 + 8));
    });
}

#[test]
fn a_dedupe_key_is_taken_once() {
    for_each_store(async |test| {
        let take = |key: &str, id: &str| Commit {
            seen: Some(seen(key, id)),
            ..Commit::append(vec![new_event("test.made", "a", 0)])
        };
        assert!(matches!(test.store.commit(take("k", "inb_1")).await.unwrap(), Committed::Applied(_)));
        let repeat = test.store.commit(take("k", "inb_2")).await.unwrap();
        assert_eq!(repeat, Committed::Repeat { inbound_id: "inb_1".to_owned() });
        // The same through the way of commits with statements.
        let mut with_statement = take("k", "inb_3");
        with_statement.statements.push(inbound::seen_delete("portal", "nothing"));
        let repeat = test.store.commit(with_statement).await.unwrap();
        assert_eq!(repeat, Committed::Repeat { inbound_id: "inb_1".to_owned() });
        // Many at once: one wins, all others name it.
        let mut tasks = Vec::new();
        for index in 0..50 {
            let (store, commit) = (test.store.clone(), take("burst", &format!("inb_{index}")));
            tasks.push(tokio::spawn(async move { (index, store.commit(commit).await.unwrap()) }));
        }
        let (mut winners, mut named) = (Vec::new(), Vec::new());
        for task in tasks {
            match task.await.unwrap() {
                (index, Committed::Applied(_)) => winners.push(format!("inb_{index}")),
                (_, Committed::Repeat { inbound_id }) => named.push(inbound_id),
            }
        }
        assert_eq!(winners.len(), 1);
        assert!(named.len() == 49 && named.iter().all(|id| *id == winners[0]));
        assert_eq!(read_all(&test.store).await.len(), 2);
        assert_gapless(&test.store).await;
        let keys = inbound::seen_list_after(&test.store, &(String::new(), String::new()), 10).await.unwrap();
        assert_eq!(keys.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(), ["burst", "k"]);
    });
}

#[test]
fn reading_begins_behind_a_place() {
    for_each_store(async |test| {
        for index in 0..10 {
            append(&test.store, new_event("test.made", "one key", index)).await;
        }
        let shard = read_all(&test.store).await[0].shard;
        let page = event::event_read(&test.store, shard, 4, 3).await.unwrap();
        assert_eq!(page.iter().map(|record| record.seq).collect::<Vec<_>>(), [5, 6, 7]);
        assert!(event::event_read(&test.store, shard, 10, 3).await.unwrap().is_empty());
    });
}

#[test]
fn waiters_hear_of_appends() {
    for_each_store(async |test| {
        let mut watched = test.store.watch_head(0).unwrap();
        assert_eq!(*watched.borrow_and_update(), 0);
        let n_shards = test.store.n_shards();
        let subject =
            (0..10_000).map(|n| format!("s{n}")).find(|s| new_event("a.b", s, 0).event.shard(n_shards) == 0);
        let place = append(&test.store, new_event("a.b", &subject.unwrap(), 0)).await;
        watched.wait_for(|seq| *seq == place.seq).await.unwrap();
        assert!(test.store.watch_head(n_shards).is_none());
    });
}

#[test]
fn usage_follows_appends_and_retention() {
    for_each_store(async |test| {
        let mut new = new_event("test.made", "größe", 0);
        new.request_head = Some("kopf".to_owned());
        append(&test.store, new.clone()).await;
        append(&test.store, new).await;
        append_some(&test.store, 3).await;
        let before = usage::usage_list(&test.store).await.unwrap();
        assert_eq!((before.len(), before[0].n_events), (1, 4));
        let oldest = event::event_list_oldest(&test.store, &tenant(), 100).await.unwrap();
        assert_eq!(oldest.len(), 4);
        assert_eq!(oldest.iter().map(|stub| stub.n_bytes).sum::<i64>(), before[0].n_bytes);
        assert!(oldest.is_sorted_by_key(|stub| stub.place.recorded_at));
        let mut statements: Vec<_> =
            oldest.iter().map(|stub| event::event_delete(stub.place.shard, stub.place.seq)).collect();
        statements.push(usage::usage_subtract(&tenant(), 4, before[0].n_bytes));
        test.store.commit(Commit::statements(statements)).await.unwrap();
        let after = usage::usage_list(&test.store).await.unwrap();
        assert_eq!((after[0].n_events, after[0].n_bytes), (0, 0));
    });
}

#[test]
fn heads_stay_after_deletes_and_a_restart() {
    for_each_store(async |test| {
        let place = append(&test.store, new_event("test.made", "a", 0)).await;
        let delete = event::event_delete(place.shard, place.seq);
        test.store.commit(Commit::statements(vec![delete])).await.unwrap();
        test.reopen().await;
        assert_eq!(*test.store.watch_head(place.shard).unwrap().borrow(), place.seq);
        let next = append(&test.store, new_event("test.made", "a", 1)).await;
        assert_eq!((next.shard, next.seq), (place.shard, place.seq + 1));
    });
}

#[test]
fn nul_characters_do_no_harm() {
    for_each_store(async |test| {
        let mut new = new_event("test.made", "a\0b", 0);
        new.event.id = EventId::from_text("id\0");
        new.event.data = Data::Binary(vec![0].into());
        assert!(!append(&test.store, new.clone()).await.is_duplicate);
        assert!(append(&test.store, new.clone()).await.is_duplicate);
        let commit = Commit { seen: Some(seen("k\0", "inb_1")), ..Commit::append(vec![new]) };
        test.store.commit(commit.clone()).await.unwrap();
        assert!(matches!(test.store.commit(commit).await.unwrap(), Committed::Repeat { .. }));
        assert_gapless(&test.store).await;
    });
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    for_each_store(async |test| {
        let events = append_some(&test.store, 20).await;
        test.reopen().await;
        let found = read_all(&test.store).await;
        assert_eq!(found.len(), events.len());
        for new in events {
            assert!(found.iter().any(|record| record.event == new.event));
        }
        assert_eq!(found[0].recorded_at.as_secs(), Timestamp::from_secs(1_700_000_000).as_secs());
    });
}
