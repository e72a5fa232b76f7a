//! Tasks that direct data and each other.

use std::time::Duration;

use serde_json::json;

use super::{Run, check};
use crate::engine::input::Input;
use crate::engine::people::{Act, Actor};
use crate::engine::state::Activity;

#[test]
fn data_flows_from_task_to_task() {
    check(
        "do: [{a: {set: {x: '${ .n + 1 }'}}}, {b: {set: '${ {y: .x} }'}}]",
        json!({"n": 1}),
        json!({"y": 2}),
    );
    check(
        "do: [{a: {input: {from: .inner}, set: {x: '${ . }', raw: '${ $task.input.n }'}, output: {as: '.x'}}}]",
        json!({"inner": 5, "n": 7}),
        json!(5),
    );
    check(
        "do:\n- a: {set: {x: 1}, export: {as: '{kept: .x}'}}\n- b: {set: {y: '${ $context.kept }'}}",
        json!({}),
        json!({"y": 1}),
    );
    check(
        "do: [{a: {if: .n > 5, set: {x: 1}}}, {b: {set: {n: '${ .n }'}}}]",
        json!({"n": 1}),
        json!({"n": 1}),
    );
}

#[test]
fn a_switch_chooses_and_loops_back() {
    let count = "do:\n- count: {set: {n: '${ .n + 1 }'}}\n- again: {switch: [{more: {when: .n < 5, then: count}}, {default: {then: end}}]}\n- never: {set: {n: 0}}";
    check(count, json!({"n": 0}), json!({"n": 5}));
    let none = "do: [{s: {switch: [{x: {when: .n == 9, then: end}}]}}, {t: {set: {went: on}}}]";
    check(none, json!({"n": 0}), json!({"went": "on"}));
}

#[test]
fn a_loop_chains_its_iterations() {
    let sum = "do: [{l: {for: {each: it, in: .items}, do: [{add: {set: {items: [], sum: '${ (.sum // 0) + $it }', at: '${ $index }'}}}]}}]";
    check(sum, json!({"items": [1, 2, 3]}), json!({"items": [], "sum": 6, "at": 2}));
    check(sum, json!({"items": []}), json!({"items": []}));
    let until = "do: [{l: {for: {each: it, in: '[1,2,3,4]'}, while: .n < 3, do: [{add: {set: {n: '${ .n + $it }'}}}]}}]";
    check(until, json!({"n": 0}), json!({"n": 3}));
}

#[test]
fn a_fork_joins_in_declared_order() {
    let tasks = "do:\n- f: {fork: {branches: [{slow: {wait: PT2S, output: {as: '\"slow\"'}, export: {as: '{a: 1}'}}}, {quick: {set: {q: 1}, export: {as: '{b: 2}'}}}]}}\n- show: {set: {out: '${ . }', context: '${ $context }'}}";
    let mut run = Run::start(tasks, json!({}));
    assert_eq!(run.activity(), Activity::Waiting);
    run.wake();
    assert_eq!(run.output(), json!({"out": ["slow", {"q": 1}], "context": {"a": 1, "b": 2}}));
}

#[test]
fn the_first_branch_of_a_race_cancels_the_others() {
    let tasks = "do: [{f: {fork: {compete: true, branches: [{slow: {wait: PT1H}}, {quick: {wait: PT1M, output: {as: '\"quick\"'}}}]}}}]";
    let mut run = Run::start(tasks, json!({}));
    assert_eq!(run.changes.timers_set.len(), 2);
    let cleared = run.wake().timers_cleared.len();
    assert_eq!((run.output(), cleared), (json!("quick"), 2));
}

#[test]
fn a_wait_of_ninety_days_takes_no_time() {
    let mut run = Run::start("do: [{w: {wait: P90D}}, {s: {set: {at: '${ now | floor }'}}}]", json!({}));
    let began = run.now;
    assert_eq!((run.activity(), run.changes.timers_set.len()), (Activity::Waiting, 1));
    run.wake();
    assert_eq!(run.now.since(began), Duration::from_hours(90 * 24));
    assert_eq!(run.output(), json!({"at": 1_700_000_000 + 90 * 86_400}));
}

#[test]
fn a_function_is_a_task_with_arguments() {
    let tasks = "use: {functions: {double: {set: {n: '${ .n * 2 }'}}}}\ndo: [{c: {call: double, with: {n: '${ .x }'}}}]";
    check(tasks, json!({"x": 4}), json!({"n": 8}));
}

#[test]
fn a_loop_that_waits_for_nothing_ends_in_an_error() {
    let tasks = "do:\n- a: {set: {n: '${ .n + 1 }'}}\n- b: {switch: [{x: {when: .n >= 0, then: a}}]}";
    let run = Run::start(tasks, json!({"n": 0}));
    assert_eq!(run.failure()["status"], 500);
}

#[test]
fn what_the_engine_does_not_do_is_an_error_of_configuration() {
    let tasks = "document: {dsl: '1.0.3', namespace: test, name: x, version: '1.0.0'}\ndo: [{a: {call: asyncapi, with: {document: {endpoint: 'http://a.test/p'}, channel: c, subscription: {consume: {amount: 1}}}}}]";
    let failure = Run::start(tasks, json!({})).failure();
    assert!(failure["type"].as_str().unwrap().ends_with("/configuration"), "{failure}");
    assert!(failure["detail"].as_str().unwrap().contains("(rule "), "{failure}");
}

#[test]
fn a_person_is_asked_and_answers() {
    let tasks = "do:\n- sign: {call: 'step:1@default', with: {title: Sign it}}\n- next: {call: 'step:1@default', with: {due: PT1H}}";
    let mut run = Run::start(tasks, json!({}));
    let waits = |run: &Run| {
        let asked = run.state.people().next().map(|(_, asked, _)| asked.clone());
        asked.map(|asked| (asked.nonce, asked.title))
    };
    let done = |nonce: &str, data: serde_json::Value| {
        let actor = Actor { user: "ann".into(), groups: Vec::new(), on_behalf_of: None, is_operator: false };
        let act = Act::Complete { decision: None, data, comment: None };
        Input::Acted { nonce: nonce.to_owned(), key: String::new(), actor, act }
    };
    let (first, title) = waits(&run).unwrap();
    assert_eq!((title.as_str(), run.state.step), ("Sign it", 1));
    run.take(done("other", json!(null)));
    assert_eq!(waits(&run).unwrap().0, first);
    run.take(done(&first, json!({"ok": true})));
    let (second, title) = waits(&run).unwrap();
    assert_eq!((title.as_str(), run.state.step), ("next", 2));
    // A late repeat of the first decision is none about the second step.
    run.take(done(&first, json!(null)));
    assert_eq!(waits(&run).unwrap().0, second);
    run.wake();
    assert_eq!(run.output(), json!({"outcome": "timeout"}));
}

#[test]
fn a_held_instance_takes_up_what_came_meanwhile() {
    let mut run = Run::start("do: [{w: {wait: PT1H}}, {s: {set: {x: 1}}}]", json!({}));
    run.take(Input::Suspend { reason: Some("holiday".into()) });
    run.wake();
    assert_eq!(run.activity(), Activity::Suspended);
    run.take(Input::Resume);
    assert_eq!(run.output(), json!({"x": 1}));
    let mut run = Run::start("do: [{w: {wait: PT1H}}]", json!({}));
    run.take(Input::Suspend { reason: None });
    let cleared = run.take(Input::Cancel { reason: None }).timers_cleared.len();
    assert_eq!((run.activity(), cleared), (Activity::Ended, 1));
}
