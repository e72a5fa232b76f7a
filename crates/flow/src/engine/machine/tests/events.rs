//! Events out and in.

use serde_json::{Value, json};
use trunkline_model::Timestamp;

use super::super::{accepts, correlation_of_event};
use super::{Run, check, event};
use crate::dsl::tasks::Body;
use crate::engine::input::Input;

fn give(run: &mut Run, event_type: &str, data: Value) -> bool {
    let event = event(event_type, data);
    let waits: Vec<u32> = run.state.waits.keys().copied().collect();
    let taker = waits.into_iter().find(|wait| accepts(&run.program, &run.state, *wait, &event, run.now));
    if let Some(wait) = taker {
        run.take(Input::EventMatched { wait, event });
    }
    taker.is_some()
}

#[test]
fn an_emitted_event_is_the_output_and_is_complete() {
    let mut run = Run::start(
        "do: [{e: {emit: {event: {with: {type: order.made, subject: '${ .id }', data: {n: '${ .n }'}}}}}}, {w: {wait: PT1H}}]",
        json!({"id": "o1", "n": 2}),
    );
    let events = std::mem::take(&mut run.changes.events);
    assert_eq!(events.len(), 1);
    assert_eq!(
        (&events[0]["type"], &events[0]["subject"], &events[0]["data"]["n"]),
        (&json!("order.made"), &json!("o1"), &json!(2))
    );
    assert!(events[0]["id"].as_str().unwrap().starts_with("evt_"));
    assert!(run.wake().events.is_empty());
    let bad = Run::start("do: [{e: {emit: {event: {with: {type: '${ .id }'}}}}}]", json!({"id": "no type"}));
    assert_eq!(bad.failure()["status"], 400);
}

#[test]
fn one_event_with_tests_of_all_kinds() {
    let tasks = "do: [{l: {listen: {to: {one: {with: {type: lab.done, subject: 'case-.*', data: '${ .score > 3 }'}}}}}}]";
    let mut run = Run::start(tasks, json!({}));
    assert_eq!(run.changes.waits_set.len(), 1);
    let with = |subject: &str, score: Value| {
        let mut event = event("lab.done", json!({"score": score}));
        event["subject"] = json!(subject);
        event
    };
    let wait = *run.state.waits.keys().next().unwrap();
    let takes = |run: &Run, event: Value| accepts(&run.program, &run.state, wait, &event, run.now);
    assert!(!takes(&run, with("case-1", json!(2))));
    assert!(!takes(&run, with("other", json!(5))));
    run.take(Input::EventMatched { wait, event: with("case-1", json!(5)) });
    assert_eq!(run.output(), json!([{"score": 5}]));
    assert_eq!(run.changes.waits_cleared.len(), 1);
}

#[test]
fn all_events_in_any_order_tied_by_correlation() {
    let tasks = "do: [{l: {listen: {to: {all: [{with: {type: a.done}, correlate: {id: {from: .data.id}}}, {with: {type: b.done}, correlate: {id: {from: .data.id}}}]}}}}]";
    let mut run = Run::start(tasks, json!({}));
    assert!(give(&mut run, "b.done", json!({"id": 1})));
    assert!(!give(&mut run, "b.done", json!({"id": 1})));
    assert!(!give(&mut run, "a.done", json!({"id": 2})));
    assert!(give(&mut run, "a.done", json!({"id": 1})));
    assert_eq!(run.output(), json!([{"id": 1}, {"id": 1}]));
}

#[test]
fn any_event_goes_on_until_told() {
    let tasks = "do: [{l: {listen: {to: {any: [{with: {type: tick.made}}], until: '(. | length) >= 3'}}, foreach: {item: it, do: [{s: {set: {n: '${ $it.n * 10 + $index }'}}}], output: {as: .n}}}}]";
    let mut run = Run::start(tasks, json!({}));
    for n in 1..=3 {
        assert!(give(&mut run, "tick.made", json!({"n": n})));
    }
    assert_eq!(run.output(), json!([10, 21, 32]));
    let tasks = "do: [{l: {listen: {to: {any: [{with: {type: tick.made}}], until: {one: {with: {type: tick.over}}}}}}}]";
    let mut run = Run::start(tasks, json!({}));
    give(&mut run, "tick.made", json!(1));
    give(&mut run, "tick.made", json!(2));
    give(&mut run, "tick.over", json!(3));
    assert_eq!(run.output(), json!([1, 2]));
    let mut run = Run::start("do: [{l: {listen: {to: {any: []}}}}]", json!({}));
    assert!(give(&mut run, "what.ever", json!(1)));
    assert_eq!(run.output(), json!([1]));
}

#[test]
fn events_are_handled_one_after_the_other() {
    let tasks = "do: [{l: {listen: {to: {any: [{with: {type: tick.made}}], until: '(. | length) >= 2'}}, foreach: {item: it, do: [{w: {wait: PT1M}}, {s: {set: {n: '${ $it }'}}}]}}}]";
    let mut run = Run::start(tasks, json!({}));
    give(&mut run, "tick.made", json!(1));
    give(&mut run, "tick.made", json!(2));
    assert_eq!(run.state.timers.len(), 1);
    run.wake();
    run.wake();
    assert_eq!(run.output(), json!([{"n": 1}, {"n": 2}]));
}

#[test]
fn an_instance_and_an_event_come_to_the_same_correlation() {
    let tasks = "do: [{l: {listen: {to: {one: {with: {type: lab.done}, correlate: {case: {from: .data.case, expect: '${ .case }'}}}}}}}]";
    let run = Run::start(tasks, json!({"case": 7}));
    let Body::Listen(listen) = &run.program.tasks()[0].body else { panic!("no listen") };
    let filters = listen.to.filters();
    let of = |event: Value| correlation_of_event(filters[0], &event, Timestamp::default());
    let waits = run.state.waits.values().next().unwrap();
    assert_eq!(of(event("lab.done", json!({"case": 7}))).as_ref(), Some(&waits.correlation));
    assert_ne!(of(event("lab.done", json!({"case": 8}))).as_ref(), Some(&waits.correlation));
    assert_eq!(of(event("lab.begun", json!({"case": 7}))), None);
    check("do: [{s: {set: {x: 1}}}]", json!({}), json!({"x": 1}));
}
