//! The event catalogue: a pack's types are there with schema and example, examples pass, other data is refused.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::{items, texts};
use crate::hub::{Hub, Site};
use crate::receiver::Receiver;
use crate::stores::on_each_store;

on_each_store![a_practice_finds_its_events, a_test_reaches_the_one_endpoint_it_is_for];

async fn catalogue(hub: &Hub) -> BTreeMap<String, Value> {
    let mut types = BTreeMap::new();
    let mut path = "/api/v1/event-types?limit=20".to_owned();
    loop {
        let page = hub.get(&path).await;
        assert!(items(&page).len() <= 20);
        for one in items(&page) {
            types.insert(one["type"].as_str().unwrap().to_owned(), one.clone());
        }
        let Some(token) = page["next_page_token"].as_str() else { return types };
        path = format!("/api/v1/event-types?limit=20&page_token={token}");
    }
}

async fn a_practice_finds_its_events(site: Site) {
    let pack = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packs/veterinary");
    let site = site.with(&format!("[packs]\nload = [\"{pack}\"]\n"));
    let hub = site.start();
    let types = catalogue(&hub).await;
    assert!(types.len() >= 30, "{} types", types.len());
    for entity in
        ["patient", "client", "appointment", "invoice", "medical_record", "lab_test", "prescription"]
    {
        for verb in ["created", "updated", "deleted"] {
            assert!(types.contains_key(&format!("{entity}.{verb}")), "{entity}.{verb}");
        }
    }
    for name in [
        "appointment.cancelled",
        "appointment.completed",
        "invoice.paid",
        "invoice.overdue",
        "lab_test.ordered",
        "lab_test.completed",
        "prescription.refilled",
        "webhook.test",
    ] {
        assert!(types.contains_key(name), "{name}");
    }

    hub.call(Method::PUT, "/api/v1/settings", Some(json!({ "schema_check": "strict" }))).await.expect(200);
    let receiver = Receiver::start().await;
    let wanted = json!({ "url": receiver.url, "events": ["*.*"], "in_flight": 20 });
    let endpoint = hub.post("/api/v1/webhooks", wanted, 201).await;
    receiver.expect_secret(endpoint["secret"].as_str().unwrap());
    for (name, one) in &types {
        let found = hub.get(&format!("/api/v1/event-types/{name}")).await;
        assert_eq!((&found["schema"], &found["example"]), (&one["schema"], &one["example"]), "{name}");
        assert!(one["schema"].is_object() && !one["title"].as_str().unwrap().is_empty(), "{name}");
        hub.emit(name, one["example"].clone()).await;
    }
    receiver.wait_for(types.len()).await;

    let misfit = |name: &str| json!({ "specversion": "1.0", "id": "misfit", "source": "/e2e", "type": name, "data": [7] });
    for name in types.keys() {
        let refused = hub.call(Method::POST, "/api/v1/events", Some(misfit(name))).await.expect(400);
        assert!(!texts(&refused["errors"], "pointer").is_empty(), "{name}");
    }
    assert_eq!(hub.call(Method::POST, "/api/v1/events", Some(misfit("invoice.lost"))).await.status, 400);
}

async fn a_test_reaches_the_one_endpoint_it_is_for(site: Site) {
    let (asked, other) = (Receiver::start().await, Receiver::start().await);
    let hub = site.start();
    let mut paths = Vec::new();
    for receiver in [&asked, &other] {
        let body = json!({ "url": receiver.url, "events": ["webhook.*"] });
        let made = hub.post("/api/v1/webhooks", body, 201).await;
        receiver.expect_secret(made["secret"].as_str().unwrap());
        paths.push(format!("/api/v1/webhooks/{}", made["id"].as_str().unwrap()));
    }
    let sent = hub.call(Method::POST, &format!("{}/test", paths[0]), None).await.expect(202);
    let delivery = format!("/api/v1/deliveries/{}", sent["delivery_id"].as_str().unwrap());
    hub.wait_for(&delivery, |found| found["state"] == "succeeded").await;
    let body: Value = serde_json::from_slice(&asked.received().values().next().unwrap().body).unwrap();
    assert_eq!(body["type"], "webhook.test");
    // An event after the test is planned after it: when it has arrived, the test would have.
    hub.emit("webhook.seen", json!({})).await;
    other.wait_for(1).await;
    assert_eq!(other.received().len(), 1);
}
