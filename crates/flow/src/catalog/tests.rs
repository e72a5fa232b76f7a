//! Schemas compile, arguments are held against them, and unknown names are told what there is.

#![allow(clippy::unwrap_used)] // everything here is a test

use serde_json::json;

use super::*;

#[test]
fn every_function_has_a_schema_and_a_name_of_its_own() {
    assert_eq!(SCHEMAS.len(), FUNCTIONS.len());
    assert!(functions().zip(functions().skip(1)).all(|(one, next)| one.name() < next.name()));
    assert!(functions().all(|function| !function.about().is_empty()));
}

#[test]
fn arguments_are_checked_when_written_and_when_computed() {
    let draft = json!({"to": "${ .mail }", "subject": 7, "text": "hello"});
    let faults: Vec<String> = faults_of_draft("email", &draft).into_iter().map(|(at, _)| at).collect();
    assert_eq!(faults, ["/body", "/subject", "/text"]);
    let failure = prepare("sms", json!({"to": "12", "body": "x"})).unwrap_err();
    assert!(failure.kind.ends_with("/validation"), "{failure:?}");
    assert!(failure.detail.unwrap().contains("/to"));
    let (prepared, mode) = prepare("sms", json!({"to": "+4915112345678", "body": "x"})).unwrap();
    assert!(matches!(prepared, Prepared::Task(_)));
    assert_eq!(mode, EffectMode::AtMostOnce);
}

#[test]
fn an_unknown_name_is_told_what_there_is() {
    let (problem, fix) = unknown("emial", "1");
    assert!(problem.contains("emial") && fix.contains("email") && fix.contains("step"), "{problem} {fix}");
    assert!(unknown("email", "2").0.contains("no version"));
}

#[test]
fn a_merge_patch_takes_nulls_away() {
    let mut data = json!({"a": 1, "b": {"c": 1, "d": 2}});
    record_update::merge_patch(&mut data, json!({"a": null, "b": {"c": 3}, "e": [1]}));
    assert_eq!(data, json!({"b": {"c": 3, "d": 2}, "e": [1]}));
}

#[test]
fn what_a_table_cannot_hold_is_refused_before_it_gets_there() {
    let check = |name: &str, arguments: Value, at: &str| {
        let failure = prepare(name, arguments).unwrap_err();
        assert!(failure.kind.ends_with("/validation") && failure.detail.unwrap().contains(at), "{name} {at}");
    };
    let to = json!({"user": "ann"});
    check("document.route", json!({"document": "a\0b", "to": to, "status": "new"}), "/document");
    check("document.route", json!({"document": "", "to": to, "status": "new"}), "/document");
    check("document.route", json!({"document": "d", "to": {"queue": "a\nb"}, "status": "new"}), "/to/queue");
    check("document.route", json!({"document": "d", "to": to, "status": "new", "note": "\0"}), "/note");
    check("record-update", json!({"collection": "c", "id": "\u{7f}", "data": 1}), "/id");
    check("webhook", json!({"endpoint": "ep_1", "type": "a.b", "subject": "\0"}), "/subject");
    let note = json!({"document": "d", "to": to, "status": "new", "note": "two\nlines"});
    assert!(prepare("document.route", note).is_ok());
    assert!(prepare("webhook", json!({"endpoint": "ep_1", "type": "a.b", "subject": null})).is_ok());
}
