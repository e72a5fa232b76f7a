//! Events that clients send.

use serde_json::json;
use trunkline_testkit::for_each_store;

use crate::client::Client;
use crate::harness::Hub;

#[test]
fn a_driver_sends_positions_of_their_own() {
    for_each_store(async |test| {
        let hub = Hub::start(&test.store).await;
        let mut driver = Client::with_token(hub.addr, "driver").await;
        let mut dispatcher = Client::with_token(hub.addr, "admin").await;
        dispatcher.subscribe(&["role:dispatcher"]).await;
        let event =
            json!({ "type": "driver.location", "id": "fix-1", "data": { "driverId": 7, "lat": 1.5 } });
        driver.send(json!({ "type": "publish", "id": 4, "event": event })).await;
        let stored = driver.next().await;
        let seen = dispatcher.next().await;
        assert_eq!(
            (&stored["type"], &stored["id"], &stored["event_id"]),
            (&json!("published"), &json!(4), &json!("fix-1"))
        );
        assert_eq!((&stored["seq"], &stored["shard"]), (&seen["seq"], &seen["shard"]));
        assert_eq!(seen["event"]["data"]["lat"], 1.5);
        assert!(seen["event"]["source"].as_str().unwrap().starts_with("/live/tok_"), "{seen}");

        // The same again is the same event.
        driver.send(json!({ "type": "publish", "id": 5, "event": event })).await;
        assert_eq!(driver.next().await["seq"], stored["seq"]);
        dispatcher.expect_nothing().await;
        hub.stop().await;
    });
}

#[test]
fn nobody_sends_what_is_not_theirs() {
    for_each_store(async |test| {
        let hub = Hub::start(&test.store).await;
        let mut driver = Client::with_token(hub.addr, "driver").await;
        let mut reader = Client::with_token(hub.addr, "reader").await;
        let mut admin = Client::with_token(hub.addr, "admin").await;
        admin.subscribe(&["tenant:acme"]).await;
        let check = async |client: &mut Client, event: serde_json::Value, code: &str| {
            client.send(json!({ "type": "publish", "event": event })).await;
            let answer = client.next().await;
            assert_eq!(answer["code"], code, "{event} {answer}");
        };
        check(&mut driver, json!({ "type": "invoice.paid", "data": {} }), "auth.forbidden").await;
        for data in [
            json!({ "driverId": 8 }),
            json!({ "driverId": [7, 8] }),
            json!({ "driverId": { "id": 7 } }),
            json!({ "driverId": 7, "user_id": "eve" }),
            json!({ "driverId": 7, "clinic_id": "2" }),
        ] {
            check(&mut driver, json!({ "type": "driver.location", "data": data }), "auth.forbidden").await;
        }
        driver
            .send_text(
                r#"{"type":"publish","event":{"type":"driver.location","data":{"driverId":7,"driverId":8}}}"#,
            )
            .await;
        assert_eq!(driver.next().await["code"], "auth.forbidden");
        for (name, value) in
            [("source", "/x"), ("tenant", "other"), ("correlationid", "x"), ("datacontenttype", "text/plain")]
        {
            let event = json!({ "type": "driver.location", name: value });
            check(&mut driver, event, "request.invalid").await;
        }
        check(&mut reader, json!({ "type": "driver.location" }), "auth.forbidden").await;
        check(&mut admin, json!({ "type": "a.b", "tenant": "other" }), "request.invalid").await;
        check(&mut admin, json!({ "type": "refused.type" }), "event.too_large").await;
        check(&mut admin, json!({ "type": "Not A Type" }), "request.invalid").await;
        check(&mut admin, json!([1]), "request.invalid").await;
        admin.expect_nothing().await;
        hub.stop().await;
    });
}

#[test]
fn positions_are_taken_for_whom_it_may_be() {
    for_each_store(async |test| {
        let hub = Hub::start(&test.store).await;
        let mut driver = Client::with_token(hub.addr, "driver").await;
        let positions = json!([{ "lat": 1.5, "lon": 2.5 }, { "lat": 1.6, "lon": 2.5 }]);
        driver.send(json!({ "type": "positions", "id": 7, "driver_id": "7", "positions": positions })).await;
        let taken = driver.next().await;
        let items = json!([{ "status": "accepted" }, { "status": "accepted" }]);
        assert_eq!(taken, json!({ "type": "positions_taken", "id": 7, "items": items }));
        let one = json!({ "lat": 1.5, "lon": 2.5 });
        driver.send(json!({ "type": "positions", "driver_id": "8", "positions": one })).await;
        assert_eq!(driver.next().await["code"], "driver.not_found");
        for bad in [
            json!({ "type": "positions", "positions": one }),
            json!({ "type": "positions", "driver_id": "7" }),
        ] {
            driver.send(bad).await;
            assert_eq!(driver.next().await["code"], "request.invalid");
        }
        hub.stop().await;
    });
}
