//! Endpoints that fail: what they may ask for, breakers, the durable clock, what is told of them, and that the others
//! do not notice.

use std::collections::HashMap;

use trunkline_model::{Event, EventId};
use trunkline_store::tables::endpoint::EndpointRow;
use trunkline_store::tables::endpoint_health::{EndpointHealthRow, endpoint_health_get, endpoint_health_put};
use trunkline_store::tables::event::EventFilter;

use super::*;

/// Limits under which health is written at once and breakers open late.
fn watchful() -> EngineLimits {
    EngineLimits { health_every: Duration::from_millis(5), failures_to_open: 1000, ..patient() }
}

impl Rig {
    async fn endpoint_row(&self, id: &EndpointId) -> EndpointRow {
        endpoint::endpoint_get(&self.store, &rig::tenant(), id.as_str()).await.unwrap().unwrap()
    }

    async fn health(&self, id: &EndpointId) -> Option<EndpointHealthRow> {
        endpoint_health_get(&self.store, &rig::tenant(), id.as_str()).await.unwrap()
    }

    async fn switched_off(&self, id: &EndpointId) -> EndpointHealthRow {
        self.until("the endpoint is off", async || !self.endpoint_row(id).await.active).await;
        self.health(id).await.unwrap()
    }

    /// What dispatch has told, oldest first.
    async fn told(&self, event_type: &str) -> Vec<Event> {
        let filter =
            EventFilter { event_type: Some(event_type.to_owned()), limit: 1000, ..EventFilter::default() };
        let found = event::event_list(&self.store, &rig::tenant(), &filter).await.unwrap();
        found.into_iter().rev().map(|record| record.event).collect()
    }
}

fn data(event: &Event) -> serde_json::Value {
    serde_json::from_str(event.data.as_json().unwrap()).unwrap()
}

#[test]
fn gone_switches_the_endpoint_off() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let gone = rig.endpoint("/gone", &["order.*"], fast()).await;
        rig.endpoint("/watch", &["endpoint.**"], fast()).await;
        rig.net.script(|seen| Reply::Status(if seen.path == "/gone" { 410 } else { 200 }));
        let engine = rig.start(patient());
        let ids = rig.emit("order.paid", 1).await;
        let health = rig.switched_off(&gone).await;
        assert_eq!((health.disabled_reason.as_deref(), health.n_failures), (Some("gone"), 1));
        assert_eq!(rig.endpoint_row(&gone).await.version, 2);
        // One for the order, one that tells of the endpoint.
        let rows = rig.settled(2).await;
        let row = rows.iter().find(|row| row.endpoint_id == gone).unwrap();
        assert_eq!((row.state, row.reason.as_deref()), (DeliveryState::Cancelled, Some("gone")));
        assert_eq!((row.n_attempts, row.latest.as_ref().unwrap().status), (1, Some(410)));
        let told = rig.told("endpoint.disabled").await.remove(0);
        assert_eq!((&*told.source, told.subject.as_deref()), (OWN_SOURCE, Some(gone.as_str())));
        assert_eq!((told.tenant.clone(), told.causationid.as_ref()), (rig::tenant(), ids.first()));
        assert_eq!((&data(&told)["reason"], &data(&told)["n_failures"]), (&"gone".into(), &1.into()));
        rig.emit("order.paid", 1).await;
        engine.stop().await;
        assert_eq!(rig.net.seen().iter().filter(|seen| seen.path == "/gone").count(), 1);
    });
}

#[test]
fn switching_off_cancels_what_waits() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let settings = EndpointSettings { backoff_ms: Some(vec![3_600_000]), in_flight: Some(1), ..fast() };
        let gone = rig.endpoint("/gone", &["**"], settings).await;
        let ids = rig.emit_about("order.paid", 4, "the same").await;
        let last = ids[3].clone();
        rig.net.script(move |seen| Reply::Status(if seen.id == last { 410 } else { 500 }));
        let engine = rig.start(patient());
        let rows = rig.settled(4).await;
        assert!(rows.iter().all(|row| row.reason.as_deref() == Some("gone")), "{rows:?}");
        assert!(rows.iter().all(|row| row.n_attempts == 1 && row.next_attempt_at.is_none()));
        assert!(!rig.endpoint_row(&gone).await.active);
        engine.stop().await;
    });
}

#[test]
fn receivers_ask_to_be_left_alone() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let off = rig.endpoint("/off", &["**"], fast()).await;
        let abort = rig.endpoint("/abort", &["order.*"], fast()).await;
        rig.net.script(|seen| match seen.path.as_str() {
            "/off" => Reply::With(200, "webhook-delivery", "disable"),
            _ => Reply::With(500, "webhook-delivery", "abort-message"),
        });
        let engine = rig.start(patient());
        rig.emit("order.paid", 1).await;
        let health = rig.switched_off(&off).await;
        assert_eq!(health.disabled_reason.as_deref(), Some("asked by receiver"));
        for row in rig.settled(2).await {
            let expect = if row.endpoint_id == off {
                (DeliveryState::Succeeded, None)
            } else {
                (DeliveryState::Cancelled, Some("aborted by receiver"))
            };
            assert_eq!((row.state, row.reason.as_deref()), expect);
            assert_eq!(row.n_attempts, 1);
        }
        assert!(rig.endpoint_row(&abort).await.active);
        engine.stop().await;
    });
}

#[test]
fn retry_after_puts_the_next_attempt_off() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        rig.endpoint("/busy", &["**"], fast()).await;
        rig.net.script(|_| Reply::With(502, "retry-after", "600"));
        let engine = rig.start(patient());
        rig.emit("order.paid", 1).await;
        rig.until("the first attempt failed", async || rig.deliveries().await.len() == 1).await;
        let row = rig.deliveries().await.remove(0);
        let wait = row.next_attempt_at.unwrap().since(row.latest.unwrap().started_at);
        assert!(wait >= Duration::from_mins(10) && wait < Duration::from_mins(11), "{wait:?}");
        engine.stop().await;
    });
}

#[test]
fn an_open_breaker_spends_nothing_and_closes_by_a_probe() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let settings = EndpointSettings { max_attempts: Some(20), in_flight: Some(1), ..fast() };
        let down = rig.endpoint("/down", &["order.*"], settings).await;
        rig.endpoint("/watch", &["endpoint.*"], fast()).await;
        rig.net.script(|seen| Reply::Status(if seen.path == "/down" { 500 } else { 200 }));
        let limits = EngineLimits {
            failures_to_open: 3,
            cool_down: Duration::from_millis(300),
            cool_down_max: Duration::from_millis(300),
            ..watchful()
        };
        let engine = rig.start(limits);
        rig.emit("order.paid", 10).await;
        let is_held = |row: &delivery::DeliveryRow| {
            row.reason.as_deref().is_some_and(|reason| reason.starts_with("circuit open until 2"))
        };
        rig.until("all wait for the breaker", async || {
            let rows = rig.deliveries().await;
            rows.len() == 10 && rows.iter().all(is_held)
        })
        .await;
        // New ones do not wait in memory.
        rig.emit("order.paid", 5).await;
        rig.until("new ones are stored", async || rig.deliveries().await.len() == 15).await;
        let n_spent: i64 = rig.deliveries().await.iter().map(|row| row.n_attempts).sum();
        assert_eq!(n_spent as usize, rig.net.seen().len());
        rig.net.script(|_| Reply::Status(200));
        rig.until("recovered", async || rig.told("endpoint.recovered").await.len() == 1).await;
        for row in rig.settled(16).await {
            assert_eq!((row.state, row.reason), (DeliveryState::Succeeded, None));
        }
        let health = rig.health(&down).await.unwrap();
        assert!(health.failing_since.is_none() && health.last_success_at.is_some());
        engine.stop().await;
    });
}

#[test]
fn a_large_backlog_behind_an_open_breaker_does_not_spin() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let down = rig.endpoint("/down", &["order.*"], fast()).await;
        rig.net.script(|_| Reply::Status(500));
        let ids = rig.emit_about("order.paid", 3, "the same").await;
        let limits = EngineLimits { failures_to_open: 3, cool_down: Duration::from_hours(1), ..watchful() };
        let limits = EngineLimits { cool_down_max: Duration::from_hours(1), ..limits };
        let engine = rig.start(limits);
        rig.until("the breaker is open", async || engine.shared.metrics.n_breakers_open() == 1).await;
        rig.until("all wait", async || {
            let rows = rig.deliveries().await;
            rows.len() == 3 && rows.iter().all(|row| row.reason.is_some())
        })
        .await;
        let model = rig.deliveries().await.remove(0);
        let now = rig.journal.now();
        let pending = (0..2500).map(|_| delivery::DeliveryRow {
            id: trunkline_model::DeliveryId::fresh(),
            reason: None,
            next_attempt_at: Some(now),
            n_attempts: 0,
            latest: None,
            ..model.clone()
        });
        rig.store.commit(Commit::deliveries(pending.collect())).await.unwrap();
        let n_overdue =
            async || delivery::delivery_count_stuck(&rig.store, now.plus(Duration::from_secs(1))).await;
        for left in [1500, 500, 0] {
            engine.shared.poke(model.shard, &down, now);
            rig.until("some are put off", async || n_overdue().await.unwrap() == left).await;
            let due = std::sync::Arc::clone(&engine.shared.shards.read()[&model.shard]);
            // Nothing is looked at again before the breaker lets go.
            rig.until("the next look is far away", async || {
                due.next().is_some_and(|at| at > now.plus(Duration::from_mins(10)))
            })
            .await;
        }
        assert_eq!(rig.net.seen().len(), ids.len());
        engine.stop().await;
    });
}

#[test]
fn retrying_by_hand_probes() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let settings = EndpointSettings { max_attempts: Some(20), ..fast() };
        rig.endpoint("/down", &["order.*"], settings).await;
        rig.net.script(|_| Reply::Reset);
        let limits = EngineLimits { failures_to_open: 2, cool_down: Duration::from_mins(5), ..watchful() };
        let engine = rig.start(limits);
        rig.emit("order.paid", 1).await;
        let is_held = async || rig.deliveries().await.iter().any(|row| row.reason.is_some());
        rig.until("the delivery waits for the breaker", is_held).await;
        rig.net.script(|_| Reply::Status(200));
        let id = rig.deliveries().await.remove(0).id;
        engine.retry_now(&rig::tenant(), id.as_str()).await.unwrap();
        let row = rig.settled(1).await.remove(0);
        assert_eq!((row.state, row.n_attempts), (DeliveryState::Succeeded, 3));
        engine.stop().await;
    });
}

#[test]
fn the_clock_outlives_restarts_and_switches_off() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let settings = EndpointSettings { max_attempts: Some(20), backoff_ms: Some(vec![20]), ..fast() };
        let id = rig.endpoint("/dead", &["order.*"], settings).await;
        rig.net.script(|_| Reply::Status(500));
        let engine = rig.start(EngineLimits { disable_after: None, ..watchful() });
        rig.emit("order.paid", 1).await;
        rig.until("the failure is on record", async || rig.health(&id).await.is_some()).await;
        engine.stop().await;
        let before = rig.health(&id).await.unwrap();
        let since = before.failing_since.unwrap();

        let engine = rig.start(EngineLimits { disable_after: Some(Duration::from_millis(1)), ..watchful() });
        let health = rig.switched_off(&id).await;
        assert_eq!(health.failing_since, Some(since), "the clock went on");
        assert_eq!(health.disabled_reason.as_deref(), Some("failing for too long"));
        assert!(health.n_failures > before.n_failures && health.disabled_at.is_some());
        let row = rig.settled(1).await.remove(0);
        assert_eq!((row.state, row.reason), (DeliveryState::Cancelled, health.disabled_reason));
        engine.stop().await;

        // Switched on again, it starts anew, and does well.
        let mut row = rig.endpoint_row(&id).await;
        (row.active, row.version) = (true, row.version + 1);
        rig.store.commit(Commit::statements(vec![endpoint::endpoint_update(&row)])).await.unwrap();
        rig.net.script(|_| Reply::Status(200));
        let engine = rig.start(EngineLimits { disable_after: Some(Duration::from_millis(1)), ..watchful() });
        rig.emit("order.paid", 1).await;
        rig.settled(2).await;
        engine.stop().await;
        let health = rig.health(&id).await.unwrap();
        assert_eq!((health.failing_since, health.disabled_at, health.n_failures), (None, None, 0));
        assert!(rig.endpoint_row(&id).await.active);
    });
}

#[test]
fn an_endpoint_that_does_well_is_not_written_about() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let id = rig.endpoint("/a", &["**"], fast()).await;
        let engine = rig.start(watchful());
        rig.emit("order.paid", 10).await;
        rig.settled(10).await;
        engine.stop().await;
        assert_eq!(rig.health(&id).await, None);
    });
}

#[test]
fn what_is_told_does_not_feed_itself() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let settings = EndpointSettings { max_attempts: Some(1), ..fast() };
        let paths: HashMap<EndpointId, &str> = HashMap::from([
            (rig.endpoint("/a", &["**"], settings.clone()).await, "/a"),
            (rig.endpoint("/b", &["**"], settings).await, "/b"),
        ]);
        rig.net.script(|_| Reply::Status(500));
        let engine = rig.start(watchful());
        let ids = rig.emit("order.paid", 2).await;
        // Two orders at two endpoints; of each that is given up the other endpoint is told, in vain.
        let rows = rig.settled(8).await;
        assert!(rows.iter().all(|row| row.state == DeliveryState::Exhausted));
        engine.stop().await;
        let engine = rig.start(watchful());
        rig.until("everything is planned", async || rig.n_recorded().await == 6).await;
        engine.stop().await;
        assert_eq!(rig.deliveries().await.len(), 8);
        let told = rig.told("delivery.exhausted").await;
        assert_eq!(told.len(), 4);
        for event in told {
            let about = EndpointId::from_text(event.subject.as_deref().unwrap());
            let found = data(&event);
            assert_eq!(found["endpoint_id"], about.as_str());
            assert!(ids.iter().any(|id| found["event_id"] == id.as_str()));
            assert!(event.causationid.is_some_and(|id| ids.contains(&id)));
            let id: &EventId = &event.id;
            let sent: Vec<_> = rig.net.seen().into_iter().filter(|seen| seen.id == id.as_str()).collect();
            assert_eq!(sent.len(), 1);
            assert_ne!(sent[0].path, paths[&about]);
        }
        assert!(rig.told("endpoint.disabled").await.is_empty());
    });
}

#[test]
fn a_rate_limit_holds_for_first_attempts_and_retries() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let limited = EndpointSettings { rate_limit: Some(50.0), in_flight: Some(10), ..fast() };
        rig.endpoint("/limited", &["**"], limited).await;
        rig.endpoint("/free", &["**"], fast()).await;
        rig.net
            .script(|seen| Reply::Status(if seen.path == "/limited" && seen.nth == 1 { 503 } else { 200 }));
        let limits = EngineLimits { spill_after: Duration::from_millis(50), ..watchful() };
        let engine = rig.start(limits);
        let begin = std::time::Instant::now();
        rig.emit_about("order.paid", 20, "the same").await;
        rig.until("the other one has everything", async || {
            rig.deliveries().await.iter().filter(|row| row.state == DeliveryState::Succeeded).count() >= 20
        })
        .await;
        let n_limited = rig.net.seen().iter().filter(|seen| seen.path == "/limited").count();
        assert!(n_limited as u128 <= 2 + begin.elapsed().as_millis() / 20, "{n_limited}");
        let rows = rig.settled(40).await;
        assert!(rows.iter().all(|row| row.state == DeliveryState::Succeeded));
        assert_eq!(rig.net.seen().len(), 60);
        // 40 attempts, 20 ms apart.
        assert!(begin.elapsed() >= Duration::from_millis(39 * 20 - 10));
        engine.stop().await;
    });
}

#[test]
fn one_of_a_hundred_hangs_and_nobody_else_notices() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let slow = rig.endpoint("/slow", &["**"], fast()).await;
        for n in 1..100 {
            rig.endpoint(&format!("/live-{n}"), &["**"], fast()).await;
        }
        let gate = rig.net.gate("/slow");
        let limits = EngineLimits { in_flight_total: 20, spill_after: Duration::from_secs(2), ..watchful() };
        let engine = rig.start(limits);
        rig.emit_about("order.paid", 10, "the same").await;
        rig.until("the others have everything", async || {
            rig.deliveries().await.iter().filter(|row| row.state == DeliveryState::Succeeded).count() == 990
        })
        .await;
        let seen = rig.net.seen();
        assert_eq!(seen.iter().filter(|seen| seen.path == "/slow").count(), 5, "its own cap and no more");
        assert_eq!(seen.len(), 995);
        let waiting: Vec<_> =
            rig.deliveries().await.into_iter().filter(|row| row.endpoint_id == slow).collect();
        assert!(waiting.iter().all(|row| row.state == DeliveryState::Pending));
        gate.open();
        let rows = rig.settled(1000).await;
        assert!(rows.iter().all(|row| (row.state, row.n_attempts) == (DeliveryState::Succeeded, 1)));
        engine.stop().await;
    });
}

/// Limits under which an endpoint is switched off by its second failure and probed soon.
fn probing() -> EngineLimits {
    let ms = Duration::from_millis;
    EngineLimits {
        disable_after: Some(ms(1)),
        probe_after: ms(20),
        probe_after_max: ms(40),
        probe_every: ms(5),
        ..watchful()
    }
}

#[test]
fn what_failed_for_too_long_is_probed_and_comes_back() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let down = rig.endpoint("/down", &["order.*"], fast()).await;
        rig.net.script(|_| Reply::Status(500));
        let engine = rig.start(probing());
        rig.emit("order.paid", 1).await;
        let off = rig.switched_off(&down).await;
        assert_eq!(off.disabled_reason.as_deref(), Some("failing for too long"));
        rig.until("it was probed twice", async || {
            rig.health(&down).await.is_some_and(|health| health.n_probes >= 2)
        })
        .await;
        assert!(!rig.endpoint_row(&down).await.active);
        rig.net.script(|_| Reply::Status(200));
        rig.until("it is on again", async || rig.endpoint_row(&down).await.active).await;
        let health = rig.health(&down).await.unwrap();
        assert_eq!((health.failing_since, health.disabled_at, health.probe_at), (None, None, None));
        let told = rig.told("endpoint.recovered").await.remove(0);
        assert_eq!(told.subject.as_deref(), Some(down.as_str()));
        assert!(data(&told)["failing_since"].is_string());
        let probe = rig.net.seen().pop().unwrap();
        assert!(std::str::from_utf8(&probe.body).unwrap().contains("webhook.test"));
        rig.emit("order.paid", 1).await;
        rig.until("it gets events", async || {
            rig.deliveries().await.iter().any(|row| row.state == DeliveryState::Succeeded)
        })
        .await;
        engine.stop().await;
    });
}

#[test]
fn whoever_changes_an_endpoint_that_is_off_has_the_say() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let down = rig.endpoint("/down", &["order.*"], fast()).await;
        rig.net.script(|_| Reply::Status(500));
        let far = Duration::from_hours(1);
        let engine = rig.start(EngineLimits { probe_after: far, ..probing() });
        rig.emit("order.paid", 1).await;
        let off = rig.switched_off(&down).await;
        engine.stop().await;
        let row = rig.endpoint_row(&down).await;
        let touched = EndpointRow { version: row.version + 1, description: "leave it".into(), ..row };
        let due = EndpointHealthRow {
            probe_at: Some(off.disabled_at.unwrap()),
            updated_at: off.updated_at.plus(Duration::from_micros(1)),
            ..off.clone()
        };
        let statements =
            vec![endpoint::endpoint_update(&touched), endpoint_health_put(&due, Some(off.updated_at))];
        rig.store.commit(Commit::statements(statements)).await.unwrap();
        rig.net.script(|_| Reply::Status(200));
        let n_before = rig.net.seen().len();
        let engine = rig.start(probing());
        rig.until("the probes are given up", async || {
            rig.health(&down).await.is_some_and(|health| health.probe_at.is_none())
        })
        .await;
        assert!(!rig.endpoint_row(&down).await.active);
        assert_eq!(rig.net.seen().len(), n_before);
        engine.stop().await;
    });
}
