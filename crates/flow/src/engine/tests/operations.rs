//! Looking back, telling, forking, moving and removing, on both stores.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trunkline_store::tables::event::{EventFilter, event_list};
use trunkline_store::tables::workflow::definition::DefinitionState;
use trunkline_store::tables::workflow::instance::{instance_list_active, instance_load};
use trunkline_testkit::for_each_store;

use super::super::people::Actor;
use super::super::*;
use super::json_of;
use super::rig::{Rig, tenant};
use crate::program::Format;

async fn define_version(rig: &Rig, engine: &Engine, version: &str, rest: &str) {
    let text = format!("document: {{dsl: '1.0.3', namespace: test, name: it, version: '{version}'}}\n{rest}");
    let stored = engine.store_definition(&tenant(), text, Format::Yaml, DefinitionState::Active).await;
    stored.unwrap_or_else(|error| panic!("{error:?}"));
    assert!(rig.journal.now() > Timestamp::default());
}

async fn begin(rig: &Rig, engine: &Engine, input: Value) -> WorkflowId {
    let found = resolve(&rig.store, &tenant(), "test", "it", None).await.unwrap().unwrap();
    rig.begin(engine, &found, input).await
}

fn actor(user: &str) -> Actor {
    Actor { user: user.to_owned(), groups: Vec::new(), on_behalf_of: None, is_operator: true }
}

#[test]
fn events_of_the_recent_past_are_taken_once() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let tasks = "do: [{l: {metadata: {trunkline: {lookBack: PT1H}}, listen: {to: {any: [{with: {type: paid}, correlate: {case: {from: .data.case, expect: '${ .case }'}}}], until: '(. | length) == 3'}}}}]";
        let definition = rig.define(&engine, "back", tasks).await;
        for (case, n) in [(1, 0), (1, 1), (2, 2)] {
            rig.clock.advance(Duration::from_mins(40));
            rig.emit("paid", json!({"case": case, "n": n})).await;
        }
        rig.clock.advance(Duration::from_mins(10));
        let id = rig.begin(&engine, &definition, json!({"case": 1})).await;
        rig.reaches(&engine, &id, "waiting").await;
        engine.crash().await;
        let engine = rig.start();
        for n in [3, 4] {
            rig.emit("paid", json!({"case": 1, "n": n})).await;
        }
        let row = rig.reaches(&engine, &id, "completed").await;
        let mut taken: Vec<i64> = json_of(row.output.as_ref())
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["n"].as_i64().unwrap())
            .collect();
        taken.sort_unstable();
        assert_eq!(taken, [1, 3, 4]);
        engine.stop().await;
    });
}

#[test]
fn lifecycle_events_are_told_where_they_are_asked_for() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let text = "document: {dsl: '1.0.3', namespace: test, name: told, version: '1.0.0', metadata: {trunkline: {lifecycleEvents: tasks}}}\ndo: [{t: {try: [{c: {call: http, with: {method: get, endpoint: 'http://a.test/refuse'}}}], catch: {retry: {delay: PT1S, limit: {attempt: {count: 1}}}, do: [{s: {set: {n: 1}}}]}}}]";
        let (whose, state) = (tenant(), DefinitionState::Active);
        let stored = engine.store_definition(&whose, text.to_owned(), Format::Yaml, state).await;
        let definition = stored.unwrap().row;
        let id = rig.begin(&engine, &definition, json!({})).await;
        rig.reaches(&engine, &id, "completed").await;
        let filter = EventFilter { limit: 99, ..EventFilter::default() };
        let mut events = event_list(&rig.store, &tenant(), &filter).await.unwrap();
        events.reverse();
        let types: Vec<&str> = events
            .iter()
            .filter_map(|it| it.event.event_type.as_str().strip_prefix("io.serverlessworkflow."))
            .collect();
        for (kind, n) in [
            ("workflow.started.v1", 1),
            ("workflow.completed.v1", 1),
            ("task.created.v1", 4),
            ("task.started.v1", 4),
            ("task.faulted.v1", 2),
            ("task.retried.v1", 1),
            ("task.completed.v1", 2),
        ] {
            assert_eq!(types.iter().filter(|it| **it == kind).count(), n, "{kind} in {types:?}");
        }
        let last =
            events.iter().find(|it| it.event.event_type.as_str().ends_with("workflow.completed.v1")).unwrap();
        assert_eq!(last.event.subject.as_deref(), Some(id.as_str()));
        let trunkline_model::Data::Json(data) = &last.event.data else { panic!("no JSON") };
        let data: Value = serde_json::from_slice(data).unwrap();
        assert_eq!(data["outputUri"], format!("/api/v1/workflows/{id}#/output"));

        let quiet = rig.define(&engine, "quiet", "do: [{s: {set: {n: 1}}}]").await;
        let id = rig.begin(&engine, &quiet, json!({})).await;
        rig.reaches(&engine, &id, "completed").await;
        assert_eq!(event_list(&rig.store, &tenant(), &filter).await.unwrap().len(), events.len());
        engine.stop().await;
    });
}

const CALLS: &str = "do:\n- a: {call: http, with: {method: post, endpoint: 'http://a.test/count'}}\n- b: {call: http, with: {method: post, endpoint: 'http://a.test/b', body: '${ . }'}}\n- s: {call: 'step:1@default'}\n- z: {set: {by: '${ .by }'}}";

#[test]
fn a_timeline_tells_each_record() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        define_version(&rig, &engine, "1.0.0", CALLS).await;
        let id = begin(&rig, &engine, json!({})).await;
        rig.reaches(&engine, &id, "waiting").await;
        let told = engine.timeline(&tenant(), id.as_str(), 0, 99).await.unwrap();
        let seen: Vec<(&str, Option<&str>)> =
            told.iter().map(|it| (it.kind.as_str(), it.task.as_deref())).collect();
        assert_eq!(
            seen,
            [
                ("started", None),
                ("begun", None),
                ("effect_done", Some("/do/0/a")),
                ("effect_done", Some("/do/1/b"))
            ]
        );
        let tasks: Vec<(&str, &str)> = told[2].tasks.iter().map(|it| (&*it.task, it.change)).collect();
        assert_eq!(tasks, [("/do/0/a", "completed"), ("/do/1/b", "started")]);
        assert_eq!((told[2].attempt, told[2].duration.is_some(), told[2].n_tasks), (Some(1), true, 2));
        let rest = engine.timeline(&tenant(), id.as_str(), 2, 1).await.unwrap();
        assert_eq!(rest.iter().map(|it| it.seq).collect::<Vec<_>>(), [3]);
        let foreign = trunkline_model::Tenant::from_stored("clinic-2");
        let missing = engine.timeline(&foreign, id.as_str(), 0, 9).await;
        assert!(matches!(missing, Err(HistoryError::NotFound)), "{missing:?}");
        engine.stop().await;
    });
}

#[test]
fn a_fork_shares_what_was_done_and_does_the_rest_itself() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        define_version(&rig, &engine, "1.0.0", CALLS).await;
        let id = begin(&rig, &engine, json!({})).await;
        rig.reaches(&engine, &id, "waiting").await;
        assert_eq!(rig.outside.seen().len(), 2);
        // From a task: what came before is shared, the task is done anew.
        let fork = engine
            .fork_instance(&tenant(), id.as_str(), &ForkFrom::Task("/do/1/b".to_owned()))
            .await
            .unwrap();
        rig.reaches(&engine, &fork.id, "waiting").await;
        let seen = rig.outside.seen();
        assert_eq!(
            seen.iter().map(|it| it.url.rsplit('/').next().unwrap()).collect::<Vec<_>>(),
            ["count", "b", "b"]
        );
        assert_eq!(seen[2].body, Some(json!({"n": 0})));
        assert_ne!(seen[1].key, seen[2].key);
        // From a record at which a person is asked: both are asked, each with its own word.
        let other = engine.fork_instance(&tenant(), id.as_str(), &ForkFrom::Record(4)).await.unwrap();
        rig.reaches(&engine, &other.id, "waiting").await;
        let decide = async |id: &WorkflowId, by: &str| {
            let decision = Decision { step: None, actor: actor(by), decision: None, data: json!({}) };
            engine.decide(&tenant(), id.as_str(), decision).await.unwrap()
        };
        for (id, by) in [(&other.id, "ann"), (&id, "bob"), (&fork.id, "cid")] {
            decide(id, by).await;
            let row = rig.reaches(&engine, id, "completed").await;
            assert_eq!(json_of(row.output.as_ref()), json!({ "by": by }));
        }
        assert_eq!(rig.outside.seen().len(), 3);
        assert_eq!(other.causation_id.as_deref(), Some(id.as_str()));
        let kinds: Vec<String> = rig.records(&other.id).await.into_iter().map(|record| record.kind).collect();
        assert_eq!(kinds, ["started", "forked", "begun", "acted"]);
        for (from, is_wanted) in [(ForkFrom::Record(99), false), (ForkFrom::Record(5), true)] {
            let refused = engine.fork_instance(&tenant(), id.as_str(), &from).await;
            assert_eq!(matches!(refused, Err(ForkError::Ended)), is_wanted, "{refused:?}");
        }
        engine.stop().await;
    });
}

#[test]
fn an_instance_goes_on_with_another_version() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        define_version(
            &rig,
            &engine,
            "1.0.0",
            "do: [{a: {set: {n: 1}}}, {l: {listen: {to: {one: {with: {type: paid}, correlate: {case: {from: .data.case, expect: '${ 7 }'}}}}}}}, {old: {set: {was: old}}}]",
        )
        .await;
        let id = begin(&rig, &engine, json!({})).await;
        rig.reaches(&engine, &id, "waiting").await;
        define_version(
            &rig,
            &engine,
            "1.1.0",
            "do: [{first: {set: {n: 1}}}, {a: {set: {n: 1}}}, {wait: {listen: {to: {one: {with: {type: settled}, correlate: {case: {from: .data.case, expect: '${ 7 }'}}}}}}}, {new: {set: {was: new}}}]",
        )
        .await;
        let none = BTreeMap::new();
        let refused = engine.migrate_instance(&tenant(), id.as_str(), "1.1.0", &none).await;
        let Err(MigrateError::Faults(faults)) = refused else { panic!("{refused:?}") };
        assert_eq!(faults.iter().map(|it| it.reference.as_str()).collect::<Vec<_>>(), ["/do/1/l"]);
        let absent = BTreeMap::from([("/do/1/l".to_owned(), "/do/9/no".to_owned())]);
        let refused = engine.migrate_instance(&tenant(), id.as_str(), "1.1.0", &absent).await;
        assert!(matches!(refused, Err(MigrateError::Faults(_))), "{refused:?}");
        let map = BTreeMap::from([("/do/1/l".to_owned(), "/do/2/wait".to_owned())]);
        let row = engine.migrate_instance(&tenant(), id.as_str(), "1.1.0", &map).await.unwrap();
        assert_eq!((row.version.as_str(), row.current_step, row.total_steps), ("1.1.0", 3, 4));
        // It listens to what the new version names, also after a crash.
        engine.crash().await;
        let engine = rig.start();
        rig.emit("paid", json!({"case": 7})).await;
        rig.emit("settled", json!({"case": 8})).await;
        rig.emit("settled", json!({"case": 7})).await;
        let row = rig.reaches(&engine, &id, "completed").await;
        assert_eq!(json_of(row.output.as_ref()), json!({"was": "new"}));
        let told = engine.timeline(&tenant(), id.as_str(), 0, 99).await.unwrap();
        let kinds: Vec<(&str, Option<&str>)> =
            told.iter().map(|it| (it.kind.as_str(), it.task.as_deref())).collect();
        assert_eq!(
            kinds,
            [("started", None), ("begun", None), ("migrated", None), ("event_matched", Some("/do/2/wait"))]
        );
        engine.stop().await;
    });
}

#[test]
fn many_instances_are_moved_and_those_that_cannot_are_named() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let steps = "do: [{one: {call: 'step:1@default'}}, {two: {call: 'step:1@default'}}]";
        define_version(&rig, &engine, "1.0.0", steps).await;
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(begin(&rig, &engine, json!({})).await);
        }
        for id in &ids {
            rig.reaches(&engine, id, "waiting").await;
        }
        let decision = Decision { step: None, actor: actor("ann"), decision: None, data: json!({}) };
        engine.decide(&tenant(), ids[1].as_str(), decision.clone()).await.unwrap();
        define_version(
            &rig,
            &engine,
            "2.0.0",
            "do: [{zero: {set: {n: 1}}}, {two: {call: 'step:1@default'}}]",
        )
        .await;
        let from = resolve(&rig.store, &tenant(), "test", "it", Some("1.0.0")).await.unwrap().unwrap();
        let moved = engine.migrate_instances(&from, "2.0.0", &BTreeMap::new(), None).await.unwrap();
        let done: Vec<bool> =
            ids.iter().map(|id| moved.iter().any(|it| it.id == *id && it.result.is_ok())).collect();
        assert_eq!((moved.len(), done), (3, vec![false, true, false]));
        // Where it is held it is moved too, and what it waits for goes on.
        engine.suspend(&tenant(), ids[1].as_str(), None).await.unwrap();
        let row = engine.resume(&tenant(), ids[1].as_str()).await.unwrap();
        assert_eq!((row.version.as_str(), row.phase.as_str()), ("2.0.0", "waiting"));
        let row = engine.decide(&tenant(), ids[1].as_str(), decision).await.unwrap();
        assert_eq!(row.phase.as_str(), "completed");
        let rest = engine.migrate_instances(&from, "2.0.0", &BTreeMap::new(), Some(ids[2].as_str())).await;
        assert!(rest.unwrap().is_empty());
        engine.stop().await;
    });
}

#[test]
fn what_ended_long_ago_goes() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let definition = rig.define(&engine, "short", "do: [{s: {set: {n: '${ .text | length }'}}}]").await;
        let idle = rig.define(&engine, "idle", "do: [{s: {call: 'step:1@default'}}]").await;
        let long = json!({"text": "x".repeat(100_000)});
        let id = rig.begin(&engine, &definition, long.clone()).await;
        let waiting = rig.begin(&engine, &idle, long).await;
        rig.reaches(&engine, &id, "completed").await;
        rig.reaches(&engine, &waiting, "waiting").await;
        rig.clock.advance(Duration::from_hours(24 * 91));
        rig.until("it is gone", async || {
            engine.shared.retention.notify_one();
            instance_load(&rig.store, &id).await.unwrap().is_none()
        })
        .await;
        assert!(rig.records(&id).await.is_empty());
        assert_eq!(rig.records(&waiting).await.len(), 2);
        assert_eq!(instance_list_active(&rig.store, 0, None, 9).await.unwrap(), []);
        engine.stop().await;
    });
}
