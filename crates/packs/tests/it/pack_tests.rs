//! `run_tests`: what passes, and that failures say where, what was expected and what came.

use trunkline_packs::run_tests;

use crate::fixture::{Fixture, TESTS};

fn failures(tests: &str) -> Vec<String> {
    let fixture = Fixture::new();
    fixture.write("tests/ping.yaml", tests);
    let pack = fixture.load().unwrap();
    let dir = format!("{}/", fixture.dir().display());
    let outcomes = run_tests(&pack).into_iter();
    outcomes
        .flat_map(|outcome| outcome.failures)
        .map(|failure| failure.to_string().replace(&dir, ""))
        .collect()
}

#[test]
fn expectations_that_are_met_pass() {
    assert_eq!(failures(TESTS), [] as [String; 0]);
    let valid = "tests:\n  - {name: a, given: {sample: first}, expect: {schema: valid}}\n";
    assert_eq!(failures(valid), [] as [String; 0]);
    let any = "tests:\n  - {name: a, given: {sample: first, set: {/count: x}}, expect: {schema: invalid}}\n";
    assert_eq!(failures(any), [] as [String; 0]);
}

#[test]
fn a_failure_says_where_and_what() {
    assert_eq!(
        failures(&TESTS.replace("keyword: required", "keyword: minimum")),
        [
            "tests/ping.yaml:8: expected schema: invalid at /count (minimum), found /count is missing (required)"
        ]
    );
    assert_eq!(
        failures(&TESTS.replace("remove: [/count]", "set: {/count: 7}")),
        ["tests/ping.yaml:8: expected schema: invalid at /count (required), found that the data fits"]
    );
    let valid = "tests:\n  - name: a\n    given:\n      event: {type: ping.sent, data: {count: 1.5}}\n    expect:\n      schema: valid\n";
    assert_eq!(
        failures(valid),
        [
            "tests/ping.yaml:6: expected schema: valid, found /count must be integer (type); /id is missing (required)"
        ]
    );
    let version = "tests:\n  - name: a\n    given:\n      event: {type: ping.sent, version: 2, data: {}}\n    expect: {schema: valid}\n";
    assert_eq!(
        failures(version),
        ["tests/ping.yaml:5: expected schema: valid, found that the pack has no such version of the type"]
    );
}

#[test]
fn faults_are_compared_as_a_whole() {
    let more = TESTS.replace("remove: [/count]", "remove: [/count, /id]");
    assert!(failures(&more)[0].ends_with("found /count is missing (required); /id is missing (required)"));
    let both = more.replace(
        "          - {at: /count, keyword: required}",
        "          - {at: /count, keyword: required}\n          - {at: /id}",
    );
    assert_eq!(failures(&both), [] as [String; 0]);
}

#[test]
fn a_sample_that_no_test_uses_must_fit_its_type() {
    let fixture = Fixture::new();
    fixture.write("samples/bad.json", "{\"type\": \"ping.sent\", \"data\": {}}");
    let outcomes = run_tests(&fixture.load().unwrap());
    let bad = outcomes.iter().find(|outcome| !outcome.passed()).unwrap();
    assert_eq!(bad.name, "sample bad fits its type");
    assert_eq!(bad.file, fixture.path("samples/bad.json"));
}
