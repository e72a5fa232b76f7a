//! The compiler of workflow definitions: no text makes it panic or run away, a refusal has faults with places, and a program
//! holds together: every id it mentions is its own, and its definition compiles to the same program again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_flow::dsl::flow::Next;
use trunkline_flow::{Format, Program, compile, simple};

fuzz_target!(|text: &str| {
    let _ = simple::read(text, Format::Yaml);
    match compile(text, Format::Yaml) {
        Ok(compiled) => {
            check(&compiled.program);
            let again = compile(&compiled.program.definition().to_string(), Format::Json)
                .expect("it compiled as YAML");
            assert_eq!(again.program.hash(), compiled.program.hash());
            let (one, other) = (again.program.describe(), compiled.program.describe());
            let shape = |it: &trunkline_flow::program::Description| {
                it.tasks.iter().map(|task| (task.kind, task.next.clone())).collect::<Vec<_>>()
            };
            assert_eq!(shape(&one), shape(&other));
        }
        Err(refusal) => assert!(refusal.faults.iter().all(|fault| fault.position.line > 0)),
    }
});

fn check(program: &Program) {
    for task in program.tasks() {
        assert!(!program.definition_of(task).is_null(), "a reference leads to the task");
        for jump in task.jumps() {
            if let Next::Task(id) = jump.next {
                assert_eq!(program.get(id).expect("a task of the program").parent, task.parent);
            }
        }
        for block in task.body.blocks() {
            for id in &block.tasks {
                assert_eq!(program.get(*id).expect("a task of the program").parent, Some(task.id));
            }
        }
    }
}
