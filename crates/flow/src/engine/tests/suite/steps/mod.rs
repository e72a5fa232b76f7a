//! The grammar: every sentence that scenarios may be made of, and what it does.
//!
//! The sentences of the conformance kit come first in each group; the others are ours. `{}` is one word, or several in
//! quotes; `{*}` is all that are left.

use std::time::Duration;

use serde_json::Value;
use trunkline_packs::document::parse_yaml;

use super::super::super::{CommitPoint, Decision};
use super::gherkin::Step;
use super::outside::Answer;
use super::world::World;
use crate::engine::people::{Actor, Decided};

mod asserts;

/// What a sentence is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Prepares.
    Arrange,
    /// Does.
    Act,
    /// Checks; a scenario has one of these.
    Assert,
}

const ARRANGE: [&str; 14] = [
    "a workflow with definition:",
    "the workflow input is:",
    "another workflow with definition:",
    "the official example {}",
    "{} {} answers with:",
    "{} {} answers {} with:",
    "{} {} answers {}",
    "{} {} never answers",
    "{} {} breaks off",
    "the hub crashes before commit {}",
    "the hub crashes after commit {}",
    "the start of time is {}",
    "the secret {} is:",
    "the tasks are:",
];

const ACT: [&str; 18] = [
    "the workflow is executed",
    "the workflow is published",
    "the workflow is started",
    "the workflow is started with:",
    "the workflow runs on",
    "{} passes",
    "an event arrives:",
    "events arrive:",
    "the workflow is cancelled",
    "the workflow is cancelled because {}",
    "the workflow is suspended",
    "the workflow is suspended because {}",
    "the workflow is resumed",
    "the hub crashes",
    "the hub restarts",
    "{} completes {} with:",
    "{} of {} approves {}",
    "{} of {} rejects {}",
];

/// What a sentence gave for the placeholders of a pattern, if it is one of these.
pub(super) fn fits(pattern: &str, sentence: &str) -> Option<Vec<String>> {
    let words = words(sentence);
    let mut words = words.iter();
    let mut found = Vec::new();
    for part in pattern.split(' ') {
        match part {
            "{}" => found.push(words.next()?.clone()),
            "{*}" => {
                found.extend(words.by_ref().cloned());
                return (!found.is_empty()).then_some(found);
            }
            literal if words.next()? == literal => {}
            _ => return None,
        }
    }
    words.next().is_none().then_some(found)
}

/// The words of a sentence; what is in quotes is one, without them.
fn words(sentence: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = sentence.trim();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').unwrap_or((quoted, "")),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start_matches(',').trim_start();
    }
    words
}

/// Which sentence a step is.
pub(super) fn sentence(step: &Step) -> Result<(Kind, &'static str, Vec<String>), String> {
    let of = |kind: Kind, patterns: &'static [&'static str]| {
        patterns.iter().find_map(|pattern| Some((kind, *pattern, fits(pattern, &step.text)?)))
    };
    let found = of(Kind::Arrange, &ARRANGE)
        .or_else(|| of(Kind::Act, &ACT))
        .or_else(|| of(Kind::Assert, &asserts::ASSERT));
    let (kind, pattern, found) = found.ok_or_else(|| format!("no such step: {}", step.text))?;
    if pattern.ends_with(':') != step.doc.is_some() {
        return Err(format!("a text belongs to the step, or does not: {}", step.text));
    }
    Ok((kind, pattern, found))
}

/// The text of a step as data.
fn data(doc: Option<&str>) -> Value {
    let text = doc.expect("invariant: the pattern has a text");
    match parse_yaml(text) {
        Ok(node) => node.to_json(),
        Err(faults) => panic!("no YAML: {faults:?}\n{text}"),
    }
}

pub(super) fn duration(text: &str) -> Duration {
    crate::dsl::duration::from_value(&Value::from(text)).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Does one step.
pub(super) async fn perform(world: &mut World<'_>, step: &Step) {
    let (kind, pattern, found) = sentence(step).unwrap_or_else(|why| panic!("{why}"));
    let words: Vec<&str> = found.iter().map(String::as_str).collect();
    match kind {
        Kind::Arrange => arrange(world, (pattern, &words), step.doc.as_deref()),
        Kind::Act => act(world, (pattern, &words), step.doc.as_deref()).await,
        Kind::Assert => {
            let expected = step.doc.as_deref().map(|doc| data(Some(doc)));
            asserts::check(world, (pattern, &words), expected).await;
        }
    }
}

fn arrange(world: &mut World<'_>, (pattern, words): (&str, &[&str]), doc: Option<&str>) {
    let outside = &world.hub.outside;
    match (pattern, words) {
        ("a workflow with definition:", []) => world.definition = doc.map(str::to_owned),
        ("the tasks are:", []) => world.definition = doc.map(with_head),
        ("the workflow input is:", []) => world.input = data(doc),
        ("another workflow with definition:", []) => world.others.extend(doc.map(str::to_owned)),
        ("the official example {}", [name]) => world.definition = Some(super::official(name)),
        ("{} {} answers {}", [method, url, status]) => {
            outside.script(method, url, says(status, None));
        }
        ("{} {} answers {} with:", [method, url, status]) => {
            outside.script(method, url, says(status, Some(data(doc))));
        }
        ("{} {} answers with:", [method, url]) => {
            let given = data(doc);
            let headers = given["headers"].as_object().cloned().unwrap_or_default();
            let status = given["status"].as_u64().unwrap_or(200) as u16;
            outside.script(method, url, Answer::Says { status, headers, body: given.get("body").cloned() });
        }
        ("{} {} never answers", [method, url]) => outside.script(method, url, Answer::Never),
        ("{} {} breaks off", [method, url]) => outside.script(method, url, Answer::BreaksOff),
        ("the hub crashes before commit {}", [n]) => {
            world.cut = Some((CommitPoint::Before, n.parse().unwrap()));
        }
        ("the hub crashes after commit {}", [n]) => {
            world.cut = Some((CommitPoint::After, n.parse().unwrap()));
        }
        ("the secret {} is:", [name]) => {
            let value = match data(doc) {
                Value::String(text) => text,
                other => other.to_string(),
            };
            world.hub.vault.put(&world.tenant, name, value);
        }
        ("the start of time is {}", [at]) => {
            let at = trunkline_model::Timestamp::parse_rfc3339(at).unwrap();
            world.hub.rig.clock.advance(at.since(world.now()));
            assert!(world.now() == at, "time does not go backwards: it is {}", world.now().to_rfc3339());
        }
        _ => unreachable!("invariant: every pattern of the table is here: {pattern}"),
    }
}

fn says(status: &str, body: Option<Value>) -> Answer {
    let status = status.parse().unwrap_or_else(|_| panic!("no status: {status}"));
    Answer::Says { status, headers: serde_json::Map::new(), body }
}

/// A definition of some tasks and whatever else stands at the top level.
fn with_head(rest: &str) -> String {
    let document = "document:\n  dsl: '1.0.3'\n  namespace: suite\n  name: it\n  version: '1.0.0'\n";
    if rest.trim_start().starts_with("- ") {
        let tasks: String = rest.lines().flat_map(|line| ["  ", line, "\n"]).collect();
        return format!("{document}do:\n{tasks}");
    }
    format!("{document}{rest}")
}

async fn act(world: &mut World<'_>, (pattern, words): (&str, &[&str]), doc: Option<&str>) {
    match (pattern, words) {
        ("the workflow is executed", []) => return world.execute().await,
        ("the workflow is published", []) => return world.publish().await,
        ("the workflow is started", []) => return world.begin().await,
        ("the workflow is started with:", []) => {
            world.input = data(doc);
            return world.begin().await;
        }
        ("the workflow runs on", []) => return world.run_on().await,
        ("{} passes", [time]) => return world.pass(duration(time)).await,
        ("an event arrives:", []) => world.emit(&data(doc)).await,
        ("events arrive:", []) => {
            for event in data(doc).as_array().expect("a list of events") {
                world.emit(event).await;
                world.settle().await;
            }
        }
        ("the hub crashes", []) => world.crash().await,
        ("the hub restarts", []) => world.restart().await,
        _ => reach(world, (pattern, words), doc).await,
    }
    world.settle().await;
}

/// What people do to an instance. A refusal is kept for a check.
async fn reach(world: &mut World<'_>, (pattern, words): (&str, &[&str]), doc: Option<&str>) {
    let id = world.row().await.id;
    let (engine, tenant, id) = (world.hub.engine(), &world.tenant, id.as_str());
    let done = match (pattern, words) {
        ("the workflow is cancelled", []) => engine.cancel(tenant, id, None).await,
        ("the workflow is cancelled because {}", [why]) => {
            engine.cancel(tenant, id, Some((*why).to_owned())).await
        }
        ("the workflow is suspended", []) => engine.suspend(tenant, id, None).await,
        ("the workflow is suspended because {}", [why]) => {
            engine.suspend(tenant, id, Some((*why).to_owned())).await
        }
        ("the workflow is resumed", []) => engine.resume(tenant, id).await,
        ("{} of {} approves {}" | "{} of {} rejects {}", [by, group, step]) => {
            let groups = vec![(*group).to_owned()];
            let actor = Actor { user: (*by).to_owned(), groups, on_behalf_of: None, is_operator: false };
            let decided = if pattern.contains("approves") { Decided::Approved } else { Decided::Rejected };
            let step = Some((*step).to_owned());
            engine
                .decide(tenant, id, Decision { step, actor, decision: Some(decided), data: Value::Null })
                .await
        }
        ("{} completes {} with:", [by, step]) => {
            let actor =
                Actor { user: (*by).to_owned(), groups: Vec::new(), on_behalf_of: None, is_operator: true };
            let decision =
                Decision { step: Some((*step).to_owned()), actor, decision: None, data: data(doc) };
            engine.decide(tenant, id, decision).await
        }
        _ => unreachable!("invariant: every pattern of the table is here: {pattern}"),
    };
    world.answer = done.err().map(|error| format!("{error}"));
}

#[test]
fn sentences_are_told_apart() {
    assert_eq!(words("the 'a b' and 'c', 'd' end"), ["the", "a b", "and", "c", "d", "end"]);
    assert_eq!(fits("have {*}", "have 'a', 'b'"), Some(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(fits("have {*}", "have"), None);
    assert_eq!(fits("{} ends", "it ends"), Some(vec!["it".to_owned()]));
    assert_eq!(fits("{} ends", "it ends now"), None);
    let step =
        |text: &str, doc: Option<&str>| Step { line: 1, text: text.to_owned(), doc: doc.map(str::to_owned) };
    assert!(sentence(&step("the workflow is painted", None)).is_err());
    assert!(sentence(&step("the workflow is executed", Some("x"))).is_err());
    assert!(sentence(&step("the workflow input is:", None)).is_err());
}
