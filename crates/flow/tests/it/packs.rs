//! The packs that the repository ships: their workflows compile, and their tests pass.

use std::path::PathBuf;
use std::sync::Arc;

use trunkline_flow::testing::{WorkflowJudge, run_workflow_tests};
use trunkline_packs::Pack;

fn shipped(name: &str) -> Pack {
    let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../packs")).join(name);
    Pack::load_judged(&dir, Arc::new(WorkflowJudge)).unwrap_or_else(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        panic!("{}", faults.join("\n"))
    })
}

#[test]
fn the_tests_of_shipped_workflows_pass() {
    for (name, n_workflows) in [("templates", 8), ("veterinary", 3)] {
        let pack = shipped(name);
        assert!(pack.workflows().count() >= n_workflows, "{name}");
        let outcomes = run_workflow_tests(&pack);
        for workflow in pack.workflows() {
            let is_tested = |node: &trunkline_packs::WorkflowTest| {
                let written = node.node.to_json();
                let named = written.pointer("/given/workflow").and_then(|it| it.as_str().map(str::to_owned));
                named.is_some_and(|it| it == workflow.name.name)
            };
            assert!(pack.workflow_tests().iter().any(is_tested), "{} has no test", workflow.name.name);
        }
        let failures: Vec<String> = outcomes
            .iter()
            .flat_map(|outcome| outcome.failures.iter().map(move |it| format!("{}: {it}", outcome.name)))
            .collect();
        assert!(failures.is_empty(), "{name}:\n{}", failures.join("\n"));
    }
}

fn written(workflow: &str, tests: &str) -> (tempfile::TempDir, Result<Pack, Vec<String>>) {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["workflows", "tests"] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
    }
    std::fs::write(
        dir.path().join("pack.yaml"),
        "name: it\nversion: 1.0.0\ntitle: It\ndescription: A pack for tests.\n",
    )
    .unwrap();
    std::fs::write(dir.path().join("workflows/it.yaml"), workflow).unwrap();
    std::fs::write(dir.path().join("tests/it.yaml"), tests).unwrap();
    let pack = Pack::load_judged(dir.path(), Arc::new(WorkflowJudge));
    let pack = pack.map_err(|faults| faults.iter().map(ToString::to_string).collect());
    (dir, pack)
}

const GOOD: &str = "document: {dsl: '1.0.3', namespace: it, name: it, version: '1.0.0'}\ndo:\n- a: {call: http, with: {method: post, endpoint: 'https://a.example/x', body: {n: '${ .n }'}}}\n";

#[test]
fn a_broken_workflow_refuses_the_pack_with_file_and_line() {
    let broken = "document: {dsl: '1.0.3', namespace: it, name: it, version: '1.0.0'}\ndo:\n- a: {call: 'emial:1@default'}\n- b:\n    call: sms:1@default\n    with: {to: '12', body: hi}\n";
    let test = "tests:\n- name: x\n  given: {workflow: it/other}\n  expect: {stauts: completed}\n";
    let (_dir, pack) = written(broken, test);
    let faults = pack.unwrap_err();
    for part in [
        "workflows/it.yaml:3:",
        "no function `emial`",
        "did you mean `email`",
        "document.route",
        "workflows/it.yaml:6:",
        "to ",
        "tests/it.yaml:3:",
        "no workflow `it/other`",
        "tests/it.yaml:4:",
        "did you mean `status`",
    ] {
        assert!(faults.iter().any(|fault| fault.contains(part)), "{part}: {}", faults.join("\n"));
    }
}

#[test]
fn a_test_that_fails_says_what_differs_and_where() {
    let test = "tests:\n- name: x\n  given:\n    workflow: it/it\n    input: {n: 1}\n    stubs:\n    - {call: POST https://a.example/*, answer: {ok: true, at: 5}}\n  expect:\n    status: failed\n    output: {ok: true, at: 6}\n    calls:\n    - {call: POST https://a.example/x, body: {n: 2}}\n    events: [{type: a.b}]\n    order: [event a.b]\n    took: PT1S\n";
    let (_dir, pack) = written(GOOD, test);
    let outcomes = run_workflow_tests(&pack.unwrap());
    let failures: Vec<String> = outcomes[0].failures.iter().map(ToString::to_string).collect();
    for part in [
        "it.yaml:9: expected status failed, found completed",
        "it.yaml:10: expected output /at = 6, found 5",
        "it.yaml:12: expected what is sent /n = 2, found 1",
        "it.yaml:13: expected 1 events, found 0",
        "it.yaml:14: expected event a.b, found POST https://a.example/x",
        "it.yaml:15: expected 1s to pass, found 0ns",
    ] {
        assert!(failures.iter().any(|failure| failure.contains(part)), "{part}:\n{}", failures.join("\n"));
    }
    assert_eq!(failures.len(), 6, "{failures:#?}");
}

#[test]
fn a_call_without_a_stub_is_told() {
    let test = "tests:\n- name: x\n  given: {workflow: it/it, input: {n: 1}}\n  expect: {status: failed}\n";
    let (_dir, pack) = written(GOOD, test);
    let outcomes = run_workflow_tests(&pack.unwrap());
    let failures: Vec<String> = outcomes[0].failures.iter().map(ToString::to_string).collect();
    assert!(failures[0].contains("expected a stub for POST https://a.example/x"), "{failures:?}");
}
