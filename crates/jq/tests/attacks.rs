//! Expressions that were written to take the process down. Each must end in an error that says which limit it hit, in
//! bounded time and memory, and must leave the thread fit for the next run.

#![allow(clippy::unwrap_used)] // everything here is a test

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trunkline_jq::{Filter, Input, Limits, RunError};

/// No run may take longer. Generous: the interpreter is not optimised here, and the machine is shared.
const PATIENCE: Duration = Duration::from_mins(1);

/// Fewer steps than usual, for the same reason: every attack here ends the same way with ten times as many.
const LIMITS: Limits = Limits {
    steps: 200_000,
    time: None,
    depth: 128,
    input_bytes: 4 << 20,
    outputs: 10_000,
    output_bytes: 4 << 20,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Steps,
    Recursion,
    Depth,
    OutputBytes,
    Outputs,
}

fn end_of(result: &Result<impl Sized, RunError>) -> Option<End> {
    match result.as_ref().err()? {
        RunError::Steps(_) => Some(End::Steps),
        RunError::Recursion => Some(End::Recursion),
        RunError::Depth(_) => Some(End::Depth),
        RunError::OutputBytes(_) => Some(End::OutputBytes),
        RunError::Outputs(_) => Some(End::Outputs),
        _ => None,
    }
}

fn attack(text: &str, input: &Value, limits: &Limits) -> (Option<End>, Duration) {
    let filter = Filter::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let started = Instant::now();
    let result = filter.run(input, limits);
    let took = started.elapsed();
    // The thread is as good as before.
    let after = Filter::compile(".+1").unwrap().run_one(&json!(1), &Limits::default());
    assert_eq!(after, Ok(json!(2)), "after {text}");
    (end_of(&result), took)
}

fn check(expected: End, attacks: &[&str]) {
    check_on(expected, &json!({"a": [1, 2, 3]}), attacks);
}

fn check_on(expected: End, input: &Value, attacks: &[&str]) {
    let mut wrong = Vec::new();
    for text in attacks {
        let (end, took) = attack(text, input, &LIMITS);
        if end != Some(expected) || took >= PATIENCE {
            wrong.push(format!("{text}: {end:?} after {took:?}"));
        }
    }
    assert!(wrong.is_empty(), "not {expected:?}: {wrong:#?}");
}

#[test]
fn endless_loops_run_out_of_steps() {
    check(
        End::Steps,
        &[
            "def f: f; f",
            "def f: f, f; f",
            "def f: f | f; def g: g; g",
            "def f($x): f($x + 1); f(0)",
            "last(range(infinite))",
            "[range(1e9)]",
            "last(repeat(1))",
            "[repeat(.)]",
            "[limit(1e9; repeat(1))]",
            "until(false; .)",
            "until(false; . + {})",
            "[while(true; .)]",
            "[recurse(.)]",
            "last(recurse(.; true))",
            "reduce repeat(1) as $x (0; . + 1)",
            "last(foreach repeat(1) as $x (0; . + 1))",
            "label $out | repeat(1) | if . == 2 then break $out else empty end",
            "first(repeat(empty))",
            "isempty(repeat(empty))",
            "any(repeat(false); .)",
            "skip(1e12; repeat(1))",
            "nth(1e9; repeat(1))",
            "path(repeat(.a)) | empty",
            "last(path(repeat(.)))",
            "reduce range(1e9) as $x (.; .)",
            "[.a[] as $x | repeat($x)]",
            "walk(until(false; .))",
            "try last(repeat(1)) catch \"saved\"",
            "(try error(\"x\") catch last(repeat(1)))",
            "last(repeat(1))? // 1",
            "[.[] | repeat(1)?]",
            "def f: try f catch f; def g: (try error catch .) | g; g",
            "def f: try error catch f; 1 + f",
            "[recurse(def f: recurse(f); f)]",
            ".a | sort_by(last(repeat(1)))",
            ".a | group_by(last(repeat(1)))",
            ".a | min_by(last(repeat(1)))",
            ".a |= last(repeat(1))",
            "(.a[] | select(last(repeat(false)))) |= 1",
            "\"\\(last(repeat(1)))\"",
            "{(last(repeat(\"a\"))): 1}",
            ".[last(repeat(\"a\"))]",
            "getpath([limit(1e9; repeat(\"a\"))])?",
            "[1, 2] | combinations(40)",
            "[range(30)] | [., ., ., ., ., .] | [combinations] | length",
            "[[range(1000)]] | transpose | until(false; .)",
            "fromstream(repeat([[0], 1]))",
            "def f: reduce (1, 2) as $x (.; f); def g: g; g",
            "\"a\" | [splits(\"a\"; repeat(\"g\"))]",
            "limit(repeat(1); 1) | empty",
        ],
    );
}

#[test]
fn results_without_end_are_cut_off() {
    check(End::Outputs, &["repeat(1)", "range(infinite)", "recurse(.)", "def f: 1, f; f"]);
    let truth = Filter::compile("repeat(1)").unwrap().is_true(&json!(null), &Limits::default());
    assert_eq!(truth, Ok(true));
}

#[test]
fn recursion_runs_out_of_stack_in_time() {
    // Deep steps are expensive, so the usual limit ends most of these sooner.
    let patient = Limits { steps: 200_000_000, ..LIMITS };
    let mut wrong = Vec::new();
    for text in [
        "def f: 1 + f; f",
        "def f: f + 1; f",
        "def f: [f]; f",
        "def f: {a: f}; f",
        "def f: f | .; f",
        "def f: -f; f",
        "def f: try f; f",
        "def f: if f then 1 else 2 end; f",
        "def f: f and true; f",
        "def f: f == 1; f",
        "def f: f // 1; f",
        "def f: .[f]; f",
        "def f: f[]; f",
        "def f: f[]?; f",
        "def f: f as $x | 1; f",
        "def f: first(f); f",
        "def f: label $x | f; f",
        "def f: reduce f as $x (0; 1); f",
        "def f: reduce 1 as $x (0; f); f",
        "def f: foreach 1 as $x (f; 1); f",
        "def f: f.a; f |= 1",
        "def f: f[]; f |= 1",
        "def f: f | .a; path(f)",
        "def f: null | .a |= f; f",
        "def f: \"\\(f)\"; f",
        "def f: [limit(1; f)]; f",
        "def f: [1, 2] | sort_by(f); f",
        "def f($x): f($x) + 1; f(1)",
        "def f($x; $y): 1 + f($y; $x); f(1; 2)",
        "def f: def g: 1 + f; g; f",
        "def f: [1] | . as [$x] | [f]; f",
        "def f: any(f; .); f",
    ] {
        let (end, took) = attack(text, &json!({"a": [1, 2, 3]}), &patient);
        let (usual, _) = attack(text, &json!({"a": [1, 2, 3]}), &LIMITS);
        let ends = end == Some(End::Recursion) && matches!(usual, Some(End::Recursion | End::Steps));
        if !ends || took >= PATIENCE {
            wrong.push(format!("{text}: {end:?} after {took:?}, {usual:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn values_do_not_nest_without_end() {
    check(
        End::Depth,
        &[
            "reduce range(100000) as $i (null; [.])",
            "reduce range(100000) as $i (null; {a: .})",
            "until(false; [.])",
            "until(false; {a: .})",
            "reduce range(100000) as $i (.; .a = .)",
            "reduce range(100000) as $i ([]; .[0] = .)",
            "reduce range(100000) as $i ([]; . + [.])",
            "reduce range(100000) as $i ({}; . + {a: .})",
            "reduce range(100000) as $i ({}; . * {a: .})",
            "null | setpath([range(1000) | \"a\"]; 1)",
            "null | setpath([range(1000) | 0]; 1)",
            "null | getpath([range(1000) | \"a\"])",
            "null | getpath([limit(10000; repeat(0))]) = 1",
            "null | last(path(recurse(.a)))",
            "null | last(path(def f: .a | f; f))",
            "null | path(last(def f: .[0] | ., f; f))",
            "null | path(last(def f: .a | ., f; f))",
            "null | path(last(def f: .[1:] | ., f; f))",
            "[1, 2] | path(last(def f: .[0:] | ., f; f))",
            "[limit(100000; def f: [.] | ., f; f)]",
            "(\"[\" * 200) + (\"]\" * 200) | fromjson",
        ],
    );
}

#[test]
fn memory_is_not_there_for_the_asking() {
    check(
        End::Steps,
        &[
            "\"x\" * 1e9 | length",
            "\"x\" * 1e300 | length",
            "infinite * \"x\" | length",
            "reduce range(64) as $i (\"x\"; . + .) | length",
            "reduce range(64) as $i ([1]; . + .) | length",
            "reduce range(1e9) as $i (\"\"; . + \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\")",
            "[1] | .[1e9] = 1 | length",
            "[1] | .[1e18] = 1 | length",
            "null | .[1e300] = 1 | length",
            "[] | setpath([1e9]; 1) | length",
            "reduce range(40) as $i (1; [., .]) | tojson | length",
            "reduce range(40) as $i (1; [., .]) | . == (reduce range(40) as $i (1; [., .]))",
            "[reduce range(40) as $i (1; [., .]), reduce range(40) as $i (1; [., .])] | sort",
            "reduce range(40) as $i (1; [., .]) | [..] | length",
            "reduce range(40) as $i (1; [., .]) | flatten | length",
            "reduce range(40) as $i (1; {a: ., b: .}) | [paths] | length",
            "reduce range(40) as $i (1; [., .]) | map_values(.) | walk(.) | length",
            "reduce range(40) as $i (1; [., .]) | [[., .]] | contains([[.]])",
            "reduce range(60) as $i (1; [., .]) | error",
            "reduce range(40) as $i (1; [., .]) | @json | length",
            "reduce range(40) as $i (1; [., .]) | \"\\(.)\" | length",
            "[range(100000) | tostring] | until(false; . + .)",
            "[range(100000)] | [.[:50000], .[50000:]] | until(false; map(sort))",
            "[range(10000)] | [range(10000)] as $x | until(false; . - $x | [range(10000)])",
            "[range(10000)] | until(false; reverse)",
            "[range(50000)] | implode * 100000",
            "(\"ab\" * 100000) / \"a\" | until(false; join(\"a\") / \"a\")",
            "\"a\" * 100000 | [indices(\"a\")] | until(false; . + .)",
            "\"a\" * 100000 | [match(\"\"; \"g\")] | until(false; . + .)",
            "\"a\" * 100000 | until(false; ascii_upcase)",
            "\"a\" * 100000 | until(false; explode | implode)",
            "\"a\" * 100000 | until(false; @base64 | .[:100000])",
            "\"a\" * 100000 | until(false; ltrimstr(.) | . + \"a\" * 100000)",
            "\"a\" * 100000 as $k | {} | until(false; .[$k] = 1)",
            "\"a\" * 100000 as $k | {($k): 1} | until(false; if .[$k] then . else 1 end)",
            "\"a\" * 100000 as $k | {($k): 1} | until(false; . + {($k): 2})",
            "[range(5000) | {(tostring): .}] | add | until(false; . + {a: 1} | del(.a))",
            "[range(5000) | {(tostring): .}] | add | until(false; to_entries | from_entries)",
            "[limit(100000; repeat([]))] | until(false; map([.]) | map(.[0]))",
        ],
    );
}

#[test]
fn shared_values_are_as_long_as_they_are_written() {
    check(End::OutputBytes, &["reduce range(6) as $i (\"x\" * 100000; [., .])", "\"x\" * 3e6 | ., ."]);
}

#[test]
fn regular_expressions_are_no_way_out() {
    check(
        End::Steps,
        &[
            "\"a\" * 100000 | test(\"(a*)*b\") | until(false; .)",
            "\"a\" * 100000 | [match(\"(a[^z]*z)|a\"; \"g\")] | length",
            "\"a\" * 100000 | [match(\"a.*z|a\"; \"g\")] | length",
            "(\"ab\" * 100000) | until(false; if test(\"[ab]*a[ab]{12}c\") then 1 else . end)",
            "(\"a\" * 50000) | until(false; gsub(\"\"; \"a\") | .[:50000])",
            "(\"aé\" * 50000) | [match(\"\\\\b.*z|é\"; \"g\")] | length",
            "[range(1000000) | tostring | . as $re | \"a\" | test($re)]",
            "reduce range(1000000) as $i (0; \"x\" | test(\"[a-z]{20}\\($i)\"))",
        ],
    );
}

#[test]
fn a_limit_cannot_be_caught() {
    for text in [
        "try (\"x\" * 1e9) catch 1",
        "(\"x\" * 1e9)? // 1",
        "[.[] | try last(repeat(1)) catch 1]",
        "first(try (def f: 1 + f; f) catch 1)",
        "try until(false; [.]) catch 1",
        "def f: try f catch f; try (1 + f) catch 1",
        "label $out | try (\"x\" * 1e9, break $out) catch 1",
        ".a |= (try last(repeat(1)) catch 1)",
    ] {
        let (end, _) = attack(text, &json!({"a": [1]}), &LIMITS);
        assert!(end.is_some(), "{text}");
    }
}

/// Cheap steps at the bottom of a deep recursion: each clones or asks everything above it.
#[test]
fn deep_recursion_does_not_make_steps_expensive() {
    let deep = "def f($n; $end): if $n == 0 then $end else";
    for text in [
        &format!("{deep} [f($n - 1; $end)] | .[0] end; f(300; 1) | until(false; .)"),
        "def p($n): if $n == 0 then .a[] else p($n - 1) | . end; .a = [range(9000)] | until(false; p(300) |= . + 1)",
        "def f: f[]; f |= 1",
        "def f: f.a; f |= 1",
        "def f: f[1:]; f += 1",
        "def f: (f, f)[]; f = 1",
        "def f: first(f)[]; f |= empty",
        "def p($n): if $n == 0 then repeat(1) else p($n - 1) | . end; last(p(300))",
        "def p($n): if $n == 0 then repeat(1) else first(p($n - 1)), 1 end; last(p(300)) | until(false; .)",
        "def p($n): if $n == 0 then empty else (p($n - 1) | .), 1 end; until(false; [p(300)])",
        "def p($n): if $n == 0 then repeat(1) else (p($n - 1), 1 | .) end; last(p(500))",
        "def p($n): if $n == 0 then (repeat(.a)) else (p($n - 1) | .) end; last(path(p(300)))",
        "def p($n): if $n == 0 then range(1e9) else try p($n - 1) catch . end; last(p(500))",
        "def p($n): if $n == 0 then range(1e9) else label $x | p($n - 1) end; last(p(500))",
    ] {
        let (end, took) = attack(text, &json!({"a": [1]}), &LIMITS);
        assert!(end.is_some(), "{text}");
        assert!(took < PATIENCE, "{text} took {took:?}");
    }
}

/// Recursion that ends is no attack, even where it needs a large stack.
#[test]
fn honest_recursion_has_room() {
    for (text, expected) in [
        ("def sum: if . == 0 then 0 else . + (. - 1 | sum) end; 100 | sum", json!(5_050)),
        ("def down: if . == 0 then \"done\" else . - 1 | down end; 50000 | down", json!("done")),
        ("reduce range(127) as $i (1; [.]) | [..] | length", json!(128)),
        ("reduce range(100) as $i (1; {a: .}) | walk(.) | [paths] | length", json!(100)),
        ("[range(20000)] | map(. + 1) | add", json!(200_010_000)),
        ("[recurse(if . < 1000 then . + 1 else empty end)] | length", json!(998)),
        ("[recurse(if . < 1000 then . + 1 else empty end; . < 1000)] | length", json!(997)),
        ("reduce range(20000) as $i (\"\"; . + \"xy\") | length", json!(40_000)),
        ("reduce range(20000) as $i ([]; . + [$i]) | length", json!(20_000)),
        ("reduce range(5000) as $i ({}; .[\"k\\($i)\"] = $i) | length", json!(5_000)),
    ] {
        let result = Filter::compile(text).unwrap().run_one(&json!(3), &Limits::default());
        assert_eq!(result, Ok(expected), "{text}");
    }
}

#[test]
fn hostile_inputs_are_refused_or_read() {
    let limits = Limits::default();
    let run = |json: &str| Filter::compile(".").unwrap().run_one_json(json.as_bytes(), &limits);
    let deep = "[".repeat(1_000_000);
    assert!(matches!(run(&deep), Err(RunError::Input(_))));
    let digits = "9".repeat(1_000_000);
    assert_eq!(run(&digits), Err(RunError::NotFinite));
    let fraction = format!("0.{digits}");
    assert_eq!(run(&fraction).as_deref(), Ok(fraction.as_str()));
    let exponent = format!("1e{digits}");
    assert_eq!(run(&exponent), Err(RunError::NotFinite));
    let keys: Vec<String> = (0..50_000).map(|n| format!("\"{n}\":{n}")).collect();
    let object = format!("{{{}}}", keys.join(","));
    assert_eq!(run(&object).as_deref(), Ok(object.as_str()));
}

/// A number with a million digits costs as much as a million digits, each time.
#[test]
fn long_numbers_are_long() {
    let digits = format!("0.{}", "9".repeat(100_000));
    for text in
        ["until(false; [tojson, .][1])", "until(false; [\"\\(.)\", .][1])", "until(false; [@html, .][1])"]
    {
        let filter = Filter::compile(text).unwrap();
        let started = Instant::now();
        let result = filter.run_one(Input::json(digits.as_bytes()), &Limits::default());
        assert_eq!(end_of(&result), Some(End::Steps), "{text}");
        assert!(started.elapsed() < PATIENCE, "{text}");
    }
}

#[test]
fn many_threads_can_be_attacked_at_once() {
    let filter = Filter::compile("def f: 1 + f; f").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let result = filter.run_one(&json!(1), &Limits::default());
                assert!(matches!(result, Err(RunError::Recursion | RunError::Steps(_))));
            });
        }
    });
}

#[test]
fn a_deadline_ends_a_run() {
    let limits = Limits { steps: u64::MAX, time: Some(Duration::from_millis(20)), ..Limits::default() };
    let started = Instant::now();
    let result = Filter::compile("last(repeat(1))").unwrap().run_one(&json!(1), &limits);
    assert_eq!(result, Err(RunError::Time(Duration::from_millis(20))));
    assert!(started.elapsed() < PATIENCE);
}
