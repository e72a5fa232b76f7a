//! What can be reached in a list of tasks, and which loops never end (rules 27 and 28).

use std::collections::HashMap;

use super::TaskId;
use super::link::task_fault;
use crate::dsl::flow::Next;
use crate::dsl::tasks::{Block, Body, Task};
use crate::read::Reader;
use crate::rule::Rule;

/// The tasks of a list and where each can lead.
struct Graph {
    /// Places in the list.
    edges: Vec<Vec<usize>>,
    /// Whether the list, or the workflow, can be left from there.
    leaves: Vec<bool>,
}

/// Warns of tasks that are never reached, refuses loops that neither end nor wait, and warns of those that wait.
pub(super) fn check_flow(reader: &mut Reader, block: &Block) {
    let graph = Graph::of(reader, block);
    let reached = graph.reached();
    let ending = graph.ending();
    for (place, id) in block.tasks.iter().enumerate().filter(|(place, _)| !reached[*place]) {
        // One warning for a run of tasks: the first of them says it all.
        if place == 0 || reached[place - 1] {
            let fix = "jump to it, or remove it";
            let task = &reader.tasks[id.index()];
            let warning = task_fault(task, Rule::Unreachable, "the task is never reached", fix);
            reader.warnings.push(warning);
        }
    }
    let endless: Vec<usize> =
        (0..block.tasks.len()).filter(|place| reached[*place] && !ending[*place]).collect();
    let Some(first) = endless.first() else { return };
    let task = &reader.tasks[block.tasks[*first].index()];
    let waits = endless.iter().any(|place| waits(reader, block.tasks[*place]));
    let fault = task_fault(
        task,
        Rule::EndlessLoop,
        if waits {
            "from here on the workflow never ends"
        } else {
            "from here on the workflow runs in circles for ever"
        },
        "lead out of the loop with `if`, `switch` or `end`",
    );
    if waits {
        reader.warnings.push(fault);
    } else {
        reader.faults.push(fault);
    }
}

/// Whether a task, or one within it, waits or reaches outside.
fn waits(reader: &Reader, id: TaskId) -> bool {
    within(reader, id).any(|task| !task.body.is_pure())
}

/// Whether the list can be left from within a task: by an error, or by the end of the workflow.
fn leaves_from_within(reader: &Reader, id: TaskId) -> bool {
    within(reader, id).any(|task| {
        matches!(task.body, Body::Raise(_)) || task.jumps().iter().any(|jump| jump.next == Next::End)
    })
}

/// A task and everything in it. Parts follow their parent in the arena, before anything else does.
fn within(reader: &Reader, id: TaskId) -> impl Iterator<Item = &Task> {
    let rest = &reader.tasks[id.index()..];
    let parts = rest[1..].iter().take_while(move |task| task.parent.is_some_and(|parent| parent >= id));
    rest[..1].iter().chain(parts)
}

impl Graph {
    fn of(reader: &Reader, block: &Block) -> Self {
        let places: HashMap<TaskId, usize> =
            block.tasks.iter().enumerate().map(|(place, id)| (*id, place)).collect();
        let mut graph = Self { edges: Vec::new(), leaves: Vec::new() };
        for id in &block.tasks {
            let task = &reader.tasks[id.index()];
            let mut leads = destinations(task);
            if task.condition.is_some() {
                leads.push(task.skip.next);
            }
            let to_place = |next: &Next| match next {
                Next::Task(id) => places.get(id).copied(),
                _ => None,
            };
            graph.edges.push(leads.iter().filter_map(to_place).collect());
            let leaves = leads.iter().any(|next| !matches!(next, Next::Task(_)));
            graph.leaves.push(leaves || leaves_from_within(reader, *id));
        }
        graph
    }

    /// Which places can be reached from the first.
    fn reached(&self) -> Vec<bool> {
        let mut reached = vec![false; self.edges.len()];
        let mut next: Vec<usize> = if self.edges.is_empty() { Vec::new() } else { vec![0] };
        while let Some(place) = next.pop() {
            if !std::mem::replace(&mut reached[place], true) {
                next.extend(&self.edges[place]);
            }
        }
        reached
    }

    /// From which places the list can be left.
    fn ending(&self) -> Vec<bool> {
        let mut back = vec![Vec::new(); self.edges.len()];
        for (from, edges) in self.edges.iter().enumerate() {
            for to in edges {
                back[*to].push(from);
            }
        }
        let mut ending = vec![false; self.edges.len()];
        let mut next: Vec<usize> = (0..self.edges.len()).filter(|place| self.leaves[*place]).collect();
        while let Some(place) = next.pop() {
            if !std::mem::replace(&mut ending[place], true) {
                next.extend(&back[place]);
            }
        }
        ending
    }
}

/// Where a task that is done can lead.
fn destinations(task: &Task) -> Vec<Next> {
    match &task.body {
        Body::Raise(_) => Vec::new(),
        Body::Switch(switch) => {
            let cases = switch.cases.iter().map(|case| case.then.next);
            cases.chain((!switch.has_default()).then_some(task.then.next)).collect()
        }
        Body::Try(body) => {
            [task.then.next].into_iter().chain(body.catch.then.iter().map(|jump| jump.next)).collect()
        }
        _ => vec![task.then.next],
    }
}
