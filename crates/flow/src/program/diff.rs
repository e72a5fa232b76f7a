//! What differs between two versions of a definition: tasks that came, went, moved or changed, and everything else by its
//! place. Tasks are paired by the names on the way to them, so that a task put in front changes nothing behind it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Program;

/// The most differences that are told.
pub const MAX_DIFFERENCES: usize = 1_000;

/// One difference in a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// JSON pointer, within the task or the document.
    pub pointer: String,
    /// What was there; nothing where something was added.
    pub before: Option<Value>,
    /// What is there; nothing where something was removed.
    pub after: Option<Value>,
}

/// A task that is in both versions and not the same.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangedTask {
    /// Its reference before.
    pub from: String,
    /// Its reference now.
    pub to: String,
    /// What differs in it, but for tasks within; nothing where it only moved.
    pub changes: Vec<Difference>,
}

/// What differs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Diff {
    /// References of tasks that only the second version has.
    pub added: Vec<String>,
    /// References of tasks that only the first version has.
    pub removed: Vec<String>,
    /// Tasks that changed or moved.
    pub changed: Vec<ChangedTask>,
    /// What differs besides tasks.
    pub document: Vec<Difference>,
}

/// Compares two programs.
pub fn diff(from: &Program, to: &Program) -> Diff {
    let mut found = Diff::default();
    let before = by_names(from);
    let mut after = by_names(to);
    for (names, reference) in &before {
        let Some(other) = after.remove(names) else {
            found.removed.push((*reference).to_owned());
            continue;
        };
        let mut changes = Vec::new();
        compare(&own(from, reference), &own(to, other), String::new(), &mut changes);
        if !changes.is_empty() || *reference != other {
            found.changed.push(ChangedTask { from: (*reference).to_owned(), to: other.to_owned(), changes });
        }
    }
    found.added = after.into_values().map(str::to_owned).collect();
    compare(&without_tasks(from), &without_tasks(to), String::new(), &mut found.document);
    found
}

/// References by the names on the way; where several have the same, by the reference itself.
fn by_names(program: &Program) -> BTreeMap<String, &str> {
    let mut found = BTreeMap::new();
    for task in program.tasks() {
        let reference = &*task.reference;
        let is_place = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let names = reference.split('/').filter(|part| !is_place(part)).collect::<Vec<_>>().join("/");
        let key = if found.contains_key(&names) { reference.to_owned() } else { names };
        found.insert(key, reference);
    }
    found
}

/// The definition of a task without the tasks within.
fn own(program: &Program, reference: &str) -> Value {
    let mut value = program.definition().pointer(reference).cloned().unwrap_or_default();
    for task in program.tasks() {
        if let Some(inner) = task.reference.strip_prefix(reference).filter(|rest| rest.starts_with('/')) {
            blank(&mut value, inner);
        }
    }
    value
}

fn without_tasks(program: &Program) -> Value {
    let mut value = program.definition().clone();
    for task in program.tasks() {
        blank(&mut value, &task.reference);
    }
    value
}

/// Empties the list that a task stands in, or takes away what it is.
fn blank(value: &mut Value, reference: &str) {
    let mut parts = reference.rsplitn(3, '/');
    let (_, place, list) = (parts.next(), parts.next(), parts.next());
    let is_in_list = place.is_some_and(|place| place.parse::<usize>().is_ok());
    if let Some(found) = list.filter(|_| is_in_list).and_then(|list| value.pointer_mut(list)) {
        if found.is_array() {
            *found = Value::Array(Vec::new());
        }
    } else if let Some(found) = value.pointer_mut(reference) {
        *found = Value::Null;
    }
}

fn compare(before: &Value, after: &Value, pointer: String, found: &mut Vec<Difference>) {
    if before == after || found.len() >= MAX_DIFFERENCES {
        return;
    }
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                let place = format!("{pointer}/{}", escaped(key));
                match after.get(key) {
                    Some(other) => compare(value, other, place, found),
                    None => {
                        found.push(Difference { pointer: place, before: Some(value.clone()), after: None });
                    }
                }
            }
            for (key, value) in after.iter().filter(|(key, _)| !before.contains_key(*key)) {
                let place = format!("{pointer}/{}", escaped(key));
                found.push(Difference { pointer: place, before: None, after: Some(value.clone()) });
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                compare(before, after, format!("{pointer}/{index}"), found);
            }
        }
        _ => found.push(Difference { pointer, before: Some(before.clone()), after: Some(after.clone()) }),
    }
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::program::{Format, compile};

    fn program(version: &str, tasks: &str) -> Program {
        let text =
            format!("document: {{dsl: '1.0.3', namespace: t, name: t, version: '{version}'}}\n{tasks}");
        compile(&text, Format::Yaml).unwrap_or_else(|refusal| panic!("{refusal:?}")).program
    }

    #[test]
    fn tasks_are_paired_by_name() {
        let from =
            program("1.0.0", "do: [{a: {set: {n: 1}}}, {b: {do: [{c: {set: {n: 2}}}]}}, {d: {wait: PT1S}}]");
        let to =
            program("1.1.0", "do: [{x: {set: {n: 0}}}, {a: {set: {n: 1}}}, {b: {do: [{c: {set: {n: 3}}}]}}]");
        let found = diff(&from, &to);
        assert_eq!(found.added, ["/do/0/x"]);
        assert_eq!(found.removed, ["/do/2/d"]);
        let changed: Vec<(&str, &str, usize)> =
            found.changed.iter().map(|it| (&*it.from, &*it.to, it.changes.len())).collect();
        assert_eq!(
            changed,
            [("/do/0/a", "/do/1/a", 0), ("/do/1/b", "/do/2/b", 0), ("/do/1/b/do/0/c", "/do/2/b/do/0/c", 1)]
        );
        let change = &found.changed[2].changes[0];
        assert_eq!((&*change.pointer, &change.after), ("/set/n", &Some(json!(3))));
        let document: Vec<&str> = found.document.iter().map(|it| &*it.pointer).collect();
        assert_eq!(document, ["/document/version"]);
        assert_eq!(diff(&from, &from), Diff::default());
    }
}
