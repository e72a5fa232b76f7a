//! Nothing acknowledged is lost: the hub is killed at random points under load, again and again.

use std::time::Duration;

use crate::hub::Site;
use crate::load::Ledger;
use crate::receiver::{Manners, Receiver};
use crate::reconciliation::{check, settle};

const N_CONNECTIONS: usize = 64;

#[test]
fn killed_thirty_times_on_sqlite() {
    run(&Site::sqlite(), rounds(30), Manners::Good);
}

#[test]
fn killed_ten_times_on_postgres() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some(database) = runtime.block_on(trunkline_testkit::TestDatabase::create()) else { return };
    run(&Site::on(&database.url()), rounds(10), Manners::Good);
}

#[test]
fn killed_between_retries_on_sqlite() {
    run(&Site::sqlite(), rounds(12), Manners::Moody);
}

#[test]
fn killed_between_retries_on_postgres() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some(database) = runtime.block_on(trunkline_testkit::TestDatabase::create()) else { return };
    run(&Site::on(&database.url()), rounds(6), Manners::Moody);
}

/// How often a hub is killed: `n`, or what `TRUNKLINE_TEST_KILLS` says.
pub(crate) fn rounds(n: u64) -> u64 {
    std::env::var("TRUNKLINE_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(n)
}

/// A wait that differs from round to round without a random number: 20 to 420 ms.
pub(crate) fn pause(round: u64) -> Duration {
    Duration::from_millis(20 + round.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 400)
}

fn run(site: &Site, n_rounds: u64, manners: Manners) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let receiver = Receiver::start_with(manners).await;
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
        settle(site, &hub, &ledger, &receiver).await;
        let (code, _) = hub.terminate();
        assert_eq!(code, Some(0));
        check(site, &ledger, &receiver).await;
        println!(
            "{n_rounds} kills, receiver {manners:?}: {} webhooks acknowledged, {} deliveries of {} events, slowest start {slowest_start:?}",
            ledger.n_acknowledged(),
            receiver.received().values().map(|received| received.count).sum::<usize>(),
            receiver.received().len(),
        );
    });
}
