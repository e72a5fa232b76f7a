//! Our reader and the official schema agree on the shape of documents: on the examples, and on examples with something
//! removed, replaced or added. Where they may differ is listed in [`is_known_difference`].

use std::sync::LazyLock;

use jsonschema::{Draft, Validator};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use trunkline_flow::dsl::flow::Next;
use trunkline_flow::{FaultKind, Format, Program, compile};
use trunkline_packs::document::parse_yaml;

use crate::corpus::texts;
use crate::{lines, specification};

static SCHEMA: LazyLock<Option<Validator>> = LazyLock::new(|| {
    let text = std::fs::read_to_string(specification()?.join("schema/workflow.yaml")).unwrap();
    let schema = parse_yaml(&text).unwrap().to_json();
    let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
    // Formats of URIs are looser in practice than in the standards, and are no part of the shape.
    let options = options.with_format("uri-template", |_| true).with_format("uri-reference", |_| true);
    Some(options.build(&schema).unwrap())
});

/// Examples as data.
static EXAMPLES: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
    let examples = texts("examples").unwrap_or_default();
    examples.into_iter().map(|(name, text)| (name, parse_yaml(&text).unwrap().to_json())).collect()
});

/// Whether our reader finds the shape right, and what it says.
fn our_verdict(document: &Value) -> (bool, String) {
    match compile(&document.to_string(), Format::Json) {
        Ok(compiled) => {
            assert_whole(&compiled.program);
            (true, String::new())
        }
        Err(refusal) => {
            let shaped = refusal.faults.iter().all(|fault| matches!(fault.kind, FaultKind::Rule(_)));
            (shaped, lines(&refusal.faults).join("\n"))
        }
    }
}

/// Asserts that everything a program mentions is part of it.
fn assert_whole(program: &Program) {
    for (index, task) in program.tasks().iter().enumerate() {
        assert_eq!(task.id.index(), index);
        assert!(!program.definition_of(task).is_null(), "{} leads nowhere", task.reference);
        assert!(
            task.parent.is_none_or(|parent| parent < task.id),
            "{} comes before its parent",
            task.reference
        );
        for jump in task.jumps().into_iter().chain([&task.skip]) {
            if let Next::Task(id) = jump.next {
                assert_eq!(program.get(id).unwrap().parent, task.parent, "{}", task.reference);
            }
        }
        for block in task.body.blocks() {
            for (place, id) in block.tasks.iter().enumerate() {
                assert_eq!(program.get(*id).unwrap().parent, Some(task.id));
                assert_eq!(program.siblings(*id), Some((block, place)));
            }
        }
    }
}

/// Documents on which reader and schema differ, and why that is right.
fn is_known_difference(document: &Value) -> bool {
    // The schema's pattern for expressions does not reach over lines (rule 15).
    fn has_long_expression(value: &Value) -> bool {
        match value {
            Value::String(text) => text.contains("${") && text.contains('\n'),
            Value::Array(items) => items.iter().any(has_long_expression),
            Value::Object(map) => map.values().any(has_long_expression),
            _ => false,
        }
    }
    has_long_expression(document)
}

#[track_caller]
fn assert_agreement(what: &str, document: &Value) {
    let Some(schema) = &*SCHEMA else { return };
    let theirs = schema.is_valid(document);
    let (ours, faults) = our_verdict(document);
    if ours == theirs || is_known_difference(document) {
        return;
    }
    let errors: Vec<String> =
        schema.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    panic!("{what}\nschema: {theirs}, reader: {ours}\n{document:#}\n{faults}\n{}", errors.join("\n"));
}

#[test]
fn reader_and_schema_agree_on_the_examples() {
    for (name, document) in &*EXAMPLES {
        assert_agreement(name, document);
    }
}

#[test]
fn reader_and_schema_agree_when_any_one_value_is_gone_or_different() {
    for (name, document) in &*EXAMPLES {
        for pointer in pointers(document) {
            let mut without = document.clone();
            remove(&mut without, &pointer);
            assert_agreement(&format!("{name} without {pointer}"), &without);
            for value in [json!(null), json!(7), json!("x"), json!([]), json!({}), json!(true)] {
                let mut other = document.clone();
                *other.pointer_mut(&pointer).unwrap() = value.clone();
                assert_agreement(&format!("{name} with {value} at {pointer}"), &other);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn reader_and_schema_agree_on_documents_changed_at_random(
        example in any::<Index>(),
        changes in prop::collection::vec(change(), 1..4),
    ) {
        if !EXAMPLES.is_empty() {
            let (name, document) = example.get(&EXAMPLES[..]);
            let mut document = document.clone();
            for change in &changes {
                change.apply(&mut document);
            }
            assert_agreement(&format!("{name} with {changes:?}"), &document);
        }
    }

    #[test]
    fn no_text_makes_the_compiler_panic(text in "[ -~\n]{0,400}") {
        let _ = compile(&text, Format::Yaml);
        let _ = compile(&text, Format::Json);
    }

    #[test]
    fn no_part_of_an_example_makes_the_compiler_panic(
        example in any::<Index>(),
        from in any::<Index>(),
        to in any::<Index>(),
    ) {
        let Some(examples) = texts("examples") else { return Ok(()) };
        let texts: Vec<_> = examples.values().collect();
        let text: Vec<char> = example.get(&texts[..]).chars().collect();
        let (from, to) = (from.index(text.len()), to.index(text.len()));
        let cut: String = text.iter().take(from.min(to)).chain(text.iter().skip(from.max(to))).collect();
        let _ = compile(&cut, Format::Yaml);
    }
}

/// One change of a document.
#[derive(Debug, Clone)]
enum Change {
    Remove(Index),
    Replace(Index, Value),
    /// Adds a key of the language, or none of it, to a mapping.
    Add(Index, &'static str, Value),
    /// Copies a value over another.
    Copy(Index, Index),
}

impl Change {
    fn apply(&self, document: &mut Value) {
        let all = pointers(document);
        let pick = |index: &Index| all[index.index(all.len())].as_str();
        if all.is_empty() {
            return;
        }
        match self {
            Self::Remove(at) => remove(document, pick(at)),
            Self::Replace(at, value) => *document.pointer_mut(pick(at)).unwrap() = value.clone(),
            Self::Add(at, key, value) => {
                if let Some(map) = document.pointer_mut(pick(at)).and_then(Value::as_object_mut) {
                    map.insert((*key).to_owned(), value.clone());
                }
            }
            Self::Copy(from, to) => {
                let value = document.pointer(pick(from)).unwrap().clone();
                *document.pointer_mut(pick(to)).unwrap() = value;
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let keys = prop::sample::select(vec![
        "if", "then", "input", "output", "export", "timeout", "metadata", "with", "do", "for", "use", "set",
        "wait", "when", "until", "all", "any", "one", "basic", "endpoint", "uri", "catch", "retry", "read",
        "schedule", "x",
    ]);
    let values = prop::sample::select(vec![
        json!(null),
        json!(0),
        json!(-1),
        json!(2.0),
        json!(2.5),
        json!(""),
        json!(" "),
        json!("continue"),
        json!("a b"),
        json!("${ . }"),
        json!("${}"),
        json!(" ${ .a } "),
        json!(".a"),
        json!("PT1S"),
        json!("P"),
        json!("/a~1"),
        json!("http://x/{y}"),
        json!({"seconds": 1}),
        json!({"after": "PT1S"}),
        json!({"use": "x"}),
        json!({"from": "."}),
        json!({"as": {"a": "${ . }"}}),
        json!({"schema": {"document": {"type": "object"}}}),
        json!({"one": {"with": {"type": "a"}}}),
        json!({"with": {"type": "a", "time": "${ now | todate }"}}),
        json!({"type": "http://e", "status": 400}),
        json!([{"a": {"set": {"b": 1}}}]),
        json!([{"a": {"when": ".x", "then": "end"}}]),
        json!(["a"]),
        json!([{}]),
        json!(true),
    ]);
    prop_oneof![
        any::<Index>().prop_map(Change::Remove),
        (any::<Index>(), values.clone()).prop_map(|(at, value)| Change::Replace(at, value)),
        (any::<Index>(), keys, values).prop_map(|(at, key, value)| Change::Add(at, key, value)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Copy(from, to)),
    ]
}

/// Pointers to every value but the document itself.
fn pointers(document: &Value) -> Vec<String> {
    fn walk(value: &Value, at: &str, found: &mut Vec<String>) {
        let mut visit = |key: &str, value: &Value| {
            let pointer = trunkline_packs::pointer::join(at, key);
            found.push(pointer.clone());
            walk(value, &pointer, found);
        };
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| visit(key, value)),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, value)| visit(&index.to_string(), value));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(document, "", &mut found);
    found
}

fn remove(document: &mut Value, pointer: &str) {
    let (parent, _) = pointer.rsplit_once('/').unwrap();
    let key = trunkline_packs::pointer::tokens(pointer).unwrap().pop().unwrap();
    match document.pointer_mut(parent) {
        Some(Value::Object(map)) => drop(map.remove(&key)),
        Some(Value::Array(items)) => drop(items.remove(key.parse().unwrap())),
        _ => unreachable!("the parent of a value holds values"),
    }
}
