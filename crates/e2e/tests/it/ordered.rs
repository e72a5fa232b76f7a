//! A key that stands still: its head fails, what is behind it waits, and a person lets the key go on, without the head or
//! with it.

use axum::http::StatusCode;
use http::Method;
use serde_json::{Value, json};

use crate::hub::{Hub, Site};
use crate::receiver::Receiver;
use crate::stores::on_each_store;

on_each_store![a_blocked_head_is_skipped_or_forced];

async fn emit(hub: &Hub, subject: &str, n: u64) -> String {
    let id = format!("{subject}-{n}");
    let event = json!({
        "specversion": "1.0", "id": id, "source": "/e2e", "type": "order.changed", "subject": subject, "data": { "n": n },
    });
    hub.post("/api/v1/events", event, 202).await;
    id
}

/// Refuses the events with this number.
fn refuse(receiver: &Receiver, number: u64) {
    receiver.answer(move |body| {
        if body["data"]["n"] == number { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }
    });
}

fn numbers(receiver: &Receiver) -> Vec<u64> {
    let number = |body: &axum::body::Bytes| {
        serde_json::from_slice::<Value>(body).unwrap()["data"]["n"].as_u64().unwrap()
    };
    receiver.order().iter().map(number).collect()
}

/// The pending deliveries by event, when there are `n` and the head has failed.
async fn pending(hub: &Hub, n: usize) -> Vec<Value> {
    let is_blocked = |page: &Value| {
        let items = page["items"].as_array().unwrap();
        items.len() == n && items.iter().any(|item| item["n_attempts"] == 1)
    };
    let page = hub.wait_for("/api/v1/deliveries?state=pending", is_blocked).await;
    let mut items = page["items"].as_array().unwrap().clone();
    items.sort_by_key(|item| item["event_id"].as_str().unwrap().to_owned());
    items
}

async fn a_blocked_head_is_skipped_or_forced(site: Site) {
    let receiver = Receiver::start().await;
    let mut hub = site.start();
    let body = json!({
        "url": receiver.url, "events": ["order.*"], "ordered": true, "max_attempts": 5, "backoff_ms": [3_600_000],
    });
    let made = hub.post("/api/v1/webhooks", body, 201).await;
    receiver.expect_secret(made["secret"].as_str().unwrap());
    refuse(&receiver, 1);
    for n in 1..=3 {
        emit(&hub, "stuck", n).await;
    }
    emit(&hub, "free", 10).await;
    emit(&hub, "free", 11).await;
    receiver.wait_for(2).await;
    assert_eq!(numbers(&receiver), [10, 11], "another key is not held up");

    let [head, second, third] = &pending(&hub, 3).await[..] else { panic!("three are pending") };
    let path =
        |delivery: &Value, act: &str| format!("/api/v1/deliveries/{}{act}", delivery["id"].as_str().unwrap());
    assert!(head["blocked_by"].is_null() && head["order_key"] == "stuck");
    for behind in [second, third] {
        assert_eq!((&behind["blocked_by"], &behind["n_attempts"]), (&head["id"], &json!(0)));
    }
    let refused = hub.call(Method::POST, &path(second, "/retry"), None).await.expect(409);
    assert_eq!(refused["code"], "delivery.blocked");
    assert!(refused["detail"].as_str().unwrap().contains(head["id"].as_str().unwrap()), "{refused}");
    // A crash lets nobody past.
    hub.kill();
    hub = site.start();
    emit(&hub, "free", 12).await;
    receiver.wait_for(3).await;
    assert_eq!(numbers(&receiver), [10, 11, 12]);

    // Without it.
    assert_eq!(hub.call(Method::POST, &path(head, "/skip"), None).await.status, 204);
    receiver.wait_for(5).await;
    assert_eq!(numbers(&receiver), [10, 11, 12, 2, 3]);
    let skipped = hub.get(&path(head, "")).await;
    assert_eq!((&skipped["state"], &skipped["reason"]), (&json!("cancelled"), &json!("skipped by hand")));
    let again = hub.call(Method::POST, &path(head, "/skip"), None).await.expect(409);
    assert_eq!(again["code"], "delivery.not_pending");

    // With it: the next attempt would be due in an hour.
    refuse(&receiver, 4);
    emit(&hub, "stuck", 4).await;
    emit(&hub, "stuck", 5).await;
    let [head, behind] = &pending(&hub, 2).await[..] else { panic!("two are pending") };
    assert_eq!(behind["blocked_by"], head["id"]);
    receiver.answer(|_| StatusCode::OK);
    hub.call(Method::POST, &path(head, "/retry"), None).await.expect(202);
    receiver.wait_for(7).await;
    assert_eq!(numbers(&receiver), [10, 11, 12, 2, 3, 4, 5]);
    let forced = hub.wait_for(&path(head, ""), |delivery| delivery["state"] == "succeeded").await;
    assert_eq!(forced["n_attempts"], 2);
    let undelivered = format!("/api/v1/webhooks/{}/undelivered", made["id"].as_str().unwrap());
    let gap = hub.wait_for(&undelivered, |page| page["items"].as_array().unwrap().len() == 1).await;
    assert_eq!(gap["items"][0]["event_id"], "stuck-1", "the gap is visible: {gap}");
}
