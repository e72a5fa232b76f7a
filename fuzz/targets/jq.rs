//! jq expressions: none makes the process panic or outgrow its limits, and what comes out is JSON both ways.
//!
//! The input is an expression, a zero byte, and the document it runs on.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use trunkline_jq::{Filter, Input, Limits, Options, RunError};

const LIMITS: Limits = Limits {
    steps: 20_000,
    time: None,
    depth: 40,
    input_bytes: 4 << 10,
    outputs: 100,
    output_bytes: 100_000,
};
const DOCUMENT: &[u8] = br#"{"a":[1,2.50,{"b":"x"}],"s":"2024-02-29T12:30:00Z","n":null,"t":true}"#;

fuzz_target!(|bytes: &[u8]| {
    let (text, document) = match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, DOCUMENT),
    };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let options = Options { variables: &["$v"], now: true };
    let filter = match Filter::compile_with(text, &options) {
        Ok(filter) => filter,
        Err(error) => return check_place(text, error.line(), error.column()),
    };
    let variables = [json!({"k": [1, "v"]})];
    let input = Input::json(document).with_variables(&variables).with_now(1_709_209_800.5);
    let outputs = filter.run(input, &LIMITS);
    assert!(!matches!(outputs, Err(RunError::Internal)), "an internal error");
    if let Ok(outputs) = &outputs {
        assert!(outputs.len() <= LIMITS.outputs);
        assert!(outputs.iter().all(|output| depth(output) <= LIMITS.depth));
    }
    if let Ok(json) = filter.run_one_json(input, &LIMITS) {
        assert!(json.len() <= LIMITS.output_bytes);
        let read: Value = serde_json::from_str(&json).expect("the result is JSON");
        assert!(depth(&read) <= LIMITS.depth);
    }
    let truth = filter.is_true(input, &LIMITS);
    if let Ok(outputs) = &outputs {
        // The truth is found out with as much of the document as is needed; this had all of it.
        let first = outputs.first().is_some_and(|output| !matches!(output, Value::Null | Value::Bool(false)));
        assert_eq!(truth, Ok(first));
    }
});

fn check_place(text: &str, line: usize, column: usize) {
    let line = text.split('\n').nth(line - 1).expect("the line is in the text");
    assert!((1..=line.chars().count() + 1).contains(&column), "column {column}");
}

fn depth(value: &Value) -> u32 {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(entries) => 1 + entries.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
