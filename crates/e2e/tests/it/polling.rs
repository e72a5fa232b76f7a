//! Those who cannot be called ask: pollers with a place that the hub keeps, and a stream that goes on where it broke.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::cli::token_of;
use crate::hub::{Hub, Site};
use crate::stores::on_each_store;
use crate::stream::EventStream;

on_each_store![
    a_poller_fetches_commits_and_seeks,
    a_stream_goes_on_where_it_broke,
    a_stream_misses_nothing_when_hubs_die
];

/// Emits an event about a subject.
async fn emit(hub: &Hub, event_type: &str, subject: &str, n: usize) -> String {
    let id = format!("{event_type}-{subject}-{n}");
    let event = json!({
        "specversion": "1.0", "id": id, "source": "/e2e", "type": event_type, "subject": subject, "data": { "n": n },
    });
    hub.post("/api/v1/events", event, 202).await;
    id
}

/// The numbers of events by subject.
fn numbers<'a>(events: impl Iterator<Item = &'a Value>) -> BTreeMap<String, Vec<u64>> {
    let mut numbers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for event in events {
        let subject = event["subject"].as_str().unwrap().to_owned();
        numbers.entry(subject).or_default().push(event["data"]["n"].as_u64().unwrap());
    }
    numbers
}

/// Everything behind a cursor, or behind the poller's place, with the cursor behind it. Commits nothing.
async fn fetch(hub: &Hub, path: &str, cursor: Option<&str>, at_most: usize) -> (Vec<Value>, String) {
    let mut cursor = cursor.map(str::to_owned);
    let mut events = Vec::new();
    loop {
        let place = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let limit = (at_most - events.len()).min(100);
        let page = hub.get(&format!("{path}/messages?limit={limit}{place}")).await;
        events.extend(page["items"].as_array().unwrap().iter().cloned());
        let next = page["next_cursor"].as_str().unwrap().to_owned();
        if page["has_more"] == false || events.len() >= at_most {
            return (events, next);
        }
        cursor = Some(next);
    }
}

fn ids(events: &[Value]) -> BTreeSet<String> {
    let ids: BTreeSet<String> = events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), events.len(), "none comes twice");
    ids
}

async fn a_poller_fetches_commits_and_seeks(site: Site) {
    let stranger = token_of(&site, "stranger", "operator").await;
    let hub = site.start();
    let before = emit(&hub, "order.paid", "early", 0).await;
    let made = hub.post("/api/v1/pollers", json!({ "name": "books", "events": ["order.*"] }), 201).await;
    let path = format!("/api/v1/pollers/{}", made["id"].as_str().unwrap());
    assert_eq!(fetch(&hub, &path, None, 1000).await.0, [] as [Value; 0], "it begins behind what is there");

    let mut wanted = BTreeSet::new();
    for n in 0..8 {
        for subject in ["a", "b", "c", "d", "e"] {
            wanted.insert(emit(&hub, "order.paid", subject, n).await);
        }
        emit(&hub, "visit.begun", "a", n).await;
    }
    let event = json!({ "specversion": "1.0", "id": "theirs", "source": "/x", "type": "order.paid" });
    hub.call_as(&stranger, Method::POST, "/api/v1/events", Some(event)).await.expect(202);

    let (first, cursor) = fetch(&hub, &path, None, 15).await;
    assert_eq!(first.len(), 15);
    assert_eq!(ids(&fetch(&hub, &path, None, 15).await.0), ids(&first), "what is not committed comes again");
    let (rest, _) = fetch(&hub, &path, Some(&cursor), 1000).await;
    let all: Vec<Value> = first.iter().chain(&rest).cloned().collect();
    assert_eq!(ids(&all), wanted);
    for (subject, numbers) in numbers(all.iter()) {
        assert_eq!(numbers, (0..8).collect::<Vec<u64>>(), "{subject} in order");
    }
    hub.post(&format!("{path}/commit"), json!({ "cursor": cursor }), 200).await;

    // The place is on disk.
    hub.kill();
    let hub = site.start();
    let (left, end) = fetch(&hub, &path, None, 1000).await;
    assert_eq!(ids(&left), ids(&rest));
    hub.post(&format!("{path}/commit"), json!({ "cursor": end }), 200).await;
    assert_eq!(fetch(&hub, &path, None, 1000).await.0.len(), 0);

    let seek = async |body: Value| hub.post(&format!("{path}/seek"), body, 200).await;
    seek(json!({ "to": "start" })).await;
    let everything = ids(&fetch(&hub, &path, None, 1000).await.0);
    assert!(everything.contains(&before) && wanted.is_subset(&everything), "{everything:?}");
    seek(json!({ "cursor": cursor })).await;
    assert_eq!(ids(&fetch(&hub, &path, None, 1000).await.0), ids(&rest));
    let since = hub.get(&format!("/api/v1/events/{}", rest[0]["id"].as_str().unwrap())).await;
    seek(json!({ "since": since["recordedat"] })).await;
    assert!(ids(&fetch(&hub, &path, None, 1000).await.0).contains(rest[0]["id"].as_str().unwrap()));
    seek(json!({ "to": "end" })).await;
    assert_eq!(fetch(&hub, &path, None, 1000).await.0.len(), 0);
    let late = emit(&hub, "order.paid", "a", 8).await;
    assert_eq!(ids(&fetch(&hub, &path, None, 1000).await.0), BTreeSet::from([late]));

    let bad = hub
        .call(Method::POST, &format!("{path}/commit"), Some(json!({ "cursor": "AAAA" })))
        .await
        .expect(400);
    assert_eq!(bad["errors"][0]["pointer"], "/cursor");
    for call in ["/messages", ""] {
        let foreign = hub.call_as(&stranger, Method::GET, &format!("{path}{call}"), None).await.expect(404);
        assert_eq!(foreign["code"], "poller.not_found");
    }
    let own = hub.call_as(&stranger, Method::GET, "/api/v1/pollers", None).await.expect(200);
    assert_eq!(own["items"], json!([]));
    assert_eq!(hub.call(Method::DELETE, &path, None).await.status, 204);
    assert_eq!(hub.call(Method::GET, &format!("{path}/messages"), None).await.status, 404);
}

async fn next(stream: &mut EventStream) -> (String, String) {
    let streamed = stream.next().await.expect("the stream goes on");
    (streamed.event["id"].as_str().unwrap().to_owned(), streamed.id)
}

async fn a_stream_goes_on_where_it_broke(site: Site) {
    // A stream outlives the time that other requests may take.
    let quick = [("TRUNKLINE_SERVER__REQUEST_TIMEOUT_S", "1")];
    let hub = site.start_with(&quick);
    emit(&hub, "order.paid", "early", 0).await;
    let opened = Instant::now();
    let mut stream = EventStream::open(&hub, "order.*,visit.**", None).await;
    let one = emit(&hub, "order.paid", "a", 1).await;
    let (id, place) = next(&mut stream).await;
    assert_eq!(id, one, "it begins now");
    emit(&hub, "other.thing", "a", 1).await;
    let two = emit(&hub, "visit.room.left", "a", 2).await;
    assert_eq!(next(&mut stream).await.0, two);
    let mut n = 3;
    while opened.elapsed() < Duration::from_secs(3) {
        let id = emit(&hub, "visit.begun", "a", n).await;
        assert_eq!(next(&mut stream).await.0, id);
        n += 1;
    }
    drop(stream);

    let missed = emit(&hub, "order.paid", "a", n).await;
    let mut stream = EventStream::open(&hub, "order.*", Some(&place)).await;
    let (id, place) = next(&mut stream).await;
    assert_eq!(id, missed, "what its patterns select, behind the place");
    // Whoever stops says so.
    let ending = tokio::spawn(stream.end());
    assert_eq!(tokio::task::spawn_blocking(move || hub.terminate().0).await.unwrap(), Some(0));
    assert_eq!(ending.await.unwrap(), "the hub is stopping");
    let hub = site.start();
    let last = emit(&hub, "order.paid", "b", 1).await;
    let mut stream = EventStream::open(&hub, "order.*", Some(&place)).await;
    assert_eq!(next(&mut stream).await.0, last);

    let bad = [("last-event-id", "nowhere")];
    let refused = hub.call_with(Method::GET, "/api/v1/events/stream?events=**", None, &bad).await.expect(400);
    assert_eq!(refused["errors"][0]["pointer"], "header:last-event-id");
}

async fn a_stream_misses_nothing_when_hubs_die(site: Site) {
    const SUBJECTS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    let mut hub = site.start();
    let mut place = {
        let mut stream = EventStream::open(&hub, "order.*", None).await;
        emit(&hub, "order.paid", "a", 0).await;
        next(&mut stream).await.1
    };
    let (mut n, mut got) = (0, Vec::new());
    for round in 0..6 {
        // Events come while nobody listens, and while somebody does.
        n += 1;
        for subject in SUBJECTS {
            emit(&hub, "order.begun", subject, n).await;
        }
        let mut stream = EventStream::open(&hub, "order.*", Some(&place)).await;
        n += 1;
        for subject in SUBJECTS {
            emit(&hub, "order.begun", subject, n).await;
        }
        // The connection breaks after some of them.
        for _ in 0..7 + round {
            let streamed = stream.next().await.expect("the stream goes on");
            place = streamed.id;
            got.push(streamed.event);
        }
        if round % 2 == 0 {
            hub.kill();
            hub = site.start();
        }
    }
    let mut stream = EventStream::open(&hub, "order.*", Some(&place)).await;
    while got.len() < n * SUBJECTS.len() {
        got.push(stream.next().await.expect("the stream goes on").event);
    }
    for (subject, numbers) in numbers(got.iter()) {
        assert_eq!(numbers, (1..=n as u64).collect::<Vec<u64>>(), "{subject}: each once and in order");
    }
}
