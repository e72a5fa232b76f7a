//! The engine on real stores, with a scripted network.

mod failing;
mod order;
mod requests;
mod rig;
mod selection;
mod simulation;
mod sinks;
mod tokens;

use std::time::Duration;

use trunkline_model::{EventRecord, Timestamp};
use trunkline_store::tables::delivery::{self, DeliveryState};
use trunkline_store::tables::lease::{self, LeaseRow};
use trunkline_store::tables::{consumer, endpoint, event};
use trunkline_store::{Commit, Dialect};
use trunkline_testkit::{TestStore, for_each_store};

use self::rig::{Reply, Rig, fast, patient};
use super::*;
use crate::endpoint::EndpointSettings;

#[test]
fn a_delivery_that_succeeds_at_once_costs_one_row() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        rig.endpoint("/a", &["order.*"], fast()).await;
        let ids = rig.emit("order.paid", 3).await;
        rig.emit("visit.booked", 2).await;
        let engine = rig.start(patient());
        let rows = rig.settled(3).await;
        for row in &rows {
            assert_eq!((row.state, row.n_attempts), (DeliveryState::Succeeded, 1));
            assert_eq!(row.latest.as_ref().and_then(|latest| latest.status), Some(200));
            assert_eq!(delivery::attempt_list(&rig.store, row).await.unwrap().len(), 1);
        }
        let mut sent: Vec<String> = rig.net.seen().into_iter().map(|seen| seen.id).collect();
        sent.sort();
        assert_eq!(sent, ids);
        assert_eq!(engine.shared.metrics.n_spilled(), 0);
        let n_kept = rig.store.query("SELECT count(*) FROM attempts", vec![]).await.unwrap();
        assert_eq!(n_kept.into_iter().next().unwrap().int().unwrap(), 0);
        engine.stop().await;
        assert_eq!(rig.n_recorded().await, 5);
    });
}

#[test]
fn failures_are_tried_again_by_the_schedule() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let settings = EndpointSettings { backoff_ms: Some(vec![20, 60]), ..fast() };
        rig.endpoint("/flaky", &["**"], settings).await;
        rig.net.script(|seen| if seen.nth < 3 { Reply::Status(500) } else { Reply::Status(204) });
        let engine = rig.start(patient());
        rig.emit("order.paid", 1).await;
        let row = rig.settled(1).await.remove(0);
        assert_eq!((row.state, row.n_attempts), (DeliveryState::Succeeded, 3));
        let attempts = delivery::attempt_list(&rig.store, &row).await.unwrap();
        let statuses: Vec<_> = attempts.iter().map(|a| (a.number, a.outcome.status)).collect();
        assert_eq!(statuses, [(1, Some(500)), (2, Some(500)), (3, Some(204))]);
        assert_eq!(attempts[0].outcome.error_class.as_deref(), Some("http_5xx"));
        // 20 % of jitter either way.
        for (pair, at_least) in attempts.windows(2).zip([16, 48]) {
            let wait = pair[1].outcome.started_at.since(pair[0].outcome.started_at);
            assert!(wait >= Duration::from_millis(at_least), "{wait:?}");
        }
        let seen = rig.net.seen();
        assert!(seen.windows(2).all(|pair| (&pair[0].id, &pair[0].body) == (&pair[1].id, &pair[1].body)));
        engine.stop().await;
    });
}

#[test]
fn attempts_run_out() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let settings = EndpointSettings { max_attempts: Some(2), ..fast() };
        rig.endpoint("/dead", &["**"], settings).await;
        rig.net.script(|_| Reply::Reset);
        let engine = rig.start(patient());
        rig.emit("order.paid", 2).await;
        for row in rig.settled(2).await {
            assert_eq!((row.state, row.n_attempts), (DeliveryState::Exhausted, 2));
            assert_eq!(row.latest.unwrap().error_class.as_deref(), Some("dns"));
        }
        engine.stop().await;
    });
}

#[test]
fn a_hanging_endpoint_does_not_hold_up_others() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let slow = rig.endpoint("/slow", &["**"], fast()).await;
        let ok = rig.endpoint("/ok", &["**"], fast()).await;
        let gate = rig.net.gate("/slow");
        let limits = EngineLimits { spill_after: Duration::from_millis(20), ..patient() };
        let engine = rig.start(limits);
        rig.emit("order.paid", 50).await;
        rig.until("the healthy endpoint has everything", async || {
            let rows = rig.deliveries().await;
            rows.iter().filter(|row| row.endpoint_id == ok && row.state.is_terminal()).count() == 50
        })
        .await;
        let waiting: Vec<_> =
            rig.deliveries().await.into_iter().filter(|row| row.endpoint_id == slow).collect();
        assert!(waiting.iter().all(|row| row.state == DeliveryState::Pending && row.n_attempts == 0));
        assert_eq!((waiting.len(), rig.n_recorded().await), (50, 50));
        gate.open();
        let rows = rig.settled(100).await;
        assert!(rows.iter().all(|row| (row.state, row.n_attempts) == (DeliveryState::Succeeded, 1)));
        // Nothing was sent twice, although rows were stored while attempts were under way.
        assert_eq!(rig.net.seen().len(), 100);
        engine.stop().await;
    });
}

#[test]
fn a_crash_loses_nothing_and_keeps_ids() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        rig.endpoint("/a", &["**"], fast()).await;
        let gate = rig.net.gate("/a");
        let engine = rig.start(patient());
        let ids = rig.emit("order.paid", 20).await;
        rig.until("attempts are under way", async || rig.net.seen().len() >= 4).await;
        engine.crash().await;
        assert_eq!((rig.deliveries().await.len(), rig.n_recorded().await), (0, 0));
        gate.open();
        let engine = rig.start(patient());
        let rows = rig.settled(20).await;
        assert!(rows.iter().all(|row| row.state == DeliveryState::Succeeded));
        let seen = rig.net.seen();
        for id in ids {
            let sent: Vec<_> = seen.iter().filter(|seen| seen.id == id).collect();
            assert!(!sent.is_empty() && sent.iter().all(|one| one.body == sent[0].body), "{id}");
        }
        engine.stop().await;
    });
}

#[test]
fn a_stale_fence_ends_planning() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        rig.endpoint("/a", &["**"], fast()).await;
        let engine = rig.start(patient());
        rig.until("the shards are at work", async || {
            engine.shared.shards.read().len() as i64 == rig.store.n_shards()
        })
        .await;
        for held in lease::lease_list(&rig.store).await.unwrap() {
            let taken = LeaseRow { owner: "other".into(), epoch: held.epoch + 1, ..held.clone() };
            let statement = lease::lease_take(&taken, held.epoch);
            rig.store.commit(Commit::statements(vec![statement])).await.unwrap();
        }
        let id = rig.emit("order.paid", 1).await.remove(0);
        let record = event::event_get(&rig.store, &rig::tenant(), &id).await.unwrap().unwrap();
        rig.until("the shard is given up", async || !engine.shared.shards.read().contains_key(&record.shard))
            .await;
        assert_eq!((rig.deliveries().await.len(), rig.n_recorded().await), (0, 0));
        engine.stop().await;
    });
}

#[test]
fn an_inactive_or_removed_endpoint_gets_nothing_more() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let settings = EndpointSettings { backoff_ms: Some(vec![30]), ..fast() };
        let off = rig.endpoint("/off", &["**"], settings.clone()).await;
        let gone = rig.endpoint("/gone", &["**"], settings).await;
        rig.net.script(|_| Reply::Status(500));
        let engine = rig.start(patient());
        rig.emit("order.paid", 3).await;
        rig.until("all have failed once", async || rig.deliveries().await.len() == 6).await;
        let tenant = rig::tenant();
        let mut row = endpoint::endpoint_get(&rig.store, &tenant, off.as_str()).await.unwrap().unwrap();
        (row.active, row.version) = (false, row.version + 1);
        let statements = vec![endpoint::endpoint_update(&row), endpoint::endpoint_delete(&tenant, &gone)];
        rig.store.commit(Commit::statements(statements)).await.unwrap();
        engine.refresh_endpoints().await.unwrap();
        for row in rig.settled(6).await {
            let reason = if row.endpoint_id == off { "endpoint disabled" } else { "endpoint deleted" };
            assert_eq!((row.state, row.reason.as_deref()), (DeliveryState::Cancelled, Some(reason)));
        }
        let n_sent = rig.net.seen().len();
        rig.emit("order.paid", 1).await;
        engine.stop().await;
        assert_eq!(rig.net.seen().len(), n_sent);
    });
}

#[test]
fn caps_hold_and_planning_keeps_the_order() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        rig.endpoint("/one", &["**"], EndpointSettings { in_flight: Some(1), ..fast() }).await;
        rig.endpoint("/three", &["**"], EndpointSettings { in_flight: Some(3), ..fast() }).await;
        let engine = rig.start(patient());
        let ids = rig.emit_about("order.paid", 40, "the same").await;
        rig.settled(80).await;
        assert_eq!(rig.net.most_open("/one"), 1);
        assert!(rig.net.most_open("/three") <= 3);
        let sent: Vec<String> =
            rig.net.seen().into_iter().filter(|seen| seen.path == "/one").map(|seen| seen.id).collect();
        assert_eq!(sent, ids);
        engine.stop().await;
    });
}

#[test]
fn a_full_lane_spills_and_catches_up() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        rig.endpoint("/a", &["**"], EndpointSettings { in_flight: Some(2), ..fast() }).await;
        let limits = EngineLimits { lane: 4, in_flight_total: 3, ..patient() };
        let engine = rig.start(limits);
        rig.emit("order.paid", 300).await;
        let rows = rig.settled(300).await;
        assert!(rows.iter().all(|row| (row.state, row.n_attempts) == (DeliveryState::Succeeded, 1)));
        assert_eq!(rig.net.seen().len(), 300);
        assert!(rig.net.most_open("/a") <= 2);
        engine.stop().await;
    });
}

#[test]
fn stopping_records_what_was_made_and_keeps_the_rest() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        rig.endpoint("/a", &["**"], EndpointSettings { in_flight: Some(2), ..fast() }).await;
        let gate = rig.net.gate("/a");
        let engine = rig.start(patient());
        rig.emit_about("order.paid", 10, "the same").await;
        rig.until("two attempts are open", async || rig.net.seen().len() == 2).await;
        let (stopped, ()) =
            tokio::join!(tokio::time::timeout(Duration::from_secs(20), engine.stop()), async {
                engine.stopping.cancelled().await;
                gate.open();
            });
        assert!(stopped.is_ok());
        let rows = rig.deliveries().await;
        let n_done = rows.iter().filter(|row| row.state == DeliveryState::Succeeded).count();
        assert_eq!((n_done, rows.len(), rig.net.seen().len()), (2, 10, 2));
        assert_eq!(rig.n_recorded().await, 10);

        let engine = rig.start(patient());
        let rows = rig.settled(10).await;
        assert!(rows.iter().all(|row| (row.state, row.n_attempts) == (DeliveryState::Succeeded, 1)));
        assert_eq!(rig.net.seen().len(), 10);
        engine.stop().await;
    });
}

#[test]
fn a_panic_in_the_transport_is_a_failed_attempt() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        rig.endpoint("/a", &["**"], fast()).await;
        rig.net.script(|seen| if seen.nth == 1 { Reply::Panic } else { Reply::Status(200) });
        let engine = rig.start(patient());
        rig.emit("order.paid", 2).await;
        for row in rig.settled(2).await {
            assert_eq!((row.state, row.n_attempts), (DeliveryState::Succeeded, 2));
        }
        assert_eq!(engine.shared.metrics.n_attempts("internal"), 2);
        engine.stop().await;
    });
}

#[test]
fn an_expired_event_cancels_its_deliveries() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let settings = EndpointSettings { backoff_ms: Some(vec![60]), ..fast() };
        rig.endpoint("/a", &["**"], settings).await;
        rig.net.script(|_| Reply::Status(503));
        let engine = rig.start(patient());
        let id = rig.emit("order.paid", 1).await.remove(0);
        rig.until("the first attempt failed", async || rig.deliveries().await.len() == 1).await;
        let EventRecord { shard, seq, .. } =
            event::event_get(&rig.store, &rig::tenant(), &id).await.unwrap().unwrap();
        rig.store.commit(Commit::statements(vec![event::event_delete(shard, seq)])).await.unwrap();
        let row = rig.settled(1).await.remove(0);
        assert_eq!((row.state, row.reason.as_deref()), (DeliveryState::Cancelled, Some("event expired")));
        engine.stop().await;
    });
}

#[tokio::test]
async fn an_unusable_endpoint_fails_visibly() {
    let home = TestStore::sqlite().await;
    assert_eq!(home.store.dialect(), Dialect::Sqlite);
    let rig = Rig::new(&home).await;
    let settings = EndpointSettings { max_attempts: Some(1), ..fast() };
    let id = rig.endpoint("/a", &["**"], settings).await;
    let mut row = endpoint::endpoint_get(&rig.store, &rig::tenant(), id.as_str()).await.unwrap().unwrap();
    (row.url, row.version) = ("http://169.254.169.254/".into(), 2);
    rig.store.commit(Commit::statements(vec![endpoint::endpoint_update(&row)])).await.unwrap();
    let engine = rig.start(patient());
    rig.emit("order.paid", 1).await;
    let row = rig.settled(1).await.remove(0);
    assert_eq!(row.state, DeliveryState::Exhausted);
    assert_eq!(row.latest.unwrap().error_class.as_deref(), Some("blocked"));
    assert!(rig.net.seen().is_empty());
    engine.stop().await;
    assert_eq!(consumer::cursor_list(&rig.store).await.unwrap()[0].consumer, CONSUMER);
    assert!(rig.deliveries().await.iter().all(|row| row.created_at > Timestamp::default()));
}
