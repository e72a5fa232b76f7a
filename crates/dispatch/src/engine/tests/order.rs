//! Ordered endpoints: one key after the other, whatever happens to its head.

use std::collections::HashMap;

use trunkline_store::tables::delivery::DeliveryRow;
use trunkline_store::tables::line;

use super::*;

const DAY_MS: u64 = 86_400_000;

/// An ordered endpoint that waits a day before it tries again.
fn stubborn() -> EndpointSettings {
    EndpointSettings { ordered: true, backoff_ms: Some(vec![DAY_MS]), ..fast() }
}

fn ordered() -> EndpointSettings {
    EndpointSettings { ordered: true, ..fast() }
}

/// Limits under which no breaker opens.
fn calm() -> EngineLimits {
    EngineLimits { failures_to_open: 100_000, ..patient() }
}

impl Rig {
    /// The row of the delivery of an event.
    async fn row_of(&self, event: &str) -> Option<DeliveryRow> {
        self.deliveries().await.into_iter().find(|row| row.event_id.as_str() == event)
    }

    async fn change_endpoint(&self, id: &EndpointId, change: impl FnOnce(&mut EndpointSettings, &mut bool)) {
        let mut row =
            endpoint::endpoint_get(&self.store, &rig::tenant(), id.as_str()).await.unwrap().unwrap();
        let mut settings: EndpointSettings = serde_json::from_str(&row.settings).unwrap();
        change(&mut settings, &mut row.active);
        (row.settings, row.version) = (settings.to_json(), row.version + 1);
        self.store.commit(Commit::statements(vec![endpoint::endpoint_update(&row)])).await.unwrap();
    }

    fn sent(&self, path: &str) -> Vec<String> {
        self.net.seen().into_iter().filter(|seen| seen.path == path).map(|seen| seen.id).collect()
    }

    /// Waits until `n` deliveries are pending and the first attempt of one event is recorded.
    async fn failed_head(&self, n: usize, event: &str) {
        self.until("the head failed", async || {
            let n_attempts = self.row_of(event).await.map(|row| row.n_attempts);
            n_attempts == Some(1) && self.n_pending().await == n
        })
        .await;
    }

    async fn n_pending(&self) -> usize {
        self.deliveries().await.iter().filter(|row| row.state == DeliveryState::Pending).count()
    }
}

/// Answers 500 to one event until it is taken back.
fn refuse(rig: &Rig, bad: &str) {
    let bad = bad.to_owned();
    rig.net.script(move |seen| Reply::Status(if seen.id == bad { 500 } else { 200 }));
}

#[test]
fn a_key_waits_for_its_head_and_others_do_not() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        rig.endpoint("/a", &["**"], ordered()).await;
        let engine = rig.start(calm());
        let first = rig.emit_about("order.paid", 1, "slow").await.remove(0);
        rig.net.script(move |seen| Reply::Status(if seen.id == first && seen.nth < 4 { 503 } else { 200 }));
        let later = rig.emit_about("order.paid", 30, "slow").await;
        let others = rig.emit("order.paid", 10).await;
        let rows = rig.settled(41).await;
        engine.stop().await;
        assert!(rows.iter().all(|row| row.state == DeliveryState::Succeeded && row.order_key.is_some()));
        let sent = rig.sent("/a");
        let of_key: Vec<_> = sent.iter().filter(|id| !others.contains(id)).collect();
        assert!(of_key[..of_key.len() - 30].iter().all(|id| *id == of_key[0]), "{of_key:?}");
        assert_eq!(of_key[of_key.len() - 30..], later.iter().collect::<Vec<_>>());
        assert_eq!(engine.shared.metrics.n_spilled(), 0);
    });
}

#[test]
fn a_long_line_is_sent_once_and_in_order() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        rig.endpoint("/a", &["**"], ordered()).await;
        let mut ids = rig.emit_about("order.paid", 300, "busy").await;
        let engine = rig.start(patient());
        ids.extend(rig.emit_about("order.paid", 100, "busy").await);
        rig.settled(400).await;
        engine.stop().await;
        assert_eq!(rig.sent("/a"), ids);
        assert_eq!(rig.net.most_open("/a"), 1);
    });
}

#[test]
fn a_head_blocks_its_key_for_a_time() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let settings = EndpointSettings { max_blocked_s: Some(1), max_attempts: Some(2), ..ordered() };
        rig.endpoint("/a", &["order.*"], EndpointSettings { backoff_ms: Some(vec![40]), ..settings }).await;
        rig.endpoint("/watch", &["delivery.exhausted"], fast()).await;
        let ids = rig.emit_about("order.paid", 2, "x").await;
        refuse(&rig, &ids[0]);
        let engine = rig.start(calm());
        rig.settled(3).await;
        engine.stop().await;
        let head = rig.row_of(&ids[0]).await.unwrap();
        assert_eq!(
            (head.state, head.reason.as_deref()),
            (DeliveryState::Exhausted, Some("blocked too long"))
        );
        assert!(head.n_attempts > 5, "tried on after the schedule was used up: {}", head.n_attempts);
        let attempts = delivery::attempt_list(&rig.store, &head).await.unwrap();
        let lasted = head.finished_at.unwrap().since(attempts[0].outcome.started_at);
        assert!(lasted >= Duration::from_secs(1), "{lasted:?}");
        assert_eq!(rig.row_of(&ids[1]).await.unwrap().state, DeliveryState::Succeeded);
        assert_eq!(rig.sent("/watch").len(), 1);
    });
}

#[test]
fn a_blocked_key_is_skipped_or_forced_by_hand() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let endpoint = rig.endpoint("/a", &["**"], stubborn()).await;
        let ids = rig.emit_about("order.paid", 4, "x").await;
        refuse(&rig, &ids[0]);
        let engine = rig.start(calm());
        rig.failed_head(4, &ids[0]).await;
        let tenant = rig::tenant();
        let [head, second] = [&ids[0], &ids[1]].map(async |id| rig.row_of(id).await.unwrap().id);
        let (head, second) = (head.await, second.await);
        match engine.retry_now(&tenant, second.as_str()).await {
            Err(RequestError::DeliveryBlocked { head: named }) => assert_eq!(named, head),
            other => panic!("{other:?}"),
        }
        engine.retry_now(&tenant, head.as_str()).await.unwrap();
        // An attempt that is recorded later counts as the one that a retry asks for: wait for that.
        let was_tried_again = async || rig.row_of(&ids[0]).await.unwrap().n_attempts == 2;
        rig.until("the head was tried again", was_tried_again).await;
        // What stands in the line can be skipped too.
        let third = rig.row_of(&ids[2]).await.unwrap().id;
        engine.skip(&tenant, third.as_str()).await.unwrap();
        engine.skip(&tenant, head.as_str()).await.unwrap();
        let again = engine.skip(&tenant, head.as_str()).await;
        assert!(matches!(again, Err(RequestError::DeliveryNotPending)), "{again:?}");
        let rows = rig.settled(4).await;
        let skipped: Vec<_> =
            rows.iter().filter(|row| row.reason.as_deref() == Some("skipped by hand")).collect();
        assert_eq!(skipped.len(), 2);
        assert!(skipped.iter().all(|row| row.state == DeliveryState::Cancelled));
        assert_eq!(rig.sent("/a"), [&ids[0], &ids[0], &ids[1], &ids[3]].map(String::clone));
        // One that has ended is tried out of order, since somebody asked for it.
        rig.net.script(|_| Reply::Status(200));
        engine.retry_now(&tenant, head.as_str()).await.unwrap();
        rig.until("it succeeded", async || rig.sent("/a").len() == 5 && rig.n_pending().await == 0).await;
        let unknown = engine.skip(&tenant, "dlv_unknown").await;
        assert!(matches!(unknown, Err(RequestError::DeliveryNotFound)));
        assert_eq!(line::line_head(&rig.store, &endpoint, "x").await.unwrap(), None);
        engine.stop().await;
    });
}

#[test]
fn a_head_is_forced_although_the_breaker_is_open() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        rig.endpoint("/a", &["**"], stubborn()).await;
        rig.net.script(|_| Reply::Status(500));
        let limits = EngineLimits { failures_to_open: 3, cool_down: Duration::from_mins(5), ..calm() };
        let engine = rig.start(limits);
        let mut ids = rig.emit("order.paid", 3).await;
        rig.until("the breaker is open", async || engine.shared.metrics.n_breakers_open() == 1).await;
        ids.extend(rig.emit_about("order.paid", 2, "thing-1").await);
        rig.until("all are stored", async || rig.n_pending().await == 5).await;
        rig.net.script(|_| Reply::Status(200));
        let head = rig.row_of(&ids[1]).await.unwrap();
        engine.retry_now(&rig::tenant(), head.id.as_str()).await.unwrap();
        // A success closes the breaker: the line of the key goes on, the others wait for their next attempts.
        let is_done = async || rig.n_pending().await == 2 && engine.shared.metrics.n_breakers_open() == 0;
        rig.until("the line is done", is_done).await;
        assert_eq!(rig.sent("/a")[3..], [&ids[1], &ids[3], &ids[4]].map(String::clone));
        engine.stop().await;
    });
}

#[test]
fn the_receiver_can_end_the_head() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        rig.endpoint("/a", &["**"], stubborn()).await;
        let ids = rig.emit_about("order.paid", 3, "x").await;
        let bad = ids[0].clone();
        rig.net.script(move |seen| {
            if seen.id == bad {
                Reply::With(500, "webhook-delivery", "abort-message")
            } else {
                Reply::Status(200)
            }
        });
        let engine = rig.start(calm());
        rig.settled(3).await;
        engine.stop().await;
        assert_eq!(rig.sent("/a"), ids);
        let states = ids.iter().map(async |id| rig.row_of(id).await.unwrap().state);
        let states = futures_util::future::join_all(states).await;
        let taken = DeliveryState::Succeeded;
        assert_eq!(states, [DeliveryState::Cancelled, taken, taken]);
    });
}

#[test]
fn an_event_that_expired_does_not_block() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        rig.endpoint("/a", &["**"], EndpointSettings { backoff_ms: Some(vec![200]), ..stubborn() }).await;
        let ids = rig.emit_about("order.paid", 3, "x").await;
        refuse(&rig, &ids[0]);
        let engine = rig.start(calm());
        rig.failed_head(3, &ids[0]).await;
        for id in &ids[..2] {
            let record = event::event_get(&rig.store, &rig::tenant(), id).await.unwrap().unwrap();
            let delete = event::event_delete(record.shard, record.seq);
            rig.store.commit(Commit::statements(vec![delete])).await.unwrap();
        }
        rig.settled(3).await;
        engine.stop().await;
        assert_eq!(rig.sent("/a"), [&ids[0], &ids[2]].map(String::clone));
    });
}

#[test]
fn switching_order_on_puts_what_is_pending_into_lines() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let plain = EndpointSettings { ordered: false, ..stubborn() };
        let endpoint = rig.endpoint("/a", &["**"], plain).await;
        let ids = rig.emit_about("order.paid", 3, "x").await;
        refuse(&rig, &ids[1]);
        let engine = rig.start(calm());
        rig.failed_head(1, &ids[1]).await;
        rig.change_endpoint(&endpoint, |settings, _| settings.ordered = true).await;
        engine.refresh_endpoints().await.unwrap();
        let later = rig.emit_about("order.paid", 2, "x").await;
        let other = rig.emit_about("order.paid", 1, "y").await;
        rig.until("the other key is through", async || {
            let row = rig.row_of(&other[0]).await;
            row.is_some_and(|row| row.state == DeliveryState::Succeeded)
        })
        .await;
        rig.until("all are stored", async || rig.deliveries().await.len() == 6).await;
        let head = rig.row_of(&ids[1]).await.unwrap();
        assert_eq!((head.order_key.as_deref(), rig.n_pending().await), (Some("x"), 3));
        rig.net.script(|_| Reply::Status(200));
        engine.retry_now(&rig::tenant(), head.id.as_str()).await.unwrap();
        rig.settled(6).await;
        engine.stop().await;
        let sent = rig.sent("/a");
        assert_eq!(sent[sent.len() - 3..], [&ids[1], &later[0], &later[1]].map(String::clone));
    });
}

#[test]
fn switching_order_off_lets_everything_go() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let endpoint = rig.endpoint("/a", &["**"], stubborn()).await;
        let ids = rig.emit_about("order.paid", 20, "x").await;
        refuse(&rig, &ids[0]);
        let engine = rig.start(calm());
        rig.failed_head(20, &ids[0]).await;
        // The end of the line is looked at by its time and parked.
        let shard = rig.deliveries().await[0].shard;
        engine.shared.poke(shard, &endpoint, rig.journal.now());
        let is_parked = async || rig.row_of(&ids[19]).await.unwrap().reason.as_deref() == Some(line::IN_LINE);
        rig.until("the line is parked", is_parked).await;
        rig.change_endpoint(&endpoint, |settings, _| settings.ordered = false).await;
        engine.refresh_endpoints().await.unwrap();
        rig.until("all but the first are through", async || rig.n_pending().await == 1).await;
        assert_eq!(rig.row_of(&ids[0]).await.unwrap().order_key, None);
        engine.stop().await;
    });
}

#[test]
fn an_endpoint_switched_off_and_on_goes_on_in_order() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let endpoint = rig.endpoint("/a", &["**"], stubborn()).await;
        let before = rig.emit_about("order.paid", 3, "x").await;
        refuse(&rig, &before[0]);
        let engine = rig.start(calm());
        rig.failed_head(3, &before[0]).await;
        rig.change_endpoint(&endpoint, |_, active| *active = false).await;
        engine.refresh_endpoints().await.unwrap();
        let shard = rig.deliveries().await[0].shard;
        engine.shared.poke(shard, &endpoint, rig.journal.now());
        rig.until("all are given up", async || rig.n_pending().await == 0).await;
        rig.change_endpoint(&endpoint, |_, active| *active = true).await;
        engine.refresh_endpoints().await.unwrap();
        let after = rig.emit_about("order.paid", 3, "x").await;
        rig.settled(6).await;
        engine.stop().await;
        assert_eq!(rig.sent("/a"), [&before[..1], &after[..]].concat());
    });
}

#[test]
fn resends_are_in_order_among_themselves() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let endpoint = rig.endpoint("/a", &["**"], stubborn()).await;
        let engine = rig.start(calm());
        let ids = rig.emit_about("order.paid", 4, "x").await;
        rig.settled(4).await;
        let last = rig.emit_about("order.paid", 1, "x").await.remove(0);
        refuse(&rig, &last);
        rig.until("the last one is asked for", async || rig.sent("/a").contains(&last)).await;
        refuse(&rig, &ids[0]);
        let tenant = rig::tenant();
        for id in [&ids[0], &ids[2], &ids[1]] {
            engine.resend(&tenant, id, Some(&endpoint)).await.unwrap();
        }
        let head = line::line_head(&rig.store, &endpoint, "x").await.unwrap().unwrap();
        rig.until("the first is refused", async || {
            let row = delivery::delivery_get(&rig.store, &tenant, head.as_str()).await.unwrap().unwrap();
            row.n_attempts == 1
        })
        .await;
        rig.net.script(|_| Reply::Status(200));
        engine.retry_now(&tenant, head.as_str()).await.unwrap();
        rig.until("the resends are through", async || rig.n_pending().await <= 1).await;
        engine.stop().await;
        let sent = rig.sent("/a");
        assert_eq!(sent[6..9], ids[..3], "{sent:?}");
    });
}

#[test]
fn a_crash_repeats_and_never_turns_round() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        rig.endpoint("/a", &["**"], ordered()).await;
        let limits = EngineLimits { flush_after: Duration::from_mins(1), flush_rows: 500, ..calm() };
        let engine = rig.start(calm());
        let ids = rig.emit_about("order.paid", 30, "x").await;
        let gate = rig.net.gate("/a");
        rig.until("all are stored", async || rig.n_pending().await == 30).await;
        engine.crash().await;
        gate.open();
        // Nothing is recorded: the run goes on from memory.
        let engine = rig.start(limits);
        rig.until("all were sent", async || rig.sent("/a").contains(&ids[29])).await;
        engine.crash().await;
        assert_eq!(rig.n_pending().await, 30);
        let engine = rig.start(calm());
        rig.settled(30).await;
        engine.stop().await;
        let mut firsts = Vec::new();
        let mut n_of: HashMap<String, usize> = HashMap::new();
        for id in rig.sent("/a") {
            *n_of.entry(id.clone()).or_default() += 1;
            if n_of[&id] == 1 {
                firsts.push(id);
            }
        }
        assert_eq!(firsts, ids);
        assert!(n_of.values().all(|n| (2..=3).contains(n)), "{n_of:?}");
    });
}
