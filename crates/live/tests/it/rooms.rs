//! Who sees what.

use serde_json::json;
use trunkline_testkit::for_each_store;

use crate::client::Client;
use crate::harness::Hub;

#[test]
fn events_come_to_the_rooms_they_concern_once() {
    for_each_store(async |test| {
        let hub = Hub::start(&test.store).await;
        let mut all = Client::with_token(hub.addr, "admin").await;
        let mut some = Client::with_token(hub.addr, "driver").await;
        let joined = all.subscribe(&["tenant:acme", "clinic:1", "role:dispatcher"]).await;
        assert_eq!(joined["rooms"], json!(["tenant:acme", "clinic:1", "role:dispatcher"]));
        some.subscribe(&["user:dan", "clinic:1"]).await;
        hub.emit("case.ready", "s", &json!({ "clinicId": 2, "userId": "eve" })).await;
        let place = hub.emit("driver.location", "s", &json!({ "clinic_id": 1, "user_id": "dan" })).await;

        let first = all.next().await;
        assert_eq!((&first["room"], &first["event"]["type"]), (&json!("tenant:acme"), &json!("case.ready")));
        assert_eq!(first.get("rooms"), None);
        let second = all.next().await;
        assert_eq!(second["rooms"], json!(["tenant:acme", "clinic:1", "role:dispatcher"]));
        assert_eq!((&second["seq"], &second["shard"]), (&json!(place.seq), &json!(place.shard)));
        assert_eq!(second["event"]["data"], json!({ "clinic_id": 1, "user_id": "dan" }));
        let own = some.next().await;
        assert_eq!((&own["seq"], &own["rooms"]), (&json!(place.seq), &json!(["clinic:1", "user:dan"])));

        some.send(json!({ "type": "unsubscribe", "id": 3, "rooms": ["clinic:1", "clinic:9"] })).await;
        assert_eq!(some.next().await, json!({ "type": "unsubscribed", "id": 3, "rooms": ["clinic:1"] }));
        hub.emit("case.ready", "s", &json!({ "clinicId": 1 })).await;
        assert_eq!(all.next().await["rooms"], json!(["tenant:acme", "clinic:1"]));
        some.expect_nothing().await;
        assert!(hub.figures().contains("trunkline_live_subscriptions 4"), "{}", hub.figures());
        hub.stop().await;
    });
}

#[test]
fn nobody_sees_another_tenants_or_persons_events() {
    for_each_store(async |test| {
        let hub = Hub::start(&test.store).await;
        let mut stranger = Client::with_token(hub.addr, "other-admin").await;
        let mut driver = Client::with_token(hub.addr, "driver").await;
        let mut reader = Client::with_token(hub.addr, "reader").await;
        let refused = stranger.subscribe(&["tenant:acme"]).await;
        assert_eq!(
            (&refused["code"], &refused["rooms"]),
            (&json!("auth.forbidden"), &json!(["tenant:acme"]))
        );
        // The same name is another room in another tenant.
        let joined = stranger.subscribe(&["tenant:other", "clinic:1", "user:dan", "role:dispatcher"]).await;
        assert_eq!(joined["type"], "subscribed");
        let foreign = ["tenant:acme", "user:eve", "clinic:2", "driver:8", "role:admin", "role:dispatcher"];
        let refused = driver.subscribe(&foreign).await;
        assert_eq!(refused["rooms"], json!(foreign));
        let refused = reader.subscribe(&["user:dan", "clinic:1", "tenant:acme"]).await;
        assert_eq!(refused["rooms"], json!(["user:dan", "clinic:1"]));
        assert_eq!(reader.next().await["rooms"], json!(["tenant:acme"]));
        let data = json!({ "clinicId": [1, 2], "userId": ["dan", "eve"], "driverId": 8 });
        hub.emit("driver.location", "s", &data).await;
        hub.emit_as("other", "driver.location", "s", &json!({})).await;
        assert_eq!(reader.next().await["event"]["tenant"], "acme");
        let seen = stranger.next().await;
        assert_eq!(
            (&seen["event"]["tenant"], &seen["rooms"]),
            (&json!("other"), &json!(["tenant:other", "role:dispatcher"]))
        );
        for client in [&mut stranger, &mut driver, &mut reader] {
            client.expect_nothing().await;
        }
        hub.stop().await;
    });
}

#[test]
fn rooms_of_a_connection_are_bounded() {
    for_each_store(async |test| {
        let hub = Hub::start_with(&test.store, |limits| limits.rooms = 3).await;
        let mut client = Client::with_token(hub.addr, "admin").await;
        assert_eq!(client.subscribe(&["a:1", "a:2", "a:3", "a:4"]).await["code"], "request.invalid");
        assert_eq!(client.subscribe(&["a:1", "a:2", "a:3"]).await["type"], "subscribed");
        assert_eq!(client.subscribe(&["a:3", "a:1"]).await["type"], "subscribed", "joined before");
        assert_eq!(client.subscribe(&["a:4"]).await["code"], "request.invalid");
        hub.stop().await;
    });
}
