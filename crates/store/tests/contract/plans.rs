//! Every query and statement keeps to an index: cost stays flat as history grows.
//!
//! The store reports each SQL text it is asked to run as a trace event. These tests call every function of the tables,
//! gather the texts and look at the plans; a new function only has to be called here.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use trunkline_model::{EndpointId, EventType, InboundId, Timestamp, WorkflowId};
use trunkline_store::tables::delivery::{self, DeliveryFilter, DeliveryState, OwedFilter, OwedPage};
use trunkline_store::tables::delivery_history::{self, DeliveryStretch};
use trunkline_store::tables::delivery_stats::{
    self, StatsChange, StatsDelta, StatsFilter, StatsGroup, StatsWidth,
};
use trunkline_store::tables::endpoint::{self, EndpointFilter};
use trunkline_store::tables::endpoint_health;
use trunkline_store::tables::event::{self, EventFilter, EventPlace};
use trunkline_store::tables::event_type;
use trunkline_store::tables::expiry;
use trunkline_store::tables::inbound::{self, InboundFilter, Verdict};
use trunkline_store::tables::line;
use trunkline_store::tables::live_ticket;
use trunkline_store::tables::poll::{self, Stretch};
use trunkline_store::tables::portal_token;
use trunkline_store::tables::replay::{self, ReplayState};
use trunkline_store::tables::usage::TenantTable;
use trunkline_store::tables::workflow::instance::{InstanceFilter, InstancePhase, InstanceStatus};
use trunkline_store::tables::workflow::record::SnapshotRow;
use trunkline_store::tables::workflow::task::{TaskFilter, TaskStatus};
use trunkline_store::tables::workflow::{
    definition, durations, ended, gathered, inbox, instance, promise, record, schedule, subscription, task,
    ticket, timer,
};
use trunkline_store::tables::{
    consumer, dead_letter, document, idempotency, lease, stored_record, token, usage,
};
use trunkline_store::{Commit, Statement, Store};
use trunkline_testkit::TestStore;
use trunkline_testkit::event::tenant;

/// Tables that stay small, or are read whole by a background task now and then.
const SMALL: [&str; 13] = [
    "endpoint_changes",
    "endpoints",
    "journal_heads",
    "tenant_usage",
    "consumer_cursors",
    "shard_leases",
    "nodes",
    "tokens",
    "endpoint_health",
    "workflow_definitions",
    "workflow_schedules",
    "workflow_durations",
    "delivery_stats_deltas",
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
    event::event_list_at(store, 0, &[1, 2]).await.unwrap();
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
    let time = Some(Timestamp::from_secs(1));
    for stretch in [
        DeliveryStretch { limit, ..DeliveryStretch::default() },
        DeliveryStretch { since: time, until: time, before: text(), limit, ..DeliveryStretch::default() },
        DeliveryStretch {
            endpoint_id: text(),
            since: time,
            before: text(),
            limit,
            ..DeliveryStretch::default()
        },
        DeliveryStretch { place: Some((0, 1)), before: text(), limit, ..DeliveryStretch::default() },
        DeliveryStretch { place: Some((0, 1)), endpoint_id: text(), limit, ..DeliveryStretch::default() },
    ] {
        delivery_history::delivery_walk(store, &tenant(), &stretch).await.unwrap();
    }
    delivery_history::undelivered_since(store, &tenant(), "a", Timestamp::from_secs(1)).await.unwrap();
    delivery_history::event_places(store, &tenant(), "a").await.unwrap();
    let row = crate::tables::pending(&EndpointId::fresh(), 1);
    delivery::delivery_get(store, &tenant(), "a").await.unwrap();
    delivery::delivery_list_event(store, 0, 1).await.unwrap();
    delivery::attempt_list(store, &row).await.unwrap();
    delivery::attempt_first(store, &row.id).await.unwrap();
    line::line_list(store, &row.endpoint_id, "a", limit).await.unwrap();
    line::line_head(store, &row.endpoint_id, "a").await.unwrap();
    line::line_exists(store, &row.endpoint_id).await.unwrap();
    delivery::delivery_list_due_endpoints(store, 0).await.unwrap();
    delivery::delivery_list_due_places(store).await.unwrap();
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
    expiry::delivery_list_owed_of(store, 0, 1, limit).await.unwrap();
    expiry::expired_count(store, &tenant(), Timestamp::from_secs(1), limit).await.unwrap();
}

async fn ask_replays_and_pollers(store: &Store) {
    replay::replay_get(store, &tenant(), "a").await.unwrap();
    replay::replay_list(store, &tenant(), (None, None), None, 10).await.unwrap();
    replay::replay_list(store, &tenant(), (Some(ReplayState::Running), None), Some("a"), 10).await.unwrap();
    let ids = ["a".to_owned(), "b".to_owned()];
    replay::replay_list(store, &tenant(), (None, Some(&ids)), None, 10).await.unwrap();
    replay::replay_list_turns(store).await.unwrap();
    replay::replay_count_running(store, &tenant()).await.unwrap();
    replay::replay_count_all_running(store).await.unwrap();
    poll::poller_count(store, &tenant()).await.unwrap();
    poll::poller_get(store, &tenant(), "a").await.unwrap();
    poll::poller_list(store, &tenant(), None, 10).await.unwrap();
    poll::poller_list(store, &tenant(), Some("a"), 10).await.unwrap();
    poll::event_scan(store, &tenant(), Stretch { shard: 0, after: 1, until: 9 }, 10).await.unwrap();
    poll::event_behind(store, 0, 1).await.unwrap();
}

async fn ask_workflows(store: &Store) {
    let (limit, id) = (10, WorkflowId::fresh());
    let text = || Some("a".to_owned());
    let filters = [
        InstanceFilter { limit, ..InstanceFilter::default() },
        InstanceFilter { before: text(), limit, ..InstanceFilter::default() },
        InstanceFilter {
            status: Some(InstanceStatus::Failed),
            before: text(),
            limit,
            ..InstanceFilter::default()
        },
        InstanceFilter { document_id: text(), before: text(), limit, ..InstanceFilter::default() },
        InstanceFilter { causation_id: text(), before: text(), limit, ..InstanceFilter::default() },
        InstanceFilter {
            sla: Some(instance::SlaState::Breached),
            before: text(),
            limit,
            ..InstanceFilter::default()
        },
        InstanceFilter { name: text(), before: text(), limit, ..InstanceFilter::default() },
    ];
    for filter in filters {
        instance::instance_list(store, &tenant(), &filter).await.unwrap();
    }
    instance::instance_get(store, &tenant(), "a").await.unwrap();
    instance::instance_load(store, &id).await.unwrap();
    instance::instance_find_start(store, &tenant(), "a").await.unwrap();
    instance::instance_list_active(store, 0, Some(&id), limit).await.unwrap();
    for first in [instance::PendingFirst::Urgent, instance::PendingFirst::Oldest] {
        instance::instance_list_pending(store, 0, first, limit).await.unwrap();
    }
    for which in [
        ticket::TicketsOf::Stirred,
        ticket::TicketsOf::Urgent,
        ticket::TicketsOf::Oldest,
        ticket::TicketsOf::Held,
    ] {
        ticket::ticket_list(store, (0, "a"), which, limit).await.unwrap();
    }
    ticket::lane_list_stirred(store, (0, "a"), limit).await.unwrap();
    ticket::ticket_count_held(store, "a").await.unwrap();
    ticket::lane_get(store, "a").await.unwrap();
    ticket::lane_list_due(store, Timestamp::from_secs(1), None, limit).await.unwrap();
    promise::promise_count(store, &tenant()).await.unwrap();
    instance::instance_list_pending_shards(store).await.unwrap();
    instance::instance_count(store, &tenant()).await.unwrap();
    definition::source_get(store, "a").await.unwrap();
    definition::definition_versions(store, &tenant(), "a", "b").await.unwrap();
    definition::definition_list(store, &tenant(), None, limit).await.unwrap();
    definition::definition_list(store, &tenant(), Some(("a", "b", "c")), limit).await.unwrap();
    definition::definition_list_active(store).await.unwrap();
    definition::definition_fingerprint(store).await.unwrap();
    record::record_list(store, &id, 1, limit).await.unwrap();
    record::snapshot_get(store, &id).await.unwrap();
    timer::timer_list_until(store, 0, None, Timestamp::from_secs(1), limit).await.unwrap();
    record::record_first_of_kind(store, &id, "a").await.unwrap();
    instance::instance_list_running(store, &tenant(), ("a", "b", "c"), None, limit).await.unwrap();
    ended::instance_list_ended(store, 0, Timestamp::from_secs(1), limit).await.unwrap();
    ended::blob_list_of(store, &id).await.unwrap();
    for definition in [None, Some(("a".to_owned(), "b".to_owned()))] {
        let (since, until) = (Timestamp::from_secs(0), Timestamp::from_secs(9));
        let filter = durations::DurationFilter { since, until, step_hours: 1, definition };
        durations::durations_list(store, &tenant(), &filter).await.unwrap();
    }
    inbox::message_list(store, 0, limit).await.unwrap();
    inbox::message_list_shards(store).await.unwrap();
    ask_tasks(store).await;
    subscription::site_list(store, &tenant()).await.unwrap();
    subscription::events_matter(store).await.unwrap();
    subscription::subscription_list(store, &tenant(), ("a", "b", "c"), Some((&id, 1)), limit).await.unwrap();
    let (due, of) = (crate::workflows::schedule("a"), crate::workflows::gathered("a").of);
    schedule::schedule_get(store, &tenant(), "a", "b").await.unwrap();
    schedule::schedule_list(store, &tenant(), None, limit).await.unwrap();
    schedule::schedule_list(store, &tenant(), Some(("a", "b")), limit).await.unwrap();
    schedule::schedule_list_all(store).await.unwrap();
    schedule::schedule_list_due(store, Timestamp::from_secs(1), None, limit).await.unwrap();
    schedule::schedule_list_due(store, Timestamp::from_secs(1), Some(&due), limit).await.unwrap();
    gathered::gathered_list_new_shards(store).await.unwrap();
    gathered::gathering_list_new(store, 0, limit).await.unwrap();
    gathered::gathered_list(store, &of, limit).await.unwrap();
}

async fn ask_tasks(store: &Store) {
    let text = || Some("a".to_owned());
    let all = || TaskFilter { before: text(), limit: 10, ..TaskFilter::default() };
    let filters = [
        TaskFilter { before: None, ..all() },
        TaskFilter { status: Some(TaskStatus::Open), ..all() },
        TaskFilter { assignee: text(), ..all() },
        TaskFilter { assignee: text(), is_open: true, due_before: Some(Timestamp::default()), ..all() },
        TaskFilter { assignee: text(), group: text(), status: Some(TaskStatus::Claimed), ..all() },
        TaskFilter { group: text(), ..all() },
        TaskFilter { document_id: text(), is_open: true, ..all() },
        TaskFilter { instance_id: text(), ..all() },
    ];
    for filter in filters {
        task::task_list(store, &tenant(), &filter).await.unwrap();
    }
    task::task_get(store, &tenant(), "a").await.unwrap();
}

fn workflow_changes() -> Vec<Statement> {
    use crate::workflows as rows;
    let (id, mut instance) = (WorkflowId::fresh(), rows::row(0));
    let mut statements = instance::instance_insert(&instance).to_vec();
    instance.phase = InstancePhase::Cancelled;
    statements.extend(instance::instance_update(&instance, InstancePhase::Pending));
    let mut record = rows::new_record(&id, 1, "1");
    record.body = "1".repeat(100_000);
    statements.extend(record::record_insert(&record, |_| "a".to_owned()));
    let snapshot = SnapshotRow { seq: 1, state: "{}".to_owned() };
    statements.extend(record::snapshot_put(&id, &snapshot, Timestamp::default(), |_| String::new()));
    statements.extend(ended::instance_delete(&id, &["a".to_owned()], Timestamp::default()));
    statements.push(instance::instance_set_version(&instance));
    statements.push(durations::durations_delete_before(0, Timestamp::default()));
    let asks = crate::workflow_limits::ticket("a", 1);
    let lane = crate::workflow_limits::lane("a");
    let change = promise::PromiseChange {
        scope: promise::PromiseScope::Task,
        from: Some(promise::Standing::Within),
        to: Some(promise::Standing::Met),
    };
    statements.extend(promise::promise_move(&instance, change));
    statements.extend([
        ticket::ticket_insert(&asks),
        ticket::ticket_give_back(&id, 1),
        ticket::ticket_move(&asks, ticket::TicketState::Held),
        ticket::ticket_delete(&asks),
        ticket::lane_put(&lane),
        ticket::lane_delete("a"),
    ]);
    let mut asked = rows::task(&id, 2);
    statements.extend(task::task_put(&asked));
    asked.status = TaskStatus::Completed;
    statements.extend(task::task_put(&asked));
    statements.extend([
        definition::definition_set_state(
            &rows::definition("a", "1"),
            definition::DefinitionState::Active,
            Timestamp::default(),
        ),
        instance::instance_note_crash(&id, 1, 1),
        record::snapshot_delete(&id),
        timer::timer_delete(&rows::timer(&id, 0, 1, 1)),
        inbox::message_insert(&rows::message(&id, 0, "a", 1)),
        inbox::message_delete(&id, "a"),
        subscription::subscription_delete(&rows::subscription(&id, "a", "b", 1)),
        schedule::schedule_insert(&rows::schedule("a")),
        schedule::schedule_update(&rows::schedule("a")),
        schedule::schedule_note_end(&tenant(), ("a", "b"), &id, Timestamp::default()),
        schedule::schedule_delete(&rows::schedule("a")),
        gathered::gathered_insert(&rows::gathered("a")),
        gathered::gathered_note_seen(&rows::gathered("a")),
        gathered::gathered_delete(&rows::gathered("a")),
    ]);
    statements
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
    inbound::inbound_count_expired(store, &tenant(), Timestamp::default(), limit).await.unwrap();
    dead_letter::dead_letter_count_old(store, &tenant(), Timestamp::default(), limit).await.unwrap();
    for table in [TenantTable::InboundRequests, TenantTable::Replays] {
        usage::tenant_next(store, table, None).await.unwrap();
    }
    inbound::seen_list_after(store, &("a".to_owned(), "b".to_owned()), limit).await.unwrap();
    let filter = EndpointFilter { active: Some(true), before: text(), limit };
    endpoint::endpoint_list(store, &tenant(), &filter).await.unwrap();
    endpoint::endpoint_list(store, &tenant(), &EndpointFilter { limit, ..EndpointFilter::default() })
        .await
        .unwrap();
    endpoint::endpoint_get(store, &tenant(), "a").await.unwrap();
    endpoint::endpoint_list_all(store).await.unwrap();
    endpoint::endpoint_fingerprint(store).await.unwrap();
    endpoint::endpoint_count(store, &tenant(), limit).await.unwrap();
    endpoint_health::endpoint_health_get(store, &tenant(), "a").await.unwrap();
    endpoint_health::endpoint_health_list_failing(store).await.unwrap();
    endpoint_health::endpoint_health_list_probes(store, Timestamp::from_secs(1), limit).await.unwrap();
    token::token_find(store, "a").await.unwrap();
    token::token_get(store, "a").await.unwrap();
    token::token_list(store, &tenant(), None, limit).await.unwrap();
    token::token_list_revoked(store, Timestamp::from_secs(1)).await.unwrap();
    live_ticket::live_ticket_find(store, "a", Timestamp::from_secs(1)).await.unwrap();
    portal_token::portal_token_find(store, "a").await.unwrap();
    portal_token::portal_token_list(store, &tenant(), None, limit).await.unwrap();
    token::token_count_admins(store, Timestamp::from_secs(1)).await.unwrap();
    dead_letter::dead_letter_get(store, &tenant(), "a").await.unwrap();
    dead_letter::dead_letter_list(store, &tenant(), None, limit).await.unwrap();
    idempotency::idempotency_get(store, &tenant(), "a").await.unwrap();
    event_type::event_type_list(store, &tenant()).await.unwrap();
    event_type::tenant_settings_get(store, &tenant()).await.unwrap();
    stored_record::stored_record_get(store, &tenant(), "a", "b").await.unwrap();
    stored_record::stored_record_list(store, &tenant(), "a", None, limit).await.unwrap();
    stored_record::stored_record_list(store, &tenant(), "a", Some("b"), limit).await.unwrap();
    document::document_get(store, &tenant(), "a").await.unwrap();
    document::document_history(store, &tenant(), "a", limit).await.unwrap();
    for holder in [None, Some((document::Holder::User, "a"))] {
        document::document_list(store, &tenant(), holder, None, limit).await.unwrap();
        document::document_list(store, &tenant(), holder, Some("b"), limit).await.unwrap();
    }
}

async fn ask_figures(store: &Store) {
    let (since, until) = (Timestamp::from_secs(0), Timestamp::from_secs(9));
    let text = || Some("a".to_owned());
    for endpoint_ids in [None, Some(vec!["a".to_owned()])] {
        for event_type in [None, text()] {
            for group in [StatsGroup::Time(StatsWidth::Hour), StatsGroup::Endpoint, StatsGroup::EventType] {
                let (endpoint_ids, event_type) = (endpoint_ids.clone(), event_type.clone());
                let filter = StatsFilter { endpoint_ids, event_type, since, until };
                delivery_stats::delivery_stats_list(store, &tenant(), &filter, group).await.unwrap();
            }
        }
    }
    let mut delta = StatsDelta::default();
    delta.entry(&tenant(), &EndpointId::fresh(), &EventType::from_stored("a"), since).note_latency(1);
    store.commit(Commit::statements(vec![delta.to_statement("a")])).await.unwrap();
    let fold = delivery_stats::stats_delta_list(store, 10).await.unwrap();
    store.commit(Commit::statements(fold.into_statements(until))).await.unwrap();
    let width = StatsWidth::Hour;
    let (tenant, at, n_rows) =
        delivery_stats::delivery_stats_oldest(store, StatsWidth::FiveMinutes, until).await.unwrap().unwrap();
    for width in [StatsWidth::FiveMinutes, width, StatsWidth::Day] {
        let moved = delivery_stats::delivery_stats_roll_up(&tenant, width, at, n_rows);
        store.commit(Commit::statements(moved)).await.unwrap();
    }
    delivery::delivery_count_pending(store, "a", 1000).await.unwrap();
}

async fn change(store: &Store) {
    let now = Timestamp::from_secs(1);
    let row = crate::tables::pending(&EndpointId::fresh(), 1);
    let mut statements = vec![
        event::event_delete(0, 1),
        event_type::event_type_delete(&tenant(), &EventType::from_stored("a"), 1),
        delivery::delivery_cancel(&row.tenant, &row.id, "a", now),
        delivery::delivery_skip(&row.tenant, &row.id, "a", now),
        line::line_wake(&row.tenant, &row.endpoint_id, "a", now),
        line::line_park(&row, now),
        line::line_join(0, &row.endpoint_id),
        line::line_join_one(&row.tenant, &row.id),
        inbound::inbound_accept(&tenant(), &InboundId::fresh(), "a"),
        inbound::inbound_trim_rejected("a", 5),
        inbound::inbound_delete_expired(&tenant(), Timestamp::default(), 5),
        inbound::seen_delete("a", "b"),
        endpoint::endpoint_delete(&tenant(), &row.endpoint_id),
        endpoint_health::endpoint_health_prune(),
        endpoint_health::endpoint_disable(&tenant(), &row.endpoint_id, 1, now),
        endpoint_health::delivery_defer_endpoint(0, &row.endpoint_id, now, "a", 5),
        idempotency::idempotency_delete_before(now),
        idempotency::idempotency_release(&tenant(), "a"),
        dead_letter::dead_letter_delete(&tenant(), "a"),
        dead_letter::dead_letter_delete_old(&tenant(), now, 5),
        token::token_revoke(&tenant(), "a", now),
        live_ticket::live_ticket_delete_before(now),
        live_ticket::live_ticket_use("a"),
        portal_token::portal_token_revoke(&tenant(), "a", now),
        portal_token::portal_token_delete_before(now),
        lease::lease_renew_all("a", now),
        replay::replay_step(&crate::replays::job(), &crate::replays::job()),
        replay::replay_set_state(&tenant(), "a", (ReplayState::Running, ReplayState::Paused), now),
        replay::replay_delete_finished(&tenant(), now, 5),
        poll::poller_move(&tenant(), "a", "b", now),
        poll::poller_delete(&tenant(), "a"),
    ];
    statements.extend(delivery::delivery_record_attempt(&row));
    statements.extend(expiry::delivery_expire(&row, now));
    statements.extend(expiry::delivery_delete_event(0, 1));
    statements.extend(expiry::expired_delete(&tenant(), now, 5));
    statements.extend(workflow_changes());
    statements.extend(crate::logistics::changes());
    statements.extend(crate::tracking::changes());
    let mut tried = row.clone();
    tried.latest = Some(crate::tables::attempt(1, None));
    for by in [StatsChange::Attempt, StatsChange::Cancel] {
        statements.push(StatsDelta::default().to_statement_if("b", &tried, by));
    }
    let cancel = delivery_stats::delivery_stats_cancel_endpoint;
    statements.extend(cancel(store.dialect(), &row.endpoint_id, "a", now));
    statements.extend(line::line_leave(0, &row.endpoint_id, now));
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
    ask_workflows(store).await;
    ask_the_rest(store).await;
    ask_figures(store).await;
    crate::logistics::ask(store).await;
    crate::tracking::ask(store).await;
    change(store).await;
    drop(guard);
    let texts = gathered.0.lock().unwrap().clone();
    assert!(texts.len() > 50, "only {} texts were seen", texts.len());
    texts
}

/// A bounded handful of rows is sorted here: the events that share an id, one journey's root, one event's deliveries, sums
/// of a time, of which there are as many as buckets, and not as attempts.
fn sorts_a_handful(sql: &str) -> bool {
    sql.contains("FROM delivery_stats WHERE tenant = $1")
        || sql.contains("FROM workflow_durations WHERE tenant = $1")
        || sql.contains("INSERT INTO delivery_stats ")
        || sql.contains("WHERE id = $1 AND tenant = $2 ORDER BY recorded_at")
        || sql.contains("UNION ALL")
        || sql.contains("FROM deliveries WHERE shard = $1 AND seq = $2 ORDER BY id")
        || sql.contains("FROM deliveries WHERE tenant = $1 AND shard = $2 AND seq = $3")
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
        if sql.contains("is_collecting = 1") {
            let text = plan.join("\n");
            assert!(
                text.contains("INDEX logistics_tasks_collecting (tenant=? AND clinic_id=? AND day=?)"),
                "{text}"
            );
        }
        for line in &plan {
            let scans = line.starts_with("SCAN ")
                && !SMALL.iter().any(|table| line.contains(table))
                // Holds what is pending and nothing of the history.
                && !line.contains("INDEX deliveries_due")
                && !line.contains("INDEX replays_running")
                && !line.contains("INDEX workflow_instances_pending")
                && !line.contains("INDEX workflow_tickets_stirred")
                && !line.contains("INDEX workflow_inbox_by_shard")
                && !line.contains("INDEX workflow_gathered_new")
                // Holds what one LIMIT lets through.
                && !line.starts_with("SCAN page")
                && !line.starts_with("SCAN few");
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
        if sql.contains("is_collecting = 1") {
            assert!(plan.iter().any(|line| line.contains("using logistics_tasks_collecting")), "{plan:?}");
        }
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
             INSERT INTO workflow_instances (id, tenant, shard, namespace, name, version, hash, document_id, status, \
             phase, current_step, total_steps, priority, correlation_id, n_records, n_crashes, input, created_at, \
             updated_at) \
             SELECT 'w' || n, 't' || n % 5, n % 64, 'c', 'n' || n % 9, '1', 'h', 'doc' || n, \
             CASE WHEN n % 100 = 0 THEN 'in_progress' ELSE 'completed' END, \
             CASE WHEN n % 100 = 0 THEN 'running' ELSE 'completed' END, 1, 2, 0, 'j', 1, 0, '{}', n, n \
             FROM generate_series(1, 20000) AS n;
             INSERT INTO workflow_tasks (id, tenant, instance_id, namespace, name, document_id, reference, kind, nonce, \
             title, assignees, groups, escalated_to, quorum, priority, status, history, version, created_at, updated_at) \
             SELECT 'k' || n, 't' || n % 5, 'w' || n, 'c', 'n' || n % 9, 'doc' || n, '/do/0', 'step', 'x', 't', '[]', '[]', \
             '[]', 1, 5, CASE WHEN n % 100 = 0 THEN 'open' ELSE 'completed' END, '[]', 1, n, n \
             FROM generate_series(1, 20000) AS n;
             INSERT INTO workflow_task_people (tenant, kind, name, task_id, is_open) \
             SELECT 't' || n % 5, 'user', 'u' || n % 300, 'k' || n, CASE WHEN n % 100 = 0 THEN 1 ELSE 0 END \
             FROM generate_series(1, 20000) AS n;
             INSERT INTO workflow_records (instance_id, seq, at, kind, body) \
             SELECT 'w' || n / 3, n % 3, n, 'k', '{}' FROM generate_series(1, 20000) AS n;
             INSERT INTO workflow_timers (shard, fire_at, instance_id, timer_id, kind) \
             SELECT n % 64, n, 'w' || n, 1, 'wait' FROM generate_series(1, 20000) AS n;
             INSERT INTO workflow_subscriptions (tenant, event_type, site, correlation, instance_id, number, shard, \
             since) SELECT 't' || n % 5, 'type' || n % 20, 's', 'c' || n, 'w' || n, 1, n % 64, n \
             FROM generate_series(1, 20000) AS n;
             INSERT INTO logistics_tasks (id, tenant, kind, clinic_id, day, status, priority, package, n_cases, \
             is_collecting, driver_id, version, created_at, updated_at) \
             SELECT 'l' || n, 't' || n % 5, 'delivery', 'c' || n % 300, 'd' || n / 300, \
             CASE WHEN n % 100 = 0 THEN 'pending' ELSE 'completed' END, 0, '{}', 1, \
             CASE WHEN n % 100 = 0 THEN 1 ELSE 0 END, 'dr' || n % 9, 1, n, n FROM generate_series(1, 20000) AS n;
             INSERT INTO logistics_cases (tenant, case_id, task_id, status, priority, package, created_at, updated_at) \
             SELECT 't' || n % 5, 'c' || n, 'l' || n / 3, 'ready', 0, '{}', n, n FROM generate_series(1, 20000) AS n;
             INSERT INTO driver_positions (tenant, driver_id, at, lat_e7, lon_e7, device_at, received_at, processed_at, \
             route_id, marks) SELECT 't' || n % 5, 'dr' || n % 9, n, n, n, n, n, \
             CASE WHEN n % 100 = 0 THEN NULL ELSE n END, 'r', '' FROM generate_series(1, 20000) AS n;
             INSERT INTO invoices (tenant, id, case_id, status, version, created_at, updated_at) \
             SELECT 't' || n % 5, 'i' || n, 'c' || n, CASE WHEN n % 9 = 0 THEN 'open' ELSE 'paid' END, 1, n, n \
             FROM generate_series(1, 20000) AS n;
             ANALYZE",
        )
        .await
        .unwrap();
}
