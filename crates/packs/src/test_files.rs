//! Tests of a pack: `tests/*.yaml`. Each starts from an event and says what must come of it.
//!
//! `expect` is a mapping with one key for each thing the hub does with an event. This version knows `schema`; keys it
//! does not know are refused, so that no test passes because nobody looked.

use std::collections::BTreeSet;
use std::path::PathBuf;

use trunkline_model::EventType;

use crate::document::{Content, FaultSink, Fields, Node, parse_yaml, text};
use crate::fault::PackFault;
use crate::folder::PackFile;
use crate::pointer;
use crate::samples::{self, Sample, SampleEvent};
use crate::suggest::{instead, quoted};
use crate::workflows::{Judges, WorkflowTest, is_workflow_test};

/// A test.
#[derive(Debug, Clone, PartialEq)]
pub struct PackTest {
    /// What holds, in words; unique in its file.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// The line where the test begins.
    pub line: u32,
    /// The sample it starts from; absent for an event written in the test.
    pub sample: Option<String>,
    /// The event, with the test's changes made.
    pub given: SampleEvent,
    /// What must come of it.
    pub expect: Expectations,
}

/// What a test expects. At least one is set.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Expectations {
    /// What validation must say, and the line that says so.
    pub schema: Option<(u32, ExpectedSchema)>,
}

/// What validation must say.
#[derive(Debug, Clone, PartialEq)]
pub enum ExpectedSchema {
    /// The data fits.
    Valid,
    /// The data does not fit.
    Invalid {
        /// Exactly these faults, in any order; absent when any will do.
        faults: Option<Vec<ExpectedFault>>,
    },
}

/// A fault that validation must find.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExpectedFault {
    /// Where in the data.
    pub at: String,
    /// By which keyword; absent when any will do.
    pub keyword: Option<String>,
}

/// What a test may refer to.
pub(crate) struct Surroundings<'a> {
    pub(crate) samples: &'a [Sample],
    /// Names of samples with faults of their own.
    pub(crate) broken: &'a BTreeSet<String>,
    pub(crate) types: &'a BTreeSet<EventType>,
    pub(crate) judges: &'a Judges,
    /// Names of the pack's workflows.
    pub(crate) workflows: &'a [String],
}

/// Reads one file of tests.
pub(crate) fn read(
    file: &PackFile,
    around: &Surroundings<'_>,
) -> ((Vec<PackTest>, Vec<WorkflowTest>), Vec<PackFault>) {
    let mut sink = FaultSink::new(&file.path);
    let (mut tests, mut of_workflows) = (Vec::new(), Vec::new());
    match parse_yaml(&file.text) {
        Err(faults) => sink.syntax(faults),
        Ok(node) => {
            if let Some(mut fields) = Fields::open(&node, "a file of tests", &mut sink) {
                let listed = fields.required("tests", &mut sink);
                fields.close(&mut sink);
                for node in listed.map(|node| list(node, "tests", &mut sink)).unwrap_or_default() {
                    if is_workflow_test(node) {
                        of_workflows.extend(workflow_test(node, file, around, &mut sink));
                    } else {
                        tests.extend(test(node, file, around, &mut sink));
                    }
                }
            }
        }
    }
    let names = tests.iter().map(|test| (test.name.as_str(), test.line));
    let of_workflows_names = of_workflows.iter().map(|test| (test.name.as_str(), test.line));
    check_names(names.chain(of_workflows_names), &mut sink);
    ((tests, of_workflows), sink.into_faults())
}

fn check_names<'a>(tests: impl Iterator<Item = (&'a str, u32)>, sink: &mut FaultSink) {
    let mut names = BTreeSet::new();
    for (name, line) in tests {
        if !names.insert(name) {
            let position = crate::fault::Position { line, column: 1 };
            sink.at(position, format!("a second test named {}", quoted(name)), "name it after what it adds");
        }
    }
}

fn list<'a>(node: &'a Node, key: &str, sink: &mut FaultSink) -> &'a [Node] {
    match &node.content {
        Content::List(items) if !items.is_empty() => items,
        Content::List(_) => {
            sink.at(node.position, format!("`{key}` is empty"), "write at least one, or remove it");
            &[]
        }
        _ => {
            sink.at(
                node.position,
                format!("`{key}` must be a list, found {}", node.kind()),
                "begin each line with -",
            );
            &[]
        }
    }
}

/// Reads a test of a workflow: its name here, the rest by whoever judges workflows.
fn workflow_test(
    node: &Node,
    file: &PackFile,
    around: &Surroundings<'_>,
    sink: &mut FaultSink,
) -> Option<WorkflowTest> {
    let name = Fields::open(node, "a test", sink)?.text("name", 200, sink).map(str::to_owned);
    if let Some(judge) = &around.judges.0 {
        judge.workflow_test(node, around.workflows, sink);
    }
    Some(WorkflowTest { name: name?, file: file.path.clone(), line: node.position.line, node: node.clone() })
}

fn test(node: &Node, file: &PackFile, around: &Surroundings<'_>, sink: &mut FaultSink) -> Option<PackTest> {
    let mut fields = Fields::open(node, "a test", sink)?;
    let name = fields.text("name", 200, sink).map(str::to_owned);
    let given = fields.required("given", sink).and_then(|node| given(node, around, sink));
    let expect = fields.required("expect", sink).and_then(|node| expectations(node, sink));
    fields.close(sink);
    let (sample, given) = given?;
    Some(PackTest {
        name: name?,
        file: file.path.clone(),
        line: node.position.line,
        sample,
        given,
        expect: expect?,
    })
}

/// Reads where a test starts: a sample or an event, with changes to its data.
fn given(
    node: &Node,
    around: &Surroundings<'_>,
    sink: &mut FaultSink,
) -> Option<(Option<String>, SampleEvent)> {
    let mut fields = Fields::open(node, "`given`", sink)?;
    let sample = fields.optional("sample");
    let event = fields.optional("event");
    let set = fields.optional("set");
    let removed = fields.optional("remove");
    fields.close(sink);
    let (name, mut event) = match (sample, event) {
        (Some(node), None) => {
            let name = text(node, "sample", 255, sink)?;
            let Some(sample) = around.samples.iter().find(|sample| sample.name == name) else {
                if around.broken.contains(name) {
                    return None;
                }
                let names = around.samples.iter().map(|sample| sample.name.as_str());
                let fix = match crate::suggest::nearest(name, names) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("add samples/{name}.json"),
                };
                sink.at(node.position, format!("the pack has no sample {}", quoted(name)), fix);
                return None;
            };
            (Some(name.to_owned()), sample.event.clone())
        }
        (None, Some(node)) => {
            let event = samples::read_event(node, sink)?;
            check_type(&event, node, around.types, sink);
            (None, event)
        }
        _ => {
            sink.at(node.position, "`given` names either a `sample` or an `event`", "keep one of them");
            return None;
        }
    };
    if let Some(node) = set {
        set_values(node, &mut event, sink);
    }
    if let Some(node) = removed {
        remove_values(node, &mut event, sink);
    }
    Some((name, event))
}

/// Refuses an event whose type the pack does not declare.
pub(crate) fn check_type(
    event: &SampleEvent,
    node: &Node,
    types: &BTreeSet<EventType>,
    sink: &mut FaultSink,
) {
    if !types.contains(&event.event_type) {
        sink.at(
            node.position_of("/type"),
            format!("the pack declares no event type {}", event.event_type),
            instead(event.event_type.as_str(), types.iter().map(EventType::as_str)),
        );
    }
}

fn set_values(node: &Node, event: &mut SampleEvent, sink: &mut FaultSink) {
    let Content::Map(entries) = &node.content else {
        sink.at(
            node.position,
            format!("`set` is a mapping, found {}", node.kind()),
            "write `/path: value` pairs",
        );
        return;
    };
    for entry in entries {
        if pointer::set(&mut event.data, &entry.key, entry.value.to_json()).is_err() {
            sink.at(
                entry.key_position,
                format!("{} leads to no place in the data", quoted(&entry.key)),
                "write a JSON pointer to a value that exists, or to a new key of an object",
            );
        }
    }
}

fn remove_values(node: &Node, event: &mut SampleEvent, sink: &mut FaultSink) {
    for item in list(node, "remove", sink) {
        if let Some(at) = text(item, "remove", 1000, sink)
            && pointer::remove(&mut event.data, at).is_err()
        {
            sink.at(
                item.position,
                format!("{} leads to nothing in the data", quoted(at)),
                "write a JSON pointer to a value that exists",
            );
        }
    }
}

fn expectations(node: &Node, sink: &mut FaultSink) -> Option<Expectations> {
    let mut fields = Fields::open(node, "`expect`", sink)?;
    let schema = fields.optional("schema");
    let nothing = schema.is_none();
    let position = fields.position();
    fields.close(sink);
    if nothing {
        sink.at(position, "`expect` says nothing this version knows", "write for example `schema: valid`");
        return None;
    }
    let schema = schema.and_then(|node| Some((node.position.line, expected_schema(node, sink)?)));
    schema.map(|schema| Expectations { schema: Some(schema) })
}

/// `valid`, `invalid`, or `invalid:` with the faults.
fn expected_schema(node: &Node, sink: &mut FaultSink) -> Option<ExpectedSchema> {
    match &node.content {
        Content::Text(word) if word == "valid" => return Some(ExpectedSchema::Valid),
        Content::Text(word) if word == "invalid" => return Some(ExpectedSchema::Invalid { faults: None }),
        Content::Map(_) => {}
        _ => {
            sink.at(
                node.position,
                "`schema` must be valid, invalid, or a mapping with `invalid`",
                "write `schema: valid`, or `schema: {invalid: [{at: /path}]}`",
            );
            return None;
        }
    }
    let mut fields = Fields::open(node, "`schema`", sink)?;
    let invalid = fields.required("invalid", sink);
    fields.close(sink);
    let faults =
        list(invalid?, "invalid", sink).iter().filter_map(|node| expected_fault(node, sink)).collect();
    Some(ExpectedSchema::Invalid { faults: Some(faults) })
}

fn expected_fault(node: &Node, sink: &mut FaultSink) -> Option<ExpectedFault> {
    let mut fields = Fields::open(node, "a fault", sink)?;
    let at = fields.required("at", sink);
    let keyword = fields.optional("keyword").and_then(|node| text(node, "keyword", 64, sink));
    fields.close(sink);
    let at = at?;
    let pointer = match &at.content {
        Content::Text(pointer) if pointer::tokens(pointer).is_some() => pointer.clone(),
        _ => {
            sink.at(
                at.position,
                "`at` must be a JSON pointer",
                "write a path such as /status, or \"\" for all data",
            );
            return None;
        }
    };
    Some(ExpectedFault { at: pointer, keyword: keyword.map(str::to_owned) })
}
