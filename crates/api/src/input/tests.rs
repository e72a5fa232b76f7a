//! Reading bodies and queries.

use proptest::prelude::*;
use serde_json::json;

use super::*;

static NUMBER: Kind = Kind::Integer { min: 1, max: 10 };
static FIELDS: &[Field] = &[
    Field::required("name", Kind::Text(Text::line(1, 5)), "a name"),
    Field::required("when", Kind::Time, "a time"),
    Field::optional("flag", Kind::Boolean, "a flag"),
    Field::optional("waits", Kind::List { item: &NUMBER, min: 1, max: 3 }, "waits"),
    Field::optional("kind", Kind::Choice(&["a", "b"]), "a kind"),
    Field::optional("place", Kind::Either(&NUMBER, &Kind::Text(Text::line(1, 5))), "a place"),
];

fn faults(mut input: Input) -> Vec<(String, String)> {
    match input.finish() {
        Ok(()) => vec![],
        Err(problem) => {
            let body: Value = serde_json::from_slice(&problem.to_json("")).unwrap();
            let errors = body["errors"].as_array().unwrap().clone();
            let text = |error: &Value, name: &str| error[name].as_str().unwrap().to_owned();
            errors.iter().map(|error| (text(error, "pointer"), text(error, "code"))).collect()
        }
    }
}

fn check_body(body: Value, expect: &[(&str, &str)]) {
    let expect: Vec<_> = expect.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let mut found = faults(Input::from_json(FIELDS, body));
    found.sort();
    assert_eq!(found, expect);
}

#[test]
fn every_bad_field_is_named() {
    check_body(json!({ "name": "x", "when": "2026-01-01T00:00:00Z" }), &[]);
    check_body(json!([]), &[("", "wrong_type")]);
    check_body(json!({}), &[("/name", "required"), ("/when", "required")]);
    check_body(
        json!({ "name": "toolong", "when": 5, "flag": "yes", "waits": [0, 1, "x"], "kind": "c", "a/b": 1 }),
        &[
            ("/a~1b", "unknown"),
            ("/flag", "wrong_type"),
            ("/kind", "invalid"),
            ("/name", "too_long"),
            ("/waits/0", "out_of_range"),
            ("/waits/2", "wrong_type"),
            ("/when", "wrong_type"),
        ],
    );
    check_body(
        json!({ "name": "a\nb", "when": "2026-01-01T00:00:00Z", "waits": [] }),
        &[("/name", "invalid"), ("/waits", "out_of_range")],
    );
    let placed = |place: Value| json!({ "name": "x", "when": "2026-01-01T00:00:00Z", "place": place });
    check_body(placed(json!(7)), &[]);
    check_body(placed(json!("/do/1")), &[]);
    check_body(placed(json!(11)), &[("/place", "out_of_range")]);
    check_body(placed(json!("toolong")), &[("/place", "too_long")]);
    check_body(placed(json!([7])), &[("/place", "wrong_type")]);
    check_body(placed(json!(null)), &[("/place", "wrong_type")]);
}

#[test]
fn queries_are_read_the_same_way() {
    let input = Input::from_query(FIELDS, Some("name=a&when=2026-01-01T02:00:00+02:00&flag=false"));
    assert_eq!(input.text("name").as_deref(), Some("a"));
    assert_eq!(input.time("when").map(Timestamp::to_rfc3339).as_deref(), Some("2026-01-01T00:00:00Z"));
    assert_eq!(input.flag("flag"), Some(false));
    let mut found = faults(Input::from_query(FIELDS, Some("name=a&name=b&limt=5&flag=1&when=x")));
    found.sort();
    let pointers: Vec<_> = found.iter().map(|(pointer, code)| (pointer.as_str(), code.as_str())).collect();
    assert_eq!(
        pointers,
        [
            ("query:flag", "wrong_type"),
            ("query:limt", "unknown"),
            ("query:name", "duplicate"),
            ("query:when", "invalid"),
        ]
    );
}

#[test]
fn whole_numbers_may_have_a_zero_fraction() {
    assert_eq!(kind::to_integer(&json!(5.0)), Some(5));
    assert_eq!(kind::to_integer(&json!(5.5)), None);
    assert_eq!(kind::to_integer(&json!(u64::MAX)), Some(i64::MAX));
    assert_eq!(kind::to_integer(&json!("5")), None);
}

proptest! {
    #[test]
    fn reading_a_query_never_panics(query in ".{0,200}") {
        drop(faults(Input::from_query(FIELDS, Some(&query))));
    }
}
