//! Content decides: filters, transformations and channels, and what becomes of an expression that fails.

use http::Method;
use serde_json::{Value, json};

use crate::hub::{Hub, Site};
use crate::receiver::Receiver;
use crate::stores::on_each_store;

on_each_store![an_endpoint_gets_what_its_filter_wants];

async fn endpoint(hub: &Hub, more: Value) -> (String, Receiver) {
    let receiver = Receiver::start().await;
    let mut body = json!({ "url": receiver.url, "events": ["invoice.*"] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = hub.post("/api/v1/webhooks", body, 201).await;
    receiver.expect_secret(made["secret"].as_str().unwrap());
    (made["id"].as_str().unwrap().to_owned(), receiver)
}

async fn emit(hub: &Hub, id: &str, data: Value, channels: &str) {
    let event = json!({
        "specversion": "1.0", "id": id, "source": "/e2e", "type": "invoice.paid", "data": data, "channels": channels,
    });
    hub.post("/api/v1/events", event, 202).await;
}

fn received(receiver: &Receiver) -> Vec<String> {
    let mut ids: Vec<String> = receiver.received().into_keys().collect();
    ids.sort();
    ids
}

async fn an_endpoint_gets_what_its_filter_wants(site: Site) {
    let hub = site.start();
    let large = ".data.total > 100 and .data.currency == \"AUD\"";
    let text = "{text: \"Paid: \\(.data.total)\", type}";
    let (filtered, wanting) = endpoint(&hub, json!({ "filter": large, "transform": text })).await;
    let (_, of_lab) = endpoint(&hub, json!({ "channels": ["lab", "x-ray"] })).await;
    let (fails, failing) =
        endpoint(&hub, json!({ "filter": ".data.total | ascii_downcase == \"500\"" })).await;
    let (_, all) = endpoint(&hub, json!({})).await;
    let events = [
        ("a-large", json!({ "total": 120, "currency": "AUD" }), "billing"),
        ("b-small", json!({ "total": 99, "currency": "AUD" }), "lab"),
        ("c-foreign", json!({ "total": 500, "currency": "NZD" }), "billing, x-ray"),
        ("d-absent", json!({}), "billing"),
        ("e-text", json!({ "total": "500", "currency": "AUD" }), "billing"),
        ("f-last", json!({ "total": 101, "currency": "AUD" }), "lab"),
    ];
    for (id, data, channels) in &events {
        emit(&hub, id, data.clone(), channels).await;
    }
    all.wait_for(events.len()).await;
    wanting.wait_for(3).await;
    of_lab.wait_for(3).await;
    failing.wait_for(1).await;
    // jq orders texts behind numbers.
    assert_eq!(received(&wanting), ["a-large", "e-text", "f-last"]);
    assert_eq!(received(&of_lab), ["b-small", "c-foreign", "f-last"]);
    assert_eq!(received(&failing), ["e-text"]);
    let body: Value = serde_json::from_slice(&wanting.received()["a-large"].body).unwrap();
    assert_eq!(body, json!({ "text": "Paid: 120", "type": "invoice.paid" }), "signed is what is sent");

    // What a filter does not want has no delivery, and its reason; one that fails has one, and no attempt.
    let reasons = |page: &Value, of: &str| -> Vec<String> {
        let found = page["items"].as_array().unwrap().iter().filter(|item| item["state"] == of);
        found
            .map(|item| {
                format!("{} {}", item["event_id"].as_str().unwrap(), item["reason"].as_str().unwrap())
            })
            .collect()
    };
    let undelivered = format!("/api/v1/webhooks/{filtered}/undelivered");
    let missed = hub.wait_for(&undelivered, |page| page["items"].as_array().unwrap().len() == 3).await;
    assert_eq!(reasons(&missed, "skipped"), ["b-small filtered", "c-foreign filtered", "d-absent filtered"]);
    let path = format!("/api/v1/webhooks/{fails}/deliveries?state=cancelled");
    let cancelled = hub.wait_for(&path, |page| page["items"].as_array().unwrap().len() == 5).await;
    for delivery in cancelled["items"].as_array().unwrap() {
        assert!(delivery["reason"].as_str().unwrap().starts_with("filter failed: "), "{delivery}");
        assert_eq!(delivery["n_attempts"], 0);
    }
    let ask = async |endpoint: &str, id: &str| {
        let path = format!("/api/v1/webhooks/{endpoint}/preview");
        hub.post(&path, json!({ "event_id": id }), 200).await
    };
    assert_eq!(ask(&filtered, "b-small").await["reason"], "filtered");
    assert_eq!(ask(&fails, "a-large").await["reason"], "filter_failed");
    assert_eq!(ask(&filtered, "a-large").await["would_send"], true);

    // Mended, and sent again: a filter that has changed counts from then on.
    let body = json!({ "url": failing.url, "events": ["invoice.*"], "filter": ".data.total == 500" });
    hub.call(Method::PUT, &format!("/api/v1/webhooks/{fails}"), Some(body)).await.expect(200);
    for id in ["c-foreign", "a-large"] {
        hub.post(&format!("/api/v1/events/{id}/replay"), json!({}), 202).await;
    }
    failing.wait_for(2).await;
    assert_eq!(received(&failing), ["c-foreign", "e-text"]);

    for (field, text) in [("filter", ".data.total >"), ("transform", "{text: nothing}"), ("filter", "input")]
    {
        let mut body = json!({ "url": failing.url, "events": ["invoice.*"] });
        body[field] = json!(text);
        let refused = hub.call(Method::POST, "/api/v1/webhooks", Some(body)).await.expect(400);
        assert_eq!(refused["errors"][0]["pointer"], format!("/{field}"), "{text}: {refused}");
        assert!(refused["errors"][0]["detail"].as_str().unwrap().contains("column"), "{text}: {refused}");
    }
}
