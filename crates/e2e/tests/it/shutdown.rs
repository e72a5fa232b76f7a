//! A hub that is asked to stop finishes what it has and ends with 0 within ten seconds, under load; nothing is lost.

use std::time::Duration;

use http::Method;

use crate::hub::Site;
use crate::load::Ledger;
use crate::receiver::{Manners, Receiver};
use crate::reconciliation::{check, settle};
use crate::stores::on_each_store;

on_each_store![drains_under_load_and_starts_again];

async fn drains_under_load_and_starts_again(site: Site) {
    // Some of its attempts are about to be made again when the hub is asked.
    let receiver = Receiver::start_with(Manners::Moody).await;
    let ledger = Ledger::default();
    let mut hub = site.start();
    let (_, secret) = hub.create_endpoint(&receiver.url).await;
    receiver.expect_secret(&secret);
    assert!(hub.resident_bytes() > 0);
    for _ in 0..3 {
        ledger.retry_unanswered(&hub).await;
        let wanted = ledger.n_acknowledged() + 200;
        let senders = ledger.spawn(&hub, 16);
        while ledger.n_acknowledged() < wanted {
            tokio::task::yield_now().await;
        }
        let (code, took) = tokio::task::spawn_blocking(move || hub.terminate()).await.unwrap();
        assert_eq!(code, Some(0));
        assert!(took < Duration::from_secs(10), "stopping took {took:?}");
        for sender in senders {
            sender.await.unwrap();
        }
        hub = site.start();
    }
    ledger.retry_unanswered(&hub).await;
    settle(&site, &hub, &ledger, &receiver).await;
    assert_eq!(hub.call(Method::GET, "/readyz", None).await.status, 200);
    assert_eq!(hub.terminate().0, Some(0));
    check(&site, &ledger, &receiver).await;
}
