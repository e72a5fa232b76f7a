//! Coming back: no gap and no repeat, whenever and wherever a client was cut off.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use rand_from_proptest::Chance;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use trunkline_testkit::for_each_store;

use crate::client::Client;
use crate::harness::Hub;

/// Chance with a seed that a failure shows.
mod rand_from_proptest {
    use proptest::prelude::Rng as _;

    pub(super) struct Chance(pub(super) proptest::test_runner::TestRng);

    impl Chance {
        pub(super) fn below(&mut self, n: u64) -> u64 {
            self.0.next_u64() % n
        }
    }
}

/// What a client has seen of its rooms, and where it stands: all that the guide asks of one.
#[derive(Default)]
struct Seen {
    at: Option<Value>,
    ids: Vec<String>,
}

impl Seen {
    fn take(&mut self, frame: &Value) {
        match frame["type"].as_str().unwrap() {
            "subscribed" | "heartbeat" => self.at = Some(frame["at"].clone()),
            "event" => {
                self.ids.push(frame["event"]["subject"].as_str().unwrap().to_owned());
                if let Some(at) = &mut self.at {
                    at[frame["shard"].to_string()] = frame["seq"].clone();
                }
            }
            "resume_gap" => panic!("{frame}"),
            _ => {}
        }
    }
}

/// Reads a number of frames, or until `n_events` events were seen; true at the latter.
async fn read_some(client: &mut Client, seen: &mut Seen, n_frames: u64, n_events: usize) -> bool {
    for _ in 0..n_frames {
        let message = tokio::time::timeout(crate::client::PATIENCE, client.socket.next()).await;
        match message.expect("frames come") {
            Some(Ok(Message::Text(text))) => {
                seen.take(&serde_json::from_str(&text).unwrap());
                if seen.ids.len() == n_events {
                    return true;
                }
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => return false,
            Some(Ok(_)) => {}
        }
    }
    false
}

#[test]
fn random_cuts_leave_no_gap_and_no_repeat() {
    for_each_store(async |test| {
        let seed: [u8; 32] = *b"live updates come exactly once!!";
        let hub = Arc::new(
            Hub::start_with(&test.store, |limits| {
                limits.queue_events = 32;
                limits.resume_events = 1_000_000;
            })
            .await,
        );
        // A sitter keeps the reader awake in the one half of the runs, so that memory and journal are both resumed from.
        let sitter = Client::with_token(hub.addr, "admin").await;
        let mut sitter = Some(sitter);
        let mut chance = Chance(TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
        for round in 0..4 {
            if round == 2 {
                sitter.take().unwrap().socket.close(None).await.unwrap();
            }
            let n_events = 200;
            let is_begun = Arc::new(AtomicBool::new(false));
            let (writer, begun) = (Arc::clone(&hub), Arc::clone(&is_begun));
            let writing = tokio::spawn(async move {
                while !begun.load(Ordering::Acquire) {
                    tokio::task::yield_now().await;
                }
                for n in 1..=n_events {
                    let clinic = if n % 5 == 0 { json!([1, 2]) } else { json!(n % 2 + 1) };
                    writer.emit("a.b", &format!("{round}-{n}"), &json!({ "clinicId": clinic })).await;
                    writer.emit_as("other", "a.b", "x", &json!({ "clinicId": 1 })).await;
                }
            });
            let mut seen = Seen::default();
            let mut is_done = false;
            while !is_done {
                let mut client = Client::with_token(hub.addr, "admin").await;
                let mut subscribe = json!({ "type": "subscribe", "rooms": ["clinic:1", "clinic:2"] });
                if let Some(at) = &seen.at {
                    subscribe["after"] = at.clone();
                }
                client.send(subscribe).await;
                let mut n_frames = 1 + chance.below(60);
                if seen.at.is_none() {
                    // Until the first answer there is no place to come back to.
                    read_some(&mut client, &mut seen, 1, n_events).await;
                    is_begun.store(true, Ordering::Release);
                    n_frames = chance.below(60);
                }
                is_done = read_some(&mut client, &mut seen, n_frames, n_events).await;
                if chance.below(2) == 0 {
                    let _ = client.socket.close(None).await;
                }
            }
            writing.await.unwrap();
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for id in &seen.ids {
                *counts.entry(id).or_default() += 1;
            }
            let is_once = (1..=n_events).all(|n| counts.get(format!("{round}-{n}").as_str()) == Some(&1));
            assert!(is_once, "{counts:?}");
            let mut client = Client::with_token(hub.addr, "admin").await;
            let rooms = ["clinic:1", "clinic:2"];
            client.send(json!({ "type": "subscribe", "rooms": rooms, "after": seen.at })).await;
            assert_eq!(client.next().await["type"], "subscribed", "nothing is left to come");
        }
        let hub = Arc::try_unwrap(hub).unwrap_or_else(|_| panic!("the writers are done"));
        hub.stop().await;
    });
}

#[test]
fn each_room_has_a_place_of_its_own() {
    for_each_store(async |test| {
        let hub = Hub::start(&test.store).await;
        let mut places = vec![];
        for n in 0..6 {
            places.push(hub.emit("a.b", "s", &json!({ "clinicId": n % 2 + 1 })).await);
        }
        let shard = places[0].shard.to_string();
        let mut client = Client::with_token(hub.addr, "admin").await;
        let after = json!({ "clinic:1": { &*shard: places[0].seq }, "clinic:2": { &*shard: places[3].seq } });
        client
            .send(
                json!({ "type": "subscribe", "rooms": ["clinic:1", "clinic:2", "clinic:3"], "after": after }),
            )
            .await;
        for (index, room) in [(2, "clinic:1"), (4, "clinic:1"), (5, "clinic:2")] {
            let frame = client.next().await;
            assert_eq!((&frame["seq"], &frame["room"]), (&json!(places[index].seq), &json!(room)));
        }
        let joined = client.next().await;
        assert_eq!((&joined["type"], &joined["at"][&shard]), (&json!("subscribed"), &json!(places[5].seq)));
        if test.store.n_shards() == 1 {
            // Where there is one shard, the seq is the place.
            let mut client = Client::with_token(hub.addr, "admin").await;
            client.send(json!({ "type": "subscribe", "rooms": ["clinic:1"], "after": places[2].seq })).await;
            assert_eq!(client.next().await["seq"], places[4].seq);
        }
        hub.stop().await;
    });
}

#[test]
fn what_cannot_be_resumed_is_said() {
    for_each_store(async |test| {
        let hub = Hub::start_with(&test.store, |limits| limits.resume_events = 10).await;
        let first = hub.emit("a.b", "s", &json!({ "clinicId": 1 })).await;
        let shard = first.shard.to_string();
        for _ in 0..11 {
            hub.emit("a.b", "s", &json!({ "clinicId": 1 })).await;
        }
        let ask = async |seq: i64| {
            let mut client = Client::with_token(hub.addr, "admin").await;
            let after = json!({ &*shard: seq });
            client.send(json!({ "type": "subscribe", "id": 9, "rooms": ["clinic:1"], "after": after })).await;
            (client.next().await, client)
        };
        let (gap, mut client) = ask(first.seq).await;
        let expected = json!({ "type": "resume_gap", "id": 9, "reason": "too_old", "rooms": ["clinic:1"] });
        assert_eq!(gap, expected);
        // It goes on from now.
        assert_eq!(client.next().await["type"], "subscribed");
        let next = hub.emit("a.b", "s", &json!({ "clinicId": 1 })).await;
        assert_eq!(client.next().await["seq"], next.seq);

        let (gap, mut client) = ask(next.seq + 1000).await;
        assert_eq!(gap["reason"], "unknown");
        assert_eq!(client.next().await["type"], "subscribed");

        let expire = trunkline_store::tables::event::event_delete(next.shard, next.seq - 3);
        drop(client);
        hub.journal.commit(trunkline_store::Commit::statements(vec![expire])).await.unwrap();
        let (gap, mut client) = ask(next.seq - 5).await;
        assert_eq!(gap["reason"], "expired");
        for seq in [next.seq - 4, next.seq - 2, next.seq - 1, next.seq] {
            assert_eq!(client.next().await["seq"], seq);
        }
        assert_eq!(client.next().await["type"], "subscribed");
        hub.stop().await;
    });
}
