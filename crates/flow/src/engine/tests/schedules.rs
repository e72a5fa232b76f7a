//! Workflows that start by themselves, on both stores: each time starts one instance, whatever happens.

use std::collections::BTreeSet;

use serde_json::json;
use trunkline_store::tables::workflow::definition::{DefinitionState, definition_set_state};
use trunkline_store::tables::workflow::instance::{InstanceFilter, InstanceRow, instance_list};
use trunkline_store::tables::workflow::schedule::{ScheduleRow, schedule_get};
use trunkline_testkit::for_each_store;

use super::super::*;
use super::json_of;
use super::rig::{Rig, tenant};
use crate::program::Format;

const MINUTE: Duration = Duration::from_mins(1);

/// A definition with settings of its schedule.
async fn define(rig: &Rig, engine: &Engine, name: &str, settings: &str, rest: &str) {
    let text = format!(
        "document: {{dsl: '1.0.3', namespace: test, name: {name}, version: '1.0.0', metadata: {{trunkline: {{schedule: {settings}}}}}}}\n{rest}"
    );
    let stored = engine.store_definition(&tenant(), text, Format::Yaml, DefinitionState::Active).await;
    stored.unwrap_or_else(|error| panic!("{error:?}"));
    rig.until("it has a schedule", async || find(rig, name).await.is_some()).await;
}

async fn find(rig: &Rig, name: &str) -> Option<ScheduleRow> {
    schedule_get(&rig.store, &tenant(), "test", name).await.unwrap()
}

async fn started(rig: &Rig, name: &str) -> Vec<InstanceRow> {
    let filter = InstanceFilter { name: Some(name.to_owned()), limit: 999, ..InstanceFilter::default() };
    let mut rows = instance_list(&rig.store, &tenant(), &filter).await.unwrap();
    rows.reverse();
    rows
}

/// The times that instances were started for; each must be there once.
fn slots(rows: &[InstanceRow]) -> BTreeSet<String> {
    let slots: BTreeSet<String> = rows.iter().filter_map(|row| row.start_key.clone()).collect();
    assert_eq!(slots.len(), rows.len());
    slots
}

async fn wait_for(rig: &Rig, engine: &Engine, name: &str, n: usize) -> Vec<InstanceRow> {
    rig.until(&format!("{name} was started {n} times"), async || {
        engine.poke();
        started(rig, name).await.len() >= n
    })
    .await;
    started(rig, name).await
}

#[test]
fn every_time_starts_one_instance_across_crashes_and_two_keepers() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let mut engine = rig.start();
        define(&rig, &engine, "tick", "{catchUp: all}", "schedule: {every: PT1M}\ndo: [{a: {set: {n: 1}}}]")
            .await;
        assert_eq!(find(&rig, "tick").await.unwrap().next_at, Some(rig.journal.now().plus(MINUTE)));
        rig.clock.advance(MINUTE);
        wait_for(&rig, &engine, "tick", 1).await;
        // Down for 40 minutes: each minute is started for afterwards, by two keepers at once.
        engine.crash().await;
        rig.clock.advance(MINUTE * 40);
        engine = rig.start();
        let other = rig.start();
        wait_for(&rig, &engine, "tick", 41).await;
        other.crash().await;
        rig.clock.advance(MINUTE);
        let rows = wait_for(&rig, &engine, "tick", 42).await;
        assert_eq!((rows.len(), slots(&rows).len()), (42, 42));
        let row = find(&rig, "tick").await.unwrap();
        assert_eq!((row.n_started, row.next_at), (42, Some(rig.journal.now().plus(MINUTE))));
        for row in &rows {
            rig.reaches(&engine, &row.id, "completed").await;
        }
        engine.stop().await;
    });
}

#[test]
fn after_counts_from_the_end_and_starts_at_once_at_first() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        define(&rig, &engine, "again", "{}", "schedule: {after: PT10M}\ndo: [{w: {wait: PT5M}}]").await;
        let first = wait_for(&rig, &engine, "again", 1).await;
        rig.reaches(&engine, &first[0].id, "waiting").await;
        rig.clock.advance(MINUTE * 30);
        assert_eq!(started(&rig, "again").await.len(), 1);
        let end = rig.reaches(&engine, &first[0].id, "completed").await.finished_at.unwrap();
        rig.until("it knows when", async || {
            engine.poke();
            find(&rig, "again").await.unwrap().next_at == Some(end.plus(MINUTE * 10))
        })
        .await;
        rig.clock.advance(MINUTE * 10);
        wait_for(&rig, &engine, "again", 2).await;
        engine.stop().await;
    });
}

#[test]
fn starts_over_a_running_one_are_queued_or_left_out() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let rest = "schedule: {cron: '*/10 * * * *'}\ndo: [{s: {call: 'step:1@default'}}]";
        define(&rig, &engine, "queue", "{overlap: queue}", rest).await;
        define(&rig, &engine, "skip", "{overlap: skip}", rest).await;
        let next = find(&rig, "queue").await.unwrap().next_at.unwrap();
        rig.clock.advance(next.since(rig.journal.now()));
        let first = wait_for(&rig, &engine, "queue", 1).await;
        wait_for(&rig, &engine, "skip", 1).await;
        rig.clock.advance(MINUTE * 10);
        rig.until("both have seen it", async || {
            engine.poke();
            let (queue, skip) = (find(&rig, "queue").await.unwrap(), find(&rig, "skip").await.unwrap());
            (queue.queue.len(), skip.n_skipped) == (1, 1)
        })
        .await;
        rig.reaches(&engine, &first[0].id, "waiting").await;
        engine.cancel(&tenant(), first[0].id.as_str(), None).await.unwrap();
        let rows = wait_for(&rig, &engine, "queue", 2).await;
        assert_eq!(slots(&rows).len(), 2);
        assert_eq!(started(&rig, "skip").await.len(), 1);
        engine.stop().await;
    });
}

#[test]
fn a_schedule_is_paused_resumed_triggered_and_ends_with_its_definition() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        define(&rig, &engine, "tick", "{}", "schedule: {every: PT1M}\ndo: [{a: {set: {n: 1}}}]").await;
        let paused = engine.pause_schedule(&tenant(), "test", "tick").await.unwrap();
        assert_eq!((paused.is_paused, paused.next_at), (true, None));
        rig.clock.advance(MINUTE * 5);
        let now = engine.trigger_schedule(&tenant(), "test", "tick").await.unwrap();
        rig.reaches(&engine, &now.id, "completed").await;
        let resumed = engine.resume_schedule(&tenant(), "test", "tick").await.unwrap();
        assert_eq!(resumed.next_at, Some(rig.journal.now().plus(MINUTE)));
        rig.clock.advance(MINUTE);
        wait_for(&rig, &engine, "tick", 2).await;
        let foreign = trunkline_model::Tenant::from_stored("clinic-2");
        let missing = engine.pause_schedule(&foreign, "test", "tick").await;
        assert!(matches!(missing, Err(ScheduleError::NotFound)), "{missing:?}");

        let definition = resolve(&rig.store, &tenant(), "test", "tick", None).await.unwrap().unwrap();
        let retire = definition_set_state(&definition, DefinitionState::Retired, rig.journal.now());
        rig.journal.commit(Commit::statements(vec![retire])).await.unwrap();
        engine.refresh_definitions().await;
        rig.until("the schedule is gone", async || find(&rig, "tick").await.is_none()).await;
        engine.stop().await;
    });
}

#[test]
fn several_events_start_one_instance_together() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let all = "schedule: {on: {all: [{with: {type: lab.done}, correlate: {case: {from: .data.case}}}, {with: {type: paid}, correlate: {case: {from: .data.case}}}]}}\ndo: [{s: {set: {n: '${ length }', case: '${ .[0].case }'}}}]";
        rig.define(&engine, "both", all).await;
        let until = "schedule: {on: {any: [{with: {type: item}}], until: {one: {with: {type: closed}}}}}\ndo: [{s: {set: {n: '${ length }'}}}]";
        rig.define(&engine, "basket", until).await;
        for case in [1, 2, 3] {
            rig.emit("lab.done", json!({ "case": case })).await;
            rig.emit("item", json!({ "case": case })).await;
        }
        rig.emit("paid", json!({"case": 9})).await;
        rig.emit("paid", json!({"case": 2})).await;
        let rows = wait_for(&rig, &engine, "both", 1).await;
        let row = rig.reaches(&engine, &rows[0].id, "completed").await;
        assert_eq!(json_of(row.output.as_ref()), json!({"n": 2, "case": 2}));
        assert_eq!(started(&rig, "basket").await.len(), 0);
        engine.crash().await;
        let engine = rig.start();
        rig.emit("closed", json!({})).await;
        rig.emit("paid", json!({"case": 3})).await;
        let rows = wait_for(&rig, &engine, "basket", 1).await;
        let row = rig.reaches(&engine, &rows[0].id, "completed").await;
        assert_eq!(json_of(row.output.as_ref()), json!({"n": 3}));
        let rows = wait_for(&rig, &engine, "both", 2).await;
        assert_eq!((slots(&rows).len(), rows.len()), (2, 2));
        engine.stop().await;
    });
}

#[test]
fn an_expression_of_a_trigger_is_asked() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let tasks = "schedule: {on: {one: {with: {type: order.made, data: '${ .n > 5 }'}}}}\ndo: [{s: {set: {got: '${ .[0].n }'}}}]";
        rig.define(&engine, "large", tasks).await;
        for n in [4, 6, 2] {
            rig.emit("order.made", json!({ "n": n })).await;
        }
        let rows = wait_for(&rig, &engine, "large", 1).await;
        assert_eq!((rows.len(), rows[0].input.as_str()), (1, "[{\"n\":6}]"));
        engine.stop().await;
    });
}
