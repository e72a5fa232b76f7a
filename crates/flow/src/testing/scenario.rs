//! Tests of workflows as packs write them (`tests/*.yaml`): what is given, what happens, what is expected.
//!
//! Reading gathers every fault with its place; [`Scenario::run`] plays the test in a [`World`](super::World) and
//! tells each difference with the line of the expectation. Objects are compared by the keys that the test writes.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use trunkline_model::Timestamp;
use trunkline_packs::document::{Content, FaultSink, Fields, Node, text};
use trunkline_packs::suggest::{instead, quoted};

use crate::dsl::duration::parse_iso;
use crate::engine::people::{Act, Decided};

/// When tests begin that do not say: a Monday morning.
const BEGIN: &str = "2026-01-05T09:00:00Z";

/// A test of a workflow.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The workflow, as `namespace/name` or with `:version`.
    pub workflow: String,
    pub(super) at: Timestamp,
    pub(super) start: Start,
    pub(super) stubs: Vec<Stub>,
    pub(super) steps: Vec<(u32, Step)>,
    pub(super) expect: Expected,
}

/// What starts the workflow.
#[derive(Debug, Clone)]
pub(super) enum Start {
    Input(Value),
    Event(Value),
    /// Nothing is given: time does, where the workflow has a schedule by time.
    Nothing,
}

/// What a call is answered with.
#[derive(Debug, Clone)]
pub(super) struct Stub {
    pub(super) line: u32,
    pub(super) target: Target,
    pub(super) answer: StubAnswer,
    /// How many calls it answers; all where absent.
    pub(super) times: Option<u64>,
}

/// Which calls are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// Method and URL, in which `*` stands for anything.
    Http(String, String),
    /// A function of the default catalogue.
    Function(String),
}

#[derive(Debug, Clone)]
pub(super) enum StubAnswer {
    Value(Value),
    Error(Value),
    Never,
}

/// What happens after the start.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Wait(Duration),
    Event(Value),
    Act { step: String, by: String, act: Act },
    Cancel(Option<String>),
}

/// What is expected; each with its line.
#[derive(Debug, Clone, Default)]
pub(super) struct Expected {
    pub(super) status: Option<(u32, String)>,
    pub(super) output: Option<(u32, Value)>,
    pub(super) error: Option<(u32, Value)>,
    pub(super) calls: Option<(u32, Vec<(u32, ExpectedCall)>)>,
    pub(super) events: Option<(u32, Vec<(u32, Value)>)>,
    pub(super) order: Option<(u32, Vec<(u32, String)>)>,
    pub(super) took: Option<(u32, Duration)>,
}

/// A call that must have been made.
#[derive(Debug, Clone)]
pub(super) struct ExpectedCall {
    pub(super) target: Target,
    /// The body of a request, or the arguments of a function.
    pub(super) given: Option<Value>,
    pub(super) headers: Option<Value>,
    pub(super) query: Option<Value>,
}

/// How people decide.
const DECISIONS: [(&str, Decided); 3] =
    [("approved", Decided::Approved), ("rejected", Decided::Rejected), ("done", Decided::Done)];

/// The statuses that a test can expect.
const STATUSES: [&str; 4] = ["in_progress", "completed", "cancelled", "failed"];

impl Scenario {
    /// Reads a test; `workflows` are the names that it may give.
    pub fn read(test: &Node, workflows: &[String], sink: &mut FaultSink) -> Option<Self> {
        let mut fields = Fields::open(test, "a test of a workflow", sink)?;
        fields.optional("name");
        let given = fields.required("given", sink);
        let steps = fields.optional("steps").map(|node| items(node, "steps", sink)).unwrap_or_default();
        let expect = fields.required("expect", sink);
        fields.close(sink);
        let steps: Vec<_> =
            steps.iter().map(|node| step(node, sink).map(|it| (node.position.line, it))).collect();
        let expect = expect.and_then(|node| expected(node, sink));
        let given = given?;
        let mut fields = Fields::open(given, "`given`", sink)?;
        let workflow = fields.text("workflow", 200, sink).map(str::to_owned);
        let input = fields.optional("input").map(Node::to_json);
        let event = fields.optional("event").map(|node| event_of(node, sink));
        let at = fields.optional("at").map_or_else(|| moment(BEGIN), |node| at_of(node, sink));
        let stubs = fields.optional("stubs").map(|node| items(node, "stubs", sink)).unwrap_or_default();
        fields.close(sink);
        let stubs: Vec<_> = stubs.iter().map(|node| stub(node, sink)).collect();
        let workflow = workflow?;
        let base = workflow.split(':').next().unwrap_or_default();
        if !workflows.iter().any(|known| known == base) {
            let fix = instead(base, workflows.iter().map(String::as_str));
            let place = given.position_of("/workflow");
            sink.at(place, format!("the pack has no workflow {}", quoted(base)), fix);
        }
        let start = match (input, event) {
            (Some(_), Some(_)) => {
                sink.at(given.position, "`given` has an `input` and an `event`", "keep one of them");
                return None;
            }
            (Some(input), None) => Start::Input(input),
            (None, None) => Start::Nothing,
            (None, Some(event)) => Start::Event(event?),
        };
        Some(Self {
            workflow,
            at: at?,
            start,
            stubs: stubs.into_iter().collect::<Option<_>>()?,
            steps: steps.into_iter().collect::<Option<_>>()?,
            expect: expect?,
        })
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(text).ok()
}

fn at_of(node: &Node, sink: &mut FaultSink) -> Option<Timestamp> {
    let found = text(node, "at", 64, sink)?;
    let at = moment(found);
    if at.is_none() {
        sink.at(node.position, format!("{} is no time", quoted(found)), "write it like 2026-01-05T09:00:00Z");
    }
    at
}

fn items<'a>(node: &'a Node, key: &str, sink: &mut FaultSink) -> &'a [Node] {
    if let Content::List(items) = &node.content {
        return items;
    }
    sink.at(
        node.position,
        format!("`{key}` must be a list, found {}", node.kind()),
        "begin each line with -",
    );
    &[]
}

fn event_of(node: &Node, sink: &mut FaultSink) -> Option<Value> {
    let mut fields = Fields::open(node, "an event", sink)?;
    fields.required("type", sink)?;
    Some(node.to_json())
}

fn duration(node: &Node, key: &str, sink: &mut FaultSink) -> Option<Duration> {
    let found = text(node, key, 64, sink)?;
    match parse_iso(found) {
        Ok(duration) => Some(duration),
        Err(error) => {
            sink.at(node.position, format!("{}: {error}", quoted(found)), "write it like P3D or PT30M");
            None
        }
    }
}

/// Reads which calls are meant: `call: POST https://…` or `function: email`.
fn target(fields: &mut Fields<'_>, node: &Node, sink: &mut FaultSink) -> Option<Target> {
    let call = fields.optional("call");
    let function = fields.optional("function");
    match (call, function) {
        (Some(node), None) => {
            let found = text(node, "call", 2_000, sink)?;
            let Some((method, url)) = found.split_once(' ') else {
                sink.at(
                    node.position,
                    "`call` is a method and a URL",
                    "write it like POST https://example.com/*",
                );
                return None;
            };
            Some(Target::Http(method.to_ascii_uppercase(), url.trim().to_owned()))
        }
        (None, Some(node)) => {
            let found = text(node, "function", 64, sink)?;
            let name = found.split([':', '@']).next().unwrap_or_default();
            if crate::catalog::find(name).is_none() {
                let (problem, fix) = crate::catalog::unknown(name, crate::catalog::VERSION);
                sink.at(node.position, problem, fix);
                return None;
            }
            Some(Target::Function(name.to_owned()))
        }
        _ => {
            sink.at(node.position, "neither `call` nor `function`, or both", "write `call: POST https://…`");
            None
        }
    }
}

fn stub(node: &Node, sink: &mut FaultSink) -> Option<Stub> {
    let mut fields = Fields::open(node, "a stub", sink)?;
    let target = target(&mut fields, node, sink);
    let answer = fields.optional("answer").map(Node::to_json);
    let error = fields.optional("error").map(Node::to_json);
    let never = fields.optional("never").is_some();
    let times = fields.optional("times").map(Node::to_json);
    fields.close(sink);
    let answer = match (answer, error, never) {
        (answer, None, false) => StubAnswer::Value(answer.unwrap_or_default()),
        (None, Some(error), false) => StubAnswer::Error(error),
        (None, None, true) => StubAnswer::Never,
        _ => {
            sink.at(node.position, "a stub has one of `answer`, `error` and `never`", "keep one of them");
            return None;
        }
    };
    let n_times = times.as_ref().and_then(Value::as_u64);
    if times.is_some() && n_times.is_none() {
        sink.at(
            node.position_of("/times"),
            "`times` must be a whole number",
            "write how many calls it answers",
        );
    }
    Some(Stub { line: node.position.line, target: target?, answer, times: n_times })
}

fn step(node: &Node, sink: &mut FaultSink) -> Option<Step> {
    let mut fields = Fields::open(node, "a step", sink)?;
    let wait = fields.optional("wait");
    let event = fields.optional("event");
    let decide = fields.optional("decide");
    let cancel = fields.optional("cancel");
    fields.close(sink);
    match (wait, event, decide, cancel) {
        (Some(node), None, None, None) => duration(node, "wait", sink).map(Step::Wait),
        (None, Some(node), None, None) => event_of(node, sink).map(Step::Event),
        (None, None, Some(node), None) => decision(node, sink),
        (None, None, None, Some(node)) => Some(Step::Cancel(node.to_json().as_str().map(str::to_owned))),
        _ => {
            sink.at(
                node.position,
                "a step has one of `wait`, `event`, `decide` and `cancel`",
                "make it several",
            );
            None
        }
    }
}

/// Reads what a person does: `decide: {step: review, by: ann, decision: rejected}`, or `delegate: bob` in place of a decision.
fn decision(node: &Node, sink: &mut FaultSink) -> Option<Step> {
    let mut fields = Fields::open(node, "a decision", sink)?;
    let step = fields.text("step", 256, sink).map(str::to_owned);
    let mut line = |key: &'static str, max_chars: usize, sink: &mut FaultSink| {
        fields.optional(key).and_then(|node| text(node, key, max_chars, sink)).map(str::to_owned)
    };
    let by = line("by", 256, sink).unwrap_or_else(|| "somebody".to_owned());
    let word = line("decision", 64, sink);
    let to = line("delegate", 256, sink);
    let comment = line("comment", 4_000, sink);
    let data = fields.optional("data").map(Node::to_json);
    fields.close(sink);
    let act = match (word, to, comment, data) {
        (None, Some(to), None, None) => Act::Delegate { to },
        (_, Some(_), ..) => {
            let problem = "whoever delegates decides nothing";
            sink.at(node.position_of("/delegate"), problem, "keep `step`, `by` and `delegate`");
            return None;
        }
        (word, None, comment, data) => {
            let decision = match &word {
                None => None,
                Some(word) => {
                    let Some((_, decided)) = DECISIONS.iter().find(|(known, _)| known == word) else {
                        let words = DECISIONS.iter().map(|(known, _)| *known);
                        let problem = format!("{} is no decision", quoted(word));
                        sink.at(node.position_of("/decision"), problem, instead(word, words));
                        return None;
                    };
                    Some(*decided)
                }
            };
            Act::Complete { decision, data: data.unwrap_or_default(), comment }
        }
    };
    Some(Step::Act { step: step?, by, act })
}

fn expected(node: &Node, sink: &mut FaultSink) -> Option<Expected> {
    let mut fields = Fields::open(node, "`expect`", sink)?;
    let mut lines = HashMap::new();
    let mut take = |key: &'static str| {
        let found = fields.optional(key);
        lines.insert(key, node.position_of(&format!("/{key}")).line);
        found
    };
    let status = take("status");
    let output = take("output").map(Node::to_json);
    let error = take("error").map(Node::to_json);
    let (calls, events, order, took) = (take("calls"), take("events"), take("order"), take("took"));
    fields.close(sink);
    let line = |key: &str| lines.get(key).copied().unwrap_or(node.position.line);
    let mut expect = Expected {
        output: output.map(|value| (line("output"), value)),
        error: error.map(|value| (line("error"), value)),
        ..Expected::default()
    };
    if let Some(node) = status {
        let word = text(node, "status", 64, sink)?;
        if !STATUSES.contains(&word) {
            let problem = format!("{} is no status", quoted(word));
            sink.at(node.position, problem, instead(word, STATUSES));
        }
        expect.status = Some((line("status"), word.to_owned()));
    }
    if let Some(node) = took {
        expect.took = Some((line("took"), duration(node, "took", sink)?));
    }
    if let Some(node) = calls {
        let calls =
            items(node, "calls", sink).iter().map(|node| expected_call(node, sink)).collect::<Option<_>>()?;
        expect.calls = Some((line("calls"), calls));
    }
    if let Some(node) = events {
        let events = items(node, "events", sink).iter();
        let events = events.map(|node| event_of(node, sink).map(|it| (node.position.line, it)));
        expect.events = Some((line("events"), events.collect::<Option<_>>()?));
    }
    if let Some(node) = order {
        let order = items(node, "order", sink).iter();
        let order =
            order.map(|node| text(node, "order", 2_000, sink).map(|it| (node.position.line, it.to_owned())));
        expect.order = Some((line("order"), order.collect::<Option<_>>()?));
    }
    Some(expect)
}

fn expected_call(node: &Node, sink: &mut FaultSink) -> Option<(u32, ExpectedCall)> {
    let mut fields = Fields::open(node, "a call", sink)?;
    let target = target(&mut fields, node, sink);
    let body = fields.optional("body").map(Node::to_json);
    let with = fields.optional("with").map(Node::to_json);
    let headers = fields.optional("headers").map(Node::to_json);
    let query = fields.optional("query").map(Node::to_json);
    fields.close(sink);
    let given = body.or(with);
    Some((node.position.line, ExpectedCall { target: target?, given, headers, query }))
}
