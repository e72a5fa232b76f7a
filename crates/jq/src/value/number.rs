//! Numbers: one type to the expression, four inside.
//!
//! jq knows only doubles, jaq tells integers from decimals (`10 / 2` is `5.0`). Here integers are exact up to 128 bits and
//! everything else is a double, but no expression can tell: a result that is whole is an integer again, so `10 / 2` is
//! `5`, and `1.0` indexes arrays. A decimal read from a document or from the expression keeps the digits it was written
//! with until something is computed from it, so `10.50` passes through a transformation as `10.50`.
//!
//! An integer that outgrows 128 bits becomes a double, as in jq; one that is only passed on keeps its digits.

use std::cmp::Ordering;
use std::fmt;
use std::rc::Rc;

/// From here on a whole double is not turned into an integer.
const INTEGER_LIMIT: f64 = 9_223_372_036_854_775_808.0;
/// 2 to the power of 127: the first double beyond 128-bit integers.
const WIDE_LIMIT: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;

/// A number.
#[derive(Debug, Clone)]
pub(crate) enum Num {
    Int(i64),
    /// An integer that does not fit [`Num::Int`].
    Wide(Rc<i128>),
    /// Not whole, or too large for an integer, or not finite.
    Float(f64),
    /// A number as it was written, for its digits.
    Literal(Rc<Literal>),
}

/// A number as it was written.
#[derive(Debug)]
pub(crate) struct Literal {
    pub(crate) text: Box<str>,
    pub(crate) value: f64,
}

impl Num {
    /// Takes an integer.
    pub(crate) fn from_integer(value: i128) -> Self {
        i64::try_from(value).map_or_else(|_| Self::Wide(Rc::new(value)), Self::Int)
    }

    /// Takes a computed double; a whole one becomes an integer.
    pub(crate) fn from_float(value: f64) -> Self {
        if value.fract() == 0.0 && value.abs() < INTEGER_LIMIT {
            Self::Int(value as i64)
        } else {
            Self::Float(value)
        }
    }

    /// Takes a number in JSON's syntax, which the caller has checked.
    pub(crate) fn from_json(text: &str) -> Self {
        if let Ok(value) = text.parse::<i128>() {
            return Self::from_integer(value);
        }
        let value = text.parse().unwrap_or(f64::NAN);
        Self::Literal(Rc::new(Literal { text: text.into(), value }))
    }

    /// Takes a number in jq's syntax, which has what JSON's has not: `007`, `1.` and `.5`. Digits are kept where JSON has them too.
    pub(crate) fn from_expression(text: &str) -> Self {
        if text.parse::<serde_json::Number>().is_ok() {
            return Self::from_json(text);
        }
        match text.parse::<i128>() {
            Ok(value) => Self::from_integer(value),
            Err(_) => Self::from_float(text.parse().unwrap_or(f64::NAN)),
        }
    }

    /// The nearest double.
    pub(crate) fn as_f64(&self) -> f64 {
        match self {
            Self::Int(value) => *value as f64,
            Self::Wide(value) => **value as f64,
            Self::Float(value) => *value,
            Self::Literal(literal) => literal.value,
        }
    }

    /// The integer, if it is held as one.
    pub(crate) fn as_integer(&self) -> Option<i128> {
        match self {
            Self::Int(value) => Some((*value).into()),
            Self::Wide(value) => Some(**value),
            Self::Float(_) => None,
            Self::Literal(literal) => match Self::from_float(literal.value) {
                Self::Int(value) => Some(value.into()),
                _ => None,
            },
        }
    }

    /// The integer that is nearest towards zero; 0 for what is not a number.
    fn truncated(&self) -> i128 {
        self.as_integer().unwrap_or(self.as_f64() as i128)
    }

    fn combine(
        &self,
        other: &Self,
        exact: fn(i128, i128) -> Option<i128>,
        inexact: fn(f64, f64) -> f64,
    ) -> Self {
        let whole = self.as_integer().zip(other.as_integer()).and_then(|(l, r)| exact(l, r));
        whole.map_or_else(|| Self::from_float(inexact(self.as_f64(), other.as_f64())), Self::from_integer)
    }

    pub(crate) fn add(&self, other: &Self) -> Self {
        if let (Self::Int(l), Self::Int(r)) = (self, other)
            && let Some(sum) = l.checked_add(*r)
        {
            return Self::Int(sum);
        }
        self.combine(other, i128::checked_add, |l, r| l + r)
    }

    pub(crate) fn subtract(&self, other: &Self) -> Self {
        self.combine(other, i128::checked_sub, |l, r| l - r)
    }

    pub(crate) fn multiply(&self, other: &Self) -> Self {
        self.combine(other, i128::checked_mul, |l, r| l * r)
    }

    /// `None` for a divisor of zero.
    pub(crate) fn divide(&self, other: &Self) -> Option<Self> {
        let exact = |l: i128, r: i128| (l.checked_rem(r)? == 0).then(|| l.checked_div(r)).flatten();
        (other.as_f64() != 0.0).then(|| self.combine(other, exact, |l, r| l / r))
    }

    /// The remainder of the truncated operands, with the sign of the left one; `None` for a divisor of zero.
    pub(crate) fn remainder(&self, other: &Self) -> Option<Self> {
        if self.as_f64().is_nan() || other.as_f64().is_nan() {
            return Some(Self::Float(f64::NAN));
        }
        let (l, r) = (self.truncated(), other.truncated());
        (r != 0).then(|| Self::from_integer(l.checked_rem(r).unwrap_or(0)))
    }

    pub(crate) fn negate(&self) -> Self {
        Self::Int(0).subtract(self)
    }

    /// Compares exactly, so that the order is total: not-a-number first, equal to itself.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        match (self.as_integer(), other.as_integer()) {
            (Some(l), Some(r)) => l.cmp(&r),
            (Some(l), None) => order_integer_float(l, other.as_f64()),
            (None, Some(r)) => order_integer_float(r, self.as_f64()).reverse(),
            (None, None) => order_floats(self.as_f64(), other.as_f64()),
        }
    }

    pub(crate) fn is_nan(&self) -> bool {
        self.as_f64().is_nan()
    }
}

fn order_floats(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or_else(|| right.is_nan().cmp(&left.is_nan()))
}

fn order_integer_float(integer: i128, float: f64) -> Ordering {
    if float.is_nan() || float < -WIDE_LIMIT {
        return Ordering::Greater;
    }
    if float >= WIDE_LIMIT {
        return Ordering::Less;
    }
    integer.cmp(&(float.trunc() as i128)).then_with(|| order_floats(0.0, float.fract()))
}

/// Writes a finite number as JSON. What is not finite is written as jq does: null, or the largest double.
impl fmt::Display for Num {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => value.fmt(f),
            Self::Wide(value) => value.fmt(f),
            Self::Float(value) => write_float(*value, f),
            Self::Literal(literal) if literal.value.is_finite() => f.write_str(&literal.text),
            Self::Literal(literal) => write_float(literal.value, f),
        }
    }
}

fn write_float(value: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if value.is_nan() {
        return f.write_str("null");
    }
    let value = value.clamp(f64::MIN, f64::MAX);
    serde_json::Number::from_f64(value).map_or(Err(fmt::Error), |number| write!(f, "{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn num(text: &str) -> Num {
        Num::from_json(text)
    }

    #[test]
    fn integers_are_exact_to_128_bits() {
        for text in ["0", "-1", "9223372036854775807", "18446744073709551615", "-9223372036854775809"] {
            assert_eq!(num(text).to_string(), text);
        }
        let wide = num("18446744073709551615").add(&num("1"));
        assert_eq!(wide.to_string(), "18446744073709551616");
        assert_eq!(wide.subtract(&num("18446744073709551615")).to_string(), "1");
        assert_eq!(num("9223372036854775807").multiply(&num("2")).to_string(), "18446744073709551614");
        assert_eq!(num("-9223372036854775808").negate().to_string(), "9223372036854775808");
    }

    #[test]
    fn beyond_128_bits_sums_are_doubles_and_digits_are_kept() {
        let digits = "1".repeat(50);
        assert_eq!(num(&digits).to_string(), digits);
        assert_eq!(num(&digits).add(&num("1")).to_string(), "1.1111111111111111e+49");
    }

    #[test]
    fn whole_results_are_integers() {
        assert_eq!(num("10").divide(&num("2")).unwrap().to_string(), "5");
        assert_eq!(num("1.5").multiply(&num("2")).to_string(), "3");
        assert_eq!(num("10").divide(&num("4")).unwrap().to_string(), "2.5");
        assert!(num("1").divide(&num("0.0")).is_none());
    }

    #[test]
    fn decimals_keep_their_digits_until_computed_with() {
        assert_eq!(num("10.50").to_string(), "10.50");
        assert_eq!(num("10.50").add(&num("0")).to_string(), "10.5");
        assert_eq!(num("1.0").as_integer(), Some(1));
    }

    #[test]
    fn numbers_that_json_has_not_are_written_as_json() {
        for (text, json) in
            [("007", "7"), ("01.50", "1.5"), ("1.", "1"), (".5", "0.5"), ("00e010", "0"), ("1.50", "1.50")]
        {
            assert_eq!(Num::from_expression(text).to_string(), json, "{text}");
        }
    }

    #[test]
    fn remainders_truncate_as_in_c() {
        let rem = |l: &str, r: &str| num(l).remainder(&num(r)).map(|number| number.to_string());
        assert_eq!(rem("5", "2.7").as_deref(), Some("1"));
        assert_eq!(rem("-5", "3").as_deref(), Some("-2"));
        assert_eq!(rem("5", "-3").as_deref(), Some("2"));
        assert_eq!(rem("1", "0.5"), None);
    }

    #[test]
    fn the_order_is_exact_and_total() {
        let sorted = ["-1e400", "-3", "0", "0.5", "9007199254740992", "9007199254740993", "1e17", "1e400"];
        for (at, left) in sorted.iter().enumerate() {
            for (other, right) in sorted.iter().enumerate() {
                assert_eq!(num(left).order(&num(right)), at.cmp(&other), "{left} and {right}");
            }
        }
        let nan = Num::Float(f64::NAN);
        assert_eq!((nan.order(&num("-1e400")), nan.order(&nan)), (Ordering::Less, Ordering::Equal));
        assert_eq!(num("1").order(&nan), Ordering::Greater);
    }
}
