//! Plays a test of a workflow and tells what did not come as expected.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::scenario::{ExpectedCall, Scenario, Start, Step, Stub, StubAnswer, Target};
use super::{Answer, Called, Happening, World, WorldError};
use crate::dsl::error::StandardError;
use crate::engine::input::{Failure, Input, Outcome};
use crate::engine::people::Act;
use crate::engine::state::{Action, HttpCall};
use crate::program::Program;

/// Something that did not come as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The line of the expectation, or of the step.
    pub line: u32,
    /// What was expected, in words.
    pub expected: String,
    /// What came instead.
    pub found: String,
}

/// What the answering side of a test knows.
#[derive(Default)]
struct Outside {
    /// How many calls each stub has answered.
    used: Vec<u64>,
    /// Calls that nothing answers.
    unanswered: Vec<String>,
    /// Records of collections, with their versions.
    records: BTreeMap<(String, String), (i64, Value)>,
    n_messages: u32,
}

impl Scenario {
    /// Plays the test with these workflows at hand.
    pub fn run(&self, programs: &[Arc<Program>]) -> Vec<Difference> {
        let outside = Arc::new(Mutex::new(Outside { used: vec![0; self.stubs.len()], ..Outside::default() }));
        let answering = Arc::clone(&outside);
        let mut world = World::new(self.at, |action, _| answer(&self.stubs, &mut answering.lock(), action));
        for program in programs {
            world.add(Arc::clone(program));
        }
        let mut found = Vec::new();
        if let Err((line, error)) = self.play(&mut world) {
            found.push(Difference { line, expected: "a test that can be played".to_owned(), found: error });
        }
        for call in &outside.lock().unanswered {
            let line = self.stubs.first().map_or(1, |stub| stub.line);
            found.push(Difference { line, expected: format!("a stub for {call}"), found: "none".to_owned() });
        }
        self.compare(&world, &mut found);
        found
    }

    fn play(&self, world: &mut World<'_>) -> Result<(), (u32, String)> {
        let fault = |line: u32| move |error: WorldError| (line, error.to_string());
        match &self.start {
            Start::Input(input) => drop(world.start(&self.workflow, input.clone()).map_err(fault(1))?),
            Start::Event(event) => world.emit(event.clone()).map_err(fault(1))?,
            Start::Nothing if world.find(&self.workflow).is_some_and(|it| World::is_timed(&it)) => {
                world.keep_time(&self.workflow).map_err(fault(1))?;
            }
            Start::Nothing => drop(world.start(&self.workflow, json!({})).map_err(fault(1))?),
        }
        for (line, step) in &self.steps {
            let done = match step {
                Step::Wait(time) => world.advance(*time),
                Step::Event(event) => world.emit(event.clone()),
                Step::Act { step, by, act } => decide(world, step, by, act),
                Step::Cancel(reason) => {
                    let first = world.instances().next().map(|(id, ..)| id.clone());
                    let input = Input::Cancel { reason: reason.clone() };
                    first.map_or(Ok(()), |id| world.give(&id, input))
                }
            };
            done.map_err(fault(*line))?;
        }
        let goes_on = self.expect.status.as_ref().is_none_or(|(_, status)| status != "in_progress");
        if goes_on { world.run().map_err(fault(1)) } else { Ok(()) }
    }

    fn compare(&self, world: &World<'_>, found: &mut Vec<Difference>) {
        let expect = &self.expect;
        let instance = world.instances().next();
        let outcome = instance.and_then(|(.., state)| state.outcome.as_ref());
        let (status, output, error) = match outcome {
            None if instance.is_none() => ("not started", Value::Null, Value::Null),
            None => ("in_progress", Value::Null, Value::Null),
            Some(Outcome::Completed(output)) => ("completed", output.clone(), Value::Null),
            Some(Outcome::Failed(failure)) => ("failed", Value::Null, failure.to_value()),
            Some(Outcome::Cancelled(_)) => ("cancelled", Value::Null, Value::Null),
        };
        if let Some((line, wanted)) = &expect.status
            && wanted != status
        {
            let because = if error.is_null() { String::new() } else { format!(" with {error}") };
            let found_words = format!("{status}{because}");
            found.push(Difference { line: *line, expected: format!("status {wanted}"), found: found_words });
        }
        if let Some((line, wanted)) = &expect.output {
            differences("output", wanted, &output, *line, found);
        }
        if let Some((line, wanted)) = &expect.error {
            differences("error", &with_whole_type(wanted), &error, *line, found);
        }
        if let (Some((line, wanted)), Some((.., state))) = (&expect.took, instance) {
            let took = world.now().since(state.started_at);
            if took != *wanted {
                let (expected, found_words) = (format!("{wanted:?} to pass"), format!("{took:?}"));
                found.push(Difference { line: *line, expected, found: found_words });
            }
        }
        self.compare_calls(world, found);
        self.compare_events(world, found);
    }

    fn compare_calls(&self, world: &World<'_>, found: &mut Vec<Difference>) {
        let Some((line, wanted)) = &self.expect.calls else { return };
        let made: Vec<&Called> = world.calls().collect();
        if made.len() != wanted.len() {
            let names: Vec<String> = made.iter().map(|call| name_of(&call.action)).collect();
            let found_words = format!("{}: {}", made.len(), names.join(", "));
            found.push(Difference {
                line: *line,
                expected: format!("{} calls", wanted.len()),
                found: found_words,
            });
        }
        for ((line, wanted), call) in wanted.iter().zip(made) {
            compare_call(*line, wanted, &call.action, found);
        }
    }

    fn compare_events(&self, world: &World<'_>, found: &mut Vec<Difference>) {
        if let Some((line, wanted)) = &self.expect.events {
            let emitted: Vec<&Value> = world.emitted().filter(|event| !is_of_engine(event)).collect();
            if emitted.len() != wanted.len() {
                let types: Vec<&str> = emitted.iter().map(|event| type_of(event)).collect();
                let found_words = format!("{}: {}", emitted.len(), types.join(", "));
                let expected = format!("{} events", wanted.len());
                found.push(Difference { line: *line, expected, found: found_words });
            }
            for ((line, wanted), event) in wanted.iter().zip(emitted) {
                differences("event", wanted, event, *line, found);
            }
        }
        if let Some((line, wanted)) = &self.expect.order {
            let counts = |it: &&Happening| match it {
                Happening::Emitted { event, .. } => !is_of_engine(event),
                Happening::Called(_) => true,
            };
            let order: Vec<String> = world.happened().iter().filter(counts).map(word_of).collect();
            let wanted: Vec<&str> = wanted.iter().map(|(_, word)| word.as_str()).collect();
            if order != wanted {
                let (expected, found_words) = (wanted.join(", then "), order.join(", then "));
                found.push(Difference { line: *line, expected, found: found_words });
            }
        }
    }
}

fn decide(world: &mut World<'_>, step: &str, by: &str, act: &Act) -> Result<(), WorldError> {
    let ids: Vec<_> = world.instances().map(|(id, ..)| id.clone()).collect();
    for id in ids {
        match world.act(&id, step, by, act.clone()) {
            Err(WorldError::NotAsked(_)) => {}
            done => return done,
        }
    }
    Err(WorldError::NotAsked(step.to_owned()))
}

fn compare_call(line: u32, wanted: &ExpectedCall, action: &Action, found: &mut Vec<Difference>) {
    if !is_for(&wanted.target, action) {
        let expected = match &wanted.target {
            Target::Http(method, url) => format!("{method} {url}"),
            Target::Function(name) => name.clone(),
        };
        found.push(Difference { line, expected, found: name_of(action) });
        return;
    }
    let given = match action {
        Action::Http(HttpCall { body, .. }) => body.clone().unwrap_or_default(),
        Action::Function(call) => Value::Object(call.arguments.clone()),
        Action::Elsewhere { input } => input.clone(),
        Action::Start(_) | Action::LookBack(_) | Action::Fetch { .. } | Action::Late { .. } => Value::Null,
    };
    if let Some(wanted) = &wanted.given {
        differences("what is sent", wanted, &given, line, found);
    }
    if let Action::Http(HttpCall { headers, query, .. }) = action {
        for (what, wanted, sent) in [("headers", &wanted.headers, headers), ("query", &wanted.query, query)] {
            if let Some(wanted) = wanted {
                differences(what, wanted, &Value::Object(sent.clone()), line, found);
            }
        }
    }
}

/// Tells how a value differs from the expected one: objects by the keys that are expected, everything else whole.
fn differences(what: &str, wanted: &Value, got: &Value, line: u32, found: &mut Vec<Difference>) {
    fn walk(at: &str, wanted: &Value, got: &Value, tell: &mut impl FnMut(&str, &Value, &Value)) {
        match (wanted, got) {
            (Value::Object(wanted), Value::Object(got)) => {
                for (key, value) in wanted {
                    walk(&format!("{at}/{key}"), value, got.get(key).unwrap_or(&Value::Null), tell);
                }
            }
            (Value::Array(wanted), Value::Array(got)) if wanted.len() == got.len() => {
                for (index, (wanted, got)) in wanted.iter().zip(got).enumerate() {
                    walk(&format!("{at}/{index}"), wanted, got, tell);
                }
            }
            (Value::Number(one), Value::Number(other)) if one.as_f64() == other.as_f64() => {}
            _ if wanted == got => {}
            _ => tell(at, wanted, got),
        }
    }
    walk("", wanted, got, &mut |at, wanted, got| {
        let place = if at.is_empty() { what.to_owned() } else { format!("{what} {at}") };
        found.push(Difference { line, expected: format!("{place} = {wanted}"), found: got.to_string() });
    });
}

/// Writes a standard error's short name out.
fn with_whole_type(error: &Value) -> Value {
    let mut error = error.clone();
    if let Some(kind) = error.get("type").and_then(Value::as_str)
        && let Some(standard) = StandardError::of_word(kind)
    {
        error["type"] = standard.uri().into();
    }
    error
}

fn type_of(event: &Value) -> &str {
    event.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// Tells events by which the engine speaks of its work from those that the workflow emits.
fn is_of_engine(event: &Value) -> bool {
    let event_type = type_of(event);
    let of_task = event_type.starts_with("task.")
        && event.get("subject").and_then(Value::as_str).is_some_and(|subject| subject.starts_with("tsk_"));
    let of_promise = event_type.starts_with("workflow.sla.")
        && event.get("subject").and_then(Value::as_str).is_some_and(|subject| subject.starts_with("wf_"));
    of_task || of_promise || event_type.starts_with("io.serverlessworkflow.")
}

fn name_of(action: &Action) -> String {
    match action {
        Action::Http(call) => format!("{} {}", call.method, call.url),
        Action::Function(call) => call.function.clone(),
        Action::Start(start) => format!("{}/{}", start.namespace, start.name),
        Action::LookBack(_) => "a look back".to_owned(),
        Action::Fetch { url } => format!("fetch {url}"),
        Action::Elsewhere { .. } => "a function that lies elsewhere".to_owned(),
        Action::Late { .. } => "a call with secrets".to_owned(),
    }
}

fn word_of(happening: &Happening) -> String {
    match happening {
        Happening::Called(call) => name_of(&call.action),
        Happening::Emitted { event, .. } => format!("event {}", type_of(event)),
    }
}

fn is_for(target: &Target, action: &Action) -> bool {
    match (target, action) {
        (Target::Http(method, pattern), Action::Http(call)) => {
            (method == "*" || *method == call.method) && fits(pattern, &call.url)
        }
        (Target::Function(name), Action::Function(call)) => *name == call.function,
        _ => false,
    }
}

/// Tells whether a text fits a pattern in which `*` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(head) else { return false };
    (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| fits(rest, &text[at..]))
}

fn answer(stubs: &[Stub], outside: &mut Outside, action: &Action) -> Answer {
    let fitting = stubs.iter().enumerate().filter(|(_, stub)| is_for(&stub.target, action));
    let mut open =
        fitting.filter(|(index, stub)| stub.times.is_none_or(|times| outside.used[*index] < times));
    if let Some((index, stub)) = open.next() {
        outside.used[index] += 1;
        return match &stub.answer {
            StubAnswer::Value(value) => Answer::Value(value.clone()),
            StubAnswer::Error(error) => Answer::Failure(failure(error)),
            StubAnswer::Never => Answer::Never,
        };
    }
    if let Action::Function(call) = action
        && let Some(answer) = own_answer(outside, &call.function, &call.arguments)
    {
        return answer;
    }
    outside.unanswered.push(name_of(action));
    let detail = format!("no stub answers {}", name_of(action));
    Answer::Failure(Failure::standard(StandardError::Configuration, detail))
}

/// The failure that a stub asks for.
fn failure(error: &Value) -> Failure {
    let kind = error.get("type").and_then(Value::as_str).unwrap_or("communication");
    let detail = error.get("detail").and_then(Value::as_str).unwrap_or("the stub says so");
    let mut failure = match StandardError::of_word(kind) {
        Some(standard) => Failure::standard(standard, detail),
        None => Failure { kind: kind.to_owned(), ..Failure::standard(StandardError::Runtime, detail) },
    };
    if let Some(status) = error.get("status").and_then(Value::as_u64).and_then(|it| u16::try_from(it).ok()) {
        failure.status = status;
    }
    failure
}

/// What functions of the catalogue answer where no stub does: records live in memory, messages are sent.
fn own_answer(outside: &mut Outside, function: &str, arguments: &Map<String, Value>) -> Option<Answer> {
    let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(match function {
        "email" | "sms" => {
            outside.n_messages += 1;
            Answer::Value(json!({"id": format!("message-{}", outside.n_messages)}))
        }
        "noop" => Answer::Value(Value::Object(arguments.clone())),
        "webhook" => Answer::Value(json!({"delivery_id": "dlv_test", "event_id": "evt_test"})),
        "document.route" => Answer::Value(json!({
            "document": arguments.get("document"), "to": arguments.get("to"), "status": arguments.get("status"),
        })),
        "record-update" => {
            let place = (text("collection"), text("id"));
            let before = outside.records.get(&place).cloned();
            let version = before.as_ref().map_or(0, |(version, _)| *version);
            if arguments.get("version").and_then(Value::as_i64).is_some_and(|wanted| wanted != version) {
                let failure = Failure::standard(StandardError::Runtime, "the record has another version");
                return Some(Answer::Failure(failure.with_status(409)));
            }
            let given = arguments.get("data").cloned().unwrap_or_default();
            let (collection, id) = place.clone();
            let data = match (text("operation").as_str(), before) {
                ("delete", before) => {
                    outside.records.remove(&place);
                    let deleted = before.is_some();
                    return Some(Answer::Value(
                        json!({"collection": collection, "id": id, "version": version, "deleted": deleted}),
                    ));
                }
                ("patch", Some((_, mut data))) => {
                    crate::catalog::merge_patch(&mut data, given);
                    data
                }
                ("patch", None) => {
                    let failure = Failure::standard(StandardError::Runtime, "there is no record to patch");
                    return Some(Answer::Failure(failure.with_status(404)));
                }
                _ => given,
            };
            outside.records.insert(place, (version + 1, data.clone()));
            Answer::Value(json!({"collection": collection, "id": id, "version": version + 1, "data": data}))
        }
        _ => return None,
    })
}
