//! A client that does not read costs the others nothing.

use serde_json::json;
use trunkline_testkit::for_each_store;

use crate::client::Client;
use crate::harness::Hub;

#[test]
fn a_slow_consumer_ends_and_the_others_go_on() {
    for_each_store(async |test| {
        let hub = Hub::start_with(&test.store, |limits| {
            limits.queue_events = 16;
            limits.queue_bytes = 64 * 1024;
        })
        .await;
        let mut slow = Client::with_token(hub.addr, "admin").await;
        let mut quick = Client::with_token(hub.addr, "reader").await;
        slow.subscribe(&["tenant:acme"]).await;
        quick.subscribe(&["tenant:acme"]).await;
        let filling = json!({ "text": "x".repeat(30_000) });
        let mut n_sent = 0;
        // More than the sockets on both sides hold; the quick one has seen each before the next is sent.
        while !hub.figures().contains("closed_total{reason=\"slow\"} 1") {
            let place = hub.emit("a.b", "s", &filling).await;
            assert_eq!(quick.next().await["seq"], place.seq);
            n_sent += 1;
            assert!(n_sent < 2_000, "{}", hub.figures());
        }
        assert_eq!(slow.close_code().await, 4409);
        let place = hub.emit("a.b", "s", &json!({})).await;
        assert_eq!(quick.next().await["seq"], place.seq);
        hub.stop().await;
    });
}
