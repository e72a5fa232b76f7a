//! Reading parts of values: `.[k]`, `.[a:b]`, `.[]`.

use std::ops::Range;
use std::rc::Rc;

use jaq_core::box_iter::{BoxIter, box_once};
use jaq_core::val;

use crate::meter;
use crate::value::{Arr, Error, NULL, Obj, Text, Val, ValR, fault};

/// A value's children with the keys that lead to them.
pub(crate) fn key_values(value: Val) -> BoxIter<'static, jaq_core::ValR<(Val, Val), Val>> {
    match value {
        Val::Arr(array) => Box::new(children(array.items.len(), move |at| {
            array.items.get(at).map(|item| Ok((Val::from(at), item.clone())))
        })),
        Val::Obj(object) => Box::new(children(object.entries.len(), move |at| {
            object.entries.get_index(at).map(|(key, value)| Ok((Val::Str(key.clone()), value.clone())))
        })),
        other => box_once(Err(not_iterable(&other))),
    }
}

/// A value's children.
pub(crate) fn values(value: Val) -> BoxIter<'static, ValR> {
    match value {
        Val::Arr(array) => {
            Box::new(children(array.items.len(), move |at| array.items.get(at).cloned().map(Ok)))
        }
        Val::Obj(object) => Box::new(children(object.entries.len(), move |at| {
            object.entries.get_index(at).map(|(_, value)| Ok(value.clone()))
        })),
        other => box_once(Err(not_iterable(&other))),
    }
}

/// Goes through positions, charging for each; knows its length, which jaq uses to save stack.
fn children<T>(len: usize, mut get: impl FnMut(usize) -> Option<T>) -> impl Iterator<Item = T> {
    meter::charge(1);
    (0..len).map_while(move |at| {
        meter::charge(1);
        get(at)
    })
}

fn not_iterable(value: &Val) -> Error {
    fault(format!("cannot iterate over {}", value.kind()))
}

/// `.[index]`, with null for what is not there.
pub(crate) fn index(value: Val, index: &Val) -> ValR {
    meter::charge(1);
    match (value, index) {
        (Val::Null(n), Val::Str(_) | Val::Num(_) | Val::Obj(_)) => Ok(Val::null_below(n)),
        (Val::Obj(object), Val::Str(key)) => {
            meter::charge_bytes(key.as_str().len());
            Ok(object.entries.get(key).cloned().unwrap_or(NULL))
        }
        (Val::Arr(array), Val::Num(number)) => {
            let at = position(number.as_f64(), array.items.len());
            Ok(at.and_then(|at| array.items.get(at).cloned()).unwrap_or(NULL))
        }
        (value @ (Val::Arr(_) | Val::Str(_)), Val::Obj(bounds)) => {
            let (start, end) = slice_bounds(bounds);
            slice(value, start..end)
        }
        (Val::Arr(array), Val::Arr(part)) => Ok(indices_in_array(&array, &part.items)),
        (value, Val::Str(key)) => {
            Err(fault(format!("cannot index {} with \"{}\"", value.kind(), key.as_str())))
        }
        (value, other) => Err(fault(format!("cannot index {} with {}", value.kind(), other.kind()))),
    }
}

/// Where in a sequence of `len` an index points; negative ones count from the end.
pub(crate) fn position(index: f64, len: usize) -> Option<usize> {
    let index = index.floor();
    let from_start = if index < 0.0 { index + len as f64 } else { index };
    (from_start >= 0.0).then_some(from_start as usize)
}

/// The two bounds of a slice given as an object.
pub(crate) fn slice_bounds(bounds: &Obj) -> (Option<&Val>, Option<&Val>) {
    (bounds.entries.get("start"), bounds.entries.get("end"))
}

/// `.[a:b]`.
pub(crate) fn slice(value: Val, bounds: val::Range<&Val>) -> ValR {
    match value {
        Val::Null(n) => Ok(Val::null_below(n)),
        Val::Arr(array) => {
            let span = span(&bounds, array.items.len())?;
            let items = array.items.get(span).unwrap_or_default();
            meter::charge_items(items.len());
            Ok(Val::array(items.to_vec()))
        }
        Val::Str(text) => slice_text(&text, &bounds),
        other => Err(fault(format!("cannot slice {}", other.kind()))),
    }
}

fn slice_text(text: &Text, bounds: &val::Range<&Val>) -> ValR {
    let text = text.as_str();
    meter::charge_bytes(text.len());
    let part = if text.is_ascii() {
        text.get(span(bounds, text.len())?).unwrap_or_default()
    } else {
        let span = span(bounds, text.chars().count())?;
        let byte = |char: usize| text.char_indices().nth(char).map_or(text.len(), |(at, _)| at);
        text.get(byte(span.start)..byte(span.end)).unwrap_or_default()
    };
    Ok(Val::string(part))
}

/// The positions a slice covers in a sequence of `len`: the start rounded down, the end up, both inside.
pub(crate) fn span(bounds: &val::Range<&Val>, len: usize) -> Result<Range<usize>, Error> {
    let bound = |bound: Option<&Val>, default: usize, round: fn(f64) -> f64| match bound {
        None | Some(Val::Null(_)) => Ok(default),
        Some(Val::Num(number)) => {
            let at = round(number.as_f64());
            let from_start = if at < 0.0 { at + len as f64 } else { at };
            Ok((from_start.max(0.0) as usize).min(len))
        }
        Some(_) => Err(fault("the start and end of a slice must be numbers")),
    };
    let start = bound(bounds.start, 0, f64::floor)?;
    let end = bound(bounds.end, len, f64::ceil)?;
    Ok(start..end.max(start))
}

/// `indices(part)`: where `part` occurs in a string (by character) or an array (as a run, or as an item).
pub(crate) fn indices(value: &Val, part: &Val) -> ValR {
    match (value, part) {
        (Val::Null(_), _) => Ok(NULL),
        (Val::Str(text), Val::Str(part)) => Ok(indices_in_text(text.as_str(), part.as_str())),
        (Val::Arr(array), Val::Arr(part)) => Ok(indices_in_array(array, &part.items)),
        (Val::Arr(array), item) => {
            let found = array.items.iter().enumerate().filter(|(_, other)| *other == item);
            Ok(found.map(|(at, _)| Val::from(at)).collect())
        }
        (value, part) => {
            Err(fault(format!("{} and {} have no indices of each other", value.kind(), part.kind())))
        }
    }
}

fn indices_in_text(text: &str, part: &str) -> Val {
    meter::charge_bytes(text.len());
    let (mut from, mut chars, mut found) = (0, 0, Vec::new());
    let Some(first_len) = part.chars().next().map(char::len_utf8) else { return Val::array(Vec::new()) };
    // `find` runs in linear time for each call; overlapping matches make it as many calls as there are matches.
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(part)) {
        meter::charge_bytes(at + part.len());
        chars += text[from..from + at].chars().count();
        found.push(Val::from(chars));
        (from, chars) = (from + at + first_len, chars + 1);
    }
    Val::array(found)
}

fn indices_in_array(array: &Rc<Arr>, part: &[Val]) -> Val {
    if part.is_empty() {
        return Val::array(Vec::new());
    }
    let found = array.items.windows(part.len()).enumerate().filter(|(_, window)| *window == part);
    found.map(|(at, _)| Val::from(at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::read::from_json;

    fn val(json: &str) -> Val {
        from_json(json.as_bytes(), 100).unwrap()
    }

    fn check(value: &str, by: &str, expected: Result<&str, &str>) {
        let found = index(val(value), &val(by)).map_err(|error| error.to_string());
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, val(expected), "{value}[{by}]"),
            (Err(_), Err(_)) => {}
            (found, expected) => panic!("{value}[{by}]: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn indexing_follows_jq() {
        check("null", "\"a\"", Ok("null"));
        check(r#"{"a":1}"#, "\"a\"", Ok("1"));
        check(r#"{"a":1}"#, "\"b\"", Ok("null"));
        check("[1,2,3]", "-1", Ok("3"));
        check("[1,2,3]", "1.0", Ok("2"));
        check("[1,2,3]", "-4", Ok("null"));
        check("[1,2,1,2]", "[1,2]", Ok("[0,2]"));
        check("[1,2,3]", r#"{"start":1,"end":null}"#, Ok("[2,3]"));
        check("[1]", "\"a\"", Err("cannot index array with \"a\""));
        check("1", "0", Err("cannot index number with number"));
    }

    #[test]
    fn text_is_sliced_by_characters() {
        let slice =
            |from: &str, to: &str| slice(val("\"añb😀c\""), Some(&val(from))..Some(&val(to))).unwrap();
        assert_eq!(slice("1", "4"), val("\"ñb😀\""));
        assert_eq!(slice("-2", "null"), val("\"😀c\""));
        assert_eq!(slice("4", "2"), val("\"\""));
        assert_eq!(slice("0.9", "0.1"), val("\"a\""));
    }

    #[test]
    fn overlapping_occurrences_are_found_by_character() {
        assert_eq!(indices(&val("\"ñaaañ\""), &val("\"aa\"")).unwrap(), val("[1,2]"));
        assert_eq!(indices(&val("\"aa\""), &val("\"\"")).unwrap(), val("[]"));
        assert_eq!(indices(&val("[1,[1],1]"), &val("1")).unwrap(), val("[0,2]"));
    }
}
