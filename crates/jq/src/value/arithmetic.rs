//! `+ - * / %`, negation and `contains`, on all kinds of values. Everything that copies is charged before it copies.

use std::ops::{Add, Div, Mul, Neg, Rem, Sub};
use std::rc::Rc;

use crate::meter;
use crate::value::number::Num;
use crate::value::{Entries, Error, NULL, Obj, Text, Val, ValR, array_mut, fault, key_bytes, object_mut};

fn mismatch(left: &Val, right: &Val, what: &str) -> Error {
    fault(format!("{} and {} cannot be {what}", left.kind(), right.kind()))
}

impl Add for Val {
    type Output = ValR;

    fn add(self, other: Self) -> ValR {
        meter::charge(1);
        Ok(match (self, other) {
            (Self::Null(_), value) | (value, Self::Null(_)) => value,
            (Self::Num(l), Self::Num(r)) => Self::Num(l.add(&r)),
            (Self::Str(mut l), Self::Str(r)) => {
                l.push(r.as_str());
                Self::Str(l)
            }
            (Self::Arr(mut l), Self::Arr(r)) => {
                meter::charge_items(r.items.len());
                let array = array_mut(&mut l);
                array.items.extend_from_slice(&r.items);
                array.depth = array.depth.max(r.depth);
                Self::Arr(l)
            }
            (Self::Obj(mut l), Self::Obj(r)) => {
                meter::charge_items(r.entries.len());
                meter::charge_bytes(key_bytes(&r.entries));
                let object = object_mut(&mut l);
                object.depth = object.depth.max(r.depth);
                object.entries.extend(r.entries.iter().map(|(key, value)| (key.clone(), value.clone())));
                Self::Obj(l)
            }
            (l, r) => return Err(mismatch(&l, &r, "added")),
        })
    }
}

impl Sub for Val {
    type Output = ValR;

    fn sub(self, other: Self) -> ValR {
        meter::charge(1);
        match (self, other) {
            (Self::Num(l), Self::Num(r)) => Ok(Self::Num(l.subtract(&r))),
            (Self::Arr(l), Self::Arr(r)) => {
                Ok(l.items.iter().filter(|item| !r.items.contains(item)).cloned().collect())
            }
            (l, r) => Err(mismatch(&l, &r, "subtracted")),
        }
    }
}

impl Mul for Val {
    type Output = ValR;

    fn mul(self, other: Self) -> ValR {
        meter::charge(1);
        match (self, other) {
            (Self::Num(l), Self::Num(r)) => Ok(Self::Num(l.multiply(&r))),
            (Self::Str(text), Self::Num(times)) | (Self::Num(times), Self::Str(text)) => {
                Ok(repeat(&text, &times))
            }
            (Self::Obj(l), Self::Obj(r)) => Ok(Self::Obj(merge(l, &r))),
            (l, r) => Err(mismatch(&l, &r, "multiplied")),
        }
    }
}

/// The text `times` times, a started time counting below one only; null for none.
fn repeat(text: &Text, times: &Num) -> Val {
    let times = times.as_f64();
    if times.is_nan() || times <= 0.0 {
        return NULL;
    }
    let times = times.max(1.0) as usize;
    let text = text.as_str();
    // Charged before it is allocated; a product that does not fit is out of every budget.
    meter::charge_bytes(text.len().saturating_mul(times));
    Val::Str(text.repeat(times).into())
}

/// Merges deeply: objects under the same key are merged, everything else is replaced.
fn merge(mut left: Rc<Obj>, right: &Rc<Obj>) -> Rc<Obj> {
    meter::charge_items(right.entries.len());
    meter::charge_bytes(key_bytes(&right.entries));
    let object = object_mut(&mut left);
    for (key, value) in &right.entries {
        let merged = match (object.entries.get_mut(key), value) {
            (Some(Val::Obj(l)), Val::Obj(r)) => Val::Obj(merge(std::mem::take(l), r)),
            (_, value) => value.clone(),
        };
        object.insert(key.clone(), merged);
    }
    left
}

impl Div for Val {
    type Output = ValR;

    fn div(self, other: Self) -> ValR {
        meter::charge(1);
        match (self, other) {
            (Self::Num(l), Self::Num(r)) => {
                l.divide(&r).map(Self::Num).ok_or_else(|| fault("division by zero"))
            }
            (Self::Str(text), Self::Str(separator)) => Ok(split(text.as_str(), separator.as_str())),
            (l, r) => Err(mismatch(&l, &r, "divided")),
        }
    }
}

fn split(text: &str, separator: &str) -> Val {
    meter::charge_bytes(text.len() + separator.len());
    let part = |part: &str| Val::string(part);
    match (text, separator) {
        ("", _) => Val::array(Vec::new()),
        (text, "") => text.chars().map(|char| Val::string(char.encode_utf8(&mut [0; 4]))).collect(),
        (text, separator) => text.split(separator).map(part).collect(),
    }
}

impl Rem for Val {
    type Output = ValR;

    fn rem(self, other: Self) -> ValR {
        meter::charge(1);
        match (self, other) {
            (Self::Num(l), Self::Num(r)) => {
                l.remainder(&r).map(Self::Num).ok_or_else(|| fault("remainder of a division by zero"))
            }
            (l, r) => Err(mismatch(&l, &r, "divided")),
        }
    }
}

impl Neg for Val {
    type Output = ValR;

    fn neg(self) -> ValR {
        meter::charge(1);
        match self {
            Self::Num(number) => Ok(Self::Num(number.negate())),
            other => Err(fault(format!("{} cannot be negated", other.kind()))),
        }
    }
}

/// `contains`: strings by substring, arrays and objects by parts, everything else by equality.
pub(crate) fn contains(value: &Val, part: &Val) -> Result<bool, Error> {
    meter::charge(1);
    match (value, part) {
        (Val::Str(text), Val::Str(part)) => {
            meter::charge_bytes(text.as_str().len() + part.as_str().len());
            Ok(text.as_str().contains(part.as_str()))
        }
        (Val::Arr(array), Val::Arr(parts)) => {
            let mut all = true;
            for part in &parts.items {
                all = all && any_contains(&array.items, part);
            }
            Ok(all)
        }
        (Val::Obj(object), Val::Obj(parts)) => Ok(entries_contain(&object.entries, &parts.entries)),
        (value, part) if value.kind() == part.kind() => Ok(value == part),
        (value, part) => Err(mismatch(value, part, "compared for containment")),
    }
}

/// Inside arrays and objects, values of different kinds do not contain each other; that is no error.
fn contains_inside(value: &Val, part: &Val) -> bool {
    contains(value, part).unwrap_or(false)
}

fn any_contains(items: &[Val], part: &Val) -> bool {
    items.iter().any(|item| contains_inside(item, part))
}

fn entries_contain(entries: &Entries, parts: &Entries) -> bool {
    meter::charge_bytes(key_bytes(parts));
    parts.iter().all(|(key, part)| entries.get(key).is_some_and(|value| contains_inside(value, part)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::read::from_json;

    fn val(json: &str) -> Val {
        from_json(json.as_bytes(), 100).unwrap()
    }

    #[test]
    fn addition_by_kind() {
        let add = |l: &str, r: &str, sum: &str| assert_eq!((val(l) + val(r)).unwrap(), val(sum), "{l} + {r}");
        add("null", "1", "1");
        add("1.5", "1.5", "3");
        add("\"a\"", "\"b\"", "\"ab\"");
        add("[1]", "[2]", "[1,2]");
        add(r#"{"a":1,"b":1}"#, r#"{"b":2,"c":3}"#, r#"{"a":1,"b":2,"c":3}"#);
        assert!((val("1") + val("\"a\"")).is_err());
    }

    #[test]
    fn a_sum_leaves_its_operands_alone() {
        let (left, right) = (val("[1]"), val("[2]"));
        assert_eq!((left.clone() + right.clone()).unwrap(), val("[1,2]"));
        assert_eq!((left, right), (val("[1]"), val("[2]")));
    }

    #[test]
    fn other_operations_by_kind() {
        assert_eq!((val("[1,2,1,3]") - val("[1]")).unwrap(), val("[2,3]"));
        assert_eq!((val("\"ab\"") * val("2.9")).unwrap(), val("\"abab\""));
        assert_eq!((val("\"ab\"") * val("0.1")).unwrap(), val("\"ab\""));
        assert_eq!((val("\"ab\"") * val("0")).unwrap(), NULL);
        assert_eq!(
            (val(r#"{"a":{"b":1,"c":2}}"#) * val(r#"{"a":{"b":3},"d":4}"#)).unwrap(),
            val(r#"{"a":{"b":3,"c":2},"d":4}"#)
        );
        assert_eq!((val("\"a, b\"") / val("\", \"")).unwrap(), val(r#"["a","b"]"#));
        assert_eq!((val("\"añ\"") / val("\"\"")).unwrap(), val(r#"["a","ñ"]"#));
        assert!((val("1") / val("0")).is_err() && (val("1") % val("0")).is_err());
    }

    #[test]
    fn containment() {
        assert!(contains(&val(r#"{"a":["xyz",1]}"#), &val(r#"{"a":["y"]}"#)).unwrap());
        assert!(!contains(&val(r#"{"a":["xyz",1]}"#), &val(r#"{"a":["q"]}"#)).unwrap());
        assert!(contains(&val("1"), &val("\"1\"")).is_err());
    }
}
