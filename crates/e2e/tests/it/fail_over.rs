//! Two hubs on one PostgreSQL: each shard has one owner, and the survivor takes over within ten seconds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::Method;
use trunkline_store::tables::lease;
use trunkline_store::{Store, StoreOptions, params};

use crate::hub::Site;
use crate::load::Ledger;
use crate::receiver::Receiver;

#[test]
fn a_killed_hub_is_replaced_within_ten_seconds() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let Some(database) = runtime.block_on(trunkline_testkit::TestDatabase::create()) else { return };
    runtime.block_on(fail_over(&database.url()));
}

async fn owners(store: &Store) -> BTreeMap<String, usize> {
    let mut owners = BTreeMap::new();
    for row in lease::lease_list(store).await.unwrap() {
        *owners.entry(row.owner).or_default() += 1;
    }
    owners
}

/// Waits until `holds` is true of the lease table; gives how long that took.
async fn wait_for(store: &Store, what: &str, holds: impl Fn(&BTreeMap<String, usize>) -> bool) -> Duration {
    let began = Instant::now();
    loop {
        let owners = owners(store).await;
        if holds(&owners) {
            return began.elapsed();
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{what}: {owners:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn fail_over(url: &str) {
    let store = Store::open(StoreOptions::new(url)).await.unwrap();
    // Subject by subject, so that all shards see load.
    let site = Site::on(url);
    let receiver = Receiver::start().await;
    let first = site.start();
    let (_, secret) = first.create_endpoint(&receiver.url).await;
    receiver.expect_secret(&secret);
    let second = site.start();
    let shared =
        wait_for(&store, "both own half", |owners| owners.len() == 2 && owners.values().all(|n| *n == 32));
    println!("shared after {:?}", shared.await);

    let ledger = Ledger::default();
    let to_first = ledger.spawn(&first, 16);
    let to_second = ledger.spawn(&second, 16);
    while ledger.n_acknowledged() < 500 {
        tokio::task::yield_now().await;
    }
    let emitted = emit_everywhere(&first).await;
    first.kill();
    let killed = Instant::now();
    for sender in to_first {
        sender.await.unwrap();
    }
    wait_for(&store, "the survivor owns all", |owners| owners.values().any(|n| *n == 64)).await;
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(10), "take-over took {took:?}");

    ledger.retry_unanswered(&second).await;
    // The load on the survivor ends with it being asked to stop later; stop it now by hand.
    for sender in &to_second {
        sender.abort();
    }
    let wanted = ledger.n_acknowledged() + emitted;
    let delivered = async {
        while receiver.received().len() < wanted {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let delivered = tokio::time::timeout(Duration::from_mins(1), delivered).await;
    assert!(delivered.is_ok(), "{} of {wanted} events were delivered", receiver.received().len());
    let (code, _) = second.terminate();
    assert_eq!(code, Some(0));

    // No state twice: one delivery row for each event and endpoint.
    let sql = "SELECT count(*) FROM (SELECT shard, seq, endpoint_id FROM deliveries \
               GROUP BY shard, seq, endpoint_id HAVING count(*) > $1) AS twice";
    let mut rows = store.query(sql, params![1]).await.unwrap();
    assert_eq!(rows[0].int().unwrap(), 0, "no event was planned twice for one endpoint");
    println!("take-over in {took:?}; {wanted} events, none lost");
    store.close().await;
}

/// Emits events with many subjects through the API; gives how many.
async fn emit_everywhere(hub: &crate::hub::Hub) -> usize {
    for n in 0..128 {
        let event = serde_json::json!({
            "specversion": "1.0", "id": format!("emitted-{n}"), "source": "/e2e", "type": "load.emitted",
            "subject": format!("subject-{n}"), "data": {"message": format!("emitted-{n}")},
        });
        let answer = hub.call(Method::POST, "/api/v1/events", Some(event)).await;
        assert!(answer.status == 202 || answer.status == 200, "{} {:?}", answer.status, answer.body);
    }
    128
}
