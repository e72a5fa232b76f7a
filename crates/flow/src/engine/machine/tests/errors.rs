//! Errors, retries and time limits.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Run, check};
use crate::engine::input::{Input, Outcome};
use crate::engine::state::Activity;

const CALL: &str = "{call: http, with: {method: get, endpoint: 'http://example.test/{id}'}}";

#[test]
fn an_error_that_nobody_catches_ends_the_instance() {
    let tasks = "do: [{a: {do: [{b: {raise: {error: {type: 'https://example.test/out', status: 409, title: Out, detail: '${ .why }'}}}}]}}]";
    let run = Run::start(tasks, json!({"why": "sold"}));
    let expect = json!({"type": "https://example.test/out", "status": 409, "title": "Out", "detail": "sold",
        "instance": "/do/0/a/do/0/b"});
    assert_eq!(run.failure(), expect);
    assert!(run.state.frames.is_empty());
}

#[test]
fn a_handler_sees_the_error() {
    let tasks = "do: [{t: {try: [{r: {raise: {error: {type: 'https://example.test/out', status: 409}}}}], catch: {errors: {with: {status: 409}}, as: it, do: [{s: {set: {got: '${ $it.status }'}}}]}}}]";
    check(tasks, json!({}), json!({"got": 409}));
    let other = tasks.replace("with: {status: 409}", "with: {status: 500}");
    assert_eq!(Run::start(&other, json!({})).failure()["status"], 409);
    let by_condition = tasks.replace("errors: {with: {status: 409}}", "when: $it.status == 409");
    check(&by_condition, json!({}), json!({"got": 409}));
    let except = tasks.replace("errors: {with: {status: 409}}", "exceptWhen: $it.status == 409");
    assert_eq!(Run::start(&except, json!({})).failure()["status"], 409);
}

fn retrying(policy: &str, rest: &str) -> String {
    format!("do: [{{t: {{try: [{{c: {CALL}}}], catch: {{retry: {policy}{rest}}}}}}}]")
}

#[test]
fn retries_wait_longer_and_carry_the_same_key() {
    let tasks = retrying("{delay: PT1S, backoff: {exponential: {}}, limit: {attempt: {count: 3}}}", "");
    let mut run = Run::start(&tasks, json!({"id": 7}));
    let mut keys = Vec::new();
    let mut waits = Vec::new();
    for _ in 0..3 {
        keys.push(run.state.effects.values().next().unwrap().key.clone());
        run.answer(Err(503));
        let before = run.now;
        run.wake();
        waits.push(run.now.since(before).as_secs());
    }
    assert_eq!(waits, [1, 2, 4]);
    assert_eq!(run.calls()[0].1.url, "http://example.test/7");
    assert!(keys.iter().all(|key| *key == keys[0]));
    run.answer(Err(503));
    assert_eq!(run.failure()["status"], 503);
}

#[test]
fn the_handler_runs_when_no_retry_is_left() {
    let policy = "{delay: PT1M, limit: {duration: PT90S}}";
    let tasks = retrying(policy, ", do: [{s: {set: {gave: up}}}]");
    let mut run = Run::start(&tasks, json!({}));
    run.answer(Err(500));
    run.wake();
    run.answer(Err(500));
    assert_eq!(run.output(), json!({"gave": "up"}));
    let when = retrying(
        "{when: $error.status == 503, limit: {attempt: {count: 2}}}",
        ", do: [{s: {set: {gave: up}}}]",
    );
    let mut run = Run::start(&when, json!({}));
    run.answer(Err(503));
    run.answer(Err(404));
    assert_eq!(run.output(), json!({"gave": "up"}));
}

#[test]
fn jitter_is_within_its_bounds() {
    let tasks = retrying("{delay: PT1S, jitter: {from: PT1S, to: PT3S}, limit: {attempt: {count: 1}}}", "");
    let mut run = Run::start(&tasks, json!({}));
    run.answer(Err(500));
    let before = run.now;
    run.wake();
    let wait = run.now.since(before);
    assert!((Duration::from_secs(2)..Duration::from_secs(4)).contains(&wait), "{wait:?}");
}

#[test]
fn an_attempt_and_a_task_have_their_time() {
    let tasks = retrying("{limit: {attempt: {count: 1, duration: PT5S}}}", ", do: [{s: {set: {gave: up}}}]");
    let mut run = Run::start(&tasks, json!({}));
    let first = run.calls()[0].0;
    run.wake();
    assert_eq!(run.calls().len(), 1);
    // The answer of the first attempt comes too late and counts for nothing.
    run.take(Input::EffectDone { effect: first, result: Ok(Value::Null) });
    assert_eq!(run.activity(), Activity::Running);
    run.wake();
    assert_eq!(run.output(), json!({"gave": "up"}));

    let mut run =
        Run::start(&format!("do: [{{d: {{timeout: {{after: PT2S}}, do: [{{c: {CALL}}}]}}}}]"), json!({}));
    run.wake();
    assert_eq!((run.failure()["status"].clone(), run.calls().len()), (json!(408), 0));

    let whole = format!(
        "timeout: {{after: PT2S}}\ndo: [{{t: {{try: [{{c: {CALL}}}], catch: {{do: [{{s: {{set: {{x: 1}}}}}}]}}}}}}]"
    );
    let mut run = Run::start(&whole, json!({}));
    run.wake();
    assert_eq!(run.failure()["status"], 408);
}

#[test]
fn a_child_ends_well_or_badly() {
    let tasks = "do: [{c: {run: {workflow: {namespace: test, name: other, version: latest, input: {n: '${ .n }'}}}}}, {s: {set: {got: '${ . }'}}}]";
    let start = || {
        let mut run = Run::start(tasks, json!({"n": 3}));
        let (effect, key) = run.state.effects.iter().next().map(|(id, it)| (*id, it.key.clone())).unwrap();
        run.take(Input::EffectDone { effect, result: Ok(json!({"id": "wf_2"})) });
        (run, key)
    };
    let (mut run, key) = start();
    assert_eq!(run.activity(), Activity::Waiting);
    run.take(Input::ChildEnded { key, outcome: Outcome::Completed(json!(9)) });
    assert!(run.changes.children_dropped.is_empty());
    assert_eq!(run.output(), json!({"got": 9}));
    let (mut run, key) = start();
    run.take(Input::ChildEnded { key, outcome: Outcome::Cancelled(None) });
    assert_eq!(run.failure()["status"], 500);
    let (mut run, _) = start();
    let dropped = run.take(Input::Cancel { reason: None }).children_dropped.len();
    assert_eq!(dropped, 1);
    // It may end before the call that started it is known to have ended.
    let mut run = Run::start(tasks, json!({"n": 3}));
    let key = run.state.effects.values().next().unwrap().key.clone();
    run.take(Input::ChildEnded { key, outcome: Outcome::Completed(json!(9)) });
    assert_eq!(run.output(), json!({"got": 9}));
}
