//! `event emit|tail|show|journey|replay` against a running hub.

use serde_json::{Value, json};
use trunkline_testkit::{HostileReceiver, Misconduct};

use super::{Cli, text, word};
use crate::hub::{Site, client};
use crate::load::{send, send_to};
use crate::receiver::Receiver;
use crate::stores::on_each_store;

on_each_store![
    events_are_emitted_and_shown,
    a_batch_says_what_became_of_each,
    the_newest_events_are_followed,
    a_journey_is_drawn_as_a_tree,
    an_event_is_delivered_again,
];

async fn events_are_emitted_and_shown(site: Site) {
    let hub = site.start();
    let cli = Cli::at(&hub);
    let file = site.folder().join("visit.json");
    std::fs::write(&file, r#"{"room": 3}"#).unwrap();
    let from_file = format!("@{}", text(&file));
    let given = [(r#"{"room": 1}"#, "", 1), ("-", r#"{"room": 2}"#, 2), (from_file.as_str(), "", 3)];
    for (data, input, room) in given {
        let arguments =
            ["event", "emit", "visit.begun", "--subject", "patient/7", "--source", "/desk", "--data", data];
        let id = cli.run_with(&arguments, input).await.expect(0).trim().to_owned();
        assert!(id.starts_with("evt_"), "{id}");
        let shown = cli.run(&["event", "show", &id, "--json"]).await.json();
        assert_eq!(shown, hub.get(&format!("/api/v1/events/{id}")).await);
        assert_eq!(
            (&shown["type"], &shown["subject"], &shown["source"], &shown["data"]["room"]),
            (&json!("visit.begun"), &json!("patient/7"), &json!("/desk"), &json!(room))
        );
        let table = cli.run(&["event", "show", &id]).await.expect(0);
        for part in [&id, "patient/7", "visit.begun", "correlationid", &format!("\"room\": {room}")] {
            assert!(table.contains(part), "{part}: {table}");
        }
    }
    let answer = cli.run(&["event", "emit", "visit.ended", "--json"]).await.json();
    assert_eq!(hub.get("/api/v1/events?type=visit.ended").await["items"].as_array().unwrap().len(), 1);
    assert!(answer.to_string().contains("evt_"), "{answer}");
}

async fn a_batch_says_what_became_of_each(site: Site) {
    let hub = site.start();
    let cli = Cli::at(&hub);
    let events: Vec<Value> =
        (0..150).map(|n| json!({ "id": format!("b-{n}"), "type": "batch.sent" })).collect();
    let file = site.folder().join("events.json");
    std::fs::write(&file, json!(events).to_string()).unwrap();
    let ids = cli.run(&["event", "emit", "--batch", text(&file)]).await.expect(0);
    assert_eq!(ids.lines().collect::<Vec<_>>(), (0..150).map(|n| format!("b-{n}")).collect::<Vec<_>>());
    // The same file again appends nothing.
    cli.run(&["event", "emit", "--batch", text(&file)]).await.expect(0);
    let n_stored = async || {
        let first = hub.get("/api/v1/events?type=batch.sent&limit=100").await;
        let token = first["next_page_token"].as_str().unwrap();
        let rest = hub.get(&format!("/api/v1/events?type=batch.sent&limit=100&page_token={token}")).await;
        assert!(rest["next_page_token"].is_null());
        first["items"].as_array().unwrap().len() + rest["items"].as_array().unwrap().len()
    };
    assert_eq!(n_stored().await, 150);
    // One line an event, from standard input; a bad one harms no other.
    let lines = "{\"id\":\"l-1\",\"type\":\"batch.sent\"}\n{\"id\":\"l-2\",\"type\":\"no type\"}\n{\"id\":\"l-3\",\"type\":\"batch.sent\"}\n";
    let ran = cli.run_with(&["event", "emit", "--batch", "-"], lines).await;
    assert!(ran.out.lines().any(|line| line.starts_with("l-2") && line.contains("type")), "{}", ran.out);
    let said = ran.failure(1);
    assert!(said.contains("1 of 3 events were refused"), "{said}");
    assert_eq!(n_stored().await, 152);
}

async fn the_newest_events_are_followed(site: Site) {
    let hub = site.start();
    let cli = Cli::at(&hub);
    for n in 0..5 {
        hub.emit("visit.begun", json!({ "n": n })).await;
    }
    let last = hub.emit("visit.ended", json!({})).await;
    let shown = cli.run(&["event", "tail", "-n", "3"]).await.expect(0);
    assert_eq!(shown.lines().count(), 3);
    assert!(shown.lines().last().unwrap().contains(&last), "oldest first: {shown}");
    let fitting = cli.run(&["event", "tail", "--type", "visit.ended", "--json"]).await.json();
    assert_eq!(fitting["id"], json!(last));

    let following = cli.start(&["event", "tail", "--follow", "--type", "visit.*", "-n", "1"]);
    following.line(|line| line.contains(&last)).await;
    hub.emit("other.thing", json!({})).await;
    let begun = hub.emit("visit.begun", json!({})).await;
    following.line(|line| line.contains(&begun)).await;
    assert!(following.lines().iter().all(|line| !line.contains("other.thing")));
    following.signal("INT");
    following.end().await.expect(0);
}

async fn a_journey_is_drawn_as_a_tree(site: Site) {
    let (hub, well) = (site.start(), Receiver::start().await);
    let failing = HostileReceiver::start(Misconduct::Answer(503, String::new())).await;
    let fine = hub.post("/api/v1/webhooks", json!({ "url": well.url, "events": ["load.*"] }), 201).await;
    well.expect_secret(fine["secret"].as_str().unwrap());
    let body =
        json!({ "url": failing.url("http"), "events": ["load.*"], "max_attempts": 2, "backoff_ms": [10] });
    let broken = hub.post("/api/v1/webhooks", body, 201).await;
    let (_, request) = send(&client(), hub.url(), "journey").await.unwrap();
    let event = request.replace("inb_", "evt_");
    // What the hub tells of it belongs to the journey.
    hub.wait_for("/api/v1/events?type=delivery.exhausted", |page| {
        !page["items"].as_array().unwrap().is_empty()
    })
    .await;
    let succeeded = format!("/api/v1/deliveries?event_id={event}&state=succeeded");
    hub.wait_for(&succeeded, |page| page["items"].as_array().unwrap().len() == 1).await;

    let cli = Cli::at(&hub);
    let tree = cli.run(&["event", "journey", &request]).await.expect(0);
    assert_eq!(
        tree,
        cli.run(&["event", "journey", &event]).await.expect(0),
        "by the request or by the event"
    );
    let depth = |what: &str| -> Vec<usize> {
        let lines = tree.lines().filter(|line| line.contains(what));
        lines.map(|line| line.chars().take_while(|c| !c.is_ascii_alphabetic()).count() / 3).collect()
    };
    assert!(tree.starts_with(&format!("journey {event}")), "{tree}");
    assert_eq!(depth(&format!("request {request}")), [1], "{tree}");
    assert_eq!(depth(&format!("event {event}")), [2], "{tree}");
    assert_eq!(depth("delivery dlv_"), [3, 3], "{tree}");
    assert_eq!(depth("attempt att_"), [4, 4, 4], "{tree}");
    assert_eq!(depth("delivery.exhausted from /trunkline/dispatch"), [3], "{tree}");
    for part in ["accepted", "succeeded", "exhausted", "status 503", "status 200", "├─ ", "└─ "] {
        assert!(tree.contains(part), "{part}: {tree}");
    }
    for id in [&fine["id"], &broken["id"]] {
        assert!(tree.contains(id.as_str().unwrap()));
    }
    let as_json = cli.run(&["event", "journey", &event, "--json"]).await.json();
    assert_eq!(as_json, hub.get(&format!("/api/v1/events/{event}/journey")).await);
    assert_eq!(as_json["nodes"][0]["children"][0]["children"].as_array().unwrap().len(), 3);

    // A call that became nothing has a journey too.
    let source = format!("{}/in/load", hub.url());
    let secret = crate::hub::SOURCE_SECRET;
    let (status, request) = send_to(&client(), &source, secret, "unread", "{".into()).await.unwrap();
    assert_eq!(status, 202);
    let tree = cli.run(&["event", "journey", &request]).await.expect(0);
    assert!(tree.contains("quarantined") && tree.contains(&request), "{tree}");
}

async fn an_event_is_delivered_again(site: Site) {
    let (hub, first, second) = (site.start(), Receiver::start().await, Receiver::start().await);
    let mut endpoints = Vec::new();
    for (receiver, pattern) in [(&first, "visit.*"), (&second, "nothing.*")] {
        let made =
            hub.post("/api/v1/webhooks", json!({ "url": receiver.url, "events": [pattern] }), 201).await;
        receiver.expect_secret(made["secret"].as_str().unwrap());
        endpoints.push(made["id"].as_str().unwrap().to_owned());
    }
    let cli = Cli::at(&hub);
    let event = cli.run(&["event", "emit", "visit.ended"]).await.expect(0).trim().to_owned();
    first.wait_for(1).await;
    let again = cli.run(&["event", "replay", &event]).await.expect(0);
    assert!(again.contains(&endpoints[0]) && !again.contains(&endpoints[1]), "{again}");
    let delivery = format!("/api/v1/deliveries/{}", word(&again, "dlv_"));
    hub.wait_for(&delivery, |delivery| delivery["state"] == "succeeded").await;
    assert_eq!(first.received()[&event].count, 2, "under the same webhook-id");
    // To one endpoint, whatever its patterns say.
    let made = cli.run(&["event", "replay", &event, "--endpoint", &endpoints[1], "--json"]).await.json();
    assert_eq!(made["items"][0]["endpoint_id"], json!(endpoints[1]));
    second.wait_for(1).await;
    assert!(second.received().contains_key(&event) && first.received()[&event].count == 2);

    let unheard = cli.run(&["event", "emit", "unheard.of"]).await.expect(0).trim().to_owned();
    let none = cli.run(&["event", "replay", &unheard]).await.expect(0);
    assert!(none.contains("no active endpoint"), "{none}");
}
