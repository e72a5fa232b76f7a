//! A replay job outlives its hub: killed again and again, it comes to its end with every delivery made, and none twice.

use serde_json::json;
use trunkline_model::{Clock as _, SystemClock};
use trunkline_store::{Store, StoreOptions, params};
use trunkline_testkit::TestDatabase;

use crate::hub::{Hub, Site};
use crate::kill::{pause, rounds};
use crate::load::Ledger;
use crate::receiver::Receiver;

const N_EVENTS: usize = 800;
/// Deliveries a second: the job plans ten to twenty seconds ahead, and has more to do than that.
const RATE: usize = 35;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_resumes_on_sqlite() {
    run(&Site::sqlite(), rounds(8)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_resumes_on_postgres() {
    let Some(database) = TestDatabase::create().await else { return };
    run(&Site::on(&database.url()), rounds(5)).await;
}

/// Sends webhooks until there are enough, and waits until each was delivered once.
async fn fill(hub: &Hub, receiver: &Receiver) {
    let ledger = Ledger::default();
    let senders = ledger.spawn(hub, 16);
    while ledger.n_acknowledged() < N_EVENTS {
        tokio::task::yield_now().await;
    }
    for sender in senders {
        sender.abort();
    }
    receiver.wait_for(ledger.n_acknowledged()).await;
    hub.wait_for("/api/v1/deliveries?state=pending", |page| page["items"] == json!([])).await;
}

async fn run(site: &Site, n_rounds: u64) {
    let (since, receiver) = (SystemClock.now(), Receiver::start().await);
    let mut hub = site.start();
    let (endpoint, secret) = hub.create_endpoint(&receiver.url).await;
    receiver.expect_secret(&secret);
    fill(&hub, &receiver).await;
    let job = json!({
        "endpoint_id": endpoint, "since": since.to_rfc3339(), "states": ["succeeded"], "rate_per_s": RATE,
    });
    let estimate = json!({
        "endpoint_id": endpoint, "since": since.to_rfc3339(), "states": ["succeeded"], "dry_run": true,
    });
    let planned = hub.post("/api/v1/replays", estimate, 200).await["n_planned"].as_u64().unwrap();
    let id = hub.post("/api/v1/replays", job, 201).await["id"].as_str().unwrap().to_owned();
    for round in 0..n_rounds {
        // The first kills fall into the first step, the others between steps and deliveries.
        tokio::time::sleep(pause(round).mul_f64(if round < 3 { 0.2 } else { 2.0 })).await;
        hub.kill();
        hub = site.start();
    }
    let done = hub.wait_for(&format!("/api/v1/replays/{id}"), |job| job["state"] == "completed").await;
    assert_eq!(done["n_planned"], planned, "every delivery of the estimate is made");
    hub.wait_for("/api/v1/deliveries?state=pending", |page| page["items"] == json!([])).await;
    assert_eq!(hub.terminate().0, Some(0));

    let received = receiver.received();
    assert_eq!(received.len() as u64, planned);
    let n_missed = received.values().filter(|received| received.count < 2).count();
    assert_eq!(n_missed, 0, "{n_missed} events were not sent again");
    let store = Store::open(StoreOptions::new(site.store_url())).await.unwrap();
    let twice = "SELECT count(*) FROM (SELECT event_id FROM deliveries WHERE endpoint_id = $1 \
                 GROUP BY event_id HAVING count(*) <> 2) AS others";
    let mut rows = store.query(twice, params![endpoint.as_str()]).await.unwrap();
    assert_eq!(rows[0].int().unwrap(), 0, "each event has its first delivery and one more");
    store.close().await;
    println!("{n_rounds} kills during a replay of {planned} events");
}
