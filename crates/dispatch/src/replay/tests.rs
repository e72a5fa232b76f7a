//! Jobs on real stores: what they pick, how they go on after crashes, and that what they make is delivered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use trunkline_connect::{BoxFuture, OutboundRequest, OutboundResponse, SendError, Timings, Transport};
use trunkline_journal::Journal;
use trunkline_journal::ownership::{self, Ownership, OwnershipOptions};
use trunkline_model::{DeliveryId, EndpointId, Pattern, ReplayId, SystemClock};
use trunkline_store::tables::delivery::DeliveryState as S;
use trunkline_store::tables::delivery::{DeliveryFilter, DeliveryRow, DeliveryState, delivery_list};
use trunkline_store::tables::endpoint::{EndpointRow, endpoint_delete, endpoint_insert};
use trunkline_store::tables::event::EventPlace;
use trunkline_store::tables::replay::{ReplayRow, ReplayState, replay_get, replay_insert, replay_set_state};
use trunkline_store::{Commit, CursorMove, NewEvent, Statement, Store};
use trunkline_testkit::event::{event, tenant};
use trunkline_testkit::{TestStore, for_each_store};

use super::*;
use crate::endpoint::{
    DeliveryDefaults, EndpointDirectory, EndpointSecrets, EndpointSettings, Outlets, generate_secret,
};
use crate::engine::CONSUMER;
use crate::{Dispatcher, DispatcherOptions};

/// Takes everything.
struct Yes;

impl Transport for Yes {
    fn send(&self, _: OutboundRequest) -> BoxFuture<'_, Result<OutboundResponse, SendError>> {
        Box::pin(async {
            Ok(OutboundResponse {
                status: StatusCode::OK,
                version: Version::HTTP_11,
                headers: HeaderMap::new(),
                body_head: Bytes::new(),
                truncated: false,
                trailers: HeaderMap::new(),
                timings: Timings::default(),
                peer: None,
                opened: None,
            })
        })
    }
}

struct Rig {
    store: Store,
    journal: Journal,
    ownership: Ownership,
    _leases: DropGuard,
}

type Pair = (EndpointId, i64, i64);

impl Rig {
    async fn new(home: &TestStore) -> Self {
        let store = home.store.clone();
        let journal = Journal::new(store.clone(), Arc::new(SystemClock));
        let stop = CancellationToken::new();
        let hour = Duration::from_hours(1);
        let options = OwnershipOptions { lease_for: hour * 2, renew_every: hour };
        let (ownership, _) = ownership::keep(journal.clone(), "node".into(), options, stop.clone());
        let all = store.n_shards() as usize;
        ownership.owned().wait_for(|owned| owned.len() == all).await.unwrap();
        Self { store, journal, ownership, _leases: stop.drop_guard() }
    }

    fn run(&self) -> (JoinHandle<()>, CancellationToken) {
        self.run_beside(None)
    }

    fn run_beside(&self, engine: Option<Dispatcher>) -> (JoinHandle<()>, CancellationToken) {
        let stop = CancellationToken::new();
        let options = ReplayOptions {
            look_every: Duration::from_millis(2),
            ..ReplayOptions::new(self.journal.clone(), self.ownership.clone(), engine)
        };
        (run(options, stop.clone()), stop)
    }

    async fn change(&self, statement: Statement) {
        self.store.commit(Commit::statements(vec![statement])).await.unwrap();
    }

    async fn endpoint(&self, events: &[&str], active: bool) -> EndpointId {
        self.endpoint_with(events, active, EndpointSettings::default()).await
    }

    async fn endpoint_with(&self, events: &[&str], active: bool, settings: EndpointSettings) -> EndpointId {
        let now = self.journal.now();
        let row = EndpointRow {
            id: EndpointId::fresh(),
            tenant: tenant(),
            url: "https://hooks.example/".to_owned(),
            description: String::new(),
            events: serde_json::to_string(events).unwrap(),
            active,
            secrets: EndpointSecrets::new(generate_secret(), now).to_json(),
            settings: settings.to_json(),
            version: 1,
            created_at: now,
            updated_at: now,
        };
        self.change(endpoint_insert(&row)).await;
        row.id
    }

    /// Appends events as if dispatch had found nobody who wants them.
    async fn emit(&self, event_type: &str, n: usize) -> Vec<EventPlace> {
        let mut places = Vec::new();
        for index in 0..n {
            let recorded_at = self.journal.now();
            let new = NewEvent::new(event(event_type, &format!("thing-{index}")), recorded_at);
            let place = self.journal.append(vec![new]).await.unwrap()[0];
            let cursor = CursorMove { consumer: CONSUMER.into(), shard: place.shard, seq: place.seq };
            self.store.commit(Commit { cursors: vec![cursor], ..Commit::default() }).await.unwrap();
            places.push(EventPlace { recorded_at, shard: place.shard, seq: place.seq });
        }
        places
    }

    /// Stores a delivery that has come to its end.
    async fn ended(&self, endpoint_id: &EndpointId, place: EventPlace, state: DeliveryState) {
        let events = self.journal.read(place.shard, place.seq - 1, 1).await.unwrap();
        let row = DeliveryRow {
            id: DeliveryId::fresh(),
            tenant: tenant(),
            endpoint_id: endpoint_id.clone(),
            shard: place.shard,
            seq: place.seq,
            event_id: events[0].event.id.clone(),
            event_type: events[0].event.event_type.clone(),
            state,
            reason: None,
            created_at: self.journal.now(),
            next_attempt_at: (state == DeliveryState::Pending).then(|| self.journal.now()),
            finished_at: None,
            n_attempts: 1,
            latest: None,
            order_key: None,
        };
        self.store.commit(Commit::deliveries(vec![row])).await.unwrap();
    }

    async fn job(&self, change: impl FnOnce(&mut ReplayRow)) -> ReplayId {
        let now = self.journal.now();
        let mut job = ReplayRow {
            id: ReplayId::fresh(),
            tenant: tenant(),
            endpoint_id: None,
            event_types: "[\"**\"]".to_owned(),
            states: "[\"failed\",\"missed\"]".to_owned(),
            since: trunkline_model::Timestamp::from_secs(0),
            until: now.plus(Duration::from_millis(1)),
            rate_per_s: MAX_RATE,
            state: ReplayState::Running,
            reason: None,
            place: EventPlace { recorded_at: now, shard: -1, seq: 0 },
            next_due_at: now,
            n_scanned: 0,
            n_planned: 0,
            n_skipped: 0,
            created_at: now,
            started_at: None,
            updated_at: now,
            finished_at: None,
        };
        change(&mut job);
        self.change(replay_insert(&job)).await;
        job.id
    }

    async fn read(&self, id: &ReplayId) -> ReplayRow {
        replay_get(&self.store, &tenant(), id.as_str()).await.unwrap().unwrap()
    }

    async fn ended_job(&self, id: &ReplayId) -> ReplayRow {
        self.until("the job has ended", async || self.read(id).await.state != ReplayState::Running).await;
        self.read(id).await
    }

    /// How many deliveries in a state each pair has.
    async fn pairs(&self, state: DeliveryState) -> HashMap<Pair, usize> {
        let filter = DeliveryFilter { limit: 100_000, state: Some(state), ..DeliveryFilter::default() };
        let mut pairs = HashMap::new();
        for row in delivery_list(&self.store, &tenant(), &filter).await.unwrap() {
            *pairs.entry((row.endpoint_id, row.shard, row.seq)).or_default() += 1;
        }
        pairs
    }

    async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let ask = async {
            let mut tick = tokio::time::interval(Duration::from_millis(3));
            while !is_so().await {
                tick.tick().await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(30), ask).await.is_ok(), "not so in time: {what}");
    }
}

fn pair(endpoint_id: &EndpointId, place: EventPlace) -> Pair {
    (endpoint_id.clone(), place.shard, place.seq)
}

#[test]
fn a_job_sends_what_it_is_asked_for_and_nothing_else() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let orders = rig.emit("order.paid", 5).await;
        let visits = rig.emit("visit.booked", 2).await;
        let a = rig.endpoint(&["order.*"], true).await;
        let off = rig.endpoint(&["**"], false).await;
        for (place, states) in orders.iter().zip([
            &[S::Succeeded][..],
            &[S::Exhausted],
            &[S::Cancelled, S::Succeeded],
            &[S::Pending, S::Exhausted],
        ]) {
            for state in states {
                rig.ended(&a, *place, *state).await;
            }
        }
        // Owed to it once, whatever it wants now.
        rig.ended(&a, visits[0], S::Exhausted).await;
        let before = rig.pairs(S::Pending).await;
        let (task, stop) = rig.run();
        let id = rig.job(|_| {}).await;
        let job = rig.ended_job(&id).await;
        assert_eq!((job.state, job.n_scanned, job.n_planned), (ReplayState::Completed, 7, 3));
        assert_eq!(job.n_skipped, 3);
        let mut expected = before;
        for place in [orders[1], orders[4], visits[0]] {
            expected.insert(pair(&a, place), 1);
        }
        assert_eq!(rig.pairs(S::Pending).await, expected);

        // What waits now is not sent twice by the next job.
        let again = rig.job(|_| {}).await;
        assert_eq!(rig.ended_job(&again).await.n_planned, 0);
        let succeeded = rig
            .job(|job| {
                job.states = "[\"succeeded\"]".to_owned();
                job.event_types = "[\"order.*\"]".to_owned();
                job.endpoint_id = Some(a.clone());
            })
            .await;
        assert_eq!(rig.ended_job(&succeeded).await.n_planned, 2);
        let paused = rig.job(|job| job.endpoint_id = Some(off)).await;
        let paused = rig.ended_job(&paused).await;
        assert_eq!(
            (paused.state, paused.reason.as_deref()),
            (ReplayState::Paused, Some("endpoint not active"))
        );
        rig.change(endpoint_delete(&tenant(), &a)).await;
        let failed = rig.job(|job| job.endpoint_id = Some(a)).await;
        let failed = rig.ended_job(&failed).await;
        assert_eq!((failed.state, failed.reason.as_deref()), (ReplayState::Failed, Some("endpoint deleted")));
        stop.cancel();
        task.await.unwrap();
    });
}

#[test]
fn an_estimate_is_what_the_job_does() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        rig.emit("order.paid", 12).await;
        rig.emit("visit.booked", 3).await;
        let a = rig.endpoint(&["**"], true).await;
        // Not planned yet, so not missed.
        let late = NewEvent::new(event("order.paid", "late"), rig.journal.now());
        rig.journal.append(vec![late]).await.unwrap();
        let scope = Scope {
            tenant: tenant(),
            endpoint_id: Some(a),
            event_types: vec![Pattern::parse("order.*").unwrap()],
            states: [Wanted::Missed].into(),
            since: trunkline_model::Timestamp::from_secs(0),
            until: rig.journal.now().plus(Duration::from_millis(1)),
        };
        let defaults = DeliveryDefaults::default();
        let directory = EndpointDirectory::new(rig.store.clone(), defaults, Outlets::default());
        directory.refresh().await.unwrap();
        let found = estimate(&rig.store, &scope, &directory.current()).await.unwrap();
        assert_eq!((found.n_scanned, found.n_planned, found.n_skipped), (16, 12, 1));
        assert!(found.is_complete && found.counted_until == scope.until);
        let job = ReplayRow {
            endpoint_id: scope.endpoint_id.clone(),
            event_types: "[\"order.*\"]".to_owned(),
            states: "[\"missed\"]".to_owned(),
            until: scope.until,
            ..rig.read(&rig.job(|job| job.state = ReplayState::Cancelled).await).await
        };
        let id = rig
            .job(|fresh| {
                (fresh.endpoint_id, fresh.until) = (job.endpoint_id, job.until);
                (fresh.event_types, fresh.states) = (job.event_types, job.states);
            })
            .await;
        let (task, stop) = rig.run();
        let job = rig.ended_job(&id).await;
        assert_eq!((job.n_scanned, job.n_planned, job.n_skipped), (16, 12, 1));
        stop.cancel();
        task.await.unwrap();
    });
}

#[test]
fn what_channels_and_filters_refuse_is_not_missed() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let mut places = Vec::new();
        for total in [5, 50, 500] {
            let recorded_at = rig.journal.now();
            let mut one = event("order.paid", "thing");
            one.data = trunkline_model::Data::Json(format!("{{\"total\": {total}}}").into());
            let place = rig.journal.append(vec![NewEvent::new(one, recorded_at)]).await.unwrap()[0];
            let cursor = CursorMove { consumer: CONSUMER.into(), shard: place.shard, seq: place.seq };
            rig.store.commit(Commit { cursors: vec![cursor], ..Commit::default() }).await.unwrap();
            places.push(EventPlace { recorded_at, shard: place.shard, seq: place.seq });
        }
        let settings = EndpointSettings { filter: Some(".data.total > 10".into()), ..Default::default() };
        let filtered = rig.endpoint_with(&["**"], true, settings).await;
        let settings = EndpointSettings { channels: vec!["lab".to_owned()], ..Default::default() };
        rig.endpoint_with(&["**"], true, settings).await;
        let id = rig.job(|_| {}).await;
        let (task, stop) = rig.run();
        let job = rig.ended_job(&id).await;
        assert_eq!((job.n_planned, job.n_skipped), (2, 4));
        let expected = places[1..].iter().map(|place| (pair(&filtered, *place), 1)).collect();
        assert_eq!(rig.pairs(DeliveryState::Pending).await, expected);
        stop.cancel();
        task.await.unwrap();
    });
}

#[test]
fn a_job_keeps_its_pace_and_can_be_paused() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        rig.emit("order.paid", 30).await;
        let a = rig.endpoint(&["**"], true).await;
        let id = rig
            .job(|job| {
                job.endpoint_id = Some(a);
                job.rate_per_s = 1;
            })
            .await;
        let (task, stop) = rig.run();
        // Ten seconds' worth in each step; the third would begin beyond the horizon.
        rig.until("it plans ahead", async || rig.read(&id).await.n_planned >= 20).await;
        let job = rig.read(&id).await;
        assert_eq!((job.n_planned, job.state), (20, ReplayState::Running));
        let filter = DeliveryFilter { limit: 100, ..DeliveryFilter::default() };
        let rows = delivery_list(&rig.store, &tenant(), &filter).await.unwrap();
        let mut due: Vec<_> = rows.iter().filter_map(|row| row.next_attempt_at).collect();
        due.sort_unstable();
        assert!(due.windows(2).all(|pair| pair[1].since(pair[0]) >= Duration::from_millis(999)));
        let set = async |from, to| {
            rig.change(replay_set_state(&tenant(), id.as_str(), (from, to), rig.journal.now())).await;
        };
        set(ReplayState::Running, ReplayState::Paused).await;
        // Another tenant's job is not held up, nor is the next one of this tenant.
        let next = rig.job(|job| job.states = "[\"failed\"]".to_owned()).await;
        assert_eq!(rig.ended_job(&next).await.state, ReplayState::Completed);
        assert_eq!(rig.read(&id).await.n_planned, 20);
        set(ReplayState::Paused, ReplayState::Cancelled).await;
        stop.cancel();
        task.await.unwrap();
    });
}

#[test]
fn what_a_job_makes_is_delivered() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        rig.emit("order.paid", 40).await;
        let a = rig.endpoint(&["**"], true).await;
        let transport: Arc<dyn Transport> = Arc::new(Yes);
        let options = DispatcherOptions::new(rig.journal.clone(), rig.ownership.clone(), transport);
        let engine = Dispatcher::start(options, CancellationToken::new());
        let (task, stop) = rig.run_beside(Some(engine.clone()));
        let id = rig.job(|job| job.endpoint_id = Some(a.clone())).await;
        assert_eq!(rig.ended_job(&id).await.n_planned, 40);
        let done = async || rig.pairs(DeliveryState::Succeeded).await.len() == 40;
        rig.until("all were delivered", done).await;
        assert!(rig.pairs(DeliveryState::Succeeded).await.values().all(|n| *n == 1));
        stop.cancel();
        task.await.unwrap();
        engine.stop().await;
    });
}

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

/// Names the seed when a run fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the seed was {}", self.0);
        }
    }
}

/// Runs jobs with two runners at a time, each ended at whatever await it has come to, again and again.
async fn play(home: &TestStore, seed: u64) {
    let mut dice = Dice(seed);
    let rig = Rig::new(home).await;
    let places = rig.emit("order.paid", 60).await;
    let mut endpoints = Vec::new();
    // Many endpoints make small pages, so that a job takes several steps.
    for _ in 0..51 {
        endpoints.push(rig.endpoint(&["visit.*"], true).await);
    }
    let wanting = [rig.endpoint(&["order.*"], true).await, rig.endpoint(&["**"], true).await];
    let mut expected = HashMap::new();
    for place in &places {
        for endpoint_id in &wanting {
            match dice.roll(4) {
                0 => rig.ended(endpoint_id, *place, DeliveryState::Succeeded).await,
                1 => {
                    rig.ended(endpoint_id, *place, DeliveryState::Exhausted).await;
                    expected.insert(pair(endpoint_id, *place), 1);
                }
                _ => drop(expected.insert(pair(endpoint_id, *place), 1)),
            }
        }
    }
    let id = rig.job(|_| {}).await;
    let mut n_crashes = 0;
    while rig.read(&id).await.state == ReplayState::Running {
        let runners = [rig.run(), rig.run()];
        for _ in 0..dice.roll(60) {
            tokio::task::yield_now().await;
        }
        let before = rig.read(&id).await.n_planned;
        let more = async || {
            let job = rig.read(&id).await;
            job.n_planned > before || job.state != ReplayState::Running
        };
        if dice.roll(2) == 0 {
            rig.until("some progress", more).await;
        }
        for (task, _) in runners {
            task.abort();
            drop(task.await);
        }
        n_crashes += 1;
        assert!(n_crashes < 10_000, "the job never ends");
    }
    let job = rig.read(&id).await;
    assert_eq!((job.state, job.n_scanned), (ReplayState::Completed, 60));
    assert_eq!(rig.pairs(DeliveryState::Pending).await, expected);
    assert_eq!(job.n_planned as usize, expected.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_pair_is_planned_twice_or_left_out() {
    for seed in 0..12 {
        let _named = Seed(seed);
        let home = TestStore::sqlite().await;
        play(&home, seed).await;
        home.store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_pair_is_planned_twice_or_left_out_over_many_shards() {
    for seed in 100..104 {
        let _named = Seed(seed);
        let Some(home) = TestStore::postgres().await else { return };
        play(&home, seed).await;
        home.store.close().await;
    }
}
