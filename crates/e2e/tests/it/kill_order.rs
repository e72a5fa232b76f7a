//! Order holds through everything: an ordered endpoint whose receiver fails a third of its attempts takes the events of each
//! key in the order in which they were accepted, however often the hub is killed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use parking_lot::RwLock;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use trunkline_connect::{EgressPolicy, HttpClient, OutboundRequest, Target};
use trunkline_testkit::TestDatabase;

use crate::hub::{ADMIN_TOKEN, Site, client};
use crate::kill::{pause, rounds};
use crate::receiver::{Manners, Receiver};

const N_KEYS: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_keep_their_order_on_sqlite() {
    run(&Site::sqlite(), rounds(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_keep_their_order_on_postgres() {
    let Some(database) = TestDatabase::create().await else { return };
    run(&Site::on(&database.url()), rounds(5)).await;
}

/// One sender for each key: the next event is emitted when the one before was acknowledged, by whichever hub answers.
struct Senders {
    url: Arc<RwLock<String>>,
    is_over: Arc<AtomicBool>,
    n_acknowledged: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<usize>>,
}

impl Senders {
    fn start(url: &str) -> Self {
        let (url, is_over) = (Arc::new(RwLock::new(url.to_owned())), Arc::new(AtomicBool::new(false)));
        let n_acknowledged = Arc::new(AtomicUsize::new(0));
        let tasks = (0..N_KEYS).map(|key| {
            let (url, is_over, n) = (Arc::clone(&url), Arc::clone(&is_over), Arc::clone(&n_acknowledged));
            tokio::spawn(emit(key, url, is_over, n))
        });
        Self { tasks: tasks.collect(), url, is_over, n_acknowledged }
    }

    /// Waits until this many more events were acknowledged.
    async fn acknowledge_more(&self, n: usize) {
        let wanted = self.n_acknowledged.load(Ordering::Relaxed) + n;
        while self.n_acknowledged.load(Ordering::Relaxed) < wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends the load; gives how many events of each key were acknowledged.
    async fn end(self) -> Vec<usize> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut counts = Vec::new();
        for task in self.tasks {
            counts.push(task.await.unwrap());
        }
        counts
    }
}

/// Emits events of one key until the load is over. Without an answer the same event is emitted again, under its id.
async fn emit(
    key: usize,
    url: Arc<RwLock<String>>,
    is_over: Arc<AtomicBool>,
    n_acknowledged: Arc<AtomicUsize>,
) -> usize {
    let (client, mut n) = (client(), 0);
    while !is_over.load(Ordering::Relaxed) {
        let event = json!({
            "specversion": "1.0", "id": format!("{key}-{n}"), "source": "/e2e", "type": "load.sent",
            "subject": format!("key-{key}"), "data": { "key": key, "n": n },
        });
        loop {
            let url = url.read().clone();
            if post(&client, &url, &event).await.is_some_and(|status| (200..300).contains(&status)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        n += 1;
        n_acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    n
}

async fn post(client: &HttpClient, url: &str, event: &Value) -> Option<u16> {
    let policy = EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {ADMIN_TOKEN}")).unwrap());
    headers.insert("content-type", HeaderValue::from_static("application/cloudevents+json"));
    let request = OutboundRequest {
        method: Method::POST,
        target: Target::parse(&format!("{url}/api/v1/events"), &policy).unwrap(),
        headers,
        body: serde_json::to_vec(event).unwrap().into(),
        timeout: Duration::from_secs(10),
        response_limit_bytes: 64 << 10,
    };
    client.send(request).await.ok().map(|answer| answer.status.as_u16())
}

async fn run(site: &Site, n_rounds: u64) {
    let receiver = Receiver::start_with(Manners::Moody).await;
    let mut hub = site.start();
    let body = json!({
        "url": receiver.url, "events": ["load.**"], "ordered": true, "max_attempts": 20, "backoff_ms": [50],
        "in_flight": 16, "timeout_ms": 500,
    });
    let made = hub.post("/api/v1/webhooks", body, 201).await;
    receiver.expect_secret(made["secret"].as_str().unwrap());
    let senders = Senders::start(hub.url());
    for round in 0..n_rounds {
        senders.acknowledge_more(3 * N_KEYS).await;
        tokio::time::sleep(pause(round)).await;
        hub.kill();
        hub = site.start();
        hub.url().clone_into(&mut senders.url.write());
    }
    let counts = senders.end().await;
    receiver.wait_for(counts.iter().sum()).await;
    hub.wait_for("/api/v1/deliveries?state=pending", |page| page["items"] == json!([])).await;
    assert_eq!(hub.terminate().0, Some(0));

    let mut next: HashMap<u64, u64> = HashMap::new();
    for body in receiver.order() {
        let event: Value = serde_json::from_slice(&body).unwrap();
        let (key, n) = (event["data"]["key"].as_u64().unwrap(), event["data"]["n"].as_u64().unwrap());
        let expected = next.entry(key).or_default();
        assert_eq!(n, *expected, "key {key} out of order");
        *expected += 1;
    }
    println!("{n_rounds} kills: {} events of {N_KEYS} keys in order", counts.iter().sum::<usize>());
}
