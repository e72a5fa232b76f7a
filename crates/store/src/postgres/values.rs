//! Conversion between [`Value`] and PostgreSQL's binary formats; called by every statement of this backend.
//!
//! PostgreSQL is strict about types where SQLite is not: a parameter is written in whatever type the statement asks
//! for, and every integer-like column comes back as [`Value::Int`]. NUL characters, which PostgreSQL's text cannot
//! hold, are left out.

use std::borrow::Cow;
use std::error::Error;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::value::BorrowedValue;
use crate::{ReadError, Row, Value};

type Fault = Box<dyn Error + Sync + Send>;

/// The text as PostgreSQL keeps it: without NUL characters.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "")) } else { Cow::Borrowed(text) }
}

fn put_text(text: &str, ty: &Type, out: &mut BytesMut) {
    if *ty == Type::JSONB {
        out.put_u8(1);
    }
    out.extend_from_slice(clean(text).as_bytes());
}

fn put_int(value: i64, ty: &Type, out: &mut BytesMut) -> Result<(), Fault> {
    match *ty {
        Type::INT8 => out.put_i64(value),
        Type::INT4 => out.put_i32(i32::try_from(value)?),
        Type::INT2 => out.put_i16(i16::try_from(value)?),
        Type::BOOL => out.put_u8(u8::from(value != 0)),
        Type::FLOAT8 => out.put_f64(value as f64),
        Type::TEXT | Type::VARCHAR | Type::UNKNOWN => out.extend_from_slice(value.to_string().as_bytes()),
        _ => return Err(format!("an integer cannot be given as {ty}").into()),
    }
    Ok(())
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Fault> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Int(value) => put_int(*value, ty, out)?,
            Self::Text(text) => put_text(text, ty, out),
            Self::Blob(bytes) => out.extend_from_slice(bytes),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A text that may hold NUL characters or be absent; the element type of text arrays.
#[derive(Debug)]
pub(super) struct Text<'a>(pub(super) Option<&'a str>);

impl ToSql for Text<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Fault> {
        let Some(text) = self.0 else { return Ok(IsNull::Yes) };
        put_text(text, ty, out);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        <&str as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

/// One column of many rows, an array parameter for `unnest`.
#[derive(Debug)]
pub(super) enum Column<'a> {
    Ints(Vec<Option<i64>>),
    Texts(Vec<Text<'a>>),
    Blobs(Vec<Option<&'a [u8]>>),
}

impl<'a> Column<'a> {
    /// Adds a row's value.
    ///
    /// # Panics
    ///
    /// When the value is of another kind than the column: the statement and the caller are both in this crate.
    pub(super) fn push(&mut self, value: BorrowedValue<'a>) {
        match (self, value) {
            (Self::Ints(column), BorrowedValue::Int(value)) => column.push(Some(value)),
            (Self::Ints(column), BorrowedValue::Null) => column.push(None),
            (Self::Texts(column), BorrowedValue::Text(text)) => column.push(Text(Some(text))),
            (Self::Texts(column), BorrowedValue::Null) => column.push(Text(None)),
            (Self::Blobs(column), BorrowedValue::Blob(bytes)) => column.push(Some(bytes)),
            (Self::Blobs(column), BorrowedValue::Null) => column.push(None),
            _ => unreachable!("invariant: a table's columns have fixed types"),
        }
    }
}

impl ToSql for Column<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Fault> {
        match self {
            Self::Ints(column) => column.to_sql(ty, out),
            Self::Texts(column) => column.to_sql(ty, out),
            Self::Blobs(column) => column.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8_ARRAY | Type::TEXT_ARRAY | Type::BYTEA_ARRAY)
    }

    to_sql_checked!();
}

/// A column of an answer in whatever type the server chose.
struct Decoded(Value);

impl<'a> FromSql<'a> for Decoded {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Fault> {
        Ok(Self(match *ty {
            Type::INT8 => Value::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Value::Int(i32::from_sql(ty, raw)?.into()),
            Type::INT2 => Value::Int(i16::from_sql(ty, raw)?.into()),
            Type::BOOL => Value::Int(bool::from_sql(ty, raw)?.into()),
            Type::FLOAT8 => Value::Int(f64::from_sql(ty, raw)? as i64),
            Type::NUMERIC => Value::Int(whole_numeric(raw)?),
            Type::BYTEA => Value::Blob(Bytes::copy_from_slice(raw)),
            _ => Value::Text(String::from_utf8(raw.to_vec())?),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Fault> {
        Ok(Self(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The whole part of a `numeric`, which is what `sum(bigint)` gives: digits to the base 10,000 behind a header of four
/// 16-bit numbers (count of digits, weight of the first, sign, scale).
fn whole_numeric(raw: &[u8]) -> Result<i64, Fault> {
    let mut words = raw.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]]));
    let mut word = || words.next().ok_or("numeric is cut short");
    let (n_digits, weight, sign, _scale) = (word()?, word()?, word()?, word()?);
    // Five digits to the base 10,000 hold every 64-bit number.
    if weight > 4 {
        return Err("numeric is beyond 64 bits".into());
    }
    let mut whole: i128 = 0;
    for index in 0..=weight {
        let digit = if index < n_digits { word()? } else { 0 };
        whole = whole * 10_000 + i128::from(digit);
    }
    let signed = if sign == 0x4000 { -whole } else { whole };
    i64::try_from(signed).map_err(|_| "numeric is beyond 64 bits".into())
}

/// Takes a row apart.
pub(super) fn row(row: &tokio_postgres::Row) -> Result<Row, ReadError> {
    let mut values = Vec::with_capacity(row.len());
    for index in 0..row.len() {
        let Decoded(value) = row.try_get(index).map_err(|source| ReadError::Unavailable(source.into()))?;
        values.push(value);
    }
    Ok(Row::new(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(words: &[i16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn numerics_become_integers() {
        assert_eq!(whole_numeric(&numeric(&[0, 0, 0, 0])).unwrap(), 0);
        assert_eq!(whole_numeric(&numeric(&[2, 1, 0, 0, 12, 3456])).unwrap(), 123_456);
        assert_eq!(whole_numeric(&numeric(&[1, 1, 0x4000, 0, 5])).unwrap(), -50_000);
        assert_eq!(whole_numeric(&numeric(&[1, -1, 0, 2, 2500])).unwrap(), 0);
        assert!(whole_numeric(&numeric(&[1, 9, 0, 0, 9999])).is_err());
        assert!(whole_numeric(&[0, 1]).is_err());
    }

    #[test]
    fn nul_is_left_out() {
        assert_eq!(clean("a\0b"), "ab");
        assert!(matches!(clean("ab"), Cow::Borrowed("ab")));
    }
}
