//! Resolves what tasks say about each other: where jumps lead, which tasks can be reached, which functions call each
//! other. Runs once all tasks are read.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use trunkline_packs::suggest::quoted;

use super::TaskId;
use super::loops::check_flow;
use crate::dsl::compensate::Compensate;
use crate::dsl::flow::{Directive, Jump, Next};
use crate::dsl::tasks::call::Call;
use crate::dsl::tasks::call::function::Function;
use crate::dsl::tasks::{Block, Body, Task};
use crate::dsl::workflow::Workflow;
use crate::expression::Variable;
use crate::fault::{Fault, FaultKind};
use crate::read::{MAX_FAULTS, Reader, nearest_of};
use crate::rule::Rule;

/// How the tasks of a list relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// One after the other.
    Sequence,
    /// Side by side.
    Branches,
}

/// Resolves every jump; records faults and warnings.
pub(super) fn link(reader: &mut Reader, workflow: &Workflow) {
    let mut blocks: Vec<(Block, Order)> = vec![(workflow.tasks.clone(), Order::Sequence)];
    for extension in &workflow.extensions {
        blocks.push((extension.before.clone(), Order::Sequence));
        blocks.push((extension.after.clone(), Order::Sequence));
    }
    for id in workflow.functions.values() {
        blocks.push((Block { tasks: vec![*id] }, Order::Sequence));
    }
    for task in &reader.tasks {
        let undoes = task.points.compensate.as_ref().and_then(Compensate::block);
        blocks.extend(undoes.map(|block| (block.clone(), Order::Sequence)));
        let order = if matches!(task.body, Body::Fork(_)) { Order::Branches } else { Order::Sequence };
        blocks.extend(task.body.blocks().into_iter().map(|block| (block.clone(), order)));
    }
    let everywhere: BTreeSet<String> = reader.tasks.iter().map(|task| task.name.to_string()).collect();
    for (block, order) in &blocks {
        duplicates(reader, block);
        resolve(reader, block, *order, &everywhere);
    }
    reader.faults.truncate(MAX_FAULTS);
    // What a faulty task does is not known, so neither is where the flow goes.
    if reader.faults.is_empty() {
        let sequences = blocks.iter().filter(|(_, order)| *order == Order::Sequence);
        sequences.for_each(|(block, _)| check_flow(reader, block));
    }
    function_cycles(reader, workflow);
    overwritten_context(reader);
}

/// Warns of exports that replace what other tasks exported.
fn overwritten_context(reader: &mut Reader) {
    let exporting: Vec<&Task> = reader.tasks.iter().filter(|task| task.export.transform.is_some()).collect();
    if exporting.len() < 2 {
        return;
    }
    let keeps = |task: &Task| {
        let mut keeps = false;
        if let Some(transform) = &task.export.transform {
            transform.each_expression(&mut |it| keeps |= it.variables().contains(&Variable::Context));
        }
        keeps
    };
    let careless = exporting.into_iter().filter(|task| !keeps(task)).take(MAX_FAULTS);
    let warnings: Vec<Fault> = careless
        .map(|task| {
            let problem = "the export replaces the whole context, with what other tasks exported";
            task_fault(task, Rule::ExportInput, problem, "write `$context + { … }` to keep it")
        })
        .collect();
    reader.warnings.extend(warnings);
}

fn duplicates(reader: &mut Reader, block: &Block) {
    let mut seen = HashMap::new();
    for id in &block.tasks {
        let task = &reader.tasks[id.index()];
        if let Some(line) = seen.insert(task.name.clone(), task.position.line) {
            let problem = format!(
                "the name {} is taken by the task on line {line} of the same list",
                quoted(&task.name)
            );
            let fault = task_fault(task, Rule::TaskNames, problem, "choose another name");
            reader.faults.push(fault);
        }
    }
}

/// A fault that stands at a task.
pub(super) fn task_fault(
    task: &Task,
    rule: Rule,
    problem: impl Into<String>,
    fix: impl Into<String>,
) -> Fault {
    Fault {
        position: task.position,
        pointer: task.reference.to_string(),
        kind: FaultKind::Rule(rule),
        problem: problem.into(),
        fix: fix.into(),
    }
}

fn resolve(reader: &mut Reader, block: &Block, order: Order, everywhere: &BTreeSet<String>) {
    let names: BTreeMap<String, TaskId> =
        block.tasks.iter().rev().map(|id| (reader.tasks[id.index()].name.to_string(), *id)).collect();
    for (place, id) in block.tasks.iter().enumerate() {
        let onward = match order {
            Order::Sequence => block.tasks.get(place + 1).map_or(Next::EndOfList, |next| Next::Task(*next)),
            Order::Branches => Next::EndOfList,
        };
        let mut faults = Vec::new();
        for jump in reader.tasks[id.index()].jumps_mut() {
            match target(jump, &names, everywhere, order, onward) {
                Ok(next) => jump.next = next,
                Err(fault) => faults.push(fault),
            }
        }
        reader.faults.extend(faults);
    }
}

fn target(
    jump: &Jump,
    names: &BTreeMap<String, TaskId>,
    everywhere: &BTreeSet<String>,
    order: Order,
    onward: Next,
) -> Result<Next, Fault> {
    let fault = |problem: String, fix: String| Fault {
        position: jump.position,
        pointer: jump.pointer.clone(),
        kind: FaultKind::Rule(Rule::JumpInScope),
        problem,
        fix,
    };
    match (&jump.directive, order) {
        (Directive::Continue, _) => Ok(onward),
        (Directive::End, _) => Ok(Next::End),
        (Directive::Exit | Directive::Task(_), Order::Branches) => Err(fault(
            "a branch of a fork leads nowhere but to its end".to_owned(),
            "remove the directive, or put the tasks of the branch into a `do`".to_owned(),
        )),
        (Directive::Exit, Order::Sequence) => Ok(Next::Exit),
        (Directive::Task(name), Order::Sequence) => match names.get(name) {
            Some(id) => Ok(Next::Task(*id)),
            None if everywhere.contains(name) => Err(fault(
                format!("the task {} is in another list", quoted(name)),
                "jump to a task of the same list, or leave the list with `exit`".to_owned(),
            )),
            None => Err(fault(
                format!("there is no task {}", quoted(name)),
                nearest_of(name, names.keys().map(String::as_str))
                    .unwrap_or_else(|| "name a task of the same list".to_owned()),
            )),
        },
    }
}

/// Refuses functions that call themselves, directly or through others.
fn function_cycles(reader: &mut Reader, workflow: &Workflow) {
    let mut calls: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for task in &reader.tasks {
        let Body::Call(Call::Function(call)) = &task.body else { continue };
        let Function::Own(callee) = &call.function else { continue };
        let root = root_of(&reader.tasks, task);
        let caller = workflow.functions.iter().find(|(_, id)| **id == root.id);
        if let Some((caller, _)) = caller {
            calls.entry(caller).or_default().insert(callee);
        }
    }
    let mut faults = Vec::new();
    for (name, id) in &workflow.functions {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&str> = calls.get(name.as_str()).into_iter().flatten().copied().collect();
        while let Some(callee) = next.pop() {
            if reached.insert(callee) {
                next.extend(calls.get(callee).into_iter().flatten());
            }
        }
        if reached.contains(name.as_str()) {
            let task = &reader.tasks[id.index()];
            faults.push(task_fault(
                task,
                Rule::FunctionCycle,
                format!("the function {} calls itself", quoted(name)),
                "write a loop, or run a workflow of its own",
            ));
        }
    }
    reader.faults.extend(faults);
}

fn root_of<'a>(tasks: &'a [Task], mut task: &'a Task) -> &'a Task {
    while let Some(parent) = task.parent {
        task = &tasks[parent.index()];
    }
    task
}
