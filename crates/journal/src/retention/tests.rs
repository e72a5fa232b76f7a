//! Retention by age and size, never past a reader, with the figures kept right and nothing owed lost from sight.

use std::sync::Arc;

use trunkline_model::{
    AttemptId, Clock as _, Data, DeliveryId, EndpointId, Event, EventType, InboundId, ManualClock,
};
use trunkline_store::tables::dead_letter::DeadLetterRow;
use trunkline_store::tables::delivery::{AttemptOutcome, DeliveryRow, DeliveryState, delivery_get};
use trunkline_store::tables::delivery_stats::stats_delta_list;
use trunkline_store::tables::event::event_list_oldest;
use trunkline_store::tables::expiry::EVENT_EXPIRED;
use trunkline_store::tables::inbound::{InboundFilter, InboundRow, Verdict};
use trunkline_store::{CursorMove, NewEvent, Store};

use super::*;

fn keeping(limits: TenantLimits) -> RetentionOptions {
    RetentionOptions { limits, ..RetentionOptions::default() }
}

async fn append(journal: &Journal, n_events: usize) {
    for _ in 0..n_events {
        let mut event =
            Event::new(Tenant::default(), "/t", EventType::parse("a.b").unwrap(), Timestamp::from_secs(1));
        event.data = Data::Json(vec![b'1'; 100].into());
        event.partitionkey = Some("one".into());
        journal.append(vec![NewEvent::new(event, journal.now())]).await.unwrap();
    }
}

async fn quarantine(journal: &Journal) {
    let call = InboundRow {
        id: InboundId::fresh(),
        tenant: Tenant::default(),
        source: "clinic".to_owned(),
        received_at: journal.now(),
        verdict: Verdict::Quarantined,
        reason: "no JSON".to_owned(),
        head: String::new(),
        body: None,
        event_id: None,
    };
    journal.commit(Commit::statements(vec![inbound::inbound_insert(&call)])).await.unwrap();
}

async fn check_calls(store: Store) {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_secs(1_000_000)));
    let journal = Journal::new(store.clone(), clock.clone());
    let day = Duration::from_hours(24);
    let options = keeping(TenantLimits { max_age: day, max_bytes: None });
    for _ in 0..ROWS_SLICE + 7 {
        quarantine(&journal).await;
    }
    clock.advance(day * 2);
    quarantine(&journal).await;
    pass(&journal, &options).await.unwrap();
    let filter = InboundFilter { limit: 10, ..InboundFilter::default() };
    let left = inbound::inbound_list(&store, &Tenant::default(), &filter).await.unwrap();
    assert_eq!(left.iter().map(|call| call.received_at).collect::<Vec<_>>(), [clock.now()]);
}

#[test]
fn old_calls_go() {
    trunkline_testkit::for_each_store(async |test| check_calls(test.store.clone()).await);
}

async fn n_events(store: &Store) -> i64 {
    let n: i64 = usage::usage_list(store).await.unwrap().iter().map(|usage| usage.n_events).sum();
    let mut rows = store.query("SELECT count(*) FROM events", vec![]).await.unwrap();
    assert_eq!(rows[0].int().unwrap(), n, "usage figures agree with the table");
    n
}

async fn check(store: Store) {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_secs(1_000_000)));
    let journal = Journal::new(store.clone(), clock.clone());
    let day = Duration::from_hours(24);
    let options = keeping(TenantLimits { max_age: day, max_bytes: None });
    append(&journal, 300).await;
    clock.advance(day * 2);
    append(&journal, 10).await;
    let shard = event::head_list(&store).await.unwrap().iter().find(|(_, seq)| *seq > 0).unwrap().0;

    // A reader that has seen only 250 holds the rest back.
    let cursor = |seq| CursorMove { consumer: "slow".into(), shard, seq };
    journal.commit(Commit { cursors: vec![cursor(250)], ..Commit::default() }).await.unwrap();
    assert_eq!(pass(&journal, &options).await.unwrap(), 250);
    assert_eq!(n_events(&store).await, 60);
    journal.commit(Commit { cursors: vec![cursor(310)], ..Commit::default() }).await.unwrap();
    assert_eq!(pass(&journal, &options).await.unwrap(), 50);
    assert_eq!(n_events(&store).await, 10);

    // By size: about four events fit.
    let small = keeping(TenantLimits { max_age: day, max_bytes: Some(4 * 145) });
    pass(&journal, &small).await.unwrap();
    assert!((2..=4).contains(&n_events(&store).await));
    let held = usage::usage_list(&store).await.unwrap().iter().map(|u| u.n_bytes).sum::<i64>();
    assert!(held <= 4 * 145, "{held}");

    // The head does not go back.
    append(&journal, 1).await;
    let record = journal.read(shard, 310, 10).await.unwrap();
    assert_eq!(record.iter().map(|r| r.seq).collect::<Vec<_>>(), [311]);
    assert!(clock.now() > Timestamp::default());
}

#[test]
fn old_and_surplus_events_go() {
    trunkline_testkit::for_each_store(async |test| check(test.store.clone()).await);
}

/// An event of a tenant, with a delivery of it; `head_len` bytes were answered to its first attempt.
async fn append_owed(
    journal: &Journal,
    tenant: &Tenant,
    state: DeliveryState,
    head_len: usize,
) -> DeliveryRow {
    let event = Event::new(tenant.clone(), "/t", EventType::parse("a.b").unwrap(), Timestamp::from_secs(1));
    let place = journal.append(vec![NewEvent::new(event.clone(), journal.now())]).await.unwrap()[0];
    let now = journal.now();
    let latest = AttemptOutcome {
        id: AttemptId::fresh(),
        started_at: now,
        duration_us: 1,
        status: Some(500),
        error_class: Some("http_5xx".to_owned()),
        error: None,
        response_head: Some("x".repeat(head_len)),
        first_byte_us: None,
        connection: None,
    };
    let row = DeliveryRow {
        id: DeliveryId::fresh(),
        tenant: tenant.clone(),
        endpoint_id: EndpointId::fresh(),
        shard: place.shard,
        seq: place.seq,
        event_id: event.id,
        event_type: event.event_type,
        state,
        reason: None,
        created_at: now,
        next_attempt_at: (state == DeliveryState::Pending).then_some(now),
        finished_at: (state != DeliveryState::Pending).then_some(now),
        n_attempts: 1,
        latest: Some(latest),
        order_key: None,
    };
    journal.commit(Commit::deliveries(vec![row.clone()])).await.unwrap();
    row
}

async fn check_owed(store: Store) {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_secs(1_000_000)));
    let journal = Journal::new(store.clone(), clock.clone());
    let (day, tenant) = (Duration::from_hours(24), Tenant::default());
    let options = keeping(TenantLimits { max_age: day, max_bytes: None });
    let owed = append_owed(&journal, &tenant, DeliveryState::Pending, 9).await;
    let done = append_owed(&journal, &tenant, DeliveryState::Succeeded, 9).await;
    let find = async |row: &DeliveryRow| delivery_get(&store, &tenant, row.id.as_str()).await.unwrap();
    clock.advance(day * 2);
    assert_eq!(pass(&journal, &options).await.unwrap(), 2);
    assert_eq!((n_events(&store).await, find(&done).await), (0, None));
    let expired = find(&owed).await.expect("what was owed stays visible");
    assert_eq!((expired.state, expired.reason.as_deref()), (DeliveryState::Cancelled, Some(EVENT_EXPIRED)));
    assert_eq!((expired.finished_at, expired.n_attempts), (Some(clock.now()), 1));
    let fold = stats_delta_list(&store, 10).await.unwrap();
    assert_eq!(fold.n_deltas, 1, "counted as cancelled");

    // By its own age, not by that of its event.
    clock.advance(day / 2);
    pass(&journal, &options).await.unwrap();
    assert!(find(&owed).await.is_some());
    clock.advance(day);
    pass(&journal, &options).await.unwrap();
    assert_eq!(find(&owed).await, None);
    assert_eq!(usage::usage_list(&store).await.unwrap()[0].n_bytes, 0);
}

#[test]
fn owed_deliveries_are_cancelled_where_everybody_sees_it() {
    trunkline_testkit::for_each_store(async |test| check_owed(test.store.clone()).await);
}

async fn check_tenants(store: Store) {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_secs(1_000_000)));
    let journal = Journal::new(store.clone(), clock.clone());
    let day = Duration::from_hours(24);
    let names = ["keeps-long", "keeps-little", "others"].map(Tenant::from_stored);
    let limits = |days, max_bytes| TenantLimits { max_age: day * days, max_bytes };
    let mut options = keeping(limits(2, None));
    options.tenants =
        BTreeMap::from([(names[0].clone(), limits(9, None)), (names[1].clone(), limits(9, Some(50_000)))]);
    for tenant in &names {
        for _ in 0..10 {
            append_owed(&journal, tenant, DeliveryState::Succeeded, 10_000).await;
        }
        let letter = DeadLetterRow {
            id: format!("ddl_{tenant}"),
            consumer: "c".to_owned(),
            shard: 0,
            seq: journal.now().as_micros() + tenant.as_str().len() as i64,
            tenant: tenant.clone(),
            event_id: "e".to_owned(),
            error: "no".to_owned(),
            n_attempts: 1,
            failed_at: journal.now(),
        };
        journal.commit(Commit::statements(vec![dead_letter::dead_letter_insert(&letter)])).await.unwrap();
    }
    let left = async || {
        let mut left = Vec::new();
        for tenant in &names {
            let n_events = event_list_oldest(&store, tenant, 100).await.unwrap().len();
            let n_letters = dead_letter::dead_letter_list(&store, tenant, None, 9).await.unwrap().len();
            left.push((n_events, n_letters));
        }
        left
    };
    // What attempts were answered counts: four events with their deliveries fit.
    pass(&journal, &options).await.unwrap();
    assert_eq!(left().await, [(10, 1), (4, 1), (10, 1)]);
    clock.advance(day * 3);
    pass(&journal, &options).await.unwrap();
    assert_eq!(left().await, [(10, 1), (4, 1), (0, 0)]);
    clock.advance(day * 7);
    pass(&journal, &options).await.unwrap();
    assert_eq!(left().await, [(0, 0); 3]);
    assert!(usage::usage_list(&store).await.unwrap().iter().all(|usage| usage.n_bytes == 0));
}

#[test]
fn each_tenant_keeps_what_it_may() {
    trunkline_testkit::for_each_store(async |test| check_tenants(test.store.clone()).await);
}
