//! `webhook listen --forward`: a developer's program gets the events of a hub that cannot reach it.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Cli, word};
use crate::hub::Site;
use crate::receiver::{Received, Receiver};
use crate::stores::on_each_store;

on_each_store![new_events_are_forwarded_signed];

async fn new_events_are_forwarded_signed(site: Site) {
    let hub = site.start();
    hub.emit("visit.begun", json!({ "old": true })).await;
    let receiver = Receiver::start().await;
    let listen =
        ["webhook", "listen", "--forward", &receiver.url, "--events", "visit.*", "--events", "order.**"];
    let listening = Cli::at(&hub).start(&listen);
    let secret = listening.remark(|line| line.contains("signing secret")).await;
    receiver.expect_secret(word(&secret, "whsec_"));
    listening.remark(|line| line.contains("forwarding new events")).await;

    let ended = hub.emit("visit.ended", json!({ "room": 3, "name": "Zoë" })).await;
    hub.emit("other.thing", json!({})).await;
    let paid = hub.emit("order.item.paid", json!({})).await;
    receiver.wait_for(2).await;
    let line = listening.line(|line| line.contains(&ended)).await;
    assert!(line.starts_with("200") && line.contains("visit.ended"), "{line}");
    let received = receiver.received();
    assert!(received.contains_key(&ended) && received.contains_key(&paid), "{:?}", received.keys());
    let body: Value = serde_json::from_slice(&received[&ended].body).unwrap();
    assert_eq!((&body["type"], &body["data"]), (&json!("visit.ended"), &json!({ "room": 3, "name": "Zoë" })));

    // An answer that is no success is shown; the next event is sent all the same, and none comes twice.
    receiver.answer(|_| StatusCode::IM_A_TEAPOT);
    let refused = hub.emit("visit.ended", json!({ "room": 4 })).await;
    assert!(listening.line(|line| line.contains(&refused)).await.starts_with("418"));
    receiver.answer(|_| StatusCode::OK);
    let odd = json!({
        "specversion": "1.0", "id": "order 7.é", "source": "/shop", "type": "order.paid",
        "datacontenttype": "image/png", "data_base64": "/wA=",
    });
    hub.post("/api/v1/events", odd, 202).await;
    let last = hub.emit("visit.ended", json!({ "room": 5 })).await;
    listening.line(|line| line.contains(&last)).await;
    assert!(receiver.received().values().all(|received| received.count == 1));
    // An id that signatures do not allow stands as a digest, as in deliveries; content that is no JSON is wrapped as there.
    let read = |received: &Received| serde_json::from_slice::<Value>(&received.body).unwrap();
    let received = receiver.received();
    let (id, paid) = received.iter().find(|(_, received)| read(received)["type"] == "order.paid").unwrap();
    assert!(id.starts_with("evt_"), "{id}");
    assert_eq!(read(paid)["data"], json!({ "data_base64": "/wA=", "datacontenttype": "image/png" }));
    assert_eq!(received.len(), 4);
    listening.signal("INT");
    listening.end().await.expect(0);
    assert_eq!(hub.get("/api/v1/webhooks").await["items"], json!([]), "nothing is left in the hub");

    let as_json = [&listen[..], &["--json"]].concat();
    let listening = Cli::at(&hub).start(&as_json);
    let secret = listening.remark(|line| line.contains("signing secret")).await;
    listening.remark(|line| line.contains("forwarding new events")).await;
    receiver.expect_secret(word(&secret, "whsec_"));
    let event = hub.emit("visit.ended", json!({})).await;
    let row: Value = serde_json::from_str(&listening.line(|line| line.contains(&event)).await).unwrap();
    assert_eq!((&row["id"], &row["status"]), (&json!(event), &json!(200)));
    listening.signal("INT");
    listening.end().await.expect(0);
}
