//! What only a server can do: go away and come back, be reached by several, be out of reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use trunkline_store::tables::event;
use trunkline_store::{Commit, CommitError, OpenError, Store, StoreOptions};
use trunkline_testkit::TestStore;
use trunkline_testkit::event::{new_event, tenant};

use crate::{append, append_some, assert_gapless, read_all};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connections_heal_and_nothing_acknowledged_is_lost() {
    let Some(test) = TestStore::postgres().await else { return };
    let n_acknowledged = Arc::new(AtomicUsize::new(0));
    let mut writers = Vec::new();
    for writer in 0..8 {
        let (store, n_acknowledged) = (test.store.clone(), Arc::clone(&n_acknowledged));
        writers.push(tokio::spawn(async move {
            let mut kept = Vec::new();
            for index in 0..60 {
                let new = new_event("test.made", &format!("w{writer}"), index);
                let mut events = vec![new.clone()];
                if index % 5 == 0 {
                    events.push(new_event("test.made", &format!("x{writer}"), index));
                }
                // An unknown outcome is settled by trying again: the event's id makes that safe.
                loop {
                    match store.commit(Commit::append(events.clone())).await {
                        Ok(_) => break,
                        Err(error) => assert!(error.is_transient(), "{error:?}"),
                    }
                    tokio::task::yield_now().await;
                }
                kept.push(new.event.id);
                n_acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            kept
        }));
    }
    for at in [50, 150, 300] {
        while n_acknowledged.load(Ordering::Relaxed) < at {
            tokio::task::yield_now().await;
        }
        test.database().unwrap().disconnect_everybody().await;
    }
    for writer in writers {
        for id in writer.await.unwrap() {
            assert!(event::event_get(&test.store, &tenant(), id.as_str()).await.unwrap().is_some());
        }
    }
    assert_gapless(&test.store).await;
    assert_eq!(read_all(&test.store).await.len(), 8 * (60 + 12));
    test.store.close().await;
}

#[tokio::test]
async fn the_first_calls_after_a_restart_of_the_server_succeed() {
    let Some(test) = TestStore::postgres().await else { return };
    append_some(&test.store, 3).await;
    assert_eq!(read_all(&test.store).await.len(), 3);
    let mut head = test.store.watch_head(0).unwrap();
    test.database().unwrap().disconnect_everybody().await;
    assert_eq!(read_all(&test.store).await.len(), 3);
    append(&test.store, new_event("test.made", "after", 9)).await;
    let two = vec![new_event("test.made", "b", 9), new_event("test.made", "c", 9)];
    test.store.commit(Commit::append(two)).await.unwrap();
    // The listener heals too: an append by another hub is heard of.
    let other = Store::open(test.options()).await.unwrap();
    let n_shards = other.n_shards();
    let subject = (0..10_000)
        .map(|n| format!("s{n}"))
        .find(|s| new_event("a.b", s, 0).event.shard(n_shards) == 0)
        .unwrap();
    let place = append(&other, new_event("a.b", &subject, 10)).await;
    head.wait_for(|seq| *seq >= place.seq).await.unwrap();
    other.close().await;
    test.store.close().await;
}

#[tokio::test]
async fn a_server_out_of_reach_is_an_error_and_no_wait() {
    // Nothing listens on a port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://nobody:canary-secret@127.0.0.1:{port}/none");
    let error = Store::open(StoreOptions::new(url)).await.unwrap_err();
    assert!(matches!(error, OpenError::Connect(_)), "{error:?}");
    assert!(!format!("{error:?}").contains("canary-secret"));
    let options = StoreOptions::new("postgres://u:canary-secret@h/d");
    assert!(!format!("{options:?}").contains("canary-secret"));
}

#[tokio::test]
async fn hubs_that_start_together_migrate_once() {
    let Some(test) = TestStore::postgres().await else { return };
    test.store.close().await;
    let database = test.database().unwrap();
    database.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
    let opening: Vec<_> = (0..4).map(|_| tokio::spawn(Store::open(test.options()))).collect();
    for store in opening {
        let store = store.await.unwrap().unwrap();
        assert_eq!(store.n_shards(), 64);
        append_some(&store, 1).await;
        store.close().await;
    }
}

#[tokio::test]
async fn the_number_of_shards_is_fixed_at_creation() {
    let Some(mut test) = TestStore::postgres().await else { return };
    test.store.close().await;
    test.database().unwrap().execute("DELETE FROM journal_heads WHERE shard >= 8").await;
    test.reopen().await;
    assert_eq!(test.store.n_shards(), 8);
    append_some(&test.store, 20).await;
    assert_gapless(&test.store).await;
    test.store.close().await;
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let Some(test) = TestStore::postgres().await else { return };
    test.store.close().await;
    test.database().unwrap().execute("INSERT INTO schema_migrations VALUES (9999, 'later', 0)").await;
    let opened = Store::open(test.options()).await;
    assert!(matches!(opened, Err(OpenError::Newer { found: 9999, .. })), "{opened:?}");
}

#[tokio::test]
async fn one_bad_event_does_not_spoil_its_group() {
    let Some(test) = TestStore::postgres().await else { return };
    let mut tasks = Vec::new();
    for index in 0..40 {
        let store = test.store.clone();
        let mut new = new_event("test.made", &format!("s{index}"), 0);
        if index == 17 {
            // No index entry can be this long: PostgreSQL refuses the row. Random, as the text must not compress.
            let long: String = (0..400).map(|_| trunkline_model::EventId::fresh().into_string()).collect();
            new.event.source = long.into();
        }
        tasks.push(tokio::spawn(async move { (index, store.commit(Commit::append(vec![new])).await) }));
    }
    for task in tasks {
        match task.await.unwrap() {
            (17, result) => assert!(matches!(result, Err(CommitError::Constraint(_))), "{result:?}"),
            (_, result) => assert_eq!(result.unwrap().appended().len(), 1),
        }
    }
    assert_gapless(&test.store).await;
    test.store.close().await;
}
