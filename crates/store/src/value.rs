//! Values that cross the SQL border, the same for both databases: integers, text, bytes and NULL.

use bytes::Bytes;

use crate::error::ReadError;

/// One parameter or column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// Integers, times in microseconds, flags as 0 or 1.
    Int(i64),
    /// Text and JSON.
    Text(String),
    /// Bytes.
    Blob(Bytes),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Bytes> for Value {
    fn from(value: Bytes) -> Self {
        Self::Blob(value)
    }
}

impl From<trunkline_model::Timestamp> for Value {
    fn from(value: trunkline_model::Timestamp) -> Self {
        Self::Int(value.as_micros())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A parameter that borrows from the row it belongs to: what the hot inserts bind.
pub(crate) enum BorrowedValue<'a> {
    Int(i64),
    Text(&'a str),
    Blob(&'a [u8]),
    Null,
}

impl<'a> BorrowedValue<'a> {
    pub(crate) fn opt(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }

    pub(crate) fn opt_int(value: Option<i64>) -> Self {
        value.map_or(Self::Null, Self::Int)
    }

    pub(crate) fn opt_time(time: Option<trunkline_model::Timestamp>) -> Self {
        Self::opt_int(time.map(trunkline_model::Timestamp::as_micros))
    }
}

/// Lists values of mixed types as SQL parameters.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { vec![$($crate::Value::from($value)),*] };
}

/// One row of an answer. Columns are read from left to right, in the order of the SELECT.
#[derive(Debug, Clone)]
pub struct Row {
    values: std::vec::IntoIter<Value>,
    column: usize,
}

impl Row {
    pub(crate) fn new(values: Vec<Value>) -> Self {
        Self { values: values.into_iter(), column: 0 }
    }

    fn next(&mut self) -> Result<Value, ReadError> {
        self.column += 1;
        self.values.next().ok_or(ReadError::Column { column: self.column, expected: "a column" })
    }

    fn wrong(&self, expected: &'static str) -> ReadError {
        ReadError::Column { column: self.column, expected }
    }

    /// Takes the next column as an integer.
    pub fn int(&mut self) -> Result<i64, ReadError> {
        self.opt_int()?.ok_or_else(|| self.wrong("an integer"))
    }

    /// Takes the next column as an integer or NULL.
    pub fn opt_int(&mut self) -> Result<Option<i64>, ReadError> {
        match self.next()? {
            Value::Int(value) => Ok(Some(value)),
            Value::Null => Ok(None),
            _ => Err(self.wrong("an integer or NULL")),
        }
    }

    /// Takes the next column as a flag.
    pub fn flag(&mut self) -> Result<bool, ReadError> {
        Ok(self.int()? != 0)
    }

    /// Takes the next column as a time.
    pub fn time(&mut self) -> Result<trunkline_model::Timestamp, ReadError> {
        self.int().map(trunkline_model::Timestamp::from_micros)
    }

    /// Takes the next column as a time or NULL.
    pub fn opt_time(&mut self) -> Result<Option<trunkline_model::Timestamp>, ReadError> {
        Ok(self.opt_int()?.map(trunkline_model::Timestamp::from_micros))
    }

    /// Takes the next column as text.
    pub fn text(&mut self) -> Result<String, ReadError> {
        self.opt_text()?.ok_or_else(|| self.wrong("text"))
    }

    /// Takes the next column as text or NULL.
    pub fn opt_text(&mut self) -> Result<Option<String>, ReadError> {
        match self.next()? {
            Value::Text(value) => Ok(Some(value)),
            Value::Null => Ok(None),
            _ => Err(self.wrong("text or NULL")),
        }
    }

    /// Takes the next column as bytes or NULL.
    pub fn opt_blob(&mut self) -> Result<Option<Bytes>, ReadError> {
        match self.next()? {
            Value::Blob(value) => Ok(Some(value)),
            Value::Null => Ok(None),
            _ => Err(self.wrong("bytes or NULL")),
        }
    }
}
