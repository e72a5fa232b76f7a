//! Changing parts of values, one path at a time: setting what a path leads to, and deleting it.
//!
//! A value that nobody else holds is changed in place. Parts are taken out while they are changed, so that they are not
//! shared either. Recursion is as deep as a path, which is as deep as the value it ends up making.

use std::rc::Rc;

use crate::meter;
use crate::value::{Arr, NULL, Obj, Text, Val, ValR, access, fault, index};

/// The array for changing, copied and charged for if it is shared.
pub(crate) fn array_mut(array: &mut Rc<Arr>) -> &mut Arr {
    if Rc::strong_count(array) > 1 {
        meter::charge_items(array.items.len());
    }
    Rc::make_mut(array)
}

/// The object for changing, copied and charged for if it is shared.
pub(crate) fn object_mut(object: &mut Rc<Obj>) -> &mut Obj {
    if Rc::strong_count(object) > 1 {
        meter::charge_items(object.entries.len() * 2);
    }
    Rc::make_mut(object)
}

/// What `path` leads to; null where there is nothing.
pub(crate) fn get_path(value: &Val, path: &[Val]) -> ValR {
    path.iter().try_fold(value.clone(), index)
}

/// Puts `new` where `path` leads, and makes what is missing on the way.
pub(crate) fn set_path(value: Val, path: &[Val], new: Val) -> ValR {
    check_length(path);
    set(value, path, new)
}

/// A path can be no longer than values are deep; this keeps recursion along it short.
fn check_length(path: &[Val]) {
    meter::deeper_than(u32::try_from(path.len()).unwrap_or(u32::MAX).saturating_sub(1));
}

fn set(value: Val, path: &[Val], new: Val) -> ValR {
    match path.split_first() {
        None => Ok(new),
        Some((first, rest)) => change(value, first, |child| set(child, rest, new)),
    }
}

/// Replaces the child at `index` by what `f` makes of it. A missing child is null to `f`.
fn change(value: Val, index: &Val, f: impl FnOnce(Val) -> ValR) -> ValR {
    meter::charge(1);
    match (value, index) {
        (Val::Null(_), Val::Str(key)) => change_key(Rc::default(), key, f),
        (Val::Obj(object), Val::Str(key)) => change_key(object, key, f),
        (Val::Null(_), Val::Num(number)) => change_item(Rc::default(), number.as_f64(), f),
        (Val::Arr(array), Val::Num(number)) => change_item(array, number.as_f64(), f),
        (Val::Null(_), Val::Obj(bounds)) => change_slice(Rc::default(), bounds, f),
        (Val::Arr(array), Val::Obj(bounds)) => change_slice(array, bounds, f),
        (value, Val::Str(key)) => Err(fault(format!("cannot set \"{}\" of {}", key.as_str(), value.kind()))),
        (value, index) => Err(fault(format!("cannot update {} at {}", value.kind(), index.kind()))),
    }
}

fn change_key(mut object: Rc<Obj>, key: &Text, f: impl FnOnce(Val) -> ValR) -> ValR {
    meter::charge_bytes(key.as_str().len());
    let changed = object_mut(&mut object);
    let child = changed.entries.get_mut(key).map(std::mem::take).unwrap_or_default();
    changed.insert(key.clone(), f(child)?);
    Ok(Val::Obj(object))
}

fn change_item(mut array: Rc<Arr>, index: f64, f: impl FnOnce(Val) -> ValR) -> ValR {
    let at = access::position(index, array.items.len());
    let at = at.ok_or_else(|| fault("negative index out of bounds"))?;
    let changed = array_mut(&mut array);
    let child = changed.items.get_mut(at).map(std::mem::take).unwrap_or_default();
    let child = f(child)?;
    changed.admit(&child);
    if at >= changed.items.len() {
        // Charged before it is allocated: an index can be anything.
        meter::charge_items(at - changed.items.len());
        changed.items.resize(at + 1, NULL);
    }
    changed.items[at] = child;
    Ok(Val::Arr(array))
}

fn change_slice(mut array: Rc<Arr>, bounds: &Obj, f: impl FnOnce(Val) -> ValR) -> ValR {
    let (start, end) = access::slice_bounds(bounds);
    let span = access::span(&(start..end), array.items.len())?;
    meter::charge_items(array.items.len());
    let replacement = match f(Val::array(array.items[span.clone()].to_vec()))? {
        Val::Arr(replacement) => replacement,
        other => {
            return Err(fault(format!("a slice of an array can become an array only, not {}", other.kind())));
        }
    };
    meter::charge_items(replacement.items.len());
    let changed = array_mut(&mut array);
    changed.depth = changed.depth.max(replacement.depth);
    changed.items.splice(span, replacement.items.iter().cloned());
    Ok(Val::Arr(array))
}

/// Deletes what `paths` lead to, the longest and last first, so that none changes what another means.
pub(crate) fn delete_paths(value: Val, paths: &Val) -> ValR {
    let mut paths: Vec<&Val> = paths.items()?.iter().collect();
    meter::charge_items(paths.len());
    paths.sort_unstable();
    paths.into_iter().rev().try_fold(value, |value, path| {
        let path = path.items()?;
        check_length(path);
        delete_path(value, path)
    })
}

fn delete_path(value: Val, path: &[Val]) -> ValR {
    meter::charge(1);
    match (path.split_first(), value) {
        (None, _) => Ok(NULL),
        (Some(_), Val::Null(n)) => Ok(Val::Null(n)),
        (Some((last, [])), value) => delete_child(value, last),
        (Some((first, rest)), value) => match index(value.clone(), first)? {
            Val::Null(_) => Ok(value),
            _ => change(value, first, |child| delete_path(child, rest)),
        },
    }
}

fn delete_child(value: Val, index: &Val) -> ValR {
    match (value, index) {
        (Val::Obj(mut object), Val::Str(key)) => {
            meter::charge_bytes(key.as_str().len());
            meter::charge_items(object.entries.len());
            object_mut(&mut object).entries.shift_remove(key);
            Ok(Val::Obj(object))
        }
        (Val::Arr(mut array), Val::Num(number)) => {
            meter::charge_items(array.items.len());
            let at = access::position(number.as_f64(), array.items.len());
            if let Some(at) = at.filter(|at| *at < array.items.len()) {
                array_mut(&mut array).items.remove(at);
            }
            Ok(Val::Arr(array))
        }
        (Val::Arr(array), Val::Obj(bounds)) => change_slice(array, bounds, |_| Ok(Val::array(Vec::new()))),
        (value, Val::Str(key)) => {
            Err(fault(format!("cannot delete \"{}\" of {}", key.as_str(), value.kind())))
        }
        (value, index) => Err(fault(format!("cannot delete {} of {}", index.kind(), value.kind()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::read::from_json;

    fn val(json: &str) -> Val {
        from_json(json.as_bytes(), 100).unwrap()
    }

    fn set(value: &str, path: &str, expected: Option<&str>) {
        let path = val(path);
        let set = set_path(val(value), path.items().unwrap(), val("[7,8]"));
        assert_eq!(set.ok(), expected.map(val), "{value} at {path:?}");
    }

    #[test]
    fn missing_places_are_made() {
        set("1", "[]", Some("[7,8]"));
        set("null", "[\"a\",1]", Some(r#"{"a":[null,[7,8]]}"#));
        set(r#"{"b":1,"a":2}"#, "[\"b\"]", Some(r#"{"b":[7,8],"a":2}"#));
        set("[1]", "[-1]", Some("[[7,8]]"));
        set("[1]", "[-2]", None);
        set("[1,2,3]", r#"[{"start":1,"end":2}]"#, Some("[1,7,8,3]"));
        set("null", r#"[{"start":1,"end":2}]"#, Some("[7,8]"));
        set("[1]", "[\"a\"]", None);
        set("1", "[0]", None);
        set("[1]", "[null]", None);
    }

    #[test]
    fn what_is_shared_is_copied() {
        let value = val(r#"{"a":{"b":1}}"#);
        let path = val(r#"["a","b"]"#);
        let changed = set_path(value.clone(), path.items().unwrap(), val("2")).unwrap();
        assert_eq!((value, changed), (val(r#"{"a":{"b":1}}"#), val(r#"{"a":{"b":2}}"#)));
    }

    #[test]
    fn paths_are_deleted_from_the_end() {
        let delete = |value: &str, paths: &str| delete_paths(val(value), &val(paths));
        assert_eq!(delete("[1,2,3]", "[[0],[2]]").unwrap(), val("[2]"));
        let nested = delete(r#"{"a":{"b":1,"c":2}}"#, r#"[["a","b"],["x","y"]]"#);
        assert_eq!(nested.unwrap(), val(r#"{"a":{"c":2}}"#));
        assert_eq!(delete("[1,2,3,4]", r#"[[{"start":1,"end":3}]]"#).unwrap(), val("[1,4]"));
        assert_eq!(delete("1", "[[]]").unwrap(), NULL);
        assert_eq!(delete("[1]", "[[-5],[9]]").unwrap(), val("[1]"));
        assert!(delete("1", r#"[["a"]]"#).is_err());
    }
}
