//! Order and equality: null, false, true, numbers, strings, arrays, objects.
//!
//! Sorting uses [`Ord`], which is total; `==` and `<` of expressions differ for not-a-number, which equals nothing and is
//! less than everything, itself included, as in jq.

use std::cmp::Ordering;
use std::rc::Rc;

use crate::meter;
use crate::value::{Entries, Text, Val, key_bytes};

impl Val {
    fn rank(&self) -> u8 {
        match self {
            Self::Null(_) => 0,
            Self::Bool(false) => 1,
            Self::Bool(true) => 2,
            Self::Num(_) => 3,
            Self::Str(_) => 4,
            Self::Arr(_) => 5,
            Self::Obj(_) => 6,
        }
    }
}

impl Ord for Val {
    fn cmp(&self, other: &Self) -> Ordering {
        meter::charge(1);
        match (self, other) {
            (Self::Num(l), Self::Num(r)) => l.order(r),
            (Self::Str(l), Self::Str(r)) => compare_texts(l, r),
            (Self::Arr(l), Self::Arr(r)) => {
                if Rc::ptr_eq(l, r) {
                    return Ordering::Equal;
                }
                l.items.cmp(&r.items)
            }
            (Self::Obj(l), Self::Obj(r)) => {
                if Rc::ptr_eq(l, r) {
                    return Ordering::Equal;
                }
                compare_entries(&l.entries, &r.entries)
            }
            (l, r) => l.rank().cmp(&r.rank()),
        }
    }
}

fn compare_texts(left: &Text, right: &Text) -> Ordering {
    meter::charge_bytes(left.as_str().len().min(right.as_str().len()));
    left.cmp(right)
}

/// Keys first, then values, both in the order of the keys.
fn compare_entries(left: &Entries, right: &Entries) -> Ordering {
    let (left, right) = (sorted(left), sorted(right));
    let keys = left.iter().map(|(key, _)| key).cmp(right.iter().map(|(key, _)| key));
    keys.then_with(|| left.iter().map(|(_, value)| value).cmp(right.iter().map(|(_, value)| value)))
}

fn same_entries(left: &Entries, right: &Entries) -> bool {
    meter::charge_bytes(key_bytes(left));
    left.len() == right.len() && left.iter().all(|(key, value)| right.get(key) == Some(value))
}

/// Pairs in the order of their keys.
pub(crate) fn sorted(entries: &Entries) -> Vec<(&Text, &Val)> {
    meter::charge_items(entries.len() * 4);
    meter::charge_bytes(key_bytes(entries) * 4);
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| *key);
    sorted
}

#[expect(
    clippy::non_canonical_partial_ord_impl,
    reason = "not-a-number is less than itself in jq, see the header"
)]
impl PartialOrd for Val {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Num(l), Self::Num(_)) if l.is_nan() => Some(Ordering::Less),
            (l, r) => Some(l.cmp(r)),
        }
    }
}

impl Eq for Val {}

impl PartialEq for Val {
    fn eq(&self, other: &Self) -> bool {
        meter::charge(1);
        match (self, other) {
            (Self::Num(l), Self::Num(r)) => !l.is_nan() && l.order(r).is_eq(),
            (Self::Str(l), Self::Str(r)) => {
                l.as_str().len() == r.as_str().len() && compare_texts(l, r).is_eq()
            }
            (Self::Arr(l), Self::Arr(r)) => Rc::ptr_eq(l, r) || l.items == r.items,
            (Self::Obj(l), Self::Obj(r)) => Rc::ptr_eq(l, r) || same_entries(&l.entries, &r.entries),
            (l, r) => l.rank() == r.rank(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::number::Num;
    use crate::value::read::from_json;

    fn val(json: &str) -> Val {
        from_json(json.as_bytes(), 100).unwrap()
    }

    #[test]
    fn kinds_are_ordered() {
        let sorted = ["null", "false", "true", "-1", "2", "\"a\"", "\"b\"", "[]", "[1]", "{}", "{\"a\":1}"];
        for (at, left) in sorted.iter().enumerate() {
            for (other, right) in sorted.iter().enumerate() {
                assert_eq!(val(left).cmp(&val(right)), at.cmp(&other), "{left} and {right}");
                assert_eq!(val(left) == val(right), at == other, "{left} and {right}");
            }
        }
    }

    #[test]
    fn objects_compare_by_keys_then_values() {
        assert_eq!(val(r#"{"a":1,"b":2}"#), val(r#"{"b":2,"a":1.0}"#));
        assert!(val(r#"{"a":2}"#) < val(r#"{"a":0,"b":0}"#));
        assert!(val(r#"{"a":9,"b":0}"#) < val(r#"{"a":0,"c":0}"#));
    }

    #[test]
    fn not_a_number_sorts_but_equals_nothing() {
        let nan = Val::Num(Num::Float(f64::NAN));
        assert!(nan != nan.clone() && nan < nan.clone() && nan.cmp(&nan).is_eq());
    }
}
