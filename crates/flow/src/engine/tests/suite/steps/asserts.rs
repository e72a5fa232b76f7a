//! What scenarios check.

use serde_json::Value;
use trunkline_model::{Timestamp, cloudevents};
use trunkline_store::tables::event::{EventFilter, event_list};
use trunkline_store::tables::stored_record::stored_record_get;
use trunkline_store::tables::workflow::instance::{CompensationState, InstancePhase, InstanceRow, SlaState};
use trunkline_store::tables::workflow::promise::promise_count;
use trunkline_store::tables::workflow::record::{record_list, snapshot_get};

use super::super::super::super::machine::tests::Became;
use super::super::outside::Seen;
use super::super::world::{TaskRun, World};
use super::duration;

/// Sentences about the workflow and its tasks, from the kit; then ours about calls, events, time and definitions.
pub(super) const ASSERT: [&str; 56] = [
    "the workflow should complete",
    "the workflow should complete with output:",
    "the workflow should fault",
    "the workflow should fault with error:",
    "the workflow should cancel",
    "the workflow output should have properties {*}",
    "the workflow output should have a {} property with value:",
    "the workflow output should have a {} property containing {} items",
    "{} should run first",
    "{} should run last",
    "{} should run after {}",
    "{} should run before {}",
    "{} should cancel",
    "{} should complete",
    "{} should complete with output:",
    "{} should fault",
    "{} should fault with error:",
    "{} should run {} times",
    "{} should not run",
    "the workflow should wait",
    "the workflow should run",
    "the workflow should be suspended",
    "the workflow should be suspended because of {}",
    "the workflow should be cancelled because of {}",
    "the workflow should be at step {} of {}",
    "the workflow should have taken {}",
    "the workflow should have taken between {} and {}",
    "the workflow should have {} records",
    "the workflow should be {} of its time",
    "the workflow should be {} with undoing",
    "the promises of {} should be:",
    "the record {} of {} should be:",
    "nothing that is kept should contain {}",
    "the event {} should not have been published",
    "the error should have properties {*}",
    "the error detail should contain {}",
    "{} instances should have been started",
    "{} instances should have completed",
    "{} instances should have faulted",
    "{} instances should have been cancelled",
    "{} instances should wait",
    "there should be {} calls",
    "{} {} should have been called {} times",
    "call {} should have body:",
    "call {} should go to {} {}",
    "call {} should have the header {} with {}",
    "call {} should not have the header {}",
    "call {} should come {} after call {}",
    "call {} should come between {} and {} after call {}",
    "all calls should carry the same key",
    "all calls should carry different keys",
    "the event {} should have been published {} times",
    "the event {} should have the attributes:",
    "the definition should be refused because of {}",
    "the definition should be warned of because of {}",
    "the request should be refused because of {}",
];

/// Sentences that may only be true together with the definition being stored.
const OF_DEFINITIONS: &str = "the definition should be";

/// Checks one sentence.
pub(super) async fn check(world: &World<'_>, (pattern, words): (&str, &[&str]), expected: Option<Value>) {
    if pattern.starts_with(OF_DEFINITIONS) {
        return of_definition(world, pattern, words[0]);
    }
    if let Some(why) = &world.refusal {
        panic!("the definition is refused: {why:#?}");
    }
    if let ("the record {} of {} should be:", [id, collection]) = (pattern, words) {
        let found = stored_record_get(&world.hub.rig.store, &world.tenant, collection, id).await.unwrap();
        let found = found.map_or(Value::Null, |row| serde_json::from_str(&row.data).unwrap());
        return same(&found, &expected.unwrap_or_default());
    }
    if pattern.starts_with("nothing that is kept ") {
        return of_what_is_kept(world, words[0]).await;
    }
    if pattern.starts_with("the promises ") {
        return of_promises(world, words[0], &expected.unwrap_or_default()).await;
    }
    if pattern.starts_with("the event ") {
        return of_events(world, (pattern, words), expected).await;
    }
    if pattern.contains("call") {
        return of_calls(world, (pattern, words), expected);
    }
    if pattern.starts_with("{}") {
        if pattern.contains("instances") {
            return of_instances(world, (pattern, words)).await;
        }
        let runs = world.task_runs().await;
        return of_task(&runs, (pattern, words), expected.as_ref());
    }
    let row = world.row().await;
    match pattern {
        "the workflow should complete" | "the workflow should fault" | "the workflow should cancel" => {
            is_in(&row, pattern);
        }
        "the workflow should complete with output:" => {
            is_in(&row, "the workflow should complete");
            same(&json_of(row.output.as_deref()), &expected.unwrap_or_default());
        }
        "the workflow should fault with error:" => {
            is_in(&row, "the workflow should fault");
            contains(&json_of(row.error.as_deref()), &expected.unwrap_or_default());
        }
        _ if pattern.contains("output") => of_output(&row, (pattern, words), expected),
        _ => of_instance(world, &row, (pattern, words)).await,
    }
}

fn json_of(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

fn is_in(row: &InstanceRow, pattern: &str) {
    let wanted = match pattern {
        "the workflow should complete" => InstancePhase::Completed,
        "the workflow should fault" => InstancePhase::Faulted,
        "the workflow should wait" => InstancePhase::Waiting,
        "the workflow should run" => InstancePhase::Running,
        "the workflow should cancel" | "the workflow should be cancelled because of {}" => {
            InstancePhase::Cancelled
        }
        _ => InstancePhase::Suspended,
    };
    let (output, error) = (row.output.as_deref().unwrap_or("-"), row.error.as_deref().unwrap_or("-"));
    assert_eq!(row.phase, wanted, "output {output}, error {error}");
}

/// Numbers are compared by value: 1 is 1.0.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| is_same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, left)| right.get(key).is_some_and(|right| is_same(left, right)))
        }
        (left, right) => left == right,
    }
}

fn same(actual: &Value, expected: &Value) {
    assert!(is_same(actual, expected), "it is {actual} and should be {expected}");
}

/// Every member that is expected is there with its value.
fn contains(actual: &Value, expected: &Value) {
    let Value::Object(members) = expected else { return same(actual, expected) };
    assert!(!members.is_empty(), "nothing is expected");
    for (key, value) in members {
        assert!(is_same(&actual[key], value), "{key} of {actual} should be {value}");
    }
}

fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, key| match key.parse::<usize>() {
        Ok(index) => value.get(index),
        Err(_) => value.get(key),
    })
}

fn of_output(row: &InstanceRow, (pattern, words): (&str, &[&str]), expected: Option<Value>) {
    let output = json_of(row.output.as_deref());
    let get = |path: &str| at(&output, path).unwrap_or_else(|| panic!("{output} has no {path}"));
    match (pattern, words) {
        ("the workflow output should have properties {*}", paths) => {
            assert!(!paths.is_empty());
            for path in paths {
                get(path);
            }
        }
        ("the workflow output should have a {} property with value:", [path]) => {
            same(get(path), &expected.unwrap_or_default());
        }
        ("the workflow output should have a {} property containing {} items", [path, n]) => {
            let items = get(path).as_array().unwrap_or_else(|| panic!("{path} of {output} is no list"));
            assert_eq!(items.len().to_string(), *n);
        }
        _ => unreachable!("invariant: every pattern of the table is here: {pattern}"),
    }
}

async fn of_instance(world: &World<'_>, row: &InstanceRow, (pattern, words): (&str, &[&str])) {
    let taken = row.finished_at.unwrap_or_else(|| world.now()).since(row.created_at);
    match (pattern, words) {
        ("the workflow should wait" | "the workflow should run" | "the workflow should be suspended", []) => {
            is_in(row, pattern);
        }
        (
            "the workflow should be suspended because of {}"
            | "the workflow should be cancelled because of {}",
            [why],
        ) => {
            is_in(row, pattern);
            assert!(row.error.as_deref().is_some_and(|error| error.contains(why)), "{:?}", row.error);
        }
        ("the workflow should be at step {} of {}", [step, of]) => {
            assert_eq!(
                (row.current_step.to_string(), row.total_steps.to_string()),
                ((*step).into(), (*of).into())
            );
        }
        ("the workflow should have taken {}", [time]) => assert_eq!(taken, duration(time)),
        ("the workflow should have taken between {} and {}", [least, most]) => {
            assert!((duration(least)..=duration(most)).contains(&taken), "{taken:?}");
        }
        ("the workflow should be {} of its time", [standing]) => {
            assert_eq!(row.sla.map(SlaState::as_str), Some(*standing).filter(|it| *it != "free"));
        }
        ("the workflow should be {} with undoing", [how]) => {
            assert_eq!(
                row.compensation.map(CompensationState::as_str),
                Some(*how).filter(|it| *it != "untouched")
            );
        }
        ("the workflow should have {} records", [n]) => {
            let records = record_list(&world.hub.rig.store, &row.id, 0, 10_000).await.unwrap();
            let kinds: Vec<&str> = records.iter().map(|record| &*record.kind).collect();
            assert_eq!(records.len().to_string(), *n, "{kinds:?}");
        }
        ("the error should have properties {*}", names) => {
            let error = json_of(row.error.as_deref());
            assert!(names.iter().all(|name| error.get(name).is_some()), "{error}");
        }
        ("the error detail should contain {}", [text]) => {
            let error = json_of(row.error.as_deref());
            assert!(error["detail"].as_str().is_some_and(|detail| detail.contains(text)), "{error}");
        }
        ("the request should be refused because of {}", [why]) => {
            let answer = world.answer.as_deref().expect("the request was refused");
            assert!(answer.contains(why), "{answer}");
        }
        _ => unreachable!("invariant: every pattern of the table is here: {pattern}"),
    }
}

fn of_task(runs: &[TaskRun], (pattern, words): (&str, &[&str]), expected: Option<&Value>) {
    let names: Vec<&str> = runs.iter().map(|run| &*run.name).collect();
    let place = |name: &str| {
        names.iter().position(|it| *it == name).unwrap_or_else(|| panic!("{name} is not in {names:?}"))
    };
    let became = |name: &str| {
        let run = runs.iter().rfind(|run| run.name == name);
        run.unwrap_or_else(|| panic!("{name} is not in {names:?}")).became.clone()
    };
    match (pattern, words) {
        ("{} should run first", [name]) => assert_eq!(names.first(), Some(name)),
        ("{} should run last", [name]) => assert_eq!(names.last(), Some(name)),
        ("{} should run after {}", [name, other]) => assert!(place(name) > place(other), "{names:?}"),
        ("{} should run before {}", [name, other]) => assert!(place(name) < place(other), "{names:?}"),
        ("{} should run {} times", [name, n]) => {
            assert_eq!(names.iter().filter(|it| *it == name).count().to_string(), *n, "{names:?}");
        }
        ("{} should not run", [name]) => assert!(!names.contains(name), "{names:?}"),
        ("{} should cancel", [name]) => assert_eq!(became(name), Some(Became::Dropped)),
        ("{} should complete", [name]) => {
            assert!(matches!(became(name), Some(Became::Completed(_))), "{:?}", became(name));
        }
        ("{} should complete with output:", [name]) => match became(name) {
            Some(Became::Completed(output)) => same(&output, expected.unwrap_or(&Value::Null)),
            other => panic!("{name} became {other:?}"),
        },
        ("{} should fault", [name]) => {
            assert!(matches!(became(name), Some(Became::Faulted(_))), "{:?}", became(name));
        }
        ("{} should fault with error:", [name]) => match became(name) {
            Some(Became::Faulted(failure)) => {
                contains(&failure.to_value(), expected.unwrap_or(&Value::Null));
            }
            other => panic!("{name} became {other:?}"),
        },
        _ => unreachable!("invariant: every pattern of the table is here: {pattern}"),
    }
}

async fn of_instances(world: &World<'_>, (pattern, words): (&str, &[&str])) {
    let rows = world.instances().await;
    let in_phase = |phase: InstancePhase| rows.iter().filter(|row| row.phase == phase).count();
    let n = match pattern {
        "{} instances should have been started" => rows.len(),
        "{} instances should have completed" => in_phase(InstancePhase::Completed),
        "{} instances should have faulted" => in_phase(InstancePhase::Faulted),
        "{} instances should have been cancelled" => in_phase(InstancePhase::Cancelled),
        "{} instances should wait" => in_phase(InstancePhase::Waiting),
        _ => unreachable!("invariant: every pattern of the table is here: {pattern}"),
    };
    assert_eq!(n.to_string(), words[0], "{:?}", rows.iter().map(|row| row.phase).collect::<Vec<_>>());
}

fn of_calls(world: &World<'_>, (pattern, words): (&str, &[&str]), expected: Option<Value>) {
    let seen = world.hub.outside.seen();
    let call = |n: &str| -> &Seen {
        let n: usize = n.parse().unwrap();
        seen.get(n - 1).unwrap_or_else(|| panic!("there are {} calls", seen.len()))
    };
    let keys = || -> Vec<&str> { seen.iter().map(|it| it.key().expect("a call has a key")).collect() };
    let apart = |later: &str, earlier: &str| -> std::time::Duration {
        let (later, earlier): (Timestamp, Timestamp) = (call(later).at, call(earlier).at);
        later.since(earlier)
    };
    match (pattern, words) {
        ("there should be {} calls", [n]) => assert_eq!(seen.len().to_string(), *n, "{seen:#?}"),
        ("{} {} should have been called {} times", [method, url, n]) => {
            let count = seen.iter().filter(|it| it.method == *method && it.url == *url).count();
            assert_eq!(count.to_string(), *n, "{seen:#?}");
        }
        ("call {} should have body:", [n]) => same(&call(n).body, &expected.unwrap_or_default()),
        ("call {} should go to {} {}", [n, method, url]) => {
            assert_eq!((&*call(n).method, &*call(n).url), (*method, *url));
        }
        ("call {} should have the header {} with {}", [n, name, value]) => {
            assert_eq!(call(n).headers.get(&name.to_ascii_lowercase()).map(String::as_str), Some(*value));
        }
        ("call {} should not have the header {}", [n, name]) => {
            assert_eq!(call(n).headers.get(&name.to_ascii_lowercase()), None);
        }
        ("call {} should come {} after call {}", [later, time, earlier]) => {
            assert_eq!(apart(later, earlier), duration(time));
        }
        ("call {} should come between {} and {} after call {}", [later, least, most, earlier]) => {
            let apart = apart(later, earlier);
            assert!((duration(least)..=duration(most)).contains(&apart), "{apart:?}");
        }
        ("all calls should carry the same key", []) => {
            assert!(seen.len() > 1 && keys().windows(2).all(|it| it[0] == it[1]), "{:?}", keys());
        }
        ("all calls should carry different keys", []) => {
            let different: std::collections::BTreeSet<_> = keys().into_iter().collect();
            assert!(seen.len() > 1 && different.len() == seen.len(), "{:?}", keys());
        }
        _ => unreachable!("invariant: every pattern of the table is here: {pattern}"),
    }
}

/// Rows, records and events of the scenario hold a text nowhere.
async fn of_what_is_kept(world: &World<'_>, text: &str) {
    let store = &world.hub.rig.store;
    let rows = world.instances().await;
    assert!(!rows.is_empty(), "something was started");
    for row in rows {
        assert!(!format!("{row:?}").contains(text), "{row:?}");
        for record in record_list(store, &row.id, 0, 10_000).await.unwrap() {
            assert!(!record.body.contains(text), "{}", record.body);
        }
        let snapshot = snapshot_get(store, &row.id).await.unwrap();
        assert!(snapshot.is_none_or(|it| !it.state.contains(text)), "the snapshot");
    }
    let filter = EventFilter { limit: 1_000, ..EventFilter::default() };
    for record in event_list(store, &world.tenant, &filter).await.unwrap() {
        let event = cloudevents::to_structured(&record.event);
        assert!(!String::from_utf8_lossy(&event).contains(text), "an event");
    }
}

/// How promises of `workflow` or `task` stand, as numbers by standing.
async fn of_promises(world: &World<'_>, scope: &str, expected: &Value) {
    let counts = promise_count(&world.hub.rig.store, &world.tenant).await.unwrap();
    let counts = counts.iter().filter(|it| it.scope.as_str() == scope && it.n != 0);
    let counts: serde_json::Map<_, _> =
        counts.map(|it| (it.standing.as_str().to_owned(), Value::from(it.n))).collect();
    same(&Value::Object(counts), expected);
}

async fn of_events(world: &World<'_>, (pattern, words): (&str, &[&str]), expected: Option<Value>) {
    let filter = EventFilter { event_type: Some(words[0].to_owned()), limit: 100, ..EventFilter::default() };
    let mut records = event_list(&world.hub.rig.store, &world.tenant, &filter).await.unwrap();
    records.reverse();
    match (pattern, words) {
        ("the event {} should not have been published", [_]) => assert!(records.is_empty(), "{records:#?}"),
        ("the event {} should have been published {} times", [_, n]) => {
            assert_eq!(records.len().to_string(), *n);
        }
        ("the event {} should have the attributes:", [_]) => {
            let last = records.last().expect("the event was published");
            let event: Value = serde_json::from_slice(&cloudevents::to_structured(&last.event)).unwrap();
            contains(&event, &expected.unwrap_or_default());
        }
        _ => unreachable!("invariant: every pattern of the table is here: {pattern}"),
    }
}

/// The reason is part of the text, or `rule 7`.
fn of_definition(world: &World<'_>, pattern: &str, why: &str) {
    let rule = |text: &str| why.strip_prefix("rule ").is_some() && text.contains(&format!("({why})"));
    let texts = match pattern {
        "the definition should be refused because of {}" => {
            world.refusal.as_ref().expect("the definition should be refused")
        }
        _ => &world.warnings,
    };
    assert!(texts.iter().any(|text| rule(text) || text.contains(why)), "{texts:#?}");
}
