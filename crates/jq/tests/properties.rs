//! Random filters, well formed and not, on random documents: whatever happens, it happens within the limits and without a
//! panic, and the same filter does the same again.

#![allow(clippy::unwrap_used)] // everything here is a test

use proptest::prelude::*;
use serde_json::{Value, json};
use trunkline_jq::{Filter, Limits, MAX_DEPTH, RunError};

const LIMITS: Limits = Limits {
    steps: 20_000,
    time: None,
    depth: 40,
    input_bytes: 1 << 20,
    outputs: 100,
    output_bytes: 100_000,
};

fn document() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e6..1e6_f64).prop_map(Value::from),
        "[ a-cé😀,:0-9-]{0,8}".prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 30, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-d]", inner, 0..5)
                .prop_map(|entries| entries.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

/// Every function without arguments.
const NULLARY: &[&str] = &[
    "empty",
    "error",
    "true",
    "false",
    "null",
    "not",
    "tostring",
    "add",
    "values",
    "numbers",
    "scalars",
    "iterables",
    "abs",
    "isfinite",
    "recurse",
    "first",
    "last",
    "combinations",
    "reverse",
    "flatten",
    "transpose",
    "unique",
    "min",
    "max",
    "paths",
    "leaf_paths",
    "to_entries",
    "from_entries",
    "tostream",
    "length",
    "keys",
    "keys_unsorted",
    "type",
    "tojson",
    "fromjson",
    "tonumber",
    "implode",
    "explode",
    "sort",
    "ascii_downcase",
    "trim",
    "floor",
    "sqrt",
    "exp10",
    "infinite",
    "nan",
    "gmtime",
    "mktime",
    "todate",
    "fromdate",
    "utf8bytelength",
    "@csv",
    "@tsv",
    "@html",
    "@uri",
    "@urid",
    "@sh",
    "@base64",
    "@base64d",
    "any",
    "all",
    "toarray",
    "frexp",
    "significand",
    "ltrimstr(\"a\")",
    "ascii",
    "lgamma_r",
];

/// Functions of one filter; each is endless, recursive or greedy for some argument.
const UNARY: &[&str] = &[
    "map",
    "map_values",
    "select",
    "recurse",
    "repeat",
    "first",
    "last",
    "isempty",
    "any",
    "all",
    "path",
    "paths",
    "del",
    "to_entries as $e | with_entries",
    "walk",
    "sort_by",
    "group_by",
    "unique_by",
    "min_by",
    "max_by",
    "range",
    "has",
    "in",
    "inside",
    "contains",
    "indices",
    "index",
    "join",
    "flatten",
    "getpath",
    "delpaths",
    "pick",
    "split",
    "splits",
    "test",
    "match",
    "capture",
    "scan",
    "ltrimstr",
    "trimstr",
    "startswith",
    "strftime",
    "strptime",
    "bsearch",
    "combinations",
    "fromstream",
    "truncate_stream",
    "tojson | error",
    "INDEX",
    "IN",
    "nth",
    "add",
    "error",
];

const BINARY: &[&str] = &[
    "while", "until", "limit", "skip", "range", "recurse", "setpath", "sub", "gsub", "split", "pow", "ldexp",
    "any", "INDEX", "nth", "test", "dateadd",
];

const OPERATORS: &[&str] = &[
    "|", ",", "+", "-", "*", "/", "%", "==", "!=", "<", "<=", "and", "or", "//", "=", "|=", "+=", "-=", "*=",
    "//=",
];

fn filter() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            ".", "..", ".a", ".b?", ".[]", ".[]?", ".[0]", ".[-1:]", ".[1:3]", "1", "-3", "1e9"
        ]),
        prop::sample::select(vec![
            "0.5", "\"a\"", "\"é,1\"", "[]", "{}", "$__loc", "1e300", "f", "g", "break $l", "$x"
        ]),
        prop::sample::select(NULLARY),
    ]
    .prop_map(str::to_owned);
    leaf.prop_recursive(5, 40, 3, |inner| {
        let pair = || (inner.clone(), inner.clone());
        prop_oneof![
            (pair(), prop::sample::select(OPERATORS)).prop_map(|((l, r), op)| format!("({l} {op} {r})")),
            (prop::sample::select(UNARY), inner.clone()).prop_map(|(name, arg)| format!("({name}({arg}))")),
            (prop::sample::select(BINARY), pair()).prop_map(|(name, (a, b))| format!("{name}({a}; {b})")),
            inner.clone().prop_map(|f| format!("[{f}]")),
            pair().prop_map(|(k, v)| format!("{{a: {k}, ({v}): 1}}")),
            inner.clone().prop_map(|f| format!("\"x\\({f})y\"")),
            inner.clone().prop_map(|f| format!("(try {f} catch .)")),
            inner.clone().prop_map(|f| format!("({f})?")),
            pair().prop_map(|(f, g)| format!("(if {f} then {g} else . end)")),
            pair().prop_map(|(f, g)| format!("({f} as $x | {g})")),
            pair().prop_map(|(f, g)| format!("({f} as [$x, {{a: $y}}] | {g})")),
            pair().prop_map(|(f, g)| format!("(reduce {f} as $x (.; {g}))")),
            pair().prop_map(|(f, g)| format!("(foreach {f} as $x (0; {g}; [$x, .]))")),
            pair().prop_map(|(f, g)| format!("(def f: {f}; {g})")),
            pair().prop_map(|(f, g)| format!("(def g: {f}; def f: {g}; f)")),
            pair().prop_map(|(f, g)| format!("(def h(g): {f}; h({g}))")),
            inner.clone().prop_map(|f| format!("(label $l | {f})")),
            pair().prop_map(|(f, g)| format!("(({f})[{g}])")),
            pair().prop_map(|(f, g)| format!("(({f})[{g}:]?)")),
            inner.prop_map(|f| format!("(-{f})")),
        ]
    })
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(entries) => 1 + entries.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn check(text: &str, input: &Value) -> Result<(), TestCaseError> {
    let Ok(filter) = Filter::compile(text) else { return Ok(()) };
    let first = filter.run(input, &LIMITS);
    prop_assert!(!matches!(first, Err(RunError::Internal)), "{}", text);
    if let Ok(outputs) = &first {
        prop_assert!(outputs.len() <= LIMITS.outputs);
        prop_assert!(outputs.iter().all(|output| depth(output) <= LIMITS.depth as usize));
    }
    // A second run finds regular expressions compiled, so it may get further before its steps are used up.
    if !matches!(first, Err(RunError::Steps(_))) {
        prop_assert_eq!(&filter.run(input, &LIMITS), &first, "{}", text);
    }
    let _ = filter.is_true(input, &LIMITS);
    if let (Ok(json), Ok(value)) = (filter.run_one_json(input, &LIMITS), filter.run_one(input, &LIMITS)) {
        let read: Value =
            serde_json::from_str(&json).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert!(same(&read, &value), "{}: {} and {}", text, read, value);
    }
    Ok(())
}

/// Equal, numbers by value: text keeps digits that a double does not have.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(l), Value::Number(r)) => {
            // serde_json's reader may miss the nearest double by one.
            let (l, r) = (l.as_f64().unwrap(), r.as_f64().unwrap());
            (l - r).abs() <= 1e-15 * l.abs()
        }
        (Value::Array(l), Value::Array(r)) => l.len() == r.len() && l.iter().zip(r).all(|(l, r)| same(l, r)),
        (Value::Object(l), Value::Object(r)) => {
            l.len() == r.len() && l.iter().all(|(key, l)| r.get(key).is_some_and(|r| same(l, r)))
        }
        (l, r) => l == r,
    }
}

/// Filters that look at keys of their input only.
fn narrow_filter() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        ".a", ".b.c", ".c.d.a", ".d?", ".a[0]", ".b.a?", ".a[]?", ".a.b", "1", "\"a\"", "null", "true", "[]",
    ])
    .prop_map(str::to_owned);
    let narrow = leaf.prop_recursive(4, 24, 3, |inner| {
        let pair = || (inner.clone(), inner.clone());
        prop_oneof![
            (pair(), prop::sample::select(vec!["==", "<", ">=", "and", "or", "//", "+", ",", "|"]))
                .prop_map(|((l, r), op)| format!("({l} {op} {r})")),
            pair().prop_map(|(g, c)| format!("any({g}; {c})")),
            pair().prop_map(|(f, g)| format!("(if {f} then {g} else .b end)")),
            pair().prop_map(|(f, g)| format!("({f} as $x | {g} == $x)")),
            pair().prop_map(|(f, g)| format!("(try {f} catch {g})")),
            pair().prop_map(|(f, g)| format!(".b[{f}:{g}]?")),
            inner.clone().prop_map(|f| format!("({f} | length)")),
            inner.prop_map(|f| format!("\"\\({f})\"")),
        ]
    });
    (narrow, any::<bool>()).prop_map(|(text, whole)| if whole { format!("select({text})") } else { text })
}

fn object() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-d]", document(), 0..4)
        .prop_map(|entries| entries.into_iter().collect::<serde_json::Map<_, _>>().into())
}

/// Text is read in part where that is enough, values never are.
fn check_truth(text: &str, input: &Value) -> Result<(), TestCaseError> {
    let Ok(filter) = Filter::compile(text) else { return Ok(()) };
    let whole = filter.is_true(input, &LIMITS);
    let part = filter.is_true(input.to_string().as_bytes(), &LIMITS);
    if !matches!((&whole, &part), (Err(RunError::Steps(_)), _) | (_, Err(RunError::Steps(_)))) {
        prop_assert_eq!(part, whole, "{} on {}", text, input);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_filters_stay_inside_their_limits(text in filter(), input in document()) {
        check(&text, &input)?;
    }

    #[test]
    fn truth_is_the_same_whether_all_is_read_or_not(
        narrow in narrow_filter(),
        wide in filter(),
        object in object(),
        input in document(),
    ) {
        for text in [&narrow, &wide] {
            check_truth(text, &object)?;
            check_truth(text, &input)?;
        }
    }

    /// What is not kept is checked no less.
    #[test]
    fn what_is_not_read_must_be_json_too(json in r#"\{("a":1,)?"b":[\[\]{}:,"a0-9.eE\\un+ -]{0,16}(,"c":0)?\}"#) {
        let run = |text: &str| Filter::compile(text).unwrap().is_true(json.as_bytes(), &LIMITS);
        prop_assert_eq!(run(".a").is_ok(), run("., 1 | true").is_ok(), "{}", json);
    }

    /// Text from the language's tokens in any order: mostly refused, never a panic, and the place is inside the text.
    #[test]
    fn random_tokens_compile_or_have_a_place(
        tokens in prop::collection::vec(
            prop::sample::select(vec![
                ".", "..", ".a", "[", "]", "(", ")", "{", "}", "|", ",", ":", ";", "?", "//", "\"", "\\(", "a", "$x",
                "as", "def", "f", "reduce", "foreach", "if", "then", "elif", "else", "end", "try", "catch", "label",
                "break", "import", "include", "@base64", "@", "$", "1", "-", "=", "|=", "+=", "and", "#", "\n", "é",
                "::", "?//", "\u{0}",
            ]),
            0..24,
        ),
        spaced in any::<bool>(),
    ) {
        let text = tokens.join(if spaced { " " } else { "" });
        if let Err(error) = Filter::compile(&text) {
            let lines: Vec<&str> = text.split('\n').collect();
            prop_assert!(error.line() >= 1 && error.line() <= lines.len(), "{error}");
            let line = lines[error.line() - 1].chars().count();
            prop_assert!(error.column() >= 1 && error.column() <= line + 1, "{error}");
        } else {
            check(&text, &json!({"a": [1]}))?;
        }
    }

    #[test]
    fn identity_changes_nothing(input in document()) {
        let filter = Filter::compile(".").unwrap();
        let output = filter.run_one(&input, &Limits::default());
        prop_assert_eq!(output.as_ref(), Ok(&input));
        let json = input.to_string();
        let text = filter.run_one_json(json.as_bytes(), &Limits::default()).unwrap();
        prop_assert_eq!(text, json);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Filter::compile(".").unwrap().run(&bytes[..], &LIMITS);
    }
}

#[test]
fn the_depth_limit_has_a_ceiling() {
    let limits = Limits { depth: u32::MAX, steps: u64::MAX, ..Limits::default() };
    let filter = Filter::compile("reduce range(100000) as $i (1; [.])").unwrap();
    assert_eq!(filter.run(&json!(null), &limits), Err(RunError::Depth(MAX_DEPTH)));
    let filter =
        Filter::compile("reduce range(511) as $i (1; [.]) | ., [.] | sort | tojson | length").unwrap();
    assert_eq!(filter.run(&json!(null), &limits), Ok(vec![json!(1023), json!(1025)]));
}
