//! Lines: who is first, who is woken, and what joining and leaving does.

use trunkline_model::{EndpointId, Timestamp};
use trunkline_store::tables::delivery::{self, DeliveryRow, DeliveryState};
use trunkline_store::tables::line::{self, IN_LINE};
use trunkline_store::{Commit, CommitError, Statement, Store};
use trunkline_testkit::event::{new_event, tenant};
use trunkline_testkit::{TestStore, for_each_store};

use crate::append;
use crate::tables::pending;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn waiting(endpoint: &EndpointId, key: &str, seq: i64) -> DeliveryRow {
    DeliveryRow { order_key: Some(key.to_owned()), ..pending(endpoint, seq) }
}

async fn store(store: &Store, rows: &[DeliveryRow]) {
    store.commit(Commit::deliveries(rows.to_vec())).await.unwrap();
}

async fn run(store: &Store, statements: Vec<Statement>) {
    store.commit(Commit::statements(statements)).await.unwrap();
}

async fn get(store: &Store, row: &DeliveryRow) -> DeliveryRow {
    delivery::delivery_get(store, &tenant(), row.id.as_str()).await.unwrap().unwrap()
}

#[test]
fn a_line_is_in_the_order_of_events() {
    for_each_store(async |test| {
        let endpoint = EndpointId::fresh();
        let rows = [
            waiting(&endpoint, "a", 7),
            waiting(&endpoint, "a", 3),
            waiting(&endpoint, "b", 1),
            waiting(&endpoint, "a", 3),
            pending(&endpoint, 2),
            waiting(&EndpointId::fresh(), "a", 1),
        ];
        store(&test.store, &rows).await;
        let found = line::line_list(&test.store, &endpoint, "a", 9).await.unwrap();
        assert_eq!(found, [rows[1].clone(), rows[3].clone(), rows[0].clone()]);
        assert_eq!(line::line_list(&test.store, &endpoint, "a", 1).await.unwrap().len(), 1);
        let head = async |key| line::line_head(&test.store, &endpoint, key).await.unwrap();
        assert_eq!(head("a").await.as_ref(), Some(&rows[1].id));
        assert_eq!(head("c").await, None);
        assert!(line::line_exists(&test.store, &endpoint).await.unwrap());
        assert!(!line::line_exists(&test.store, &EndpointId::fresh()).await.unwrap());
    });
}

#[test]
fn ending_the_head_wakes_the_next() {
    for_each_store(async |test| {
        let endpoint = EndpointId::fresh();
        let rows: Vec<_> = (1..=3).map(|seq| waiting(&endpoint, "a", seq)).collect();
        store(&test.store, &rows).await;
        // The head cannot be parked.
        run(&test.store, rows.iter().map(|row| line::line_park(row, at(9000))).collect()).await;
        assert_eq!(get(&test.store, &rows[0]).await, rows[0]);
        for row in &rows[1..] {
            let found = get(&test.store, row).await;
            assert_eq!((found.next_attempt_at, found.reason.as_deref()), (Some(at(9000)), Some(IN_LINE)));
        }
        let due = delivery::delivery_list_due(&test.store, 0, &endpoint, at(100), 9).await.unwrap();
        assert_eq!(due, rows[..1]);
        // Nothing to wake while the head is due by itself.
        let wake = |secs| line::line_wake(&tenant(), &endpoint, "a", at(secs));
        run(&test.store, vec![wake(50)]).await;
        assert_eq!(get(&test.store, &rows[0]).await, rows[0]);
        let skip = delivery::delivery_skip(&tenant(), &rows[0].id, "by hand", at(60));
        run(&test.store, vec![skip.clone(), wake(60)]).await;
        let next = get(&test.store, &rows[1]).await;
        assert_eq!((next.next_attempt_at, next.reason), (Some(at(60)), None));
        assert_eq!(get(&test.store, &rows[2]).await.next_attempt_at, Some(at(9000)));
        let skipped = get(&test.store, &rows[0]).await;
        assert_eq!((skipped.state, skipped.reason.as_deref()), (DeliveryState::Cancelled, Some("by hand")));
        let again = test.store.commit(Commit::statements(vec![skip])).await;
        assert!(matches!(again, Err(CommitError::Guard { .. })));
    });
}

#[test]
fn joining_takes_the_keys_of_events_and_leaving_frees_what_was_parked() {
    for_each_store(async |test| {
        let endpoint = EndpointId::fresh();
        let mut event = new_event("a.b", "subject", 1);
        event.event.partitionkey = Some("key".to_owned());
        let keyed = append(&test.store, event).await;
        let about = append(&test.store, new_event("a.b", "subject", 2)).await;
        let row = |shard, seq| DeliveryRow { shard, ..pending(&endpoint, seq) };
        let rows = [row(keyed.shard, keyed.seq), row(about.shard, about.seq), row(keyed.shard, 999)];
        let mut done = row(keyed.shard, keyed.seq);
        (done.state, done.next_attempt_at) = (DeliveryState::Succeeded, None);
        store(&test.store, &rows).await;
        store(&test.store, std::slice::from_ref(&done)).await;
        run(&test.store, vec![line::line_join_one(&tenant(), &rows[0].id)]).await;
        let key = async |row| get(&test.store, row).await.order_key;
        assert_eq!(key(&rows[0]).await.as_deref(), Some("key"));
        assert_eq!(key(&rows[2]).await, None);
        let shards: std::collections::BTreeSet<_> = rows.iter().map(|row| row.shard).collect();
        run(&test.store, shards.iter().map(|shard| line::line_join(*shard, &endpoint)).collect()).await;
        let keys = [key(&rows[0]).await, key(&rows[1]).await, key(&rows[2]).await, key(&done).await];
        assert_eq!(keys, [Some("key".into()), Some("subject".into()), Some(String::new()), None]);

        let behind = DeliveryRow { shard: keyed.shard, ..waiting(&endpoint, "key", 1000) };
        store(&test.store, std::slice::from_ref(&behind)).await;
        run(&test.store, vec![line::line_park(&behind, at(9000))]).await;
        let leave = shards.iter().flat_map(|shard| line::line_leave(*shard, &endpoint, at(70)));
        run(&test.store, leave.collect()).await;
        let freed = get(&test.store, &behind).await;
        assert_eq!((freed.next_attempt_at, freed.reason, freed.order_key), (Some(at(70)), None, None));
        assert_eq!(get(&test.store, &rows[0]).await, rows[0]);
        assert!(!line::line_exists(&test.store, &endpoint).await.unwrap());
    });
}

/// Fills the table with pending deliveries of one endpoint, all due.
async fn fill(store: &Store, endpoint: &EndpointId, n: i64, key: impl Fn(i64) -> String) {
    for from in (0..n).step_by(10_000) {
        let rows = (from..from + 10_000).map(|seq| waiting(endpoint, &key(seq), seq)).collect();
        store.commit(Commit::deliveries(rows)).await.unwrap();
    }
}

/// What asks for the front of a line, with its values in place.
fn question(endpoint: &EndpointId, key: &str) -> String {
    format!(
        "SELECT id FROM deliveries WHERE endpoint_id = '{endpoint}' AND order_key = '{key}' AND state = 'pending' \
         ORDER BY seq, id LIMIT 1"
    )
}

/// One endpoint with a line of 100,000, one with 100,000 lines; gives questions for both.
async fn large(store: &Store) -> [String; 2] {
    let [deep, wide] = [(); 2].map(|()| EndpointId::fresh());
    fill(store, &deep, 100_000, |_| "a".to_owned()).await;
    fill(store, &wide, 100_000, |seq| format!("key-{seq}")).await;
    for (endpoint, key, head) in [(&deep, "a", 0), (&wide, "key-77777", 77_777)] {
        let found = line::line_list(store, endpoint, key, 1).await.unwrap();
        assert_eq!(found[0].seq, head);
        assert_eq!(line::line_head(store, endpoint, key).await.unwrap().as_ref(), Some(&found[0].id));
    }
    [question(&deep, "a"), question(&wide, "key-77777")]
}

#[tokio::test]
async fn the_head_of_a_long_line_and_of_many_is_one_step_on_sqlite() {
    let test = TestStore::sqlite().await;
    let questions = large(&test.store).await;
    let file = rusqlite::Connection::open(test.folder().unwrap().join("trunkline.db")).unwrap();
    for sql in questions {
        let mut statement = file.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let plan: Vec<String> =
            statement.query_map((), |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert_eq!(plan.len(), 1, "{plan:?}");
        assert!(plan[0].contains("INDEX deliveries_in_line (endpoint_id=? AND order_key=?)"), "{plan:?}");
    }
    test.store.close().await;
}

#[tokio::test]
async fn the_head_of_a_long_line_and_of_many_is_one_step_on_postgres() {
    let Some(test) = TestStore::postgres().await else { return };
    let questions = large(&test.store).await;
    let (client, driver) =
        tokio_postgres::connect(&test.database().unwrap().url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(driver);
    client.batch_execute("ANALYZE deliveries").await.unwrap();
    for sql in questions {
        let rows = client.query(&format!("EXPLAIN (ANALYZE, COSTS OFF) {sql}"), &[]).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let scan = plan.iter().find(|line| line.contains("using deliveries_in_line")).expect("that index");
        assert!(scan.contains("rows=1"), "{plan:?}");
        assert!(!plan.iter().any(|line| line.contains("Sort") || line.contains("Filter")), "{plan:?}");
    }
    test.store.close().await;
}
