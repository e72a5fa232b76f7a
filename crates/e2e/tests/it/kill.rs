//! Nothing acknowledged is lost: the hub is killed at random points under load, again and again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use trunkline_model::Tenant;
use trunkline_store::tables::{delivery, event};
use trunkline_store::{Store, StoreOptions, params};

use crate::hub::Site;
use crate::load::Ledger;
use crate::receiver::Receiver;

const N_CONNECTIONS: usize = 64;

#[test]
fn killed_thirty_times_on_sqlite() {
    run(&Site::sqlite(), 30);
}

#[test]
fn killed_ten_times_on_postgres() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some(database) = runtime.block_on(trunkline_testkit::TestDatabase::create()) else { return };
    run(&Site::on(&database.url()), 10);
}

/// A wait that differs from round to round without a random number: 20 to 420 ms.
fn pause(round: u64) -> Duration {
    Duration::from_millis(20 + round.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 400)
}

fn run(site: &Site, n_rounds: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let receiver = Receiver::start().await;
        let ledger = Ledger::default();
        let mut slowest_start = Duration::ZERO;
        for round in 0..n_rounds {
            let hub = site.start();
            slowest_start = slowest_start.max(hub.started_in);
            if round == 0 {
                let (_, secret) = hub.create_endpoint(&receiver.url).await;
                receiver.expect_secret(&secret);
            }
            ledger.retry_unanswered(&hub).await;
            let before = ledger.n_acknowledged();
            let senders = ledger.spawn(&hub, N_CONNECTIONS);
            while ledger.n_acknowledged() == before {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(pause(round)).await;
            hub.kill();
            for sender in senders {
                sender.await.unwrap();
            }
        }
        let hub = site.start();
        ledger.retry_unanswered(&hub).await;
        settle(site, &ledger, &receiver).await;
        let (code, _) = hub.terminate();
        assert_eq!(code, Some(0));
        check(site, &ledger, &receiver).await;
        println!(
            "{n_rounds} kills: {} webhooks acknowledged, {} deliveries of {} events, slowest start {slowest_start:?}",
            ledger.n_acknowledged(),
            receiver.received().values().map(|received| received.count).sum::<usize>(),
            receiver.received().len(),
        );
    });
}

/// Waits until the receiver has as many different events as were acknowledged.
async fn settle(site: &Site, ledger: &Ledger, receiver: &Receiver) {
    let wait = async {
        while receiver.received().len() < ledger.n_acknowledged() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let settled = tokio::time::timeout(Duration::from_mins(2), wait).await;
    assert!(
        settled.is_ok(),
        "{}: {} of {} acknowledged webhooks were delivered in two minutes",
        site.store_url(),
        receiver.received().len(),
        ledger.n_acknowledged()
    );
}

async fn check(site: &Site, ledger: &Ledger, receiver: &Receiver) {
    let store = Store::open(StoreOptions::new(site.store_url())).await.unwrap();
    let mut by_message: HashMap<String, Vec<String>> = HashMap::new();
    for shard in 0..store.n_shards() {
        let mut after = 0;
        loop {
            let batch = event::event_read(&store, shard, after, 1_000).await.unwrap();
            let Some(last) = batch.last() else { break };
            for (record, expected) in batch.iter().zip(after + 1..) {
                assert_eq!(record.seq, expected, "shard {shard} has no gap");
                let data: serde_json::Value =
                    serde_json::from_str(record.event.data.as_json().unwrap()).unwrap();
                let message = data["message"].as_str().unwrap().to_owned();
                by_message.entry(message).or_default().push(record.event.id.as_str().to_owned());
            }
            after = last.seq;
        }
    }
    let received = receiver.received();
    let acknowledged = ledger.acknowledged.lock().unwrap().clone();
    assert!(!acknowledged.is_empty());
    for (message, request) in &acknowledged {
        let events = by_message.get(message).map_or(&[][..], Vec::as_slice);
        assert_eq!(events.len(), 1, "{message} is in the journal exactly once");
        assert_eq!(
            events[0].replace("evt_", "inb_"),
            *request,
            "{message} was acknowledged under its own record"
        );
        assert!(received.contains_key(&events[0]), "{message} was delivered under the event's id");
    }
    let known: HashSet<&String> = by_message.values().flatten().collect();
    assert!(received.keys().all(|id| known.contains(id)), "nothing is delivered that is not in the journal");
    // The reconciliation query: nothing pending, one delivery row an event.
    let far_future = trunkline_model::Timestamp::from_micros(i64::MAX);
    assert_eq!(delivery::delivery_count_stuck(&store, far_future).await.unwrap(), 0, "nothing is stuck");
    let sql = "SELECT count(*), count(DISTINCT event_id) FROM deliveries WHERE tenant = $1";
    let mut rows = store.query(sql, params![Tenant::DEFAULT]).await.unwrap();
    let (n_rows, n_events) = (rows[0].int().unwrap(), rows[0].int().unwrap());
    assert_eq!(n_rows, n_events, "each event was planned once");
    assert_eq!(n_rows, i64::try_from(by_message.len()).unwrap());
    store.close().await;
}
