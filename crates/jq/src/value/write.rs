//! Values to JSON text and to `serde_json`.
//!
//! Two ways out. Inside an expression (`tojson`, `"\(.)"`) numbers that are not finite are written as jq writes them, and
//! the text is charged for while it grows. Results that leave the run must be finite, and have a limit in bytes, which
//! also bounds values that are small in memory but large on paper, because parts of them are shared.

use std::fmt::{self, Write};
use std::io;

use serde_json::Value;

use crate::meter;
use crate::value::number::Num;
use crate::value::{Text, Val};

/// Why a result cannot leave the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Not a number, or infinite.
    NotFinite,
    /// Longer than the limit.
    TooLong,
}

/// Text that grows to a limit.
struct Page {
    text: String,
    /// Bytes that may still be written.
    left: usize,
    /// Whether numbers must be finite.
    finite: bool,
}

impl Page {
    fn put(&mut self, text: &str) -> Result<(), Unfit> {
        self.left = self.left.checked_sub(text.len()).ok_or(Unfit::TooLong)?;
        self.text.push_str(text);
        Ok(())
    }

    fn value(&mut self, value: &Val) -> Result<(), Unfit> {
        meter::charge(1);
        match value {
            Val::Null(_) => self.put("null"),
            Val::Bool(true) => self.put("true"),
            Val::Bool(false) => self.put("false"),
            Val::Num(number) => self.number(number),
            Val::Str(text) => self.string(text.as_str()),
            Val::Arr(array) => {
                for (at, item) in array.items.iter().enumerate() {
                    self.put(if at == 0 { "[" } else { "," })?;
                    self.value(item)?;
                }
                self.put(if array.items.is_empty() { "[]" } else { "]" })
            }
            Val::Obj(object) => {
                for (at, (key, value)) in object.entries.iter().enumerate() {
                    self.put(if at == 0 { "{" } else { "," })?;
                    self.string(key.as_str())?;
                    self.put(":")?;
                    self.value(value)?;
                }
                self.put(if object.entries.is_empty() { "{}" } else { "}" })
            }
        }
    }

    fn number(&mut self, number: &Num) -> Result<(), Unfit> {
        if self.finite && !number.as_f64().is_finite() {
            return Err(Unfit::NotFinite);
        }
        if let Num::Literal(literal) = number {
            meter::charge_bytes(literal.text.len());
        }
        self.write_fmt(format_args!("{number}")).map_err(|_| Unfit::TooLong)
    }

    fn string(&mut self, text: &str) -> Result<(), Unfit> {
        meter::charge_bytes(text.len());
        serde_json::to_writer(&mut *self, text).map_err(|_| Unfit::TooLong)
    }
}

impl Write for Page {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text).map_err(|_| fmt::Error)
    }
}

/// For serde_json, which escapes strings into writers of bytes; what it writes is whole characters.
impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = str::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData)?;
        self.put(text).map_err(|_| io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The JSON text of a value, for use inside an expression.
pub(crate) fn to_json(value: &Val) -> String {
    let mut page = Page { text: String::new(), left: usize::MAX, finite: false };
    // Neither reason for failure exists here.
    let _ = page.value(value);
    page.text
}

/// The text that `tostring` gives: a string is itself.
pub(crate) fn into_text(value: Val) -> Val {
    match value {
        Val::Str(text) => Val::Str(text),
        other => Val::Str(Text::from(to_json(&other))),
    }
}

/// The JSON text of a result of at most `limit` bytes.
pub(crate) fn to_result_json(value: &Val, limit: usize) -> Result<String, Unfit> {
    let mut page = Page { text: String::new(), left: limit, finite: true };
    page.value(value)?;
    Ok(page.text)
}

/// A result as a `serde_json` value; `left` is the number of bytes its text may have, and is reduced by about as much.
pub(crate) fn to_value(value: &Val, left: &mut usize) -> Result<Value, Unfit> {
    meter::charge(1);
    let mut take = |bytes: usize| {
        *left = left.checked_sub(bytes).ok_or(Unfit::TooLong)?;
        Ok(())
    };
    Ok(match value {
        Val::Null(_) => {
            take(4)?;
            Value::Null
        }
        Val::Bool(value) => {
            take(4)?;
            Value::Bool(*value)
        }
        Val::Num(number) => {
            take(4)?;
            Value::Number(to_number(number)?)
        }
        Val::Str(text) => {
            take(text.as_str().len() + 2)?;
            Value::String(text.as_str().to_owned())
        }
        Val::Arr(array) => {
            take(array.items.len() + 2)?;
            Value::Array(array.items.iter().map(|item| to_value(item, left)).collect::<Result<_, _>>()?)
        }
        Val::Obj(object) => {
            take(2)?;
            let entry = |(key, value): (&Text, &Val)| {
                let key = key.as_str();
                *left = left.checked_sub(key.len() + 4).ok_or(Unfit::TooLong)?;
                Ok((key.to_owned(), to_value(value, left)?))
            };
            Value::Object(object.entries.iter().map(entry).collect::<Result<_, _>>()?)
        }
    })
}

/// Integers of 64 bits are exact, signed or not; larger ones become the nearest double.
fn to_number(number: &Num) -> Result<serde_json::Number, Unfit> {
    if let Num::Int(value) = number {
        return Ok((*value).into());
    }
    let exact = match number {
        Num::Wide(value) => u64::try_from(**value).ok().map(Into::into),
        _ => None,
    };
    exact.or_else(|| serde_json::Number::from_f64(number.as_f64())).ok_or(Unfit::NotFinite)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::read::from_json;

    fn val(json: &str) -> Val {
        from_json(json.as_bytes(), 100).unwrap()
    }

    #[test]
    fn results_have_a_limit_in_bytes() {
        let value = val(r#"{"a":[1,"x"]}"#);
        assert_eq!(to_result_json(&value, 13).as_deref(), Ok(r#"{"a":[1,"x"]}"#));
        assert_eq!(to_result_json(&value, 12), Err(Unfit::TooLong));
        assert_eq!(to_value(&value, &mut 5), Err(Unfit::TooLong));
    }

    #[test]
    fn a_shared_value_is_as_long_as_it_is_written() {
        let doubled = (0..60).fold(val("1"), |value, _| Val::array(vec![value.clone(), value]));
        assert_eq!(to_result_json(&doubled, 1_000_000), Err(Unfit::TooLong));
        assert_eq!(to_value(&doubled, &mut 1_000_000), Err(Unfit::TooLong));
    }

    #[test]
    fn what_is_not_finite_stays_inside() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let value = Val::array(vec![value.into()]);
            assert_eq!(to_result_json(&value, 100), Err(Unfit::NotFinite));
            assert_eq!(to_value(&value, &mut 100), Err(Unfit::NotFinite));
        }
        assert_eq!(to_json(&f64::NAN.into()), "null");
        assert_eq!(to_json(&f64::INFINITY.into()), "1.7976931348623157e+308");
        assert_eq!(to_result_json(&val("1e999"), 100), Err(Unfit::NotFinite));
    }

    #[test]
    fn integers_leave_exactly() {
        let out = |json: &str| to_value(&val(json), &mut 100).unwrap().to_string();
        assert_eq!(out("18446744073709551615"), "18446744073709551615");
        assert_eq!(out("-9223372036854775808"), "-9223372036854775808");
        assert_eq!(out("18446744073709551616"), "1.8446744073709552e+19");
        assert_eq!(to_result_json(&val("18446744073709551616"), 100).as_deref(), Ok("18446744073709551616"));
    }
}
