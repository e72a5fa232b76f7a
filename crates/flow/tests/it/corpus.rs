//! The specification's own documents: examples are accepted, but for those a rule refuses; invalid ones are refused.

use std::collections::BTreeMap;
use std::fs;

use trunkline_flow::{FaultKind, Format, Program, Rule, compile};

use crate::{lines, specification, with_tasks, yaml};

/// Examples that a rule of the profile refuses, with the rule.
const REFUSED: &[(&str, Rule)] = &[
    ("authentication-oauth2.yaml", Rule::Credentials),
    ("authentication-oidc.yaml", Rule::Credentials),
    ("run-container-cleanup-always.yaml", Rule::NoContainers),
    ("run-container-cleanup-eventually.yaml", Rule::NoContainers),
    ("run-container-stdin-and-arguments.yaml", Rule::NoContainers),
    ("run-container-with-name.yaml", Rule::NoContainers),
    ("run-container-with-pull-policy.yaml", Rule::NoContainers),
    ("run-container.yaml", Rule::NoContainers),
    ("run-return-all.yaml", Rule::NoContainers),
    ("run-return-code.yaml", Rule::NoContainers),
    ("run-return-none.yaml", Rule::NoContainers),
    ("run-return-stderr.yaml", Rule::NoContainers),
];

/// Texts of a folder by file name.
pub(crate) fn texts(folder: &str) -> Option<BTreeMap<String, String>> {
    let files = fs::read_dir(specification()?.join(folder)).unwrap();
    let read = |file: fs::DirEntry| {
        (file.file_name().into_string().unwrap(), fs::read_to_string(file.path()).unwrap())
    };
    Some(files.map(|file| read(file.unwrap())).collect())
}

#[test]
fn official_examples_are_accepted_or_refused_by_a_rule() {
    let Some(examples) = texts("examples") else { return };
    assert!(examples.len() >= 66, "{} examples", examples.len());
    for (name, text) in &examples {
        let rule = REFUSED.iter().find(|(refused, _)| refused == name).map(|(_, rule)| *rule);
        match (yaml(text), rule) {
            (Ok(compiled), None) => {
                assert!(!compiled.program.tasks().is_empty(), "{name}");
            }
            (Err(refusal), Some(rule)) => {
                let broken: Vec<_> = refusal.faults.iter().map(|fault| fault.kind).collect();
                assert_eq!(broken, [FaultKind::Rule(rule)], "{name}");
            }
            (Ok(_), Some(rule)) => panic!("{name} is no longer refused by {rule}"),
            (Err(refusal), None) => panic!("{name}:\n{}", lines(&refusal.faults).join("\n")),
        }
    }
}

#[test]
fn a_program_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Program>();
}

#[test]
fn ids_and_hash_depend_on_the_content_alone() {
    let Some(mut examples) = texts("examples") else { return };
    let functions = "use:\n  functions:\n    z: {do: [{a: {set: {x: 1}}}]}\n    b: {set: {x: 1.0}}\n";
    examples.insert("functions".to_owned(), format!("{}{functions}", with_tasks("- a: {call: z}")));
    for (name, text) in &examples {
        let Ok(compiled) = yaml(text) else { continue };
        let json = compiled.program.definition().to_string();
        let again = compile(&json, Format::Json).unwrap().program;
        assert_eq!(again.hash(), compiled.program.hash(), "{name}");
        let tasks = |program: &Program| {
            let mut tasks = program.describe().tasks;
            for task in &mut tasks {
                task.line = 0;
            }
            tasks
        };
        assert_eq!(tasks(&again), tasks(&compiled.program), "{name}");
    }
}

#[test]
fn official_invalid_documents_are_refused() {
    let Some(invalid) = texts("invalid") else { return };
    assert_eq!(invalid.len(), 3);
    for (name, text) in &invalid {
        // One of them has a doubled key besides; without it the fault it is about must still be found.
        let text = text.replacen("do:\ndo:\n", "do:\n", 1);
        let refusal = yaml(&text).unwrap_err();
        let shapes = refusal.faults.iter().filter(|fault| fault.kind == FaultKind::Shape).count();
        assert!(shapes > 0, "{name}: {}", lines(&refusal.faults).join("\n"));
    }
}

#[test]
fn definitions_of_the_conformance_kit_compile() {
    let Some(features) = texts("ctk/features") else { return };
    let mut n_definitions = 0;
    for (name, text) in &features {
        for block in text.split("\"\"\"yaml\n").skip(1) {
            let block = block.split("\"\"\"").next().unwrap();
            let indent = block.len() - block.trim_start().len();
            let yaml_text: String =
                block.lines().flat_map(|line| [line.get(indent..).unwrap_or_default(), "\n"]).collect();
            if !yaml_text.starts_with("document:") {
                continue;
            }
            n_definitions += 1;
            let refusal = yaml(&yaml_text).err().map(|it| lines(&it.faults));
            assert_eq!(refusal, None, "{name}:\n{yaml_text}");
        }
    }
    assert_eq!(n_definitions, 21);
}
