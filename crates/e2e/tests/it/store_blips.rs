//! A database that goes away for a while: calls are refused with 503 meanwhile, the hub goes on by itself, nothing that was
//! acknowledged is lost, and the log stays readable.

use std::time::Duration;

use http::Method;
use tokio::time::Instant;
use trunkline_testkit::{Proxy, TestDatabase};

use crate::hub::{Hub, Site, client};
use crate::load::{Ledger, send};
use crate::receiver::Receiver;
use crate::reconciliation::{check, settle};

/// How long one trouble lasts.
const OUTAGE: Duration = Duration::from_secs(6);
/// What a hub may log about it, in lines. Its parts report on their own; none may do so for every call or shard.
const MOST_LINES: usize = 60;
const N_CONNECTIONS: usize = 8;

/// A database behind a proxy, or nothing where there is no server.
async fn database() -> Option<(TestDatabase, Proxy)> {
    let database = TestDatabase::create().await?;
    let proxy = Proxy::start(database.server()).await;
    Some((database, proxy))
}

/// A hub under load.
struct Loaded {
    hub: Hub,
    receiver: Receiver,
    ledger: Ledger,
    senders: Vec<tokio::task::JoinHandle<()>>,
}

impl Loaded {
    async fn start(site: &Site) -> Self {
        let (hub, receiver, ledger) = (site.start(), Receiver::start().await, Ledger::default());
        let (_, secret) = hub.create_endpoint(&receiver.url).await;
        receiver.expect_secret(&secret);
        let senders = ledger.spawn(&hub, N_CONNECTIONS);
        let loaded = Self { hub, receiver, ledger, senders };
        loaded.acknowledge_more(100).await;
        loaded
    }

    /// Waits until this many more webhooks were acknowledged.
    async fn acknowledge_more(&self, n: usize) {
        let (began, wanted) = (Instant::now(), self.ledger.n_acknowledged() + n);
        while self.ledger.n_acknowledged() < wanted {
            assert!(began.elapsed() < Duration::from_mins(1), "the hub does not take webhooks again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the load, and checks that nothing is missing and that the log can be read.
    async fn end(self, site: &Site) {
        for sender in &self.senders {
            sender.abort();
        }
        self.ledger.retry_unanswered(&self.hub).await;
        assert!(self.ledger.unanswered.lock().unwrap().is_empty(), "all that was refused is taken now");
        settle(site, &self.hub, &self.ledger, &self.receiver).await;
        let log = self.hub.log();
        let (n_refused, n_lines) = (self.ledger.refused.lock().unwrap().len(), log.len());
        assert!(n_lines <= MOST_LINES, "{n_lines} lines in the log:\n{}", log.join("\n"));
        assert_eq!(self.hub.terminate().0, Some(0));
        check(site, &self.ledger, &self.receiver).await;
        println!(
            "{} acknowledged, {n_refused} refused, {n_lines} lines logged",
            self.ledger.n_acknowledged()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_connections_are_made_again() {
    let Some(database) = TestDatabase::create().await else { return };
    let site = Site::on(&database.url());
    let loaded = Loaded::start(&site).await;
    for _ in 0..10 {
        database.disconnect_everybody().await;
        loaded.acknowledge_more(50).await;
    }
    loaded.end(&site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_database_is_waited_for() {
    let Some((database, mut proxy)) = database().await else { return };
    let site = Site::on(&database.url_through(proxy.port));
    let loaded = Loaded::start(&site).await;
    proxy.shut().await;
    let (until, client) = (Instant::now() + OUTAGE, client());
    let mut n_calls = 0;
    while Instant::now() < until {
        let message = format!("meanwhile-{n_calls}");
        let (status, _) = send(&client, loaded.hub.url(), &message).await.expect("the hub answers");
        assert_eq!(status, 503, "a webhook");
        for path in ["/api/v1/webhooks", "/readyz"] {
            let answer = loaded.hub.call(Method::GET, path, None).await;
            assert_eq!(answer.status, 503, "{path}: {:?}", answer.body);
            assert!(!answer.header("retry-after").is_empty() || path == "/readyz", "{path}");
        }
        assert_eq!(loaded.hub.call(Method::GET, "/healthz", None).await.status, 200, "the process is well");
        n_calls += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(n_calls > 10, "answers come at once: {n_calls} rounds");
    proxy.reopen().await;
    loaded.acknowledge_more(100).await;
    loaded.end(&site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_fall_silent_are_given_up() {
    let Some((database, proxy)) = database().await else { return };
    let site = Site::on(&database.url_through(proxy.port));
    let mut loaded = Loaded::start(&site).await;
    // What was open stays open and answers nothing, as behind a firewall that forgot it. New connections work.
    proxy.freeze();
    for sender in loaded.senders.drain(..) {
        sender.await.unwrap();
    }
    let (client, frozen_at) = (client(), Instant::now());
    while !matches!(send(&client, loaded.hub.url(), "afterwards").await, Some((202, _))) {
        assert!(frozen_at.elapsed() < Duration::from_mins(1), "the hub does not take webhooks again");
    }
    loaded.senders = loaded.ledger.spawn(&loaded.hub, N_CONNECTIONS);
    loaded.acknowledge_more(100).await;
    loaded.end(&site).await;
}
