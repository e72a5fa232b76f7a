//! Commits are whole or not at all, and do not affect one another.

use trunkline_model::{DeliveryId, Timestamp};
use trunkline_store::tables::{consumer, idempotency, lease};
use trunkline_store::{Commit, CommitError, CursorMove, Fence, Statement, Store, params};
use trunkline_testkit::event::{new_event, tenant};
use trunkline_testkit::for_each_store;

use crate::{append, assert_gapless, read_all, seen};

async fn count(store: &Store, table: &str) -> i64 {
    store.query(format!("SELECT count(*) FROM {table}"), vec![]).await.unwrap()[0].int().unwrap()
}

fn fact(name: &str) -> Statement {
    Statement::one("INSERT INTO hub_facts (name, value) VALUES ($1, $2)", params![name, "x"])
}

fn cursor(seq: i64) -> CursorMove {
    CursorMove { consumer: "dispatch".to_owned(), shard: 0, seq }
}

#[test]
fn everything_in_a_commit_becomes_true_together() {
    for_each_store(async |test| {
        let commit = Commit {
            seen: Some(seen("k", "inb_1")),
            statements: vec![fact("a"), fact("b")],
            events: vec![new_event("test.made", "a", 0), new_event("test.made", "b", 0)],
            cursors: vec![cursor(7)],
            ..Commit::default()
        };
        let places = test.store.commit(commit).await.unwrap();
        assert_eq!(places.appended().len(), 2);
        assert_eq!(count(&test.store, "hub_facts").await, 2);
        assert_eq!(consumer::cursor_get(&test.store, "dispatch", 0).await.unwrap(), 7);
        let back = Commit { cursors: vec![cursor(3)], ..Commit::default() };
        test.store.commit(back).await.unwrap();
        let cursors = consumer::cursor_list(&test.store).await.unwrap();
        assert_eq!(cursors.iter().map(|row| row.seq).collect::<Vec<_>>(), [3]);
        assert_eq!(consumer::cursor_get(&test.store, "flow", 0).await.unwrap(), 0);
    });
}

#[test]
fn a_failed_commit_leaves_nothing() {
    for_each_store(async |test| {
        let whole = |statements: Vec<Statement>| Commit {
            seen: Some(seen("k", "inb_1")),
            statements,
            events: vec![new_event("test.made", "a", 0)],
            cursors: vec![cursor(7)],
            ..Commit::default()
        };
        let absent = Statement::one("DELETE FROM hub_facts WHERE name = $1", params!["absent"]);
        let error = test.store.commit(whole(vec![fact("a"), absent])).await.unwrap_err();
        assert!(matches!(error, CommitError::Guard { statement: 1, expected: 1, touched: 0 }), "{error:?}");
        let error = test.store.commit(whole(vec![fact("a"), fact("a")])).await.unwrap_err();
        assert!(matches!(error, CommitError::Constraint(_)) && !error.is_transient(), "{error:?}");
        let nonsense = Statement::new("INSERT INTO no_such_table VALUES (1)", vec![]);
        let error = test.store.commit(whole(vec![fact("a"), nonsense])).await.unwrap_err();
        assert!(matches!(error, CommitError::Constraint(_)), "{error:?}");
        for table in ["hub_facts", "inbound_seen", "events", "consumer_cursors", "tenant_usage"] {
            assert_eq!(count(&test.store, table).await, 0, "{table}");
        }
        assert_gapless(&test.store).await;
        test.store.commit(whole(vec![fact("a")])).await.unwrap();
    });
}

#[test]
fn neighbours_of_a_failed_commit_stay() {
    for_each_store(async |test| {
        let mut tasks = Vec::new();
        for index in 0..60 {
            let store = test.store.clone();
            let mut commit = Commit::append(vec![new_event("test.made", &format!("s{index}"), index)]);
            // Every third one breaks a guard, every other third breaks a key.
            match index % 3 {
                0 => commit.statements = vec![fact(&format!("f{index}"))],
                1 => commit.statements = vec![fact("same"), fact("same")],
                _ => {}
            }
            tasks.push(tokio::spawn(async move { (index, store.commit(commit).await.is_ok()) }));
        }
        for task in tasks {
            let (index, is_ok) = task.await.unwrap();
            assert_eq!(is_ok, index % 3 != 1);
        }
        assert_eq!(read_all(&test.store).await.len(), 40);
        assert_eq!(count(&test.store, "hub_facts").await, 20);
        assert_gapless(&test.store).await;
    });
}

#[test]
fn a_stale_fence_is_refused() {
    for_each_store(async |test| {
        let now = Timestamp::from_secs(100);
        let row = lease::LeaseRow { shard: 0, owner: "n1".to_owned(), epoch: 1, expires_at: now };
        test.store.commit(Commit::statements(vec![lease::lease_create(&row)])).await.unwrap();
        let fenced = |fence: Fence| Commit {
            fence: Some(fence),
            cursors: vec![cursor(1)],
            ..Commit::append(vec![new_event("test.made", "a", 0)])
        };
        test.store.commit(fenced(row.fence())).await.unwrap();
        let taken = lease::LeaseRow { owner: "n2".to_owned(), epoch: 2, ..row.clone() };
        test.store.commit(Commit::statements(vec![lease::lease_take(&taken, 1)])).await.unwrap();
        let error = test.store.commit(fenced(row.fence())).await.unwrap_err();
        assert!(matches!(error, CommitError::Fenced { shard: 0 }), "{error:?}");
        test.store.commit(fenced(taken.fence())).await.unwrap();
        assert_eq!(read_all(&test.store).await.len(), 2);
    });
}

#[test]
fn a_claim_among_many_is_won_once() {
    for_each_store(async |test| {
        let mut tasks = Vec::new();
        for index in 0..20 {
            let store = test.store.clone();
            let claim =
                idempotency::idempotency_claim(&tenant(), "key", "print", Timestamp::from_secs(index));
            tasks.push(tokio::spawn(
                async move { store.commit(Commit::statements(vec![claim])).await.is_ok() },
            ));
        }
        let mut n_won = 0;
        for task in tasks {
            n_won += usize::from(task.await.unwrap());
        }
        assert_eq!(n_won, 1);
    });
}

#[test]
fn commits_that_lock_crosswise_all_succeed() {
    for_each_store(async |test| {
        test.store.commit(Commit::statements(vec![fact("a"), fact("b")])).await.unwrap();
        let set = |name: &str| {
            Statement::one("UPDATE hub_facts SET value = $1 WHERE name = $2", params!["y", name])
        };
        let mut tasks = Vec::new();
        for index in 0..12 {
            let store = test.store.clone();
            let statements = if index % 2 == 0 { vec![set("a"), set("b")] } else { vec![set("b"), set("a")] };
            tasks.push(tokio::spawn(async move { store.commit(Commit::statements(statements)).await }));
        }
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    });
}

#[test]
fn every_kind_of_value_goes_in_and_out() {
    for_each_store(async |test| {
        let id = DeliveryId::fresh();
        let insert = Statement::one(
            "INSERT INTO idempotency_keys (tenant, key, fingerprint, created_at, status, headers, body) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            params!["t", id.as_str(), "ü", i64::MIN, Option::<i64>::None, Option::<&str>::None, {
                bytes::Bytes::from_static(&[0, 255])
            }],
        );
        test.store.commit(Commit::statements(vec![insert])).await.unwrap();
        let sql = "SELECT fingerprint, created_at, status, headers, body, count(*) OVER (), length(fingerprint), \
                   coalesce(status, 1) FROM idempotency_keys WHERE key = $1";
        let mut row = test.store.query(sql, params![id.as_str()]).await.unwrap().remove(0);
        assert_eq!(row.text().unwrap(), "ü");
        assert_eq!(row.int().unwrap(), i64::MIN);
        assert_eq!(row.opt_int().unwrap(), None);
        assert_eq!(row.opt_text().unwrap(), None);
        assert_eq!(row.opt_blob().unwrap().unwrap()[..], [0, 255]);
        assert_eq!((row.int().unwrap(), row.int().unwrap(), row.int().unwrap()), (1, 1, 1));
        assert!(row.int().is_err());
        let error = test.store.query("SELECT nonsense", vec![]).await;
        assert!(error.is_err());
        append(&test.store, new_event("test.made", "still works", 0)).await;
    });
}

#[test]
fn a_closed_store_refuses_commits() {
    for_each_store(async |test| {
        let waiting: Vec<_> = (0..30)
            .map(|index| {
                let store = test.store.clone();
                let commit = Commit::append(vec![new_event("test.made", &format!("s{index}"), 0)]);
                tokio::spawn(async move { store.commit(commit).await.is_ok() })
            })
            .collect();
        test.store.close().await;
        test.store.close().await;
        let mut n_applied = 0;
        for task in waiting {
            n_applied += usize::from(task.await.unwrap());
        }
        let late = test.store.commit(Commit::append(vec![new_event("test.made", "late", 0)])).await;
        assert!(matches!(late, Err(CommitError::Closed)), "{late:?}");
        test.reopen().await;
        assert_eq!(read_all(&test.store).await.len(), n_applied);
    });
}
