//! What reaches instances: events, people, other instances, whoever holds or ends them.

use serde_json::json;
use trunkline_store::tables::event::{EventFilter, event_list};
use trunkline_store::tables::workflow::inbox::message_list_shards;
use trunkline_store::tables::workflow::instance::{InstanceFilter, instance_list};
use trunkline_testkit::for_each_store;

use super::super::people::{ActRefusal, Actor};
use super::super::*;
use super::json_of;
use super::rig::{Rig, tenant};

fn decision(step: Option<&str>, data: serde_json::Value) -> Decision {
    let actor = Actor { user: "ann".to_owned(), groups: Vec::new(), on_behalf_of: None, is_operator: true };
    Decision { step: step.map(str::to_owned), actor, decision: None, data }
}

#[test]
fn an_event_reaches_those_who_wait_for_it() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let tasks = "do: [{l: {listen: {to: {one: {with: {type: lab.done}, correlate: {case: {from: .data.case, expect: '${ .case }'}}}}}}}]";
        let definition = rig.define(&engine, "lab", tasks).await;
        let mut ids = Vec::new();
        for case in 0..5 {
            ids.push(rig.begin(&engine, &definition, json!({"case": case})).await);
        }
        for id in &ids {
            rig.reaches(&engine, id, "waiting").await;
        }
        rig.emit("lab.done", json!({"case": 3, "score": 7})).await;
        rig.emit("lab.begun", json!({"case": 1})).await;
        let row = rig.reaches(&engine, &ids[3], "completed").await;
        assert_eq!(json_of(row.output.as_ref()), json!([{"case": 3, "score": 7}]));
        rig.until("the inbox is empty", async || message_list_shards(&rig.store).await.unwrap().is_empty())
            .await;
        for (case, id) in ids.iter().enumerate().filter(|(case, _)| *case != 3) {
            assert_eq!(rig.row(id).await.phase.as_str(), "waiting", "case {case}");
        }
        engine.stop().await;
    });
}

#[test]
fn an_event_starts_one_instance_of_the_newest_version() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let tasks =
            "schedule: {on: {one: {with: {type: order.made}}}}\ndo: [{s: {set: {got: '${ .[0].n }'}}}]";
        rig.define(&engine, "order", tasks).await;
        let event = rig.emit("order.made", json!({"n": 4})).await;
        rig.emit("order.other", json!({"n": 5})).await;
        let list = async || {
            let filter = InstanceFilter { limit: 9, ..InstanceFilter::default() };
            instance_list(&rig.store, &tenant(), &filter).await.unwrap()
        };
        rig.until("one has ended", async || list().await.iter().any(|row| row.phase.is_terminal())).await;
        let rows = list().await;
        assert_eq!(rows.len(), 1);
        assert_eq!(json_of(rows[0].output.as_ref()), json!({"got": 4}));
        assert_eq!(rows[0].causation_id.as_deref(), Some(event.as_str()));
        engine.stop().await;
    });
}

#[test]
fn what_came_before_a_definition_starts_nothing() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        for n in 0..20 {
            rig.emit("order.made", json!({"n": n})).await;
        }
        rig.clock.advance(Duration::from_secs(1));
        let engine = rig.start();
        let tasks =
            "schedule: {on: {one: {with: {type: order.made}}}}\ndo: [{s: {set: {got: '${ .[0].n }'}}}]";
        rig.define(&engine, "order", tasks).await;
        let list = async || {
            let filter = InstanceFilter { limit: 99, ..InstanceFilter::default() };
            instance_list(&rig.store, &tenant(), &filter).await.unwrap()
        };
        rig.emit("order.made", json!({"n": 77})).await;
        rig.until("the event starts one", async || !list().await.is_empty()).await;
        let inputs: Vec<String> = list().await.into_iter().map(|row| row.input).collect();
        assert_eq!(inputs, ["[{\"n\":77}]"]);
        engine.stop().await;
    });
}

#[test]
fn people_advance_cancel_hold_and_resume() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let tasks = "do:\n- first: {call: 'step:1@default', with: {form: {type: object, required: [ok]}}}\n- second: {call: 'step:1@default'}";
        let definition = rig.define(&engine, "steps", tasks).await;
        let id = rig.begin(&engine, &definition, json!({})).await;
        rig.reaches(&engine, &id, "waiting").await;
        let refused = engine.decide(&tenant(), id.as_str(), decision(Some("second"), json!({}))).await;
        assert!(matches!(refused, Err(SendError::NotWaiting)), "{refused:?}");
        let refused = engine.decide(&tenant(), id.as_str(), decision(None, json!({}))).await;
        assert!(matches!(refused, Err(SendError::Refused(ActRefusal::Form(_)))), "{refused:?}");
        let row = engine.decide(&tenant(), id.as_str(), decision(None, json!({"ok": true}))).await.unwrap();
        assert_eq!((row.current_step, row.total_steps), (2, 2));

        let row = engine.suspend(&tenant(), id.as_str(), Some("holiday".into())).await.unwrap();
        assert_eq!((row.phase.as_str(), row.error.as_deref()), ("suspended", Some("\"holiday\"")));
        let row = engine.resume(&tenant(), id.as_str()).await.unwrap();
        assert_eq!(row.phase.as_str(), "waiting");
        let row = engine.decide(&tenant(), id.as_str(), decision(Some("second"), json!(1))).await.unwrap();
        assert_eq!(row.phase.as_str(), "completed");
        assert_eq!(json_of(row.output.as_ref()), json!({"outcome": "done", "by": "ann", "data": 1}));
        let ended = engine.cancel(&tenant(), id.as_str(), None).await;
        assert!(matches!(ended, Err(SendError::Ended)), "{ended:?}");
        let foreign = trunkline_model::Tenant::from_stored("clinic-2");
        let missing = engine.cancel(&foreign, id.as_str(), None).await;
        assert!(matches!(missing, Err(SendError::NotFound)), "{missing:?}");

        let id = rig.begin(&engine, &definition, json!({})).await;
        let row = engine.cancel(&tenant(), id.as_str(), Some("enough".into())).await.unwrap();
        assert_eq!((row.phase.as_str(), row.error.as_deref()), ("cancelled", Some("\"enough\"")));
        engine.stop().await;
    });
}

#[test]
fn an_instance_waits_for_the_one_it_runs() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        rig.define(&engine, "child", "do: [{w: {wait: PT5S}}, {s: {set: {n: '${ .n * 2 }'}}}]").await;
        let tasks = "do: [{c: {run: {workflow: {namespace: test, name: child, version: latest, input: {n: '${ .n }'}}}}}, {s: {set: {got: '${ .n }'}}}]";
        let definition = rig.define(&engine, "parent", tasks).await;
        let id = rig.begin(&engine, &definition, json!({"n": 4})).await;
        let row = rig.reaches(&engine, &id, "completed").await;
        assert_eq!(json_of(row.output.as_ref()), json!({"got": 8}));
        let absent = tasks.replace("name: child", "name: nobody");
        let definition = rig.define(&engine, "orphan", &absent).await;
        let id = rig.begin(&engine, &definition, json!({"n": 4})).await;
        let row = rig.reaches(&engine, &id, "faulted").await;
        assert_eq!(json_of(row.error.as_ref())["status"], 400);

        // Whoever is ended ends what it runs.
        rig.define(&engine, "idle", "do: [{w: {wait: P9D}}]").await;
        let idle = tasks.replace("name: child", "name: idle");
        let definition = rig.define(&engine, "boss", &idle).await;
        let id = rig.begin(&engine, &definition, json!({"n": 4})).await;
        rig.reaches(&engine, &id, "waiting").await;
        engine.cancel(&tenant(), id.as_str(), None).await.unwrap();
        let child = async || {
            let filter = InstanceFilter { name: Some("idle".into()), limit: 9, ..InstanceFilter::default() };
            instance_list(&rig.store, &tenant(), &filter).await.unwrap().remove(0).phase.is_terminal()
        };
        rig.until("the child is cancelled too", child).await;
        engine.stop().await;
    });
}

#[test]
fn a_short_workflow_is_over_in_the_commit_that_starts_it() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let engine = rig.start();
        let tasks = "schedule: {on: {one: {with: {type: order.made, data: '${ .n > 3 }'}}}}
do:
- e: {emit: {event: {with: {type: order.seen, data: '${ .[0] }'}}}}
- s: {set: {n: '${ .data.n }'}}";
        rig.define(&engine, "short", tasks).await;
        let n_commits = engine.shared.cut.n_passed();
        rig.emit("order.made", json!({"n": 1})).await;
        let event = rig.emit("order.made", json!({"n": 4})).await;
        let filter =
            InstanceFilter { causation_id: Some(event.clone()), limit: 9, ..InstanceFilter::default() };
        let list = async || instance_list(&rig.store, &tenant(), &filter).await.unwrap();
        rig.until("one has started", async || !list().await.is_empty()).await;
        let rows = list().await;
        let row = &rows[0];
        assert_eq!(
            (rows.len(), row.phase.as_str(), row.n_records),
            (1, "completed", 2),
            "over when it is seen"
        );
        assert_eq!(json_of(row.output.as_ref()), json!({"n": 4}));
        assert_eq!(rig.records(&row.id).await.len(), 2);
        assert_eq!(engine.shared.cut.n_passed(), n_commits, "no commit of a step besides the reader's");
        let filter =
            EventFilter { event_type: Some("order.seen".to_owned()), limit: 9, ..EventFilter::default() };
        let seen = event_list(&rig.store, &tenant(), &filter).await.unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].event.causationid.as_deref(), Some(row.id.as_str()));
        let all = InstanceFilter { limit: 9, ..InstanceFilter::default() };
        assert_eq!(instance_list(&rig.store, &tenant(), &all).await.unwrap().len(), 1);
        engine.stop().await;
    });
}
