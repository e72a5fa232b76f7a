//! Holds what senders were told, what the store has and what receivers got against each other.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use trunkline_model::Timestamp;
use trunkline_store::tables::{delivery, event};
use trunkline_store::{Store, StoreOptions, params};

use crate::hub::{Hub, Site};
use crate::load::Ledger;
use crate::receiver::Receiver;

/// Waits until the receiver has as many different events as were acknowledged, and the hub has recorded that none is left:
/// what a hub that was killed had delivered is delivered once more.
pub(crate) async fn settle(site: &Site, hub: &Hub, ledger: &Ledger, receiver: &Receiver) {
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
    hub.wait_for("/api/v1/deliveries?state=pending", |page| page["items"] == serde_json::json!([])).await;
}

/// Checks, while no hub runs, that each acknowledged webhook is in the journal once, and that each event of the load was
/// planned once and was delivered.
pub(crate) async fn check(site: &Site, ledger: &Ledger, receiver: &Receiver) {
    let store = Store::open(StoreOptions::new(site.store_url())).await.unwrap();
    let mut by_message: HashMap<String, Vec<String>> = HashMap::new();
    for shard in 0..store.n_shards() {
        let mut after = 0;
        loop {
            let batch = event::event_read(&store, shard, after, 1_000).await.unwrap();
            let Some(last) = batch.last() else { break };
            for (record, expected) in batch.iter().zip(after + 1..) {
                assert_eq!(record.seq, expected, "shard {shard} has no gap");
                if !record.event.event_type.as_str().starts_with("load.") {
                    continue;
                }
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
    let far_future = Timestamp::from_micros(i64::MAX);
    assert_eq!(delivery::delivery_count_stuck(&store, far_future).await.unwrap(), 0, "nothing is stuck");
    let sql = "SELECT count(*), count(DISTINCT event_id) FROM deliveries WHERE tenant = $1";
    let mut rows = store.query(sql, params![trunkline_model::Tenant::DEFAULT]).await.unwrap();
    let (n_rows, n_events) = (rows[0].int().unwrap(), rows[0].int().unwrap());
    assert_eq!(n_rows, n_events, "each event was planned once");
    assert_eq!(n_rows, i64::try_from(by_message.len()).unwrap());
    store.close().await;
}
