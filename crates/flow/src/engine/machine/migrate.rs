//! Moving a state from one program to another: every place where something runs becomes the place that stands for it.
//!
//! Pure, like every step: the record of a migration holds which task became which, so that folding comes to the same.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::mem::discriminant;

use serde_json::Value;
use trunkline_model::{Timestamp, WorkflowId};

use super::events::{correlation_digest, indexed};
use super::{Changes, Machine};
use crate::dsl::lifecycle::Noting;
use crate::dsl::tasks::listen::Listen;
use crate::dsl::tasks::{Body, Task};
use crate::engine::state::{Action, Frame, ROOT, State, Wait, Work};
use crate::program::{Program, TaskId};

/// Which task of one program stands for which of another.
pub(crate) type Moves = BTreeMap<u32, u32>;

/// Why a place cannot be moved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MoveFault {
    /// The task, by its reference in the program that it is moved from.
    pub reference: String,
    /// What is wrong.
    pub problem: String,
}

fn fault(reference: impl Into<String>, problem: impl Into<String>) -> MoveFault {
    MoveFault { reference: reference.into(), problem: problem.into() }
}

/// Pairs the tasks of two programs: as the map says, for a task and those within it; else by the names on the way to it.
///
/// # Errors
///
/// Every entry of the map that names no task.
pub(crate) fn moves(
    old: &Program,
    new: &Program,
    map: &BTreeMap<String, String>,
) -> Result<Moves, Vec<MoveFault>> {
    let mut faults = Vec::new();
    for (from, to) in map {
        if old.find(from).is_none() {
            faults.push(fault(from, "the version it runs has no such task"));
        }
        if new.find(to).is_none() {
            faults.push(fault(from, format!("the other version has no task {to}")));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let by_reference: HashMap<&str, TaskId> = new.tasks().iter().map(|it| (&*it.reference, it.id)).collect();
    let mut by_names: HashMap<String, Option<TaskId>> = HashMap::new();
    for task in new.tasks() {
        by_names.entry(names(&task.reference)).and_modify(|found| *found = None).or_insert(Some(task.id));
    }
    let counterpart = |task: &Task| {
        let within = |from: &str| {
            task.reference.strip_prefix(from).filter(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let named = map.iter().filter_map(|(from, to)| Some((from.len(), to, within(from)?)));
        if let Some((_, to, rest)) = named.max_by_key(|(length, ..)| *length) {
            let direct = by_reference.get(format!("{to}{rest}").as_str()).copied();
            return direct.or_else(|| by_names.get(&names(&format!("{to}{rest}"))).copied().flatten());
        }
        by_names.get(&names(&task.reference)).copied().flatten()
    };
    Ok(old.tasks().iter().filter_map(|task| Some((task.id.0, counterpart(task)?.0))).collect())
}

/// A reference without the places in lists.
fn names(reference: &str) -> String {
    let is_place = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    reference.split('/').filter(|part| !is_place(part)).collect::<Vec<_>>().join("/")
}

/// Lists what stands in the way of moving a state.
pub(crate) fn move_faults(old: &Program, new: &Program, state: &State, moves: &Moves) -> Vec<MoveFault> {
    let mut faults = BTreeSet::new();
    for frame in state.frames.values() {
        if let Some(task) = frame.task.and_then(|task| old.get(task))
            && let Err(problem) = check(old, new, state, moves, (frame, task))
        {
            faults.insert(fault(&*task.reference, problem));
        }
    }
    let undoing = state.frames.values().filter_map(|frame| frame.undoing.as_deref());
    let to_undo = undoing.flat_map(|undoing| undoing.left.iter().chain(&undoing.now));
    for done in state.done.iter().chain(to_undo) {
        if let Some(task) = old.get(done.task)
            && moved(new, moves, task.id).is_none_or(|to| to.points.compensate.is_none())
        {
            let problem = "the task may have to be undone, and the other version does not say how";
            faults.insert(fault(&*task.reference, problem));
        }
    }
    faults.into_iter().collect()
}

fn moved<'p>(new: &'p Program, moves: &Moves, task: TaskId) -> Option<&'p Task> {
    new.get(TaskId(*moves.get(&task.0)?))
}

fn check(
    old: &Program,
    new: &Program,
    state: &State,
    moves: &Moves,
    (frame, task): (&Frame, &Task),
) -> Result<(), String> {
    let to =
        moved(new, moves, task.id).ok_or("something runs here, and the other version has nothing for it")?;
    let is_alike = match (&task.body, &to.body) {
        (Body::Call(before), Body::Call(after)) => discriminant(before) == discriminant(after),
        (before, after) => before.kind() == after.kind(),
    };
    if !is_alike {
        return Err(format!("{} is a task of another kind", to.reference));
    }
    if task.parent.map(|parent| moves.get(&parent.0).copied()) != to.parent.map(|parent| Some(parent.0)) {
        return Err(format!("{} is not within what stands for the task around it", to.reference));
    }
    match (&task.body, &to.body) {
        (Body::Fork(before), Body::Fork(after))
            if before.branches.tasks.len() != after.branches.tasks.len() =>
        {
            return Err(format!("{} has another number of branches", to.reference));
        }
        (Body::Listen(before), Body::Listen(after))
            if before.to.filters().len() != after.to.filters().len() =>
        {
            return Err(format!("{} listens with another number of filters", to.reference));
        }
        _ => {}
    }
    if matches!(frame.work, Work::Undo { .. }) && to.points.compensate.is_none() {
        return Err(format!("{} is being undone, and the other version does not say how", to.reference));
    }
    let parent = state.frames.get(&frame.parent).filter(|_| task.parent.is_some());
    if parent.is_some_and(|parent| matches!(parent.work, Work::Fork { .. }))
        && new.siblings(to.id).map(|(_, place)| place) != old.siblings(task.id).map(|(_, place)| place)
    {
        return Err(format!("{} is another branch of the fork", to.reference));
    }
    if frame.extended.is_some() && old.workflow().extensions.len() != new.workflow().extensions.len() {
        return Err("the other version has other extensions, and one is at work here".to_owned());
    }
    Ok(())
}

/// Moves a state; nothing where something stands in the way.
pub(crate) fn migrate(
    old: &Program,
    new: &Program,
    state: &mut State,
    moves: &[(u32, u32)],
    at: Timestamp,
) -> Option<Changes> {
    let moves = &moves.iter().copied().collect::<Moves>();
    if !move_faults(old, new, state, moves).is_empty() {
        return None;
    }
    let before: Vec<(u32, Wait, TaskId)> = state
        .waits
        .iter()
        .filter_map(|(id, wait)| Some((*id, wait.clone(), state.frames.get(&wait.frame)?.task?)))
        .collect();
    for frame in state.frames.values_mut() {
        frame.task = frame.task.and_then(|task| moves.get(&task.0).copied()).map(TaskId);
        let visits = std::mem::take(&mut frame.visits);
        frame.visits = visits.into_iter().filter_map(|(task, n)| Some((*moves.get(&task)?, n))).collect();
    }
    let undoing = state.frames.values_mut().filter_map(|frame| frame.undoing.as_deref_mut());
    let to_undo = undoing.flat_map(|undoing| undoing.left.iter_mut().chain(&mut undoing.now));
    for done in state.done.iter_mut().chain(to_undo) {
        done.task = TaskId(moves.get(&done.task.0).copied().unwrap_or(done.task.0));
    }
    for effect in state.effects.values_mut() {
        if let Action::LookBack(look) = &mut effect.action
            && let Some(to) = moves.get(&look.task.0)
        {
            look.task = TaskId(*to);
        }
    }
    let outermost = &new.workflow().tasks.tasks;
    let place = state
        .frames
        .values()
        .filter(|frame| frame.parent == ROOT)
        .find_map(|frame| outermost.iter().position(|task| Some(*task) == frame.task));
    if let Some(place) = place {
        state.step = place as u32 + 1;
    }
    let mut machine = Machine {
        program: new,
        state,
        at,
        todo: VecDeque::new(),
        changes: Changes::default(),
        n_steps: 0,
        noting: Noting::Nothing,
    };
    for (id, wait, task) in before {
        machine.move_wait(id, wait, task);
    }
    Some(machine.changes)
}

impl Machine<'_> {
    /// Makes a subscription anew under the filter that stands for its own. Values that cannot be made any more stay.
    fn move_wait(&mut self, id: u32, before: Wait, task: TaskId) {
        let frame = before.frame;
        let Some(to) = self.state.frames.get(&frame).and_then(|it| it.task) else { return };
        let mut after = before.clone();
        if let Body::Listen(listen) = &self.program.task(to).body
            && let Some(correlation) = self.correlation(frame, listen, before.filter)
        {
            after.correlation = correlation;
            let filter = listen.to.filters().get(before.filter as usize).copied();
            after.event_type = filter.and_then(|it| it.event_type()).map(str::to_owned);
        }
        self.changes.waits_cleared.push((id, before, task));
        self.changes.waits_set.push((id, after.clone(), to));
        self.state.waits.insert(id, after);
    }

    fn correlation(&self, frame: u32, listen: &Listen, filter: u32) -> Option<String> {
        let filters = listen.to.filters();
        let input = &self.state.frames.get(&frame)?.input;
        let mut values: Vec<(&str, Value)> = Vec::new();
        for correlation in indexed(filters.get(filter as usize)?) {
            if let Some(expect) = &correlation.expect {
                let value = self.eval(frame, |view| expect.evaluate(input, view)).ok()?;
                values.push((&*correlation.name, value));
            }
        }
        Some(correlation_digest(&values))
    }
}

/// The state under another id: keys that hold the id are those that this instance would have made.
pub(crate) fn renamed(program: &Program, mut state: State, id: &WorkflowId) -> State {
    let keys = |state: &mut State| -> Vec<String> {
        let frames: Vec<u32> = state.frames.keys().copied().collect();
        let machine = Machine {
            program,
            state,
            at: Timestamp::default(),
            todo: VecDeque::new(),
            changes: Changes::default(),
            n_steps: 0,
            noting: Noting::Nothing,
        };
        frames.into_iter().map(|frame| machine.key_of(frame)).collect()
    };
    let before = keys(&mut state);
    state.id = id.clone();
    let after = keys(&mut state);
    let renamed: HashMap<String, String> = before.into_iter().zip(after).collect();
    let mut value = serde_json::to_value(&state).expect("invariant: states are JSON");
    rename(&mut value, &renamed);
    serde_json::from_value(value).unwrap_or(state)
}

/// Keys are digests: no other text is like them.
fn rename(value: &mut Value, renamed: &HashMap<String, String>) {
    match value {
        Value::String(text) => {
            if let Some(other) = renamed.get(text.as_str()) {
                text.clone_from(other);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, renamed)),
        Value::Object(members) => members.values_mut().for_each(|member| rename(member, renamed)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
