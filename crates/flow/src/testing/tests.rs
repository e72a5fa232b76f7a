//! The world in memory: time, calls, events, decisions and children.

#![allow(clippy::unwrap_used)] // everything here is a test

use serde_json::json;

use super::*;

const HEAD: &str = "document: {dsl: '1.0.3', namespace: test, name: it, version: '1.0.0'}\n";

fn world() -> World<'static> {
    World::new(Timestamp::from_secs(1_700_000_000), |_, _| Answer::Value(json!({"ok": true})))
}

#[test]
fn ninety_days_pass_at_once() {
    let mut world = world();
    world
        .define(&format!(
            "{HEAD}do: [{{w: {{wait: P90D}}}}, {{e: {{emit: {{event: {{with: {{type: a.b}}}}}}}}}}]"
        ))
        .unwrap();
    let began = world.now();
    let id = world.start("test/it", json!({})).unwrap();
    world.advance(Duration::from_hours(24 * 89)).unwrap();
    assert_eq!(world.outcome(&id), None);
    world.run().unwrap();
    assert!(matches!(world.outcome(&id), Some(Outcome::Completed(_))));
    assert_eq!(world.now().since(began), Duration::from_hours(24 * 90));
    assert_eq!(world.emitted().count(), 1);
}

#[test]
fn calls_are_answered_in_order_and_children_run() {
    let mut n = 0;
    let mut world = World::new(Timestamp::from_secs(0), |_, _| {
        n += 1;
        Answer::Value(json!({"n": n}))
    });
    let child = "document: {dsl: '1.0.3', namespace: test, name: child, version: '1.0.0'}\ndo: [{c: {call: http, with: {method: get, endpoint: 'https://a.example/x'}}}]";
    world.define(child).unwrap();
    let parent = "do: [{a: {call: http, with: {method: get, endpoint: 'https://a.example/y'}}}, {r: {run: {workflow: {namespace: test, name: child, version: latest}}}}]";
    world.define(&format!("{HEAD}{parent}")).unwrap();
    let id = world.start("test/it", json!({})).unwrap();
    assert_eq!(world.outcome(&id), Some(&Outcome::Completed(json!({"n": 2}))));
    assert_eq!(world.calls().count(), 2);
    assert_eq!(world.start("test/other", json!({})), Err(WorldError::NoDefinition("test/other".to_owned())));
}

#[test]
fn events_start_and_reach_and_people_decide() {
    let mut world = world();
    let tasks = "schedule: {on: {one: {with: {type: order.made}}}}\ndo: [{l: {listen: {to: {one: {with: {type: order.paid}}}}}}, {s: {call: 'step:1@default'}}]";
    world.define(&format!("{HEAD}{tasks}")).unwrap();
    world.emit(json!({"type": "order.made", "data": {"n": 1}})).unwrap();
    let id = world.instances().next().unwrap().0.clone();
    assert_eq!(world.decide(&id, "s", "me", json!({})), Err(WorldError::NotAsked("s".to_owned())));
    world.emit(json!({"type": "order.paid", "data": {}})).unwrap();
    world.decide(&id, "s", "me", json!({})).unwrap();
    assert!(matches!(world.outcome(&id), Some(Outcome::Completed(_))));
}

#[test]
fn people_reject_delegate_and_are_refused() {
    let mut world = world();
    let tasks = "do: [{a: {call: 'approval:1@default', with: {assignees: [ann], form: {type: object, required: [why]}}}}]";
    world.define(&format!("{HEAD}{tasks}")).unwrap();
    let id = world.start("test/it", json!({})).unwrap();
    let reject = |data: Value| Act::Complete { decision: Some(Decided::Rejected), data, comment: None };
    let refused = world.act(&id, "a", "bob", reject(json!({"why": 1})));
    assert_eq!(refused, Err(WorldError::Refused("the task is not on the list of bob".to_owned())));
    world.act(&id, "a", "ann", Act::Delegate { to: "bob".to_owned() }).unwrap();
    let unfit = world.act(&id, "a", "bob", reject(json!({}))).unwrap_err().to_string();
    assert!(unfit.contains("/why is missing"), "{unfit}");
    world.act(&id, "a", "bob", reject(json!({"why": 1}))).unwrap();
    let Some(Outcome::Completed(output)) = world.outcome(&id) else { panic!("it has not ended") };
    assert_eq!((&output["outcome"], &output["by"]), (&json!("rejected"), &json!("bob")));
}

#[test]
fn time_starts_what_has_a_schedule() {
    let check = |schedule: &str, points: &str, tasks: &str, minutes: u64, expect: usize| {
        let mut world = world();
        let text = format!(
            "document: {{dsl: '1.0.3', namespace: test, name: it, version: '1.0.0', metadata: {{trunkline: {{schedule: {points}}}}}}}\nschedule: {schedule}\ndo: {tasks}"
        );
        world.define(&text).unwrap();
        world.advance(Duration::from_hours(1)).unwrap();
        assert_eq!(world.instances().count(), 0, "{schedule}: nobody asked for it");
        world.keep_time("test/it").unwrap();
        world.advance(Duration::from_mins(minutes)).unwrap();
        assert_eq!(world.instances().count(), expect, "{schedule} {points} {tasks}");
    };
    let (short, long) = ("[{s: {set: {a: 1}}}]", "[{w: {wait: PT25M}}]");
    // The world begins at 22:13:20.
    check("{cron: '*/10 * * * *'}", "{}", short, 60, 6);
    check("{every: PT10M}", "{}", short, 60, 6);
    check("{every: PT10M}", "{}", long, 60, 6);
    check("{every: PT10M}", "{overlap: skip}", long, 60, 2);
    check("{every: PT10M}", "{overlap: queue}", long, 60, 3);
    check("{after: PT10M}", "{}", short, 60, 7);
    check("{after: PT10M}", "{}", long, 60, 2);
}

#[test]
fn functions_get_secrets_and_give_none_away() {
    let mut world = World::new(Timestamp::from_secs(0), |action, _| match action {
        Action::Function(call) => Answer::Value(Value::Object(call.arguments.clone())),
        _ => Answer::Never,
    });
    world.give_secret("key", "canary-4711");
    let tasks = "use: {secrets: [key]}\ndo: [{n: {call: 'noop:1@default', with: {k: '${ \"<\" + $secrets.key + \">\" }'}}}]";
    world.define(&format!("{HEAD}{tasks}")).unwrap();
    let id = world.start("test/it", json!({})).unwrap();
    let called = world.calls().next().unwrap();
    assert!(matches!(&called.action, Action::Function(call) if call.arguments["k"] == "<canary-4711>"));
    assert_eq!(world.outcome(&id), Some(&Outcome::Completed(json!({"k": "<[secret key]>"}))));
}
