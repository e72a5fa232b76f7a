//! A hub that is asked to stop finishes what it has and ends with 0 within ten seconds, under load.

use std::time::Duration;

use http::Method;

use crate::hub::Site;
use crate::load::Ledger;
use crate::receiver::Receiver;

#[test]
fn drains_under_load_and_starts_again() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let site = Site::sqlite();
        let receiver = Receiver::start().await;
        let hub = site.start();
        let (_, secret) = hub.create_endpoint(&receiver.url).await;
        receiver.expect_secret(&secret);
        assert!(hub.resident_bytes() > 0);
        let ledger = Ledger::default();
        let senders = ledger.spawn(&hub, 16);
        while ledger.n_acknowledged() < 200 {
            tokio::task::yield_now().await;
        }
        let (code, took) = hub.terminate();
        assert_eq!(code, Some(0));
        assert!(took < Duration::from_secs(10), "stopping took {took:?}");
        for sender in senders {
            sender.await.unwrap();
        }

        let hub = site.start();
        let wait = async {
            while receiver.received().len() < ledger.n_acknowledged() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(30), wait).await.is_ok());
        let answer = hub.call(Method::GET, "/readyz", None).await;
        assert_eq!(answer.status, 200);
        assert_eq!(hub.terminate().0, Some(0));
    });
}
