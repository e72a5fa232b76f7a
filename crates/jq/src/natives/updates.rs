//! Assignment, as jq does it: the paths on the left are collected one by one and each is set.

#![allow(clippy::default_trait_access, reason = "the type of an empty path is private to the interpreter")]

use jaq_core::native::{unary, v};
use jaq_core::{Bind, Cv, Exn, ValXs};

use crate::kernel::Kernel;
use crate::meter;
use crate::natives::Native;
use crate::value::{self, Entries, Val, ValX, fault};

/// `modify(paths; f)`, which `paths |= f` becomes. No expression can define or call what has this name.
pub(crate) const MODIFY: &str = "!modify";
/// `assign(paths; $value)`, which `paths = $value` becomes.
pub(crate) const ASSIGN: &str = "!assign";

/// The functions.
pub(super) fn natives() -> Vec<Native> {
    let filters = |n| std::iter::repeat_n(Bind::Fun(()), n).collect();
    vec![
        (MODIFY, filters(2), |cv| single(modify(cv))),
        (ASSIGN, [Bind::Fun(()), Bind::Var(())].into(), |cv| single(assign(cv))),
        ("map_values", filters(1), |cv| single(map_values(cv))),
        ("setpath", v(2), |mut cv| {
            let (new, path) = (cv.0.pop_var(), cv.0.pop_var());
            let set = path.items().and_then(|path| value::set_path(cv.1, path, new));
            jaq_core::native::bome(set)
        }),
        ("delpaths", v(1), |cv| unary(cv, |value, paths| value::delete_paths(value, &paths))),
    ]
}

fn single(result: ValX<'_>) -> ValXs<'_, Val> {
    Box::new(std::iter::once(result))
}

/// Each place becomes the first output of the function; places for which there is none are deleted in the end.
fn modify(mut cv: Cv<'_, Kernel>) -> ValX<'_> {
    let ((f, f_context), (paths, paths_context)) = (cv.0.pop_fun(), cv.0.pop_fun());
    let mut value = cv.1.clone();
    let mut deleted = Vec::new();
    for found in paths.paths((paths_context, (cv.1, Default::default()))) {
        let path = forward(found?.1.iter());
        let old = value::get_path(&value, &path)?;
        match f.run((f_context.clone(), old)).next() {
            Some(new) => value = value::set_path(value, &path, new?)?,
            None => deleted.push(Val::array(path)),
        }
    }
    if deleted.is_empty() {
        return Ok(value);
    }
    Ok(value::delete_paths(value, &Val::array(deleted))?)
}

fn assign(mut cv: Cv<'_, Kernel>) -> ValX<'_> {
    let (new, (paths, context)) = (cv.0.pop_var(), cv.0.pop_fun());
    let mut value = cv.1.clone();
    for found in paths.paths((context, (cv.1, Default::default()))) {
        value = value::set_path(value, &forward(found?.1.iter()), new.clone())?;
    }
    Ok(value)
}

/// jaq's paths start at their ends.
fn forward<'v>(path: impl Iterator<Item = &'v Val>) -> Vec<Val> {
    let mut path: Vec<Val> = path.cloned().collect();
    meter::charge_items(path.len());
    path.reverse();
    path
}

/// Each child becomes the first output of the function, or goes.
fn map_values(mut cv: Cv<'_, Kernel>) -> ValX<'_> {
    let (f, context) = cv.0.pop_fun();
    let mapped = |child: &Val| {
        meter::charge(1);
        f.run((context.clone(), child.clone())).next().transpose()
    };
    match cv.1 {
        Val::Arr(array) => {
            let items = array.items.iter().filter_map(|item| mapped(item).transpose());
            items.collect::<Result<_, _>>().map(Val::array)
        }
        Val::Obj(object) => {
            let entry = |(key, child): (&value::Text, &Val)| {
                meter::charge_bytes(key.as_str().len());
                Some(mapped(child).transpose()?.map(|child| (key.clone(), child)))
            };
            object.entries.iter().filter_map(entry).collect::<Result<Entries, _>>().map(Val::object)
        }
        other => Err(Exn::from(fault(format!("cannot iterate over {}", other.kind())))),
    }
}
