//! Every query and statement keeps to an index: cost stays flat as history grows.
//!
//! The store reports each SQL text it is asked to run as a trace event. These tests call every function of the tables,
//! gather the texts and look at the plans; a new function only has to be called here.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use trunkline_model::{EndpointId, EventType, InboundId, Timestamp};
use trunkline_store::tables::delivery::{self, DeliveryFilter, DeliveryState, OwedFilter, OwedPage};
use trunkline_store::tables::endpoint::{self, EndpointFilter};
use trunkline_store::tables::endpoint_health;
use trunkline_store::tables::event::{self, EventFilter, EventPlace};
use trunkline_store::tables::event_type;
use trunkline_store::tables::inbound::{self, InboundFilter, Verdict};
use trunkline_store::tables::poll::{self, Stretch};
use trunkline_store::tables::replay::{self, ReplayState};
use trunkline_store::tables::{consumer, dead_letter, idempotency, lease, token, usage};
use trunkline_store::{Commit, Statement, Store};
use trunkline_testkit::TestStore;
use trunkline_testkit::event::tenant;

/// Tables that stay small, or are read whole by a background task now and then.
const SMALL: [&str; 8] = [
    "endpoints",
    "journal_heads",
    "tenant_usage",
    "consumer_cursors",
    "shard_leases",
    "nodes",
    "tokens",
    "endpoint_health",
];

/// Gathers the SQL texts of the thread it is set on.
#[derive(Clone, Default)]
struct Gathered(Arc<Mutex<BTreeSet<String>>>);

impl Visit for Gathered {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "sql" {
            self.0.lock().unwrap().insert(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl tracing::Subscriber for Gathered {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "trunkline_store::sql"
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::Id {
        tracing::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::Id, _: &tracing::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &tracing::Id) {}

    fn exit(&self, _: &tracing::Id) {}
}

async fn ask_events(store: &Store) {
    let limit = 10;
    let text = || Some("a".to_owned());
    let time = || Some(Timestamp::from_secs(1));
    let beyond = || Some(EventPlace { recorded_at: Timestamp::from_secs(1), shard: 0, seq: 1 });
    let filters = [
        EventFilter { limit, ..EventFilter::default() },
        EventFilter { beyond: beyond(), limit, ..EventFilter::default() },
        EventFilter { since: time(), until: time(), limit, ..EventFilter::default() },
        EventFilter { event_type: text(), limit, ..EventFilter::default() },
        EventFilter { event_type: text(), beyond: beyond(), limit, ..EventFilter::default() },
        EventFilter {
            event_type: text(),
            since: time(),
            until: time(),
            beyond: beyond(),
            limit,
            ..EventFilter::default()
        },
        EventFilter { source: text(), subject: text(), beyond: beyond(), limit, ..EventFilter::default() },
    ];
    for filter in filters {
        event::event_list(store, &tenant(), &filter).await.unwrap();
    }
    event::event_read(store, 0, 0, limit).await.unwrap();
    event::event_at(store, 0, 1).await.unwrap();
    event::event_get(store, &tenant(), "a").await.unwrap();
    event::event_list_journey(store, &tenant(), "a", limit).await.unwrap();
    event::event_list_oldest(store, &tenant(), limit).await.unwrap();
    event::head_list(store).await.unwrap();
    usage::usage_list(store).await.unwrap();
    consumer::cursor_get(store, "a", 0).await.unwrap();
    consumer::cursor_list(store).await.unwrap();
    lease::lease_list(store).await.unwrap();
    lease::node_list_live(store, Timestamp::from_secs(1)).await.unwrap();
}

async fn ask_deliveries(store: &Store) {
    let limit = 10;
    let text = || Some("a".to_owned());
    let filters = [
        DeliveryFilter { limit, ..DeliveryFilter::default() },
        DeliveryFilter { before: text(), limit, ..DeliveryFilter::default() },
        DeliveryFilter { endpoint_id: text(), before: text(), limit, ..DeliveryFilter::default() },
        DeliveryFilter {
            endpoint_id: text(),
            state: Some(DeliveryState::Pending),
            limit,
            ..DeliveryFilter::default()
        },
        DeliveryFilter { state: Some(DeliveryState::Pending), limit, ..DeliveryFilter::default() },
        DeliveryFilter { event_type: text(), limit, ..DeliveryFilter::default() },
        DeliveryFilter { event_id: text(), limit, ..DeliveryFilter::default() },
    ];
    for filter in filters {
        delivery::delivery_list(store, &tenant(), &filter).await.unwrap();
    }
    let row = crate::tables::pending(&EndpointId::fresh(), 1);
    delivery::delivery_get(store, &tenant(), "a").await.unwrap();
    delivery::delivery_list_event(store, 0, 1).await.unwrap();
    delivery::attempt_list(store, &row).await.unwrap();
    delivery::delivery_list_due_endpoints(store, 0).await.unwrap();
    delivery::delivery_list_due(store, 0, &row.endpoint_id, Timestamp::from_secs(1), limit).await.unwrap();
    delivery::delivery_count_stuck(store, Timestamp::from_secs(1)).await.unwrap();
    let place = EventPlace { recorded_at: Timestamp::from_secs(1), shard: 0, seq: 1 };
    for (endpoint_id, event_type, after) in
        [(None, None, None), (text(), text(), Some(place)), (text(), None, Some(place))]
    {
        let (since, until) = (Timestamp::from_secs(0), Timestamp::from_secs(9));
        let filter = OwedFilter { endpoint_id, event_type, since, until, after, page: OwedPage::Medium };
        delivery::delivery_list_owed(store, &tenant(), &filter).await.unwrap();
    }
    delivery::delivery_list_event_between(store, (0, 1), ("a", "z")).await.unwrap();
}

async fn ask_replays_and_pollers(store: &Store) {
    replay::replay_get(store, &tenant(), "a").await.unwrap();
    replay::replay_list(store, &tenant(), None, None, 10).await.unwrap();
    replay::replay_list(store, &tenant(), Some(ReplayState::Running), Some("a"), 10).await.unwrap();
    replay::replay_list_turns(store).await.unwrap();
    poll::poller_get(store, &tenant(), "a").await.unwrap();
    poll::poller_list(store, &tenant(), None, 10).await.unwrap();
    poll::poller_list(store, &tenant(), Some("a"), 10).await.unwrap();
    poll::event_scan(store, &tenant(), Stretch { shard: 0, after: 1, until: 9 }, 10).await.unwrap();
    poll::event_behind(store, 0, 1).await.unwrap();
}

async fn ask_the_rest(store: &Store) {
    let limit = 10;
    let text = || Some("a".to_owned());
    let filters = [
        InboundFilter { limit, ..InboundFilter::default() },
        InboundFilter { source: text(), before: text(), limit, ..InboundFilter::default() },
        InboundFilter { source: text(), verdict: Some(Verdict::Rejected), before: text(), limit },
        InboundFilter {
            verdict: Some(Verdict::Quarantined),
            before: text(),
            limit,
            ..InboundFilter::default()
        },
    ];
    for filter in filters {
        inbound::inbound_list(store, &tenant(), &filter).await.unwrap();
    }
    inbound::inbound_get(store, &tenant(), "a").await.unwrap();
    inbound::seen_list_after(store, &("a".to_owned(), "b".to_owned()), limit).await.unwrap();
    let filter = EndpointFilter { active: Some(true), text: text(), before: text(), limit };
    endpoint::endpoint_list(store, &tenant(), &filter).await.unwrap();
    endpoint::endpoint_list(store, &tenant(), &EndpointFilter { limit, ..EndpointFilter::default() })
        .await
        .unwrap();
    endpoint::endpoint_get(store, &tenant(), "a").await.unwrap();
    endpoint::endpoint_list_all(store).await.unwrap();
    endpoint::endpoint_fingerprint(store).await.unwrap();
    endpoint_health::endpoint_health_get(store, &tenant(), "a").await.unwrap();
    endpoint_health::endpoint_health_list_failing(store).await.unwrap();
    token::token_find(store, "a").await.unwrap();
    token::token_get(store, "a").await.unwrap();
    token::token_list(store, &tenant(), None, limit).await.unwrap();
    token::token_count_admins(store, Timestamp::from_secs(1)).await.unwrap();
    dead_letter::dead_letter_get(store, &tenant(), "a").await.unwrap();
    dead_letter::dead_letter_list(store, &tenant(), None, limit).await.unwrap();
    idempotency::idempotency_get(store, &tenant(), "a").await.unwrap();
    event_type::event_type_list(store, &tenant()).await.unwrap();
    event_type::tenant_settings_get(store, &tenant()).await.unwrap();
}

async fn change(store: &Store) {
    let now = Timestamp::from_secs(1);
    let row = crate::tables::pending(&EndpointId::fresh(), 1);
    let mut statements = vec![
        event::event_delete(0, 1),
        event_type::event_type_delete(&tenant(), &EventType::from_stored("a"), 1),
        delivery::delivery_cancel(&row.tenant, &row.id, "a", now),
        delivery::delivery_cancel_endpoint(&row.endpoint_id, "a", now),
        delivery::delivery_cancel_event(0, 1, now),
        inbound::inbound_accept(&tenant(), &InboundId::fresh(), "a"),
        inbound::inbound_trim_rejected("a", 5),
        inbound::seen_delete("a", "b"),
        endpoint::endpoint_delete(&tenant(), &row.endpoint_id),
        endpoint_health::endpoint_health_prune(),
        endpoint_health::endpoint_disable(&tenant(), &row.endpoint_id, 1, now),
        endpoint_health::delivery_defer_endpoint(0, &row.endpoint_id, now, "a", 5),
        idempotency::idempotency_delete_before(now),
        idempotency::idempotency_release(&tenant(), "a"),
        dead_letter::dead_letter_delete(&tenant(), "a"),
        token::token_revoke(&tenant(), "a", now),
        lease::lease_renew_all("a", now),
        replay::replay_step(&crate::replays::job(), &crate::replays::job()),
        replay::replay_set_state(&tenant(), "a", (ReplayState::Running, ReplayState::Paused), now),
        poll::poller_move(&tenant(), "a", "b", now),
        poll::poller_delete(&tenant(), "a"),
    ];
    statements.extend(delivery::delivery_record_attempt(&row));
    statements.extend(delivery::delivery_delete_event(0, 1));
    for statement in statements {
        // Whether it finds a row is no matter here.
        drop(store.commit(Commit::statements(vec![Statement::new(statement.sql, statement.params)])).await);
    }
}

/// Calls every function of the tables and gives the SQL texts it came to.
async fn gather(store: &Store) -> BTreeSet<String> {
    let gathered = Gathered::default();
    let guard = tracing::subscriber::set_default(gathered.clone());
    ask_events(store).await;
    ask_deliveries(store).await;
    ask_replays_and_pollers(store).await;
    ask_the_rest(store).await;
    change(store).await;
    drop(guard);
    let texts = gathered.0.lock().unwrap().clone();
    assert!(texts.len() > 50, "only {} texts were seen", texts.len());
    texts
}

/// A bounded handful of rows is sorted here: the events that share an id, one journey's root, one event's deliveries.
fn sorts_a_handful(sql: &str) -> bool {
    sql.contains("WHERE id = $1 AND tenant = $2 ORDER BY recorded_at")
        || sql.contains("UNION ALL")
        || sql.contains("FROM deliveries WHERE shard = $1 AND seq = $2 ORDER BY id")
}

#[tokio::test]
async fn sqlite_keeps_to_indexes() {
    let test = TestStore::sqlite().await;
    let mut faults = Vec::new();
    for sql in gather(&test.store).await {
        let mut plan = Vec::new();
        let file = rusqlite::Connection::open(test.folder().unwrap().join("trunkline.db")).unwrap();
        let mut statement = file.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().unwrap() {
            plan.push(row.get::<_, String>(3).unwrap());
        }
        for line in &plan {
            let scans = line.starts_with("SCAN ")
                && !SMALL.iter().any(|table| line.contains(table))
                // Holds what is pending and nothing of the history.
                && !line.contains("INDEX deliveries_due")
                && !line.contains("INDEX replays_running")
                // Holds what one LIMIT lets through.
                && !line.starts_with("SCAN page");
            let sorts = line.contains("TEMP B-TREE") && !sorts_a_handful(&sql);
            if scans || sorts {
                faults.push(format!("{sql}\n    {}", plan.join("\n    ")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    test.store.close().await;
}

#[tokio::test]
async fn postgres_keeps_to_indexes() {
    let Some(test) = TestStore::postgres().await else { return };
    let texts = gather(&test.store).await;
    let (client, driver) =
        tokio_postgres::connect(&test.database().unwrap().url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(driver);
    fill(&client).await;
    client
        .batch_execute(
            "SET enable_seqscan = off; SET enable_sort = off; SET plan_cache_mode = force_generic_plan",
        )
        .await
        .unwrap();
    let mut faults = Vec::new();
    for (index, sql) in texts.iter().enumerate() {
        let n_params = client.prepare(sql).await.unwrap().params().len();
        let nulls = vec!["NULL"; n_params].join(", ");
        let arguments = if n_params == 0 { String::new() } else { format!("({nulls})") };
        client.batch_execute(&format!("PREPARE p{index} AS {sql}")).await.unwrap();
        let plan = client.simple_query(&format!("EXPLAIN EXECUTE p{index}{arguments}")).await.unwrap();
        let plan: Vec<String> = plan
            .iter()
            .filter_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
            .collect();
        let is_small = SMALL.iter().any(|table| sql.contains(&format!(" {table}")));
        let scans = plan.iter().any(|line| line.contains("Seq Scan"));
        let sorts = plan.iter().any(|line| line.contains("Sort")) && !sorts_a_handful(sql);
        if !is_small && (scans || sorts) {
            faults.push(format!("{sql}\n    {}", plan.join("\n    ")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    test.store.close().await;
}

/// Gives the planner tables that are worth an index.
async fn fill(client: &tokio_postgres::Client) {
    client
        .batch_execute(
            "INSERT INTO events (shard, seq, recorded_at, id, tenant, source, type, time, data_form, correlation_id) \
             SELECT n % 64, n, n, 'e' || n, 't' || n % 5, 's', 'type' || n % 20, n, 0, 'j' || n / 3 \
             FROM generate_series(1, 20000) AS n;
             INSERT INTO deliveries (id, tenant, endpoint_id, shard, seq, event_id, event_type, state, created_at, \
             next_attempt_at, n_attempts) \
             SELECT 'd' || n, 't' || n % 5, 'ep' || n % 50, n % 64, n, 'e' || n, 'type' || n % 20, \
             CASE WHEN n % 100 = 0 THEN 'pending' ELSE 'succeeded' END, n, n, 1 \
             FROM generate_series(1, 20000) AS n;
             INSERT INTO attempts (id, delivery_id, number, started_at, duration_us) \
             SELECT 'a' || n, 'd' || n / 3, n % 3, n, n FROM generate_series(1, 20000) AS n;
             INSERT INTO inbound_requests (id, tenant, source, received_at, verdict, reason, head) \
             SELECT 'i' || n, 't' || n % 5, 's' || n % 7, n, 'rejected', '', '' FROM generate_series(1, 20000) AS n;
             INSERT INTO inbound_seen (source, dedupe_key, inbound_id, seen_at) \
             SELECT 's' || n % 7, 'k' || n, 'i', n FROM generate_series(1, 20000) AS n;
             ANALYZE",
        )
        .await
        .unwrap();
}
