//! Random failures, breakers that open and close, crashes and restarts: nothing is lost, ids and bodies never change. A
//! failing seed is printed. Where order is asked for it is kept.

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
        fold_every: Duration::from_millis(1 + dice.roll(30)),
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
    rig.net.script(move |seen| fails(salt, &seen.id, seen.nth).unwrap_or(Reply::Status(200)));
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
    assert_eq!(figures(&rig).await, counted(&rig, &rows).await, "the sums are those of the rows");
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

/// Attempts, successes, failures by server errors, networks and the hub, deliveries by how they ended; of an endpoint and type.
type Figures = BTreeMap<(String, &'static str), [i64; 7]>;

/// What the stored sums say, once everything is folded.
async fn figures(rig: &Rig) -> Figures {
    use trunkline_store::tables::delivery_stats::{
        StatsFilter, StatsGroup, StatsKey, delivery_stats_list, stats_delta_list,
    };
    assert_eq!(stats_delta_list(&rig.store, 1).await.unwrap().n_deltas, 0, "stopping folds what is left");
    let until = rig.journal.now().plus(Duration::from_hours(1));
    let mut all = Figures::new();
    for event_type in ["order.paid", "visit.booked"] {
        let filter = StatsFilter {
            endpoint_ids: None,
            event_type: Some(event_type.to_owned()),
            since: Timestamp::default(),
            until,
        };
        let found =
            delivery_stats_list(&rig.store, &rig::tenant(), &filter, StatsGroup::Endpoint).await.unwrap();
        for (key, sums) in found {
            let StatsKey::Name(id) = key else { panic!("asked for names") };
            let [_, http_5xx, _, _, network, hub] = sums.failures;
            let [succeeded, exhausted, cancelled] = sums.ended;
            assert_eq!(cancelled, 0);
            assert_eq!(sums.latency.iter().sum::<i64>(), sums.n_successes + http_5xx, "answered attempts");
            let parts = [sums.n_attempts(), sums.n_successes, http_5xx, network, hub, succeeded, exhausted];
            all.insert((id, event_type), parts);
        }
    }
    all
}

/// The same, counted.
async fn counted(rig: &Rig, rows: &[delivery::DeliveryRow]) -> Figures {
    let mut all = Figures::new();
    for row in rows {
        let event_type = if row.event_type.as_str() == "order.paid" { "order.paid" } else { "visit.booked" };
        let parts = all.entry((row.endpoint_id.as_str().to_owned(), event_type)).or_default();
        parts[5] += i64::from(row.state == DeliveryState::Succeeded);
        parts[6] += i64::from(row.state == DeliveryState::Exhausted);
        for attempt in delivery::attempt_list(&rig.store, row).await.unwrap() {
            parts[0] += 1;
            let index = match attempt.outcome.error_class.as_deref() {
                None => 1,
                Some("http_5xx") => 2,
                Some("internal") => 4,
                Some(_) => 3,
            };
            parts[index] += 1;
        }
    }
    all
}

/// Whether the `nth` attempt of an event fails, the same in every run.
fn fails(salt: u64, id: &str, nth: usize) -> Option<Reply> {
    let letters = id.bytes().fold(salt ^ nth as u64, |sum, b| sum.wrapping_mul(31) ^ u64::from(b));
    match Dice(letters).roll(10) {
        0 => Some(Reply::Reset),
        1 => Some(Reply::Status(503)),
        2 => Some(Reply::Panic),
        _ => None,
    }
}

/// Several keys, an endpoint that asks for order and one that does not, and everything that can go wrong: an event is
/// first attempted when the one before it of its key has been taken.
async fn play_in_order(home: &TestStore, seed: u64) {
    let mut dice = Dice(seed);
    let rig = Rig::new(home).await;
    let plain = EndpointSettings { max_attempts: Some(20), ..fast() };
    let ordered = EndpointSettings { ordered: true, in_flight: Some(4), ..plain.clone() };
    let limited = EndpointSettings { rate_limit: Some(2000.0), ..ordered.clone() };
    for (path, settings) in [("/ordered", ordered), ("/limited", limited), ("/plain", plain)] {
        rig.endpoint(path, &["order.*"], settings).await;
    }
    let salt = dice.roll(u64::MAX);
    rig.net.script(move |seen| fails(salt, &seen.id, seen.nth).unwrap_or(Reply::Status(200)));
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut n = 0;
    let mut engine = rig.start(random_limits(&mut dice));
    for _ in 0..12 {
        let key = format!("key-{}", dice.roll(4));
        let many = 1 + dice.roll(12) as usize;
        n += many;
        let ids = rig.emit_about("order.paid", many, &key).await;
        keys.entry(key).or_default().extend(ids);
        let n_sent = rig.net.seen().len() + dice.roll(2 * many as u64) as usize;
        let how = dice.roll(4);
        if how < 2 {
            let some = rig.until("some requests", async || {
                let is_done = async || rig.deliveries().await.iter().all(|row| row.state.is_terminal());
                rig.net.seen().len() >= n_sent || rig.deliveries().await.len() == 3 * n && is_done().await
            });
            some.await;
        }
        match how {
            0 => engine.crash().await,
            1 => engine.stop().await,
            _ => continue,
        }
        engine = rig.start(random_limits(&mut dice));
    }
    let rows = rig.settled(3 * n).await;
    engine.stop().await;
    for path in ["/ordered", "/limited"] {
        let sent: Vec<_> = rig.net.seen().into_iter().filter(|seen| seen.path == path).collect();
        for (key, ids) in &keys {
            in_order(key, ids, sent.iter().filter(|seen| ids.contains(&seen.id)), salt);
        }
    }
    // Time ends deliveries that hold up others, and there was time enough.
    let of_line = rows.iter().filter(|row| row.order_key.is_some());
    assert_eq!(of_line.filter(|row| row.state == DeliveryState::Succeeded).count(), 2 * n);
}

/// Checks the requests of one key in the order in which they were begun.
fn in_order<'a>(key: &str, ids: &[String], sent: impl Iterator<Item = &'a rig::Seen>, salt: u64) {
    let mut begun = 0;
    let mut taken = HashSet::new();
    for seen in sent {
        let at = ids.iter().position(|id| *id == seen.id).unwrap();
        assert!(at <= begun, "{key}: event {at} before event {begun}");
        if at == begun {
            assert!(ids[..at].iter().all(|id| taken.contains(id)), "{key}: event {at} while others wait");
            begun += 1;
        }
        if fails(salt, &seen.id, seen.nth).is_none() {
            taken.insert(seen.id.clone());
        }
    }
    assert_eq!(begun, ids.len(), "{key}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_keep_their_order_whatever_happens() {
    for seed in 200..208 {
        let _named = Seed(seed);
        let home = TestStore::sqlite().await;
        play_in_order(&home, seed).await;
        home.store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_keep_their_order_over_many_shards() {
    for seed in 300..303 {
        let _named = Seed(seed);
        let Some(home) = TestStore::postgres().await else { return };
        play_in_order(&home, seed).await;
        home.store.close().await;
    }
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
