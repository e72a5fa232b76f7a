//! The plan of a pass, and two nodes on one store.

use trunkline_model::{SystemClock, Timestamp};
use trunkline_store::{Commit, CursorMove};

use super::*;

fn lease(shard: Shard, owner: &str, expires_at: i64) -> LeaseRow {
    LeaseRow { shard, owner: owner.into(), epoch: 7, expires_at: Timestamp::from_secs(expires_at) }
}

fn check(n_live: usize, n_shards: Shard, leases: &[LeaseRow], expect: &Plan) {
    let now = Timestamp::from_secs(100);
    assert_eq!(plan(&Situation { node: "a", n_live, n_shards, leases, now }), *expect);
}

#[test]
fn a_pass_moves_towards_the_fair_share() {
    check(1, 2, &[], &Plan { take: vec![(0, None), (1, None)], release: vec![] });
    check(2, 3, &[], &Plan { take: vec![(0, None), (1, None)], release: vec![] });
    check(
        2,
        2,
        &[lease(0, "b", 200), lease(1, "b", 99)],
        &Plan { take: vec![(1, Some(7))], release: vec![] },
    );
    check(2, 2, &[lease(0, "a", 200), lease(1, "a", 200)], &Plan { take: vec![], release: vec![1] });
    check(2, 2, &[lease(0, "a", 200), lease(1, "b", 200)], &Plan::default());
}

#[test]
fn a_silent_owner_is_fenced_out() {
    trunkline_testkit::for_each_store(async |test| check_fencing(test.store.clone()).await);
}

async fn check_fencing(store: trunkline_store::Store) {
    let journal = Journal::new(store, Arc::new(SystemClock));
    let options =
        OwnershipOptions { lease_for: Duration::from_millis(300), renew_every: Duration::from_millis(30) };
    let (stop_a, stop_b) = (CancellationToken::new(), CancellationToken::new());
    let (a, task_a) = keep(journal.clone(), "a".into(), options, stop_a.clone());
    let fence_a = a.owned().wait_for(|owned| !owned.is_empty()).await.unwrap()[&0].clone();

    // Node a dies without giving anything back.
    task_a.abort();
    let (b, task_b) = keep(journal.clone(), "b".into(), options, stop_b.clone());
    let fence_b = b.owned().wait_for(|owned| !owned.is_empty()).await.unwrap()[&0].clone();
    assert_eq!(fence_b.epoch, fence_a.epoch + 1);

    let move_cursor = |fence: &Fence| Commit {
        fence: Some(fence.clone()),
        cursors: vec![CursorMove { consumer: "c".into(), shard: 0, seq: 1 }],
        ..Commit::default()
    };
    assert!(matches!(journal.commit(move_cursor(&fence_a)).await, Err(CommitError::Fenced { shard: 0 })));
    assert!(journal.commit(move_cursor(&fence_b)).await.is_ok());

    // A drained node gives back at once.
    stop_b.cancel();
    task_b.await.unwrap();
    let leases = lease::lease_list(journal.store()).await.unwrap();
    assert_eq!(leases[0].expires_at, Timestamp::default());
}
