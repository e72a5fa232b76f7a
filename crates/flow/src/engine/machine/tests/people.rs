//! Tasks of people: a nonce for each activation, quorum, escalation, being late, in forks, loops and retries.

use serde_json::{Value, json};

use super::Run;
use crate::engine::input::Input;
use crate::engine::people::{Act, Actor, Asked, Decided, TaskStatus};

fn waiting(run: &Run) -> Vec<Asked> {
    run.state.people().map(|(_, asked, _)| asked.clone()).collect()
}

fn decide(run: &mut Run, asked: &Asked, user: &str, decision: Option<Decided>, data: Value) {
    let actor = Actor { user: user.to_owned(), groups: Vec::new(), on_behalf_of: None, is_operator: false };
    let act = Act::Complete { decision, data, comment: None };
    run.take(Input::Acted { nonce: asked.nonce.clone(), key: user.to_owned(), actor, act });
}

fn told(run: &Run) -> Vec<&str> {
    run.changes.events.iter().filter_map(|event| event["type"].as_str()).collect()
}

#[test]
fn every_activation_has_a_nonce_of_its_own() {
    let tasks = "do:\n- l: {for: {each: i, in: '[1,2]'}, do: [{t: {try: [{a: {call: 'approval:1@default', with: {assignees: [ann]}}}, {r: {raise: {error: {type: 'https://a.test/no', status: 400}}}}], catch: {retry: {limit: {attempt: {count: 1}}}, do: [{s: {set: {n: '${ $i }'}}}]}}}]}";
    let mut run = Run::start(tasks, json!({}));
    let mut seen: Vec<Asked> = Vec::new();
    for _ in 0..4 {
        let now = waiting(&run).remove(0);
        assert!(seen.iter().all(|it| it.nonce != now.nonce && it.id != now.id));
        for late in &seen {
            decide(&mut run, late, "ann", Some(Decided::Approved), json!(null));
            assert_eq!(waiting(&run), std::slice::from_ref(&now), "a late decision decides nothing");
        }
        decide(&mut run, &now, "eve", Some(Decided::Approved), json!(null));
        assert_eq!(waiting(&run), std::slice::from_ref(&now));
        decide(&mut run, &now, "ann", Some(Decided::Approved), json!(null));
        seen.push(now);
    }
    assert_eq!(run.output(), json!({"n": 2}));
}

#[test]
fn an_approval_in_a_branch_is_waited_for() {
    let tasks = "do: [{f: {fork: {branches: [{a: {call: 'approval:1@default', with: {assignees: [ann, bob], quorum: 2}}}, {b: {call: 'step:1@default'}}]}}}]";
    let mut run = Run::start(tasks, json!({}));
    assert_eq!(told(&run), ["task.created", "task.created"]);
    let asked = waiting(&run);
    decide(&mut run, &asked[1], "eve", None, json!(1));
    decide(&mut run, &asked[0], "ann", Some(Decided::Approved), json!(1));
    decide(&mut run, &asked[0], "ann", Some(Decided::Approved), json!(1));
    assert!(run.state.outcome.is_none(), "one of two");
    decide(&mut run, &asked[0], "bob", Some(Decided::Approved), json!(2));
    assert_eq!(told(&run), ["task.completed"]);
    let output = run.output();
    assert_eq!((&output[0]["outcome"], &output[1]["outcome"]), (&json!("approved"), &json!("done")));
    assert_eq!(output[0]["decisions"].as_array().unwrap().len(), 2);
}

#[test]
fn the_loser_of_a_race_is_not_asked_any_more() {
    let tasks = "do: [{f: {fork: {compete: true, branches: [{a: {call: 'step:1@default'}}, {b: {call: 'step:1@default'}}]}}}]";
    let mut run = Run::start(tasks, json!({}));
    let asked = waiting(&run);
    decide(&mut run, &asked[1], "eve", None, json!(1));
    let ends: Vec<TaskStatus> = run.changes.asked.values().map(|(_, asked)| asked.status).collect();
    assert_eq!(ends, [TaskStatus::Cancelled, TaskStatus::Completed]);
}

#[test]
fn time_escalates_and_ends_a_task() {
    let with = "assignees: [ann], due: P2D, escalate: {after: P1D, to: '${ [.head] }'}";
    let tasks = format!("do: [{{a: {{call: 'approval:1@default', with: {{{with}}}}}}}]");
    let mut run = Run::start(&tasks, json!({"head": "eve"}));
    let asked = waiting(&run).remove(0);
    decide(&mut run, &asked, "eve", Some(Decided::Rejected), json!(1));
    assert!(run.state.outcome.is_none(), "not hers yet");
    run.wake();
    assert_eq!(told(&run), ["task.escalated"]);
    assert_eq!(waiting(&run)[0].escalated_to, ["eve"]);
    let mut other = Run::start(&tasks, json!({"head": "eve"}));
    run.wake();
    assert_eq!(
        (told(&run), run.output()),
        (vec!["task.completed"], json!({"outcome": "timeout", "decisions": []}))
    );
    other.wake();
    let asked = waiting(&other).remove(0);
    decide(&mut other, &asked, "eve", Some(Decided::Rejected), json!(1));
    assert_eq!(other.output()["outcome"], "rejected");

    let raising = tasks.replace("due: P2D", "due: PT1H, onTimeout: error");
    let mut run = Run::start(&raising, json!({"head": "eve"}));
    run.wake();
    assert_eq!(run.failure()["status"], 408);
    let ends: Vec<TaskStatus> = run.changes.asked.values().map(|(_, asked)| asked.status).collect();
    assert_eq!(ends, [TaskStatus::Expired]);
}

#[test]
fn nobody_to_ask_is_an_error() {
    let check = |list: &str, input: Value, status: u16| {
        let tasks =
            format!("do: [{{a: {{call: 'approval:1@default', with: {{assignees: '${{ {list} }}'}}}}}}]");
        assert_eq!(Run::start(&tasks, input).failure()["status"], status);
    };
    check(".who", json!({}), 400);
    check(".who", json!({"who": []}), 400);
    check(".who", json!({"who": [7]}), 400);
    check(".who", json!({"who": {"a": 1}}), 400);
    check(".who", json!({"who": ["a\nb"]}), 400);
    check("[range(101) | tostring]", json!({}), 400);
}
