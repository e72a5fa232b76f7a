//! Functions on values as such: kinds, lengths, keys, membership, conversion from and to text.

use jaq_core::native::{unary, v};

use crate::limits::MAX_DEPTH;
use crate::meter;
use crate::natives::{Native, one};
use crate::value::number::Num;
use crate::value::{self, Text, Val, ValR, fault, read};

/// The functions.
pub(super) fn natives() -> Vec<Native> {
    vec![
        ("type", v(0), |cv| one(Ok(Val::Str(Text::from(cv.1.kind()))))),
        ("length", v(0), |cv| one(length(&cv.1))),
        ("keys", v(0), |cv| one(keys(&cv.1))),
        ("has", v(1), |cv| unary(cv, |value, key| has(&value, &key))),
        ("contains", v(1), |cv| unary(cv, |value, part| Ok(value::contains(&value, &part)?.into()))),
        ("indices", v(1), |cv| unary(cv, |value, part| value::indices(&value, &part))),
        ("bsearch", v(1), |cv| unary(cv, |value, wanted| bsearch(&value, &wanted))),
        ("reverse", v(0), |cv| one(reverse(cv.1))),
        ("tojson", v(0), |cv| one(Ok(Val::Str(value::write::to_json(&cv.1).into())))),
        ("fromjson", v(0), |cv| one(from_json(&cv.1))),
        ("tonumber", v(0), |cv| one(to_number(cv.1))),
    ]
}

fn length(value: &Val) -> ValR {
    match value {
        Val::Null(_) => Ok(Val::from(0_usize)),
        Val::Bool(_) => Err(fault("boolean has no length")),
        Val::Num(number) if number.as_f64() < 0.0 => Ok(Val::Num(number.negate())),
        Val::Num(number) => Ok(Val::Num(number.clone())),
        Val::Str(text) => {
            meter::charge_bytes(text.as_str().len());
            Ok(text.as_str().chars().count().into())
        }
        Val::Arr(array) => Ok(array.items.len().into()),
        Val::Obj(object) => Ok(object.entries.len().into()),
    }
}

fn keys(value: &Val) -> ValR {
    match value {
        Val::Arr(array) => Ok((0..array.items.len()).map(Val::from).collect()),
        Val::Obj(object) => {
            Ok(value::sorted(&object.entries).into_iter().map(|(key, _)| Val::Str(key.clone())).collect())
        }
        other => Err(fault(format!("{} has no keys", other.kind()))),
    }
}

fn has(value: &Val, key: &Val) -> ValR {
    match (value, key) {
        (Val::Obj(object), Val::Str(key)) => {
            meter::charge_bytes(key.as_str().len());
            Ok(object.entries.contains_key(key).into())
        }
        (Val::Arr(array), Val::Num(number)) => {
            let at = number.as_f64();
            Ok((at >= 0.0 && at < array.items.len() as f64).into())
        }
        (value, key) => Err(fault(format!("{} cannot have a {} as key", value.kind(), key.kind()))),
    }
}

/// The position of `wanted` in a sorted array, or the one where it belongs as `-1 - position`.
fn bsearch(value: &Val, wanted: &Val) -> ValR {
    let found = value.items()?.binary_search(wanted);
    Ok(found.map_or_else(|at| -1 - at as isize, |at| at as isize).into())
}

fn reverse(value: Val) -> ValR {
    match value {
        Val::Null(_) => Ok(Val::array(Vec::new())),
        Val::Str(text) => {
            meter::charge_bytes(text.as_str().len());
            Ok(Val::string(text.as_str().chars().rev().collect::<String>()))
        }
        Val::Arr(mut array) => {
            meter::charge_items(array.items.len());
            value::array_mut(&mut array).items.reverse();
            Ok(Val::Arr(array))
        }
        other => Err(fault(format!("{} cannot be reversed", other.kind()))),
    }
}

fn from_json(value: &Val) -> ValR {
    let text = value.text()?;
    meter::charge_bytes(text.len());
    meter::charge_items(text.len() / 4);
    // The run's own limit of depth ends the run; this one keeps the reader's recursion bounded.
    read::from_json(text.as_bytes(), MAX_DEPTH).map_err(|_| fault("the text is not JSON"))
}

fn to_number(value: Val) -> ValR {
    let text = match &value {
        Val::Num(_) => return Ok(value),
        other => other.text()?.trim(),
    };
    meter::charge_bytes(text.len());
    match read::from_json(text.as_bytes(), 0) {
        Ok(Val::Num(number)) => Ok(Val::Num(number)),
        _ if text == "nan" => Ok(Val::Num(Num::Float(f64::NAN))),
        _ => Err(fault("the text is not a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::NULL;

    fn val(json: &str) -> Val {
        read::from_json(json.as_bytes(), 10).unwrap()
    }

    #[test]
    fn lengths_by_kind() {
        for (value, expected) in
            [("null", "0"), ("-2.5", "2.5"), ("\"é😀\"", "2"), ("[1,2]", "2"), (r#"{"a":1}"#, "1")]
        {
            assert_eq!(length(&val(value)).unwrap(), val(expected), "{value}");
        }
        assert!(length(&val("true")).is_err());
    }

    #[test]
    fn searching_gives_a_place_either_way() {
        let search = |wanted: &str| bsearch(&val("[1,2,2.5]"), &val(wanted)).unwrap();
        assert_eq!((search("2"), search("0"), search("9")), (val("1"), val("-1"), val("-4")));
    }

    #[test]
    fn numbers_from_text() {
        assert_eq!(to_number(val("\" 12 \"")).unwrap(), val("12"));
        assert!(to_number(val("\"0x1\"")).is_err() && to_number(NULL).is_err());
        assert!(to_number(val("\"[1]\"")).is_err());
    }
}
