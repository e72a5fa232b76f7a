//! What greedy filters take from the machine. Alone in its process, because the figure is the process's.

use serde_json::json;
use trunkline_jq::{Filter, Limits};

/// The most memory the process ever had, in bytes, as Linux counts it.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kib| kib << 10)
}

#[test]
fn a_million_steps_take_less_than_200_mib() {
    let Some(before) = peak() else {
        println!("skipped: this system does not tell how much memory a process has used");
        return;
    };
    for text in [
        "[range(1e9) | {a: .}]",
        "[range(1e9) | [.]]",
        "[range(1e9) | {(tostring): 1}]",
        "[range(1e9) | \"0123456789abcde\\(.)\"]",
        "[limit(1e9; repeat({}))]",
        "[repeat(1e3)]",
        "\"x\" * 1e9",
        "[\"x\" * 1e6] | until(false; . + .)",
        "reduce range(64) as $i (\"x\"; . + .)",
        "reduce repeat(1) as $x (0; ., .)",
        "[foreach repeat(1) as $x ([]; . + [.]; .)]",
        "def f: f, f; f",
        "def f: f, f, f; [f]",
        "def f: (1, f) | (., f); [f]",
        "def f($x): f([$x]), f({a: $x}); f(1)",
        "def f: 1 + f; f",
        "[recurse(., .)]",
        "[paths(repeat(true))]",
        "[range(1e9) | . as $x | [$x, $x]]",
        "[1, 2, 3, 4] | [combinations(20)]",
        "[range(1e6) | tostring] | join(\",\")",
        "\"ab\" * 100000 | [match(\"a\"; \"g\")]",
        "\"ab\" * 100000 | explode | map([.])",
        "[range(100000)] | map(tostring) | group_by(.) | transpose",
    ] {
        let limits = Limits { outputs: usize::MAX, output_bytes: usize::MAX, ..Limits::default() };
        let result = Filter::compile(text).unwrap().run(&json!([1]), &limits);
        assert!(result.is_err_and(|error| error.is_limit()), "{text}");
        let grown = peak().unwrap_or(usize::MAX).saturating_sub(before);
        assert!(grown < 200 << 20, "{text}: {} MiB", grown >> 20);
    }
}
