//! The engine on both stores: steps that are durable, waiting, reaching from outside, crashes.

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)] // everything here is a test; `json!` reads better given

mod calls;
mod catalog;
mod crash;
mod net;
mod operations;
mod outside;
mod people;
mod rig;
mod schedules;
mod secrets;
mod seeded;
mod suite;

use serde_json::{Value, json};
use trunkline_store::tables::event::{EventFilter, event_list};
use trunkline_testkit::for_each_store;

pub(crate) use self::rig::Cut;
use self::rig::{Rig, tenant};
use super::*;

fn json_of(text: Option<&String>) -> Value {
    serde_json::from_str(text.unwrap()).unwrap()
}

#[test]
fn an_effect_is_one_record() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let tasks = "do:\n- a: {set: {n: '${ .n + 1 }'}}\n- c: {call: http, with: {method: post, endpoint: 'http://a.test/x', body: '${ . }'}}\n- e: {emit: {event: {with: {type: it.over, subject: s}}}}\n- z: {set: {id: '${ .id }', n: 5}}";
        let definition = rig.define(&engine, "one", tasks).await;
        let id = rig.begin(&engine, &definition, json!({"n": 1})).await;
        let row = rig.reaches(&engine, &id, "completed").await;
        let kinds: Vec<String> = rig.records(&id).await.into_iter().map(|record| record.kind).collect();
        assert_eq!(kinds, ["started", "begun", "effect_done"]);
        // A record is counted just after it is there to be seen.
        rig.until("both are counted", async || engine.metrics().n_records() == 2).await;
        assert_eq!((row.current_step, row.total_steps, row.n_records), (4, 4, 3));
        assert_eq!(json_of(row.output.as_ref())["n"], 5);
        assert_eq!(rig.outside.seen()[0].body, Some(json!({"n": 2})));
        let filter = EventFilter { event_type: Some("it.over".into()), limit: 9, ..EventFilter::default() };
        let events = event_list(&rig.store, &tenant(), &filter).await.unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].event.correlationid.as_ref(), id.as_str());
        assert_eq!(events[0].event.causationid.as_deref(), Some(id.as_str()));
        engine.stop().await;
    });
}

#[test]
fn a_wait_of_ninety_days_takes_no_memory_and_survives_a_restart() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let definition = rig.define(&engine, "long", "do: [{w: {wait: P90D}}, {s: {set: {x: 1}}}]").await;
        let id = rig.begin(&engine, &definition, json!({})).await;
        rig.until("it waits", async || rig.row(&id).await.phase.as_str() == "waiting").await;
        engine.stop().await;
        let engine = rig.start();
        rig.clock.advance(Duration::from_hours(24 * 90));
        rig.reaches(&engine, &id, "completed").await;
        engine.stop().await;
    });
}

#[test]
fn more_timers_than_there_is_room_for_all_fire() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let definition =
            rig.define(&engine, "many", "do: [{w: {wait: '${ .wait }'}}, {s: {set: {x: 1}}}]").await;
        let mut ids = Vec::new();
        for n in 0..40 {
            let wait = if n % 2 == 0 { "PT10S".to_owned() } else { format!("PT{}S", 5 + n) };
            ids.push(rig.begin(&engine, &definition, json!({"wait": wait})).await);
        }
        for id in &ids {
            rig.until("it waits", async || rig.row(id).await.phase.as_str() == "waiting").await;
        }
        // They are overdue together when the next owner comes.
        engine.stop().await;
        rig.clock.advance(Duration::from_hours(1));
        let engine = rig.start();
        for id in &ids {
            let row = rig.reaches(&engine, id, "completed").await;
            assert_eq!(row.n_records, 3);
        }
        engine.stop().await;
    });
}

#[test]
fn the_same_definition_is_stored_once_and_another_content_is_refused() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let first = rig.define(&engine, "one", "do: [{a: {set: {n: 1}}}]").await;
        let again = rig.define(&engine, "one", "do: [{a: {set: {n:   1}}}]").await;
        assert_eq!(first, again);
        let text = "document: {dsl: '1.0.3', namespace: test, name: one, version: '1.0.0'}\ndo: [{a: {set: {n: 2}}}]";
        let state = trunkline_store::tables::workflow::definition::DefinitionState::Active;
        let refused = engine.store_definition(&tenant(), text.to_owned(), crate::Format::Yaml, state).await;
        assert!(matches!(refused, Err(StoreDefinitionError::Taken { .. })), "{refused:?}");
        let start = |key: &str| NewInstance {
            start_key: Some(key.to_owned()),
            ..NewInstance::new(tenant(), json!({}))
        };
        let one = engine.start_instance(&first, start("k")).await.unwrap();
        let two = engine.start_instance(&first, start("k")).await.unwrap();
        assert_eq!(one.id, two.id);
        rig.reaches(&engine, &one.id, "completed").await;
        engine.stop().await;
    });
}
