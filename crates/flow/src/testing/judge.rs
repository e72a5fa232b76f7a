//! Judges workflows of packs, and their tests, for whoever loads packs.

use std::sync::Arc;

use trunkline_packs::document::{FaultSink, Node, SyntaxFault};
use trunkline_packs::{Judge, Pack, Position, TestFailure, TestOutcome, WorkflowName};

use super::scenario::Scenario;
use crate::engine::support::unsupported;
use crate::program::{Format, Program, compile};

/// Judges workflows by what this engine compiles and does.
#[derive(Debug, Clone, Copy, Default)]
pub struct WorkflowJudge;

impl Judge for WorkflowJudge {
    fn workflow(&self, text: &str) -> Result<WorkflowName, Vec<SyntaxFault>> {
        let compiled = compile(text, Format::Yaml).map_err(|refusal| {
            let fault = |it: crate::Fault| SyntaxFault {
                position: it.position,
                problem: if it.pointer.is_empty() {
                    it.problem
                } else {
                    format!("{}: {}", it.pointer, it.problem)
                },
                fix: it.fix,
            };
            refusal.faults.into_iter().map(fault).collect::<Vec<_>>()
        })?;
        let program = compiled.program;
        let missing = unsupported(&program);
        if !missing.is_empty() {
            let place = |reference: &str| {
                program.find(reference).map_or(Position { line: 1, column: 1 }, |task| task.position)
            };
            let fault = |it: crate::engine::support::Unsupported| SyntaxFault {
                position: place(&it.reference),
                problem: format!("{}: {}", it.reference, it.what),
                fix: format!("leave it out, see {}", it.rule),
            };
            return Err(missing.into_iter().map(fault).collect());
        }
        Ok(name_of(&program))
    }

    fn workflow_test(&self, test: &Node, workflows: &[String], sink: &mut FaultSink) {
        drop(Scenario::read(test, workflows, sink));
    }
}

fn name_of(program: &Program) -> WorkflowName {
    let document = &program.workflow().document;
    WorkflowName {
        name: format!("{}/{}", document.namespace, document.name),
        version: document.version.to_string(),
        hash: program.hash().to_string(),
    }
}

/// Runs all tests of a pack's workflows.
pub fn run_workflow_tests(pack: &Pack) -> Vec<TestOutcome> {
    let compiled = pack.workflows().filter_map(|workflow| compile(&workflow.text, Format::Yaml).ok());
    let programs: Vec<Arc<Program>> = compiled.map(|compiled| Arc::new(compiled.program)).collect();
    let names: Vec<String> = pack.workflows().map(|workflow| workflow.name.name.clone()).collect();
    let run = |test: &trunkline_packs::WorkflowTest| {
        let mut sink = FaultSink::new(&test.file);
        let differences = match Scenario::read(&test.node, &names, &mut sink) {
            Some(scenario) => scenario.run(&programs),
            // The pack would not have been loaded.
            None => Vec::new(),
        };
        let failure = |it: super::Difference| TestFailure {
            file: test.file.clone(),
            line: if it.line > 1 { it.line } else { test.line },
            expected: it.expected,
            found: it.found,
        };
        TestOutcome {
            file: test.file.clone(),
            line: test.line,
            name: test.name.clone(),
            failures: differences.into_iter().map(failure).collect(),
        }
    };
    pack.workflow_tests().iter().map(run).collect()
}
