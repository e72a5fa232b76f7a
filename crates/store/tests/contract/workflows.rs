//! Definitions, instances, records, timers, messages and subscriptions of workflows.

use trunkline_model::{PersonTaskId, Shard, Tenant, Timestamp, WorkflowId};
use trunkline_store::tables::workflow::definition::{self, DefinitionRow, DefinitionState};
use trunkline_store::tables::workflow::durations::{self, DurationFilter};
use trunkline_store::tables::workflow::ended;
use trunkline_store::tables::workflow::gathered::{self, GatheredRow, GatheringKey};
use trunkline_store::tables::workflow::inbox::{self, MessageRow};
use trunkline_store::tables::workflow::instance::{
    self, InstanceFilter, InstancePhase, InstanceRow, InstanceStatus, PendingFirst,
};
use trunkline_store::tables::workflow::record::{self, RecordRow, SnapshotRow};
use trunkline_store::tables::workflow::schedule::{self, ScheduleRow};
use trunkline_store::tables::workflow::subscription::{self, SubscriptionRow};
use trunkline_store::tables::workflow::task::{self, TaskFilter, TaskRow, TaskStatus};
use trunkline_store::tables::workflow::timer::{self, TimerRow};
use trunkline_store::{Commit, CommitError, Statement, Store};
use trunkline_testkit::event::tenant;
use trunkline_testkit::for_each_store;

pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + secs)
}

pub(crate) fn definition(name: &str, version: &str) -> DefinitionRow {
    DefinitionRow {
        tenant: tenant(),
        namespace: "clinic".to_owned(),
        name: name.to_owned(),
        version: version.to_owned(),
        hash: format!("hash-of-{name}-{version}"),
        state: DefinitionState::Draft,
        created_at: at(0),
        updated_at: at(0),
    }
}

pub(crate) fn row(shard: Shard) -> InstanceRow {
    InstanceRow {
        id: WorkflowId::fresh(),
        tenant: tenant(),
        shard,
        namespace: "clinic".to_owned(),
        name: "referral".to_owned(),
        version: "1.0.0".to_owned(),
        hash: "h".to_owned(),
        document_id: None,
        phase: InstancePhase::Pending,
        current_step: 0,
        total_steps: 3,
        priority: 0,
        parent_id: None,
        parent_key: None,
        correlation_id: "evt_1".to_owned(),
        causation_id: Some("evt_1".to_owned()),
        start_key: None,
        started_by: Some("ann".to_owned()),
        sla: None,
        sla_due_at: None,
        compensation: None,
        n_records: 1,
        n_crashes: 0,
        input: "{\"a\":1}".to_owned(),
        output: None,
        error: None,
        created_at: at(1),
        started_at: None,
        updated_at: at(1),
        finished_at: None,
    }
}

pub(crate) fn new_record(id: &WorkflowId, seq: i64, body: &str) -> RecordRow {
    RecordRow { instance_id: id.clone(), seq, at: at(seq), kind: "started".to_owned(), body: body.to_owned() }
}

pub(crate) fn timer(id: &WorkflowId, shard: Shard, secs: i64, timer_id: i64) -> TimerRow {
    TimerRow { fire_at: at(secs), instance_id: id.clone(), timer_id, shard, kind: "wait" }
}

pub(crate) fn message(id: &WorkflowId, shard: Shard, key: &str, secs: i64) -> MessageRow {
    MessageRow {
        instance_id: id.clone(),
        key: key.to_owned(),
        shard,
        kind: "decision".to_owned(),
        body: "{}".to_owned(),
        created_at: at(secs),
    }
}

pub(crate) fn task(id: &WorkflowId, version: i64) -> TaskRow {
    TaskRow {
        id: PersonTaskId::fresh(),
        tenant: tenant(),
        instance_id: id.clone(),
        namespace: "clinic".to_owned(),
        name: "referral".to_owned(),
        document_id: Some("doc-1".to_owned()),
        reference: "/do/0/sign".to_owned(),
        kind: "approval".to_owned(),
        nonce: "n".to_owned(),
        title: "Sign".to_owned(),
        description: None,
        form: Some("{\"type\":\"object\"}".to_owned()),
        assignees: vec!["ann".to_owned()],
        groups: vec!["doctors".to_owned()],
        escalated_to: Vec::new(),
        quorum: 1,
        priority: 5,
        status: TaskStatus::Open,
        outcome: None,
        claimed_by: None,
        history: "[]".to_owned(),
        due_at: Some(at(90)),
        escalate_at: None,
        version,
        created_at: at(1),
        updated_at: at(1),
        closed_at: None,
    }
}

pub(crate) fn subscription(id: &WorkflowId, site: &str, correlation: &str, number: i64) -> SubscriptionRow {
    SubscriptionRow {
        tenant: tenant(),
        event_type: "lab.done".to_owned(),
        site: site.to_owned(),
        correlation: correlation.to_owned(),
        instance_id: id.clone(),
        number,
        shard: 0,
        since: at(5),
    }
}

pub(crate) async fn run(
    store: &Store,
    statements: impl IntoIterator<Item = Statement>,
) -> Result<(), CommitError> {
    store.commit(Commit::statements(statements.into_iter().collect())).await.map(drop)
}

fn digest(bytes: &[u8]) -> String {
    format!("digest-{}", bytes.len())
}

#[test]
fn a_version_of_a_definition_is_stored_once() {
    for_each_store(async |test| {
        let store = &test.store;
        let rows = [definition("a", "1.0.0"), definition("a", "1.1.0"), definition("b", "0.1.0")];
        for row in &rows {
            let source = definition::source_put(&row.hash, "text");
            run(store, [source, definition::definition_insert(row)]).await.unwrap();
        }
        // The same text under another name is fine, the same name is not.
        let again = definition("a", "1.0.0");
        assert!(run(store, [definition::source_put(&again.hash, "text")]).await.is_ok());
        let refused = run(store, [definition::definition_insert(&again)]).await;
        assert!(matches!(refused, Err(CommitError::Guard { .. })), "{refused:?}");

        let source = definition::source_get(store, &rows[0].hash).await.unwrap();
        assert_eq!(source.as_deref(), Some("text"));
        assert_eq!(definition::source_get(store, "other").await.unwrap(), None);
        let versions = definition::definition_versions(store, &tenant(), "clinic", "a").await.unwrap();
        assert_eq!(versions, rows[..2]);
        let page = definition::definition_list(store, &tenant(), None, 2).await.unwrap();
        assert_eq!(page, rows[..2]);
        let after = Some(("clinic", "a", "1.1.0"));
        assert_eq!(definition::definition_list(store, &tenant(), after, 2).await.unwrap(), rows[2..]);
        let other = Tenant::from_stored("clinic-2");
        assert!(definition::definition_list(store, &other, None, 9).await.unwrap().is_empty());

        let before = definition::definition_fingerprint(store).await.unwrap();
        run(store, [definition::definition_set_state(&rows[1], DefinitionState::Active, at(9))])
            .await
            .unwrap();
        assert_ne!(definition::definition_fingerprint(store).await.unwrap(), before);
        let active = definition::definition_list_active(store).await.unwrap();
        assert_eq!(active.len(), 1);
        assert_eq!((active[0].version.as_str(), active[0].updated_at), ("1.1.0", at(9)));
        let missing = definition("c", "1.0.0");
        let set = definition::definition_set_state(&missing, DefinitionState::Active, at(9));
        assert!(run(store, [set]).await.is_err());
    });
}

#[test]
fn a_start_key_starts_one_instance() {
    for_each_store(async |test| {
        let store = &test.store;
        let mut first = row(0);
        first.start_key = Some("order-1".to_owned());
        let mut second = row(0);
        second.start_key.clone_from(&first.start_key);
        run(store, instance::instance_insert(&first)).await.unwrap();
        let refused = run(store, instance::instance_insert(&second)).await;
        assert!(matches!(refused, Err(CommitError::Guard { .. })), "{refused:?}");
        let found = instance::instance_find_start(store, &tenant(), "order-1").await.unwrap();
        assert_eq!(found, Some(first.clone()));
        assert_eq!(instance::instance_get(store, &tenant(), first.id.as_str()).await.unwrap(), found);
        assert_eq!(instance::instance_load(store, &first.id).await.unwrap(), found);
        let foreign = Tenant::from_stored("clinic-2");
        assert_eq!(instance::instance_get(store, &foreign, first.id.as_str()).await.unwrap(), None);
        // Another tenant has keys of its own, and instances without a key do not collide.
        second.tenant = foreign;
        run(store, instance::instance_insert(&second)).await.unwrap();
        run(store, instance::instance_insert(&row(0))).await.unwrap();
        run(store, instance::instance_insert(&row(0))).await.unwrap();
    });
}

#[test]
fn lists_and_counts_follow_the_phases() {
    for_each_store(async |test| {
        let store = &test.store;
        let mut rows: Vec<InstanceRow> = (0..6).map(|_| row(0)).collect();
        rows[1].document_id = Some("doc-1".to_owned());
        rows[4].document_id = Some("doc-1".to_owned());
        rows[5].priority = 8;
        for row in &rows {
            run(store, instance::instance_insert(row)).await.unwrap();
        }
        let moves = [(1, InstancePhase::Waiting), (2, InstancePhase::Running), (3, InstancePhase::Completed)];
        for (index, phase) in moves {
            let row = &mut rows[index];
            let before = row.phase;
            (row.phase, row.current_step, row.started_at) = (phase, 2, Some(at(2)));
            if phase.is_terminal() {
                (row.finished_at, row.output) = (Some(at(4)), Some("{}".to_owned()));
            }
            run(store, instance::instance_update(row, before)).await.unwrap();
            // From a phase that it is not in any more, nothing changes.
            assert!(run(store, instance::instance_update(row, before)).await.is_err());
            let stored = instance::instance_load(store, &row.id).await.unwrap();
            assert_eq!(stored.as_ref(), Some(&*row));
        }
        let list = async |filter: InstanceFilter| -> Vec<usize> {
            let page = instance::instance_list(store, &tenant(), &filter).await.unwrap();
            page.iter().map(|row| rows.iter().position(|it| it.id == row.id).unwrap()).collect()
        };
        let all = InstanceFilter { limit: 4, ..InstanceFilter::default() };
        assert_eq!(list(all.clone()).await, [5, 4, 3, 2]);
        let before = Some(rows[2].id.to_string());
        assert_eq!(list(InstanceFilter { before, ..all.clone() }).await, [1, 0]);
        let status = Some(InstanceStatus::InProgress);
        assert_eq!(list(InstanceFilter { status, limit: 9, ..all.clone() }).await, [5, 4, 2, 1, 0]);
        let document_id = Some("doc-1".to_owned());
        assert_eq!(list(InstanceFilter { document_id, ..all.clone() }).await, [4, 1]);
        let name = Some("other".to_owned());
        assert!(list(InstanceFilter { name, ..all }).await.is_empty());

        let active = instance::instance_list_active(store, 0, None, 9).await.unwrap();
        let ids: Vec<_> = active.iter().map(|row| row.id.clone()).collect();
        assert_eq!(ids, [rows[2].id.clone()]);
        assert_eq!(instance::instance_list_active(store, 0, Some(&rows[2].id), 1).await.unwrap(), []);
        let pending = async |first: PendingFirst| -> Vec<usize> {
            let page = instance::instance_list_pending(store, 0, first, 2).await.unwrap();
            page.iter().map(|row| rows.iter().position(|it| it.id == row.id).unwrap()).collect()
        };
        assert_eq!(pending(PendingFirst::Oldest).await, [0, 4]);
        assert_eq!(pending(PendingFirst::Urgent).await, [5, 0]);
        assert_eq!(instance::instance_list_pending_shards(store).await.unwrap(), [0]);

        let counts = instance::instance_count(store, &tenant()).await.unwrap();
        let counts: Vec<_> = counts.iter().map(|count| (count.status, count.n, count.sum_us)).collect();
        assert_eq!(counts, [(InstanceStatus::Completed, 1, 3_000_000), (InstanceStatus::InProgress, 5, 0)]);
        run(store, [instance::instance_note_crash(&rows[2].id, 7, 2)]).await.unwrap();
        let noted = instance::instance_load(store, &rows[2].id).await.unwrap().unwrap();
        assert_eq!((noted.n_records, noted.n_crashes), (7, 2));
    });
}

#[test]
fn a_record_is_written_once() {
    for_each_store(async |test| {
        let store = &test.store;
        let id = WorkflowId::fresh();
        let long = format!("\"{}\"", "x".repeat(70_000));
        let records = [
            new_record(&id, 1, "1"),
            new_record(&id, 2, &long),
            new_record(&id, 3, &long),
            new_record(&id, 4, "4"),
        ];
        for record in &records {
            run(store, record::record_insert(record, digest)).await.unwrap();
        }
        let other = new_record(&id, 3, "another");
        let refused = run(store, record::record_insert(&other, digest)).await;
        assert!(matches!(refused, Err(CommitError::Guard { .. })), "{refused:?}");
        assert_eq!(record::record_list(store, &id, 0, 9).await.unwrap(), records);
        assert_eq!(record::record_list(store, &id, 2, 1).await.unwrap(), records[2..3]);

        assert_eq!(record::snapshot_get(store, &id).await.unwrap(), None);
        for seq in [2, 4] {
            let snapshot = SnapshotRow { seq, state: format!("{{\"at\":{seq}}}") };
            run(store, record::snapshot_put(&id, &snapshot, at(1), digest)).await.unwrap();
            assert_eq!(record::snapshot_get(store, &id).await.unwrap(), Some(snapshot));
        }
        let long = SnapshotRow { seq: 5, state: "9".repeat(100_000) };
        run(store, record::snapshot_put(&id, &long, at(1), digest)).await.unwrap();
        assert_eq!(record::snapshot_get(store, &id).await.unwrap(), Some(long));
        let found = record::record_first_of_kind(store, &id, &records[1].kind).await.unwrap();
        assert_eq!(found.map(|it| it.kind), Some(records[1].kind.clone()));
        run(store, [record::snapshot_delete(&id)]).await.unwrap();
        assert_eq!(record::snapshot_get(store, &id).await.unwrap(), None);
    });
}

#[test]
fn timers_come_in_order_and_messages_once() {
    for_each_store(async |test| {
        let store = &test.store;
        let id = WorkflowId::fresh();
        let timers = [timer(&id, 3, 5, 2), timer(&id, 3, 7, 1), timer(&id, 3, 90 * 86_400, 3)];
        for timer in timers.iter().rev() {
            run(store, [timer::timer_insert(timer)]).await.unwrap();
        }
        run(store, [timer::timer_insert(&timer(&id, 2, 1, 1))]).await.unwrap();
        assert_eq!(timer::timer_list_until(store, 3, None, at(7), 9).await.unwrap(), timers[..2]);
        assert_eq!(timer::timer_list_until(store, 3, None, at(7), 1).await.unwrap(), timers[..1]);
        let behind = timer::timer_list_until(store, 3, Some(&timers[0]), at(7), 9).await.unwrap();
        assert_eq!(behind, timers[1..2]);
        run(store, [timer::timer_delete(&timers[0])]).await.unwrap();
        assert!(run(store, [timer::timer_delete(&timers[0])]).await.is_err());
        assert_eq!(timer::timer_list_until(store, 3, None, at(7), 9).await.unwrap(), timers[1..2]);

        let mut messages = [message(&id, 3, "b", 1), message(&id, 3, "a", 2), message(&id, 2, "c", 0)];
        for message in &messages {
            run(store, [inbox::message_insert(message)]).await.unwrap();
        }
        // A repeat changes nothing.
        let mut repeat = messages[0].clone();
        repeat.body = "[]".to_owned();
        run(store, [inbox::message_insert(&repeat)]).await.unwrap();
        assert_eq!(inbox::message_list(store, 3, 9).await.unwrap(), messages[..2]);
        assert_eq!(inbox::message_list(store, 3, 1).await.unwrap(), messages[..1]);
        let mut shards = inbox::message_list_shards(store).await.unwrap();
        shards.sort_unstable();
        assert_eq!(shards, [2, 3]);
        messages.rotate_left(1);
        run(store, [inbox::message_delete(&id, "b")]).await.unwrap();
        assert!(run(store, [inbox::message_delete(&id, "b")]).await.is_err());
        assert_eq!(inbox::message_list(store, 3, 9).await.unwrap(), messages[..1]);
    });
}

#[test]
fn an_event_finds_those_who_listen() {
    for_each_store(async |test| {
        let store = &test.store;
        let mut ids: Vec<WorkflowId> = (0..3).map(|_| WorkflowId::fresh()).collect();
        ids.sort();
        let rows = [
            subscription(&ids[0], "s1", "x", 1),
            subscription(&ids[0], "s1", "x", 2),
            subscription(&ids[1], "s1", "x", 1),
            subscription(&ids[2], "s1", "y", 1),
            subscription(&ids[2], "s2", "x", 1),
        ];
        for row in &rows {
            run(store, subscription::subscription_insert(row)).await.unwrap();
        }
        let sites = subscription::site_list(store, &tenant()).await.unwrap();
        assert_eq!(sites, ["s1", "s2"].map(|site| ("lab.done".to_owned(), site.to_owned())));
        assert!(subscription::site_list(store, &Tenant::from_stored("clinic-2")).await.unwrap().is_empty());
        let list = async |after, limit| {
            let place = ("lab.done", "s1", "x");
            subscription::subscription_list(store, &tenant(), place, after, limit).await.unwrap()
        };
        assert_eq!(list(None, 9).await, rows[..3]);
        assert_eq!(list(None, 1).await, rows[..1]);
        assert_eq!(list(Some((&ids[0], 1)), 1).await, rows[1..2]);
        run(store, [subscription::subscription_delete(&rows[1])]).await.unwrap();
        assert!(run(store, [subscription::subscription_delete(&rows[1])]).await.is_err());
        assert_eq!(list(Some((&ids[0], 1)), 9).await, rows[2..3]);
    });
}

pub(crate) fn schedule(name: &str) -> ScheduleRow {
    ScheduleRow {
        tenant: tenant(),
        namespace: "clinic".to_owned(),
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        hash: "h".to_owned(),
        shard: 0,
        next_at: Some(at(10)),
        wake_at: Some(at(10)),
        last_at: None,
        last_instance_id: None,
        ended_at: None,
        queue: Vec::new(),
        is_paused: false,
        n_started: 0,
        n_skipped: 0,
        revision: 0,
        created_at: at(0),
        updated_at: at(0),
    }
}

pub(crate) fn gathered(correlation: &str) -> GatheredRow {
    GatheredRow {
        of: GatheringKey {
            tenant: tenant(),
            namespace: "clinic".to_owned(),
            name: "visit".to_owned(),
            correlation: correlation.to_owned(),
        },
        hash: "h".to_owned(),
        recorded_at: at(1),
        key: "source:evt_1".to_owned(),
        shard: 0,
        event: "{}".to_owned(),
        is_new: true,
    }
}

#[test]
fn a_schedule_changes_for_whoever_has_read_it_last() {
    for_each_store(async |home| {
        let store = &home.store;
        let run = async |statement: Statement| store.commit(Commit::statements(vec![statement])).await;
        let mut row = schedule("nightly");
        run(schedule::schedule_insert(&row)).await.unwrap();
        assert!(matches!(run(schedule::schedule_insert(&row)).await, Err(CommitError::Guard { .. })));
        row.queue = vec![at(5), at(6)];
        row.last_instance_id = Some(WorkflowId::fresh());
        run(schedule::schedule_update(&row)).await.unwrap();
        assert!(matches!(run(schedule::schedule_update(&row)).await, Err(CommitError::Guard { .. })));
        let id = row.last_instance_id.clone().unwrap();
        run(schedule::schedule_note_end(&tenant(), ("clinic", "nightly"), &WorkflowId::fresh(), at(7)))
            .await
            .unwrap();
        let read = schedule::schedule_get(store, &tenant(), "clinic", "nightly").await.unwrap().unwrap();
        assert_eq!((read.revision, read.ended_at, &read.queue), (1, None, &row.queue));
        run(schedule::schedule_note_end(&tenant(), ("clinic", "nightly"), &id, at(7))).await.unwrap();
        let due = schedule::schedule_list_due(store, at(9), None, 9).await.unwrap();
        assert_eq!((due[0].wake_at, due[0].revision), (Some(at(7)), 2));
        assert!(schedule::schedule_list_due(store, at(9), Some(&due[0]), 9).await.unwrap().is_empty());
        run(schedule::schedule_delete(&row)).await.unwrap();
        assert!(schedule::schedule_list(store, &tenant(), None, 9).await.unwrap().is_empty());
    });
}

#[test]
fn gathered_events_wait_until_they_are_taken_out() {
    for_each_store(async |home| {
        let store = &home.store;
        let run = async |statement: Statement| store.commit(Commit::statements(vec![statement])).await;
        let row = gathered("c");
        for _ in 0..2 {
            run(gathered::gathered_insert(&row)).await.unwrap();
        }
        assert_eq!(gathered::gathered_list_new_shards(store).await.unwrap(), [0]);
        let new = gathered::gathering_list_new(store, 0, 9).await.unwrap();
        assert!(new.contains(&row.of) && new.len() == 1);
        run(gathered::gathered_note_seen(&row)).await.unwrap();
        assert!(gathered::gathered_list_new_shards(store).await.unwrap().is_empty());
        let rows = gathered::gathered_list(store, &row.of, 9).await.unwrap();
        assert_eq!(rows, [GatheredRow { is_new: false, ..row.clone() }]);
        run(gathered::gathered_delete(&row)).await.unwrap();
        assert!(matches!(run(gathered::gathered_delete(&row)).await, Err(CommitError::Guard { .. })));
    });
}

#[test]
fn an_ended_instance_is_summed_up_and_goes_with_its_blobs() {
    for_each_store(async |home| {
        let store = &home.store;
        let digest = |bytes: &[u8]| format!("sum-{}", bytes.len());
        let mut kept = row(0);
        kept.start_key = None;
        let mut gone = row(0);
        let body = "x".repeat(70_000);
        for one in [&kept, &gone] {
            run(store, instance::instance_insert(one)).await.unwrap();
            let record = RecordRow { body: body.clone(), ..new_record(&one.id, 1, "1") };
            run(store, record::record_insert(&record, digest)).await.unwrap();
        }
        gone.phase = InstancePhase::Completed;
        gone.finished_at = Some(at(3));
        run(store, instance::instance_update(&gone, InstancePhase::Pending)).await.unwrap();
        let filter = DurationFilter { since: at(0), until: at(7_200), step_hours: 1, definition: None };
        let sums = durations::durations_list(store, &tenant(), &filter).await.unwrap();
        assert_eq!((sums.len(), sums[0].n, sums[0].sum_us), (1, 1, 2_000_000));
        assert!(ended::instance_list_ended(store, 0, at(3), 9).await.unwrap().is_empty());
        let before = at(100_000);
        let doomed = ended::instance_list_ended(store, 0, before, 9).await.unwrap();
        assert_eq!(doomed, [gone.id.clone()]);
        let blobs = ended::blob_list_of(store, &gone.id).await.unwrap();
        assert_eq!(blobs.len(), 1);
        run(store, ended::instance_delete(&gone.id, &blobs, before)).await.unwrap();
        assert_eq!(instance::instance_load(store, &gone.id).await.unwrap(), None);
        // Another instance has the same content.
        assert_eq!(record::record_list(store, &kept.id, 0, 9).await.unwrap()[0].body, body);
        kept.phase = InstancePhase::Cancelled;
        kept.finished_at = Some(at(3));
        run(store, instance::instance_update(&kept, InstancePhase::Pending)).await.unwrap();
        run(store, ended::instance_delete(&kept.id, &blobs, before)).await.unwrap();
        let left = store.query("SELECT 1 FROM workflow_blobs", vec![]).await.unwrap();
        assert!(left.is_empty());
        run(store, [durations::durations_delete_before(0, before)]).await.unwrap();
        assert!(durations::durations_list(store, &tenant(), &filter).await.unwrap().is_empty());
    });
}

#[test]
fn tasks_are_on_the_lists_of_those_who_may_decide() {
    for_each_store(async |test| {
        let store = &test.store;
        let (id, other) = (WorkflowId::fresh(), WorkflowId::fresh());
        let mut rows: Vec<TaskRow> = (0..4).map(|n| task(if n == 3 { &other } else { &id }, 1)).collect();
        rows[1].assignees = vec!["bob".to_owned()];
        (rows[2].due_at, rows[2].groups) = (Some(at(10)), Vec::new());
        for row in &rows {
            run(store, task::task_put(row)).await.unwrap();
        }
        let list = async |filter: TaskFilter| -> Vec<usize> {
            let filter = TaskFilter { limit: 9, ..filter };
            let page = task::task_list(store, &tenant(), &filter).await.unwrap();
            page.iter().map(|row| rows.iter().position(|it| it.id == row.id).unwrap()).collect()
        };
        let text = |text: &str| Some(text.to_owned());
        let ann = || TaskFilter { assignee: text("ann"), ..TaskFilter::default() };
        assert_eq!(list(TaskFilter::default()).await, [3, 2, 1, 0]);
        assert_eq!(list(ann()).await, [3, 2, 0]);
        assert_eq!(list(TaskFilter { group: text("doctors"), ..ann() }).await, [3, 0]);
        assert_eq!(list(TaskFilter { due_before: Some(at(50)), ..ann() }).await, [2]);
        assert_eq!(list(TaskFilter { before: text(rows[3].id.as_str()), ..ann() }).await, [2, 0]);
        assert_eq!(
            list(TaskFilter { instance_id: text(other.as_str()), ..TaskFilter::default() }).await,
            [3]
        );
        assert_eq!(list(TaskFilter { document_id: text("doc-2"), ..TaskFilter::default() }).await, [0; 0]);
        assert!(task::task_list(store, &Tenant::from_stored("clinic-2"), &ann()).await.unwrap().is_empty());

        // What is given away leaves the list, what is over is on it and not open.
        let (mut given, mut done) = (rows[0].clone(), rows[3].clone());
        (given.assignees, given.version) = (vec!["bob".to_owned()], 2);
        (done.status, done.outcome, done.version) = (TaskStatus::Completed, text("approved"), 2);
        done.closed_at = Some(at(20));
        for row in [&given, &done] {
            run(store, task::task_put(row)).await.unwrap();
        }
        assert_eq!(task::task_get(store, &tenant(), done.id.as_str()).await.unwrap(), Some(done));
        assert_eq!(list(ann()).await, [3, 2]);
        assert_eq!(list(TaskFilter { is_open: true, ..ann() }).await, [2]);
        assert_eq!(list(TaskFilter { status: Some(TaskStatus::Completed), ..ann() }).await, [3]);
        assert_eq!(list(TaskFilter { assignee: text("bob"), ..TaskFilter::default() }).await, [1, 0]);
    });
}
