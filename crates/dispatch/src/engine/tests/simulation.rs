//! Random failures, breakers that open and close, crashes and restarts: nothing is lost, ids and bodies never change. A
//! failing seed is printed.

use std::collections::{BTreeMap, HashSet};

use super::*;

/// SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

fn random_limits(dice: &mut Dice) -> EngineLimits {
    EngineLimits {
        in_flight_total: 1 + dice.roll(20) as usize,
        lane: 1 + dice.roll(30) as usize,
        window: 1 + dice.roll(40) as usize,
        read_batch: 1 + dice.roll(20) as usize,
        flush_rows: 1 + dice.roll(20) as usize,
        flush_after: Duration::from_millis(dice.roll(4)),
        spill_after: Duration::from_millis(1 + dice.roll(20)),
        failures_to_open: 1 + dice.roll(8) as u32,
        cool_down: Duration::from_millis(1 + dice.roll(20)),
        cool_down_max: Duration::from_millis(30),
        health_every: Duration::from_millis(1 + dice.roll(10)),
        ..EngineLimits::default()
    }
}

async fn play(home: &TestStore, seed: u64) {
    let mut dice = Dice(seed);
    let rig = Rig::new(home).await;
    let settings = EndpointSettings { max_attempts: Some(20), in_flight: Some(4), ..fast() };
    let wanted = [("/a", &["order.*", "visit.*"][..]), ("/b", &["order.*"]), ("/c", &["visit.*"])];
    for (path, events) in wanted {
        rig.endpoint(path, events, settings.clone()).await;
    }
    let salt = dice.roll(u64::MAX);
    rig.net.script(move |seen| {
        let letters =
            seen.id.bytes().fold(salt ^ seen.nth as u64, |sum, b| sum.wrapping_mul(31) ^ u64::from(b));
        match Dice(letters).roll(10) {
            0 => Reply::Reset,
            1 => Reply::Status(503),
            2 => Reply::Panic,
            _ => Reply::Status(200),
        }
    });
    let mut expected = HashSet::new();
    let mut engine = rig.start(random_limits(&mut dice));
    for _ in 0..12 {
        let n = 1 + dice.roll(12) as usize;
        let (event_type, wanted) =
            if dice.roll(2) == 0 { ("order.paid", "/b") } else { ("visit.booked", "/c") };
        for id in rig.emit(event_type, n).await {
            expected.insert(("/a".to_owned(), id.clone()));
            expected.insert((wanted.to_owned(), id));
        }
        let n_sent = rig.net.seen().len() + dice.roll(2 * n as u64) as usize;
        match dice.roll(3) {
            0 => {
                // As far as it gets: with nothing left to send, the wait for a request would not end.
                let some = rig.until("some requests", async || {
                    rig.net.seen().len() >= n_sent || rig.deliveries().await.len() == expected.len()
                });
                some.await;
                engine.crash().await;
                engine = rig.start(random_limits(&mut dice));
            }
            1 => {
                engine.stop().await;
                engine = rig.start(random_limits(&mut dice));
            }
            _ => {}
        }
    }
    let rows = rig.settled(expected.len()).await;
    engine.stop().await;
    let is_good = |row: &delivery::DeliveryRow| {
        matches!(row.state, DeliveryState::Succeeded | DeliveryState::Exhausted)
    };
    assert!(rows.iter().all(is_good));
    let places: HashSet<_> = rows.iter().map(|row| (&row.endpoint_id, row.shard, row.seq)).collect();
    assert_eq!(places.len(), expected.len(), "one delivery for each event and endpoint");
    let mut bodies = BTreeMap::new();
    let mut sent = HashSet::new();
    for seen in rig.net.seen() {
        assert_eq!(bodies.entry(seen.id.clone()).or_insert_with(|| seen.body.clone()), &seen.body);
        sent.insert((seen.path, seen.id));
    }
    assert_eq!(sent, expected);
}

/// Names the seed when a run fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the seed was {}", self.0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_whatever_happens() {
    for seed in 0..8 {
        let _named = Seed(seed);
        let home = TestStore::sqlite().await;
        play(&home, seed).await;
        home.store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_over_many_shards() {
    for seed in 100..103 {
        let _named = Seed(seed);
        let Some(home) = TestStore::postgres().await else { return };
        play(&home, seed).await;
        home.store.close().await;
    }
}
