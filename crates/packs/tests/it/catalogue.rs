//! The catalogue: lookup, change by value, and what validation says without repeating what it saw.

use std::sync::Arc;

use serde_json::{Value, json};
use trunkline_model::EventType;
use trunkline_packs::{Catalogue, CataloguedType, Deprecation, EventTypeDraft, Origin, Validation};

fn event_type(text: &str) -> EventType {
    EventType::parse(text).unwrap()
}

fn draft(name: &str, version: u32, schema: Value) -> EventTypeDraft {
    EventTypeDraft {
        event_type: event_type(name),
        version,
        title: "A title".to_owned(),
        description: String::new(),
        schema,
        example: None,
        deprecation: None,
    }
}

fn checked(name: &str, version: u32, schema: Value) -> Arc<CataloguedType> {
    Arc::new(draft(name, version, schema).check().unwrap())
}

/// Validates data against a schema; renders the faults as `pointer problem (keyword)`.
fn faults(schema: &Value, data: &Value) -> Vec<String> {
    let catalogue = Catalogue::of([checked("a.b", 1, schema.clone())]).unwrap();
    match catalogue.validate(&event_type("a.b"), None, data) {
        Validation::Valid { .. } => Vec::new(),
        Validation::Unknown => panic!("the type is known"),
        Validation::Invalid { faults, complete } => {
            assert!(complete || faults[0].keyword == "size" || faults.len() == 100);
            faults
                .iter()
                .map(|fault| format!("{} {} ({})", fault.pointer, fault.problem, fault.keyword))
                .collect()
        }
    }
}

#[test]
fn types_are_found_by_name_and_version() {
    let catalogue = Catalogue::of([
        checked("a.b", 2, json!({"type": "string"})),
        checked("a.b", 1, json!({"type": "integer"})),
        checked("a.c", 1, json!(true)),
    ])
    .unwrap();
    let versions = |found: Option<&Arc<CataloguedType>>| found.map(|one| one.declared().version);
    assert_eq!(versions(catalogue.get(&event_type("a.b"), None)), Some(2));
    assert_eq!(versions(catalogue.get(&event_type("a.b"), Some(1))), Some(1));
    assert_eq!(versions(catalogue.get(&event_type("a.b"), Some(3))), None);
    assert_eq!(versions(catalogue.get(&event_type("x"), None)), None);
    let listed: Vec<_> =
        catalogue.iter().map(|one| format!("{} {}", one.event_type(), one.declared().version)).collect();
    assert_eq!(listed, ["a.b 1", "a.b 2", "a.c 1"]);
    assert!(catalogue.validate(&event_type("a.b"), None, &json!("x")).is_valid());
    assert!(catalogue.validate(&event_type("a.b"), Some(1), &json!(1)).is_valid());
    assert_eq!(catalogue.validate(&event_type("x"), None, &json!(1)), Validation::Unknown);
    assert_eq!(*catalogue.iter().next().unwrap().origin(), Origin::Added);
}

#[test]
fn changing_a_catalogue_leaves_the_old_one_alone() {
    let one = Catalogue::of([checked("a.b", 1, json!(true))]).unwrap();
    let two = one.with([checked("a.c", 1, json!(true)), checked("a.b", 2, json!(true))]).unwrap();
    assert_eq!((one.iter().count(), two.iter().count()), (1, 3));
    let duplicate = two.with([checked("a.c", 1, json!(false))]).unwrap_err();
    assert_eq!(duplicate.to_string(), "the catalogue has version 1 of a.c");
    assert_eq!(two.without(&event_type("a.b"), Some(2)).iter().count(), 2);
    assert_eq!(two.without(&event_type("a.b"), None).iter().count(), 1);
    assert_eq!(two.without(&event_type("a.c"), Some(7)).iter().count(), 3);
    assert!(one.without(&event_type("a.b"), Some(1)).is_empty());
}

#[test]
fn deprecation_is_said_with_the_verdict() {
    let deprecation = Deprecation { replaced_by: Some(event_type("a.c")) };
    let old = EventTypeDraft { deprecation: Some(deprecation.clone()), ..draft("a.b", 1, json!(true)) };
    let catalogue = Catalogue::of([Arc::new(old.check().unwrap())]).unwrap();
    let found = catalogue.validate(&event_type("a.b"), None, &json!(1));
    assert_eq!(found, Validation::Valid { deprecation: Some(deprecation) });
}

#[test]
fn drafts_are_judged_like_packs() {
    let faults = |draft: EventTypeDraft| -> Vec<String> {
        draft
            .check()
            .unwrap_err()
            .iter()
            .map(|fault| format!("{}: {}", fault.pointer, fault.problem))
            .collect()
    };
    let schema =
        json!({"properties": {"a": {"$ref": "other.json"}, "b": {"$ref": "#/nowhere"}, "c": {"formt": "x"}}});
    assert_eq!(
        faults(draft("a.b", 0, schema)),
        [
            "/version: must be at least 1",
            "/schema/properties/a/$ref: `other.json`: references lead into this schema only, as #/$defs/name",
            "/schema/properties/b/$ref: `#/nowhere`: leads to no schema",
            "/schema/properties/c/formt: unknown keyword `formt`",
        ]
    );
    let wrong = EventTypeDraft {
        example: Some(json!({"a": "x"})),
        ..draft("a.b", 1, json!({"properties": {"a": {"type": "null"}}}))
    };
    assert_eq!(faults(wrong), ["/example/a: must be null"]);
    assert_eq!(faults(draft("a.b", 1, json!(3))), ["/schema: a schema is an object, or true or false"]);
}

#[test]
fn every_fault_has_its_pointer() {
    let schema = json!({
        "type": "object",
        "required": ["id", "owner"],
        "properties": {
            "id": {"type": "string", "pattern": "^p_[0-9]+$"},
            "owner": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string", "minLength": 2}, "email": {"type": "string", "format": "email"}},
                "additionalProperties": false
            },
            "visits": {"type": "array", "maxItems": 2, "items": {"properties": {"on": {"format": "date"}}}},
            "kind": {"enum": ["dog", "cat"]},
            "a/b": {"const": 1}
        }
    });
    let data = json!({
        "id": "7",
        "owner": {"email": "x", "phone": "1", "Anna Example": true},
        "visits": [{"on": "2026-01-01"}, {"on": "yesterday"}, {}],
        "kind": "fish",
        "a/b": 2
    });
    assert_eq!(
        faults(&schema, &data),
        [
            "/a~1b must be 1 (const)",
            "/id must match the pattern ^p_[0-9]+$ (pattern)",
            "/kind must be one of \"dog\", \"cat\" (enum)",
            "/owner/* is no property that belongs here (additionalProperties)",
            "/owner/email must have the format email (format)",
            "/owner/name is missing (required)",
            "/owner/phone is no property that belongs here (additionalProperties)",
            "/visits must have at most 2 items (maxItems)",
            "/visits/1/on must have the format date (format)",
        ]
    );
}

#[test]
fn faults_never_repeat_the_data() {
    let schema = json!({
        "type": "object",
        "properties": {
            "by_mail": {"additionalProperties": {"type": "integer"}, "propertyNames": {"maxLength": 30}},
            "any": {"anyOf": [{"type": "integer"}, {"type": "object", "required": ["x"]}]},
            "one": {"oneOf": [{"type": "string"}, {"maxLength": 40}]},
            "not": {"not": {"type": "string"}},
            "list": {"contains": {"type": "null"}, "uniqueItems": true, "items": {"maxLength": 3}},
            "secret": {"const": "expected"}
        },
        "unevaluatedProperties": false
    });
    let data = json!({
        "by_mail": {"anna@example.com": "1970-02-03", "a very long name of a key that is data": 1},
        "any": "personal-1",
        "one": "personal-2",
        "not": "personal-3",
        "list": ["personal-4", "personal-4"],
        "secret": "personal-5",
        "Personal6": 1
    });
    let said = faults(&schema, &data).join("\n");
    for word in ["personal", "Personal", "anna", "1970", "very long"] {
        assert!(!said.contains(word), "{said}");
    }
    assert!(said.contains("/by_mail/* must be integer (type)"), "{said}");
    assert!(said.contains("/any fits none of the 2 alternatives (anyOf)"), "{said}");
    let debug = format!("{:?}", Catalogue::of([checked("a.b", 1, schema)]).unwrap());
    assert!(debug.contains("CompiledSchema"));
}

#[test]
fn of_alternatives_the_one_that_was_meant_is_explained() {
    let schema = json!({"properties": {"when": {"anyOf": [
        {"type": "null"},
        {"type": "object", "required": ["from"], "properties": {"to": {"type": "integer"}}}
    ]}}});
    assert_eq!(
        faults(&schema, &json!({"when": {"to": "x"}})),
        ["/when/from is missing (required)", "/when/to must be integer (type)"]
    );
}

#[test]
fn an_unevaluated_property_is_shown_when_it_is_the_fault() {
    let schema = json!({
        "allOf": [{"properties": {"a": {"type": "integer"}, "b": true}}],
        "unevaluatedProperties": false
    });
    assert_eq!(faults(&schema, &json!({"a": "x", "b": 1})), ["/a must be integer (type)"]);
    assert_eq!(
        faults(&schema, &json!({"a": "x", "b": 1, "c": 1})),
        ["/a must be integer (type)", "/c is no property that belongs here (unevaluatedProperties)"]
    );
    assert_eq!(
        faults(&schema, &json!({"a": 1, "b": 1, "c": 1})),
        ["/c is no property that belongs here (unevaluatedProperties)"]
    );
}

#[test]
fn the_work_is_bounded() {
    let schema = json!({"items": {"type": "integer"}});
    let many = Value::Array(vec![json!("x"); 15_000]);
    assert_eq!(faults(&schema, &many).len(), 100);
    let huge = Value::Array(vec![json!("x"); 60_000]);
    assert_eq!(faults(&schema, &huge), [" does not fit the schema, and is too large to say where (size)"]);
    assert!(faults(&schema, &Value::Array(vec![json!(1); 300_000])).is_empty());
    let recursive = json!({"anyOf": [{"type": "integer"}, {"properties": {"a": {"$ref": "#"}}}]});
    let deep = (0..100).fold(json!("x"), |inner, _| json!({ "a": inner }));
    assert!(faults(&recursive, &deep)[0].contains("nested too deeply"));
}

#[test]
fn text_that_is_no_json_is_invalid() {
    let catalogue = Catalogue::of([checked("a.b", 1, json!(true))]).unwrap();
    let found = catalogue.validate_json(&event_type("a.b"), None, b"{\n\"personal\" 1}");
    let Validation::Invalid { faults, .. } = found else { panic!("{found:?}") };
    assert_eq!(faults[0].to_string(), "the data is no valid JSON at line 2, column 12");
    assert!(catalogue.validate_json(&event_type("a.b"), None, b"1").is_valid());
    assert_eq!(catalogue.validate_json(&event_type("x"), None, b"{"), Validation::Unknown);
    let deep = "[".repeat(100_000);
    assert!(!catalogue.validate_json(&event_type("a.b"), None, deep.as_bytes()).is_valid());
}
