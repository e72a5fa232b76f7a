//! Leases, nodes, and several stores on one PostgreSQL database.

use trunkline_model::Timestamp;
use trunkline_store::tables::lease::{self, LeaseRow};
use trunkline_store::{Commit, CommitError, Store};
use trunkline_testkit::event::new_event;
use trunkline_testkit::{TestStore, for_each_store};

use crate::{append, assert_gapless, read_all};

fn row(shard: i64, owner: &str, epoch: i64) -> LeaseRow {
    LeaseRow { shard, owner: owner.to_owned(), epoch, expires_at: Timestamp::from_secs(10) }
}

#[test]
fn leases_change_hands_by_epoch() {
    for_each_store(async |test| {
        let run = async |statement| test.store.commit(Commit::statements(vec![statement])).await;
        run(lease::lease_create(&row(0, "n1", 1))).await.unwrap();
        let lost = run(lease::lease_create(&row(0, "n2", 1))).await;
        assert!(matches!(lost, Err(CommitError::Guard { .. })));
        run(lease::lease_create(&row(1, "n2", 1))).await.unwrap();
        run(lease::lease_take(&row(0, "n2", 2), 1)).await.unwrap();
        assert!(run(lease::lease_take(&row(0, "n1", 2), 1)).await.is_err());
        run(lease::lease_renew_all("n2", Timestamp::from_secs(99))).await.unwrap();
        run(lease::lease_release(&row(1, "n2", 1).fence())).await.unwrap();
        run(lease::lease_release(&row(0, "n1", 1).fence())).await.unwrap();
        let leases = lease::lease_list(&test.store).await.unwrap();
        let seen: Vec<_> =
            leases.iter().map(|l| (l.shard, l.owner.as_str(), l.epoch, l.expires_at.as_secs())).collect();
        assert_eq!(seen, [(0, "n2", 2, 99), (1, "n2", 1, 0)]);
        for (node, at) in [("n1", 5), ("n2", 7), ("n1", 6)] {
            run(lease::node_heartbeat(node, Timestamp::from_secs(at))).await.unwrap();
        }
        let live =
            async |since| lease::node_list_live(&test.store, Timestamp::from_secs(since)).await.unwrap();
        assert_eq!(live(6).await, ["n1", "n2"]);
        assert_eq!(live(7).await, ["n2"]);
        run(lease::node_remove_stale(Timestamp::from_secs(7))).await.unwrap();
        assert_eq!(live(0).await, ["n2"]);
        run(lease::node_remove("n2")).await.unwrap();
        assert!(live(0).await.is_empty());
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hubs_share_one_journal() {
    let Some(test) = TestStore::postgres().await else { return };
    let other = Store::open(test.options()).await.unwrap();
    let mut tasks = Vec::new();
    for writer in 0..16 {
        let store = if writer % 2 == 0 { test.store.clone() } else { other.clone() };
        tasks.push(tokio::spawn(async move {
            for index in 0..20 {
                // Both hubs write to the same few shards, by both ways of committing.
                let subject = format!("s{}", writer % 4);
                let mut events = vec![new_event("test.made", &subject, index)];
                if index % 4 == 0 {
                    events.push(new_event("test.made", "shared", index));
                }
                store.commit(Commit::append(events)).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_gapless(&test.store).await;
    assert_eq!(read_all(&other).await.len(), 16 * 25);
    other.close().await;
    test.store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_never_sees_a_gap_while_two_hubs_write() {
    let Some(test) = TestStore::postgres().await else { return };
    let other = Store::open(test.options()).await.unwrap();
    let shard = new_event("a.b", "key", 0).event.shard(test.store.n_shards());
    let mut writers = Vec::new();
    for store in [test.store.clone(), other.clone()] {
        for _ in 0..4 {
            let store = store.clone();
            writers.push(tokio::spawn(async move {
                for index in 0..40 {
                    append(&store, new_event("a.b", "key", index)).await;
                }
            }));
        }
    }
    let mut head = test.store.watch_head(shard).unwrap();
    let mut at = 0;
    while at < 320 {
        head.wait_for(|seq| *seq > at).await.unwrap();
        for record in trunkline_store::tables::event::event_read(&test.store, shard, at, 100).await.unwrap() {
            assert_eq!(record.seq, at + 1);
            at = record.seq;
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    other.close().await;
    test.store.close().await;
}

#[tokio::test]
async fn news_travels_between_hubs() {
    let Some(test) = TestStore::postgres().await else { return };
    let other = Store::open(test.options()).await.unwrap();
    let shard = new_event("a.b", "key", 0).event.shard(test.store.n_shards());
    let mut head = other.watch_head(shard).unwrap();
    for expected in 1..=3 {
        append(&test.store, new_event("a.b", "key", expected)).await;
        head.wait_for(|seq| *seq == expected).await.unwrap();
    }
    other.close().await;
    test.store.close().await;
}
