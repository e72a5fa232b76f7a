//! Extensions around tasks (rule 35).

use serde_json::{Value, json};

use super::{Run, check};

const HEAD: &str = "document: {dsl: '1.0.3', namespace: test, name: it, version: '1.0.0'}\n";

fn around(extensions: &str, tasks: &str) -> String {
    format!("{HEAD}use: {{extensions: {extensions}}}\n{tasks}")
}

#[test]
fn before_and_after_see_the_task_and_change_nothing() {
    let log = "[{log: {extend: all, before: [{b: {emit: {event: {with: {type: log.before, data: {at: '${ $task.reference }', n: '${ .n }'}}}}}}], after: [{a: {emit: {event: {with: {type: log.after, data: {at: '${ $task.name }', n: '${ .n }'}}}}}}]}}]";
    let run = Run::start(
        &around(log, "do: [{one: {set: {n: 2}}}, {two: {set: {n: '${ .n * 2 }'}}}]"),
        json!({"n": 1}),
    );
    assert_eq!(run.output(), json!({"n": 4}));
    let told: Vec<(&str, Value, Value)> = run
        .changes
        .events
        .iter()
        .map(|it| (it["type"].as_str().unwrap(), it["data"]["at"].clone(), it["data"]["n"].clone()))
        .collect();
    assert_eq!(
        told,
        [
            ("log.before", json!("/do/0/one"), json!(1)),
            ("log.after", json!("one"), json!(2)),
            ("log.before", json!("/do/1/two"), json!(2)),
            ("log.after", json!("two"), json!(4)),
        ]
    );
}

#[test]
fn exit_before_a_task_takes_its_place() {
    let mock = "[{mock: {extend: call, when: '$task.call == \"http\" and ($task.with.endpoint | startswith(\"http://a.\"))', before: [{m: {set: {content: {foo: 1}}, then: exit}}]}}]";
    let tasks = "do: [{c: {call: http, with: {method: get, endpoint: 'http://a.test/x'}, output: {as: .content}}}, {s: {set: {got: '${ .foo }'}}}]";
    check(&around(mock, tasks), json!({}), json!({"got": 1}));
    let mut other = Run::start(&around(mock, &tasks.replace("a.test", "b.test")), json!({}));
    assert_eq!(other.calls().len(), 1);
    other.answer(Ok(json!({"content": {"foo": 2}})));
    assert_eq!(other.output(), json!({"got": 2}));
}

#[test]
fn extensions_nest_in_their_order_and_leave_their_own_tasks_alone() {
    let mark = |name: &str| {
        format!(
            "{{{name}: {{extend: all, before: [{{b: {{emit: {{event: {{with: {{type: {name}.before}}}}}}}}}}], after: [{{a: {{emit: {{event: {{with: {{type: {name}.after}}}}}}}}}}]}}}}"
        )
    };
    let both = format!("[{}, {}]", mark("x"), mark("y"));
    let run = Run::start(&around(&both, "do: [{one: {set: {n: 2}}}]"), json!({}));
    let types: Vec<&str> = run.changes.events.iter().map(|it| it["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["x.before", "y.before", "y.after", "x.after"]);
}

#[test]
fn an_extension_waits_fails_and_is_caught_like_a_task() {
    let wait = "[{w: {extend: set, before: [{w: {wait: PT5S}}], after: [{w: {wait: PT5S}}]}}]";
    let mut run = Run::start(&around(wait, "do: [{one: {set: {n: 2}}}]"), json!({}));
    run.wake();
    run.wake();
    assert_eq!(run.output(), json!({"n": 2}));
    let fails =
        "[{f: {extend: wait, after: [{r: {raise: {error: {type: 'https://a.test/bad', status: 418}}}}]}}]";
    let tasks =
        "do: [{t: {try: [{w: {wait: PT1S}}], catch: {do: [{s: {set: {status: '${ $error.status }'}}}]}}}]";
    let mut run = Run::start(&around(fails, tasks), json!({}));
    run.wake();
    assert_eq!(run.output(), json!({"status": 418}));
}

#[test]
fn composite_is_do_and_fork() {
    let mark = "[{m: {extend: composite, after: [{a: {emit: {event: {with: {type: it.ended, data: {at: '${ $task.name }'}}}}}}]}}]";
    let tasks = "do: [{f: {fork: {branches: [{x: {set: {n: 1}}}, {y: {do: [{z: {set: {n: 2}}}]}}]}}}]";
    let run = Run::start(&around(mark, tasks), json!({}));
    assert_eq!(run.output(), json!([{"n": 1}, {"n": 2}]));
    let names: Vec<&Value> = run.changes.events.iter().map(|it| &it["data"]["at"]).collect();
    assert_eq!(names, [&json!("y"), &json!("f")]);
}
