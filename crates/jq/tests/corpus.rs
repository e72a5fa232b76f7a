//! The corpus: pairs of a filter and an input with what comes out. Ours is always checked; where `jq` is installed, it must
//! say the same for every pair of `agreed.tsv`, and something else for those pairs of `differences.tsv` that say so. The
//! table of differences in `docs/jq.md` is made from that file; it is rewritten and the test fails when it was stale.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // everything here is a test

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use trunkline_jq::{Filter, Limits};

/// How many filters one jq runs.
const TOGETHER: usize = 40;
/// The versions of jq that the corpus was compared with.
const COMPARED: [&str; 2] = ["1.6", "1.8"];
const BEGIN: &str = "<!-- differences: begin -->\n";
const END: &str = "<!-- differences: end -->\n";

/// Outputs, or `None` for an error.
type Outcome = Option<Vec<Value>>;

struct Pair {
    filter: String,
    input: String,
    expected: Outcome,
    /// Columns after the third.
    rest: Vec<String>,
}

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn pairs(name: &str) -> Vec<Pair> {
    let text = read(name);
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    lines.map(|line| pair(line).unwrap_or_else(|| panic!("{name}: {line}"))).collect()
}

fn pair(line: &str) -> Option<Pair> {
    let mut columns = line.split('\t');
    let filter = columns.next()?.replace('␤', "\n");
    let input = columns.next()?;
    let input = if input == "event.json" { read(input) } else { input.to_owned() };
    let expected = match columns.next()? {
        "error" => None,
        outputs => Some(serde_json::from_str(outputs).ok()?),
    };
    Some(Pair { filter, input, expected, rest: columns.map(str::to_owned).collect() })
}

fn ours(pair: &Pair) -> Outcome {
    let filter = Filter::compile(&pair.filter).ok()?;
    filter.run(pair.input.as_bytes(), &Limits::default()).ok()
}

/// Runs jq, which takes long to start. Some versions do not end on some filters and take all memory meanwhile, so the
/// processor's time and the memory it may use are limited.
fn jq(filter: &str, input: &str) -> Outcome {
    let limited = "ulimit -t 20; ulimit -v 500000 2>/dev/null; exec jq \"$@\"";
    let mut jq = Command::new("sh")
        .args(["-c", limited, "jq", "-c", filter])
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A filter that does not compile closes the pipe unread.
    let _ = jq.stdin.take().unwrap().write_all(input.as_bytes());
    let output = jq.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let outputs =
        text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap());
    output.status.success().then(|| outputs.collect())
}

/// Runs many filters in one jq, each on its own input. `None` if any of them does not run through.
fn jq_together(pairs: &[&Pair]) -> Option<Vec<Outcome>> {
    let inputs: Vec<&str> = pairs.iter().map(|pair| pair.input.as_str()).collect();
    let filters = pairs.iter().enumerate().map(|(at, pair)| format!("(.[{at}] | [\n{}\n])", pair.filter));
    let filters: Vec<String> = filters.collect();
    let outcome = jq(&format!("[{}]", filters.join(",")), &format!("[{}]", inputs.join(",")))?;
    let Some(Value::Array(outcomes)) = outcome.into_iter().next() else { return None };
    Some(outcomes.into_iter().map(|outputs| outputs.as_array().cloned()).collect())
}

/// What jq says to each pair.
fn theirs(pairs: &[Pair]) -> Vec<Outcome> {
    let (fine, faulty): (Vec<&Pair>, Vec<&Pair>) = pairs.iter().partition(|pair| pair.expected.is_some());
    let mut outcomes = HashMap::new();
    for some in fine.chunks(TOGETHER) {
        let one_by_one = || some.iter().map(|pair| jq(&pair.filter, &pair.input)).collect();
        let found = jq_together(some).unwrap_or_else(one_by_one);
        outcomes.extend(some.iter().map(|pair| (&pair.filter, &pair.input)).zip(found));
    }
    outcomes.extend(faulty.iter().map(|pair| ((&pair.filter, &pair.input), jq(&pair.filter, &pair.input))));
    pairs.iter().map(|pair| outcomes[&(&pair.filter, &pair.input)].clone()).collect()
}

/// Equal, numbers to the precision that jq prints.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(l), Value::Number(r)) => {
            let (l, r) = (l.as_f64().unwrap(), r.as_f64().unwrap());
            (l - r).abs() <= 1e-15 * l.abs().max(r.abs())
        }
        (Value::Array(l), Value::Array(r)) => all_same(l, r),
        (Value::Object(l), Value::Object(r)) => {
            l.len() == r.len() && l.iter().all(|(key, l)| r.get(key).is_some_and(|r| same(l, r)))
        }
        (l, r) => l == r,
    }
}

fn all_same(left: &[Value], right: &[Value]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same(l, r))
}

fn agree(left: Option<&Vec<Value>>, right: Option<&Vec<Value>>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => all_same(left, right),
        (left, right) => left.is_none() && right.is_none(),
    }
}

fn show(outcome: Option<&Vec<Value>>) -> String {
    outcome.map_or("error".to_owned(), |outputs| Value::from(outputs.clone()).to_string())
}

fn check(pairs: &[Pair], outcomes: &[Outcome]) {
    assert_eq!(pairs.len(), outcomes.len());
    let mut wrong = Vec::new();
    for (pair, outcome) in pairs.iter().zip(outcomes) {
        let (outcome, expected) = (outcome.as_ref(), pair.expected.as_ref());
        if !agree(outcome, expected) {
            wrong.push(format!("{}: {}, not {}", pair.filter, show(outcome), show(expected)));
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), pairs.len());
}

fn check_ours(name: &str) {
    let pairs = pairs(name);
    check(&pairs, &pairs.iter().map(ours).collect::<Vec<_>>());
}

#[test]
fn filters_give_what_the_corpus_says() {
    check_ours("agreed.tsv");
    check_ours("differences.tsv");
}

#[test]
fn jq_says_the_same() {
    let Some(version) = installed_jq() else { return };
    println!("comparing with jq {version}");
    let pairs = pairs("agreed.tsv");
    check(&pairs, &theirs(&pairs));
}

/// A difference that is none any more is no longer worth telling.
#[test]
fn jq_differs_where_the_corpus_says() {
    let Some(version) = installed_jq().filter(|version| COMPARED.contains(&version.as_str())) else { return };
    let mut pairs = pairs("differences.tsv");
    pairs.retain(|pair| pair.rest[1] != format!("jq {version} does not end here"));
    let mut wrong = Vec::new();
    for (pair, outcome) in pairs.iter().zip(theirs(&pairs)) {
        let is_same = agree(outcome.as_ref(), pair.expected.as_ref());
        if is_same != (pair.rest[0] == version) {
            wrong.push(format!("{}: jq gives {}", pair.filter, show(outcome.as_ref())));
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), pairs.len());
}

/// The version of the jq on the path, as `1.6`.
fn installed_jq() -> Option<String> {
    let Ok(output) = Command::new("jq").arg("--version").output() else {
        let required = std::env::var("TRUNKLINE_TEST_REQUIRE_JQ").is_ok_and(|value| value == "1");
        assert!(!required, "jq is required and not installed");
        println!("skipped: jq is not installed");
        return None;
    };
    let version = String::from_utf8_lossy(&output.stdout);
    let version = version.trim().trim_start_matches("jq-").split(['.', '-']).take(2).collect::<Vec<_>>();
    Some(version.join("."))
}

#[test]
fn the_documentation_shows_every_difference() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/jq.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("docs/jq.md has its begin mark");
    let (_, after) = rest.split_once(END).expect("docs/jq.md has its end mark");
    let fresh = format!("{before}{BEGIN}{}{END}{after}", differences());
    if fresh != page {
        fs::write(&path, fresh).unwrap();
        panic!("docs/jq.md was stale and has been rewritten; look at it and run the test again");
    }
}

/// The differences as a table.
fn differences() -> String {
    let mut table = "\n| filter | input | gives | as jq | why |\n|---|---|---|---|---|\n".to_owned();
    let text = read("differences.tsv");
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        let line = line.replace('|', "\\|");
        let [filter, input, outputs, jq, reason] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("not five columns: {line}");
        };
        let outputs = outputs.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(outputs);
        let (open, close) = if filter.contains('`') { ("`` ", " ``") } else { ("`", "`") };
        let shown = if outputs.is_empty() { "nothing".to_owned() } else { format!("`{outputs}`") };
        let _ = writeln!(table, "| {open}{filter}{close} | `{input}` | {shown} | {jq} | {reason} |");
    }
    table.push('\n');
    table
}

#[test]
fn the_corpus_is_worth_the_name() {
    let agreed = pairs("agreed.tsv");
    assert!(agreed.len() >= 700, "{} pairs", agreed.len());
    let differences = pairs("differences.tsv");
    for pair in &differences {
        let [jq, reason] = &pair.rest[..] else { panic!("{}: no reason", pair.filter) };
        assert!(jq == "none" || COMPARED.contains(&jq.as_str()), "{}", pair.filter);
        assert!(reason.len() > 10, "{}", pair.filter);
    }
    let mut seen = HashSet::new();
    for pair in agreed.iter().chain(&differences) {
        assert!(seen.insert((&pair.filter, &pair.input)), "twice: {}", pair.filter);
    }
}
