//! Workflows of a pack: `workflows/*.yaml`, and the tests that run them.
//!
//! This crate does not know the language. Who loads packs hands in a [`Judge`] that checks definitions and tests, so
//! that a pack with a broken workflow is refused whole like any other.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::document::{Content, FaultSink, Node, SyntaxFault};
use crate::fault::PackFault;
use crate::folder::{Contents, Part};
use crate::pack::Place;
use crate::suggest::quoted;

/// A workflow definition of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackWorkflow {
    /// The file.
    pub file: PathBuf,
    /// Its text.
    pub text: String,
    /// What the definition calls itself.
    pub name: WorkflowName,
}

/// What a definition calls itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowName {
    /// `namespace/name`.
    pub name: String,
    /// The version.
    pub version: String,
    /// A digest of the content: the same version with another one is refused.
    pub hash: String,
}

/// A test of a workflow; who judges workflows knows how to run it.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkflowTest {
    /// What holds, in words.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// The line where the test begins.
    pub line: u32,
    /// The test as written.
    pub node: Node,
}

/// Judges the parts of packs that this crate does not know.
pub trait Judge: Send + Sync + 'static {
    /// Checks a definition.
    ///
    /// # Errors
    /// Every fault, with its place in the text.
    fn workflow(&self, text: &str) -> Result<WorkflowName, Vec<SyntaxFault>>;

    /// Checks a test of a workflow; `workflows` are the names there are.
    fn workflow_test(&self, test: &Node, workflows: &[String], sink: &mut FaultSink);
}

/// Who judges workflows, if anybody does. Without a judge a pack with workflows is refused.
#[derive(Clone, Default)]
pub(crate) struct Judges(pub(crate) Option<Arc<dyn Judge>>);

impl fmt::Debug for Judges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Judges({})", self.0.is_some())
    }
}

/// Tells whether a test is one of a workflow.
pub(crate) fn is_workflow_test(test: &Node) -> bool {
    let has = |node: &Node, key: &str| match &node.content {
        Content::Map(entries) => entries.iter().find(|it| it.key == key).map(|it| it.value.clone()),
        _ => None,
    };
    has(test, "given").is_some_and(|given| has(&given, "workflow").is_some())
}

/// Reads the workflows of a pack.
pub(crate) fn read(
    contents: &Contents,
    judges: &Judges,
    faults: &mut Vec<PackFault>,
) -> Vec<(Place, PackWorkflow)> {
    let mut found: Vec<(Place, PackWorkflow)> = Vec::new();
    for file in contents.of(Part::Workflows) {
        let mut sink = FaultSink::new(&file.path);
        let Some(judge) = &judges.0 else {
            let problem = "nobody here can judge workflows";
            faults.push(PackFault::new(&file.path, None, problem, "load the pack with a hub"));
            continue;
        };
        match judge.workflow(&file.text) {
            Err(found) => sink.syntax(found),
            Ok(name) => {
                let position = crate::fault::Position { line: 1, column: 1 };
                if found.iter().any(|(_, other)| other.name.name == name.name) {
                    let problem = format!("a second workflow named {}", quoted(&name.name));
                    sink.at(position, problem, "rename one of them");
                }
                let place = Place { file: file.path.clone(), position };
                let workflow = PackWorkflow { file: file.path.clone(), text: file.text.clone(), name };
                found.push((place, workflow));
            }
        }
        faults.extend(sink.into_faults());
    }
    found
}
